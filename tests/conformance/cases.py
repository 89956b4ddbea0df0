"""A case is a queryset, or what is awaited of one, and what plain Python or plain SQL say that it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import inspect, text

from fastapix5.db import atomic, get_engine


@dataclass(frozen=True)
class Case:
    """One row of a table of cases.

    Attributes:
        name: The method, a blank, and what is special; it becomes the test's id.
        ask: What is awaited.
        expected: What plain Python gives, or the SQL that says it.
    """

    name: str
    ask: Callable[[], Awaitable[Any]]
    expected: Callable[[], Any] | str

    async def answer(self) -> Any:
        """What plain Python or plain SQL give."""
        return await rows(self.expected) if isinstance(self.expected, str) else plain(self.expected())

    async def check(self) -> None:
        """Compare what is awaited with it; SQL gives rows, so a single value is that of a single row."""
        actual, expected = plain(await self.ask()), await self.answer()
        assert actual == (expected if isinstance(actual, list) or not isinstance(self.expected, str) else expected[0])


def table(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Run a test once for each case, by its name."""
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), f"names twice: {sorted(name for name in names if names.count(name) > 1)}"
    return pytest.mark.parametrize("case", cases, ids=names)


async def rows(sql: str) -> list[Any]:
    """What the database answers to plain SQL: values, or tuples where there are several columns."""
    async with get_engine().connect() as connection:
        found = (await connection.execute(text(sql))).all()
    return [row[0] if len(row) == 1 else tuple(row) for row in found]


def plain(value: Any) -> Any:
    """``value`` with the key of each object in the object's place."""
    state = inspect(value, raiseerr=False)
    if state is not None and hasattr(state, "identity"):
        key = tuple(state.mapper.primary_key_from_instance(value))
        return key if len(key) > 1 else key[0]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


class _UndoneError(Exception):
    """Ends a transaction that a test does not keep."""


@asynccontextmanager
async def undone(using: str = "default") -> AsyncIterator[None]:
    """A transaction that is rolled back when the block ends."""
    with suppress(_UndoneError):
        async with atomic(using):
            yield
            raise _UndoneError
