"""Facts about what is left after callers who break off, and about what the log shows."""

from __future__ import annotations

import json
import random
import socket
import struct
import time

import pytest

from tests.servers import Server
from tests.withstand.conftest import Served
from tests.withstand.databases import fetch, wait_until
from tests.withstand.problems import fine
from tests.withstand.served import SECRET, Api, serving, token
from tests.withstand.test_outages import locked
from tests.withstand.test_values import FLIGHT, FLIGHTS


def break_off(api: Api, method: str, path: str, body: object = None, *, whole: bool = True, wait: float = 0) -> None:
    """Send a request, or a part of it, and hang up without waiting for the answer."""
    raw = b"" if body is None else json.dumps(body).encode()
    lines = {"Host": "test", **api.authorization, "Content-Type": "application/json", "Content-Length": str(len(raw))}
    head = f"{method} {api.prefix}{path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    data = head.encode() + raw
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(data if whole else data[: len(data) - 5])
        time.sleep(wait)
        # Reset, so that the server learns at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def settled(api: Api) -> dict[str, int]:
    """What the pool says once nobody is served any more."""
    for _ in range(100):
        if not (state := api.state())["lent"]:
            break
        time.sleep(0.05)
    return state


def test_callers_who_break_off_return_their_connections(example: Served) -> None:
    """Two hundred of them, at any moment of a read, a write and a body that never ends."""
    chance = random.Random(7)
    for number in range(200):
        requests = (
            ("GET", "/flights?page_size=100&search=a"),
            ("POST", "/flights/1/delay", {"minutes": 1}),
            ("PATCH", "/flights/1", {"dep_delay": number}),
            ("POST", FLIGHTS, FLIGHT | {"flight": 7001}),
        )
        request = requests[number % len(requests)]
        break_off(example.api, *request, whole=number % 5 > 0 or len(request) == 2, wait=chance.random() / 50)
    assert settled(example.api)["lent"] == 0
    for answer in example.api.together(*[("GET", "/flights/1")] * 30):
        fine(answer)
    for row in fetch(example.url, "SELECT id FROM flights WHERE flight = 7001"):
        fine(example.api("DELETE", f"/flights/{row[0]}"))
    if example.url.startswith("postgresql"):
        wait_until(example.url, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'", 0)


def test_callers_who_break_off_while_they_wait_for_a_lock_leave_nothing(
    example_urls: dict[str, str], postgres_server: Server
) -> None:
    """Neither a connection nor a backend that waits on."""
    url = example_urls["postgresql"]
    database = url.partition("?")[0].rpartition("/")[2]
    with serving(url, POOL_SIZE=4) as api:
        with locked(postgres_server, "SELECT 1 FROM flights WHERE id = 1 FOR UPDATE", database):
            for _ in range(12):
                break_off(api, "PATCH", "/flights/1", {"dep_delay": 1}, wait=0.02)
        assert settled(api)["lent"] == 0
        wait_until(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'fastapix5'",
            0,
        )
        for answer in api.together(*[("GET", "/flights/1")] * 12):
            fine(answer)


def test_the_log_of_a_503_shows_nothing_of_the_caller(postgres_server: Server) -> None:
    """Neither the token nor the key, nor a value of path, query or body, nor the database's password."""
    url = postgres_server.url("there-is-none").replace("postgres@", "postgres:open-sesame@")
    with serving(url) as api:
        hidden = token()
        for request in (
            ("GET", "/flights?search=needle-in-query"),
            ("GET", "/planes/NEEDLE"),
            ("POST", FLIGHTS, FLIGHT | {"tailnum": "NEEDLE"}),
            ("PATCH", "/flights/1", {"tailnum": "NEEDLE"}),
        ):
            answer = api(*request)
            assert answer.status == 503
            assert b"there-is-none" not in answer.content
        log = api.logged()
    for secret in (hidden, SECRET, "open-sesame", "needle-in-query", "NEEDLE", "Bearer"):
        assert secret not in log


def test_the_log_of_a_500_has_its_request_id_and_shows_nothing_of_the_caller(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A database without tables is nobody's outage: the traceback is there, the values are not."""
    with serving(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('empty') / 'file'}") as api:
        for request in (
            ("GET", "/flights?search=needle-in-query"),
            ("GET", "/planes/NEEDLE"),
            ("POST", FLIGHTS, FLIGHT | {"tailnum": "NEEDLE"}),
        ):
            answer = api(*request, headers={"X-Request-ID": "found-again"})
            assert (answer.status, answer.json()["code"]) == (500, "server_error")
            assert b"NEEDLE" not in answer.content
        log = api.logged()
        authorization = api.authorization["Authorization"]
    assert "found-again" in log
    assert "Traceback" in log
    for secret in (authorization, SECRET, "needle-in-query", "NEEDLE", "Bearer"):
        assert secret not in log
