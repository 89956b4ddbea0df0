"""Facts about memory: it stays where it is however many requests come, and whatever they ask for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.withstand.databases import prepare
from tests.withstand.served import ROOT, SECRET

MEGABYTE = 2**20
EXPECTED = {"200", "201", "204", "401", "403", "404", "409", "422"}


@pytest.fixture
def flights_url(postgresql_url: str) -> str:
    """The example's data on PostgreSQL, for these tests to write to."""
    prepare(postgresql_url)
    return postgresql_url


def soak(url: str, *rounds: str, **settings: object) -> list[dict[str, Any]]:
    """Send rounds of requests in a process of its own, and return what it says after each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTAPIX5_")}
    environment |= {"DATABASE_URL": url, "FASTAPIX5_SECRET_KEY": SECRET}
    environment |= {f"FASTAPIX5_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "tests.withstand.soaking", *rounds]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_bounds(said: dict[str, Any]) -> None:
    """Assert that every request was answered as it should be, and that no cache is larger than its bound."""
    assert set(said["statuses"]) <= EXPECTED
    for name, (size, bound) in said["caches"].items():
        # What is kept once, for a function that takes nothing, has no bound and needs none.
        assert size <= (1 if bound is None else bound), name


def test_nothing_is_left_of_requests(flights_url: str) -> None:
    """After equal rounds there are equally many objects of each type, and the caches hold as much as they may."""
    # With one connection each round leaves the driver's caches alike, and with room for every template they stay.
    first, second = soak(flights_url, "1:5000", "1:5000", POOL_SIZE=1, COMPILED_CACHE_SIZE=5_000)
    for said in (first, second):
        check_bounds(said)
    # What the first round has written may lead the second to a statement or two of another shape.
    (kept, _), (kept_now, _) = (said["caches"].pop("templates") for said in (first, second))
    assert second["caches"] == first["caches"]
    assert kept >= 40, "there were too few shapes"
    assert abs(kept_now - kept) <= 10
    more = max(0, kept_now - kept)
    before, after = first["counts"], second["counts"]
    grown = {kind: number - before.get(kind, 0) for kind, number in after.items() if number > before.get(kind, 0)}
    # Some things are made once, at a certain number of calls; a template has a few of ours.
    allowed = {True: 3 * more, False: 50 + 50 * more}
    assert not {kind: number for kind, number in grown.items() if number > allowed[kind.startswith("fastapix5")]}


@pytest.mark.slow
def test_memory_is_flat_over_a_million_requests(flights_url: str) -> None:
    """With some twelve thousand new shapes among them; a tenth of the requests fills the caches.

    A byte that each request left behind would be a megabyte. What comes and goes is a third of the compiled statements,
    and what the driver keeps of them for each connection: some 20 kilobytes for each, so a few megabytes.
    """
    rounds = [f"{seed}:100000" for seed in range(10)]
    said = soak(flights_url, *rounds, POOL_SIZE=4, COMPILED_CACHE_SIZE=200)
    for each in said:
        check_bounds(each)
    assert sum(each["requests"] for each in said) >= 1_000_000
    resident = [each["resident"] / MEGABYTE for each in said]
    assert max(resident[1:]) - resident[0] < 12, resident
