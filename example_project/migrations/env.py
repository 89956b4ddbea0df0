"""Runs the migrations: in the connection that a caller hands over, else in one of its own."""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from example_project.database import database_url, make_engine
from example_project.models import Base

os.environ.setdefault("FASTAPIX5_SETTINGS_MODULE", "example_project.settings")


def run(connection: Connection) -> None:
    """Run the migrations in ``connection``, inside its transaction where it has begun one."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter a constraint: there a later migration copies the table.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=database_url(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_in_own_connection() -> None:
    """Run the migrations in a connection to the default database."""
    engine = make_engine(database_url())
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
elif context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_in_own_connection())
