"""What is measured: each kind of work, with the requests that it sends."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.benchmarks.rows import DEPARTMENTS, EMPLOYEES, PAGE, company_of, is_active

PAGES = 20
# Numbers of rows that are there to be deleted start here.
DOOMED = 1_000_000


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: The method.
        path: The path without a query.
        query: The query parameters.
        body: The body, sent as JSON, or None.
    """

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    def respell(self, **names: str) -> Request:
        """The same request with other names for its query parameters."""
        return replace(self, query={names.get(name, name): value for name, value in self.query.items()})


@dataclass(frozen=True)
class Work:
    """A row of the table.

    Attributes:
        name: How commands name it.
        title: How the table names it.
        make: Makes the n-th request, from a source of randomness.
        status: The status of every answer.
        writes: Whether it changes rows.
    """

    name: str
    title: str
    make: Callable[[random.Random, int], Request]
    status: int = 200
    writes: bool = False

    def requests(self, count: int) -> list[Request]:
        """The same requests in every run."""
        source = random.Random(self.name)
        return [self.make(source, number) for number in range(count)]


def employee(source: random.Random) -> str:
    """The path of an employee whom all contenders show."""
    number = source.randint(1, EMPLOYEES)
    while not is_active(number):
        number = source.randint(1, EMPLOYEES)
    return f"/employees/{number}"


def make_nested(source: random.Random, _number: int) -> Request:
    """The employees of some department."""
    department = source.randint(1, DEPARTMENTS)
    return Request("GET", f"/companies/{company_of(department)}/departments/{department}/employees")


def make_filtered(source: random.Random, _number: int) -> Request:
    """A department's better half, the best paid first."""
    query = {"department_id": source.randint(1, DEPARTMENTS), "rating__gte": 1.5, "ordering": "-salary"}
    return Request("GET", "/employees", query)


def make_created(source: random.Random, number: int) -> Request:
    """A new employee."""
    body = {
        "name": f"New {number}",
        "salary": f"{source.randint(1000, 9000)}.50",
        "rating": source.randint(0, 50) / 10,
        "active": True,
        "hired": f"20{source.randint(10, 26)}-02-03",
        "seen_at": "2026-03-04T05:06:07Z",
        "department_id": source.randint(1, DEPARTMENTS),
    }
    return Request("POST", "/employees", body=body)


def make_patched(source: random.Random, _number: int) -> Request:
    """Somebody's new salary."""
    return Request("PATCH", employee(source), body={"salary": f"{source.randint(1000, 9000)}.25"})


WORKS = (
    Work("retrieve", "retrieve", lambda source, _: Request("GET", employee(source))),
    Work("feed", f"list of {PAGE}, no count", lambda *_: Request("GET", "/feed")),
    Work(
        "list",
        f"list of {PAGE}, exact count",
        lambda source, _: Request("GET", "/employees", {"page": source.randint(1, PAGES)}),
    ),
    Work("filtered", "filtered and ordered list, exact count", make_filtered),
    Work("relations", f"list of {PAGE} with a to-one and a to-many relation", lambda *_: Request("GET", "/profiles")),
    Work("nested", "nested list two levels down, exact count", make_nested),
    Work("create", "create", make_created, 201, writes=True),
    Work("patch", "patch one field", make_patched, writes=True),
    Work("delete", "delete", lambda _, number: Request("DELETE", f"/employees/{DOOMED + number}"), 204, writes=True),
)

BY_NAME = {work.name: work for work in WORKS}


def raw(request: Request, headers: dict[str, str]) -> bytes:
    """The request as bytes on the wire."""
    body = b"" if request.body is None else json.dumps(request.body).encode()
    lines = [f"{request.method} {target(request)} HTTP/1.1", "Host: localhost", "Accept: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if request.body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def target(request: Request) -> str:
    """Path and query."""
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    return f"{request.path}?{query}" if query else request.path
