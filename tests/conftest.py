"""Fixtures that every test may use: a real database of each kind, settings that name it, and what it was asked."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastapix5.db import dispose_engines
from fastapix5.settings import override_settings
from tests.servers import Server
from tests.statements import PostgreSQLStatements, SQLiteStatements, Statements

ENGINES = ("sqlite", "postgresql")

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def pytest_configure() -> None:
    # The example's modules name their own settings on import, where nobody else has.
    os.environ["FASTAPIX5_SETTINGS_MODULE"] = "tests.settings"
    # A terminated run leaves through atexit, where the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio is the one backend: SQLAlchemy knows no other."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The PostgreSQL server that all tests share."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def sqlite_statements() -> Iterator[SQLiteStatements]:
    """What SQLite is asked: it traces only connections that were opened after it."""
    with SQLiteStatements() as statements:
        yield statements


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_statements: SQLiteStatements) -> str:
    """A fresh SQLite file."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}"


@pytest.fixture
def postgresql_url(postgres_server: Server) -> Iterator[str]:
    """A fresh PostgreSQL database."""
    with postgres_server.fresh_database() as name:
        yield postgres_server.url(name)


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database: the test runs once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def configured_database(database_url: str) -> Iterator[str]:
    """Settings whose default database is the fresh one: for tests that have no event loop of their own."""
    with override_settings(DATABASES={"default": database_url}):
        yield database_url


@pytest.fixture
async def database(configured_database: str) -> AsyncIterator[str]:
    """Settings whose default database is the fresh one; the engines are disposed of after the test."""
    yield configured_database
    await dispose_engines()


@pytest.fixture
def statements(request: pytest.FixtureRequest, database_url: str) -> Statements:
    """What the database was asked since ``statements.reset()``, counted by the database itself."""
    if database_url.startswith("sqlite"):
        found: Statements = request.getfixturevalue("sqlite_statements")
    else:
        found = PostgreSQLStatements(request.getfixturevalue("postgres_server"), database_url)
    found.reset()
    return found
