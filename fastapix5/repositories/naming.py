"""What a caller writes, by name: attributes, ``pk``, and objects for to-one relations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper

from fastapix5.db.dialects import loaded
from fastapix5.exceptions import TypeViolation
from fastapix5.repositories.lookups import UnknownPath
from fastapix5.repositories.references import is_to_one, related_key
from fastapix5.schemas import attribute_names

KEY = "pk"


def given_values(mapper: Mapper[Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """``data`` by attribute: ``pk`` is the attributes of the primary key, and a synonym what it stands for.

    Raises:
        UnknownPath: A name is no attribute.
        TypeError: The database computes it.
    """
    if KEY in data and KEY not in mapper.all_orm_descriptors:
        rest = {name: value for name, value in data.items() if name != KEY}
        data = {**rest, **_key_values(mapper, data[KEY])}
    if any(name in mapper.synonyms for name in data):
        data = {mapper.synonyms[name].name if name in mapper.synonyms else name: value for name, value in data.items()}
    for name in data:
        if not is_written(mapper, name):
            _refuse(mapper, name)
    return data


def are_columns(mapper: Mapper[Any], data: Mapping[str, Any]) -> bool:
    """Whether ``data`` names columns only; what else is an attribute, the ORM knows how to set."""
    return all(name in mapper.column_attrs for name in data)


def column_values(mapper: Mapper[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` by attributes that are columns: an object of a to-one relation is the key of its row.

    Raises:
        UnknownPath: A name is no attribute.
        TypeError: It is no column.
        ValueError: An object has no row yet.
    """
    found: dict[str, Any] = {}
    for name, value in given_values(mapper, data).items():
        if name in mapper.column_attrs:
            found[name] = value
        elif is_to_one(mapper, name):
            key = related_key(mapper, name, value)
            if key is None:
                raise ValueError(f"{mapper.class_.__name__}.{name}: save the {type(value).__name__} first.")
            found.update(key)
        else:
            raise TypeError(f"{mapper.class_.__name__}.{name} is no column: it cannot be written here.")
    return found


def column_of(mapper: Mapper[Any], name: str) -> Column[Any]:
    """The column that an attribute stands for.

    Raises:
        UnknownPath: The name is no attribute.
        TypeError: It is no column.
    """
    if name not in attribute_names(mapper):
        raise UnknownPath(name, name, mapper.class_.__name__, tuple(mapper.column_attrs.keys()))
    if name not in mapper.column_attrs or not isinstance(column := mapper.column_attrs[name].columns[0], Column):
        raise TypeError(f"{mapper.class_.__name__}.{name} is no column.")
    return column


def key_names(mapper: Mapper[Any]) -> list[str]:
    """The attributes of the primary key."""
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def version_name(mapper: Mapper[Any]) -> str | None:
    """The attribute that holds a row's version, or None."""
    column = mapper.version_id_col
    return None if column is None else mapper.get_property_by_column(column).key


def _key_values(mapper: Mapper[Any], value: Any) -> dict[str, Any]:
    names = key_names(mapper)
    values = value if len(names) > 1 else (value,)
    if not isinstance(values, (tuple, list)) or len(values) != len(names):
        raise TypeViolation(fields=names)
    return dict(zip(names, values, strict=True))


def is_written(mapper: Mapper[Any], name: str) -> bool:
    """Whether an attribute is a column that takes values."""
    if name not in mapper.column_attrs:
        return False
    column = mapper.column_attrs[name].columns[0]
    return isinstance(column, Column) and column.computed is None


def _refuse(mapper: Mapper[Any], name: str) -> None:
    """Refuse what is no attribute, and what only the database computes; a relation or a hybrid the ORM may set."""
    known = attribute_names(mapper)
    if name not in known:
        raise UnknownPath(name, name, mapper.class_.__name__, tuple(known))
    descriptor = mapper.all_orm_descriptors[name]
    if name in mapper.column_attrs or (
        isinstance(descriptor, loaded("sqlalchemy.ext.hybrid", "hybrid_property")) and descriptor.fset is None
    ):
        raise TypeError(f"{mapper.class_.__name__}.{name} is computed: it cannot be written.")
