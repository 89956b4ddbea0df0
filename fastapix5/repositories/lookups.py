"""The table of lookups: what stands after the last ``__`` of ``name__icontains``, and what it compares with.

Names are Django's. ``register_lookup`` opens the table to a project's own.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_

from fastapix5.exceptions import Error, ImproperlyConfigured, did_you_mean
from fastapix5.schemas import attribute_names, mapper_of

Make = Callable[[ColumnElement[Any], Any], ColumnElement[bool]]


class Operand(enum.Enum):
    """What a lookup compares the column with."""

    VALUE = "a value of the column's type"
    TEXT = "text"
    LIST = "a list of values of the column's type"
    PAIR = "two values of the column's type"
    BOOLEAN = "true or false"


@dataclass(frozen=True, slots=True)
class Lookup:
    """One way to compare a column.

    Attributes:
        name: What a filter writes behind ``__``.
        operand: What it compares with; decides the parameter's type in OpenAPI.
        make: ``(column, value) -> condition``.
        meets_null: Whether the lookup holds for a row that is not there, given the value (``isnull=True`` does).
    """

    name: str
    operand: Operand
    make: Make
    meets_null: Callable[[Any], bool] = lambda _: False


def _exact(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _iexact(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    return func.lower(column) == func.lower(value)


def _ne(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column.is_not(None) if value is None else or_(column != value, column.is_(None))


def _has_null(value: Any) -> bool:
    return any(item is None for item in value)


def _in(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    found = column.in_([item for item in value if item is not None])
    return or_(found, column.is_(None)) if _has_null(value) else found


def _not_in(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    found = column.not_in([item for item in value if item is not None])
    return and_(found, column.is_not(None)) if _has_null(value) else or_(found, column.is_(None))


def _isnull(column: ColumnElement[Any], value: bool) -> ColumnElement[bool]:
    return column.is_(None) if value else column.is_not(None)


def _range(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    low, high = value
    return and_(column >= low, column <= high)


def _search(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    return func.to_tsvector(column).bool_op("@@")(func.plainto_tsquery(value))


LOOKUPS: dict[str, Lookup] = {
    lookup.name: lookup
    for lookup in (
        Lookup("exact", Operand.VALUE, _exact, lambda value: value is None),
        Lookup("iexact", Operand.TEXT, _iexact),
        Lookup("ne", Operand.VALUE, _ne, lambda value: value is not None),
        Lookup("gt", Operand.VALUE, lambda column, value: column > value),
        Lookup("gte", Operand.VALUE, lambda column, value: column >= value),
        Lookup("lt", Operand.VALUE, lambda column, value: column < value),
        Lookup("lte", Operand.VALUE, lambda column, value: column <= value),
        Lookup("in", Operand.LIST, _in, _has_null),
        Lookup("not_in", Operand.LIST, _not_in, lambda value: not _has_null(value)),
        Lookup("isnull", Operand.BOOLEAN, _isnull, bool),
        Lookup("range", Operand.PAIR, _range),
        Lookup("contains", Operand.TEXT, lambda column, value: column.contains(value, autoescape=True)),
        Lookup("icontains", Operand.TEXT, lambda column, value: column.icontains(value, autoescape=True)),
        Lookup("startswith", Operand.TEXT, lambda column, value: column.startswith(value, autoescape=True)),
        Lookup("istartswith", Operand.TEXT, lambda column, value: column.istartswith(value, autoescape=True)),
        Lookup("endswith", Operand.TEXT, lambda column, value: column.endswith(value, autoescape=True)),
        Lookup("iendswith", Operand.TEXT, lambda column, value: column.iendswith(value, autoescape=True)),
        Lookup("regex", Operand.TEXT, lambda column, value: column.regexp_match(value)),
        # Both PostgreSQL and Python read the option at the pattern's start.
        Lookup("iregex", Operand.TEXT, lambda column, value: column.regexp_match(f"(?i){value}")),
        Lookup("search", Operand.TEXT, _search),
    )
}

ALIASES = {"eq": "exact", "ge": "gte", "le": "lte", "notin": "not_in", "between": "range"}


def register_lookup(lookup: Lookup) -> None:
    """Add a lookup of the project's own; a name that is taken is refused.

    Raises:
        ImproperlyConfigured: The name stands for another lookup already.
    """
    if lookup.name in LOOKUPS or lookup.name in ALIASES:
        raise ImproperlyConfigured("register_lookup", f'"{lookup.name}" is taken.', "Choose another name.")
    LOOKUPS[lookup.name] = lookup


class UnknownPath(Error):
    """A condition names an attribute, relation or lookup that is not there.

    Attributes:
        path: The whole name, as written.
        part: The part that is unknown.
        owner: The model, or the column, that lacks it.
        known: What would have been known there.
    """

    def __init__(self, path: str, part: str, owner: str, known: tuple[str, ...]) -> None:
        super().__init__(path, part, owner, known)
        self.path = path
        self.part = part
        self.owner = owner
        self.known = known

    def __str__(self) -> str:
        guess = did_you_mean(self.part, self.known)
        return f'{self.owner} has no "{self.part}" ("{self.path}").{guess} Known: {", ".join(sorted(self.known))}.'


@dataclass(frozen=True, slots=True)
class Path:
    """A name such as ``origin__name__icontains``, resolved: relations to cross, the attribute, the lookup."""

    relations: tuple[str, ...]
    attribute: str
    lookup: Lookup


def resolve(model: type[Any], path: str) -> Path:
    """Resolve a condition's name against a model.

    Raises:
        UnknownPath: Some part of it is not there; the error says what is known.
    """
    relations, attribute, rest, owner = walk(model, path)
    name = "__".join(rest) or "exact"
    lookup = LOOKUPS.get(ALIASES.get(name, name))
    if lookup is None:
        raise UnknownPath(path, name, f"{owner.__name__}.{attribute}", tuple(LOOKUPS))
    return Path(relations, attribute, lookup)


def walk(model: type[Any], path: str) -> tuple[tuple[str, ...], str, list[str], type[Any]]:
    """Follow ``path`` over relations to an attribute; return both, what is left of the path, and the last model.

    A path that ends at a relation, or asks whether it is null, stands for the related row's key.

    Raises:
        UnknownPath: A part is neither a relation nor an attribute.
    """
    relations: list[str] = []
    rest = path.split("__")
    while rest:
        mapper = mapper_of(model)
        names = attribute_names(mapper)
        if rest[0] not in names:
            if relations and _is_lookup(rest[0]):
                break
            raise UnknownPath(path, rest[0], model.__name__, tuple(names))
        part = rest.pop(0)
        relationship = mapper.relationships.get(part)
        if relationship is None:
            return tuple(relations), part, rest, model
        relations.append(part)
        model = relationship.mapper.class_
    return tuple(relations), _key(model, path, rest), rest, model


def many_on(model: type[Any], relations: Sequence[str]) -> str | None:
    """The first of ``relations`` that leads to many rows, such as ``Author.books``; None where each leads to one."""
    for name in relations:
        relationship = mapper_of(model).relationships[name]
        if relationship.uselist:
            return str(relationship)
        model = relationship.mapper.class_
    return None


def _is_lookup(name: str) -> bool:
    return name in LOOKUPS or name in ALIASES


def _key(model: type[Any], path: str, rest: Sequence[str]) -> str:
    mapper = mapper_of(model)
    if len(mapper.primary_key) > 1 and list(rest) != ["isnull"]:
        raise UnknownPath(path, "key of one column", model.__name__, tuple(attribute_names(mapper)))
    return mapper.get_property_by_column(mapper.primary_key[0]).key
