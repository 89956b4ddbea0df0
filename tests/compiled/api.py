"""An API with a column of every kind, every relation, and schemas that make something of what they show."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import itertools
import uuid
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer, field_validator
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Table,
    Time,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5 import (
    AllowAny,
    FilterSetBackend,
    LimitOffsetPagination,
    ModelViewSet,
    OrderingFilter,
    RouterSchema,
    SearchFilter,
    SoftDeleteMixin,
    setup,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "l"


class Base(DeclarativeBase):
    pass


tagged = Table(
    "tagged",
    Base.metadata,
    Column("item_id", ForeignKey("item.key"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)
serial, touched = itertools.count(1), itertools.count(1)


def start_over() -> None:
    """What Python counts begins anew."""
    global serial, touched
    serial, touched = itertools.count(1), itertools.count(1)


class Maker(Base):
    """It may be a part of another."""

    __tablename__ = "maker"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("maker.id"))
    parent: Mapped[Maker | None] = relationship(remote_side="Maker.id", back_populates="children")
    children: Mapped[list[Maker]] = relationship(back_populates="parent", order_by="Maker.name", passive_deletes="all")
    items: Mapped[list[Item]] = relationship(back_populates="maker", order_by="Item.id.desc()", passive_deletes="all")


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(String(20))


class Item(Base):
    """A column of every kind; attributes are not called as columns are."""

    __tablename__ = "item"
    __table_args__ = (UniqueConstraint("Item Name", "maker_id"),)

    id: Mapped[int] = mapped_column("key", primary_key=True)
    name: Mapped[str] = mapped_column("Item Name", String(20))
    note: Mapped[str | None]
    number: Mapped[int | None] = mapped_column(BigInteger)
    ratio: Mapped[float | None]
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(8, 2))
    share: Mapped[decimal.Decimal | None] = mapped_column(Numeric(12, 6))
    is_sold: Mapped[bool] = mapped_column(default=False)
    day: Mapped[dt.date | None]
    made: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    local: Mapped[dt.datetime | None]
    at: Mapped[dt.time | None] = mapped_column(Time())
    takes: Mapped[dt.timedelta | None] = mapped_column(Interval())
    color: Mapped[Color | None]
    size: Mapped[Size | None] = mapped_column(Enum(Size, native_enum=False, values_callable=lambda kind: [*kind]))
    code: Mapped[uuid.UUID | None]
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    data: Mapped[Any] = mapped_column(JSON().with_variant(JSONB(), "postgresql"), nullable=True)
    words: Mapped[list[str] | None] = mapped_column(JSON().with_variant(ARRAY(String(10)), "postgresql"))
    serial: Mapped[int] = mapped_column(default=lambda: next(serial))
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: next(touched))
    maker_id: Mapped[int | None] = mapped_column(ForeignKey(Maker.id))
    maker: Mapped[Maker | None] = relationship(back_populates="items")
    tags: Mapped[list[Tag]] = relationship(secondary=tagged, order_by=Tag.id, passive_deletes="all")
    parts: Mapped[list[Part]] = relationship(back_populates="item", order_by="Part.id", passive_deletes="all")


class Part(SoftDeleteMixin, Base):
    """It is hidden where it is deleted."""

    __tablename__ = "part"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    item_id: Mapped[int] = mapped_column(ForeignKey(Item.id))
    item: Mapped[Item] = relationship(back_populates="parts")
    screws: Mapped[list[Screw]] = relationship(back_populates="part", order_by="Screw.id", passive_deletes="all")


class Screw(Base):
    __tablename__ = "screw"

    id: Mapped[int] = mapped_column(primary_key=True)
    length: Mapped[int]
    part_id: Mapped[int] = mapped_column(ForeignKey(Part.id))
    part: Mapped[Part] = relationship(back_populates="screws")


class MakerBrief(BaseModel):
    id: int
    name: str


class MakerWithParent(MakerBrief):
    parent: MakerBrief | None


class MakerRead(MakerBrief):
    parent_id: int | None
    parent: MakerWithParent | None
    children: list[MakerWithParent]


class MakerIn(BaseModel):
    name: str
    parent_id: int | None = None


class ScrewRead(BaseModel):
    id: int
    length: int


class PartRead(BaseModel):
    id: int
    name: str
    screws: list[ScrewRead]


class TagRead(BaseModel):
    word: str


class ItemIn(BaseModel):
    name: str
    note: str | None = None
    number: int | None = None
    ratio: float | None = None
    price: decimal.Decimal | None = None
    share: decimal.Decimal | None = None
    is_sold: bool = False
    day: dt.date | None = None
    made: dt.datetime | None = None
    local: dt.datetime | None = None
    at: dt.time | None = None
    takes: dt.timedelta | None = None
    color: Color | None = None
    size: Size | None = None
    code: uuid.UUID | None = None
    raw: bytes | None = None
    data: Any = None
    words: list[str] | None = None
    maker_id: int | None = None

    @field_validator("local")
    @classmethod
    def naive(cls, value: dt.datetime | None) -> dt.datetime | None:
        """Local times have no zone."""
        return None if value is None else value.replace(tzinfo=None)


class ItemFlat(ItemIn):
    """What the row has, and no more."""

    model_config = ConfigDict(ser_json_bytes="base64")

    id: int
    serial: int
    touched: int


class ItemRead(ItemFlat):
    """A row with all that belongs to it, of which the schema makes something else."""

    model_config = ConfigDict(str_strip_whitespace=True, ser_json_bytes="base64")

    name: str = Field(serialization_alias="itemName")
    maker: MakerWithParent | None
    tags: list[TagRead]
    parts: list[PartRead]

    @field_validator("note", mode="before")
    @classmethod
    def shouted(cls, value: str | None) -> str | None:
        """Notes leave in capitals."""
        return value.upper() if value else value

    @field_serializer("share")
    def as_percentage(self, value: decimal.Decimal | None) -> str:
        """A share leaves as a percentage."""
        return "?" if value is None else f"{value:%}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """The name with its maker's."""
        return f"{self.name} by {self.maker.name if self.maker else 'nobody'}"


COMPARED = ["exact", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "range", "isnull"]
TEXTS = [
    "exact",
    "ne",
    "in",
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "like",
]
BACKENDS = [FilterSetBackend, SearchFilter, OrderingFilter]


class ItemViewSet(ModelViewSet[Item]):
    """Everything that can be asked of items."""

    name = "items"
    read_schema: Any = ItemRead
    create_schema = ItemIn
    update_schema = ItemIn
    permission_classes = [AllowAny]
    filter_backends = BACKENDS
    filterset_fields = {
        **dict.fromkeys(["number", "ratio", "price", "day", "made", "at", "code", "color"], COMPARED),
        "name": TEXTS,
        "note": [*TEXTS, "isnull"],
        "is_sold": ["exact"],
        "made": [*COMPARED, "year", "date__lt"],
        "maker__name": TEXTS,
        "maker__parent__name": ["exact", "icontains", "isnull"],
        "tags__word": ["exact", "in", "icontains"],
        "parts__name": ["exact", "in"],
        "parts__screws__length": ["gte", "range"],
        "maker_id": ["in", "isnull"],
    }
    search_fields = ["name", "^note", "=maker__name", "tags__word"]
    ordering_fields = ["name", "number", "price", "made", "maker__name"]
    ordering = ["-id"]


class FlatItemViewSet(ItemViewSet):
    """The same without relations, by limit and offset."""

    name = "flat"
    read_schema = ItemFlat
    pagination_class = LimitOffsetPagination
    filterset_fields = {"name": TEXTS, "color": COMPARED, "size": ["exact", "in"], "code": ["in"]}
    search_fields = ["name"]
    ordering_fields = ["name"]


class MakerViewSet(ModelViewSet[Maker]):
    name = "makers"
    read_schema = MakerRead
    create_schema = MakerIn
    update_schema = MakerIn
    permission_classes = [AllowAny]
    filter_backends = BACKENDS
    filterset_fields = {"name": TEXTS, "parent_id": ["exact", "in", "isnull"], "children__name": ["exact", "icontains"]}
    search_fields = ["name", "parent__name"]
    ordering_fields = ["name", "parent__name"]


class OwnItem(BaseModel):
    name: str
    number: int | None = None


class OwnItemRead(OwnItem):
    id: int
    maker_id: int


class OwnItemViewSet(ModelViewSet[Item]):
    """The items of a maker."""

    name = "items"
    read_schema = OwnItemRead
    create_schema = OwnItem
    update_schema = OwnItem
    permission_classes = [AllowAny]


class PartIn(BaseModel):
    name: str


class PartViewSet(ModelViewSet[Part]):
    """The parts of an item of a maker."""

    name = "parts"
    read_schema = PartRead
    create_schema = PartIn
    update_schema = PartIn
    permission_classes = [AllowAny]


class ScrewIn(BaseModel):
    length: int


class ScrewViewSet(ModelViewSet[Screw]):
    name = "screws"
    read_schema = ScrewRead
    create_schema = ScrewIn
    update_schema = ScrewIn
    permission_classes = [AllowAny]
    filter_backends = BACKENDS
    filterset_fields = {"length": COMPARED}


def make_app() -> FastAPI:
    """Return the application."""
    app = setup(FastAPI())
    tree = RouterSchema(
        viewset=MakerViewSet,
        children=[
            RouterSchema(
                viewset=OwnItemViewSet,
                children=[RouterSchema(viewset=PartViewSet, children=[RouterSchema(viewset=ScrewViewSet)])],
            )
        ],
    )
    for included in (tree.router, ItemViewSet().router, FlatItemViewSet().router):
        app.include_router(included)
    return app
