"""Every method that writes, against the same change made to plain rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Table, delete, insert, select, text

from example_project.models import Airline, Airport, Flight, Plane, Weather
from fastapix5 import F, Q, QuerySet, Repository, atomic, get_session, session_scope
from fastapix5.db import get_engine
from fastapix5.exceptions import (
    ForeignKeyViolation,
    LengthViolation,
    MultipleObjectsReturned,
    NotNullViolation,
    RangeViolation,
    TypeViolation,
    Unavailable,
    UniqueViolation,
)
from fastapix5.settings import override_settings
from tests.conformance.cases import plain, undone
from tests.conformance.conftest import on_postgresql, on_sqlite
from tests.conformance.models import NOW, Booking, Craft, Glider, Seat, Stop, Ticket
from tests.conformance.rows import AIRLINE, KEYS, TABLES, Row, Test, flights_of, key_of, known, plane_of

pytestmark = pytest.mark.anyio

Unit = Callable[[], AbstractAsyncContextManager[Any]]

TICKETS: list[Row] = [
    {"id": 1, "code": "a", "flight": 1, "seat": "1A", "price": 100, "note": None, "bought": NOW},
    {"id": 2, "code": "b", "flight": 1, "seat": "1B", "price": None, "note": "window", "bought": NOW},
    {"id": 3, "code": "c", "flight": 2, "seat": "1A", "price": 300, "note": "100%_", "bought": NOW},
    {"id": 4, "code": "d", "flight": 2, "seat": None, "price": 50, "note": "", "bought": NOW},
]
STOPS: list[Row] = [
    {"route": "x", "position": 1, "place": "EWR"},
    {"route": "x", "position": 2, "place": None},
    {"route": "y", "position": 1, "place": "JFK"},
]


def tickets() -> QuerySet[Ticket]:
    return Repository(Ticket).objects


def stops() -> QuerySet[Stop]:
    return Repository(Stop).objects


async def stored(model: type[Any]) -> list[Row]:
    """The rows as this scope's session sees them, asked of the table and not of objects; by key."""
    table: Table = model.__table__
    found = (await get_session().execute(select(table).order_by(*table.primary_key.columns))).mappings().all()
    return [dict(row) for row in found]


async def committed(model: type[Any]) -> list[Row]:
    """The rows as a connection of its own sees them."""
    table: Table = model.__table__
    async with get_engine().connect() as connection:
        found = (await connection.execute(select(table).order_by(*table.primary_key.columns))).mappings().all()
    return [dict(row) for row in found]


def changed(key: int, **values: Any) -> list[Row]:
    """The tickets with one of them changed."""
    return [{**row, **values} if row["id"] == key else row for row in TICKETS]


def without_ids(found: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "id"} for row in found]


def ticket(**values: Any) -> Row:
    """A ticket as it is stored, without its id."""
    return {"flight": 1, "seat": None, "price": None, "note": None, "bought": NOW, **values}


@pytest.fixture
async def written(flights: str) -> None:
    """The tables that tests write, with their rows."""
    async with get_engine().begin() as connection:
        filled: list[tuple[type[Any], list[Row]]] = [(Ticket, TICKETS), (Stop, STOPS)]
        for model, rows in filled:
            await connection.execute(delete(model))
            await connection.execute(insert(model), rows)
        if flights == "postgresql":
            await connection.execute(text("SELECT setval('tickets_id_seq', 100)"))


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    yield


@pytest.fixture(params=[_alone, atomic], ids=["outside atomic", "inside atomic"])
async def unit(request: pytest.FixtureRequest, written: None, scope: None) -> Unit:
    """What stands around a write: nothing, or a transaction."""
    made: Unit = request.param
    return made


# The flights, whose changes are undone


class Update(NamedTuple):
    name: str
    model: type[Any]
    narrow: Callable[[QuerySet[Any]], QuerySet[Any]]
    values: dict[str, Any]
    test: Test
    change: Callable[[Row], Row]


UPDATES = [
    Update("a value", Flight, lambda q: q.filter(carrier="UA"), {"dep_delay": 7}, lambda f: f["carrier"] == "UA",
           lambda f: {"dep_delay": 7}),
    Update("every row", Airport, lambda q: q, {"alt": 0}, lambda a: True, lambda a: {"alt": 0}),
    Update("null", Flight, lambda q: q.exclude(dep_delay__lt=60), {"dep_delay": None},
           lambda f: not (f["dep_delay"] is not None and f["dep_delay"] < 60), lambda f: {"dep_delay": None}),
    Update("F", Flight, lambda q: q.filter(origin="JFK"), {"dep_delay": F("dep_delay") + 5},
           lambda f: f["origin"] == "JFK",
           lambda f: {"dep_delay": None if f["dep_delay"] is None else f["dep_delay"] + 5}),
    Update("F of each other", Flight, lambda q: q.filter(carrier="DL"),
           {"dep_delay": F("arr_delay"), "arr_delay": F("dep_delay")}, lambda f: f["carrier"] == "DL",
           lambda f: {"dep_delay": f["arr_delay"], "arr_delay": f["dep_delay"]}),
    Update("F arithmetic", Flight, lambda q: q.filter(dep_delay__isnull=False, arr_delay__isnull=False),
           {"arr_delay": 1000 - F("dep_delay") * 2 + F("arr_delay")},
           lambda f: None not in (f["dep_delay"], f["arr_delay"]),
           lambda f: {"arr_delay": 1000 - f["dep_delay"] * 2 + f["arr_delay"]}),
    Update("SQLAlchemy expression", Flight, lambda q: q.filter(id__lt=50), {"distance": Flight.distance + 1},
           lambda f: f["id"] < 50, lambda f: {"distance": f["distance"] + 1}),
    Update("across a relation", Flight, lambda q: q.filter(airline__name__contains="Air Lines", plane__seats__gt=200),
           {"distance": 1},
           lambda f: "Air Lines" in AIRLINE[f["carrier"]]["name"] and (plane_of(f)["seats"] or 0) > 200,
           lambda f: {"distance": 1}),
    Update("across to-many", Airline, lambda q: q.filter(flights__dest="HNL", flights__origin="JFK"),
           {"name": "Hula"}, lambda a: any(f["dest"] == "HNL" and f["origin"] == "JFK" for f in flights_of(a)),
           lambda a: {"name": "Hula"}),
    Update("Q", Flight, lambda q: q.filter(Q(carrier="UA") | ~Q(dest="LAX")), {"air_time": 1},
           lambda f: f["carrier"] == "UA" or f["dest"] != "LAX", lambda f: {"air_time": 1}),
    Update("where F", Flight, lambda q: q.filter(dep_delay__gt=F("arr_delay")), {"air_time": F("distance")},
           lambda f: None not in (f["dep_delay"], f["arr_delay"]) and f["dep_delay"] > f["arr_delay"],
           lambda f: {"air_time": f["distance"]}),
    Update("composite keys", Weather, lambda q: q.filter(origin="JFK"), {"temp": F("temp") * 2},
           lambda w: w["origin"] == "JFK", lambda w: {"temp": None if w["temp"] is None else w["temp"] * 2}),
    Update("a time", Flight, lambda q: q.filter(id__lte=3),
           {"time_hour": dt.datetime(2014, 1, 1, 5, 45, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45)))},
           lambda f: f["id"] <= 3, lambda f: {"time_hour": dt.datetime(2014, 1, 1, tzinfo=dt.UTC)}),
    Update("ordered", Flight, lambda q: q.filter(carrier="HA").order_by("-distance", "airline__name"),
           {"distance": 5}, lambda f: f["carrier"] == "HA", lambda f: {"distance": 5}),
    Update("none", Flight, lambda q: q.none(), {"distance": 5}, lambda f: False, lambda f: f),
    Update("no match", Flight, lambda q: q.filter(carrier="XX"), {"distance": 5}, lambda f: False, lambda f: f),
]  # fmt: skip


def by_key(model: type[Any], rows: list[Row]) -> dict[Any, Row]:
    return {key_of(model, row): row for row in rows}


@pytest.mark.parametrize("case", UPDATES, ids=lambda case: f"update {case.name}")
async def test_update_changes_exactly_the_rows_that_match(scope: None, case: Update) -> None:
    """It returns how many they are; every other row and column stays as it was."""
    matched = [row for row in TABLES[case.model] if case.test(row)]
    expected = by_key(case.model, TABLES[case.model]) | by_key(
        case.model, [{**row, **case.change(row)} for row in matched]
    )
    async with undone():
        assert await case.narrow(Repository(case.model).objects).update(**case.values) == len(matched)
        assert by_key(case.model, await stored(case.model)) == expected
    assert by_key(case.model, await stored(case.model)) == by_key(case.model, TABLES[case.model])


class Delete(NamedTuple):
    name: str
    model: type[Any]
    narrow: Callable[[QuerySet[Any]], QuerySet[Any]]
    test: Test


DELETES = [
    Delete("filtered", Flight, lambda q: q.filter(carrier="UA", dep_delay__gt=0),
           lambda f: f["carrier"] == "UA" and (f["dep_delay"] or 0) > 0),
    Delete("excluded", Flight, lambda q: q.exclude(dep_delay__gt=0), lambda f: not (f["dep_delay"] or 0) > 0),
    Delete("across a relation", Flight, lambda q: q.filter(plane__manufacturer="BOEING"),
           lambda f: plane_of(f)["manufacturer"] == "BOEING"),
    Delete("across to-many", Plane, lambda q: q.filter(flights__isnull=True), lambda p: not flights_of(p)),
    Delete("composite keys", Weather, lambda q: q.filter(origin="LGA", wind_gust__isnull=True),
           lambda w: w["origin"] == "LGA" and w["wind_gust"] is None),
    Delete("of every row", Flight, lambda q: q, lambda f: True),
    Delete("ordered", Flight, lambda q: q.filter(carrier="HA").order_by("-distance"), lambda f: f["carrier"] == "HA"),
    Delete("of none", Flight, lambda q: q.none(), lambda f: False),
]  # fmt: skip


@pytest.mark.parametrize("case", DELETES, ids=lambda case: f"delete {case.name}")
async def test_delete_takes_exactly_the_rows_that_match(scope: None, case: Delete) -> None:
    """It returns how many they are."""
    gone = [row for row in TABLES[case.model] if case.test(row)]
    expected = sorted(key_of(case.model, row) for row in TABLES[case.model] if not case.test(row))
    async with undone():
        assert await case.narrow(Repository(case.model).objects).delete() == len(gone)
        left = [tuple(row[name] for name in KEYS[case.model]) for row in await stored(case.model)]
        assert sorted(key if len(key) > 1 else key[0] for key in left) == expected


async def test_delete_of_rows_that_others_need_is_refused(scope: None) -> None:
    """None of them goes."""
    with pytest.raises(ForeignKeyViolation):
        await Repository(Airline).objects.delete()
    assert len(await stored(Airline)) == len(TABLES[Airline])


async def test_returning_gives_the_rows_that_update_wrote(scope: None) -> None:
    """As dicts of the named columns, with their new values; as objects where none is named."""
    late = Repository(Flight).objects.filter(dep_delay__gte=300)
    matched = [row for row in TABLES[Flight] if known("dep_delay", lambda delay: delay >= 300)(row)]
    async with undone():
        found = await late.returning("id", "dep_delay").update(dep_delay=F("dep_delay") + 1)
        expected = [{"id": row["id"], "dep_delay": row["dep_delay"] + 1} for row in matched]
        assert sorted(found, key=lambda row: row["id"]) == expected
    async with undone():
        objects = await late.returning().update(dep_delay=1)
        assert sorted((flight.id, flight.dep_delay, flight.carrier) for flight in objects) == [
            (row["id"], 1, row["carrier"]) for row in matched
        ]
        assert await Repository(Flight).objects.none().returning("id").update(dep_delay=1) == []


async def test_returning_gives_the_rows_that_delete_took(scope: None) -> None:
    """As they were."""
    storm = Repository(Weather).objects.filter(wind_gust__gte=40)
    matched = [row for row in TABLES[Weather] if known("wind_gust", lambda gust: gust >= 40)(row)]
    async with undone():
        found = await storm.returning("origin", "time_hour", "wind_gust").delete()
        assert sorted(found, key=lambda row: (row["origin"], row["time_hour"])) == [
            {name: row[name] for name in ("origin", "time_hour", "wind_gust")}
            for row in sorted(matched, key=lambda row: (row["origin"], row["time_hour"]))
        ]
        assert await storm.count() == 0
    async with undone():
        objects = await storm.returning().delete()
        assert sorted((hour.origin, hour.time_hour) for hour in objects) == sorted(
            (row["origin"], row["time_hour"]) for row in matched
        )


# The tickets, whose changes are kept


async def test_create_inserts_at_once(unit: Unit) -> None:
    """Outside a transaction too; the object has its key, its defaults and what the database says."""
    async with unit():
        made = await tickets().create(code="new", price=5)
        assert (made.code, made.price, made.flight, made.note, made.bought) == ("new", 5, 1, None, NOW)
        assert made.id > 4
    assert await committed(Ticket) == [*TICKETS, ticket(id=made.id, code="new", price=5)]
    assert await tickets().get(code="new") is made


async def test_create_with_a_composite_key(unit: Unit) -> None:
    """The key is given."""
    async with unit():
        made = await stops().create(route="y", position=2, place="LGA")
        assert plain(made) == ("y", 2)
    assert await committed(Stop) == [*STOPS, {"route": "y", "position": 2, "place": "LGA"}]


async def test_get_or_create_gets(unit: Unit) -> None:
    """The defaults are for new rows only."""
    async with unit():
        found, created = await tickets().get_or_create(code="b", defaults={"price": 1})
        assert (found.id, found.price, created) == (2, None, False)
    assert await committed(Ticket) == TICKETS


async def test_get_or_create_creates(unit: Unit) -> None:
    """With the conditions and the defaults, functions among them called; then it is there."""
    async with unit():
        made, created = await tickets().get_or_create(
            code="new", seat=None, defaults={"price": lambda: 8, "note": "x", "flight": 3}
        )
        assert (made.code, made.price, made.note, made.flight, created) == ("new", 8, "x", 3, True)
        assert await tickets().get_or_create(code="new", seat=None) == (made, False)
    assert without_ids(await committed(Ticket)) == [
        *without_ids(TICKETS),
        ticket(code="new", price=8, note="x", flight=3),
    ]


async def test_get_or_create_looks_up_and_leaves_lookups_out(unit: Unit) -> None:
    """As in Django: what has a lookup only finds; a default of that name is what is written."""
    async with unit():
        found, created = await tickets().get_or_create(code__iexact="B", defaults={"code": "z"})
        assert (found.id, created) == (2, False)
        made, created = await tickets().get_or_create(code__iexact="NEW", flight=9, defaults={"code": "new"})
        assert (made.code, made.flight, created) == ("new", 9, True)
    assert without_ids(await committed(Ticket)) == [*without_ids(TICKETS), ticket(code="new", flight=9)]


async def test_get_or_create_of_several_raises(unit: Unit) -> None:
    """As ``get`` does."""
    with pytest.raises(MultipleObjectsReturned):
        async with unit():
            await tickets().get_or_create(flight=1)
    assert await committed(Ticket) == TICKETS


async def test_get_or_create_within_a_filter_that_hides_the_row(unit: Unit) -> None:
    """The row is there and is not found, so making it breaks the rule that it is unique."""
    with pytest.raises(UniqueViolation):
        async with unit():
            await tickets().filter(flight=2).get_or_create(code="a")
    assert await committed(Ticket) == TICKETS


async def test_update_or_create_updates(unit: Unit) -> None:
    """The defaults are written to the row that is there."""
    async with unit():
        found, created = await tickets().update_or_create(code="b", defaults={"price": 9, "note": lambda: "aisle"})
        assert (found.id, found.price, found.note, created) == (2, 9, "aisle", False)
    assert await committed(Ticket) == changed(2, price=9, note="aisle")


async def test_update_or_create_updates_by_f(unit: Unit) -> None:
    """The object has the new value."""
    async with unit():
        found, created = await tickets().update_or_create(code="a", defaults={"price": F("price") + 1})
        assert (found.id, found.price, created) == (1, 101, False)
    assert await committed(Ticket) == changed(1, price=101)


async def test_update_or_create_creates(unit: Unit) -> None:
    """With the conditions and the defaults."""
    async with unit():
        made, created = await tickets().update_or_create(code="new", defaults={"price": 9})
        assert (made.code, made.price, created) == ("new", 9, True)
    assert without_ids(await committed(Ticket)) == [*without_ids(TICKETS), ticket(code="new", price=9)]


async def test_update_or_create_creates_with_defaults_of_its_own(unit: Unit) -> None:
    """``create_defaults`` stands in place of ``defaults`` for a new row, as in Django."""
    async with unit():
        made, created = await tickets().update_or_create(
            code="new", defaults={"price": 9}, create_defaults={"note": "first"}
        )
        assert (made.price, made.note, created) == (None, "first", True)
        again, created = await tickets().update_or_create(
            code="new", defaults={"price": 9}, create_defaults={"note": "again"}
        )
        assert (again, again.price, again.note, created) == (made, 9, "first", False)
    assert without_ids(await committed(Ticket)) == [*without_ids(TICKETS), ticket(code="new", price=9, note="first")]


async def test_update_or_create_by_a_composite_key(unit: Unit) -> None:
    """Both columns find the row."""
    async with unit():
        found, created = await stops().update_or_create(route="x", position=2, defaults={"place": "LGA"})
        assert (plain(found), found.place, created) == (("x", 2), "LGA", False)
    assert await committed(Stop) == [STOPS[0], {**STOPS[1], "place": "LGA"}, STOPS[2]]


NEW: list[Row] = [{"code": f"n{number}", "flight": 7, "seat": f"{number}", "price": number} for number in range(10)]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 10, 99])
@pytest.mark.parametrize("make", [dict, Ticket], ids=["mappings", "objects"])
async def test_bulk_create_inserts_all(unit: Unit, make: Callable[..., Any], batch_size: int | None) -> None:
    """In their order, with keys and defaults, in batches of any size."""
    async with unit():
        made = await tickets().bulk_create([make(**row) for row in NEW], batch_size=batch_size)
        assert [(one.code, one.price) for one in made] == [(row["code"], row["price"]) for row in NEW]
        assert len({one.id for one in made}) == len(NEW)
        assert await tickets().bulk_create([]) == []
    found = await committed(Ticket)
    assert without_ids(found) == without_ids(TICKETS) + [ticket(**row) for row in NEW]
    assert [row["id"] for row in found[4:]] == [one.id for one in made]


async def test_bulk_create_of_mappings_with_different_columns(unit: Unit) -> None:
    """What one lacks gets its default."""
    async with unit():
        await tickets().bulk_create([{"code": "n1", "price": 5}, {"code": "n2", "note": "x", "flight": 4}])
    assert without_ids(await committed(Ticket))[4:] == [
        ticket(code="n1", price=5),
        ticket(code="n2", note="x", flight=4),
    ]


async def test_bulk_create_is_all_or_nothing(unit: Unit) -> None:
    """One row that is there already stops it, in any batch; the error tells constraint and field."""
    with pytest.raises(UniqueViolation) as caught:
        async with unit():
            await tickets().bulk_create([{"code": "n1"}, {"code": "n2"}, {"code": "a"}], batch_size=1)
    assert (caught.value.constraint, caught.value.fields) == ("uq_tickets_code", ("code",))
    assert await committed(Ticket) == TICKETS


async def test_bulk_create_ignores_conflicts(unit: Unit) -> None:
    """Rows that break any unique rule are left out."""
    async with unit():
        await tickets().bulk_create(
            [{"code": "a", "price": 1}, {"code": "n1"}, {"code": "n2", "flight": 1, "seat": "1A"}], on_conflict="ignore"
        )
    assert without_ids(await committed(Ticket)) == [*without_ids(TICKETS), ticket(code="n1")]


async def test_bulk_create_updates_on_conflict(unit: Unit) -> None:
    """The named columns of the row that is there are written; the others stay."""
    async with unit():
        await tickets().bulk_create(
            [{"code": "a", "price": 1, "note": "no"}, {"code": "n1", "price": 2, "note": "yes"}],
            on_conflict="update",
            unique_fields=["code"],
            update_fields=["price"],
        )
    assert without_ids(await committed(Ticket)) == [
        *without_ids(changed(1, price=1)),
        ticket(code="n1", price=2, note="yes"),
    ]


async def test_bulk_create_updates_on_conflict_of_several_columns(unit: Unit) -> None:
    """A unique pair, and a composite primary key."""
    async with unit():
        await tickets().bulk_create(
            [Ticket(code="z", flight=2, seat="1A", price=7)],
            on_conflict="update",
            unique_fields=["flight", "seat"],
            update_fields=["code", "price"],
        )
        await stops().bulk_create(
            [{"route": "x", "position": 2, "place": "BOS"}, {"route": "z", "position": 1, "place": "LAX"}],
            on_conflict="update",
            unique_fields=["route", "position"],
            update_fields=["place"],
        )
    assert await committed(Ticket) == changed(3, code="z", price=7)
    assert await committed(Stop) == [
        STOPS[0],
        {**STOPS[1], "place": "BOS"},
        STOPS[2],
        {"route": "z", "position": 1, "place": "LAX"},
    ]


async def test_bulk_create_refuses_what_it_does_not_know(unit: Unit) -> None:
    """A conflict's name, a column, and an update without its fields."""
    for options in (
        {"on_conflict": "replace"},
        {"on_conflict": "update"},
        {"on_conflict": "update", "unique_fields": ["cod"], "update_fields": ["price"]},
    ):
        with pytest.raises(Exception, match=r"on_conflict|unique_fields|cod"):
            await tickets().bulk_create([{"code": "n"}], **options)
    with pytest.raises(Exception, match="pryce"):
        await tickets().bulk_create([{"code": "n", "pryce": 1}])
    assert await committed(Ticket) == TICKETS


@pytest.mark.parametrize("batch_size", [None, 1, 3])
async def test_bulk_update_writes_the_named_columns(unit: Unit, batch_size: int | None) -> None:
    """Of each object its own values; it returns how many rows there were."""
    objects = await tickets().order_by("id")
    get_session().expunge_all()
    for one in objects:
        one.price, one.note, one.flight = one.id * 10, None, 99
    async with unit():
        assert await tickets().bulk_update(objects, ["price", "note"], batch_size=batch_size) == 4
        assert await tickets().bulk_update([], ["price"]) == 0
    assert await committed(Ticket) == [{**row, "price": row["id"] * 10, "note": None} for row in TICKETS]


async def test_bulk_update_writes_objects_of_the_session(unit: Unit) -> None:
    """What it wrote is no unflushed change any more, so the scope ends in peace."""
    async with session_scope():
        objects = await tickets().order_by("id")
        async with unit():
            for one in objects:
                one.price = one.id
            assert await tickets().bulk_update(objects, ["price"]) == 4
        assert [one.price for one in await tickets().order_by("id")] == [1, 2, 3, 4]
    assert await committed(Ticket) == [{**row, "price": row["id"]} for row in TICKETS]


async def test_bulk_writes_take_more_than_a_statement_does(written: None, scope: None) -> None:
    """Seven thousand rows at once, without a batch size."""
    codes = [f"{number:05}" for number in range(7_000)]
    made = await tickets().bulk_create([{"code": code, "flight": 3, "seat": code[1:]} for code in codes[:6_999]])
    ignored = [{"code": code, "flight": 4, "seat": code[1:]} for code in codes]
    await tickets().bulk_create(ignored, on_conflict="ignore")
    assert await tickets().filter(flight=4).values_list("code", flat=True) == codes[-1:]
    for one in made:
        one.price = int(one.code)
    assert await tickets().bulk_update(made, ["price"]) == 6_999
    assert await tickets().filter(code__in=codes, price=F("id") - made[0].id).count() == 6_999
    assert await tickets().filter(id__in=[one.id for one in made]).delete() == 6_999


async def test_bulk_update_of_composite_keys(unit: Unit) -> None:
    """Both columns find each row."""
    objects = [
        Stop(route="x", position=1, place="A"),
        Stop(route="y", position=1, place="B"),
        Stop(route="q", position=1, place="C"),
    ]
    async with unit():
        assert await stops().bulk_update(objects, ["place"]) == 2
    assert [row["place"] for row in await committed(Stop)] == ["A", None, "B"]


async def test_bulk_update_of_a_key_is_refused(unit: Unit) -> None:
    """A key says which row, and an unknown name nothing."""
    objects = await tickets().all()
    for name in ("id", "pryce"):
        with pytest.raises(Exception, match=name):
            await tickets().bulk_update(objects, [name])
    assert await committed(Ticket) == TICKETS


async def test_upsert_inserts(unit: Unit) -> None:
    """And returns the object, with its key and defaults."""
    async with unit():
        made = await tickets().upsert({"code": "n1", "price": 3}, unique_fields=["code"])
        assert (made.code, made.price, made.flight) == ("n1", 3, 1)
        assert made.id > 4
    assert without_ids(await committed(Ticket)) == [*without_ids(TICKETS), ticket(code="n1", price=3)]


async def test_upsert_updates(unit: Unit) -> None:
    """The given columns, and no others; an object that was read before is refreshed."""
    before = await tickets().get(id=1)
    async with unit():
        found = await tickets().upsert({"code": "a", "note": "new"}, unique_fields=["code"])
        assert found is before
        assert (found.id, found.price, found.note) == (1, 100, "new")
    assert await committed(Ticket) == changed(1, note="new")


async def test_upsert_by_a_composite_key(unit: Unit) -> None:
    """Inserts and updates; where only key columns are given, the row is returned as it is."""
    async with unit():
        for values in (
            {"route": "x", "position": 1, "place": "ORD"},
            {"route": "w", "position": 1},
            {"route": "y", "position": 1},
        ):
            found = await stops().upsert(values, unique_fields=["route", "position"])
            assert plain(found) == (values["route"], values["position"])
    assert [tuple(row.values()) for row in await committed(Stop)] == [
        ("w", 1, None),
        ("x", 1, "ORD"),
        ("x", 2, None),
        ("y", 1, "JFK"),
    ]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"code": "much too long"}, LengthViolation),
        ({"price": 2**40}, RangeViolation),
        ({"price": "dear"}, TypeViolation),
        ({"code": None}, NotNullViolation),
        ({"code": "b"}, UniqueViolation),
    ],
    ids=["length", "range", "type", "null", "unique"],
)
@pytest.mark.parametrize(
    "verb", ["create", "update", "bulk_create", "bulk_update", "upsert", "get_or_create", "update_or_create"]
)
async def test_a_value_that_does_not_fit_is_one_error(
    unit: Unit, verb: str, values: Row, error: type[Exception]
) -> None:
    """The same on both engines, naming the attribute, and nothing is written."""
    new = {"code": "n1", **values}
    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: tickets().create(**new),
        "update": lambda: tickets().filter(id=1).update(**values),
        "bulk_create": lambda: tickets().bulk_create([new]),
        "bulk_update": lambda: tickets().bulk_update([Ticket(id=1, **values)], list(values)),
        "upsert": lambda: tickets().upsert({"id": 77, **new}, unique_fields=["id"]),
        "get_or_create": lambda: tickets().get_or_create(id=77, defaults=new),
        "update_or_create": lambda: tickets().update_or_create(id=1, defaults=values),
    }
    with pytest.raises(error) as caught:
        async with unit():
            await calls[verb]()
    assert caught.value.fields == tuple(values)  # type: ignore[attr-defined]
    assert await committed(Ticket) == TICKETS


async def test_an_unknown_column_is_refused(unit: Unit) -> None:
    """Before SQL, with the nearest name."""
    for write in (
        lambda: tickets().update(pryce=1),
        lambda: tickets().create(code="n", pryce=1),
        lambda: tickets().upsert({"code": "n", "pryce": 1}, unique_fields=["code"]),
        lambda: tickets().get_or_create(code="n", defaults={"pryce": 1}),
        lambda: tickets().update_or_create(code="n", defaults={"pryce": 1}),
        lambda: tickets().returning("pryce").update(price=1),
    ):
        with pytest.raises(Exception, match=r"pryce.*price"):
            await write()
    assert await committed(Ticket) == TICKETS


async def test_writes_refresh_objects_that_were_read(unit: Unit) -> None:
    """After an update, the next query shows the new values in the same objects."""
    before = await tickets().get(id=1)
    async with unit():
        await tickets().filter(id=1).update(price=F("price") * 2)
        again = await tickets().get(id=1)
        assert again is before
        assert again.price == 200


async def test_writes_between_streamed_rows_commit_themselves(written: None, scope: None) -> None:
    """Outside atomic a walk's own transaction is for its reads only."""
    seen = []
    with pytest.raises(RuntimeError, match="stop"):
        async for one in tickets().order_by("id"):
            seen.append(one.id)
            assert await tickets().filter(id=one.id).update(price=one.id) == 1
            assert (await committed(Ticket))[len(seen) - 1]["price"] == one.id
            if len(seen) == 3:
                raise RuntimeError("stop")
    assert seen == [1, 2, 3]
    assert [row["price"] for row in await committed(Ticket)] == [1, 2, 3, 50]


async def test_related_objects_are_values_too(scope: None) -> None:
    """Of a composite key as well: every write takes the object for its foreign key's columns."""
    bookings, place = Repository(Booking).objects, ("coach", 10)

    async def places() -> dict[int, Any]:
        return {row["id"]: (row["cabin"], row["number"]) for row in await stored(Booking)}

    async with undone():
        seat = await Repository(Seat).objects.get(pk=place)
        await bookings.create(id=50, passenger="z", seat=seat)
        await bookings.bulk_create([Booking(id=51, passenger="z", seat=seat)])
        await bookings.bulk_create([{"id": 52, "passenger": "z", "seat": seat}])
        made, created = await bookings.get_or_create(seat=seat, passenger="new", defaults={"id": 53})
        assert (created, await bookings.get_or_create(seat=seat, passenger="new")) == (True, (made, False))
        await bookings.update_or_create(id=1, defaults={"seat": seat})
        await bookings.upsert({"id": 2, "passenger": "Bob", "seat": seat}, unique_fields=["id"])
        (third,) = await bookings.filter(id=3)
        third.seat = seat
        assert await bookings.bulk_update([third], ["seat"]) == 1
        assert await bookings.filter(id=4).update(seat=seat) == 1
        assert await places() == dict.fromkeys([1, 2, 3, 4, 50, 51, 52, 53], place)
        assert await bookings.filter(seat=seat).count() == 8
        assert await bookings.filter(id=4).update(seat=None) == 1
        assert (await places())[4] == (None, None)


async def test_inherited_columns_are_written_where_they_are(scope: None) -> None:
    """In the tables of the class and of its base, and under each of their names."""
    gliders = Repository(Glider).objects
    async with undone():
        await gliders.create(id=50, label="x", weight=1, span=2)
        await gliders.bulk_create([Glider(id=51, label="y", span=3), Glider(id=52, label="y", span=4)])
        assert await gliders.filter(id__gte=50).update(label="z", span=F("span") + 1) == 3
        assert await gliders.filter(id=50).update(mass=F("mass") + 6) == 1
        written = await gliders.filter(id__gte=50).order_by("id").values_list("id", "label", "weight", "span")
        assert written == [(50, "z", 7, 3), (51, "z", None, 4), (52, "z", None, 5)]
        assert await Repository(Craft).objects.filter(id__gte=50).values_list("kind", flat=True) == ["glider"] * 3
        assert await gliders.filter(id__gte=51).delete() == 2
        assert [row["id"] for row in await stored(Craft)] == [1, 2, 3, 4, 50]


# Locks


async def test_select_for_update_needs_a_transaction(written: None, scope: None) -> None:
    """A lock outside of one would be gone at once; the error names atomic."""
    with pytest.raises(Exception, match="atomic"):
        await tickets().select_for_update().get(id=1)
    with pytest.raises(Exception, match="atomic"):
        await tickets().select_for_update(skip_locked=True).all()


@on_postgresql
async def test_select_for_update_locks_its_rows(written: None, scope: None) -> None:
    """Others skip them, or are told at once that they are taken; reads and other rows are free."""
    async with atomic():
        assert (await tickets().select_for_update().get(id=1)).id == 1
        async with session_scope(), atomic():
            free = await tickets().order_by("id").select_for_update(skip_locked=True)
            assert [one.id for one in free] == [2, 3, 4]
            assert (await tickets().get(id=1)).id == 1
        async with session_scope():
            with pytest.raises(Unavailable):
                async with atomic():
                    await tickets().select_for_update(nowait=True).all()
            async with atomic():
                assert await tickets().filter(id=2).select_for_update(nowait=True).first() is not None
    async with session_scope(), atomic():
        assert (await tickets().select_for_update(nowait=True).get(id=1)).id == 1


@on_postgresql
async def test_select_for_update_locks_no_joined_rows(scope: None) -> None:
    """Rows that come along by a join stay free, those that may be missing included."""
    joined = Repository(Flight).objects.filter(id=1).select_related("airline", "plane")
    carrier = TABLES[Flight][0]["carrier"]
    async with atomic():
        (flight,) = await joined.select_for_update()
        assert flight.airline.carrier == carrier
        async with session_scope(), atomic():
            assert await Repository(Airline).objects.select_for_update(nowait=True).get(carrier=carrier)
            assert await Repository(Flight).objects.filter(id=1).select_for_update(skip_locked=True) == []


@on_sqlite
async def test_select_for_update_is_the_transaction_on_sqlite(written: None, scope: None) -> None:
    """BEGIN IMMEDIATE lets one writer in, so the rows are locked with everything else."""
    async with atomic():
        assert (await tickets().select_for_update().get(id=1)).id == 1
        with override_settings(LOCK_TIMEOUT=0.1):
            async with session_scope():
                assert (await tickets().get(id=1)).price == 100
