"""Transactions: ``atomic`` and what runs after them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar, cast, overload

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapix5.db.dialects import loaded
from fastapix5.db.errors import translate, translated
from fastapix5.db.retries import run_unit
from fastapix5.db.sessions import DEFAULT, current_scope, finish, get_session, release
from fastapix5.db.work import LOST, NESTED, Frame, State, Work, forget, know, work_of
from fastapix5.exceptions import DatabaseError, SessionInUse, TransactionAborted
from fastapix5.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

Callback = Callable[[], Awaitable[object] | object]

logger = logging.getLogger("fastapix5.db")


class Atomic:
    """One transaction or savepoint; see ``atomic``.

    Attributes:
        committed: Whether what it did is kept for good.
    """

    def __init__(self, using: str, savepoint: bool, durable: bool) -> None:
        self.using = using
        self.savepoint = savepoint
        self.durable = durable
        self.committed = False
        self._session: AsyncSession | None = None
        self._frame: Frame | None = None

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Return the function running in a transaction of its own at each call."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"atomic decorates coroutine functions, and {function!r} is none.")

        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return await run_unit(
                self.using,
                lambda: Atomic(self.using, self.savepoint, self.durable),
                lambda: function(*args, **kwargs),
            )

        return run

    async def __aenter__(self) -> Self:
        session = get_session(self.using)
        work = work_of(session)
        if self._session is not None:
            raise RuntimeError("This atomic block is open already: write atomic() anew for each block.")
        if self.durable and work.frames:
            raise RuntimeError("A durable atomic block cannot stand inside another one.")
        _check_alias(work)
        with translated(classes=work.classes | work.deleted):
            self._frame = await session.run_sync(_open, self.savepoint)
        know(self._frame)
        self._session = session
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = cast("AsyncSession", self._session), None
        frame, self._frame = cast("Frame", self._frame), None
        work = frame.work
        forget(frame)
        if frame.state is not State.OPEN:
            self._refuse(error, LOST)
            return
        if work.frames[-1] is not frame:
            await finish(_give_up(session, frame))
            self._refuse(error, NESTED)
        elif error is None and not frame.broken:
            await self._keep(session, frame)
            await _settle(frame)
            return
        else:
            await finish(_give_up(session, frame))
        if error is None:
            raise TransactionAborted
        _raise_translated(error, work)

    if not TYPE_CHECKING:  # mypy refuses what these refuse.

        def __enter__(self) -> NoReturn:
            raise TypeError("Write `async with atomic():`.")

        def __exit__(self, *_: object) -> None: ...

    async def _keep(self, session: AsyncSession, frame: Frame) -> None:
        try:
            await session.run_sync(_keep, frame)
        except BaseException as failure:
            await finish(_give_up(session, frame))
            _raise_translated(failure, frame.work)
            raise
        self.committed = not frame.work.frames

    def _refuse(self, error: BaseException | None, what: str) -> None:
        """Tell that the block is not as its task believes, where it does not end with an error anyway."""
        if error is None:
            raise SessionInUse(what)


def _open(session: Session, savepoint: bool) -> Frame:
    work = work_of(session)
    with work.turn():
        if not work.frames and work.is_ours:
            release(session)
            return work.enter()
        if not work.frames or savepoint:
            return work.enter(session.begin_nested())
        return work.enter()


def _keep(session: Session, frame: Frame) -> None:
    """Flush, and commit or release; a block without a savepoint leaves the rest to the one around it."""
    work = frame.work
    with work.turn(checked=False):
        if frame.savepoint is not None:
            frame.savepoint.commit()
        elif len(work.frames) > 1:
            session.flush()
        else:
            Session.commit(session)  # Our own class refuses it inside a block.
        work.drop(frame)


async def _settle(frame: Frame) -> None:
    """Hand the callbacks to the block around, or run them."""
    if frame.work.frames:
        frame.work.frames[-1].callbacks += frame.callbacks
        return
    first: Exception | None = None
    for callback in frame.callbacks:
        try:
            await _call(callback)
        except Exception as error:
            if first is not None:
                logger.exception("A callback of on_commit failed, after another one.")
            first = first or error
    if first is not None:
        raise first


async def _give_up(session: AsyncSession, frame: Frame) -> None:
    """Roll back, once the statement that another task may be at has ended."""
    frame.state = State.LEFT
    await frame.work.until_idle()
    if frame in frame.work.frames:
        await session.run_sync(_roll_back, frame)


def _roll_back(session: Session, frame: Frame) -> None:
    work = frame.work
    outer = work.frames[: work.frames.index(frame)]
    with work.turn(checked=False):
        try:
            if frame.savepoint is not None:
                frame.savepoint.rollback()
            elif outer:
                outer[-1].broken = True
            else:
                Session.rollback(session)
        except Exception as error:
            # The connection is lost, and the transaction with it: what the caller should see is why it came here.
            if translate(error) is None and not isinstance(error, DatabaseError):
                raise
            for around in outer:
                around.broken = True
            logger.warning("The rollback did not reach the database: %r", error)
        finally:
            work.drop(frame)


def _raise_translated(error: BaseException, work: Work) -> None:
    drivers = (*loaded("asyncpg", "PostgresError", "InterfaceError"), *loaded("sqlite3", "Error"))
    # What surely came from a database: a TimeoutError or an OSError of the caller's own code must stay what it is.
    if isinstance(error, (SQLAlchemyError, *drivers)):
        touched = work.classes | work.deleted
        # SQLite's commit does not say which table broke the rule; where one alone was touched, it was that.
        model = next(iter(touched)) if len(touched) == 1 else None
        ours = translate(error, model, deleting=not work.classes and bool(work.deleted), classes=touched)
        if ours is not None:
            raise ours from error


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
    return bool(current_scope().work(using).frames)


@asynccontextmanager
async def ended_by_errors(using: str = DEFAULT) -> AsyncIterator[None]:
    """Have an error end the open block as a whole, also where it is caught inside: what was written must not stay."""
    frame = work_of(get_session(using)).frames[-1]
    try:
        yield
    except BaseException:
        frame.broken = True
        raise


def on_commit(callback: Callback, using: str = DEFAULT) -> Awaitable[None]:
    """Have a callback run after the outermost ``atomic`` has committed, or at once where none is open.

    It runs only if everything up to it was kept. Where one of several raises, the others run all the same, and leaving the
    block raises the first error: what was committed stays. Awaiting the result is optional; outside ``atomic`` it waits for an
    ``async def`` callback, which otherwise ends before the session scope does.

    Args:
        callback: A ``def`` or ``async def`` function without arguments.
        using: The database's alias.

    Raises:
        TypeError: The callback cannot be called; a coroutine is the result of a call.
        ImproperlyConfigured: There is no such alias.
    """
    _check_callable(callback)
    work = work_of(get_session(using))
    frames = work.frames
    _check_alias(work)
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


def _check_alias(work: Work) -> None:
    """Refuse an unknown alias here: nothing inside the block may ask for it. Who has no database needs none."""
    if work.is_ours and work.database is None and (settings.DATABASES or work.alias != DEFAULT):
        work.get_database()


def _check_callable(callback: object) -> None:
    if callable(callback):
        return
    given = repr(callback)
    if inspect.iscoroutine(callback):
        callback.close()  # Else Python warns that nobody awaited it.
        given = "a coroutine"
    raise TypeError(
        f"on_commit() takes a function without arguments, not {given}: write on_commit(f), not on_commit(f())."
    )


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
