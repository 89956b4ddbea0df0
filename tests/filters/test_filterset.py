"""Field filters: declared, typed, parsed strictly, and the same on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import ColumnElement

from fastapix5 import BaseFilterBackend, override_settings
from fastapix5.parameters import Parameter
from tests.conftest import on_postgresql
from tests.filters.conftest import Ask
from tests.filters.shop import MomentViewSet, PatternViewSet, Thing, ThingViewSet

pytestmark = pytest.mark.anyio

# By default the newest come first.
ALL = [4, 3, 2, 1]


FOUND: dict[str, list[int]] = {
    "": ALL,
    "number=20": [3, 2],
    "number__ne=20": [4, 1],
    "number__gt=10": [3, 2],
    "number__gte=10&number__lt=20": [1],
    "number__in=10,20": [3, 2, 1],
    "number__in=10&number__in=20": [3, 2, 1],
    "number__not_in=20": [4, 1],
    "number__range=5,15": [1],
    "number__range=5&number__range=15": [1],
    "number__isnull=true": [4],
    "number__isnull=false": [3, 2, 1],
    "weight=0.5": [1],
    "weight__gte=1.5e0": [4, 3],
    "price=1.99": [1],
    "price__lte=2.99": [2, 1],
    "is_sold=true": [3, 2],
    "is_sold=false": [4, 1],
    "day=2020-01-02": [2],
    "day__range=2020-01-02,2020-01-03": [3, 2],
    "made=2020-01-02T12:00:00Z": [2],
    "made=2020-01-02T14:00:00%2B02:00": [2],
    "made__gt=2020-01-02T12:00:00Z": [4, 3],
    "color=blue": [2],
    "color__in=blue,red": ALL,
    "code=00000000-0000-0000-0000-000000000003": [3],
    "name=Ball": [2],
    "name=ball": [],
    "name__iexact=ball": [2],
    "name__in=Ball,Anvil": [2, 1],
    "name__contains=al": [2],
    "name__icontains=A": [2, 1],
    "name__icontains=%25": [3],
    "name__icontains=_": [4],
    "name__startswith=An": [1],
    "name__iendswith=L": [2, 1],
    "name__like=%25a%25": [2],
    "name__like=_all": [2],
    "name__like=%25\\%25": [3],
    "name__ilike=%25\\_1": [4],
    "name__ilike=a%25": [1],
    "note=": [4],
    "note__isnull=true": [2],
    "maker=1": [2, 1],
    "maker__in=1,2": [3, 2, 1],
    "maker__isnull=true": [4],
    "maker__name=Acme": [2, 1],
    "maker__name__icontains=OL": [3],
    "tags__word=round": [2],
    "tags__word__in=round,soft thing": [3, 2],
    "tags__isnull=true": [4],
    "parts__name=skin": [2],
    "parts__size__gte=1": [2, 1],
    "is_sold=true&maker__name=Acme": [2],
}


async def test_filter(ask: Ask) -> None:
    """Each lookup finds its rows, each once, with every kind of column."""
    viewset = ThingViewSet()
    assert {query: await ask(viewset, query) for query in FOUND} == FOUND


async def test_filters_of_one_relation_hold_for_one_row(ask: Ask) -> None:
    """All filters of a request are one ``filter()``: one part is both."""
    viewset = ThingViewSet()
    assert await ask(viewset, "parts__name=skin&parts__size__gte=2") == [2]
    assert await ask(viewset, "parts__name=skin&parts__size__gte=9") == []


REFUSED = {
    "number=": "blank",
    "number=x": "int_parsing",
    "number=1.0": "int_parsing",
    "number=1_0": "int_parsing",
    "number=%201": "int_parsing",
    "number=9223372036854775808": "less_than_equal",
    "number=1&number=2": "duplicate",
    "number__in=": "blank",
    "number__in=1,,2": "blank",
    "number__in=1,x": "int_parsing",
    "number__range=1": "too_short",
    "number__range=1,2,3": "too_long",
    "number__isnull=": "blank",
    "number__isnull=1": "bool_parsing",
    "weight=nan": "float_parsing",
    "weight=1e999": "finite_number",
    "price=1.999": "decimal_max_places",
    "is_sold=yes": "bool_parsing",
    "day=20200102": "value_error",
    "day=2020-02-30": "date_from_datetime_parsing",
    "made=1577966400": "value_error",
    "made=2020-01-02T12:00:00": "value_error",
    "color=green": "enum",
    "color=RED": "enum",
    "code=3": "uuid_parsing",
    "name=a%00b": "string_pattern_mismatch",
    "name__like=a\\": "invalid_pattern",
    "name__ilike=a\\\\\\": "invalid_pattern",
    "maker=x": "int_parsing",
    "nmae=Ball": "unknown_parameter",
    "tags=1": "unknown_parameter",
    "tags__id=1": "unknown_parameter",
    "number__contains=1": "unknown_parameter",
}


async def test_filter_that_is_refused(ask: Ask) -> None:
    """A wrong value, a blank one, a second one and an unknown name are 422 and name the parameter."""
    viewset = ThingViewSet()
    expected = {query: (422, ["query", query.partition("=")[0]], code) for query, code in REFUSED.items()}
    assert {query: await ask(viewset, query) for query in REFUSED} == expected


MOMENTS: dict[str, list[int] | str] = {
    "made__year=2020": ALL,
    "made__year__gte=2021": [],
    "made__quarter__in=1,2": ALL,
    "made__date=2020-01-02": [2],
    "made__date__lt=2020-01-03": [2, 1],
    "made__time__range=11:59:59,12:00": ALL,
    "made__hour=11": [],
    "made__date__week_day=5": [2],
    "made__year__isnull=true": [],
    "day__month__in=1,2": ALL,
    "day__iso_week_day=4": [2],
    "day__week=1": ALL,
    "day__day__range=2,3": [3, 2],
    "made__year=x": "int_parsing",
    "made__year=2020.0": "int_parsing",
    "made__year=2147483648": "less_than_equal",
    "made__date=2020-01-02T12:00:00Z": "date_from_datetime_inexact",
    "made__date=2020-02-30": "date_from_datetime_parsing",
    "made__time__range=12:00": "too_short",
    "made__time__range=12,13": "value_error",
    "day__month__in=1,,2": "blank",
    "day__hour=1": "unknown_parameter",
}


async def test_filter_by_part_of_a_date(ask: Ask) -> None:
    """A part is a number, a date or a time, and is parsed as strictly as a column of that type."""
    viewset = MomentViewSet()
    expected = {
        query: (422, ["query", query.partition("=")[0]], found) if isinstance(found, str) else found
        for query, found in MOMENTS.items()
    }
    assert {query: await ask(viewset, query) for query in MOMENTS} == expected


def test_parts_are_typed_in_openapi() -> None:
    """As what they are compared with."""
    app = FastAPI()
    app.include_router(MomentViewSet().router)
    parameters = {each["name"]: each["schema"] for each in app.openapi()["paths"]["/things"]["get"]["parameters"]}
    assert parameters["made__year"]["type"] == "integer"
    assert parameters["made__quarter__in"]["items"]["type"] == "integer"
    assert parameters["made__date"]["format"] == "date"
    assert parameters["made__time__range"]["items"]["format"] == "time"
    assert parameters["made__year__isnull"]["type"] == "boolean"


@on_postgresql
async def test_filter_by_pattern(ask: Ask) -> None:
    """``regex`` and ``iregex`` take a regular expression; one that Python or PostgreSQL refuses is 422."""
    viewset = PatternViewSet()
    assert await ask(viewset, "name__regex=^[AB]") == [2, 1]
    assert await ask(viewset, "name__regex=^[ab]") == []
    assert await ask(viewset, "name__iregex=^[ab]") == [2, 1]
    assert await ask(viewset, "name__regex=(") == (422, ["query", "name__regex"], "invalid_regex")
    assert await ask(viewset, "name__iregex=[") == (422, ["query", "name__iregex"], "invalid_regex")
    assert await ask(viewset, "name__regex=(?P<first>A)") == (422, ["query", "name__regex"], "invalid_regex")


async def test_limits_of_values(ask: Ask) -> None:
    """A value has MAX_VALUE_LENGTH characters at most, a list MAX_LIST_VALUES items."""
    with override_settings(MAX_VALUE_LENGTH=5, MAX_LIST_VALUES=2):
        viewset = ThingViewSet()
        assert await ask(viewset, "name=Ballo") == []
        assert await ask(viewset, "name=Balloo") == (422, ["query", "name"], "string_too_long")
        assert await ask(viewset, "search=Balloo") == (422, ["query", "search"], "string_too_long")
        assert await ask(viewset, "number__in=1,2") == []
        assert await ask(viewset, "number__in=1,2,3") == (422, ["query", "number__in"], "too_long")


async def test_every_wrong_parameter_is_told(ask: Ask) -> None:
    """One answer names all of them; unknown ones come first."""
    assert await ask(ThingViewSet(), "number=x&wieght=1") == (422, ["query", "wieght"], "unknown_parameter")


async def test_lenient_project_passes_unknown_parameters_over(ask: Ask) -> None:
    """One setting has unknown names passed over; wrong values are still refused."""
    with override_settings(IGNORE_UNKNOWN_PARAMETERS=True):
        viewset = ThingViewSet()
        assert await ask(viewset, "nmae=Ball") == ALL
        assert await ask(viewset, "number=x") == (422, ["query", "number"], "int_parsing")


# Backends of one's own


class Cheap(BaseFilterBackend):
    """Things below a price, in a parameter of its own."""

    def get_parameters(self, declaration: Any) -> list[Parameter]:
        return [Parameter("below", int, "A price")]

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset.filter(price__lt=view.query["below"]) if "below" in view.query else queryset


class Sold(BaseFilterBackend):
    """Things that are sold, by an expression of SQLAlchemy's."""

    async def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:  # type: ignore[override]
        condition: ColumnElement[bool] = Thing.is_sold.is_(True)
        return queryset.filter(condition)


async def test_backend_of_ones_own(ask: Ask) -> None:
    """A backend is a class with one method, ``def`` or ``async def``, and declares what it reads."""
    assert await ask(ThingViewSet(filter_backends=[Cheap]), "below=3") == [2, 1]
    assert await ask(ThingViewSet(filter_backends=[Sold])) == [3, 2]
    assert await ask(ThingViewSet(filter_backends=[Cheap, Sold]), "below=3") == [2]
    assert await ask(ThingViewSet(filter_backends=[Cheap]), "below=x") == (422, ["query", "below"], "int_parsing")
    assert await ask(ThingViewSet(filter_backends=[Sold]), "below=3") == (422, ["query", "below"], "unknown_parameter")
