"""Annotations, aggregates and groups, against plain SQL or plain Python over the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from statistics import fmean
from typing import Any

import pytest

from fastapix5 import Avg, Count, F, Max, Min, Q, Sum
from tests.conformance.cases import Case, table
from tests.conformance.querysets import airlines, airports, flights, late, planes
from tests.conformance.rows import (
    AIRLINE,
    AIRLINES,
    AIRPORTS,
    ARRIVALS,
    DEPARTURES,
    FLIGHTS,
    PLANES,
    Row,
    flights_of,
    plane_of,
)

pytestmark = pytest.mark.anyio

ORIGINS = ("EWR", "JFK", "LGA")
BY_CARRIER = sorted(AIRLINES, key=lambda airline: airline["carrier"])


def number(found: Iterable[Any]) -> list[Any]:
    return [value for value in found if value is not None]


def by_airline(make: Callable[[list[Row]], Any]) -> Callable[[], list[Any]]:
    return lambda: [(a["carrier"], make(flights_of(a))) for a in BY_CARRIER]


def per_airline(**aggregates: Any) -> Any:
    (name,) = aggregates
    return airlines().annotate(**aggregates).order_by("carrier").values_list("carrier", name)


async def rounded(queryset: Any) -> list[Any]:
    found = [tuple(row) for row in await queryset]
    assert all(value is None or type(value) is float for _, value in found), found
    return [(key, value if value is None else round(value, 6)) for key, value in found]


async def rounded_dict(found: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    values = await found
    assert {type(value) for value in values.values()} == {float}
    return {name: round(value, 6) for name, value in values.items()}


async def tuples(queryset: Any) -> list[Any]:
    found: list[dict[str, Any]] = await queryset
    return [tuple(row.values()) for row in found]


async def annotated_airlines() -> list[Any]:
    found = await airlines().annotate(n=Count("flights")).order_by("carrier")
    return [(airline.carrier, airline.n) for airline in found]  # type: ignore[attr-defined]


ANNOTATIONS = [
    Case("annotate Count", lambda: per_airline(n=Count("flights")), by_airline(len)),
    Case(
        "annotate Count of a nullable column",
        lambda: per_airline(n=Count("flights__dep_delay")),
        by_airline(lambda f: len(number(x["dep_delay"] for x in f))),
    ),
    Case(
        "annotate Count distinct",
        lambda: per_airline(n=Count("flights__tailnum", distinct=True)),
        by_airline(lambda f: len({x["tailnum"] for x in f} - {None})),
    ),
    Case(
        "annotate Count filtered",
        lambda: per_airline(n=Count("flights", filter=Q(flights__dep_delay__gte=60))),
        by_airline(lambda f: sum(late(60)(x) for x in f)),
    ),
    Case(
        "annotate Sum",
        lambda: per_airline(n=Sum("flights__distance")),
        by_airline(lambda f: sum(x["distance"] for x in f) if f else None),
    ),
    Case(
        "annotate Sum of nulls",
        lambda: per_airline(n=Sum("flights__dep_delay", filter=Q(flights__dep_delay__gt=500))),
        by_airline(lambda f: sum(x["dep_delay"] for x in f if late(501)(x)) or None),
    ),
    Case(
        "annotate Avg",
        lambda: rounded(per_airline(n=Avg("flights__distance"))),
        by_airline(lambda f: round(fmean(x["distance"] for x in f), 6) if f else None),
    ),
    Case(
        "annotate Min",
        lambda: per_airline(n=Min("flights__dep_delay")),
        by_airline(lambda f: min(number(x["dep_delay"] for x in f), default=None)),
    ),
    Case(
        "annotate Max",
        lambda: per_airline(n=Max("flights__time_hour")),
        by_airline(lambda f: max((x["time_hour"] for x in f), default=None)),
    ),
    Case(
        "annotate Count two relations away",
        lambda: per_airline(n=Count("flights__plane__manufacturer", distinct=True)),
        by_airline(lambda f: len({plane_of(x)["manufacturer"] for x in f} - {None})),
    ),
    Case(
        "annotate two to-many relations",
        lambda: (
            airports()
            .annotate(out=Count("departures"), into=Count("arrivals"), far=Max("departures__distance"))
            .order_by("faa")
            .values_list("faa", "out", "into", "far")
        ),
        lambda: [
            (
                a["faa"],
                len(DEPARTURES[a["faa"]]),
                len(ARRIVALS[a["faa"]]),
                max((f["distance"] for f in DEPARTURES[a["faa"]]), default=None),
            )
            for a in sorted(AIRPORTS, key=lambda a: a["faa"])
        ],
    ),
    Case(
        "annotate then filter",
        lambda: (
            airlines()
            .annotate(n=Count("flights"))
            .filter(n__gte=100)
            .order_by("carrier")
            .values_list("carrier", flat=True)
        ),
        lambda: sorted(a["carrier"] for a in AIRLINES if len(flights_of(a)) >= 100),
    ),
    Case(
        "annotate then exclude",
        lambda: (
            airlines()
            .annotate(n=Count("flights"))
            .exclude(n__range=(20, 200))
            .order_by("carrier")
            .values_list("carrier", flat=True)
        ),
        lambda: sorted(a["carrier"] for a in AIRLINES if not 20 <= len(flights_of(a)) <= 200),
    ),
    Case(
        "annotate then Q",
        lambda: (
            airlines()
            .annotate(n=Count("flights"))
            .filter(Q(n__lt=20) | Q(carrier="UA"))
            .order_by("carrier")
            .values_list("carrier", flat=True)
        ),
        lambda: sorted(a["carrier"] for a in AIRLINES if len(flights_of(a)) < 20 or a["carrier"] == "UA"),
    ),
    Case(
        "annotate after filter",
        lambda: (
            airlines()
            .filter(flights__dest="HNL")
            .annotate(n=Count("flights"))
            .order_by("carrier")
            .values_list("carrier", "n")
        ),
        lambda: sorted(
            (a["carrier"], len(flights_of(a))) for a in AIRLINES if any(f["dest"] == "HNL" for f in flights_of(a))
        ),
    ),
    Case(
        "annotate F",
        lambda: (
            flights().annotate(total=F("dep_delay") + F("arr_delay")).order_by("id").values_list("total", flat=True)
        ),
        "SELECT dep_delay + arr_delay FROM flights ORDER BY id",
    ),
    Case(
        "annotate F then filter",
        lambda: flights().annotate(total=F("dep_delay") + F("arr_delay")).filter(total__gt=500).order_by("total", "id"),
        "SELECT id FROM flights WHERE dep_delay + arr_delay > 500 ORDER BY dep_delay + arr_delay, id",
    ),
    Case(
        "annotate compared with F",
        lambda: (
            airlines()
            .annotate(n=Count("flights"), planes=Count("flights__tailnum", distinct=True))
            .filter(n__gt=F("planes") + 100)
            .order_by("carrier")
            .values_list("carrier", flat=True)
        ),
        lambda: sorted(
            a["carrier"]
            for a in AIRLINES
            if len(flights_of(a)) > 100 + len({f["tailnum"] for f in flights_of(a)} - {None})
        ),
    ),
    Case("annotate on objects", annotated_airlines, by_airline(len)),
    Case(
        "group by",
        lambda: flights().values("carrier").annotate(n=Count("id")).order_by("carrier").values_list("carrier", "n"),
        "SELECT carrier, count(*) FROM flights GROUP BY carrier ORDER BY carrier",
    ),
    Case(
        "group by of dicts",
        lambda: flights().values("origin").annotate(n=Count("*"), far=Max("distance")).order_by("origin"),
        lambda: [
            {"origin": name, "n": len(DEPARTURES[name]), "far": max(f["distance"] for f in DEPARTURES[name])}
            for name in ORIGINS
        ],
    ),
    Case(
        "group by two columns",
        lambda: tuples(flights().values("origin", "carrier").annotate(s=Sum("distance")).order_by("origin", "carrier")),
        "SELECT origin, carrier, sum(distance) FROM flights GROUP BY origin, carrier ORDER BY origin, carrier",
    ),
    Case(
        "group by with having",
        lambda: tuples(flights().values("carrier").annotate(n=Count("id")).filter(n__gte=100).order_by("carrier")),
        "SELECT carrier, count(*) FROM flights GROUP BY carrier HAVING count(*) >= 100 ORDER BY carrier",
    ),
    Case(
        "group by after filter",
        lambda: tuples(
            flights().filter(dep_delay__gt=0).values("carrier").annotate(n=Count("id")).order_by("-n", "carrier")
        ),
        "SELECT carrier, count(*) AS n FROM flights WHERE dep_delay > 0 GROUP BY carrier ORDER BY n DESC, carrier",
    ),
    Case(
        "group by null",
        lambda: tuples(planes().filter(listed=False).values("engine").annotate(n=Count("tailnum"))),
        lambda: [(None, sum(not p["listed"] for p in PLANES))],
    ),
    Case(
        "group by a relation",
        lambda: tuples(flights().values("airline__name").annotate(n=Count("id")).order_by("airline__name")),
        lambda: sorted((AIRLINE[carrier]["name"], n) for carrier, n in Counter(f["carrier"] for f in FLIGHTS).items()),
    ),
    Case(
        "group by with Count distinct and filtered",
        lambda: tuples(
            flights()
            .values("origin")
            .annotate(p=Count("tailnum", distinct=True), late=Count("id", filter=Q(dep_delay__gte=60)))
            .order_by("origin")
        ),
        lambda: [
            (name, len({f["tailnum"] for f in DEPARTURES[name]} - {None}), sum(late(60)(f) for f in DEPARTURES[name]))
            for name in ORIGINS
        ],
    ),
    Case(
        "group by with Avg",
        lambda: rounded(
            flights().values("origin").annotate(m=Avg("dep_delay")).order_by("origin").values_list("origin", "m")
        ),
        lambda: [(name, round(fmean(number(f["dep_delay"] for f in DEPARTURES[name])), 6)) for name in ORIGINS],
    ),
    Case(
        "group by a relation's aggregate",
        lambda: tuples(flights().values("origin").annotate(n=Max("plane__seats")).order_by("origin")),
        lambda: [(name, max(number(plane_of(f)["seats"] for f in DEPARTURES[name]))) for name in ORIGINS],
    ),
    Case(
        "aggregate",
        lambda: flights().aggregate(
            n=Count("*"), rows=Count("dep_delay"), s=Sum("distance"), low=Min("dep_delay"), high=Max("dep_delay")
        ),
        lambda: {
            "n": len(FLIGHTS),
            "rows": len(number(f["dep_delay"] for f in FLIGHTS)),
            "s": sum(f["distance"] for f in FLIGHTS),
            "low": min(number(f["dep_delay"] for f in FLIGHTS)),
            "high": max(number(f["dep_delay"] for f in FLIGHTS)),
        },
    ),
    Case(
        "aggregate Avg",
        lambda: rounded_dict(flights().aggregate(a=Avg("dep_delay"), b=Avg("distance"))),
        lambda: {
            "a": round(fmean(number(f["dep_delay"] for f in FLIGHTS)), 6),
            "b": round(fmean(f["distance"] for f in FLIGHTS), 6),
        },
    ),
    Case(
        "aggregate after filter",
        lambda: flights().filter(origin="JFK").aggregate(n=Count("id")),
        lambda: {"n": len(DEPARTURES["JFK"])},
    ),
    Case(
        "aggregate of none",
        lambda: (
            flights()
            .filter(carrier="XX")
            .aggregate(n=Count("id"), s=Sum("distance"), a=Avg("distance"), low=Min("id"), high=Max("id"))
        ),
        lambda: {"n": 0, "s": None, "a": None, "low": None, "high": None},
    ),
    Case(
        "aggregate distinct",
        lambda: flights().aggregate(n=Count("carrier", distinct=True)),
        lambda: {"n": len({f["carrier"] for f in FLIGHTS})},
    ),
    Case(
        "aggregate filtered",
        lambda: flights().aggregate(
            n=Count("id", filter=Q(dep_delay__gte=60)), s=Sum("distance", filter=Q(origin="JFK"))
        ),
        lambda: {"n": sum(late(60)(f) for f in FLIGHTS), "s": sum(f["distance"] for f in DEPARTURES["JFK"])},
    ),
    Case(
        "aggregate of a slice",
        lambda: flights().order_by("id")[:10].aggregate(s=Sum("distance"), n=Count("*")),
        lambda: {"s": sum(f["distance"] for f in FLIGHTS[:10]), "n": 10},
    ),
    Case(
        "aggregate across to-one",
        lambda: flights().aggregate(n=Sum("plane__seats")),
        lambda: {"n": sum(number(plane_of(f)["seats"] for f in FLIGHTS))},
    ),
    Case(
        "aggregate across to-many",
        lambda: airlines().aggregate(n=Count("flights"), far=Max("flights__distance")),
        lambda: {"n": len(FLIGHTS), "far": max(f["distance"] for f in FLIGHTS)},
    ),
    Case(
        "aggregate of F",
        lambda: flights().aggregate(n=Sum(F("distance") * 2 + 1)),
        lambda: {"n": sum(f["distance"] * 2 + 1 for f in FLIGHTS)},
    ),
    Case(
        "aggregate of an annotation",
        lambda: airlines().annotate(n=Count("flights")).aggregate(most=Max("n")),
        lambda: {"most": max(len(flights_of(a)) for a in AIRLINES)},
    ),
]


@table(ANNOTATIONS)
async def test_an_aggregate_gives_what_plain_code_gives(scope: None, case: Case) -> None:
    """Of the related rows of each object, of groups, and of all rows."""
    await case.check()
