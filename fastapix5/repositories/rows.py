"""Single statements for the generated API: a row is written and shown, and no object is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, select

from fastapix5.db.errors import translated
from fastapix5.exceptions import MultipleObjectsReturned
from fastapix5.models import DELETED_AT, not_deleted, soft_deletes, utc_now
from fastapix5.repositories.compiled import delete_term, insert_term, one_row_shape, update_term
from fastapix5.repositories.reads import Read
from fastapix5.repositories.shapes import Fact, fact_of, made
from fastapix5.repositories.storing import storable
from fastapix5.repositories.templates import remembered
from fastapix5.repositories.writer import Writer
from fastapix5.repositories.writes import key_in, names_one_row, update_statement
from fastapix5.schemas import key_of

M = TypeVar("M")


class Written(NamedTuple):
    """What a direct write returned: the schema's instance, and the attributes that its ``Read`` selects besides."""

    instance: BaseModel
    extra: tuple[Any, ...]


class RowWriter(Writer[M], Generic[M]):
    """Writes rows by their conditions. An error ends the transaction that it finds open."""

    async def insert_row(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool] | Fact] = (),
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Insert a row where every condition holds, and return what ``read`` shows of it; None where one does not.

        ``within`` is what the row must meet once it is written, besides the row policy.
        """
        data = storable(self.mapper, data)
        narrowed = self.narrowed(data)
        facts = [fact_of(condition) for condition in (*where, *(row.exists() for row in narrowed))]
        async with self.unit(not within, savepoint=False):
            rows = await self.write(insert_term(self.mapper, data, facts, read), data)
            if not rows:
                await self.check_references(narrowed, where)
            return await self._written(rows, read, within)

    async def update_rows(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool] | Fact],
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Write ``data`` to the one row that meets every condition, and return what ``read`` shows of it.

        ``within`` is what the row must meet once it is written, besides the row policy.

        Raises:
            MultipleObjectsReturned: Several rows meet them; none is changed.
        """
        data = storable(self.mapper, data)
        narrowed = self.narrowed(data, updating=True)
        facts = [fact_of(condition) for condition in (*where, *(row.exists() for row in narrowed))]
        async with self.unit(not within and self._names_one_row(facts[: len(where)]), savepoint=False):
            rows = await self.write(update_term(self.mapper, data, facts, read), data, where)
            self._refuse_several(rows)
            if not rows:
                await self.check_references(narrowed, where)
            return await self._written(rows, read, within)

    async def delete_rows(self, where: Sequence[ColumnElement[bool] | Fact], *, several: bool = False) -> int:
        """Delete the row that meets every condition, or hide it where the model deletes softly; return how many there were.

        Args:
            where: The conditions.
            several: Whether they may be met by more than one row.

        Raises:
            MultipleObjectsReturned: Several rows meet them, though ``several`` is not set; none is deleted.
            ProtectedRow: Other rows still refer to one of them.
        """
        facts = [fact_of(condition) for condition in where]
        alone = several or self._names_one_row(facts)
        async with nullcontext() if alone else self.unit(directly=False, savepoint=False):
            if soft_deletes(self.model):
                rows = await self._hide_where(facts)
            else:
                rows = await self.send(delete_term(self.mapper, facts), deleting=True)
            if not several:
                self._refuse_several(rows)
        return len(rows)

    def _names_one_row(self, facts: Sequence[Fact]) -> bool:
        shape = one_row_shape(self.mapper, facts)
        return remembered(self.alias, shape, lambda: names_one_row(self.mapper, made(facts, None)))

    async def _hide_where(self, facts: Sequence[Fact]) -> Sequence[Any]:
        hidden = {DELETED_AT: utc_now()}
        conditions = [*made(facts, None), *(() if (shown := not_deleted(self.model)) is None else (shown,))]
        return await self.write(update_statement(self.mapper, hidden, conditions, self.mapper.primary_key), hidden)

    def _refuse_several(self, rows: Sequence[Any]) -> None:
        if len(rows) > 1:
            raise MultipleObjectsReturned(self.model.__name__)

    async def _written(self, rows: Sequence[Any], read: Read, within: Sequence[ColumnElement[bool]]) -> Written | None:
        if not rows:
            return None
        row = rows[0]
        if limits := self.limits(within):
            await self.check_within(read.root.key_of(row), limits)
        if read.may_show_itself(row):
            here = key_in(key_of(self.model), [read.root.key_of(row)])
            rows = await self.ask(read.statement(select(self.model).where(here)))
        with translated(self.mapper):
            instances = await read.instances(self.alias, rows)
        return Written(instances[0], read.extra_of(rows[0]))


@lru_cache(maxsize=1024)
def writer_of(model: Any, alias: str) -> RowWriter[Any]:
    """The writer of a mapped class in one database: it keeps nothing of what it writes, so one is enough."""
    return RowWriter(model, alias)
