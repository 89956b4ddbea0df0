"""What many viewsets cost: ``python -m tests.benchmarks.routing [number ...]``.

Requests go through the application in this process, to an action that does nothing, so that routing is as large a part
as it can be. Contenders take turns; the figures are medians of the rounds. All figures are processor time: nothing here
waits, and neighbours count less.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from fastapi import APIRouter, FastAPI

from fastapix5 import (
    FilterSetBackend,
    OrderingFilter,
    Router,
    SearchFilter,
    action,
)
from tests.declaration.library import BookViewSet

NUMBERS = (1, 100, 1000)
ROUNDS, REQUESTS = 40, 50


class LibraryViewSet(BookViewSet):
    """Six standard routes with filters, and an action that does nothing."""

    filter_backends = [FilterSetBackend, SearchFilter, OrderingFilter]
    filterset_fields = {"pages": ["gte", "lte"], "title": ["exact", "icontains"]}
    search_fields = ["title"]
    ordering_fields = ["title", "pages"]

    @action(detail=True)
    async def ping(self) -> int:
        """Answer."""
        return 1


async def answer(app: FastAPI, path: str) -> None:
    """Ask an application for a path.

    Raises:
        RuntimeError: It answers anything but 200.
    """

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"{path}: {message['status']}")

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds of processor time a call took, and what it returned."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def in_one_router(number: int) -> Router:
    """Many viewsets, registered."""
    router = Router()
    for at in range(number):
        router.register(LibraryViewSet, name=f"n{at}")
    return router


def show(line: str) -> None:
    """Print a line."""
    print(line, flush=True)  # noqa: T201


def including(*routers: APIRouter, prefix: str = "/api") -> FastAPI:
    """An application."""
    app = FastAPI()
    for router in routers:
        app.include_router(router, prefix=prefix)
    return app


def nested(router: APIRouter) -> APIRouter:
    """A router inside a plain one."""
    around = APIRouter(prefix="/v1")
    around.include_router(router)
    return around


def contenders(number: int, router: Router) -> Iterator[tuple[str, FastAPI, str]]:
    """What is asked: its name, the application and the path."""
    last = number - 1
    app = including(router)
    yield f"first of {number}", app, "/api/n0/1/ping"
    yield f"last of {number}", app, f"/api/n{last}/1/ping"
    yield f"last of {number}, nested in an APIRouter", including(nested(router)), f"/api/v1/n{last}/1/ping"
    separate = including(*(LibraryViewSet(name=f"n{at}").router for at in range(number)))
    yield f"last of {number}, each included by itself", separate, f"/api/n{last}/1/ping"


def print_rates(asked: list[tuple[str, FastAPI, str]]) -> None:
    """Time a request to each contender, in turn."""
    times: dict[str, list[float]] = {name: [] for name, _, _ in asked}

    async def several(app: FastAPI, path: str) -> None:
        for _ in range(REQUESTS):
            await answer(app, path)

    for _ in range(ROUNDS):
        for name, app, path in asked:
            times[name].append(timed(lambda app=app, path=path: asyncio.run(several(app, path)))[0] / REQUESTS)  # type: ignore[misc]
    only = median(times[asked[0][0]])
    show("\n| request to | microseconds | rate against an only one |\n|---|---|---|")
    for name, found in times.items():
        show(f"| {name} | {median(found) * 1e6:.0f} | {only / median(found):.2f} |")


def print_starts(numbers: list[int]) -> list[tuple[str, FastAPI, str]]:
    """Time what happens once, and return what can be asked."""
    asked: list[tuple[str, FastAPI, str]] = []
    show("| viewsets | build, s | first request, ms | OpenAPI, s |\n|---|---|---|---|")
    # What happens once in a process, such as the first use of a library, is no viewset's.
    including(in_one_router(1)).openapi()
    for number in numbers:
        build, router = timed(lambda number=number: in_one_router(number))  # type: ignore[misc]
        app = including(router)
        first, _ = timed(lambda app=app, number=number: asyncio.run(answer(app, f"/api/n{number - 1}/1/ping")))  # type: ignore[misc]
        openapi, _ = timed(app.openapi)
        show(f"| {number} | {build:.2f} | {first * 1000:.1f} | {openapi:.2f} |")
        asked += contenders(number, router)
    return asked


if __name__ == "__main__":
    print_rates(print_starts([int(number) for number in sys.argv[1:]] or list(NUMBERS)))
