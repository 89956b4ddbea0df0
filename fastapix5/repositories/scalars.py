"""What a column of numbers, text or times can hold: each function here makes the check of one kind of type."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import sys
import uuid
from collections.abc import Callable
from typing import Any

from pydantic import AnyUrl
from sqlalchemy import types as sqltypes

from fastapix5.db.dialects import is_postgresql
from fastapix5.exceptions import LengthViolation, RangeViolation, TypeViolation
from fastapix5.schemas.bounds import (
    LONGEST,
    SHORTEST,
    SINGLE_PRECISION_MAX,
    digits_of,
    integer_range,
    is_single,
    length_of,
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
# A day from the ends of Python's years every time zone has the moment. The very ends are infinity to PostgreSQL's driver.
EARLIEST = dt.datetime.min.replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
LATEST = dt.datetime.max.replace(tzinfo=dt.UTC) - dt.timedelta(days=1)
OID_MAX = 2**32 - 1
BEYOND_INTEGERS = 2**64

UNSUITABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


# Numbers


def integer_check(column_type: Any) -> Check:
    """Integers within the column's range; of other numbers those that are whole."""
    low, high = (0, OID_MAX) if is_postgresql(column_type, "OID") else integer_range(column_type)

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


def float_check(column_type: Any) -> Check:
    """Numbers that a float can be; infinities too, which bodies refuse."""
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


def numeric_check(column_type: Any) -> Check:
    """Numbers, rounded to the column's places; what is left must fit its digits."""
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


def boolean_check(_: Any) -> Check:
    """True and false, or 1 and 0."""

    def check(value: Any) -> Any:
        if value is True or value is False:
            return value
        if isinstance(value, (int, float)) and value in (0, 1):
            return bool(value)
        raise TypeViolation

    return check


# Text and bytes


def text_check(column_type: Any) -> Check:
    """Text up to the column's length; a URL of pydantic's becomes text."""
    length = length_of(column_type)

    def check(value: Any) -> Any:
        text = is_text(str(value) if isinstance(value, AnyUrl) else value)
        if length is not None and len(text) > length:
            raise LengthViolation
        return text

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


def binary_check(column_type: Any) -> Check:
    """Bytes up to the length that the column declares."""
    length = length_of(column_type)

    def check(value: Any) -> Any:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeViolation
        if length is not None and memoryview(value).nbytes > length:
            raise LengthViolation
        return value

    return check


def bits_check(column_type: Any) -> Check:
    """Zeros and ones: as many as the column has, or up to that."""
    length, varying = length_of(column_type), column_type.varying

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not set(value) <= {"0", "1"}:
            raise TypeViolation
        if length is not None and (len(value) > length or (len(value) < length and not varying)):
            raise LengthViolation
        return value

    return check


def enum_check(column_type: sqltypes.Enum) -> Check:
    """A member of the enumeration, or the name that is stored for one."""
    names, members = frozenset(column_type.enums), column_type.enum_class

    def check(value: Any) -> Any:
        is_member = members is not None and isinstance(value, members)
        if not is_member and not (isinstance(value, str) and value in names):
            raise TypeViolation
        return value

    return check


def uuid_check(column_type: Any) -> Check:
    """A UUID, or its text: stored as the column reads it."""
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


def date_check(_: Any) -> Check:
    """Dates; of a moment its date."""

    def check(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return value.date()
        if not isinstance(value, dt.date):
            raise TypeViolation
        return value

    return check


def datetime_check(column_type: Any) -> Check:
    """Moments, with a zone only where the column has one; there one without is taken as local time, as asyncpg does."""
    aware = bool(column_type.timezone)

    def check(value: Any) -> Any:
        if not isinstance(value, dt.datetime):
            if not isinstance(value, dt.date):
                raise TypeViolation
            value = dt.datetime.combine(value, dt.time())
        if not aware:
            if value.tzinfo is not None:
                raise TypeViolation
        elif not EARLIEST < (value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)) < LATEST:
            raise RangeViolation
        return value

    return check


def time_check(column_type: Any) -> Check:
    """Times, with an offset where the column has one and nowhere else."""
    aware = bool(column_type.timezone)

    def check(value: Any) -> Any:
        if not isinstance(value, dt.time) or (value.tzinfo is not None) is not aware:
            raise TypeViolation
        return value

    return check


def interval_check(_: Any) -> Check:
    """Durations that SQLite can hold too."""

    def check(value: Any) -> Any:
        if not isinstance(value, dt.timedelta):
            raise TypeViolation
        if not SHORTEST <= value <= LONGEST:
            raise RangeViolation
        return value

    return check
