"""What the database says, in our words: from SQLAlchemy's and the drivers' errors to ``exceptions``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import StaleDataError

from fastapix5.db.constraints import Tables
from fastapix5.db.dialects import loaded
from fastapix5.db.statements import NO_STATEMENT, read_statement
from fastapix5.exceptions import (
    CheckViolation,
    DatabaseError,
    ForeignKeyViolation,
    IntegrityViolation,
    InvalidPattern,
    LengthViolation,
    NotNullViolation,
    ProtectedRow,
    RangeViolation,
    SerializationFailure,
    StaleVersion,
    TransactionAborted,
    TypeViolation,
    Unavailable,
    UniqueViolation,
)

if TYPE_CHECKING:
    import sqlite3

    import asyncpg

# By SQLSTATE, or its first two characters where no full code is listed.
POSTGRESQL: dict[str, type[DatabaseError]] = {
    "22": TypeViolation,
    "22001": LengthViolation,
    "22003": RangeViolation,
    "22008": RangeViolation,
    "2201B": InvalidPattern,
    "2201W": RangeViolation,
    "2201X": RangeViolation,
    "23": IntegrityViolation,
    "23001": ProtectedRow,
    "23502": NotNullViolation,
    "23503": ForeignKeyViolation,
    "23505": UniqueViolation,
    "23514": CheckViolation,
    "23P01": UniqueViolation,
    "44000": CheckViolation,
    "54000": LengthViolation,
    "40001": SerializationFailure,
    "40P01": SerializationFailure,
    "25P02": TransactionAborted,
    "08": Unavailable,
    "25006": Unavailable,
    "25P03": Unavailable,
    "25P04": Unavailable,
    "28": Unavailable,
    "3D000": Unavailable,
    "53": Unavailable,
    "55": Unavailable,
    "57": Unavailable,
    "58": Unavailable,
}

# By the primary part of SQLite's error name; constraints by the whole.
SQLITE: dict[str, type[DatabaseError]] = {
    "SQLITE_CONSTRAINT_UNIQUE": UniqueViolation,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UniqueViolation,
    "SQLITE_CONSTRAINT_ROWID": UniqueViolation,
    "SQLITE_CONSTRAINT_NOTNULL": NotNullViolation,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ForeignKeyViolation,
    "SQLITE_CONSTRAINT_CHECK": CheckViolation,
    "SQLITE_CONSTRAINT_DATATYPE": TypeViolation,
    "SQLITE_CONSTRAINT": IntegrityViolation,
    "SQLITE_MISMATCH": TypeViolation,
    "SQLITE_TOOBIG": LengthViolation,
    "SQLITE_BUSY": Unavailable,
    "SQLITE_LOCKED": Unavailable,
    "SQLITE_CANTOPEN": Unavailable,
    "SQLITE_CORRUPT": Unavailable,
    "SQLITE_FULL": Unavailable,
    "SQLITE_INTERRUPT": Unavailable,
    "SQLITE_IOERR": Unavailable,
    "SQLITE_NOMEM": Unavailable,
    "SQLITE_NOTADB": Unavailable,
    "SQLITE_PERM": Unavailable,
    "SQLITE_PROTOCOL": Unavailable,
    "SQLITE_READONLY": Unavailable,
}

# What a bind processor raises for a value that its type does not take.
UNSUITABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)

_KEY = r"\((?P<columns>.+?)\)=\("  # Key (a, b)=(1, 2) already exists.
_ARGUMENT = r"^invalid input for query argument \$(?P<number>\d+)"
_TOO_LONG = r"^value too long for type .*\((?P<length>\d+)\)$"
_TOO_LARGE = r"^A field with precision (?P<precision>\d+), scale (?P<scale>-?\d+) "
_UNBOUND = r"^Error binding parameter (?P<number>\d+)"
# A value of tsquery or hstore has a syntax too; that of a statement is wrong "at" a place.
SYNTAX_ERROR = "42601"
_SYNTAX_OF_VALUE = "syntax error in "
_REFERRED = ("is still referenced from", "is referenced from")


def translate(
    error: BaseException,
    mapper: Mapper[Any] | type | None = None,
    *,
    deleting: bool = False,
    classes: Iterable[type] = (),
) -> DatabaseError | None:
    """Return our error for one of the database's, or None where it is neither the data's nor the database's fault.

    Args:
        error: What SQLAlchemy, asyncpg or sqlite3 raised.
        mapper: The model that was written, so that columns become attribute names and SQLite's constraints get names.
        deleting: Whether rows were deleted: a foreign key then refuses because other rows need them.
        classes: Further models that may have been written.
    """
    if isinstance(error, DatabaseError):
        return None  # It is ours already.
    statement = read_statement(error.statement) if isinstance(error, exc.StatementError) else NO_STATEMENT
    tables = Tables(mapper, classes, statement)
    deleting = deleting or statement.verb == "DELETE"
    if isinstance(error, (exc.TimeoutError, OSError)):
        return Unavailable(repr(error))
    if isinstance(error, StaleDataError):
        return StaleVersion(tables.model_name)
    if isinstance(error, exc.PendingRollbackError):
        # The code tells a connection that was lost from a flush that failed.
        return Unavailable("the connection was lost") if error.code == "8s2b" else TransactionAborted()
    if isinstance(error, exc.DBAPIError):
        ours = translate_driver(error.orig, tables, deleting=deleting)
        return ours or (Unavailable(repr(error.orig)) if error.connection_invalidated else None)
    if isinstance(error, exc.StatementError):
        if isinstance(error.orig, DatabaseError):
            return error.orig
        # A bind processor refused the value; the statement never left.
        kind = RangeViolation if isinstance(error.orig, OverflowError) else TypeViolation
        return kind(table=tables.name) if isinstance(error.orig, UNSUITABLE) else None
    return translate_driver(error, tables, deleting=deleting)


def translate_driver(error: BaseException | None, tables: Tables, *, deleting: bool) -> DatabaseError | None:
    """Return our error for one that a driver raised, bare or as SQLAlchemy adapted it."""
    for found in (error, error.__cause__ if error is not None else None):
        if isinstance(found, loaded("asyncpg", "PostgresError")):
            return _from_postgresql(found, tables, deleting)
        if isinstance(found, loaded("asyncpg", "InterfaceError")):
            return Unavailable(str(found)) if "closed" in str(found) else None
        if isinstance(found, loaded("sqlite3", "Error")):
            return _from_sqlite(found, tables, deleting)
        if isinstance(found, OverflowError):
            return RangeViolation(table=tables.name)
        if isinstance(found, UnicodeError):
            return TypeViolation(table=tables.name)
    return None


class translated:  # noqa: N801 (it reads as what happens in its block)
    """Raise our errors in place of the database's in a ``with`` block; the original one is the cause.

    Args:
        mapper: The model that is written, so that columns become attribute names and SQLite's constraints get names.
        deleting: Whether rows are deleted: a foreign key then refuses because other rows need them.
        classes: Further models that may be written.
    """

    __slots__ = ("classes", "deleting", "mapper")

    def __init__(
        self, mapper: Mapper[Any] | type | None = None, *, deleting: bool = False, classes: Iterable[type] = ()
    ) -> None:
        self.mapper = mapper
        self.deleting = deleting
        self.classes = classes

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            ours = translate(error, self.mapper, deleting=self.deleting, classes=self.classes)
            if ours is not None:
                raise ours from error


def _from_postgresql(error: asyncpg.PostgresError, tables: Tables, deleting: bool) -> DatabaseError | None:
    state = error.sqlstate or ""
    kind = POSTGRESQL.get(state) or POSTGRESQL.get(state[:2])
    if isinstance(error, loaded("asyncpg", "InvalidCachedStatementError")):
        kind = Unavailable  # The schema changed under a prepared statement; the next attempt prepares anew.
    if isinstance(error.__cause__, OverflowError) or "(value out of " in str(error):
        kind = RangeViolation  # asyncpg's own refusal, without a code that says so.
    elif state == SYNTAX_ERROR and str(error).startswith(_SYNTAX_OF_VALUE):
        kind = TypeViolation
    if kind is None:
        return None
    if kind in (Unavailable, SerializationFailure):
        return kind(f"{state}: {error}")
    if not issubclass(kind, IntegrityViolation):
        return kind()
    detail = error.detail or ""
    if kind is ForeignKeyViolation and (deleting or any(words in detail for words in _REFERRED)):
        kind = ProtectedRow
    columns = _columns(error, kind, tables)
    return _violation(kind, tables, error.table_name, error.constraint_name, columns)


def _columns(error: asyncpg.PostgresError, kind: type[DatabaseError], tables: Tables) -> Sequence[str]:
    """Return the columns that a PostgreSQL error names, or of which it tells the type or the argument's number."""
    if error.column_name:
        return (error.column_name,)
    text, detail = str(error), error.detail or ""
    if kind is CheckViolation:
        return tables.unnamed_check(error.table_name, error.constraint_name)
    if match := re.search(_ARGUMENT, text):
        column = tables.statement.column_of(int(match["number"]))
        return (column,) if column else ()
    if match := re.search(_TOO_LONG, text):
        length = int(match["length"])
        return tables.columns_like(lambda found: getattr(found, "length", None) == length)
    if match := re.search(_TOO_LARGE, detail):
        digits = (int(match["precision"]), int(match["scale"]))
        return tables.columns_like(lambda found: _digits(found) == digits)
    if kind is not ProtectedRow and (match := re.search(_KEY, detail)):
        return [part.strip('" ') for part in match["columns"].split(",")]
    return ()


def _digits(column_type: Any) -> tuple[int | None, int]:
    return getattr(column_type, "precision", None), getattr(column_type, "scale", None) or 0


def _from_sqlite(error: sqlite3.Error, tables: Tables, deleting: bool) -> DatabaseError | None:
    text = str(error)
    name = getattr(error, "sqlite_errorname", None)
    if name is None:  # The module's own: before or after anything reached SQLite.
        return _from_sqlite_module(error, text, tables)
    kind = SQLITE.get(name) or SQLITE.get("_".join(name.split("_")[:2]))
    if name == "SQLITE_ERROR" and "integer overflow" in text:
        kind = RangeViolation
    if kind is None:
        return None
    if kind is Unavailable:
        return Unavailable(f"{name}: {text}")
    rule, _, rest = text.partition(" constraint failed")
    if rule == "FOREIGN KEY":  # RESTRICT refuses by a trigger's code.
        # Nothing that refers to others was written, so others refer to this.
        if deleting or (tables.statement.verb != "INSERT" and tables.name and not tables.foreign_keys()):
            return ProtectedRow(table=tables.name)
        return _violation(ForeignKeyViolation, tables, *tables.foreign_key())
    if not issubclass(kind, IntegrityViolation):
        return kind()
    return _violation(kind, tables, *_read_sqlite(rest.removeprefix(": "), kind, tables))


def _read_sqlite(rest: str, kind: type[DatabaseError], tables: Tables) -> tuple[str | None, str | None, Sequence[str]]:
    """Return table, constraint and columns of SQLite's text: ``t.a, t.b``, ``index 'i'``, or a check's name."""
    if rest.startswith("index '"):
        return None, rest[len("index '") : -1], ()
    if kind is CheckViolation:
        return tables.check(rest)
    names = [part.rpartition(".") for part in rest.split(", ")] if "." in rest else []
    table = names[0][0] if names else tables.name
    columns = [column for _, _, column in names]
    return table, tables.unique_name(table, columns) if kind is UniqueViolation else None, columns


def _from_sqlite_module(error: sqlite3.Error, text: str, tables: Tables) -> DatabaseError | None:
    if match := re.search(_UNBOUND, text):
        column = tables.statement.column_of(int(match["number"]))
        return _violation(TypeViolation, tables, None, None, (column,) if column else ())
    if "Cannot operate on a closed database" in text or text.lower() in ("no active connection", "connection closed"):
        return Unavailable(text)
    if isinstance(error, loaded("sqlite3", "DataError")):
        return LengthViolation(table=tables.name)
    return None


def _violation(
    kind: type[IntegrityViolation], tables: Tables, table: str | None, constraint: str | None, columns: Sequence[str]
) -> IntegrityViolation:
    table = table or tables.of_constraint(constraint) or tables.name
    columns = tables.columns_of(table, constraint) or columns
    return kind(constraint=constraint, table=table, fields=tables.fields(table, columns))
