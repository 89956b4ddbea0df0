"""Which engine a statement uses: decided here and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from fastapix5.db.work import KEY, Frame, Work, work_of

__all__ = ["KEY", "Frame", "RoutedSession", "Work", "work_of"]

F = TypeVar("F", bound=Callable[..., Any])


def attended(method: F) -> F:
    """Let a method of the session run for one task at a time."""

    @functools.wraps(method)
    def run(self: Session, *args: Any, **kwargs: Any) -> Any:
        work = work_of(self)
        if not work.take():
            return method(self, *args, **kwargs)
        try:
            return method(self, *args, **kwargs)
        finally:
            work.leave()

    return cast("F", run)


class RoutedSession(Session):
    """A session whose statements commit themselves outside ``atomic`` and share a transaction inside.

    It serves one task at a time: whoever comes while another waits for the database, or has a transaction open, is
    refused.
    """

    def get_bind(self, mapper: Any = None, *, bind: Engine | Connection | None = None, **_: Any) -> Engine | Connection:
        """Return the engine for a statement; a replica's rule would stand here."""
        if bind is not None:
            return bind
        work = work_of(self)
        if work.connection is not None:
            return work.connection
        database = work.get_database()
        return database.transactional if work.frames else database.autocommit

    execute = attended(Session.execute)
    scalar = attended(Session.scalar)  # type: ignore[assignment, arg-type]  # mypy does not pass on its overloads.
    scalars = attended(Session.scalars)
    refresh = attended(Session.refresh)
    merge = attended(Session.merge)
    connection = attended(Session.connection)
    begin_nested = attended(Session.begin_nested)
    commit = attended(Session.commit)
    rollback = attended(Session.rollback)
    close = attended(Session.close)

    @attended
    def flush(self, objects: Any = None) -> None:
        """Write pending changes, and remember their classes for the sake of errors."""
        work = work_of(self)
        work.classes.update(type(obj) for states in (self.new, self.dirty) for obj in states)
        work.deleted.update(type(obj) for obj in self.deleted)
        try:
            super().flush(objects)
        except BaseException:
            if work.is_ours and not work.frames:
                self.rollback()  # Each statement is its own transaction here: the next one is not held up by this.
            raise
