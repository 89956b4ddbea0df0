"""The repository: a model's rows, its row policy, and the database's errors in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Null, inspect, select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.access import Access
from fastapix5.db.errors import translated
from fastapix5.db.routing import work_of
from fastapix5.db.sessions import get_session
from fastapix5.db.transactions import atomic, in_atomic
from fastapix5.exceptions import (
    DoesNotExist,
    ForeignKeyViolation,
    MultipleObjectsReturned,
    RowPolicyViolation,
    StaleVersion,
)
from fastapix5.repositories.conditions import Condition
from fastapix5.repositories.lookups import UnknownPath
from fastapix5.repositories.policies import mark_repository_policy, policy_condition, register_policy
from fastapix5.repositories.queryset import QuerySet
from fastapix5.repositories.reads import Read
from fastapix5.repositories.references import Wanted, wanted
from fastapix5.repositories.writes import (
    delete_statement,
    deletes_directly,
    insert_object,
    insert_statement,
    key_condition,
    names_one_row,
    new_object,
    storable,
    update_object,
    update_statement,
    writes_directly,
)
from fastapix5.schemas import attribute_names, key_of, mapper_of

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
        for base in cls.__dict__.get("__orig_bases__", ()):
            arguments = get_args(base)
            if "model" not in cls.__dict__ and arguments and isinstance(arguments[0], type):
                cls.model = arguments[0]
        if cls.row_policy is not Repository.row_policy:
            mark_repository_policy(cls.row_policy)
        model = getattr(cls, "model", None)
        if model is not None:
            cls._register_policy(model)

    @classmethod
    def _register_policy(cls, model: type[Any]) -> None:
        """Make the class's own row policy the model's."""
        if cls.row_policy is Repository.row_policy:
            return

        def policy(access: Access) -> Condition | None:
            return cls(model).row_policy(access)

        register_policy(model, policy, cls.row_policy, f"{cls.__qualname__}.row_policy")

    def __init__(self, model: type[M] | None = None, *, using: str = "default") -> None:
        if model is not None:
            self.model = model
        self.using = using
        self.mapper: Mapper[Any] = mapper_of(self.model)
        self._register_policy(self.model)

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

        Args:
            data: Values by attribute.

        Raises:
            IntegrityViolation: A rule of the table does not hold; the class and ``fields`` say which.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        data = storable(self.mapper, data)
        directly = self._are_columns(data) and self.writes_directly
        async with self._unit(directly):
            await self._check_references(self._narrowed(data))
            if directly:
                instance = (await self._write(insert_object(self.mapper, data), data))[0][0]
            else:
                instance = new_object(self.mapper, data)
                await self._flush(instance, data)
            await self.check_reach(instance)
        return cast("M", instance)

    async def update(self, instance: M, data: Mapping[str, Any]) -> M:
        """Write ``data`` (by attribute) to the row of ``instance`` and return the refreshed object.

        Where the primary key changes, that may be another object.

        Args:
            instance: An object of the model.
            data: Values by attribute.

        Raises:
            DoesNotExist: The row is gone.
            IntegrityViolation: A rule of the table does not hold.
            RowPolicyViolation: The row would leave the current access's reach.
        """
        data, here = storable(self.mapper, data), (key_condition(self.model, instance),)
        # What was changed by hand would be lost where the row is read anew, so it is flushed with the rest.
        directly = self._are_columns(data) and self.writes_directly and not inspect(instance).modified
        async with self._unit(directly):
            await self._check_references(self._narrowed(data, updating=True), here)
            if directly:
                instance = await self._update_object(instance, data, here) if data else instance
            else:
                for name, value in data.items():
                    setattr(instance, name, value)
                await self._flush(instance, data)
            await self.check_reach(instance)
        return instance

    async def _update_object(self, instance: M, data: Mapping[str, Any], here: Sequence[ColumnElement[bool]]) -> M:
        rows = await self._write(update_object(self.mapper, instance, data), data, here)
        if not rows:
            raise DoesNotExist(self.model.__name__)
        updated, session = rows[0][0], get_session(self.using)
        if updated is not instance and instance in session:
            session.expunge(instance)
        return cast("M", updated)

    async def delete(self, instance: M) -> None:
        """Delete the row of ``instance``.

        Raises:
            DoesNotExist: The row is gone.
            ProtectedRow: Other rows still refer to it.
        """
        session = get_session(self.using)
        if not self.deletes_directly:
            async with self._unit(directly=False):
                with translated(self.mapper, deleting=True):
                    await session.delete(instance)
                    await session.flush()
            return
        if not await self.delete_rows([key_condition(self.model, instance)]):
            raise DoesNotExist(self.model.__name__)
        if instance in session:
            session.expunge(instance)

    async def check_reach(self, instance: M, within: Sequence[ColumnElement[bool]] = ()) -> None:
        """Refuse a row that its writer could not read; the transaction that wrote it has to end with the error.

        Args:
            instance: The object of the row, as it is written.
            within: Conditions that the row must meet besides the row policy.

        Raises:
            RowPolicyViolation: The row is not within the current access's reach.
        """
        await self._check_reach_of(tuple(self.mapper.primary_key_from_instance(instance)), within)

    # Single statements, for the generated API: no object is made

    @property
    def writes_directly(self) -> bool:
        """Whether one statement writes a whole object of this model."""
        return writes_directly(self.mapper)

    @property
    def deletes_directly(self) -> bool:
        """Whether one DELETE is all that deleting an object of this model means."""
        return deletes_directly(self.mapper)

    async def insert_row(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool]] = (),
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Insert a row where every condition holds, and return what ``read`` shows of it; None where one does not.

        ``within`` is what the row must meet once it is written, besides the row policy.
        """
        data = storable(self.mapper, data)
        narrowed = self._narrowed(data)
        conditions = [*where, *(row.exists() for row in narrowed)]
        async with self._unit(not within):
            rows = await self._write(insert_statement(self.mapper, data, conditions, read.returning()), data)
            if not rows:
                await self._check_references(narrowed)
            return await self._written(rows, read, within)

    async def update_rows(
        self,
        data: Mapping[str, Any],
        read: Read,
        where: Sequence[ColumnElement[bool]],
        *,
        within: Sequence[ColumnElement[bool]] = (),
    ) -> Written | None:
        """Write ``data`` to the one row that meets every condition, and return what ``read`` shows of it.

        ``within`` is what the row must meet once it is written, besides the row policy.

        Raises:
            MultipleObjectsReturned: Several rows meet them; none is changed.
        """
        data = storable(self.mapper, data)
        narrowed = self._narrowed(data, updating=True)
        conditions = [*where, *(row.exists() for row in narrowed)]
        async with self._unit(not within and names_one_row(self.mapper, where)):
            rows = await self._write(update_statement(self.mapper, data, conditions, read.returning()), data, where)
            self._refuse_several(rows)
            if not rows:
                await self._check_references(narrowed, where)
            return await self._written(rows, read, within)

    async def delete_rows(self, where: Sequence[ColumnElement[bool]], *, several: bool = False) -> int:
        """Delete the row that meets every condition; return how many there were.

        Args:
            where: The conditions.
            several: Whether they may be met by more than one row.

        Raises:
            MultipleObjectsReturned: Several rows meet them, though ``several`` is not set; none is deleted.
            ProtectedRow: Other rows still refer to one of them.
        """
        session = get_session(self.using)
        async with nullcontext() if several or names_one_row(self.mapper, where) else self._unit(directly=False):
            work_of(session).deleted.add(self.model)
            with translated(self.mapper, deleting=True):
                rows = (await session.execute(delete_statement(self.mapper, where))).all()
            if not several:
                self._refuse_several(rows)
        return len(rows)

    def _refuse_several(self, rows: Sequence[Any]) -> None:
        if len(rows) > 1:
            raise MultipleObjectsReturned(self.model.__name__)

    def _are_columns(self, data: Mapping[str, Any]) -> bool:
        """Whether ``data`` names columns only; what else is an attribute, the ORM knows how to set.

        Raises:
            UnknownPath: A name is no attribute.
        """
        if all(name in self.mapper.column_attrs for name in data):
            return True
        known = attribute_names(self.mapper)
        for name in data:
            if name not in known:
                raise UnknownPath(name, name, self.model.__name__, tuple(known))
        return False

    async def _flush(self, instance: Any, data: Mapping[str, Any]) -> None:
        session = get_session(self.using)
        session.add(instance)
        try:
            with translated(self.mapper):
                await session.flush()
        except StaleVersion:
            if self.mapper.version_id_col is None:
                raise DoesNotExist(self.model.__name__) from None
            raise
        for name, value in data.items():
            if isinstance(value, Null):
                set_committed_value(instance, name, None)

    def _unit(self, directly: bool = True) -> Any:
        """A transaction, where none is open and one statement does not decide everything."""
        if in_atomic(self.using) or (directly and policy_condition(self.model) is None):
            return nullcontext()
        return atomic(self.using)

    def _narrowed(self, data: Mapping[str, Any], *, updating: bool = False) -> list[Wanted]:
        return [row for row in wanted(self.mapper, data, updating=updating) if row.is_narrowed]

    async def _write(
        self, statement: Any, data: Mapping[str, Any], where: Sequence[ColumnElement[bool]] = ()
    ) -> Sequence[Any]:
        session = get_session(self.using)
        work_of(session).classes.add(self.model)
        try:
            with translated(self.mapper):
                return (await session.execute(statement)).all()
        except ForeignKeyViolation as violation:
            if not violation.fields:
                # SQLite does not say which key failed, so ask.
                await self._check_references(wanted(self.mapper, data, updating=bool(where)), where)
            raise

    async def _written(self, rows: Sequence[Any], read: Read, within: Sequence[ColumnElement[bool]]) -> Written | None:
        if not rows:
            return None
        session, key = get_session(self.using), read.root.key_of(rows[0])
        await self._check_reach_of(key, within)
        with translated(self.mapper):
            if read.may_show_itself(rows[0]):
                here = [column == value for column, value in zip(key_of(self.model), key, strict=True)]
                rows = (await session.execute(read.statement(select(self.model).where(*here)))).all()
            instances = await read.instances(session, rows)
        return Written(instances[0], read.extra_of(rows[0]))

    async def _check_references(self, rows: Sequence[Wanted], where: Sequence[ColumnElement[bool]] = ()) -> None:
        """Raise for the first of ``rows`` that is not there; ``where`` names the row that refers to them."""
        if not rows:
            return
        statement = select(*(row.exists() for row in rows))
        if where:
            statement = statement.select_from(self.mapper.local_table).where(*where)
        with translated(self.mapper):
            facts = (await get_session(self.using).execute(statement)).first()
        for row, there in zip(rows, facts or (), strict=False):
            if not there:
                raise ForeignKeyViolation(table=self._table, fields=row.reference.fields)

    async def _check_reach_of(self, key: tuple[Any, ...], within: Sequence[ColumnElement[bool]]) -> None:
        """Refuse a row that its writer could not read: the caller's transaction rolls it back."""
        policy = policy_condition(self.model)
        limits = [*within] if policy is None else [*within, policy]
        if not limits:
            return
        here = [column == value for column, value in zip(self.mapper.primary_key, key, strict=True)]
        reached = select(1).select_from(self.model).where(*here, *limits).correlate(None).exists()
        if not (await self._ask([reached]))[0]:
            raise RowPolicyViolation

    async def _ask(self, facts: Sequence[ColumnElement[bool]]) -> Sequence[bool]:
        with translated(self.mapper):
            return tuple((await get_session(self.using).execute(select(*facts))).one())

    @property
    def _table(self) -> str:
        return str(inspect(self.model).local_table.name)
