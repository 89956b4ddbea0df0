"""SoftDeleteMixin: what is deleted stays, hidden."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import Count, Q
from fastapix5.access import Access
from fastapix5.db import atomic, get_session, session_scope
from fastapix5.exceptions import (
    DoesNotExist,
    ForeignKeyViolation,
    ImproperlyConfigured,
    MultipleObjectsReturned,
    StaleVersion,
    UniqueViolation,
)
from fastapix5.models import SoftDeleteMixin, not_deleted, soft_deletes
from fastapix5.repositories import Repository
from tests.models.fleet import Carrier, Delay, Desk, Event, Manual, Plane, PlaneRoute, Route, Ticket, Voucher
from tests.models.sqlmodels import Ship
from tests.statements import Statements

pytestmark = pytest.mark.anyio


@pytest.fixture
def carriers() -> Repository[Carrier]:
    """The repository of carriers."""
    return Repository(Carrier)


@pytest.fixture
def planes() -> Repository[Plane]:
    """The repository of planes."""
    return Repository(Plane)


async def made(carriers: Repository[Carrier], *codes: str) -> list[Carrier]:
    """Carriers of these codes."""
    return [await carriers.create({"code": code, "name": code}) for code in codes]


async def codes(queryset: Any) -> list[str]:
    """The codes of carriers, in order."""
    found: list[str] = await queryset.order_by("code").values_list("code", flat=True)
    return found


def test_models_say_whether_they_hide_rows() -> None:
    """Those with the mixin, their subclasses included."""
    assert soft_deletes(Carrier)
    assert soft_deletes(Delay)
    assert not soft_deletes(PlaneRoute)
    assert not_deleted(PlaneRoute) is None


async def test_a_deleted_row_is_hidden(scope: None, carriers: Repository[Carrier]) -> None:
    """From ``objects``, whatever asks; ``all_objects`` has it."""
    united, _ = await made(carriers, "UA", "DL")
    before = dt.datetime.now(dt.UTC)
    await carriers.delete(united)
    assert await codes(carriers.objects) == ["DL"]
    assert await carriers.objects.count() == 1
    assert not await carriers.objects.filter(code="UA").exists()
    assert await carriers.objects.get_or_none(code="UA") is None
    assert await carriers.objects.in_bulk([united.id]) == {}
    assert (await carriers.objects.aggregate(n=Count("*")))["n"] == 1
    with pytest.raises(DoesNotExist):
        await carriers.objects.get(id=united.id)
    assert await codes(carriers.all_objects) == ["DL", "UA"]
    hidden = await carriers.all_objects.get(code="UA")
    assert hidden.deleted_at is not None
    assert before <= hidden.deleted_at <= dt.datetime.now(dt.UTC)
    assert await codes(carriers.all_objects.filter(deleted_at__isnull=False)) == ["UA"]


async def test_a_delete_is_one_update(
    fleet: str, planes: Repository[Plane], carriers: Repository[Carrier], statements: Statements
) -> None:
    """Of a plain row and of one with a version; nothing is read before."""
    async with session_scope():
        plane = await planes.create({"tail": "N1"})
        (carrier,) = await made(carriers, "UA")
        statements.reset()
        await planes.delete(plane)
        await carriers.delete(carrier)
        assert [statement.text[:6] for statement in await statements.read()] == ["UPDATE", "UPDATE"]


async def test_an_object_shows_that_it_was_deleted(scope: None, carriers: Repository[Carrier]) -> None:
    """So that it can be restored at once."""
    (united,) = await made(carriers, "UA")
    await carriers.delete(united)
    assert united.deleted_at is not None
    restored = await carriers.restore(united)
    assert restored is united
    assert restored.deleted_at is None
    assert await codes(carriers.objects) == ["UA"]


async def test_restore_brings_back_what_was_read_as_hidden(fleet: str, carriers: Repository[Carrier]) -> None:
    """In another session too."""
    async with session_scope():
        (united,) = await made(carriers, "UA")
        await carriers.delete(united)
    async with session_scope():
        await carriers.restore(await carriers.all_objects.get(code="UA"))
        assert await codes(carriers.objects) == ["UA"]


async def test_a_row_that_is_hidden_already_cannot_be_deleted(scope: None, carriers: Repository[Carrier]) -> None:
    """As one that is gone; its time stays."""
    (united,) = await made(carriers, "UA")
    await carriers.delete(united)
    first = united.deleted_at
    with pytest.raises(DoesNotExist):
        await carriers.delete(united)
    assert await carriers.all_objects.delete() == 0
    assert (await carriers.all_objects.get()).deleted_at == first


async def test_purge_really_deletes(scope: None, planes: Repository[Plane]) -> None:
    """A row that is there and one that is hidden alike."""
    first, second = [await planes.create({"tail": tail}) for tail in ("N1", "N2")]
    await planes.delete(first)
    await planes.purge(first)
    await planes.purge(second)
    assert await planes.all_objects.count() == 0
    with pytest.raises(DoesNotExist):
        await planes.purge(first)


async def test_restore_of_a_row_that_is_gone_raises(scope: None, planes: Repository[Plane]) -> None:
    """There is nothing to bring back."""
    plane = await planes.create({"tail": "N1"})
    await planes.purge(plane)
    with pytest.raises(DoesNotExist):
        await planes.restore(plane)


async def test_only_models_with_the_mixin_restore(scope: None) -> None:
    """For others there is no such thing; ``purge`` is ``delete``."""
    session = get_session()
    plane, route = Plane(tail="N1"), Route(origin="EWR", destination="LAX")
    session.add_all([plane, route])
    await session.flush()
    link = await Repository(PlaneRoute).create({"plane_id": plane.id, "origin": "EWR", "destination": "LAX"})
    with pytest.raises(TypeError, match="PlaneRoute"):
        await Repository(PlaneRoute).restore(link)
    await Repository(PlaneRoute).purge(link)
    assert await Repository(PlaneRoute).objects.count() == 0
    assert await Repository(PlaneRoute).all_objects.count() == 0


async def test_a_queryset_hides_rows_in_one_statement(
    scope: None, carriers: Repository[Carrier], statements: Statements
) -> None:
    """``delete()`` returns how many it has hidden, raises versions and times, and can be asked what it hid."""
    await made(carriers, "UA", "DL", "AA")
    assert await carriers.objects.filter(code__in=["UA", "DL"]).delete() == 2
    assert await codes(carriers.objects) == ["AA"]
    rows = await carriers.all_objects.filter(~Q(deleted_at=None)).values("version", "updated_at", "deleted_at")
    assert [row["version"] for row in rows] == [2, 2]
    assert all(row["updated_at"] >= row["deleted_at"] for row in rows)


async def test_unique_values_of_hidden_rows_are_taken(scope: None, carriers: Repository[Carrier]) -> None:
    """Whoever wants one of them must restore or purge."""
    (united,) = await made(carriers, "UA")
    await carriers.delete(united)
    with pytest.raises(UniqueViolation) as refused:
        await carriers.create({"code": "UA", "name": "new"})
    assert refused.value.fields == ("code",)
    with pytest.raises(UniqueViolation):
        await carriers.objects.get_or_create(code="UA", defaults={"name": "new"})
    with pytest.raises(UniqueViolation):
        await carriers.objects.update_or_create(code="UA", defaults={"name": "new"})
    found, created = await carriers.all_objects.get_or_create(code="UA", defaults={"name": "new"})
    assert (found.name, created) == ("UA", False)


# Relations


@pytest.fixture
async def related(scope: None, carriers: Repository[Carrier], planes: Repository[Plane]) -> None:
    """Two carriers with two planes and two routes each; the second plane of each is hidden, and the carrier DL."""
    session = get_session()
    routes = [Route(origin="EWR", destination=name) for name in ("LAX", "SFO")]
    session.add_all(routes)
    for carrier in await made(carriers, "DL", "UA"):
        for number in (1, 2):
            plane = Plane(tail=f"{carrier.code}{number}", carrier_id=carrier.id)
            session.add(plane)
            await session.flush()
            session.add_all(
                PlaneRoute(plane_id=plane.id, origin=route.origin, destination=route.destination) for route in routes
            )
            await session.flush()
    await planes.objects.filter(tail__endswith="2").delete()
    await carriers.objects.filter(code="DL").delete()
    await Repository(Route).objects.filter(destination="SFO").delete()
    session.expunge_all()


async def test_to_many_conditions_see_no_hidden_rows(related: None, carriers: Repository[Carrier]) -> None:
    """A hidden plane is as good as none, also where its absence is asked for."""
    assert await codes(carriers.objects.filter(planes__tail="UA1")) == ["UA"]
    assert await codes(carriers.objects.filter(planes__tail="UA2")) == []
    assert await codes(carriers.objects.exclude(planes__tail="UA2")) == ["UA"]
    await Repository(Plane).objects.filter(tail="UA1").delete()
    assert await codes(carriers.objects.filter(planes__isnull=True)) == ["UA"]
    assert await codes(carriers.objects.filter(planes__tail__isnull=True)) == ["UA"]


async def test_many_to_many_conditions_see_no_hidden_rows(related: None, planes: Repository[Plane]) -> None:
    """Neither across the table between them."""
    assert await planes.objects.filter(routes__destination="LAX").count() == 2
    assert await planes.objects.filter(routes__destination="SFO").count() == 0


async def test_to_one_conditions_see_the_row_that_is_named(related: None, planes: Repository[Plane]) -> None:
    """A plane keeps the carrier that it had, hidden or not."""
    assert await planes.objects.filter(carrier__code="DL").count() == 1
    assert await planes.objects.filter(carrier__isnull=True).count() == 0
    found = await planes.objects.order_by("carrier__code").values_list("tail", flat=True)
    assert found == ["DL1", "UA1"]


async def test_a_condition_crosses_both_kinds_of_relations(related: None, carriers: Repository[Carrier]) -> None:
    """What lies behind a hidden row of a to-many relation is not reached."""
    assert await codes(carriers.objects.filter(planes__routes__destination="LAX")) == ["UA"]
    assert await codes(carriers.objects.filter(planes__carrier__planes__tail="UA2")) == []


async def test_counts_leave_hidden_rows_out(related: None, carriers: Repository[Carrier]) -> None:
    """Aggregates over related rows, annotated or for all."""
    rows = await carriers.all_objects.annotate(n=Count("planes")).order_by("code").values("code", "n")
    assert rows == [{"code": "DL", "n": 1}, {"code": "UA", "n": 1}]
    assert await carriers.objects.aggregate(n=Count("planes")) == {"n": 1}


async def test_loaded_lists_leave_hidden_rows_out(related: None, carriers: Repository[Carrier]) -> None:
    """``prefetch_related`` of to-many relations; a to-one relation shows the row that it names."""
    united = await carriers.objects.prefetch_related("planes__routes").get()
    assert [plane.tail for plane in united.planes] == ["UA1"]
    assert [route.destination for route in united.planes[0].routes] == ["LAX"]
    planes = await Repository(Plane).objects.select_related("carrier").order_by("tail")
    assert [plane.carrier and plane.carrier.code for plane in planes] == ["DL", "UA"]
    fetched = await Repository(Plane).objects.prefetch_related("carrier").order_by("tail")
    assert [plane.carrier and plane.carrier.code for plane in fetched] == ["DL", "UA"]


async def test_a_row_that_no_foreign_key_names_is_hidden(related: None, planes: Repository[Plane]) -> None:
    """The other side of a one-to-one relation: it is one of many rows that could refer to this one."""
    manuals, plane = Repository(Manual), await planes.objects.get(tail="UA1")
    manual = await manuals.create({"title": "old", "plane_id": plane.id})
    assert await planes.objects.filter(manual__title="old").count() == 1
    await manuals.delete(manual)
    get_session().expunge_all()
    assert await planes.objects.filter(manual__title="old").count() == 0
    assert await planes.objects.filter(manual__isnull=True).count() == 2
    assert [row["manual__title"] for row in await planes.objects.values("manual__title")] == [None, None]
    for loaded in (planes.objects.select_related("manual"), planes.objects.prefetch_related("manual")):
        assert [found.manual for found in await loaded] == [None, None]
        get_session().expunge_all()


async def test_a_policy_sees_no_hidden_rows(related: None) -> None:
    """Who is a member by a row that was deleted is none any more."""

    class CarrierRepository(Repository[Carrier]):
        def row_policy(self, access: Access) -> Any:
            return Q(planes__tail=access.user_id)

    async with session_scope(access=Access(user_id="UA1")):
        assert await codes(CarrierRepository().objects) == ["UA"]
    async with session_scope(access=Access(user_id="UA2")):
        assert await codes(CarrierRepository().objects) == []


# Foreign keys


async def test_a_hidden_row_cannot_be_named_anew(related: None, planes: Repository[Plane]) -> None:
    """A foreign key that names it is refused as if it were not there, in create and update."""
    delta = await Repository(Carrier).all_objects.get(code="DL")
    with pytest.raises(ForeignKeyViolation) as refused:
        await planes.create({"tail": "N1", "carrier_id": delta.id})
    assert refused.value.fields == ("carrier_id",)
    united = await planes.objects.get(tail="UA1")
    with pytest.raises(ForeignKeyViolation):
        await planes.update(united, {"carrier_id": delta.id})
    kept = await planes.objects.get(tail="DL1")
    assert (await planes.update(kept, {"tail": "DL3"})).carrier_id == delta.id


async def test_a_composite_key_of_a_hidden_row_is_refused(related: None, planes: Repository[Plane]) -> None:
    """All its parts together."""
    plane = await planes.create({"tail": "N1"})
    link = {"plane_id": plane.id, "origin": "EWR"}
    with pytest.raises(ForeignKeyViolation) as refused:
        await Repository(PlaneRoute).create({**link, "destination": "SFO"})
    assert refused.value.fields == ("origin", "destination")
    await Repository(PlaneRoute).create({**link, "destination": "LAX"})


async def test_what_refers_to_a_row_does_not_keep_it(related: None, carriers: Repository[Carrier]) -> None:
    """It stays where it is, so nothing is left without its row; ``purge`` is refused as ever."""
    united = await carriers.objects.get(code="UA")
    await carriers.delete(united)
    assert await Repository(Plane).objects.filter(carrier__code="UA").count() == 1


# Other classes


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Ticket, {"seat": "1A"}),
        (Voucher, {"amount": 5}),
        (Desk, {"label": "a"}),
        (Ship, {"name": "Ada"}),
        (Event, {"note": "a"}),
        (Delay, {"minutes": 5}),
        (Delay, {"id": 7, "minutes": 5}),
        (Route, {"origin": "EWR", "destination": "LAX"}),
    ],
)
async def test_every_kind_of_class_hides_its_rows(scope: None, model: Any, values: dict[str, Any]) -> None:
    """Dataclass-mapped ones, inheritance, composite keys, a base of the user's own."""
    repository: Repository[Any] = Repository(model)
    made = await repository.create(values)
    await repository.delete(made)
    assert await repository.objects.count() == 0
    assert await repository.all_objects.count() == 1
    await repository.restore(made)
    assert await repository.objects.count() == 1
    assert await repository.objects.delete() == 1
    assert await repository.objects.count() == 0
    assert await repository.all_objects.filter(deleted_at=None).count() == 0
    await repository.purge(await repository.all_objects.get())
    assert await repository.all_objects.count() == 0


def test_the_mixin_stands_at_the_root() -> None:
    """Where only a subclass had it, a hidden row would still be one of its base's."""
    with pytest.raises(ImproperlyConfigured, match="Give the mixin to Hangar"):

        class Base(DeclarativeBase):
            pass

        class Hangar(Base):
            __tablename__ = "hangar"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "hangar"}

        class HiddenHangar(SoftDeleteMixin, Hangar):
            __mapper_args__ = {"polymorphic_identity": "hidden"}


async def test_a_row_hidden_as_a_subclass_is_hidden_in_its_base(scope: None) -> None:
    """It is one row."""
    delay = await Repository(Delay).create({"minutes": 5})
    await Repository(Event).create({"note": "a"})
    await Repository(Delay).delete(delay)
    assert await Repository(Event).objects.count() == 1
    assert await Repository(Event).all_objects.count() == 2


async def test_a_stale_object_is_not_deleted(fleet: str, carriers: Repository[Carrier]) -> None:
    """A version counts here too: what was changed is not deleted unseen."""
    async with session_scope(), atomic():
        await made(carriers, "UA")
    async with session_scope():
        stale = await carriers.objects.get()
        async with session_scope():
            await carriers.objects.update(name="theirs")
        with pytest.raises(StaleVersion):
            await carriers.delete(stale)
        assert await carriers.objects.count() == 1


async def test_rows_are_written_where_they_are_hidden(scope: None, carriers: Repository[Carrier]) -> None:
    """``all_objects`` writes to every row; ``objects`` to those that it has."""
    united, _ = await made(carriers, "UA", "DL")
    await carriers.delete(united)
    assert await carriers.objects.update(seats=2) == 1
    assert await carriers.all_objects.update(seats=3) == 2
    assert (await get_session().scalars(select(Carrier.seats))).all() == [3, 3]


async def test_several_hidden_rows_are_several(scope: None, carriers: Repository[Carrier]) -> None:
    """Nothing of ``all_objects`` is special."""
    await made(carriers, "UA", "DL")
    await carriers.objects.delete()
    with pytest.raises(MultipleObjectsReturned):
        await carriers.all_objects.get(seats=1)
