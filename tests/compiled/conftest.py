"""The library of the repositories' tests, and what goes straight to the driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fastapix5 import override_settings
from fastapix5.db import direct, get_engine, session_scope
from fastapix5.repositories import forget_policies
from tests.compiled.ways import Runs
from tests.repositories.models import fill


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The texts that went straight to the driver since the test began."""
    found, run = Runs(), direct.run

    async def noted(way: direct.Way, text: str, parameters: Any, *, writes: bool = False) -> Any:
        found.append(text)
        return await run(way, text, parameters, writes=writes)

    monkeypatch.setattr(direct, "run", noted)
    return found


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """A hundred tasks on a busy machine may wait long for one of ten connections, and these for their server."""
    with override_settings(POOL_TIMEOUT=30, STATEMENT_TIMEOUT=30, CONNECT_TIMEOUT=30, LOCK_TIMEOUT=30):
        yield


@pytest.fixture
async def library(patient: None, database: str) -> str:
    """The default database, with the tables and rows of ``tests.repositories.models``."""
    async with get_engine().begin() as connection:
        await connection.run_sync(fill)
    return database


@pytest.fixture
async def scope(library: str) -> AsyncIterator[None]:
    """An open session scope on the library."""
    async with session_scope():
        yield


@pytest.fixture(autouse=True)
def no_policies() -> Iterator[None]:
    """Policies that a test registers end with it."""
    forget_policies()
    yield
    forget_policies()
