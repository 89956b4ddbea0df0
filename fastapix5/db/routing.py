"""Which engine a statement uses: decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import Session

from fastapix5.db.engines import Database, get_database

KEY = "fastapix5"


@dataclass(slots=True)
class Frame:
    """One ``atomic`` that is open.

    Attributes:
        savepoint: The savepoint that it stands for, or None.
        callbacks: What is to run after the commit.
        broken: Whether a part of it was given up without a savepoint, so that the whole must be.
    """

    savepoint: AsyncSessionTransaction | None = None
    callbacks: list[Callable[[], Awaitable[object] | object]] = field(default_factory=list)
    broken: bool = False


@dataclass(slots=True)
class Work:
    """What we know of a session beyond what SQLAlchemy does; it travels in ``session.info``.

    Attributes:
        alias: The database's alias.
        frames: The open ``atomic`` blocks, outermost first.
        classes: Mapped classes of which rows were written; errors that only the commit finds are placed by them.
        deleted: Mapped classes of which rows were deleted.
        is_ours: Whether we made the session; one from outside is neither committed nor closed.
        database: The alias's engines, once they were needed.
    """

    alias: str
    frames: list[Frame] = field(default_factory=list)
    classes: set[type] = field(default_factory=set)
    deleted: set[type] = field(default_factory=set)
    is_ours: bool = True
    database: Database | None = None

    def get_database(self) -> Database:
        """Return the engines of the alias, which stay the same for as long as the session lives."""
        if self.database is None:
            self.database = get_database(self.alias)
        return self.database


def work_of(session: AsyncSession | Session) -> Work:
    """Return what we know of a session."""
    work: Work = session.info[KEY]
    return work


class RoutedSession(Session):
    """A session whose statements commit themselves outside ``atomic`` and share a transaction inside."""

    def get_bind(self, mapper: Any = None, *, bind: Engine | Connection | None = None, **_: Any) -> Engine | Connection:
        """Return the engine for a statement; a replica's rule would stand here."""
        if bind is not None:
            return bind
        work = work_of(self)
        database = work.get_database()
        return database.transactional if work.frames else database.autocommit

    def flush(self, objects: Any = None) -> None:
        """Write pending changes, and remember their classes for the sake of errors."""
        work = work_of(self)
        work.classes.update(type(obj) for states in (self.new, self.dirty) for obj in states)
        work.deleted.update(type(obj) for obj in self.deleted)
        try:
            super().flush(objects)
        except BaseException:
            if work_of(self).is_ours and not work_of(self).frames:
                self.rollback()  # Each statement is its own transaction here: the next one is not held up by this.
            raise
