"""The repository: a model's rows, its row policy, and the database's errors in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from pydantic import BaseModel
from sqlalchemy import ColumnElement, inspect, select
from sqlalchemy.orm import Mapper

from fastapix5.access import Access
from fastapix5.db.errors import translated
from fastapix5.db.routing import work_of
from fastapix5.db.sessions import get_session
from fastapix5.exceptions import DoesNotExist, ForeignKeyViolation, RowPolicyViolation
from fastapix5.repositories.conditions import Condition
from fastapix5.repositories.policies import policy_condition
from fastapix5.repositories.queryset import QuerySet
from fastapix5.repositories.reads import Read
from fastapix5.repositories.references import checked, references
from fastapix5.repositories.writes import (
    cascades_deletes,
    delete_statement,
    insert_object,
    insert_statement,
    key_condition,
    single_table,
    update_object,
    update_statement,
)
from fastapix5.schemas import mapper_of

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Written:
    """What a direct write returned: the schema's instance, and the attributes that its ``Read`` selects besides."""

    instance: BaseModel
    extra: tuple[Any, ...]


class Repository(Generic[M]):
    """Reads and writes one model. It never commits: who opened the transaction does.

    ``class FlightRepository(Repository[Flight])`` names its model; ``Repository(Flight)`` does for the plain one.

    Args:
        model: The mapped class, where the class does not name it.
        using: The database alias.
    """

    model: type[M]
    queryset_class: ClassVar[type[QuerySet[Any]]] = QuerySet

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            arguments = get_args(base)
            if "model" not in cls.__dict__ and arguments and isinstance(arguments[0], type):
                cls.model = arguments[0]

    def __init__(self, model: type[M] | None = None, *, using: str = "default") -> None:
        if model is not None:
            self.model = model
        self.using = using
        self.mapper: Mapper[Any] = mapper_of(self.model)

    def row_policy(self, access: Access) -> Condition | None:
        """Override to say which rows an access may reach; None, the default, means all.

        The condition is ANDed into every statement on the model, wherever it is made.
        """
        return None

    @property
    def objects(self) -> QuerySet[M]:
        """The model's rows, within reach of the current access."""
        queryset = cast("QuerySet[M]", self.queryset_class(self.model, self.using))
        policy = policy_condition(self.model)
        return queryset if policy is None else queryset.filter(policy)

    # Objects

    async def create(self, data: Mapping[str, Any]) -> M:
        """Insert a row and return its object.

        Raises:
            IntegrityViolation: A rule of the table does not hold; the class and ``fields`` say which.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        await self._check_references(data)
        session = get_session(self.using)
        if self.writes_directly:
            instance = (await self._write(insert_object(self.mapper, data), data))[0][0]
        else:
            with translated(self.mapper):
                instance = self.model(**data)
                session.add(instance)
                await session.flush([instance])
        await self._check_reach(instance)
        return cast("M", instance)

    async def update(self, instance: M, data: Mapping[str, Any]) -> M:
        """Write ``data`` (by attribute) to the row of ``instance`` and return the refreshed object.

        Raises:
            DoesNotExist: The row is gone.
            IntegrityViolation: A rule of the table does not hold.
            RowPolicyViolation: The row would leave the current access's reach.
        """
        await self._check_references(data)
        if not data:
            return instance
        if self.writes_directly:
            if not await self._write(update_object(self.mapper, instance, data), data):
                raise DoesNotExist(self.model.__name__)
        else:
            with translated(self.mapper):
                for name, value in data.items():
                    setattr(instance, name, value)
                await get_session(self.using).flush([instance])
        await self._check_reach(instance)
        return instance

    async def delete(self, instance: M) -> None:
        """Delete the row of ``instance``.

        Raises:
            DoesNotExist: The row is gone.
            ProtectedRow: Other rows still refer to it.
        """
        if cascades_deletes(self.mapper):
            session = get_session(self.using)
            with translated(self.mapper, deleting=True):
                await session.delete(instance)
                await session.flush()
            return
        if not await self.delete_rows([key_condition(self.model, instance)]):
            raise DoesNotExist(self.model.__name__)

    # Single statements, for the generated API: no object is made

    @property
    def writes_directly(self) -> bool:
        """Whether one statement writes a whole object of this model."""
        return single_table(self.mapper)

    @property
    def deletes_directly(self) -> bool:
        """Whether one DELETE is all that deleting an object of this model means."""
        return single_table(self.mapper) and not cascades_deletes(self.mapper)

    async def insert_row(
        self, data: Mapping[str, Any], read: Read, where: Sequence[ColumnElement[bool]] = ()
    ) -> Written | None:
        """Insert a row where every condition holds, and return what ``read`` shows of it; None where one does not."""
        conditions = [*where, *(reference.exists(key) for reference, key in checked(self.mapper, data))]
        rows = await self._write(insert_statement(self.mapper, data, conditions, read.returning()), data)
        if not rows and len(conditions) > len(where):
            await self._check_references(data)
        return await self._written(rows, read)

    async def update_rows(
        self, data: Mapping[str, Any], read: Read, where: Sequence[ColumnElement[bool]]
    ) -> Written | None:
        """Write ``data`` to the one row that meets every condition, and return what ``read`` shows of it."""
        conditions = [*where, *(reference.exists(key) for reference, key in checked(self.mapper, data))]
        rows = await self._write(update_statement(self.mapper, data, conditions, read.returning()), data)
        if not rows and len(conditions) > len(where):
            await self._check_references(data)
        return await self._written(rows, read)

    async def delete_rows(self, where: Sequence[ColumnElement[bool]]) -> int:
        """Delete the rows that meet every condition; return how many there were.

        Raises:
            ProtectedRow: Other rows still refer to one of them.
        """
        session = get_session(self.using)
        work_of(session).deleted.add(self.model)
        with translated(self.mapper, deleting=True):
            return len((await session.execute(delete_statement(self.mapper, where))).all())

    async def _write(self, statement: Any, data: Mapping[str, Any]) -> Sequence[Any]:
        session = get_session(self.using)
        work_of(session).classes.add(self.model)
        try:
            with translated(self.mapper):
                return (await session.execute(statement)).all()
        except ForeignKeyViolation as violation:
            if violation.fields:
                raise
            # SQLite does not say which key failed, so ask.
            raise await self._missing_reference(data) or violation from violation

    async def _written(self, rows: Sequence[Any], read: Read) -> Written | None:
        if not rows:
            return None
        await self._check_reach_of(tuple(read.root.key_of(rows[0])))
        with translated(self.mapper):
            instances = await read.instances(get_session(self.using), rows)
        return Written(instances[0], read.extra_of(rows[0]))

    async def _check_references(self, data: Mapping[str, Any]) -> None:
        narrowed = checked(self.mapper, data)
        if narrowed:
            facts = [reference.exists(key) for reference, key in narrowed]
            row = (await self._ask(facts)) if facts else ()
            for (reference, _), there in zip(narrowed, row, strict=True):
                if not there:
                    raise ForeignKeyViolation(table=self._table, fields=reference.fields)

    async def _missing_reference(self, data: Mapping[str, Any]) -> ForeignKeyViolation | None:
        named = [(found, key) for found in references(self.mapper) if (key := found.named(data)) is not None]
        if named:
            row = await self._ask([reference.exists(key) for reference, key in named])
            for (reference, _), there in zip(named, row, strict=True):
                if not there:
                    return ForeignKeyViolation(table=self._table, fields=reference.fields)
        return None

    async def _check_reach(self, instance: M) -> None:
        await self._check_reach_of(tuple(self.mapper.primary_key_from_instance(instance)))

    async def _check_reach_of(self, key: tuple[Any, ...]) -> None:
        """Refuse a row that its writer could not read: the caller's transaction rolls it back."""
        policy = policy_condition(self.model)
        if policy is None:
            return
        here = [column == value for column, value in zip(self.mapper.primary_key, key, strict=True)]
        within = select(1).select_from(self.model).where(*here, policy).correlate(None).exists()
        if not (await self._ask([within]))[0]:
            raise RowPolicyViolation

    async def _ask(self, facts: Sequence[ColumnElement[bool]]) -> Sequence[bool]:
        with translated(self.mapper):
            return tuple((await get_session(self.using).execute(select(*facts))).one())

    @property
    def _table(self) -> str:
        return str(inspect(self.model).local_table.name)
