"""Writes to the rows that a queryset describes: one UPDATE or one DELETE where the model allows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Mapper

from fastapix5.models import DELETED_AT, soft_deletes, utc_now
from fastapix5.repositories.expressions import Expression
from fastapix5.repositories.fetching import objects_by_key
from fastapix5.repositories.guards import KEYS_PER_STATEMENT, chunked
from fastapix5.repositories.naming import column_of, column_values, key_names, version_name
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.refreshing import Loaded, made_by_updates
from fastapix5.repositories.storing import storable
from fastapix5.repositories.tables import is_sql, next_version, tables_written, write_by_key
from fastapix5.repositories.writer import Writer
from fastapix5.repositories.writes import delete_statement, deletes_directly, key_in
from fastapix5.schemas import key_of

M = TypeVar("M")

# Objects that are loaded at once to be deleted one by one.
OBJECTS_PER_BATCH = 500


class Described(Generic[M]):
    """The rows that a queryset describes, about to be written.

    Args:
        queryset: Which rows.
        verb: What happens to them, for errors.
        fields: What is returned of each: attributes, nothing for objects of the model; None for the number of rows.

    Raises:
        TypeError: The queryset has no rows of its own to write: it is sliced, or shows values.
        UnknownPath: A field is not there.
    """

    def __init__(self, queryset: Reading[M, Any], verb: str, fields: tuple[str, ...] | None = None) -> None:
        queryset.refuse_slice(verb)
        if not queryset.shows_objects or queryset.is_grouped:
            raise TypeError(f"{verb}() writes rows of the model: it cannot follow values().")
        if queryset.unique:
            raise TypeError(f"{verb}() writes every row: it cannot follow distinct().")
        self.queryset = queryset
        self.guard: Writer[M] = Writer(queryset.model, queryset.alias, guarded=queryset.guarded)
        self.mapper: Mapper[Any] = queryset.mapper
        self.key = key_names(self.mapper)
        self.fields = fields
        for name in fields or ():
            if name != "pk":
                column_of(self.mapper, name)
        self.loaded = Loaded(self.guard.session, self.mapper)

    @property
    def returns_objects(self) -> bool:
        """Whether objects of the model are asked for."""
        return self.fields is not None and not self.fields

    def shown(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What was asked for of rows that have their values by attribute."""
        return [
            {name: self._key_of(row) if name == "pk" else getattr(row, name) for name in self.fields or ()}
            for row in rows
        ]

    def keys_of(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The primary keys of rows that have their values by attribute."""
        return [tuple(getattr(row, name) for name in self.key) for row in rows]

    def _key_of(self, row: Any) -> Any:
        key = tuple(getattr(row, name) for name in self.key)
        return key[0] if len(key) == 1 else key

    def columns(self, names: Sequence[str] = ()) -> list[Any]:
        """The key, what is returned, and ``names``: as columns that are called as the attributes are."""
        fields = (name for name in self.fields or () if name != "pk")
        return [getattr(self.queryset.model, name).label(name) for name in dict.fromkeys((*self.key, *fields, *names))]

    def select(self, *columns: Any) -> Select[Any]:
        """The SELECT of ``columns`` that locks the rows, in the order of their keys."""
        statement = select(*columns).where(*self.queryset.where()).order_by(*key_of(self.queryset.model))
        return statement.with_for_update(of=self.queryset.model)

    async def objects(self, keys: Sequence[tuple[Any, ...]]) -> list[M]:
        """The objects of the rows with these keys, with what the queryset loads."""
        return list((await objects_by_key(self.queryset, keys)).values())


# Updates


async def update_rows(
    queryset: Reading[M, Any], values: Mapping[str, Any], fields: tuple[str, ...] | None = None
) -> int | list[Any]:
    """Write ``values`` to every row; see ``QuerySet.update``."""
    rows = Described(queryset, "update", fields)
    data = _written_values(rows, values)
    if not data:
        return 0 if fields is None else []
    several, checked = len(rows.mapper.tables) > 1, rows.guard.checks_written(data)
    wanted = several or checked or fields is not None or rows.loaded.any
    async with rows.guard.unit(not several and not rows.returns_objects, checks=checked):
        if not wanted:
            result = await rows.guard.execute(_update(rows, data))
            return cast("int", result.rowcount)
        names = [*data, *made_by_updates(rows.mapper)] if rows.loaded.any else []
        found = await (_update_tables if several else _update_returning)(rows, data, names)
        keys = rows.keys_of(found)
        await rows.guard.check_written(keys, data)
        rows.loaded.write(zip(keys, found, strict=True), names)
        if fields is None:
            return len(found)
        return await rows.objects(keys) if rows.returns_objects else rows.shown(found)


def _written_values(rows: Described[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """``values`` by attribute as columns take them, with the next version."""
    data = column_values(rows.mapper, values)
    version = version_name(rows.mapper)
    if version in data:
        raise TypeError(f"update() raises {rows.queryset.model.__name__}.{version} by itself: filter() compares it.")
    for name, value in data.items():
        if isinstance(value, Expression):
            if value.aggregates():
                raise TypeError(f"update({name}=...) takes a value of the row: annotate() the aggregate, and name it.")
            data[name] = value.resolve(rows.queryset.find)
    stored = storable(rows.mapper, data)
    return {**stored, **next_version(rows.mapper)} if stored and version is not None else stored


def _update(rows: Described[Any], data: Mapping[str, Any]) -> Any:
    model = rows.queryset.model
    written = {getattr(model, name): value for name, value in data.items()}
    statement = update(model).where(*rows.queryset.where()).values(written)
    return statement.execution_options(**rows.queryset.options, synchronize_session=False)


async def _update_returning(rows: Described[Any], data: Mapping[str, Any], names: Sequence[str]) -> Sequence[Any]:
    statement = _update(rows, data).returning(*rows.columns(names))
    return (await rows.guard.execute(statement)).all()  # type: ignore[no-any-return]


async def _update_tables(rows: Described[Any], data: Mapping[str, Any], names: Sequence[str]) -> Sequence[Any]:
    """An object that stands in several tables: its key and its new values are read first, then each table is written."""
    made = {name: value for name, value in data.items() if is_sql(value)}
    columns = [*rows.columns(), *(value.label(f"new_{name}") for name, value in made.items())]
    found = await rows.guard.ask(rows.select(*columns))
    keys = rows.keys_of(found)
    new = [{**data, **{name: getattr(row, f"new_{name}") for name in made}} for row in found]
    await write_by_key(rows.guard, keys, new, tables_written(rows.mapper, data))
    written: list[Any] = []
    for chunk in chunked(keys, KEYS_PER_STATEMENT // len(rows.key)):
        here = key_in(key_of(rows.queryset.model), chunk)
        written += await rows.guard.ask(select(*rows.columns(names)).where(here))
    return written


# Deletes


async def delete_rows(queryset: Reading[M, Any], fields: tuple[str, ...] | None = None) -> int | list[Any]:
    """Delete every row, or hide it where the model deletes softly; see ``QuerySet.delete``."""
    rows = Described(queryset, "delete", fields)
    if soft_deletes(queryset.model):
        return await update_rows(replace(queryset, shows_deleted=False), {DELETED_AT: utc_now()}, fields)
    if not deletes_directly(rows.mapper):
        return await _delete_objects(rows)
    if rows.returns_objects:
        return await _delete_and_return(rows)
    wanted = fields is not None or rows.loaded.any
    statement = delete_statement(rows.mapper, queryset.where(), rows.columns() if wanted else ())
    result = await rows.guard.execute(statement.execution_options(**queryset.options), deleting=True)
    if not wanted:
        return cast("int", result.rowcount)
    found = result.all()
    rows.loaded.forget(rows.keys_of(found))
    return len(found) if fields is None else rows.shown(found)


async def _delete_and_return(rows: Described[M]) -> list[M]:
    """Load the objects, then delete their rows in one statement for each batch of keys."""
    async with rows.guard.unit(directly=False):
        keys = rows.keys_of(await rows.guard.ask(rows.select(*rows.columns())))
        objects = await rows.objects(keys)
        for chunk in chunked(keys, KEYS_PER_STATEMENT // len(rows.key)):
            here = key_in(rows.mapper.primary_key, chunk)
            await rows.guard.execute(delete_statement(rows.mapper, [here], ()), deleting=True)
    for instance in objects:
        rows.guard.session.expunge(instance)
    return objects


async def _delete_objects(rows: Described[M]) -> int | list[Any]:
    """Delete objects one by one through the session: their cascades and listeners get their due."""
    shown: list[Any] = []
    number = 0
    async with rows.guard.unit(directly=False):
        keys = rows.keys_of(await rows.guard.ask(rows.select(*rows.columns()[: len(rows.key)])))
        for chunk in chunked(keys, OBJECTS_PER_BATCH):
            objects = await rows.objects(chunk)
            shown += objects if rows.returns_objects else rows.shown(objects)
            number += len(objects)
            await rows.guard.remove(*objects)
    return number if rows.fields is None else shown


T = TypeVar("T")


class Returning(Generic[M, T]):
    """Rows that are returned as they are written.

    Args:
        queryset: Which rows.
        fields: What is returned of each; nothing for its object.
    """

    def __init__(self, queryset: Reading[M, Any], fields: tuple[str, ...]) -> None:
        for name in fields:
            if name != "pk":
                column_of(queryset.mapper, name)
        self.queryset = queryset
        self.fields = fields

    async def update(self, **values: Any) -> list[T]:
        """``QuerySet.update``, returning the rows as they are then."""
        return cast("list[T]", await update_rows(self.queryset, values, self.fields))

    async def delete(self) -> list[T]:
        """``QuerySet.delete``, returning the rows as they were."""
        return cast("list[T]", await delete_rows(self.queryset, self.fields))
