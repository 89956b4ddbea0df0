"""How many statements an action costs, counted where they arrive; BEGIN and COMMIT apart."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.requests.app import ADA, token
from tests.statements import Statements

pytestmark = pytest.mark.anyio

COMPANY = {"name": "Cog", "slug": "cog"}
DEPARTMENT = {"name": "Legal"}
EMPLOYEE = {"name": "Ann", "e-mail": "ann@acme"}
TWO = "/api/companies/1/departments/1/employees"


COSTS: list[tuple[str, str, Any, int, int]] = [
    ("GET", "/api/companies/1", None, 200, 1),
    ("HEAD", "/api/companies/1", None, 200, 1),
    ("GET", "/api/companies/1/departments/1", None, 200, 1),
    ("GET", f"{TWO}/1", None, 200, 1),
    ("GET", "/api/staff/1", None, 200, 1),
    ("GET", "/api/charts/1", None, 200, 2),
    ("GET", "/api/companies", None, 200, 2),
    ("GET", "/api/companies/1/departments", None, 200, 2),
    ("GET", TWO, None, 200, 2),
    ("GET", "/api/staff", None, 200, 2),
    ("GET", "/api/charts", None, 200, 3),
    ("POST", "/api/companies", COMPANY, 201, 1),
    ("POST", "/api/companies/1/departments", DEPARTMENT, 201, 1),
    ("POST", TWO, EMPLOYEE, 201, 1),
    ("PUT", "/api/companies/1", {"name": "Ajax"}, 200, 1),
    ("PATCH", "/api/companies/1", {"name": "Ajax"}, 200, 1),
    ("PATCH", "/api/companies/1/departments/1", {"name": "Ajax"}, 200, 1),
    ("PATCH", f"{TWO}/1", {"name": "Ajax"}, 200, 1),
    # Refused, before any look-up.
    ("POST", "/api/companies", COMPANY | {"extra": 1}, 422, 0),
    ("GET", "/api/companies?nonsense=1", None, 422, 0),
    ("GET", "/api/companies/x", None, 422, 0),
    ("DELETE", "/api/companies", None, 405, 0),
    ("GET", "/api/companies/1/secrets", None, 403, 0),
    ("OPTIONS", "/api/companies", None, 204, 0),
    # Not there.
    ("GET", "/api/companies/99", None, 404, 1),
    ("GET", "/api/companies/99/departments", None, 404, 1),
    ("GET", "/api/companies/2/departments/1/employees", None, 404, 1),
    ("POST", "/api/companies/2/departments/1/employees", EMPLOYEE, 404, 1),
    ("PATCH", "/api/companies/2/departments/1", {"name": "x"}, 404, 1),
    ("DELETE", "/api/companies/2/departments/1", None, 404, 1),
    ("DELETE", f"{TWO}/1", None, 204, 1),
]


async def test_an_action_costs_as_much_as_the_table_says(client: httpx2.AsyncClient, statements: Statements) -> None:
    """Whatever stands above a row in the path, an action costs as many statements as without it."""
    for method, path, body, status, expected in COSTS:
        statements.reset()
        response = await client.request(method, path, json=body, headers=ADA)
        actual = await statements.read()
        assert response.status_code == status, (method, path, response.text)
        assert sum(statement.calls for statement in actual) == expected, (method, path, actual)


async def test_the_number_of_rows_does_not_matter(client: httpx2.AsyncClient, statements: Statements) -> None:
    """A list with a to-many relation costs the same for one row as for many."""
    for number in range(20):
        body = {"name": f"c{number}", "slug": f"c{number}"}
        assert (await client.post("/api/companies", json=body, headers=token("ada"))).status_code == 201
    statements.reset()
    assert len((await client.get("/api/charts")).json()["results"]) == 23
    assert await statements.count() == 3
