"""What a column can hold, in pydantic's words: the limits that bodies, filters and keys share, and OpenAPI shows."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from typing import Annotated, Any, get_args

from annotated_types import Ge, Le, MaxLen
from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints
from pydantic.fields import FieldInfo
from sqlalchemy import types as sqltypes

INTEGER_BITS: tuple[tuple[type[sqltypes.Integer], int], ...] = (
    (sqltypes.SmallInteger, 15),
    (sqltypes.BigInteger, 63),
    (sqltypes.Integer, 31),
)
SINGLE_PRECISION_MAX = 3.4028234663852886e38
SINGLE_PRECISION_BITS = 24

NO_NUL = StringConstraints(pattern=r"^[^\x00]*$")

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{2}:\d{2}")
_ISO_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def iso_only(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Refuse the bare numbers that pydantic reads as seconds since 1970: OpenAPI says ``format: date-time``."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"write it as {example}")
        return value

    return BeforeValidator(check)


def as_utc(value: dt.datetime) -> dt.datetime:
    """Return ``value`` in UTC; a value without an offset, or one that UTC cannot express, is refused."""
    if value.tzinfo is None:
        raise ValueError("a UTC offset is needed, such as Z or +02:00")
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("the time cannot be expressed in UTC") from None


def as_naive_utc(value: dt.datetime) -> dt.datetime:
    """Return ``value`` without an offset, as UTC where it had one: what a column without time zone holds."""
    return value if value.tzinfo is None else as_utc(value).replace(tzinfo=None)


def integer_bounds(column_type: sqltypes.TypeEngine[Any]) -> tuple[Ge, Le]:
    """The range of an integer column. Both engines get PostgreSQL's, so that both answer alike."""
    bits = next((bits for kind, bits in INTEGER_BITS if isinstance(column_type, kind)), 63)
    return Ge(-(2**bits)), Le(2**bits - 1)


def text_bounds(column_type: sqltypes.TypeEngine[Any]) -> tuple[Any, ...]:
    """The length of a text column, and no NUL, which PostgreSQL cannot store."""
    length = getattr(column_type, "length", None)
    return (NO_NUL,) if length is None else (NO_NUL, MaxLen(length))


def number_bounds(column_type: sqltypes.TypeEngine[Any]) -> tuple[Any, ...]:
    """Finite numbers only; a numeric column's digits, a single-precision column's range."""
    if isinstance(column_type, sqltypes.Float):
        single = column_type.precision is not None and column_type.precision <= SINGLE_PRECISION_BITS
        if single or isinstance(column_type, sqltypes.REAL):
            return Field(allow_inf_nan=False), Ge(-SINGLE_PRECISION_MAX), Le(SINGLE_PRECISION_MAX)
        return (Field(allow_inf_nan=False),)
    if isinstance(column_type, sqltypes.Numeric) and column_type.precision is not None:
        digits = Field(allow_inf_nan=False, max_digits=column_type.precision, decimal_places=column_type.scale or 0)
        return (digits,)
    return (Field(allow_inf_nan=False),)


def datetime_bounds(column_type: sqltypes.TypeEngine[Any]) -> tuple[Any, ...]:
    """ISO 8601 text only; what has an offset becomes UTC, and a column with time zone asks for one."""
    aware = bool(getattr(column_type, "timezone", False))
    example = "2013-01-31T09:30:00Z" if aware else "2013-01-31T09:30:00"
    return Strict(False), iso_only(_ISO_DATETIME, example), AfterValidator(as_utc if aware else as_naive_utc)


def bounds(leaf: Any, column_type: sqltypes.TypeEngine[Any]) -> tuple[Any, ...]:
    """Return the pydantic metadata that keeps a value of type ``leaf`` within what ``column_type`` can hold.

    A type that has rules of its own (an enumeration, ``EmailStr``, a nested model) is left as it is.
    """
    if leaf is str:
        return text_bounds(column_type)
    if leaf is int:
        return integer_bounds(column_type)
    if leaf in (float, decimal.Decimal):
        return number_bounds(column_type)
    if leaf is dt.datetime:
        return datetime_bounds(column_type)
    if leaf is dt.date:
        return Strict(False), iso_only(_ISO_DATE, "2013-01-31")
    if leaf is dt.time:
        return Strict(False), iso_only(_ISO_TIME, "09:30:00")
    return ()


def strip_optional(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without its None, and whether it had one."""
    arguments = get_args(annotation)
    if type(None) not in arguments:
        return annotation, False
    rest = [argument for argument in arguments if argument is not type(None)]
    return (rest[0], True) if len(rest) == 1 else (annotation, True)


def python_type(column_type: sqltypes.TypeEngine[Any]) -> Any:
    """The Python type that a column's values have; ``Any`` where SQLAlchemy does not say."""
    if isinstance(column_type, sqltypes.Float):
        return decimal.Decimal if column_type.asdecimal else float
    try:
        return column_type.python_type
    except NotImplementedError:
        return Any


def bounded(column_type: sqltypes.TypeEngine[Any]) -> Any:
    """The annotated Python type of a column's values: what a key in the URL and a filter's value must be.

    A ``TypeDecorator`` that does not say what it takes is held to the type that it decorates.
    """
    leaf = python_type(column_type)
    if leaf is Any and isinstance(column_type, sqltypes.TypeDecorator):
        return bounded(column_type.impl_instance)
    limits = bounds(leaf, column_type)
    return Annotated[(leaf, *limits)] if limits else leaf


def tighten(field: FieldInfo, column_type: sqltypes.TypeEngine[Any]) -> FieldInfo:
    """Return a copy of ``field`` that also keeps the column's bounds; the schema's own tighter ones stand."""
    leaf, optional = strip_optional(field.annotation)
    own = {type(item) for item in field.metadata}
    extra = [item for item in bounds(leaf, column_type) if not _is_tighter(field, item, own)]
    if not extra:
        return field
    annotated = Annotated[(leaf, *field.metadata, *extra)]
    inner: Any = annotated | None if optional else annotated
    tightened = FieldInfo.merge_field_infos(field, annotation=inner)
    tightened.metadata = []
    return tightened


def _is_tighter(field: FieldInfo, limit: Any, own: set[type]) -> bool:
    """Whether the schema states a limit of this kind already, and a narrower one."""
    if type(limit) not in own:
        return False
    stated = next(item for item in field.metadata if type(item) is type(limit))
    if isinstance(limit, Ge):
        return bool(stated.ge >= limit.ge)
    if isinstance(limit, Le):
        return bool(stated.le <= limit.le)
    if isinstance(limit, MaxLen):
        return bool(stated.max_length <= limit.max_length)
    return False
