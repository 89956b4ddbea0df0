"""What a column can hold, in pydantic's words: the limits that bodies, filters and keys share, and OpenAPI shows."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    Strict,
    StringConstraints,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError
from sqlalchemy import types as sqltypes

Column = sqltypes.TypeEngine[Any] | None

INTEGER_BITS: tuple[tuple[type[sqltypes.Integer], int], ...] = (
    (sqltypes.SmallInteger, 15),
    (sqltypes.BigInteger, 63),
    (sqltypes.Integer, 31),
)
SINGLE_PRECISION_MAX = 3.4028234663852886e38
SINGLE_PRECISION_BITS = 24

DATETIMES = (dt.datetime, AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime)
DATES = (dt.date, PastDate, FutureDate)

NO_NUL = StringConstraints(pattern=r"^[^\x00]*$")

# RFC 3339 has a year 0000, Python has not; and an offset must not lead out of Python's years.
YEARS = "^(?!0000)"
UTC_YEARS = "^(?!0000|0001|9999)"

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{2}:\d{2}")
_ISO_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def iso_only(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Refuse the numbers, bare or in text, that pydantic reads as seconds since 1970: OpenAPI says ``date-time``."""

    def check(value: Any) -> Any:
        if isinstance(value, (int, float)) or (isinstance(value, str) and not pattern.match(value)):
            raise ValueError(f"write it as {example}")
        return value

    return BeforeValidator(check)


def whole(value: Any) -> Any:
    """Let ``3.0`` be the integer that JSON Schema says it is, and refuse text and booleans, which pydantic would take."""
    if isinstance(value, (bool, str)):
        raise PydanticKnownError("int_type")
    return value


def as_utc(value: dt.datetime) -> dt.datetime:
    """Return ``value`` in UTC; a value without an offset, or in a year that another offset may leave, is refused."""
    if value.tzinfo is None:
        raise ValueError("a UTC offset is needed, such as Z or +02:00")
    if not dt.MINYEAR < value.year < dt.MAXYEAR:
        raise ValueError("the year must lie between 0002 and 9998")
    return value.astimezone(dt.UTC)


def as_naive_utc(value: dt.datetime) -> dt.datetime:
    """Return ``value`` without an offset, as UTC where it had one: what a column without time zone holds."""
    return value if value.tzinfo is None else as_utc(value).replace(tzinfo=None)


def integer_bounds(column_type: Column) -> tuple[Any, ...]:
    """The range of an integer column. Both engines get PostgreSQL's, so that both answer alike."""
    bits = next((bits for kind, bits in INTEGER_BITS if isinstance(column_type, kind)), 63)
    return Ge(-(2**bits)), Le(2**bits - 1)


def text_bounds(column_type: Column) -> tuple[Any, ...]:
    """The length of a text column, and no NUL, which PostgreSQL cannot store."""
    length = getattr(column_type, "length", None)
    return (NO_NUL,) if length is None else (NO_NUL, MaxLen(length))


def number_bounds(column_type: Column) -> tuple[Any, ...]:
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


def datetime_bounds(column_type: Column) -> tuple[Any, ...]:
    """ISO 8601 text only; what has an offset becomes UTC, and a column with time zone asks for one."""
    aware = bool(getattr(column_type, "timezone", False))
    example = "2013-01-31T09:30:00Z" if aware else "2013-01-31T09:30:00"
    convert = AfterValidator(as_utc if aware else as_naive_utc)
    return Strict(False), iso_only(_ISO_DATETIME, example), convert, Field(json_schema_extra={"pattern": UTC_YEARS})


def bounds(leaf: Any, column_type: Column) -> tuple[Any, ...]:
    """Return the pydantic metadata that keeps a value of type ``leaf`` within what ``column_type`` can hold.

    A type that has rules of its own (an enumeration, ``EmailStr``, a nested model) is left as it is. Without a column
    only what no text or number may be is refused.
    """
    if leaf is str:
        return text_bounds(column_type)
    if leaf is int:
        return integer_bounds(column_type)
    if leaf in (float, decimal.Decimal):
        return number_bounds(column_type)
    if leaf in DATETIMES:
        return datetime_bounds(column_type)
    if leaf in DATES:
        return Strict(False), iso_only(_ISO_DATE, "2013-01-31"), Field(json_schema_extra={"pattern": YEARS})
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


def unwrap(annotation: Any) -> tuple[Any, bool, tuple[Any, ...]]:
    """Return the type behind an annotation's None and ``Annotated``, whether it had a None, and what annotated it."""
    inner, optional = strip_optional(annotation)
    if get_origin(inner) is Annotated:
        leaf, *metadata = get_args(inner)
        return leaf, optional, tuple(metadata)
    return inner, optional, ()


def tighten(field: FieldInfo, column_type: Column) -> FieldInfo:
    """Return a copy of ``field`` that also keeps the column's bounds; the schema's own tighter ones stand."""
    leaf, optional, metadata = unwrap(field.annotation)
    own = tuple(_stated((*metadata, *field.metadata)))
    extra = [limit for limit in bounds(leaf, column_type) if not _is_stated(limit, own)]
    if leaf is int and not any(isinstance(limit, Strict) for limit in own):
        extra += [Strict(False), BeforeValidator(whole)]
    if not extra:
        return field
    annotated = Annotated[(leaf, *metadata, *field.metadata, *extra)]
    inner: Any = annotated | None if optional else annotated
    tightened = FieldInfo.merge_field_infos(field, annotation=inner)
    tightened.metadata = []
    return tightened


def _stated(metadata: Iterable[Any]) -> Iterator[Any]:
    """The limits that a schema states, those inside ``Field(...)`` too."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _is_stated(limit: Any, own: Collection[Any]) -> bool:
    """Whether the schema states a limit of this kind itself, and no wider one."""
    if limit is NO_NUL:
        return any(getattr(stated, "pattern", None) is not None for stated in own)
    alike = [stated for stated in own if type(stated) is type(limit)]
    if isinstance(limit, Ge):
        return any(stated.ge >= limit.ge for stated in alike)
    if isinstance(limit, Le):
        return any(stated.le <= limit.le for stated in alike)
    if isinstance(limit, MaxLen):
        return any(stated.max_length <= limit.max_length for stated in alike)
    return False
