"""Every method that reads, against plain SQL or plain Python over the same rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from sqlalchemy import Engine, event
from sqlalchemy import inspect as inspected

from example_project.models import Airline, Flight, Plane, Weather
from fastapix5 import Count, F, Q, QuerySet, Repository, Sum, atomic, get_session
from fastapix5.exceptions import DoesNotExist, MultipleObjectsReturned
from tests.conformance.cases import Case, plain, rows, table
from tests.conformance.conftest import on_postgresql, on_sqlite
from tests.conformance.models import SEATS, Seat
from tests.conformance.querysets import airlines, airports, flights, late, planes, weather
from tests.conformance.rows import (
    AIRLINE,
    AIRLINES,
    AIRPORT,
    AIRPORTS,
    DEPARTURES,
    FLIGHT,
    FLIGHTS,
    PLANE,
    WEATHER,
    Row,
    flights_of,
    ids,
    in_order,
    keys,
    plane_of,
)

pytestmark = pytest.mark.anyio


async def sorted_keys(queryset: Any) -> list[Any]:
    """The keys of a queryset's rows, sorted; ``count``, ``exists`` and ``len`` agree."""
    found = sorted(plain(await queryset.all()))
    assert await queryset.count() == len(found)
    assert await queryset.exists() is bool(found)
    return found


# Which rows


async def by_an_object() -> list[int]:
    return await sorted_keys(flights().filter(airline=await airlines().get(carrier="HA")))


UA_OR_LATE = Q(carrier="UA") | Q(dep_delay__gte=120)
ROWS = [
    Case("filter without a condition", lambda: sorted_keys(flights().filter()), ids),
    Case("filter one condition", lambda: sorted_keys(flights().filter(dep_delay__gte=60)), lambda: ids(late(60))),
    Case("filter two conditions", lambda: sorted_keys(flights().filter(dep_delay__gte=60, origin="JFK")),
         "SELECT id FROM flights WHERE dep_delay >= 60 AND origin = 'JFK' ORDER BY id"),
    Case("filter twice on one column",
         lambda: sorted_keys(flights().filter(dep_delay__gte=10).filter(dep_delay__lte=20)),
         "SELECT id FROM flights WHERE dep_delay BETWEEN 10 AND 20 ORDER BY id"),
    Case("filter twice on one column and lookup",
         lambda: sorted_keys(flights().filter(carrier="UA").filter(carrier="DL")), list),
    Case("filter Q or", lambda: sorted_keys(flights().filter(UA_OR_LATE)),
         lambda: ids(lambda f: f["carrier"] == "UA" or late(120)(f))),
    Case("filter Q and", lambda: sorted_keys(flights().filter(UA_OR_LATE & Q(origin="JFK"))),
         lambda: ids(lambda f: (f["carrier"] == "UA" or late(120)(f)) and f["origin"] == "JFK")),
    Case("filter Q not", lambda: sorted_keys(flights().filter(~UA_OR_LATE)),
         lambda: ids(lambda f: not (f["carrier"] == "UA" or late(120)(f)))),
    Case("filter Q not in and in or",
         lambda: sorted_keys(flights().filter(
             ~(Q(carrier="UA") & ~Q(dep_delay__gte=0)) & (Q(origin="JFK") | ~Q(dest="LAX")))),
         lambda: ids(lambda f: not (f["carrier"] == "UA" and not late(0)(f))
                               and (f["origin"] == "JFK" or f["dest"] != "LAX"))),
    Case("filter Q and keyword", lambda: sorted_keys(flights().filter(UA_OR_LATE, origin="LGA")),
         lambda: ids(lambda f: (f["carrier"] == "UA" or late(120)(f)) and f["origin"] == "LGA")),
    Case("filter SQLAlchemy expression", lambda: sorted_keys(flights().filter(Flight.dep_delay > 60, origin="JFK")),
         "SELECT id FROM flights WHERE dep_delay > 60 AND origin = 'JFK' ORDER BY id"),
    Case("filter SQLAlchemy expression in Q",
         lambda: sorted_keys(flights().filter(Q(Flight.dep_delay > 60) | Q(dest="HNL"))),
         lambda: ids(lambda f: late(61)(f) or f["dest"] == "HNL")),
    Case("filter SQLAlchemy expression beside Q",
         lambda: sorted_keys(flights().filter(Q(dest="HNL") | (Flight.dep_delay > 60))),
         lambda: ids(lambda f: late(61)(f) or f["dest"] == "HNL")),
    Case("filter F", lambda: sorted_keys(flights().filter(arr_delay__gt=F("dep_delay") + 30)),
         "SELECT id FROM flights WHERE arr_delay > dep_delay + 30 ORDER BY id"),
    Case("filter F of both sides",
         lambda: sorted_keys(flights().filter(
             Q(distance=F("air_time") * 7) | Q(dep_delay=F("arr_delay") - F("dep_delay")))),
         "SELECT id FROM flights WHERE distance = air_time * 7 OR dep_delay = arr_delay - dep_delay ORDER BY id"),
    Case("filter by an object", by_an_object, lambda: ids(lambda f: f["carrier"] == "HA")),
    Case("exclude one condition", lambda: sorted_keys(flights().exclude(dep_delay__gte=60)),
         lambda: ids(lambda f: not late(60)(f))),
    Case("exclude two conditions", lambda: sorted_keys(flights().exclude(dep_delay__gte=60, origin="JFK")),
         lambda: ids(lambda f: not (late(60)(f) and f["origin"] == "JFK"))),
    Case("exclude Q", lambda: sorted_keys(flights().exclude(UA_OR_LATE)),
         lambda: ids(lambda f: not (f["carrier"] == "UA" or late(120)(f)))),
    Case("exclude SQLAlchemy expression", lambda: sorted_keys(flights().exclude(Flight.dep_delay > 60)),
         lambda: ids(lambda f: not late(61)(f))),
    Case("exclude F", lambda: sorted_keys(flights().exclude(dep_delay__gt=F("arr_delay"))),
         lambda: ids(lambda f: f["dep_delay"] is None or f["arr_delay"] is None or f["dep_delay"] <= f["arr_delay"])),
    Case("exclude after filter", lambda: sorted_keys(flights().filter(carrier="UA").exclude(origin="EWR")),
         lambda: ids(lambda f: f["carrier"] == "UA" and f["origin"] != "EWR")),
    Case("none", lambda: sorted_keys(flights().none()), list),
    Case("none filtered", lambda: sorted_keys(flights().filter(carrier="UA").none().filter(origin="JFK")), list),
    Case("all", lambda: sorted_keys(airlines()), lambda: keys(Airline)),
    Case("all of a composite key", lambda: sorted_keys(weather().filter(origin="JFK")),
         lambda: keys(Weather, lambda w: w["origin"] == "JFK")),
    Case("distinct", lambda: sorted_keys(flights().filter(carrier="HA").distinct()),
         lambda: ids(lambda f: f["carrier"] == "HA")),
    Case("distinct across to-many", lambda: sorted_keys(airlines().filter(flights__distance__gt=2000).distinct()),
         lambda: keys(Airline, lambda a: any(f["distance"] > 2000 for f in flights_of(a)))),
    Case("using archive", lambda: sorted_keys(flights().using("archive")), lambda: list(range(1, 11))),
    Case("execution_options",
         lambda: sorted_keys(flights().filter(carrier="HA").execution_options(logging_token="x")),
         lambda: ids(lambda f: f["carrier"] == "HA")),
]  # fmt: skip


# In which order


def made_up(flight: Row) -> int | None:
    """How many minutes were lost on the way, below zero."""
    known_both = None not in (flight["dep_delay"], flight["arr_delay"])
    return flight["dep_delay"] - flight["arr_delay"] if known_both else None


def ordered(*columns: Any) -> Callable[[], list[int]]:
    return lambda: [f["id"] for f in in_order(FLIGHTS, *columns, key=lambda f: f["id"])]


def column(name: str, *, descending: bool = False, nulls_first: bool = False) -> Any:
    return (lambda row: row[name]), descending, nulls_first


ORDERS = [
    Case("order_by ascending", lambda: flights().order_by("dep_delay", "id"), ordered(column("dep_delay"))),
    Case("order_by descending", lambda: flights().order_by("-dep_delay", "id"),
         ordered(column("dep_delay", descending=True, nulls_first=True))),
    Case("order_by F nulls first", lambda: flights().order_by(F("dep_delay").asc(nulls_first=True), "id"),
         ordered(column("dep_delay", nulls_first=True))),
    Case("order_by F nulls last", lambda: flights().order_by(F("dep_delay").asc(nulls_last=True), "id"),
         ordered(column("dep_delay"))),
    Case("order_by F descending", lambda: flights().order_by(F("dep_delay").desc(), "id"),
         ordered(column("dep_delay", descending=True, nulls_first=True))),
    Case("order_by F descending nulls last", lambda: flights().order_by(F("dep_delay").desc(nulls_last=True), "id"),
         ordered(column("dep_delay", descending=True))),
    Case("order_by F itself", lambda: flights().order_by(F("dep_delay"), "id"), ordered(column("dep_delay"))),
    Case("order_by F arithmetic", lambda: flights().order_by((F("dep_delay") - F("arr_delay")).asc(), "id"),
         ordered((made_up, False, False))),
    Case("order_by expression", lambda: flights().order_by(Flight.distance.desc(), Flight.id.asc()),
         ordered(column("distance", descending=True))),
    Case("order_by several", lambda: flights().order_by("origin", "-distance", "id"),
         ordered(column("origin"), column("distance", descending=True))),
    Case("order_by relation", lambda: flights().order_by("airline__name", "-id"),
         lambda: [f["id"] for f in sorted(FLIGHTS, key=lambda f: (AIRLINE[f["carrier"]]["name"], -f["id"]))]),
    Case("order_by relation that may be missing", lambda: flights().order_by("plane__year", "id"),
         ordered(((lambda f: plane_of(f)["year"]), False, False))),
    Case("order_by relation descending", lambda: flights().order_by("-plane__seats", "id"),
         ordered(((lambda f: plane_of(f)["seats"]), True, True))),
    Case("order_by F of a relation", lambda: flights().order_by(F("plane__seats").desc(nulls_last=True), "id"),
         ordered(((lambda f: plane_of(f)["seats"]), True, False))),
    Case("order_by pk", lambda: flights().order_by("-pk"), lambda: ids()[::-1]),
    Case("order_by pk of several columns", lambda: Repository(Seat).objects.order_by("-pk"),
         lambda: sorted(((s["cabin"], s["number"]) for s in SEATS), reverse=True)),
    Case("order_by twice", lambda: flights().order_by("dep_delay").order_by("-id"), lambda: ids()[::-1]),
    Case("order_by annotation", lambda: airlines().annotate(n=Count("flights")).order_by("-n", "carrier"),
         lambda: [a["carrier"] for a in sorted(AIRLINES, key=lambda a: (-len(flights_of(a)), a["carrier"]))]),
    Case("reverse", lambda: flights().order_by("dep_delay", "id").reverse(),
         lambda: ordered(column("dep_delay"))()[::-1]),
    Case("reverse of F", lambda: flights().order_by(F("dep_delay").asc(nulls_first=True), "-id").reverse(),
         ordered(column("dep_delay", descending=True))),
    Case("reverse twice", lambda: flights().order_by("-dep_delay", "id").reverse().reverse(),
         ordered(column("dep_delay", descending=True, nulls_first=True))),
    Case("filter keeps the order", lambda: flights().order_by("-id").filter(carrier="UA"),
         lambda: ids(lambda f: f["carrier"] == "UA")[::-1]),
]  # fmt: skip


# Slices and indexes

CUTS = [
    slice(0, 5),
    slice(5, 9),
    slice(1_690, None),
    slice(1_690, 2_000),
    slice(5_000, None),
    slice(7, 7),
    slice(9, 3),
    slice(None, 0),
    slice(None, 4),
]


def of_a_cut(cut: slice) -> list[Case]:
    """A slice's rows, their number, and whether there are any."""
    name = f"slice {cut.start}:{cut.stop}"
    return [
        Case(name, lambda: flights().order_by("-id")[cut], lambda: ids()[::-1][cut]),
        Case(f"{name} counted", lambda: flights()[cut].count(), lambda: len(FLIGHTS[cut])),  # noqa: PLW0108
        Case(f"{name} exists", lambda: flights()[cut].exists(), lambda: bool(FLIGHTS[cut])),  # noqa: PLW0108
    ]


SLICES = [
    *(case for cut in CUTS for case in of_a_cut(cut)),
    Case("slice of a slice", lambda: flights().order_by("id")[10:20][2:4], lambda: ids()[10:20][2:4]),
    Case("slice of a slice beyond it", lambda: flights().order_by("id")[10:20][5:50], lambda: ids()[10:20][5:50]),
    Case("slice of values", lambda: flights().order_by("id").values_list("id", "carrier")[3:5],
         lambda: [(f["id"], f["carrier"]) for f in FLIGHTS[3:5]]),
    Case("index", lambda: flights().order_by("-id")[3], lambda: ids()[::-1][3]),
    Case("index of a slice", lambda: flights().order_by("id")[10:20][3], lambda: ids()[13]),
    Case("index of values", lambda: flights().order_by("id").values("id", "carrier")[2],
         lambda: {"id": 3, "carrier": FLIGHT[3]["carrier"]}),
    Case("index of flat values", lambda: flights().order_by("id").values_list("carrier", flat=True)[2],
         lambda: FLIGHT[3]["carrier"]),
]  # fmt: skip


# One row

ONE = [
    Case("first by key", lambda: flights().filter(id__gt=7).first(), lambda: 8),
    Case("first in order", lambda: flights().order_by("-distance", "id").first(),
         "SELECT id FROM flights ORDER BY distance DESC, id LIMIT 1"),
    Case("first of none", lambda: flights().filter(carrier="XX").first(), lambda: None),
    Case("first of values", lambda: flights().order_by("id").values("id").first(), lambda: {"id": 1}),
    Case("first of a slice", lambda: flights().order_by("id")[5:].first(), lambda: 6),  # noqa: PLW0108
    Case("last by key", lambda: flights().filter(id__lt=7).last(), lambda: 6),
    Case("last in order", lambda: flights().order_by("dep_delay", "id").last(),
         lambda: ordered(column("dep_delay"))()[-1]),
    Case("last in descending order", lambda: flights().order_by("-dep_delay", "id").last(),
         lambda: ordered(column("dep_delay", descending=True, nulls_first=True))()[-1]),
    Case("last of none", lambda: flights().filter(carrier="XX").last(), lambda: None),
    Case("last of values", lambda: flights().order_by("id").values_list("id", flat=True).last(), lambda: len(FLIGHTS)),
    Case("last of a composite key", lambda: Repository(Seat).objects.last(), lambda: ("first", 2)),  # noqa: PLW0108
    Case("get", lambda: flights().get(id=5), lambda: 5),
    Case("get by pk", lambda: flights().get(pk=5), lambda: 5),
    Case("get by Q and keyword", lambda: flights().get(Q(id__lt=3), id__gt=1), lambda: 2),
    Case("get after filter", lambda: flights().filter(id=5).get(), lambda: 5),
    Case("get by a composite key", lambda: Repository(Seat).objects.get(pk=("coach", 10)), lambda: ("coach", 10)),
    Case("get of values", lambda: flights().values("id", "carrier").get(id=5),
         lambda: {"id": 5, "carrier": FLIGHT[5]["carrier"]}),
    Case("get of a slice", lambda: flights().order_by("id")[4:5].get(), lambda: 5),  # noqa: PLW0108
    Case("get_or_none", lambda: flights().get_or_none(id=5), lambda: 5),
    Case("get_or_none of none", lambda: flights().get_or_none(carrier="XX"), lambda: None),
    Case("exists", lambda: flights().filter(carrier="UA").exists(), lambda: True),
    Case("exists of none", lambda: flights().filter(carrier="XX").exists(), lambda: False),
    Case("exists across to-many", lambda: airlines().filter(flights__dest="HNL").exists(), lambda: True),
    Case("count", lambda: flights().filter(carrier="UA").count(), "SELECT count(*) FROM flights WHERE carrier = 'UA'"),
    Case("count across to-many", lambda: airlines().filter(flights__origin__in=["JFK", "LGA"]).count(),
         lambda: len({f["carrier"] for f in FLIGHTS if f["origin"] != "EWR"})),
    Case("count of distinct values", lambda: flights().values_list("carrier").distinct().count(),
         lambda: len({f["carrier"] for f in FLIGHTS})),
    Case("count of groups", lambda: flights().values("origin", "carrier").annotate(n=Count("id")).count(),
         lambda: len({(f["origin"], f["carrier"]) for f in FLIGHTS})),
    Case("count of annotated", lambda: airlines().annotate(n=Count("flights")).filter(n__gte=100).count(),
         lambda: sum(len(flights_of(a)) >= 100 for a in AIRLINES)),
]  # fmt: skip


# Keys to rows

BULK = [
    Case("in_bulk", lambda: flights().in_bulk([3, 1, 9_999, 1]), lambda: {3: 3, 1: 1}),
    Case("in_bulk of nothing", lambda: flights().in_bulk([]), dict),
    Case("in_bulk of all", lambda: airlines().in_bulk(), lambda: {a["carrier"]: a["carrier"] for a in AIRLINES}),
    Case("in_bulk filtered", lambda: flights().filter(id__lt=3).in_bulk([1, 2, 3]), lambda: {1: 1, 2: 2}),
    Case("in_bulk by field", lambda: airlines().in_bulk(["UA", "XX"], field_name="carrier"), lambda: {"UA": "UA"}),
    Case("in_bulk of more than a statement takes", lambda: flights().in_bulk(range(1, 40_001)),
         lambda: {f["id"]: f["id"] for f in FLIGHTS}),
    Case("in_bulk of composite keys", lambda: Repository(Seat).objects.in_bulk([("coach", 1), ("first", 2), ("x", 9)]),
         lambda: {("coach", 1): ("coach", 1), ("first", 2): ("first", 2)}),
]  # fmt: skip


# Values


def picked(source: Iterable[Row], *names: str) -> list[Row]:
    return [{name: row[name] for name in names} for row in source]


VALUES = [
    Case("values", lambda: flights().order_by("id").values("id", "dep_delay"),
         lambda: picked(FLIGHTS, "id", "dep_delay")),
    Case("values of all columns", lambda: airports().order_by("faa").values(),
         lambda: sorted(AIRPORTS, key=lambda a: a["faa"])),
    Case("values of a composite key", lambda: weather().order_by("origin", "time_hour").values(),
         lambda: sorted(WEATHER, key=lambda w: (w["origin"], w["time_hour"]))),
    Case("values across a relation", lambda: flights().order_by("id").values("id", "airline__name", "plane__year"),
         lambda: [{"id": f["id"], "airline__name": AIRLINE[f["carrier"]]["name"], "plane__year": plane_of(f)["year"]}
                  for f in FLIGHTS]),
    Case("values of pk", lambda: flights().order_by("id").values("pk")[:2], lambda: [{"pk": 1}, {"pk": 2}]),
    Case("values of pk of several columns", lambda: Repository(Seat).objects.order_by("pk").values("pk"),
         lambda: [{"pk": key} for key in sorted((s["cabin"], s["number"]) for s in SEATS)]),
    Case("values filtered afterwards", lambda: flights().values("id").filter(carrier="HA").order_by("id"),
         lambda: picked((f for f in FLIGHTS if f["carrier"] == "HA"), "id")),
    Case("values of an annotation",
         lambda: airlines().annotate(n=Count("flights")).values("carrier", "n").order_by("carrier"),
         lambda: [{"carrier": a["carrier"], "n": len(flights_of(a))}
                  for a in sorted(AIRLINES, key=lambda a: a["carrier"])]),
    Case("values of all columns and annotations",
         lambda: airlines().annotate(n=Count("flights")).values().order_by("carrier"),
         lambda: [{**a, "n": len(flights_of(a))} for a in sorted(AIRLINES, key=lambda a: a["carrier"])]),
    Case("values distinct", lambda: flights().order_by("origin").values("origin").distinct(),
         lambda: [{"origin": name} for name in ("EWR", "JFK", "LGA")]),
    Case("values of all", lambda: flights().values("id").order_by("id").all(), lambda: picked(FLIGHTS, "id")),
    Case("values_list", lambda: flights().order_by("id").values_list("id", "tailnum"),
         lambda: [(f["id"], f["tailnum"]) for f in FLIGHTS]),
    Case("values_list of one", lambda: flights().order_by("id").values_list("id"),
         lambda: [(f["id"],) for f in FLIGHTS]),
    Case("values_list flat", lambda: flights().order_by("id").values_list("dep_delay", flat=True),
         "SELECT dep_delay FROM flights ORDER BY id"),
    Case("values_list flat across a relation", lambda: flights().order_by("id").values_list("airline__name", flat=True),
         "SELECT airlines.name FROM flights JOIN airlines USING (carrier) ORDER BY flights.id"),
    Case("values_list flat of pk", lambda: planes().order_by("tailnum").values_list("pk", flat=True),
         lambda: keys(Plane)),
    Case("values_list flat distinct",
         lambda: flights().order_by("-carrier").values_list("carrier", flat=True).distinct(),
         lambda: sorted({f["carrier"] for f in FLIGHTS}, reverse=True)),
    Case("values_list of all columns", lambda: airlines().order_by("carrier").values_list(),
         lambda: sorted((a["carrier"], a["name"]) for a in AIRLINES)),
    Case("values_list of a time", lambda: weather().order_by("origin", "time_hour").values_list("time_hour", flat=True),
         lambda: [w["time_hour"] for w in sorted(WEATHER, key=lambda w: (w["origin"], w["time_hour"]))]),
]  # fmt: skip


@table([*ROWS, *ORDERS, *SLICES, *ONE, *BULK, *VALUES])
async def test_a_method_gives_what_plain_code_gives(scope: None, case: Case) -> None:
    """The expected rows are counted by hand, or asked for in plain SQL."""
    await case.check()


@on_postgresql
@table([
    Case("distinct on a column", lambda: flights().order_by("carrier", "-distance", "id").distinct("carrier"),
         "SELECT DISTINCT ON (carrier) id FROM flights ORDER BY carrier, distance DESC, id"),
    Case("distinct on a column counted", lambda: flights().distinct("carrier").count(),
         "SELECT count(DISTINCT carrier) FROM flights"),
])  # fmt: skip
async def test_distinct_on_columns_keeps_the_first_of_each(scope: None, case: Case) -> None:
    """PostgreSQL only."""
    await case.check()


@on_sqlite
async def test_distinct_on_columns_is_refused_by_sqlite(scope: None) -> None:
    """The error says that PostgreSQL has it."""
    with pytest.raises(Exception, match="PostgreSQL"):
        await flights().distinct("carrier")


async def test_await_is_all(scope: None) -> None:
    """Awaiting a queryset, ``all`` and ``async for`` give the same rows."""
    queryset = flights().filter(carrier="UA").order_by("-distance", "id")
    expected = "SELECT id FROM flights WHERE carrier = 'UA' ORDER BY distance DESC, id"
    assert plain(await queryset) == plain(await queryset.all()) == await rows(expected)


@pytest.mark.parametrize("inside", [False, True], ids=["outside atomic", "inside atomic"])
async def test_async_for_streams_every_row_once(scope: None, inside: bool) -> None:
    """In order, of objects and of values, outside a transaction and inside one; and after it the scope is as it was."""

    async def read() -> None:
        assert [f.id async for f in flights().order_by("-id")] == ids()[::-1]
        assert [row async for row in flights().order_by("id").values("id", "carrier")] == picked(
            FLIGHTS, "id", "carrier"
        )
        assert [key async for key in flights().order_by("id").values_list("id", flat=True)] == ids()
        assert [f.id async for f in flights().order_by("id")[3:6]] == [4, 5, 6]
        assert [f async for f in flights().none()] == []
        async for flight in flights().order_by("id").select_related("airline").prefetch_related("plane"):
            assert flight.airline.name == AIRLINE[flight.carrier]["name"]
            assert (flight.plane and flight.plane.seats) == plane_of(FLIGHT[flight.id])["seats"]
            if flight.id == 30:
                break
        assert await flights().count() == len(FLIGHTS)

    if inside:
        async with atomic():
            await read()
    else:
        await read()


async def test_async_for_asks_between_its_rows(scope: None) -> None:
    """Other queries of the same scope may run while one streams."""
    seen = 0
    async for airline in airlines().order_by("carrier"):
        assert await flights().filter(carrier=airline.carrier).count() == len(flights_of({"carrier": airline.carrier}))
        seen += 1
    assert seen == len(AIRLINES)


async def test_get_raises_for_none_and_for_several(scope: None) -> None:
    """The errors name the model; get_or_none raises for several too."""
    with pytest.raises(DoesNotExist, match="Flight"):
        await flights().get(carrier="XX")
    with pytest.raises(MultipleObjectsReturned, match="Flight"):
        await flights().get(carrier="UA")
    with pytest.raises(MultipleObjectsReturned, match="Flight"):
        await flights().get_or_none(carrier="UA")
    with pytest.raises(IndexError):
        await flights()[len(FLIGHTS)]


async def test_values_list_named_gives_named_tuples(scope: None) -> None:
    """Each is a tuple too."""
    found = await flights().order_by("id").values_list("id", "carrier", named=True)
    assert [(row.id, row.carrier) for row in found] == [(f["id"], f["carrier"]) for f in FLIGHTS]
    assert [tuple(row) for row in found] == [(f["id"], f["carrier"]) for f in FLIGHTS]
    assert found[0]._fields == ("id", "carrier")


def test_values_list_is_flat_or_named() -> None:
    """Not both, and flat takes one name."""
    for names, options in ((("id", "carrier"), {"flat": True}), (("id",), {"flat": True, "named": True})):
        with pytest.raises(TypeError):
            flights().values_list(*names, **options)  # type: ignore[call-overload]


async def test_rows_of_values_are_plain(scope: None) -> None:
    """Dicts and tuples, as Django gives them."""
    assert type((await flights().values("id"))[0]) is dict
    assert type((await flights().values_list("id"))[0]) is tuple
    assert type((await flights().values_list("id", flat=True))[0]) is int
    assert type((await flights().aggregate(n=Count("*")))["n"]) is int
    assert type((await flights().aggregate(n=Sum("distance")))["n"]) is int


class Texts:
    """The texts of the statements that any engine ran, with their execution options."""

    def __enter__(self) -> list[tuple[str, Any]]:
        self.found: list[tuple[str, Any]] = []
        event.listen(Engine, "before_cursor_execute", self._note)
        return self.found

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        self.found.append((statement, context.execution_options))


async def test_select_related_joins(scope: None) -> None:
    """To-one relations come in the same statement, those that are missing as None."""
    with Texts() as texts:
        found = await flights().order_by("id").select_related("airline", "plane", "dest_airport")
    assert len(texts) == 1
    for flight, row in zip(found, FLIGHTS, strict=True):
        assert flight.airline.name == AIRLINE[row["carrier"]]["name"]
        assert flight.dest_airport.name == AIRPORT[row["dest"]]["name"]
        assert (flight.plane and flight.plane.tailnum) == row["tailnum"]


async def test_prefetch_related_asks_once_for_each_relation(scope: None) -> None:
    """To-many lists come whole and ordered by primary key, along paths too."""
    with Texts() as texts:
        found = await airlines().order_by("carrier").prefetch_related("flights__plane")
    assert len(texts) <= 1 + 2 * 4  # Many keys are asked for in several statements.
    for airline in found:
        assert [f.id for f in airline.flights] == [f["id"] for f in flights_of({"carrier": airline.carrier})]
        assert all((f.plane and f.plane.seats) == plane_of(FLIGHT[f.id])["seats"] for f in airline.flights)
    (jfk,) = await airports().filter(faa="JFK").prefetch_related("weather", "departures")
    assert [hour.time_hour for hour in jfk.weather] == sorted(w["time_hour"] for w in WEATHER if w["origin"] == "JFK")
    assert [f.id for f in jfk.departures] == [f["id"] for f in DEPARTURES["JFK"]]


def loaded(flight: Flight) -> set[str]:
    """The names of the columns that an object has."""
    return {*inspected(Flight).column_attrs.keys()} - inspected(flight).unloaded


async def test_only_loads_the_named_columns_and_the_key(scope: None) -> None:
    """Through relations that are loaded too."""
    (flight,) = await flights().filter(id=1).only("carrier", "distance")
    assert loaded(flight) == {"id", "carrier", "distance"}
    assert (flight.id, flight.carrier, flight.distance) == (1, FLIGHT[1]["carrier"], FLIGHT[1]["distance"])


async def test_defer_leaves_the_named_columns(scope: None) -> None:
    """And loads every other."""
    (flight,) = await flights().filter(id=2).defer("distance", "time_hour")
    assert loaded(flight) == {*FLIGHTS[0]} - {"distance", "time_hour"}
    assert flight.carrier == FLIGHT[2]["carrier"]


async def test_execution_options_reach_the_statement(scope: None) -> None:
    """Whatever verb ends the queryset."""
    marked = flights().filter(id__lt=3).execution_options(conformance="here")
    for verb in (marked.all, marked.count, marked.exists, marked.first, marked.values("id").all):
        with Texts() as texts:
            await verb()
        assert [options.get("conformance") for _, options in texts] == ["here"]


async def test_explain_tells_the_plan(flights_engine: str) -> None:
    """As text, of the statement that ``all`` runs; ``analyze`` runs it, on PostgreSQL."""
    found = await flights().filter(carrier="UA").order_by("dep_delay").explain()
    assert "flights" in found
    if flights_engine == "postgresql":
        assert "Sort" in found
        assert "actual" not in found
        assert "actual" in await flights().filter(carrier="UA").explain(analyze=True)


@pytest.fixture
def flights_engine(flights: str, scope: None) -> str:
    return flights


class AirlineOut(BaseModel):
    carrier: str
    name: str


class PlaneOut(BaseModel):
    tailnum: str
    seats: int | None


class FlightOut(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: int
    day: dt.date = Field(validation_alias="date", serialization_alias="theDay")
    delay: int | None = Field(validation_alias="dep_delay", serialization_alias="delayInMinutes")
    time_hour: dt.datetime
    airline: AirlineOut
    plane: PlaneOut | None


class AirlineWithFlights(AirlineOut):
    class Brief(BaseModel):
        id: int
        distance: int

    flights: list[Brief]


def flight_out(row: Row) -> FlightOut:
    tail = PLANE[row["tailnum"]] if row["tailnum"] else None
    return FlightOut(
        id=row["id"],
        day=row["date"],
        delay=row["dep_delay"],
        time_hour=row["time_hour"],
        airline=AirlineOut(**AIRLINE[row["carrier"]]),
        plane=None if tail is None else PlaneOut(tailnum=tail["tailnum"], seats=tail["seats"]),
    )


async def test_as_schema_gives_instances(scope: None) -> None:
    """With their relations, to one and to many."""
    found = await flights().order_by("id").as_schema(FlightOut)
    assert [type(item) for item in found] == [FlightOut] * len(FLIGHTS)
    assert [item.model_dump() for item in found] == [flight_out(row).model_dump() for row in FLIGHTS]
    many = await airlines().order_by("carrier").as_schema(AirlineWithFlights)
    assert [(item.carrier, item.flights) for item in many] == [
        (a["carrier"], [AirlineWithFlights.Brief(id=f["id"], distance=f["distance"]) for f in flights_of(a)])
        for a in sorted(AIRLINES, key=lambda a: a["carrier"])
    ]


async def test_as_json_is_as_schema_in_bytes(scope: None) -> None:
    """By alias, as pydantic writes them."""
    found = await flights().order_by("id").as_json(FlightOut)
    assert found == TypeAdapter(list[FlightOut]).dump_json([flight_out(row) for row in FLIGHTS], by_alias=True)
    assert json.loads(found)[0]["delayInMinutes"] == FLIGHTS[0]["dep_delay"]
    assert await flights().none().as_json(FlightOut) == b"[]"
    assert await flights().order_by("-id")[:2].as_json(FlightOut) == TypeAdapter(list[FlightOut]).dump_json(
        [flight_out(row) for row in FLIGHTS[:-3:-1]], by_alias=True
    )


async def test_get_as_gives_one_instance(scope: None) -> None:
    """And raises as ``get`` does."""
    assert (await flights().filter(id=7).get_as(FlightOut)).model_dump() == flight_out(FLIGHT[7]).model_dump()
    with pytest.raises(DoesNotExist):
        await flights().filter(id=0).get_as(FlightOut)
    with pytest.raises(MultipleObjectsReturned):
        await flights().get_as(FlightOut)


async def test_iterator_says_how_large_a_batch_is(scope: None) -> None:
    """Any size gives the same rows; relations are fetched for each batch."""
    for size in (1, 7, 1_000, 5_000):
        few = flights().filter(id__lte=20).order_by("-id").prefetch_related("airline")
        assert [(f.id, f.airline.name) async for f in few.iterator(size)] == [
            (key, AIRLINE[FLIGHT[key]["carrier"]]["name"]) for key in range(20, 0, -1)
        ]


async def test_parts_for_statements_of_ones_own(scope: None) -> None:
    """The rows of objects, an order that is total, EXISTS and facts, and the SELECT itself."""
    three = await flights().filter(id__in=[2, 4, 6]).order_by("id")
    assert await sorted_keys(flights().at(*three)) == [2, 4, 6]
    seats = await Repository(Seat).objects.filter(cabin="first")
    assert await sorted_keys(Repository(Seat).objects.at(*seats)) == [("first", 1), ("first", 2)]
    expected = [f["id"] for f in sorted(FLIGHTS, key=lambda f: (f["origin"], f["id"]))]
    assert plain(await flights().order_by("origin").ordered()) == expected
    there, missing = (flights().filter(carrier=carrier).exists_clause() for carrier in ("UA", "XX"))
    assert await airlines().filter(there).count() == len(AIRLINES)
    assert await airlines().filter(missing).count() == 0
    assert await airlines().count_with(there, missing) == (len(AIRLINES), (True, False))
    found = await get_session().execute(flights().filter(carrier="HA").order_by("id").statement())
    assert [flight.id for (flight,) in found] == ids(lambda f: f["carrier"] == "HA")


# What other rooms of the package call: their tests stand in tests/repositories.
PARTS = {
    *(
        "aggregate_statement",
        "annotation_names",
        "check_as_value",
        "check_name",
        "by_key",
        "count_statement",
        "cut",
        "find",
        "having",
        "loading",
        "named",
    ),
    *("objects_statement", "order", "refuse_slice", "unordered", "value_names", "values_statement", "vary", "widths"),
}


def test_every_method_has_a_case() -> None:
    """A public method that is added to the queryset needs a test in this folder."""
    public = {name for name in dir(QuerySet) if not name.startswith("_") and callable(getattr(QuerySet, name))}
    wanted = (
        "filter exclude order_by distinct select_related prefetch_related only defer annotate aggregate values"
        " values_list in_bulk first last get get_or_none exists count get_or_create update_or_create update delete"
        " bulk_create bulk_update upsert select_for_update returning execution_options using explain as_schema as_json"
    )
    assert {*wanted.split()} - public == set()
    assert {"__aiter__", "__await__", "__getitem__"} <= {*dir(QuerySet)}
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert {name for name in public - PARTS if f".{name}(" not in source and f".{name}," not in source} == set()
