"""The table of lookups: what a column is compared with, and the parts of it that are.

Names are Django's. A transform makes another value of the column, a lookup compares it. ``register_lookup`` opens the
table to a project's own.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Date, Integer, Time
from sqlalchemy.types import TypeEngine

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import comparisons, dateparts, documents, texts
from fastapix5.repositories.kinds import Kind, is_sql

Make = Callable[[Any, Any], ColumnElement[bool]]

EVERY = ~Kind(0)
DATED = Kind.DATE | Kind.DATETIME | Kind.OTHER
TIMED = Kind.TIME | Kind.DATETIME | Kind.OTHER
# What has a value of its own in SQL.
SCALAR = EVERY & ~(Kind.JSON | Kind.ARRAY | Kind.KEY)
# What both engines compare alike, and what they order alike.
COMPARED = SCALAR & ~(Kind.BINARY | Kind.VECTOR)
ORDERED = COMPARED & ~Kind.BOOLEAN
# What looks alike on both engines when it is taken for text.
TEXTUAL = Kind.TEXT | Kind.ENUM | Kind.INTEGER | Kind.DATE | Kind.OTHER


class Operand(enum.Enum):
    """What a lookup compares the column with."""

    VALUE = "a value of the column's type"
    TEXT = "text"
    LIST = "a list of values of the column's type"
    PAIR = "two values of the column's type"
    BOOLEAN = "true or false"

    def problem(self, value: Any) -> str:
        """What a value should have been, or the empty string where it is right."""
        is_text = isinstance(value, (str, bytes))
        match self:
            case Operand.TEXT:
                return "" if isinstance(value, str) else "text"
            case Operand.LIST:
                return "" if isinstance(value, Iterable) and not is_text else "a list of values"
            case Operand.PAIR:
                is_pair = isinstance(value, Sequence) and not is_text and len(value) == 2
                return "" if is_pair and not comparisons.has_null(value) else "two values"
            case Operand.BOOLEAN:
                return "" if isinstance(value, bool) else "True or False"
            case Operand.VALUE:
                return ""


class Lookup(NamedTuple):
    """One way to compare a column.

    Attributes:
        name: What a filter writes behind ``__``.
        operand: What it compares with; decides the parameter's type in OpenAPI.
        make: ``(column, value) -> condition``.
        meets_null: Whether the lookup holds for a row that is not there, given the value (``isnull=True`` does).
        kinds: The types of columns that it fits.
        offered: Those of them that a viewset may offer it for, where any caller gives the value.
        takes_none: Whether None is a value.
        needs: Why a viewset offers it on PostgreSQL only, ``{}`` being the other database; empty where any will do.
        others: The same lookup for columns of other types.
        is_typed: Whether values must be such as the column holds; a project's own lookup takes what it likes.
    """

    name: str
    operand: Operand
    make: Make
    meets_null: Callable[[Any], bool] = lambda _: False
    kinds: Kind = EVERY
    offered: Kind = EVERY
    takes_none: bool = True
    needs: str = ""
    others: tuple[Lookup, ...] = ()
    is_typed: bool = True

    def on(self, kind: Kind) -> Lookup | None:
        """The lookup for a column of this kind, or None where it does not fit."""
        fitting = (found for found in (self, *self.others) if kind in found.kinds)
        return next(fitting, self if kind is Kind.OTHER else None)

    def check(self, value: Any) -> None:
        """Refuse a value that it cannot compare with.

        Raises:
            ValueError: The error names the lookup.
        """
        if is_sql(value) or (value is None and self.takes_none):
            return
        if value is None:
            raise ValueError(f'"{self.name}" cannot compare with None: use isnull.')
        if problem := self.operand.problem(value):
            raise ValueError(f'"{self.name}" takes {problem}, not {value!r}.')


class Transform(NamedTuple):
    """Another value made of a column, such as the year of a date.

    Attributes:
        name: What a filter writes behind ``__``.
        make: ``(column) -> expression``.
        kinds: The types of columns that it fits.
        returns: The type of what it makes.
        needs: Why a viewset offers it on PostgreSQL only; empty where any database will do.
    """

    name: str
    make: Callable[[Any], ColumnElement[Any]]
    kinds: Kind
    returns: TypeEngine[Any]
    needs: str = ""


def _is_none(value: Any) -> bool:
    return value is None


def _is_not_none(value: Any) -> bool:
    return value is not None


def _value(name: str, make: Make, meets_null: Any = None, kinds: Kind = SCALAR, offered: Kind = COMPARED) -> Lookup:
    """A comparison with one value; without ``meets_null`` None is none."""
    if meets_null is None:
        return Lookup(name, Operand.VALUE, make, kinds=kinds, offered=offered & ORDERED, takes_none=False)
    return Lookup(name, Operand.VALUE, make, meets_null, kinds, offered)


def _list(name: str, make: Make, meets_null: Any, kinds: Kind = SCALAR, offered: Kind = COMPARED) -> Lookup:
    return Lookup(name, Operand.LIST, make, meets_null, kinds, offered, takes_none=False)


def _text(name: str, make: Make, kinds: Kind = TEXTUAL, needs: str = "") -> Lookup:
    offered = Kind.TEXT | Kind.JSON | Kind.VECTOR
    return Lookup(name, Operand.TEXT, make, kinds=kinds, offered=offered, takes_none=False, needs=needs)


def _no_null(value: Any) -> bool:
    return not comparisons.has_null(value)


def _table(*lookups: Lookup) -> dict[str, Lookup]:
    """The lookups by name; further ones of a name are for columns of other types."""
    found: dict[str, Lookup] = {}
    for lookup in lookups:
        first = found.setdefault(lookup.name, lookup)
        if first is not lookup:
            found[lookup.name] = first._replace(others=(*first.others, lookup))
    return found


# Without ``contains``, which is containment there.
_IN_JSON = (
    "iexact", "icontains", "startswith", "istartswith", "endswith", "iendswith", "like", "ilike", "regex", "iregex",
)  # fmt: skip
_PATTERN = "is a regular expression of the caller's, and on {} one can freeze the process"
_FULL_TEXT = "searches full text, which {} has not"
_DOCUMENTS = "looks into arrays and JSON, which {} cannot"

LOOKUPS: dict[str, Lookup] = _table(
    _value("exact", comparisons.exact, _is_none),
    _text("iexact", texts.iexact)._replace(meets_null=_is_none, takes_none=True),
    _value("ne", comparisons.differs, _is_not_none),
    _value("gt", operator.gt),
    _value("gte", operator.ge),
    _value("lt", operator.lt),
    _value("lte", operator.le),
    _list("in", comparisons.among, comparisons.has_null),
    _list("not_in", comparisons.not_among, _no_null),
    Lookup("isnull", Operand.BOOLEAN, comparisons.isnull, bool, EVERY & ~(Kind.JSON | Kind.KEY), takes_none=False),
    Lookup("range", Operand.PAIR, comparisons.between, kinds=SCALAR, offered=ORDERED, takes_none=False),
    _text("contains", texts.contains),
    _text("icontains", texts.icontains),
    _text("startswith", texts.startswith),
    _text("istartswith", texts.istartswith),
    _text("endswith", texts.endswith),
    _text("iendswith", texts.iendswith),
    _text("like", texts.like),
    _text("ilike", texts.ilike),
    _text("regex", texts.regex, needs=_PATTERN),
    _text("iregex", texts.iregex, needs=_PATTERN),
    _text("search", texts.search, Kind.TEXT | Kind.VECTOR | Kind.OTHER, _FULL_TEXT),
    # Arrays.
    _value("exact", comparisons.exact, _is_none, Kind.ARRAY),
    _value("ne", comparisons.differs, _is_not_none, Kind.ARRAY),
    Lookup("contains", Operand.LIST, documents.array_contains, kinds=Kind.ARRAY, takes_none=False, needs=_DOCUMENTS),
    Lookup(
        "contained_by", Operand.LIST, documents.array_contained_by, kinds=Kind.ARRAY, takes_none=False, needs=_DOCUMENTS
    ),
    Lookup("overlap", Operand.LIST, documents.overlap, kinds=Kind.ARRAY, takes_none=False, needs=_DOCUMENTS),
    # JSON.
    _value("exact", documents.json_exact, _is_none, Kind.JSON),
    _value("ne", documents.json_ne, _is_not_none, Kind.JSON),
    *(
        _value(name, documents.compared(compare), kinds=Kind.JSON)
        for name, compare in (("gt", operator.gt), ("gte", operator.ge), ("lt", operator.lt), ("lte", operator.le))
    ),
    _list("in", documents.json_in, comparisons.has_null, Kind.JSON),
    _list("not_in", documents.json_not_in, _no_null, Kind.JSON),
    Lookup("isnull", Operand.BOOLEAN, documents.json_isnull, bool, Kind.JSON, takes_none=False),
    Lookup("range", Operand.PAIR, documents.json_range, kinds=Kind.JSON, offered=ORDERED, takes_none=False),
    *(
        _text(name, documents.in_text(getattr(texts, name)), Kind.JSON, _PATTERN if "regex" in name else "")
        for name in _IN_JSON
    ),
    Lookup("contains", Operand.VALUE, documents.json_contains, kinds=Kind.JSON, offered=ORDERED),
    Lookup("contained_by", Operand.VALUE, documents.json_contained_by, kinds=Kind.JSON, offered=ORDERED),
    Lookup("has_key", Operand.TEXT, documents.has_key, kinds=Kind.JSON, takes_none=False, needs=_DOCUMENTS),
    Lookup("has_keys", Operand.LIST, documents.has_keys, kinds=Kind.JSON, takes_none=False, needs=_DOCUMENTS),
    Lookup("has_any_keys", Operand.LIST, documents.has_any_keys, kinds=Kind.JSON, takes_none=False, needs=_DOCUMENTS),
    # Keys of several columns.
    _value("exact", comparisons.key_exact, lambda _: False, Kind.KEY),
    _value("ne", comparisons.key_differs, lambda _: True, Kind.KEY),
    _list("in", comparisons.key_among, lambda _: False, Kind.KEY),
    _list("not_in", comparisons.key_not_among, lambda _: True, Kind.KEY),
    Lookup("isnull", Operand.BOOLEAN, comparisons.key_isnull, bool, Kind.KEY, takes_none=False),
)

ALIASES = {"eq": "exact", "ge": "gte", "le": "lte", "notin": "not_in", "between": "range"}

TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (
        Transform("year", dateparts.number("year"), DATED, Integer()),
        Transform("quarter", dateparts.quarter, DATED, Integer()),
        Transform("month", dateparts.number("month"), DATED, Integer()),
        Transform("day", dateparts.number("day"), DATED, Integer()),
        Transform("week", dateparts.week, DATED, Integer()),
        Transform("week_day", dateparts.week_day, DATED, Integer()),
        Transform("iso_week_day", dateparts.iso_week_day, DATED, Integer()),
        Transform("date", dateparts.date, DATED, Date()),
        Transform("time", dateparts.time, Kind.DATETIME | Kind.OTHER, Time()),
        Transform("hour", dateparts.number("hour"), TIMED, Integer()),
        Transform("minute", dateparts.number("minute"), TIMED, Integer()),
        Transform("second", dateparts.number("second"), TIMED, Integer()),
        Transform("len", documents.length, Kind.ARRAY, Integer(), _DOCUMENTS),
    )
}


# What keeps the meaning of names, and has to forget it.
on_registration: list[Callable[[], None]] = []


def register_lookup(name: str, make: Make, *, operand: Operand = Operand.VALUE) -> None:
    """Add a lookup of the project's own; a name that is taken is refused.

    Args:
        name: What a filter writes behind ``__``.
        make: ``(column, value) -> condition``.
        operand: What it compares with; decides the parameter's type in OpenAPI.

    Raises:
        ImproperlyConfigured: The name is no word, or stands for another lookup already.
    """
    if not name.isidentifier() or "__" in name:
        raise ImproperlyConfigured(
            "register_lookup", f'"{name}" is not a name.', "Write a word, without a double underscore."
        )
    if is_lookup(name):
        raise ImproperlyConfigured("register_lookup", f'"{name}" is taken.', "Choose another name.")
    LOOKUPS[name] = Lookup(name, operand, make, is_typed=False)
    for forget in on_registration:
        forget()


def is_lookup(name: str) -> bool:
    """Whether a lookup or a transform has this name."""
    return name in LOOKUPS or name in ALIASES or name in TRANSFORMS


def lookup_on(name: str, kind: Kind) -> Lookup | None:
    """The lookup of a name, or a short form of it, for columns of a kind; None where there is none."""
    lookup = LOOKUPS.get(ALIASES.get(name, name))
    return None if lookup is None else lookup.on(kind)


def exact_on(kind: Kind) -> Lookup:
    """What stands where no lookup is written."""
    return LOOKUPS["exact"].on(kind) or LOOKUPS["exact"]


def fitting(kind: Kind) -> tuple[str, ...]:
    """The names of all lookups and transforms for columns of a kind."""
    lookups = (name for name in LOOKUPS if lookup_on(name, kind) is not None)
    return (*lookups, *(name for name, transform in TRANSFORMS.items() if kind in transform.kinds))


def transform_on(name: str, kind: Kind) -> Transform | None:
    """The part of a column of a kind that has a name; of JSON any name is a key."""
    transform = TRANSFORMS.get(name)
    if transform is not None and kind in transform.kinds:
        return transform
    return Transform(name, documents.key(name), Kind.JSON, JSON()) if kind is Kind.JSON else None
