"""Foreign keys in what a caller writes: the row they name must be there, and within the caller's reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Column, ColumnElement, Table, and_, inspect, select
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.util import ReadOnlyProperties

from fastapix5.exceptions import TypeViolation
from fastapix5.models import not_deleted, soft_deletes
from fastapix5.repositories.policies import has_policies, policy_condition


class Reference(NamedTuple):
    """A foreign key of a model.

    Attributes:
        fields: The model's own attributes that make it up.
        columns: The columns that it names, in the same order.
        target: The mapped class of the rows that it names; None where the table is not mapped.
    """

    fields: tuple[str, ...]
    columns: tuple[Column[Any], ...]
    target: type[Any] | None

    @property
    def may_be_narrowed(self) -> bool:
        """Whether a policy, or soft deletion, could narrow the rows that it names."""
        return self.target is not None and (has_policies() or soft_deletes(self.target))


class Wanted(NamedTuple):
    """A row that a write refers to, by its key. Of a composite key that is written in part, the rest is the row's own.

    Attributes:
        reference: The foreign key.
        key: Values, and columns of the row that is updated.
    """

    reference: Reference
    key: tuple[Any, ...]

    @property
    def is_narrowed(self) -> bool:
        """Whether a policy, or soft deletion, narrows the rows it may be: the database cannot check that by itself."""
        return bool(self._limits())

    def exists(self) -> ColumnElement[bool]:
        """EXISTS: the row is there, not hidden, and within the current access's reach."""
        columns, target = self.reference.columns, self.reference.target
        conditions = [column == value for column, value in zip(columns, self.key, strict=True)]
        conditions += self._limits()
        own = {part.table for part in self.key if isinstance(part, Column)}
        source = columns[0].table if target is None else target
        return select(1).select_from(source).where(and_(*conditions)).correlate(*own or (None,)).exists()

    def _limits(self) -> list[ColumnElement[bool]]:
        target = self.reference.target
        if target is None:
            return []
        limits = (not_deleted(target), policy_condition(target, related=True))
        return [limit for limit in limits if limit is not None]


_references: WeakKeyDictionary[Mapper[Any], tuple[Reference, ...]] = WeakKeyDictionary()


def references(mapper: Mapper[Any]) -> tuple[Reference, ...]:
    """Every foreign key of a model whose columns are mapped: others nobody writes.

    What joins the table of a subclass to the one above is none: the flush writes both rows.
    """
    found = _references.get(mapper)
    if found is None:
        found = tuple(_find_references(mapper))
        # A table that is not mapped yet may be so later.
        if all(reference.target is not None for reference in found):
            _references[mapper] = found
    return found


def _find_references(mapper: Mapper[Any]) -> Iterator[Reference]:
    for table in mapper.tables:
        if not isinstance(table, Table):
            continue
        for constraint in table.foreign_key_constraints:
            if constraint.referred_table is not table and constraint.referred_table in mapper.tables:
                continue
            try:
                fields = tuple(mapper.get_property_by_column(column).key for column in constraint.columns)
            except UnmappedColumnError:
                continue
            columns = tuple(element.column for element in constraint.elements)
            yield Reference(fields, columns, _mapped_class(mapper, columns[0].table))


def _mapped_class(mapper: Mapper[Any], table: Any) -> type[Any] | None:
    """The class whose rows stand in ``table``; where subclasses share it, the one above them."""
    for other in mapper.registry.mappers:
        if other.local_table is table and (other.inherits is None or other.inherits.local_table is not table):
            return other.class_
    return None


def wanted(
    mapper: Mapper[Any], values: Mapping[str, Any], *, updating: bool = False, narrowed: bool = False
) -> list[Wanted]:
    """The rows that ``values`` refer to; a key with a null in it refers to none.

    Args:
        mapper: The model that is written.
        values: Attributes and their new values.
        updating: Whether the row is there, so that it keeps what is not written.
        narrowed: Leave out those that only the database need look for: nothing narrows which rows they may be.
    """
    found = []
    for reference in references(mapper):
        if values.keys().isdisjoint(reference.fields) or (narrowed and not reference.may_be_narrowed):
            continue
        key = tuple(
            values[name] if name in values else mapper.column_attrs[name].columns[0] if updating else None
            for name in reference.fields
        )
        row = Wanted(reference, key)
        if not any(part is None for part in key) and (not narrowed or row.is_narrowed):
            found.append(row)
    return found


def with_related_keys(mapper: Mapper[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """``values`` with the foreign keys of the objects among them; an object whose row is not there yet has none."""
    to_one = _to_one(mapper.relationships)
    if to_one.isdisjoint(values):
        return values
    related = (related_key(mapper, name, value) for name, value in values.items() if name in to_one)
    return {**values, **{key: part for found in related if found is not None for key, part in found.items()}}


def is_to_one(mapper: Mapper[Any], name: str) -> bool:
    """Whether an attribute is a relation that a foreign key of the model's own makes."""
    return name in _to_one(mapper.relationships)


@lru_cache(maxsize=4096)
def _to_one(relationships: ReadOnlyProperties[RelationshipProperty[Any]]) -> frozenset[str]:
    """The names of those that a foreign key makes. A model that gets another relation gets another collection of them."""
    return frozenset(found.key for found in relationships if found.direction is RelationshipDirection.MANYTOONE)


def _shown(names: Mapping[str, Any], given: Any) -> str:
    """What was given for a related object, and, where it is a key, how to write that."""
    if inspect(given, raiseerr=False) is not None:
        return type(given).__name__
    return f"{given!r}: write {next(iter(names))}={given!r}" if len(names) == 1 else repr(given)


def related_key(mapper: Mapper[Any], name: str, related: Any) -> dict[str, Any] | None:
    """The foreign key, by attribute, that names the row of ``related``; None where the row is not there yet.

    Raises:
        TypeViolation: ``related`` is no object that the relation takes.
    """
    relationship = mapper.relationships[name]
    target, of = relationship.mapper, mapper.get_property_by_column
    names = {of(local).key: remote for local, remote in relationship.local_remote_pairs or ()}
    if related is None:
        return dict.fromkeys(names)
    if not isinstance(related, target.class_):
        violation = TypeViolation(table=str(mapper.local_table), fields=(name,))
        violation.message = f"{name} takes an object of {target.class_.__name__}, not {_shown(names, related)}."
        raise violation
    identity = inspect(related).identity
    if identity is None:
        return None
    known = dict(zip(target.primary_key, identity, strict=True))
    return {
        key: known[remote] if remote in known else getattr(related, target.get_property_by_column(remote).key)
        for key, remote in names.items()
    }
