"""Writes to many rows: what they write, what they refuse, and that they write all or nothing."""

from __future__ import annotations

import asyncio
import decimal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, event, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5.access import Access
from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.exceptions import (
    DatabaseError,
    ForeignKeyViolation,
    LengthViolation,
    NotNullViolation,
    ProtectedRow,
    RowPolicyViolation,
    StaleVersion,
    TypeViolation,
    UniqueViolation,
)
from fastapix5.models import SoftDeleteMixin, TimestampMixin, VersionMixin
from fastapix5.repositories import Condition, F, Q, QuerySet, Repository, UnknownPath, register_policy, unrestricted
from tests.repositories.models import (
    LATER,
    SINCE,
    Account,
    Animal,
    Author,
    Book,
    Box,
    Chapter,
    City,
    Color,
    Copy,
    Defaults,
    Dog,
    Draft,
    Employee,
    Order,
    Person,
    Point,
    Shelf,
    Tag,
    Thing,
)
from tests.statements import Statements

pytestmark = pytest.mark.anyio


def objects(model: type[Any]) -> QuerySet[Any]:
    return Repository(model).objects


async def column(model: type[Any], *names: str) -> list[Any]:
    """What stands in the table, whatever the session believes."""
    async with get_engine().connect() as connection:
        rows = await connection.execute(
            select(*(getattr(model, name) for name in names)).order_by(*model.__mapper__.primary_key)
        )
        return [row[0] if len(names) == 1 else tuple(row) for row in rows]


# update


async def test_an_update_is_one_statement(scope: None, statements: Statements) -> None:
    """It returns the number of rows."""
    statements.reset()
    assert await objects(Book).filter(author__name="Ada").update(title="New", pages=7) == 2
    assert await objects(Book).filter(id=77).update(title="New") == 0
    assert await objects(Book).none().update(title="New") == 0
    assert await statements.count() == 3
    assert await column(Book, "title") == ["New", "New", "Gamma", "Alpha", "Delta"]
    assert await objects(Book).update() == 0


async def test_an_update_takes_expressions(scope: None) -> None:
    """F, F behind a relation, SQL and objects."""
    await objects(Author).filter(rank__isnull=False).update(rank=F("rank") * 2 + 1)
    assert await column(Author, "rank") == [7, None, 3, 5, 7, 1, -1]
    await objects(Book).update(pages=F("author__rank"))
    assert await column(Book, "pages") == [7, 7, None, None, 3]
    await objects(Book).filter(id=1).update(title=func.upper(Book.title), price=decimal.Decimal("1.5"))
    assert (await objects(Book).get(id=1)).title == "ALPHA"
    bob = await objects(Author).get(id=4)
    await objects(Book).filter(id__lte=2).update(author=bob)
    await objects(Book).filter(id=3).update(author=None)
    assert await column(Book, "author_id") == [4, 4, None, None, 3]
    await objects(Book).annotate(more=F("pages") + 1).filter(more=8).update(pages=F("more"))
    assert await column(Book, "pages") == [8, 8, None, None, 3]


async def test_values_of_an_update_are_checked(scope: None) -> None:
    """Names, types and lengths, before SQL."""
    rows = objects(Book).filter(id=1)
    with pytest.raises(UnknownPath, match='Did you mean "title"'):
        await rows.update(titel="x")
    with pytest.raises(LengthViolation) as caught:
        await rows.update(title="x" * 41)
    assert caught.value.fields == ("title",)
    with pytest.raises(TypeViolation):
        await rows.update(pages="many")
    with pytest.raises(TypeViolation):
        await rows.update(author=await objects(Tag).get(id=1))
    with pytest.raises(ValueError, match="save the Author first"):
        await rows.update(author=Author(name="New"))
    with pytest.raises(NotNullViolation) as missing:
        await rows.update(title=None)
    assert missing.value.fields == ("title",)
    with pytest.raises(TypeError, match=r"Author\.label is computed"):
        await objects(Author).update(label="x")
    with pytest.raises(TypeError, match=r"Book\.chapter_count is computed"):
        await rows.update(chapter_count=3)
    with pytest.raises(TypeError, match=r"Defaults\.doubled is computed"):
        await objects(Defaults).update(doubled=3)
    with pytest.raises(TypeError, match=r"Author\.books is no column"):
        await objects(Author).update(books=[])
    with pytest.raises(ForeignKeyViolation):
        await rows.update(author_id=99)
    assert await column(Book, "title", "author_id") == await column(Book, "title", "author_id")
    assert (await objects(Book).get(id=1)).title == "Alpha"


async def test_what_has_no_rows_of_its_own_is_not_written(scope: None) -> None:
    """Slices, values and distinct rows."""
    for rows in (objects(Book)[:2], objects(Book).values("title"), objects(Book).distinct("title")):
        with pytest.raises(TypeError):
            await rows.update(title="x")
        with pytest.raises(TypeError):
            await rows.delete()
        with pytest.raises(TypeError):
            await rows.returning("id").update(title="x")
    with pytest.raises(TypeError):
        await objects(Book)[:2].bulk_update([], ["title"])


async def test_an_update_raises_the_version_and_what_updates_set(scope: None) -> None:
    """As a flush does; a version is never given."""
    await objects(Defaults).create(number=1)
    assert await objects(Defaults).update(number=5) == 1
    assert await column(Defaults, "number", "doubled", "touched") == [(5, 10, 99)]
    draft = await objects(Draft).create(body="a")
    await objects(Draft).update(body="b")
    assert (draft.body, draft.version) == ("b", 2)
    assert await column(Draft, "body", "version") == [("b", 2)]
    with pytest.raises(TypeError, match=r"raises Draft\.version by itself"):
        await objects(Draft).update(version=7)
    draft.body = "c"
    await get_session().flush()
    assert await column(Draft, "body", "version") == [("c", 3)]


async def test_objects_know_what_was_written_to_their_rows(scope: None) -> None:
    """But for what was changed and not flushed; a relation that leads elsewhere now is no longer loaded."""
    book = await objects(Book).select_related("author").get(id=1)
    other = await objects(Book).get(id=3)
    other.pages = 1
    await objects(Book).update(pages=500, title="Same", author_id=4)
    assert (book.pages, book.title, book.author_id) == (500, "Same", 4)
    assert (other.pages, other.title) == (1, "Same")
    assert "author" not in book.__dict__
    assert not get_session().is_modified(book)
    await get_session().flush()
    assert await column(Book, "pages") == [500, 500, 1, 500, 500]


async def test_an_update_returns_what_is_asked_for(scope: None) -> None:
    """Fields as dicts, or objects; the key has a name."""
    rows = objects(Book).filter(title="Alpha")
    found = await rows.returning("id", "pages", "color").update(pages=F("pages") + 1)
    assert sorted(found, key=lambda row: row["id"]) == [
        {"id": 1, "pages": 101, "color": Color.RED},
        {"id": 4, "pages": 51, "color": None},
    ]
    assert await objects(Shelf).filter(label="first").returning("pk").update(label="one") == [{"pk": ("a", SINCE)}]
    instances = await rows.select_related("author").returning().update(title="Omega")
    assert {book.id: book.title for book in instances} == {1: "Omega", 4: "Omega"}
    assert {book.author and book.author.name for book in instances} == {"Ada", None}
    with pytest.raises(UnknownPath, match='Did you mean "pages"'):
        rows.returning("page")
    with pytest.raises(TypeError, match="no column"):
        rows.returning("author")


async def test_an_inherited_model_is_updated_table_by_table(scope: None) -> None:
    """With values of either table, all of them those before the update."""
    for number, name in enumerate(("a", "b", "c"), start=1):
        await objects(Employee).create(name=name, salary=number)
    await objects(Person).create(name="p")
    one = await objects(Employee).get(salary=1)
    assert await objects(Employee).filter(salary__lte=2).update(name="x", salary=F("salary") + 10) == 2
    assert await column(Employee, "name", "salary") == [("x", 11), ("x", 12), ("c", 3)]
    assert (one.name, one.salary) == ("x", 11)
    assert await objects(Employee).filter(name="x").returning("salary").update(name=F("name") + "y") == [
        {"salary": 11},
        {"salary": 12},
    ]
    assert await objects(Person).update(name="all") == 4
    assert await column(Employee, "name") == ["all"] * 3
    await Repository(Animal).create({"name": "cat"})
    await Repository(Dog).create({"name": "dog"})
    assert await objects(Dog).update(name="rex") == 1
    assert await column(Animal, "name") == ["cat", "rex"]


async def test_awkward_rows_are_updated(scope: None) -> None:
    """Reserved words, composite keys, JSON and its null, imperative models and dataclasses."""
    await objects(Order).create(id=1, group="a")
    await objects(Order).filter(group="a").update(group="b", parent_id=1)
    assert await column(Order, "group", "parent_id") == [("b", 1)]
    await objects(Shelf).filter(room="a", since=LATER).update(label="x")
    assert await column(Shelf, "label") == ["first", "x", "third"]
    await objects(Defaults).create(note={"a": 1})
    await objects(Defaults).update(note={"b": [None]})
    assert await column(Defaults, "note") == [{"b": [None]}]
    await objects(Defaults).update(note=None)
    assert await objects(Defaults).filter(note__isnull=True).count() == 1
    await objects(City).create(name="Rome")
    assert await objects(City).update(name="Roma") == 1
    await objects(Point).create(x=1)
    assert await objects(Point).update(pk=9, x=F("y") + F("z")) == 1
    assert await column(Point, "id", "x") == [(9, 11)]


# delete


async def test_a_delete_is_one_statement(scope: None, statements: Statements) -> None:
    """It returns the number of rows."""
    statements.reset()
    assert await objects(Copy).filter(shelf__label="first").delete() == 2
    assert await objects(Copy).filter(id=77).delete() == 0
    assert await statements.count() == 2
    assert await column(Copy, "id") == [3, 4]


async def test_objects_of_deleted_rows_leave_the_session(scope: None) -> None:
    """So that nobody writes to them."""
    copy, other = await objects(Copy).get(id=1), await objects(Copy).get(id=3)
    copy.book_id = 2
    assert await objects(Copy).filter(id=1).delete() == 1
    assert copy not in get_session()
    assert other in get_session()


async def test_a_delete_returns_what_is_asked_for(scope: None) -> None:
    """Fields as dicts, or objects as they were."""
    assert await objects(Copy).filter(id=4).returning("id", "book_id").delete() == [{"id": 4, "book_id": None}]
    found = await objects(Copy).filter(shelf__label="first").returning().delete()
    assert sorted(copy.id for copy in found) == [1, 2]
    assert not any(copy in get_session() for copy in found)
    assert await column(Copy, "id") == [3]


async def test_rows_that_others_need_stay(scope: None) -> None:
    """All of them, by either way to delete."""
    with pytest.raises(ProtectedRow):
        await objects(Author).delete()
    assert len(await column(Author, "id")) == 7
    async with atomic():
        with pytest.raises(ProtectedRow):
            async with atomic():
                await objects(Author).returning().delete()
        assert await objects(Author).count() == 7


async def test_objects_are_deleted_with_what_goes_with_them(scope: None) -> None:
    """Through the session, in batches, where the model has cascades or listeners or stands in several tables."""
    boxes = await objects(Box).bulk_create([Box(things=[Thing(), Thing()]) for _ in range(3)])
    assert await objects(Thing).count() == 6
    assert await objects(Box).filter(id__in=[box.id for box in boxes[:2]]).delete() == 2
    assert await objects(Thing).count() == 2
    assert await objects(Box).returning("id").delete() == [{"id": boxes[2].id}]
    heard: list[int] = []

    def listen(mapper: object, connection: object, target: Copy) -> None:
        heard.append(target.id)

    event.listen(Copy, "before_delete", listen)
    try:
        assert await objects(Copy).filter(id__lt=3).delete() == 2
    finally:
        event.remove(Copy, "before_delete", listen)
    assert sorted(heard) == [1, 2]
    await objects(Employee).create(name="a", salary=1)
    assert [person.name for person in await objects(Employee).returning().delete()] == ["a"]
    assert await column(Person, "id") == []


# bulk_create


async def test_many_rows_are_created_in_few_statements(scope: None) -> None:
    """More than one statement takes arguments; objects are those that were given, with their keys."""
    books = [Book(title=f"t{number}", pages=number) for number in range(9_000)]
    calls: list[str] = []

    def listen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        calls.append(statement)

    event.listen(get_engine().sync_engine, "before_cursor_execute", listen)
    created = await objects(Book).bulk_create(books)
    assert len(calls) <= 15
    assert all(given is found for given, found in zip(books, created, strict=True))
    assert [book.id for book in created] == sorted(book.id for book in created)
    assert all(book in get_session() for book in created)
    assert await objects(Book).filter(title__startswith="t").count() == 9_000
    assert await objects(Book).bulk_create([]) == []


async def test_mappings_and_objects_are_created_alike(scope: None) -> None:
    """With different keys, defaults of every kind, related objects and nulls."""
    created = await objects(Defaults).bulk_create(
        [{"number": 1}, Defaults(number=2), {"note": {"a": 1}}, {"note": None, "number": 4}, {}, Defaults(note=None)]
    )
    assert [(found.number, found.doubled, found.word, found.touched) for found in created] == [
        (number, 2 * number, "none", 0) for number in (1, 2, 7, 4, 7, 7)
    ]
    assert len({found.key for found in created}) == 6
    assert [found.note for found in created] == [None, None, {"a": 1}, None, None, None]
    assert await objects(Defaults).filter(note__isnull=True).count() == 5
    bob = await objects(Author).get(id=4)
    books = await objects(Book).bulk_create([{"title": "a", "author": bob}, Book(title="b", author=bob)])
    assert [book.author_id for book in books] == [4, 4]
    async with atomic():
        inside = await objects(Book).bulk_create([Book(title="c", author=bob)])
        assert inside[0].author is bob
        again = await objects(Book).bulk_create([Book(title="d", author=bob)], on_conflict="ignore")
    assert (inside[0].author_id, again[0].author_id) == (4, 4)
    with pytest.raises(NotNullViolation) as caught:
        await objects(Defaults).bulk_create([{"word": None}])
    assert caught.value.fields == ("word",)


@pytest.mark.parametrize("model", [Author, Defaults, Point, Account, Employee, Dog, Draft, City, Order])
async def test_every_kind_of_model_is_created_in_bulk(scope: None, model: type[Any]) -> None:
    """Declarative, dataclass, imperative, inherited, validated, with a version, with awkward names."""
    values: dict[type[Any], tuple[dict[str, Any], dict[str, Any]]] = {
        Author: ({"name": "Eve"}, {"name": "Eve"}),
        Defaults: ({"number": 3}, {"number": 3, "doubled": 6}),
        Point: ({"x": 1}, {"x": 1, "y": 5, "z": 6}),
        Account: ({"email": "A@b"}, {"email": "a@b"}),
        Employee: ({"name": "Eve", "salary": 1}, {"name": "Eve", "kind": "employee"}),
        Dog: ({"name": "Rex"}, {"kind": "dog"}),
        Draft: ({"body": "a"}, {"version": 1}),
        City: ({"name": "Rome"}, {"name": "Rome"}),
        Order: ({"group": "a"}, {"group": "a"}),
    }
    given, expected = values[model]
    created = await objects(model).bulk_create([given] * 3, batch_size=2)
    assert [{name: getattr(found, name) for name in expected} for found in created] == [expected] * 3
    assert len({found.id for found in created}) == 3
    assert await objects(model).filter(id__in=[found.id for found in created]).count() == 3


async def test_the_wrong_one_of_many_is_named(scope: None) -> None:
    """And none of them is written."""
    rows: list[dict[str, Any]] = [{"title": "x"} for _ in range(1000)]
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"title": "x" * 41}, LengthViolation, r"objs\[999\]: title"),
        ({"title": "x", "pages": "many"}, TypeViolation, r"objs\[999\]: pages"),
        ({"titel": "x"}, UnknownPath, "Did you mean"),
        ({"title": "x", "chapter_count": 3}, TypeError, "chapter_count is computed"),
        ({"title": "x", "pages": F("id")}, TypeError, "has no values yet"),
    ]
    for wrong, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            await objects(Book).bulk_create([*rows[:999], wrong])
        assert "objs[999]" in str(caught.value) or caught.value.__notes__ == ["It is objs[999]."]
    with pytest.raises(TypeError, match="objects of Book, or mappings, not str"):
        await objects(Book).bulk_create([*rows, "x"])
    with pytest.raises(ValueError, match="has a row already"):
        await objects(Book).bulk_create([await objects(Book).get(id=1)])
    with pytest.raises(UniqueViolation) as unique:
        await objects(Tag).bulk_create([*({"word": f"w{number}"} for number in range(999)), {"word": "old"}], 100)
    assert unique.value.fields == ("word",)
    with pytest.raises(ValueError, match="batch_size"):
        await objects(Tag).bulk_create([{"word": "x"}], batch_size=0)
    assert (await objects(Book).count(), await objects(Tag).count()) == (5, 3)
    assert not get_session().new


async def test_a_refused_batch_leaves_the_transaction_as_it_was(scope: None) -> None:
    """What was done before and is done afterwards is kept."""
    async with atomic():
        await objects(Tag).create(word="before")
        for conflict in (None, "ignore"):
            with pytest.raises(DatabaseError):
                await objects(Tag).bulk_create(
                    [{"word": "a"}, {"id": 1, "word": "b"}, {"word": None}], on_conflict=conflict
                )
        await objects(Tag).create(word="after")
    assert sorted(await column(Tag, "word")) == ["after", "before", "new", "old", "rare"]


# on_conflict


async def test_rows_that_are_there_are_ignored(scope: None) -> None:
    """What comes back is what was inserted: the given objects among it."""
    given = [Tag(word="old"), Tag(word="a"), {"word": "b"}, {"word": "new"}, {"word": "a"}]
    created = await objects(Tag).bulk_create(given, on_conflict="ignore")
    assert [tag.word for tag in created] == ["a", "b"]
    assert created[0] is given[1]
    assert created[0] in get_session()
    assert sorted(await column(Tag, "word")) == ["a", "b", "new", "old", "rare"]
    again = await objects(Tag).bulk_create([{"word": "old"}], on_conflict="ignore", unique_fields=["word"])
    assert again == []
    with pytest.raises(UniqueViolation):
        await objects(Tag).bulk_create([{"id": 1, "word": "c"}], on_conflict="ignore", unique_fields=["word"])


async def test_rows_that_are_there_are_updated(scope: None, statements: Statements) -> None:
    """In few statements; of two with one key the last one wins, and an object that was read knows."""
    author = await objects(Author).get(id=1)
    given: list[Any] = [Author(id=1, name="x", rank=9), {"id": 50, "name": "new"}, Author(id=2, name="y", rank=8)]
    statements.reset()
    created = await objects(Author).bulk_create(given, on_conflict="update", unique_fields=["id"])
    assert await statements.count() <= 4
    assert [(found.id, found.name, found.rank) for found in created] == [(1, "x", 9), (50, "new", None), (2, "y", 8)]
    assert created[0] is given[0]
    assert created[0].mentor_id is None
    assert created[2].mentor_id == 1
    assert author not in get_session()
    await objects(Author).bulk_create(
        [{"id": 1, "name": "z", "rank": 1}, {"id": 1, "name": "zz", "rank": 2}],
        on_conflict="update",
        unique_fields=["pk"],
        update_fields=["name"],
    )
    assert (await column(Author, "name", "rank"))[0] == ("zz", 9)


async def test_updated_rows_get_the_next_version_and_what_updates_set(scope: None) -> None:
    """On both engines, where INSERT ... ON CONFLICT asks for none."""
    drafts = await objects(Draft).bulk_create(
        [{"id": 1, "body": "a"}, {"id": 2, "body": "b"}], on_conflict="update", unique_fields=["id"]
    )
    assert [draft.version for draft in drafts] == [1, 1]
    drafts = await objects(Draft).bulk_create([{"id": 2, "body": "c"}], on_conflict="update", unique_fields=["id"])
    assert [(draft.body, draft.version) for draft in drafts] == [("c", 2)]
    found = await objects(Defaults).create(id=5, number=1)
    assert (await objects(Defaults).upsert({"id": 5, "number": 2}, ["id"])) is found
    assert (found.number, found.doubled, found.touched) == (2, 4, 99)


async def test_many_rows_are_upserted_within_the_limits_of_arguments(scope: None) -> None:
    """Whatever the batch size says."""
    rows = [{"id": number, "name": "a", "rank": number} for number in range(1, 12_001)]
    for name in ("a", "b"):
        found = await objects(Author).bulk_create(
            [{**row, "name": name} for row in rows], 100_000, "update", unique_fields=["id"]
        )
        assert len(found) == 12_000
    assert await objects(Author).filter(name="b").count() == 12_000


async def test_wrong_arguments_are_refused_with_the_remedy(scope: None) -> None:
    """Before anything is written."""
    tag = [{"word": "x"}]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"on_conflict": "updat"}, 'Did you mean "update"'),
        ({"on_conflict": "update"}, r"unique_fields=\['id'\] or \['word'\]"),
        ({"unique_fields": ["word"]}, 'on_conflict="ignore" or "update"'),
        ({"on_conflict": "ignore", "update_fields": ["word"]}, 'say "update"'),
        ({"on_conflict": "update", "unique_fields": ["word"], "update_fields": ["id"]}, "never updated"),
        ({"on_conflict": "update", "unique_fields": ["id", "word"]}, r"is no unique key. Write unique_fields=\['id'\]"),
    ]
    for arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            await objects(Tag).bulk_create(tag, **arguments)
    with pytest.raises(UnknownPath):
        await objects(Tag).bulk_create(tag, on_conflict="update", unique_fields=["wort"])
    with pytest.raises(UnknownPath):
        await objects(Tag).bulk_create(tag, on_conflict="update", unique_fields=["word"], update_fields=["x"])
    with pytest.raises(TypeError):
        await objects(Tag).bulk_create(tag, on_conflict="update", unique_fields="word")
    assert await objects(Tag).count() == 3


async def test_models_that_a_flush_must_write_have_conflicts_too(scope: None) -> None:
    """Inherited ones, and those with validators."""
    await objects(Employee).create(id=1, name="a", salary=1)
    found = await objects(Employee).bulk_create(
        [{"id": 1, "name": "b", "salary": 2}, Employee(id=2, name="c", salary=3)],
        on_conflict="update",
        unique_fields=["id"],
    )
    assert [(employee.id, employee.name, employee.salary) for employee in found] == [(1, "b", 2), (2, "c", 3)]
    assert await objects(Account).bulk_create([{"id": 1, "email": "A"}], on_conflict="ignore")
    left = await objects(Account).bulk_create([{"id": 1, "email": "B"}, Account(id=2, email="C")], on_conflict="ignore")
    assert [account.email for account in left] == ["c"]
    assert (await objects(Account).upsert({"id": 1, "email": "D"}, ["id"])).email == "d"
    boxes = await objects(Box).bulk_create([Box(id=1, things=[Thing()])], on_conflict="ignore")
    assert (len(boxes), await objects(Thing).count()) == (1, 1)


async def test_wide_and_empty_rows_are_inserted_too(scope: None) -> None:
    """Rows without a value, and more arguments in one batch than a statement takes."""
    assert len(await objects(Author).bulk_create([{}, Author()])) == 2
    assert len(await objects(Author).bulk_create([{}, Author(name="x")], on_conflict="ignore")) == 2
    book = Book(title="new", author=Author(name="new too"))
    assert await objects(Book).bulk_create([book], on_conflict="ignore") == [book]
    assert book.author is not None
    assert book.author_id == book.author.id

    class Base(DeclarativeBase):
        pass

    names = [f"c{number}" for number in range(60)]
    columns = [Column(name, Integer) for name in names]

    class Wide(Base):
        __table__ = Table("wide", Base.metadata, Column("id", Integer, primary_key=True), *columns)

    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    rows = [dict.fromkeys(names, number) for number in range(600)]
    created = await objects(Wide).bulk_create(rows, batch_size=10_000)
    again = [{"id": wide.id, **row} for wide, row in zip(created, rows, strict=True)]
    updated = await objects(Wide).bulk_create(again, 10_000, "update", unique_fields=["id"])
    assert updated == created
    assert await objects(Wide).bulk_update(updated, names, batch_size=10_000) == 600


# upsert


async def test_an_upsert_inserts_or_updates(scope: None) -> None:
    """And returns the object, refreshed."""
    shelf = await objects(Shelf).upsert({"room": "z", "since": SINCE}, ["room", "since"])
    assert shelf.label == "plain"
    assert await objects(Shelf).upsert({"room": "z", "since": SINCE, "label": "new"}, ["since", "room"]) is shelf
    assert shelf.label == "new"
    assert (await objects(Tag).upsert({"word": "old"}, ["word"])).id == 1
    bob = await objects(Author).get(id=4)
    book = await objects(Book).upsert({"id": 1, "title": "x", "author": bob}, ["id"])
    assert (book.title, book.author_id, book.pages) == ("x", 4, 100)
    with pytest.raises(LengthViolation):
        await objects(Tag).upsert({"word": "x" * 21}, ["word"])
    with pytest.raises(TypeError):
        await objects(Book).upsert({"id": 1, "pages": F("pages") + 1}, ["id"])


@pytest.mark.parametrize("model", [Author, Person])
async def test_fifty_upserts_at_once_make_one_row(library: str, model: type[Any]) -> None:
    """Each caller in a scope of its own; also where a flush must write."""

    async def write(number: int) -> None:
        async with session_scope():
            await objects(model).upsert({"id": 500, "name": f"n{number}"}, ["id"])

    await asyncio.gather(*(write(number) for number in range(50)))
    async with session_scope():
        assert await objects(model).filter(id=500).count() == 1


async def test_two_bulk_writes_of_the_same_rows_wait_for_each_other(library: str) -> None:
    """Whatever the order in which they are given."""
    rows = [{"id": number, "word": f"w{number}"} for number in range(100, 400)]

    async def write(given: list[dict[str, Any]], conflict: Any) -> None:
        async with session_scope():
            await objects(Tag).bulk_create(given, 50, conflict, unique_fields=["id"])
            tags = await objects(Tag).filter(id__gte=100).all()
            await objects(Tag).bulk_update(tags if conflict == "update" else tags[::-1], ["word"], 50)

    await asyncio.gather(*(write(given, how) for given in (rows, rows[::-1]) for how in ("update", "ignore")))
    async with session_scope():
        assert await objects(Tag).count() == 303


# bulk_update


async def test_many_objects_are_written_in_few_statements(scope: None, statements: Statements) -> None:
    """Rows that are gone do not count, and the objects need no flush."""
    authors = await objects(Author).bulk_create([{"name": f"n{number}", "rank": number} for number in range(3_000)])
    bob = await objects(Author).get(id=4)
    async with get_engine().begin() as connection:
        await connection.execute(text("DELETE FROM author WHERE id = :id"), {"id": authors[7].id})
    for author in authors:
        author.name, author.mentor = f"m{author.rank}", bob
    statements.reset()
    async with atomic():
        assert await objects(Author).bulk_update(authors, ["name", "mentor"]) == 2_999
    assert all("UPDATE" in statement.text or "SELECT" in statement.text for statement in await statements.read())
    assert not any(get_session().is_modified(author) for author in authors)
    assert await objects(Author).filter(name__startswith="m", mentor_id=4).count() == 2_999
    assert await objects(Author).bulk_update([], ["name"]) == 0


async def test_a_bulk_update_raises_the_version_and_compares_it(scope: None) -> None:
    """A row that somebody else changed stops it all."""
    drafts = await objects(Draft).bulk_create([{"body": "a"} for _ in range(5)])
    for draft in drafts:
        draft.body = "b"
    assert await objects(Draft).bulk_update(drafts, ["body"], batch_size=2) == 5
    assert [draft.version for draft in drafts] == [2] * 5
    async with get_engine().begin() as connection:
        await connection.execute(text("UPDATE draft SET version = 9 WHERE id = :id"), {"id": drafts[4].id})
    for draft in drafts:
        draft.body = "c"
    with pytest.raises(StaleVersion):
        await objects(Draft).bulk_update(drafts, ["body"], batch_size=2)
    assert await column(Draft, "body") == ["b"] * 5
    get_session().expunge_all()


async def test_a_bulk_update_tells_objects_what_the_database_made(scope: None) -> None:
    """Computed columns, and what updates set; JSON's null and inherited tables are written as they should be."""
    found = await objects(Defaults).bulk_create([{"number": 1, "note": {"a": 1}}, {"number": 2}])
    for item in found:
        item.number, item.note = item.number + 10, None
    assert await objects(Defaults).bulk_update(found, ["number", "note"]) == 2
    assert [(item.number, item.doubled, item.touched, item.note) for item in found] == [
        (11, 22, 99, None),
        (12, 24, 99, None),
    ]
    assert await objects(Defaults).filter(note__isnull=True).count() == 2
    employees = await objects(Employee).bulk_create([{"name": "a", "salary": 1}, {"name": "b", "salary": 2}])
    for employee in employees:
        employee.name, employee.salary = "c", 7
    assert await objects(Employee).bulk_update(employees, ["name", "salary"]) == 2
    assert await column(Employee, "name", "salary") == [("c", 7), ("c", 7)]
    assert await objects(Shelf).bulk_update([Shelf(room="a", since=SINCE, label="by key")], ["label"]) == 1
    assert (await column(Shelf, "label"))[0] == "by key"


async def test_a_bulk_update_is_checked(scope: None) -> None:
    """Its fields, and each object, which errors name."""
    books = await objects(Book).all()
    for fields in ([], "title", ["id"], ["pk"]):
        with pytest.raises(ValueError, match="bulk_update"):
            await objects(Book).bulk_update(books, fields)
    with pytest.raises(UnknownPath):
        await objects(Book).bulk_update(books, ["titel"])
    books[3].title = "x" * 41
    with pytest.raises(LengthViolation, match=r"objs\[3\]: title"):
        await objects(Book).bulk_update(books, ["title"])
    with pytest.raises(TypeError, match="takes objects of Book"):
        await objects(Book).bulk_update([await objects(Tag).get(id=1)], ["title"])
    with pytest.raises(ValueError, match="has no key"):
        await objects(Book).bulk_update([Book(title="x")], ["title"])
    books[3].title = Book.title + "x"
    with pytest.raises(TypeError, match="update"):
        await objects(Book).bulk_update(books, ["title"])
    get_session().expunge_all()


# Within reach


def short_books(access: Access) -> Condition | None:
    """Books of less than 200 pages."""
    return Q(pages__lt=200)


def ranked(access: Access) -> Condition | None:
    """Authors with a high rank."""
    return Q(rank__gte=2)


def of_ranked(access: Access) -> Condition | None:
    """Books of such authors, or of none: a condition on other rows."""
    return Q(author__rank__gte=2) | Q(author__isnull=True)


@pytest.fixture
async def reader(library: str, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """A scope in which a reader asks."""
    register_policy(Book, short_books, short_books, "Books")
    register_policy(Author, ranked, ranked, "Authors")
    async with session_scope(access=Access(user_id="reader")):
        yield


async def test_an_update_reaches_what_its_caller_reaches(reader: None) -> None:
    """And leaves it there; references to other rows are checked too."""
    assert await objects(Book).update(title="mine") == 3
    assert await column(Book, "title") == ["mine", "Beta", "Gamma", "mine", "mine"]
    with pytest.raises(RowPolicyViolation):
        await objects(Book).update(pages=F("pages") * 3)
    for values in ({"author_id": 3}, {"author_id": F("id") - F("id") + 3}):
        with pytest.raises(ForeignKeyViolation) as caught:
            await objects(Book).update(**values)
        assert caught.value.fields == ("author_id",)
    assert await column(Book, "pages", "author_id") == [(100, 1), (None, 1), (300, 2), (50, None), (100, 3)]
    assert await objects(Book).update(author_id=4) == 3
    async with atomic():
        with pytest.raises(RowPolicyViolation):
            await objects(Book).update(pages=500)
        await objects(Book).filter(id=1).update(title="kept")
    assert await column(Book, "pages") == [100, None, 300, 50, 100]
    assert (await objects(Book).get(id=1)).title == "kept"


async def test_rows_out_of_reach_are_not_deleted(reader: None) -> None:
    """They are as good as missing."""
    await objects(Chapter).delete()
    await objects(Copy).delete()
    await get_session().execute(text("DELETE FROM book_tag"))
    assert await objects(Book).delete() == 3
    assert await column(Book, "id") == [2, 3]


async def test_what_is_created_stays_within_reach(reader: None) -> None:
    """Each row, and each row that it refers to."""
    for conflict in (None, "ignore"):
        with pytest.raises(RowPolicyViolation):
            await objects(Book).bulk_create([{"title": "a", "pages": 1}, {"title": "b", "pages": 500}], None, conflict)
        with pytest.raises(ForeignKeyViolation):
            await objects(Book).bulk_create([{"title": "a", "pages": 1, "author_id": 3}], None, conflict)
    with pytest.raises(RowPolicyViolation):
        await objects(Book).create(title="x", pages=500)
    with unrestricted(Author):
        hidden = await objects(Author).get(id=3)
    for book in ({"title": "a", "pages": 1, "author_id": 3}, {"title": "a", "pages": 1, "author": hidden}):
        with pytest.raises(ForeignKeyViolation):
            await objects(Book).create(**book)
    assert await column(Book, "id") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("policy", [short_books, of_ranked])
async def test_a_conflict_with_a_row_out_of_reach_is_a_conflict(library: str, policy: Any) -> None:
    """Never an update of it; nothing of the batch is written."""
    register_policy(Book, policy, policy, "Books")
    async with session_scope(access=Access(user_id="reader")):
        mine = [{"id": 1, "title": "x", "pages": 1}, {"id": 60, "title": "x", "pages": 1}]
        other = {"id": 3, "title": "x", "pages": 1}
        with pytest.raises(UniqueViolation) as caught:
            await objects(Book).bulk_create([*mine, other], on_conflict="update", unique_fields=["id"])
        assert (caught.value.fields, caught.value.place) == (("id",), "objs[2]")
        with pytest.raises(UniqueViolation):
            await objects(Book).upsert(other, ["id"])
        assert await objects(Book).bulk_create([other], on_conflict="ignore") == []
        found = await objects(Book).bulk_create(mine, on_conflict="update", unique_fields=["id"])
        assert [book.id for book in found] == [1, 60]
    assert await column(Book, "title") == ["x", "Beta", "Gamma", "Alpha", "Delta", "x"]


async def test_an_upsert_leaves_its_row_within_reach(reader: None) -> None:
    """Otherwise the row is as it was."""
    with pytest.raises(RowPolicyViolation):
        await objects(Book).upsert({"id": 1, "title": "x", "pages": 900}, ["id"])
    with pytest.raises(ForeignKeyViolation):
        await objects(Book).upsert({"id": 1, "title": "x", "author_id": 3}, ["id"])
    assert (await objects(Book).get(id=1)).title == "Alpha"


async def test_a_bulk_update_passes_over_rows_out_of_reach(reader: None) -> None:
    """And must not put one there."""
    with unrestricted(Book):
        books = await objects(Book).order_by("id").all()
    for book in books:
        book.title = "mine"
    assert await objects(Book).bulk_update(books, ["title"]) == 3
    assert await column(Book, "title") == ["mine", "Beta", "Gamma", "mine", "mine"]
    books[0].pages = 900
    with pytest.raises(RowPolicyViolation):
        await objects(Book).bulk_update(books, ["pages"])
    books[0].author_id = 3
    with pytest.raises(ForeignKeyViolation):
        await objects(Book).bulk_update(books[:1], ["author_id"])
    assert get_session().is_modified(books[0])
    get_session().expunge_all()
    assert (await column(Book, "pages", "author_id"))[0] == (100, 1)


# Models with mixins


class Mixed(DeclarativeBase):
    pass


class Note(SoftDeleteMixin, TimestampMixin, VersionMixin, Mixed):
    """Everything that updates raise, and rows that are hidden."""

    __tablename__ = "note"
    __table_args__ = (Index("by_slug_and_lang", "slug", "lang", unique=True),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    slug: Mapped[str] = mapped_column(String(20))
    lang: Mapped[Color] = mapped_column(default=Color.RED)
    kind: Mapped[str] = mapped_column(String(10), default="note")
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "note"}


class Memo(Note):
    """Its rows stand in two tables."""

    __tablename__ = "memo"

    id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Note.id), primary_key=True)
    size: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "memo"}


class Page(SoftDeleteMixin, TimestampMixin, VersionMixin, Mixed):
    """The same in one table."""

    __tablename__ = "Page Table"

    id: Mapped[uuid.UUID] = mapped_column("Id", primary_key=True, default=uuid.uuid4)
    slug: Mapped[str] = mapped_column("Slug", String(20), unique=True)
    size: Mapped[int] = mapped_column(default=0)


@pytest.fixture
async def mixed(database: str) -> AsyncIterator[None]:
    """A scope on the tables of these models."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Mixed.metadata.create_all)
    async with session_scope():
        yield


@pytest.mark.parametrize("model", [Page, Memo])
async def test_every_write_raises_version_and_time(mixed: None, model: type[Any]) -> None:
    """update, bulk_update and upsert, of a model in one table and of one in two."""
    rows = objects(model)
    first, second = await rows.bulk_create([{"slug": "a", "size": 1}, model(slug="b", size=1)])
    assert first.created_at == first.updated_at
    assert (first.version, second.version) == (1, 1)
    before = first.updated_at
    assert await rows.filter(slug="a").update(size=F("size") + 1) == 1
    assert (first.size, first.version) == (2, 2)
    assert first.updated_at > before
    assert await column(model, "version") in ([2, 1], [1, 2])
    first.size = second.size = 9
    before = first.updated_at
    assert await rows.bulk_update([first, second], ["size"]) == 2
    assert (first.version, second.version) == (3, 2)
    assert first.updated_at > before
    before = first.updated_at
    assert await rows.upsert({"id": first.id, "slug": "c", "size": 10}, ["id"]) is first
    assert (first.slug, first.size, first.version) == ("c", 10, 4)
    assert first.updated_at > before
    first.size = 11
    await get_session().flush()
    assert sorted(await column(model, "size", "version")) == [(9, 2), (11, 5)]


async def test_hidden_rows_keep_their_unique_values(mixed: None) -> None:
    """They are neither updated nor found, and what hid them is returned."""
    rows = objects(Page)
    page = await rows.create(slug="a")
    gone = await rows.returning("slug").delete()
    assert gone == [{"slug": "a"}]
    assert await rows.delete() == 0
    with pytest.raises(UniqueViolation):
        await rows.upsert({"slug": "a", "size": 2}, ["slug"])
    with pytest.raises(UniqueViolation):
        await rows.get_or_create(slug="a")
    assert await rows.bulk_create([{"slug": "a"}, {"slug": "b"}], on_conflict="ignore") == await rows.all()
    page.size = 3
    assert await rows.bulk_update([page], ["size"]) == 0
    get_session().expunge_all()
    assert await Repository(Page).all_objects.count() == 2
    hidden = await rows.returning().delete()
    assert [(found.slug, found.deleted_at is not None) for found in hidden] == [("b", True)]


async def test_a_unique_index_is_a_unique_key(mixed: None) -> None:
    """Of several columns too, an enum among them; on a model in two tables only one by one."""
    memos = await objects(Note).bulk_create(
        [{"slug": "a"}, {"slug": "a", "lang": Color.BLUE}], on_conflict="update", unique_fields=["slug", "lang"]
    )
    assert len(memos) == 2
    note, created = await objects(Note).get_or_create(slug="a", lang=Color.BLUE)
    assert (note, created) == (memos[1], False)


# A session given from outside


async def test_a_session_from_outside_writes_and_commits_by_itself(library: str) -> None:
    """Nothing is kept that its owner does not commit."""
    async with AsyncSession(get_engine(), expire_on_commit=False) as session:
        async with session_scope(using=session):
            await objects(Tag).bulk_create([{"word": "a"}, {"word": "b"}])
            await objects(Tag).bulk_create([{"word": "a"}, {"word": "c"}], on_conflict="ignore")
            tag = await objects(Tag).upsert({"word": "a"}, ["word"])
            tag.word = "d"
            assert await objects(Tag).bulk_update([tag], ["word"]) == 1
            assert await objects(Tag).filter(word="d").update(word="e") == 1
            assert await objects(Tag).filter(word="b").delete() == 1
            assert (await objects(Tag).get_or_create(word="f"))[1]
            assert not (await objects(Tag).update_or_create({"word": "g"}, word="f"))[1]
            with pytest.raises(UniqueViolation):
                await objects(Tag).bulk_create([{"word": "old"}])
            words = await objects(Tag).filter(id__gt=3).order_by("word").values_list("word", flat=True)
            assert words == ["c", "e", "g"]
        await session.rollback()
    assert sorted(await column(Tag, "word")) == ["new", "old", "rare"]
