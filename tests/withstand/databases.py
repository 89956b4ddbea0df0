"""Databases with the example's data, and what is in them, asked past the API."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url

from example_project import data, loading
from example_project.database import make_engine
from example_project.models import Base
from tests.servers import in_thread

EXCERPT = Path(__file__).parents[1] / "example" / "data"


def prepare(url: str) -> None:
    """Make the example's tables and load the excerpt into them."""
    in_thread(lambda: _prepare(url))


async def _prepare(url: str) -> None:
    await make_tables(url, Base.metadata)
    engine = make_engine(url)
    await loading.load(engine, data.read_folder(EXCERPT))
    await engine.dispose()


async def make_tables(url: str, metadata: MetaData) -> None:
    """Make tables."""
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


def fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, on a connection of its own."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(f"file:{found.database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()
    return in_thread(lambda: _fetch(url, sql))


async def _fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def contents(url: str, table: str = "flights", key: str = "id") -> str:
    """A digest of every value in a table: it stays the same while nothing is written."""
    rows = fetch(url, f"SELECT * FROM {table} ORDER BY {key}")
    return f"{len(rows)} rows, {hashlib.sha256(repr(rows).encode()).hexdigest()}"


def wait_until(url: str, sql: str, expected: Any, seconds: float = 5) -> None:
    """Wait until a query's one value is as expected."""

    async def wait() -> None:
        for _ in range(round(seconds * 20)):
            if (value := (await asyncio.to_thread(fetch, url, sql))[0][0]) == expected:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{sql}: {value!r}, not {expected!r}")

    asyncio.run(wait())
