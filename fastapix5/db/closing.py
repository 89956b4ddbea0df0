"""Connections that are dropped close in the background, so that nobody waits for a server that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_closing: set[asyncio.Task[None]] = set()


def in_background(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine as a task that is kept until it ends."""
    # The empty context keeps the task from holding on to the caller's session.
    task = asyncio.get_running_loop().create_task(coroutine, context=Context())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def wait_for_closing() -> None:
    """Wait until the connections that were dropped in this event loop are closed: about two seconds at most."""
    loop = asyncio.get_running_loop()
    if tasks := [task for task in _closing if task.get_loop() is loop]:
        await asyncio.wait(tasks)


def has_running_loop() -> bool:
    """Whether an event loop is running here; the garbage collector may close connections where none is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
