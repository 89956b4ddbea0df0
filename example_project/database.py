"""The example's database as its tools see it: one short-lived engine for migrating and loading."""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from example_project.settings import HERE
from fastapix5.settings import settings


def database_url() -> URL:
    """Return the default database: ``DATABASE_URL``, else the SQLite file beside this module."""
    return make_url(settings.DATABASES["default"])


def make_engine(url: URL | str) -> AsyncEngine:
    """Return an engine whose transactions are whole on both databases, DDL included.

    It has none of the server's timeouts: loading takes longer than any request may.
    """
    engine = create_async_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # By itself sqlite3 begins before INSERT only, so that DDL would commit what came before it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "foreign_keys=ON",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=30000",
        "cache_size=-100000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the database to ``revision`` in one transaction."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: Connection, revision: str) -> None:
    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration, bound to ``connection``."""
    config = Config(HERE / "alembic.ini")
    config.attributes["connection"] = connection
    return config
