"""Row policies hold for related rows too: what is out of reach is neither shown nor found out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from fastapix5.access import Access, current_access
from fastapix5.db import atomic, get_session, session_scope
from fastapix5.repositories import Condition, Q, QuerySet, Read, Repository, register_policy
from fastapix5.schemas import select_for
from tests.repositories.models import Author, Book, Chapter, Copy

pytestmark = pytest.mark.anyio


class AuthorBrief(BaseModel):
    id: int


class AuthorWithMentor(BaseModel):
    id: int
    mentor: AuthorBrief | None


class ChapterBrief(BaseModel):
    id: int


class BookRead(BaseModel):
    id: int
    author: AuthorWithMentor | None
    chapters: list[ChapterBrief]


class BookBrief(BaseModel):
    id: int


class AuthorRead(BaseModel):
    id: int
    books: list[BookBrief]
    pupils: list[AuthorWithMentor]


class CopyRead(BaseModel):
    id: int
    book: BookRead | None


def by_lookup(access: Access) -> Condition:
    """Authors 1, 4 and 5."""
    return Q(rank__gte=2)


def by_column(access: Access) -> Condition:
    """The same, as an expression on columns."""
    return Author.rank >= 2


def by_both(access: Access) -> Condition:
    """The same, as an expression in a tree."""
    return Q(Author.rank >= 2, id__gt=0)


def by_subquery(access: Access) -> Condition:
    """The same, by a SELECT of the model's own table."""
    return Author.id.in_(select(Author.id).where(Author.rank >= 2))


def without_pages(access: Access) -> Condition:
    """Books 1, 4 and 5, and no chapter of others."""
    return Q(pages__lt=200)


@pytest.fixture(params=[by_lookup, by_column, by_both, by_subquery])
async def reader(request: pytest.FixtureRequest, library: str) -> AsyncIterator[None]:
    """A scope of one who reaches authors 1, 4 and 5, by a policy of each kind."""
    register_policy(Author, request.param, request.param, "Authors")
    async with session_scope(access=Access(user_id="reader")):
        yield


def read_of(model: type[Any], schema: type[BaseModel]) -> Read:
    return Read(select_for(schema, model, "test"))


async def test_a_related_row_out_of_reach_shows_as_null(reader: None) -> None:
    """At every depth, and by a read that was compiled before anyone asked."""
    read = read_of(Book, BookRead)
    token = current_access.set(None)
    everything: list[BookRead] = await QuerySet(Book).order_by("id").as_schema(read)
    current_access.reset(token)
    shown: list[BookRead] = await QuerySet(Book).order_by("id").as_schema(read)
    assert [book.author and book.author.id for book in everything] == [1, 1, 2, None, 3]
    assert [book.author and book.author.id for book in shown] == [1, 1, None, None, None]
    assert [book.id for book in shown] == [1, 2, 3, 4, 5]
    copies = await QuerySet(Copy).order_by("id").as_schema(CopyRead)
    assert copies[0].book is not None
    assert copies[0].book.author == AuthorWithMentor(id=1, mentor=None)
    four = await QuerySet(Author).filter(id=4).get_as(AuthorWithMentor)
    assert four.mentor is None


async def test_related_rows_out_of_reach_are_left_out_of_lists(reader: None) -> None:
    """And what the list's rows show is narrowed as well."""
    register_policy(Book, without_pages, without_pages, "Books")
    authors = {author.id: author for author in await QuerySet(Author).as_schema(AuthorRead)}
    assert [book.id for book in authors[1].books] == [1]
    assert [book.id for book in authors[3].books] == [5]
    assert authors[1].pupils == []
    assert authors[2].pupils == [AuthorWithMentor(id=4, mentor=None)]


async def test_conditions_do_not_find_out_what_is_out_of_reach(reader: None) -> None:
    """A related row out of reach is as good as none."""

    async def found(*conditions: Condition, **lookups: Any) -> list[int]:
        return [book.id for book in await QuerySet(Book).filter(*conditions, **lookups).order_by("id").all()]

    assert await found(author__name="ada_b%") == []
    assert await found(author__name="Ada") == [1, 2]
    assert await found(author__pupils__rank=1) == []
    assert await found(Q(author__name__icontains="a") | Q(title="Gamma")) == [1, 2, 3]
    assert await found(~Q(author__name="ada_b%")) == [1, 2, 3, 4, 5]
    assert await found(author__isnull=True) == await found(author__name__isnull=True) == [3, 4, 5]
    copies = await QuerySet(Copy).filter(book__author__rank__lt=2).all()
    assert copies == []


async def test_an_order_does_not_find_out_what_is_out_of_reach(reader: None) -> None:
    """Rows whose related row is out of reach stand with those that have none."""
    shown = [book.id for book in await QuerySet(Book).order_by("author__id", "-id").all()]
    assert shown == [2, 1, 5, 4, 3]


async def test_what_a_write_returns_is_narrowed(reader: None) -> None:
    """As it would be read."""
    read, here = read_of(Book, BookRead), QuerySet(Book).filter(id=3)
    written = await Repository(Book).update_rows({"title": "New"}, read, here.where())
    assert written is not None
    assert written.instance == BookRead(id=3, author=None, chapters=[])
    copy = await Repository(Copy).insert_row({"book_id": 3}, read_of(Copy, CopyRead))
    assert copy is not None
    assert copy.instance.book == BookRead(id=3, author=None, chapters=[])  # type: ignore[attr-defined]
    own = await Repository(Book).insert_row({"title": "Own", "author_id": 4}, read)
    assert own is not None
    assert own.instance.author == AuthorWithMentor(id=4, mentor=None)  # type: ignore[attr-defined]


async def test_related_objects_out_of_reach_are_not_loaded(reader: None) -> None:
    """By any of the ways to load them."""
    ways: list[Callable[[QuerySet[Book]], QuerySet[Book]]] = [
        lambda found: found.select_related("author__mentor"),
        lambda found: found.prefetch_related("author__mentor"),
        lambda found: found.loading(select_for(BookRead, Book, "test")),
    ]
    for narrow in ways:
        async with session_scope(access=Access(user_id="reader")):
            books = await narrow(QuerySet(Book).order_by("id")).all()
            assert [book.author and book.author.id for book in books] == [1, 1, None, None, None]
            register_policy(Chapter, chapter_one, chapter_one, "Chapters")
    async with session_scope(access=Access(user_id="reader")):
        books = await QuerySet(Book).order_by("id").prefetch_related("chapters").all()
        assert [[chapter.id for chapter in book.chapters] for book in books] == [[1], [], [], [], []]


def chapter_one(access: Access) -> Condition:
    """The first chapter."""
    return Q(id=1)


async def test_policies_that_cross_each_other_end(library: str) -> None:
    """What a policy crosses is not narrowed, neither in a tree nor in a queryset of its own."""

    def of_authors(access: Access) -> Condition:
        return Q(books__title="Alpha") | QuerySet(Book).filter(author__rank=1, author_id=Author.id).exists_clause()

    def of_books(access: Access) -> Condition:
        return Q(author__rank=3)

    register_policy(Author, of_authors, of_authors, "Authors")
    register_policy(Book, of_books, of_books, "Books")
    async with session_scope(access=Access(user_id="reader")):
        assert [book.id for book in await Repository(Book).objects.order_by("id").all()] == [1, 2]
        shown = await Repository(Book).objects.order_by("id").as_schema(BookRead)
        assert [book.author and book.author.id for book in shown] == [1, 1]
        assert await Repository(Book).objects.filter(author__books__title="Beta").count() == 2


async def test_a_write_in_atomic_is_narrowed_too(reader: None) -> None:
    """Its answer is the same inside of a transaction."""
    async with atomic():
        written = await Repository(Book).update_rows({"pages": 5}, read_of(Book, BookRead), [Book.id == 5])
        assert get_session().in_transaction()
    assert written is not None
    assert written.instance.author is None  # type: ignore[attr-defined]
