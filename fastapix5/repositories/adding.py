"""Many objects inserted by a flush, which SQLAlchemy does in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Null, Table, func, inspect, select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.db.errors import translated
from fastapix5.repositories.fetching import all_rows, objects_by_key
from fastapix5.repositories.givens import Given
from fastapix5.repositories.guards import chunked
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.writer import Writer

M = TypeVar("M")


async def add_all(queryset: Reading[M, Any], writer: Writer[M], given: Sequence[Given], size: int) -> list[M]:
    """Insert objects, so that defaults, cascades and listeners get their due.

    Args:
        queryset: How objects are loaded.
        writer: The model's.
        given: The rows.
        size: How many of them are flushed together.
    """
    mapper, session = writer.mapper, writer.session
    objects: list[M] = [found.object_of(mapper) for found in given]
    nulls = [(found, name) for found in objects for name, value in _values(found) if isinstance(value, Null)]
    numbered = await _number(writer, objects)
    try:
        for chunk in chunked(objects, size):
            session.add_all(chunk)
            with translated(mapper):
                await session.flush()
        keys = list(dict.fromkeys(tuple(mapper.primary_key_from_instance(found)) for found in objects))
        await writer.check_written(keys, mapper.column_attrs.keys())
    except BaseException:
        for instance, name in numbered:
            inspect(instance).dict.pop(name, None)
        raise
    finally:
        for instance, name in nulls:
            set_committed_value(instance, name, None)
    columns = mapper.column_attrs.keys()
    if any(not inspect(found).expired_attributes.isdisjoint(columns) for found in objects):
        # What the database made, and the model's eager_defaults did not ask for; touching it would raise.
        await objects_by_key(all_rows(queryset), keys)
    return objects


def _values(instance: Any) -> list[tuple[str, Any]]:
    return list(inspect(instance).dict.items())


async def _number(writer: Writer[Any], objects: Sequence[Any]) -> list[tuple[Any, str]]:
    """Give objects the keys that SQLite would; return which got one.

    It inserts many rows in one statement only if they bring their keys, and nobody else can take them: whoever has the
    transaction writes alone.
    """
    connection = await writer.session.connection(bind_arguments={"mapper": writer.mapper})
    column = _counted(writer.mapper)
    if connection.dialect.name != "sqlite" or column is None or len(objects) == 1:
        return []
    name = writer.mapper.get_property_by_column(column).key
    known = [inspect(found).dict.get(name) for found in objects]
    last = (await writer.ask(select(func.max(column))))[0][0] or 0
    last = max([last, *(key for key in known if key is not None)])
    numbered = [found for found, key in zip(objects, known, strict=True) if key is None]
    for key, instance in enumerate(numbered, start=last + 1):
        setattr(instance, name, key)
    return [(found, name) for found in numbered]


def _counted(mapper: Mapper[Any]) -> Any:
    """The column that SQLite counts up from the highest key there is, or None."""
    table = mapper.primary_key[0].table
    if not isinstance(table, Table) or table.dialect_options["sqlite"]["autoincrement"]:
        return None
    column = table.autoincrement_column
    has_default = column is not None and (column.default is not None or column.server_default is not column.identity)
    return None if has_default else column
