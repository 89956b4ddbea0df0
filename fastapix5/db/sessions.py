"""Sessions: one per database alias and scope, in a context variable, made when first used."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from sqlalchemy import Executable, Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapix5.access import Access, current_access
from fastapix5.db.routing import RoutedSession
from fastapix5.db.work import KEY, Work, mark_failed, work_of
from fastapix5.exceptions import OpenTransaction, ScopeEnded, ScopeRequired, UnflushedChanges, did_you_mean

T = TypeVar("T")

DEFAULT = "default"

# What SQLAlchemy's session can be told.
SESSION_OPTIONS = frozenset(inspect.signature(Session).parameters)


class Scope:
    """The sessions of one stretch of code; see ``session_scope``."""

    __slots__ = (
        "access",
        "given",
        "is_open",
        "is_over",
        "later",
        "options",
        "outer",
        "outer_access",
        "sessions",
        "using",
        "works",
    )

    def __init__(self, using: str | AsyncSession | None, access: Access | None, options: dict[str, Any]) -> None:
        self.using = using if isinstance(using, str) else DEFAULT
        self.given = using if isinstance(using, AsyncSession) else None
        self.access = access
        self.options = options
        self.sessions: dict[str, AsyncSession] = {}
        self.works: dict[str, Work] = {}
        self.later: set[asyncio.Future[Any]] = set()
        self.is_open = False
        self.is_over = False
        self.outer: Scope | None = None
        self.outer_access: Access | None = None

    async def __aenter__(self) -> Self:
        if self.is_open:
            raise RuntimeError("This session scope is open already: write session_scope() anew for each block.")
        self.is_open, self.is_over, self.works = True, False, {}
        self.outer, self.outer_access = _current.get(), current_access.get()
        if self.given is not None:
            self.works[self.using] = self.given.info.setdefault(KEY, Work(self.using, is_ours=False))
            self.sessions[self.using] = self.given
        _current.set(self)
        if self.access is not None:
            current_access.set(self.access)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.later:
                await asyncio.gather(*self.later, return_exceptions=error is not None)
            if error is None and self.sessions:
                self._check_finished()
                self._check_flushed()
        finally:
            _current.set(self.outer)
            current_access.set(self.outer_access)
            self.is_open, self.is_over = False, True
            if self.sessions or any(work.is_busy for work in self.works.values()):
                await self._close()

    if not TYPE_CHECKING:  # mypy refuses what these refuse.

        def __enter__(self) -> NoReturn:
            raise TypeError("Write `async with session_scope():`.")

        def __exit__(self, *_: object) -> None: ...

    def get(self, alias: str) -> AsyncSession:
        """Return the session of an alias; ``default`` means the alias that the scope was opened with.

        Raises:
            ScopeEnded: The scope has been left: a session would be one that nobody closes.
        """
        work, alias = self.work(alias), self.name(alias)
        session = self.sessions.get(alias)
        if session is None:
            session = self.sessions[alias] = _make(work, self.options)
        else:
            let_go_of_lost(session)
        return session

    def work(self, alias: str) -> Work:
        """Return what is known of the session of an alias, whether or not that was made yet; see ``get``.

        Raises:
            ScopeEnded: The scope has been left.
        """
        if self.is_over:
            raise ScopeEnded
        alias = self.name(alias)
        work = self.works.get(alias)
        if work is None:
            work = self.works[alias] = Work(alias)
        return work

    def name(self, alias: str) -> str:
        """Return the alias that an alias means in this scope."""
        return self.using if alias == DEFAULT else alias

    async def _close(self) -> None:
        while self.sessions:
            name, session = self.sessions.popitem()
            work = self.works.pop(name)
            if session is self.given:
                continue
            work.is_over = True
            if work.database is None:
                continue
            if work.database.is_ours and not (work.frames or work.is_busy or work.closers):
                # Returning a connection in autocommit mode does no input or output, so nothing can cancel it.
                await session.run_sync(_close)
            else:
                await finish(_close_when_idle(session, work))
        while self.works:
            _, work = self.works.popitem()
            if work.is_busy:
                await finish(work.until_idle())

    def _check_finished(self) -> None:
        """Refuse to end inside ``atomic``: what was done there would be lost, and its caller told that it is there."""
        ours = ((alias, work_of(session)) for alias, session in self.sessions.items() if session is not self.given)
        if open_blocks := [alias for alias, work in ours if work.frames]:
            raise OpenTransaction(open_blocks)

    def _check_flushed(self) -> None:
        sessions = (session for session in self.sessions.values() if session is not self.given)
        if names := [name for session in sessions for name in _unflushed(session)]:
            raise UnflushedChanges(names)


_current: ContextVar[Scope | None] = ContextVar("fastapix5_scope", default=None)


def session_scope(
    *, using: str | AsyncSession | None = None, access: Access | None = None, **session_options: Any
) -> Scope:
    """Open a scope for an ``async with`` block. Sessions belong to it, and leaving it releases their connections.

    Outside ``atomic`` each statement commits itself. An inner scope has sessions and transactions of its own and
    inherits the access.

    Args:
        using: The alias that "default" stands for in this scope, or a session of the caller's own, which is neither
            committed nor closed.
        access: Who is asking, for the duration of the scope.
        session_options: What ``AsyncSession`` takes, for each session that the scope makes.

    Raises:
        TypeError: An option is none of these.
        UnflushedChanges: On leaving: an object was changed and the change never written.
    """
    if session_options:
        _check_options(session_options)
    return Scope(using, access, session_options)


def _check_options(options: dict[str, Any]) -> None:
    for name in options:
        if name not in SESSION_OPTIONS:
            hint = did_you_mean(name, {"using", "access", *SESSION_OPTIONS})
            raise TypeError(f'session_scope() has no option "{name}".{hint}')
    if options.get("autoflush"):
        raise TypeError("session_scope(autoflush=True): queries never flush. Call `await get_session().flush()`.")


def get_session(alias: str = DEFAULT) -> AsyncSession:
    """Return this scope's session for a database alias, made when first asked for.

    Raises:
        ScopeRequired: No scope is open here.
    """
    return current_scope().get(alias)


def current_scope() -> Scope:
    """Return the innermost open scope.

    Raises:
        ScopeRequired: None is open here.
    """
    scope = _current.get()
    if scope is None:
        raise ScopeRequired
    return scope


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end even when the caller is cancelled meanwhile; the cancellation is raised then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # Asked for, or asyncio complains that nobody did.
        raise cancelled
    return task.result()


def has_unflushed_changes(session: AsyncSession) -> bool:
    """Whether the session holds objects that are new, changed or to be deleted, and not yet written."""
    return any(_unflushed(session))


def _make(work: Work, options: dict[str, Any]) -> AsyncSession:
    settled = {"autoflush": False, "expire_on_commit": False, **options}
    settled["info"] = {**settled.get("info", {}), KEY: work}
    return AsyncSession(sync_session_class=RoutedSession, **settled)


async def execute(
    using: str | AsyncSession, statement: Executable, parameters: Any = None, **options: Any
) -> Result[Any]:
    """Run a statement. A session from outside is guarded against a second task here, where ours guard themselves.

    Args:
        using: The database's alias, or a session.
        statement: Anything that SQLAlchemy executes.
        parameters: Its parameters, or a list of them for many rows.
        **options: What ``AsyncSession.execute`` takes besides.

    Raises:
        ScopeRequired: No scope is open here.
        SessionInUse: Another task is at the session, or inside a transaction on it.
    """
    session = get_session(using) if isinstance(using, str) else using
    if isinstance(session.sync_session, RoutedSession):
        return await session.execute(statement, parameters, **options)
    with work_of(session).turn(object()):
        try:
            return await session.execute(statement, parameters, **options)
        except DBAPIError:
            mark_failed(session)
            raise


def release(session: Session) -> None:
    """Give back the connection that statements outside a transaction used, without flushing."""
    if (transaction := session.get_transaction()) is not None:
        transaction.close()


def _close(session: Session) -> None:
    with work_of(session).turn(checked=False):
        # A block that is still open is lost here on purpose.
        Session.close(session)


async def _close_when_idle(session: AsyncSession, work: Work) -> None:
    """Close a session that other tasks may be at: the statement that they wait for ends first, and is their last."""
    await work.until_idle()
    for close in [*work.closers]:
        await close()
    await session.run_sync(_close)
    if work.frames:
        work.drop(work.frames[0])


def let_go_of_lost(session: AsyncSession) -> None:
    """Forget a connection that was lost outside a transaction, so that the next statement takes another."""
    transaction = session.sync_session.get_transaction()
    work = work_of(session)
    if transaction is None or work.frames or work.is_busy:
        return
    if any(connection.invalidated for connection in transaction.connections):
        transaction.close()


def _unflushed(session: AsyncSession) -> Iterator[str]:
    # A session that was never used has no state worth three sets.
    if not session.sync_session.identity_map and not session.new:
        return
    changed = [*session.new, *session.deleted, *(obj for obj in session.dirty if session.is_modified(obj))]
    yield from (type(obj).__name__ for obj in changed)
