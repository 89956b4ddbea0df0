"""What is odd about the source: noted row by row while it loads, told as a table afterwards."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table

STORM = 200
"""Miles an hour that no wind in New York City reaches."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One oddity.

    Attributes:
        table: Where it is.
        what: What is odd.
        count: How many rows, or routes, show it.
        outcome: What was stored.
    """

    table: str
    what: str
    count: int
    outcome: str


class Oddities:
    """Notes each record of the source, tables in the order of ``data.TABLES``."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.missing: Counter[tuple[str, str]] = Counter()
        self.listed: dict[str, set[str]] = {"planes": set(), "airports": set()}
        self.unlisted: dict[str, Counter[str]] = {"planes": Counter(), "airports": Counter()}
        self.flight_hours: Counter[tuple[str, dt.datetime]] = Counter()
        self.weather_hours: set[tuple[str, dt.datetime]] = set()
        self._local_hours: Counter[tuple[str, dt.date, int]] = Counter()
        self._distances: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._midnights = 0
        self._storms: list[float] = []

    def note(self, table: str, record: dict[str, Any]) -> None:
        """Count ``record`` of ``table`` and what is odd about it."""
        self.rows[table] += 1
        for column, value in record.items():
            if value is None:
                self.missing[table, column] += 1
        if table == "flights":
            self._note_flight(record)
        elif table == "weather":
            self._note_weather(record)
        elif table in self.listed:
            self.listed[table].add(record["tailnum" if table == "planes" else "faa"])

    def _note_flight(self, record: dict[str, Any]) -> None:
        for table, keys in (("planes", ("tailnum",)), ("airports", ("origin", "dest"))):
            for key in keys:
                if record[key] is not None and record[key] not in self.listed[table]:
                    self.unlisted[table][record[key]] += 1
        self.flight_hours[record["origin"], record["time_hour"]] += 1
        self._distances[record["origin"], record["dest"]].add(record["distance"])
        self._midnights += 2400 in (record["dep_time"], record["arr_time"])

    def _note_weather(self, record: dict[str, Any]) -> None:
        self.weather_hours.add((record["origin"], record["time_hour"]))
        self._local_hours[record["origin"], record["date"], record["hour"]] += 1
        if (record["wind_speed"] or 0) > STORM:
            self._storms.append(record["wind_speed"])

    def findings(self) -> Iterator[Finding]:
        """Yield every oddity that occurred."""
        for finding in (*self._missing_values(), *self._references(), *self._hours(), *self._values()):
            if finding.count:
                yield finding
        for table, count in self.left_out.items():
            yield Finding(table, "beyond the limit that was asked for", count, "not stored")

    def _missing_values(self) -> Iterator[Finding]:
        for (table, column), count in self.missing.items():
            yield Finding(table, f"{column} is NA", count, "null")

    def _references(self) -> Iterator[Finding]:
        for table, word in (("planes", "tail numbers"), ("airports", "airports")):
            flights = self.unlisted[table]
            what = f"name one of {len(flights)} {word} that {table} does not list"
            yield Finding("flights", what, flights.total(), f"as they came; a row in {table} with listed = false")

    def _hours(self) -> Iterator[Finding]:
        repeated = sum(count - 1 for count in self._local_hours.values())
        yield Finding("weather", "local hour that occurs twice", repeated, "both; time_hour (UTC) tells them apart")
        blind = sum(count for hour, count in self.flight_hours.items() if hour not in self.weather_hours)
        yield Finding("flights", "scheduled in an hour without weather", blind, "as they came")

    def _values(self) -> Iterator[Finding]:
        fastest = f"wind_speed above {STORM} mph ({max(self._storms, default=0):.0f})"
        yield Finding("weather", fastest, len(self._storms), "as it came")
        yield Finding("flights", "dep_time or arr_time is 2400", self._midnights, "as they came")
        routes = sum(len(distances) > 1 for distances in self._distances.values())
        yield Finding("flights", "routes with more than one distance", routes, "as they came")

    def as_table(self) -> Table:
        """Return the findings for a terminal."""
        table = Table(title="What was odd about the source", title_justify="left")
        for heading in ("table", "what", "count", "stored as"):
            table.add_column(heading, justify="right" if heading == "count" else "left")
        for finding in self.findings():
            table.add_row(finding.table, finding.what, f"{finding.count:,}", finding.outcome)
        return table
