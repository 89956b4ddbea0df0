"""Query parameters: what is unknown, blank, doubled or too much."""

from __future__ import annotations

from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, Query

from fastapix5 import AllowAny, action, override_settings
from tests.conftest import on_sqlite
from tests.requests.app import ADA, CompanyViewSet
from tests.requests.conftest import Serve

pytestmark = [pytest.mark.anyio, on_sqlite]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/companies"),
        ("GET", "/api/companies/1"),
        ("POST", "/api/companies"),
        ("DELETE", "/api/companies/1"),
    ],
)
async def test_an_unknown_parameter_is_422(client: httpx2.AsyncClient, method: str, path: str) -> None:
    """Every route refuses a parameter that it does not know."""
    response = await client.request(method, f"{path}?colour=red", headers=ADA)
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")
    assert response.json()["errors"] == [
        {"loc": ["query", "colour"], "code": "unknown_parameter", "message": "There is no such parameter."}
    ]
    assert "red" not in response.text


async def test_an_unknown_parameter_comes_with_a_suggestion(client: httpx2.AsyncClient) -> None:
    """A near miss is told what was probably meant."""
    response = await client.get("/api/companies?pagesize=1&name__icontain=a")
    messages = [error["message"] for error in response.json()["errors"]]
    expected = ['There is no such parameter. Did you mean "page_size"?', 'There is no such parameter. Did you mean "name__icontains"?']  # fmt: skip
    assert messages == expected


async def test_a_setting_makes_it_lenient(serve: Serve) -> None:
    """With IGNORE_UNKNOWN_PARAMETERS an unknown one is passed over; a wrong value is not."""
    with override_settings(IGNORE_UNKNOWN_PARAMETERS=True):
        client = serve(CompanyViewSet())
    assert (await client.get("/companies?colour=red")).status_code == 200
    assert (await client.get("/companies?page=x")).status_code == 422


WRONG: list[tuple[str, str, str | None]] = [
    ("page=1&page=2", "page", "duplicate"),
    ("page=", "page", "blank"),
    ("page=0", "page", "greater_than_equal"),
    ("page=1000000000000000000", "page", "less_than_equal"),
    ("page=-1", "page", "greater_than_equal"),
    ("page=%201", "page", "int_parsing"),
    ("page_size=101", "page_size", "less_than_equal"),
    ("id=9223372036854775808", "id", "less_than_equal"),
    ("id=1.0", "id", "int_parsing"),
    ("id__in=1,,2", "id__in", None),
    ("id__in=", "id__in", None),
    ("id__in=1&id__in=x", "id__in", "int_parsing"),
    ("id__in=" + "1," * 100 + "1", "id__in", "too_long"),
    ("id__range=1", "id__range", "too_short"),
    ("id__range=1,2,3", "id__range", "too_long"),
    ("vat__isnull=", "vat__isnull", None),
    ("vat__isnull=yes", "vat__isnull", "bool_parsing"),
    ("name=%00", "name", None),
    ("name=" + "x" * 257, "name", "string_too_long"),
    ("search=" + "x" * 257, "search", "string_too_long"),
    ("ordering=", "ordering", None),
    ("ordering=vat", "ordering", "literal_error"),
    ("ordering=name,-name,name,id,id", "ordering", "too_long"),
]


async def test_a_wrong_value_is_422(client: httpx2.AsyncClient) -> None:
    """A value that is blank, doubled, too long or of another type is refused at its parameter."""
    for query, loc, code in WRONG:
        response = await client.get(f"/api/companies?{query}")
        assert response.status_code == 422, query
        errors = response.json()["errors"]
        assert {error["loc"][1] for error in errors} == {loc}, query
        assert code in (None, errors[0]["code"]), query


FOUND: list[tuple[str, list[int]]] = [
    ("id__in=1,2", [1, 2]),
    ("id__in=1&id__in=2", [1, 2]),
    ("id__in=1,1,3&id__in=1", [1]),
    ("id__range=2,9", [2]),
    ("name=Acme", [1]),
    ("name=", []),
    ("name__in=Acme,Bolt", [1, 2]),
    ("vat__isnull=true", [2]),
    ("vat__isnull=false", [1]),
    ("search=ac", [1]),
    ("search=", [1, 2]),
    ("ordering=-name,id", [2, 1]),
    ("name__icontains=%25", []),
]


async def test_a_value_narrows(client: httpx2.AsyncClient) -> None:
    """Lists come by comma or by repeating the key; a blank text is a text."""
    for query, expected in FOUND:
        response = await client.get(f"/api/companies?{query}")
        assert response.status_code == 200, (query, response.text)
        assert [row["id"] for row in response.json()["results"]] == expected, query


async def test_a_page_past_the_end_is_404(client: httpx2.AsyncClient) -> None:
    """The first page is always there, the second only with rows on it."""
    assert (await client.get("/api/companies?page=2")).status_code == 404
    assert (await client.get("/api/companies?page=2147483647&page_size=100")).status_code == 404
    response = await client.get("/api/companies?name=nobody")
    assert (response.status_code, response.json()["results"]) == (200, [])


def paging(limit: int = 5, tags: Annotated[list[str] | None, Query()] = None) -> int:
    return limit + len(tags or [])


class FoundViewSet(CompanyViewSet):
    permission_classes = [AllowAny]

    @action(detail=False)
    async def find(
        self, term: str, most: Annotated[int, Query(alias="max", le=9)] = 3, more: int = Depends(paging)
    ) -> str:
        return f"{term} {most} {more}"


async def test_parameters_of_actions_and_dependencies_are_known(serve: Serve) -> None:
    """What an action or a dependency declares is known, and parsed by FastAPI."""
    client = serve(FoundViewSet())
    response = await client.get("/companies/find?term=a&max=4&limit=6&tags=x&tags=y")
    assert (response.status_code, response.json()) == (200, "a 4 8")
    response = await client.get("/companies/find?term=a&most=4")
    assert response.json()["code"] == "unknown_parameter"
    response = await client.get("/companies/find?max=10&limit=x")
    assert response.json()["code"] == "invalid"
    assert {tuple(error["loc"]) for error in response.json()["errors"]} == {
        ("query", "term"),
        ("query", "max"),
        ("query", "limit"),
    }
    assert (await client.get("/companies/find?term=a&limit=5&limit=6")).status_code == 422
