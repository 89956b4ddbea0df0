"""What a column holds, as far as lookups care, and SQL that each engine writes in its own words."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy import types as sqltypes
from sqlalchemy.ext.associationproxy import AssociationProxyInstance
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from fastapix5.db.dialects import is_postgresql
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.schemas.bounds import integer_range, plain


class Kind(enum.Flag):
    """Types that lookups treat alike; ``OTHER`` is what SQLAlchemy does not tell."""

    TEXT = enum.auto()
    ENUM = enum.auto()
    UUID = enum.auto()
    BOOLEAN = enum.auto()
    INTEGER = enum.auto()
    NUMBER = enum.auto()
    DATE = enum.auto()
    TIME = enum.auto()
    DATETIME = enum.auto()
    INTERVAL = enum.auto()
    BINARY = enum.auto()
    JSON = enum.auto()
    ARRAY = enum.auto()
    VECTOR = enum.auto()
    KEY = enum.auto()
    OTHER = enum.auto()


# The first that fits.
KINDS: tuple[tuple[type[TypeEngine[Any]], Kind], ...] = (
    (sqltypes.Enum, Kind.ENUM),
    (sqltypes.String, Kind.TEXT),
    (sqltypes.Uuid, Kind.UUID),
    (sqltypes.Boolean, Kind.BOOLEAN),
    (sqltypes.Integer, Kind.INTEGER),
    (sqltypes.Numeric, Kind.NUMBER),
    (sqltypes.Float, Kind.NUMBER),
    (sqltypes.DateTime, Kind.DATETIME),
    (sqltypes.Date, Kind.DATE),
    (sqltypes.Time, Kind.TIME),
    (sqltypes.Interval, Kind.INTERVAL),
    (sqltypes.LargeBinary, Kind.BINARY),
    (sqltypes.JSON, Kind.JSON),
    (sqltypes.ARRAY, Kind.ARRAY),
    (sqltypes.TupleType, Kind.KEY),
)


# What a column of a kind is compared with, in Python. Dates are no moments: engines would differ.
VALUES: Mapping[Kind, tuple[type[Any], ...]] = {
    Kind.TEXT: (str,),
    Kind.ENUM: (enum.Enum, str),
    Kind.UUID: (uuid.UUID, str),
    Kind.BOOLEAN: (bool,),
    Kind.INTEGER: (int, float, decimal.Decimal),
    Kind.NUMBER: (int, float, decimal.Decimal),
    Kind.DATE: (dt.date,),
    Kind.TIME: (dt.time,),
    Kind.DATETIME: (dt.datetime,),
    Kind.INTERVAL: (dt.timedelta,),
    Kind.BINARY: (bytes, bytearray, memoryview),
}

# Subclasses that are none to a database.
BUT: Mapping[Kind, type[Any]] = {Kind.DATE: dt.datetime, Kind.INTEGER: bool, Kind.NUMBER: bool}


def check_type(column_type: TypeEngine[Any], value: Any, where: str) -> None:
    """Refuse a value that a column cannot hold: one engine would raise, and the other find nothing.

    Raises:
        ValueError: The error names both types.
    """
    # What a type of the user's own takes, it knows itself.
    if value is None or is_sql(value) or isinstance(column_type, TypeDecorator):
        return
    kind = kind_of(column_type)
    known = VALUES.get(kind)
    if known is None or (isinstance(value, known) and not isinstance(value, BUT.get(kind, ()))):
        if kind is Kind.DATETIME and value.tzinfo is not None and not getattr(plain(column_type), "timezone", True):
            raise ValueError(f"{where} has no time zone: it is compared with datetime that has none.")
        if kind is Kind.INTEGER:
            least, greatest = integer_range(plain(column_type))
            if not least <= value <= greatest:
                raise ValueError(f"{where} holds numbers from {least} to {greatest}: none is like that.")
        return
    expected = " or ".join(found.__name__ for found in known)
    raise ValueError(f"{where} is compared with {expected}, not with {type(value).__name__}.")


# Kinds whose columns hold every value of the types that they are compared with.
BOUNDLESS = Kind.TEXT | Kind.UUID | Kind.BOOLEAN | Kind.NUMBER | Kind.DATE | Kind.TIME | Kind.INTERVAL | Kind.BINARY


# The least and the greatest that a column takes of a type.
Limits = tuple[Any, Any]
UNLIMITED: Limits = (None, None)


def limits_of(column_type: TypeEngine[Any], value: Any) -> Limits | None:
    """What a column takes of the type of a value that it takes; None where the type does not tell."""
    kind = kind_of(column_type)
    if isinstance(column_type, TypeDecorator) or type(value) not in VALUES.get(kind, ()):
        return None
    if kind is Kind.INTEGER:
        return integer_range(plain(column_type))
    return UNLIMITED if kind in BOUNDLESS else None


def kind_of(column_type: TypeEngine[Any] | None) -> Kind:
    """The kind of a column's type, or of the type that it decorates."""
    bare = plain(column_type)
    for known, kind in KINDS:
        if isinstance(bare, known):
            return kind
    return Kind.VECTOR if is_postgresql(bare, "TSVECTOR") else Kind.OTHER


def element_of(column: Any) -> Any:
    """The SQL of an attribute, without the comparisons of its own that a hybrid may have."""
    stands_for_sql = hasattr(column, "__clause_element__") and not isinstance(column, AssociationProxyInstance)
    return column.__clause_element__() if stands_for_sql else column


def is_sql(value: Any) -> bool:
    """Whether a value is an expression or a SELECT."""
    return isinstance(value, ClauseElement)


class Either(FunctionElement[Any]):
    """One expression as PostgreSQL has it, and as SQLite has it.

    Args:
        postgresql: For PostgreSQL, and for whatever is not SQLite.
        sqlite: For SQLite.
        column_type: The type of both.
    """

    inherit_cache = True
    # Else SQLite would be asked whether a condition "= 1", which no index answers.
    _is_implicitly_boolean = True

    def __init__(
        self, postgresql: ColumnElement[Any], sqlite: ColumnElement[Any], column_type: TypeEngine[Any] | None = None
    ) -> None:
        super().__init__(postgresql, sqlite)
        self.type = column_type or postgresql.type


class OnPostgreSQL(FunctionElement[Any]):
    """An expression that PostgreSQL alone has.

    Args:
        name: What it is called in the error where another database is asked.
        expression: For PostgreSQL.
    """

    inherit_cache = True
    _is_implicitly_boolean = True

    def __init__(self, name: str, expression: ColumnElement[Any]) -> None:
        super().__init__(expression)
        self.name = name
        self.type = expression.type


@compiles(Either)
def _either(element: Either, compiler: SQLCompiler, **options: Any) -> str:
    found, _ = element.clauses
    return f"({compiler.process(found, **options)})"


@compiles(Either, "sqlite")
def _either_sqlite(element: Either, compiler: SQLCompiler, **options: Any) -> str:
    _, found = element.clauses
    return f"({compiler.process(found, **options)})"


@compiles(OnPostgreSQL)
def _nowhere_else(element: OnPostgreSQL, compiler: SQLCompiler, **_: Any) -> str:
    what = f"it needs PostgreSQL, and this database is {compiler.dialect.name}."
    raise ImproperlyConfigured(element.name, what, "Use another lookup, or PostgreSQL.")


@compiles(OnPostgreSQL, "postgresql")
def _on_postgresql(element: OnPostgreSQL, compiler: SQLCompiler, **options: Any) -> str:
    (found,) = element.clauses
    return f"({compiler.process(found, **options)})"
