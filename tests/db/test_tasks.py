"""Facts about sessions and tasks: one at a time, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapix5.db import atomic, execute, get_engine, get_session, on_commit, session_scope
from fastapix5.db.closing import wait_for_closing
from fastapix5.exceptions import OpenTransaction, ScopeEnded, SessionInUse, TransactionAborted
from tests.conftest import on_postgresql
from tests.db.models import Counter, Shelf
from tests.db.test_sessions import checked_out
from tests.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tables")]


async def labels() -> list[str]:
    """What is committed, as another session sees it."""
    async with session_scope():
        return list(await get_session().scalars(select(Shelf.label).order_by(Shelf.label)))


async def add(label: str, pause: float = 0) -> None:
    await get_session().execute(insert(Shelf).values(label=label))
    await asyncio.sleep(pause)


async def add_in_block(label: str, pause: float = 0) -> None:
    async with atomic():
        await add(label, pause)


async def both(*work: Awaitable[Any]) -> list[BaseException | None]:
    """What came of each."""
    return [
        found if isinstance(found, BaseException) else None
        for found in await asyncio.gather(*work, return_exceptions=True)
    ]


async def test_a_gather_over_one_session_is_refused() -> None:
    """The second statement is refused and names the remedy; the first is not disturbed."""
    async with session_scope():
        first, second = await both(add("a"), add("b"))
        assert first is None
        assert isinstance(second, SessionInUse)
        assert "open `async with session_scope():` inside each task" in str(second)
        await add("c")
    assert await labels() == ["a", "c"]


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.scalars(select(Shelf)),
        lambda session: session.scalar(select(Shelf)),
        lambda session: session.get(Shelf, 1),
        lambda session: session.flush(),
        lambda session: session.commit(),
        lambda session: session.rollback(),
        lambda session: session.connection(),
        lambda session: session.stream(select(Shelf)),
        lambda session: session.run_sync(lambda inner: inner.execute(select(Shelf))),
        lambda session: session.close(),
    ],
)
async def test_every_way_to_the_database_is_refused(use: Callable[[AsyncSession], Awaitable[Any]]) -> None:
    """Also for those who ask SQLAlchemy's session themselves."""
    async with session_scope():
        first, second = await both(add("a"), use(get_session()))
        assert first is None
        assert isinstance(second, SessionInUse)


async def test_tasks_with_scopes_of_their_own_run_beside_each_other() -> None:
    """This is the remedy."""

    async def work(label: str) -> None:
        async with session_scope():
            await add_in_block(label, 0.01)

    async with session_scope():
        await asyncio.gather(*(work(str(number)) for number in range(5)))
    assert await labels() == list("01234")


async def test_tasks_one_after_the_other_share_a_session() -> None:
    """A task is no trespasser by being one."""
    async with session_scope(), atomic():
        await asyncio.create_task(add("a"))
        await asyncio.create_task(add_in_block("b"))
        await add("c")
    assert await labels() == ["a", "b", "c"]


async def test_wait_for_around_queries_and_blocks_works() -> None:
    """On Python 3.11 it makes a task; what it opened and closed is known to the block around it."""
    async with session_scope():
        await asyncio.wait_for(add("a"), 5)
        await asyncio.wait_for(add_in_block("b"), 5)
        async with atomic():
            await add("c")
            await asyncio.wait_for(add("d"), 5)
            await asyncio.wait_for(add_in_block("e"), 5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(add_in_block("lost", 60), 0.05)
            async with asyncio.timeout(5):
                await add("f")
        await add("g")
    assert await labels() == list("abcdefg")


async def test_a_statement_that_timed_out_lets_the_next_one_in() -> None:
    """The session is free when the task is gone."""
    async with session_scope():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.02)
        await add("a")
        with pytest.raises(TimeoutError):
            async with atomic():
                await add("lost")
                await asyncio.wait_for(slow(), 0.02)
        await add("b")
    assert await labels() == ["a", "b"]
    assert checked_out() == 0


async def slow() -> None:
    """A statement of half a second."""
    if get_engine().dialect.name == "postgresql":
        await get_session().execute(text("SELECT pg_sleep(0.5)"))
    else:
        await get_session().execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT max(i) FROM n"
            )
        )


async def test_a_statement_of_a_sibling_never_lands_in_a_block() -> None:
    """Between two statements of the block the session is idle, and still not the sibling's."""
    async with session_scope():
        inside, beside, block = await both(add_in_block("a", 0.05), later(add("b")), later(add_in_block("c")))
        assert inside is None
        assert isinstance(beside, SessionInUse)
        assert isinstance(block, SessionInUse)
    assert await labels() == ["a"]


async def later(work: Awaitable[None]) -> None:
    await asyncio.sleep(0.02)
    await work


async def test_a_sibling_neither_commits_nor_ends_a_block() -> None:
    """Nor may it roll back, close, or write what waits."""
    for verb in ("commit", "rollback", "close", "flush"):
        async with session_scope():
            first, second = await both(add_in_block(verb, 0.05), later(getattr(get_session(), verb)()))
            assert first is None
            assert isinstance(second, SessionInUse)
    assert await labels() == ["close", "commit", "flush", "rollback"]


async def test_a_block_around_a_refused_gather_is_rolled_back_as_a_whole() -> None:
    """The sibling that goes on writes nothing either: neither into the block nor after it."""

    async def twice(label: str) -> None:
        await add(label, 0.02)
        await add(label + label)

    tasks: list[asyncio.Task[None]] = []
    async with session_scope():
        with pytest.raises(SessionInUse):
            async with atomic():
                tasks = [asyncio.create_task(twice(label)) for label in "ab"]
                await asyncio.gather(*tasks)
        assert isinstance((await both(*tasks))[0], SessionInUse)
        await add("c")
    assert await labels() == ["c"]


async def test_leaving_a_block_before_one_inside_it_rolls_both_back() -> None:
    """Whoever is inside learns it at the next statement, and on leaving."""
    entered = asyncio.Event()

    async def inside(statement: bool) -> None:
        async with atomic():
            entered.set()
            await asyncio.sleep(0.05)
            if statement:
                await add("inner")

    for statement in (True, False):
        entered.clear()
        async with session_scope():
            task: asyncio.Task[None]
            with pytest.raises(SessionInUse, match="left while another task was inside"):
                async with atomic():
                    await add("outer")
                    task = asyncio.create_task(inside(statement))
                    await entered.wait()
            async with atomic():
                await add(f"after {statement}")
                (error,) = await both(task)
            assert isinstance(error, SessionInUse)
            assert "rolled back" in str(error)
    assert await labels() == ["after False", "after True"]


async def test_leaving_a_block_waits_for_the_statement_of_another_task() -> None:
    """It is not committed half way."""
    async with session_scope():
        with pytest.raises(SessionInUse):
            async with atomic():
                await add("a")
                task = asyncio.create_task(slow())
                await asyncio.sleep(0.02)
        assert task.done()
        await task
    assert await labels() == []


async def test_a_block_may_be_opened_in_another_context() -> None:
    """A generator, a stack and a fixture open it in a task that is gone by then."""

    block = asynccontextmanager(transaction)
    async with session_scope():
        async with block():
            await add("a")
        stack = AsyncExitStack()
        await asyncio.wait_for(stack.enter_async_context(atomic()), 5)
        await add("b")
        await add_in_block("c")
        await asyncio.wait_for(stack.aclose(), 5)
        await add("d")
        manager = block()
        await asyncio.create_task(manager.__aenter__())
        await add("lost")
        await asyncio.create_task(suppressed(manager.__aexit__(LookupError, LookupError(), None)))
        async with atomic():
            await asyncio.wait_for(add("e"), 5)
        async with AsyncExitStack() as outer:
            await outer.enter_async_context(atomic())
            await add("f")
            await asyncio.wait_for(outer.aclose(), 5)
            await add("g")
    assert await labels() == ["a", "b", "c", "d", "e", "f", "g"]


async def transaction() -> AsyncIterator[AsyncSession]:
    async with atomic():
        yield get_session()


async def scoped_transaction() -> AsyncIterator[AsyncSession]:
    async with session_scope(), atomic():
        yield get_session()


async def test_a_yield_dependency_may_hold_scope_and_block() -> None:
    """FastAPI enters it in the request's own task, and each request has its own."""
    app = FastAPI()

    @app.post("/{label}")
    async def post(label: str, session: Annotated[AsyncSession, Depends(scoped_transaction)]) -> None:
        await session.execute(insert(Shelf).values(label=label))
        await add_in_block(label + label)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        answers = await asyncio.gather(*(client.post(f"/{label}") for label in "abc"))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert await labels() == ["a", "aa", "b", "bb", "c", "cc"]


async def suppressed(work: Awaitable[Any]) -> None:
    with suppress(LookupError):
        await work


async def test_a_scope_that_ends_waits_for_the_statement_of_another_task() -> None:
    """Afterwards the pool is full, and the task gets no further."""

    async def twice() -> None:
        await slow()
        await add("late")

    with pytest.raises(SessionInUse):
        async with session_scope():
            task = asyncio.create_task(twice())
            await asyncio.sleep(0)
            await asyncio.gather(add("a"), add("b"))
    assert checked_out() == 0
    assert isinstance((await both(task))[0], ScopeEnded)
    assert await labels() == []


async def test_a_scope_that_ends_in_anothers_block_rolls_it_back() -> None:
    """With an exception of its own, or with one that says so."""
    for error, expected in ((LookupError(), LookupError), (None, OpenTransaction)):
        with pytest.raises(expected):
            async with session_scope():
                task = asyncio.create_task(add_in_block("a", 0.05))
                await asyncio.sleep(0.03)
                if error is not None:
                    raise error
        assert checked_out() == 0
        assert isinstance((await both(task))[0], SessionInUse)
    assert await labels() == []


async def test_a_task_that_outlives_its_scope_gets_no_session() -> None:
    """Neither a new one nor the one that it kept; a scope of its own serves it."""

    async def use(kept: AsyncSession) -> None:
        await asyncio.sleep(0.02)
        for work in (lambda: add("a"), lambda: kept.execute(select(1)), lambda: add_in_block("b")):
            with pytest.raises(ScopeEnded, match="async with session_scope"):
                await work()
        with pytest.raises(ScopeEnded):
            on_commit(lambda: None)
        async with session_scope():
            await add("c")

    async with session_scope():
        await get_session().scalar(select(1))
        task = asyncio.create_task(use(get_session()))
    await task
    assert await labels() == ["c"]
    assert checked_out() == 0


async def test_a_task_that_outlives_its_block_is_refused() -> None:
    """What it was meant to write inside must not be kept outside."""

    async def late() -> None:
        await asyncio.sleep(0.02)
        await add("late")

    async with session_scope():
        async with atomic():
            task = asyncio.create_task(late())
        (error,) = await both(task)
        assert isinstance(error, SessionInUse)
        assert "has ended" in str(error)
    assert await labels() == []


async def test_a_session_from_outside_is_guarded_where_our_code_uses_it() -> None:
    """``execute`` is what repositories use."""
    async with AsyncSession(get_engine()) as mine, session_scope(using=mine):
        first, second = await both(execute("default", select(Shelf)), execute("default", select(Shelf)))
        assert first is None
        assert isinstance(second, SessionInUse)
        async with atomic():
            rows = await execute(mine, insert(Shelf).returning(Shelf.id), [{"label": "a"}, {"label": "b"}])
            assert len(rows.all()) == 2
            assert (await execute("default", select(func.count()).select_from(Shelf))).scalar() == 2


async def test_execute_runs_a_statement_on_the_session_of_an_alias() -> None:
    """With parameters for one row, or for many."""
    async with session_scope():
        await execute("default", insert(Shelf), {"label": "a"})
        await execute("default", insert(Shelf), [{"label": "b"}, {"label": "c"}])
        await execute("default", delete(Shelf).where(Shelf.label == "b"))
    assert await labels() == ["a", "c"]


async def test_an_error_in_a_sibling_of_a_block_leaves_the_block_alone() -> None:
    """A refused statement breaks nothing of the transaction that it was refused by."""
    async with session_scope():
        async with atomic():
            await add("a")
            beside = asyncio.create_task(add_in_block("b", 0.05))
            await asyncio.sleep(0.02)
            with pytest.raises(SessionInUse):
                await add("refused")
            await beside
            await add("c")
    assert await labels() == ["a", "b", "c"]


async def test_a_block_whose_sibling_was_refused_by_catching_still_commits() -> None:
    """Only an error of the database aborts."""
    async with session_scope():
        with suppress(TransactionAborted):
            async with atomic():
                await both(add("a"), add("b"))
    assert await labels() == ["a"]


@pytest.mark.parametrize("how", ["lock", "update"])
async def test_eight_tasks_that_count_lose_nothing(how: str) -> None:
    """Each adds one forty times, by a locked row or by ``n = n + 1``; none fails."""
    async with session_scope(), atomic():
        get_session().add(Counter(id=1))

    @atomic
    async def one_more() -> None:
        if how == "lock":
            counter = await get_session().get_one(Counter, 1, with_for_update=True, populate_existing=True)
            counter.value += 1
        else:
            await get_session().execute(update(Counter).values(value=Counter.value + 1))

    async def count() -> None:
        async with session_scope():
            for _ in range(40):
                await one_more()

    await asyncio.gather(*(count() for _ in range(8)))
    async with session_scope():
        assert await get_session().scalar(select(Counter.value)) == 320


async def test_cancelled_tasks_leave_nothing(postgres_server: Server, tables: str) -> None:
    """Five hundred, at any moment of a transaction: the pool is full, nobody idles in one, no half is written."""
    chance = random.Random(3)
    async with session_scope(), atomic():
        get_session().add_all([Counter(id=number) for number in range(40)])

    async def move(number: int) -> None:
        """Take from one counter and give to another."""
        async with session_scope():
            async with atomic():
                for counter, step in sorted([(number % 20, -1), (20 + number % 20, 1)]):
                    async with atomic():
                        await get_session().execute(
                            update(Counter).where(Counter.id == counter).values(value=Counter.value + step)
                        )
                        await asyncio.sleep(0)
            await get_session().scalar(select(Counter.value).limit(1))

    async def cancelled(number: int) -> None:
        task = asyncio.create_task(move(number))
        await asyncio.sleep(chance.random() * 0.02)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for start in range(0, 500, 10):
        await asyncio.gather(*(cancelled(number) for number in range(start, start + 10)))
    assert checked_out() == 0
    await wait_for_closing()
    if tables.startswith("postgresql"):
        idle = "SELECT count(*) AS n FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert postgres_server.fetch(idle)[0]["n"] == 0
    async with session_scope():
        assert await get_session().scalar(select(func.sum(Counter.value))) == 0
        taken, given = select(Counter.value).where(Counter.id < 20), select(Counter.value).where(Counter.id >= 20)
        values = [-value for value in await get_session().scalars(taken.order_by(Counter.id))]
        assert values == list(await get_session().scalars(given.order_by(Counter.id)))


@on_postgresql
async def test_a_task_cancelled_while_it_waits_for_a_connection_leaves_nothing() -> None:
    """The pool is full afterwards, and serves."""

    async def hold() -> None:
        async with session_scope():
            await slow()

    tasks = [asyncio.create_task(hold()) for _ in range(40)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await both(*tasks)
    assert checked_out() == 0
    await add_outside()


async def add_outside() -> None:
    async with session_scope():
        await add("a")
