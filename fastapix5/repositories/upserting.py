"""Inserts that may meet rows that are there: INSERT ... ON CONFLICT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.db.dialects import loaded
from fastapix5.db.errors import translated
from fastapix5.exceptions import UniqueViolation
from fastapix5.repositories.conflicts import Conflict, updating
from fastapix5.repositories.fetching import all_rows, objects_by_key
from fastapix5.repositories.finding import Finder
from fastapix5.repositories.givens import Given, give_one, placed
from fastapix5.repositories.inserts import Inserts
from fastapix5.repositories.naming import key_names
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.refreshing import refuse_loading
from fastapix5.repositories.writer import Writer
from fastapix5.repositories.writes import upserts_directly

M = TypeVar("M")

# The databases that have it.
DATABASES = frozenset({"postgresql", "sqlite"})


async def upsert(queryset: Reading[M, Any], values: Mapping[str, Any], unique_fields: Sequence[str]) -> M:
    """Insert a row, or update the one that is there; see ``QuerySet.upsert``."""
    writer: Writer[M] = Writer(queryset.model, queryset.alias, guarded=queryset.guarded)
    conflict = updating(writer.mapper, unique_fields)
    given = give_one(writer.mapper, values)
    async with writer.all_or_nothing():
        return (await insert_or(queryset, writer, conflict, [given], 1))[0]


async def insert_or(
    queryset: Reading[M, Any], writer: Writer[M], conflict: Conflict, given: Sequence[Given], size: int
) -> list[M]:
    """Insert rows; those that are there already are left or updated.

    Args:
        queryset: How objects are loaded.
        writer: The model's.
        conflict: What happens to rows that are there.
        given: The rows.
        size: How many of them go together.

    Returns:
        The objects of the rows that were written, in the order in which they were given.

    Raises:
        UniqueViolation: A row is there that cannot be updated, such as one out of reach.
    """
    mapper, rows = writer.mapper, all_rows(queryset)
    connection = await writer.session.connection(bind_arguments={"mapper": mapper})
    insert = _insert_of(connection.dialect.name)
    # SQLite has no INSERT ... DEFAULT VALUES ON CONFLICT.
    flushed = any(not found.data or found.brings_others(mapper) for found in given)
    if insert is None or flushed or not upserts_directly(mapper):
        return [instance for found in given for instance in await _write_one(rows, writer, conflict, found)]
    keys = await Inserts(rows, writer, conflict, insert, given).run(size)
    distinct = list(dict.fromkeys(keys.values()))
    await writer.check_written(distinct, mapper.column_attrs.keys())
    for found in given:
        if found.instance is not None and found.index in keys:
            _adopt(writer, found.instance, keys[found.index])
    objects = await objects_by_key(rows, distinct)
    return [objects[keys[found.index]] for found in given if found.index in keys]


def _insert_of(database: str) -> Callable[[Any], Any] | None:
    """The INSERT of a database that knows ON CONFLICT; its dialect is loaded, since there is a connection."""
    return loaded(f"sqlalchemy.dialects.{database}", "insert")[0] if database in DATABASES else None


def _adopt(writer: Writer[Any], instance: Any, key: tuple[Any, ...]) -> None:
    """Make an object that was given the session's object of its row."""
    mapper, session = writer.mapper, writer.session
    known = session.identity_map.get(mapper.identity_key_from_primary_key(key))
    for found in (known, instance):
        if found is not None and found in session:
            session.expunge(found)
    if inspect(instance).key is None:
        for name, value in zip(key_names(mapper), key, strict=True):
            set_committed_value(instance, name, value)
        make_transient_to_detached(instance)
    session.add(instance)


# Through the session


async def _write_one(rows: Reading[M, M], writer: Writer[M], conflict: Conflict, given: Given) -> list[M]:
    """Write one object by a flush, so that its cascades and listeners get their due; nothing where it is left."""
    if not conflict.updates:
        try:
            return [await _insert_object(writer, given)]
        except UniqueViolation as violation:
            key = conflict.key
            if key is not None and violation.fields and set(violation.fields) != set(key.names):
                raise
            return []
    data = given.columns(writer.mapper)
    names = conflict.key.names if conflict.key else ()
    finder = Finder(rows, {name: data.get(name) for name in names})
    values = {name: data[name] for name in conflict.written(writer.mapper, data)}
    found, _ = await finder.update_or_create(
        lambda instance: writer.update(instance, values), lambda: _insert_object(writer, given)
    )
    return [found]


async def _insert_object(writer: Writer[M], given: Given) -> M:
    with placed(given.index):
        async with writer.all_or_nothing():
            instance: M = given.object_of(writer.mapper)
            writer.session.add(instance)
            new = list(writer.session.new)
            with translated(writer.mapper):
                await writer.session.flush()
            refuse_loading(*new)
            key = tuple(writer.mapper.primary_key_from_instance(instance))
            await writer.check_written([key], writer.mapper.column_attrs.keys())
            return instance
