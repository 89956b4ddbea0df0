"""A pool that gives each caller one span of time: what it spent waiting, it cannot spend connecting."""

from __future__ import annotations

import time
from contextvars import ContextVar

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

# What connecting may always take: a server that lives needs less.
LEAST = 0.5

_asked_at: ContextVar[float | None] = ContextVar("fastapix5_asked_at", default=None)


class Pool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, which wakes nobody when a connection fails: whoever waits then connects, and fails, later."""

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
