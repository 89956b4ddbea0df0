"""What a statement must not keep, or must not be kept of: the rows are right each time, whatever changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import ColumnElement, ForeignKey, String, bindparam, func, literal, select
from sqlalchemy.ext.hybrid import Comparator, hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from fastapix5 import Count, F, Operand, Q, QuerySet, Repository, register_lookup
from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.repositories import Read
from fastapix5.repositories.facts import facts_of
from fastapix5.repositories.lookups import _resolve
from fastapix5.repositories.shapes import _leaf_of
from fastapix5.repositories.vocabulary import LOOKUPS
from fastapix5.schemas import select_for
from tests.compiled.ways import by_core, different
from tests.repositories.models import LATER, SINCE, Author, Book, Copy, Defaults, Shelf

pytestmark = pytest.mark.anyio

tenant: ContextVar[str] = ContextVar("tenant", default="a")


class Base(DeclarativeBase):
    pass


class Folded(Comparator[str]):
    """Compares without case, and binds what Python has made of the value."""

    __hash__ = Comparator.__hash__

    def __eq__(self, other: object) -> Any:
        return func.lower(self.__clause_element__()) == str(other).lower()

    def in_(self, other: Any) -> Any:
        return func.lower(self.__clause_element__()).in_([item.lower() for item in other])


class Folder(Base):
    __tablename__ = "folder"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))

    @hybrid_property
    def folded(self) -> str:
        return self.name.lower()

    @folded.inplace.comparator
    @classmethod
    def _folded(cls) -> Folded:
        return Folded(cls.name)


class Letter(Base):
    __tablename__ = "letter"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(5))
    folder_id: Mapped[int] = mapped_column(ForeignKey(Folder.id))
    folder: Mapped[Folder] = relationship()


def of_tenant() -> ColumnElement[str]:
    """SQLAlchemy's own recipe: a parameter whose value is found when the statement runs."""
    return bindparam(None, callable_=tenant.get, type_=String(5))


Folder.number = column_property(
    select(func.count(Letter.id))
    .where(Letter.folder_id == Folder.id, Letter.tenant == of_tenant())
    .correlate(Folder.__table__)
    .scalar_subquery()
)
Folder.letters = relationship(
    Letter,
    primaryjoin=(Letter.folder_id == Folder.id) & (Letter.tenant == of_tenant()),
    viewonly=True,
    order_by=Letter.id,
)
Letter.own_folder = relationship(
    Folder, primaryjoin=(Letter.folder_id == Folder.id) & (Letter.tenant == of_tenant()), viewonly=True
)


class LetterRead(BaseModel):
    id: int


class FolderRead(BaseModel):
    id: int
    number: int


class FolderLetters(BaseModel):
    id: int
    letters: list[LetterRead]


class FolderBrief(BaseModel):
    id: int
    name: str


class LetterFolder(BaseModel):
    id: int
    own_folder: FolderBrief | None


class AuthorRead(BaseModel):
    id: int
    name: str | None
    rank: int | None


class BookRead(BaseModel):
    id: int
    title: str
    chapter_count: int


class ShelfRead(BaseModel):
    room: str
    label: str


class DefaultsRead(BaseModel):
    id: int
    number: int
    touched: int
    doubled: int


@pytest.fixture
async def folders(database: str) -> AsyncIterator[None]:
    """Two folders, with letters of two tenants."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_scope():
        async with atomic():
            get_session().add_all([Folder(id=1, name="One"), Folder(id=2, name="Two")])
            await get_session().flush()
            letters = [(1, "a", 1), (2, "a", 1), (3, "b", 1), (4, "b", 2)]
            get_session().add_all([Letter(id=key, tenant=name, folder_id=folder) for key, name, folder in letters])
        yield


TENANTS = ("a", "b", "c", "b", "a")


def as_tenant(queryset: Callable[[], QuerySet[Any]]) -> Callable[[str], QuerySet[Any]]:
    """A chain that a tenant asks."""

    def make(name: str) -> QuerySet[Any]:
        tenant.set(name)
        return queryset()

    return make


async def test_parameters_of_models_that_say_who_asks_say_so_each_time(folders: None) -> None:
    """In a computed column, in relations of both kinds, in conditions and in the order of rows."""
    every, letters = QuerySet(Folder).order_by("id"), QuerySet(Letter).order_by("id")
    assert not await different(as_tenant(lambda: every), TENANTS, FolderRead)
    assert not await different(as_tenant(lambda: every), TENANTS, FolderLetters)
    assert not await different(as_tenant(lambda: letters), TENANTS, LetterFolder)
    assert not await different(as_tenant(lambda: every.filter(letters__id__gte=2)), TENANTS, FolderBrief)
    assert not await different(as_tenant(lambda: every.filter(number__gte=1)), TENANTS, FolderBrief)
    assert not await different(as_tenant(lambda: letters.filter(own_folder__name="One")), TENANTS, LetterRead)
    assert not await different(as_tenant(lambda: QuerySet(Folder).order_by("-number", "id")), TENANTS, FolderBrief)
    assert not await different(as_tenant(lambda: letters.order_by("own_folder__name", "-id")), TENANTS, LetterRead)


async def test_writes_return_what_the_context_says(folders: None) -> None:
    """A relation behind RETURNING."""
    read = Read(select_for(LetterFolder, Letter, "test"))
    repository = Repository(Letter)
    for name in TENANTS:
        tenant.set(name)
        written = await repository.update_rows({"tenant": "a"}, read, facts_of(QuerySet(Letter).filter(id=1)))
        with by_core():
            expected = await repository.update_rows({"tenant": "a"}, read, facts_of(QuerySet(Letter).filter(id=1)))
        assert written == expected


async def test_hybrids_compare_with_what_python_makes_of_values(folders: None) -> None:
    """Their comparators may do anything."""
    every = QuerySet(Folder).order_by("id")
    names = ("ONE", "two", "Three", "one")
    assert not await different(lambda name: every.filter(folded=name), names, FolderBrief)
    assert not await different(lambda name: every.filter(folded__in=[name, "One"]), names, FolderBrief)
    assert not await different(
        lambda name: QuerySet(Letter).filter(folder__folded=name).order_by("id"), names, LetterRead
    )
    assert not await different(lambda name: every.filter(Folder.folded == name), names, FolderBrief)


NUMBERS = (0, 1, 2, 3, 1)


async def test_what_python_computes_of_a_chain_is_computed_each_time(scope: None) -> None:
    """Computed columns, annotations, F, and querysets as values."""
    authors, books = QuerySet(Author).order_by("id"), QuerySet(Book).order_by("id")
    chains: list[Callable[[int], QuerySet[Any]]] = [
        lambda v: authors.filter(label=("Ada!", "Bob!", "!", "ADA!")[v]),
        lambda v: authors.filter(rank__gt=F("mentor__rank") - v),
        lambda v: authors.filter(Q(rank__in=[F("id"), v])),
        lambda v: authors.annotate(n=Count("books", filter=Q(books__pages__gte=v * 50))).filter(n__gte=1),
        lambda v: authors.annotate(n=F("rank") + v).filter(n=3),
        lambda v: authors.annotate(n=F("rank") + v).order_by("-n", "id"),
        lambda v: authors.filter(id__in=QuerySet(Book).filter(id__gt=v).values_list("author_id", flat=True)),
        lambda v: authors.filter(books__in=QuerySet(Book).filter(id__gt=v)),
        lambda v: authors.filter(id__in=QuerySet(Author).order_by("id")[v : v + 2]),
        lambda v: authors.filter(id=QuerySet(Author).order_by("id")[v : v + 1]),
        lambda v: authors.filter(mentor=QuerySet(Author).filter(id=v)[:1]),
        lambda v: authors.filter(rank__in=[v, None]),
        lambda v: authors.filter(rank__in=[]) if v == 1 else authors.filter(rank__in=[v] * (v + 1)),
        lambda v: authors.filter(rank__not_in=[None] * v + [3]),
        lambda v: authors.filter(rank__in=range(v, 1500)),
        lambda v: authors.filter(rank__in=frozenset({v, 3})),
        lambda v: authors.filter(rank=None if v == 2 else v),
        lambda v: authors.filter(rank__ne=None if v == 2 else v),
        lambda v: authors.filter(rank__isnull=v > 1),
        lambda v: authors.filter(rank=(v, float(v), v + 0.5, v)[v]),
        lambda v: authors.filter(mentor__isnull=v > 1, mentor__rank__ne=v),
        lambda v: authors.filter(mentor__mentor__rank__not_in=[v, 9]),
        lambda v: authors.filter(books__tags__word=("old", "new", "rare", "")[v], books__pages__gte=v * 100),
        lambda v: authors.filter(books__tags__word=("old", "new", "rare", "")[v]).filter(books__pages__gte=v * 100),
        lambda v: authors.exclude(Q(rank=v) | Q(name__icontains=("a", "A", "%", "_")[v])),
        lambda v: authors.filter(~(Q(rank=v) & ~Q(name=None))),
        lambda v: authors.filter(pk=v),
        lambda v: authors.filter(pk__in=[v, v + 1]),
        lambda v: authors.order_by(("id", "-id", "rank", "-mentor__rank")[v], "id"),
        lambda v: authors.order_by(func.abs(Author.rank - v), "id"),
        lambda v: authors.order_by(Author.rank == v, "id"),
        lambda v: authors.order_by(F("rank").desc(nulls_first=v > 1), "id"),
        lambda v: authors.distinct() if v > 1 else authors,
        lambda v: authors[v:],
        lambda v: authors[v : v + v],
        lambda v: authors.filter(rank__gte=v)[: v + 1],
    ]
    for place, chain in enumerate(chains):
        assert not await different(chain, NUMBERS, AuthorRead), place
    assert not await different(lambda v: books.filter(chapter_count=v), NUMBERS, BookRead)
    assert not await different(
        lambda v: books.filter(chapter_count__gte=v).order_by("-chapter_count", "id"), NUMBERS, BookRead
    )
    assert not await different(lambda v: authors.filter(books__chapter_count=v), NUMBERS, AuthorRead)


async def test_objects_as_values_are_their_keys_at_that_time(scope: None) -> None:
    """By name, and as SQLAlchemy compares a relation, which asks the object when the statement runs."""
    known = {author.id: author for author in await QuerySet(Author).all()}
    authors, books = QuerySet(Author).order_by("id"), QuerySet(Book).order_by("id")
    chains: list[Callable[[int], QuerySet[Any]]] = [
        lambda v: authors.filter(mentor=known[v]),
        lambda v: authors.filter(mentor__in=[known[v], known[4]]),
        lambda v: authors.filter(Author.mentor == known[v]),
        lambda v: authors.filter(Author.mentor != known[v]),
        lambda v: authors.filter(Author.pupils.contains(known[4 - v // 2])),
    ]
    for place, chain in enumerate(chains):
        assert not await different(chain, (1, 2, 4, 1), AuthorRead), place
    assert not await different(lambda v: books.filter(Book.author == known[v]), (1, 2, 3, 1), BookRead)


async def test_composite_keys_give_the_same_rows(scope: None) -> None:
    """One key, and lists of several lengths."""
    shelves, copies = QuerySet(Shelf).order_by("label"), QuerySet(Copy).order_by("id")
    keys = [("a", SINCE), ("a", LATER), ("b", SINCE), ("c", SINCE)]
    chains: list[Callable[[int], QuerySet[Any]]] = [
        lambda v: shelves.filter(pk=keys[v]),
        lambda v: shelves.filter(pk__ne=keys[v]),
        lambda v: shelves.filter(pk__in=keys[v:]),
        lambda v: shelves.filter(pk__not_in=keys[: v + 1]),
        lambda v: shelves.filter(room=keys[v][0], since=keys[v][1]),
    ]
    for place, chain in enumerate(chains):
        assert not await different(chain, NUMBERS, ShelfRead), place
    assert not await different(lambda v: copies.filter(shelf=keys[v]), NUMBERS, LetterRead)
    assert not await different(lambda v: copies.filter(shelf__in=keys[: v + 1]), NUMBERS, LetterRead)
    assert not await different(lambda v: copies.exclude(shelf__in=keys[: v + 1]), NUMBERS, LetterRead)


@pytest.fixture
def own_lookups() -> Iterator[None]:
    """Lookups of a project, which end with the test."""
    register_lookup("doubled", lambda column, value: column == value * 2)
    register_lookup("choosy", lambda column, value: column > value if value > 1 else column == value)
    register_lookup("spelt", lambda column, value: column == len(value), operand=Operand.TEXT)
    register_lookup("summed", lambda column, value: column == sum(value), operand=Operand.LIST)
    yield
    for name in ("doubled", "choosy", "spelt", "summed"):
        del LOOKUPS[name]
    _resolve.cache_clear()
    _leaf_of.cache_clear()


async def test_a_lookup_of_the_projects_own_may_make_anything_of_its_value(scope: None, own_lookups: None) -> None:
    """On the model, and behind a relation."""
    authors = QuerySet(Author).order_by("id")
    chains: list[Callable[[int], QuerySet[Any]]] = [
        lambda v: authors.filter(rank__doubled=v),
        lambda v: authors.filter(rank__choosy=v),
        lambda v: authors.filter(rank__spelt="x" * v),
        lambda v: authors.filter(rank__summed=[v, 1]),
        lambda v: authors.filter(mentor__rank__choosy=v, rank__gte=v - 1),
    ]
    for place, chain in enumerate(chains):
        assert not await different(chain, NUMBERS, AuthorRead), place


async def test_a_write_takes_sql_as_a_value(scope: None) -> None:
    """An expression, a column's attribute, or a SELECT: none of them is a value of a kept statement."""
    read = Read(select_for(DefaultsRead, Defaults, "test"))
    repository = Repository(Defaults)
    created = [await repository.insert_row({"number": number}, read) for number in (1, 2, 3)]
    assert all(created)
    for make in (
        lambda n: n,
        lambda n: Defaults.number + n,
        literal,
        lambda n: Defaults.touched,
        lambda n: func.abs(-n),
        lambda n: select(func.count() + n).select_from(Defaults).scalar_subquery(),
        lambda n: Defaults.__table__.c.number,
    ):
        for data in ("number", "touched"):
            for n in (5, 6, 7):
                rows = facts_of(QuerySet(Defaults).filter(id=10))
                await repository.update_rows({"number": 1, "touched": 2}, read, rows)
                written = await repository.update_rows(
                    {data: make(n)}, read, facts_of(QuerySet(Defaults).filter(id=10))
                )
                with by_core():
                    await repository.update_rows({"number": 1, "touched": 2}, read, rows)
                    expected = await repository.update_rows(
                        {data: make(n)}, read, facts_of(QuerySet(Defaults).filter(id=10))
                    )
                assert written == expected
