"""Writes of one object: in one statement where the model allows it, else by a flush."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Null, inspect
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.db.errors import translated
from fastapix5.exceptions import DoesNotExist, RowPolicyViolation, StaleVersion
from fastapix5.models import DELETED_AT, not_deleted, soft_deletes, utc_now
from fastapix5.repositories.guards import Guard
from fastapix5.repositories.naming import are_columns, given_values
from fastapix5.repositories.storing import storable
from fastapix5.repositories.writes import (
    assign,
    delete_statement,
    deletes_directly,
    insert_object,
    key_condition,
    new_object,
    update_object,
    writes_directly,
)

M = TypeVar("M")


class Writer(Guard[M], Generic[M]):
    """Creates, updates and deletes objects of a model. It never commits: who opened the transaction does."""

    async def create(self, data: Mapping[str, Any]) -> M:
        """Insert a row and return its object.

        Args:
            data: Values by attribute.

        Raises:
            IntegrityViolation: A rule of the table does not hold; the class and ``fields`` say which.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        data = storable(self.mapper, given_values(self.mapper, data))
        directly = are_columns(self.mapper, data) and writes_directly(self.mapper)
        async with self.unit(directly):
            await self.check_references(self.narrowed(data))
            if directly:
                instance = (await self.write(insert_object(self.mapper, data), data))[0][0]
            else:
                instance = new_object(self.mapper, data)
                await self._flush(instance, data)
            await self.check_reach(instance)
        return cast("M", instance)

    async def update(self, instance: M, data: Mapping[str, Any]) -> M:
        """Write ``data`` (by attribute) to the row of ``instance`` and return the refreshed object.

        Where the primary key changes, that may be another object. A version in ``data`` is what the caller believes the
        row's to be: it is compared, and never written.

        Args:
            instance: An object of the model.
            data: Values by attribute.

        Raises:
            DoesNotExist: The row is gone.
            StaleVersion: The row was changed since it was read.
            IntegrityViolation: A rule of the table does not hold.
            RowPolicyViolation: The row would leave the current access's reach.
        """
        data = self._without_version(instance, given_values(self.mapper, data))
        data, here = storable(self.mapper, data), (key_condition(self.model, instance),)
        # What was changed by hand would be lost where the row is read anew, so it is flushed with the rest.
        directly = are_columns(self.mapper, data) and writes_directly(self.mapper) and not inspect(instance).modified
        async with self.unit(directly):
            await self.check_references(self.narrowed(data, updating=True), here)
            if directly:
                instance = await self._update_directly(instance, data, here) if data else instance
            else:
                for name, value in data.items():
                    assign(instance, name, value)
                await self._flush(instance, data)
            await self.check_reach(instance)
        return instance

    async def delete(self, instance: M) -> None:
        """Delete the row of ``instance``, or hide it where the model deletes softly; see ``Repository.delete``."""
        if soft_deletes(self.model):
            await self._hide(instance)
        else:
            await self.purge(instance)

    async def _hide(self, instance: M) -> None:
        if writes_directly(self.mapper) and not inspect(instance).modified:
            hidden = {DELETED_AT: utc_now()}
            statement = update_object(self.mapper, instance, hidden).where(not_deleted(self.model), *self._reach())
            if not await self.write(statement, hidden):
                raise DoesNotExist(self.model.__name__)
            return
        async with self.unit(directly=False):
            await self._check_there(instance)
            if inspect(instance).dict.get(DELETED_AT) is not None:
                raise DoesNotExist(self.model.__name__)
            assign(instance, DELETED_AT, utc_now())
            await self._flush(instance, {})

    async def restore(self, instance: M) -> M:
        """Bring back the row of ``instance``; see ``Repository.restore``."""
        if not soft_deletes(self.model):
            raise TypeError(f"{self.model.__name__} has no SoftDeleteMixin: its deleted rows are gone.")
        return await self.update(instance, {DELETED_AT: None})

    async def purge(self, instance: M) -> None:
        """Delete the row of ``instance``; see ``Repository.purge``."""
        if not deletes_directly(self.mapper):
            async with self.unit(directly=False):
                await self._check_there(instance)
                await self.remove(instance)
            return
        here = key_condition(self.model, instance)
        if not await self.delete_where([here, *self._reach()]):
            raise DoesNotExist(self.model.__name__)
        if instance in self.session:
            self.session.expunge(instance)

    def _reach(self) -> Sequence[ColumnElement[bool]]:
        """The row policy, as far as there is one: after a delete there is no row left that could be checked."""
        policy = self.policy
        return () if policy is None else (policy,)

    async def _check_there(self, instance: M) -> None:
        """``check_reach`` before a delete, where a row out of reach is as good as none."""
        try:
            await self.check_reach(instance)
        except RowPolicyViolation:
            raise DoesNotExist(self.model.__name__) from None

    async def delete_where(self, where: Sequence[ColumnElement[bool]]) -> Sequence[Any]:
        """Delete the rows that meet every condition in one statement; return their keys."""
        statement = delete_statement(self.mapper, where)
        return (await self.execute(statement, deleting=True)).all()  # type: ignore[no-any-return]

    async def remove(self, *instances: M) -> None:
        """Delete the rows of objects by a flush, with all that their relations say goes with them."""
        session = self.session
        with translated(self.mapper, deleting=True):
            for instance in instances:
                await session.delete(instance)
            await session.flush()

    async def _update_directly(self, instance: M, data: Mapping[str, Any], here: Sequence[ColumnElement[bool]]) -> M:
        rows = await self.write(update_object(self.mapper, instance, data), data, here)
        if not rows:
            raise DoesNotExist(self.model.__name__)
        updated = rows[0][0]
        if updated is not instance and instance in self.session:
            self.session.expunge(instance)
        return cast("M", updated)

    async def _flush(self, instance: Any, data: Mapping[str, Any]) -> None:
        session = self.session
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
        # What the database computed, on an UPDATE; touching it would raise.
        missing = inspect(instance).expired_attributes.intersection(self.mapper.column_attrs.keys())
        if missing:
            with translated(self.mapper):
                await session.refresh(instance, missing)

    def _without_version(self, instance: M, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """``data`` without a version, which is None or must be the one that ``instance`` was read with."""
        if self.mapper.version_id_col is None:
            return data
        name = self.mapper.get_property_by_column(self.mapper.version_id_col).key
        believed = data.get(name)
        if believed is not None and believed != getattr(instance, name):
            raise StaleVersion(self.model.__name__)
        return {key: value for key, value in data.items() if key != name}
