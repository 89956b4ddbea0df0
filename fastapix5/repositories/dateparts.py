"""Parts of dates and times, as both engines tell them. Aware values are taken apart in UTC, naive ones as they are.

SQLite holds text: ``2013-01-31 09:30:00.000000``, aware values in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Integer,
    String,
    Time,
    cast,
    extract,
    func,
    literal_column,
    type_coerce,
)

from fastapix5.repositories.kinds import Either, Kind, kind_of
from fastapix5.schemas.bounds import plain

Make: TypeAlias = Callable[[ColumnElement[Any]], ColumnElement[Any]]

# Where the parts of a date and a time stand in SQLite's text: the first character, counted from 1, and how many.
DATE_PARTS = {"year": (1, 4), "month": (6, 2), "day": (9, 2)}
TIME_PARTS = {"hour": (1, 2), "minute": (4, 2), "second": (7, 2)}
BEFORE_TIME = len("2013-01-31 ")


def number(part: str) -> Make:
    """What gives year, month, day, hour, minute or second, which is a whole number, of a column."""

    def make(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return Either(_part(part, column), _digits(column, part), Integer())

    return make


def quarter(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The quarter, from 1."""
    return Either(_part("quarter", column), (_digits(column, "month") + _sql("2")) // _sql("3"), Integer())


def week(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The ISO week."""
    thursday = func.date(_day(column), _sql("'-3 days'"), _sql("'weekday 4'"))
    of_year = cast(func.strftime(_sql("'%j'"), thursday), Integer)
    return Either(_part("week", column), (of_year - _sql("1")) // _sql("7") + _sql("1"), Integer())


def week_day(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The day of the week, Sunday being 1."""
    return Either(_part("dow", column) + _sql("1"), _weekday(column) + _sql("1"), Integer())


def iso_week_day(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The day of the week, Monday being 1."""
    from_monday = (_weekday(column) + _sql("6")) % _sql("7") + _sql("1")
    return Either(_part("isodow", column), from_monday, Integer())


def date(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The date."""
    return Either(cast(in_utc(column), Date), _day(column), Date())


def time(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The time of day."""
    # CURRENT_TIMESTAMP leaves the fraction out, SQLAlchemy never does.
    whole = _text(column).op("||")(_sql("'.000000'"))
    return Either(
        cast(in_utc(column), Time),
        func.substr(whole, _sql(str(BEFORE_TIME + 1)), _sql(str(len("09:30:00.000000")))),
        Time(),
    )


def in_utc(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column for PostgreSQL, which would take it apart in the session's time zone."""
    bare: Any = plain(column.type)
    if not getattr(bare, "timezone", False):
        return column
    return func.timezone(_sql("'UTC'"), column, type_=Time() if kind_of(bare) is Kind.TIME else DateTime())


def _part(part: str, column: Any) -> ColumnElement[int]:
    """A part on PostgreSQL, which extracts numbers with a fraction."""
    found = extract(part, in_utc(column))
    return cast(func.floor(found) if part == "second" else found, Integer)


def _digits(column: ColumnElement[Any], part: str) -> ColumnElement[int]:
    start, length = DATE_PARTS.get(part) or TIME_PARTS[part]
    if part in TIME_PARTS and kind_of(column.type) is not Kind.TIME:
        start += BEFORE_TIME
    return cast(func.substr(_text(column), _sql(str(start)), _sql(str(length))), Integer)


def _day(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.substr(_text(column), _sql("1"), _sql("10"), type_=String())


def _weekday(column: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.strftime(_sql("'%w'"), _day(column)), Integer)


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return type_coerce(column, String())


def _sql(text: str) -> ColumnElement[Any]:
    """A constant that stands in the SQL itself: PostgreSQL groups by expressions that are the same to the letter."""
    return literal_column(text, Integer() if text.isdigit() else String())
