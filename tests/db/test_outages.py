"""Facts about a database that is gone, silent, full, or back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import func, insert, select, text

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, ping, session_scope, stream, translated
from fastapix5.exceptions import Unavailable
from fastapix5.settings import override_settings
from tests.db.conftest import STATEMENT_TIMEOUT
from tests.db.models import Base, Counter
from tests.servers import Server, throwaway_server

pytestmark = pytest.mark.anyio

NUMBERS = select(func.generate_series(1, 1_000))


@pytest.fixture(scope="module")
def doomed() -> Iterator[Server]:
    """A server that these tests kill and freeze."""
    with throwaway_server() as server:
        yield server


@pytest.fixture
async def served(doomed: Server) -> AsyncIterator[Server]:
    """The settings name the doomed server, which runs and has the tables."""
    with override_settings(DATABASES={"default": doomed.url()}):
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield doomed
        await dispose_engines()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where the block takes longer."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    assert taken < seconds, f"took {taken:.2f} s"


async def read() -> int:
    """Run one query in a scope of its own."""
    async with session_scope():
        with translated():
            return await get_session().scalar(select(func.count()).select_from(Counter)) or 0


async def write() -> None:
    """Write one row in a scope and transaction of its own."""
    async with session_scope(), atomic():
        get_session().add(Counter(value=1))


async def test_a_frozen_server_is_unavailable_in_time(served: Server) -> None:
    """Reads and writes, leaving scope and transaction included, end within STATEMENT_TIMEOUT plus one second."""
    await asyncio.gather(read(), read(), write())
    with served.frozen():
        with within(STATEMENT_TIMEOUT + 1):
            results = await asyncio.gather(read(), write(), read(), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        with within(3), pytest.raises(Unavailable):  # A new connection finds nobody either.
            await read()
    with within(3):
        assert await read() >= 1
        await write()


async def test_a_server_that_freezes_inside_a_transaction_is_unavailable_in_time(served: Server) -> None:
    """Whether at the next statement, at COMMIT, or at ROLLBACK; after it nothing is half written."""
    for last in ("statement", "commit", "rollback"):
        async with session_scope():
            with pytest.raises(LookupError if last == "rollback" else Unavailable):
                try:
                    async with atomic():
                        await get_session().execute(insert(Counter).values(value=1))
                        freeze = served.frozen()
                        freeze.__enter__()
                        started = time.monotonic()
                        if last == "statement":
                            await get_session().execute(insert(Counter).values(value=2))
                        if last == "rollback":
                            raise LookupError
                finally:
                    taken = time.monotonic() - started
                    freeze.__exit__(None, None, None)
        assert taken < STATEMENT_TIMEOUT + 1
    with within(3):
        assert await read() in (0, 1)  # A COMMIT that was on its way may still arrive.


async def test_a_killed_server_is_unavailable_and_serves_again_when_it_is_back(served: Server) -> None:
    """Connections that the pool holds are found dead without a statement being lost to them."""
    await asyncio.gather(*(read() for _ in range(5)))
    served.kill()
    with within(3):
        for work in (read, write, ping):
            with pytest.raises(Unavailable):
                await work()
    served.start()
    with within(3):
        assert await read() == 0
        await write()


async def test_a_server_that_dies_inside_a_transaction_is_unavailable(served: Server) -> None:
    """Before COMMIT: never a success."""
    async with session_scope():
        with within(3), pytest.raises(Unavailable):
            async with atomic():
                await get_session().execute(insert(Counter).values(value=1))
                served.kill()
    served.start()
    assert await read() == 0


async def test_a_connection_that_is_killed_before_commit_is_never_a_success(served: Server) -> None:
    """What the block wrote is not there, and leaving it says so."""
    async with session_scope():
        with pytest.raises(Unavailable):
            async with atomic():
                await get_session().execute(insert(Counter).values(value=1))
                pid = await get_session().scalar(text("SELECT pg_backend_pid()"))
                served.run("SELECT pg_terminate_backend($1, 1000)", pid)
        async with atomic():
            await get_session().execute(insert(Counter).values(value=2))
    assert await read() == 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("how", ["statement", "stream", "session's stream", "commit"])
async def test_a_backend_that_ends_in_a_transaction_is_unavailable_at_each_moment(
    served: Server, how: str, turns: int
) -> None:
    """The driver has heard nothing, or why it is hung up on, or that it was: each a turn of the event loop later."""

    async def kill() -> None:
        served.run("SELECT pg_terminate_backend($1, 1000)", pid)
        for _ in range(turns):
            await asyncio.sleep(0)

    async with session_scope():
        with pytest.raises(Unavailable):
            async with atomic():
                pid = await get_session().scalar(text("SELECT pg_backend_pid()"))
                if how == "stream":
                    async for _ in stream("default", NUMBERS, 100):
                        await kill()
                elif how == "session's stream":
                    result = await get_session().stream(NUMBERS, execution_options={"yield_per": 100})
                    async for _ in result.partitions():
                        await kill()
                else:
                    await kill()
                if how == "statement":
                    await get_session().execute(select(1))
        assert await get_session().scalar(select(1)) == 1


async def test_a_connection_that_is_killed_outside_a_transaction_is_replaced(served: Server) -> None:
    """The scope whose connection it was is told; the next statement gets a new one."""
    async with session_scope():
        pid = await get_session().scalar(text("SELECT pg_backend_pid()"))
        served.run("SELECT pg_terminate_backend($1, 1000)", pid)
        with pytest.raises(Unavailable), translated():
            await get_session().scalar(select(1))
        assert await get_session().scalar(select(1)) == 1
    assert await read() == 0


async def test_a_full_pool_is_unavailable_after_its_timeout(served: Server) -> None:
    """The wait is POOL_TIMEOUT; whoever holds the connections is not disturbed."""
    await dispose_engines()
    with override_settings(POOL_SIZE=2, POOL_TIMEOUT=0.3):
        async with session_scope(), session_scope():
            outer = get_session()
            await outer.scalar(select(1))
            async with session_scope():
                await get_session().scalar(select(1))
                with within(0.3 + 0.5), pytest.raises(Unavailable):
                    await read()
                with pytest.raises(Unavailable):
                    await write()
            assert await read() == 0
        await dispose_engines()


async def test_a_port_that_refuses_or_never_answers_is_unavailable() -> None:
    """Refused at once, silent after CONNECT_TIMEOUT, an unknown host: all within three seconds."""
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        closed.bind(("127.0.0.1", 0))
        ports = [sock.getsockname()[1] for sock in (silent, closed)]
        hosts = [f"127.0.0.1:{port}" for port in ports] + ["nowhere.invalid"]
        for host in hosts:
            with override_settings(DATABASES={"default": f"postgresql+asyncpg://postgres@{host}/postgres"}):
                for work in (read, write, ping):
                    with within(3), pytest.raises(Unavailable):
                        await work()
                await dispose_engines()


async def test_a_database_that_is_not_there_is_unavailable(served: Server) -> None:
    """A missing database or role is an operator's matter: it is told as unavailable, not as a crash."""
    with override_settings(DATABASES={"default": served.url("nowhere")}):
        await dispose_engines()
        with pytest.raises(Unavailable):
            await ping()
        await dispose_engines()


async def test_tasks_cancelled_in_mid_transaction_leave_nothing_behind(served: Server) -> None:
    """The pool is full again, and the server has nothing idle in transaction."""

    async def work(delay: float) -> None:
        async with session_scope(), atomic():
            await get_session().execute(insert(Counter).values(value=1))
            await get_session().execute(text(f"SELECT pg_sleep({delay})"))

    tasks = [asyncio.create_task(work(number % 7 / 100)) for number in range(100)]
    for number, task in enumerate(tasks):
        await asyncio.sleep(number % 3 / 1000)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert get_engine().pool.checkedout() == 0  # type: ignore[attr-defined]
    await asyncio.sleep(0.3)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert served.fetch(idle)[0]["count"] == 0
    await asyncio.gather(*(read() for _ in range(10)))
