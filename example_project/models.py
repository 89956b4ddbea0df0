"""The flights that left New York City in 2013: airlines, airports, planes, flights and the hourly weather.

The tables hold the source as it came. Three decisions need a word:

* Flights name 721 planes and 4 airports that the source does not list. Each gets a row with ``listed`` false and
  nothing but its key, so that every reference is a real foreign key, a flight keeps one ``tailnum`` and one ``dest``,
  and ``listed`` tells what the source knew from what only its flights mention.
* ``year``, ``month`` and ``day`` became ``date``. A flight's ``hour`` and ``minute`` are not stored: they repeat
  ``sched_dep_time``, which the loader checks row by row.
* Local hours repeat when daylight saving ends, so the weather is keyed by ``time_hour``, which is UTC.

CHECK constraints look at one column each (``listed`` apart, which no request sets), and the schemas repeat them: what
OpenAPI calls valid is never refused by the table.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The root of the example's models."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {dt.datetime: DateTime(timezone=True)}


def between(column: str, low: float, high: float) -> CheckConstraint:
    """Return the rule that ``column``, where it has a value, lies in ``low`` to ``high``."""
    return CheckConstraint(f"{column} BETWEEN {low} AND {high}", name=f"{column}_range")


def positive(column: str) -> CheckConstraint:
    """Return the rule that ``column``, where it has a value, is above zero."""
    return CheckConstraint(f"{column} > 0", name=f"{column}_positive")


class Airline(Base):
    """An airline, by its two-character carrier code. Airlines are the tenants of the example."""

    __tablename__ = "airlines"

    carrier: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))

    flights: Mapped[list[Flight]] = relationship(back_populates="airline", passive_deletes="all")


class Airport(Base):
    """An airport, by its FAA code. One that only flights mention has ``listed`` false and nothing but the code."""

    __tablename__ = "airports"
    __table_args__ = (
        CheckConstraint(
            "NOT listed OR (name IS NOT NULL AND lat IS NOT NULL AND lon IS NOT NULL"
            " AND alt IS NOT NULL AND tz IS NOT NULL AND dst IS NOT NULL)",
            name="listed_complete",
        ),
        between("lat", -90, 90),
        between("lon", -180, 180),
        between("tz", -12, 14),
    )

    faa: Mapped[str] = mapped_column(String(3), primary_key=True)
    listed: Mapped[bool] = mapped_column(default=True, server_default=true())
    name: Mapped[str | None] = mapped_column(String(100), index=True)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    alt: Mapped[int | None]
    tz: Mapped[int | None]
    dst: Mapped[str | None] = mapped_column(String(1))
    tzone: Mapped[str | None] = mapped_column(String(40))

    departures: Mapped[list[Flight]] = relationship(
        back_populates="origin_airport", foreign_keys="Flight.origin", passive_deletes="all"
    )
    arrivals: Mapped[list[Flight]] = relationship(
        back_populates="dest_airport", foreign_keys="Flight.dest", passive_deletes="all"
    )
    weather: Mapped[list[Weather]] = relationship(back_populates="airport", passive_deletes="all")


class Plane(Base):
    """A plane, by its tail number. One that only flights mention has ``listed`` false and nothing but the number."""

    __tablename__ = "planes"
    __table_args__ = (
        CheckConstraint(
            "NOT listed OR (type IS NOT NULL AND manufacturer IS NOT NULL AND model IS NOT NULL"
            " AND engines IS NOT NULL AND seats IS NOT NULL AND engine IS NOT NULL)",
            name="listed_complete",
        ),
        positive("engines"),
        positive("seats"),
        positive("speed"),
    )

    tailnum: Mapped[str] = mapped_column(String(6), primary_key=True)
    listed: Mapped[bool] = mapped_column(default=True, server_default=true())
    year: Mapped[int | None]
    type: Mapped[str | None] = mapped_column(String(40))
    manufacturer: Mapped[str | None] = mapped_column(String(40), index=True)
    model: Mapped[str | None] = mapped_column(String(40))
    engines: Mapped[int | None]
    seats: Mapped[int | None]
    speed: Mapped[int | None]
    engine: Mapped[str | None] = mapped_column(String(20))

    flights: Mapped[list[Flight]] = relationship(back_populates="plane", passive_deletes="all")


class Flight(Base):
    """A flight that was planned to leave New York City.

    ``*_time`` columns are local clock times as the source writes them, hour * 100 + minute; an actual one may be 2400.
    A cancelled flight has no ``dep_time``. Delays and ``air_time`` are minutes, ``distance`` is miles.
    """

    __tablename__ = "flights"
    __table_args__ = (
        UniqueConstraint("carrier", "flight", "origin", "date"),
        Index(None, "date", "sched_dep_time"),
        positive("flight"),
        positive("distance"),
        positive("air_time"),
        between("sched_dep_time", 0, 2400),
        between("sched_arr_time", 0, 2400),
        between("dep_time", 0, 2400),
        between("arr_time", 0, 2400),
        # Ids of deleted flights are never given out again, as on PostgreSQL.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    date: Mapped[dt.date]
    carrier: Mapped[str] = mapped_column(ForeignKey("airlines.carrier"))
    flight: Mapped[int]
    tailnum: Mapped[str | None] = mapped_column(ForeignKey("planes.tailnum"), index=True)
    origin: Mapped[str] = mapped_column(ForeignKey("airports.faa"), index=True)
    dest: Mapped[str] = mapped_column(ForeignKey("airports.faa"), index=True)
    sched_dep_time: Mapped[int]
    dep_time: Mapped[int | None]
    dep_delay: Mapped[int | None] = mapped_column(index=True)
    sched_arr_time: Mapped[int]
    arr_time: Mapped[int | None]
    arr_delay: Mapped[int | None]
    air_time: Mapped[int | None]
    distance: Mapped[int]
    time_hour: Mapped[dt.datetime] = mapped_column(index=True)

    airline: Mapped[Airline] = relationship(back_populates="flights")
    plane: Mapped[Plane | None] = relationship(back_populates="flights")
    origin_airport: Mapped[Airport] = relationship(back_populates="departures", foreign_keys=[origin])
    dest_airport: Mapped[Airport] = relationship(back_populates="arrivals", foreign_keys=[dest])


class Weather(Base):
    """One hour of weather at one of the three origins: degrees Fahrenheit, miles, inches, millibars.

    ``date`` and ``hour`` are local and repeat when daylight saving ends; ``time_hour`` does not.
    """

    __tablename__ = "weather"
    __table_args__ = (
        between("hour", 0, 23),
        between("humid", 0, 100),
        between("wind_dir", 0, 360),
        CheckConstraint("wind_speed >= 0", name="wind_speed_not_negative"),
        CheckConstraint("wind_gust >= 0", name="wind_gust_not_negative"),
        CheckConstraint("precip >= 0", name="precip_not_negative"),
        CheckConstraint("visib >= 0", name="visib_not_negative"),
        Index(None, "time_hour"),
    )

    origin: Mapped[str] = mapped_column(ForeignKey("airports.faa"), primary_key=True)
    time_hour: Mapped[dt.datetime] = mapped_column(primary_key=True)
    date: Mapped[dt.date]
    hour: Mapped[int]
    temp: Mapped[float | None]
    dewp: Mapped[float | None]
    humid: Mapped[float | None]
    wind_dir: Mapped[int | None]
    wind_speed: Mapped[float | None]
    wind_gust: Mapped[float | None]
    precip: Mapped[float]
    pressure: Mapped[float | None]
    visib: Mapped[float]

    airport: Mapped[Airport] = relationship(back_populates="weather")
