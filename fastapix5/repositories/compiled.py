"""The statements of the generated API, taken apart: their shape, their values, and how to make them with places for these."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Executable, Null, Select, select
from sqlalchemy.orm import Mapper

from fastapix5.repositories.description import Description
from fastapix5.repositories.facts import bare, bounds_of, selected, shape_of, terms_of
from fastapix5.repositories.policies import reach_of
from fastapix5.repositories.reads import Read
from fastapix5.repositories.shapes import (
    OPAQUE,
    Fact,
    Shapeless,
    Slots,
    Term,
    bound_slot,
    made,
    opaque,
    parameters_of,
    shapes_of,
    values_of,
)
from fastapix5.repositories.storing import EXPRESSIONS
from fastapix5.repositories.writes import delete_statement, insert_statement, update_statement


def rows_term(rows: Description[Any, Any], read: Read) -> Term[Select[Any]]:
    """The SELECT of what ``read`` shows of some rows."""

    def whole() -> Select[Any]:
        return read.statement(rows.statement()).execution_options(**rows.options)

    try:
        shape, terms, related = shape_of(rows), terms_of(rows), read.terms()
        shapes = ("rows", read, shape, shapes_of(related), shapes_of(terms))
    except Shapeless:
        return opaque(whole)

    def make(slots: Slots | None) -> Select[Any]:
        if slots is None:
            return whole()
        own = sum(len(term.values) for term in related)
        said = dict(zip(read.targets, made(related, slots), strict=False))
        return read.statement(selected(rows, terms, slots[own:]), reach_of(said))

    values = (*values_of(related), *values_of(terms), *bounds_of(rows))
    return Term(shapes, values, make, parameters_of((*related, *terms)))


def count_term(rows: Description[Any, Any], facts: Sequence[Fact]) -> Term[Select[Any]]:
    """The SELECT of the number of rows, and of whether each of ``facts`` holds."""

    def whole() -> Select[Any]:
        return number_statement(rows, made(facts, None)).execution_options(**rows.options)

    unordered = rows.unordered()
    try:
        shapes = ("count", shape_of(unordered), shapes_of(facts), shapes_of(terms := terms_of(unordered)))
    except Shapeless:
        return opaque(whole)
    if rows.is_sliced:
        return opaque(whole)

    def make(slots: Slots | None) -> Select[Any]:
        if slots is None:
            return whole()
        own = sum(len(term.values) for term in facts)
        return number_statement(bare(unordered, made(terms, slots[own:])), made(facts, slots))

    return Term(shapes, (*values_of(facts), *values_of(terms)), make, parameters_of((*facts, *terms)))


def number_statement(rows: Description[Any, Any], facts: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The SELECT of one row: the number of rows, and whether each of ``facts`` holds."""
    number = rows.count_statement().order_by(None)
    columns: Any = (number.scalar_subquery(), *facts)
    return select(*columns) if facts else number


def facts_term(facts: Sequence[Fact]) -> Term[Select[Any]]:
    """The SELECT of whether each of ``facts`` holds."""

    def make(slots: Slots | None) -> Select[Any]:
        columns: Any = made(facts, slots)
        return select(*columns)

    return Term(_shape("facts", None, facts), values_of(facts), make, parameters_of(facts))


def insert_term(mapper: Mapper[Any], data: Mapping[str, Any], facts: Sequence[Fact], read: Read) -> Term[Executable]:
    """The INSERT of a row where every one of ``facts`` holds, which returns what ``read`` shows of it."""
    return _write_term("insert", insert_statement, mapper, data, facts, read)


def update_term(mapper: Mapper[Any], data: Mapping[str, Any], facts: Sequence[Fact], read: Read) -> Term[Executable]:
    """The UPDATE of the rows for which ``facts`` hold, which returns what ``read`` shows of them."""
    return _write_term("update", update_statement, mapper, data, facts, read)


def delete_term(mapper: Mapper[Any], facts: Sequence[Fact]) -> Term[Executable]:
    """The DELETE of the rows for which ``facts`` hold, which returns their keys."""

    def make(slots: Slots | None) -> Executable:
        statement: Executable = delete_statement(mapper, made(facts, slots))
        return statement

    return Term(_shape("delete", mapper, facts), values_of(facts), make, parameters_of(facts))


def one_row_shape(mapper: Mapper[Any], facts: Sequence[Fact]) -> Hashable:
    """What decides whether ``facts`` can hold for one row at most."""
    return _shape("one row", mapper, facts)


def _write_term(
    verb: str, build: Any, mapper: Mapper[Any], data: Mapping[str, Any], facts: Sequence[Fact], read: Read
) -> Term[Executable]:
    related = _related(read)
    bound = {name: value for name, value in data.items() if not isinstance(value, EXPRESSIONS)}
    terms = (*related, *facts)

    def make(slots: Slots | None) -> Executable:
        if slots is None:
            statement: Executable = build(mapper, data, made(facts, None), read.returning())
            return statement
        columns = mapper.column_attrs
        places = dict(zip(bound, slots, strict=False))
        written = {
            name: bound_slot(places[name], columns[name].columns[0].type) if name in places else value
            for name, value in data.items()
        }
        conditions = made(terms, slots[len(bound) :])
        reach = reach_of(dict(zip(read.targets, conditions[: len(related)], strict=False)))
        returned: Executable = build(mapper, written, conditions[len(related) :], read.returning(reach))
        return returned

    columns = tuple(data) if len(bound) == len(data) else _columns(data, bound)
    values = (*bound.values(), *values_of(terms))
    return Term(_shape(verb, read, terms, columns), values, make, parameters_of(terms))


def _columns(data: Mapping[str, Any], bound: Mapping[str, Any]) -> Hashable:
    """What of ``data`` decides the text: its names, and where the null of JSON stands; other SQL has no shape here."""
    if all(isinstance(value, Null) for name, value in data.items() if name not in bound):
        return tuple((name, name in bound) for name in data)
    return OPAQUE


def _related(read: Read) -> tuple[Term[Any], ...]:
    try:
        return read.terms()
    except Shapeless:
        return (opaque(lambda: None),)


def _shape(verb: str, what: Hashable, terms: Sequence[Term[Any]], columns: Hashable = ()) -> Hashable:
    try:
        return OPAQUE if columns is OPAQUE else (verb, what, columns, shapes_of(terms))
    except Shapeless:
        return OPAQUE
