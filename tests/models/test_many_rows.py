"""Bases and mixins where many rows are written, or one that may be there already."""

from __future__ import annotations

from typing import Any

import pytest

from fastapix5 import F
from fastapix5.db import get_session, session_scope
from fastapix5.exceptions import ForeignKeyViolation, StaleVersion, UniqueViolation
from fastapix5.repositories import Repository
from tests.models.fleet import Carrier, Delay, Plane

pytestmark = pytest.mark.anyio


@pytest.fixture
def carriers() -> Repository[Carrier]:
    """The repository of carriers."""
    return Repository(Carrier)


async def facts(carriers: Repository[Carrier]) -> list[tuple[str, int, int, bool, bool]]:
    """Code, seats, version, and whether each carrier was updated, and hidden, since it was made."""
    rows = await carriers.all_objects.order_by("code")
    return [
        (row.code, row.seats, row.version, row.updated_at > row.created_at, row.deleted_at is not None) for row in rows
    ]


def row(code: str, **more: Any) -> dict[str, Any]:
    """Values of a carrier."""
    return {"code": code, "name": code, **more}


async def test_bulk_create_fills_what_the_mixins_bring(scope: None, carriers: Repository[Carrier]) -> None:
    """From mappings and objects."""
    made = await carriers.objects.bulk_create([row("A"), Carrier(**row("B"))])
    assert [found.version for found in made] == [1, 1]
    assert all(found.created_at == found.updated_at for found in made)
    assert await facts(carriers) == [("A", 1, 1, False, False), ("B", 1, 1, False, False)]


async def test_update_raises_times_and_versions(scope: None, carriers: Repository[Carrier]) -> None:
    """Of the rows that it writes, and in the objects of this session."""
    first, second = await carriers.objects.bulk_create([row("A"), row("B")])
    assert await carriers.objects.filter(code="A").update(seats=F("seats") + 4) == 1
    assert (first.seats, first.version, second.version) == (5, 2, 1)
    assert await facts(carriers) == [("A", 5, 2, True, False), ("B", 1, 1, False, False)]


async def test_update_of_a_subclass_raises_times_and_versions(scope: None) -> None:
    """Which stand in the base's table."""
    delays = Repository(Delay)
    made = await delays.create({"minutes": 5})
    before = made.updated_at
    assert await delays.objects.update(minutes=6) == 1
    async with session_scope():
        found = await delays.objects.get()
        assert (found.minutes, found.version) == (6, 2)
        assert found.updated_at > before


async def test_update_takes_no_version(scope: None, carriers: Repository[Carrier]) -> None:
    """It counts by itself."""
    with pytest.raises(TypeError, match="version"):
        await carriers.objects.update(version=5)


async def test_bulk_update_raises_times_and_versions(scope: None, carriers: Repository[Carrier]) -> None:
    """The objects know."""
    made = await carriers.objects.bulk_create([row("A"), row("B")])
    for found in made:
        found.seats = 7
    assert await carriers.objects.bulk_update(made, ["seats"]) == 2
    assert [found.version for found in made] == [2, 2]
    assert await facts(carriers) == [("A", 7, 2, True, False), ("B", 7, 2, True, False)]


async def test_bulk_update_refuses_stale_objects(scope: None, carriers: Repository[Carrier]) -> None:
    """One of them is enough, and none is written."""
    made = await carriers.objects.bulk_create([row("A"), row("B")])
    async with session_scope():
        await carriers.objects.filter(code="B").update(seats=2)
    for found in made:
        found.seats = 7
    with pytest.raises(StaleVersion):
        await carriers.objects.bulk_update(made, ["seats"])
    get_session().expunge_all()
    assert [seats for _, seats, *_ in await facts(carriers)] == [1, 2]


async def test_upserts_raise_times_and_versions(scope: None, carriers: Repository[Carrier]) -> None:
    """Of a row that was there."""
    await carriers.objects.upsert(row("A"), ["code"])
    found = await carriers.objects.upsert(row("A", seats=5), ["code"])
    assert (found.seats, found.version) == (5, 2)
    assert found.updated_at > found.created_at
    await carriers.objects.bulk_create(
        [row("A", seats=6), row("B")], on_conflict="update", unique_fields=["code"], update_fields=["seats"]
    )
    await carriers.objects.update_or_create(code="A", defaults={"seats": 7})
    assert await facts(carriers) == [("A", 7, 4, True, False), ("B", 1, 1, False, False)]


@pytest.fixture
async def hidden(scope: None, carriers: Repository[Carrier]) -> None:
    """A carrier that is hidden."""
    await carriers.delete(await carriers.create(row("A")))


async def test_a_hidden_row_is_not_written_through_objects(hidden: None, carriers: Repository[Carrier]) -> None:
    """It keeps its unique values, so whoever would write to it by one of them is refused."""
    before = await facts(carriers)
    for write in (
        carriers.objects.upsert(row("A", seats=5), ["code"]),
        carriers.objects.update_or_create(code="A", defaults={"name": "A", "seats": 5}),
        carriers.objects.get_or_create(code="A", defaults={"name": "A"}),
        carriers.objects.bulk_create(
            [row("A", seats=5)], on_conflict="update", unique_fields=["code"], update_fields=["seats"]
        ),
        carriers.objects.bulk_create([row("A", seats=5)]),
    ):
        with pytest.raises(UniqueViolation):
            await write
        get_session().expunge_all()
    assert await facts(carriers) == before


async def test_a_hidden_row_is_written_through_all_objects(hidden: None, carriers: Repository[Carrier]) -> None:
    """And stays hidden."""
    await carriers.all_objects.upsert(row("A", seats=5), ["code"])
    await carriers.all_objects.update_or_create(code="A", defaults={"seats": 6})
    assert await facts(carriers) == [("A", 6, 4, True, True)]


async def test_conflicts_with_a_hidden_row_can_be_ignored(hidden: None, carriers: Repository[Carrier]) -> None:
    """The row that is there, though hidden, is left alone."""
    await carriers.objects.bulk_create([row("A", seats=5), row("B")], on_conflict="ignore", unique_fields=["code"])
    assert await facts(carriers) == [("A", 1, 2, True, True), ("B", 1, 1, False, False)]


async def test_many_rows_cannot_name_a_hidden_one(hidden: None, carriers: Repository[Carrier]) -> None:
    """Neither by inserts nor by updates."""
    planes, gone = Repository(Plane), (await carriers.all_objects.get()).id
    with pytest.raises(ForeignKeyViolation) as refused:
        await planes.objects.bulk_create([{"tail": "N1"}, {"tail": "N2", "carrier_id": gone}])
    assert refused.value.fields == ("carrier_id",)
    get_session().expunge_all()
    await planes.create({"tail": "N1"})
    with pytest.raises(ForeignKeyViolation):
        await planes.objects.update(carrier_id=gone)
    assert await planes.objects.filter(carrier_id=None).count() == 1


async def test_bulk_update_leaves_hidden_rows_alone(scope: None, carriers: Repository[Carrier]) -> None:
    """As ``update()`` does; ``all_objects`` writes them too."""
    made = await carriers.objects.bulk_create([row("A"), row("B")])
    await carriers.delete(made[0])
    for found in made:
        found.seats = 7
    assert await carriers.objects.bulk_update(made, ["seats"]) == 1
    assert await carriers.all_objects.bulk_update(made, ["seats"]) == 2


async def test_what_was_hidden_can_be_returned(scope: None, carriers: Repository[Carrier]) -> None:
    """``returning()`` before ``delete()`` tells which rows were hidden."""
    await carriers.objects.bulk_create([row("A"), row("B")])
    assert await carriers.objects.filter(code="A").returning("code", "version").delete() == [
        {"code": "A", "version": 2}
    ]
    (deleted,) = await carriers.objects.returning().delete()
    assert (deleted.code, deleted.deleted_at is not None) == ("B", True)
    assert await carriers.objects.count() == 0
