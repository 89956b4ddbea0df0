"""What the metadata knows of tables and constraints that an error names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    FromClause,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.schema import ColumnCollectionConstraint


class Tables:
    """The tables around a model: its own, and those of the models that are declared with it.

    Args:
        mapper: The model, or None where it is not known.
        classes: Further models.
    """

    def __init__(self, mapper: Mapper[Any] | type | None, classes: Iterable[type] = ()) -> None:
        self.mapper: Mapper[Any] | None = None if mapper is None else inspect(mapper)
        self.classes = classes

    @property
    def name(self) -> str | None:
        """The name of the model's table."""
        return getattr(self.mapper.local_table, "name", None) if self.mapper is not None else None

    @property
    def model_name(self) -> str:
        """The model's name, fit for a sentence."""
        return self.mapper.class_.__name__ if self.mapper is not None else "row"

    def columns_of(self, table: str | None, constraint: str | None) -> Sequence[str]:
        """Return the columns of a constraint by its name, or nothing where the metadata does not name it."""
        for rule in self._rules(table):
            if constraint and rule.name == constraint:
                return _columns(rule)
        return ()

    def of_constraint(self, constraint: str | None) -> str | None:
        """Return the name of the table that has a constraint."""
        for mapper in self._mappers():
            table = mapper.local_table
            if isinstance(table, Table) and any(constraint and rule.name == constraint for rule in _rules(table)):
                return table.name
        return None

    def unique_name(self, table: str | None, columns: Sequence[str]) -> str | None:
        """Return the name of the unique constraint, unique index or primary key over these columns."""
        for rule in self._rules(table):
            if _is_unique(rule) and set(_columns(rule)) == set(columns):
                return None if rule.name is None else str(rule.name)
        return None

    def only_foreign_key(self) -> tuple[str | None, str | None, Sequence[str]]:
        """Return table, name and columns of the model's one foreign key; of none or several only the model's table.

        What joins the table of a subclass to the one above does not count: nobody writes it.
        """
        tables = () if self.mapper is None else self.mapper.tables
        keys = [rule for table in tables for rule in _rules(table) if isinstance(rule, ForeignKeyConstraint)]
        keys = [key for key in keys if key.referred_table is key.table or key.referred_table not in tables]
        if len(keys) != 1:
            return self.name, None, ()
        return keys[0].table.name, None if keys[0].name is None else str(keys[0].name), _columns(keys[0])

    def fields(self, table: str | None, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the attributes that hold the columns; a column without one keeps its name."""
        mapper = next((found for found in self._mappers() if getattr(found.local_table, "name", None) == table), None)
        return tuple(_attribute(mapper, name) for name in columns)

    def _rules(self, table: str | None) -> Iterator[Constraint | Index]:
        for mapper in self._mappers():
            found = mapper.local_table
            if isinstance(found, Table) and found.name == table:
                yield from _rules(found)
                return

    def _mappers(self) -> Iterator[Mapper[Any]]:
        """The model first, then all that are declared with it or with one of the classes."""
        start: list[Mapper[Any]] = [inspect(cls) for cls in self.classes]
        if self.mapper is not None:
            yield self.mapper
            start.insert(0, self.mapper)
        seen = set()
        for mapper in start:
            if mapper.registry not in seen:
                seen.add(mapper.registry)
                yield from mapper.registry.mappers


def _rules(table: FromClause) -> Iterator[Constraint | Index]:
    if isinstance(table, Table):
        yield from table.constraints
        yield from table.indexes


def _is_unique(rule: Constraint | Index) -> bool:
    return isinstance(rule, (UniqueConstraint, PrimaryKeyConstraint)) or (isinstance(rule, Index) and bool(rule.unique))


def _columns(rule: Constraint | Index) -> list[str]:
    if isinstance(rule, CheckConstraint):
        # A check is mostly written as text, where a column is a word like any other.
        words = set(re.findall(r"\w+", str(rule.sqltext)))
        return [column.name for column in rule.table.columns if column.name in words] if rule.table is not None else []
    if isinstance(rule, (ColumnCollectionConstraint, Index)):
        return [column.name for column in rule.columns]
    return []


def _attribute(mapper: Mapper[Any] | None, column: str) -> str:
    if mapper is None or column not in mapper.local_table.c:
        return column
    try:
        return mapper.get_property_by_column(mapper.local_table.c[column]).key
    except UnmappedColumnError:
        return column
