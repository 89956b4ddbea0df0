"""Querysets taken apart: what of a description decides the text of a statement, and what the statement binds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Integer, Select

from fastapix5.models import not_deleted
from fastapix5.repositories.conditions import Ground, Q, to_sql
from fastapix5.repositories.description import Description
from fastapix5.repositories.lookups import walk
from fastapix5.repositories.policies import has_policies, policy_terms, related_condition
from fastapix5.repositories.shapes import (
    Fact,
    Shapeless,
    Slots,
    Term,
    bound_slot,
    fact_of,
    made,
    opaque,
    parameters_of,
    shapes_of,
    term_of,
    values_of,
)
from fastapix5.schemas import mapper_of

D = TypeVar("D", bound=Description[Any, Any])


def shape_of(rows: Description[Any, Any]) -> Hashable:
    """What decides the text besides the conditions: the order, and whether rows are cut.

    Raises:
        Shapeless: The rows are more than rows of the model in some order.
    """
    if rows.annotations or rows.unique is not None or rows.lock or rows.options or not rows.shows_objects:
        raise Shapeless
    order = tuple([(item.by, item.descending, item.nulls_last) for item in rows.ordering])
    if order and not all(_is_plain(rows.model, by) for by, _, _ in order):
        raise Shapeless
    return (rows.model, rows.shows_deleted, order, rows.start > 0, rows.stop is not None)


def terms_of(rows: Description[Any, Any]) -> tuple[Fact, ...]:
    """The conditions, those of the row policy first; what soft deletion hides is part of the shape.

    Raises:
        Shapeless: They cannot be taken apart.
    """
    if rows.annotations:
        raise Shapeless
    policy = policy_terms(rows.model) if rows.guarded else ()
    return (*policy, *_own_terms(rows)) if rows.conditions else policy


def _own_terms(rows: Description[Any, Any]) -> list[Fact]:
    model, narrowed = rows.model, has_policies()
    return [
        item if isinstance(item, Term) else term_of(item, model, related_condition, narrowed=narrowed)
        for item in rows.conditions
    ]


def taken_apart(rows: D) -> D:
    """The same rows, for whoever makes several statements of them: their conditions are taken apart once."""
    if not rows.conditions or rows.annotations:
        return rows
    try:
        return rows.vary(conditions=tuple(_own_terms(rows)))
    except Shapeless:
        return rows


def key_fact(model: type[Any], key: Mapping[str, Any]) -> Fact:
    """That a row has a key, which is given by attribute: what ``filter(**key)`` says, as far as it can be taken apart."""
    condition = Q(**key)
    try:
        return term_of(condition, model, related_condition, narrowed=has_policies())
    except Shapeless:
        return opaque(lambda: to_sql((condition,), Ground(model, related_condition)))


def facts_of(rows: Description[Any, Any]) -> tuple[Fact, ...]:
    """Every condition, taken apart as far as it can be: what ``where`` is in SQL."""
    try:
        terms = terms_of(rows)
    except Shapeless:
        return tuple(map(fact_of, rows.where()))
    shown = None if rows.shows_deleted else not_deleted(rows.model)
    return terms if shown is None else (fact_of(shown), *terms)


def exists_fact(rows: Description[Any, Any]) -> Fact:
    """That there are such rows, taken apart as far as it can be. The caller's policies are asked now, not when the SQL is made."""
    if rows.is_sliced:
        return fact_of(rows.exists_clause())
    try:
        shape, terms = shape_of(rows), terms_of(rows)
        shapes = ("exists", shape, shapes_of(terms))
    except Shapeless:
        return fact_of(rows.exists_clause())

    def make(slots: Slots | None) -> ColumnElement[bool]:
        return bare(rows, made(terms, slots)).exists_clause()

    return Term(shapes, values_of(terms), make, parameters_of(terms))


def with_facts(rows: D, facts: Iterable[Fact]) -> D:
    """The rows where all of these hold too."""
    added = tuple(facts)
    return rows.vary(conditions=(*rows.conditions, *added)) if added else rows


def bounds_of(rows: Description[Any, Any]) -> tuple[int, ...]:
    """The values of OFFSET and LIMIT, as far as rows are cut."""
    skipped = (rows.start,) if rows.start else ()
    return skipped if rows.stop is None else (*skipped, max(rows.stop - rows.start, 0))


def selected(rows: Description[Any, Any], terms: Sequence[Fact], slots: Slots) -> Select[Any]:
    """The SELECT of the rows with places for the values of ``terms`` and ``bounds_of``."""
    statement = bare(rows, made(terms, slots)).statement()
    places = iter(slots[len(slots) - len(bounds_of(rows)) :])
    if rows.start:
        statement = statement.offset(bound_slot(next(places), Integer()))
    return statement if rows.stop is None else statement.limit(bound_slot(next(places), Integer()))


def bare(rows: D, conditions: Iterable[ColumnElement[bool]]) -> D:
    """The rows under other conditions: neither cut nor within the row policy."""
    return rows.vary(conditions=tuple(conditions), guarded=False, start=0, stop=None)


def _is_plain(model: Any, by: Any) -> bool:
    """Whether rows are ordered by a column whose SQL is always the same."""
    return type(by) is str and (by == "pk" or (_is_column(model, by) and not ("__" in by and has_policies())))


@lru_cache(maxsize=4096)
def _is_column(model: Any, name: str) -> bool:
    _, attribute, rest, owner = walk(model, name)
    return not rest and attribute in mapper_of(owner).column_attrs
