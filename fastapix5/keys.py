"""How a row is named in the path, and how it hangs below the row above it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Index, UniqueConstraint
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError

from fastapix5.declarations import Declared
from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.parameters import Key
from fastapix5.schemas import attribute_names, bounded

SEGMENT = re.compile(r"[\w.~-]+")


def name_of(declared: Declared, mapper: Mapper[Any]) -> str:
    """Return the path's segment: the declared name, else the table's.

    Raises:
        ImproperlyConfigured: It is not one segment.
    """
    name = str(declared.get("name") or getattr(mapper.local_table, "name", "") or mapper.class_.__name__.lower())
    if not SEGMENT.fullmatch(name):
        what = f'"{name}" is not one path segment.'
        raise ImproperlyConfigured(f"{declared.where}.name", what, "Use letters, digits, _ and -.")
    return name


def key_of(
    declared: Declared, mapper: Mapper[Any], name: str, taken: Collection[str], link: Collection[str] = ()
) -> Key:
    """Return how one row is named in the path: by ``lookup_field``, else by the primary key.

    Args:
        declared: The viewset.
        mapper: Its model's mapper.
        name: Its segment, which makes the parameter's name unique.
        taken: The parameters' names of its ancestors.
        link: The attributes that refer to the parent, whose values the path says already.

    Raises:
        ImproperlyConfigured: ``lookup_field`` is no column or may name several rows, or ``lookup_url_kwarg`` no name
            for a parameter.
    """
    fields = _key_fields(declared, mapper, link)
    model = mapper.class_.__name__
    kwarg = declared.get("lookup_url_kwarg") or f"{snake(model)}_{'_'.join(fields)}"
    if not kwarg.isidentifier():
        what = f'"{kwarg}" cannot name a path parameter.'
        raise ImproperlyConfigured(f"{declared.where}.lookup_url_kwarg", what, "Use letters, digits and _.")
    while kwarg in taken:
        kwarg = f"{re.sub(r'[^a-zA-Z0-9_]', '_', name)}_{kwarg}"
    types = tuple(bounded(mapper.column_attrs[field].columns[0].type) for field in fields)
    which = fields[0] if len(fields) == 1 else f"{', '.join(fields)}, joined by commas"
    return Key(kwarg, fields, types, f"{model}: {which}")


def _key_fields(declared: Declared, mapper: Mapper[Any], link: Collection[str]) -> tuple[str, ...]:
    lookup = declared.get("lookup_field")
    if lookup is None:
        return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    columns = mapper.column_attrs.keys()
    if lookup not in columns:
        raise ImproperlyConfigured(
            f"{declared.where}.lookup_field",
            f'{mapper.class_.__name__} has no column "{lookup}".{did_you_mean(lookup, columns)}',
            f"Known: {', '.join(sorted(columns))}.",
        )
    if not any(unique <= {lookup, *link} for unique in _unique_fields(mapper)):
        together = "" if not link else f", or one together with {', '.join(sorted(link))}"
        raise ImproperlyConfigured(
            f"{declared.where}.lookup_field",
            f'{mapper.class_.__name__}.{lookup} is not unique, so "{lookup}" may name several rows.',
            f"Add a unique constraint on it{together}, or take another field.",
        )
    return (lookup,)


def _unique_fields(mapper: Mapper[Any]) -> Iterator[frozenset[str]]:
    """Every set of attributes whose values no two rows share: the primary key, unique constraints and indexes."""
    yield _attributes(mapper, mapper.primary_key)
    for table in mapper.tables:
        for constraint in getattr(table, "constraints", ()):
            if isinstance(constraint, UniqueConstraint):
                yield _attributes(mapper, constraint.columns)
        for index in getattr(table, "indexes", ()):
            if index.unique and _covers_rows(index):
                yield _attributes(mapper, index.columns)


def _covers_rows(index: Index) -> bool:
    """Whether an index is one of columns, over all rows: a partial one lets the others repeat a value."""
    partial = any(name.endswith("_where") and value is not None for name, value in index.dialect_kwargs.items())
    return not partial and all(isinstance(expression, Column) for expression in index.expressions)


def _attributes(mapper: Mapper[Any], columns: Iterable[Any]) -> frozenset[str]:
    """The attributes of columns; one that is not mapped stands for itself, and so fits no declaration."""
    names = set()
    for column in columns:
        try:
            names.add(mapper.get_property_by_column(column).key)
        except UnmappedColumnError:
            names.add(f"{column.table}.{column.name}")
    return frozenset(names)


def link_of(declared: Declared, mapper: Mapper[Any], parent: Mapper[Any]) -> Mapping[str, str]:
    """Return the attributes that refer to the parent, and what of it they refer to.

    Raises:
        ImproperlyConfigured: No foreign key leads to the parent, or several do and ``parent_field`` does not choose.
    """
    links = foreign_keys(mapper, parent)
    place, child, above = f"{declared.where}.parent_field", mapper.class_.__name__, parent.class_.__name__
    if not links:
        raise ImproperlyConfigured(
            place, f"no foreign key leads from {child} to {above}.", "Add one, or do not nest the two."
        )
    fields = sorted("+".join(sorted(link)) for link in links)
    chosen = declared.get("parent_field")
    if chosen is not None:
        columns = _columns_of(mapper, chosen)
        links = [link for link in links if columns & set(link)]
        if not links:
            raise ImproperlyConfigured(
                place,
                f'"{chosen}" does not lead from {child} to {above}.{did_you_mean(chosen, attribute_names(mapper))}',
                f"Known: {', '.join(fields)}.",
            )
    if len(links) > 1:
        remedy = f'Choose one: parent_field = "{fields[0].partition("+")[0]}".'
        raise ImproperlyConfigured(
            place, f"{len(links)} foreign keys lead from {child} to {above}: {', '.join(fields)}.", remedy
        )
    return links[0]


def foreign_keys(mapper: Mapper[Any], parent: Mapper[Any]) -> list[dict[str, str]]:
    """Every foreign key from a model to another, by the attributes of both; those of base tables included."""
    constraints = [found for table in mapper.tables for found in getattr(table, "foreign_key_constraints", ())]
    found = []
    for constraint in sorted(constraints, key=lambda constraint: tuple(constraint.column_keys)):
        if constraint.referred_table in parent.tables:
            with suppress(UnmappedColumnError):
                found.append(
                    {
                        mapper.get_property_by_column(element.parent).key: parent.get_property_by_column(
                            element.column
                        ).key
                        for element in constraint.elements
                    }
                )
    return found


def _columns_of(mapper: Mapper[Any], name: str) -> set[str]:
    """The column attributes that ``parent_field`` stands for: itself, or those of the relationship of this name."""
    relationship = mapper.relationships.get(name)
    if relationship is None:
        return {name}
    return {mapper.get_property_by_column(column).key for column in relationship.local_columns}


def camel(name: str) -> str:
    """``snake_case`` as ``SnakeCase``."""
    return "".join(part.capitalize() for part in name.split("_"))


def snake(name: str) -> str:
    """``CamelCase`` as ``camel_case``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
