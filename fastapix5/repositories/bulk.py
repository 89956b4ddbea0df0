"""Many objects in few statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Null, inspect, select
from sqlalchemy.orm import Mapper

from fastapix5.exceptions import StaleVersion
from fastapix5.repositories.adding import add_all
from fastapix5.repositories.conflicts import conflict_of
from fastapix5.repositories.givens import give, leave_collections, placed
from fastapix5.repositories.guards import KEYS_PER_STATEMENT, chunked, in_lock_order
from fastapix5.repositories.naming import column_values, key_names, version_name
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.refreshing import Withheld, let_know, made_by_updates, relations_of
from fastapix5.repositories.storing import storable
from fastapix5.repositories.tables import is_sql, next_version, tables_written, version_after, write_by_key
from fastapix5.repositories.upserting import insert_or
from fastapix5.repositories.writer import Writer
from fastapix5.repositories.writes import key_in
from fastapix5.schemas import key_of

M = TypeVar("M")

OBJECTS_PER_FLUSH = 5_000


def writer_of(queryset: Reading[M, Any]) -> Writer[M]:
    """What writes to a queryset's model."""
    return Writer(queryset.model, queryset.alias, guarded=queryset.guarded)


# Inserts


async def bulk_create(
    queryset: Reading[M, Any],
    objs: Iterable[M | Mapping[str, Any]],
    batch_size: int | None = None,
    on_conflict: str | None = None,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] = (),
) -> list[M]:
    """Insert many rows; see ``QuerySet.bulk_create``."""
    writer = writer_of(queryset)
    conflict = conflict_of(writer.mapper, on_conflict, unique_fields, update_fields)
    size = _size(batch_size)
    given = give(writer.mapper, objs)
    if not given:
        return []
    leave_collections(writer.mapper, given)
    with_others = [found.instance for found in given if found.brings_others(writer.mapper)]
    async with writer.all_or_nothing(with_others):
        if conflict is None:
            return await add_all(queryset, writer, given, size)
        return await insert_or(queryset, writer, conflict, given, size)


def _size(batch_size: int | None) -> int:
    if batch_size is None:
        return OBJECTS_PER_FLUSH
    if batch_size < 1:
        raise ValueError(f"batch_size is how many rows go together, at least 1, and not {batch_size}.")
    return batch_size


# Updates


class _Changes(NamedTuple):
    """New values of one object's row.

    Attributes:
        instance: The object.
        key: The primary key of its row.
        values: The values by attribute.
    """

    instance: Any
    key: tuple[Any, ...]
    values: Mapping[str, Any]


async def bulk_update(
    queryset: Reading[M, Any], objs: Iterable[M], fields: Sequence[str], batch_size: int | None = None
) -> int:
    """Write attributes of many objects; see ``QuerySet.bulk_update``."""
    queryset.refuse_slice("bulk_update")
    writer, size = writer_of(queryset), _size(batch_size)
    _check_fields(writer.mapper, fields)
    changes: dict[Any, _Changes] = {}
    for index, instance in enumerate(objs):
        with placed(index):
            found = _changes_of(writer.mapper, instance, fields)
            changes[found.key] = found
    if not changes:
        return 0
    ordered = in_lock_order(changes.values(), lambda found: found.key)
    withheld = Withheld((found.instance, (*fields, *found.values)) for found in ordered)
    written: list[_Changes] = []
    try:
        async with writer.all_or_nothing():
            for chunk in chunked(ordered, min(size, KEYS_PER_STATEMENT // len(writer.mapper.primary_key))):
                written += await _write_changes(queryset, writer, chunk)
    except BaseException:
        withheld.give_back()
        raise
    if queryset.where():
        # Rows that the queryset leaves out are there still, and as they were.
        withheld.give_back(but=[found.instance for found in written])
    relations = relations_of(writer.mapper, written[0].values) if written else []
    for found in written:
        let_know(writer.mapper, found.instance, found.values, relations)
    return len(written)


def _check_fields(mapper: Mapper[Any], fields: Sequence[str]) -> None:
    if isinstance(fields, str) or not fields:
        raise ValueError(f'bulk_update() needs the names of the fields to write, such as ["title"], not {fields!r}.')
    refused = {"pk", *key_names(mapper), version_name(mapper)}
    for name in fields:
        if name in refused:
            raise ValueError(f"bulk_update() cannot write {mapper.class_.__name__}.{name}: rows are found by it.")
    column_values(mapper, dict.fromkeys(fields))


def _changes_of(mapper: Mapper[Any], instance: Any, fields: Sequence[str]) -> _Changes:
    if not isinstance(instance, mapper.class_):
        raise TypeError(f"bulk_update() takes objects of {mapper.class_.__name__}, not {type(instance).__name__}.")
    key = inspect(instance).identity or tuple(mapper.primary_key_from_instance(instance))
    if any(part is None for part in key):
        raise ValueError(f"This {mapper.class_.__name__} has no key: bulk_create() inserts it.")
    values = column_values(mapper, {name: getattr(instance, name) for name in fields})
    for name, value in values.items():
        if is_sql(value):
            raise TypeError(f"{mapper.class_.__name__}.{name} is an SQL expression: update() takes it.")
    return _Changes(instance, tuple(key), storable(mapper, values))


async def _write_changes(queryset: Reading[M, Any], writer: Writer[M], chunk: Sequence[_Changes]) -> list[_Changes]:
    """Lock the rows, compare their versions, write them; return what stands in them then."""
    mapper, model, version = writer.mapper, writer.model, version_name(writer.mapper)
    key = key_of(model)
    asked = [*key, *([getattr(model, version)] if version else [])]
    here = key_in(key, [found.key for found in chunk])
    locking = select(*asked).where(here, *queryset.where()).order_by(*key).with_for_update(of=model)
    rows = {tuple(row[: len(key)]): row for row in await writer.ask(locking)}
    there = [found for found in chunk if found.key in rows]
    names = list(chunk[0].values)
    if version is not None:
        there = [_with_version(mapper, found, version, rows[found.key][-1]) for found in there]
    keys, written = [found.key for found in there], [*names, *next_version(mapper)]
    await write_by_key(writer, keys, [found.values for found in there], tables_written(mapper, written))
    await writer.check_written(keys, names)
    made = await _made(writer, keys)
    return [found._replace(values=_python(found.values) | made.get(found.key, {})) for found in there]


def _with_version(mapper: Mapper[Any], changes: _Changes, name: str, current: Any) -> _Changes:
    if inspect(changes.instance).dict.get(name, current) != current:
        raise StaleVersion(mapper.class_.__name__)
    if mapper.version_id_generator is False:
        return changes
    return changes._replace(values={**changes.values, name: version_after(mapper, current)})


def _python(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, Null) else value for name, value in values.items()}


async def _made(writer: Writer[Any], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the database made of rows by itself, by key."""
    names, key = made_by_updates(writer.mapper), key_of(writer.model)
    if not names:
        return {}
    columns = [getattr(writer.model, name) for name in names]
    rows = await writer.ask(select(*key, *columns).where(key_in(key, keys)))
    return {tuple(row[: len(key)]): dict(zip(names, row[len(key) :], strict=True)) for row in rows}
