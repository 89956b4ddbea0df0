"""The answers are compared before anything is timed: a contender that does less work would only look faster."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from fastapix5.tokens import encode
from tests.benchmarks.contenders.common import READ, SECRET_KEY, WRITE
from tests.benchmarks.registry import Contender
from tests.benchmarks.works import BY_NAME, Request, target

SAMPLES = 4
MISSING = Request("GET", "/employees/999999999")
WRONG = Request("POST", "/employees", body={"name": "", "salary": "much"})


class Mismatch(Exception):
    """Two contenders do not answer the same."""


@dataclass(frozen=True)
class Answer:
    """What came back: the status, and the parsed body."""

    status: int
    payload: Any


Answers = Mapping[str, Sequence[Answer]]


class Client(Protocol):
    """Sends a request to a contender."""

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return the answer."""


@dataclass(frozen=True)
class HttpClient:
    """Sends requests to a port of this machine."""

    port: int

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = None if request.body is None else json.dumps(request.body)
        given = {**headers, **({} if body is None else {"Content-Type": "application/json"})}
        try:
            connection.request(request.method, target(request), body, given)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return Answer(response.status, json.loads(content) if content else None)


def ask(contender: Contender, client: Client, headers: Mapping[str, str]) -> Answers:
    """Return what a contender answers to some requests of each work, once it has refused what it must refuse.

    Raises:
        Mismatch: An answer has another status than it should.
    """
    found = {}
    for work in (BY_NAME[name] for name in contender.works):
        found[work.name] = [client(contender.spell(request), headers) for request in work.requests(SAMPLES)]
        for request, answer in zip(work.requests(SAMPLES), found[work.name], strict=True):
            if answer.status != contender.status(work.status):
                raise Mismatch(f"{contender.name}: {said(request)} is {answer.status}: {answer.payload}")
    for request, status, given in refusals(contender, headers):
        answer = client(contender.spell(request), given)
        if answer.status != contender.status(status):
            raise Mismatch(f"{contender.name}: {said(request)} is {answer.status} instead of {status}.")
    return found


def compare(contender: Contender, found: Answers, reference: Contender, expected: Answers) -> None:
    """Compare the answers of two contenders, wherever both take part.

    Raises:
        Mismatch: They differ.
    """
    lacks = contender.lacks | reference.lacks
    for name in found.keys() & expected.keys() - contender.silent - reference.silent:
        for request, mine, other in zip(BY_NAME[name].requests(SAMPLES), found[name], expected[name], strict=True):
            left = without(contender.canonical(mine.payload), lacks)
            right = without(reference.canonical(other.payload), lacks)
            if left != right:
                where = f"{said(request)}: {contender.name} and {reference.name} differ"
                raise Mismatch(f"{where}:\n  {difference(left, right)}\n  {difference(right, left)}")


def refusals(contender: Contender, headers: Mapping[str, str]) -> Iterator[tuple[Request, int, Mapping[str, str]]]:
    """Requests that a contender must refuse, with the status and the headers."""
    if contender.name != "limit":
        yield MISSING, 404, headers
        yield WRONG, 422, headers
    if contender.secured:
        for request in (Request("GET", "/employees/1"), Request("GET", "/employees"), WRONG):
            yield request, 401, {}
            yield request, 401, {"Authorization": "Bearer not.a.token"}
            yield request, 403, {"Authorization": f"Bearer {token('others.read')}"}
        # The first whom the secured contenders do not show.
        yield Request("GET", "/employees/21"), 404, headers


def token(scope: str) -> str:
    """A token for an hour."""
    return encode({"sub": "1", "scope": scope}, SECRET_KEY, lifetime=timedelta(hours=1))


def headers_for(contender: Contender) -> dict[str, str]:
    """The headers that every request to a contender has."""
    return {"Authorization": f"Bearer {token(f'{READ} {WRITE}')}"} if contender.secured else {}


def said(request: Request) -> str:
    """The request's first line."""
    return f"{request.method} {target(request)}"


def without(payload: Any, keys: frozenset[str]) -> Any:
    """A page without some of its keys."""
    if isinstance(payload, dict) and "results" in payload:
        return {name: value for name, value in payload.items() if name not in keys}
    return payload


def difference(payload: Any, other: Any) -> str:
    """The part of an answer where it differs from another."""
    missing = object()
    if isinstance(payload, dict) and isinstance(other, dict):
        pairs = ((name, value, other.get(name, missing)) for name, value in payload.items())
        return ", ".join(f"{name}: {difference(value, found)}" for name, value, found in pairs if value != found)
    if isinstance(payload, list) and isinstance(other, list) and len(payload) == len(other):
        return next(difference(mine, found) for mine, found in zip(payload, other, strict=True) if mine != found)
    return repr(payload)[:300]
