"""What a name in a condition may stand for, beside columns and relations."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
from sqlalchemy import DateTime, ForeignKey, func, insert
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import Comparator, hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, synonym

from fastapix5.db import get_engine, session_scope
from fastapix5.repositories import QuerySet, resolve

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class AnyCase(Comparator[str]):
    """Compares as the hybrid says."""

    __hash__ = Comparator.__hash__

    def __eq__(self, other: object) -> Any:
        return func.lower(self.__clause_element__()) == func.lower(other)


class Person(Base):
    """A person; ``year`` is a column, although lookups have a part of that name."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    year: Mapped[int]
    born: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    pets: Mapped[list[Pet]] = relationship(back_populates="owner")
    called: Mapped[str] = synonym("name")
    animals: Mapped[list[Pet]] = synonym("pets")
    pet_names: AssociationProxy[list[str]] = association_proxy("pets", "name")

    @hybrid_property
    def birthday(self) -> dt.datetime:
        """The same moment."""
        return self.born

    @hybrid_property
    def spoken(self) -> str:
        """The name, which has no case when it is spoken."""
        return self.name

    @spoken.inplace.comparator
    @classmethod
    def _spoken(cls) -> AnyCase:
        return AnyCase(cls.name)


class Pet(Base):
    """A pet."""

    __tablename__ = "pet"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    owner_id: Mapped[int] = mapped_column(ForeignKey(Person.id))
    owner: Mapped[Person] = relationship(back_populates="pets")
    owner_name: AssociationProxy[str] = association_proxy("owner", "name")


@pytest.fixture
async def people(database: str) -> AsyncIterator[None]:
    """Ada and Bob, with their pets, in an open scope."""
    born = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        rows = [
            {"id": 1, "name": "Ada", "year": 1, "born": born},
            {"id": 2, "name": "Bob", "year": 2, "born": born.replace(2014)},
        ]
        await connection.execute(insert(Person), rows)
        pets = [
            {"id": 1, "name": "Rex", "owner_id": 1},
            {"id": 2, "name": "Tom", "owner_id": 2},
            {"id": 3, "name": "Tim", "owner_id": 2},
        ]
        await connection.execute(insert(Pet), pets)
    async with session_scope():
        yield


FOUND: list[tuple[type[Any], dict[str, Any], Collection[int]]] = [
    (Person, {"called__icontains": "AD"}, {1}),
    (Person, {"animals__name": "Tom"}, {2}),
    (Person, {"animals__isnull": False}, {1, 2}),
    (Person, {"birthday__year": 2013}, {1}),
    (Person, {"spoken": "ADA"}, {1}),
    (Person, {"spoken__contains": "d"}, {1}),
    (Person, {"year": 2}, {2}),
    (Pet, {"owner__year": 1}, {1}),
    (Pet, {"owner__born__year__gte": 2014}, {2, 3}),
    (Pet, {"owner__called__in": ["Bob"]}, {2, 3}),
    (Person, {"pet_names": "Rex"}, {1}),
    (Person, {"pet_names__istartswith": "t"}, {2}),
    (Pet, {"owner_name__endswith": "b"}, {2, 3}),
]


async def test_a_name_is_whatever_the_mapper_knows(people: None) -> None:
    """Synonyms, hybrids with comparisons of their own, and what stands behind a relation as if it were here."""
    for model, conditions, expected in FOUND:
        found = await QuerySet(model).filter(**conditions).all()
        assert sorted(row.id for row in found) == sorted(expected), conditions
        others = await QuerySet(model).exclude(**conditions).all()
        everything = {1, 2} if model is Person else {1, 2, 3}
        assert {row.id for row in others} == everything - set(expected), conditions


def test_an_attribute_goes_before_a_part() -> None:
    """A related model's own column is meant, not a part of its key."""
    path = resolve(Pet, "owner__year")
    assert (path.attribute, path.transforms) == ("year", ())
    assert resolve(Pet, "owner__pk").attribute == "id"
