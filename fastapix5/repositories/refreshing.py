"""The session's own objects, which statements on many rows pass by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.repositories.references import is_to_one


class Loaded:
    """The objects of a model that a session has read.

    Args:
        session: The session.
        mapper: The model.
    """

    def __init__(self, session: AsyncSession, mapper: Mapper[Any]) -> None:
        self._session = session
        self._mapper = mapper
        instances = (found for found in session.identity_map.values() if isinstance(found, mapper.class_))
        self._by_key = {inspect(found).identity: found for found in instances}

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return bool(self._by_key)

    def write(self, rows: Iterable[tuple[tuple[Any, ...], Any]], names: Sequence[str]) -> None:
        """Let objects know what was written to their rows, but for attributes that were changed and not flushed.

        Args:
            rows: Primary keys, and rows that have the values by attribute.
            names: The attributes that were written.
        """
        for key, row in rows if self._by_key else ():
            instance = self._by_key.get(key)
            if instance is not None:
                self.write_one(instance, {name: getattr(row, name) for name in names})

    def write_one(self, instance: Any, values: dict[str, Any]) -> None:
        """``write`` for one object."""
        changed = inspect(instance).committed_state
        for name, value in values.items():
            if name not in changed:
                set_committed_value(instance, name, value)
        stale = [name for name in self._relations(values) if name in inspect(instance).dict and name not in changed]
        if stale:
            self._session.expire(instance, stale)

    def forget(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Let go of the objects whose rows are gone."""
        for key in keys:
            if (instance := self._by_key.get(key)) is not None:
                self._session.expunge(instance)

    def _relations(self, names: Iterable[str]) -> Iterable[str]:
        """The relations that the foreign keys among ``names`` make."""
        columns = {self._mapper.column_attrs[name].columns[0] for name in names}
        for relationship in self._mapper.relationships:
            if is_to_one(self._mapper, relationship.key) and columns & relationship.local_columns:
                yield relationship.key


def made_by_updates(mapper: Mapper[Any]) -> list[str]:
    """The attributes that an UPDATE sets by itself."""
    return [name for name, prop in mapper.column_attrs.items() if _is_made(prop.columns[0])]


def _is_made(column: Any) -> bool:
    return isinstance(column, Column) and bool(column.computed or column.onupdate or column.server_onupdate)
