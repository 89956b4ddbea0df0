"""Facts about rows that come in batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import lazyload, selectinload

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, session_scope, stream
from fastapix5.exceptions import ScopeEnded, ScopeRequired
from fastapix5.settings import override_settings
from tests.db.models import Base, Book, Shelf
from tests.db.test_sessions import checked_out
from tests.statements import Statements

pytestmark = pytest.mark.anyio

ROWS = 25
IN_ORDER = select(Shelf).order_by(Shelf.id)


@pytest.fixture
async def shelves(tables: str) -> str:
    """Twenty-five shelves with a book each."""
    await fill()
    return tables


async def fill() -> None:
    async with session_scope(), atomic():
        await get_session().execute(insert(Shelf), [{"id": n, "label": f"shelf {n}"} for n in range(ROWS)])
        await get_session().execute(insert(Book), [{"id": n, "title": f"book {n}", "shelf_id": n} for n in range(ROWS)])


async def objects(size: int = 10) -> AsyncIterator[Shelf]:
    async for batch in stream("default", IN_ORDER, size):
        for row in batch:
            yield row[0]


@pytest.mark.usefixtures("shelves")
async def test_rows_come_in_batches() -> None:
    """Outside a block and inside one; the last batch has what is left."""
    async with session_scope():
        expected = [10, 10, 5]
        assert [len(batch) async for batch in stream("default", IN_ORDER, 10)] == expected
        async with atomic():
            assert [len(batch) async for batch in stream("default", IN_ORDER, 10)] == expected
        assert [len(batch) async for batch in stream("default", select(Shelf.id).where(Shelf.id < 0), 10)] == []
        assert checked_out() == 0


@pytest.mark.usefixtures("tables")
async def test_a_stream_needs_a_scope() -> None:
    """Like every query."""
    with pytest.raises(ScopeRequired):
        async for _ in stream("default", IN_ORDER):
            pass


@pytest.mark.usefixtures("shelves")
async def test_objects_belong_to_the_session_of_the_scope() -> None:
    """One that is there already is the same object, refreshed; loaders load, and lazy relations stay lazy."""
    async with session_scope():
        known = await get_session().get_one(Shelf, 3)
        async with session_scope():
            await get_session().execute(update(Shelf).where(Shelf.id == 3).values(label="new"))
        statement = IN_ORDER.options(selectinload(Shelf.books)).execution_options(populate_existing=True)
        found = [row[0] async for batch in stream("default", statement, 10) for row in batch]
        assert found[3] is known
        assert known.label == "new"
        assert all(shelf in get_session() for shelf in found)
        assert [shelf.books[0].id for shelf in found] == list(range(ROWS))
        async with atomic():
            found[4].label = "mine"
    async with session_scope():
        assert (await get_session().get_one(Shelf, 4)).label == "mine"


@pytest.mark.usefixtures("shelves")
async def test_other_statements_run_between_batches() -> None:
    """Reads, writes and blocks of one's own; the rows are those that were there when the loop began."""
    async with session_scope():
        seen = []
        async for shelf in objects(10):
            seen.append(shelf.id)
            if shelf.id % 5 == 0:
                await get_session().execute(insert(Shelf).values(id=100 + shelf.id, label=f"late {shelf.id}"))
                async with atomic():
                    shelf.label += "!"
                assert await get_session().scalar(select(Shelf.label).where(Shelf.id == shelf.id)) == shelf.label
        assert seen == list(range(ROWS))


@pytest.mark.usefixtures("shelves")
async def test_other_statements_run_between_batches_of_a_block() -> None:
    """A savepoint that fails leaves the loop as it is, and the rows are those that were there when it began."""
    async with session_scope(), atomic():
        seen = []
        async for shelf in objects(10):
            seen.append(shelf.id)
            with pytest.raises(LookupError):
                async with atomic():
                    await get_session().execute(insert(Shelf).values(id=100 + shelf.id, label=f"late {shelf.id}"))
                    raise LookupError
            await get_session().execute(insert(Shelf).values(id=200 + shelf.id, label=f"later {shelf.id}"))
        assert seen == list(range(ROWS))


@pytest.mark.usefixtures("shelves")
async def test_a_loop_that_is_broken_off_gives_its_connection_back() -> None:
    """By break, by an exception and by a cancellation."""
    async with session_scope():
        async for _ in objects():
            assert checked_out() == 1
            break
        await asyncio.sleep(0.05)
        assert checked_out() == 0
        with pytest.raises(LookupError):
            async for _ in objects():
                raise LookupError
        await asyncio.sleep(0.05)
        assert checked_out() == 0

        async def wait() -> None:
            async for _ in objects():
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0.1)
        await asyncio.sleep(0.05)
        assert checked_out() == 0


@pytest.mark.usefixtures("shelves")
async def test_a_stream_ends_with_its_scope() -> None:
    """Whoever keeps it gets an error, and the connection is back."""
    async with session_scope():
        kept = stream("default", IN_ORDER, 10)
        await anext(kept)
        assert checked_out() == 1
    assert checked_out() == 0
    with pytest.raises(ScopeEnded):
        await anext(kept)


async def test_a_pool_of_one_suffices_for_a_stream(database_url: str) -> None:
    """The session's idle connection is given back first, and loaders use the stream's."""
    with override_settings(DATABASES={"default": database_url}, POOL_SIZE=1, POOL_TIMEOUT=0.2):
        await create()
        async with session_scope():
            await get_session().scalar(select(1))
            statement = IN_ORDER.options(selectinload(Shelf.books))
            found = [row[0] async for batch in stream("default", statement, 10) for row in batch]
            assert [len(shelf.books) for shelf in found] == [1] * ROWS
            await get_session().scalar(select(1))
        await dispose_engines()


async def test_in_memory_other_statements_run_between_batches_too() -> None:
    """There is one connection, so the rows are read first."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite://"}, POOL_TIMEOUT=0.2):
        await create()
        async with session_scope():
            seen = []
            async for shelf in objects():
                seen.append(shelf.id)
                async with atomic():
                    await get_session().execute(insert(Shelf).values(id=100 + shelf.id, label=f"late {shelf.id}"))
            assert seen == list(range(ROWS))
        await dispose_engines()


async def create() -> None:
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await fill()


@pytest.mark.usefixtures("shelves")
async def test_a_stream_is_one_statement(statements: Statements) -> None:
    """However many batches there are."""
    async with session_scope():
        await get_session().scalar(select(1))
        statements.reset()
        async for _ in stream("default", select(Shelf).options(lazyload("*")), 5):
            pass
    asked = [text for text, _ in await statements.read()]
    assert [text for text in asked if "FROM shelf" in text] == [text for text in asked if "SET LOCAL" not in text]
    assert sum("FROM shelf" in text for text in asked) == 1
