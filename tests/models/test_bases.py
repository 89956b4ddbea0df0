"""Model, UUIDModel and IntModel: names of constraints, keys and ``repr``."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, assert_type

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE, ExcludeConstraint
from sqlalchemy.orm import InstrumentedAttribute

from fastapix5.db import get_engine, get_session, session_scope
from fastapix5.exceptions import CheckViolation, UniqueViolation
from fastapix5.models import NAMING_CONVENTION
from fastapix5.repositories import QuerySet, Repository
from tests.conftest import on_postgresql
from tests.models.fleet import METADATA, Carrier, Desk, Plane, Route, Ticket
from tests.statements import Statements

pytestmark = pytest.mark.anyio

PLANE: Any = Plane.__table__
CARRIER = {
    "pk_carrier",
    "uq_carrier_code",
    "uq_carrier_name_seats",
    "ck_carrier_positive",
    "ck_carrier_seats_1b9ee2",
    "ck_carrier_seats_73c75b",
    "ix_carrier_name",
}


async def inspected(look: Any) -> Any:
    """What ``look`` finds in the database's catalogue."""
    async with get_engine().connect() as connection:
        return await connection.run_sync(lambda sync: look(inspect(sync)))


def names_of(table: str) -> Any:
    """The look at every constraint and index of a table."""

    def look(found: Any) -> list[str | None]:
        rules = [
            found.get_pk_constraint(table),
            *found.get_unique_constraints(table),
            *found.get_check_constraints(table),
            *found.get_foreign_keys(table),
            *found.get_indexes(table),
        ]
        return [rule["name"] for rule in rules]

    return look


async def test_every_constraint_has_the_same_name_on_both_engines(fleet: str) -> None:
    """Keys, uniqueness and indexes are called by their columns; a check by its name, or its columns and its text."""
    assert set(await inspected(names_of("carrier"))) == CARRIER


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("plane", {"pk_plane", "fk_plane_carrier_id_carrier"}),
        ("plane_route", {"pk_plane_route", "fk_plane_route_plane_id_plane", "fk_plane_route_origin_destination_route"}),
        ("delay", {"pk_delay", "fk_delay_id_event"}),
    ],
)
async def test_foreign_keys_name_their_columns_and_their_target(fleet: str, table: str, expected: set[str]) -> None:
    """Composite ones name each column."""
    assert set(await inspected(names_of(table))) == expected


@pytest.mark.parametrize("table", METADATA.tables.values(), ids=METADATA.tables)
def test_no_constraint_is_without_a_name(table: Table) -> None:
    """The metadata knows every name, so that an error can tell its columns."""
    rules: list[Any] = [*table.constraints, *table.indexes]
    assert [rule for rule in rules if rule.name is None] == []


def test_a_name_of_ones_own_stays() -> None:
    """Of checks it follows the kind and the table, as the convention says."""
    table = Table(
        "t",
        MetaData(naming_convention=NAMING_CONVENTION),
        Column("a", Integer),
        UniqueConstraint("a", name="mine"),
        CheckConstraint("a > 0", name="mine_too"),
    )
    assert {rule.name for rule in table.constraints} == {"pk_t", "mine", "ck_t_mine_too"}


def test_two_indexes_on_one_column_differ() -> None:
    """One of an expression has its digest behind the column."""
    table = Table("t", MetaData(naming_convention=NAMING_CONVENTION), Column("a", Integer, index=True))
    Index(None, table.c.a + 1)
    Index(None, table.c.a + 2)
    names = {str(index.name) for index in table.indexes}
    assert len(names) == 3
    assert all(name.startswith("ix_t_a") for name in names)


async def test_a_long_name_is_the_same_on_both_engines(database: str) -> None:
    """PostgreSQL would cut it off at 63 characters; it ends in a digest instead."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    Table("t" * 40, metadata, Column("a" * 40, Integer, unique=True))
    async with get_engine().begin() as connection:
        await connection.run_sync(metadata.create_all)
    (found,) = await inspected(lambda inspector: inspector.get_unique_constraints("t" * 40))
    assert found["name"] == f"uq_{'t' * 40}_aaaaaaaaaaaa_684e32"
    assert len(found["name"]) == 63


@on_postgresql
async def test_an_exclusion_has_a_name(database: str) -> None:
    """PostgreSQL's own kind of constraint is named as the others are."""
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    Table("stay", metadata, Column("nights", INT4RANGE), ExcludeConstraint(("nights", "&&")))
    async with get_engine().begin() as connection:
        await connection.run_sync(metadata.create_all)
        found = await connection.scalar(text("SELECT conname FROM pg_constraint WHERE contype = 'x'"))
    assert found == "ex_stay_nights"


async def test_violations_carry_the_names(scope: None) -> None:
    """What the database refuses says which constraint it was, on both engines."""
    repository = Repository(Carrier)
    await repository.create({"code": "UA", "name": "United"})
    with pytest.raises(UniqueViolation) as unique:
        await repository.create({"code": "UA", "name": "Untied"})
    assert (unique.value.constraint, unique.value.fields) == ("uq_carrier_code", ("code",))
    with pytest.raises(CheckViolation) as check:
        await repository.create({"code": "DL", "name": "Delta", "seats": 0})
    assert (check.value.constraint, check.value.fields) == ("ck_carrier_positive", ("seats",))


async def test_migrations_see_no_difference(fleet: str) -> None:
    """Alembic compares the tables that were made with the models, and finds nothing to do."""
    autogenerate = pytest.importorskip("alembic.autogenerate")
    migration = pytest.importorskip("alembic.migration")

    def differences(connection: Connection) -> Any:
        context = migration.MigrationContext.configure(connection, opts={"compare_type": True})
        return autogenerate.compare_metadata(context, METADATA)

    async with get_engine().connect() as connection:
        assert await connection.run_sync(differences) == []


# Keys


async def test_integer_keys_count_up(scope: None) -> None:
    """SQLite counts too, though the column has 64 bits."""
    repository = Repository(Carrier)
    first = await repository.create({"code": "A", "name": "A"})
    second = await repository.create({"code": "B", "name": "B"})
    assert second.id == first.id + 1
    wide = await repository.create({"id": 2**40, "code": "C", "name": "C"})
    assert wide.id == 2**40


async def test_uuid_keys_are_made_here(scope: None) -> None:
    """Flushes, Core's statements and a list of rows all get random keys; a given one stays."""
    session = get_session()
    given = uuid.uuid4()
    session.add(flushed := Plane(tail="1"))
    await session.flush()
    await session.execute(insert(Plane), [{"tail": "2"}, {"tail": "3", "id": given}])
    await session.execute(insert(PLANE).values(tail="4"))
    keys: Any = dict((await session.execute(select(Plane.tail, Plane.id))).all())
    assert keys["1"] == flushed.id
    assert keys["3"] == given
    assert len(set(keys.values())) == 4
    assert all(key.version == 4 for key in keys.values())


# repr


def test_repr_of_a_new_object_shows_what_is_known() -> None:
    """A key that is not there yet is left out."""
    assert repr(Carrier(name="United")) == "<Carrier>"
    assert repr(Carrier(id=3)) == "<Carrier id=3>"
    assert repr(Route(origin="EWR")) == "<Route origin='EWR'>"
    assert repr(Carrier.__new__(Carrier)) == "<Carrier>"


async def test_repr_shows_a_composite_key(scope: None) -> None:
    """Each part by its attribute."""
    found = await Repository(Route).create({"origin": "EWR", "destination": "LAX"})
    assert repr(found) == "<Route origin='EWR' destination='LAX'>"


async def test_repr_never_asks_the_database(fleet: str, statements: Statements) -> None:
    """Not of an expired object, nor of one whose session is gone."""
    async with session_scope():
        found = await Repository(Carrier).create({"code": "UA", "name": "United"})
        session = get_session()
        expected = f"<Carrier id={found.id}>"
        session.expire(found)
        statements.reset()
        assert repr(found) == expected
        assert await statements.count() == 0
    assert repr(found) == expected


def test_repr_of_a_dataclass_is_ours_where_it_asks_for_none() -> None:
    """``repr=False`` leaves the base's, which never loads."""
    assert repr(Ticket(seat="1A")) == "<Ticket>"


async def test_relations_can_be_awaited(scope: None) -> None:
    """``awaitable_attrs`` loads what was not asked for."""
    carrier = await Repository(Carrier).create({"code": "UA", "name": "United"})
    await Repository(Plane).create({"tail": "N1", "carrier_id": carrier.id})
    (plane,) = (await get_session().scalars(select(Plane))).all()
    assert (await plane.awaitable_attrs.carrier) is carrier


def test_mixins_go_with_a_base_of_ones_own() -> None:
    """They need nothing of ``Model``."""
    assert set(Desk.__table__.columns.keys()) == {"id", "label", "created_at", "updated_at", "deleted_at", "version"}


def test_type_checkers_know_the_columns() -> None:
    """Of an object and of a class, whatever the class is."""
    carrier, ticket = Carrier(), Ticket(seat="1A")
    assert_type(carrier.id, int)
    assert_type(Plane().id, uuid.UUID)
    assert_type(carrier.created_at, dt.datetime)
    assert_type(carrier.deleted_at, dt.datetime | None)
    assert_type(ticket.version, int)
    assert_type(Carrier.updated_at, InstrumentedAttribute[dt.datetime])
    assert_type(Repository(Carrier).all_objects, QuerySet[Carrier, Carrier])
