"""Mapped classes that are more than a table: inheritance, mixins, hybrids, synonyms, composites, column properties."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection, ForeignKey, String, func, insert
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    Composite,
    DeclarativeBase,
    Mapped,
    Synonym,
    column_property,
    composite,
    declared_attr,
    mapped_column,
    relationship,
    synonym,
)


class Base(DeclarativeBase):
    pass


class Labelled:
    """A mixin: a column, and a relationship to another table."""

    label: Mapped[str] = mapped_column(String(20), default="none")

    @declared_attr
    def owner_id(cls) -> Mapped[int | None]:
        return mapped_column(ForeignKey("owner.id"))

    @declared_attr
    def owner(cls) -> Mapped[Owner | None]:
        return relationship()


class Owner(Base):
    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[str] = mapped_column(String(20))
    last: Mapped[str] = mapped_column(String(20))
    surname: Synonym[str] = synonym("last")
    size: Mapped[int] = column_property(func.char_length(last))

    @hybrid_property
    def full(self) -> str:
        """Both names."""
        return f"{self.first} {self.last}"

    @full.inplace.expression
    @classmethod
    def _full(cls) -> Any:
        return cls.first + " " + cls.last


@dataclasses.dataclass
class Point:
    """Two columns as one value."""

    x: int
    y: int


class Vehicle(Labelled, Base):
    """The root of both inheritances, with a mixin's column and relationship."""

    __tablename__ = "vehicle"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    wheels: Mapped[int] = mapped_column(default=4)
    place: Composite[Point] = composite(Point, mapped_column("x", default=0), mapped_column("y", default=0))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "vehicle"}


class Truck(Vehicle):
    """A table of its own beside the root's."""

    __tablename__ = "truck"

    id: Mapped[int] = mapped_column(ForeignKey(Vehicle.id), primary_key=True)
    load: Mapped[int] = mapped_column(default=0)
    __mapper_args__ = {"polymorphic_identity": "truck"}


class Bike(Vehicle):
    """In the root's table."""

    bell: Mapped[str | None] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_identity": "bike"}


def fill(connection: Connection) -> None:
    """Create the tables, and two owners."""
    Base.metadata.create_all(connection)
    rows = [{"first": "Ada", "last": "Lovelace"}, {"first": "Alan", "last": "Turing"}]
    connection.execute(insert(Owner), rows)
