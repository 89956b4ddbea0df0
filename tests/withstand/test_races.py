"""Facts about requests at the same time: no change is lost, no rule is broken, and nobody sees another's access."""

from __future__ import annotations

import threading

import pytest

from tests.withstand.conftest import Served
from tests.withstand.databases import fetch
from tests.withstand.problems import fine, refused
from tests.withstand.test_values import FLIGHT, FLIGHTS


def new_flight(example: Served, number: int) -> int:
    """The id of a flight of this test's own."""
    made: int = fine(example.api("POST", FLIGHTS, FLIGHT | {"flight": number})).json()["id"]
    return made


@pytest.mark.parametrize("times", [40, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_delay_is_lost(example: Served, times: int) -> None:
    """Each reads, adds and writes; the sum is exact, and each was told a sum of its own."""
    key = new_flight(example, 8001)
    answers = example.api.together(*[("POST", f"/flights/{key}/delay", {"minutes": 1})] * times, threads=16)
    assert [answer.status for answer in answers] == [200] * times
    assert sorted(answer.json()["dep_delay"] for answer in answers) == list(range(1, times + 1))
    assert fine(example.api("GET", f"/flights/{key}")).json()["dep_delay"] == times
    fine(example.api("DELETE", f"/flights/{key}"))


def test_of_many_creates_with_one_key_one_is_made(example: Served) -> None:
    """The others are told that it is taken."""
    answers = example.api.together(*[("POST", FLIGHTS, FLIGHT | {"flight": 8002})] * 24)
    made = [answer for answer in answers if answer.status == 201]
    assert len(made) == 1
    for answer in answers:
        if answer is not made[0]:
            assert refused(answer).status == 409
            assert {place[-1] for place in answer.places} == {"airline_carrier", "flight", "origin", "date"}
    fine(example.api("DELETE", f"/flights/{made[0].json()['id']}"))


def test_a_delete_among_updates_breaks_none(example: Served) -> None:
    """An update comes before it or finds nothing; of many deletes one succeeds."""
    for number in range(5):
        key = new_flight(example, 8100 + number)
        path = f"/flights/{key}"
        update = (
            "PUT",
            path,
            {name: value for name, value in FLIGHT.items() if name != "carrier"} | {"flight": 8100 + number},
        )
        requests = [
            ("PATCH", path, {"dep_delay": 5}),
            ("POST", f"{path}/delay", {"minutes": 1}),
            ("DELETE", path),
            update,
            ("GET", path),
        ]
        answers = example.api.together(*requests * 3)
        assert {answer.status for answer in answers} <= {200, 204, 404}
        assert [answer.status for answer in answers].count(204) == 1
        assert example.api("GET", path).status == 404


def test_nobody_sees_the_access_of_another(example: Served) -> None:
    """Requests with different tokens, and without one, at the same time: each is judged by its own."""
    ours, theirs = new_flight(example, 8200), 0
    staff = {"UA": example.api, "DL": example.api.as_staff_of("DL", user="dora")}
    theirs = fine(staff["DL"]("POST", "/airlines/DL/flights", FLIGHT | {"carrier": "DL"})).json()["id"]
    reader = example.api.as_staff_of("UA", user="rita", scope="flights.read")
    expected = {
        (staff["UA"], ours): 200, (staff["UA"], theirs): 403, (staff["DL"], ours): 403, (staff["DL"], theirs): 200,
        (reader, ours): 403, (example.api.stranger, ours): 401, (example.api.stranger, theirs): 401,
    }  # fmt: skip
    wrong = []

    def ask(position: int) -> None:
        for turn in range(12):
            (api, key), status = list(expected.items())[(position + turn) % len(expected)]
            answer = api("PATCH", f"/flights/{key}", {"dep_delay": turn})
            if answer.status != status:
                wrong.append((key, status, answer.status))

    threads = [threading.Thread(target=ask, args=[position]) for position in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    fine(staff["UA"]("DELETE", f"/flights/{ours}"))
    fine(staff["DL"]("DELETE", f"/flights/{theirs}"))


def test_creates_at_once_are_all_made(example: Served) -> None:
    """Each with a key of its own; SQLite's writers take turns."""
    answers = example.api.together(*[("POST", FLIGHTS, FLIGHT | {"flight": 8300 + number}) for number in range(60)])
    assert [answer.status for answer in answers] == [201] * 60
    ids = sorted(answer.json()["id"] for answer in answers)
    there = [
        row[0] for row in fetch(example.url, "SELECT id FROM flights WHERE flight BETWEEN 8300 AND 8359 ORDER BY id")
    ]
    assert there == ids
    for answer in example.api.together(*[("DELETE", f"/flights/{key}") for key in ids]):
        assert answer.status == 204
