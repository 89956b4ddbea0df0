"""The session's own objects, which statements on many rows pass by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import LoaderCallableStatus, Mapper, PassiveFlag, Session
from sqlalchemy.orm.attributes import NO_VALUE, set_committed_value

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
    unload(mapper, instance, [name for name in relations if name not in changed])


def unload(mapper: Mapper[Any], instance: Any, relations: Iterable[str]) -> None:
    """Have an object forget the related objects that its foreign keys name no more; touching these relations raises."""
    state = inspect(instance)
    known = state.dict
    for name in relations:
        if name in known and state.session is not None:
            key = related_key(mapper, name, known[name]) or {}
            if any(known.get(part) != value for part, value in key.items()):
                refuse_loading(instance)
                state.session.expire(instance, [name])


# Relations that are asked by statements of their own, and never load by being touched.
ASKED = ("dynamic", "write_only", "noload")


class _Refusing:
    """What stands in an object for a relation that is not loaded: only a flush may load it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, state: Any, passive: PassiveFlag = PassiveFlag.PASSIVE_OFF) -> Any:
        relationship: Any = state.manager.mapper.relationships[self._key]
        # What raiseload() puts into the objects of a query.
        return relationship._get_strategy((("lazy", "raise"),))._load_for_state(state, passive)  # noqa: SLF001


def refuse_loading(*instances: Any) -> None:
    """Have relations that are not loaded raise when they are touched, as those of objects that a queryset loads do.

    Loaded by a statement of the ORM's own, they would go past row policies.
    """
    for instance in instances:
        state = inspect(instance)
        refusing = {found.key: _Refusing(found.key) for found in state.mapper.relationships if found.lazy not in ASKED}
        if refusing:
            state.callables = {**refusing, **state.callables}


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

    def give_back(self, written: Iterable[Any] = ()) -> None:
        """Have the objects changed again, but for those that were ``written``."""
        done = {id(instance) for instance in written}
        for instance, name, before, value in self._before:
            if id(instance) in done:
                continue
            if isinstance(before, LoaderCallableStatus):
                inspect(instance).dict.pop(name, None)
            else:
                set_committed_value(instance, name, before)
            setattr(instance, name, value)


class _Changed:
    """What an object was changed to, and from."""

    def __init__(self, session: Session, instance: Any, names: Iterable[str] | None = None) -> None:
        state: Any = inspect(instance)
        names = set(state.committed_state if names is None else state.committed_state.keys() & set(names))
        self.instance, self.state, self.session = instance, state, session
        self.values = {name: state.dict[name] for name in names if name in state.dict}
        self.before = {name: state.committed_state.pop(name) for name in names}
        if not state.committed_state and not vars(state).get("_pending_mutations"):
            state._commit_all(state.dict, session.identity_map)  # noqa: SLF001

    def give_back(self) -> None:
        """Have the object changed again, unless its row is gone."""
        state = self.state
        if self.before and self.instance in self.session and not state.was_deleted:
            state.dict.update(self.values)
            state.expired_attributes.difference_update(self.values)
            state.committed_state.update(self.before)
            state._modified_event(state.dict, None, NO_VALUE)  # noqa: SLF001 (as setting an attribute does)


@contextmanager
def set_aside(session: Session, *flushed: Any) -> Iterator[None]:
    """Have no flush within write what else was changed in the session; afterwards it is changed still, and not written.

    New objects, and changes of relations, go along where what is flushed may lead to them.

    Args:
        session: The session.
        flushed: The objects that are flushed.
    """
    alone = not any(_leads_on(instance) for instance in flushed)
    kept = {id(instance) for instance in flushed}
    changed = [
        _Changed(session, found, None if alone else inspect(found).mapper.column_attrs.keys())
        for found in session.dirty
        if id(found) not in kept
    ]
    new = [found for found in session.new if alone and id(found) not in kept]
    session._new = {state: found for state, found in session._new.items() if not alone or id(found) in kept}
    try:
        yield
    finally:
        for found in changed:
            found.give_back()
        for found in new: pass


def _leads_on(instance: Any) -> bool:
    """Whether other objects are written with one, for what was changed of its relations."""
    state: Any = inspect(instance)
    changed = state.dict if state.key is None else {*state.committed_state, *vars(state).get("_pending_mutations", ())}
    return any(name in changed for name in state.mapper.relationships.keys())  # noqa: SIM118


def made_by_updates(mapper: Mapper[Any]) -> list[str]:
    """The attributes that an UPDATE sets by itself."""
    return [name for name, prop in mapper.column_attrs.items() if _is_made(prop.columns[0])]


def _is_made(column: Any) -> bool:
    return isinstance(column, Column) and bool(column.computed or column.onupdate or column.server_onupdate)
