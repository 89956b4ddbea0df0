"""A pool that gives each caller one span of time: what it spent waiting, it cannot spend connecting."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util.concurrency import await_, in_greenlet
from sqlalchemy.util.queue import Empty

# What connecting may always take: a server that lives needs less.
LEAST = 0.5

_asked_at: ContextVar[float | None] = ContextVar("fastapix5_asked_at", default=None)


class Pool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, which wakes nobody when a connection fails: whoever waits then connects, and fails, later.

    It also lends the connections themselves, without the proxy that gives one back when it is forgotten: what ``take``
    or ``wait`` lends, ``give_back`` must follow. Nobody is told of these by events; ``watcher`` says who would be.
    """

    # How many callers wait for a connection, or connect.
    _waiting = 0

    @property
    def watcher(self) -> str:
        """What is to be done whenever a connection is lent or given back, or the empty string."""
        if self._pre_ping:
            return "the pool pings each connection (pool_pre_ping)"
        told = self.dispatch
        if told.checkout or told.checkin or told.reset:
            return "somebody listens to the pool (checkout, checkin or reset)"
        return "the pool's echo is on" if self._should_log_debug() else ""

    def take(self) -> ConnectionPoolEntry | None:
        """Lend a connection that is idle and in order, or None: then ``wait`` for one."""
        if self._waiting:
            # What is given back is theirs.
            return None
        try:
            entry: ConnectionPoolEntry = self._pool.get_nowait()
        except Empty:
            return None
        if self._is_in_order(entry):
            return entry
        self.give_back(entry)
        return None

    def wait(self) -> ConnectionPoolEntry:
        """Lend a connection to whoever can wait for it: until one is given back, or to connect."""
        token = _asked_at.set(time.monotonic())
        try:
            entry: ConnectionPoolEntry = self._do_get()
            record: Any = entry
            try:
                record.get_connection()
            except BaseException:
                self.give_back(entry)
                raise
            return entry
        finally:
            _asked_at.reset(token)

    def give_back(self, entry: ConnectionPoolEntry) -> None:
        """Take back a connection that is in no transaction, or was invalidated; it takes no input or output."""
        self._do_return_conn(entry)

    def _do_get(self) -> ConnectionPoolEntry:
        """Lend an entry, in the order in which callers came; where the server has hung up, it connects anew."""
        if self._waiting and in_greenlet():
            # Who was woken for a connection runs before who has just come, and would find it idle.
            await_(asyncio.sleep(0))
        self._waiting += 1
        try:
            entry = super()._do_get()
        finally:
            self._waiting -= 1
        if entry.dbapi_connection is not None and is_closed(entry.dbapi_connection):
            entry.invalidate()
        return entry

    def _is_in_order(self, entry: Any) -> bool:
        if entry._is_hard_or_soft_invalidated() or is_closed(entry.dbapi_connection):  # noqa: SLF001 (as get_connection asks)
            return False
        return self._recycle < 0 or time.time() - entry.starttime <= self._recycle

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection."""
        token = _asked_at.set(time.monotonic())
        try:
            return super().connect()
        finally:
            _asked_at.reset(token)


def time_left(seconds: float) -> float:
    """Return how many of the seconds are left for connecting to whoever is asking the pool."""
    asked_at = _asked_at.get()
    return seconds if asked_at is None else max(LEAST, asked_at + seconds - time.monotonic())


def is_closed(dbapi_connection: Any) -> bool:
    """Whether the server has hung up, as far as the driver has heard: asking costs no round trip."""
    ask = getattr(dbapi_connection.driver_connection, "is_closed", None)
    return callable(ask) and bool(ask())
