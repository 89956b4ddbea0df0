"""What a column can hold, in pydantic's words: the limits that bodies, filters and keys share, and OpenAPI shows."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    FutureDate,
    FutureDatetime,
    GetJsonSchemaHandler,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    Strict,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
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

# What an interval may be on SQLite, which counts from 1970 to the ends of Python's years.
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SHORTEST = dt.datetime(1, 1, 1, tzinfo=dt.UTC) - EPOCH
LONGEST = dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - EPOCH

NO_NUL = StringConstraints(pattern=r"^[^\x00]*$")

# RFC 3339 has a year 0000, Python has not; and an offset must not lead out of Python's years.
YEARS = "^(?!0000)"
UTC_YEARS = "^(?!0000|0001|9999)"

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{2}:\d{2}")
_ISO_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


class Shown(NamedTuple):
    """A pattern that OpenAPI shows of a value that is no text to pydantic."""

    pattern: str

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema with the pattern."""
        return {**handler(core_schema), "pattern": self.pattern}


def iso_only(pattern: re.Pattern[str], example: str) -> BeforeValidator:
    """Refuse the numbers, bare or in text, that pydantic reads as seconds since 1970: OpenAPI says ``date-time``."""

    def check(value: Any) -> Any:
        if isinstance(value, (int, float)) or (isinstance(value, str) and not pattern.match(value)):
            raise ValueError(f"write it as {example}")
        return value

    return BeforeValidator(check)


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


def integer_range(column_type: Column) -> tuple[int, int]:
    """The least and the greatest value of an integer column: PostgreSQL's on both engines, so that both answer alike."""
    bits = next((bits for kind, bits in INTEGER_BITS if isinstance(column_type, kind)), 63)
    return -(2**bits), 2**bits - 1


def digits_of(column_type: Column) -> tuple[int, int] | None:
    """How many digits a numeric column has, and how many of them behind the point; None where it has no limit."""
    if not isinstance(column_type, sqltypes.Numeric) or column_type.precision is None:
        return None
    return column_type.precision, column_type.scale or 0


def is_single(column_type: Column) -> bool:
    """Whether a float column has single precision."""
    if not isinstance(column_type, sqltypes.Float):
        return False
    precision = column_type.precision
    return isinstance(column_type, sqltypes.REAL) or (precision is not None and precision <= SINGLE_PRECISION_BITS)


def length_of(column_type: Column) -> int | None:
    """The most characters or bytes of a column, or None where it has no limit."""
    found: int | None = getattr(column_type, "length", None)
    return found


def integer_bounds(column_type: Column) -> tuple[Any, ...]:
    """The range of an integer column."""
    low, high = integer_range(column_type)
    return Ge(low), Le(high)


def text_bounds(column_type: Column, own: Iterable[Any] = ()) -> tuple[Any, ...]:
    """The length of a text column, and no NUL, which PostgreSQL cannot store; a pattern of the schema's own is shown."""
    has_pattern = any(getattr(stated, "pattern", None) is not None for stated in own)
    no_nul = AfterValidator(without_nul) if has_pattern else NO_NUL
    length = length_of(column_type)
    return (no_nul,) if length is None else (no_nul, MaxLen(length))


def without_nul(value: str) -> str:
    """Refuse text with the NUL character."""
    if "\0" in value:
        raise ValueError("the NUL character is not allowed")
    return value


def number_bounds(leaf: Any, column_type: Column, own: Iterable[Any] = ()) -> tuple[Any, ...]:
    """Finite numbers only; a numeric column's digits, or fewer where ``own`` says so; single precision's range."""
    finite = () if leaf is int else (Field(allow_inf_nan=False),)
    if isinstance(column_type, sqltypes.Float):
        single = is_single(column_type)
        return (*finite, Ge(-SINGLE_PRECISION_MAX), Le(SINGLE_PRECISION_MAX)) if single else finite
    if (limits := digits_of(column_type)) is None:
        return finite
    digits, places = limits
    if leaf is decimal.Decimal:
        digits, places = fewest("max_digits", digits, own), fewest("decimal_places", places, own)
        return (Field(allow_inf_nan=False, max_digits=digits, decimal_places=places),)
    most = decimal.Decimal(10 ** (digits - places)) - decimal.Decimal(10) ** -places
    return *finite, Ge(-leaf(most)), Le(leaf(most))


def fewest(name: str, most: int, own: Iterable[Any]) -> int:
    """The least of ``most`` and what the schema's own limits say of ``name``."""
    stated: list[int] = [found for item in own if (found := getattr(item, name, None)) is not None]
    return min(most, *stated, most)


def datetime_bounds(column_type: Column) -> tuple[Any, ...]:
    """ISO 8601 text only; what has an offset becomes UTC, and a column with time zone asks for one."""
    aware = bool(getattr(column_type, "timezone", False))
    example = "2013-01-31T09:30:00Z" if aware else "2013-01-31T09:30:00"
    convert = AfterValidator(as_utc if aware else as_naive_utc)
    return Strict(False), iso_only(_ISO_DATETIME, example), convert, Shown(UTC_YEARS)


def time_bounds(column_type: Column) -> tuple[Any, ...]:
    """ISO 8601 text only; a column without time zone has no place for an offset."""
    limits = Strict(False), iso_only(_ISO_TIME, "09:30:00")
    if column_type is None or getattr(column_type, "timezone", False):
        return limits
    return *limits, AfterValidator(without_offset)


def without_offset(value: dt.time) -> dt.time:
    """Refuse a time with an offset."""
    if value.tzinfo is not None:
        raise ValueError("write it without a UTC offset")
    return value


def bounds(leaf: Any, column_type: Column, own: Iterable[Any] = ()) -> tuple[Any, ...]:
    """Return the pydantic metadata that keeps a value of type ``leaf`` within what ``column_type`` can hold.

    A type that has rules of its own (an enumeration, ``EmailStr``, a nested model) is left as it is. Without a column
    only what no text or number may be is refused.
    """
    if leaf is str:
        return text_bounds(column_type, own)
    if leaf is int and not isinstance(column_type, sqltypes.Numeric):
        return integer_bounds(column_type)
    if leaf in (int, float, decimal.Decimal):
        return number_bounds(leaf, column_type, own)
    if leaf in DATETIMES:
        return datetime_bounds(column_type)
    if leaf in DATES:
        return Strict(False), iso_only(_ISO_DATE, "2013-01-31"), Shown(YEARS)
    if leaf is dt.time:
        return time_bounds(column_type)
    if leaf is dt.timedelta:
        return Ge(SHORTEST), Le(LONGEST)
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
        found = column_type.python_type
    except NotImplementedError:
        return Any
    return Any if found is object else found


def on_postgresql(column_type: sqltypes.TypeEngine[Any]) -> sqltypes.TypeEngine[Any]:
    """The type that ``with_variant`` has for PostgreSQL, whose limits both engines get; any other as it is."""
    return column_type._variant_mapping.get("postgresql", column_type)  # noqa: SLF001 (there is no other way to ask)


def plain(column_type: Column) -> Column:
    """The type that a ``TypeDecorator`` decorates; any other as it is."""
    if column_type is None:
        return None
    column_type = on_postgresql(column_type)
    return plain(column_type.impl_instance) if isinstance(column_type, sqltypes.TypeDecorator) else column_type


def bounded(column_type: sqltypes.TypeEngine[Any]) -> Any:
    """The annotated Python type of a column's values: what a key in the URL and a filter's value must be.

    A ``TypeDecorator`` that does not say what it takes is held to the type that it decorates.
    """
    leaf = python_type(column_type)
    if leaf is Any and isinstance(column_type, sqltypes.TypeDecorator):
        return bounded(column_type.impl_instance)
    if leaf is str and isinstance(column_type, sqltypes.Enum):
        return Literal[tuple(column_type.enums)]
    return annotated(leaf, bounds(leaf, plain(column_type)))


def unwrap(annotation: Any) -> tuple[Any, bool, tuple[Any, ...]]:
    """Return the type behind an annotation's None and ``Annotated``, whether it had a None, and what annotated it."""
    inner, optional = strip_optional(annotation)
    if get_origin(inner) is Annotated:
        leaf, *metadata = get_args(inner)
        return leaf, optional, tuple(metadata)
    return inner, optional, ()


def annotated(annotation: Any, metadata: Sequence[Any]) -> Any:
    """``annotation`` with ``metadata``, where there is any."""
    return Annotated[(annotation, *metadata)] if metadata else annotation
