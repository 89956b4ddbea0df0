"""TimestampMixin: who sets the times, when, and by which clock."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import insert, literal, select, update

from fastapix5.db import atomic, get_session, session_scope
from fastapix5.repositories import Repository
from tests.models.fleet import Cancellation, Carrier, Delay, Desk, Ticket, Voucher
from tests.models.sqlmodels import Ship

pytestmark = pytest.mark.anyio

GIVEN = dt.datetime(2013, 1, 1, 5, 30, tzinfo=dt.UTC)
TABLE: Any = Carrier.__table__


@pytest.fixture
def now() -> dt.datetime:
    """The time before the test."""
    return dt.datetime.now(dt.UTC)


async def times() -> list[tuple[dt.datetime, dt.datetime]]:
    """Both times of every carrier."""
    rows = await get_session().execute(select(Carrier.created_at, Carrier.updated_at).order_by(Carrier.id))
    return [(created, updated) for created, updated in rows]


def carrier(code: str, **more: Any) -> dict[str, Any]:
    """Values of a carrier."""
    return {"code": code, "name": code, **more}


INSERTS = {
    "Core": lambda: insert(TABLE).values(carrier("A")),
    "Core, several": lambda: insert(TABLE).values([carrier("A"), carrier("B")]),
    "ORM": lambda: insert(Carrier).values(carrier("A")),
    "ORM, several": lambda: insert(Carrier).values([carrier("A"), carrier("B")]),
    "SELECT": lambda: insert(TABLE).from_select(["code", "name"], select(literal("A"), literal("A"))),
}


@pytest.mark.parametrize("statement", INSERTS.values(), ids=INSERTS)
async def test_statements_set_both_times(scope: None, now: dt.datetime, statement: Any) -> None:
    """Whatever inserts: both are the time of the statement, aware and in UTC."""
    await get_session().execute(statement())
    for created, updated in await times():
        assert now <= created == updated <= dt.datetime.now(dt.UTC)
        assert created.utcoffset() == dt.timedelta(0)


async def test_bulk_inserts_set_both_times(scope: None, now: dt.datetime) -> None:
    """So do lists of rows, through Core and the ORM, and several objects in one flush."""
    session = get_session()
    await session.execute(insert(TABLE), [carrier("A"), carrier("B")])
    await session.execute(insert(Carrier), [carrier("C"), carrier("D")])
    async with atomic():
        session.add_all([Carrier(**carrier("E")), Carrier(**carrier("F"))])
    found = await times()
    assert len(found) == 6
    assert all(now <= created == updated for created, updated in found)


async def test_an_object_knows_its_times_after_the_flush(fleet: str, now: dt.datetime) -> None:
    """Nothing has to be read again: they are there when the session is gone."""
    async with session_scope():
        session = get_session()
        session.add(made := Carrier(**carrier("A")))
        await session.flush()
    assert now <= made.created_at == made.updated_at


async def test_the_repository_sets_them(scope: None, now: dt.datetime) -> None:
    """Its objects show what the row has."""
    made = await Repository(Carrier).create(carrier("A"))
    assert [(made.created_at, made.updated_at)] == await times()
    assert now <= made.created_at


UPDATES = {
    "Core": lambda: update(TABLE).values(name="new"),
    "ORM": lambda: update(Carrier).values(name="new"),
}


@pytest.mark.parametrize("statement", UPDATES.values(), ids=UPDATES)
async def test_statements_raise_the_time_of_the_update(scope: None, statement: Any) -> None:
    """``created_at`` stays."""
    await Repository(Carrier).create(carrier("A"))
    ((created, before),) = await times()
    await get_session().execute(statement())
    ((created_after, after),) = await times()
    assert created_after == created == before < after


async def test_flushes_raise_the_time_of_the_update(scope: None) -> None:
    """One that changes nothing does not."""
    made = await Repository(Carrier).create(carrier("A"))
    session = get_session()
    made.name = "new"
    await session.flush()
    assert made.created_at < made.updated_at
    before = made.updated_at
    made.name = "new"
    await session.flush()
    assert [(made.created_at, before)] == await times()


async def test_the_repository_raises_the_time_of_the_update(scope: None) -> None:
    """The object shows it."""
    repository = Repository(Carrier)
    made = await repository.create(carrier("A"))
    before = made.updated_at
    made = await repository.update(made, {"name": "new"})
    assert made.created_at == before < made.updated_at
    assert [(made.created_at, made.updated_at)] == await times()


async def test_a_given_time_wins(scope: None) -> None:
    """For rows that are imported: in statements, objects and the repository, on insert and update."""
    session, repository = get_session(), Repository(Carrier)
    given = {"created_at": GIVEN, "updated_at": GIVEN}
    await session.execute(insert(TABLE).values(carrier("A", **given)))
    await repository.create(carrier("B", **given))
    session.add(made := Carrier(**carrier("C", **given)))
    await session.flush()
    assert await times() == [(GIVEN, GIVEN)] * 3
    later = GIVEN + dt.timedelta(days=1)
    await session.execute(update(Carrier).where(Carrier.code == "A").values(updated_at=later))
    await repository.update(await repository.objects.get(code="B"), {"updated_at": later})
    made.updated_at = later
    await session.flush()
    assert await times() == [(GIVEN, later)] * 3


async def test_a_time_of_another_zone_comes_back_in_utc(scope: None) -> None:
    """The moment is the same on both engines."""
    eastern = dt.timezone(dt.timedelta(hours=-5))
    await get_session().execute(insert(TABLE).values(carrier("A", created_at=GIVEN.astimezone(eastern))))
    ((created, _),) = await times()
    assert created == GIVEN
    assert created.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("model", [Delay, Cancellation])
async def test_an_update_of_a_subclass_raises_the_time(scope: None, model: Any) -> None:
    """Also where only the subclass's own table has changed."""
    session = get_session()
    values: Any = {"minutes": 5} if model is Delay else {"reason": "snow"}
    session.add(made := model(**values))
    await session.flush()
    before = made.updated_at
    for name, value in values.items():
        setattr(made, name, value * 2)
    await session.flush()
    assert made.updated_at > before
    stored = await session.scalar(select(model.updated_at))
    assert stored == made.updated_at


async def test_a_given_time_wins_in_a_subclass(scope: None) -> None:
    """The time that the base's table gets is the caller's."""
    session = get_session()
    session.add(made := Delay(minutes=5))
    await session.flush()
    made.minutes, made.updated_at = 6, GIVEN
    await session.flush()
    assert await session.scalar(select(Delay.updated_at)) == GIVEN


@pytest.mark.parametrize(
    ("model", "values"),
    [(Ticket, {"seat": "1A"}), (Voucher, {"amount": 5}), (Desk, {"label": "A"}), (Ship, {"name": "Ada"})],
)
async def test_other_kinds_of_classes_have_times(
    scope: None, now: dt.datetime, model: Any, values: dict[str, Any]
) -> None:
    """Dataclass-mapped ones, SQLModel's, and those on a base of the user's own."""
    session = get_session()
    session.add(made := model(**values))
    await session.flush()
    assert now <= made.created_at == made.updated_at


def test_the_constructor_of_a_dataclass_takes_no_times() -> None:
    """They are attributes and no fields."""
    with pytest.raises(TypeError, match="created_at"):
        Ticket(seat="1A", created_at=GIVEN)  # type: ignore[call-arg]
