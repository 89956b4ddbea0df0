"""Lookups in what holds many values: arrays and JSON. Containment is PostgreSQL's; keys in JSON both engines have.

Values in JSON are compared by their Python type: a number meets numbers alone, a text texts.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    ColumnElement,
    Numeric,
    String,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    type_coerce,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from fastapix5.db.dialects import is_postgresql, load_postgresql
from fastapix5.db.preparing import DOCUMENT
from fastapix5.repositories.comparisons import among
from fastapix5.repositories.kinds import Either, Kind, OnPostgreSQL, is_sql, kind_of
from fastapix5.schemas.bounds import plain

Condition: TypeAlias = Callable[[ColumnElement[Any], Any], ColumnElement[bool]]


class Number(TypeDecorator[Any]):
    """A number of any type, as it is; SQLite knows no decimals."""

    impl = Numeric
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the number as the driver takes it."""
        return float(value) if isinstance(value, decimal.Decimal) and dialect.name == "sqlite" else value

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Return what leaves integers integers."""
        return lambda value: self.process_bind_param(value, dialect)


# Arrays


def array_contains(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The array has every one of the values."""
    return OnPostgreSQL("contains", _array_op("@>", column, value))


def array_contained_by(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The array has none but the values."""
    return OnPostgreSQL("contained_by", _array_op("<@", column, value))


def overlap(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The array has one of the values."""
    return OnPostgreSQL("overlap", _array_op("&&", column, value))


def length(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """How many values the array has."""
    return OnPostgreSQL("len", func.coalesce(func.array_length(column, 1), func.cardinality(column)))


def _array_op(operator: str, column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    array = value if isinstance(value, ColumnElement) else literal(list(value), plain(column.type))
    return column.bool_op(operator)(array)


# Keys of JSON


def _jsonb() -> Any:
    return load_postgresql().JSONB()


class Inside(Either):
    """What stands at a path of keys in a JSON column.

    Attributes:
        column: The JSON column.
        path: Keys, and indexes of lists.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], path: tuple[str | int, ...]) -> None:
        found = as_jsonb(column)
        for step in path:
            below = found.op("->", return_type=_jsonb())(step)
            # PostgreSQL takes a scalar for a list of one.
            found = case((_typeof(found) == _sql("'array'"), below)) if isinstance(step, int) else below
        super().__init__(found, type_coerce(column, JSON)[path] if path else column, _jsonb())
        self.column = column
        self.path = path


def key(name: str) -> Callable[[ColumnElement[Any]], ColumnElement[Any]]:
    """What goes one key deeper: by name, or by index where it is a number."""
    step = int(name) if name.isdecimal() else name

    def make(column: ColumnElement[Any]) -> ColumnElement[Any]:
        above = inside(column)
        return Inside(above.column, (*above.path, step))

    return make


def inside(column: ColumnElement[Any]) -> Inside:
    """A JSON column as a path of no keys."""
    return column if isinstance(column, Inside) else Inside(column, ())


def as_jsonb(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A JSON column as PostgreSQL compares it."""
    is_binary = is_postgresql(plain(column.type), "JSONB")
    return type_coerce(column, _jsonb()) if is_binary else cast(type_coerce(column, JSON), _jsonb())


# Values in JSON


def has_value(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the path is there; for a whole column, whether it is null neither in SQL nor in JSON."""
    found = inside(column)
    postgresql, _ = found.clauses
    if not found.path:
        return Either(
            func.coalesce(_typeof(postgresql) != _sql("'null'"), false()),
            func.coalesce(_json_type(found) != _sql("'null'"), false()),
            Boolean(),
        )
    return Either(postgresql.is_not(None), _json_type(found).is_not(None), Boolean())


def as_number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The number at the path, or null where none is."""
    found = inside(column)
    postgresql, _ = found.clauses
    return Either(
        case((_typeof(postgresql) == _sql("'number'"), cast(_unquoted(postgresql), Numeric))),
        case((_json_type(found).in_([_sql("'integer'"), _sql("'real'")]), _json_extract(found))),
        Number(),
    )


def as_string(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The text at the path, or null where none is."""
    found = inside(column)
    postgresql, _ = found.clauses
    return Either(
        case((_typeof(postgresql) == _sql("'string'"), _unquoted(postgresql))),
        case((_json_type(found) == _sql("'text'"), _json_extract(found))),
        String(),
    )


def as_boolean(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The truth at the path, or null where none is."""
    found = inside(column)
    postgresql, _ = found.clauses
    return Either(
        case((_typeof(postgresql) == _sql("'boolean'"), cast(_unquoted(postgresql), Boolean))),
        case((_json_type(found) == _sql("'true'"), _sql("1")), (_json_type(found) == _sql("'false'"), _sql("0"))),
        Boolean(),
    )


def typed(column: ColumnElement[Any], value: Any) -> tuple[ColumnElement[Any], Any]:
    """What stands at the path as SQL of the value's type, and the value.

    Raises:
        TypeError: JSON has no such values.
    """
    if isinstance(value, ColumnElement):
        kind = kind_of(value.type)
        if kind in Kind.INTEGER | Kind.NUMBER:
            return as_number(column), value
        return (as_boolean(column) if kind is Kind.BOOLEAN else as_string(column)), value
    read, scalar = scalar_of(value)
    return read(column), scalar


def scalar_of(value: Any) -> tuple[Callable[[ColumnElement[Any]], ColumnElement[Any]], Any]:
    """What reads JSON of a value's type, and the value as JSON has it.

    Raises:
        TypeError: JSON has no such values.
    """
    value = value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, bool):
        return as_boolean, value
    if isinstance(value, (int, float, decimal.Decimal)):
        return as_number, value
    if isinstance(value, (dt.date, dt.time)):
        return as_string, value.isoformat()
    if isinstance(value, (str, uuid.UUID)):
        return as_string, str(value)
    raise TypeError(f"JSON has no {type(value).__name__} that could be compared.")


def compared(compare: Condition) -> Condition:
    """A comparison of scalars, on JSON."""

    def make(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
        return compare(*typed(column, value))

    return make


def in_text(find: Condition) -> Condition:
    """A lookup in text, on JSON."""

    def make(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
        return find(as_string(column), value)

    return make


def json_exact(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Equal to a value, an object or a list; None is JSON's null, of a whole column SQL's too."""
    found = inside(column)
    if value is None and not found.path:
        return not_(has_value(found))
    if value is None:
        return func.coalesce(
            Either(_typeof(_binary(found)) == _sql("'null'"), _json_type(found) == _sql("'null'")), false()
        )
    if isinstance(value, (dict, list, tuple)):
        return _same_document(found, value)
    left, right = typed(found, value)
    return and_(left == right)


def json_ne(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Not equal, or not there."""
    return not_(func.coalesce(json_exact(column, value), false()))


def json_in(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Equal to one of the values."""
    if is_sql(value):
        return as_string(column).in_(value)
    alike: dict[Callable[[ColumnElement[Any]], ColumnElement[Any]], list[Any]] = {}
    others = []
    for item in value:
        if item is None or isinstance(item, (dict, list, tuple)) or is_sql(item):
            others.append(json_exact(column, item))
        else:
            read, scalar = scalar_of(item)
            alike.setdefault(read, []).append(scalar)
    return or_(false(), *others, *(among(read(column), items) for read, items in alike.items()))


def json_not_in(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Equal to none of the values, or not there."""
    return not_(func.coalesce(json_in(column, value), false()))


def json_isnull(column: ColumnElement[Any], value: bool) -> ColumnElement[bool]:
    """Whether the path is missing; a whole column is null in SQL or JSON."""
    there = has_value(column)
    return not_(there) if value else there


def json_range(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Between two values of one type."""
    low, high = value
    (left, lowest), (right, highest) = typed(column, low), typed(column, high)
    return and_(left >= lowest, right <= highest)


def json_contains(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The object or list contains the value, as PostgreSQL says."""
    return OnPostgreSQL("contains", _json_op("@>", column, value))


def json_contained_by(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The value contains the object or list."""
    return OnPostgreSQL("contained_by", _json_op("<@", column, value))


def has_key(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The object has a key."""
    return OnPostgreSQL("has_key", _binary(column).bool_op("?")(literal(value, String())))


def has_keys(column: ColumnElement[Any], value: Sequence[str]) -> ColumnElement[bool]:
    """The object has every one of the keys."""
    return OnPostgreSQL("has_keys", _binary(column).bool_op("?&")(literal(list(value), ARRAY(String()))))


def has_any_keys(column: ColumnElement[Any], value: Sequence[str]) -> ColumnElement[bool]:
    """The object has one of the keys."""
    return OnPostgreSQL("has_any_keys", _binary(column).bool_op("?|")(literal(list(value), ARRAY(String()))))


def _same_document(found: Inside, value: Any) -> ColumnElement[bool]:
    postgresql, _ = found.clauses
    text = json.dumps(value)
    same = getattr(func, DOCUMENT)
    is_document = _json_type(found).in_([_sql("'object'"), _sql("'array'")])
    return Either(
        postgresql == literal(value, _jsonb()),
        case((is_document, same(_json_extract(found), type_=String())))
        == same(literal(text, String()), type_=String()),
        Boolean(),
    )


def _json_op(operator: str, column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    document = as_jsonb(value) if isinstance(value, ColumnElement) else literal(value, _jsonb())
    return _binary(column).bool_op(operator)(document)


def _binary(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return next(iter(inside(column).clauses))


def _typeof(document: ColumnElement[Any]) -> ColumnElement[str]:
    return func.jsonb_typeof(document, type_=String())


def _unquoted(document: ColumnElement[Any]) -> ColumnElement[str]:
    return document.op("#>>", return_type=String())(_sql("'{}'"))


def _json_type(found: Inside) -> ColumnElement[str]:
    return func.json_type(type_coerce(found.column, String()), _sqlite_path(found), type_=String())


def _json_extract(found: Inside) -> ColumnElement[Any]:
    return func.json_extract(type_coerce(found.column, String()), _sqlite_path(found))


def _sqlite_path(found: Inside) -> ColumnElement[str]:
    # SQLite compares a key with the text of the document, in which JSON has escaped it.
    steps = (f"[{step}]" if isinstance(step, int) else f".{json.dumps(step)}" for step in found.path)
    return literal("$" + "".join(steps), String())


def _sql(text: str) -> ColumnElement[Any]:
    return literal_column(text)
