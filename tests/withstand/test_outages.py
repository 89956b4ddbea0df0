"""Facts about a PostgreSQL that is gone, silent, full, slow, or back: told by 503 in time, and nothing is half done."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import asyncpg
import pytest

from tests.servers import Server, throwaway_server
from tests.withstand.databases import fetch, prepare
from tests.withstand.problems import check_problem, fine
from tests.withstand.served import Answer, Api, serving, within
from tests.withstand.test_values import FLIGHT, FLIGHTS

Request = tuple[Any, ...]

STATEMENT_TIMEOUT = 1.5
LOCK_TIMEOUT = 0.7
POOL_SIZE = 4
TIMES: dict[str, Any] = {"STATEMENT_TIMEOUT": STATEMENT_TIMEOUT, "LOCK_TIMEOUT": LOCK_TIMEOUT, "POOL_SIZE": POOL_SIZE}

READS: list[Request] = [
    ("GET", "/flights/1"),
    ("GET", "/flights?page_size=5"),
    ("GET", f"{FLIGHTS}/1"),
    ("HEAD", "/airlines"),
]
WRITES: list[Request] = [
    ("POST", FLIGHTS, FLIGHT | {"flight": 9100}),
    ("PATCH", "/flights/1", {"dep_delay": 3}),
    ("POST", "/flights/1/delay", {"minutes": 5}),
    ("DELETE", f"{FLIGHTS}/2"),
]
REQUESTS = READS + WRITES


@pytest.fixture(scope="module")
def doomed() -> Iterator[Server]:
    """A server that these tests kill and freeze."""
    with throwaway_server() as server:
        prepare(server.url())
        yield server


@pytest.fixture(scope="module")
def api(doomed: Server) -> Iterator[Api]:
    """The example on the doomed server."""
    with serving(doomed.url(), **TIMES) as api:
        fine(api("GET", "/airlines"))
        yield api


@pytest.fixture(autouse=True)
def _in_order(api: Api, doomed: Server) -> Iterator[None]:
    """After each test the API serves again, and nothing is left open at the server."""
    yield
    with within(3):
        while (answer := api("GET", "/flights/1")).status == 503:
            time.sleep(0.1)
    fine(answer)
    assert api.state()["lent"] == 0
    time.sleep(0.1)
    assert fetch(doomed.url(), "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in trans%'") == [(0,)]


def unavailable(answer: Answer, seconds: float = 3) -> None:
    """Assert that the caller is told in time to come back."""
    assert answer.status == 503, answer.content
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.seconds < seconds
    if answer.content:
        check_problem(answer)
        assert answer.json()["code"] == "unavailable"


def flights(server: Server) -> list[tuple[Any, ...]]:
    """Every value of every flight."""
    return fetch(server.url(), "SELECT * FROM flights ORDER BY id")


@contextmanager
def locked(server: Server, statement: str, database: str = "postgres") -> Iterator[None]:
    """Somebody else's transaction has run a statement, and stays open during the block."""
    loop = asyncio.new_event_loop()
    with closing(loop):
        connection = loop.run_until_complete(
            asyncpg.connect(user="postgres", host=str(server.socket_directory), database=database)
        )
        loop.run_until_complete(connection.execute("BEGIN"))
        loop.run_until_complete(connection.execute(statement))
        try:
            yield
        finally:
            loop.run_until_complete(connection.close())


def test_a_killed_server_is_told_at_once_and_serves_again_when_it_is_back(api: Api, doomed: Server) -> None:
    """The first request too, over connections that were open."""
    before = flights(doomed)
    fine(api("GET", "/flights/1"))
    doomed.kill()
    for request in REQUESTS:
        unavailable(api(*request))
    for answer in api.together(*REQUESTS, *REQUESTS, *REQUESTS):
        unavailable(answer)
    doomed.start()
    with within(3):
        while (answer := api("GET", "/flights/1")).status == 503:
            time.sleep(0.05)
        fine(answer)
        for answer in api.together(*READS, *READS):
            fine(answer)
    assert flights(doomed) == before


def test_a_request_that_needs_no_database_is_served_without_one(api: Api, doomed: Server) -> None:
    """What is refused before the database is asked is refused just the same."""
    doomed.kill()
    try:
        assert api.stranger("POST", FLIGHTS, FLIGHT).status == 401
        assert api("GET", "/flights/x").status == 422
        assert api("GET", "/flights?page=0").status == 422
        assert api("PUT", "/airlines").status == 405
        assert api("OPTIONS", "/airlines").status in (200, 204)
    finally:
        doomed.start()


def test_a_frozen_server_is_told_within_the_statement_timeout_and_a_second(api: Api, doomed: Server) -> None:
    """Reads, writes and actions, alone and at once, more of them than the pool has connections."""
    before = flights(doomed)
    for answer in api.together(*[READS[0]] * POOL_SIZE):
        fine(answer)
    with doomed.frozen():
        for answer in api.together(*REQUESTS, *REQUESTS):
            unavailable(answer, STATEMENT_TIMEOUT + 1)
        for answer in api.together(*REQUESTS):  # And those for whom the pool must connect anew.
            unavailable(answer, STATEMENT_TIMEOUT + 1)
    with within(3):
        while (answer := api("GET", "/flights/1")).status == 503:
            time.sleep(0.05)
        fine(answer)
    time.sleep(0.3)
    changed = {row[0] for row in set(before) ^ set(flights(doomed))}
    # A COMMIT or a statement on its own may have been on its way when the server fell silent: the answer was 503.
    assert len(changed) <= len(WRITES) * 3
    fine(api("PATCH", "/flights/1", {"dep_delay": 2}))


@pytest.mark.slow
def test_each_kind_of_request_to_a_frozen_server_is_told_in_time(api: Api, doomed: Server) -> None:
    """Also when it is the only one, over an open connection."""
    for request in REQUESTS:
        fine(api("GET", "/flights/1"))
        with doomed.frozen():
            unavailable(api(*request), STATEMENT_TIMEOUT + 1)


def test_an_empty_pool_is_told_in_under_three_seconds(api: Api, doomed: Server) -> None:
    """Every connection waits for a row that somebody else has locked; whoever finds none left is told."""
    with locked(doomed, "SELECT 1 FROM flights WHERE id = 1 FOR UPDATE"):
        with ThreadPoolExecutor(1) as background:
            writing = background.submit(api.together, *[WRITES[1]] * POOL_SIZE * 3)
            with within(3):
                while api.state()["lent"] < POOL_SIZE:
                    time.sleep(0.02)
            # The other writers stand in line by now: a reader that came before them would be served.
            time.sleep(0.1)
            for answer in api.together(*[READS[0]] * 4):
                unavailable(answer)
    # PostgreSQL counts LOCK_TIMEOUT anew for a row's next waiter in line, so these may take longer.
    assert {answer.status for answer in writing.result()} == {503}
    fine(api(*WRITES[1]))


def test_a_row_that_somebody_else_has_locked_is_told_within_the_lock_timeout_and_a_second(
    api: Api, doomed: Server
) -> None:
    """By an update, an action and a delete; readers are not kept."""
    with locked(doomed, "UPDATE flights SET dep_delay = 77 WHERE id = 1"):
        for request in (WRITES[1], WRITES[2], ("DELETE", "/flights/1")):
            unavailable(api(*request), LOCK_TIMEOUT + 1)
        fine(api("GET", "/flights/1"))


def test_a_statement_that_takes_too_long_is_told(api: Api, doomed: Server) -> None:
    """The server ends it at the statement timeout; here a lock on the table keeps a SELECT."""
    with locked(doomed, "LOCK TABLE flights IN ACCESS EXCLUSIVE MODE"):
        for request in (READS[0], WRITES[0], WRITES[2]):
            unavailable(api(*request), STATEMENT_TIMEOUT + 1)


def test_a_killed_backend_costs_at_most_one_request_for_each_connection(api: Api, doomed: Server) -> None:
    """The pool replaces the dead ones; most are found dead before a statement is lost to them."""
    for answer in api.together(*[READS[0]] * POOL_SIZE * 4):
        fine(answer)
    doomed.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fastapix5'")
    failed = sum(api("GET", "/flights/1").status != 200 for _ in range(POOL_SIZE * 3))
    assert failed <= POOL_SIZE


@pytest.mark.parametrize("writes", [120, pytest.param(3_000, marks=pytest.mark.slow)])
def test_what_is_acknowledged_is_there_whatever_is_killed(api: Api, doomed: Server, writes: int) -> None:
    """While backends are killed between statements and COMMIT, never a 2xx for a row that is not there."""
    ended = threading.Event()
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fastapix5'"

    def killer() -> None:
        # The pauses let some through, however slow the machine is.
        for pause in itertools.cycle((0.2, 0.02, 0.02, 0.02, 0.02)):
            if ended.wait(pause):
                return
            doomed.run(kill)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        bodies = [
            FLIGHT | {"flight": 1 + number % 9_000, "date": f"20{20 + number // 9_000}-03-01"}
            for number in range(writes)
        ]
        created = api.together(*[("POST", FLIGHTS, body) for body in bodies], threads=8)
        delays = api.together(*[("POST", "/flights/1/delay", {"minutes": 1})] * (writes // 4), threads=8)
    finally:
        ended.set()
        thread.join()
    assert {answer.status for answer in created} <= {201, 503}
    assert {answer.status for answer in delays} <= {200, 503}
    there = {row[0] for row in fetch(doomed.url(), "SELECT id FROM flights")}
    acknowledged = {answer.json()["id"] for answer in created if answer.status == 201}
    assert acknowledged <= there
    assert acknowledged, "nothing was written between two kills"
    told = sorted(answer.json()["dep_delay"] for answer in delays if answer.status == 200)
    assert len(set(told)) == len(told)  # Two that were told the same sum would have lost one.
    doomed.run("DELETE FROM flights WHERE date IN ('2020-03-01', '2021-03-01')")


# Servers that were never there


def test_a_server_that_never_answers_is_told_in_time() -> None:
    """It takes connections and says nothing, to more callers than the pool has room for; its password is not logged."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with serving(f"postgresql+asyncpg://postgres:hush-hush@{place}/nothing", **TIMES) as api:
            for answer in api.together(*REQUESTS, *REQUESTS):
                unavailable(answer)
            assert "hush-hush" not in api.logged()
