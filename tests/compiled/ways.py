"""The two ways of a statement: compiled for its shape and straight to the driver, or by SQLAlchemy's Core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from sqlalchemy import event

from fastapix5 import QuerySet
from fastapix5.db import get_engine
from fastapix5.db.engines import get_database
from fastapix5.repositories.templates import KEPT, Template


def unmoved(*_: Any) -> None:
    """Listens, and does nothing."""


@contextmanager
def by_core() -> Iterator[None]:
    """Every statement goes through SQLAlchemy's Core: somebody listens to the engine."""
    engine = get_engine().sync_engine
    event.listen(engine, "before_cursor_execute", unmoved)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", unmoved)


def kept() -> list[Template]:
    """The statements that the default database has compiled."""
    return [found for found in get_database("default").memo.get(KEPT, {}).values() if isinstance(found, Template)]


class Runs(list[str]):
    """The texts that went straight to the driver."""


async def shown(queryset: QuerySet[Any], schema: type[BaseModel]) -> tuple[bytes, int]:
    """What a queryset gives: its rows as JSON, and their number."""
    return await queryset.as_json(schema), await queryset.count()


async def different(make: Callable[[Any], QuerySet[Any]], values: Sequence[Any], schema: type[BaseModel]) -> Any:
    """For which values a chain does not give the same both ways, and what: each is asked twice, in turns with others."""
    with by_core():
        expected = [await shown(make(value), schema) for value in values]
    found = []
    for _ in range(2):
        actual = [await shown(make(value), schema) for value in values]
        found += [turn for turn in zip(values, actual, expected, strict=True) if turn[1] != turn[2]]
    return found
