"""Writes: one statement where the model allows it, with its conditions, returning what a schema shows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import ForeignKey, event, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5.db import atomic, get_engine, get_session
from fastapix5.exceptions import (
    DoesNotExist,
    IntegrityViolation,
    NotNullViolation,
    ProtectedRow,
    StaleVersion,
    UniqueViolation,
)
from fastapix5.repositories import QuerySet, Read, Repository, UnknownPath
from fastapix5.schemas import select_for
from tests.conftest import on_postgresql
from tests.repositories.models import (
    SINCE,
    Account,
    Author,
    Book,
    Box,
    City,
    Copy,
    Defaults,
    Dog,
    Draft,
    Employee,
    Order,
    Point,
    Shelf,
    Tag,
    Thing,
)
from tests.statements import Statements

pytestmark = pytest.mark.anyio


def read_of(model: type[Any], schema: type[BaseModel], *extra: str) -> Read:
    """What ``schema`` shows of ``model``."""
    return Read(select_for(schema, model, "test"), extra=extra)


class AuthorBrief(BaseModel):
    name: str | None


class TagRead(BaseModel):
    word: str


class AuthorWithMentor(BaseModel):
    name: str | None
    mentor: AuthorBrief | None


class BookRead(BaseModel):
    id: int
    title: str
    author: AuthorWithMentor | None
    tags: list[TagRead]


class BookPlain(BaseModel):
    id: int
    title: str
    pages: int | None
    author: AuthorWithMentor | None


class OrderRead(BaseModel):
    id: int
    group: str


class OrderWithParent(OrderRead):
    parent: OrderRead | None


class DefaultsRead(BaseModel):
    id: int
    key: uuid.UUID
    number: int
    word: str
    doubled: int
    touched: int
    note: dict[str, Any] | None


# One statement


async def test_an_insert_returns_what_the_schema_shows(scope: None, statements: Statements) -> None:
    """With the rows one or two relations away, in one statement."""
    repository = Repository(Book)
    statements.reset()
    written = await repository.insert_row({"title": "New", "author_id": 4}, read_of(Book, BookPlain, "title"))
    assert await statements.count() == 1
    assert written is not None
    assert written.instance.model_dump(exclude={"id"}) == {
        "title": "New",
        "pages": None,
        "author": {"name": "Bob", "mentor": {"name": "ada_b%"}},
    }
    assert written.extra == ("New",)


async def test_an_insert_returns_no_relation_where_there_is_none(scope: None) -> None:
    """None for one, an empty list for many."""
    written = await Repository(Book).insert_row({"title": "New"}, read_of(Book, BookRead))
    assert written is not None
    assert written.instance.model_dump(exclude={"id"}) == {"title": "New", "author": None, "tags": []}


async def test_an_insert_carries_its_conditions(scope: None, statements: Statements) -> None:
    """Nothing is written where one does not hold."""
    there, missing = (QuerySet(Author).filter(id=key).exists_clause() for key in (1, 77))
    read = read_of(Book, BookPlain)
    repository = Repository(Book)
    statements.reset()
    assert await repository.insert_row({"title": "No", "pages": None}, read, [there, missing]) is None
    written = await repository.insert_row({"title": "Yes", "pages": None, "author_id": 1}, read, [there])
    assert await statements.count() == 2
    assert written is not None
    assert written.instance.author == AuthorWithMentor(name="Ada", mentor=None)  # type: ignore[attr-defined]
    assert await QuerySet(Book).filter(title__in=["Yes", "No"]).count() == 1


async def test_an_insert_of_nothing_takes_every_default(scope: None) -> None:
    """A row of nulls, here."""
    written = await Repository(Author).insert_row({}, read_of(Author, AuthorBrief, "id"))
    assert written is not None
    assert written.instance == AuthorBrief(name=None)


async def test_an_update_writes_the_one_row_that_meets_every_condition(scope: None, statements: Statements) -> None:
    """And returns it as it is now."""
    repository, read = Repository(Book), read_of(Book, BookPlain)
    statements.reset()
    conditions = QuerySet(Book).filter(id=3, author__mentor__name="Ada").where()
    written = await repository.update_rows({"title": "Other", "author_id": 4}, read, conditions)
    assert await statements.count() == 1
    assert written is not None
    assert written.instance.model_dump() == {
        "id": 3,
        "title": "Other",
        "pages": 300,
        "author": {"name": "Bob", "mentor": {"name": "ada_b%"}},
    }
    conditions = QuerySet(Book).filter(id=3, author__mentor__name="Ada").where()
    assert await repository.update_rows({"title": "Again"}, read, conditions) is None
    assert (await QuerySet(Book).get(id=3)).title == "Other"


async def test_related_rows_of_a_written_row_take_one_statement_each(scope: None, statements: Statements) -> None:
    """To many."""
    statements.reset()
    written = await Repository(Book).update_rows(
        {"title": "New"}, read_of(Book, BookRead), QuerySet(Book).filter(id=1, tags__word="old").where()
    )
    assert await statements.count() == 2
    assert written is not None
    assert written.instance.tags == [TagRead(word="old"), TagRead(word="new")]  # type: ignore[attr-defined]


async def test_a_delete_carries_its_conditions(scope: None, statements: Statements) -> None:
    """It tells how many rows there were."""
    repository = Repository(Copy)
    statements.reset()
    assert await repository.delete_rows(QuerySet(Copy).filter(shelf__label="first", book=2).where()) == 1
    assert await repository.delete_rows(QuerySet(Copy).filter(id=77).where()) == 0
    assert await statements.count() == 2
    assert await QuerySet(Copy).count() == 3


async def test_a_row_that_others_need_is_protected(scope: None) -> None:
    """By both ways to delete it."""
    repository = Repository(Author)
    with pytest.raises(ProtectedRow):
        await repository.delete_rows(QuerySet(Author).filter(id=1).where())
    with pytest.raises(ProtectedRow):
        await repository.delete(await QuerySet(Author).get(id=1))


async def test_composite_keys_are_written_and_returned(scope: None) -> None:
    """With a time in the key, and in a relation behind RETURNING."""

    class ShelfRead(BaseModel):
        room: str
        since: dt.datetime
        label: str

    class CopyRead(BaseModel):
        shelf: ShelfRead | None

    written = await Repository(Shelf).insert_row({"room": "c", "since": SINCE}, read_of(Shelf, ShelfRead))
    assert written is not None
    assert written.instance == ShelfRead(room="c", since=SINCE, label="plain")
    values = {"shelf_room": "c", "shelf_since": SINCE}
    moved = await Repository(Copy).update_rows(values, read_of(Copy, CopyRead), QuerySet(Copy).filter(id=4).where())
    assert moved is not None
    assert moved.instance == CopyRead(shelf=ShelfRead(room="c", since=SINCE, label="plain"))


# Awkward tables


async def test_awkward_names_are_written(scope: None) -> None:
    """Reserved words, blanks and mixed case, and a relation to the same table."""
    repository, read = Repository(Order), read_of(Order, OrderWithParent)
    first = await repository.insert_row({"id": 1, "group": "a"}, read)
    second = await repository.insert_row({"id": 2, "group": "b", "parent_id": 1}, read)
    assert first is not None
    assert second is not None
    assert first.instance.model_dump() == {"id": 1, "group": "a", "parent": None}
    assert second.instance.model_dump() == {"id": 2, "group": "b", "parent": {"id": 1, "group": "a"}}
    conditions = QuerySet(Order).filter(parent__group="a").where()
    renamed = await repository.update_rows({"group": "c"}, read, conditions)
    assert renamed is not None
    assert renamed.instance.model_dump() == {"id": 2, "group": "c", "parent": {"id": 1, "group": "a"}}
    assert await repository.delete_rows(QuerySet(Order).filter(parent__isnull=False).where()) == 1


async def test_a_row_may_refer_to_itself(scope: None) -> None:
    """What is returned is what is there after the write."""
    repository, read = Repository(Order), read_of(Order, OrderWithParent)
    written = await repository.insert_row({"id": 1, "group": "a", "parent_id": 1}, read)
    assert written is not None
    assert written.instance.model_dump() == {"id": 1, "group": "a", "parent": {"id": 1, "group": "a"}}
    written = await repository.update_rows({"group": "b"}, read, QuerySet(Order).filter(id=1).where())
    assert written is not None
    assert written.instance.model_dump() == {"id": 1, "group": "b", "parent": {"id": 1, "group": "b"}}


@on_postgresql
async def test_a_table_may_stand_in_another_schema(scope: None) -> None:
    """Its name is qualified in RETURNING too."""

    class Base(DeclarativeBase):
        pass

    class Place(Base):
        __tablename__ = "Place"
        __table_args__ = {"schema": "Ware House"}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        above_id: Mapped[int | None] = mapped_column(ForeignKey("Ware House.Place.id"))
        author_id: Mapped[int | None]
        above: Mapped[Place | None] = relationship(remote_side=lambda: Place.id)
        author: Mapped[Author | None] = relationship(
            Author, primaryjoin=lambda: Place.author_id == Author.id, foreign_keys=lambda: [Place.author_id]
        )

    class Above(BaseModel):
        name: str

    class Shown(BaseModel):
        name: str
        above: Above | None
        author: AuthorBrief | None

    async with get_engine().begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Ware House"'))
        await connection.run_sync(Base.metadata.create_all)
    read = read_of(Place, Shown)
    await Repository(Place).insert_row({"id": 1, "name": "hall"}, read)
    written = await Repository(Place).insert_row({"id": 2, "name": "shelf", "above_id": 1, "author_id": 4}, read)
    assert written is not None
    assert written.instance == Shown(name="shelf", above=Above(name="hall"), author=AuthorBrief(name="Bob"))


async def test_expressions_are_returned_by_writes(scope: None) -> None:
    """A column_property with a subquery, and a hybrid."""

    class Counted(BaseModel):
        title: str
        chapter_count: int

    class Labelled(BaseModel):
        label: str | None

    read = read_of(Book, Counted)
    written = await Repository(Book).update_rows({"title": "New"}, read, QuerySet(Book).filter(id=1).where())
    assert written is not None
    assert written.instance == Counted(title="New", chapter_count=2)
    inserted = await Repository(Book).insert_row({"title": "Newer"}, read)
    assert inserted is not None
    assert inserted.instance == Counted(title="Newer", chapter_count=0)
    author = await Repository(Author).insert_row({"name": "Eve"}, read_of(Author, Labelled))
    assert author is not None
    assert author.instance == Labelled(label="Eve!")


async def test_what_nobody_gave_gets_its_default(scope: None) -> None:
    """The server's, Python's, an identity, a computed column; on update what onupdate says."""
    repository, read = Repository(Defaults), read_of(Defaults, DefaultsRead)
    written = await repository.insert_row({}, read)
    there = await repository.insert_row({"number": 4}, read, [QuerySet(Author).filter(id=1).exists_clause()])
    for found, number in ((written, 7), (there, 4)):
        assert found is not None
        shown = found.instance.model_dump()
        assert isinstance(shown.pop("key"), uuid.UUID)
        key = shown.pop("id")
        assert shown == {"number": number, "word": "none", "doubled": 2 * number, "touched": 0, "note": None}
    updated = await repository.update_rows({"number": 1}, read, QuerySet(Defaults).filter(id=key).where())
    assert updated is not None
    assert updated.instance.model_dump(include={"doubled", "touched"}) == {"doubled": 2, "touched": 99}


async def test_json_is_written_as_it_stands(scope: None) -> None:
    """Null is the column's null; a schema's instance is written as the object that it is."""

    class Note(BaseModel):
        day: dt.date

    repository, read = Repository(Defaults), read_of(Defaults, DefaultsRead)
    for note, expected in (
        ({"a": [1, None]}, {"a": [1, None]}),
        (Note(day=dt.date(2013, 1, 31)), {"day": "2013-01-31"}),
    ):
        written = await repository.insert_row({"note": note}, read)
        assert written is not None
        assert written.instance.note == expected  # type: ignore[attr-defined]
        created = await repository.create({"note": note})
        assert created.note == expected
    await repository.insert_row({"note": None}, read)
    await repository.create({"note": None})
    assert await QuerySet(Defaults).filter(note__isnull=True).count() == 2


# Objects


@pytest.mark.parametrize("model", [Author, Defaults, Point, Account, Employee, Dog, Draft, City])
async def test_an_object_is_created_updated_and_deleted(scope: None, model: type[Any]) -> None:
    """Whatever its mapping: declarative, dataclass, imperative, inherited, validated, with a version."""
    values: dict[type[Any], tuple[dict[str, Any], dict[str, Any]]] = {
        Author: ({"name": "Eve"}, {"name": "Eva"}),
        Defaults: ({"number": 3}, {"number": 4}),
        Point: ({"x": 1}, {"x": 2}),
        Account: ({"email": "a@b"}, {"email": "c@d"}),
        Employee: ({"name": "Eve", "salary": 1}, {"name": "Eva", "salary": 2}),
        Dog: ({"name": "Rex"}, {"name": "Max"}),
        Draft: ({"body": "a"}, {"body": "b"}),
        City: ({"name": "Rome"}, {"name": "Roma"}),
    }
    first, second = values[model]
    repository: Repository[Any] = Repository(model)
    created = await repository.create(first)
    assert isinstance(created, model)
    for name, value in first.items():
        assert getattr(created, name) == value
    updated = await repository.update(created, second)
    assert updated is created
    async with get_engine().connect() as connection:
        rows = (await connection.execute(select(*(getattr(model, name) for name in second)))).all()
    assert tuple(second.values()) in [tuple(row) for row in rows]
    await repository.delete(created)
    assert not await repository.objects.filter(id=created.id).exists()


async def test_an_object_is_written_in_one_statement(scope: None, statements: Statements) -> None:
    """Refreshed with what the database made of it."""
    repository = Repository(Defaults)
    statements.reset()
    created = await repository.create({"number": 2})
    assert (created.doubled, created.word, created.touched) == (4, "none", 0)
    updated = await repository.update(created, {"number": 5})
    assert (updated.doubled, updated.touched) == (10, 99)
    await repository.delete(created)
    assert await statements.count() == 3


async def test_a_dataclass_gets_the_defaults_of_its_fields(scope: None) -> None:
    """By both ways to write it."""

    class Shown(BaseModel):
        x: int
        y: int
        z: int

    created = await Repository(Point).create({"x": 1})
    assert (created.x, created.y, created.z) == (1, 5, 6)
    repository = Repository(Point)
    if repository.writes_directly:
        written = await repository.insert_row({"x": 1}, read_of(Point, Shown))
        assert written is not None
        assert written.instance == Shown(x=1, y=5, z=6)


async def test_a_model_that_a_flush_must_write_is_flushed(scope: None) -> None:
    """So that validators, versions, listeners and further tables get their due."""
    assert not any(Repository[Any](model).writes_directly for model in (Account, Draft, Employee, Dog))
    account = await Repository(Account).create({"email": "Ada@B"})
    assert account.email == "ada@b"
    assert (await Repository(Account).update(account, {"email": "EVE@B"})).email == "eve@b"
    draft = await Repository(Draft).create({"body": "a"})
    await Repository(Draft).update(draft, {"body": "b"})
    assert draft.version == 2


async def test_listeners_of_a_model_are_heard(scope: None) -> None:
    """A mapper event is what a direct statement would pass over."""
    heard: list[str] = []

    def listen(mapper: object, connection: object, target: Tag) -> None:
        heard.append(target.word)

    assert Repository(Tag).writes_directly
    event.listen(Tag, "before_insert", listen)
    try:
        assert not Repository(Tag).writes_directly
        await Repository(Tag).create({"word": "loud"})
    finally:
        event.remove(Tag, "before_insert", listen)
    assert heard == ["loud"]


async def test_a_row_that_changed_meanwhile_is_stale(scope: None) -> None:
    """Where the model has a version."""
    draft = await Repository(Draft).create({"body": "a"})
    await get_session().execute(text("UPDATE draft SET version = 9"))
    async with get_engine().begin():
        pass
    with pytest.raises(StaleVersion):
        await Repository(Draft).update(draft, {"body": "b"})


async def test_changes_made_by_hand_are_written_with_the_rest(scope: None) -> None:
    """An update does not overwrite what its object was told before."""
    author = await QuerySet(Author).get(id=4)
    author.rank = 8
    await Repository(Author).update(author, {"name": "Rob"})
    session = get_session()
    session.expunge_all()
    found = await QuerySet(Author).get(id=4)
    assert (found.name, found.rank) == ("Rob", 8)


async def test_a_relation_may_be_given_as_an_object(scope: None) -> None:
    """As SQLAlchemy's own constructor takes it."""
    author = await QuerySet(Author).get(id=4)
    async with atomic():
        book = await Repository(Book).create({"title": "Given", "author": author})
    assert book.author_id == 4


async def test_deleting_cascades_where_the_model_says_so(scope: None) -> None:
    """Through the ORM, so that each object's own cascade counts."""
    box = await Repository(Box).create({})
    await Repository(Thing).create({"box_id": box.id})
    repository = Repository(Box)
    assert not repository.deletes_directly
    async with atomic():
        await repository.delete(await QuerySet(Box).get(id=box.id))
    assert (await QuerySet(Box).count(), await QuerySet(Thing).count()) == (0, 0)


@pytest.mark.parametrize("model", [Author, Account])
async def test_a_row_that_is_gone_does_not_exist(scope: None, model: type[Any]) -> None:
    """To update and to delete."""
    values: Mapping[type[Any], dict[str, Any]] = {Author: {"name": "x"}, Account: {"email": "x"}}
    repository: Repository[Any] = Repository(model)
    created = await repository.create(values[model])
    await repository.delete_rows([model.id == created.id])
    with pytest.raises((DoesNotExist, StaleVersion)):
        await repository.update(created, dict.fromkeys(values[model], "other"))
    with pytest.raises(DoesNotExist):
        await repository.delete(created)


async def test_rules_of_the_table_name_the_field(scope: None) -> None:
    """By both ways to write."""
    for write in (
        lambda values: Repository(Tag).create(values),
        lambda values: Repository(Tag).insert_row(values, read_of(Tag, TagRead)),
    ):
        with pytest.raises(UniqueViolation) as unique:
            await write({"word": "old"})
        with pytest.raises(NotNullViolation) as null:
            await write({"word": None})
        assert (unique.value.fields, null.value.fields) == (("word",), ("word",))


async def test_a_refused_object_is_forgotten(scope: None) -> None:
    """What a flush could not write does not wait for the next."""
    for model, values in ((Account, {"email": "x" * 10, "id": 1}), (Draft, {"body": "a", "id": 1})):
        repository: Repository[Any] = Repository(model)
        await repository.create(values)
        with pytest.raises(IntegrityViolation):
            await repository.create(values)
        assert not get_session().new


async def test_an_unknown_attribute_is_refused(scope: None) -> None:
    """With the nearest name, whatever the way to write."""
    for model in (Author, Account):
        with pytest.raises(UnknownPath, match=f'{model.__name__} has no "nmae"'):
            await Repository[Any](model).create({"nmae": "x"})
    account = await Repository(Account).create({"email": "x"})
    with pytest.raises(UnknownPath, match='Did you mean "email"'):
        await Repository(Account).update(account, {"emial": "x"})


def test_a_repository_class_names_its_model() -> None:
    """By its type argument, inherited too."""

    class Authors(Repository[Author]):
        pass

    class Special(Authors):
        pass

    assert Authors().model is Author
    assert Special().objects.model is Author


async def test_a_repository_may_bring_its_own_queryset(scope: None) -> None:
    """Whose methods chain."""

    class AuthorRows(QuerySet[Author]):
        def ranked(self) -> AuthorRows:
            return self.filter(rank__isnull=False)

    class Authors(Repository[Author]):
        queryset_class = AuthorRows

    rows = Authors().objects
    assert isinstance(rows, AuthorRows)
    assert await rows.ranked().filter(rank__gt=2).count() == 2


async def test_an_insert_may_follow_rows_with_keys_of_their_own(scope: None) -> None:
    """As the library's rows are."""
    await get_session().execute(insert(Tag), [{"id": 50, "word": "given"}])
    assert (await Repository(Tag).create({"word": "made"})).id > 3


async def test_a_version_that_is_given_is_compared(scope: None) -> None:
    """And never written."""
    draft = await Repository(Draft).create({"body": "a"})
    updated = await Repository(Draft).update(draft, {"body": "b", "version": 1})
    assert (updated.body, updated.version) == ("b", 2)
    with pytest.raises(StaleVersion):
        await Repository(Draft).update(draft, {"body": "c", "version": 1})
    assert (await QuerySet(Draft).get()).body == "b"


async def test_what_the_database_computes_is_not_written(scope: None) -> None:
    """Computed columns, expressions and hybrids; the primary key has a name of its own."""
    for model, values in (
        (Defaults, {"doubled": 2}),
        (Book, {"title": "x", "chapter_count": 2}),
        (Author, {"label": "x"}),
    ):
        with pytest.raises(TypeError, match="is computed"):
            await Repository[Any](model).create(values)
    author = await Repository(Author).create({"pk": 70, "name": "Eve"})
    with pytest.raises(TypeError, match="is computed"):
        await Repository(Author).update(author, {"label": "x"})
    shelf = await Repository(Shelf).create({"pk": ("z", SINCE)})
    assert (author.id, shelf.room, shelf.since) == (70, "z", SINCE)


async def test_an_object_that_was_flushed_has_all_its_values(scope: None) -> None:
    """Those too that the database computed."""
    created = await Repository(Defaults).create({"number": 2})
    created.word = "other"
    updated = await Repository(Defaults).update(created, {"number": 3})
    assert (updated.number, updated.doubled, updated.word, updated.touched) == (3, 6, "other", 99)
