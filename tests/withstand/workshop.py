"""A small application whose schemas promise less than its tables ask: every rule is left to the database."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import AllowAny, ModelViewSet, Router, action, get_default_app


class Base(DeclarativeBase):
    """The root of the workshop's models."""


class Maker(Base):
    """Who makes tools."""

    __tablename__ = "ws_makers"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column("label_column", String(10), unique=True)


class Tool(Base):
    """A tool, with every kind of rule."""

    __tablename__ = "ws_tools"
    __table_args__ = (
        UniqueConstraint("maker_id", "slot", name="ws_one_tool_in_a_slot"),
        CheckConstraint("price_cents > 0", name="ws_price_above_zero"),
        CheckConstraint("slot <= price_cents", name="ws_slot_below_price"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column("sku_column", String(8), unique=True)
    name: Mapped[str] = mapped_column(String(20))
    price: Mapped[int] = mapped_column("price_cents")
    slot: Mapped[int]
    maker_id: Mapped[int] = mapped_column(ForeignKey("ws_makers.id"))
    second_maker_id: Mapped[int | None] = mapped_column(ForeignKey("ws_makers.id"))
    heir_id: Mapped[int | None] = mapped_column(
        ForeignKey("ws_tools.id", deferrable=True, initially="DEFERRED", name="ws_heir")
    )


class MakerBody(BaseModel):
    """A maker."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    label: str


class ToolBody(BaseModel):
    """A tool; the name may be null here, and not in the table."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    sku: str
    name: str | None
    price: int
    slot: int
    maker_id: int
    second_maker_id: int | None = None
    heir_id: int | None = None


class MakerViewSet(ModelViewSet[Maker]):
    """Makers."""

    name = "makers"
    permission_classes = [AllowAny]
    read_schema = create_schema = update_schema = MakerBody


class ToolViewSet(ModelViewSet[Tool]):
    """Tools, each written in one statement."""

    name = "tools"
    permission_classes = [AllowAny]
    read_schema = create_schema = update_schema = ToolBody


class HookedToolViewSet(ToolViewSet):
    """Tools, written through the hooks and the session."""

    name = "hooked"

    async def perform_create(self, data: dict[str, Any]) -> Any:
        """As it would be."""
        return await super().perform_create(data)

    async def perform_update(self, obj: Tool, data: dict[str, Any]) -> Any:
        """As it would be."""
        return await super().perform_update(obj, data)

    async def perform_destroy(self, obj: Tool) -> None:
        """As it would be."""
        await super().perform_destroy(obj)

    @action(detail=True, methods=["POST"])
    async def raise_price(self, by: int) -> ToolBody:
        """Read, think, write: what is read must still hold when it is written."""
        tool = await self.get_object()
        price = tool.price
        await asyncio.sleep(0.005)
        return await self.service.update(tool, {"price": price + by})  # type: ignore[no-any-return]


router = Router(prefix="/api")
for viewset in (MakerViewSet, ToolViewSet, HookedToolViewSet):
    router.register(viewset)
app = get_default_app()
app.include_router(router)
