"""The example's API, served on both engines to the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ENGINES
from tests.servers import Server
from tests.withstand.databases import contents, prepare
from tests.withstand.served import Answer, Api, serving


@dataclass(frozen=True)
class Served:
    """An API and the database behind it."""

    api: Api
    url: str

    def contents(self) -> str:
        """A digest of the flights."""
        return contents(self.url)


@dataclass(frozen=True)
class Both:
    """The same API on both engines: whatever is asked, they must answer alike."""

    apis: Mapping[str, Served]

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send a request to each, and return the one answer that both gave."""
        answers = {name: served.api(method, path, body, **options) for name, served in self.apis.items()}
        return self._one(answers)

    def send(self, data: bytes) -> Answer:
        """Send bytes to each, and return the one answer that both gave."""
        return self._one({name: served.api.send(data) for name, served in self.apis.items()})

    def _one(self, answers: Mapping[str, Answer]) -> Answer:
        first, second = answers.values()
        assert first.summary() == second.summary()
        return second

    def contents(self) -> list[str]:
        """A digest of the flights of each."""
        return [served.contents() for served in self.apis.values()]


@pytest.fixture(scope="session")
def example_urls(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Databases with the example's data, by engine."""
    folder: Path = tmp_path_factory.mktemp("withstand")
    name = postgres_server.create_database()
    urls = {"sqlite": f"sqlite+aiosqlite:///{folder / 'flights.sqlite3'}", "postgresql": postgres_server.url(name)}
    for url in urls.values():
        prepare(url)
    return urls


@pytest.fixture(scope="session")
def both(example_urls: Mapping[str, str]) -> Iterator[Both]:
    """The example's API on both engines."""
    with ExitStack() as stack:
        yield Both({name: Served(stack.enter_context(serving(url)), url) for name, url in example_urls.items()})


@pytest.fixture(params=ENGINES)
def example(request: pytest.FixtureRequest, both: Both) -> Served:
    """The example's API: the test runs once on each engine."""
    return both.apis[request.param]


@pytest.fixture(scope="module")
def nothing_written(both: Both) -> Iterator[None]:
    """After the tests of a module every flight is as it was before, on both engines."""
    before = both.contents()
    yield
    assert both.contents() == before


@pytest.fixture
def nothing_written_here(both: Both) -> Iterator[None]:
    """The same after each test, so that the guilty one is known; for the engine that is quickly asked."""
    before = both.apis["sqlite"].contents()
    yield
    assert both.apis["sqlite"].contents() == before
