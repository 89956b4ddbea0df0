"""Who takes part: how each is started, how it spells a request, and how its answers differ from the others'."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.benchmarks.contenders.common import MANY
from tests.benchmarks.works import WORKS, Request

PACKAGE = "tests.benchmarks.contenders"
EVERY = tuple(work.name for work in WORKS)
WRITES = frozenset(work.name for work in WORKS if work.writes)

Spell = Callable[[Request], Request]
Normalise = Callable[[Any], Any]


def as_is(value: Any) -> Any:
    """The value itself."""
    return value


def without_host(link: str | None) -> Any:
    """A link to a neighbouring page, whoever wrote it: its path and its parameters in any order."""
    if link is None:
        return None
    parts = urlsplit(link)
    return [parts.path, sorted(parse_qsl(parts.query))]


@dataclass(frozen=True)
class Contender:
    """One side of the comparison.

    Attributes:
        name: How commands and the chart name it.
        title: How the table names it.
        module: Its module, where ``factory`` makes the application.
        factory: The function of the module.
        secured: Whether it checks a token and scopes.
        works: What it takes part in.
        spell: Writes a request as it expects it.
        normalise: Turns its envelope into ours.
        lacks: Keys that its pages do not have.
        statuses: Its own statuses, by ours.
        silent: Work that it does not answer with the row; the rows that it leaves are compared all the same.
        gunicorn: Whether gunicorn serves it, as WSGI.
    """

    name: str
    title: str
    module: str
    factory: str = "opened"
    secured: bool = False
    works: tuple[str, ...] = EVERY
    spell: Spell = as_is
    normalise: Normalise = as_is
    lacks: frozenset[str] = frozenset()
    statuses: Mapping[int, int] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    gunicorn: bool = False

    def command(self, port: int) -> list[str]:
        """The server's command line: uvicorn with one worker, the same for all but Django."""
        target = f"{PACKAGE}.{self.module}"
        if self.gunicorn:
            options = ["--workers", "1", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning"]
            return [sys.executable, "-m", "gunicorn", f"{target}:application", "--bind", f"127.0.0.1:{port}", *options]
        options = ["--port", str(port), "--workers", "1", "--no-access-log", "--log-level", "warning"]
        return [sys.executable, "-m", "uvicorn", "--factory", f"{target}:{self.factory}", *options]

    @property
    def writes(self) -> bool:
        """Whether it takes part in everything that changes rows, so that those it leaves can be compared."""
        return set(self.works) >= WRITES

    def status(self, status: int) -> int:
        """Its own word for a status."""
        return self.statuses.get(status, status)

    def canonical(self, payload: Any) -> Any:
        """An answer in our envelope, with links that can be compared."""
        found = self.normalise(payload)
        if isinstance(found, dict):
            links = {name: without_host(found[name]) for name in ("next", "previous") if name in found}
            found = {**found, **links}
        return found


def fastcrud_spelling(request: Request) -> Request:
    """FastCRUD sorts by ``sort``, and not at all unless it is told to."""
    if request.method != "GET" or request.path != "/employees":
        return request
    query = {"page": 1, "page_size": 50, "ordering": "id", **request.query}
    return Request("GET", request.path, query).respell(page_size="itemsPerPage", ordering="sort")


def data_envelope(payload: Any) -> Any:
    """``data`` and ``total_count`` as ``results`` and ``count``."""
    if not isinstance(payload, dict) or "data" not in payload:
        return payload
    found = {"results": payload["data"]}
    return {**found, "count": payload["total_count"]} if "total_count" in payload else found


def fastcrud_envelope(payload: Any) -> Any:
    """The same; a created row comes without a schema, its decimal as a number and its moment with an offset."""
    if isinstance(payload, dict) and isinstance(payload.get("salary"), float):
        return {**payload, "salary": f"{payload['salary']:.2f}", "seen_at": payload["seen_at"].replace("+00:00", "Z")}
    return data_envelope(payload)


def drf_envelope(payload: Any) -> Any:
    """A page by cursor without its links, which nobody else has."""
    if isinstance(payload, dict) and "results" in payload and "count" not in payload:
        return {"results": payload["results"]}
    return payload


def last_spelling(request: Request) -> Request:
    """The employees, as the last of many viewsets has them."""
    return replace(request, path=request.path.replace("/employees", f"/employees{MANY}", 1))


def restly_spelling(request: Request) -> Request:
    """Restly sorts by ``sort``."""
    return request.respell(ordering="sort")


CONTENDERS = (
    Contender("fastapix5", "fastapix5", "viewsets"),
    Contender("handwritten", "FastAPI and SQLAlchemy by hand", "handwritten"),
    Contender("fastapix5-token", "fastapix5, token and permission", "viewsets", "secured", secured=True),
    Contender(
        "handwritten-token",
        "by hand, token and permission",
        "handwritten",
        "secured",
        secured=True,
    ),
    Contender("limit", "Starlette, asyncpg, orjson: the limit", "limit"),
    Contender(
        "fastcrud",
        "FastCRUD",
        "fastcrud_router",
        works=tuple(name for name in EVERY if name != "nested"),
        spell=fastcrud_spelling,
        normalise=fastcrud_envelope,
        lacks=frozenset({"next", "previous"}),
        statuses={201: 200, 204: 200},
        silent=frozenset({"patch", "delete"}),
    ),
    Contender(
        "restly",
        "fastapi-restly",
        "restly",
        # It counts every list that it pages.
        works=tuple(name for name in EVERY if name not in {"feed", "relations", "nested"}),
        spell=restly_spelling,
        normalise=data_envelope,
        lacks=frozenset({"next", "previous"}),
    ),
    Contender("only", "fastapix5, an only viewset", "many", "only", works=("retrieve",)),
    Contender(
        "last",
        f"fastapix5, the last of {MANY:,} viewsets",
        "many",
        "thousand",
        works=("retrieve",),
        spell=last_spelling,
    ),
    Contender("drf", "Django REST framework", "drf", normalise=drf_envelope, statuses={422: 400}, gunicorn=True),
)

BY_NAME = {contender.name: contender for contender in CONTENDERS}
