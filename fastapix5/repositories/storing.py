"""Values as their columns take them, checked before SQL: SQLite enforces no length, range or type, so both are asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Column, inspect, null
from sqlalchemy.orm import Mapper, QueryableAttribute, Session
from sqlalchemy.sql import ClauseElement

from fastapix5.db.routing import checks_before_flush
from fastapix5.exceptions import IntegrityViolation
from fastapix5.repositories.limits import check_for, needs_null
from fastapix5.repositories.scalars import Check

EXPRESSIONS = (ClauseElement, QueryableAttribute)


class Stored(NamedTuple):
    """A column's check, and what an error says of it.

    Attributes:
        check: See ``Check``.
        table: The table's name.
        null: What None becomes: SQL's NULL, where SQLAlchemy would bind something else, such as JSON's.
    """

    check: Check
    table: str
    null: Any


_stored: WeakKeyDictionary[Mapper[Any], dict[str, Stored]] = WeakKeyDictionary()


def storable(mapper: Mapper[Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """``data`` (by attribute) as columns take it; ``data`` itself where nothing had to change.

    Numbers are rounded to their column's digits, JSON columns hold JSON and their null is the column's, as in every other
    column. SQL expressions, and what is no column, pass as they are; whether null may be is for the database to say.

    Raises:
        LengthViolation: A value is longer than its column; ``fields`` has the attribute.
        RangeViolation: A number or a time is outside of its column's range.
        TypeViolation: A value is of another type than its column.
    """
    return _storable(stored_columns(mapper), data)


def storable_rows(mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """``storable`` for each of ``rows``; the first value that a column cannot hold raises."""
    columns = stored_columns(mapper)
    return [_storable(columns, row) for row in rows]


def stored_columns(mapper: Mapper[Any]) -> Mapping[str, Stored]:
    """The checks of a mapper's columns, by attribute; a column that takes whatever it is given has none."""
    found = _stored.get(mapper)
    if found is None:
        found = _stored[mapper] = {
            name: Stored(check, str(getattr(column.table, "name", None)), null() if needs_null(column.type) else None)
            for name, prop in mapper.column_attrs.items()
            if isinstance(column := prop.columns[0], Column) and (check := check_for(column.type)) is not None
        }
    return found


def _storable(columns: Mapping[str, Stored], data: Mapping[str, Any]) -> Mapping[str, Any]:
    changed: dict[str, Any] | None = None
    for name, value in data.items():
        column = columns.get(name)
        if column is None or isinstance(value, EXPRESSIONS):
            continue
        try:
            kept = column.null if value is None else column.check(value)
        except IntegrityViolation as violation:
            raise type(violation)(table=column.table, fields=(name,)) from violation.__cause__
        if kept is not value:
            changed = dict(data) if changed is None else changed
            changed[name] = kept
    return data if changed is None else changed


def check_pending(session: Session) -> None:
    """Ask of new objects, and of what was changed in others, whether their columns can hold it; nothing is replaced.

    Raises:
        IntegrityViolation: A value is not what its column can hold; see ``storable``.
    """
    for instance in session.new:
        state = inspect(instance)
        storable(state.mapper, state.dict)
    for instance in session.dirty:
        state = inspect(instance)
        storable(state.mapper, {name: state.dict[name] for name in state.committed_state if name in state.dict})


checks_before_flush.append(check_pending)
