"""What many rows are made from: objects of a model and mappings, checked one by one, each error with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect, null
from sqlalchemy.orm import Mapper

from fastapix5.exceptions import IntegrityViolation
from fastapix5.repositories.expressions import Expression
from fastapix5.repositories.naming import column_values, given_values, is_written
from fastapix5.repositories.references import is_to_one
from fastapix5.repositories.storing import storable
from fastapix5.repositories.writes import new_object


@contextmanager
def placed(index: int) -> Iterator[None]:
    """Have errors say which of several objects is wrong: ``objs[999]``."""
    place = f"objs[{index}]"
    try:
        yield
    except IntegrityViolation as violation:
        violation.place = place
        raise
    except Exception as error:
        error.add_note(f"It is {place}.")
        raise


@dataclass(frozen=True, slots=True)
class Given:
    """A row that is to be inserted.

    Attributes:
        index: Its place among those that were given.
        instance: The object that it was given as; None for a mapping.
        data: The values by attribute, checked.
    """

    index: int
    instance: Any
    data: Mapping[str, Any]

    def object_of(self, mapper: Mapper[Any]) -> Any:
        """The object for the session to insert."""
        if self.instance is None:
            return new_object(mapper, {name: _explicit(mapper, name, value) for name, value in self.data.items()})
        known = inspect(self.instance).dict
        for name, value in self.data.items():
            if value is not known.get(name):  # JSON's null, say, or a number with more digits than its column has.
                setattr(self.instance, name, value)
        return self.instance

    def columns(self, mapper: Mapper[Any]) -> dict[str, Any]:
        """The values by attributes that are columns.

        Raises:
            ValueError: A related object is not saved yet.
        """
        with placed(self.index):
            return column_values(mapper, {**self.data, **self.related(mapper)})

    def related(self, mapper: Mapper[Any]) -> dict[str, Any]:
        """What an object has in its relations."""
        if self.instance is None:
            return {}
        known = inspect(self.instance).dict
        return {name: known[name] for name in mapper.relationships.keys() if known.get(name)}  # noqa: SIM118

    def brings_others(self, mapper: Mapper[Any]) -> bool:
        """Whether other objects are inserted with it."""
        return any(
            not is_to_one(mapper, name) or inspect(value).identity is None
            for name, value in self.related(mapper).items()
        )


def leave_collections(mapper: Mapper[Any], given: Iterable[Given]) -> None:
    """Have no flush before the INSERT look for given objects in the collections that relations put them into.

    A savepoint begins with a flush, which would warn of objects that are not in the session yet; the foreign key is
    written with the object itself.
    """
    for found in given:
        for name, value in found.related(mapper).items():
            if is_to_one(mapper, name):
                state = inspect(value)
                for other in mapper.relationships[name]._reverse_property:  # noqa: SLF001 (back_populates, or a backref)
                    state.committed_state.pop(other.key, None)
                    vars(state).get("_pending_mutations", {}).pop(other.key, None)


def give(mapper: Mapper[Any], objs: Iterable[Any]) -> list[Given]:
    """Check what was given.

    Raises:
        TypeError: Something is neither an object of the model nor a mapping.
        ValueError: An object has a row already.
        UnknownPath: A mapping names what is no attribute.
        IntegrityViolation: A value is not what its column can hold.
    """
    given = []
    for index, item in enumerate(objs):
        with placed(index):
            given.append(give_one(mapper, item, index))
    return given


def give_one(mapper: Mapper[Any], item: Any, index: int = 0) -> Given:
    """Check one of them; see ``give``."""
    model = mapper.class_
    if isinstance(item, Mapping):
        for name, value in item.items():
            if isinstance(value, Expression):
                raise TypeError(f"{model.__name__}.{name}: a new row has no values yet that an expression could use.")
        return Given(index, None, storable(mapper, given_values(mapper, item)))
    if not isinstance(item, model):
        raise TypeError(f"Give objects of {model.__name__}, or mappings, not {type(item).__name__}.")
    state = inspect(item)
    if state.key is not None:
        raise ValueError(f"This {model.__name__} has a row already: bulk_update() writes it.")
    data = {name: value for name, value in state.dict.items() if is_written(mapper, name)}
    return Given(index, item, storable(mapper, data))


def _explicit(mapper: Mapper[Any], name: str, value: Any) -> Any:
    """A value for a flush, which takes None for a value that nobody gave, where the column has a default."""
    if value is not None or name not in mapper.column_attrs:
        return value
    column: Any = mapper.column_attrs[name].columns[0]
    return null() if column.default is not None or column.server_default is not None else None
