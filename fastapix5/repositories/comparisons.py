"""Lookups that compare values: equality, order, lists and null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    String,
    and_,
    any_,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from fastapix5.repositories.kinds import Either, Kind, is_sql, kind_of

# More values than this are sent as one parameter.
MANY: Final = 1000


def exact(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Equal; None is null."""
    return column.is_(None) if value is None else column == value


def differs(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Not equal, or null."""
    if is_sql(value):
        return not_(func.coalesce(column == value, false()))
    return column.is_not(None) if value is None else or_(column != value, column.is_(None))


def among(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """One of the values, or a row of the subquery; None among them is null."""
    if is_sql(value):
        return column.in_(value)
    found = _listed(column, [item for item in value if item is not None])
    return or_(found, column.is_(None)) if has_null(value) else found


def not_among(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """None of the values, or null."""
    if is_sql(value) or any(is_sql(item) for item in value):
        return not_(func.coalesce(among(column, value), false()))
    found = not_(_listed(column, [item for item in value if item is not None]))
    return and_(found, column.is_not(None)) if has_null(value) else or_(found, column.is_(None))


def isnull(column: ColumnElement[Any], value: bool) -> ColumnElement[bool]:
    """Null, or not."""
    return column.is_(None) if value else column.is_not(None)


def between(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Between two values, both included."""
    low, high = value
    return and_(column >= low, column <= high)


def has_null(value: Any) -> bool:
    """Whether None is among the values of a list."""
    return not is_sql(value) and any(item is None for item in value)


# Keys of several columns: tuples, none of whose parts is null.


def key_exact(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The key is this one."""
    return column == tuple(value)


def key_differs(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The key is another one."""
    return column != tuple(value)


def key_among(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The key is one of these."""
    if is_sql(value):
        return column.in_(value)
    keys = [tuple(item) for item in value]
    if len(keys) <= MANY:
        return column.in_(keys)
    return _rows(column, [part.type for part in parts_of(column)], keys)


def key_not_among(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The key is none of these."""
    return not_(key_among(column, value))


def key_isnull(column: ColumnElement[Any], value: bool) -> ColumnElement[bool]:
    """There is no row, and so no key."""
    return isnull(parts_of(column)[0], value)


def parts_of(column: Any) -> list[ColumnElement[Any]]:
    """The columns of a tuple."""
    return list(column.clauses)


# Long lists: as many parameters as values would be too many for both engines.


class JSONRows(TypeDecorator[Any]):
    """Rows of values as one text, which SQLite takes apart again.

    Args:
        columns: The types of a row's values.
    """

    impl = String
    cache_ok = True

    def __init__(self, columns: Sequence[TypeEngine[Any]]) -> None:
        super().__init__()
        self.columns = tuple(columns)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text, each value as the driver would take it."""
        found = [column.dialect_impl(dialect).bind_processor(dialect) for column in self.columns]
        rows = ([make(item) if make else item for make, item in zip(found, row, strict=True)] for row in value)
        return json.dumps(list(rows))


def one_of(column: ColumnElement[Any], values: Any) -> ColumnElement[bool]:
    """The column is one of the values, which are one parameter however many they are."""
    array: Any = BindParameter(None, values, type_=ARRAY(column.type), unique=True)
    rows: Any = BindParameter(None, values, type_=JSONValues(column.type), unique=True)
    each = func.json_each(rows).table_valued("value")
    return Either(column == any_(array), column.in_(select(each.c.value)), Boolean())


class JSONValues(TypeDecorator[Any]):
    """Values as one text, which SQLite takes apart again.

    Args:
        item: The type of each.
    """

    impl = String
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the text, each value as the driver would take it."""
        process = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps([process(item) if process else item for item in value])


def _listed(column: ColumnElement[Any], values: list[Any]) -> ColumnElement[bool]:
    kind = kind_of(getattr(column, "type", None))
    if len(values) <= MANY or kind is Kind.BINARY or any(is_sql(item) for item in values):
        return column.in_(values)
    item_type = literal(values[0]).type if kind is Kind.OTHER else column.type
    return _rows(column, [item_type], [(item,) for item in values])


def _rows(column: ColumnElement[Any], types: list[TypeEngine[Any]], rows: list[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether a column, or a tuple of them, is one of the rows."""
    arrays = [literal([row[i] for row in rows], ARRAY(types[i])) for i in range(len(types))]
    unnested = (
        func.unnest(*arrays).table_valued(*(Column(f"v{i}", types[i]) for i in range(len(types)))).render_derived()
    )
    each = func.json_each(literal(rows, JSONRows(types))).table_valued("value")
    parts = [func.json_extract(each.c.value, literal_column(f"'$[{i}]'")) for i in range(len(types))]
    return Either(column.in_(select(*unnested.c)), column.in_(select(*parts)), Boolean())
