"""Facts about statements by the driver alone that fail: SQLAlchemy would have raised the very same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, session_scope, translate
from fastapix5.db.engines import get_database
from fastapix5.exceptions import DatabaseError, IntegrityViolation, Unavailable
from fastapix5.settings import override_settings, settings
from tests.conftest import on_postgresql, on_sqlite
from tests.db.conftest import STATEMENT_TIMEOUT
from tests.db.models import Base, Book, Counter
from tests.db.test_direct import ENDLESS, direct, dollars, failure
from tests.db.test_outages import within
from tests.db.test_sessions import checked_out
from tests.servers import Server, throwaway_server

pytestmark = pytest.mark.anyio

INSERT_BOOK = "INSERT INTO book (book_title, edition, pages, isbn, shelf, id) VALUES (?, ?, ?, ?, ?, 2)"
SELECT_BOOK = "SELECT id FROM book WHERE pages = ?"

# Statements that fail on both engines, and with what.
FAILURES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "unique": (INSERT_BOOK, ("here", 1, 1, None, None)),
    "unique column": ("INSERT INTO shelf (id, shelf_label) VALUES (?, ?)", (2, "here")),
    "primary key": ("INSERT INTO shelf (id, shelf_label) VALUES (?, ?)", (1, "b")),
    "foreign key": (INSERT_BOOK, ("a", 1, 1, None, 404)),
    "protected": ("DELETE FROM shelf WHERE id = ?", (1,)),
    "deferred key": ("INSERT INTO loan (id, book) VALUES (1, ?)", (404,)),
    "not null": (INSERT_BOOK, (None, 1, 1, None, None)),
    "check": (INSERT_BOOK, ("a", 1, 0, None, None)),
    "int8": (INSERT_BOOK, ("a", 1, 1, 2**63, None)),
    "surrogate": (INSERT_BOOK, ("a\ud800", 1, 1, None, None)),
    "a value of no kind": (SELECT_BOOK, (object(),)),
    "too few values": (INSERT_BOOK, ("a",)),
    "too many values": (SELECT_BOOK, (1, 2)),
    "syntax": ("SELECT FROM WHERE", ()),
    "no such table": ("SELECT 1 FROM nowhere", ()),
    "too long a statement": (ENDLESS, ()),
}
ON_POSTGRESQL: dict[str, tuple[str, tuple[Any, ...]]] = {
    "too long": (INSERT_BOOK, ("x" * 11, 1, 1, None, None)),
    "int4": (INSERT_BOOK, ("a", 1, 2**31, None, None)),
    "text for a number": (SELECT_BOOK, ("many",)),
    "text for a time": ("SELECT id FROM book WHERE read_at = $1", ("yesterday",)),
    "bytes for text": ("SELECT id FROM book WHERE book_title = $1", (b"a",)),
    "NUL": (INSERT_BOOK, ("a\x00b", 1, 1, None, None)),
    "overflow": ("SELECT $1::int4 * 2", (2**31 - 1,)),
    "division": ("SELECT 1 / $1::int4", (0,)),
    "regular expression": ("SELECT 'a' ~ $1", ("(",)),
    "offset": ("SELECT id FROM book OFFSET $1", (-1,)),
    "statement timeout": ("SELECT pg_sleep(5)", ()),
    "too many arguments": ("SELECT " + ", ".join(f"${number}::int4" for number in range(1, 32_769)), (1,) * 32_768),
    "killed": ("SELECT pg_terminate_backend(pg_backend_pid())", ()),
    "aborted": ("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$", ()),
    "internal": ("DO $$ BEGIN RAISE EXCEPTION SQLSTATE 'XX000'; END $$", ()),
}
ON_SQLITE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "overflow": ("SELECT abs(?)", (-(2**63),)),
    "a function's": ("SELECT fastapix5_document(?)", ("no JSON",)),
    "too big": ("SELECT zeroblob(?)", (2**31,)),
}


@pytest.fixture
async def books(tables: str) -> str:
    """A book on a shelf, which later ones collide with."""
    async with session_scope():
        for sql in (
            "INSERT INTO shelf (id, shelf_label) VALUES (1, 'here')",
            "INSERT INTO book (book_title, edition, pages, shelf) VALUES ('here', 1, 1, 1)",
        ):
            await get_session().execute(text(sql))
    return tables


async def run_through_core(sql: str, values: Sequence[Any]) -> None:
    connection = await get_session().connection()
    await connection.exec_driver_sql(sql, tuple(values))


def facts(error: BaseException | None) -> Any:
    """All that somebody could ask of an error, and of what it came from."""
    if error is None:
        return None
    names: tuple[str, ...] = (
        "args",
        "statement",
        "params",
        "hide_parameters",
        "connection_invalidated",
        "code",
        "ismulti",
        "detail",
    )
    names += ("pgcode", "sqlstate", "reason", "sqlite_errorname", "constraint_name")
    told = {name: getattr(error, name, None) for name in names}
    orig = getattr(error, "orig", None)
    return type(error), str(error), repr(told), facts(orig), orig is error.__cause__, facts(error.__cause__)


def ours(error: BaseException) -> Any:
    found = error if isinstance(error, DatabaseError) else translate(error, Book)
    place = (found.constraint, found.table, found.fields) if isinstance(found, IntegrityViolation) else None
    return type(found), str(found), place


async def check_same(sql: str, values: Sequence[Any]) -> BaseException:
    """Fail a statement both ways, and return what the direct way raised."""
    sql = dollars(sql)
    async with session_scope():
        with pytest.raises(Exception) as expected:
            await run_through_core(sql, values)
    async with session_scope():
        with pytest.raises(Exception) as actual:
            await direct(sql, *values)
    assert facts(actual.value) == facts(expected.value)
    assert ours(actual.value) == ours(expected.value)
    async with session_scope():
        assert [tuple(row) for row in await direct("SELECT 1")] == [(1,)]
    assert checked_out() == 0
    return actual.value


@pytest.mark.parametrize("kind", FAILURES)
async def test_an_error_is_what_sqlalchemy_raises(books: str, kind: str) -> None:
    """Class, text, statement, values, cause, and what we make of it."""
    await check_same(*FAILURES[kind])


@on_postgresql
@pytest.mark.parametrize("kind", ON_POSTGRESQL)
async def test_an_error_of_postgresql_is_what_sqlalchemy_raises(books: str, kind: str) -> None:
    """The server's and the driver's own."""
    await check_same(*ON_POSTGRESQL[kind])


@on_sqlite
@pytest.mark.parametrize("kind", ON_SQLITE)
async def test_an_error_of_sqlite_is_what_sqlalchemy_raises(books: str, kind: str) -> None:
    """SQLite's and the module's own."""
    await check_same(*ON_SQLITE[kind])


@on_postgresql
async def test_waiting_for_a_lock_ends_as_with_sqlalchemy(books: str) -> None:
    """After LOCK_TIMEOUT."""
    with override_settings(LOCK_TIMEOUT=0.2):
        await dispose_engines()
        async with session_scope():
            await get_session().scalar(text("SELECT 1"))
        async with session_scope(), atomic():
            await get_session().execute(text("UPDATE shelf SET shelf_label = 'there'"))
            async with session_scope():
                expected = await failure(run_through_core("UPDATE shelf SET shelf_label = $1", ("a",)))
            async with session_scope():
                actual = await failure(direct("UPDATE shelf SET shelf_label = ?", "a", writes=True))
            assert facts(actual) == facts(expected)
            assert actual is not None
            assert ours(actual)[0] is Unavailable
        await dispose_engines()


@on_sqlite
async def test_waiting_for_another_process_ends_as_with_sqlalchemy(books: str) -> None:
    """After LOCK_TIMEOUT."""
    with override_settings(LOCK_TIMEOUT=0.2):
        await dispose_engines()
        async with session_scope():
            await get_session().scalar(text("SELECT 1"))
        other = sqlite3.connect(books.partition(":///")[2], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with session_scope():
            expected = await failure(run_through_core("UPDATE shelf SET shelf_label = ?", ("a",)))
        async with session_scope():
            actual = await failure(direct("UPDATE shelf SET shelf_label = ?", "a", writes=True))
        assert facts(actual) == facts(expected)
        assert actual is not None
        assert ours(actual)[0] is Unavailable
        other.close()
        async with session_scope():
            await direct("UPDATE shelf SET shelf_label = ?", "a", writes=True)
        await dispose_engines()


@on_sqlite
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("writes", [True, False])
async def test_a_connection_to_sqlite_that_was_closed_is_replaced(books: str, keeps: bool, writes: bool) -> None:
    """Whoever finds it is told, as with SQLAlchemy; the next statement has another."""
    async with session_scope():
        raw = await (await get_session().connection()).get_raw_connection()
        driver: Any = raw.driver_connection
        if not keeps:
            await get_session().close()
        await driver.close()
        error = await failure(direct("UPDATE counter SET value = 1", writes=writes))
        assert isinstance(error, OperationalError)
        assert error.connection_invalidated
        assert ours(error)[0] is Unavailable
        await direct("UPDATE counter SET value = 1", writes=writes)
    assert checked_out() == 0


async def fill_pool(size: int = 5) -> None:
    """Have the pool hold some idle connections."""

    async def connect() -> None:
        async with session_scope():
            await get_session().connection()
            await asyncio.sleep(0.02)

    await asyncio.gather(*(connect() for _ in range(size)))


async def read() -> Any:
    async with session_scope():
        return [tuple(row) for row in await direct("SELECT count(*) FROM counter")]


async def write() -> None:
    async with session_scope():
        await direct("UPDATE counter SET value = value + 1", writes=True)


KILL = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1"


@on_postgresql
@pytest.mark.parametrize("work", [read, write])
@pytest.mark.parametrize("hears", [True, False])
async def test_killed_connections_cost_one_failed_statement_at_most(
    books: str, postgres_server: Server, work: Any, hears: bool
) -> None:
    """However many they were, and each time; none, where the loop has had time to hear of it."""
    database = get_engine().url.database
    for _ in range(2):
        await fill_pool()
        if hears:
            await asyncio.to_thread(postgres_server.run, KILL, database)
            await asyncio.sleep(0.05)
        else:
            postgres_server.run(KILL, database)
        with within(3):
            errors = [await failure(work()) for _ in range(10)]
        failed = [error for error in errors if error is not None]
        assert len(failed) <= (0 if hears else 1)
        assert {ours(error)[0] for error in failed} <= {Unavailable}
        assert errors[1:] == [None] * 9
        assert checked_out() == 0


@on_postgresql
async def test_killed_connections_cost_one_failed_statement_at_most_by_either_way(
    books: str, postgres_server: Server
) -> None:
    """Who fails by SQLAlchemy spares who goes directly, and the other way round."""
    for first, second in ((core_read, read), (read, core_read)):
        await fill_pool()
        postgres_server.run(KILL, get_engine().url.database)
        with within(3):
            errors = [await failure(work()) for work in (first, second) * 5]
        assert errors[1:] == [None] * 9
        assert checked_out() == 0


@on_postgresql
async def test_killed_connections_let_nobody_hang(books: str, postgres_server: Server) -> None:
    """Many at once: each connection of the pool fails one at most, and all have an answer in time."""
    for _ in range(2):
        await fill_pool()
        postgres_server.run(KILL, get_engine().url.database)
        with within(3):
            errors = await asyncio.gather(*(failure(read()) for _ in range(30)))
        assert len([error for error in errors if error is not None]) <= settings.POOL_SIZE
        with within(3):
            assert await read() == [(0,)]
        assert checked_out() == 0


@on_postgresql
async def test_a_connection_that_is_killed_in_mid_statement_is_not_lent_again(
    books: str, postgres_server: Server
) -> None:
    """The one that was in use, whether the session keeps it or the pool lent it."""

    async def sleep(keeps: bool) -> BaseException | None:
        async with session_scope():
            if keeps:
                await get_session().connection()
            error = await failure(direct("SELECT pg_sleep(0.9)"))
            assert [tuple(row) for row in await direct("SELECT 1")] == [(1,)]
            return error

    for keeps in (False, True):
        task = asyncio.create_task(sleep(keeps))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(postgres_server.run, KILL, get_engine().url.database)
        error = await task
        assert error is not None
        assert ours(error)[0] is Unavailable
        assert checked_out() == 0
        assert await read() == [(0,)]


@pytest.fixture(scope="module")
def doomed() -> Iterator[Server]:
    """A server that these tests kill and freeze."""
    with throwaway_server() as server:
        yield server


@pytest.fixture
async def served(doomed: Server) -> AsyncIterator[Server]:
    """The settings name the doomed server, which runs and has the tables."""
    with override_settings(DATABASES={"default": doomed.url()}):
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield doomed
        await dispose_engines()


async def core_read() -> None:
    async with session_scope():
        await run_through_core("SELECT count(*) FROM counter", ())


async def test_a_killed_server_is_unavailable_and_serves_again_when_it_is_back(served: Server) -> None:
    """As with SQLAlchemy; connections that the pool holds are found dead without a statement being lost to them."""
    await fill_pool()
    served.run("CHECKPOINT")  # Or the tables would be lost with it.
    served.kill()
    await asyncio.sleep(0.05)
    with within(3):
        expected, actual, third = await failure(core_read()), await failure(read()), await failure(write())
    assert facts(actual) == facts(expected) == facts(third)
    assert isinstance(actual, Unavailable)
    served.start()
    with within(3):
        for _ in range(7):
            assert await read() == [(0,)]
            await write()
    assert checked_out() == 0


async def test_a_frozen_server_is_unavailable_in_time(served: Server) -> None:
    """Within STATEMENT_TIMEOUT plus one second; the connections are given up."""
    await asyncio.gather(read(), read(), write())
    with served.frozen():
        with within(STATEMENT_TIMEOUT + 1):
            errors = await asyncio.gather(failure(read()), failure(write()), failure(core_read()))
        assert [facts(error) for error in errors] == [facts(errors[0])] * 3
        assert isinstance(errors[0], Unavailable)
        with within(3):
            assert isinstance(await failure(read()), Unavailable)
    with within(3):
        assert await read() == [(0,)]
    assert checked_out() == 0


@on_postgresql
async def test_a_column_of_another_type_costs_no_statement(books: str, postgres_server: Server) -> None:
    """The driver prepares the statement anew, on each connection that had prepared it before."""
    sql = "SELECT shelf_label FROM shelf WHERE id = ?"

    async def read() -> list[str]:
        async with session_scope():
            return [row[0] for row in await direct(sql, 1)]

    await fill_pool()
    for _ in range(5):
        assert await read() == ["here"]
    change = "ALTER TABLE shelf ALTER COLUMN shelf_label TYPE text"
    await asyncio.to_thread(lambda: postgres_server.run(change, database=str(get_engine().url.database)))
    for _ in range(10):
        assert await read() == ["here"]
    async with session_scope():
        await get_session().execute(text("ALTER TABLE shelf ALTER COLUMN shelf_label TYPE varchar(10)"))
    for _ in range(10):
        assert await read() == ["here"]


@on_postgresql
@pytest.mark.parametrize("how", ["elsewhere", "by us"])
async def test_a_type_that_was_made_anew_costs_one_statement_at_most(
    books: str, postgres_server: Server, how: str
) -> None:
    """Whoever meets it first has every connection learn the types anew."""
    database = str(get_engine().url.database)

    async def change() -> None:
        for sql in (
            "DROP TABLE IF EXISTS mood",
            "DROP TYPE IF EXISTS feeling",
            "CREATE TYPE feeling AS ENUM ('sad', 'happy')",
            "CREATE TABLE mood (id int PRIMARY KEY, now feeling)",
            "INSERT INTO mood VALUES (1, 'sad')",
        ):
            if how == "elsewhere":
                await asyncio.to_thread(postgres_server.fetch, sql, database=database)
            else:
                async with session_scope():
                    await get_session().execute(text(sql))

    async def read() -> None:
        async with session_scope():
            rows = await direct("SELECT now FROM mood WHERE now = ?::feeling", "sad")
            assert [tuple(row) for row in rows] == [("sad",)]

    await change()
    await fill_pool()
    for _ in range(5):
        await read()
    await change()
    errors = [await failure(read()) for _ in range(10)]
    assert len([error for error in errors if error is not None]) <= 1, errors


@pytest.mark.usefixtures("books")
async def test_a_broken_rule_leaves_the_connection_in_the_pool() -> None:
    """It is as good as before."""
    for _ in range(20):
        async with session_scope():
            error = await failure(direct(FAILURES["unique"][0], *FAILURES["unique"][1], writes=True))
            assert isinstance(error, Exception)
    assert checked_out() == 0
    assert get_database().pool.checkedin() == 1


@pytest.mark.usefixtures("tables")
async def test_a_transaction_after_a_failed_statement_is_whole() -> None:
    """The turn to write has gone on."""
    async with session_scope():
        assert await failure(direct("UPDATE nowhere SET a = 1", writes=True)) is not None
        async with atomic():
            await get_session().execute(insert(Counter).values(id=1))
        await direct("UPDATE counter SET value = 2", writes=True)
