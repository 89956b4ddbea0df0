"""Updates of many rows by their keys, table by table: an inherited model stands in several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Integer, Null, bindparam, update
from sqlalchemy.orm import Mapper

from fastapix5.repositories.guards import Guard, chunked
from fastapix5.repositories.naming import key_names, version_name
from fastapix5.repositories.storing import EXPRESSIONS

ROWS_PER_STATEMENT = 1_000


def is_sql(value: Any) -> bool:
    """Whether a value is an SQL expression; the null that JSON columns take is none."""
    return isinstance(value, EXPRESSIONS) and not isinstance(value, Null)


def next_version(mapper: Mapper[Any]) -> dict[str, Any]:
    """The version that an UPDATE writes, by attribute; nothing where there is none, or the database raises it."""
    name = version_name(mapper)
    if name is None or mapper.version_id_generator is False:
        return {}
    column = getattr(mapper.class_, name)
    return {name: column + 1 if isinstance(column.type, Integer) else version_after(mapper, None)}


def version_after(mapper: Mapper[Any], version: Any) -> Any:
    """The version that follows ``version``; None is that of no row."""
    return cast("Callable[[Any], Any]", mapper.version_id_generator)(version)


def tables_written(mapper: Mapper[Any], names: Iterable[str]) -> Mapping[Any, list[str]]:
    """The attributes among ``names`` that each table holds; a table with columns that updates set may have none."""
    found: dict[Any, list[str]] = {table: [] for table in mapper.tables}
    for name in names:
        for column in mapper.column_attrs[name].columns:
            found[column.table].append(name)
    return {table: held for table, held in found.items() if held or any(column.onupdate for column in table.columns)}


async def write_by_key(
    guard: Guard[Any],
    keys: Sequence[tuple[Any, ...]],
    rows: Sequence[Mapping[str, Any]],
    tables: Mapping[Any, list[str]],
) -> None:
    """Write values to rows that are there: one statement for each table, run with many sets of parameters.

    Args:
        guard: The model's.
        keys: Primary keys.
        rows: The values by attribute, in the same order.
        tables: The attributes that each table holds.
    """
    mapper = guard.mapper
    places = {name: place for place, name in enumerate(key_names(mapper))}
    for table, names in tables.items():
        key = [places[mapper.get_property_by_column(column).key] for column in table.primary_key]
        columns = {name: _column_in(mapper, name, table) for name in names}
        written = {columns[name].key: bindparam(f"value_{name}", type_=columns[name].type) for name in names}
        # A table of which nothing is written but what it sets by itself.
        first = next(iter(table.primary_key))
        statement = update(table).values(written or {first.key: first})
        for place, column in zip(key, table.primary_key, strict=True):
            statement = statement.where(column == bindparam(f"key_{place}", type_=column.type))
        parameters = [
            {f"key_{place}": found[place] for place in key} | {f"value_{name}": row[name] for name in names}
            for found, row in zip(keys, rows, strict=True)
        ]
        for chunk in chunked(parameters, ROWS_PER_STATEMENT):
            await guard.execute(statement, chunk)


def _column_in(mapper: Mapper[Any], name: str, table: Any) -> Any:
    return next(column for column in mapper.column_attrs[name].columns if column.table is table)
