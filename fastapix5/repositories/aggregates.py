"""Aggregates in SQL: each over related rows is a subquery of its own, so that two of them never multiply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, inspect, literal_column, select
from sqlalchemy.orm import aliased

from fastapix5.repositories.conditions import Ground, same_row, to_sql
from fastapix5.repositories.expressions import Aggregate, Count, Expression
from fastapix5.repositories.lookups import UnknownPath, many_on, walk
from fastapix5.repositories.paths import Crossed, Reach, column_at

# The conditions of the rows that are aggregated, on an alias of their model.
Where = Callable[[Any], Sequence[ColumnElement[bool]]]


class RowNames:
    """What names and aggregates mean for one row of ``entity``.

    Args:
        entity: The model, or an alias of it.
        reach: What narrows related rows.
        named: Annotations by name.
    """

    def __init__(self, entity: Any, reach: Reach | None, named: Mapping[str, ColumnElement[Any]]) -> None:
        self.entity = entity
        self.reach = reach
        self.named = named

    def __call__(self, name: str) -> Any:
        """The column behind a name."""
        return column_at(self.entity, name, self.reach, self.named)

    def aggregate(self, aggregate: Aggregate) -> ColumnElement[Any]:
        """The aggregate over the rows that are related to this one."""
        return self._related(aggregate, lambda root: (same_row(root, self.entity),))

    def _related(self, aggregate: Aggregate, where: Where) -> ColumnElement[Any]:
        root = aliased(inspect(self.entity).mapper.class_)
        statement, crossed = _joined(root, self._relations(aggregate), self.reach)
        ground = Ground(root, self.reach, crossed=crossed)
        column = _operand(aggregate, lambda name: column_at(root, name, self.reach, crossed=crossed), crossed)
        statement = statement.with_only_columns(aggregate.make(column), maintain_column_froms=True)
        if aggregate.filter is not None:
            statement = statement.where(to_sql((aggregate.filter,), ground))
        own = (root, *(entity for _, entity in crossed))
        return statement.where(*where(root)).correlate_except(*own).scalar_subquery()

    def _relations(self, aggregate: Aggregate) -> tuple[str, ...]:
        """The relations that lead to what is aggregated: where it names several columns, those of the farthest."""
        model = inspect(self.entity).mapper.class_
        found: tuple[str, ...] = ()
        for name in aggregate.names():
            relations = () if name in self.named else walk(model, name)[0]
            found = max(found, relations, key=len)
        return found


class GroupNames(RowNames):
    """What names and aggregates mean for a group of rows.

    Args:
        entity: The model.
        reach: What narrows related rows.
        named: Annotations by name.
        where: The conditions of all rows; None where they are in groups.

    Attributes:
        has_subqueries: Whether an aggregate became a SELECT of its own.
    """

    def __init__(
        self, entity: Any, reach: Reach | None, named: Mapping[str, ColumnElement[Any]], where: Where | None
    ) -> None:
        super().__init__(entity, reach, named)
        self.where = where
        self.has_subqueries = False

    def aggregate(self, aggregate: Aggregate) -> ColumnElement[Any]:
        """The aggregate over the rows of a group, or over the rows that are related to them."""
        model = inspect(self.entity).mapper.class_
        if many_on(model, self._relations(aggregate)) is None:
            ground = Ground(self.entity, self.reach, self.named)
            where = None if aggregate.filter is None else to_sql((aggregate.filter,), ground)
            return aggregate.make(_operand(aggregate, self, ()), where)
        if not aggregate.distinct:
            return aggregate.total(super().aggregate)
        if self.where is None:
            what = f"{type(aggregate).__name__}({aggregate.over!r}, distinct=True) over related rows cannot be grouped"
            raise TypeError(f"{what}: aggregate it by itself, or group the related model's own rows.")
        self.has_subqueries = True
        return self._related(aggregate, self.where)


class ColumnNames:
    """What names and aggregates mean over the rows of a subquery: its columns.

    Args:
        rows: The subquery.
    """

    def __init__(self, rows: Subquery) -> None:
        self.rows = rows

    def __call__(self, name: str) -> ColumnElement[Any]:
        """The column of this name."""
        if name not in self.rows.c:
            raise UnknownPath(name, name, "values()", tuple(self.rows.c.keys()))
        return self.rows.c[name]

    def aggregate(self, aggregate: Aggregate) -> ColumnElement[Any]:
        """The aggregate over a column.

        Raises:
            TypeError: It has a filter, which names the model's attributes.
        """
        if aggregate.filter is not None:
            raise TypeError("An aggregate over groups takes no filter: filter the groups before.")
        return aggregate.make(_operand(aggregate, self, ()))


def _joined(root: Any, relations: Sequence[str], reach: Reach | None) -> tuple[Select[Any], Crossed]:
    """A SELECT from ``root`` joined along ``relations``, with the entities on the way."""
    statement, entity, crossed = select(1).select_from(root), root, []
    for name in relations:
        relationship = inspect(entity).mapper.relationships[name]
        target = aliased(relationship.mapper.class_)
        within = None if reach is None else reach(target, relationship)
        onclause = getattr(entity, name).of_type(target)
        statement = statement.join(target, onclause if within is None else onclause.and_(within))
        entity = target
        crossed.append((name, target))
    return statement, tuple(crossed)


def _operand(aggregate: Aggregate, find: Callable[[str], Any], crossed: Crossed) -> Any:
    """What is aggregated. A count of rows needs no column of theirs, whatever their key."""
    operand: Expression | None = aggregate.operand()
    if operand is None or (
        isinstance(aggregate, Count) and not aggregate.distinct and _counts_rows(aggregate, crossed)
    ):
        return literal_column("*")
    return operand.resolve(find)


def _counts_rows(aggregate: Count, crossed: Crossed) -> bool:
    return isinstance(aggregate.over, str) and aggregate.over == "__".join(name for name, _ in crossed)
