"""What a column of each type can hold: values are checked as PostgreSQL would, and rounded as it does.

The limits are those of ``schemas.bounds``, which bodies have too. Where it matters, this is stricter than PostgreSQL: it
refuses what would be stored otherwise than given (a fraction in an integer column, blanks that PostgreSQL would cut off,
the offset of a time in a column without one), what only one engine can hold (not-a-number, numbers beyond a float's range,
the first and the last day of Python's calendar where there is a time zone), and bytes beyond the length that a column declares.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import types as sqltypes
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.sql import ClauseElement

from fastapix5.db.dialects import POSTGRESQL, is_postgresql, loaded
from fastapix5.exceptions import TypeViolation
from fastapix5.repositories import scalars
from fastapix5.repositories.scalars import UNSUITABLE, Check, is_text
from fastapix5.schemas.bounds import on_postgresql

MOST_DIMENSIONS = 6
EXTERNAL = ("MONEY", "TSVECTOR", "TSQUERY", "REGCLASS", "REGCONFIG", "MACADDR", "MACADDR8", "JSONPATH")


def is_json(column_type: Any) -> bool:
    """Whether a column holds JSON, of which SQLAlchemy makes JSON's null of None."""
    if isinstance(column_type, sqltypes.TypeDecorator) and not _binds(type(column_type)):
        column_type = column_type.impl_instance
    variants = column_type._variant_mapping.values()  # noqa: SLF001 (there is no other way to ask)
    return any(isinstance(found, sqltypes.JSON) for found in (column_type, *variants))


def needs_null(column_type: Any) -> bool:
    """Whether SQLAlchemy binds None as something else than NULL."""
    return is_json(column_type) or is_postgresql(column_type, "JSONPATH")


def check_for(column_type: sqltypes.TypeEngine[Any]) -> Check | None:
    """Return what checks the values of a type, or None where they cannot be told before the database sees them."""
    column_type = on_postgresql(column_type)
    for kinds, make in MAKERS:
        if isinstance(column_type, kinds):
            return make(column_type)
    for names, make in POSTGRESQL_MAKERS:
        if is_postgresql(column_type, *names):
            return make(column_type)
    return None


# Documents and collections


def _json(_: Any) -> Check:
    def check(value: Any) -> Any:
        if value is sqltypes.JSON.NULL:
            return value
        try:
            found = to_jsonable_python(value)
        except UNSUITABLE as error:
            raise TypeViolation from error
        _check_json(found)
        return found

    return check


def _check_json(value: Any) -> None:
    """Refuse what Python calls JSON and PostgreSQL does not."""
    if isinstance(value, str):
        is_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise TypeViolation
    elif isinstance(value, list):
        for item in value:
            _check_json(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            is_text(key)
            _check_json(item)


def _array(column_type: Any) -> Check:
    item = check_for(column_type.item_type) or _as_it_is

    def check(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise TypeViolation
        if _shape(value) is None:
            raise TypeViolation
        return _map(value, item)

    return check


def _as_it_is(value: Any) -> Any:
    return value


def _shape(value: Any) -> tuple[int, ...] | None:
    """How many items a list has along each of its dimensions; None where its rows are not alike, or it has too many."""
    if not isinstance(value, (list, tuple)):
        return ()
    shapes = {_shape(item) for item in value} or {()}
    inside = shapes.pop()
    if shapes or inside is None or len(inside) >= MOST_DIMENSIONS:
        return None
    return (len(value), *inside)


def _map(value: Any, item: Check) -> Any:
    return type(value)(
        _map(part, item) if isinstance(part, (list, tuple)) else None if part is None else item(part) for part in value
    )


def _hstore(_: Any) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeViolation
        for key, text in value.items():
            is_text(key)
            if text is not None:
                is_text(text)
        return value

    return check


def _range(column_type: Any) -> Check | None:
    name = column_type.__visit_name__
    end = next((check_for(subtype) for prefix, subtype in SUBTYPES if name.startswith(prefix)), None)
    if end is None:
        return None
    (range_type,) = loaded(POSTGRESQL, "Range")

    def check(value: Any) -> Any:
        if not isinstance(value, range_type):
            raise TypeViolation
        for limit in (value.lower, value.upper):
            if limit is not None:
                end(limit)
        return value

    return check


def _multirange(column_type: Any) -> Check | None:
    item = _range(column_type)
    if item is None:
        return None

    def check(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise TypeViolation
        for part in value:
            item(part)
        return value

    return check


SUBTYPES: tuple[tuple[str, sqltypes.TypeEngine[Any]], ...] = (
    ("INT4", sqltypes.Integer()),
    ("INT8", sqltypes.BigInteger()),
    ("NUM", sqltypes.Numeric()),
    ("DATE", sqltypes.Date()),
    ("TSTZ", sqltypes.DateTime(timezone=True)),
    ("TS", sqltypes.DateTime()),
)


def _network(column_type: Any) -> Check:
    read: Callable[[Any], Any] = ipaddress.ip_network if is_postgresql(column_type, "CIDR") else ipaddress.ip_interface

    def check(value: Any) -> Any:
        if isinstance(value, (int, tuple, bytes)):
            raise TypeViolation
        try:
            read(value)
        except UNSUITABLE as error:
            raise TypeViolation from error
        return value

    return check


# Types of the user's own


def _decorator(column_type: sqltypes.TypeDecorator[Any]) -> Check | None:
    """What a type decorates says what it can hold, and is asked for what the decorator makes of the value.

    The value itself stays as it is: SQLAlchemy binds it, so ``process_bind_param`` runs twice.
    """
    dialect = _dialect()
    impl, own = column_type.load_dialect_impl(dialect), type(column_type)
    inner = check_for(impl)
    if inner is None or own.bind_processor is not sqltypes.TypeDecorator.bind_processor:
        return None
    if not _binds(own):
        return inner
    if is_json(impl):
        return None  # Its serializer may take more than JSON.
    bound_check, bind = inner, column_type.process_bind_param

    def check(value: Any) -> Any:
        try:
            bound = bind(value, dialect)
        except UNSUITABLE as error:
            raise TypeViolation from error
        if bound is not None and not isinstance(bound, ClauseElement):
            bound_check(bound)
        return value

    return check


@cache
def _dialect() -> Dialect:
    """What a decorator that asks for the dialect is told: PostgreSQL's, whose limits both engines have."""
    return make_url("postgresql+fastapix5://").get_dialect()()


def _binds(decorator: type[sqltypes.TypeDecorator[Any]]) -> bool:
    """Whether a decorator makes something of the values that it is given."""
    return decorator.process_bind_param is not sqltypes.TypeDecorator.process_bind_param


def _domain(column_type: Any) -> Check | None:
    return check_for(column_type.data_type)


# The first that fits is taken, so what is special stands before what it specializes.
MAKERS: tuple[tuple[Any, Callable[[Any], Check | None]], ...] = (
    (sqltypes.Enum, scalars.enum_check),
    (sqltypes.Interval, scalars.interval_check),
    (sqltypes.TypeDecorator, _decorator),
    (sqltypes.Integer, scalars.integer_check),
    (sqltypes.Float, scalars.float_check),
    (sqltypes.Numeric, scalars.numeric_check),
    (sqltypes.Boolean, scalars.boolean_check),
    (sqltypes.String, scalars.text_check),
    ((sqltypes.LargeBinary, sqltypes.BINARY, sqltypes.VARBINARY), scalars.binary_check),
    (sqltypes.DateTime, scalars.datetime_check),
    (sqltypes.Date, scalars.date_check),
    (sqltypes.Time, scalars.time_check),
    (sqltypes.Uuid, scalars.uuid_check),
    (sqltypes.JSON, _json),
    (sqltypes.ARRAY, _array),
)

# PostgreSQL's own.
POSTGRESQL_MAKERS: tuple[tuple[tuple[str, ...], Callable[[Any], Check | None]], ...] = (
    (("DOMAIN",), _domain),
    (("INTERVAL",), scalars.interval_check),
    (("OID",), scalars.integer_check),
    (("HSTORE",), _hstore),
    (("BIT",), scalars.bits_check),
    (("INET", "CIDR"), _network),
    (("AbstractSingleRange",), _range),
    (("AbstractMultiRange",), _multirange),
    (EXTERNAL, lambda _: is_text),
)
