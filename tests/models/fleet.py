"""A small fleet: every base and mixin, on plain classes, dataclass-mapped ones and inheritance."""

from __future__ import annotations

import uuid

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, registry, relationship

from fastapix5.models import (
    NAMING_CONVENTION,
    IntModel,
    Model,
    SoftDeleteMixin,
    TimestampMixin,
    UUIDModel,
    VersionMixin,
)

METADATA = MetaData(naming_convention=NAMING_CONVENTION)
REGISTRY = registry(metadata=METADATA)


class Base(Model):
    """The tests' own tables, apart from those of other tests."""

    __abstract__ = True
    metadata = METADATA
    registry = REGISTRY


class IntBase(Base, IntModel):
    __abstract__ = True


class UUIDBase(Base, UUIDModel):
    __abstract__ = True


class Carrier(TimestampMixin, SoftDeleteMixin, VersionMixin, IntBase):
    """A row with everything."""

    __tablename__ = "carrier"
    __table_args__ = (
        CheckConstraint("seats > 0", name="positive"),
        CheckConstraint("seats < 1000"),
        CheckConstraint("seats < 2000"),
        UniqueConstraint("name", "seats"),
    )

    code: Mapped[str] = mapped_column(String(10), unique=True)
    name: Mapped[str] = mapped_column(String(40), index=True)
    seats: Mapped[int] = mapped_column(default=1)
    planes: Mapped[list[Plane]] = relationship(back_populates="carrier", passive_deletes="all")


class Plane(SoftDeleteMixin, UUIDBase):
    __tablename__ = "plane"

    tail: Mapped[str] = mapped_column(String(10))
    carrier_id: Mapped[int | None] = mapped_column(ForeignKey(Carrier.id))
    carrier: Mapped[Carrier | None] = relationship(back_populates="planes")
    routes: Mapped[list[Route]] = relationship(secondary="plane_route", back_populates="planes")
    manual: Mapped[Manual | None] = relationship(back_populates="plane", passive_deletes="all")


class Manual(SoftDeleteMixin, IntBase):
    """At most one for each plane: a relation to one row that no foreign key of the plane's names."""

    __tablename__ = "manual"

    title: Mapped[str] = mapped_column(String(20))
    plane_id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Plane.id), unique=True)
    plane: Mapped[Plane] = relationship(back_populates="manual")


class Route(SoftDeleteMixin, Base):
    """A composite key."""

    __tablename__ = "route"

    origin: Mapped[str] = mapped_column(String(3), primary_key=True)
    destination: Mapped[str] = mapped_column(String(3), primary_key=True)
    miles: Mapped[int | None] = mapped_column(deferred=True)
    planes: Mapped[list[Plane]] = relationship(secondary="plane_route", back_populates="routes")


class PlaneRoute(Base):
    __tablename__ = "plane_route"
    __table_args__ = (ForeignKeyConstraint(["origin", "destination"], ["route.origin", "route.destination"]),)

    plane_id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Plane.id), primary_key=True)
    origin: Mapped[str] = mapped_column(String(3), primary_key=True)
    destination: Mapped[str] = mapped_column(String(3), primary_key=True)


class Event(TimestampMixin, VersionMixin, SoftDeleteMixin, IntBase):
    """The root of a joined-table inheritance, with mapper arguments of its own."""

    __tablename__ = "event"

    kind: Mapped[str] = mapped_column(String(10))
    note: Mapped[str] = mapped_column(String(20), default="")
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "event"}


class Delay(Event):
    __tablename__ = "delay"

    id: Mapped[int] = mapped_column(ForeignKey(Event.id), primary_key=True)
    minutes: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "delay"}


class Cancellation(Event):
    """In its parent's table."""

    reason: Mapped[str | None] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_identity": "cancelled"}


class Ticket(MappedAsDataclass, TimestampMixin, SoftDeleteMixin, VersionMixin, IntBase, repr=False):
    """A dataclass; the mixins' columns are none of its fields."""

    __tablename__ = "ticket"

    seat: Mapped[str] = mapped_column(String(4))
    price: Mapped[int] = mapped_column(default=100)


class DataclassBase(MappedAsDataclass, DeclarativeBase):
    metadata = METADATA


class Voucher(TimestampMixin, SoftDeleteMixin, VersionMixin, DataclassBase):
    """A dataclass on a base of the user's own."""

    __tablename__ = "voucher"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    amount: Mapped[int]


class Gate(TimestampMixin, SoftDeleteMixin, VersionMixin, DeclarativeBase):
    """Mixins on a declarative base of the user's own."""

    __abstract__ = True
    metadata = METADATA


class Desk(Gate):
    __tablename__ = "desk"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(10))


class Draft(Base):
    """A version of the user's own."""

    __tablename__ = "draft"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(20))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}
