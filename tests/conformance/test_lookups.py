"""Every lookup and alias, as a filter and as an exclude, against plain Python over the same rows."""

from __future__ import annotations

import datetime as dt
import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from example_project.models import Airline, Airport, Flight, Plane, Weather
from fastapix5 import Count, F, Q, Repository
from fastapix5.exceptions import Error
from fastapix5.repositories import ALIASES, LOOKUPS
from tests.conformance.cases import plain
from tests.conformance.conftest import on_postgresql
from tests.conformance.models import (
    BOOKINGS,
    CRAFTS,
    DOCUMENTS,
    MOMENTS,
    SEATS,
    WORDS,
    Booking,
    Craft,
    Document,
    Glider,
    Moment,
    Seat,
    Word,
)
from tests.conformance.rows import (
    AIRLINE,
    AIRPORT,
    ARRIVALS,
    DEPARTURES,
    KEYS,
    TABLES,
    Row,
    Test,
    flights_of,
    known,
    moment,
    plane_of,
)

pytestmark = pytest.mark.anyio

ALL: dict[type[Any], list[Row]] = {
    **TABLES,
    Word: WORDS,
    Moment: MOMENTS,
    Craft: CRAFTS,
    Glider: [row for row in CRAFTS if row["kind"] == "glider"],
    Seat: SEATS,
    Booking: BOOKINGS,
    Document: DOCUMENTS,
}


class Find(NamedTuple):
    """One condition on a model's rows, and the rows that meet it."""

    model: type[Any]
    path: str
    value: Any
    test: Test

    @property
    def name(self) -> str:
        """The condition as one writes it."""
        value = repr(self.value) if len(repr(self.value)) < 80 else type(self.value).__name__
        return f"{self.model.__name__}.{self.path}={value}"


def finds(cases: Sequence[Find]) -> pytest.MarkDecorator:
    """Run a test once for each condition."""
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), f"names twice: {sorted(name for name in names if names.count(name) > 1)}"
    return pytest.mark.parametrize("case", cases, ids=names)


def primary_key(model: type[Any], row: Row) -> Any:
    """A plain row's key, a tuple where it is composite."""
    if model is Seat:
        return row["cabin"], row["number"]
    found = tuple(row[name] for name in KEYS.get(model, ("id",)))
    return found if len(found) > 1 else found[0]


async def check(case: Find) -> None:
    """The filter finds the rows that pass, each once, and the exclude exactly the others."""
    objects = Repository(case.model).objects
    kept = sorted(primary_key(case.model, row) for row in ALL[case.model] if case.test(row))
    rest = sorted(primary_key(case.model, row) for row in ALL[case.model] if not case.test(row))
    names = ("cabin", "number") if case.model is Seat else KEYS.get(case.model, ("id",))
    found: Any = objects.filter(**{case.path: case.value})
    others: Any = objects.exclude(**{case.path: case.value})
    for queryset, expected in ((found, kept), (others, rest)):
        assert sorted(await queryset.values_list(*names, flat=len(names) == 1)) == expected
    if case in RELATIONS:
        assert await found.count() == len(kept)
        assert await others.count() == len(rest)


def with_value(compare: Callable[[Any, Any], Any], value: Any, change: Callable[[Any], Any] = lambda left: left) -> Any:
    """A test of what is compared with ``value``: a column's value, or what ``change`` makes of it."""
    return lambda left: compare(change(left), value)


def find(model: type[Any], column: str, lookup: str, value: Any, test: Callable[[Any], Any]) -> Find:
    """A condition on one column, which null never meets."""
    return Find(model, f"{column}__{lookup}" if lookup else column, value, known(column, test))


COMPARISONS: list[tuple[str, Callable[[Any, Any], bool]]] = [
    ("", operator.eq),
    ("exact", operator.eq),
    ("eq", operator.eq),
    ("gt", operator.gt),
    ("gte", operator.ge),
    ("ge", operator.ge),
    ("lt", operator.lt),
    ("lte", operator.le),
    ("le", operator.le),
]


def compared(model: type[Any], column: str, value: Any) -> list[Find]:
    """A column compared in every way with a value that some row has."""
    found = [find(model, column, lookup, value, with_value(compare, value)) for lookup, compare in COMPARISONS]
    found += [
        Find(model, f"{column}__ne", value, lambda row: row[column] != value),
        Find(model, f"{column}__in", [value], lambda row: row[column] == value),
        Find(model, f"{column}__not_in", [value], lambda row: row[column] != value),
        find(model, column, "range", (value, value), lambda left: left == value),
        find(model, column, "isnull", False, lambda left: True),
        Find(model, f"{column}__isnull", True, lambda row: row[column] is None),
    ]
    return found


SOME_DELAYS = [-5, 0, 60, 10_000]

NUMBERS = [
    *compared(Flight, "dep_delay", 60),
    *compared(Airport, "lat", AIRPORT["JFK"]["lat"]),
    *compared(Weather, "temp", 39.02),
    *compared(Flight, "date", dt.date(2013, 11, 3)),
    *compared(Weather, "time_hour", moment("2013-01-01T06:00:00+00:00")),
    *compared(Moment, "aware", MOMENTS[2]["aware"]),
    *compared(Moment, "naive", MOMENTS[4]["naive"]),
    *compared(Moment, "day", MOMENTS[4]["day"]),
    *compared(Moment, "clock", MOMENTS[6]["clock"]),
    *compared(Flight, "carrier", "UA"),
    *compared(Seat, "price", 100),
    Find(Flight, "dep_delay", None, lambda row: row["dep_delay"] is None),
    Find(Flight, "dep_delay__exact", None, lambda row: row["dep_delay"] is None),
    Find(Flight, "dep_delay__ne", None, lambda row: row["dep_delay"] is not None),
    Find(Flight, "dep_delay__in", SOME_DELAYS, lambda row: row["dep_delay"] in SOME_DELAYS),
    Find(Flight, "dep_delay__in", (), lambda row: False),
    Find(Flight, "dep_delay__in", [None], lambda row: row["dep_delay"] is None),
    Find(Flight, "dep_delay__in", [None, 0], lambda row: row["dep_delay"] in (None, 0)),
    Find(Flight, "dep_delay__not_in", SOME_DELAYS, lambda row: row["dep_delay"] not in SOME_DELAYS),
    Find(Flight, "dep_delay__notin", SOME_DELAYS, lambda row: row["dep_delay"] not in SOME_DELAYS),
    Find(Flight, "dep_delay__not_in", (), lambda row: True),
    Find(Flight, "dep_delay__not_in", [None], lambda row: row["dep_delay"] is not None),
    Find(Flight, "dep_delay__not_in", [None, 0], lambda row: row["dep_delay"] not in (None, 0)),
    find(Flight, "dep_delay", "range", (-5, 5), lambda delay: -5 <= delay <= 5),
    find(Flight, "dep_delay", "between", (-5, 5), lambda delay: -5 <= delay <= 5),
    find(Flight, "dep_delay", "range", (5, -5), lambda delay: False),
    find(Flight, "date", "range", (dt.date(2013, 12, 1), dt.date(2013, 12, 31)), lambda day: day.month == 12),
    Find(Airport, "listed", False, lambda row: row["listed"] is False),
    Find(Airport, "listed__ne", True, lambda row: row["listed"] is not True),
    # An aware value of another zone is the same moment.
    find(Weather, "time_hour", "", moment("2013-01-01T01:00:00-05:00"),
         lambda at: at.hour == 6 and at.day == 1 == at.month),
    find(Flight, "time_hour", "gte", moment("2013-12-31T18:00:00-05:00"),
         lambda at: at >= moment("2013-12-31T23:00:00+00:00")),
    Find(Flight, "id__in", range(5, 900, 100), lambda row: row["id"] in range(5, 900, 100)),
    Find(Flight, "id__in", range(3, 40_000), lambda row: row["id"] >= 3),
    Find(Flight, "id__not_in", range(3, 40_000), lambda row: row["id"] < 3),
    Find(Flight, "id__in", frozenset({1, 5, 9}), lambda row: row["id"] in {1, 5, 9}),
    Find(Flight, "id__not_in", {1: 1, 2: 2}.values(), lambda row: row["id"] not in (1, 2)),
    Find(Flight, "pk", 7, lambda row: row["id"] == 7),
    Find(Flight, "pk__in", [7, 8, 9_999], lambda row: row["id"] in (7, 8)),
    Find(Flight, "pk__gt", 1_600, lambda row: row["id"] > 1_600),
    Find(Airline, "pk", "UA", lambda row: row["carrier"] == "UA"),
]  # fmt: skip


@finds(NUMBERS)
async def test_a_value_is_compared_as_python_compares_it(scope: None, case: Find) -> None:
    """Null meets no comparison, ``ne`` and ``not_in`` apart."""
    await check(case)


COMPOSITE = [
    Find(Seat, "pk", ("coach", 2), lambda row: (row["cabin"], row["number"]) == ("coach", 2)),
    Find(Seat, "pk__exact", ("coach", 3), lambda row: False),
    Find(Seat, "pk__ne", ("coach", 2), lambda row: (row["cabin"], row["number"]) != ("coach", 2)),
    Find(Seat, "pk__in", [("coach", 2), ("first", 1), ("x", 1)],
         lambda row: (row["cabin"], row["number"]) in {("coach", 2), ("first", 1)}),
    Find(Seat, "pk__not_in", [("coach", 2), ("first", 1)],
         lambda row: (row["cabin"], row["number"]) not in {("coach", 2), ("first", 1)}),
    Find(Seat, "pk__in", [], lambda row: False),
    Find(Weather, "pk", ("JFK", moment("2013-01-01T05:00:00-05:00")),
         lambda row: row["origin"] == "JFK" and row["time_hour"] == moment("2013-01-01T10:00:00+00:00")),
    Find(Booking, "seat__isnull", True, lambda row: row["cabin"] is None),
    Find(Booking, "seat__isnull", False, lambda row: row["cabin"] is not None),
    Find(Booking, "seat__price__gte", 900, lambda row: row["cabin"] == "first"),
    Find(Booking, "seat__price__isnull", True, lambda row: row["cabin"] is None),
    Find(Booking, "seat__cabin__ne", "first", lambda row: row["cabin"] != "first"),
    Find(Seat, "bookings__passenger", "Ann",
         lambda row: any(row["cabin"] == b["cabin"] and row["number"] == b["number"]
                         and b["passenger"] == "Ann" for b in BOOKINGS)),
    Find(Seat, "bookings__isnull", True, lambda row: (row["cabin"], row["number"]) not in {("first", 1), ("coach", 2)}),
    Find(Seat, "taken__gte", 1, lambda row: (row["cabin"], row["number"]) in {("first", 1), ("coach", 2)}),
]  # fmt: skip


@finds(COMPOSITE)
async def test_a_composite_key_is_a_key(scope: None, case: Find) -> None:
    """Its name is ``pk`` and its value a tuple; relations by it work as others do."""
    await check(case)


NAMES = [
    Find(Craft, "label", "one", lambda row: row["label"] == "one"),
    Find(Craft, "label__isnull", True, lambda row: row["label"] is None),
    find(Craft, "weight", "gte", 10, lambda weight: weight >= 10),
    find(Craft, "mass", "gte", 10, lambda weight: weight >= 10)._replace(test=known("weight", lambda w: w >= 10)),
    Find(Craft, "pounds__lt", 21, known("weight", lambda weight: weight * 2 < 21)),
    Find(Craft, "pounds__isnull", True, lambda row: row["weight"] is None),
    Find(Craft, "kind__in", ["glider"], lambda row: row["kind"] == "glider"),
    Find(Glider, "weight__gte", 10, lambda row: row["weight"] >= 10),
    Find(Glider, "label__startswith", "f", lambda row: row["label"].startswith("f")),
    Find(Glider, "span__gt", 15, lambda row: row["span"] > 15),
    Find(Glider, "pounds__range", (0, 20), lambda row: row["weight"] * 2 <= 20),
]


@finds(NAMES)
async def test_a_name_is_any_mapped_attribute(scope: None, case: Find) -> None:
    """Inherited and mixin columns, hybrids, synonyms, and columns that are called otherwise in the table."""
    await check(case)


TEXT: list[tuple[str, Callable[[str, str], Any]]] = [
    ("exact", lambda text, value: text == value),
    ("iexact", lambda text, value: text.lower() == value.lower()),
    ("contains", lambda text, value: value in text),
    ("icontains", lambda text, value: value.lower() in text.lower()),
    ("startswith", lambda text, value: text.startswith(value)),
    ("istartswith", lambda text, value: text.lower().startswith(value.lower())),
    ("endswith", lambda text, value: text.endswith(value)),
    ("iendswith", lambda text, value: text.lower().endswith(value.lower())),
]
TEXT_VALUES = [
    "",
    "abc",
    "ABC",
    "aB",
    "%",
    "_",
    "\\",
    "a_b",
    "a%b",
    "a\\_",
    "100%",
    "É",
    "é",
    "ÉMILE",
    "äR",
    "дОм",
    "本",
    "'",
    '"',
    "😀",
    "Ñ",
]

LIKE: list[tuple[str, str]] = [
    ("abc", "abc"), ("a%", "a.*"), ("%c", ".*c"), ("a_c", "a.c"), ("%b%", ".*b.*"), ("a\\_b", "a_b"), ("a\\%b", "a%b"),
    ("a\\\\b", r"a\\b"), ("100\\%%", "100%.*"), ("_", "."), ("%", ".*"), ("", ""), ("É%", "É.*"),
    ("a.c", r"a\.c"), ("a_b", "a.b"),
]  # fmt: skip

PATTERNS = ["^a", "c$", "^a.c$", "b|d", "[0-9]+", "^$", r"\.", "É", "^.$", "a+b?c", "(ab|AB)", r"100\s?%"]


def matches(match: Callable[..., Any], flags: int = 0) -> Callable[[Any, Any], Any]:
    """A comparison of text with a regular expression."""
    return lambda text, pattern: match(pattern, text, flags)


def words(lookup: str, value: str, compare: Callable[[Any, Any], Any], expected: str | None = None) -> Find:
    """The words that meet a lookup."""
    return find(Word, "text", lookup, value, with_value(compare, value if expected is None else expected))


TEXTS = [
    *(words(lookup, value, compare) for lookup, compare in TEXT for value in TEXT_VALUES),
    *(words("like", value, matches(re.fullmatch, re.DOTALL), pattern) for value, pattern in LIKE),
    *(words("ilike", value, matches(re.fullmatch, re.DOTALL | re.IGNORECASE), pattern) for value, pattern in LIKE),
    *(words("regex", pattern, matches(re.search)) for pattern in PATTERNS),
    *(words("iregex", pattern, matches(re.search, re.IGNORECASE)) for pattern in PATTERNS),
    Find(Word, "text__ne", "abc", lambda row: row["text"] != "abc"),
    Find(Word, "text__in", ["abc", "Дом", "a_b", None], lambda row: row["text"] in {"abc", "Дом", "a_b", None}),
    Find(Word, "text", "", lambda row: row["text"] == ""),
    Find(Word, "text__iexact", None, lambda row: row["text"] is None),
    find(Airport, "name", "icontains", "INTL", lambda name: "intl" in name.lower()),
    find(Airport, "name", "contains", "\\", lambda name: "\\" in name),
    find(Airport, "name", "endswith", "Field", lambda name: name.endswith("Field")),
    find(Plane, "manufacturer", "istartswith", "airbus", lambda name: name.lower().startswith("airbus")),
    find(Plane, "model", "regex", r"^7[0-9]{2}-", lambda name: re.search(r"^7[0-9]{2}-", name)),
    find(Plane, "model", "like", "7_7%", lambda name: re.match("7.7", name)),
    find(Plane, "engine", "iexact", "turbo-FAN", lambda name: name == "Turbo-fan"),
]  # fmt: skip


@finds(TEXTS)
async def test_text_is_compared_literally(scope: None, case: Find) -> None:
    """Case counts but in the ``i`` lookups, which fold Unicode; ``_`` and ``%`` are themselves but in patterns."""
    await check(case)


PARTS: dict[str, Callable[[Any], Any]] = {
    "year": lambda at: at.year,
    "quarter": lambda at: (at.month + 2) // 3,
    "month": lambda at: at.month,
    "day": lambda at: at.day,
    "week": lambda at: at.isocalendar().week,
    "week_day": lambda at: at.isoweekday() % 7 + 1,
    "iso_week_day": lambda at: at.isoweekday(),
    "date": lambda at: at.date(),
    "time": lambda at: at.time(),
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second,
}
OF_A_DAY = ["year", "quarter", "month", "day", "week", "week_day", "iso_week_day"]
OF_A_CLOCK = ["hour", "minute", "second"]


def parts(model: type[Any], column: str, names: Sequence[str], position: int) -> list[Find]:
    """Each part of a time compared with that of one row."""
    found: list[Find] = []
    there = [row[column] for row in ALL[model] if row[column] is not None]
    for name in names:
        value = PARTS[name](there[position])
        found += [
            find(model, column, name, value, with_value(operator.eq, value, PARTS[name])),
            find(model, column, f"{name}__lt", value, with_value(operator.lt, value, PARTS[name])),
        ]
    return found


def compared_parts(model: type[Any], column: str, names: Sequence[str], position: int) -> list[Find]:
    """Each part of a time compared in every way."""
    there = [row[column] for row in ALL[model] if row[column] is not None]
    found: list[Find] = []
    for name in names:
        part = PARTS[name]
        value, others = part(there[position]), [part(there[0]), part(there[-1])]
        found += in_every_way(model, column, name, value, others)
    return found


def in_every_way(model: type[Any], column: str, name: str, value: Any, others: list[Any]) -> list[Find]:
    """A part of a time compared with a value and with others."""
    low, high, path = min(value, *others), max(value, *others), f"{column}__{name}"

    def of(row: Row) -> Any:
        return None if row[column] is None else PARTS[name](row[column])

    return [
        *(
            find(model, column, f"{name}__{lookup}", value, with_value(compare, value, PARTS[name]))
            for lookup, compare in COMPARISONS
            if lookup in ("exact", "gt", "gte", "lte")
        ),
        Find(model, f"{path}__in", others, lambda row: of(row) in others),
        Find(model, f"{path}__range", (low, high), lambda row: of(row) is not None and low <= of(row) <= high),
        Find(model, f"{path}__ne", value, lambda row: of(row) != value),
        Find(model, f"{path}__not_in", others, lambda row: of(row) not in others),
        Find(model, f"{path}__isnull", True, lambda row: of(row) is None),
    ]


TIMES = [
    *parts(Moment, "aware", list(PARTS), 5),
    *compared_parts(Moment, "aware", list(PARTS), 5),
    *parts(Moment, "naive", list(PARTS), 3),
    *parts(Moment, "day", OF_A_DAY, 7),
    *parts(Moment, "clock", OF_A_CLOCK, 6),
    *parts(Flight, "date", OF_A_DAY, 700),
    *parts(Flight, "time_hour", list(PARTS), 1_000),
    *parts(Weather, "time_hour", ["date", "time", "hour", "week_day"], 100),
]


@finds(TIMES)
async def test_a_part_of_a_time_is_compared(scope: None, case: Find) -> None:
    """Of aware columns it is UTC's, though this PostgreSQL server lives in Kathmandu."""
    await check(case)


async def test_every_part_of_every_moment_is_python_s(scope: None) -> None:
    """At the edges of days, weeks and years."""
    objects = Repository(Moment).objects
    for column, names in (("aware", list(PARTS)), ("naive", list(PARTS)), ("day", OF_A_DAY), ("clock", OF_A_CLOCK)):
        for name in names:
            there = [(row["id"], PARTS[name](row[column])) for row in MOMENTS if row[column] is not None]
            for value in {value for _, value in there}:
                found = sorted(plain(await objects.filter(**{f"{column}__{name}": value})))
                assert found == [key for key, part in there if part == value], (column, name, value)


async def test_parts_are_values(scope: None) -> None:
    """Whole numbers, dates and times on both engines, wherever a column's value stands."""
    moments = Repository(Moment).objects.order_by("id")
    for column, names in (("aware", list(PARTS)), ("naive", list(PARTS)), ("day", OF_A_DAY), ("clock", OF_A_CLOCK)):
        for name in names:
            found = await moments.values_list(f"{column}__{name}", flat=True)
            expected = [None if row[column] is None else PARTS[name](row[column]) for row in MOMENTS]
            assert [(type(value), value) for value in found] == [(type(value), value) for value in expected], name
    months = await Repository(Flight).objects.values("date__month").annotate(n=Count("id")).order_by("-date__month")
    counted = Counter(row["date"].month for row in TABLES[Flight])
    assert months == [{"date__month": month, "n": counted[month]} for month in range(12, 0, -1)]
    same = await Repository(Flight).objects.filter(date__month=F("date__day")).values_list("id", flat=True)
    assert sorted(same) == [row["id"] for row in TABLES[Flight] if row["date"].month == row["date"].day]


RELATIONS = [
    find(Flight, "carrier", "", "x", lambda _: False),
    Find(Flight, "airline__name__icontains", "AIR LINES",
         lambda f: "air lines" in AIRLINE[f["carrier"]]["name"].lower()),
    Find(Flight, "airline", "UA", lambda f: f["carrier"] == "UA"),
    Find(Flight, "airline__in", ["UA", "DL"], lambda f: f["carrier"] in ("UA", "DL")),
    Find(Flight, "airline__pk", "UA", lambda f: f["carrier"] == "UA"),
    Find(Flight, "plane__isnull", True, lambda f: f["tailnum"] is None),
    Find(Flight, "plane__isnull", False, lambda f: f["tailnum"] is not None),
    Find(Flight, "plane__year__isnull", True, lambda f: plane_of(f)["year"] is None),
    Find(Flight, "plane__year__isnull", False, lambda f: plane_of(f)["year"] is not None),
    Find(Flight, "plane__year", None, lambda f: plane_of(f)["year"] is None),
    Find(Flight, "plane__year__gte", 2010, lambda f: (plane_of(f)["year"] or 0) >= 2010),
    Find(Flight, "plane__year__ne", 2001, lambda f: plane_of(f)["year"] != 2001),
    Find(Flight, "plane__year__not_in", [2001, 2002], lambda f: plane_of(f)["year"] not in (2001, 2002)),
    Find(Flight, "plane__year__in", [2001, None], lambda f: plane_of(f)["year"] in (2001, None)),
    Find(Flight, "plane__manufacturer__startswith", "AIR",
         lambda f: (plane_of(f)["manufacturer"] or "").startswith("AIR")),
    Find(Flight, "dest_airport__tz__lt", -8, lambda f: (AIRPORT[f["dest"]]["tz"] or 0) < -8),
    Find(Flight, "dest_airport__listed", False, lambda f: not AIRPORT[f["dest"]]["listed"]),
    Find(Airline, "flights__isnull", False, lambda a: bool(flights_of(a))),
    Find(Airline, "flights__dep_delay__gt", 500,
         lambda a: any((f["dep_delay"] or 0) > 500 for f in flights_of(a))),
    Find(Airline, "flights__dep_delay__isnull", True,
         lambda a: any(f["dep_delay"] is None for f in flights_of(a))),
    Find(Airline, "flights__plane__seats__gte", 300,
         lambda a: any((plane_of(f)["seats"] or 0) >= 300 for f in flights_of(a))),
    Find(Airline, "flights__date__month", 6,
         lambda a: any(f["date"].month == 6 for f in flights_of(a))),
    Find(Airport, "departures__isnull", False, lambda a: a["faa"] in ("EWR", "JFK", "LGA")),
    Find(Airport, "arrivals__isnull", True, lambda a: not ARRIVALS[a["faa"]]),
    Find(Airport, "arrivals__dep_delay__isnull", True,
         lambda a: any(f["dep_delay"] is None for f in ARRIVALS[a["faa"]])
         or not ARRIVALS[a["faa"]]),
    Find(Airport, "weather__wind_gust__gt", 40,
         lambda a: any(w["origin"] == a["faa"] and (w["wind_gust"] or 0) > 40 for w in TABLES[Weather])),
    Find(Plane, "flights__airline__name__startswith", "Delta",
         lambda p: any(f["carrier"] == "DL" for f in flights_of(p))),
    Find(Weather, "airport__name__startswith", "John", lambda w: w["origin"] == "JFK"),
    Find(Weather, "airport__departures__dest", "HNL",
         lambda w: any(f["dest"] == "HNL" for f in DEPARTURES[w["origin"]])),
]  # fmt: skip


@finds(RELATIONS)
async def test_a_condition_crosses_relations(scope: None, case: Find) -> None:
    """Rows never repeat; where there is no related row, its columns are null."""
    await check(case)


VALUES: list[Find] = [
    Find(Flight, "dep_delay__gt", F("arr_delay"),
         lambda f: None not in (f["dep_delay"], f["arr_delay"]) and f["dep_delay"] > f["arr_delay"]),
    Find(Flight, "dep_delay", F("arr_delay"),
         lambda f: None not in (f["dep_delay"], f["arr_delay"]) and f["dep_delay"] == f["arr_delay"]),
    Find(Flight, "arr_delay__lte", F("dep_delay") * 2 + 1,
         lambda f: None not in (f["dep_delay"], f["arr_delay"]) and f["arr_delay"] <= f["dep_delay"] * 2 + 1),
    Find(Flight, "arr_delay__gte", 3 - F("dep_delay"),
         lambda f: None not in (f["dep_delay"], f["arr_delay"]) and f["arr_delay"] >= 3 - f["dep_delay"]),
    Find(Flight, "distance__lt", F("plane__seats"),
         lambda f: plane_of(f)["seats"] is not None and f["distance"] < plane_of(f)["seats"]),
    Find(Flight, "plane__seats__gt", F("distance"),
         lambda f: plane_of(f)["seats"] is not None and f["distance"] < plane_of(f)["seats"]),
    Find(Flight, "dest_airport__lat__gt", F("origin_airport__lat"),
         lambda f: AIRPORT[f["dest"]]["lat"] is not None and AIRPORT[f["dest"]]["lat"] > AIRPORT[f["origin"]]["lat"]),
    Find(Flight, "sched_arr_time__range", (F("sched_dep_time"), F("sched_dep_time") + 200),
         lambda f: f["sched_dep_time"] <= f["sched_arr_time"] <= f["sched_dep_time"] + 200),
    Find(Flight, "dep_time__lt", Flight.sched_dep_time,
         lambda f: f["dep_time"] is not None and f["dep_time"] < f["sched_dep_time"]),
    Find(Flight, "carrier__in", select(Airline.carrier).where(Airline.name.like("%Air Lines%")),
         lambda f: "Air Lines" in AIRLINE[f["carrier"]]["name"]),
    Find(Flight, "carrier__not_in", select(Airline.carrier).where(Airline.name.like("%Air Lines%")),
         lambda f: "Air Lines" not in AIRLINE[f["carrier"]]["name"]),
    Find(Flight, "tailnum__in", Repository(Plane).objects.filter(seats__gte=300).values_list("tailnum", flat=True),
         lambda f: (plane_of(f)["seats"] or 0) >= 300),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", VALUES, ids=lambda case: f"{case.path} {type(case.value).__name__} {VALUES.index(case)}"
)
async def test_a_value_may_be_an_expression(scope: None, case: Find) -> None:
    """F, an attribute of the model, a SELECT, a queryset; null meets none of it."""
    await check(case)


async def test_times_are_added_or_refused(scope: None) -> None:
    """What an engine cannot add is never compared as if it were something else."""
    objects = Repository(Moment).objects
    for condition, expected in (
        (Q(aware__lt=F("aware") + dt.timedelta(hours=1)), len(MOMENTS) - 1),
        (Q(naive__gte=F("naive") - dt.timedelta(days=1)), len(MOMENTS) - 1),
        (Q(aware__gt=F("aware") + dt.timedelta(hours=1)), 0),
    ):
        try:
            found = await objects.filter(condition).count()
        except (TypeError, ValueError, Error):
            continue
        assert found == expected


def within(small: Any, big: Any) -> bool:
    """JSON containment as PostgreSQL has it."""
    if isinstance(small, dict):
        return isinstance(big, dict) and all(key in big and within(value, big[key]) for key, value in small.items())
    if isinstance(small, list):
        return isinstance(big, list) and all(any(within(value, item) for item in big) for value in small)
    return (type(small) is type(big) and bool(small == big)) or (
        isinstance(big, (int, float)) and not isinstance(big, bool) and small is not True and small == big
    )


def at(row: Row, *keys: str | int) -> Any:
    """The value at the end of a key path; None where there is none."""
    found: Any = row["data"]
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return None
    return found


DOCUMENT_CASES = [
    find(Document, "tags", "contains", ["old"], lambda tags: {"old"} <= {*tags}),
    find(Document, "tags", "contains", ["old", "red"], lambda tags: {"old", "red"} <= {*tags}),
    find(Document, "tags", "contains", [], lambda tags: True),
    find(Document, "tags", "contained_by", ["red", "old"], lambda tags: {*tags} <= {"red", "old"}),
    find(Document, "tags", "overlap", ["new", "red"], lambda tags: {*tags} & {"new", "red"}),
    find(Document, "tags", "", ["red"], lambda tags: tags == ["red"]),
    find(Document, "tags", "isnull", True, lambda tags: False)._replace(test=lambda row: row["tags"] is None),
    find(Document, "numbers", "contains", [1, 2], lambda numbers: {1, 2} <= {*numbers}),
    find(Document, "numbers", "contained_by", [1, 2, 3], lambda numbers: {*numbers} <= {1, 2, 3}),
    find(Document, "numbers", "overlap", [9, 1], lambda numbers: {*numbers} & {9, 1}),
    *(find(Document, "data", "contains", value, with_value(lambda data, part: within(part, data), value))
      for value in ({"size": 5}, {"owner": {"name": "Ann"}}, {"list": [1]}, {}, {"flag": True})),
    find(Document, "data", "contained_by", {"size": 5, "owner": None, "x": 1},
         lambda data: within(data, {"size": 5, "owner": None, "x": 1})),
    find(Document, "data", "contained_by", DOCUMENTS[0]["data"], lambda data: within(data, DOCUMENTS[0]["data"])),
    find(Document, "data", "has_key", "flag", lambda data: "flag" in data),
    find(Document, "data", "has_key", "o'dd \"key", lambda data: "o'dd \"key" in data),
    find(Document, "data", "has_keys", ["owner", "list"], lambda data: {"owner", "list"} <= {*data}),
    find(Document, "data", "has_any_keys", ["flag", "nothing"], lambda data: {"flag", "nothing"} & {*data}),
    find(Document, "data", "", {}, lambda data: data == {}),
    Find(Document, "data__isnull", True, lambda row: row["data"] is None),
    Find(Document, "data__owner__name", "Ann", lambda row: at(row, "owner", "name") == "Ann"),
    Find(Document, "data__owner__name__iexact", "ann", lambda row: (at(row, "owner", "name") or "").lower() == "ann"),
    Find(Document, "data__owner__name__startswith", "A", lambda row: (at(row, "owner", "name") or "").startswith("A")),
    Find(Document, "data__owner__name__in", ["Ann", "Bob"], lambda row: at(row, "owner", "name") in ("Ann", "Bob")),
    Find(Document, "data__owner__name__isnull", True, lambda row: at(row, "owner", "name") is None),
    Find(Document, "data__size", 5, lambda row: at(row, "size") == 5),
    Find(Document, "data__size__gt", 5, lambda row: isinstance(at(row, "size"), (int, float)) and at(row, "size") > 5)
    ._replace(test=lambda row: row["id"] in (2, 5)),
    Find(Document, "data__flag", True, lambda row: at(row, "flag") is True),
    Find(Document, "data__list__0", 1, lambda row: at(row, "list", 0) == 1),
    Find(Document, "data__list__1__deep", "x", lambda row: at(row, "list", 1, "deep") == "x"),
    Find(Document, "data__owner__has_key", "age", lambda row: "age" in (at(row, "owner") or {})),
    Find(Document, "data__list__contains", [1], lambda row: within([1], at(row, "list"))),
    Find(Document, "plain__owner__name", "Ann", lambda row: at(row, "owner", "name") == "Ann"),
    find(Document, "body", "search", "FOXES", lambda body: "foxes" in body.lower()),
    find(Document, "body", "search", "quick brown", lambda body: "brown" in body and "quick" in body),
    find(Document, "body", "search", "brown & (", lambda body: "brown" in body),
    find(Document, "body", "search", "", lambda body: False),
]  # fmt: skip


@on_postgresql
@finds(DOCUMENT_CASES)
async def test_documents_are_looked_into(scope: None, case: Find) -> None:
    """Arrays, JSON by containment, keys and key paths, and full text."""
    await check(case)


def test_every_lookup_has_a_case() -> None:
    """A lookup or alias that is added to the table needs a row here."""
    paths = [case.path for case in (*NUMBERS, *COMPOSITE, *TEXTS, *TIMES, *RELATIONS, *VALUES, *DOCUMENT_CASES)]
    seen = {part for path in paths for part in path.split("__")[1:]}
    assert {*LOOKUPS, *ALIASES} - seen == set()
    wanted = (
        "exact iexact ne gt gte lt lte in not_in isnull range contains icontains startswith istartswith endswith"
        " iendswith like ilike regex iregex year quarter month day week week_day iso_week_day date time hour minute second"
        " contained_by overlap has_key has_keys has_any_keys search eq ge le notin between"
    )
    assert {*wanted.split()} - seen == set()


def test_an_unknown_name_says_what_is_known() -> None:
    """Of lookups, parts and attributes, with the nearest name."""
    objects = Repository(Flight).objects
    for name, words in (
        ("dep_delay__gtt", ("gtt", "gte")),
        ("carier", ("carier", "carrier")),
        ("airline__nam", ("nam", "name")),
        ("date__yeer", ("yeer", "year")),
    ):
        with pytest.raises(Exception, match=words[0]) as caught:
            objects.filter(**{name: 1})
        assert all(word in str(caught.value) for word in words), str(caught.value)
        with pytest.raises(type(caught.value)):
            objects.filter(~Q(**{name: 1}))


def test_documents_are_json() -> None:
    """What is compared in Python is what the database holds."""
    assert json.loads(json.dumps([row["data"] for row in DOCUMENTS])) == [row["data"] for row in DOCUMENTS]
