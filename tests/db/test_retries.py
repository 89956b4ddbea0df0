"""Facts about units of work that run again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fastapix5.db import atomic, get_engine, get_session, on_commit, session_scope
from fastapix5.exceptions import SerializationFailure, Unavailable
from fastapix5.settings import override_settings
from tests.conftest import on_postgresql
from tests.db.models import Counter, Shelf
from tests.db.test_sessions import checked_out

pytestmark = [pytest.mark.anyio, on_postgresql, pytest.mark.usefixtures("strict")]

STRICT = "strict"


@pytest.fixture
async def strict(tables: str, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Two counters, and an alias of their database whose transactions see one state of it."""
    async with session_scope(), atomic():
        get_session().add_all([Counter(id=1), Counter(id=2)])
    options = {"isolation_level": getattr(request, "param", "REPEATABLE READ")}
    with override_settings(DATABASES={"default": tables, STRICT: {"URL": tables, "OPTIONS": options}}):
        yield


async def values() -> list[int]:
    async with session_scope():
        return list(await get_session().scalars(select(Counter.value).order_by(Counter.id)))


async def meddle(step: int = 100) -> None:
    """Change the counter from another connection, and commit."""
    async with session_scope():
        await get_session().execute(update(Counter).where(Counter.id == 1).values(value=Counter.value + step))


async def add_one(meddling: bool) -> None:
    """Read, be overtaken or not, and write."""
    counter = await get_session(STRICT).get_one(Counter, 1)
    if meddling:
        await meddle()
    counter.value += 1


async def test_a_function_runs_again_at_most_three_times() -> None:
    """Each time with what is there by then; the fourth attempt may succeed."""
    for times in range(4):
        attempts: list[int] = []

        @atomic(STRICT)
        async def unit(attempts: list[int] = attempts, times: int = times) -> str:
            attempts.append(1)
            await add_one(len(attempts) <= times)
            return "done"

        async with session_scope():
            assert await unit() == "done"
        assert len(attempts) == times + 1
    assert await values() == [604, 0]
    assert get_engine(STRICT).pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_what_fails_four_times_is_unavailable() -> None:
    """Nothing of it is kept."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit() -> None:
        attempts.append(1)
        await add_one(meddling=True)

    async with session_scope():
        with pytest.raises(Unavailable) as caught:
            await unit()
    assert isinstance(caught.value, SerializationFailure)
    assert len(attempts) == 4
    assert await values() == [400, 0]


async def test_a_block_runs_once() -> None:
    """It cannot run again by itself, nor can a function inside it."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit() -> None:
        attempts.append(1)
        await add_one(meddling=True)

    async with session_scope():
        with pytest.raises(SerializationFailure):
            async with atomic(STRICT):
                await unit()
    assert len(attempts) == 1


async def test_a_function_inside_a_block_on_another_alias_runs_once() -> None:
    """What it did there would be done twice."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit() -> None:
        attempts.append(1)
        await get_session().execute(update(Counter).where(Counter.id == 2).values(value=Counter.value + 1))
        await add_one(meddling=True)

    async with session_scope():
        with pytest.raises(SerializationFailure):
            async with atomic():
                await unit()
    assert len(attempts) == 1
    assert await values() == [100, 0]


async def test_the_outermost_of_nested_functions_is_the_unit() -> None:
    """The inner one is a savepoint of it."""
    attempts: list[str] = []

    @atomic(STRICT)
    async def inner() -> None:
        attempts.append("inner")
        await add_one(len(attempts) < 3)

    @atomic(STRICT)
    async def outer() -> None:
        attempts.append("outer")
        await inner()

    async with session_scope():
        await outer()
    assert attempts == ["outer", "inner", "outer", "inner"]
    assert await values() == [101, 0]


async def test_an_attempt_leaves_nothing_in_the_session() -> None:
    """What it added is gone, what was there before is read anew, and stays usable."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit(given: Counter) -> None:
        attempts.append(1)
        get_session(STRICT).add(Shelf(label=f"attempt {len(attempts)}"))
        seen.append(given.value)
        other = await get_session(STRICT).get_one(Counter, 2)
        other.value += 1
        if len(attempts) < 3:
            await meddle()
        given.value += 1

    seen: list[int] = []
    async with session_scope():
        counter = await get_session(STRICT).get_one(Counter, 1)
        await unit(counter)
        assert seen == [0, 100, 200]
        assert counter.value == 201
        assert counter in get_session(STRICT)
    async with session_scope():
        assert list(await get_session().scalars(select(Shelf.label))) == ["attempt 3"]
    assert await values() == [201, 1]


async def test_a_unit_that_begins_with_unwritten_changes_runs_once() -> None:
    """They would be lost with the first attempt."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit() -> None:
        attempts.append(1)
        await add_one(meddling=len(attempts) == 1)

    async with session_scope():
        get_session(STRICT).add(Shelf(label="waiting"))
        with pytest.raises(SerializationFailure):
            await unit()
    assert len(attempts) == 1


async def test_callbacks_of_a_failed_attempt_never_run() -> None:
    """Those of the one that commits do, once; what fails in them runs nothing again."""
    seen: list[str] = []

    async def fail() -> None:
        seen.append("callback")
        raise SerializationFailure("mine")

    @atomic(STRICT)
    async def unit() -> None:
        seen.append("attempt")
        on_commit(lambda: seen.append(f"after {seen.count('attempt')}"), STRICT)
        on_commit(fail, STRICT)
        await add_one(seen.count("attempt") < 2)

    async with session_scope():
        with pytest.raises(SerializationFailure, match="cannot answer"):
            await unit()
    assert seen == ["attempt", "attempt", "after 2", "callback"]
    assert await values() == [101, 0]


async def test_a_unit_on_a_session_from_outside_runs_once() -> None:
    """Its transaction is the caller's."""
    attempts: list[int] = []

    @atomic
    async def unit() -> None:
        attempts.append(1)
        raise SerializationFailure

    async with AsyncSession(get_engine(STRICT)) as mine, session_scope(using=mine):
        with pytest.raises(SerializationFailure):
            await unit()
    assert len(attempts) == 1


async def test_a_cancelled_unit_does_not_run_again() -> None:
    """Neither during an attempt nor in the pause after it."""
    attempts: list[int] = []

    @atomic(STRICT)
    async def unit() -> None:
        attempts.append(1)
        await asyncio.sleep(60)

    async def run() -> None:
        async with session_scope():
            await unit()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run(), 0.05)
    assert len(attempts) == 1
    assert checked_out() == 0


@pytest.mark.parametrize("strict", ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"], indirect=True)
async def test_tasks_that_lock_each_other_out_all_get_through() -> None:
    """A deadlock ends one of two, which runs again; under stricter levels the late one does."""
    started = asyncio.Barrier(2)

    @atomic(STRICT)
    async def unit(first: int, second: int, attempts: Iterator[int]) -> None:
        await step(first)
        if next(attempts) == 0:
            await started.wait()
        await step(second)

    async def step(number: int) -> None:
        await get_session(STRICT).execute(update(Counter).where(Counter.id == number).values(value=Counter.value + 1))

    async def run(first: int, second: int) -> None:
        async with session_scope():
            await unit(first, second, iter(range(9)))

    await asyncio.gather(run(1, 2), run(2, 1))
    assert await values() == [2, 2]


@pytest.mark.parametrize("strict", ["SERIALIZABLE"], indirect=True)
async def test_a_write_skew_is_refused_and_runs_again() -> None:
    """Two that each read what the other writes: the second sees the first."""
    read = asyncio.Barrier(2)

    @atomic(STRICT)
    async def unit(number: int, attempts: Iterator[int]) -> None:
        total = sum(await get_session(STRICT).scalars(select(Counter.value)))
        if next(attempts) == 0:
            await read.wait()
        await get_session(STRICT).execute(update(Counter).where(Counter.id == number).values(value=total + 1))

    async def run(number: int) -> None:
        async with session_scope():
            await unit(number, iter(range(9)))

    await asyncio.gather(run(1), run(2))
    assert sorted(await values()) == [1, 2]
