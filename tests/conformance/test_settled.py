"""One test for each thing about querysets that could be read in two ways and was settled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Self

import pytest
from sqlalchemy import exists, select, text, update
from sqlalchemy.orm import aliased

from example_project.models import Airport, Flight, Plane
from fastapix5 import Access, Count, F, Max, Q, QuerySet, Repository, Sum, atomic, get_session, session_scope
from fastapix5.exceptions import AccessRequired, ImproperlyConfigured, ScopeRequired, UnflushedChanges
from fastapix5.repositories import forget_policies
from tests.conformance.cases import plain, rows, undone
from tests.conformance.models import Moment, Ticket
from tests.conformance.querysets import airlines, airports, flights
from tests.conformance.rows import (
    AIRLINES,
    AIRPORTS,
    ARRIVALS,
    DEPARTURES,
    FLIGHTS,
    PLANES,
    WEATHER,
    Row,
    flights_of,
    ids,
    keys,
    plane_of,
)

pytestmark = pytest.mark.anyio


async def found(queryset: Any) -> list[Any]:
    keys_of_rows: list[Any] = sorted(plain(await queryset.all()))
    assert await queryset.count() == len(keys_of_rows)
    return keys_of_rows


def of_airlines(test: Callable[[list[Row]], Any]) -> list[str]:
    return sorted(a["carrier"] for a in AIRLINES if test(flights_of(a)))


# Conditions

TO_LAX_LATE = {"flights__dest": "LAX", "flights__dep_delay__gte": 60}


def is_to_lax_late(f: Row) -> bool:
    return f["dest"] == "LAX" and (f["dep_delay"] or 0) >= 60


async def test_conditions_of_one_filter_hold_for_the_same_related_row(scope: None) -> None:
    """In one filter, in one Q, and in both together."""
    expected = of_airlines(lambda f: any(map(is_to_lax_late, f)))
    assert expected != of_airlines(
        lambda f: any(x["dest"] == "LAX" for x in f) and any((x["dep_delay"] or 0) >= 60 for x in f)
    )
    assert await found(airlines().filter(**TO_LAX_LATE)) == expected
    assert await found(airlines().filter(Q(**TO_LAX_LATE))) == expected
    assert await found(airlines().filter(Q(flights__dest="LAX") & Q(flights__dep_delay__gte=60))) == expected
    assert await found(airlines().filter(Q(flights__dest="LAX"), flights__dep_delay__gte=60)) == expected


async def test_separate_filters_are_independent(scope: None) -> None:
    """Each may be met by another related row."""
    expected = of_airlines(lambda f: any(x["dest"] == "LAX" for x in f) and any((x["dep_delay"] or 0) >= 60 for x in f))
    assert await found(airlines().filter(flights__dest="LAX").filter(flights__dep_delay__gte=60)) == expected


async def test_exclude_on_to_many_means_no_related_row_meets_all(scope: None) -> None:
    """And so does a negated Q; conditions that different rows meet exclude nothing."""
    expected = of_airlines(lambda f: not any(map(is_to_lax_late, f)))
    assert await found(airlines().exclude(**TO_LAX_LATE)) == expected
    assert await found(airlines().filter(~Q(**TO_LAX_LATE))) == expected
    assert await found(airlines().filter(~(Q(flights__dest="LAX") & Q(flights__dep_delay__gte=60)))) == expected
    assert await found(airlines().exclude(flights__dest="LAX").exclude(flights__dep_delay__gte=60)) == of_airlines(
        lambda f: not any(x["dest"] == "LAX" or (x["dep_delay"] or 0) >= 60 for x in f)
    )


async def test_exclude_ne_and_not_in_keep_nulls(scope: None) -> None:
    """On the row and across relations."""
    not_60 = ids(lambda f: f["dep_delay"] != 60)
    assert await found(flights().exclude(dep_delay=60)) == not_60
    assert await found(flights().filter(dep_delay__ne=60)) == not_60
    assert await found(flights().filter(dep_delay__not_in=[60])) == not_60
    not_2001 = ids(lambda f: plane_of(f)["year"] != 2001)
    assert await found(flights().exclude(plane__year=2001)) == not_2001
    assert await found(flights().filter(plane__year__ne=2001)) == not_2001
    assert await found(flights().filter(plane__year__not_in=[2001])) == not_2001
    assert await found(flights().exclude(dep_delay__gt=0)) == ids(lambda f: not (f["dep_delay"] or 0) > 0)


async def test_isnull_across_a_relation_matches_rows_without_a_related_row(scope: None) -> None:
    """To one and to many."""
    assert await found(flights().filter(plane__year__isnull=True)) == ids(lambda f: plane_of(f)["year"] is None)
    expected = keys(
        Airport, lambda a: not ARRIVALS[a["faa"]] or any(f["arr_delay"] is None for f in ARRIVALS[a["faa"]])
    )
    assert await found(airports().filter(arrivals__arr_delay__isnull=True)) == expected
    assert await found(airports().filter(arrivals__isnull=True)) == keys(Airport, lambda a: not ARRIVALS[a["faa"]])


async def test_a_later_filter_never_replaces_an_earlier_one(scope: None) -> None:
    """Two conditions on one column are both kept, with the same lookup too, before and after values."""
    assert await found(flights().filter(dep_delay__gt=5).filter(dep_delay__lt=8)) == ids(
        lambda f: f["dep_delay"] in (6, 7)
    )
    assert await found(flights().filter(dep_delay__gt=5).filter(dep_delay__gt=1_000)) == ids(
        lambda f: (f["dep_delay"] or 0) > 1_000
    )
    assert await found(flights().filter(dep_delay__gt=1_000).filter(dep_delay__gt=5)) == ids(
        lambda f: (f["dep_delay"] or 0) > 1_000
    )
    assert await flights().filter(carrier="UA").values("id").filter(carrier="DL").count() == 0
    assert await flights().filter(Q(dep_delay__gt=5), dep_delay__gt=1_000).count() == len(
        ids(lambda f: (f["dep_delay"] or 0) > 1_000)
    )


async def test_rows_never_repeat_and_count_agrees_with_all(scope: None) -> None:
    """Whatever number of related rows match."""
    for queryset in (
        airlines().filter(flights__distance__gt=0),
        airlines().filter(Q(flights__origin="JFK") | Q(flights__origin="LGA")),
        airports().filter(departures__plane__seats__gt=10, weather__temp__gt=0),
        airlines().annotate(n=Count("flights")).filter(flights__distance__gt=0, n__gt=1),
        airlines().exclude(flights__dest="XXX"),
        Repository(Plane).objects.filter(flights__airline__flights__dest="HNL"),
    ):
        there = plain(await queryset.all())
        assert len(there) == len(set(there)) == await queryset.count()


async def test_sqlalchemy_expressions_stand_wherever_conditions_do(scope: None) -> None:
    """In filter, exclude, Q, get, an aggregate's filter, an order."""
    expected = ids(lambda f: f["distance"] > 4_000)
    assert await found(flights().filter(Flight.distance > 4_000)) == expected
    assert await found(flights().exclude(Flight.distance <= 4_000)) == expected
    assert await found(flights().filter(Q(Flight.distance > 4_000) & ~Q(Flight.id < 0))) == expected
    assert (await flights().get(Flight.id == 3)).id == 3
    assert await flights().aggregate(n=Count("id", filter=Q(Flight.distance > 4_000))) == {"n": len(expected)}
    assert (await flights().order_by(Flight.id.desc()).first()).id == len(FLIGHTS)  # type: ignore[union-attr]
    other = aliased(Flight)
    again = exists(select(other.id).where(other.tailnum == Flight.tailnum, other.id < Flight.id))
    seen: set[str] = set()
    repeated = []
    for row in FLIGHTS:
        if row["tailnum"] in seen:
            repeated.append(row["id"])
        if row["tailnum"] is not None:
            seen.add(row["tailnum"])
    assert await found(flights().filter(again)) == repeated


# Order


async def test_nulls_stand_last_ascending_and_first_descending(scope: None) -> None:
    """On both engines; F says otherwise."""
    nulls = sum(f["dep_delay"] is None for f in FLIGHTS)

    async def where(*order: Any) -> str:
        delays = await flights().order_by(*order).values_list("dep_delay", flat=True)
        assert sum(delay is None for delay in delays) == nulls
        if all(delay is None for delay in delays[:nulls]):
            return "first"
        return "last" if all(delay is None for delay in delays[-nulls:]) else "mixed"

    assert await where("dep_delay", "id") == "last"
    assert await where("-dep_delay", "id") == "first"
    assert await where(F("dep_delay").asc(nulls_last=True)) == "last"
    assert await where(F("dep_delay").asc(nulls_first=True)) == "first"
    assert await where(F("dep_delay").desc(nulls_last=True)) == "last"
    assert await where(F("dep_delay").desc(nulls_first=True)) == "first"
    assert await where(F("dep_delay").asc()) == "last"
    assert await where(F("dep_delay").desc()) == "first"


def test_an_order_across_to_many_is_refused() -> None:
    """By name and by F: it would repeat rows."""
    for order in ("flights__distance", "-flights", F("flights__distance").asc(), F("flights__distance")):
        with pytest.raises(ImproperlyConfigured, match="many"):
            airlines().order_by(order)
    with pytest.raises(ImproperlyConfigured, match="many"):
        flights().order_by("airline__flights__id")


async def test_to_many_lists_come_ordered_by_primary_key(scope: None) -> None:
    """By whatever order the rows were stored or written last."""
    async with undone():
        await get_session().execute(update(Flight).where(Flight.id % 7 == 0).values(dep_delay=0))
        for airline in await airlines().prefetch_related("flights"):
            assert [f.id for f in airline.flights] == [f["id"] for f in flights_of({"carrier": airline.carrier})]
        lga = await airports().prefetch_related("weather").get(faa="LGA")
        assert [w.time_hour for w in lga.weather] == sorted(w["time_hour"] for w in WEATHER if w["origin"] == "LGA")


# Text and times are in test_lookups.py, but for these


async def test_aware_values_are_utc_and_come_back_as_utc(scope: None, request: pytest.FixtureRequest) -> None:
    """Written from any zone, on both engines; date parts are UTC's in a server that lives elsewhere."""
    kathmandu = dt.timezone(dt.timedelta(hours=5, minutes=45))
    local = dt.datetime(2020, 1, 1, 3, 0, tzinfo=kathmandu)
    async with undone():
        await Repository(Moment).objects.create(id=900, aware=local)
        moments = Repository(Moment).objects.filter(id=900)
        get_session().expunge_all()
        (made,) = await moments
        assert made.aware == local
        assert made.aware.utcoffset() == dt.timedelta(0)
        assert await moments.values_list("aware", flat=True) == [local]
        assert await moments.filter(
            aware=local, aware__year=2019, aware__hour=21, aware__date=dt.date(2019, 12, 31)
        ).exists()
        assert await moments.filter(aware__time__range=(dt.time(21, 15), dt.time(21, 15))).exists()
        if request.getfixturevalue("flights") == "sqlite":
            stored = (await get_session().execute(text("SELECT aware FROM moments WHERE id = 900"))).scalar_one()
            assert stored.startswith("2019-12-31 21:15:00")


# Groups and aggregates


async def test_values_then_annotate_groups(scope: None) -> None:
    """``values("a").annotate(n=Count("b"))`` has one row for each a; annotate before values has one for each object."""
    grouped = flights().values("carrier").annotate(n=Count("tailnum"))
    expected = "SELECT carrier, count(tailnum) FROM flights GROUP BY carrier ORDER BY carrier"
    assert [tuple(row.values()) for row in await grouped.order_by("carrier")] == await rows(expected)
    assert await grouped.count() == len({f["carrier"] for f in FLIGHTS})
    each = await airlines().annotate(n=Count("flights")).values("n").order_by("carrier")
    assert each == [{"n": len(flights_of(a))} for a in sorted(AIRLINES, key=lambda a: a["carrier"])]


async def test_values_is_a_queryset_that_can_be_awaited(scope: None) -> None:
    """And filtered, ordered, sliced, counted."""
    values = flights().values("id")
    assert isinstance(values, QuerySet)
    assert await values.filter(id__lt=3).order_by("-id") == [{"id": 2}, {"id": 1}]
    assert await values.order_by("id")[:1] == [{"id": 1}]
    assert await values.count() == len(FLIGHTS)


async def test_aggregates_over_two_to_many_relations_never_multiply(scope: None) -> None:
    """Each is its own subquery, in annotate and in aggregate."""
    querysets = (
        airports()
        .filter(faa__in=["EWR", "JFK", "LGA"])
        .annotate(
            out=Count("departures"),
            miles=Sum("departures__distance"),
            hours=Count("weather"),
            gust=Max("weather__wind_gust"),
            into=Count("arrivals"),
        )
    )
    found: list[Any] = await querysets
    for airport in found:
        faa = airport.faa
        gusts = [w["wind_gust"] for w in WEATHER if w["origin"] == faa and w["wind_gust"] is not None]
        expected = (
            len(DEPARTURES[faa]),
            sum(f["distance"] for f in DEPARTURES[faa]),
            sum(w["origin"] == faa for w in WEATHER),
            max(gusts),
            len(ARRIVALS[faa]),
        )
        assert (airport.out, airport.miles, airport.hours, airport.gust, airport.into) == expected
    totals = await airports().aggregate(
        out=Count("departures"),
        into=Count("arrivals"),
        hours=Count("weather"),
        miles=Sum("departures__distance"),
        all=Count("faa"),
    )
    assert totals == {
        "out": len(FLIGHTS),
        "into": len(FLIGHTS),
        "hours": len(WEATHER),
        "miles": sum(f["distance"] for f in FLIGHTS),
        "all": len(AIRPORTS),
    }


async def test_aggregates_count_every_related_row_whatever_the_filter_asks(scope: None) -> None:
    """A to-many condition decides which rows are there, not which related rows are counted; ``filter=`` does that."""
    hula = airlines().filter(flights__dest="HNL").order_by("carrier")
    expected = [
        a for a in sorted(AIRLINES, key=lambda a: a["carrier"]) if any(f["dest"] == "HNL" for f in flights_of(a))
    ]
    everything: list[Any] = await hula.annotate(n=Count("flights"))
    assert [a.n for a in everything] == [len(flights_of(a)) for a in expected]
    some: list[Any] = await hula.annotate(n=Count("flights", filter=Q(flights__dest="HNL")))
    assert [a.n for a in some] == [sum(f["dest"] == "HNL" for f in flights_of(a)) for a in expected]


# Slices


async def test_an_index_is_awaited(scope: None) -> None:
    """``await qs[n]`` is the row, and IndexError where there is none."""
    assert (await flights().order_by("id")[4]).id == 5
    assert await flights().order_by("id").values_list("id", flat=True)[4] == 5
    with pytest.raises(IndexError):
        await flights().filter(carrier="XX")[0]
    with pytest.raises(IndexError):
        await flights()[:3][3]


def test_a_step_and_a_negative_end_raise_value_error() -> None:
    """A list's other slices would have to read every row."""
    for cut in (slice(None, None, 2), slice(0, 10, 1), slice(-1, None), slice(None, -1)):
        with pytest.raises(ValueError):
            flights()[cut]
    with pytest.raises(ValueError):
        flights()[-1]


async def test_nothing_changes_a_slice(scope: None) -> None:
    """Filter, exclude, order_by, update and delete raise TypeError after it, on a slice of everything too."""
    changes: list[Callable[[Any], Any]] = [lambda cut: cut.filter(id=1), lambda cut: cut.exclude(id=1)]
    changes.append(lambda cut: cut.order_by("id"))
    for cut in (flights()[:3], flights()[3:], flights().values("id")[1:2], flights()[:3][:2]):
        for change in changes:
            with pytest.raises(TypeError):
                change(cut)
        with pytest.raises(TypeError):
            await cut.update(distance=1)
        with pytest.raises(TypeError):
            await cut.delete()
        with pytest.raises(TypeError):
            await cut.get(id=1)
    assert await flights().count() == len(FLIGHTS)


# Sessions


async def test_a_query_outside_any_scope_names_session_scope(flights: str) -> None:
    """Every verb raises the same error."""
    queryset: QuerySet[Flight] = Repository(Flight).objects
    for verb in (
        queryset.all, queryset.count, queryset.exists, queryset.first, queryset.last, queryset.get, queryset.delete,
        queryset.explain, queryset.in_bulk, queryset.values("id").all, lambda: queryset.update(distance=1),
        lambda: queryset.aggregate(n=Count("*")), lambda: queryset.create(flight=1),
        lambda: queryset.bulk_create([{"flight": 1}]), lambda: queryset.get_or_create(id=1),
    ):  # fmt: skip
        with pytest.raises(ScopeRequired, match="session_scope"):
            await verb()
    with pytest.raises(ScopeRequired, match="session_scope"):
        await queryset
    with pytest.raises(ScopeRequired, match="session_scope"):
        await queryset[0]
    with pytest.raises(ScopeRequired, match="session_scope"):
        async for _ in queryset:
            pass


async def test_an_object_is_inserted_by_create_and_flushed_by_atomic(scope: None) -> None:
    """Outside atomic nothing flushes by itself: queries do not, and leaving the scope tells what was lost."""
    tickets = Repository(Ticket).objects
    async with undone():
        made = await tickets.create(code="one")
        assert await rows_in_session("SELECT count(*) FROM tickets WHERE code = 'one'") == 1
        get_session().add(Ticket(code="two"))
        assert await tickets.filter(code="two").count() == 0
        await get_session().flush()
        assert await tickets.filter(code="two").count() == 1
        made.note = "changed"
        assert await tickets.filter(note="changed").count() == 0
        async with atomic():
            pass
        assert await tickets.filter(note="changed").count() == 1
    with pytest.raises(UnflushedChanges, match="Flight"):
        async with session_scope():
            (await flights().get(id=1)).distance = 1
    assert (await flights().get(id=1)).distance == FLIGHTS[0]["distance"]


async def rows_in_session(sql: str) -> Any:
    return (await get_session().execute(text(sql))).scalar_one()


async def test_queries_refresh_objects_read_before(scope: None) -> None:
    """One row is one object, as it is now; a change that was not flushed stays."""
    flight, other = await flights().get(id=1), await flights().get(id=2)
    async with undone():
        other.distance = 77
        await get_session().execute(text("UPDATE flights SET distance = 5, dep_delay = 6 WHERE id IN (1, 2)"))
        again = await flights().filter(id__in=[1, 2]).order_by("id")
        assert again == [flight, other]
        assert (flight.distance, flight.dep_delay) == (5, 6)
        assert other.distance == 77
        get_session().expunge_all()


async def test_an_inner_scope_has_sessions_of_its_own(scope: None) -> None:
    """And so other objects; the outer one is as it was afterwards."""
    flight = await flights().get(id=1)
    async with session_scope():
        assert await flights().get(id=1) is not flight
    assert await flights().get(id=1) is flight


async def test_a_session_given_from_outside_is_used(scope: None) -> None:
    """Its transaction is seen, and neither committed nor closed."""
    session = get_session()
    async with undone():
        await flights().filter(id=1).update(distance=3)
        async with session_scope(using=session):
            assert (await flights().get(id=1)).distance == 3
        assert get_session() is session
    assert await flights().filter(id=1, distance=3).count() == 0


# Querysets themselves


def test_a_queryset_is_no_sequence() -> None:
    """It cannot be walked, or looked into, without awaiting it: the error names ``async for``."""
    queryset: Any = flights()
    with pytest.raises(TypeError, match="async for"):
        iter(queryset)
    with pytest.raises(TypeError):
        assert 1 in queryset
    with pytest.raises(TypeError):
        len(queryset)


METHODS: list[tuple[str, Callable[[Any], Any]]] = [
    ("filter", lambda q: q.filter(carrier="UA")),
    ("exclude", lambda q: q.exclude(carrier="UA")),
    ("order_by", lambda q: q.order_by("-distance", "-id")),
    ("reverse", lambda q: q.reverse()),
    ("distinct", lambda q: q.distinct()),
    ("select_related", lambda q: q.select_related("airline")),
    ("prefetch_related", lambda q: q.prefetch_related("plane")),
    ("only", lambda q: q.only("id", "carrier")),
    ("defer", lambda q: q.defer("distance")),
    ("annotate", lambda q: q.annotate(n=Count("*"))),
    ("values", lambda q: q.values("id")),
    ("values_list", lambda q: q.values_list("id")),
    ("slice", lambda q: q[2:4]),
    ("using", lambda q: q.using("archive")),
    ("execution_options", lambda q: q.execution_options(x=1)),
    ("select_for_update", lambda q: q.select_for_update()),
    ("none", lambda q: q.none()),
]


@pytest.mark.parametrize(("name", "change"), METHODS, ids=[name for name, _ in METHODS])
async def test_every_method_returns_a_new_queryset(scope: None, name: str, change: Callable[[Any], Any]) -> None:
    """The one before gives the rows that it gave, and asks nothing by itself."""
    queryset = flights().filter(id__lte=20).order_by("id")
    before = plain(await queryset)
    changed = change(queryset)
    assert changed is not queryset
    assert isinstance(changed, QuerySet)
    assert type(await queryset.first()) is Flight
    assert plain(await queryset) == before == list(range(1, 21))
    with pytest.raises((AttributeError, TypeError)):
        queryset.model = Plane  # type: ignore[misc, assignment]


class FlightQuerySet(QuerySet[Flight]):
    """Methods of a project's own."""

    def late(self, minutes: int = 60) -> Self:
        """Flights that left late."""
        return self.filter(dep_delay__gte=minutes)

    def of(self, carrier: str) -> Self:
        """Flights of an airline."""
        return self.filter(carrier=carrier)

    async def miles(self) -> int:
        """All their miles."""
        return (await self.aggregate(n=Sum("distance")))["n"] or 0


class FlightRepository(Repository[Flight]):
    queryset_class = FlightQuerySet


class TypedFlightRepository(Repository[Flight, FlightQuerySet]):
    """The class in the brackets is the queryset's class too."""


@pytest.mark.parametrize("repository", [FlightRepository, TypedFlightRepository])
async def test_custom_methods_chain(scope: None, repository: Any) -> None:
    """In any order, after values, slices and ``using`` too."""
    expected = ids(lambda f: (f["dep_delay"] or 0) >= 60 and f["carrier"] == "UA")
    assert type(repository().objects) is FlightQuerySet
    objects: Any = repository().objects
    assert await found(objects.late().of("UA")) == expected
    assert await found(objects.exclude(id=0).order_by("id").of("UA").late(60)) == expected
    assert await objects.values_list("id", flat=True).late().of("UA").order_by("id") == expected
    assert await objects.values("carrier").late().annotate(n=Count("id")).of("UA") == [
        {"carrier": "UA", "n": len(expected)}
    ]
    assert await objects.late().of("UA").miles() == sum(FLIGHTS[key - 1]["distance"] for key in expected)
    assert type(objects.values("id")[:2]) is FlightQuerySet
    assert await objects.using("archive").late().count() == sum((f["dep_delay"] or 0) >= 60 for f in FLIGHTS[:10])
    assert await objects.annotate(n=Count("*")).late().count() == len(ids(lambda f: (f["dep_delay"] or 0) >= 60))


# Row policies


@pytest.fixture
def no_policies() -> Any:
    """Policies that a test registers end with it."""
    forget_policies()
    yield
    forget_policies()


async def test_a_row_policy_holds_from_other_models_too(flights: str, no_policies: None) -> None:
    """In filters, aggregates, joins and prefetches; without an access it is skipped."""

    class Narrow(Repository[Flight]):
        def row_policy(self, access: Access) -> Q:
            return Q(carrier=access.tenant_id)

    ours = ids(lambda f: f["carrier"] == "HA")
    async with session_scope(access=Access(user_id="u", tenant_id="HA")):
        assert await found(Narrow().objects) == ours
        assert await found(Repository(Flight).objects) == ours
        assert await found(airlines().filter(flights__isnull=False)) == ["HA"]
        assert await airlines().annotate(n=Count("flights")).filter(n__gt=0).values_list("carrier", "n") == [
            ("HA", len(ours))
        ]
        assert [len(a.flights) for a in await airlines().order_by("carrier").prefetch_related("flights")] == [
            len(ours) if a["carrier"] == "HA" else 0 for a in sorted(AIRLINES, key=lambda a: a["carrier"])
        ]
        assert await Narrow().objects.filter(id=1).update(distance=1) == 0
        assert await Narrow().objects.filter(id=1).delete() == 0
        assert await airports().aggregate(n=Count("departures")) == {"n": len(ours)}
    async with session_scope():
        assert await Narrow().objects.count() == len(FLIGHTS)


async def test_a_related_row_out_of_reach_is_as_good_as_none(flights: str, no_policies: None) -> None:
    """In values, joins, prefetches, orders, F, aggregates and conditions alike."""

    class Boeings(Repository[Plane]):
        def row_policy(self, access: Access) -> Q:
            return Q(manufacturer="BOEING")

    def seats(row: Row) -> int | None:
        plane = plane_of(row)
        found: int | None = plane["seats"] if plane["manufacturer"] == "BOEING" else None
        return found

    everything = Repository(Flight).objects
    async with session_scope(access=Access(user_id="u")):
        assert await Boeings().objects.count() == sum(p["manufacturer"] == "BOEING" for p in PLANES)
        assert await everything.order_by("id").values_list("plane__seats", flat=True) == [seats(f) for f in FLIGHTS]
        for queryset in (everything.select_related("plane"), everything.prefetch_related("plane")):
            assert [f.plane and f.plane.seats for f in await queryset.order_by("id")] == [seats(f) for f in FLIGHTS]
        assert await found(everything.filter(plane__isnull=True)) == ids(lambda f: seats(f) is None)
        assert await found(everything.filter(plane__seats__gt=0)) == ids(lambda f: seats(f) is not None)
        assert await found(everything.exclude(plane__seats__gt=0)) == ids(lambda f: seats(f) is None)
        assert await found(everything.filter(distance__gt=F("plane__seats"))) == ids(
            lambda f: f["distance"] > (seats(f) or 10**9)
        )
        assert await everything.order_by("plane__seats", "id").values_list("id", flat=True) == [
            f["id"] for f in sorted(FLIGHTS, key=lambda f: (seats(f) is None, seats(f) or 0, f["id"]))
        ]
        assert await everything.aggregate(n=Sum("plane__seats")) == {"n": sum(seats(f) or 0 for f in FLIGHTS)}
        assert await airlines().annotate(n=Count("flights__plane")).order_by("carrier").values_list("n", flat=True) == [
            sum(seats(f) is not None for f in flights_of(a)) for a in sorted(AIRLINES, key=lambda a: a["carrier"])
        ]
        grouped = everything.values("plane__manufacturer").annotate(n=Count("id")).order_by("plane__manufacturer")
        boeings = sum(seats(f) is not None for f in FLIGHTS)
        assert [tuple(row.values()) for row in await grouped] == [("BOEING", boeings), (None, len(FLIGHTS) - boeings)]


async def test_a_policy_that_requires_an_access_raises_without_one(flights: str, no_policies: None) -> None:
    """``unrestricted`` lifts it by name."""
    from fastapix5 import unrestricted

    class Required(Repository[Flight]):
        policy_requires_access = True

        def row_policy(self, access: Access) -> Q:
            return Q(carrier=access.tenant_id)

    async with session_scope():
        with pytest.raises(AccessRequired):
            await Required().objects.count()
        async with unrestricted(Flight):
            assert await Required().objects.count() == len(FLIGHTS)
    async with session_scope(access=Access(user_id="u", tenant_id="HA")):
        with unrestricted(Flight):
            assert await Required().objects.count() == len(FLIGHTS)
        assert await Required().objects.count() == len(ids(lambda f: f["carrier"] == "HA"))
