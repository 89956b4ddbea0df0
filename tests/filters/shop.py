"""A shop with a column of every kind, a to-one, a to-many and a many-to-many relation."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid

from pydantic import BaseModel
from sqlalchemy import Column, DateTime, ForeignKey, Numeric, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5 import AllowAny, FilterSetBackend, OrderingFilter, ReadOnlyModelViewSet, SearchFilter


class Color(enum.Enum):
    """How a thing looks; the wire shows the value."""

    RED = "red"
    BLUE = "blue"


class Base(DeclarativeBase):
    """The root of the models."""

    type_annotation_map = {dt.datetime: DateTime(timezone=True)}


tagged = Table(
    "tagged",
    Base.metadata,
    Column("thing_id", ForeignKey("things.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class Maker(Base):
    """Who makes things."""

    __tablename__ = "makers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Tag(Base):
    """A word for things."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]


class Thing(Base):
    """A thing, with a column of every kind."""

    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    note: Mapped[str | None]
    number: Mapped[int | None]
    weight: Mapped[float]
    price: Mapped[decimal.Decimal] = mapped_column(Numeric(8, 2))
    is_sold: Mapped[bool]
    day: Mapped[dt.date]
    made: Mapped[dt.datetime]
    color: Mapped[Color]
    code: Mapped[uuid.UUID]
    maker_id: Mapped[int | None] = mapped_column(ForeignKey("makers.id"))

    maker: Mapped[Maker | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=tagged, order_by="Tag.id")
    parts: Mapped[list[Part]] = relationship(back_populates="thing", order_by="Part.id")


class Part(Base):
    """A part of a thing."""

    __tablename__ = "parts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    size: Mapped[int]
    thing_id: Mapped[int] = mapped_column(ForeignKey("things.id"))

    thing: Mapped[Thing] = relationship(back_populates="parts")


class MakerRead(BaseModel):
    """A maker."""

    id: int
    name: str


class TagRead(BaseModel):
    """A tag."""

    id: int
    word: str


class PartRead(BaseModel):
    """A part."""

    id: int
    name: str
    size: int


class ThingRead(BaseModel):
    """A thing, with what belongs to it."""

    id: int
    name: str
    note: str | None
    number: int | None
    weight: float
    price: decimal.Decimal
    is_sold: bool
    day: dt.date
    made: dt.datetime
    color: Color
    code: uuid.UUID
    maker_id: int | None
    maker: MakerRead | None
    tags: list[TagRead]
    parts: list[PartRead]


COMPARED = ["exact", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "range", "isnull"]


class ThingViewSet(ReadOnlyModelViewSet[Thing]):
    """Everything that can be asked of things."""

    read_schema = ThingRead
    permission_classes = [AllowAny]
    filter_backends = [FilterSetBackend, SearchFilter, OrderingFilter]
    filterset_fields = {
        **dict.fromkeys(["number", "weight", "price", "day", "made", "code"], COMPARED),
        "name": ["exact", "iexact", "in", "contains", "icontains", "startswith", "iendswith", "like", "ilike"],
        "note": ["isnull", "exact"],
        "is_sold": ["exact"],
        "color": ["exact", "in"],
        "maker": ["exact", "in", "isnull"],
        "maker__name": ["exact", "icontains", "in"],
        "tags__word": ["exact", "in", "icontains"],
        "tags": ["isnull"],
        "parts__name": ["exact"],
        "parts__size": ["gte", "lte"],
    }
    search_fields = ["name", "^note", "=maker__name", "tags__word"]
    ordering_fields = ["name", "number", "maker__name"]
    ordering = ["-id"]


class MomentViewSet(ThingViewSet):
    """Parts of dates and times."""

    filterset_fields = {
        "made": [
            "year",
            "year__gte",
            "quarter__in",
            "date",
            "date__lt",
            "time__range",
            "hour",
            "date__week_day",
            "year__isnull",
        ],
        "day": ["month__in", "iso_week_day", "week", "day__range"],
    }


class PatternViewSet(ThingViewSet):
    """Search and filter by regular expression, which PostgreSQL alone offers."""

    filterset_fields = {"name": ["regex", "iregex"]}
    search_fields = ["$name"]
