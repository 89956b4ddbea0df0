"""What the metadata knows of tables and constraints that an error names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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

from fastapix5.db.statements import NO_STATEMENT, Statement


class Tables:
    """The tables around a model: its own, and those of the models that are declared with it.

    Args:
        mapper: The model, or None where it is not known.
        classes: Further models.
        statement: What failed.
    """

    def __init__(
        self,
        mapper: Mapper[Any] | type | None,
        classes: Iterable[type] = (),
        statement: Statement = NO_STATEMENT,
    ) -> None:
        self.mapper: Mapper[Any] | None = None if mapper is None else inspect(mapper)
        self.classes = tuple(classes)
        self.statement = statement

    @property
    def name(self) -> str | None:
        """The name of the table that was written: the statement's, or the model's."""
        if self.statement.table is not None:
            return self.statement.table
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
        found = (table.name for table in self._tables() if any(rule.name == constraint for rule in _rules(table)))
        return next(found, None) if constraint else None

    def unique_name(self, table: str | None, columns: Sequence[str]) -> str | None:
        """Return the name of the unique constraint, unique index or primary key over these columns."""
        for rule in self._rules(table):
            if _is_unique(rule) and set(_columns(rule)) == set(columns):
                return None if rule.name is None else str(rule.name)
        return None

    def check(self, text: str) -> tuple[str | None, str | None, Sequence[str]]:
        """Return table, name and columns of the check of which SQLite tells the name, or where it has none the text."""
        for rule in self._rules(self.name) if self.name else ():
            if (
                isinstance(rule, CheckConstraint)
                and rule.name is None
                and _squeezed(str(rule.sqltext)) == _squeezed(text)
            ):
                return self.name, None, _columns(rule)
        return self.of_constraint(text) or self.name, text or None, ()

    def unnamed_check(self, table: str | None, constraint: str | None) -> Sequence[str]:
        """Return the columns of a check by the name that PostgreSQL has made up."""
        for rule in self._rules(table):
            if isinstance(rule, CheckConstraint) and rule.name is None:
                columns = _columns(rule)
                made_up = f"{table}_{columns[0]}_check" if len(columns) == 1 else f"{table}_check"
                if constraint is not None and constraint.rstrip("0123456789") == made_up:
                    return columns
        return ()

    def foreign_key(self) -> tuple[str | None, str | None, Sequence[str]]:
        """Return table, name and columns of the one foreign key that was written; of none or several only the table."""
        keys = self.foreign_keys()
        if len(keys) != 1:
            return self.name, None, ()
        return keys[0].table.name, None if keys[0].name is None else str(keys[0].name), _columns(keys[0])

    def foreign_keys(self) -> list[ForeignKeyConstraint]:
        """The foreign keys that may have been written."""
        keys = dict.fromkeys(key for table in self._written() for key in _foreign_keys(table) if not self._joins(key))
        written = set(self.statement.columns)
        return [key for key in keys if not written or not written.isdisjoint(_columns(key))]

    def columns_like(self, fits: Callable[[Any], bool]) -> Sequence[str]:
        """Return the written column whose type fits, or nothing where several do."""
        columns = (table.c.get(name) for table in self._written() for name in self.statement.columns)
        names = [column.name for column in columns if column is not None and fits(column.type)]
        return names if len(names) == 1 else ()

    def _written(self) -> Sequence[FromClause]:
        """The tables that were written: the statement's, else those of the model, else those of the classes."""
        if self.statement.table is not None:
            return [table for table in self._tables() if table.name == self.statement.table][:1]
        mappers = [inspect(cls) for cls in self.classes] if self.mapper is None else [self.mapper]
        return [table for mapper in mappers for table in mapper.tables]

    def _joins(self, key: ForeignKeyConstraint) -> bool:
        """Whether a foreign key joins the table of a subclass to the one above: nobody writes that by itself."""
        if key.referred_table is key.table:
            return False
        return any(
            mapper.local_table is key.table and key.referred_table in mapper.tables for mapper in self._mappers()
        )

    def _tables(self) -> Iterator[Table]:
        """The tables of the models, and those that no model has, such as those between two."""
        seen = set()
        for mapper in self._mappers():
            if isinstance(mapper.local_table, Table) and mapper.local_table.metadata not in seen:
                seen.add(mapper.local_table.metadata)
                yield from mapper.local_table.metadata.tables.values()

    def fields(self, table: str | None, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the attributes that hold the columns; a column without one keeps its name."""
        mapper = next((found for found in self._mappers() if getattr(found.local_table, "name", None) == table), None)
        if mapper is None:
            return tuple(columns)
        # An index may be over expressions, which are no fields.
        return tuple(_attribute(mapper, name) for name in columns if name in mapper.local_table.c)

    def _rules(self, table: str | None) -> Iterator[Constraint | Index]:
        for found in self._tables():
            if found.name == table:
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


def _foreign_keys(table: FromClause) -> Iterator[ForeignKeyConstraint]:
    return (rule for rule in _rules(table) if isinstance(rule, ForeignKeyConstraint))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _is_unique(rule: Constraint | Index) -> bool:
    return isinstance(rule, (UniqueConstraint, PrimaryKeyConstraint)) or (isinstance(rule, Index) and bool(rule.unique))


def _columns(rule: Constraint | Index) -> list[str]:
    if isinstance(rule, CheckConstraint) and not rule.columns and rule.table is not None:
        # A check is mostly written as text, where a column is a word like any other.
        words = set(re.findall(r"\w+", re.sub(r"'[^']*'", "", str(rule.sqltext))))
        return [column.name for column in rule.table.columns if column.name in words]
    if isinstance(rule, (ColumnCollectionConstraint, Index)):
        return [column.name for column in rule.columns]
    return []


def _attribute(mapper: Mapper[Any], column: str) -> str:
    try:
        return mapper.get_property_by_column(mapper.local_table.c[column]).key
    except UnmappedColumnError:
        return column
