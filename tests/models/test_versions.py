"""VersionMixin: nobody overwrites what they have not seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import inspect, select, update

from fastapix5.db import atomic, get_session, session_scope
from fastapix5.exceptions import StaleVersion
from fastapix5.models import VersionMixin
from fastapix5.repositories import Repository
from tests.models.fleet import Cancellation, Carrier, Delay, Desk, Draft, Event, Ticket, Voucher
from tests.models.sqlmodels import Ship

pytestmark = pytest.mark.anyio

TABLE: Any = Carrier.__table__
EVENTS: Any = Event.__table__


@pytest.mark.parametrize("model", [Carrier, Event, Delay, Cancellation, Ticket, Voucher, Desk, Ship])
def test_every_class_with_the_mixin_checks_versions(model: Any) -> None:
    """Also one that has mapper arguments of its own, a subclass, and a dataclass."""
    assert issubclass(model, VersionMixin)
    assert inspect(model).version_id_col.name == "version"


async def made(code: str = "A") -> Carrier:
    """A carrier that was flushed."""
    session = get_session()
    session.add(found := Carrier(code=code, name=code))
    await session.flush()
    return found


async def stored() -> int | None:
    """The version in the row."""
    return await get_session().scalar(select(TABLE.c.version))


async def test_the_first_version_is_one(scope: None) -> None:
    """Whoever inserts."""
    assert (await made()).version == 1
    await get_session().execute(TABLE.insert().values(code="B", name="B"))
    assert await get_session().scalar(select(Carrier.version).where(Carrier.code == "B")) == 1


@pytest.mark.parametrize("target", [Carrier, TABLE], ids=["ORM", "Core"])
async def test_every_update_raises_the_version(scope: None, target: Any) -> None:
    """An UPDATE that names no version adds one."""
    await made()
    await get_session().execute(update(target).values(name="new"))
    assert await stored() == 2


async def test_a_flush_raises_the_version(scope: None) -> None:
    """The object has the new one."""
    carrier = await made()
    carrier.name = "new"
    await get_session().flush()
    assert carrier.version == await stored() == 2


async def test_a_flush_of_a_stale_object_is_refused(scope: None) -> None:
    """Somebody else has written in between."""
    carrier = await made()
    async with session_scope():
        await get_session().execute(update(TABLE).values(name="theirs"))
    carrier.name = "mine"
    with pytest.raises(StaleVersion):
        async with atomic():
            await get_session().flush()
    assert await get_session().scalar(select(TABLE.c.name)) == "theirs"


async def test_a_flush_that_deletes_a_stale_object_is_refused(scope: None) -> None:
    """What was changed is not deleted unseen."""
    carrier = await made()
    async with session_scope():
        await get_session().execute(update(TABLE).values(name="theirs"))
    with pytest.raises(StaleVersion):
        async with atomic():
            await get_session().delete(carrier)
    assert await stored() == 2


async def test_a_subclass_checks_the_version_of_its_base(scope: None) -> None:
    """Also where only its own table is written."""
    session = get_session()
    session.add(delay := Delay(minutes=5))
    await session.flush()
    delay.minutes = 6
    await session.flush()
    assert delay.version == 2
    async with session_scope():
        await get_session().execute(update(EVENTS).values(note="theirs"))
    delay.minutes = 7
    with pytest.raises(StaleVersion):
        async with atomic():
            await session.flush()


# The repository


@pytest.fixture
def carriers() -> Repository[Carrier]:
    """The repository of carriers."""
    return Repository(Carrier)


async def test_the_repository_raises_the_version(scope: None, carriers: Repository[Carrier]) -> None:
    """By one for each update, whether it goes by objects or by querysets."""
    carrier = await carriers.create({"code": "A", "name": "A"})
    assert (await carriers.update(carrier, {"name": "new"})).version == 2
    assert await carriers.objects.update(name="newer") == 1
    assert await stored() == 3


async def test_the_repository_refuses_a_stale_object(scope: None, carriers: Repository[Carrier]) -> None:
    """Nothing is written."""
    carrier = await carriers.create({"code": "A", "name": "A"})
    async with session_scope():
        await carriers.objects.update(name="theirs")
    with pytest.raises(StaleVersion):
        await carriers.update(carrier, {"name": "mine"})
    assert await get_session().scalar(select(TABLE.c.name)) == "theirs"


async def test_a_version_in_the_data_is_what_the_caller_believes(scope: None, carriers: Repository[Carrier]) -> None:
    """It is compared and never written."""
    carrier = await carriers.create({"code": "A", "name": "A"})
    carrier = await carriers.update(carrier, {"name": "new", "version": 1})
    assert carrier.version == await stored() == 2
    for believed in (1, 3, 99):
        with pytest.raises(StaleVersion):
            await carriers.update(carrier, {"name": "newer", "version": believed})
    assert (await carriers.update(carrier, {"name": "newer", "version": None})).version == 3


async def test_a_version_alone_changes_nothing(scope: None, carriers: Repository[Carrier]) -> None:
    """But it is compared."""
    carrier = await carriers.create({"code": "A", "name": "A"})
    assert (await carriers.update(carrier, {"version": 1})).version == 1
    with pytest.raises(StaleVersion):
        await carriers.update(carrier, {"version": 2})


async def test_a_version_is_not_given_to_a_new_row(scope: None, carriers: Repository[Carrier]) -> None:
    """It begins at one."""
    assert (await carriers.create({"code": "A", "name": "A", "version": 7})).version == 1
    assert await stored() == 1


async def test_a_row_that_is_gone_is_stale(scope: None, carriers: Repository[Carrier]) -> None:
    """It was changed, by being deleted."""
    carrier = await carriers.create({"code": "A", "name": "A"})
    async with session_scope():
        await carriers.purge(await carriers.objects.get())
    with pytest.raises(StaleVersion):
        await carriers.update(carrier, {"name": "mine"})


async def test_of_two_writers_one_wins(fleet: str, carriers: Repository[Carrier]) -> None:
    """Both have read the same version; the other is told."""
    async with session_scope():
        await carriers.create({"code": "A", "name": "A"})
    barrier = asyncio.Barrier(2)

    async def write(name: str) -> str:
        async with session_scope():
            carrier = await carriers.objects.get()
            await barrier.wait()
            try:
                async with atomic():
                    await carriers.update(carrier, {"name": name})
            except StaleVersion:
                return "stale"
            return name

    outcomes = await asyncio.gather(write("first"), write("second"))
    assert sorted(outcomes)[1:] == ["stale"]
    async with session_scope():
        assert (await carriers.objects.get()).name == min(outcomes)
        assert await stored() == 2


async def test_a_version_of_ones_own_counts_as_well(fleet: str) -> None:
    """``version_id_col`` on a class without the mixin."""
    drafts: Repository[Draft] = Repository(Draft)
    async with session_scope():
        draft = await drafts.create({"body": "a"})
        async with session_scope():
            assert await drafts.objects.update(body="b") == 1
        assert draft.version == 1
        assert await get_session().scalar(select(Draft.version)) == 2
        with pytest.raises(StaleVersion):
            await drafts.update(draft, {"body": "c"})
