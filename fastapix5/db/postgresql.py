"""PostgreSQL as a service needs it: no commit that was none, and no waiting for a server that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from fastapix5.db.closing import has_running_loop, in_background
from fastapix5.db.pool import time_left
from fastapix5.db.preparing import prepare_postgresql

CLOSE_TIMEOUT = 2.0

# What SQLAlchemy, not the driver, is told about prepared statements when it connects.
PREPARING = frozenset({"prepared_statement_cache_size", "prepared_statement_name_func"})


class PostgreSQLConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that takes the answer ROLLBACK to a COMMIT for what it is."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 (asyncpg's signature)
        """Run the command and return its status.

        Raises:
            asyncpg.InFailedSQLTransactionError: A COMMIT that PostgreSQL turned into a ROLLBACK, silently, because a
                statement before it had failed.
        """
        status = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError("COMMIT was answered by ROLLBACK: a statement before it failed.")
        return cast("str", status)


class PostgreSQLDialect(PGDialect_asyncpg):
    """PostgreSQL by asyncpg; connections close in the background, so that nobody waits for a server that is gone.

    Attributes:
        folding_collation: What lookups that ignore case ask for, where the database's own collation folds ASCII alone.
        is_initialized: Whether it has learned from a connection what the server can do.
        prepares_by_rule: Whether SQLAlchemy was told how to prepare statements, as for PgBouncer, which ``fetch`` knows
            nothing of.
    """

    is_ours = True
    supports_statement_cache = True
    folding_collation: str | None = None
    is_initialized: bool = False
    prepares_by_rule: bool = False

    def initialize(self, connection: Connection) -> None:
        """Learn from the first connection what the server can do."""
        super().initialize(connection)  # type: ignore[no-untyped-call]
        prepare_postgresql(self, connection.connection.dbapi_connection)
        self.is_initialized = True

    async def fetch(
        self, dbapi_connection: Any, text: str, parameters: Sequence[Any], *, writes: bool = False
    ) -> Sequence[Any]:
        """Run a statement by the driver alone, outside a transaction, and return its rows.

        Args:
            dbapi_connection: The connection, as the pool has it.
            text: The statement.
            parameters: Its arguments, as the driver takes them.
            writes: Whether it writes; here that makes no difference.
        """
        asof = self._invalidate_schema_cache_asof
        if asof > dbapi_connection._invalidate_schema_cache_asof:  # noqa: SLF001 (set when types or tables change)
            await dbapi_connection._check_type_cache_invalidation(asof)  # noqa: SLF001
        try:
            rows: Sequence[Any] = await dbapi_connection.driver_connection.fetch(text, *parameters)
        except (asyncpg.InvalidCachedStatementError, asyncpg.InternalServerError):
            self._invalidate_schema_cache()  # type: ignore[no-untyped-call]
            raise
        return rows

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Connect, within what waiting for the pool has left of the time."""
        options.setdefault("connection_class", PostgreSQLConnection)
        self.prepares_by_rule = bool(PREPARING & options.keys()) and options.get("statement_cache_size") != 0
        if options.get("timeout") is not None:
            options["timeout"] = time_left(options["timeout"])
        return super().connect(*arguments, **options)

    def do_close(self, dbapi_connection: Any) -> None:
        """Close without waiting: a server that is silent would keep everybody."""
        self.do_terminate(dbapi_connection)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Give the connection up without waiting."""
        driver = dbapi_connection.driver_connection
        if has_running_loop():
            in_background(_close(driver))
        else:
            driver.terminate()


async def _close(driver: asyncpg.Connection) -> None:
    # close() also cancels the statement that the server is at, and aborts when that takes too long.
    with suppress(Exception):
        await driver.close(timeout=CLOSE_TIMEOUT)
