"""The shape of a condition: what of it decides the SQL, apart from the values that it binds.

Two conditions of one shape have one SQL text. A ``Term`` is a condition, or a statement, taken apart: its shape, its
values, and how to make its SQL with places for them. Names with plain values are taken apart as they are written;
whatever else a condition may hold becomes SQL first, and SQLAlchemy's cache key says what of that is shape.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self, TypeVar

from sqlalchemy import BindParameter, Column, ColumnElement, inspect
from sqlalchemy.orm import ColumnProperty
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import cloned_traverse
from sqlalchemy.types import NullType, TupleType, TypeEngine

from fastapix5.repositories.comparisons import MANY
from fastapix5.repositories.conditions import Condition, Ground, Q, to_sql
from fastapix5.repositories.kinds import VALUES, Kind, kind_of
from fastapix5.repositories.lookups import Path, resolve
from fastapix5.repositories.paths import Reach
from fastapix5.repositories.vocabulary import LOOKUPS, Operand, on_registration

# Lookups that bind a value as it is, whatever they make of it in SQL.
BOUND_AS_GIVEN = frozenset({"exact", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "range", "isnull"})
TEXTS = frozenset({"iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"})
# Columns whose values SQLAlchemy binds by the column's own type.
PLAIN = (
    Kind.TEXT
    | Kind.UUID
    | Kind.INTEGER
    | Kind.NUMBER
    | Kind.DATE
    | Kind.TIME
    | Kind.DATETIME
    | Kind.BOOLEAN
    | Kind.ENUM
)


T = TypeVar("T")


class Shapeless(Exception):
    """A condition whose SQL may depend on more than its shape and the number of its values."""


class Slot:
    """Stands in a statement for the value at a place.

    Args:
        place: Which of the statement's values.
    """

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place

    def __repr__(self) -> str:
        return f"<the value at {self.place}>"


class TextSlot(str):
    """The same, where a lookup takes text."""

    __slots__ = ("place",)
    place: int

    def __new__(cls, place: int) -> Self:
        """Return the slot of a place."""
        slot = super().__new__(cls)
        slot.place = place
        return slot


Slots = Sequence[int]


class Term(NamedTuple, Generic[T]):
    """A condition, or a statement, taken apart.

    Attributes:
        shape: What decides the SQL; OPAQUE where that cannot be told.
        values: What it binds.
        make: Makes the SQL for the places at which a statement has those values; for None, with the values themselves.
        parameters: Those of SQL that was given: none of them may stand in a statement that is kept.
    """

    shape: Hashable
    values: tuple[Any, ...]
    make: Callable[[Slots | None], T]
    parameters: tuple[BindParameter[Any], ...] = ()


Fact = Term[ColumnElement[bool]]


# The shape of a term that has none: its statement may run, and must not be kept.
OPAQUE = object()


def opaque(make: Callable[[], T]) -> Term[T]:
    """A term without a shape."""
    return Term(OPAQUE, (), lambda _: make())


def shapes_of(terms: Iterable[Term[Any]]) -> tuple[Hashable, ...]:
    """The shapes of the terms.

    Raises:
        Shapeless: One has none.
    """
    found = tuple([term.shape for term in terms])
    if OPAQUE in found:
        raise Shapeless
    return found


def fact_of(condition: ColumnElement[bool] | Fact) -> Fact:
    """A condition as a term, also where it has no shape."""
    if isinstance(condition, Term):
        return condition
    try:
        return expression_term(condition)
    except Shapeless:
        return opaque(lambda: condition)


def values_of(terms: Iterable[Term[Any]]) -> tuple[Any, ...]:
    """What all of the terms bind."""
    return tuple([value for term in terms for value in term.values])


def parameters_of(terms: Iterable[Term[Any]]) -> tuple[BindParameter[Any], ...]:
    """The parameters of SQL that was given with any of the terms."""
    return tuple([parameter for term in terms for parameter in term.parameters])


def made(terms: Iterable[Term[T]], slots: Slots | None) -> list[T]:
    """What the terms make, one after the other having its places among ``slots``."""
    if slots is None:
        return [term.make(None) for term in terms]
    found, start = [], 0
    for term in terms:
        end = start + len(term.values)
        found.append(term.make(slots[start:end]))
        start = end
    return found


def term_of(condition: Condition, model: type[Any], reach: Reach | None, *, narrowed: bool) -> Fact:
    """Take a condition on the rows of a model apart.

    Args:
        condition: A ``Q``, or SQL on the model's columns.
        model: The mapped class.
        reach: What narrows the related rows that it crosses.
        narrowed: Whether that depends on who is asking.

    Raises:
        Shapeless: It cannot be taken apart.
    """
    if isinstance(condition, Q):
        values: list[Any] = []
        shape = _shape(condition, model, values, narrowed)
        if shape is not None:
            return Term(shape, tuple(values), _Names(condition, model, reach))
    return expression_term(to_sql((condition,), Ground(model, reach)))


class _Names:
    """Makes the SQL of a ``Q`` whose names were taken apart."""

    __slots__ = ("condition", "model", "reach")

    def __init__(self, condition: Q, model: type[Any], reach: Reach | None) -> None:
        self.condition = condition
        self.model = model
        self.reach = reach

    def __call__(self, slots: Slots | None) -> ColumnElement[bool]:
        condition = self.condition if slots is None else _with_slots(self.condition, self.model, iter(slots))
        return to_sql((condition,), Ground(self.model, self.reach))


# Names and their values


class Leaf:
    """What a name in a condition is, as far as its values have a shape.

    Args:
        model: The mapped class that the name stands on.
        name: ``field__lookup``.
    """

    __slots__ = ("crosses", "operand", "path", "single", "takes")

    def __init__(self, model: type[Any], name: str) -> None:
        self.path: Path = resolve(model, name)
        self.crosses = bool(self.path.relations)
        self.operand: Operand | None = self.path.lookup.operand if _is_plain(self.path) else None
        # By types, whether SQLAlchemy binds values of it by the column's own; and those of which one value has a shape.
        self.takes: dict[type[Any], bool] = {}
        self.single: set[type[Any]] = {str} if self.operand is Operand.TEXT else set()

    def shape(self, value: Any) -> Any:
        """What of ``value`` is shape, hashable; None where it has none by itself."""
        kind = type(value)
        if kind in self.single:
            return kind
        match self.operand:
            case Operand.VALUE | Operand.BOOLEAN if is_word(value):
                return ("is", value)
            case Operand.VALUE if self._takes(value):
                self.single.add(kind)
                return kind
            case Operand.LIST | Operand.PAIR if type(value) in (list, tuple) and 0 < len(value) <= MANY:
                return (len(value), *map(type, value)) if all(map(self._takes, value)) else None
        return None

    def values(self, value: Any) -> Sequence[Any]:
        """What a ``value`` that has a shape binds.

        Raises:
            ValueError: The lookup does not take it.
        """
        self.path.check(value)
        if type(value) in self.single:
            return (value,)
        if is_word(value):
            return ()
        return value if self.operand in (Operand.LIST, Operand.PAIR) else (value,)

    def with_slots(self, value: Any, places: Any) -> Any:
        """``value`` with the next places in its stead."""
        if is_word(value):
            return value
        match self.operand:
            case Operand.TEXT:
                return TextSlot(next(places))
            case Operand.VALUE:
                return bound_slot(next(places), self.path.compared)
        return [bound_slot(next(places), self.path.compared) for _ in value]

    def _takes(self, value: Any) -> bool:
        """Whether SQLAlchemy binds the value by the column's own type, whatever it is."""
        kind = type(value)
        found = self.takes.get(kind)
        if found is None:
            compared = self.path.compared
            plain = not is_word(value) and isinstance(value, VALUES[kind_of(compared)])
            found = plain and compared.coerce_compared_value(operators.eq, value) is compared
            self.takes[kind] = found
        return found


def is_word(value: Any) -> bool:
    """Whether a value is a word of SQL's own, and so a part of the text: true, false or null."""
    return value is None or type(value) is bool


@lru_cache(maxsize=4096)
def _leaf_of(model: Any, name: str) -> Leaf:
    """What a name is on a mapped class; kept, since names are few and come with every request."""
    return Leaf(model, name)


on_registration.append(_leaf_of.cache_clear)


def bound_slot(place: int, column_type: TypeEngine[Any]) -> BindParameter[Any]:
    """A parameter for the value at a place."""
    return BindParameter(None, Slot(place), type_=column_type, unique=True)


def _is_plain(path: Path) -> bool:
    """Whether a name is a column of its own, compared by one of our lookups that bind values as they are given."""
    lookup = path.lookup
    if path.owner is None or path.transforms or LOOKUPS.get(lookup.name) is not lookup or not lookup.is_typed:
        return False
    compared = type(path.compared)
    is_known = compared.__module__.startswith("sqlalchemy.") and kind_of(path.compared) in PLAIN
    if not is_known or lookup.name not in (TEXTS if lookup.operand is Operand.TEXT else BOUND_AS_GIVEN):
        return False
    prop = inspect(path.owner).attrs.get(path.attribute)
    is_column = isinstance(prop, ColumnProperty) and isinstance(prop.columns[0], Column)
    return is_column and prop.comparator_factory is ColumnProperty.Comparator


def _shape(condition: Q, model: Any, values: list[Any], narrowed: bool) -> Hashable:
    """The shape of ``condition``, whose values are added; None where SQLAlchemy has to say."""
    parts: list[Hashable] = [condition.connector, condition.negated]
    for child in condition.children:
        if isinstance(child, tuple):
            name, value = child
            leaf = _leaf_of(model, name)
            found = None if leaf.crosses and narrowed else leaf.shape(value)
            if found is None:
                return None
            values += leaf.values(value)
            parts += name, found
        elif isinstance(child, Q):
            inner = _shape(child, model, values, narrowed)
            if inner is None:
                return None
            parts.append(inner)
        else:
            return None
    return tuple(parts)


def _with_slots(condition: Q, model: Any, places: Any) -> Q:
    children: list[Any] = []
    for child in condition.children:
        if isinstance(child, tuple):
            name, value = child
            children.append((name, _leaf_of(model, name).with_slots(value, places)))
        elif isinstance(child, Q):
            children.append(_with_slots(child, model, places))
    return condition.vary(children)


# SQL


def expression_term(expression: ColumnElement[bool]) -> Fact:
    """Take SQL apart, as SQLAlchemy does for its own cache.

    Raises:
        Shapeless: SQLAlchemy would not keep it either.
    """
    key = expression._generate_cache_key()  # noqa: SLF001 (what it has for caches of others is this)
    if key is None:
        raise Shapeless
    values: list[Any] = []
    sizes: list[int] = []
    for parameter in key.bindparams:
        value = parameter.effective_value
        if parameter.literal_execute or parameter.required:
            raise Shapeless
        if parameter.expanding:
            # A tuple becomes parameters of its own, and so may what has no type.
            if not isinstance(value, (list, tuple)) or isinstance(parameter.type, (TupleType, NullType)):
                raise Shapeless
            sizes.append(len(value))
            values += value
        else:
            values.append(value)
    parameters = tuple(key.bindparams)
    return Term((key.key, *sizes), tuple(values), _Expression(expression, parameters), parameters)


class _Expression:
    """Makes SQL with places instead of the values of its parameters."""

    __slots__ = ("expression", "parameters")

    def __init__(self, expression: ColumnElement[bool], parameters: Sequence[BindParameter[Any]]) -> None:
        self.expression = expression
        self.parameters = parameters

    def __call__(self, slots: Slots | None) -> ColumnElement[bool]:
        if slots is None:
            return self.expression
        places = iter(slots)
        given: dict[int, Any] = {}
        for parameter in self.parameters:
            value: Any = parameter.effective_value
            given[id(parameter)] = [Slot(next(places)) for _ in value] if parameter.expanding else Slot(next(places))

        def put(parameter: BindParameter[Any]) -> None:
            origin = next((found for found in parameter._cloned_set if id(found) in given), None)  # noqa: SLF001
            if origin is not None:
                parameter.value, parameter.callable = given[id(origin)], None

        return cloned_traverse(self.expression, {"detect_subquery_cols": True}, {"bindparam": put})
