"""Facts that a reviewer found to be otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from fastapix5.db import atomic, get_engine, get_session, on_commit, session_scope
from fastapix5.db.sessions import execute
from fastapix5.exceptions import (
    ForeignKeyViolation,
    ImproperlyConfigured,
    IntegrityViolation,
    LengthViolation,
    NotLoaded,
    RangeViolation,
    ScopeRequired,
    TransactionAborted,
    TypeViolation,
    UniqueViolation,
)
from fastapix5.repositories import Repository
from tests.db.models import Book, Loan, Shelf

pytestmark = pytest.mark.anyio


async def test_a_scope_is_opened_once_at_a_time(database: str) -> None:
    """Else it would be its own outer scope, for ever; one after the other is fine."""
    scope = session_scope()
    async with scope:
        with pytest.raises(RuntimeError, match="open already"):
            async with scope:
                pass
        assert get_session() is get_session()
    with pytest.raises(ScopeRequired):
        get_session()
    async with scope:
        assert get_session() is not None


async def labels() -> list[str]:
    """The labels of committed shelves."""
    async with session_scope():
        return list(await get_session().scalars(select(Shelf.label).order_by(Shelf.label)))


async def put(label: str) -> None:
    """Insert a shelf by a statement."""
    await get_session().execute(insert(Shelf).values(label=label))


@pytest.mark.usefixtures("tables")
async def test_an_unknown_alias_is_no_transaction() -> None:
    """Nothing inside would ask for the database, so the block does, and so does ``on_commit``."""
    async with session_scope():
        with pytest.raises(ImproperlyConfigured, match=r'Did you mean "default"\?'):
            async with atomic("defualt"):
                await put("lost")
        with pytest.raises(ImproperlyConfigured, match=r'Did you mean "default"\?'):
            on_commit(lambda: pytest.fail("It ran."), using="defualt")
    assert await labels() == []


async def begin(session: AsyncSession) -> None:
    """Commit a transaction of one's own."""
    async with session.begin():
        pass


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("commit", AsyncSession.commit),
        ("rollback", AsyncSession.rollback),
        ("close", AsyncSession.close),
        ("begin", begin),
    ],
)
async def test_a_block_ends_by_being_left_alone(name: str, end: Callable[[AsyncSession], Awaitable[None]]) -> None:
    """What would end its transaction by hand is refused, and the block serves on."""
    async with session_scope():
        with pytest.raises(LookupError):
            async with atomic():
                with pytest.raises(RuntimeError, match=rf"Session\.{name}\(\) inside atomic\(\)"):
                    await end(get_session())
                await put("lost")
                raise LookupError
        async with atomic():
            await put("a")
            with pytest.raises(RuntimeError, match="the block commits when it ends"):
                await end(get_session())
            async with get_session().begin_nested():
                await put("b")
    assert await labels() == ["a", "b"]


@pytest.mark.usefixtures("tables")
async def test_outside_a_block_sessions_end_as_they_like() -> None:
    """There is no transaction that it could break."""
    async with session_scope():
        get_session().add(Shelf(label="a"))
        await get_session().commit()
        await get_session().rollback()
        await get_session().close()
    assert await labels() == ["a"]


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("values", "kind", "field"),
    [
        ({"title": "longer than ten"}, LengthViolation, "title"),
        ({"pages": 2**31}, RangeViolation, "pages"),
        ({"read_at": "yesterday"}, TypeViolation, "read_at"),
        ({"title": 5}, TypeViolation, "title"),
    ],
    ids=str,
)
async def test_a_flush_refuses_what_columns_cannot_hold(
    values: dict[str, Any], kind: type[IntegrityViolation], field: str
) -> None:
    """On both engines alike, of new objects and of changed ones."""
    async with session_scope():
        with pytest.raises(kind) as caught:
            async with atomic():
                get_session().add(Book(**({"title": "a"} | values)))
        assert caught.value.fields == (field,)
        async with atomic():
            get_session().add(Book(id=1, title="a"))
        with pytest.raises(kind) as caught:
            async with atomic():
                book = await get_session().get_one(Book, 1)
                for name, value in values.items():
                    setattr(book, name, value)
                await get_session().flush()
        assert caught.value.fields == (field,)
        get_session().add(Book(**({"title": "b"} | values)))
        with pytest.raises(kind):
            await get_session().flush()
        # As after any flush that failed, nothing waits to be written.
        assert not get_session().new
        assert list(await get_session().scalars(select(Book.title))) == ["a"]


async def test_on_commit_takes_functions_only(database: str) -> None:
    """What is none is refused where it is given, not after the commit."""

    async def callback() -> None: ...

    wrong: list[Any] = [callback(), 5, None]
    async with session_scope():
        async with atomic():
            for given in wrong:
                with pytest.raises(TypeError, match=r"write on_commit\(f\), not on_commit\(f\(\)\)"):
                    on_commit(given)
        with pytest.raises(TypeError, match="a function without arguments, not a coroutine"):
            on_commit(callback())  # type: ignore[arg-type]


@pytest.mark.usefixtures("tables")
async def test_callbacks_run_also_after_one_that_failed() -> None:
    """The commit promised them all; the first error is raised when all have run."""
    seen: list[str] = []

    def failing(text: str) -> None:
        seen.append(text)
        raise LookupError(text)

    async with session_scope():
        with pytest.raises(LookupError, match="first"):
            async with atomic():
                await put("a")
                on_commit(lambda: failing("first"))
                on_commit(lambda: failing("second"))
                on_commit(lambda: seen.append("third"))
    assert seen == ["first", "second", "third"]
    assert await labels() == ["a"]


@pytest.mark.usefixtures("tables")
async def test_an_error_caught_in_a_block_ends_it_on_both_engines() -> None:
    """PostgreSQL has no way on, so neither has SQLite; what a block within caught stays there."""
    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                await put("a")
                with suppress(IntegrityError):
                    await put("a")
        async with atomic():
            await put("b")
            with suppress(UniqueViolation):
                async with atomic():
                    await put("b")
            with suppress(IntegrityError):
                async with get_session().begin_nested():
                    await put("b")
            with pytest.raises(TransactionAborted):
                async with atomic():
                    with suppress(IntegrityError):
                        await put("b")
            await put("c")
    assert await labels() == ["b", "c"]


@pytest.mark.usefixtures("tables")
async def test_a_caught_error_of_a_repository_ends_the_block() -> None:
    """Where SQLite has to be asked which reference it was, it still answers."""

    class Books(Repository[Book]):
        model = Book

    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                await put("a")
                with pytest.raises(ForeignKeyViolation) as caught:
                    await Books().objects.create(title="a", shelf_id=404)
        assert caught.value.fields == ("shelf_id",)
    assert await labels() == []


@pytest.mark.usefixtures("tables")
async def test_an_error_caught_in_a_session_from_outside_ends_the_block() -> None:
    """The savepoint is rolled back, and the transaction of the session's owner goes on."""
    async with AsyncSession(get_engine()) as mine:
        async with session_scope(using=mine):
            with pytest.raises(TransactionAborted):
                async with atomic():
                    await mine.execute(insert(Shelf).values(label="a"))
                    with suppress(IntegrityError):
                        await execute("default", insert(Shelf).values(label="a"))
        assert await mine.scalar(select(func.count()).select_from(Shelf)) == 0
        await mine.rollback()


@pytest.mark.usefixtures("tables")
async def test_an_attribute_that_is_not_loaded_says_what_loads_it() -> None:
    """In our words, on both engines alike; where the caller can wait, it is loaded."""
    async with session_scope(), atomic():
        get_session().add(Book(id=1, title="a", shelf=Shelf(id=2, label="b")))
    async with session_scope():
        book = await get_session().get_one(Book, 1, options=[defer(Book.title)])
        with pytest.raises(NotLoaded) as caught:
            assert book.shelf
        assert str(caught.value) == (
            'Book.shelf is not loaded: select_related("shelf") or prefetch_related("shelf") loads it.'
        )
        with pytest.raises(NotLoaded, match=r"^Book\.title is not loaded: .*get\(pk=1\)`\.$"):
            assert book.title
        await get_session().refresh(book, ["title"])
        assert book.title == "a"
        shelf = await get_session().run_sync(lambda _: book.shelf)
        assert shelf is not None
        with pytest.raises(NotLoaded) as caught:
            assert shelf.books
        assert str(caught.value) == 'Shelf.books is not loaded: prefetch_related("books") loads it.'


@pytest.mark.usefixtures("tables")
async def test_what_a_rollback_made_unknown_says_so() -> None:
    """All values of an object that its transaction used, the key too."""
    async with session_scope(), atomic():
        get_session().add(Loan(id=7, book_id=1))
        get_session().add(Book(id=1, title="a"))
    async with session_scope():
        with suppress(LookupError):
            async with atomic():
                book = await get_session().get_one(Book, 1)
                raise LookupError
        for name in ("id", "title"):
            with pytest.raises(NotLoaded, match=r"^The values of this Book are not loaded: .*get\(pk=1\)`\.$"):
                getattr(book, name)
        await get_session().refresh(book)
        assert (book.id, book.title) == (1, "a")


def test_a_forgotten_async_is_told() -> None:
    """Python alone would say that there is no context manager protocol."""
    with pytest.raises(TypeError, match=r"^Write `async with atomic\(\):`\.$"):
        with atomic():  # type: ignore[attr-defined]
            raise AssertionError
    with pytest.raises(TypeError, match=r"^Write `async with session_scope\(\):`\.$"):
        with session_scope():  # type: ignore[attr-defined]
            raise AssertionError


def test_options_of_a_scope_are_checked_at_the_call() -> None:
    """Not at the first query."""
    with pytest.raises(TypeError, match=r'^session_scope\(\) has no option "acces"\. Did you mean "access"\?$'):
        session_scope(acces=None)
    with pytest.raises(TypeError, match=r'Did you mean "expire_on_commit"\?$'):
        session_scope(expire_on_comit=True)
    with pytest.raises(TypeError, match="queries never flush"):
        session_scope(autoflush=True)
    session_scope(autoflush=False)
