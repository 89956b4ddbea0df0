"""The fleet's tables, empty, in an open session scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from fastapix5.db import get_engine, session_scope
from fastapix5.repositories import forget_policies
from tests.models.fleet import METADATA


@pytest.fixture
async def fleet(database: str) -> str:
    """The default database, with the tables of ``tests.models.fleet``."""
    async with get_engine().begin() as connection:
        await connection.run_sync(METADATA.create_all)
    return database


@pytest.fixture
async def scope(fleet: str) -> AsyncIterator[None]:
    """An open session scope on the fleet."""
    async with session_scope():
        yield


@pytest.fixture(autouse=True)
def no_policies() -> Iterator[None]:
    """Policies that a test registers end with it."""
    forget_policies()
    yield
    forget_policies()
