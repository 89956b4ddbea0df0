"""Objects with changes that nobody has written yet keep them, while the rows around them are read anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified


@contextmanager
def unflushed_kept(session: AsyncSession) -> Iterator[None]:
    """Leave the session's changed objects as they are, whatever a query that refreshes objects finds of them."""
    changed = [inspect(obj) for obj in session.dirty]
    if not changed:
        yield
        return
    before = [(state, dict(state.dict), dict(state.committed_state)) for state in changed]
    try:
        yield
    finally:
        for state, values, committed in before:
            _restore(state, values, committed)


def _restore(state: Any, values: dict[str, Any], committed: dict[str, Any]) -> None:
    if state.committed_state == committed and state.modified:
        return
    # Relations that nobody changed are not written by a flush: what was loaded of them stays loaded.
    names = {relationship.key for relationship in state.mapper.relationships} - committed.keys()
    loaded = {name: state.dict[name] for name in names & state.dict.keys()}
    state.dict.clear()
    state.dict.update(values | loaded)
    state.committed_state.clear()
    state.committed_state.update(committed)
    if committed:
        # What is flagged keeps the value before; the session learns again that there is something to write.
        flag_modified(state.obj(), next(iter(committed)))
