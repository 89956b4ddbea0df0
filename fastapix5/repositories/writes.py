"""Writes in one statement: INSERT, UPDATE and DELETE that carry their conditions, and return what a schema shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Table,
    TableClause,
    UniqueConstraint,
    and_,
    delete,
    false,
    insert,
    inspect,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_attribute
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList

from fastapix5.db.routing import RoutedSession

WRITE_EVENTS = ("before_insert", "after_insert", "before_update", "after_update")
DELETE_EVENTS = ("before_delete", "after_delete")
ATTRIBUTE_EVENTS = ("set", "remove", "modified")
FLUSH_EVENTS = ("before_flush", "after_flush", "after_flush_postexec")


def writes_directly(mapper: Mapper[Any]) -> bool:
    """Whether one statement writes a whole object: one table, and nothing that only a flush would do."""
    return mapper.version_id_col is None and upserts_directly(mapper)


def upserts_directly(mapper: Mapper[Any]) -> bool:
    """Whether one statement inserts a whole object, or updates its row if it is there, with the next version."""
    heard = mapper.validators or has_attribute_listeners(mapper) or has_own_constructor(mapper)
    return _is_single(mapper, WRITE_EVENTS) and not heard


def deletes_directly(mapper: Mapper[Any]) -> bool:
    """Whether one DELETE is all that deleting an object means: nothing else goes with it through the ORM."""
    # With passive_deletes the ORM, too, leaves rows that it has not loaded to the database.
    cascades = any(found.cascade.delete and not found.passive_deletes for found in mapper.relationships)
    return mapper.version_id_col is None and _is_single(mapper, DELETE_EVENTS) and not cascades


def _is_single(mapper: Mapper[Any], events: tuple[str, ...]) -> bool:
    """Whether an object is one row of one table, without subclass, to whose writing nobody listens."""
    listeners = any(getattr(mapper.dispatch, name) for name in events)
    inherits = len(mapper.tables) > 1 or mapper.polymorphic_on is not None
    return not inherits and not listeners and not has_flush_listeners()


def has_flush_listeners() -> bool:
    """Whether someone listens to the flushes of every session."""
    # Listeners of a class are told by an instance only.
    dispatch: Any = RoutedSession().dispatch
    return any(getattr(dispatch, name) for name in FLUSH_EVENTS)


def has_attribute_listeners(mapper: Mapper[Any]) -> bool:
    """Whether someone listens to a column's attribute being set; SQLAlchemy's own mutable types do not count."""
    dispatches = (mapper.class_manager[name].dispatch for name in mapper.column_attrs.keys())  # noqa: SIM118
    listeners = (listener for found in dispatches for name in ATTRIBUTE_EVENTS for listener in getattr(found, name))
    return any(getattr(listener, "__module__", "") != "sqlalchemy.ext.mutable" for listener in listeners)


def has_own_constructor(mapper: Mapper[Any]) -> bool:
    """Whether making an object does more than hold values: a constructor of the user's own, a dataclass's factories.

    A class that was mapped imperatively has one of its own anyway, which knows nothing of tables.
    """
    model = mapper.class_
    if dataclasses.is_dataclass(model):
        factories = (item for item in dataclasses.fields(model) if item.default_factory is not dataclasses.MISSING)
        return hasattr(model, "__post_init__") or any(item.name in mapper.column_attrs for item in factories)
    return _has_usual_constructor(mapper) and mapper.class_manager.original_init is not mapper.registry.constructor


def _has_usual_constructor(mapper: Mapper[Any]) -> bool:
    """Whether the class, or one above it, has SQLAlchemy's constructor."""
    return any(base.__dict__.get("__init__") is mapper.registry.constructor for base in mapper.class_.__mro__)


def new_object(mapper: Mapper[Any], data: Mapping[str, Any]) -> Any:
    """An object with the values of ``data``, made by the model's constructor as far as that knows of them."""
    model = mapper.class_
    if dataclasses.is_dataclass(model):
        taken = data.keys() & {item.name for item in dataclasses.fields(model) if item.init}
        instance = model(**{name: data[name] for name in taken})
    elif _has_usual_constructor(mapper):
        return model(**data)
    else:
        taken, instance = set(), mapper.class_manager.new_instance()
    for name in data.keys() - taken:
        assign(instance, name, data[name])
    return instance


def assign(instance: Any, name: str, value: Any) -> None:
    """Set an attribute. SQLModel's objects take only their fields, and a mixin's column is none of them."""
    fields = getattr(type(instance), "__pydantic_fields__", None)
    if fields is None or name in fields:
        setattr(instance, name, value)
    else:
        set_attribute(instance, name, value)


def _table(mapper: Mapper[Any]) -> TableClause[Any]:
    return cast("TableClause[Any]", mapper.local_table)


def columns_of(mapper: Mapper[Any], data: Mapping[str, Any]) -> dict[Any, Any]:
    """``data`` (by attribute) as columns of the table."""
    return {mapper.column_attrs[name].columns[0]: value for name, value in data.items()}


def insert_statement(
    mapper: Mapper[Any], data: Mapping[str, Any], where: Sequence[ColumnElement[bool]], returning: Sequence[Any]
) -> Any:
    """INSERT of one row; with conditions it inserts nothing where they do not hold (INSERT ... SELECT ... WHERE)."""
    values = columns_of(mapper, data)
    statement = insert(_table(mapper))
    if not where:
        return statement.values({column.key: value for column, value in values.items()}).returning(*returning)
    row = [
        value if isinstance(value, ColumnElement) else literal(value, column.type) for column, value in values.items()
    ]
    source = select(*row).where(and_(*where)).correlate(None)
    return statement.from_select([column.key for column in values], source).returning(*returning)


def update_statement(
    mapper: Mapper[Any], data: Mapping[str, Any], where: Sequence[ColumnElement[bool]], returning: Sequence[Any]
) -> Any:
    """UPDATE of the rows that meet ``where``."""
    values = {column.key: value for column, value in columns_of(mapper, data).items()}
    return update(_table(mapper)).where(*where).values(values).returning(*returning)


def insert_object(mapper: Mapper[Any], data: Mapping[str, Any]) -> Any:
    """INSERT of one row that returns its object."""
    return insert(mapper.class_).values(dict(data)).returning(mapper.class_)


def update_object(mapper: Mapper[Any], instance: Any, data: Mapping[str, Any]) -> Any:
    """UPDATE of an object's row that refreshes the object."""
    statement = update(mapper.class_).where(key_condition(mapper.class_, instance)).values(dict(data))
    return statement.returning(mapper.class_).execution_options(populate_existing=True, synchronize_session=False)


def delete_statement(
    mapper: Mapper[Any], where: Sequence[ColumnElement[bool]], returning: Sequence[Any] | None = None
) -> Any:
    """DELETE of the rows that meet ``where``, returning their keys, or what is asked for."""
    statement = delete(_table(mapper)).where(*where)
    wanted = mapper.primary_key if returning is None else returning
    return statement.returning(*wanted) if wanted else statement


def names_one_row(mapper: Mapper[Any], where: Sequence[ColumnElement[bool]]) -> bool:
    """Whether the database sees to it that at most one row meets ``where``: it names a primary or a unique key."""
    table = mapper.local_table
    named = {column for condition in where for column in _equal_columns(condition)}
    keys: list[set[Any]] = [set(mapper.primary_key)]
    if isinstance(table, Table):
        keys += [set(found.columns) for found in table.constraints if isinstance(found, UniqueConstraint)]
        keys += [{column} for column in table.columns if column.unique]
    return any(key and key <= named for key in keys)


def _equal_columns(condition: Any) -> Iterator[Any]:
    """The columns that must have one value where ``condition`` holds."""
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for part in condition.clauses:
            yield from _equal_columns(part)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        left, right = condition.left, condition.right
        yield from [left] if isinstance(left, Column) and isinstance(right, BindParameter) else []


def key_condition(model: type[Any], *instances: Any) -> ColumnElement[bool]:
    """The condition that names exactly the rows of ``instances``."""
    mapper = inspect(model)
    return key_in(mapper.primary_key, [row_key(mapper, instance) for instance in instances])


def row_key(mapper: Mapper[Any], instance: Any, verb: str = "at") -> tuple[Any, ...]:
    """The primary key of an object's row.

    Raises:
        TypeError: It is no object of the model; ``verb`` is what wants one.
    """
    model = mapper.class_
    if not isinstance(instance, model):
        given = type(instance).__name__ if inspect(instance, raiseerr=False) is not None else repr(instance)
        raise TypeError(f"{model.__name__}: {verb}() takes an object of {model.__name__}, not {given}.")
    return tuple(inspect(instance).identity or mapper.primary_key_from_instance(instance))


def key_in(columns: Sequence[ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """The condition that a key is one of ``keys``."""
    if len(keys) == 1:
        return and_(*(column == value for column, value in zip(columns, keys[0], strict=True)))
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return tuple_(*columns).in_(keys) if keys else false()
