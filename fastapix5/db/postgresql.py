"""PostgreSQL as a service needs it: no commit that was none, and no waiting for a server that is gone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from fastapix5.db.closing import has_running_loop, in_background
from fastapix5.db.pool import time_left
from fastapix5.db.preparing import prepare_postgresql

CLOSE_TIMEOUT = 2.0


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
    """

    supports_statement_cache = True
    folding_collation: str | None = None

    def initialize(self, connection: Connection) -> None:
        """Learn from the first connection what the server can do."""
        super().initialize(connection)  # type: ignore[no-untyped-call]
        prepare_postgresql(self, connection.connection.dbapi_connection)

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Connect, within what waiting for the pool has left of the time."""
        options.setdefault("connection_class", PostgreSQLConnection)
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
