"""The session's own objects, which statements on many rows pass by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import LoaderCallableStatus, Mapper
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.repositories.references import is_to_one, related_key


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
        relations = relations_of(self._mapper, names)
        for key, row in rows if self._by_key else ():
            instance = self._by_key.get(key)
            if instance is not None:
                let_know(self._mapper, instance, {name: getattr(row, name) for name in names}, relations)

    def forget(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Let go of the objects whose rows are gone."""
        for key in keys:
            if (instance := self._by_key.get(key)) is not None:
                self._session.expunge(instance)


def relations_of(mapper: Mapper[Any], names: Iterable[str]) -> list[str]:
    """The relations that the foreign keys among ``names`` make."""
    columns = {mapper.column_attrs[name].columns[0] for name in names}
    relationships = (found for found in mapper.relationships if is_to_one(mapper, found.key))
    return [found.key for found in relationships if columns & found.local_columns]


def let_know(mapper: Mapper[Any], instance: Any, values: Mapping[str, Any], relations: Iterable[str]) -> None:
    """Let an object know what was written to its row, but for attributes that were changed and not flushed.

    Args:
        mapper: The model.
        instance: The object.
        values: What was written, by attribute.
        relations: The relations that may lead elsewhere now; the object forgets what they led to.
    """
    state = inspect(instance)
    changed, known = state.committed_state, state.dict
    for name, value in values.items():
        if name not in changed:
            set_committed_value(instance, name, value)
    for name in relations:
        if name in known and name not in changed and state.session is not None:
            key = related_key(mapper, name, known[name]) or {}
            if any(known.get(part) != value for part, value in key.items()):
                state.session.expire(instance, [name])


class Withheld:
    """Changes of objects that no flush writes, because a statement does: a savepoint begins with a flush.

    Args:
        values: Objects, and the attributes that the statement writes.
    """

    def __init__(self, values: Iterable[tuple[Any, Iterable[str]]]) -> None:
        self._before: list[tuple[Any, str, Any, Any]] = []
        for instance, names in values:
            state = inspect(instance)
            if not state.modified or state.session is None:
                continue
            for name in names:
                if name in state.committed_state and name in state.dict:
                    self._before.append((instance, name, state.committed_state[name], state.dict[name]))
                    set_committed_value(instance, name, state.dict[name])
            if not state.committed_state and not vars(state).get("_pending_mutations"):
                # There is no other way to tell the session that it need not look at the object.
                state._commit_all(state.dict, state.session.identity_map)  # noqa: SLF001

    def give_back(self) -> None:
        """Have the objects changed again, since nothing was written."""
        for instance, name, before, value in self._before:
            if isinstance(before, LoaderCallableStatus):
                inspect(instance).dict.pop(name, None)
            else:
                set_committed_value(instance, name, before)
            setattr(instance, name, value)


def made_by_updates(mapper: Mapper[Any]) -> list[str]:
    """The attributes that an UPDATE sets by itself."""
    return [name for name, prop in mapper.column_attrs.items() if _is_made(prop.columns[0])]


def _is_made(column: Any) -> bool:
    return isinstance(column, Column) and bool(column.computed or column.onupdate or column.server_onupdate)
