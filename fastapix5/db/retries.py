"""Units of work that run again where the database could not order them beside others."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import inspect, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper, lazyload

from fastapix5.db.sessions import current_scope, get_session, has_unflushed_changes
from fastapix5.db.work import work_of
from fastapix5.exceptions import SerializationFailure

T = TypeVar("T")

# The longest pause, in seconds, before each further attempt; the pause is chosen anew between nothing and this.
PAUSES = (0.02, 0.08, 0.32)

# How many objects are read anew in one statement.
KEYS_PER_STATEMENT = 500

logger = logging.getLogger("fastapix5.db")


class Block(AbstractAsyncContextManager[Any], Protocol):
    """The transaction of one attempt.

    Attributes:
        committed: Whether what it did is kept for good: what fails after that must not run again.
    """

    committed: bool


async def run_unit(
    using: str, make_block: Callable[[], Block], unit: Callable[[], Awaitable[T]], *, again: bool = True
) -> T:
    """Run a unit of work in a transaction, and again, three times at most, where it met with others.

    Each attempt finds the session as the first one did: what a failed attempt loaded, made or changed is gone, and
    objects that were there before are read anew. A unit that stands inside a transaction, that begins with changes
    which are not yet written, or that works on a session from outside, runs once: there its beginning cannot be
    brought back.

    Args:
        using: The database's alias.
        make_block: Makes the transaction of an attempt.
        unit: What runs inside.
        again: Whether it may run again.

    Raises:
        SerializationFailure: The last attempt failed like the others.
    """
    if not (again and _is_outermost(using)):
        async with make_block():
            return await unit()
    start = Start(get_session(using))
    for pause in (*PAUSES, None):
        block = make_block()
        try:
            async with block:
                await start.restore()
                return await unit()
        except SerializationFailure as error:
            if block.committed or pause is None:
                raise
            logger.info("A transaction met with another one and runs again: %s", error.reason)
        start.forget_the_rest()
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 (it keeps no secret)
    raise AssertionError


def _is_outermost(using: str) -> bool:
    """Whether nothing that the unit would do again is outside its own transaction."""
    session = get_session(using)
    if not work_of(session).is_ours or has_unflushed_changes(session):
        return False
    return not any(work_of(found).frames for found in current_scope().sessions.values())


class Start:
    """What a session held when a unit began.

    Args:
        session: The session.
    """

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.objects: Sequence[Any] = list(session.identity_map.values())
        self.is_lost = False

    def forget_the_rest(self) -> None:
        """Take from the session what came since, and give back what went."""
        kept = {id(obj) for obj in self.objects}
        for obj in list(self.session):
            if id(obj) not in kept:
                self.session.expunge(obj)
        self.session.add_all(obj for obj in self.objects if obj not in self.session)
        self.is_lost = True

    async def restore(self) -> None:
        """Read the objects anew, where an attempt has failed."""
        if not self.is_lost:
            return
        by_mapper: dict[Mapper[Any], list[Any]] = defaultdict(list)
        for obj in self.objects:
            state: InstanceState[Any] = inspect(obj)
            by_mapper[state.mapper].append(state.identity)
        for mapper, keys in by_mapper.items():
            for start in range(0, len(keys), KEYS_PER_STATEMENT):
                chosen = tuple_(*mapper.primary_key).in_(keys[start : start + KEYS_PER_STATEMENT])
                statement = select(mapper).where(chosen).options(lazyload("*"))
                await self.session.execute(statement, execution_options={"populate_existing": True})
