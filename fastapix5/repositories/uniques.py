"""A model's unique keys, by attribute."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import CHAR, NCHAR, Column, Enum, Index, Integer, String, Table, UniqueConstraint
from sqlalchemy import Date as SQLDate
from sqlalchemy import DateTime as SQLDateTime
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.types import Uuid

from fastapix5.db.dialects import is_postgresql

# Where a value that was written is returned as one that equals it.
COMPARABLE: Final[tuple[tuple[type[Any], type[Any]], ...]] = (
    (Enum, enum.Enum),
    (Integer, int),
    (String, str),
    (Uuid, uuid.UUID),
    (SQLDateTime, dt.datetime),
    (SQLDate, dt.date),
)


class UniqueKey(NamedTuple):
    """Attributes whose values no two rows share.

    Attributes:
        names: The attributes.
        constraint: The name of the constraint or index, where it has one.
    """

    names: tuple[str, ...]
    constraint: str | None = None


def unique_keys(mapper: Mapper[Any]) -> list[UniqueKey]:
    """The primary key, and every unique constraint or index over whole columns that holds for all rows."""
    found = [key for table in mapper.tables if isinstance(table, Table) for key in _keys_of(mapper, table)]
    return list({key.names: key for key in reversed(found) if key.names}.values())[::-1]


def _keys_of(mapper: Mapper[Any], table: Table) -> Iterator[UniqueKey]:
    # A set, so in no order of its own; the primary key is among them.
    constraints: list[Any] = [rule for rule in table.constraints if isinstance(rule, UniqueConstraint)]
    indexes: list[Any] = [index for index in table.indexes if _holds_for_all(index)]
    others = sorted((*constraints, *indexes), key=lambda rule: [column.name for column in rule.columns])
    for rule in (table.primary_key, *others):
        try:
            names = tuple(mapper.get_property_by_column(column).key for column in rule.columns)
        except UnmappedColumnError:
            continue
        yield UniqueKey(names, None if rule.name is None else str(rule.name))


def _holds_for_all(index: Index) -> bool:
    """Whether an index is unique over whole columns, and has every row in it."""
    is_partial = any(name.endswith("_where") for name in index.dialect_kwargs)
    return bool(index.unique) and not is_partial and all(isinstance(part, Column) for part in index.expressions)


def is_comparable(column: Any, value: Any) -> bool:
    """Whether a value equals what the database returns for it, so that a row is found again by it."""
    kind = column.type
    if isinstance(kind, (CHAR, NCHAR)) or is_postgresql(kind, "CITEXT") or getattr(kind, "collation", None):
        return False
    python = next((python for sql, python in COMPARABLE if isinstance(kind, sql)), None)
    if python is None or not (isinstance(value, python) if python is enum.Enum else type(value) is python):
        return False
    return not isinstance(value, dt.datetime) or (value.tzinfo is not None) == kind.timezone
