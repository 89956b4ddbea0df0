r"""Lookups in text: parts of it, patterns and regular expressions.

Case counts unless a name starts with ``i``; those fold as Unicode does. ``%`` and ``_`` are themselves in all but
``like`` and ``ilike``. SQLite's LIKE minds case only where a PRAGMA says so; its GLOB always does, so GLOB it is.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, cast, func, literal
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from fastapix5.db.preparing import LOWER
from fastapix5.exceptions import InvalidPattern
from fastapix5.repositories.kinds import Either, Kind, OnPostgreSQL, kind_of

ESCAPE: Final = "\\"

_IN_LIKE = re.compile(r"[%_\\]")
_IN_GLOB = re.compile(r"[*?\[]")
# One piece of a LIKE pattern: what is escaped, or a single character.
_PIECE = re.compile(r"\\(.)|(.)", re.DOTALL)


class Folding(FunctionElement[str]):
    """A text under a collation that knows Unicode, where the database's own folds ASCII alone."""

    inherit_cache = True
    type = String()


@compiles(Folding)
def _folding(element: Folding, compiler: SQLCompiler, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    collation = getattr(compiler.dialect, "folding_collation", None)
    return f'({text} COLLATE "{collation}")' if collation else text


class SQLitePattern(TypeDecorator[str]):
    """A regular expression for SQLite, which leaves it to Python."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the pattern.

        Raises:
            InvalidPattern: Python does not take it.
        """
        if value is not None:
            try:
                re.compile(value)
            except (re.error, OverflowError, RecursionError) as error:
                raise InvalidPattern from error
        return value


class LikePattern(TypeDecorator[str]):
    """Text that is bound as a LIKE pattern which means nothing but it.

    Args:
        before: What the pattern has before the text.
        after: What it has behind it.
    """

    impl = String
    cache_ok = True

    def __init__(self, before: str = "", after: str = "") -> None:
        super().__init__()
        self.before = before
        self.after = after

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the pattern."""
        return None if value is None else f"{self.before}{_literal(value)}{self.after}"


class GlobPattern(TypeDecorator[str]):
    """Text that is bound as the GLOB pattern of a LIKE pattern.

    Args:
        before: What the LIKE pattern has before the text, which means nothing but itself then.
        after: What it has behind it.
        whole: Whether the text is the LIKE pattern.
        folded: Whether the pattern is in lower case.
    """

    impl = String
    cache_ok = True

    def __init__(self, before: str = "", after: str = "", *, whole: bool = False, folded: bool = False) -> None:
        super().__init__()
        self.before = before
        self.after = after
        self.whole = whole
        self.folded = folded

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the pattern."""
        if value is None:
            return None
        pattern = value if self.whole else f"{self.before}{_literal(value)}{self.after}"
        return as_glob(pattern.lower() if self.folded else pattern)


class FoldingPattern(SQLitePattern):
    """A regular expression for SQLite that ignores case."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the pattern.

        Raises:
            InvalidPattern: Python does not take it.
        """
        return super().process_bind_param(None if value is None else f"(?i){value}", dialect)


def as_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """The column, or what its values look like in SQL."""
    return column if kind_of(column.type) in Kind.TEXT | Kind.OTHER else cast(column, String)


def lowered(text: Any) -> ColumnElement[str]:
    """The text in lower case."""
    element = literal(text, String()) if isinstance(text, str) else text
    return Either(func.lower(Folding(element), type_=String()), getattr(func, LOWER)(element, type_=String()))


def iexact(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Equal, whatever the case; None is null."""
    return column.is_(None) if value is None else lowered(as_text(column)) == lowered(value)


def contains(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The value stands somewhere in the column."""
    text = as_text(column)
    if isinstance(value, ColumnElement):
        return Either(func.strpos(text, value) > 0, func.instr(text, value) > 0)
    return Either(text.like(literal(value, LikePattern("%", "%"))), func.instr(text, literal(value, String())) > 0)


def icontains(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The value stands somewhere in the column, whatever the case."""
    text = lowered(as_text(column))
    if isinstance(value, ColumnElement):
        return contains(text, lowered(value))
    return Either(text.like(lowered(literal(value, LikePattern("%", "%")))), func.instr(text, lowered(value)) > 0)


def startswith(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column starts with the value."""
    text = as_text(column)
    if isinstance(value, ColumnElement):
        return func.substr(text, 1, func.length(value)) == value
    return _matches(text, value, after="%")


def istartswith(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column starts with the value, whatever the case."""
    if isinstance(value, ColumnElement):
        return startswith(lowered(as_text(column)), lowered(value))
    return _imatches(column, value, after="%")


def endswith(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column ends with the value."""
    text = as_text(column)
    if isinstance(value, ColumnElement):
        rest = func.length(text) - func.length(value)
        return and_(rest >= 0, func.substr(text, rest + 1) == value)
    return _matches(text, value, before="%")


def iendswith(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column ends with the value, whatever the case."""
    if isinstance(value, ColumnElement):
        return endswith(lowered(as_text(column)), lowered(value))
    return _imatches(column, value, before="%")


def _matches(text: ColumnElement[str], value: str, before: str = "", after: str = "") -> ColumnElement[bool]:
    """The text is the value, with what may stand around it."""
    pattern = literal(value, GlobPattern(before, after))
    return Either(text.like(literal(value, LikePattern(before, after))), text.bool_op("GLOB")(pattern))


def _imatches(column: ColumnElement[Any], value: str, before: str = "", after: str = "") -> ColumnElement[bool]:
    """The same, whatever the case."""
    text = lowered(as_text(column))
    pattern = literal(value, GlobPattern(before, after, folded=True))
    return Either(text.like(lowered(literal(value, LikePattern(before, after)))), text.bool_op("GLOB")(pattern))


def like(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    r"""The column matches a pattern: ``%`` is any text, ``_`` any character, ``\`` takes the next one literally.

    Raises:
        ValueError: The pattern ends in its escape.
    """
    text = as_text(column)
    if isinstance(value, ColumnElement):
        return Either(text.like(value), text.like(value, escape=ESCAPE))
    pattern = literal(check_like(value), GlobPattern(whole=True))
    return Either(text.like(literal(value, String())), text.bool_op("GLOB")(pattern))


def ilike(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column matches a pattern, whatever the case.

    Raises:
        ValueError: The pattern ends in its escape.
    """
    text = lowered(as_text(column))
    if isinstance(value, ColumnElement):
        return like(text, lowered(value))
    pattern = literal(check_like(value), GlobPattern(whole=True, folded=True))
    return Either(text.like(lowered(value)), text.bool_op("GLOB")(pattern))


def regex(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column matches a regular expression."""
    text = as_text(column)
    if isinstance(value, ColumnElement):
        return text.regexp_match(value)
    return Either(text.regexp_match(value), text.bool_op("REGEXP")(literal(value, SQLitePattern())))


def iregex(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column matches a regular expression, whatever the case."""
    text = as_text(column)
    if isinstance(value, ColumnElement):
        pattern: Any = literal("(?i)", String()).concat(value)
    else:
        pattern = literal(value, FoldingPattern())
    return Either(Folding(text).regexp_match(value, flags="i"), text.bool_op("REGEXP")(pattern))


def search(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """The column matches in PostgreSQL's full text search."""
    vector = column if kind_of(column.type) is Kind.VECTOR else func.to_tsvector(as_text(column))
    return OnPostgreSQL("search", vector.bool_op("@@")(func.plainto_tsquery(value)))


def check_like(pattern: str) -> str:
    """Return a pattern as it is.

    Raises:
        ValueError: It ends in its escape.
    """
    if (len(pattern) - len(pattern.rstrip(ESCAPE))) % 2:
        raise ValueError("The pattern ends in its escape: write two backslashes for one.")
    return pattern


def as_glob(pattern: str) -> str:
    """The GLOB pattern that matches what a LIKE pattern does.

    Raises:
        ValueError: The pattern ends in its escape.
    """
    return _PIECE.sub(_glob_piece, check_like(pattern))


def _glob_piece(found: re.Match[str]) -> str:
    escaped, plain = found.groups()
    wildcard = {"%": "*", "_": "?"}.get(plain)
    return wildcard or _IN_GLOB.sub(r"[\g<0>]", escaped or plain)


def _literal(value: str) -> str:
    """``value`` in a LIKE pattern that means nothing but it."""
    return _IN_LIKE.sub(r"\\\g<0>", value)
