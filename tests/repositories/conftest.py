"""The library's tables with their rows, in an open session scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from fastapix5.db import get_engine, session_scope
from fastapix5.repositories import forget_policies
from tests.repositories.models import fill


@pytest.fixture
async def library(database: str) -> str:
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
