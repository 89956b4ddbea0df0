"""Transactions: ``atomic`` and what runs after them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapix5.db.errors import translate, translated
from fastapix5.db.routing import Frame, Work, work_of
from fastapix5.db.sessions import DEFAULT, current_scope, finish, get_session
from fastapix5.exceptions import DatabaseError, TransactionAborted

P = ParamSpec("P")
R = TypeVar("R")

Callback = Callable[[], Awaitable[object] | object]

logger = logging.getLogger("fastapix5.db")

# What surely came from a database: a TimeoutError or an OSError of the caller's own code must stay what it is.
DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error)


class Atomic:
    """One transaction or savepoint; see ``atomic``."""

    def __init__(self, using: str, savepoint: bool, durable: bool) -> None:
        self.using = using
        self.savepoint = savepoint
        self.durable = durable
        self._session: AsyncSession | None = None

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Return the function running in a transaction of its own at each call."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"atomic decorates coroutine functions, and {function!r} is none.")

        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            async with Atomic(self.using, self.savepoint, self.durable):
                return await function(*args, **kwargs)

        return run

    async def __aenter__(self) -> Self:
        session = get_session(self.using)
        work = work_of(session)
        if self._session is not None:
            raise RuntimeError("This atomic block is open already: write atomic() anew for each block.")
        if self.durable and work.frames:
            raise RuntimeError("A durable atomic block cannot stand inside another one.")
        with translated(classes=work.classes | work.deleted):
            work.frames.append(await self._open(session, work))
        self._session = session
        return self

    async def _open(self, session: AsyncSession, work: Work) -> Frame:
        if not work.frames and work.is_ours:
            await session.run_sync(_release)
            return Frame()
        if not work.frames or self.savepoint:
            return Frame(savepoint=await session.begin_nested())
        return Frame()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = cast("AsyncSession", self._session), None
        work = work_of(session)
        frame = work.frames[-1]
        if error is None and not frame.broken:
            try:
                await self._keep(session, work, frame)
            except BaseException as failure:
                await finish(self._give_up(session, work, frame))
                _raise_translated(failure, work)
                raise
            await self._settle(work, frame)
            return
        await finish(self._give_up(session, work, frame))
        if error is None:
            raise TransactionAborted
        _raise_translated(error, work)

    async def _keep(self, session: AsyncSession, work: Work, frame: Frame) -> None:
        """Flush, and commit or release; a block without a savepoint leaves the rest to the one around it."""
        if frame.savepoint is not None:
            await frame.savepoint.commit()
        elif len(work.frames) > 1:
            await session.flush()
        else:
            await session.commit()

    async def _settle(self, work: Work, frame: Frame) -> None:
        work.frames.pop()
        if work.frames:
            work.frames[-1].callbacks += frame.callbacks
            return
        for callback in frame.callbacks:
            await _call(callback)

    async def _give_up(self, session: AsyncSession, work: Work, frame: Frame) -> None:
        try:
            if frame.savepoint is not None:
                await frame.savepoint.rollback()
            elif len(work.frames) > 1:
                work.frames[-2].broken = True
            else:
                await session.rollback()
        except Exception as error:
            # The connection is lost, and the transaction with it: what the caller should see is why it came here.
            if translate(error) is None and not isinstance(error, DatabaseError):
                raise
            for outer in work.frames[:-1]:
                outer.broken = True
            logger.warning("The rollback did not reach the database: %r", error)
        finally:
            work.frames.pop()


def _raise_translated(error: BaseException, work: Work) -> None:
    if isinstance(error, DATABASE_ERRORS):
        touched = work.classes | work.deleted
        # SQLite's commit does not say which table broke the rule; where one alone was touched, it was that.
        model = next(iter(touched)) if len(touched) == 1 else None
        ours = translate(error, model, deleting=not work.classes and bool(work.deleted), classes=touched)
        if ours is not None:
            raise ours from error


def _release(session: Session) -> None:
    """Give back the connection that statements outside a transaction used, without flushing."""
    if (transaction := session.get_transaction()) is not None:
        transaction.close()


@overload
def atomic(using: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def atomic(using: str = DEFAULT, savepoint: bool = True, durable: bool = False) -> Atomic: ...
def atomic(
    using: str | Callable[P, Coroutine[Any, Any, R]] = DEFAULT, savepoint: bool = True, durable: bool = False
) -> Atomic | Callable[P, Coroutine[Any, Any, R]]:
    """Run an ``async with`` block, or a coroutine function that it decorates, in one transaction.

    Leaving it flushes and commits; any exception, a cancellation too, rolls back. Errors of the database are raised as
    ours on leaving.

    Args:
        using: The database's alias.
        savepoint: Inside another block: whether this one can fail alone. Without, its failure ends the whole.
        durable: Refuse to stand inside another block.

    Raises:
        ScopeRequired: No session scope is open here.
        DatabaseError: A rule of the data does not hold, or the database cannot serve.
        TransactionAborted: A part of the block failed, and the error was caught inside it.
    """
    if callable(using):
        return Atomic(DEFAULT, savepoint, durable)(using)
    return Atomic(using, savepoint, durable)


def in_atomic(using: str = DEFAULT) -> bool:
    """Whether this scope's session has an open transaction."""
    return bool(work_of(get_session(using)).frames)


def on_commit(callback: Callback, using: str = DEFAULT) -> Awaitable[None]:
    """Have a callback run after the outermost ``atomic`` has committed, or at once where none is open.

    It runs only if everything up to it was kept. Awaiting the result is optional; outside ``atomic`` it waits for an
    ``async def`` callback, which otherwise ends before the session scope does.

    Args:
        callback: A ``def`` or ``async def`` function without arguments.
        using: The database's alias.
    """
    frames = work_of(get_session(using)).frames
    if frames:
        frames[-1].callbacks.append(callback)
        return _Done()
    result = callback()
    if not isinstance(result, Awaitable):
        return _Done()
    task = asyncio.ensure_future(_wait(result))
    later = current_scope().later
    later.add(task)
    task.add_done_callback(later.discard)
    return task


class _Done:
    def __await__(self) -> Generator[None, None, None]:
        return
        yield


async def _call(callback: Callback) -> None:
    result = callback()
    if isinstance(result, Awaitable):
        await result


async def _wait(result: Awaitable[object]) -> None:
    await result
