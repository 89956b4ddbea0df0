"""The benchmark compares like with like: what it measures of ours and of the hand-written endpoints answers the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient

from fastapix5 import settings
from tests.benchmarks.answers import SAMPLES, Answer, Mismatch, ask, compare, headers_for
from tests.benchmarks.registry import BY_NAME, PACKAGE, Contender
from tests.benchmarks.rows import copy_template, digest, insert_doomed, make_template
from tests.benchmarks.works import DOOMED, Request, target
from tests.servers import Server


@dataclass(frozen=True)
class InProcess:
    """Sends requests to an application of this process."""

    client: TestClient

    def __call__(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return the answer."""
        response = self.client.request(request.method, target(request), json=request.body, headers=dict(headers))
        return Answer(response.status_code, response.json() if response.content else None)


@contextmanager
def served(contender: Contender, monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[InProcess]:
    """A contender's application on a database."""
    name = f"{PACKAGE}.{contender.module}"
    monkeypatch.setenv("DATABASE_URL", url)
    sys.modules.pop(name, None)
    app = getattr(importlib.import_module(name), contender.factory)()
    with TestClient(app) as client:
        yield InProcess(client)
    settings.reset()


@pytest.fixture(scope="module")
def template(postgres_server: Server) -> Iterator[str]:
    """The rows."""
    make_template(postgres_server, "answers")
    yield "answers"
    postgres_server.run("DROP DATABASE answers")


@pytest.mark.parametrize(
    "names", [("fastapix5", "handwritten"), ("fastapix5-token", "handwritten-token")], ids=["open", "token"]
)
def test_ours_and_the_hand_written_endpoints_answer_the_same(
    names: tuple[str, str], template: str, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of work has the same answers on both sides, every refusal the same status, and the same rows are left."""
    answers, left = [], []
    for contender in (BY_NAME[name] for name in names):
        copy_template(postgres_server, template, contender.name)
        insert_doomed(postgres_server, contender.name, DOOMED, SAMPLES)
        with served(contender, monkeypatch, postgres_server.url(contender.name)) as client:
            answers.append(ask(contender, client, headers_for(contender)))
        left.append(digest(postgres_server, contender.name))
        postgres_server.run(f'DROP DATABASE "{contender.name}" WITH (FORCE)')
    compare(BY_NAME[names[0]], answers[0], BY_NAME[names[1]], answers[1])
    assert left[0] == left[1]


def test_a_different_answer_is_named() -> None:
    """One value that differs stops a run, with the request and both sides."""
    rows = [Answer(200, {"id": number, "rating": 1.5}) for number in range(SAMPLES)]
    forged = [*rows[:-1], Answer(200, {"id": SAMPLES - 1, "rating": 2.5})]
    with pytest.raises(Mismatch, match=r"GET /employees/\d+: .* differ:\n  rating: 1\.5\n  rating: 2\.5"):
        compare(BY_NAME["fastapix5"], {"retrieve": rows}, BY_NAME["limit"], {"retrieve": forged})


def test_links_are_compared_by_what_they_say() -> None:
    """Host and order of parameters are a framework's own; the page is not."""
    ours, theirs = ({"count": 1, "next": link} for link in ("/a?page=2&b=1", "http://host/a?b=1&page=2"))
    assert BY_NAME["fastapix5"].canonical(ours) == BY_NAME["drf"].canonical(theirs)
    assert BY_NAME["fastapix5"].canonical(ours) != BY_NAME["drf"].canonical({**theirs, "next": "/a?page=3&b=1"})
