"""How many statements the example's requests send, counted by the database itself, BEGIN and COMMIT apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fastapix5 import override_settings
from fastapix5.db import dispose_engines
from fastapix5.tokens import encode
from tests.example.serving import load
from tests.statements import Statements

pytestmark = pytest.mark.anyio

FLIGHT = {
    "date": "2014-01-01",
    "flight": 9001,
    "origin": "EWR",
    "dest": "SFO",
    "distance": 2565,
    "sched_dep_time": 900,
    "sched_arr_time": 1230,
    "time_hour": "2014-01-01T14:00:00Z",
}
BELOW = "/api/airlines/UA/flights"


@pytest.fixture
def loaded(database_url: str) -> str:
    """The excerpt in a fresh database; loading has an event loop of its own."""
    load(database_url)
    return database_url


@pytest.fixture
async def client(loaded: str, example_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """The staff of United, talking to the example in this process."""
    with override_settings(DATABASES={"default": loaded}):
        token = encode({"sub": "ada", "tenant_id": "UA", "scope": "flights.write"})
        transport = httpx2.ASGITransport(app=example_app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {token}"}
        ) as found:
            yield found
        await dispose_engines()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("GET", "/api/planes/N14228", None, 200, 1),
        ("GET", "/api/flights/1", None, 200, 1),
        ("GET", f"{BELOW}/1", None, 200, 1),
        ("GET", "/api/airports/EWR/weather/EWR,2013-01-01T06:00:00Z", None, 200, 1),
        ("GET", "/api/flights?page_size=1", None, 200, 2),
        ("GET", "/api/flights?page_size=100", None, 200, 2),
        ("GET", f"{BELOW}?search=boeing&ordering=-dep_delay&dep_delay__gte=0", None, 200, 1),
        ("GET", f"{BELOW}?page_size=100", None, 200, 2),
        ("GET", "/api/airlines/ZZ/flights", None, 404, 1),
        ("POST", BELOW, FLIGHT, 201, 1),
        ("PATCH", "/api/flights/1", {"dep_delay": 5}, 200, 2),
        ("PATCH", f"{BELOW}/1", {"dep_delay": 5}, 200, 2),
        ("PUT", f"{BELOW}/1", FLIGHT, 200, 2),
        ("DELETE", f"{BELOW}/1", None, 204, 2),
        ("POST", f"{BELOW}/999999/delay", {"minutes": 5}, 404, 2),
        ("POST", "/api/airlines/AA/flights", FLIGHT, 403, 0),
        ("GET", "/api/flights?nonsense=1", None, 422, 0),
        ("GET", "/api/flights/nonsense", None, 422, 0),
        ("POST", f"{BELOW}/1", FLIGHT, 405, 0),
    ],
)
async def test_a_request_sends_few_statements(
    client: httpx2.AsyncClient,
    statements: Statements,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    expected: int,
) -> None:
    """Whatever the number of rows, and with the ancestors of the path verified in the same statements."""
    await client.get("/api/airlines/UA")
    statements.reset()
    response = await client.request(method, path, json=body)
    actual = await statements.read()
    assert response.status_code == status, response.text
    assert sum(count for _, count in actual) == expected, actual


async def test_a_refused_stranger_costs_no_statement(client: httpx2.AsyncClient, statements: Statements) -> None:
    """Authentication and permissions come before the database."""
    await client.get("/api/airlines/UA")
    statements.reset()
    del client.headers["Authorization"]
    response = await client.post(BELOW, content=b"{")
    assert response.status_code == 401
    assert await statements.read() == []
