"""Calls hooks that a user may write as ``def`` or as ``async def``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


async def call(hook: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what ``hook`` returns, awaited where it is awaitable.

    A ``def`` hook runs in the event loop, as the rest of the request does: what blocks belongs in an ``async def``
    hook, behind ``run_in_threadpool``.
    """
    result = hook(*args, **kwargs)
    if inspect.isawaitable(result):
        return await result
    return result
