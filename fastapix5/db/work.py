"""What we know of a session beyond what SQLAlchemy does: its open transactions, and who is at it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent  # type: ignore[import-untyped]
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from fastapix5.db.engines import Database, get_database
from fastapix5.exceptions import ScopeEnded, SessionInUse

KEY = "fastapix5"

BUSY = "Another task is waiting for an answer on this session."
FOREIGN = "Another task has an atomic block open on this session."
OUTLIVED = "The atomic block in which this task was started has ended."
LOST = "The atomic block around this one was left by another task, and all of it was rolled back."
NESTED = "An atomic block was left while another task was inside a block within it; all of it was rolled back."


class State(enum.Enum):
    """What became of a frame."""

    OPEN = enum.auto()
    LEFT = enum.auto()
    # Whoever left a block around it has rolled it back, while its own task is inside still.
    LOST = enum.auto()


@dataclass(slots=True, eq=False)
class Frame:
    """One ``atomic`` that is open.

    Attributes:
        work: The session's.
        task: The task that opened it.
        savepoint: The savepoint that it stands for, or None.
        callbacks: What is to run after the commit.
        broken: Whether a part of it was given up without a savepoint, so that the whole must be.
        state: Whether it is open.
    """

    work: Work
    task: asyncio.Task[Any] | None
    savepoint: SessionTransaction | None = None
    callbacks: list[Callable[[], Awaitable[object] | object]] = field(default_factory=list)
    broken: bool = False
    state: State = State.OPEN

    @property
    def is_held(self) -> bool:
        """Whether the task that opened it may be inside it, beside the running one."""
        return self.task is not None and not self.task.done() and self.task is not asyncio.current_task()


# The open blocks that the running code is inside of. A task starts with its parent's; what its siblings open, it
# does not know. On Python 3.11 ``asyncio.wait_for`` makes a task too, so the task itself would not do.
_known: ContextVar[tuple[Frame, ...]] = ContextVar("fastapix5_frames", default=())


@dataclass(slots=True, eq=False)
class Work:
    """What we know of a session; it travels in ``session.info``.

    Attributes:
        alias: The database's alias.
        frames: The open ``atomic`` blocks, outermost first.
        classes: Mapped classes of which rows were written; errors that only the commit finds are placed by them.
        deleted: Mapped classes of which rows were deleted.
        is_ours: Whether we made the session; one from outside is neither committed nor closed.
        is_over: Whether the scope that made it has ended.
        is_alone: Whether one statement is to be all of a unit of work, and its transaction.
        database: The alias's engines, once they were needed.
        connection: The connection that the running statement uses, where it is not the session's own.
        closers: What gives back the rows that are being streamed.
    """

    alias: str
    frames: list[Frame] = field(default_factory=list)
    classes: set[type] = field(default_factory=set)
    deleted: set[type] = field(default_factory=set)
    is_ours: bool = True
    is_over: bool = False
    is_alone: bool = False
    database: Database | None = None
    connection: Connection | None = None
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _user: object | None = None
    _idle: asyncio.Future[None] | None = None

    def get_database(self) -> Database:
        """Return the engines of the alias, which stay the same for as long as the session lives."""
        if self.database is None:
            self.database = get_database(self.alias)
        return self.database

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for the database."""
        return self._user is not None

    def take(self, user: object | None = None, *, checked: bool = True) -> bool:
        """Have the session for the running greenlet alone; False where it has it already.

        Args:
            user: Who takes it, where no greenlet does.
            checked: Whether it must be the running code's turn by scope and transaction too.

        Raises:
            SessionInUse: Somebody else is at it, or inside a transaction on it.
            ScopeEnded: Its scope is over.
        """
        # SQLAlchemy runs each call of an AsyncSession in a greenlet; what it does within, loaders too, runs in the same.
        user = user or getcurrent()
        if self._user is user:
            return False
        if self._user is not None:
            raise SessionInUse(BUSY)
        if checked:
            self.check()
        self._user = user
        return True

    def leave(self) -> None:
        """Let others at the session."""
        self._user = None
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    @contextmanager
    def turn(self, user: object | None = None, *, checked: bool = True) -> Iterator[None]:
        """Take the session for a block; see ``take``."""
        taken = self.take(user, checked=checked)
        try:
            yield
        finally:
            if taken:
                self.leave()

    async def until_idle(self) -> None:
        """Wait until nobody waits for the database any more."""
        while self._user is not None:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            # A waiter that is cancelled must not cancel the others' future.
            await asyncio.shield(self._idle)

    def check(self) -> None:
        """Refuse whoever is not inside the open transaction, or still believes to be in one that has ended.

        Raises:
            SessionInUse: Another task's transaction is open, or this one's is gone.
            ScopeEnded: The session's scope is over.
        """
        if self.is_over:
            raise ScopeEnded
        innermost = self.frames[-1] if self.frames else None
        inside = False
        for frame in reversed(_known.get()):
            if frame is innermost:
                inside = True
            elif frame.work is self and frame.state is not State.OPEN:
                if frame.state is State.LOST:
                    raise SessionInUse(LOST)
                # Whoever opened it may have left it in another context, and does not forget it then.
                if frame.task is not asyncio.current_task():
                    raise SessionInUse(OUTLIVED)
        if innermost is not None and not inside and innermost.is_held:
            raise SessionInUse(FOREIGN)

    def enter(self, savepoint: SessionTransaction | None = None) -> Frame:
        """Add a frame; ``know`` makes it the running code's own."""
        frame = Frame(self, asyncio.current_task(), savepoint)
        self.frames.append(frame)
        return frame

    def drop(self, frame: Frame) -> None:
        """Forget a frame and all within it, whose tasks are told when they come by."""
        index = self.frames.index(frame)
        for inner in self.frames[index + 1 :]:
            inner.state = State.LOST
        frame.state = State.LEFT
        del self.frames[index:]


def know(frame: Frame) -> None:
    """Let the running code, and the tasks that it starts, use the frame's transaction."""
    _known.set((*_known.get(), frame))


def forget(frame: Frame) -> None:
    """Let the running code be outside of the frame again."""
    _known.set(tuple(found for found in _known.get() if found is not frame))


def work_of(session: AsyncSession | Session) -> Work:
    """Return what we know of a session."""
    work: Work = session.info[KEY]
    return work


def mark_failed(session: AsyncSession | Session) -> None:
    """Have the innermost open block end with a rollback, also where the database's error is caught inside it.

    PostgreSQL would keep nothing of it; SQLite would.
    """
    frames = work_of(session).frames
    nested = session.get_nested_transaction()
    if isinstance(session, AsyncSession):
        nested = session.sync_session.get_nested_transaction()
    # A savepoint that the caller has made by hand contains the error.
    if frames and (nested is None or any(frame.savepoint is nested for frame in frames)):
        frames[-1].broken = True
