"""Every standard action: its status, its headers and its body."""

from __future__ import annotations

import httpx2
import pytest

from tests.requests.app import ADA

pytestmark = pytest.mark.anyio

ACME = {"id": 1, "name": "Acme", "slug": "acme", "vat": "A1"}
BOLT = {"id": 2, "name": "Bolt", "slug": "bolt", "vat": None}


async def test_list_answers_a_page(client: httpx2.AsyncClient) -> None:
    """A list is 200 with count, links and rows, in the order of the key."""
    response = await client.get("/api/companies")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"count": 2, "next": None, "previous": None, "results": [ACME, BOLT]}


async def test_links_keep_the_query(client: httpx2.AsyncClient) -> None:
    """The next page's link is path and query, with the other parameters kept."""
    response = await client.get("/api/companies?page_size=1&ordering=-name&name__icontains=%6C")
    assert response.json()["next"] is None
    response = await client.get("/api/companies?page_size=1&ordering=-name")
    assert response.json()["results"] == [BOLT]
    following = await client.get(response.json()["next"])
    assert following.json()["results"] == [ACME]
    assert following.json()["previous"] == "/api/companies?page_size=1&ordering=-name"


async def test_retrieve_answers_the_row(client: httpx2.AsyncClient) -> None:
    """A row is 200 with what the read schema shows."""
    response = await client.get("/api/companies/1")
    assert (response.status_code, response.json()) == (200, ACME)


async def test_aliases_are_on_the_wire(client: httpx2.AsyncClient) -> None:
    """A read schema's aliases are the names that leave."""
    response = await client.get("/api/companies/1/departments/1/employees/1")
    expected = {"id": 1, "departmentId": 1, "name": "Eve", "e-mail": "eve@acme", "salary": 1.5}
    assert (response.status_code, response.json()) == (200, expected)


async def test_a_missing_row_is_404(client: httpx2.AsyncClient) -> None:
    """A missing row is a problem that names nothing."""
    response = await client.get("/api/companies/99")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.pop("request_id") == response.headers["x-request-id"]
    expected = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not found.", "code": "not_found"}
    assert body == expected


async def test_create_answers_201_with_a_location(client: httpx2.AsyncClient) -> None:
    """What was created is in the body, and where Location says."""
    response = await client.post("/api/companies", json={"name": "Cog", "slug": "cog"}, headers=ADA)
    assert response.status_code == 201
    assert response.json() == {"id": 4, "name": "Cog", "slug": "cog", "vat": None}
    assert response.headers["location"] == "/api/companies/4"
    assert (await client.get(response.headers["location"])).json() == response.json()


async def test_put_writes_every_field(client: httpx2.AsyncClient) -> None:
    """An optional field that PUT leaves out gets its default; what the schema lacks stays."""
    response = await client.put("/api/companies/1", json={"name": "Ajax"}, headers=ADA)
    expected = ACME | {"name": "Ajax", "vat": None}
    assert (response.status_code, response.json()) == (200, expected)
    assert (await client.get("/api/companies/1")).json() == expected


async def test_put_needs_the_required_fields(client: httpx2.AsyncClient) -> None:
    """PUT without a required field is 422 and names it."""
    response = await client.put("/api/companies/1", json={"vat": "x"}, headers=ADA)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"loc": ["body", "name"], "code": "missing", "message": "Field required"}]


async def test_patch_writes_only_what_was_sent(client: httpx2.AsyncClient) -> None:
    """PATCH leaves absent fields alone, and writes null where null was sent."""
    response = await client.patch("/api/companies/1", json={"name": "Ajax"}, headers=ADA)
    assert (response.status_code, response.json()) == (200, ACME | {"name": "Ajax"})
    response = await client.patch("/api/companies/1", json={"vat": None}, headers=ADA)
    assert (response.status_code, response.json()) == (200, ACME | {"name": "Ajax", "vat": None})


async def test_patch_takes_null_only_where_the_field_does(client: httpx2.AsyncClient) -> None:
    """Null for a field that is not nullable is 422, though the field may be absent."""
    response = await client.patch("/api/companies/1", json={"name": None}, headers=ADA)
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", "name"]


async def test_an_empty_patch_changes_nothing(client: httpx2.AsyncClient) -> None:
    """PATCH with an empty object answers the row; without any body it is 422."""
    response = await client.patch("/api/companies/1", json={}, headers=ADA)
    assert (response.status_code, response.json()) == (200, ACME)
    response = await client.patch("/api/companies/1", headers=ADA)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"loc": ["body"], "code": "missing", "message": "A body is required."}]


async def test_delete_answers_204_without_a_body(client: httpx2.AsyncClient) -> None:
    """DELETE is 204 and empty; the row is gone, and so is a second DELETE's."""
    response = await client.delete("/api/companies/1/departments/1/employees/1", headers=ADA)
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    response = await client.delete("/api/companies/1/departments/1/employees/1", headers=ADA)
    assert response.status_code == 404


async def test_delete_of_a_needed_row_is_409(client: httpx2.AsyncClient) -> None:
    """Deleting a row that others need is 409, code protected."""
    response = await client.delete("/api/companies/1", headers=ADA)
    assert (response.status_code, response.json()["code"]) == (409, "protected")


@pytest.mark.parametrize("path", ["/api/companies", "/api/companies/1", "/api/companies/99", "/api/companies/x"])
async def test_head_is_get_without_the_body(client: httpx2.AsyncClient, path: str) -> None:
    """HEAD answers GET's status and headers, and no body."""
    get, head = await client.get(path), await client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    own = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/companies", "GET, HEAD, OPTIONS, POST"),
        ("/api/companies/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/api/companies/1/secrets", "GET, HEAD, OPTIONS, POST"),
        ("/api/staff/1", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_and_405_tell_all_methods(client: httpx2.AsyncClient, path: str, allow: str) -> None:
    """OPTIONS is 204 with Allow, other methods 405 with all of Allow, for strangers and for bad tokens too."""
    for headers in ({}, {"Authorization": "Token mallory"}):
        options = await client.options(path, headers=headers)
        assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")
        for method in ("TRACE", "BREW", "PUT" if "PUT" not in allow else "POST"):
            refused = await client.request(method, path, headers=headers)
            assert (refused.status_code, refused.headers["allow"]) == (405, allow)
            assert refused.json()["code"] == "method_not_allowed"


async def test_a_trailing_slash_redirects(client: httpx2.AsyncClient) -> None:
    """A trailing slash is a 307 to the path without it, the query kept."""
    for path in ("/api/companies", "/api/companies/1", "/api/companies/1/departments"):
        response = await client.get(f"{path}/?page=1")
        assert response.status_code == 307
        assert response.headers["location"] == f"http://test{path}?page=1"


async def test_a_unique_value_taken_is_409(client: httpx2.AsyncClient) -> None:
    """A second row with a unique value is 409, names the field by its alias, and nothing is written."""
    for method, path, body in (
        ("POST", "/api/companies/2/departments/2/employees", {"name": "Eve II", "e-mail": "eve@acme"}),
        ("PUT", "/api/companies/2/departments/2/employees/2", {"name": "Eve II", "e-mail": "eve@acme"}),
        ("PATCH", "/api/companies/2/departments/2/employees/2", {"e-mail": "eve@acme"}),
    ):
        response = await client.request(method, path, json=body, headers=ADA)
        assert response.status_code == 409
        assert response.json()["errors"] == [
            {"loc": ["body", "e-mail"], "code": "unique", "message": "A row with this value exists already."}
        ]
        assert "eve@acme" not in response.text
    assert (await client.get("/api/companies/2/departments/2/employees")).json()["count"] == 1


async def test_relations_travel_along(client: httpx2.AsyncClient) -> None:
    """A schema's to-one and to-many relations are shown."""
    response = await client.get("/api/staff/1")
    assert response.json() == {"id": 1, "name": "Eve", "department": {"id": 1, "name": "Sales"}}
    response = await client.get("/api/charts?page_size=1")
    assert response.json()["results"] == [{"id": 1, "name": "Acme", "departments": [{"id": 1, "name": "Sales"}]}]


async def test_any_accept_gets_json(client: httpx2.AsyncClient) -> None:
    """An Accept that we cannot meet still gets JSON."""
    response = await client.get("/api/companies/1", headers={"Accept": "text/csv"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
