"""The flights in a database of each engine, loaded once: tests read them, and write only what they undo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest

from example_project import loading
from example_project.database import make_engine
from example_project.models import Base
from fastapix5.db import dispose_engines, session_scope
from fastapix5.settings import override_settings
from tests.conformance import models
from tests.conformance.rows import SOURCE
from tests.conftest import ENGINES
from tests.servers import Server, in_thread

on_sqlite = pytest.mark.parametrize("flights", ["sqlite"], indirect=True, scope="module")
on_postgresql = pytest.mark.parametrize("flights", ["postgresql"], indirect=True, scope="module")

Prepared = Callable[[str, str], str]


async def prepare(url: str, limit: int | None) -> None:
    """Make the tables, and load the flights."""
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(models.fill)
    await loading.load(engine, SOURCE, limit=limit)
    await engine.dispose()


@pytest.fixture(scope="session")
def prepared(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The URL of an alias's database, loaded when it is first asked for: ``archive`` has ten flights."""
    folder: Path = tmp_path_factory.mktemp("flights")

    @cache
    def url(engine: str, alias: str) -> str:
        if engine == "sqlite":
            found = f"sqlite+aiosqlite:///{folder / alias}.sqlite3"
        else:
            name = postgres_server.create_database()
            # Whatever a server's time zone is, date parts are UTC.
            postgres_server.run(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Kathmandu'")
            found = postgres_server.url(name)
        in_thread(lambda: prepare(found, 10 if alias == "archive" else None))
        return found

    return url


@pytest.fixture(scope="module", params=ENGINES)
async def flights(request: pytest.FixtureRequest, prepared: Prepared) -> AsyncIterator[str]:
    """Settings whose databases hold the flights; the engine's name."""
    engine: str = request.param
    with override_settings(DATABASES={alias: prepared(engine, alias) for alias in ("default", "archive")}):
        yield engine
        await dispose_engines()


@pytest.fixture
async def scope(flights: str) -> AsyncIterator[None]:
    """An open session scope on the flights."""
    async with session_scope():
        yield
