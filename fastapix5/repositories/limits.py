"""What a column of each type can hold: values are checked as PostgreSQL would, and rounded as it does.

The limits are those of ``schemas.bounds``, which bodies have too. Where it matters, this is stricter than PostgreSQL: it
refuses what would be stored otherwise than given (a fraction in an integer column, blanks that PostgreSQL would cut off,
the offset of a time in a column without one), what only one engine can hold (not-a-number, numbers beyond a float's range,
the years 1 and 9999 where there is a time zone), and bytes beyond the length that a column declares.
"""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from fastapix5.db.postgresql import PostgreSQLDialect
from fastapix5.exceptions import LengthViolation, RangeViolation, TypeViolation
from fastapix5.schemas.bounds import (
    LONGEST,
    SHORTEST,
    SINGLE_PRECISION_MAX,
    digits_of,
    integer_range,
    is_single,
    length_of,
    on_postgresql,
)

Check = Callable[[Any], Any]
"""Returns a value that is not None as its column takes it, or raises one of the violations."""

# What a numeric column can hold: SQLite's are floats, and PostgreSQL has this many places. Rounding is PostgreSQL's.
NUMERIC_MAX = decimal.Decimal(sys.float_info.max)
NUMERIC_PLACES = 16_383
ROUNDING = decimal.Context(
    prec=2000,
    rounding=decimal.ROUND_HALF_UP,
    Emax=decimal.MAX_EMAX,
    Emin=decimal.MIN_EMIN,
    traps=[decimal.InvalidOperation],
)
OID_MAX = 2**32 - 1
BEYOND_INTEGERS = 2**64
MOST_DIMENSIONS = 6

UNSUITABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
EXTERNAL = (pg.MONEY, pg.TSVECTOR, pg.TSQUERY, pg.REGCLASS, pg.REGCONFIG, pg.MACADDR, pg.MACADDR8, pg.JSONPATH)

# A TypeDecorator may ask for the dialect: it is told PostgreSQL's, whose limits both engines have.
_DIALECT: Dialect = PostgreSQLDialect()  # type: ignore[no-untyped-call]


def is_json(column_type: Any) -> bool:
    """Whether a column holds JSON, of which SQLAlchemy makes JSON's null of None."""
    if isinstance(column_type, sqltypes.TypeDecorator) and not _binds(type(column_type)):
        column_type = column_type.impl_instance
    variants = column_type._variant_mapping.values()  # noqa: SLF001 (there is no other way to ask)
    return any(isinstance(found, sqltypes.JSON) for found in (column_type, *variants))


def needs_null(column_type: Any) -> bool:
    """Whether SQLAlchemy binds None as something else than NULL."""
    return is_json(column_type) or isinstance(column_type, pg.JSONPATH)


def check_for(column_type: sqltypes.TypeEngine[Any]) -> Check | None:
    """Return what checks the values of a type, or None where they cannot be told before the database sees them."""
    column_type = on_postgresql(column_type)
    return next((make(column_type) for kinds, make in MAKERS if isinstance(column_type, kinds)), None)


# Numbers


def _integer(column_type: Any) -> Check:
    low, high = (0, OID_MAX) if isinstance(column_type, pg.OID) else integer_range(column_type)

    def check(value: Any) -> Any:
        if type(value) is not int:
            value = _whole(value)
        if not low <= value <= high:
            raise RangeViolation
        return value

    return check


def _whole(value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    try:
        number = decimal.Decimal(value) if isinstance(value, (float, decimal.Decimal)) else value.__index__()
    except UNSUITABLE as error:
        raise TypeViolation from error
    if isinstance(number, int):
        return number
    if number.is_nan():
        raise TypeViolation
    if not number.is_finite() or abs(number) > BEYOND_INTEGERS:
        raise RangeViolation
    if number % 1:
        raise TypeViolation
    return int(number)


def _float(column_type: Any) -> Check:
    most = SINGLE_PRECISION_MAX if is_single(column_type) else math.inf

    def check(value: Any) -> Any:
        found = value if type(value) is float else _as_float(value)
        if not -most <= found <= most and not math.isinf(found):
            raise RangeViolation  # Not-a-number comes here too: SQLite has none, and would store NULL.
        return value

    return check


def _as_float(value: Any) -> float:
    if not isinstance(value, (int, float, decimal.Decimal)):
        raise TypeViolation
    try:
        found = float(value)
    except (OverflowError, ValueError) as error:
        raise RangeViolation from error
    if math.isinf(found) and value not in (math.inf, -math.inf):
        raise RangeViolation
    return found


def _numeric(column_type: Any) -> Check:
    digits = digits_of(column_type)
    if digits is None:
        return _unlimited_number
    precision, places = digits
    unit, limit = decimal.Decimal(1).scaleb(-places), min(decimal.Decimal(10) ** (precision - places), NUMERIC_MAX)
    quantize, as_decimal = ROUNDING.quantize, column_type.asdecimal

    def check(value: Any) -> Any:
        number = value if type(value) is decimal.Decimal else _as_decimal(value)
        try:
            rounded = quantize(number, unit)
            fits = -limit < rounded < limit
        except decimal.InvalidOperation as error:
            raise RangeViolation from error
        if not fits:
            raise RangeViolation
        if rounded == value:
            return value
        return rounded if as_decimal else float(rounded)

    return check


def _unlimited_number(value: Any) -> Any:
    number = _as_decimal(value)
    if number.is_finite() and (abs(number) > NUMERIC_MAX or int(number.as_tuple().exponent) < -NUMERIC_PLACES):
        raise RangeViolation
    return number if isinstance(value, str) else value


def _as_decimal(value: Any) -> decimal.Decimal:
    """A number, or text that is one, as a decimal: what a float is exactly, since PostgreSQL rounds from there."""
    if not isinstance(value, (int, float, decimal.Decimal, str)):
        raise TypeViolation
    try:
        number = decimal.Decimal(value)
    except UNSUITABLE as error:
        raise TypeViolation from error
    if number.is_nan():
        raise RangeViolation
    return number


def _boolean(_: Any) -> Check:
    def check(value: Any) -> Any:
        if value is True or value is False:
            return value
        if isinstance(value, (int, float)) and value in (0, 1):
            return bool(value)
        raise TypeViolation

    return check


# Text and bytes


def _text(column_type: Any) -> Check:
    length = length_of(column_type)
    if length is None:
        return is_text

    def check(value: Any) -> Any:
        is_text(value)
        if len(value) > length:
            raise LengthViolation
        return value

    return check


def is_text(value: Any) -> Any:
    """Return text; without NUL and lone surrogates, which UTF-8 in PostgreSQL has not."""
    if not isinstance(value, str) or "\0" in value:
        raise TypeViolation
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise TypeViolation from error
    return value


def _binary(column_type: Any) -> Check:
    length = length_of(column_type)

    def check(value: Any) -> Any:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeViolation
        if length is not None and memoryview(value).nbytes > length:
            raise LengthViolation
        return value

    return check


def _bits(column_type: Any) -> Check:
    length, varying = length_of(column_type), column_type.varying

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not set(value) <= {"0", "1"}:
            raise TypeViolation
        if length is not None and (len(value) > length or (len(value) < length and not varying)):
            raise LengthViolation
        return value

    return check


def _enum(column_type: sqltypes.Enum) -> Check:
    names, members = frozenset(column_type.enums), column_type.enum_class

    def check(value: Any) -> Any:
        is_member = members is not None and isinstance(value, members)
        if not is_member and not (isinstance(value, str) and value in names):
            raise TypeViolation
        return value

    return check


def _uuid(column_type: Any) -> Check:
    as_uuid = column_type.as_uuid

    def check(value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return value if as_uuid else str(value)
        if not isinstance(value, str):
            raise TypeViolation
        try:
            found = uuid.UUID(value)
        except ValueError as error:
            raise TypeViolation from error
        return found if as_uuid else value

    return check


# Dates and times


def _date(_: Any) -> Check:
    def check(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return value.date()
        if not isinstance(value, dt.date):
            raise TypeViolation
        return value

    return check


def _datetime(column_type: Any) -> Check:
    aware = bool(column_type.timezone)

    def check(value: Any) -> Any:
        if not isinstance(value, dt.datetime):
            if not isinstance(value, dt.date):
                raise TypeViolation
            value = dt.datetime.combine(value, dt.time())
        if not aware:
            if value.tzinfo is not None:
                raise TypeViolation
        elif not dt.MINYEAR < value.year < dt.MAXYEAR:
            raise RangeViolation
        return value

    return check


def _time(column_type: Any) -> Check:
    aware = bool(column_type.timezone)

    def check(value: Any) -> Any:
        if not isinstance(value, dt.time) or (value.tzinfo is not None) is not aware:
            raise TypeViolation
        return value

    return check


def _interval(_: Any) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, dt.timedelta):
            raise TypeViolation
        if not SHORTEST <= value <= LONGEST:
            raise RangeViolation
        return value

    return check


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

    def check(value: Any) -> Any:
        if not isinstance(value, pg.Range):
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
    read: Callable[[Any], Any] = ipaddress.ip_network if isinstance(column_type, pg.CIDR) else ipaddress.ip_interface

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
    impl, own = column_type.load_dialect_impl(_DIALECT), type(column_type)
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
            bound = bind(value, _DIALECT)
        except UNSUITABLE as error:
            raise TypeViolation from error
        if bound is not None and not isinstance(bound, ClauseElement):
            bound_check(bound)
        return value

    return check


def _binds(decorator: type[sqltypes.TypeDecorator[Any]]) -> bool:
    """Whether a decorator makes something of the values that it is given."""
    return decorator.process_bind_param is not sqltypes.TypeDecorator.process_bind_param


def _domain(column_type: Any) -> Check | None:
    return check_for(column_type.data_type)


# The first that fits is taken, so what is special stands before what it specializes.
MAKERS: tuple[tuple[Any, Callable[[Any], Check | None]], ...] = (
    (sqltypes.Enum, _enum),
    (pg.DOMAIN, _domain),
    ((sqltypes.Interval, pg.INTERVAL), _interval),
    (sqltypes.TypeDecorator, _decorator),
    ((sqltypes.Integer, pg.OID), _integer),
    (sqltypes.Float, _float),
    (sqltypes.Numeric, _numeric),
    (sqltypes.Boolean, _boolean),
    (sqltypes.String, _text),
    ((sqltypes.LargeBinary, sqltypes.BINARY, sqltypes.VARBINARY), _binary),
    (sqltypes.DateTime, _datetime),
    (sqltypes.Date, _date),
    (sqltypes.Time, _time),
    (sqltypes.Uuid, _uuid),
    (sqltypes.JSON, _json),
    (sqltypes.ARRAY, _array),
    (pg.HSTORE, _hstore),
    (pg.BIT, _bits),
    ((pg.INET, pg.CIDR), _network),
    (pg.ranges.AbstractSingleRange, _range),
    (pg.ranges.AbstractMultiRange, _multirange),
    (EXTERNAL, lambda _: is_text),
)
