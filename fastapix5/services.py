"""Business verbs. A service knows no HTTP: the same class works from a command, a task or a test."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from fastapix5.repositories import Condition, QuerySet, Repository
from fastapix5.schemas import body_values, schema_fields

M = TypeVar("M")


class Service(Generic[M]):
    """The verbs of one model, over its repository. Subclass it to add your own.

    Args:
        repository: Where the rows are.
    """

    def __init__(self, repository: Repository[M]) -> None:
        self.repository = repository

    async def list(self, queryset: QuerySet[M] | None = None, page: slice | None = None) -> builtins.list[M]:
        """The rows of ``queryset`` (all of them without one), or the slice ``page`` of them."""
        rows = self.repository.objects if queryset is None else queryset
        return await (rows if page is None else rows[page]).all()

    async def retrieve(self, *conditions: Condition, **lookups: Any) -> M:
        """The one row that matches.

        Raises:
            DoesNotExist: No row within reach matches.
            MultipleObjectsReturned: Several do.
        """
        return await self.repository.objects.get(*conditions, **lookups)

    async def create(self, data: Mapping[str, Any] | BaseModel) -> M:
        """Create a row from attribute names and values, or from all fields of a schema's instance."""
        return await self.repository.create(self._values(data, partial=False))

    async def update(self, obj: M, data: Mapping[str, Any] | BaseModel) -> M:
        """Write the given attributes to ``obj``; of a schema's instance, the fields that were set."""
        return await self.repository.update(obj, self._values(data, partial=True))

    async def destroy(self, obj: M) -> None:
        """Delete ``obj``."""
        await self.repository.delete(obj)

    def _values(self, data: Mapping[str, Any] | BaseModel, *, partial: bool) -> Mapping[str, Any]:
        """A mapping as it is; a schema's instance by the model's attributes."""
        if not isinstance(data, BaseModel):
            return data
        schema = type(data)
        return body_values(data, schema_fields(schema, self.repository.model, schema.__name__), partial=partial)
