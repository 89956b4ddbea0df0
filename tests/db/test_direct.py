"""Facts about statements that go by the driver alone: which do, and what they leave behind."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, Pool

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, session_scope, stream
from fastapix5.db.closing import wait_for_closing
from fastapix5.db.direct import refusal, run, way
from fastapix5.db.engines import get_database
from fastapix5.db.routing import RoutedSession
from fastapix5.exceptions import ImproperlyConfigured, ScopeEnded, ScopeRequired, SessionInUse, Unavailable
from fastapix5.settings import override_settings
from tests.conftest import on_postgresql, on_sqlite
from tests.db.models import Base, Counter, Shelf
from tests.db.test_outages import within
from tests.db.test_sessions import checked_out

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tables")]

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def dollars(sql: str) -> str:
    """Give a statement the placeholders of the database."""
    if get_engine().dialect.name == "sqlite":
        return sql
    numbers = iter(range(1, 100_000))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


async def direct(sql: str, *values: Any, writes: bool = False) -> Sequence[Any]:
    """Run a statement directly in the running scope."""
    found = way("default")
    assert found.database is not None, found.why
    return await run(found, dollars(sql), values, writes=writes)


async def add(label: str) -> int:
    """Add a shelf and return its number."""
    ((number,),) = await direct("INSERT INTO shelf (shelf_label) VALUES (?) RETURNING id", label, writes=True)
    return int(number)


async def add_in_scope(label: str) -> int:
    async with session_scope():
        return await add(label)


async def slow() -> None:
    """Wait for the database for a moment."""
    if get_engine().dialect.name == "sqlite":
        await direct(ENDLESS.replace("FROM n)", "FROM n WHERE i < 300000)"))
    else:
        await direct("SELECT pg_sleep(0.1)")


async def labels() -> list[str]:
    """What is committed."""
    async with session_scope():
        return list(await get_session().scalars(select(Shelf.label).order_by(Shelf.id)))


def why() -> str:
    """Why a statement would not go directly from here."""
    found = way("default")
    assert (found.database is None) == bool(found.why)
    return found.why


async def failure(work: Awaitable[Any]) -> BaseException | None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 (whatever it is)
        return error
    return None


async def test_rows_come_as_the_driver_gives_them() -> None:
    """In order, with the values that were bound; none is an empty sequence."""
    async with session_scope():
        assert [await add(label) for label in "abc"] == [1, 2, 3]
        rows = await direct("SELECT id, shelf_label FROM shelf WHERE id > ? ORDER BY id", 1)
        assert [tuple(row) for row in rows] == [(2, "b"), (3, "c")]
        assert list(await direct("SELECT id FROM shelf WHERE id > ?", 3)) == []


async def test_a_statement_is_its_own_transaction() -> None:
    """Others see at once what it wrote; one that fails half way leaves nothing."""
    async with session_scope():
        await add("a")
        assert await labels() == ["a"]
        two = "INSERT INTO shelf (shelf_label) VALUES ('b'), ('a') RETURNING id"
        assert await failure(direct(two, writes=True)) is not None
        assert await labels() == ["a"]
        await direct("UPDATE shelf SET shelf_label = ?", "c", writes=True)
    assert await labels() == ["c"]


async def test_a_write_that_returns_rows_is_done_with_all_of_them() -> None:
    """SQLite writes while it returns rows."""
    async with session_scope():
        many = ", ".join(f"({number}, 0)" for number in range(1, 301))
        rows = await direct(f"INSERT INTO counter (id, value) VALUES {many} RETURNING id", writes=True)
        assert len(rows) == 300
        rows = await direct("UPDATE counter SET value = value + 1 RETURNING value", writes=True)
        assert [tuple(row) for row in rows] == [(1,)] * 300


async def test_neither_a_session_nor_a_connection_is_kept() -> None:
    """Between two statements the pool is full."""
    async with session_scope() as scope:
        await add("a")
        assert checked_out() == 0
        await add("b")
        assert scope.sessions == {}


async def test_a_way_is_the_same_for_each_statement_of_a_scope() -> None:
    """As long as nobody comes to listen, and nothing is begun."""
    async with session_scope():
        assert way("default") == way("default")
        assert way("default").database is get_database()


async def test_a_scope_must_be_open() -> None:
    """As for a session."""
    with pytest.raises(ScopeRequired):
        way("default")

    async def late() -> None:
        await asyncio.sleep(0.02)
        way("default")

    async with session_scope():
        task = asyncio.create_task(late())
    with pytest.raises(ScopeEnded):
        await task


async def test_an_alias_means_what_it_means_to_a_session(tables: str) -> None:
    """The scope's own stands for the default; one that nobody knows is refused."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite://", "books": tables}):
        await dispose_engines()
        async with session_scope(using="books"):
            assert why() == "the engine has not connected yet"
            await get_session().scalar(select(1))
        async with session_scope(using="books"):
            assert way("default") == way("books")
            assert way("books").database is get_database("books")
            assert [tuple(row) for row in await direct("SELECT count(*) FROM shelf")] == [(0,)]
            with pytest.raises(ImproperlyConfigured):
                way("nowhere")
        await dispose_engines()


async def test_what_a_session_is_in_the_middle_of_includes_the_statement() -> None:
    """A transaction, a savepoint by hand, a session from outside, options."""
    async with session_scope():
        async with atomic():
            assert why() == "inside atomic()"
        assert why() == ""
        get_session().sync_session.autoflush = True
        assert why() == "the session flushes before it asks"
    async with AsyncSession(get_engine()) as mine, session_scope(using=mine):
        assert why() == "the session is one from outside"
    async with session_scope(), session_scope(using=get_session()):
        assert why() == "the session is one from outside"
    async with session_scope(expire_on_commit=True):
        assert why() == "the session scope has options of its own"
    async with session_scope():
        await get_session().connection(execution_options={"isolation_level": "SERIALIZABLE"})
        assert why() == "the session's connection has options of its own"


@on_sqlite
async def test_a_savepoint_by_hand_includes_the_statement() -> None:
    """On PostgreSQL there is none outside a transaction."""
    async with session_scope():
        async with get_session().begin_nested():
            assert why() == "inside atomic()"
        assert why() == ""


async def test_a_session_that_is_in_use_refuses() -> None:
    """By the way that SQLAlchemy takes, as any second statement."""

    async def core() -> None:
        await get_session().execute(text("SELECT pg_sleep(0.1)" if is_postgresql() else "SELECT 1"))

    async with session_scope():
        task = asyncio.create_task(core())
        await asyncio.sleep(0)
        assert why() == "the session is in use"
        await task
        assert why() == ""


def is_postgresql() -> bool:
    return get_engine().dialect.name == "postgresql"


@contextmanager
def listening(target: Any, name: str) -> Iterator[None]:
    """Listen to an event for a block."""

    def listen(*_: Any, **__: Any) -> None: ...

    event.listen(target, name, listen)
    try:
        yield
    finally:
        event.remove(target, name, listen)


@pytest.mark.parametrize(
    "name",
    [
        "before_execute",
        "after_execute",
        "before_cursor_execute",
        "after_cursor_execute",
        "engine_connect",
        "begin",
        "commit",
        "rollback",
        "do_execute",
        "do_execute_no_params",
        "handle_error",
    ],
)
async def test_whoever_listens_to_statements_hears_of_all(name: str) -> None:
    """Of those too that run while nobody has listened yet, or no longer does, they go directly."""
    async with session_scope():
        assert why() == ""
        with listening(get_engine().sync_engine, name):
            assert why() == refusal(get_database()) == f"somebody listens to its statements ({name})"
        assert why() == ""
        if name not in ("do_execute", "do_execute_no_params", "handle_error"):
            with listening(Engine, name):
                assert why() == f"somebody listens to its statements ({name})"
        assert why() == ""


@pytest.mark.parametrize("name", ["checkout", "checkin", "reset"])
async def test_whoever_listens_to_the_pool_hears_of_all(name: str) -> None:
    """Of an engine's, or of every pool."""
    for target in (get_engine().sync_engine, Pool):
        with listening(target, name):
            assert refusal(get_database()) == "somebody listens to the pool (checkout, checkin or reset)"
        assert refusal(get_database()) == ""


@pytest.mark.parametrize("name", ["do_orm_execute", "after_begin", "after_transaction_create", "after_transaction_end"])
async def test_whoever_listens_to_sessions_hears_of_all(name: str) -> None:
    """To every session, to ours, or to this one."""
    for target in (Session, RoutedSession):
        async with session_scope():
            with listening(target, name):
                assert why() == f"somebody listens to sessions ({name})"
                get_session()
                assert why() == f"somebody listens to sessions ({name})"
            assert why() == ""
    async with session_scope():
        with listening(get_session().sync_session, name):
            assert why() == f"somebody listens to the session ({name})"


async def test_echo_shows_every_statement() -> None:
    """Switched on at any time."""
    engine = get_engine()
    engine.echo = True
    assert refusal(get_database()) == "echo is on"
    engine.echo = False
    assert refusal(get_database()) == ""
    logger = logging.getLogger("sqlalchemy.engine.Engine")
    logger.setLevel(logging.INFO)
    assert refusal(get_database()) == "echo is on"
    logger.setLevel(logging.NOTSET)
    assert refusal(get_database()) == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"poolclass": NullPool}, "the pool is NullPool"),
        ({"pool_pre_ping": True}, "the pool pings each connection (pool_pre_ping)"),
        ({"execution_options": {"schema_translate_map": {None: "a"}}}, "the engine has execution options"),
        ({"echo": True}, "echo is on"),
        ({"echo_pool": "debug"}, "the pool's echo is on"),
    ],
)
async def test_an_engine_with_duties_of_its_own_refuses(tables: str, options: dict[str, Any], expected: str) -> None:
    """What it was told to do with each statement or connection, it does."""
    with override_settings(DATABASES={"default": {"URL": tables, "OPTIONS": options}}):
        await dispose_engines()
        async with session_scope():
            await get_session().connection()
        async with session_scope():
            assert why() == expected
        await dispose_engines()


@on_postgresql
async def test_a_rule_for_prepared_statements_holds(tables: str) -> None:
    """Behind PgBouncer the names of prepared statements matter; without any there are none to matter."""
    for options, expected in (
        ({"prepared_statement_cache_size": 0}, "statements are prepared by a rule of the user's own"),
        ({"prepared_statement_cache_size": 0, "statement_cache_size": 0}, ""),
    ):
        database = {"URL": tables, "OPTIONS": {"connect_args": options}}
        with override_settings(DATABASES={"default": database}):
            await dispose_engines()
            async with session_scope():
                await get_session().scalar(select(1))
                assert why() == expected
            await dispose_engines()


async def test_an_engine_of_the_users_own_goes_by_sqlalchemy(tables: str) -> None:
    """Its dialect knows neither how to run a statement alone nor how to let go of a connection without waiting."""
    engine = create_async_engine(tables)
    with override_settings(DATABASES={"default": engine}):
        await dispose_engines()
        async with session_scope():
            await get_session().scalar(select(1))
            assert why() == "the engine is the user's own, with SQLAlchemy's dialect"
        await dispose_engines()
    await engine.dispose()


async def test_the_first_statement_goes_by_sqlalchemy() -> None:
    """It tells the dialect what the server can do, which texts of statements depend on."""
    await dispose_engines()
    async with session_scope():
        assert why() == "the engine has not connected yet"
        await get_session().scalar(select(1))
        assert why() == ""


@on_postgresql
async def test_a_connection_that_the_session_keeps_is_used() -> None:
    """What was set on it, holds; no second one is taken."""
    async with session_scope():
        await get_session().execute(text("SET application_name = 'mine'"))
        pid = await get_session().scalar(text("SELECT pg_backend_pid()"))
        rows = await direct("SELECT pg_backend_pid(), current_setting('application_name')")
        assert [tuple(row) for row in rows] == [(pid, "mine")]
        assert checked_out() == 1
        assert await get_session().scalar(text("SELECT pg_backend_pid()")) == pid
    assert checked_out() == 0


async def test_a_pool_of_one_serves_all() -> None:
    """Nobody holds a connection while waiting for another."""
    await dispose_engines()

    async def work(number: int) -> None:
        async with session_scope():
            if number % 2:
                await get_session().scalar(select(1))
            else:
                async with atomic():
                    await get_session().execute(insert(Counter).values(id=number))
            await add(str(number))
            await get_session().scalar(select(1))
            await direct("SELECT 1")

    with override_settings(POOL_SIZE=1):
        async with session_scope():
            await get_session().scalar(select(1))
        await asyncio.gather(*(work(number) for number in range(20)))
        assert checked_out() == 0
        assert len(await labels()) == 20


async def test_rows_that_are_streamed_stay_what_they_are() -> None:
    """Statements run beside them as before."""
    async with session_scope():
        for label in "abcd":
            await add(label)
        seen = []
        async for batch in stream("default", select(Shelf.label).order_by(Shelf.id), 2):
            seen += [row.label for row in batch]
            await add("-".join(seen))
        assert seen == list("abcd")
    assert checked_out() == 0


async def test_a_gather_over_one_scope_is_refused() -> None:
    """Whichever way the statements take: the second is refused, the first is not disturbed."""

    async def later(work: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(0.01)
        await work()

    async def core() -> None:
        await get_session().scalar(select(1))

    async def block() -> None:
        async with atomic():
            pass

    for second in (slow, core, block):
        async with session_scope():
            errors = await asyncio.gather(failure(slow()), failure(later(second)))
            assert [type(error) for error in errors] == [type(None), SessionInUse]
            await core()
    assert checked_out() == 0


async def test_a_scope_that_ends_waits_for_the_statement_of_another_task() -> None:
    """The task gets no further."""

    async def twice() -> None:
        await slow()
        await add("late")

    async with session_scope():
        task = asyncio.create_task(twice())
        await asyncio.sleep(0.01)
    assert checked_out() == 0
    assert isinstance(await failure(task), ScopeEnded)
    assert await labels() == []


async def test_a_task_that_outlives_its_block_is_refused() -> None:
    """What it was meant to write inside must not be kept outside."""

    async def late() -> None:
        await asyncio.sleep(0.02)
        await add("late")

    async with session_scope():
        async with atomic():
            task = asyncio.create_task(late())
        assert isinstance(await failure(task), SessionInUse)
    assert await labels() == []


async def test_statements_that_are_cancelled_leave_the_pool_full() -> None:
    """While they wait for a connection, for the database, or have just been answered."""

    async def work(number: int) -> None:
        async with session_scope():
            if number % 3:
                await slow()
            await add(str(number))

    before = asyncio.all_tasks()
    tasks = [asyncio.create_task(work(number)) for number in range(500)]
    for start in range(0, 500, 50):
        await asyncio.sleep(0.002)
        for task in tasks[start : start + 50]:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await wait_for_closing()
    assert checked_out() == 0
    assert await add_in_scope("at last") > 0
    assert (await labels())[-1] == "at last"
    assert asyncio.all_tasks() == before


@on_postgresql
async def test_a_cancelled_statement_ends_on_the_server_too() -> None:
    """Its connection is not lent again."""

    async def sleep() -> None:
        async with session_scope():
            await direct("SELECT pg_sleep(5)")

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert checked_out() == 0
    await wait_for_closing()
    async with session_scope():
        count = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(5)' AND state = 'active'"
        assert [tuple(row) for row in await direct(count)] == [(0,)]


@on_sqlite
async def test_a_cancelled_statement_is_interrupted() -> None:
    """Its thread ends, and does not count on."""

    async def count() -> None:
        async with session_scope():
            await direct(ENDLESS)

    task = asyncio.create_task(count())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with within(0.5):
        await wait_for_closing()
    assert checked_out() == 0


@on_sqlite
async def test_writers_on_sqlite_take_turns() -> None:
    """With each other, and with whoever is in a transaction; none fails, none is lost."""
    async with session_scope(), atomic():
        get_session().add(Counter(id=1))

    async def alone() -> None:
        async with session_scope():
            for _ in range(20):
                await direct("UPDATE counter SET value = value + 1", writes=True)

    async def together() -> None:
        async with session_scope():
            for _ in range(20):
                async with atomic():
                    await get_session().execute(update(Counter).values(value=Counter.value + 1))

    await asyncio.gather(*(work() for work in (alone, together) * 4))
    async with session_scope():
        assert [tuple(row) for row in await direct("SELECT value FROM counter")] == [(160,)]


@on_sqlite
async def test_a_writer_on_sqlite_waits_for_its_turn_and_no_longer() -> None:
    """A reader does not wait."""
    with override_settings(LOCK_TIMEOUT=0.2):
        await dispose_engines()
        async with session_scope():
            await get_session().scalar(select(1))
        async with session_scope(), atomic():
            await get_session().execute(insert(Counter).values(id=1))
            async with session_scope():
                assert [tuple(row) for row in await direct("SELECT count(*) FROM counter")] == [(0,)]
                with within(0.5):
                    assert isinstance(await failure(add("a")), Unavailable)
        assert checked_out() == 0
        assert await add_in_scope("b") == 1


@on_sqlite
async def test_sqlite_in_memory_has_one_connection_for_all() -> None:
    """Whoever wants it waits, and finds the same tables."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite://"}):
        await dispose_engines()
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await asyncio.gather(*(add_in_scope(label) for label in "abc"))
        async with session_scope():
            assert await get_session().scalar(select(func.count()).select_from(Shelf)) == 3
        await dispose_engines()


@on_sqlite
async def test_lookups_functions_are_there() -> None:
    """Those that our dialect gives each connection."""
    async with session_scope():
        assert [tuple(row) for row in await direct("SELECT fastapix5_lower(?)", "Ä")] == [("ä",)]


async def test_engines_of_another_loop_are_not_mixed_up(tables: str) -> None:
    """Whoever disposes of engines gets new ones, and ways of their own."""
    async with session_scope():
        first = way("default").database
    await dispose_engines()
    async with session_scope():
        await get_session().scalar(select(1))
        second = way("default").database
        assert second is not None
        assert second is not first
        await add("a")


async def test_a_full_pool_is_waited_for_as_ever(tables: str) -> None:
    """POOL_TIMEOUT, then the same error; whoever gives a connection back serves the one who waits."""
    await dispose_engines()
    with override_settings(POOL_SIZE=1, POOL_TIMEOUT=0.3):
        async with session_scope():
            await get_session().connection()
            errors = []
            for work in (get_session_and_ask, add_one):
                with within(0.3 + 0.5):
                    errors.append(await failure(work()))
            assert [str(error) for error in errors] == [str(errors[0])] * 2
            assert type(errors[0]) is type(errors[1])
            waiting = asyncio.create_task(add_in_scope("a"))
            await asyncio.sleep(0.05)
        assert await waiting == 1
        assert checked_out() == 0
        await dispose_engines()


async def get_session_and_ask() -> None:
    async with session_scope():
        await get_session().scalar(select(1))


async def add_one() -> None:
    await add_in_scope("b")


async def test_who_came_first_is_served_first() -> None:
    """A connection that is given back is for whoever waits for it, and not for who has given it back and asks again."""
    await dispose_engines()
    served: list[int] = []

    async def ask(number: int) -> None:
        for _ in range(4):
            async with session_scope():
                await direct("SELECT 1")
            served.append(number)

    with override_settings(POOL_SIZE=1, POOL_TIMEOUT=5):
        await labels()
        await asyncio.gather(*(ask(number) for number in range(5)))
    await dispose_engines()
    assert served == [*range(5)] * 4
