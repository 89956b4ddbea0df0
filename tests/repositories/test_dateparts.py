"""Parts of dates and times, against Python's over the same rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import DateTime, Time, insert, select, text, type_coerce
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.repositories import QuerySet, UnknownPath, resolve
from tests.conftest import on_postgresql

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Moment(Base):
    """One moment four times: aware, naive, and its halves."""

    __tablename__ = "moment"

    id: Mapped[int] = mapped_column(primary_key=True)
    aware: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    naive: Mapped[dt.datetime | None]
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None]


# Edges of hours, days, weeks, quarters and years, and the years whose last week is the 52nd, the 53rd or the next one's.
MOMENTS = [
    dt.datetime.fromisoformat(written)
    for written in (
        "2013-01-01T00:00:00", "2012-12-31T23:59:59.999999", "2013-03-31T23:30:00.5", "2013-04-01T00:30:00", "2016-02-29T12:00:01",
        "2020-12-31T18:15:00", "2021-01-03T18:14:59", "2021-01-04T00:00:00.000001", "2015-12-31T06:00:59.9996", "2019-12-30T05:45:00",
        "0999-06-15T10:20:30", "9998-12-31T09:08:07",
    )
]  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"id": number, "aware": found.replace(tzinfo=dt.UTC), "naive": found, "day": found.date(), "clock": found.time()}
    for number, found in enumerate(MOMENTS, start=1)
]
ROWS.append({"id": len(ROWS) + 1, "aware": None, "naive": None, "day": None, "clock": None})

OF_DAYS: dict[str, Callable[[Any], Any]] = {
    "year": lambda found: found.year,
    "quarter": lambda found: (found.month + 2) // 3,
    "month": lambda found: found.month,
    "day": lambda found: found.day,
    "week": lambda found: found.isocalendar().week,
    "week_day": lambda found: found.isoweekday() % 7 + 1,
    "iso_week_day": lambda found: found.isoweekday(),
}
OF_CLOCKS: dict[str, Callable[[Any], Any]] = {
    "hour": lambda found: found.hour,
    "minute": lambda found: found.minute,
    "second": lambda found: found.second,
}
OF_BOTH: dict[str, Callable[[Any], Any]] = {
    "date": lambda found: found.date(),
    "time": lambda found: found.time(),
    "date__year": lambda found: found.year,
    "date__week": lambda found: found.isocalendar().week,
    "time__hour": lambda found: found.hour,
    "time__second": lambda found: found.second,
}
PARTS = {
    "aware": OF_DAYS | OF_CLOCKS | OF_BOTH,
    "naive": OF_DAYS | OF_CLOCKS | OF_BOTH,
    "day": OF_DAYS | {"date": lambda found: found},
    "clock": OF_CLOCKS,
}


@pytest.fixture
async def moments(database: str) -> AsyncIterator[None]:
    """The table with its rows, in a transaction whose time zone is neither UTC nor whole hours away from it."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Moment), ROWS)
    async with session_scope(), atomic():
        if database.startswith("postgresql"):
            await get_session().execute(text("SET LOCAL TIME ZONE 'Asia/Kathmandu'"))
        yield


async def ids(**conditions: Any) -> list[int]:
    """The keys of the rows that meet the conditions, in order."""
    return sorted(row.id for row in await QuerySet(Moment).filter(**conditions).all())


@pytest.mark.parametrize("column", PARTS)
async def test_a_part_is_the_one_that_python_sees(moments: None, column: str) -> None:
    """Of an aware column it is UTC's, whatever the time zone of the server; null has no parts."""
    for path, part in PARTS[column].items():
        there = {row["id"]: part(row[column]) for row in ROWS if row[column] is not None}
        for value in set(there.values()):
            equal = sorted(number for number, found in there.items() if found == value)
            greater = sorted(number for number, found in there.items() if found > value)
            assert await ids(**{f"{column}__{path}": value}) == equal, (path, value)
            assert await ids(**{f"{column}__{path}__gt": value}) == greater, (path, value)


async def test_any_comparison_follows_a_part(moments: None) -> None:
    """Of lists, of ranges, of null, and through short forms."""
    everything = {row["id"] for row in ROWS}
    assert await ids(aware__year__in=[2012, 2021]) == [2, 7, 8]
    assert await ids(aware__year__not_in=[2012, 2021]) == sorted(everything - {2, 7, 8})
    assert await ids(day__month__range=(3, 4)) == [3, 4]
    assert await ids(day__month__between=(3, 4)) == [3, 4]
    assert await ids(naive__year__isnull=True) == [13]
    assert await ids(naive__year=None) == [13]
    assert await ids(naive__year__ne=2013) == sorted(everything - {1, 3, 4})
    assert await ids(clock__hour__ge=18) == [2, 3, 6, 7]
    assert await ids(aware__date__in=[dt.date(2016, 2, 29)]) == [5]
    assert await ids(aware__time__lt=dt.time(0, 0, 1)) == [1, 8]


async def test_a_time_that_the_database_made_has_a_time_of_day(moments: None) -> None:
    """CURRENT_TIMESTAMP of SQLite has no fraction."""
    await get_session().execute(text("INSERT INTO moment (id, naive) VALUES (100, '2013-05-06 07:08:09')"))
    assert await ids(naive__time=dt.time(7, 8, 9)) == [100]
    assert await ids(naive__second=9) == [100]


@on_postgresql
async def test_a_time_with_a_zone_is_told_in_utc(moments: None) -> None:
    """PostgreSQL has such a type."""
    await get_session().execute(text("ALTER TABLE moment ALTER clock TYPE timetz USING '09:30+05:45'::timetz"))
    aware = type_coerce(Moment.clock, Time(timezone=True))
    for path, value in (("clock__hour", 3), ("clock__minute", 45)):
        found = await get_session().scalars(select(Moment.id).where(resolve(Moment, path).make(aware, value)))
        assert len(found.all()) == len(ROWS)


@pytest.mark.parametrize("path", ["day__hour", "clock__year", "clock__date", "id__year", "aware__year__month"])
def test_a_part_that_is_not_there_is_unknown(path: str) -> None:
    """A date has no hour, and a number no year."""
    with pytest.raises(UnknownPath):
        QuerySet(Moment).filter(**{path: 1})
