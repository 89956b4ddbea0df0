"""Which engine a statement uses: decided here and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util.concurrency import in_greenlet

from fastapix5.db.unloaded import check_loaded
from fastapix5.db.work import KEY, Frame, Work, mark_failed, work_of

__all__ = ["KEY", "Frame", "RoutedSession", "Work", "checks_before_flush", "work_of"]

F = TypeVar("F", bound=Callable[..., Any])

# What looks at a session's objects before they are written, and may refuse them.
checks_before_flush: list[Callable[[Session], None]] = []


def attended(method: F) -> F:
    """Let a method of the session run for one task at a time; what the database refuses spoils the open transaction."""

    @functools.wraps(method)
    def run(self: Session, *args: Any, **kwargs: Any) -> Any:
        work = work_of(self)
        taken = work.take()
        try:
            return method(self, *args, **kwargs)
        except DBAPIError:
            mark_failed(self)
            raise
        finally:
            if taken:
                work.leave()

    return cast("F", run)


def outside_atomic(method: F) -> F:
    """Keep a method that ends the transaction from being called inside ``atomic``, which asks ``Session`` itself."""

    @functools.wraps(method)
    def run(self: Session, *args: Any, **kwargs: Any) -> Any:
        with work_of(self).turn():
            _check_outside(self, method.__name__)
            return method(self, *args, **kwargs)

    return cast("F", run)


def _check_outside(session: Session, name: str) -> None:
    if work_of(session).frames:
        raise RuntimeError(
            f"Session.{name}() inside atomic(): the block commits when it ends. Leave the block, or raise to roll back."
        )


_execute = attended(Session.execute)


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

    def execute(self, statement: Any, *args: Any, **options: Any) -> Any:
        """Run a statement; loaders come by here too, also where nobody can wait for the database."""
        if not in_greenlet():
            check_loaded(statement, options)
        return _execute(self, statement, *args, **options)

    def begin(self, nested: bool = False) -> SessionTransaction:
        """Begin a transaction outside ``atomic``, or a savepoint."""
        if not nested:
            _check_outside(self, "begin")
        return super().begin(nested)

    scalar = attended(Session.scalar)  # type: ignore[assignment, arg-type]  # mypy does not pass on its overloads.
    scalars = attended(Session.scalars)
    refresh = attended(Session.refresh)
    merge = attended(Session.merge)
    connection = attended(Session.connection)
    begin_nested = attended(Session.begin_nested)
    commit = outside_atomic(Session.commit)
    rollback = outside_atomic(Session.rollback)
    close = outside_atomic(Session.close)

    @attended
    def flush(self, objects: Any = None) -> None:
        """Write pending changes, and remember their classes for the sake of errors."""
        work = work_of(self)
        work.classes.update(type(obj) for states in (self.new, self.dirty) for obj in states)
        work.deleted.update(type(obj) for obj in self.deleted)
        try:
            for check in checks_before_flush:
                check(self)
            super().flush(objects)
        except BaseException:
            if work.is_ours and not work.frames:
                self.rollback()  # Each statement is its own transaction here: the next one is not held up by this.
            raise
