"""Facts about backends that are killed: a request for each of them may fail, whichever path it takes, and no more."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers import Server, in_thread, throwaway_server
from tests.withstand import ledger
from tests.withstand.databases import fetch, make_tables, wait_until
from tests.withstand.problems import check_problem, fine
from tests.withstand.served import Answer, Api, serving
from tests.withstand.test_outages import locked

POOL_SIZE = 4
POOL_TIMEOUT, STATEMENT_TIMEOUT = 2.0, 5.0
# Who has waited for a connection may wait for a statement, or a lock, as well.
SLOWEST = POOL_TIMEOUT + STATEMENT_TIMEOUT + 1
ROWS = 40
OURS = "FROM pg_stat_activity WHERE application_name = 'fastapix5'"
KILL = f"SELECT count(pg_terminate_backend(pid)) {OURS}"
WAITING = f"SELECT count(*) {OURS} AND wait_event_type = 'Lock'"


@dataclass(frozen=True)
class Ledger:
    """The ledger, as it is served, and its server."""

    api: Api
    server: Server

    @property
    def url(self) -> str:
        """Where the entries are."""
        return self.server.url()

    def warm(self) -> None:
        """Have the pool make all of its connections."""
        while self.server.fetch(f"SELECT count(*) {OURS}")[0][0] < POOL_SIZE:
            for answer in self.api.together(*[request_for("iterator")] * POOL_SIZE * 2):
                fine(answer)

    def kill(self) -> None:
        """Kill every backend of the pool."""
        assert self.server.fetch(KILL)[0][0] == POOL_SIZE


PATHS = {
    "compiled retrieve": ("GET", "/compiled/1"),
    "compiled list": ("GET", "/compiled?page_size=5"),
    "compiled create": ("POST", "/compiled"),
    "compiled patch": ("PATCH", "/compiled/2"),
    "compiled delete": ("DELETE", "/compiled/999999"),
    "object retrieve": ("GET", "/objects/1"),
    "object create": ("POST", "/objects"),
    "object patch": ("PATCH", "/objects/3"),
    "atomic": ("POST", "/compiled/4/add"),
    "iterator": ("GET", "/compiled/export"),
}
numbers = itertools.count(1)


def request_for(path: str, number: int = 0) -> tuple[Any, ...]:
    """A request that takes a path; what it writes has a number of its own."""
    method, target = PATHS[path]
    return (method, target, {"reference": number}) if path.endswith(("create", "patch")) else (method, target)


def sound(path: str, answer: Answer) -> bool:
    """Assert that a request was served, or told at once to come back; return whether it was served."""
    assert answer.seconds < SLOWEST, (path, answer.status, answer.seconds)
    if answer.status == 503:
        check_problem(answer)
        return False
    if path == "compiled delete":
        assert answer.status == 404
    else:
        fine(answer)
    return True


@pytest.fixture(scope="module")
def doomed() -> Iterator[Server]:
    """A server whose backends these tests kill."""
    with throwaway_server() as server:
        in_thread(lambda: make_tables(server.url(), ledger.Base.metadata))
        server.run(f"INSERT INTO ledger_entries (reference, total) SELECT 0, 0 FROM generate_series(1, {ROWS})")
        yield server


@pytest.fixture(scope="module", params=["ledger", "listened"])
def served(request: pytest.FixtureRequest, doomed: Server) -> Iterator[Ledger]:
    """The ledger, past SQLAlchemy where that is possible, and with a listener for its statements."""
    with serving(
        doomed.url(),
        f"tests.withstand.{request.param}:app",
        POOL_SIZE=POOL_SIZE,
        POOL_TIMEOUT=POOL_TIMEOUT,
        LOCK_TIMEOUT=4,
    ) as api:
        found = Ledger(api, doomed)
        # The first request of a shape has its statement compiled, the second has it prepared.
        for path in (*PATHS, *PATHS, *PATHS):
            assert sound(path, api(*request_for(path)))
        yield found


@pytest.fixture(autouse=True)
def _in_order(request: pytest.FixtureRequest, served: Ledger) -> Iterator[None]:
    """Before each test the pool is full; after it nothing is lent, and nothing left open."""
    served.warm()
    before = len(served.api.logged())
    yield
    failures = [line for line in served.api.logged()[before:].splitlines() if not line.startswith("INFO ")]
    request.node.add_report_section("teardown", "log of the server", "\n".join(failures))
    assert served.api.state()["lent"] == 0
    # A backend that was killed is listed until its process has ended.
    wait_until(served.url, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in trans%'", 0)


@dataclass
class Told:
    """What callers were told, and what the rows say to it.

    Attributes:
        served: Numbers of the requests that were served.
        failed: Numbers of those that were not.
    """

    path: str
    ledger: Ledger
    served: list[int]
    failed: list[int]
    added: int

    @classmethod
    def of(cls, path: str, ledger: Ledger, count: int, *, together: bool = False) -> Told:
        """Send requests one after the other, or at once."""
        sent = [next(numbers) for _ in range(count)]
        requests = [request_for(path, number) for number in sent]
        added = added_to(ledger)
        answers = ledger.api.together(*requests) if together else [ledger.api(*one) for one in requests]
        return cls.from_answers(path, ledger, sent, answers, added)

    @classmethod
    def from_answers(cls, path: str, ledger: Ledger, sent: list[int], answers: list[Answer], added: int) -> Told:
        """Look at the answers."""
        verdicts = [sound(path, answer) for answer in answers]
        served = [number for number, verdict in zip(sent, verdicts, strict=True) if verdict]
        return cls(path, ledger, served, [number for number in sent if number not in served], added)

    def check(self) -> None:
        """Assert that what was acknowledged is there, and that nothing is there twice."""
        if self.path.endswith("create"):
            rows = fetch(self.ledger.url, "SELECT reference FROM ledger_entries WHERE reference > 0 AND id > 4")
            there = [reference for (reference,) in rows if reference in {*self.served, *self.failed}]
            assert set(self.served) <= set(there)
            assert len(there) == len(set(there))
        if self.path == "atomic":
            added = added_to(self.ledger) - self.added
            assert len(self.served) <= added <= len(self.served) + len(self.failed)


def added_to(ledger: Ledger) -> int:
    """How often something was added to the entry that counts; as often another entry was written."""
    ((total, written),) = fetch(
        ledger.url,
        "SELECT total, (SELECT count(*) FROM ledger_entries WHERE reference = -4) FROM ledger_entries WHERE id = 4",
    )
    assert total == written
    return int(total)


@pytest.mark.parametrize("together", [False, True], ids=["in turn", "at once"])
@pytest.mark.parametrize("path", PATHS)
def test_a_killed_backend_costs_at_most_one_request(served: Ledger, path: str, together: bool) -> None:
    """Each of the pool's connections is dead, and the next requests find out."""
    served.kill()
    told = Told.of(path, served, POOL_SIZE * 3, together=together)
    assert len(told.failed) <= POOL_SIZE
    told.check()
    assert not Told.of(path, served, POOL_SIZE * 2, together=together).failed


@pytest.mark.parametrize("path", PATHS)
def test_a_backend_that_is_killed_in_mid_statement_costs_its_request(served: Ledger, path: str) -> None:
    """Nobody else's, and nothing of it is written; nor is it sent again, since nobody can tell."""
    sent, added = [next(numbers) for _ in range(POOL_SIZE)], added_to(served)
    with ThreadPoolExecutor(1) as background:
        with locked(served.server, "LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE"):
            asked = background.submit(served.api.together, *[request_for(path, number) for number in sent])
            wait_until(served.url, WAITING, POOL_SIZE)
            served.kill()
            answers = asked.result()
    told = Told.from_answers(path, served, sent, answers, added)
    assert not told.served
    told.check()
    assert added_to(served) == added
    after = Told.of(path, served, POOL_SIZE * 2)
    assert not after.failed
    after.check()


def test_a_server_that_was_restarted_costs_at_most_one_request_for_each_connection(served: Ledger) -> None:
    """Whichever path the requests take."""
    served.server.kill()
    served.server.start()
    told = [Told.of(path, served, 2) for path in PATHS]
    assert sum(len(one.failed) for one in told) <= POOL_SIZE
    for one in told:
        one.check()


@pytest.mark.parametrize("count", [30, pytest.param(1_000, marks=pytest.mark.slow)])
def test_what_is_acknowledged_is_there_once_on_every_path(served: Ledger, count: int) -> None:
    """While backends are killed at any moment, also between two statements of a transaction, and before a COMMIT."""
    ended = threading.Event()

    def kill() -> None:
        for pause in itertools.cycle((0.15, 0.01, 0.02, 0.03)):
            if ended.wait(pause):
                return
            served.server.run(KILL)

    with ThreadPoolExecutor(1) as background:
        killer = background.submit(kill)
        try:
            told = [Told.of(path, served, count, together=True) for path in PATHS]
        finally:
            ended.set()
        # Whoever kills must have done so to the end.
        killer.result()
    for one in told:
        one.check()
