"""``Q`` trees and what they mean in SQL.

Conditions on one relation path inside one tree hold for the same related row, as in Django: an AND of them becomes one
EXISTS. A negated part is a boundary of its own: ``~Q(...)`` means that no single related row meets all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    false,
    func,
    inspect,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import NULLTYPE

from fastapix5.repositories.expressions import Expression
from fastapix5.repositories.kinds import is_sql
from fastapix5.repositories.lookups import Path, resolve, resolve_lookup, resolve_value
from fastapix5.repositories.paths import Crossed, Reach, attribute_of, column_at
from fastapix5.repositories.vocabulary import Operand
from fastapix5.schemas import key_of

AND: Final = "AND"
OR: Final = "OR"


class Q:
    """Conditions joined by ``&``, ``|`` and ``~``: ``Q(name__icontains="a") | ~Q(seats__gte=100)``.

    A ``Q()`` without conditions holds for every row; joined to another it adds nothing: ``Q() | Q(a=1)`` is ``Q(a=1)``.

    Args:
        *conditions: Other ``Q`` objects or SQLAlchemy expressions.
        **lookups: ``field__lookup=value``.

    Raises:
        TypeError: A condition is something else: ``F("a") == 1`` would be a bool, and hold for every row or none.
    """

    __slots__ = ("children", "connector", "negated")

    def __init__(self, *conditions: Condition, **lookups: Any) -> None:
        # An iterator gives its values once, and a Q is read more often.
        kept = [(name, _kept(value)) for name, value in lookups.items()]
        for condition in conditions:
            check_condition(condition)
        self.children: tuple[Condition | tuple[str, Any], ...] = (*conditions, *kept)
        self.connector = AND
        self.negated = False

    @classmethod
    def _joined(cls, connector: str, children: Sequence[Condition], *, negated: bool = False) -> Q:
        node = cls(*children)
        node.connector = connector
        node.negated = negated
        return node

    def vary(self, children: Iterable[Condition | tuple[str, Any]]) -> Q:
        """The same with other children."""
        node = type(self)()
        node.children, node.connector, node.negated = tuple(children), self.connector, self.negated
        return node

    def __bool__(self) -> bool:
        return bool(self.children)

    def __and__(self, other: Condition) -> Q:
        return self._joined(AND, (self, other))

    def __or__(self, other: Condition) -> Q:
        return self._joined(OR, (self, other))

    def __invert__(self) -> Q:
        return self._joined(AND, (self,), negated=True)

    def __repr__(self) -> str:
        inner = f" {self.connector} ".join(repr(child) for child in self.children)
        return f"{'~' if self.negated else ''}Q({inner})"


Condition: TypeAlias = Q | SQLColumnExpression[bool]


class Ground(NamedTuple):
    """What the names in conditions stand on.

    Attributes:
        entity: The model, or an alias of it.
        reach: What narrows the related rows that the conditions cross; a related row beyond it is as good as none.
        named: Annotations by name.
        crossed: Relations that the statement has joined already, with the entities that they led to.
    """

    entity: Any
    reach: Reach | None = None
    named: Mapping[str, ColumnElement[Any]] = MappingProxyType({})
    crossed: Crossed = ()


class _Leaf(NamedTuple):
    """One lookup, rooted at an entity: a model, or the alias of a related one.

    ``crossed`` are the relations between the ground's entity and this one: an ``F`` may name the same related row.
    """

    entity: Any
    path: Path
    value: Any
    crossed: Crossed = ()

    def scope(self) -> tuple[int, str] | None:
        """The relation it has yet to cross, by entity and name; None where it stands on the entity itself."""
        return (id(self.entity), self.path.relations[0]) if self.path.relations else None

    def across(self, entity: Any) -> _Leaf:
        """The same lookup beyond the relation, on the related ``entity``."""
        name, *rest = self.path.relations
        return _Leaf(entity, replace(self.path, relations=tuple(rest)), self.value, (*self.crossed, (name, entity)))


class _Node(NamedTuple):
    connector: str
    negated: bool
    children: tuple[_Tree, ...]


_Tree: TypeAlias = _Leaf | _Node | ColumnElement[bool] | bool


def to_sql(conditions: Iterable[Condition], ground: Any) -> ColumnElement[bool]:
    """Return the SQL of ``conditions``, ANDed as one tree.

    Args:
        conditions: ``Q`` objects, and expressions on the model's columns.
        ground: A ``Ground``, or its entity alone.

    Raises:
        UnknownPath: A name in them is not there.
    """
    ground = ground if isinstance(ground, Ground) else Ground(ground)
    children = tuple(_tree(condition, ground) for condition in conditions)
    return _sql(_Node(AND, negated=False, children=children), ground)


def check_condition(condition: Any) -> None:
    """Refuse what is neither a ``Q`` nor SQL.

    Raises:
        TypeError: The error says what was given, and what is taken.
    """
    element = condition.__clause_element__() if hasattr(condition, "__clause_element__") else condition
    if not isinstance(element, (Q, ColumnElement)):
        given = repr(condition) if condition is None or isinstance(condition, bool) else type(condition).__name__
        raise TypeError(
            f"A condition is a Q, an SQLAlchemy expression, or a lookup by name such as pages__gt=5, not {given}."
        )


def _kept(value: Any) -> Any:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return value
    if isinstance(value, (set, frozenset, Iterator)) or type(value).__name__.startswith("dict_"):
        return list(value)
    return list(value) if type(value) is list else value


def check_names(condition: Condition, model: type[Any], named: Collection[str] = ()) -> None:
    """Resolve every name in ``condition``.

    Raises:
        UnknownPath: One is not there.
        ValueError: A lookup does not take its value.
    """
    for name, value in leaves(condition):
        path = _lookup_of(name, model, named)
        if hasattr(value, "check_as_value"):
            value.check_as_value(name, path)
        if not any(_stands_for_sql(item) for item in _items(value)):
            path.check(value)
        for written in (name for item in _items(value) if isinstance(item, Expression) for name in item.names()):
            if written not in named:
                resolve_value(model, written)


def _stands_for_sql(value: Any) -> bool:
    return isinstance(value, Expression) or hasattr(value, "__clause_element__") or is_sql(value)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def leaves(condition: Condition) -> Iterator[tuple[str, Any]]:
    """Every ``(field__lookup, value)`` in ``condition``."""
    for child in condition.children if isinstance(condition, Q) else ():
        if isinstance(child, tuple):
            yield child
        else:
            yield from leaves(child)


def annotation_in(name: str, named: Iterable[str]) -> str | None:
    """The annotation that ``name`` begins with, which may have a double underscore of its own."""
    found = [known for known in named if name == known or name.startswith(f"{known}__")]
    return max(found, key=len, default=None)


def _lookup_of(name: str, model: type[Any], named: Collection[str]) -> Path:
    first = annotation_in(name, named)
    if first is not None:
        rest = name[len(first) :].split("__")[1:]
        column_type = named[first].type if isinstance(named, Mapping) else NULLTYPE
        transforms, lookup = resolve_lookup(rest, first, name, column_type)
        return Path((), first, transforms, lookup)
    return resolve(model, name)


def has_subquery(expression: ColumnElement[Any]) -> bool:
    """Whether a SELECT stands in ``expression``."""
    return any(isinstance(part, SelectBase) for part in iterate(expression))


def same_row(one: Any, other: Any) -> ColumnElement[bool]:
    """The condition that two entities of one model are the same row."""
    return and_(*(left == right for left, right in zip(key_of(one), key_of(other), strict=True)))


def adapted(expression: ColumnElement[Any], entity: Any, *, is_value: bool = False) -> ColumnElement[Any]:
    """``expression``, which stands on the model's columns, on those of ``entity``: a condition, or a value."""
    found = inspect(entity)
    if not found.is_aliased_class:
        return expression
    if not has_subquery(expression):
        return ClauseAdapter(found.selectable).traverse(expression)
    # A SELECT may name the model's table for itself, so the expression stays as it is, on the same row.
    model = found.mapper.class_
    row = select(expression if is_value else literal_column("1")).select_from(model)
    row = row.where(same_row(model, entity)).correlate(entity)
    same: ColumnElement[Any] = row.scalar_subquery() if is_value else row.where(expression).exists()
    kept: ColumnElement[Any] = _unadapted(same)
    return kept


def _unadapted(expression: Any) -> Any:
    """``expression`` as it is: a join adapts what stands in its condition, but this needs it no more."""
    return expression._annotate({"no_replacement_traverse": True})  # noqa: SLF001


def _says_nothing(condition: Condition | tuple[str, Any]) -> bool:
    return isinstance(condition, Q) and not condition.negated and all(map(_says_nothing, condition.children))


def _tree(condition: Condition | tuple[str, Any], ground: Ground) -> _Tree:
    if isinstance(condition, Q):
        children = condition.children
        if condition.connector == OR:
            # Where it says something, what says nothing must not open it to every row.
            children = tuple(child for child in children if not _says_nothing(child)) or children
        return _Node(condition.connector, condition.negated, tuple(_tree(child, ground) for child in children))
    if not isinstance(condition, tuple):
        check_condition(condition)
        # An attribute of the model is a condition too.
        element: Any = condition.__clause_element__() if hasattr(condition, "__clause_element__") else condition
        return adapted(element, ground.entity)
    name, value = condition
    value = _value(value, ground.entity)
    path = _lookup_of(name, inspect(ground.entity).mapper.class_, ground.named)
    if isinstance(value, Select) and path.lookup.operand is Operand.VALUE:
        value = _unadapted(value.scalar_subquery())
    if path.attribute in ground.named and not path.relations:
        return path.make(ground.named[path.attribute], _resolved(value, ground, ground.crossed))
    leaf = _Leaf(ground.entity, path, value)
    for relation, entity in ground.crossed:
        if leaf.path.relations[:1] != (relation,):
            break
        leaf = leaf.across(entity)
    return leaf


def _value(value: Any, entity: Any) -> Any:
    """A value as a lookup takes it: what stands for SQL as SQL."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_value(item, entity) for item in value) if _holds_sql(value) else value
    element = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    if isinstance(element, ColumnElement):
        return adapted(element, entity, is_value=True)
    # The SELECT of a queryset stands for itself, and may be on the table that a join has under another name.
    return _unadapted(element) if element is not value and isinstance(element, SelectBase) else element


def _holds_sql(values: Sequence[Any]) -> bool:
    return any(_stands_for_sql(item) for item in values)


def _resolved(value: Any, ground: Ground, crossed: Crossed) -> Any:
    if isinstance(value, (list, tuple)) and _holds_sql(value):
        return [_resolved(item, ground, crossed) for item in value]
    if not isinstance(value, Expression):
        return value
    return value.resolve(lambda name: column_at(ground.entity, name, ground.reach, ground.named, crossed))


def _sql(tree: _Tree, ground: Ground) -> ColumnElement[bool]:
    if isinstance(tree, bool):
        return true() if tree else false()
    if isinstance(tree, _Leaf):
        if tree.scope() is None:
            column = attribute_of(tree.entity, tree.path.attribute)
            return tree.path.make(column, _resolved(tree.value, ground, tree.crossed))
        return _related(tree, tree, ground)
    if not isinstance(tree, _Node):
        return tree
    if tree.negated:
        # A comparison with null is unknown, and so would its negation be: exclude() keeps such rows.
        positive = _sql(_Node(tree.connector, negated=False, children=tree.children), ground)
        return not_(func.coalesce(positive, false()))
    if tree.connector == OR:
        return or_(false(), *(_sql(child, ground) for child in tree.children))
    return and_(true(), *(_sql_group(group, ground) for group in _groups(tree.children)))


def _sql_group(group: list[_Tree], ground: Ground) -> ColumnElement[bool]:
    if len(group) == 1:
        return _sql(group[0], ground)
    leaf = next(leaf for child in group for leaf in _leaves(child) if leaf.scope() is not None)
    return _related(_Node(AND, negated=False, children=tuple(group)), leaf, ground)


def _related(tree: _Tree, leaf: _Leaf, ground: Ground) -> ColumnElement[bool]:
    """EXISTS over the relation that ``leaf`` crosses, or what the tree says where no related row is there."""
    scope, name = leaf.scope(), leaf.path.relations[0]
    relationship = inspect(leaf.entity).mapper.relationships[name]
    related = aliased(relationship.mapper.class_)
    comparator = getattr(leaf.entity, name).of_type(related)
    exists = comparator.any if relationship.uselist else comparator.has
    within = None if ground.reach is None else ground.reach(related, relationship)
    narrowed = () if within is None else (within,)
    meets = _sql(_replace(tree, scope, lambda found: found.across(related)), ground)
    there = exists(and_(meets, *narrowed))
    absent = _fold(_replace(tree, scope, lambda found: found.path.meets_null(found.value)))
    return there if absent is False else or_(there, and_(not_(exists(*narrowed)), _sql(absent, ground)))


def _replace(tree: _Tree, scope: Any, change: Any) -> _Tree:
    if isinstance(tree, _Leaf):
        return change(tree) if tree.scope() == scope else tree
    if isinstance(tree, _Node) and not tree.negated:
        return _Node(tree.connector, tree.negated, tuple(_replace(child, scope, change) for child in tree.children))
    return tree


def _fold(tree: _Tree) -> _Tree:
    """Simplify the constants away."""
    if not isinstance(tree, _Node) or tree.negated:
        return tree
    children = [_fold(child) for child in tree.children]
    decisive = tree.connector == OR
    if decisive in [child for child in children if isinstance(child, bool)]:
        return decisive
    rest = tuple(child for child in children if not isinstance(child, bool))
    return _Node(tree.connector, tree.negated, rest) if rest else not decisive


def _leaves(tree: _Tree) -> Iterable[_Leaf]:
    if isinstance(tree, _Leaf):
        yield tree
    elif isinstance(tree, _Node) and not tree.negated:
        for child in tree.children:
            yield from _leaves(child)


def _groups(children: Sequence[_Tree]) -> list[list[_Tree]]:
    """Split the parts of an AND into groups that share a relation; what crosses none stands alone."""
    groups: list[tuple[set[Any], list[_Tree]]] = []
    for child in children:
        scopes = {scope for leaf in _leaves(child) if (scope := leaf.scope()) is not None}
        joined = [group for group in groups if group[0] & scopes]
        groups = [group for group in groups if not group[0] & scopes]
        merged = (scopes.union(*(group[0] for group in joined)), [*(c for group in joined for c in group[1]), child])
        groups.append(merged)
    return [group for _, group in groups]
