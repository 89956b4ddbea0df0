"""A small application that takes every path to its database: each of its routes says which."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import AllowAny, BasePermission, F, ModelViewSet, Router, action, atomic, get_default_app


class Base(DeclarativeBase):
    """The root of the ledger's models."""


class Entry(Base):
    """An entry; several may have the same reference."""

    __tablename__ = "ledger_entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[int] = mapped_column(index=True)
    total: Mapped[int] = mapped_column(default=0)


class EntryWrite(BaseModel):
    """What callers say of an entry."""

    reference: int
    total: int = 0


class EntryRead(EntryWrite):
    """An entry."""

    model_config = ConfigDict(from_attributes=True)
    id: int


class LooksAtObject(BasePermission):
    """Has the object loaded, and lets everybody through."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Look."""
        return bool(obj.id)


class EntryViewSet(ModelViewSet[Entry]):
    """Entries, by compiled statements; and by actions, which compile nothing."""

    name = "compiled"
    permission_classes: Any = [AllowAny]
    read_schema = EntryRead
    create_schema = update_schema = EntryWrite

    @action(detail=True, methods=["POST"])
    async def add(self) -> Entry:
        """Add one to an entry, and write another that says so: both, or neither."""
        entry = await self.get_object()
        async with atomic():
            await self.repository.objects.filter(id=entry.id).update(total=F("total") + 1)
            await self.repository.create({"reference": -entry.id})
        return await self.repository.objects.get(id=entry.id)

    @action(detail=False)
    async def export(self) -> int:
        """Walk over the entries by batches."""
        return sum([1 async for _ in self.repository.objects.order_by("id").iterator(chunk_size=10)])


class ObjectViewSet(EntryViewSet):
    """The same, through objects."""

    name = "objects"
    permission_classes = [LooksAtObject]

    async def perform_create(self, data: dict[str, Any]) -> Any:
        """As it would be."""
        return await super().perform_create(data)


router = Router(prefix="/api")
for viewset in (EntryViewSet, ObjectViewSet):
    router.register(viewset)
app = get_default_app()
app.include_router(router)
