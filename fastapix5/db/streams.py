"""Rows in batches, for results that should not be in memory as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, Result, Row
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from fastapix5.db.errors import translated
from fastapix5.db.sessions import finish, get_session, release
from fastapix5.db.work import work_of

SIZE = 1000


async def stream(using: str, statement: Executable, size: int = SIZE) -> AsyncIterator[Sequence[Row[Any]]]:
    """Run a SELECT and yield its rows in batches; other statements may run on the scope's session in between.

    Inside ``atomic`` the rows come from its transaction. Outside, they come on a connection of their own, in a
    transaction where the driver has cursors only there, and show the database as it was when the loop began; objects
    belong to the scope's session all the same. The connection goes back when the loop ends, is broken off or fails, and
    with the scope at the latest. SQLite reads ahead inside ``atomic``, and in memory, where it has one connection: rows
    that are changed meanwhile would come twice.

    Args:
        using: The database's alias.
        statement: The SELECT.
        size: How many rows a batch has, the last one apart.

    Raises:
        ScopeRequired: No scope is open here.
        SessionInUse: Another task is at the session, or inside a transaction on it.
        Unavailable: The database cannot serve.
    """
    rows = Rows(get_session(using), statement, size)
    try:
        while batch := await rows.fetch():
            yield batch
    finally:
        await rows.close()


class Rows:
    """The rows of one SELECT that are still to come.

    Args:
        session: The session that objects belong to.
        statement: The SELECT.
        size: How many are fetched at once.
    """

    def __init__(self, session: AsyncSession, statement: Executable, size: int) -> None:
        self.session = session
        self.work = work_of(session)
        self.statement = statement
        self.size = size
        self._connection: Connection | None = None
        self._result: Result[Any] | None = None
        self._ended = False

    async def fetch(self) -> Sequence[Row[Any]]:
        """Return the next rows, or none at the end."""
        with translated():
            return await self.session.run_sync(self._fetch)

    async def close(self) -> None:
        """Give the connection back.

        Raises:
            Unavailable: The database was lost before the transaction of these rows had ended.
        """
        if self._result is not None or self._connection is not None:
            with translated():
                await finish(self.session.run_sync(self._close))

    def _fetch(self, session: Session) -> Sequence[Row[Any]]:
        with self.work.turn():
            if self._result is None:
                self._begin(session)
            with self._on_own_connection(session):
                if self._result is None:
                    self._result = self._execute(session)
                rows = self._result.fetchmany(self.size)
                self._ended = not rows
                return rows

    def _begin(self, session: Session) -> None:
        """Connect, where the session's own connection does not serve."""
        if self.work.frames or not self.work.is_ours or is_in_memory(self.work.get_database().engine):
            return
        # The session's connection is idle, and a pool of one has no other.
        release(session)
        database = self.work.get_database()
        self.work.closers.append(self.close)
        if session.get_bind().dialect.name == "sqlite":
            self._connection = database.autocommit.connect()
        else:
            self._connection = database.transactional.connect()
        self._connection.begin()
        if self._connection.dialect.name == "postgresql":
            # The loop may take its time between two batches.
            self._connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def _execute(self, session: Session) -> Result[Any]:
        if self._connection is None and session.get_bind().dialect.name == "sqlite":
            # yield_per as an option would have the driver leave the rows where they are, too.
            return session.execute(self.statement).yield_per(self.size)
        return session.execute(self.statement, execution_options={"yield_per": self.size})

    @contextmanager
    def _on_own_connection(self, session: Session) -> Iterator[None]:
        """Run statements, loaders' too, on the connection of these rows, and leave no trace of it in the session."""
        if self._connection is None or self.work.frames:
            yield
            return
        release(session)
        self.work.connection = self._connection
        try:
            yield
        finally:
            self.work.connection = None
            release(session)

    def _close(self, _session: Session) -> None:
        result, connection = self._result, self._connection
        self._result = self._connection = None
        if self.close in self.work.closers:
            self.work.closers.remove(self.close)
        try:
            if result is not None:
                result.close()
        finally:
            if connection is not None:
                with connection:
                    if self._ended:
                        connection.commit()  # A rollback would look like a failure in the server's statistics.


def is_in_memory(engine: AsyncEngine) -> bool:
    """Whether the database is SQLite's in memory, which has one connection."""
    url = engine.url
    named = url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    return url.get_backend_name() == "sqlite" and named
