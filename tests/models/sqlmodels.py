"""SQLModel's tables. It reads annotations as they stand, so none here is text but for a class that is still to come."""

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, Relationship, SQLModel

from fastapix5.models import SoftDeleteMixin, TimestampMixin, VersionMixin
from tests.models.fleet import METADATA


class SQLModelBase(SQLModel, registry=registry()):
    metadata = MetaData()


class SQLModelTeam(SQLModelBase, table=True):
    __tablename__ = "team"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=20, unique=True)
    heroes: list["SQLModelHero"] = Relationship(back_populates="team", passive_deletes="all")


class HeroFields(SQLModelBase):
    """What its tables and its schemas share."""

    name: str = Field(max_length=20)
    age: int | None = 18
    team_id: int | None = Field(default=None, foreign_key="team.id")


class SQLModelHero(HeroFields, table=True):
    __tablename__ = "hero"

    id: int | None = Field(default=None, primary_key=True)
    team: SQLModelTeam | None = Relationship(back_populates="heroes")


# SQLModel's schemas: what a project that has them would declare.


class TeamPublic(SQLModel):
    id: int
    name: str


class HeroPublic(HeroFields):
    id: int
    team: TeamPublic | None


class HeroCreate(HeroFields):
    pass


# With the mixins, in the fleet.


class FleetSQLModel(SQLModel, registry=registry(metadata=METADATA)):
    metadata = METADATA


class Ship(TimestampMixin, SoftDeleteMixin, VersionMixin, FleetSQLModel, table=True):
    """The mixins' columns are attributes and none of pydantic's fields."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
