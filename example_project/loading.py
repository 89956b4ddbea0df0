"""Puts the source's rows into the database: all of them in one transaction, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TypeVar

from rich.progress import Progress
from sqlalchemy import exists, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from example_project import data
from example_project.models import Airline, Airport, Base, Flight, Plane, Weather
from example_project.oddities import Oddities

BATCH = 5_000
MODELS: dict[str, type[Base]] = {
    "airlines": Airline,
    "airports": Airport,
    "planes": Plane,
    "flights": Flight,
    "weather": Weather,
}

T = TypeVar("T")


async def is_loaded(engine: AsyncEngine) -> bool:
    """Return whether the data is there. A load is one transaction, so one row stands for all."""
    async with engine.connect() as connection:
        return await _has_airlines(connection)


async def load(
    engine: AsyncEngine, source: data.Source, *, limit: int | None = None, progress: Progress | None = None
) -> Oddities | None:
    """Load the source into empty tables; do nothing where they are not empty.

    Args:
        engine: From ``database.make_engine``.
        source: From ``data.read_archive`` or ``data.read_folder``.
        limit: How many flights to load; the weather is then that of their hours. None loads everything.
        progress: Where to draw one bar for each table.

    Returns:
        What was odd, or None where the data was there already.
    """
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # The second of two loaders waits here, then finds the data. On SQLite, BEGIN IMMEDIATE makes it wait.
            await connection.execute(text("LOCK TABLE airlines IN EXCLUSIVE MODE"))
        if await _has_airlines(connection):
            return None
        await _restart_ids(connection)
        oddities = await _load_tables(connection, source, limit, progress or Progress(disable=True))
        await connection.execute(text("ANALYZE"))
    return oddities


async def _has_airlines(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(select(exists(select(Airline.carrier)))))


async def _restart_ids(connection: AsyncConnection) -> None:
    """Give the first flight the id 1, also after a load that was interrupted: sequences do not roll back."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT setval(pg_get_serial_sequence('flights', 'id'), 1, false)"))


async def _load_tables(
    connection: AsyncConnection, source: data.Source, limit: int | None, progress: Progress
) -> Oddities:
    oddities = Oddities()
    seen: set[str] = set()
    for table in data.TABLES:
        bar = progress.add_task(table, total=_total(source, table, limit))
        for batch in _batches(_records(source, table, limit, oddities)):
            # Airports come before planes come before flights, so that every reference finds its row.
            for parent, records in _placeholders(oddities, seen).items():
                await _write(connection, MODELS[parent], records)
            await _write(connection, MODELS[table], batch)
            progress.advance(bar, len(batch))
        progress.update(bar, total=oddities.rows[table], completed=oddities.rows[table])
    return oddities


def _total(source: data.Source, table: str, limit: int | None) -> int:
    total = data.count(source, table)
    return total if limit is None or table != "flights" else min(limit, total)


def _records(source: data.Source, table: str, limit: int | None, oddities: Oddities) -> Iterator[data.Record]:
    """Yield the records to store, noted as they pass."""
    make = data.RECORDS[table]
    records = map(make, data.rows(source, table))
    for record in records:
        beyond = limit is not None and (
            (table == "flights" and oddities.rows[table] >= limit)
            or (table == "weather" and (record["origin"], record["time_hour"]) not in oddities.flight_hours)
        )
        if beyond:
            oddities.left_out[table] += 1
            continue
        oddities.note(table, record)
        yield record


def _placeholders(oddities: Oddities, seen: set[str]) -> dict[str, list[data.Record]]:
    """Return rows for the planes and airports that flights have named since the last call and no table lists."""
    made: dict[str, list[data.Record]] = {}
    for table, key in (("airports", "faa"), ("planes", "tailnum")):
        new = [value for value in oddities.unlisted[table] if f"{table} {value}" not in seen]
        seen.update(f"{table} {value}" for value in new)
        if new:
            made[table] = [{key: value, "listed": False} for value in new]
    return made


def _batches(records: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(records)
    for first in iterator:
        yield list(chain([first], islice(iterator, BATCH - 1)))


async def _write(connection: AsyncConnection, model: type[Base], records: Sequence[data.Record]) -> None:
    if connection.dialect.name != "postgresql":
        await connection.execute(insert(model.__table__), records)  # type: ignore[arg-type]
        return
    raw = await connection.get_raw_connection()
    # The statements before have begun the transaction, so COPY runs inside it.
    await raw.driver_connection.copy_records_to_table(  # type: ignore[union-attr]
        model.__table__.name,  # type: ignore[attr-defined]
        records=[tuple(record.values()) for record in records],
        columns=list(records[0]),
    )
