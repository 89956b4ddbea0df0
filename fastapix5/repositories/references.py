"""Foreign keys in what a caller writes: the row they name must be there, and within the caller's reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, inspect, select
from sqlalchemy.orm import Mapper

from fastapix5.repositories.policies import policy_condition


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of a model.

    Attributes:
        fields: The model's own attributes that make it up.
        columns: The columns that it names, in the same order.
        target: The mapped class of the rows that it names; None where the table is not mapped.
    """

    fields: tuple[str, ...]
    columns: tuple[Column[Any], ...]
    target: type[Any] | None

    def named(self, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The key that ``values`` give, or None where it is null or not written."""
        key = tuple(values.get(name) for name in self.fields)
        return None if None in key else key

    def exists(self, key: tuple[Any, ...]) -> ColumnElement[bool]:
        """EXISTS: the named row is there, within the current access's reach."""
        conditions: list[ColumnElement[bool]] = [
            column == value for column, value in zip(self.columns, key, strict=True)
        ]
        policy = None if self.target is None else policy_condition(self.target)
        if policy is not None:
            conditions.append(policy)
        return select(1).select_from(self.columns[0].table).where(and_(*conditions)).correlate(None).exists()


def references(mapper: Mapper[Any]) -> Iterator[Reference]:
    """Every foreign key of a model."""
    table = mapper.local_table
    if not isinstance(table, Table):
        return
    for constraint in table.foreign_key_constraints:
        fields = tuple(mapper.get_property_by_column(column).key for column in constraint.columns)
        columns = tuple(element.column for element in constraint.elements)
        yield Reference(fields, columns, _mapped_class(mapper, columns[0].table))


def _mapped_class(mapper: Mapper[Any], table: Any) -> type[Any] | None:
    found = [other.class_ for other in mapper.registry.mappers if other.local_table is table and other.inherits is None]
    return found[0] if found else None


def checked(mapper: Mapper[Any], values: Mapping[str, Any]) -> list[tuple[Reference, tuple[Any, ...]]]:
    """The references that ``values`` write whose rows a policy narrows: the database cannot check these by itself."""
    found = []
    for reference in references(inspect(mapper)):
        key = reference.named(values)
        if key is not None and reference.target is not None and policy_condition(reference.target) is not None:
            found.append((reference, key))
    return found
