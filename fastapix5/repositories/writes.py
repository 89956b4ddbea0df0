"""Writes in one statement: INSERT, UPDATE and DELETE that carry their conditions, and return what a schema shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, inspect, literal, select, update
from sqlalchemy.orm import Mapper


def single_table(mapper: Mapper[Any]) -> bool:
    """Whether one statement writes a whole object: one table, and nothing that only a flush would do."""
    return len(mapper.tables) == 1 and mapper.version_id_col is None and not mapper.validators


def cascades_deletes(mapper: Mapper[Any]) -> bool:
    """Whether deleting an object deletes others through the ORM, so that one DELETE is not enough."""
    return any(relationship.cascade.delete for relationship in mapper.relationships)


def columns_of(mapper: Mapper[Any], data: Mapping[str, Any]) -> dict[Any, Any]:
    """``data`` (by attribute) as columns of the table."""
    return {mapper.column_attrs[name].columns[0]: value for name, value in data.items()}


def insert_statement(
    mapper: Mapper[Any], data: Mapping[str, Any], where: Sequence[ColumnElement[bool]], returning: Sequence[Any]
) -> Any:
    """INSERT of one row; with conditions it inserts nothing where they do not hold (INSERT ... SELECT ... WHERE)."""
    values = columns_of(mapper, data)
    statement = insert(mapper.local_table)
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
    return update(mapper.local_table).where(*where).values(values).returning(*returning)


def insert_object(mapper: Mapper[Any], data: Mapping[str, Any]) -> Any:
    """INSERT of one row that returns its object."""
    return insert(mapper.class_).values(dict(data)).returning(mapper.class_)


def update_object(mapper: Mapper[Any], instance: Any, data: Mapping[str, Any]) -> Any:
    """UPDATE of an object's row that refreshes the object."""
    statement = update(mapper.class_).where(key_condition(mapper.class_, instance)).values(dict(data))
    return statement.returning(mapper.class_).execution_options(populate_existing=True, synchronize_session=False)


def delete_statement(mapper: Mapper[Any], where: Sequence[ColumnElement[bool]]) -> Any:
    """DELETE of the rows that meet ``where``, returning their keys."""
    return delete(mapper.local_table).where(*where).returning(*mapper.primary_key)


def key_condition(model: type[Any], instance: Any) -> ColumnElement[bool]:
    """The condition that names exactly the row of ``instance``."""
    mapper = inspect(model)
    state = inspect(instance)
    key = state.identity or mapper.primary_key_from_instance(instance)
    return and_(*(column == value for column, value in zip(mapper.primary_key, key, strict=True)))
