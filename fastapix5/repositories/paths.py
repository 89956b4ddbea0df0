"""From a name such as ``origin__name`` to the column at its end, for whatever takes one value from each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, inspect, select, tuple_
from sqlalchemy.orm import RelationshipProperty, aliased

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories.kinds import element_of
from fastapix5.repositories.lookups import many_on, resolve_value
from fastapix5.schemas import key_of

# What narrows the rows of a related entity that a statement may look at, given the relationship that led there.
Reach: TypeAlias = Callable[[Any, RelationshipProperty[Any]], ColumnElement[bool] | None]
# Relations that a statement crossed, with the entity behind each.
Crossed: TypeAlias = tuple[tuple[str, Any], ...]


def attribute_of(entity: Any, name: str) -> Any:
    """The attribute of an entity; ``pk`` is its primary key, a tuple of columns where it has several."""
    if name == "pk" and "pk" not in inspect(entity).mapper.all_orm_descriptors:
        key = key_of(entity)
        return key[0] if len(key) == 1 else tuple_(*key)
    return getattr(entity, name)


def column_at(
    entity: Any,
    name: str,
    reach: Reach | None = None,
    named: Mapping[str, ColumnElement[Any]] | None = None,
    crossed: Crossed = (),
) -> Any:
    """The one value that ``name`` stands for in each row of ``entity``: behind relations, a scalar subquery.

    Args:
        entity: A model, or an alias of one.
        name: An annotation, an attribute behind to-one relations (``author__name``), or a part of one (``since__year``).
        reach: What narrows the related rows; a row beyond it gives null.
        named: Annotations by name.
        crossed: Relations that the statement has crossed: behind them the name means the row that it has reached.

    Raises:
        UnknownPath: The name is not there.
        ImproperlyConfigured: It crosses a relation to many rows, which the statement has not crossed.
    """
    if named and name in named:
        return named[name]
    model = inspect(entity).mapper.class_
    relations, attribute, transforms = resolve_value(model, name)
    for relation, related in crossed:
        if relations[:1] != (relation,):
            break
        entity, relations = related, relations[1:]
    refuse_many("one value of each row", inspect(entity).mapper.class_, name, relations)
    found = _behind(entity, relations, attribute, reach)
    for transform in transforms:
        found = transform.make(element_of(found))
    return found


def refuse_many(what: str, model: type[Any], path: str, relations: Sequence[str]) -> None:
    """Refuse a path that leads to many rows.

    Raises:
        ImproperlyConfigured: It does; ``what`` opens the sentence behind the model's name.
    """
    many = many_on(model, relations)
    if many is not None:
        remedy = f'Write annotate(x=Min("{path}")) or another aggregate, or ask for the rows of the other model.'
        raise ImproperlyConfigured(
            f"{model.__name__}: {what}", f'"{path}" crosses {many}, which leads to many rows.', remedy
        )


def _behind(entity: Any, relations: Sequence[str], attribute: str, reach: Reach | None) -> Any:
    if not relations:
        return attribute_of(entity, attribute)
    relationship = inspect(entity).mapper.relationships[relations[0]]
    first = aliased(relationship.mapper.class_)
    join = getattr(entity, relations[0]).of_type(first).__clause_element__()
    column = _behind(first, relations[1:], attribute, reach)
    within = None if reach is None else reach(first, relationship)
    narrowed = (join,) if within is None else (join, within)
    return select(column).select_from(first).where(*narrowed).correlate_except(first).scalar_subquery()
