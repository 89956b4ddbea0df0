"""The table of all lookups: a condition for each, and what it is in SQL on both databases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ARRAY, String, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from example_project.models import Airline, Airport, Flight, Weather
from fastapix5.db.postgresql import PostgreSQLDialect
from fastapix5.db.sqlite import SQLiteDialect
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import ALIASES, LOOKUPS, Q, to_sql
from fastapix5.repositories.vocabulary import TRANSFORMS
from tests.documentation.statements import filled_in

DIALECTS: tuple[Any, ...] = (PostgreSQLDialect(), SQLiteDialect())  # type: ignore[no-untyped-call]


class Base(DeclarativeBase): ...


class Document(Base):
    """What the flights do not have."""

    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    data: Mapped[Any] = mapped_column(JSONB)
    body: Mapped[str] = mapped_column(Text)


# For each lookup, on which model and with which value the table shows it.
EXAMPLES: tuple[tuple[str, type[Any], str], ...] = (
    ("exact", Flight, 'carrier="UA"'),
    ("exact", Flight, "dep_delay=None"),
    ("iexact", Airline, 'name__iexact="jetblue airways"'),
    ("ne", Flight, 'tailnum__ne="N14228"'),
    ("gt", Flight, "dep_delay__gt=60"),
    ("gte", Flight, "dep_delay__gte=60"),
    ("lt", Flight, "dep_delay__lt=0"),
    ("lte", Flight, "dep_delay__lte=0"),
    ("in", Flight, 'carrier__in=["UA", "AA"]'),
    ("not_in", Flight, 'tailnum__not_in=["N14228", "N24211"]'),
    ("isnull", Flight, "dep_delay__isnull=True"),
    ("range", Flight, "distance__range=(500, 1000)"),
    ("contains", Airline, 'name__contains="50%"'),
    ("icontains", Airline, 'name__icontains="air"'),
    ("startswith", Airline, 'name__startswith="Jet"'),
    ("istartswith", Airline, 'name__istartswith="jet"'),
    ("endswith", Airline, 'name__endswith="Inc."'),
    ("iendswith", Airline, 'name__iendswith="inc."'),
    ("like", Airline, 'name__like="J_t%"'),
    ("ilike", Airline, 'name__ilike="j_t%"'),
    ("regex", Airline, 'name__regex="^Jet"'),
    ("iregex", Airline, 'name__iregex="^jet"'),
    ("search", Document, 'body__search="brown fox"'),
    ("contains", Document, 'tags__contains=["a"]'),
    ("contained_by", Document, 'tags__contained_by=["a", "b"]'),
    ("overlap", Document, 'tags__overlap=["a", "b"]'),
    ("len", Document, "tags__len=2"),
    ("contains", Document, 'data__contains={"a": 1}'),
    ("contained_by", Document, 'data__contained_by={"a": 1, "b": 2}'),
    ("has_key", Document, 'data__has_key="a"'),
    ("has_keys", Document, 'data__has_keys=["a", "b"]'),
    ("has_any_keys", Document, 'data__has_any_keys=["a", "b"]'),
    ("(a key)", Document, 'data__owner__name="Ann"'),
    ("(a key)", Document, "data__sizes__0__gte=5"),
    ("year", Flight, "time_hour__year=2013"),
    ("quarter", Flight, "time_hour__quarter=1"),
    ("month", Flight, "time_hour__month__in=[6, 7]"),
    ("day", Flight, "time_hour__day=1"),
    ("week", Flight, "time_hour__week__lte=4"),
    ("week_day", Flight, "time_hour__week_day=1"),
    ("iso_week_day", Flight, "time_hour__iso_week_day=7"),
    ("date", Flight, "time_hour__date=date(2013, 1, 1)"),
    ("time", Flight, "time_hour__time__lt=time(6)"),
    ("hour", Flight, "time_hour__hour__gte=18"),
    ("minute", Flight, "time_hour__minute=0"),
    ("second", Flight, "time_hour__second=0"),
    ("exact", Weather, 'pk=("JFK", hour)'),
    ("isnull", Flight, "dest_airport__tz__isnull=True"),
    ("exact", Airport, 'departures__carrier="UA"'),
)


def lookup_table() -> str:
    """The rows: a lookup, a condition, its SQL on PostgreSQL and on SQLite.

    Raises:
        AssertionError: A lookup has no example.
    """
    shown = {name for name, _, _ in EXAMPLES}
    assert not (missing := {*LOOKUPS, *TRANSFORMS} - shown), f"no example shows {sorted(missing)}"
    head = "| lookup | example | PostgreSQL | SQLite |\n|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in _rows())


def aliases() -> str:
    """The short forms."""
    return ", ".join(f"`{short}` (`{name}`)" for short, name in ALIASES.items())


def _rows() -> Iterator[tuple[str, ...]]:
    for name, model, condition in EXAMPLES:
        column = name if name.startswith("(") else f"`{name}`"
        texts = [sql_of(model, condition, dialect) for dialect in DIALECTS]
        postgresql, sqlite = (f"`{_escaped(text)}`" if text else "refused" for text in texts)
        yield column, f"`{_escaped(condition)}`", postgresql, "the same" if texts[0] == texts[1] else sqlite


def sql_of(model: type[Any], condition: str, dialect: Any) -> str | None:
    """The SQL of ``filter(condition)`` with its values in their places; None where the database has none."""
    names = {"Q": Q, "date": dt.date, "time": dt.time, "hour": dt.datetime(2013, 1, 1, 11, tzinfo=dt.UTC)}
    expression = to_sql((eval(f"Q({condition})", names),), model)
    try:
        compiled: Any = select(1).select_from(model).where(expression).compile(dialect=dialect)
    except ImproperlyConfigured:
        return None
    state = compiled.construct_expanded_state()
    processors = {**compiled._bind_processors, **state.processors}
    values = [
        processors[name](state.parameters[name]) if processors.get(name) else state.parameters[name]
        for name in state.positiontup
    ]
    return " ".join(filled_in(state.statement, values).split()).partition(" WHERE ")[2]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
