"""Statements by the driver alone: SQL text and driver values on the pool's own connections, past SQLAlchemy.

It is for whoever has compiled a statement before. Each one is its own transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.concurrency import greenlet_spawn

from fastapix5.db.dialects import is_our_dialect
from fastapix5.db.engines import Database, handle_error, placed
from fastapix5.db.pool import Pool
from fastapix5.db.preparing import begin_immediate
from fastapix5.db.routing import RoutedSession
from fastapix5.db.sessions import Scope, current_scope, has_unflushed_changes, let_go_of_lost
from fastapix5.db.work import Work
from fastapix5.exceptions import Unavailable

# Who listens to these may want to see, or to change, any statement.
ENGINE_EVENTS = (
    "before_execute",
    "after_execute",
    "before_cursor_execute",
    "after_cursor_execute",
    "engine_connect",
    "begin",
    "commit",
    "rollback",
)
SESSION_EVENTS = (
    "do_orm_execute",
    "after_begin",
    "before_commit",
    "after_commit",
    "after_rollback",
    "after_soft_rollback",
    "after_transaction_create",
    "after_transaction_end",
)
DIALECT_EVENTS = ("do_execute", "do_execute_no_params", "handle_error")
OWN_LISTENERS = (begin_immediate, handle_error)

# What the engine for statements that commit themselves is told, and no more.
AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}

# Who listens to all sessions is told by one that nobody else knows; the collections stay the same.
_to_any_session = RoutedSession().dispatch
TO_ALL_SESSIONS = tuple(getattr(_to_any_session, name).parent_listeners for name in SESSION_EVENTS)


class Way(NamedTuple):
    """How a statement of the running scope goes.

    Attributes:
        database: Where to ``run`` it directly, or None: through the session, by SQLAlchemy.
        why: Why not directly, or the empty string.
        work: What is known of the alias's session.
        session: The session, where there is one.
    """

    database: Database | None
    why: str
    work: Work
    session: AsyncSession | None


def way(using: str) -> Way:
    """Return how a statement on a database goes from here.

    Args:
        using: The database's alias.

    Raises:
        ScopeRequired: No session scope is open here.
        ScopeEnded: It has been left.
        ImproperlyConfigured: There is no such alias.
    """
    scope = current_scope()
    work = scope.work(using)
    session = scope.sessions.get(scope.name(using)) if scope.sessions else None
    database = work.get_database()
    why = refusal(database) or _engagement(scope, work, session)
    dialect: Any = database.transactional.dialect
    if not why and not dialect.is_initialized:
        why = "the engine has not connected yet"
    return Way(None if why else database, why, work, session)


def refusal(database: Database) -> str:
    """Return why no statement may go to a database directly, or the empty string.

    Listeners come and go, so it is asked for each statement.
    """
    engine = database.transactional
    dialect, pool = engine.dialect, engine.pool
    if not is_our_dialect(dialect):
        if dialect.driver in ("asyncpg", "aiosqlite"):
            return "the engine is the user's own, with SQLAlchemy's dialect"
        return f"the driver is {dialect.driver}"
    if not isinstance(pool, Pool):
        return f"the pool is {type(pool).__name__}"
    if getattr(dialect, "prepares_by_rule", False):
        return "statements are prepared by a rule of the user's own"
    if engine.logger.isEnabledFor(logging.INFO):
        return "echo is on"
    if engine.get_execution_options():
        return "the engine has execution options"
    # SQLAlchemy's own mark that there may be listeners.
    if engine._has_events and (name := _listened_to(engine.dispatch, ENGINE_EVENTS)):  # noqa: SLF001 (there is no public one)
        return f"somebody listens to its statements ({name})"
    if name := _listened_to(dialect.dispatch, DIALECT_EVENTS):
        return f"somebody listens to its statements ({name})"
    if any(TO_ALL_SESSIONS):
        return f"somebody listens to sessions ({_listened_to(_to_any_session, SESSION_EVENTS)})"
    return pool.watcher


def stands_alone(using: str) -> bool:
    """Whether a statement of the running scope may be a transaction of its own, instead of one in SQLAlchemy's.

    Who listens to transactions, has chosen how they are isolated, or has begun to write wants one of SQLAlchemy's.
    """
    database = way(using).database
    if database is None:
        return False
    return database.transactional.dialect._on_connect_isolation_level is None  # noqa: SLF001 (what create_engine was told)


async def run(found: Way, text: str, parameters: Sequence[Any], *, writes: bool = False) -> Sequence[Any]:
    """Run a statement that goes directly, and return its rows as the driver gives them.

    Args:
        found: What ``way`` has just said.
        text: The statement, with the driver's own placeholders.
        parameters: The values for these, as the driver takes them.
        writes: Whether it writes: writers of one SQLite database take turns.

    Raises:
        SessionInUse: Another task waits for an answer in this scope.
        Unavailable: The database does not answer.
        SQLAlchemyError: What SQLAlchemy would raise in its place.
    """
    database, why, work, session = found
    if database is None:
        raise LookupError(f"A statement cannot go directly here: {why}.")
    if session is not None:
        let_go_of_lost(session)
    work.take(object())
    try:
        kept = None if session is None else _kept_connection(session)
        if kept is not None:
            return await _fetch(database, kept, kept.connection.dbapi_connection, text, parameters, writes)
        pool = database.pool
        entry = pool.take() or await greenlet_spawn(_wait_for_connection, database)
        try:
            return await _fetch(database, entry, entry.dbapi_connection, text, parameters, writes)
        finally:
            pool.give_back(entry)
    finally:
        work.leave()


def _engagement(scope: Scope, work: Work, session: AsyncSession | None) -> str:
    """Return what the scope or its session is in the middle of that a statement is part of, or the empty string."""
    if scope.options:
        return "the session scope has options of its own"
    if session is None:
        return ""
    inner = session.sync_session
    if session is scope.given or not work.is_ours:
        return "the session is one from outside"
    if work.frames or inner.in_nested_transaction():
        return "inside atomic()"
    if work.is_busy or work.connection is not None:
        return "the session is in use"
    if has_unflushed_changes(session):
        return "the session has changes that are not written"
    if inner.autoflush:
        return "the session flushes before it asks"
    if name := _listened_to(inner.dispatch, SESSION_EVENTS):
        return f"somebody listens to the session ({name})"
    kept = _kept_connection(session)
    if kept is not None and kept.get_execution_options() != AUTOCOMMIT:
        return "the session's connection has options of its own"
    return ""


def _listened_to(dispatch: Any, names: Sequence[str]) -> str:
    """Return the first of some events to which others than ourselves listen, or the empty string."""
    for name in names:
        for listener in getattr(dispatch, name):
            if listener not in OWN_LISTENERS:
                return name
    return ""


def _kept_connection(session: AsyncSession) -> Connection | None:
    """Return the connection that a session keeps from its last statement, and with it what was set on it."""
    transaction = session.sync_session.get_transaction()
    return next(iter(transaction.connections), None) if transaction is not None else None


def _wait_for_connection(database: Database) -> ConnectionPoolEntry:
    try:
        entry: ConnectionPoolEntry = database.pool.wait()
    except database.transactional.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemy(database, error) from error
    return entry


async def _fetch(
    database: Database,
    lent: ConnectionPoolEntry | Connection,
    dbapi_connection: Any,
    text: str,
    parameters: Sequence[Any],
    writes: bool,
) -> Sequence[Any]:
    dialect: Any = database.transactional.dialect
    try:
        rows: Sequence[Any] = await dialect.fetch(dbapi_connection, text, parameters, writes=writes)
    except Exception as error:
        if (failure := placed(error, text)) is not None:
            if isinstance(failure, Unavailable):
                lent.invalidate(error)
            raise failure from error
        try:
            dbapi_connection._handle_exception(error)  # noqa: SLF001 (what makes the driver's errors those of a DBAPI)
        except dialect.loaded_dbapi.Error as adapted:
            is_lost = dialect.is_disconnect(adapted, dbapi_connection, None)
            if is_lost:
                lent.invalidate(adapted)
                # The others were lost with it, as a rule: whoever is lent one of those connects anew.
                database.pool._invalidate(lent, adapted, _checkin=False)  # noqa: SLF001 (as SQLAlchemy's connections do)
            raise _as_sqlalchemy(database, adapted, text, parameters, is_lost=is_lost) from adapted
    except BaseException as error:
        # The server may still be at the statement.
        lent.invalidate(error)
        raise
    return rows


def _as_sqlalchemy(
    database: Database,
    error: Exception,
    text: str | None = None,
    parameters: Sequence[Any] | None = None,
    *,
    is_lost: bool = False,
) -> Exception:
    engine = database.transactional
    return DBAPIError.instance(
        text,
        None if parameters is None else tuple(parameters),
        error,
        engine.dialect.loaded_dbapi.Error,
        hide_parameters=engine.hide_parameters,
        connection_invalidated=is_lost,
        dialect=engine.dialect,
        ismulti=False,
    )
