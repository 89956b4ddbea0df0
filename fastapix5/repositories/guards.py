"""What stands around every write to a model: its transaction, its errors, and the reach of whoever writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper

from fastapix5.db.errors import translated
from fastapix5.db.sessions import current_scope, execute, get_session
from fastapix5.db.transactions import atomic, ended_by_errors, in_atomic
from fastapix5.db.work import work_of
from fastapix5.exceptions import ForeignKeyViolation, RowPolicyViolation
from fastapix5.repositories.policies import policy_condition
from fastapix5.repositories.references import Wanted, references, wanted, with_related_keys
from fastapix5.repositories.refreshing import set_aside
from fastapix5.repositories.shapes import Fact, Term
from fastapix5.repositories.templates import ask
from fastapix5.repositories.writes import key_in
from fastapix5.schemas import mapper_of

M = TypeVar("M")
T = TypeVar("T")

# As many keys as one statement names: PostgreSQL takes 32,767 arguments, SQLite 32,766, and a key may have several.
KEYS_PER_STATEMENT = 5_000


class Guard(Generic[M]):
    """The writes of one model in one database.

    Args:
        model: The mapped class.
        alias: The database's alias.
        guarded: Whether the model's row policy holds.
    """

    def __init__(self, model: type[M], alias: str = "default", *, guarded: bool = True) -> None:
        self.model = model
        self.alias = alias
        self.guarded = guarded
        self.mapper: Mapper[Any] = mapper_of(model)

    @property
    def session(self) -> AsyncSession:
        """The scope's session for the database."""
        return get_session(self.alias)

    @property
    def policy(self) -> ColumnElement[bool] | None:
        """The condition that the current access sets on the model's rows."""
        return policy_condition(self.model) if self.guarded else None

    def unit(
        self, directly: bool = True, *, savepoint: bool = True, checks: bool = False, flushed: Sequence[Any] = ()
    ) -> Any:
        """A transaction, where none is open and one statement does not decide everything.

        Args:
            directly: Whether one statement does all there is to do; a row policy is checked by a second one.
            savepoint: Whether what a check refuses is taken back in a transaction that goes on. Without, an error ends the
                transaction, also where it is caught inside.
            checks: Whether more than the row policy is checked after the write.
            flushed: The objects that are there already, and are written by a flush.
        """
        checked = checks or self.policy is not None
        if in_atomic(self.alias):
            if not savepoint:
                return ended_by_errors(self.alias)
            return atomic(self.alias) if checked else nullcontext()
        return self.all_or_nothing(flushed) if checked or not directly else nullcontext()

    def all_or_nothing(self, flushed: Sequence[Any] = ()) -> Any:
        """A transaction, or a savepoint in one that is open; see ``unit``."""
        return atomic(self.alias) if in_atomic(self.alias) else self._transaction(flushed)

    @asynccontextmanager
    async def _transaction(self, flushed: Sequence[Any]) -> AsyncIterator[None]:
        """A transaction that writes nothing but what it is for: its end flushes, and the caller asked for no flush."""
        with set_aside(self.session.sync_session, flushed):
            async with atomic(self.alias):
                yield

    async def execute(self, statement: Any, parameters: Any = None, *, deleting: bool = False) -> Any:
        """Run a statement that writes or deletes the model's rows."""
        session = self.session
        work = work_of(session)
        (work.deleted if deleting else work.classes).add(self.model)
        with translated(self.mapper, deleting=deleting):
            return await execute(session, statement, parameters)

    async def send(self, statement: Term[Any], *, deleting: bool = False) -> Sequence[Any]:
        """Run a statement that was taken apart, which writes or deletes the model's rows, and return its rows."""
        work = current_scope().work(self.alias)
        (work.deleted if deleting else work.classes).add(self.model)
        with translated(self.mapper, deleting=deleting):
            return await ask(self.alias, statement, writes=True)

    async def write(
        self, statement: Any, data: Mapping[str, Any], where: Sequence[ColumnElement[bool] | Fact] = ()
    ) -> Sequence[Any]:
        """Run a statement that writes ``data``, and return its rows."""
        try:
            return await self.send(statement) if isinstance(statement, Term) else (await self.execute(statement)).all()
        except ForeignKeyViolation as violation:
            if not violation.fields:
                # SQLite does not say which key failed, so ask.
                await self.check_references(wanted(self.mapper, data, updating=bool(where)), where)
            raise

    async def ask(self, statement: Any) -> Sequence[Any]:
        """Run a statement that reads."""
        with translated(self.mapper):
            return (await execute(self.alias, statement)).all()

    # References

    def narrowed(self, data: Mapping[str, Any], *, updating: bool = False) -> list[Wanted]:
        """The rows that ``data`` refers to, as far as a policy narrows them: the others the database checks."""
        return wanted(self.mapper, with_related_keys(self.mapper, data), updating=updating, narrowed=True)

    async def check_references(self, rows: Sequence[Wanted], where: Sequence[ColumnElement[bool] | Fact] = ()) -> None:
        """Raise for the first of ``rows`` that is not there.

        Args:
            rows: What is referred to.
            where: Conditions without which nobody would be told: they name the row that refers to the others.
        """
        if not rows:
            return
        conditions = [fact.make(None) if isinstance(fact, Term) else fact for fact in where]
        found = await self.ask(select(*(row.exists() for row in rows)).where(*conditions))
        for row, there in zip(rows, found[0] if found else (), strict=False):
            if not there:
                raise self.missing(row.reference.fields)

    def missing(self, fields: Sequence[str]) -> ForeignKeyViolation:
        """The error for a reference to a row that is not there."""
        return ForeignKeyViolation(table=str(getattr(self.mapper.local_table, "name", None)), fields=fields)

    # Reach

    async def check_reach(self, instance: M, within: Sequence[ColumnElement[bool]] = ()) -> None:
        """Refuse a row that its writer could not read; the transaction that wrote it has to end with the error.

        Args:
            instance: The object of the row, as it is written.
            within: Conditions that the row must meet besides the row policy.

        Raises:
            RowPolicyViolation: The row is not within the current access's reach.
        """
        if limits := self.limits(within):
            await self.check_within(tuple(self.mapper.primary_key_from_instance(instance)), limits)

    def limits(self, within: Sequence[ColumnElement[bool]] = ()) -> Sequence[ColumnElement[bool]]:
        """What a row must meet once it is written: ``within``, and the row policy."""
        policy = self.policy
        return within if policy is None else (*within, policy)

    async def check_within(self, key: tuple[Any, ...], limits: Sequence[ColumnElement[bool]]) -> None:
        """Refuse the row with this primary key where it does not meet ``limits``; see ``check_reach``."""
        here = key_in(self.mapper.primary_key, [key])
        reached = select(1).select_from(self.model).where(here, *limits).correlate(None).exists()
        if not (await self.ask(select(reached)))[0][0]:
            raise RowPolicyViolation

    def checks_written(self, names: Collection[str]) -> bool:
        """Whether rows in which these attributes were written must be checked afterwards."""
        return self.policy is not None or any(True for _ in self._narrowed_references(names))

    async def check_written(self, keys: Sequence[tuple[Any, ...]], names: Collection[str]) -> None:
        """Refuse rows that their writer could not read, and rows that refer to such.

        Args:
            keys: Primary keys of the rows, as they are written.
            names: The attributes that were written.

        Raises:
            RowPolicyViolation: A row is not within the current access's reach.
            ForeignKeyViolation: A row refers to one that is not.
        """
        policy, narrowed = self.policy, list(self._narrowed_references(names))
        errors = [RowPolicyViolation(), *(self.missing(row.reference.fields) for row in narrowed)]
        facts = [policy, *(or_(*(part.is_(None) for part in row.key), row.exists()) for row in narrowed)]
        checks = [(fact, error) for fact, error in zip(facts, errors, strict=True) if fact is not None]
        if not checks:
            return
        held = [func.count(case((fact, 1))) for fact, _ in checks]
        for chunk in chunked(keys, KEYS_PER_STATEMENT // len(self.mapper.primary_key)):
            here = key_in(self.mapper.primary_key, chunk)
            counts = (await self.ask(select(*held).select_from(self.model).where(here)))[0]
            for count, (_, error) in zip(counts, checks, strict=True):
                if count != len(chunk):
                    raise error

    def _narrowed_references(self, names: Collection[str]) -> Iterator[Wanted]:
        """Each reference of a row that is written, as far as a policy narrows the rows that it may name."""
        for reference in references(self.mapper):
            if any(name in names for name in reference.fields):
                row = Wanted(reference, tuple(self.mapper.column_attrs[name].columns[0] for name in reference.fields))
                if row.is_narrowed:
                    yield row


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in pieces of ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def in_lock_order(items: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    """``items`` in an order that all writers keep: two that want the same rows wait for each other, and not both."""
    found = list(items)
    try:
        return sorted(found, key=key)
    except TypeError:
        return sorted(found, key=lambda item: repr(key(item)))
