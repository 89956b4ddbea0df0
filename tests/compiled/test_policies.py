"""Row policies on statements that are kept: nobody is ever shown what another may see."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import ForeignKey, String, and_, bindparam, exists, func, literal_column, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column, relationship

from fastapix5 import (
    Access,
    F,
    Q,
    QuerySet,
    Repository,
    SoftDeleteMixin,
    atomic,
    get_session,
    session_scope,
    unrestricted,
)
from fastapix5.db import get_engine
from fastapix5.exceptions import AccessRequired, DoesNotExist
from fastapix5.repositories import Condition, forget_policies, register_policy
from tests.compiled.ways import Runs, by_core
from tests.repositories.models import Author, Book, Copy, Tag

pytestmark = pytest.mark.anyio


class TagRead(BaseModel):
    word: str


class ChapterRead(BaseModel):
    heading: str


class AuthorBrief(BaseModel):
    id: int
    name: str | None
    rank: int | None


class AuthorRead(BaseModel):
    id: int
    name: str | None
    mentor: AuthorBrief | None


class BookRead(BaseModel):
    id: int
    title: str
    author: AuthorRead | None
    tags: list[TagRead]
    chapters: list[ChapterRead]


class BookBrief(BaseModel):
    id: int
    title: str


class AuthorBooks(BaseModel):
    id: int
    books: list[BookRead]


Policy = Callable[[Access], Condition | None]
USERS = ("1", "2", "librarian")
peer = aliased(Author)


def of(make: Callable[[int], Any]) -> Policy:
    """A policy by the caller's number; the librarian reaches everything."""

    def policy(access: Access) -> Any:
        return None if access.user_id == "librarian" else make(int(access.user_id or 0))

    return policy


OF_BOOKS: dict[str, Policy] = {
    "name": of(lambda n: Q(author_id=n)),
    "column": of(lambda n: Book.author_id == n),
    "none": of(lambda n: None if n == 2 else Q(author_id=n)),
    "always": of(lambda n: Q()),
    "never": of(lambda n: Q(id__in=[])),
    "list": of(lambda n: Q(id__in=list(range(1, n + 2)))),
    "list with null": of(lambda n: Q(author_id__in=[n, None] if n % 2 else [n])),
    "list of sql": of(lambda n: Book.id.in_(range(n + 1))),
    "null": of(lambda n: Q(pages=None) if n == 1 else Q(pages=n * 100)),
    "or": of(lambda n: Q(author_id=n) | Q(pages__gte=n * 100)),
    "not": of(lambda n: ~Q(author_id=n)),
    "both": of(lambda n: Q(Book.id > n, title__icontains="a")),
    "to one": of(lambda n: Q(author__rank__gte=n)),
    "to one of one": of(lambda n: Q(author__mentor=n)),
    "to many": of(lambda n: Q(tags__word=("old", "new", "rare", "x")[n])),
    "has": of(lambda n: Book.author.has(Author.rank == n)),
    "any": of(lambda n: Book.tags.any(Tag.id == n)),
    "select": of(lambda n: Book.author_id.in_(select(Author.id).where(Author.rank >= n))),
    "own select": of(lambda n: Book.id.in_(select(Book.id).where(Book.author_id == n))),
    "exists": of(lambda n: exists().where(peer.id == Book.author_id, peer.id >= n)),
    "queryset": of(lambda n: Q(author__in=QuerySet(Author).filter(rank__gte=n))),
    "f": of(lambda n: Q(id__gt=F("author_id") + n - 1)),
    "callable": of(lambda n: Book.author_id == bindparam("author", callable_=lambda: n)),
    "literal_execute": of(lambda n: Book.author_id == bindparam("author", n, literal_execute=True)),
    "text": of(lambda n: and_(Book.id > 0, text(":n > 1").bindparams(n=n))),
    "literal": of(lambda n: Book.author_id == literal_column(str(n))),
    "case": of(lambda n: func.coalesce(Book.author_id, n) == n),
}  # fmt: skip
OF_AUTHORS: dict[str, Policy] = {
    "name": of(lambda n: Q(rank__gte=n)),
    "column": of(lambda n: Author.rank <= n),
    "none": of(lambda n: None if n == 2 else Q(rank=n)),
    "list": of(lambda n: Q(id__in=list(range(n + 1)))),
    "select": of(lambda n: Author.id.in_(select(Author.id).where(Author.rank >= n))),
    "to many": of(lambda n: Q(books__pages__gte=n * 100)),
    "any": of(lambda n: Author.books.any(Book.id >= n)),
    "callable": of(lambda n: Author.rank == bindparam("rank", callable_=lambda: n)),
    "text": of(lambda n: and_(Author.id > 0, Author.rank >= n)),
}  # fmt: skip


async def listed(queryset: QuerySet[Any], schema: type[BaseModel] = BookRead) -> bytes:
    """The rows as JSON."""
    return await queryset.order_by("id").as_json(schema)


async def one(queryset: QuerySet[Any]) -> Any:
    """The one row, or that there is none."""
    try:
        return await queryset.get_as(BookBrief)
    except DoesNotExist:
        return None


class CopyRead(BaseModel):
    id: int
    book: BookRead | None


Question = Callable[[], Awaitable[Any]]
OWN: list[Question] = [
    lambda: listed(Repository(Book).objects),
    lambda: one(Repository(Book).objects.filter(id=1)),
    lambda: listed(QuerySet(Author), AuthorBooks),
]
RELATED: list[Question] = [
    lambda: listed(QuerySet(Book)),
    lambda: listed(Repository(Book).objects.filter(author__rank__gte=1), BookBrief),
    lambda: listed(QuerySet(Book).filter(author__name__icontains="a"), BookBrief),
    lambda: listed(Repository(Book).objects.exclude(author__mentor__rank=3), BookBrief),
    lambda: Repository(Book).objects.order_by("author__name", "id").as_json(BookBrief),
    lambda: listed(QuerySet(Copy).filter(book__author__rank__gte=1), CopyRead),
    lambda: Repository(Author).objects.filter(books__pages__gte=100).count(),
]


async def answer(user: str, question: Question) -> Any:
    """What a user is told."""
    async with session_scope(access=Access(user_id=user)):
        return await question()


async def compare(books: Policy, authors: Policy, questions: Sequence[Question]) -> None:
    """Assert that everybody is told the same both ways: all ask at once, of what others have left there."""
    forget_policies()
    register_policy(Book, books, books, "Books")
    register_policy(Author, authors, authors, "Authors")
    turns = list(itertools.product(USERS, questions))
    with by_core():
        expected = await asyncio.gather(*(answer(*turn) for turn in turns))
    for _ in range(2):
        actual = await asyncio.gather(*(answer(*turn) for turn in turns))
        wrong = [turn for turn, said, right in zip(turns, actual, expected, strict=True) if said != right]
        assert wrong == []


async def test_nobody_is_shown_what_another_may_see(library: str, runs: Runs) -> None:
    """By every kind of policy on a model, and on one that it refers to."""
    for policy in OF_BOOKS.values():
        await compare(policy, OF_AUTHORS["column"], OWN)
    for policy in OF_AUTHORS.values():
        await compare(OF_BOOKS["or"], policy, RELATED)
    assert runs


@pytest.mark.slow
async def test_nobody_is_shown_what_another_may_see_by_any_two_policies(library: str) -> None:
    """Every pair of them, and every question."""
    for books, authors in itertools.product(OF_BOOKS.values(), OF_AUTHORS.values()):
        await compare(books, authors, [*OWN, *RELATED])


class Base(DeclarativeBase):
    pass


class Page(Base):
    """The root of a single-table inheritance."""

    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    marks: Mapped[list[Mark]] = relationship()
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "page"}


class Draft(Page):
    __mapper_args__ = {"polymorphic_identity": "draft"}


class Mark(SoftDeleteMixin, Base):
    __tablename__ = "mark"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(String(10))
    size: Mapped[int]
    page_id: Mapped[int] = mapped_column(ForeignKey(Page.id))
    page: Mapped[Page] = relationship(overlaps="marks")


class MarkRead(BaseModel):
    id: int
    word: str


class PageRead(BaseModel):
    id: int
    marks: list[MarkRead]


@pytest.fixture
async def pages(database: str) -> None:
    """Pages and drafts, with marks of which some are deleted."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    deleted = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    async with session_scope(), atomic():
        get_session().add_all([Page(id=1), Draft(id=2), Draft(id=3), Draft(id=4)])
        await get_session().flush()
        marks = [("a", 1, 1, None), ("a", 1, 2, None), ("b", 2, 2, None), ("a", 2, 3, None), ("a", 2, 4, deleted)]
        get_session().add_all([Mark(word=w, size=s, page_id=page, deleted_at=at) for w, s, page, at in marks])


async def asked(user: str, queryset: Callable[[], QuerySet[Any]], schema: type[BaseModel] = PageRead) -> bytes:
    """What a user is told."""
    async with session_scope(access=Access(user_id=user)):
        return await listed(queryset(), schema)


async def both_ways(queryset: Callable[[], QuerySet[Any]], schema: type[BaseModel] = PageRead) -> list[bytes]:
    """What users are told, which is the same both ways."""
    with by_core():
        expected = [await asked(user, queryset, schema) for user in ("a", "b", "")]
    for _ in range(2):
        assert [await asked(user, queryset, schema) for user in ("a", "b", "")] == expected
    return expected


async def test_policies_of_a_class_and_of_one_above_it_speak_of_one_related_row(pages: None) -> None:
    """A draft is shown for a mark that meets both; a page, for the draft that it is."""

    def of_pages(access: Access) -> Condition:
        return Q(marks__word=access.user_id)

    def of_drafts(access: Access) -> Condition:
        return Q(marks__size__gte=2)

    register_policy(Page, of_pages, of_pages, "Pages")
    register_policy(Draft, of_drafts, of_drafts, "Drafts")
    await both_ways(lambda: Repository(Draft).objects)
    await both_ways(lambda: Repository(Page).objects)
    await both_ways(lambda: QuerySet(Mark).filter(page__marks__word="a"), MarkRead)


async def test_what_is_deleted_softly_stays_hidden(pages: None) -> None:
    """Among rows, in lists below them and in conditions; who asks for the deleted ones gets them."""
    for queryset, schema in (
        (lambda: Repository(Mark).objects, MarkRead),
        (lambda: Repository(Mark).objects.filter(word="a"), MarkRead),
        (lambda: Repository(Mark).all_objects.filter(word="a"), MarkRead),
        (lambda: QuerySet(Page), PageRead),
        (lambda: QuerySet(Page).filter(marks__word="a", marks__size=2), PageRead),
    ):
        await both_ways(queryset, schema)


async def test_a_policy_that_comes_later_holds_for_what_was_kept_before(library: str) -> None:
    """And what was kept under it is not taken where it is lifted, or where another one holds."""

    async def told() -> list[Any]:
        turns = [(user, question) for user in ("1", "2") for question in (*OWN, *RELATED)]
        return [await answer(*turn) for turn in turns]

    async def lifted() -> list[Any]:
        async with unrestricted(Book), unrestricted(Author):
            return await told()

    open_to_all = await told()
    assert open_to_all == await told()
    for books, authors in (("name", "none"), ("select", "name"), ("column", "column")):
        forget_policies()
        register_policy(Book, OF_BOOKS[books], OF_BOOKS[books], "Books")
        with by_core():
            expected = await told()
        assert await told() == await told() == expected != open_to_all
        register_policy(Author, OF_AUTHORS[authors], OF_AUTHORS[authors], "Authors")
        with by_core():
            expected = await told()
        assert await told() == await told() == expected
        assert await lifted() == await lifted() == open_to_all
        assert await told() == expected
    forget_policies()
    assert await told() == open_to_all


async def test_a_policy_that_wants_to_know_who_asks_is_not_forgotten(library: str) -> None:
    """Nobody gets rows from what somebody else has left there."""
    policy = OF_BOOKS["name"]
    register_policy(Book, policy, policy, "Books", requires_access=True)
    for user in ("1", "2", "1"):
        assert await answer(user, OWN[0]) == await answer(user, OWN[0])
    for question in (OWN[0], OWN[1], RELATED[4]):
        async with session_scope():
            with pytest.raises(AccessRequired):
                await question()


async def test_one_task_may_ask_for_several_callers_at_once(library: str) -> None:
    """Tasks that a scope starts have the access that each sets."""
    policy = OF_BOOKS["name"]
    register_policy(Book, policy, policy, "Books")

    async def titles(user: str) -> list[str]:
        async with session_scope(access=Access(user_id=user)):
            return [book.title for book in await Repository(Book).objects.order_by("id").as_schema(BookBrief)]

    users = ["1", "2", "3", "0"] * 25
    expected = {"1": ["Alpha", "Beta"], "2": ["Gamma"], "3": ["Delta"], "0": []}
    assert await asyncio.gather(*map(titles, users)) == [expected[user] for user in users]
