"""One pair of tables, teams and their heroes, mapped in every way that there is."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    declarative_base,
    declared_attr,
    mapped_column,
    registry,
    relationship,
)

from tests.models.sqlmodels import SQLModelBase, SQLModelHero, SQLModelTeam


class Kind(NamedTuple):
    """A way to map the two tables."""

    name: str
    team: type[Any]
    hero: type[Any]
    metadata: MetaData


# Declarative, on a base of one's own.


class PlainBase(DeclarativeBase):
    pass


class PlainTeam(PlainBase):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    heroes: Mapped[list[PlainHero]] = relationship(back_populates="team", passive_deletes="all")


class PlainHero(PlainBase):
    __tablename__ = "hero"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    age: Mapped[int | None] = mapped_column(default=18)
    team_id: Mapped[int | None] = mapped_column(ForeignKey(PlainTeam.id))
    team: Mapped[PlainTeam | None] = relationship(back_populates="heroes")


# Declarative as it was before annotations, with mixins.

OldBase: Any = declarative_base()


class Named:
    id = Column(Integer, primary_key=True)
    name = Column(String(20), nullable=False)


class Aged:
    age = Column(Integer, default=18)

    @declared_attr
    def team_id(cls):  # type: ignore[no-untyped-def]
        return Column(ForeignKey("team.id"))


class OldTeam(Named, OldBase):  # type: ignore[misc]
    __tablename__ = "team"
    __table_args__ = (UniqueConstraint("name"),)

    heroes = relationship("OldHero", back_populates="team", passive_deletes="all")


class OldHero(Named, Aged, OldBase):  # type: ignore[misc]
    __tablename__ = "hero"

    team = relationship("OldTeam", back_populates="heroes")


# Dataclasses that SQLAlchemy makes.


class DataclassBase(MappedAsDataclass, DeclarativeBase):
    pass


class DataclassTeam(DataclassBase):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    heroes: Mapped[list[DataclassHero]] = relationship(
        init=False, repr=False, back_populates="team", passive_deletes="all"
    )


class DataclassHero(DataclassBase, kw_only=True):
    __tablename__ = "hero"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    age: Mapped[int | None] = mapped_column(default=18)
    team_id: Mapped[int | None] = mapped_column(ForeignKey(DataclassTeam.id), default=None)
    team: Mapped[DataclassTeam | None] = relationship(init=False, repr=False, back_populates="heroes")


# Imperative: plain classes, and tables beside them.

imperative = registry()
TEAM = Table(
    "team", imperative.metadata, Column("id", Integer, primary_key=True), Column("name", String(20), unique=True)
)
HERO = Table(
    "hero",
    imperative.metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(20), nullable=False),
    Column("age", Integer, default=18),
    Column("team_id", ForeignKey("team.id")),
)


class ImperativeTeam:
    """Knows nothing of tables."""


@dataclasses.dataclass
class ImperativeHero:
    """A dataclass of Python's own."""

    name: str
    age: int | None = 18
    team_id: int | None = None
    id: int | None = None


imperative.map_imperatively(
    ImperativeTeam,
    TEAM,
    properties={"heroes": relationship(ImperativeHero, back_populates="team", passive_deletes="all")},
)
imperative.map_imperatively(
    ImperativeHero, HERO, properties={"team": relationship(ImperativeTeam, back_populates="heroes")}
)


KINDS = [
    Kind("declarative", PlainTeam, PlainHero, PlainBase.metadata),
    Kind("old declarative", OldTeam, OldHero, OldBase.metadata),
    Kind("dataclass", DataclassTeam, DataclassHero, DataclassBase.metadata),
    Kind("imperative", ImperativeTeam, ImperativeHero, imperative.metadata),
    Kind("SQLModel", SQLModelTeam, SQLModelHero, SQLModelBase.metadata),
]
