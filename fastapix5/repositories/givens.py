"""What many rows are made from: objects of a model and mappings, checked one by one, each error with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Null, inspect, null
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_attribute

from fastapix5.exceptions import IntegrityViolation
from fastapix5.repositories.naming import column_values, given_values
from fastapix5.repositories.references import is_to_one, with_related_keys
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

    @property
    def written(self) -> Iterable[str]:
        """The attributes that are written, as far as they are known before the flush."""
        return self.data

    def object_of(self, mapper: Mapper[Any]) -> Any:
        """The object for the session to insert."""
        if self.instance is None:
            return new_object(mapper, {name: _explicit(mapper, name, value) for name, value in self.data.items()})
        for name, value in self.data.items():
            # JSON's null, and numbers with more digits than their column.
            if value is not inspect(self.instance).dict.get(name):
                set_attribute(self.instance, name, value)
        return self.instance

    def columns(self, mapper: Mapper[Any]) -> dict[str, Any]:
        """The values by attributes that are columns.

        Raises:
            ValueError: A related object is not saved yet.
        """
        data = dict(self.data)
        if self.instance is not None:
            state = inspect(self.instance)
            data |= {name: state.dict[name] for name in mapper.relationships.keys() if is_to_one(mapper, name) and state.dict.get(name) is not None}
        with placed(self.index):
            return column_values(mapper, data)


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
            given.append(_give(mapper, index, item))
    return given
