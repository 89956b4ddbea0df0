"""Calls hooks that a user may write as ``def`` or as ``async def``."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, TypeGuard


async def call(hook: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what ``hook`` returns, awaited where it is a coroutine or a future.

    A queryset that it returns stays one, though it could be awaited: it describes rows that are asked for later.

    A ``def`` hook runs in the event loop, as the rest of the request does: what blocks belongs in an ``async def``
    hook, behind ``run_in_threadpool``.
    """
    result = hook(*args, **kwargs)
    return await result if is_pending(result) else result


def is_pending(result: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether what a hook returned is still to be awaited."""
    return isinstance(result, (CoroutineType, Future))
