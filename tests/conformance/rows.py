"""The rows as plain Python: read from the CSV files and joined by hand, so that no queryset says what is right."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from example_project import data
from example_project.models import Airline, Airport, Flight, Plane, Weather

EXCERPT = Path(__file__).parents[1] / "example" / "data"
SOURCE = data.read_folder(EXCERPT)

Row = dict[str, Any]
Test = Callable[[Row], bool]


def _read(table: str) -> list[Row]:
    return [dict(data.RECORDS[table](row)) for row in data.rows(SOURCE, table)]


AIRLINES = _read("airlines")
AIRPORTS = _read("airports")
PLANES = _read("planes")
FLIGHTS: list[Row] = [{"id": number, **row} for number, row in enumerate(_read("flights"), start=1)]
WEATHER = _read("weather")


def _mention(rows: list[Row], key: str, names: Iterable[Any]) -> None:
    """A row for each name that only flights mention; the rest of it is null."""
    listed = {row[key] for row in rows}
    empty = dict.fromkeys(rows[0])
    rows.extend({**empty, key: name, "listed": False} for name in sorted({*names} - listed - {None}))


_mention(AIRPORTS, "faa", (flight[end] for flight in FLIGHTS for end in ("origin", "dest")))
_mention(PLANES, "tailnum", (flight["tailnum"] for flight in FLIGHTS))

TABLES: Mapping[type[Any], list[Row]] = {
    Airline: AIRLINES,
    Airport: AIRPORTS,
    Plane: PLANES,
    Flight: FLIGHTS,
    Weather: WEATHER,
}
KEYS: Mapping[type[Any], tuple[str, ...]] = {
    Airline: ("carrier",),
    Airport: ("faa",),
    Plane: ("tailnum",),
    Flight: ("id",),
    Weather: ("origin", "time_hour"),
}

AIRLINE: dict[str, Row] = {row["carrier"]: row for row in AIRLINES}
AIRPORT: dict[str, Row] = {row["faa"]: row for row in AIRPORTS}
PLANE: dict[str, Row] = {row["tailnum"]: row for row in PLANES}
FLIGHT: dict[int, Row] = {row["id"]: row for row in FLIGHTS}


def _by(column: str) -> Mapping[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for flight in FLIGHTS:
        found[flight[column]].append(flight)
    return found


FLIGHTS_OF_AIRLINE, FLIGHTS_OF_PLANE = _by("carrier"), _by("tailnum")
DEPARTURES, ARRIVALS = _by("origin"), _by("dest")


def plane_of(flight: Row) -> Row:
    """The flight's plane; a row of nulls where it has none."""
    return PLANE[flight["tailnum"]] if flight["tailnum"] is not None else dict.fromkeys(PLANES[0])


def flights_of(row: Row) -> list[Row]:
    """The flights of an airline or a plane."""
    return FLIGHTS_OF_AIRLINE[row["carrier"]] if "carrier" in row else FLIGHTS_OF_PLANE[row["tailnum"]]


def key_of(model: type[Any], row: Row) -> Any:
    """The primary key of a plain row, a tuple where it is composite."""
    found = tuple(row[name] for name in KEYS[model])
    return found if len(found) > 1 else found[0]


def keys(model: type[Any], test: Test = lambda row: True) -> list[Any]:
    """The keys of the rows that pass, sorted."""
    return sorted(key_of(model, row) for row in TABLES[model] if test(row))


def ids(test: Test = lambda row: True) -> list[int]:
    """The ids of the flights that pass, in order."""
    return keys(Flight, test)


def known(column: str, test: Callable[[Any], Any]) -> Test:
    """A test of one column that null never passes, as in SQL."""
    return lambda row: row[column] is not None and bool(test(row[column]))


def in_order(
    rows: Iterable[Row], *columns: tuple[Callable[[Row], Any], bool, bool], key: Callable[[Row], Any]
) -> list[Row]:
    """The rows in order of ``(value, descending, nulls first)`` each, then of ``key``."""
    found = sorted(rows, key=key)
    for value, descending, nulls_first in reversed(columns):
        # Equal rows keep the order that they have, also in reverse.
        there = sorted((row for row in found if value(row) is not None), key=value, reverse=descending)
        nulls = [row for row in found if value(row) is None]
        found = [*nulls, *there] if nulls_first else [*there, *nulls]
    return found


def moment(text: str) -> dt.datetime:
    """The aware moment that ISO 8601 text names."""
    return dt.datetime.fromisoformat(text)
