"""A model's unique keys, by attribute."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CHAR, NCHAR, Column, Enum, Index, Integer, PrimaryKeyConstraint, String, Table, UniqueConstraint
from sqlalchemy import Date as SQLDate
from sqlalchemy import DateTime as SQLDateTime
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.types import Uuid

# Where a value that was written is returned as one that equals it.
COMPARABLE: Final[tuple[tuple[type[Any], type[Any]], ...]] = (
    (Enum, enum.Enum),
    (Integer, int),
    (String, str),
    (Uuid, uuid.UUID),
    (SQLDateTime, dt.datetime),
    (SQLDate, dt.date),
)


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """Attributes whose values no two rows share.

    Attributes:
        names: The attributes.
        constraint: The name of the constraint or index, where it has one.
    """

    names: tuple[str, ...]
    constraint: str | None = None


def unique_keys(mapper: Mapper[Any]) -> list[UniqueKey]:
    """The primary key, and every unique constraint or index over whole columns that holds for all rows."""
    return [key for table in mapper.tables if isinstance(table, Table) for key in _keys_of(mapper, table)]


def _keys_of(mapper: Mapper[Any], table: Table) -> Iterator[UniqueKey]:
    for rule in (table.primary_key, *table.constraints, *table.indexes):
        if rule is not table.primary_key and isinstance(rule, PrimaryKeyConstraint):
            continue
        if isinstance(rule, Index):
            is_partial = any(name.endswith("_where") for name in rule.dialect_kwargs)
            if not rule.unique or is_partial or not all(isinstance(part, Column) for part in rule.expressions):
                continue
        elif not isinstance(rule, (PrimaryKeyConstraint, UniqueConstraint)):
            continue
        try:
            names = tuple(mapper.get_property_by_column(column).key for column in rule.columns)
        except UnmappedColumnError:
            continue
        yield UniqueKey(names, None if rule.name is None else str(rule.name))


def is_comparable(column: Any, value: Any) -> bool:
    """Whether a value equals what the database returns for it, so that a row is found again by it."""
    kind = column.type
    if isinstance(kind, (CHAR, NCHAR, CITEXT)) or getattr(kind, "collation", None):
        return False
    python = next((python for sql, python in COMPARABLE if isinstance(kind, sql)), None)
    if python is None or not isinstance(value, python):
        return False
    return not isinstance(value, dt.datetime) or (value.tzinfo is not None) == kind.timezone
