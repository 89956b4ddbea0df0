"""Find a row, or create it, while others do the same."""

from __future__ import annotations

import decimal
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, cast, func, inspect, select
from sqlalchemy.orm import Mapper

from fastapix5.db.transactions import atomic
from fastapix5.exceptions import UniqueViolation
from fastapix5.repositories.expressions import Expression
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.references import is_to_one, related_key
from fastapix5.repositories.uniques import unique_keys
from fastapix5.repositories.writer import Writer

M = TypeVar("M")


async def get_or_create(
    queryset: Reading[M, Any], defaults: Mapping[str, Any] | None, lookups: Mapping[str, Any]
) -> tuple[M, bool]:
    """The row that matches, or a new one; see ``QuerySet.get_or_create``."""
    finder = Finder(queryset, lookups)
    return await finder.get_or_create(lambda: finder.writer.create(finder.new_values(defaults)))


async def update_or_create(
    queryset: Reading[M, Any],
    defaults: Mapping[str, Any] | None,
    create_defaults: Mapping[str, Any] | None,
    lookups: Mapping[str, Any],
) -> tuple[M, bool]:
    """The row that matches, updated, or a new one; see ``QuerySet.update_or_create``."""
    finder = Finder(queryset, lookups)
    new = defaults if create_defaults is None else create_defaults

    async def update(instance: M) -> M:
        return await finder.writer.update(instance, finder.values(defaults))

    return await finder.update_or_create(update, lambda: finder.writer.create(finder.new_values(new)))


class Finder(Generic[M]):
    """Looks for one row; whoever looks for the same one waits, before it is created.

    Args:
        queryset: Among which rows.
        lookups: What the row meets; those without ``__`` are also what a new row has.

    Raises:
        TypeError: The queryset is sliced, or shows values.
    """

    def __init__(self, queryset: Reading[M, Any], lookups: Mapping[str, Any]) -> None:
        queryset.refuse_slice("get_or_create")
        if not queryset.shows_objects:
            raise TypeError("get_or_create() and update_or_create() return objects: they cannot follow values().")
        self.rows: Reading[M, M] = queryset.filter(**lookups) if lookups else queryset
        self.lookups = lookups
        self.writer: Writer[M] = Writer(queryset.model, queryset.alias, guarded=queryset.guarded)

    async def get_or_create(self, create: Callable[[], Awaitable[M]]) -> tuple[M, bool]:
        """The row, or what ``create`` makes; and whether it did."""
        found = await self.rows.get_or_none()
        if found is not None:
            return found, False
        async with atomic(self.writer.alias):
            return await self._create(self.rows, create)

    async def update_or_create(
        self, update: Callable[[M], Awaitable[M]], create: Callable[[], Awaitable[M]]
    ) -> tuple[M, bool]:
        """The row as ``update`` returns it, or what ``create`` makes; and whether it did."""
        locked = self.rows.select_for_update()
        async with atomic(self.writer.alias):
            found, created = await locked.get_or_none(), False
            if found is None:
                found, created = await self._create(locked, create)
            return (found if created else await update(found)), created

    async def _create(self, rows: Reading[M, M], create: Callable[[], Awaitable[M]]) -> tuple[M, bool]:
        """Look again when nobody else can create the row, and create it; who is told that it is there looks once more."""
        try:
            # Within a savepoint: the end of a whole transaction would leave the session's objects without values.
            async with atomic(self.writer.alias):
                await self._take_turn()
                found = await rows.get_or_none()
                return (await create(), True) if found is None else (found, False)
        except UniqueViolation:
            found = await rows.get_or_none()
            if found is None:
                raise
            return found, False

    def new_values(self, defaults: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a new row has."""
        plain = {name: value for name, value in self.lookups.items() if "__" not in name}
        return plain | {name: _called(value) for name, value in (defaults or {}).items()}

    def values(self, defaults: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is written to a row that is there."""
        found = {name: _called(value) for name, value in (defaults or {}).items()}
        return {
            name: value.resolve(self.rows.find) if isinstance(value, Expression) else value
            for name, value in found.items()
        }

    async def _take_turn(self) -> None:
        """Wait until nobody else is about to create the row; on SQLite, the transaction is the turn."""
        given = {name for name, value in self.lookups.items() if value is not None}
        if any(given.issuperset(key.names) for key in unique_keys(self.writer.mapper)):
            return  # The key makes the second one wait for the first.
        mapper = self.writer.mapper
        connection = await self.writer.session.connection(bind_arguments={"mapper": mapper})
        if connection.dialect.name == "postgresql":
            await self.writer.ask(select(func.pg_advisory_xact_lock(cast(self._number(), BigInteger))))

    def _number(self) -> int:
        """A number for what is looked for: the same for all who do."""
        named = {name.removesuffix("__exact"): value for name, value in self.lookups.items()}
        words = (f"{name}={_word(value)}" for name, value in _with_keys(self.writer.mapper, named).items())
        text = "\n".join((str(self.writer.mapper.local_table), *sorted(words)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _called(value: Any) -> Any:
    return value() if callable(value) and not isinstance(value, Expression) else value


def _with_keys(mapper: Mapper[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with foreign keys in the place of the objects that they name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        is_object = is_to_one(mapper, name) and isinstance(value, mapper.relationships[name].mapper.class_)
        found.update((related_key(mapper, name, value) if is_object else None) or {name: value})
    return found


def _word(value: Any) -> str:
    """A value as a word: equal numbers are one, and an object is its row."""
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(decimal.Decimal(value).normalize())
    state = inspect(value, raiseerr=False)
    return repr(getattr(state, "identity", None) or value)
