"""Counts statements where they arrive: in PostgreSQL's pg_stat_statements, and by SQLite's trace callback."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import Pool
from sqlalchemy.util.concurrency import await_

from tests.servers import Server

CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Statement(NamedTuple):
    """One text and how often it ran."""

    text: str
    calls: int = 1

    @property
    def is_control(self) -> bool:
        """Whether it begins or ends a transaction or savepoint."""
        return self.text.upper().startswith(CONTROL)


class Statements(Protocol):
    """What a database was asked since the last reset; what a driver asks when it connects does not count."""

    def reset(self) -> None:
        """Forget everything so far."""

    async def read(self) -> list[Statement]:
        """Return the statements, but for those that begin and end transactions."""

    async def read_control(self) -> list[Statement]:
        """Return the statements that begin and end transactions and savepoints."""

    async def count(self) -> int:
        """Return how many statements ran, but for those that begin and end transactions."""


class _Reading:
    def _all(self) -> list[Statement]:
        raise NotImplementedError

    async def read(self) -> list[Statement]:
        return [statement for statement in self._all() if not statement.is_control]

    async def read_control(self) -> list[Statement]:
        return [statement for statement in self._all() if statement.is_control]

    async def count(self) -> int:
        return sum(statement.calls for statement in await self.read())


class PostgreSQLStatements(_Reading):
    """Reads pg_stat_statements for one database."""

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self._database = str(make_url(url).database)

    def reset(self) -> None:
        sql = "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = $1), 0)"
        self._server.run(sql, self._database)

    def _all(self) -> list[Statement]:
        rows = self._server.fetch(
            "SELECT query, calls FROM pg_stat_statements JOIN pg_database ON oid = dbid WHERE datname = $1"
            # What SQLAlchemy and asyncpg ask when they connect.
            " AND query !~* 'pg_catalog|^(show|set) |set_config' ORDER BY query",
            self._database,
        )
        return [Statement(row["query"], row["calls"]) for row in rows]


class SQLiteStatements(_Reading):
    """Traces every SQLite connection that is opened while it is entered."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __enter__(self) -> Self:
        event.listen(Pool, "connect", self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Pool, "connect", self._trace)

    def _trace(self, dbapi_connection: Any, _: object) -> None:
        await_(dbapi_connection.driver_connection.set_trace_callback(self._texts.append))

    def reset(self) -> None:
        self._texts.clear()

    def _all(self) -> list[Statement]:
        own = (text for text in self._texts if not text.upper().startswith(("PRAGMA", "--")))
        return [Statement(text) for text in own]
