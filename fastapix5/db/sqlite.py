"""SQLite as a service needs it: writers take turns, statements end, and time zones are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Any, cast
from weakref import WeakKeyDictionary

import aiosqlite
from sqlalchemy import Connection, DateTime, Time
from sqlalchemy.dialects.sqlite import DATETIME, TIME
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.util.concurrency import await_

from fastapix5.db.closing import has_running_loop, in_background
from fastapix5.db.preparing import PRAGMAS, prepare_sqlite
from fastapix5.exceptions import Unavailable


class UTCDateTime(DATETIME):
    """SQLite's date and time; with ``timezone=True`` it stores UTC and returns aware UTC values."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return what makes UTC of an aware column's values."""
        process = super().bind_processor(dialect)
        if process is None or not self.timezone:
            return process

        def to_utc(value: Any) -> Any:
            if isinstance(value, datetime):
                # As asyncpg does, a value without a zone is taken as local time.
                value = value.astimezone(UTC)
            return process(value)

        return to_utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what gives an aware column's values their zone."""
        process = super().result_processor(dialect, coltype)
        if process is None or not self.timezone:
            return process

        def from_utc(value: Any) -> Any:
            found = process(value)
            return found if found is None else found.replace(tzinfo=UTC)

        return from_utc


class UTCTime(TIME):
    """SQLite's time of day; with ``timezone=True`` it stores UTC and returns aware UTC values."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Return what makes UTC of an aware column's values."""
        process: Any = super().bind_processor(dialect)  # type: ignore[no-untyped-call]
        if process is None or not self.timezone:
            return cast("Callable[[Any], Any] | None", process)

        def to_utc(value: Any) -> Any:
            if isinstance(value, time_of_day) and value.tzinfo is not None:
                value = datetime.combine(datetime(2000, 1, 1), value).astimezone(UTC).time()  # noqa: DTZ001 (value has one)
            return process(value)

        return to_utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what gives an aware column's values their zone."""
        process: Any = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
        if process is None or not self.timezone:
            return cast("Callable[[Any], Any] | None", process)

        def from_utc(value: Any) -> Any:
            found = process(value)
            return found if found is None else found.replace(tzinfo=UTC)

        return from_utc


# Seconds that waiting for the turn may take without counting.
NOTABLE = 0.05


class SQLiteDialect(SQLiteDialect_aiosqlite):
    """SQLite in the driver's autocommit mode: a transaction is one only after an explicit BEGIN.

    Writers of one process take turns. SQLite alone has them poll for its one lock, where whoever comes last may win
    and the first may starve.

    Args:
        statement_timeout: Seconds after which a statement is interrupted.
        lock_timeout: Seconds to wait for the turn to write.
    """

    is_ours = True
    supports_statement_cache = True
    colspecs = {
        **{key: value for key, value in SQLiteDialect_aiosqlite.colspecs.items() if not issubclass(key, DateTime)},
        DateTime: UTCDateTime,
        Time: UTCTime,
    }

    def __init__(self, statement_timeout: float = 5.0, lock_timeout: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.statement_timeout = statement_timeout
        self.lock_timeout = lock_timeout
        self.is_initialized = False
        self._turn = asyncio.Lock()
        self._writer: aiosqlite.Connection | None = None
        self._patience: WeakKeyDictionary[aiosqlite.Connection, float] = WeakKeyDictionary()

    def on_connect(self) -> Callable[[DBAPIConnection], None]:
        """Return what sets up a new connection."""
        set_up = super().on_connect()

        def connect(connection: DBAPIConnection) -> None:
            set_up(connection)
            prepare_sqlite(connection)
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return connect

    def initialize(self, connection: Connection) -> None:
        """Learn from the first connection what SQLite can do."""
        super().initialize(connection)
        self.is_initialized = True

    def set_isolation_level(self, dbapi_connection: DBAPIConnection, level: str) -> None:
        """Do nothing: the driver is in autocommit mode for good, and SQLite knows one isolation level."""

    def do_begin_immediate(self, connection: Connection) -> None:
        """Begin a transaction that may write, when it is this connection's turn."""
        driver = connection.connection.driver_connection
        await_(self._take_turn(driver))
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except BaseException:
            self._end_turn(driver)
            raise

    def do_commit(self, dbapi_connection: Any) -> None:
        """Commit where there is a transaction: in autocommit mode this costs nothing."""
        driver = dbapi_connection.driver_connection
        if driver.in_transaction:
            dbapi_connection.commit()
        # Not where COMMIT raised: after a deferred constraint refused it, transaction and turn go on.
        self._end_turn(driver)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll back where there is a transaction, and let the next writer begin."""
        driver = dbapi_connection.driver_connection
        try:
            if driver.in_transaction:
                dbapi_connection.rollback()
        finally:
            self._end_turn(driver)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement, within its time and in its turn."""
        with self._attended(cursor, context):
            cursor.execute(statement, parameters)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement for each set of parameters, within its time and in its turn."""
        with self._attended(cursor, context):
            cursor.executemany(statement, parameters)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """Run a statement as it stands, within its time and in its turn."""
        with self._attended(cursor, context):
            cursor.execute(statement)

    async def fetch(
        self, dbapi_connection: Any, text: str, parameters: Sequence[Any], *, writes: bool = False
    ) -> Sequence[Any]:
        """Run a statement by the driver alone, outside a transaction, and return its rows.

        Args:
            dbapi_connection: The connection, as the pool has it.
            text: The statement.
            parameters: Its arguments, as the driver takes them.
            writes: Whether it writes, and waits for its turn to.
        """
        driver = dbapi_connection.driver_connection
        alone = writes and not driver.in_transaction
        if alone:
            await self._take_turn(driver)
        timer = self._interrupt_in_time(driver)
        try:
            rows: Sequence[Any] = await driver.execute_fetchall(text, parameters)
        finally:
            timer.cancel()
            if alone:
                self._end_turn(driver)
        return rows

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Give the connection up, and the statement that it is at, without waiting."""
        driver = dbapi_connection.driver_connection
        self._end_turn(driver)
        if has_running_loop():
            in_background(_close(driver))
        else:
            super().do_terminate(dbapi_connection)

    @contextmanager
    def _attended(self, cursor: Any, context: Any) -> Iterator[None]:
        """Interrupt a statement that runs too long; one that writes and commits itself waits for its turn."""
        driver = cursor._connection  # noqa: SLF001 (SQLAlchemy offers no other way to it here)
        alone = not driver.in_transaction and _writes(context)
        if alone:
            await_(self._take_turn(driver))
        timer = self._interrupt_in_time(driver)
        try:
            yield
        finally:
            timer.cancel()
            if alone:
                self._end_turn(driver)

    def _interrupt_in_time(self, driver: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(self.statement_timeout, lambda: in_background(_interrupt(driver)))

    async def _take_turn(self, driver: Any) -> None:
        started = time.monotonic()
        await self._wait_for_turn()
        self._writer = driver
        waited = time.monotonic() - started
        try:
            # Whoever has waited for the turn has less time left for other processes.
            await self._wait_for_others(driver, self.lock_timeout - waited if waited > NOTABLE else self.lock_timeout)
        except BaseException:
            self._end_turn(driver)
            raise

    async def _wait_for_others(self, driver: Any, seconds: float) -> None:
        if self._patience.get(driver, self.lock_timeout) != seconds:
            await driver.execute_fetchall(f"PRAGMA busy_timeout = {max(0, round(seconds * 1000))}")
            self._patience[driver] = seconds

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(self.lock_timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Unavailable("SQLite: another connection kept writing") from error

    def _end_turn(self, driver: Any) -> None:
        if self._writer is driver and driver is not None:
            self._writer = None
            self._turn.release()


def _writes(context: Any) -> bool:
    return context is not None and (context.isinsert or context.isupdate or context.isdelete)


async def _interrupt(driver: aiosqlite.Connection) -> None:
    with suppress(ValueError):  # It is closed already.
        await driver.interrupt()


async def _close(driver: aiosqlite.Connection) -> None:
    # The driver's thread closes only after the statement that it is at.
    await _interrupt(driver)
    with suppress(Exception):
        # Closing alone does not: a cursor that a traceback holds on to keeps the connection, and its lock, alive.
        await driver.rollback()
    with suppress(Exception):
        await driver.close()
