"""Many at once: one row is made, and no addition is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest
from sqlalchemy import delete

from fastapix5 import F, QuerySet, Repository, atomic, session_scope
from fastapix5.db import get_engine
from fastapix5.settings import override_settings
from tests.conformance.models import Counter

pytestmark = pytest.mark.anyio

CALLERS = 50
TASKS = 8
TIMES = 40


def counters() -> QuerySet[Counter]:
    return Repository(Counter).objects


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """On a busy machine fifty callers wait for long, and these tests are not about waiting."""
    with override_settings(POOL_TIMEOUT=30.0, LOCK_TIMEOUT=30.0, STATEMENT_TIMEOUT=60.0):
        yield


@pytest.fixture
async def empty(flights: str) -> str:
    """No counters yet; the engine's name."""
    async with get_engine().begin() as connection:
        await connection.execute(delete(Counter))
    return flights


async def together(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """What each of several tasks gave, each in a session scope of its own, all started before any goes on."""
    ready = asyncio.Barrier(count)

    async def one(number: int) -> Any:
        async with session_scope():
            await ready.wait()
            return await call(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


UNITS: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "outside atomic": nullcontext,
    "inside atomic": atomic,
}


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("column", ["name", "topic"], ids=["unique", "not unique"])
async def test_get_or_create_makes_one_row(empty: str, column: str, unit: Callable[[], Any]) -> None:
    """Of fifty callers one is told that it made it, and all get it."""

    async def call(number: int) -> tuple[int, int, bool]:
        async with unit():
            counter, created = await counters().get_or_create(**{column: "one"}, defaults={"n": number})
            return counter.id, counter.n, created

    found = await together(CALLERS, call)
    async with session_scope():
        (counter,) = await counters()
    assert sum(created for _, _, created in found) == 1
    assert {(key, n) for key, n, _ in found} == {(counter.id, counter.n)}


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("column", ["name", "topic"], ids=["unique", "not unique"])
async def test_update_or_create_makes_one_row(empty: str, column: str, unit: Callable[[], Any]) -> None:
    """Of fifty callers one makes it, and each of the others adds to what it finds."""

    async def call(number: int) -> bool:
        async with unit():
            _, created = await counters().update_or_create(
                **{column: "one"}, defaults={"n": F("n") + 1}, create_defaults={"n": 1}
            )
            return created

    found = await together(CALLERS, call)
    async with session_scope():
        (counter,) = await counters()
    assert sum(found) == 1
    assert counter.n == CALLERS


async def test_different_rows_are_all_made(empty: str) -> None:
    """Callers that ask for other rows do not stand in each other's way."""

    async def call(number: int) -> bool:
        _, created = await counters().get_or_create(name=f"counter {number % 10}", topic=None)
        return created

    found = await together(CALLERS, call)
    async with session_scope():
        names = await counters().order_by("name").values_list("name", flat=True)
    assert sum(found) == 10
    assert names == [f"counter {number}" for number in range(10)]


async def by_update() -> None:
    assert await counters().filter(name="one").update(n=F("n") + 1) == 1


@atomic
async def by_lock() -> None:
    counter = await counters().select_for_update().get(name="one")
    await asyncio.sleep(0)
    counter.n += 1


async def by_update_or_create() -> None:
    await counters().update_or_create(name="one", defaults={"n": F("n") + 1}, create_defaults={"n": 1})


WAYS = [by_update, by_lock, by_update_or_create]


@pytest.mark.parametrize("add", WAYS, ids=lambda way: way.__name__)
async def test_eight_tasks_that_add_forty_times_end_at_320(empty: str, add: Callable[[], Awaitable[None]]) -> None:
    """On both engines, and none fails."""
    if add is not by_update_or_create:
        async with session_scope():
            await counters().create(name="one", n=0)

    async def call(_: int) -> None:
        for _ in range(TIMES):
            await add()

    await together(TASKS, call)
    async with session_scope():
        assert await counters().values_list("n", flat=True) == [TASKS * TIMES]
