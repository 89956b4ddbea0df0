"""Calls hooks that a user may write as ``def`` or as ``async def``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def call(hook: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what ``hook`` returns, awaited where it is a coroutine or a future.

    A queryset that it returns stays one, though it could be awaited: it describes rows that are asked for later.

    A ``def`` hook runs in the event loop, as the rest of the request does: what blocks belongs in an ``async def``
    hook, behind ``run_in_threadpool``.
    """
    result = hook(*args, **kwargs)
    if inspect.iscoroutine(result) or asyncio.isfuture(result):
        return await result
    return result
