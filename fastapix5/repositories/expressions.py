"""Values that the database computes: ``F`` for a column by its name, arithmetic on it, and aggregates."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Float, Integer, Numeric, cast, distinct, func, type_coerce
from sqlalchemy.sql.functions import FunctionElement

from fastapix5.repositories.kinds import Kind, OnPostgreSQL, kind_of

# What has a date or a time in it.
TIMES = Kind.DATE | Kind.TIME | Kind.DATETIME | Kind.INTERVAL

# What can be added up; what SQLAlchemy cannot tell, the database can.
NUMBERS = Kind.INTEGER | Kind.NUMBER | Kind.INTERVAL | Kind.OTHER

# From a name (an attribute, an annotation, a path over to-one relations) to its column.
Find: TypeAlias = Callable[[str], ColumnElement[Any]]


class Expression:
    """A value that the database computes for each row: ``F("price") * 2``."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        """Compare nothing.

        Raises:
            TypeError: A comparison would be Python's, and hold for every row or for none.
        """
        if self is other:
            return True
        raise TypeError('Compare by name: filter(pages=5), filter(price__gt=F("cost")); == and != are Python\'s.')

    def resolve(self, find: Find) -> ColumnElement[Any]:
        """Return the SQL, with columns as ``find`` gives them."""
        raise NotImplementedError

    def names(self) -> Iterator[str]:
        """Every name that it needs."""
        raise NotImplementedError

    def aggregates(self) -> bool:
        """Whether an aggregate is in it."""
        return False

    def asc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> Ordering:
        """Order by it ascending; nulls stand last, unless ``nulls_first``."""
        return Ordering(self, False, _nulls(nulls_first, nulls_last))

    def desc(self, *, nulls_first: bool = False, nulls_last: bool = False) -> Ordering:
        """Order by it descending; nulls stand first, unless ``nulls_last``."""
        return Ordering(self, True, _nulls(nulls_first, nulls_last))

    def __add__(self, other: Any) -> Combined:
        return Combined(operator.add, self, other)

    def __radd__(self, other: Any) -> Combined:
        return Combined(operator.add, other, self)

    def __sub__(self, other: Any) -> Combined:
        return Combined(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Combined:
        return Combined(operator.sub, other, self)

    def __mul__(self, other: Any) -> Combined:
        return Combined(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Combined:
        return Combined(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Combined:
        return Combined(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Combined:
        return Combined(operator.truediv, other, self)

    def __floordiv__(self, other: Any) -> Combined:
        return Combined(operator.floordiv, self, other)

    def __mod__(self, other: Any) -> Combined:
        return Combined(operator.mod, self, other)

    def __neg__(self) -> Combined:
        return Combined(operator.sub, 0, self)


@dataclass(frozen=True, slots=True, eq=False)
class Ordering:
    """One entry of an order.

    Attributes:
        by: A name, an ``F`` or another expression, or SQL.
        descending: Whether the greatest comes first.
        nulls_last: Where nulls stand; None for last ascending and first descending.
    """

    by: str | Expression | ColumnElement[Any]
    descending: bool = False
    nulls_last: bool | None = None

    def reversed(self) -> Ordering:
        """The same, turned round."""
        nulls_last = None if self.nulls_last is None else not self.nulls_last
        return Ordering(self.by, not self.descending, nulls_last)

    def over(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The entry of an ORDER BY for ``column``."""
        nulls_last = not self.descending if self.nulls_last is None else self.nulls_last
        ordered = column.desc() if self.descending else column.asc()
        return ordered.nulls_last() if nulls_last else ordered.nulls_first()


def _nulls(first: bool, last: bool) -> bool | None:
    if first and last:
        raise ValueError("Nulls stand first or last, not both.")
    return last if first or last else None


@dataclass(frozen=True, slots=True, eq=False)
class F(Expression):
    """A column by its name, for updates, filters, annotations and orders: ``update(seats=F("seats") + 1)``.

    Args:
        name: An attribute, an annotation, or a path over to-one relations: ``"author__name"``.
    """

    name: str

    def resolve(self, find: Find) -> ColumnElement[Any]:
        """Return the column."""
        found = find(self.name)
        return found.__clause_element__() if hasattr(found, "__clause_element__") else found

    def names(self) -> Iterator[str]:
        """Its own."""
        yield self.name


@dataclass(frozen=True, slots=True, eq=False)
class Combined(Expression):
    """Two values and an operator. ``/`` is exact, also between whole numbers; times are added on PostgreSQL only."""

    operator: Callable[[Any, Any], Any]
    left: Any
    right: Any

    def resolve(self, find: Find) -> ColumnElement[Any]:
        """Return the SQL of the operation."""
        sides = [side.resolve(find) if isinstance(side, Expression) else side for side in (self.left, self.right)]
        found: ColumnElement[Any] = self.operator(*sides)
        if any(kind_of(getattr(side, "type", None)) & TIMES for side in sides):
            # SQLite keeps times as text, and would add the numbers that they begin with.
            return OnPostgreSQL("arithmetic with times", found)
        return found

    def names(self) -> Iterator[str]:
        """Those of both sides."""
        for side in (self.left, self.right):
            if isinstance(side, Expression):
                yield from side.names()

    def aggregates(self) -> bool:
        """Whether a side does."""
        return any(isinstance(side, Expression) and side.aggregates() for side in (self.left, self.right))


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Aggregate(Expression):
    """One value from many rows.

    Args:
        over: A name (``"books"``, ``"books__price"``) or an expression over the rows' own columns.
        filter: A ``Q`` that says which rows count.
        distinct: Whether equal values count once.
    """

    over: str | Expression
    filter: Any
    distinct: bool

    def __init__(self, over: str | Expression, *, filter: Any = None, distinct: bool = False) -> None:  # noqa: A002 (Django's name)
        object.__setattr__(self, "over", over)
        object.__setattr__(self, "filter", filter)
        object.__setattr__(self, "distinct", distinct)

    def names(self) -> Iterator[str]:
        """That of what it is over."""
        if isinstance(self.over, Expression):
            yield from self.over.names()
        elif self.over != "*":
            yield self.over

    def aggregates(self) -> bool:
        """It is one."""
        return True

    def resolve(self, find: Find) -> ColumnElement[Any]:
        """Return the aggregate as the statement around it computes it.

        Raises:
            TypeError: It stands where there are no rows to compute it from.
        """
        aggregate = getattr(find, "aggregate", None)
        if aggregate is None:
            raise TypeError(
                f"{type(self).__name__} stands in annotate() and aggregate(): name it there, and use F(name)."
            )
        found: ColumnElement[Any] = aggregate(self)
        return found

    def operand(self) -> Expression | None:
        """What it is over, as an expression; None for rows."""
        if isinstance(self.over, Expression):
            return self.over
        return None if self.over == "*" else F(self.over)

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """The aggregate over ``column``, of those rows that meet ``where``."""
        raise NotImplementedError

    def total(self, each: Callable[[Aggregate], ColumnElement[Any]]) -> ColumnElement[Any]:
        """The aggregate over all rows, from what ``each`` gives for the related rows of single ones."""
        return type(self)("*").make(each(self))

    def _call(
        self, function: Callable[[Any], FunctionElement[Any]], column: Any, where: ColumnElement[bool] | None
    ) -> Any:
        found = function(distinct(column) if self.distinct else column)
        return found if where is None else found.filter(where)


def named_aggregates(aggregates: Iterable[Aggregate], named: Mapping[str, Any]) -> dict[str, Any]:
    """All of them by name; those without one are called after what they are over: ``books__count``.

    Raises:
        TypeError: One is no aggregate, or over more than a name.
        ValueError: Two have one name.
    """
    found: dict[str, Any] = {}
    for aggregate in aggregates:
        kind = type(aggregate).__name__
        if not isinstance(aggregate, Aggregate) or not isinstance(aggregate.over, str) or aggregate.over == "*":
            raise TypeError(f"{kind} needs a name here: write name={kind}(...).")
        name = f"{aggregate.over}__{kind.lower()}"
        if name in found or name in named:
            raise ValueError(f"{name} is there twice: name one of them.")
        found[name] = aggregate
    return {**found, **named}


class Count(Aggregate):
    """How many values are not null; of ``"*"``, how many rows. Nothing gives 0."""

    __slots__ = ()

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """``count(column)``."""
        found: ColumnElement[Any] = self._call(func.count, column, where)
        return found

    def total(self, each: Callable[[Aggregate], ColumnElement[Any]]) -> ColumnElement[Any]:
        """The sum of the counts."""
        return func.coalesce(cast(func.sum(each(self)), BigInteger), 0)


class Sum(Aggregate):
    """The sum, in the column's own type; of nothing, None."""

    __slots__ = ()

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """``sum(column)``."""
        _check_number(self, column)
        found = self._call(func.sum, column, where)
        # PostgreSQL's sum of bigint is numeric.
        return cast(found, BigInteger) if isinstance(column.type, Integer) else type_coerce(found, column.type)


class Avg(Aggregate):
    """The mean: a Decimal of Decimals, else a float; of nothing, None."""

    __slots__ = ()

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """``avg(column)``."""
        _check_number(self, column)
        return _mean(self._call(func.avg, column, where), column)

    def total(self, each: Callable[[Aggregate], ColumnElement[Any]]) -> ColumnElement[Any]:
        """The sum of the sums by the sum of the counts."""
        sums, counts = each(Sum(self.over, filter=self.filter)), each(Count(self.over, filter=self.filter))
        return _mean(cast(func.sum(sums), Numeric) / func.nullif(func.sum(counts), 0), sums)


class Min(Aggregate):
    """The least value; of nothing, None."""

    __slots__ = ()

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """``min(column)``."""
        return type_coerce(self._call(func.min, column, where), column.type)


class Max(Aggregate):
    """The greatest value; of nothing, None."""

    __slots__ = ()

    def make(self, column: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
        """``max(column)``."""
        return type_coerce(self._call(func.max, column, where), column.type)


def _check_number(aggregate: Aggregate, column: ColumnElement[Any]) -> None:
    kind = kind_of(column.type)
    if not kind & NUMBERS:
        raise TypeError(
            f"{type(aggregate).__name__}({aggregate.over!r}) takes numbers, and not {(kind.name or 'text').lower()}."
        )


def _mean(average: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    exact = isinstance(column.type, Numeric) and not isinstance(column.type, Float)
    return type_coerce(average, Numeric()) if exact else cast(average, Float(53))
