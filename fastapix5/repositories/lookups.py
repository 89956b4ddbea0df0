"""The table of lookups: what stands behind the attribute in ``dep_time__year__gte``, and what it compares with.

Names are Django's. A transform makes another value of the column, a lookup compares it. ``register_lookup`` opens the
table to a project's own.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import JSON, ColumnElement, Date, Integer, Time, inspect
from sqlalchemy.orm import InstanceState
from sqlalchemy.types import NULLTYPE, TupleType, TypeEngine

from fastapix5.exceptions import Error, ImproperlyConfigured, did_you_mean
from fastapix5.repositories import comparisons, dateparts, documents, texts
from fastapix5.repositories.kinds import Kind, is_sql, kind_of
from fastapix5.schemas import attribute_names, mapper_of

Make = Callable[[Any, Any], ColumnElement[bool]]

KEY_TYPE = TupleType(Integer())
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


@dataclass(frozen=True, slots=True)
class Lookup:
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


@dataclass(frozen=True, slots=True)
class Transform:
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
            found[lookup.name] = replace(first, others=(*first.others, lookup))
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
    replace(_text("iexact", texts.iexact), meets_null=_is_none, takes_none=True),
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
    LOOKUPS[name] = Lookup(name, operand, make)


def is_lookup(name: str) -> bool:
    """Whether a lookup or a transform has this name."""
    return name in LOOKUPS or name in ALIASES or name in TRANSFORMS


class UnknownPath(Error):
    """A condition names an attribute, relation or lookup that is not there.

    Attributes:
        path: The whole name, as written.
        part: The part that is unknown.
        owner: The model, or the column, that lacks it.
        known: What would have been known there.
        column_type: The type of what lacks it, where it is a column.
    """

    def __init__(
        self, path: str, part: str, owner: str, known: tuple[str, ...], column_type: TypeEngine[Any] = NULLTYPE
    ) -> None:
        super().__init__(path, part, owner, known)
        self.path = path
        self.part = part
        self.owner = owner
        self.known = known
        self.column_type = column_type

    def __str__(self) -> str:
        guess = did_you_mean(self.part, self.known)
        return f'{self.owner} has no "{self.part}" ("{self.path}").{guess} Known: {", ".join(sorted(self.known))}.'


@dataclass(frozen=True, slots=True)
class Path:
    """A name such as ``origin__name__icontains``, resolved.

    Attributes:
        relations: What to cross.
        attribute: The attribute behind them; ``pk`` for a key of several columns.
        transforms: What to make of it, in order.
        lookup: What to compare.
        owner: The model that has the attribute; None for an annotation.
        compared: The type of what the lookup compares.
    """

    relations: tuple[str, ...]
    attribute: str
    transforms: tuple[Transform, ...]
    lookup: Lookup
    owner: type[Any] | None = None
    compared: TypeEngine[Any] = NULLTYPE

    def make(self, column: Any, value: Any) -> ColumnElement[bool]:
        """Return the condition on ``column``, which is the attribute, or a tuple of the columns of its key.

        Args:
            column: The attribute of a model or an alias.
            value: A value, an SQL expression, a SELECT for ``in``, or objects whose key the attribute is.

        Raises:
            ValueError: The lookup does not take the value.
            TypeError: An object is of another model, or JSON has no such values.
        """
        for transform in self.transforms:
            column = transform.make(column)
        lookup = self.lookup.on(kind_of(getattr(column, "type", None))) or self.lookup
        value = self._keys(value)
        lookup.check(value)
        return lookup.make(column, value)

    def check(self, value: Any) -> None:
        """Refuse a value that the lookup does not take.

        Raises:
            ValueError: The error names the lookup.
        """
        self.lookup.check(self._keys(value))

    def meets_null(self, value: Any) -> bool:
        """Whether the condition holds for a row that is not there."""
        return self.lookup.meets_null(value)

    def _keys(self, value: Any) -> Any:
        """``value`` with the keys of objects in their place."""
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._key(item) for item in value]
        return self._key(value)

    def _key(self, value: Any) -> Any:
        if hasattr(value, "__clause_element__"):
            return value.__clause_element__()
        state = inspect(value, raiseerr=False)
        if not isinstance(state, InstanceState) or self.owner is None:
            return value
        if not isinstance(value, self.owner):
            raise TypeError(f"{self.owner.__name__}.{self.attribute} cannot be compared with a {type(value).__name__}.")
        names = key_names(self.owner) if self.attribute == "pk" else (self.attribute,)
        key = tuple(getattr(value, name) for name in names)
        if None in key:
            raise ValueError(f"This {type(value).__name__} was never saved, so no row can refer to it.")
        return key if self.attribute == "pk" else key[0]


def resolve(model: type[Any], path: str) -> Path:
    """Resolve a condition's name against a model.

    Raises:
        UnknownPath: Some part of it is not there; the error says what is known.
    """
    relations, attribute, rest, owner = walk(model, path)
    column_type = type_of(owner, attribute)
    transforms, lookup = resolve_lookup(rest, f"{owner.__name__}.{attribute}", path, column_type)
    compared = transforms[-1].returns if transforms else column_type
    return Path(relations, attribute, transforms, lookup, owner, compared)


def resolve_lookup(
    names: Sequence[str], owner: str, path: str, column_type: TypeEngine[Any] = NULLTYPE
) -> tuple[tuple[Transform, ...], Lookup]:
    """Resolve what stands behind an attribute.

    Args:
        names: The parts behind it.
        owner: What has them, for the error.
        path: The whole name, for the error.
        column_type: The attribute's type, where it is known: it says what fits.

    Raises:
        UnknownPath: A part is neither a transform nor a lookup that fits; the error says what would.
    """
    transforms: list[Transform] = []
    current = column_type
    for position, name in enumerate(names):
        is_last = position == len(names) - 1
        lookup = lookup_on(name, kind_of(current)) if is_last else None
        if lookup is not None:
            return tuple(transforms), lookup
        transform = _transform(name, kind_of(current))
        if transform is None:
            above = "__".join([owner, *names[:position]])
            raise UnknownPath(path, "__".join(names[position:]), above, fitting(kind_of(current)), current)
        transforms.append(transform)
        current = transform.returns
    return tuple(transforms), LOOKUPS["exact"].on(kind_of(current)) or LOOKUPS["exact"]


def lookup_on(name: str, kind: Kind) -> Lookup | None:
    """The lookup of a name, or a short form of it, for columns of a kind; None where there is none."""
    lookup = LOOKUPS.get(ALIASES.get(name, name))
    return None if lookup is None else lookup.on(kind)


def fitting(kind: Kind) -> tuple[str, ...]:
    """The names of all lookups and transforms for columns of a kind."""
    lookups = (name for name in LOOKUPS if lookup_on(name, kind) is not None)
    return (*lookups, *(name for name, transform in TRANSFORMS.items() if kind in transform.kinds))


def _transform(name: str, kind: Kind) -> Transform | None:
    transform = TRANSFORMS.get(name)
    if transform is not None and kind in transform.kinds:
        return transform
    return Transform(name, documents.key(name), Kind.JSON, JSON()) if kind is Kind.JSON else None


def type_of(model: type[Any], attribute: str) -> TypeEngine[Any]:
    """The type of a model's attribute, as far as SQLAlchemy knows it."""
    if attribute == "pk" and "pk" not in attribute_names(mapper_of(model)):
        return KEY_TYPE
    found: TypeEngine[Any] = getattr(getattr(model, attribute), "type", NULLTYPE)
    return found


def walk(model: type[Any], path: str) -> tuple[tuple[str, ...], str, list[str], type[Any]]:
    """Follow ``path`` over relations to an attribute; return both, what is left of the path, and the last model.

    A path that ends at a relation, or asks whether it is null, stands for the related row's key, and so does ``pk``.

    Raises:
        UnknownPath: A part is neither a relation nor an attribute.
    """
    relations: list[str] = []
    rest = path.split("__")
    while rest:
        mapper = mapper_of(model)
        names = attribute_names(mapper)
        part = rest[0]
        if part not in names:
            if part == "pk":
                return tuple(relations), _key(model, rest[1:]), rest[1:], model
            if relations and is_lookup(part):
                break
            raise UnknownPath(path, part, model.__name__, tuple(names))
        rest.pop(0)
        name = mapper.synonyms[part].name if part in mapper.synonyms else part
        relationship = mapper.relationships.get(name)
        if relationship is None:
            return tuple(relations), part, rest, model
        relations.append(name)
        model = relationship.mapper.class_
    return tuple(relations), _key(model, rest), rest, model


def many_on(model: type[Any], relations: Sequence[str]) -> str | None:
    """The first of ``relations`` that leads to many rows, such as ``Author.books``; None where each leads to one."""
    for name in relations:
        relationship = mapper_of(model).relationships[name]
        if relationship.uselist:
            return str(relationship)
        model = relationship.mapper.class_
    return None


def key_names(model: type[Any]) -> tuple[str, ...]:
    """The attributes that make up a model's primary key."""
    mapper = mapper_of(model)
    return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)


def _key(model: type[Any], rest: Sequence[str]) -> str:
    """The attribute that is a model's key: its one column, or ``pk`` where it has several, of which one tells null."""
    names = key_names(model)
    return names[0] if len(names) == 1 or list(rest) == ["isnull"] else "pk"
