"""What stands above a row in the path: verified on every method, and its key comes from the URL."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from fastapix5 import AllowAny, BasePermission, ModelViewSet, RouterSchema
from tests.requests.app import (
    ADA,
    OPEN_READS,
    CompanyViewSet,
    DepartmentViewSet,
    EmployeeViewSet,
    Permissions,
    SecretViewSet,
    TokenAuthentication,
    token,
)
from tests.requests.conftest import Serve
from tests.requests.models import Car, Company
from tests.requests.schemas import CarIn, CarRead
from tests.statements import Statements

pytestmark = pytest.mark.anyio

ONE = "/api/companies/1/departments"
METHODS: list[tuple[str, Any]] = [
    ("GET", None),
    ("PUT", {"name": "Renamed", "e-mail": "x@y"}),
    ("PATCH", {"name": "Renamed"}),
    ("DELETE", None),
]


async def ask(client: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """Return status and body of an answer, with its request id left out."""
    response = await client.request(method, path, json=body, headers=ADA | {"X-Request-ID": "same"})
    return response.status_code, response.content


@pytest.mark.parametrize(("method", "body"), METHODS)
async def test_a_wrong_ancestor_is_a_missing_row(client: httpx2.AsyncClient, method: str, body: Any) -> None:
    """A row below another's ancestor, or a hidden one, is 404 byte for byte as one that is not there."""
    missing = await ask(client, method, f"{ONE}/1/employees/99", body)
    assert missing[0] == 404
    for path in (
        "/api/companies/2/departments/1/employees/1",
        "/api/companies/1/departments/2/employees/1",
        "/api/companies/99/departments/1/employees/1",
        "/api/companies/1/departments/99/employees/1",
        "/api/companies/3/departments/3/employees/1",
    ):
        assert await ask(client, method, path, body) == missing, path
    assert (await client.get(f"{ONE}/1/employees/1")).json()["name"] == "Eve"


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"name": "New", "e-mail": "new@acme"})])
async def test_a_collection_below_a_wrong_ancestor_is_missing(
    client: httpx2.AsyncClient, method: str, body: Any
) -> None:
    """A collection whose ancestors do not belong together is 404, and nothing is written."""
    missing = await ask(client, method, "/api/companies/99/departments/1/employees", body)
    assert missing[0] == 404
    for path in ("/api/companies/2/departments/1/employees", "/api/companies/3/departments/3/employees"):
        assert await ask(client, method, path, body) == missing
    assert (await client.get(f"{ONE}/1/employees")).json()["count"] == 1


async def test_the_parents_key_comes_from_the_url(client: httpx2.AsyncClient) -> None:
    """POST below a parent needs no foreign key in its body; one that agrees is taken."""
    response = await client.post(ONE, json={"name": "Legal"}, headers=ADA)
    assert (response.status_code, response.json()["company_id"], response.json()["budget"]) == (201, 1, 1000)
    assert response.headers["location"] == f"{ONE}/4"
    response = await client.post(ONE, json={"name": "Press", "company_id": 1}, headers=ADA)
    assert response.status_code == 201
    response = await client.put(f"{ONE}/4", json={"name": "Law"}, headers=ADA)
    assert (response.status_code, response.json()["company_id"], response.json()["name"]) == (200, 1, "Law")
    response = await client.patch(f"{ONE}/4", json={"company_id": 1, "budget": None}, headers=ADA)
    assert (response.status_code, response.json()["company_id"], response.json()["budget"]) == (200, 1, None)


@pytest.mark.parametrize("value", [2, 99, None])
async def test_a_body_that_contradicts_the_url_is_422(client: httpx2.AsyncClient, value: Any) -> None:
    """A foreign key that says otherwise than the URL is refused at its place, null included."""
    for method, path in (("POST", ONE), ("PUT", f"{ONE}/1"), ("PATCH", f"{ONE}/1")):
        response = await client.request(method, path, json={"name": "Legal", "company_id": value}, headers=ADA)
        assert response.status_code == 422, (method, response.text)
        assert response.json()["errors"][0]["loc"] == ["body", "company_id"]
    assert (await client.get(ONE)).json()["count"] == 1


class CarViewSet(ModelViewSet[Car]):
    read_schema = CarRead
    create_schema = CarIn
    update_schema = CarIn
    permission_classes = [AllowAny]


async def test_a_null_that_contradicts_the_url_is_422(serve: Serve) -> None:
    """A foreign key that may be null is refused as null below a parent, and is the parent's where it is absent."""
    client = serve(RouterSchema(viewset=CompanyViewSet, children=[RouterSchema(viewset=CarViewSet)]))
    created = await client.post("/companies/1/cars", json={"plate": "A"})
    assert (created.status_code, created.json()["company_id"]) == (201, 1)
    for method, path in (
        ("POST", "/companies/1/cars"),
        ("PUT", "/companies/1/cars/1"),
        ("PATCH", "/companies/1/cars/1"),
    ):
        for value in (None, 2):
            response = await client.request(method, path, json={"plate": "B", "company_id": value})
            assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "contradicts_url")
    response = await client.put("/companies/1/cars/1", json={"plate": "B"})
    assert response.json() == {"id": 1, "company_id": 1, "plate": "B"}


async def test_a_row_does_not_move_by_its_own_route(serve: Serve) -> None:
    """The foreign key may change where the URL does not say it."""
    client = serve(DepartmentViewSet())
    response = await client.patch("/departments/1", json={"company_id": 2, "name": "Sales 2"}, headers=ADA)
    assert (response.status_code, response.json()["company_id"]) == (200, 2)
    response = await client.patch("/departments/1", json={"company_id": 99}, headers=ADA)
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", "company_id"]


async def test_a_unique_value_below_a_parent_names_the_path(client: httpx2.AsyncClient) -> None:
    """A conflict over the parent's key and a field names both places."""
    response = await client.post(ONE, json={"name": "Sales"}, headers=ADA)
    assert response.status_code == 409
    locations = [error["loc"] for error in response.json()["errors"]]
    assert locations == [["path", "company_id"], ["body", "name"]]


async def test_an_async_get_queryset_of_a_parent_holds_below(serve: Serve) -> None:
    """A parent's own get_queryset() narrows what is below it, as async def too."""

    class Bolts(CompanyViewSet):
        async def get_queryset(self) -> Any:
            assert self.action == "retrieve"
            return super().get_queryset().filter(name__startswith="B")

    client = serve(RouterSchema(viewset=Bolts, children=[RouterSchema(viewset=DepartmentViewSet)]))
    assert (await client.get("/companies/2/departments")).json()["count"] == 1
    assert (await client.get("/companies/1/departments")).status_code == 404
    assert (await client.get("/companies/1/departments/1")).status_code == 404


class IsNotBolt(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return bool(obj.name != "Bolt")


async def test_a_parents_object_permission_holds_below(serve: Serve, statements: Statements) -> None:
    """A parent whose permission looks at its row is loaded, and refuses what is below it."""
    parent = CompanyViewSet(permission_classes=[IsNotBolt])
    children = [
        RouterSchema(viewset=DepartmentViewSet(permission_classes=[AllowAny]), children=[
            RouterSchema(viewset=EmployeeViewSet(permission_classes=[AllowAny])),
        ]),
    ]  # fmt: skip
    client = serve(RouterSchema(viewset=parent, children=children))
    body = {"name": "Legal", "e-mail": "a@b"}
    for path in ("/companies/2/departments/2", "/companies/2/departments/2/employees/2"):
        for method, sent in METHODS:
            assert (await client.request(method, path, json=sent, headers=ADA)).status_code == 403, (method, path)
    for path in ("/companies/2/departments", "/companies/2/departments/2/employees"):
        assert (await client.get(path, headers=ADA)).status_code == 403
        assert (await client.post(path, json=body, headers=ADA)).status_code == 403
    for path in ("/companies/99/departments", "/companies/1/departments/2", "/companies/1/departments/2/employees"):
        assert (await client.get(path, headers=ADA)).status_code == 404
    statements.reset()
    assert (await client.get("/companies/1/departments/1/employees/1", headers=ADA)).status_code == 200
    assert await statements.count() == 2


async def test_a_scope_of_a_nodes_own_is_needed(client: httpx2.AsyncClient) -> None:
    """A child's own permission holds beside its parents'."""
    path = "/api/companies/1/secrets"
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=ADA)).status_code == 403
    assert (await client.get(path, headers=token("ada", "secrets"))).status_code == 200


async def test_permissions_see_the_keys_of_the_path(serve: Serve) -> None:
    """kwargs and parents hold the typed keys before any permission is asked; a wrong one stays text."""
    seen: list[Any] = []

    class Looks(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            seen.append((type(view).__name__, dict(view.kwargs), dict(view.parents)))
            return True

    child = EmployeeViewSet(permission_classes=[Looks])
    middle = RouterSchema(viewset=DepartmentViewSet, children=[RouterSchema(viewset=child)])
    client = serve(RouterSchema(viewset=CompanyViewSet(permission_classes=[Looks]), children=[middle]))
    await client.get("/companies/1/departments/1/employees/1")
    keys = {"company_id": 1, "department_id": 1, "employee_id": 1}
    expected = [("CompanyViewSet", keys, {}), ("EmployeeViewSet", keys, {"companies": 1, "departments": 1})]
    assert seen == expected
    response = await client.get("/companies/1/departments/x/employees/y")
    assert seen[-1][1] == keys | {"department_id": "x", "employee_id": "y"}
    assert [error["loc"] for error in response.json()["errors"]] == [["path", "department_id"], ["path", "employee_id"]]


class SlugRead(BaseModel):
    slug: str


class SlugViewSet(ModelViewSet[Company]):
    """Companies by another column than the one that departments refer to."""

    read_schema = SlugRead
    create_schema = SlugRead
    update_schema = SlugRead
    lookup_field = "slug"
    authentication_classes = [TokenAuthentication]
    permission_classes: Permissions = OPEN_READS


async def test_a_parent_is_found_by_another_column(serve: Serve) -> None:
    """Where the path does not name what the child refers to, the parent's row says it."""
    child = RouterSchema(viewset=DepartmentViewSet, children=[RouterSchema(viewset=EmployeeViewSet)])
    client = serve(RouterSchema(viewset=SlugViewSet, children=[child]))
    assert (await client.get("/companies/acme/departments/1")).json()["company_id"] == 1
    assert (await client.get("/companies/bolt/departments/1")).status_code == 404
    assert (await client.get("/companies/nobody/departments")).status_code == 404
    assert (await client.get("/companies/bolt/departments/2/employees")).json()["count"] == 1
    assert (await client.get("/companies/acme/departments/2/employees")).status_code == 404
    response = await client.post("/companies/bolt/departments", json={"name": "Legal"}, headers=ADA)
    assert (response.status_code, response.json()["company_id"]) == (201, 2)
    assert (await client.get(response.headers["location"])).json() == response.json()
    response = await client.post("/companies/bolt/departments", json={"name": "x", "company_id": 1}, headers=ADA)
    assert response.status_code == 422


async def test_a_lookup_field_names_a_row(serve: Serve) -> None:
    """Retrieve, PATCH, DELETE and Location go by lookup_field."""
    client = serve(SlugViewSet())
    response = await client.patch("/companies/acme", json={"slug": "ajax"}, headers=ADA)
    assert (response.status_code, response.json()) == (200, {"slug": "ajax"})
    assert (await client.get("/companies/acme")).status_code == 404
    assert (await client.get("/companies/ajax")).status_code == 200


async def test_a_tree_may_name_one_viewset_twice(serve: Serve) -> None:
    """One viewset below two places keeps its two paths apart."""
    secrets = SecretViewSet(permission_classes=[AllowAny])
    children = [RouterSchema("a", viewset=secrets), RouterSchema("b", viewset=secrets)]
    root = RouterSchema(viewset=CompanyViewSet, children=children)
    client = serve(root)
    for name in ("a", "b"):
        assert (await client.get(f"/companies/1/{name}")).json()["count"] == 1
