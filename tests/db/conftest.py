"""A database with the test models' tables, and settings that make waiting short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastapix5.db import get_engine
from fastapix5.settings import override_settings
from tests.db.models import Base

STATEMENT_TIMEOUT = 1.0


@pytest.fixture
async def tables(database: str) -> str:
    """The default database, with the tables of ``tests.db.models``."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return database


@pytest.fixture(autouse=True)
def short_statements() -> Iterator[None]:
    """A statement that does not end is waited for briefly."""
    with override_settings(STATEMENT_TIMEOUT=STATEMENT_TIMEOUT):
        yield
