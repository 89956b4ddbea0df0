"""What a queryset describes, and the SELECT that it means. Nothing here asks the database."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, func, literal_column, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression
from typing_extensions import TypeVar

from fastapix5.db.dialects import load_postgresql
from fastapix5.models import not_deleted
from fastapix5.repositories.aggregates import ColumnNames, GroupNames, RowNames
from fastapix5.repositories.conditions import Condition, Ground, Q, adapted, annotation_in, leaves, to_sql
from fastapix5.repositories.expressions import Expression, Ordering
from fastapix5.repositories.loading import Loading
from fastapix5.repositories.lookups import Path, key_names
from fastapix5.repositories.paths import Reach, column_at
from fastapix5.repositories.policies import policy_condition, related_condition
from fastapix5.repositories.shapes import Fact, Term
from fastapix5.repositories.vocabulary import Operand
from fastapix5.schemas import Selection, key_of, mapper_of

M = TypeVar("M")
R = TypeVar("R", default=M)


class Kind(enum.Enum):
    """What each row becomes."""

    OBJECT = enum.auto()
    DICT = enum.auto()
    TUPLE = enum.auto()
    NAMED = enum.auto()
    FLAT = enum.auto()


class Shown(NamedTuple):
    """What each row becomes, and the names of its values.

    Attributes:
        kind: An object of the model, or values.
        names: The values' names; empty for every column and annotation.
        groups: The names that rows are grouped by; None where each row stands for itself.
    """

    kind: Kind = Kind.OBJECT
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None


class Annotation(NamedTuple):
    """A value that the database computes.

    Attributes:
        name: What it is called.
        value: The expression, or SQL.
        of_groups: Whether it is one value for a group of rows, and not one for each row.
    """

    name: str
    value: Expression | ColumnElement[Any]
    of_groups: bool = False


class Lock(NamedTuple):
    """How rows are locked."""

    skip_locked: bool = False
    nowait: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Description(Generic[M, R]):
    """Rows of a model: which, in which order, and how they are shown.

    Attributes:
        model: The mapped class.
        alias: The database's alias.
        guarded: Whether the model's row policy holds.
        shows_deleted: Whether rows that were deleted softly are among them.
        conditions: ``Q`` objects and SQL, all of which hold; also such as were taken apart.
        ordering: The order.
        start: How many rows are skipped.
        stop: Where the rows end, counted from the first of all; None for nowhere.
        annotations: Values that the database computes.
        shown: What each row becomes.
        loads: What objects come with.
        selections: Schemas whose relations objects come with.
        unique: Names by which rows are distinct; None for all rows, empty for whole rows.
        lock: How rows are locked, or None.
        options: What SQLAlchemy takes as execution options.
    """

    model: type[M]
    alias: str = "default"
    guarded: bool = False
    shows_deleted: bool = True
    conditions: tuple[Condition | Fact, ...] = ()
    ordering: tuple[Ordering, ...] = ()
    start: int = 0
    stop: int | None = None
    annotations: tuple[Annotation, ...] = ()
    shown: Shown = field(default_factory=Shown)
    loads: Loading = field(default_factory=Loading)
    selections: tuple[Selection, ...] = ()
    unique: tuple[str, ...] | None = None
    lock: Lock | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def vary(self, **changes: Any) -> Self:
        """The same with other attributes; several times as fast as ``dataclasses.replace``."""
        varied = object.__new__(type(self))
        varied.__dict__.update(self.__dict__, **changes)
        return varied

    def __repr__(self) -> str:
        # Conditions hold callers' values, which have no place in a log.
        return f"<{type(self).__name__} of {self.model.__name__}>"

    @property
    def mapper(self) -> Mapper[M]:
        """The model's mapper."""
        return mapper_of(self.model)

    @property
    def is_sliced(self) -> bool:
        """Whether a slice has been taken."""
        return bool(self.start) or self.stop is not None

    @property
    def is_grouped(self) -> bool:
        """Whether rows are grouped."""
        return self.shown.groups is not None

    @property
    def shows_objects(self) -> bool:
        """Whether each row becomes an object of the model."""
        return self.shown.kind is Kind.OBJECT

    def refuse_slice(self, verb: str) -> None:
        """Refuse what would change which rows a slice holds.

        Raises:
            TypeError: A slice has been taken.
        """
        if self.is_sliced:
            raise TypeError(f"Cannot {verb} once a slice has been taken: slice last.")

    def check_as_value(self, name: str, path: Path) -> None:
        """Refuse these rows as the value of a lookup that could make nothing of them.

        Args:
            name: The lookup, as it is written.
            path: What it was resolved to.

        Raises:
            ValueError: They show several values, or may be several where one is taken.
            TypeError: They are objects of another model than the one whose key is compared.
        """
        is_one = self.stop is not None and self.stop - self.start <= 1
        if path.lookup.operand is Operand.VALUE and not is_one:
            raise ValueError(f"{name} takes one row: slice the queryset, as in [:1], or write {name}__in.")
        if not self.shows_objects and sum(self.widths()) > 1 and path.attribute != "pk":
            raise ValueError(f"{name} takes one value of each row, and the queryset shows {len(self.value_names())}.")
        owner = path.owner
        is_key = self.shows_objects and owner is not None and path.attribute in ("pk", *key_names(owner))
        if owner is not None and is_key and not (issubclass(self.model, owner) or issubclass(owner, self.model)):
            raise TypeError(f"{name} takes rows of {owner.__name__}, not of {self.model.__name__}.")

    # Names

    def annotation_names(self) -> list[str]:
        """The names of the annotations."""
        return [annotation.name for annotation in self.annotations]

    def named(self, entity: Any = None, reach: Reach | None = related_condition) -> dict[str, ColumnElement[Any]]:
        """The annotations in SQL, on the model or on an alias of it; ``reach`` is what narrows related rows."""
        found: dict[str, ColumnElement[Any]] = {}
        entity = self.model if entity is None else entity
        for annotation in self.annotations:
            value = annotation.value
            if isinstance(value, Expression):
                of_groups = annotation.of_groups
                names = GroupNames(entity, reach, found, None) if of_groups else RowNames(entity, reach, found)
                value = value.resolve(names)
            else:
                value = adapted(value, entity, is_value=True)
            found[annotation.name] = value
        return found

    def find(self, name: str) -> Any:
        """The one value that ``name`` stands for in each row: an attribute, an annotation, a path over to-one relations.

        Raises:
            UnknownPath: The name is not there.
            ImproperlyConfigured: It leads to many rows.
        """
        return self._names()(name)

    def check_name(self, name: str) -> None:
        """Raise what ``find`` raises, and ask no policy: nobody may have said yet who is asking.

        Raises:
            UnknownPath: The name is not there.
            ImproperlyConfigured: It leads to many rows.
        """
        if self.annotations:
            RowNames(self.model, None, self.named(reach=None))(name)
        else:
            named: Any = self.model
            _check_name(named, name)

    def _names(self, entity: Any = None) -> RowNames:
        return RowNames(self.model if entity is None else entity, related_condition, self.named(entity))

    # Parts of statements

    def where(self, entity: Any = None) -> list[ColumnElement[bool]]:
        """The conditions in SQL, on the model or on an alias of it: those of the row policy and of soft deletion first."""
        entity = self.model if entity is None else entity
        policy = policy_condition(entity) if self.guarded else None
        shown = None if self.shows_deleted else not_deleted(entity)
        found = [condition for condition in (policy, shown) if condition is not None]
        ground = Ground(entity, related_condition, self.named(entity) if self.annotations else {})
        return [*found, *(_condition(item, ground) for item in self.conditions if not self._is_of_groups(item))]

    def having(self) -> list[ColumnElement[bool]]:
        """The conditions on groups."""
        ground = Ground(self.model, related_condition, self.named())
        return [_condition(item, ground) for item in self.conditions if self._is_of_groups(item)]

    def _is_of_groups(self, condition: Condition | Fact) -> bool:
        of_groups = {annotation.name for annotation in self.annotations if annotation.of_groups}
        for name, value in leaves(condition) if of_groups and isinstance(condition, Q) else ():
            names = [name, *(value.names() if isinstance(value, Expression) else ())]
            if any(annotation_in(found, of_groups) for found in names):
                return True
        return False

    def _check_order(self, columns: Mapping[str, Any]) -> None:
        """Refuse an order of distinct rows that PostgreSQL would refuse, and SQLite would answer somehow.

        Raises:
            ValueError: Rows are ordered by what they do not show, or do not begin with what makes them distinct.
        """
        by = [ordering.by for ordering in self.ordering]
        if self.unique == () and not all(isinstance(name, str) and name in columns for name in by):
            raise ValueError("Distinct values are ordered by what they show: name it in values(), or in order_by().")
        if self.unique and by and set(by[: len(self.unique)]) != set(self.unique):
            raise ValueError(f"distinct{self.unique}: the order begins with the same names.")

    def _distinct(self, statement: Select[Any], names: RowNames) -> Select[Any]:
        columns = [names(name) for name in self.unique or ()]
        return statement.ext(load_postgresql().distinct_on(*columns)) if columns else statement.distinct()

    def order(self, labels: Mapping[str, Any] | None = None) -> list[Any]:
        """The entries of the ORDER BY; by the labels of annotations, where the statement shows them."""
        if not self.ordering:
            return []
        names = self._names()
        shown = {name: [label] for name, label in (labels or {}).items()}
        return [entry for ordering in self.ordering for entry in self._ends(ordering, names, shown)]

    def _entries(self, ordering: Ordering, names: Any) -> list[Any]:
        by = ordering.by
        if isinstance(by, Expression):
            return [ordering.over(by.resolve(names))]
        if not isinstance(by, str):
            return [_with_nulls(_turned(by) if ordering.descending else by)]
        if by == "pk":
            return [ordering.over(column) for column in key_of(self.model)]
        return [ordering.over(names(by))]

    def cut(self, statement: Select[Any]) -> Select[Any]:
        """``statement`` with this slice."""
        if self.start:
            statement = statement.offset(self.start)
        if self.stop is not None:
            statement = statement.limit(max(self.stop - self.start, 0))
        return statement

    # Statements

    def statement(self) -> Select[Any]:
        """The SELECT of the model's rows, as SQLAlchemy has it, with their lock."""
        return self._locked(self._rows())

    def _locked(self, statement: Select[Any]) -> Select[Any]:
        if self.lock is None:
            return statement
        skip_locked, nowait = self.lock.skip_locked, self.lock.nowait
        return statement.with_for_update(of=self.model, skip_locked=skip_locked, nowait=nowait)

    def _rows(self, labels: Mapping[str, Any] | None = None) -> Select[Any]:
        statement = select(self.model).where(*self.where()).order_by(*self.order(labels))
        if self.unique:
            self._check_order({})
            statement = self._distinct(statement, self._names())
        return self.cut(statement)

    def objects_statement(self) -> Select[Any]:
        """The SELECT of objects, with what they come with and their annotations."""
        labels = {name: value.label(name) for name, value in self.named().items()}
        return self._locked(self._rows(labels)).add_columns(*labels.values())

    def value_names(self) -> tuple[str, ...]:
        """The names of the values that each row shows."""
        return self.shown.names or (*self.mapper.column_attrs.keys(), *self.annotation_names())

    def values_statement(self) -> Select[Any]:
        """The SELECT of values: those that are shown first, in their order."""
        names, groups = self._names(), self.shown.groups
        shown = self.value_names()
        keys = () if groups is None else tuple(name for name in groups if name not in shown)
        columns = {name: self._labelled(name, names) for name in (*shown, *keys)}
        flat = [column for found in columns.values() for column in found]
        statement = select(*flat).select_from(self.model).where(*self.where())
        if groups:
            # By their places: a parameter in an expression would make two of one.
            grouped = [column for name in groups for column in columns[name]]
            places: list[Any] = [literal_column(str(flat.index(column) + 1)) for column in grouped]
            statement = statement.group_by(*places)
        if groups is not None and (having := self.having()):
            statement = statement.having(*having)
        self._check_order(columns)
        statement = statement.order_by(*(entry for item in self.ordering for entry in self._ends(item, names, columns)))
        if self.unique is not None:
            statement = self._distinct(statement, names)
        return self.cut(statement)

    def widths(self) -> list[int]:
        """How many columns each value takes: a key of several has several."""
        composite = len(self.mapper.primary_key)
        return [composite if name == "pk" else 1 for name in self.value_names()]

    def _labelled(self, name: str, names: RowNames) -> list[Any]:
        if name != "pk" or len(self.mapper.primary_key) == 1:
            return [names(name).label(name)]
        return [column.label(f"pk__{place}") for place, column in enumerate(key_of(self.model))]

    def _ends(self, ordering: Ordering, names: RowNames, columns: Mapping[str, list[Any]]) -> list[Any]:
        """An entry of the ORDER BY: by the value that is shown, where it is."""
        if isinstance(ordering.by, str) and ordering.by in columns:
            return [ordering.over(column) for column in columns[ordering.by]]
        return self._entries(ordering, names)

    def count_statement(self) -> Select[Any]:
        """The SELECT of the number of rows."""
        if self.shows_objects and not self.is_sliced and not self.unique:
            return select(func.count()).select_from(self.model).where(*self.where())
        rows = self.unordered()
        inner = rows._rows().with_only_columns(*key_of(self.model)) if self.shows_objects else rows.values_statement()  # noqa: SLF001 (its own class)
        return select(func.count()).select_from(inner.subquery())

    def unordered(self) -> Self:
        """The same rows in any order, where the order does not say which rows they are."""
        return self if self.is_sliced or self.unique or not self.ordering else self.vary(ordering=())

    def exists_clause(self) -> ColumnElement[bool]:
        """``EXISTS (SELECT ... these rows ...)``, to stand in another statement."""
        if self.shows_objects:
            return self.cut(select(1).select_from(self.model).where(*self.where())).correlate(None).exists()
        return self.unordered().values_statement().correlate(None).exists()

    def __clause_element__(self) -> Select[Any]:
        """These rows as they stand in another statement: ``filter(author__in=queryset)``."""
        if self.shows_objects:
            return self._rows().with_only_columns(*key_of(self.model), maintain_column_froms=True).correlate(None)
        return self.unordered().values_statement().correlate(None)

    def aggregate_statement(self, aggregates: dict[str, Expression]) -> Select[Any]:
        """The SELECT of one row: each aggregate over all of these rows."""
        if not self.shows_objects and (self.is_grouped or self.unique is not None):
            rows = self.unordered().values_statement().subquery()
            names: Any = ColumnNames(rows)
            return select(*(value.resolve(names).label(name) for name, value in aggregates.items())).select_from(rows)
        narrowed: Description[M, Any] = self
        if self.is_sliced or self.unique:
            these = self._rows().with_only_columns(*key_of(self.model), maintain_column_froms=True).correlate(None)
            narrowed = self.vary(guarded=False, conditions=(Q(pk__in=these),), ordering=(), start=0, stop=None)
        names = GroupNames(self.model, related_condition, narrowed.named(), narrowed.where)
        columns: list[Any] = [value.resolve(names).label(name) for name, value in aggregates.items()]
        if names.has_subqueries:
            # They alone would come once for each of the rows.
            columns.append(func.count())
        return select(*columns).select_from(self.model).where(*narrowed.where())


def _condition(item: Condition | Fact, ground: Ground) -> ColumnElement[bool]:
    """A condition in SQL."""
    return adapted(item.make(None), ground.entity) if isinstance(item, Term) else to_sql((item,), ground)


@lru_cache(maxsize=4096)
def _check_name(model: Any, name: str) -> None:
    """Refuse what is no value of a row; names that are right are few, and kept."""
    column_at(model, name)


def _turned(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """An entry of an ORDER BY, turned round."""
    turned = {
        operators.asc_op: operators.desc_op,
        operators.desc_op: operators.asc_op,
        operators.nulls_first_op: operators.nulls_last_op,
        operators.nulls_last_op: operators.nulls_first_op,
    }
    if not isinstance(expression, UnaryExpression) or expression.modifier not in turned:
        return expression.desc()
    inner = expression.element
    if expression.modifier in (operators.nulls_first_op, operators.nulls_last_op):
        inner = _turned(inner)
    return UnaryExpression(inner, modifier=turned[expression.modifier], wraps_column_expression=False)


def _with_nulls(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """An entry of an ORDER BY whose nulls stand where those of names do, unless it says where."""
    modifier = getattr(expression, "modifier", None)
    if modifier in (operators.nulls_first_op, operators.nulls_last_op) or not hasattr(expression, "nulls_last"):
        return expression
    return expression.nulls_first() if modifier is operators.desc_op else expression.nulls_last()
