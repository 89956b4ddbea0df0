"""From a name such as ``origin__dep_time__year__gte`` to relations, an attribute, parts of it and a lookup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, inspect
from sqlalchemy.ext.associationproxy import AssociationProxyInstance
from sqlalchemy.orm import InstanceState
from sqlalchemy.types import NULLTYPE, TupleType, TypeEngine

from fastapix5.exceptions import Error, did_you_mean
from fastapix5.repositories.kinds import UNLIMITED, Limits, check_type, element_of, is_sql, kind_of, limits_of
from fastapix5.repositories.vocabulary import (
    Lookup,
    Operand,
    Transform,
    exact_on,
    fitting,
    is_lookup,
    lookup_on,
    on_registration,
    transform_on,
)
from fastapix5.schemas import attribute_names, mapper_of

KEY_TYPE = TupleType(Integer())


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
        known = f" Known: {', '.join(sorted(self.known))}." if self.known else ""
        return f'{self.owner} has no "{self.part}" ("{self.path}").{guess}{known}'


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
    # Types of which values were found to be right, with the least and the greatest that are.
    _taken: dict[type[Any], Limits] = field(default_factory=dict, compare=False, repr=False)

    def make(self, column: Any, value: Any) -> ColumnElement[bool]:
        """Return the condition on ``column``, which is the attribute, or a tuple of the columns of its key.

        Args:
            column: The attribute of a model or an alias.
            value: A value, an SQL expression, a SELECT for ``in``, or objects whose key the attribute is.

        Raises:
            ValueError: The lookup does not take the value.
            TypeError: An object is of another model, or JSON has no such values.
        """
        if self.transforms or self.lookup.operand is Operand.TEXT:
            if isinstance(column, AssociationProxyInstance):
                relation: Any = column.local_attr
                exists = relation.any if relation.property.uselist else relation.has
                found: ColumnElement[bool] = exists(self.make(column.remote_attr, value))
                return found
            column = element_of(column)
        for transform in self.transforms:
            column = transform.make(column)
        lookup = self.lookup.on(kind_of(getattr(element_of(column), "type", None))) or self.lookup
        value = self._keys(value)
        lookup.check(value)
        self._check_types(value)
        return lookup.make(column, value)

    def check(self, value: Any) -> None:
        """Refuse a value that the lookup does not take.

        Raises:
            ValueError: The error names the lookup.
        """
        limits = self._taken.get(type(value))
        if limits is not None and (limits is UNLIMITED or limits[0] <= value <= limits[1]):
            return
        given, value = value, self._keys(value)
        self.lookup.check(value)
        self._check_types(value)
        if value is given and self.lookup.operand in (Operand.VALUE, Operand.TEXT):
            found = limits_of(self.compared, value)
            if found is not None:
                self._taken[type(value)] = found

    def _check_types(self, value: Any) -> None:
        if is_sql(value) or not self.lookup.is_typed or self.lookup.operand in (Operand.TEXT, Operand.BOOLEAN):
            return
        where = "__".join(part for part in (self.attribute, *(found.name for found in self.transforms)))
        for item in (value,) if self.lookup.operand is Operand.VALUE else value:
            check_type(self.compared, item, where)

    def meets_null(self, value: Any) -> bool:
        """Whether the condition holds for a row that is not there."""
        return self.lookup.meets_null(value)

    def _keys(self, value: Any) -> Any:
        """``value`` with the keys of objects in their place."""
        is_list = self.lookup.operand is Operand.LIST and not self.lookup.operand.problem(value) and not is_sql(value)
        return [self._key(item) for item in value] if is_list else self._key(value)

    def _key(self, value: Any) -> Any:
        value = element_of(value)
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


def resolve_value(model: type[Any], path: str) -> tuple[tuple[str, ...], str, tuple[Transform, ...]]:
    """Resolve a name that stands for a value: ``origin__dep_time__year``.

    Returns:
        The relations to cross, the attribute, and what to make of it.

    Raises:
        UnknownPath: Some part of it is not there; the error says what is known.
    """
    relations, attribute, rest, owner = walk(model, path)
    transforms, current = [], type_of(owner, attribute)
    for position, name in enumerate(rest):
        transform = transform_on(name, kind_of(current))
        if transform is None:
            above = "__".join([f"{owner.__name__}.{attribute}", *rest[:position]])
            known = tuple(found for found in fitting(kind_of(current)) if transform_on(found, kind_of(current)))
            raise UnknownPath(path, "__".join(rest[position:]), above, known, current)
        transforms.append(transform)
        current = transform.returns
    return relations, attribute, tuple(transforms)


def resolve(model: type[Any], path: str) -> Path:
    """Resolve a condition's name against a model; names are few, so what they mean is kept.

    Raises:
        UnknownPath: Some part of it is not there; the error says what is known.
    """
    named: Any = model
    return _resolve(named, path)


@lru_cache(maxsize=4096)
def _resolve(model: Any, path: str) -> Path:
    relations, attribute, rest, owner = walk(model, path)
    column_type = type_of(owner, attribute)
    transforms, lookup = resolve_lookup(rest, f"{owner.__name__}.{attribute}", path, column_type)
    compared = transforms[-1].returns if transforms else column_type
    return Path(relations, attribute, transforms, lookup, owner, compared)


on_registration.append(_resolve.cache_clear)


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
        transform = transform_on(name, kind_of(current))
        if transform is None:
            above = "__".join([owner, *names[:position]])
            raise UnknownPath(path, "__".join(names[position:]), above, fitting(kind_of(current)), current)
        transforms.append(transform)
        current = transform.returns
    return tuple(transforms), exact_on(kind_of(current))


def type_of(model: type[Any], attribute: str) -> TypeEngine[Any]:
    """The type of a model's attribute, as far as SQLAlchemy knows it."""
    if attribute == "pk" and "pk" not in attribute_names(mapper_of(model)):
        return KEY_TYPE
    found: TypeEngine[Any] = getattr(element_of(getattr(model, attribute)), "type", NULLTYPE)
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
