"""INSERT ... ON CONFLICT for many rows, and which row of what comes back is which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, literal_column, select
from sqlalchemy.orm import Mapper, aliased

from fastapix5.exceptions import UniqueViolation
from fastapix5.repositories.conditions import has_subquery
from fastapix5.repositories.conflicts import Conflict
from fastapix5.repositories.givens import Given
from fastapix5.repositories.guards import chunked, in_lock_order
from fastapix5.repositories.naming import key_names, version_name
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.tables import is_sql, next_version, version_after
from fastapix5.repositories.uniques import UniqueKey, is_comparable, unique_keys
from fastapix5.repositories.writer import Writer

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row for an INSERT.

    Attributes:
        index: Its place among those that were given.
        data: The values by attribute.
        match: The values that it is found by in what the INSERT returns; None where they cannot be compared.
    """

    index: int
    data: Mapping[str, Any]
    match: tuple[Any, ...] | None


class Inserts(Generic[M]):
    """INSERTs of many rows that may be there.

    Args:
        rows: All rows within reach.
        writer: The model's.
        conflict: What happens to rows that are there.
        insert: The dialect's INSERT.
        given: The rows.
    """

    def __init__(
        self,
        rows: Reading[M, M],
        writer: Writer[M],
        conflict: Conflict,
        insert: Callable[[Any], Any],
        given: Sequence[Given],
    ) -> None:
        self.writer = writer
        self.mapper: Mapper[Any] = writer.mapper
        self.conflict = conflict
        self.insert = insert
        data = [_insertable(self.mapper, found) for found in given]
        self.match = self._match(data)
        values = [None if self.match is None else tuple(found[name] for name in self.match) for found in data]
        self.items = [_Row(found.index, row, match) for found, row, match in zip(given, data, values, strict=True)]
        self.within = _within(rows) if conflict.updates else None
        # A row that another transaction has just inserted is not there yet for a subquery.
        self.attempts = 2 if self.within is not None and has_subquery(self.within) else 1

    async def run(self, size: int) -> dict[int, tuple[Any, ...]]:
        """Insert; return the primary keys of the rows that were written, by place."""
        keys: dict[int, tuple[Any, ...]] = {}
        for wave in self._waves():
            groups: dict[tuple[str, ...], list[_Row]] = {}
            for row in wave:
                groups.setdefault(tuple(sorted(row.data)), []).append(row)
            for names, group in groups.items():
                statement = self._statement(names)
                for chunk in chunked(in_lock_order(group, lambda row: row.match), size):
                    await self._write(statement, chunk, keys)
        return keys

    async def _write(self, statement: Any, chunk: Sequence[_Row], keys: dict[int, tuple[Any, ...]]) -> None:
        missing = list(chunk)
        for _ in range(self.attempts):
            by_match = {row.match: row.index for row in missing}
            parameters = [{self._column(name).key: value for name, value in row.data.items()} for row in missing]
            size = len(self.mapper.primary_key)
            for found in (await self.writer.execute(statement, parameters)).all():
                index = by_match.get(tuple(found[size:]) if self.match else None)
                if index is not None:
                    keys[index] = tuple(found[:size])
            missing = [row for row in missing if row.index not in keys]
            if not missing or not self.conflict.updates:
                return
        raise self._refused(missing[0])

    def _refused(self, row: _Row) -> UniqueViolation:
        key = self.conflict.key or UniqueKey(())
        violation = UniqueViolation(constraint=key.constraint, table=str(self._table.name), fields=key.names)
        violation.place = f"objs[{row.index}]" if len(self.items) > 1 else ""
        return violation

    def _match(self, data: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
        """The unique key by which the rows are told apart, here and in what comes back."""
        candidates = unique_keys(self.mapper) if self.conflict.key is None else [self.conflict.key]
        for key in candidates:
            columns = {name: self._column(name) for name in key.names}
            if all(name in row and is_comparable(columns[name], row[name]) for row in data for name in columns):
                return key.names
        return None

    def _waves(self) -> list[list[_Row]]:
        """The rows in parts that have no unique key twice, which one statement cannot write; the last one wins."""
        if self.match is None:
            return [[row] for row in self.items]
        waves: list[list[_Row]] = []
        times: Counter[Any] = Counter()
        for row in self.items:
            if times[row.match] == len(waves):
                waves.append([])
            waves[times[row.match]].append(row)
            times[row.match] += 1
        return waves

    # The statement

    @property
    def _table(self) -> Any:
        return self.mapper.local_table

    def _column(self, name: str) -> Any:
        return self.mapper.column_attrs[name].columns[0]

    def _statement(self, names: Sequence[str]) -> Any:
        statement, key = self.insert(self._table), self.conflict.key
        target = None if key is None else [self._column(name) for name in key.names]
        if self.conflict.updates:
            written = self._updates(statement, names)
            statement = statement.on_conflict_do_update(index_elements=target, set_=written, where=self.within)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=target)
        return statement.returning(*self.mapper.primary_key, *(self._column(name) for name in self.match or ()))

    def _updates(self, statement: Any, names: Sequence[str]) -> dict[Any, Any]:
        """What is written to a row that is there: the new values, the next version, and what updates set."""
        columns = [self._column(name) for name in self.conflict.written(self.mapper, names)]
        written = {column: statement.excluded[column.key] for column in columns}
        if not written:
            # The row is returned only if something is written.
            same = self._column(self.conflict.key.names[0]) if self.conflict.key else None
            return {same: statement.excluded[same.key]} if same is not None else {}
        for name, value in next_version(self.mapper).items():
            written[self._column(name)] = value
        for column in self._table.columns:
            if column.onupdate is not None and column not in written:
                # INSERT ... ON CONFLICT does not ask for it by itself.
                default = column.onupdate
                written[column] = default.arg(None) if default.is_callable else default.arg
        return written


def _insertable(mapper: Mapper[Any], given: Given) -> Mapping[str, Any]:
    data = given.columns(mapper)
    for name, value in data.items():
        if is_sql(value):
            raise TypeError(f"{mapper.class_.__name__}.{name}: INSERT ... ON CONFLICT takes values, and no expression.")
    version = version_name(mapper)
    if version is None or mapper.version_id_generator is False:
        return data
    return {**data, version: version_after(mapper, None)}


def _within(rows: Reading[Any, Any]) -> ColumnElement[bool] | None:
    """What a row that is there must meet to be updated."""
    conditions = rows.where()
    if not conditions:
        return None
    condition = and_(*conditions)
    if not has_subquery(condition):
        return condition
    # An INSERT has no FROM that a subquery could be correlated with, so the row is looked up by its key.
    alias, mapper = aliased(rows.model), rows.mapper
    same = (getattr(alias, name) == _spelt(mapper.column_attrs[name].columns[0]) for name in key_names(mapper))
    return select(1).select_from(alias).where(*same, *rows.where(alias)).correlate(None).exists()


def _spelt(column: Any) -> ColumnElement[Any]:
    table, name = (part.replace('"', '""') for part in (column.table.name, column.name))
    return literal_column(f'"{table}"."{name}"', column.type)
