"""Facts about what nobody may reach: rows of other parents, other tenants' rows, columns that are not shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from fastapix5 import (
    Access,
    AllowAny,
    BaseAuthentication,
    BasePagination,
    BasePermission,
    GenericViewSet,
    ListModelMixin,
    ModelViewSet,
    ReadOnlyModelViewSet,
    RouterSchema,
    SecurityScopes,
    action,
    atomic,
)
from fastapix5.repositories import forget_policies
from tests.requests.conftest import Serve
from tests.requests.models import Company, Department
from tests.requests.schemas import CompanyRead, DepartmentIn, DepartmentRead

pytestmark = pytest.mark.anyio


class Companies(ReadOnlyModelViewSet[Company]):
    read_schema = CompanyRead
    permission_classes = [AllowAny]

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(closed=False)


class Departments(ModelViewSet[Department]):
    read_schema = DepartmentRead
    create_schema = DepartmentIn
    update_schema = DepartmentIn
    permission_classes = [AllowAny]

    @action(detail=False)
    async def names(self) -> list[str]:
        """Every name, from the hook that an action would take."""
        return [row.name for row in await self.get_queryset().all()]

    @action(detail=False)
    async def raw(self) -> Any:
        """An object inside an answer that nothing describes."""
        return {"row": await self.get_queryset().first()}

    @action(detail=False)
    async def several(self) -> Any:
        """Objects in a tuple."""
        return tuple(await self.get_queryset().all())


@dataclass
class Scopes(BaseAuthentication):
    """Whoever comes has the scopes of a header."""

    def authenticate(self, request: Any) -> Access:
        return Access(user_id="eve", tenant_id="1", scopes=frozenset(request.headers.get("scopes", "").split()))


@pytest.fixture
def no_policies() -> Iterator[None]:
    """Row policies end with the test."""
    yield
    forget_policies()


def nested(**attributes: Any) -> RouterSchema:
    return RouterSchema(viewset=Companies, children=[RouterSchema(viewset=Departments, **attributes)])


def own_or_any(access: Access) -> Any:
    """The caller's own company, or all where the scope says any."""
    if access.scope is not None and access.scope.selector == "any":
        return None
    return Company.id == int(access.tenant_id or 0)


class Blind(BasePagination):
    """A page that never counts."""

    async def paginate(self, query: Any, count: Any, fetch: Any, link: Any, page_class: Any) -> Any:
        return await fetch(10, 0)

    def get_page_schema(self, schema: Any) -> Any:
        return list[schema]


@pytest.mark.parametrize("pagination", [None, Blind])
async def test_a_list_that_counts_nothing_verifies_its_parent_too(serve: Serve, pagination: Any) -> None:
    """The facts of the ancestors travel with whatever statement comes first."""
    client = serve(nested(pagination_class=pagination))
    assert (await client.get("/companies/3/departments")).status_code == 404
    assert [row["id"] for row in (await client.get("/companies/1/departments")).json()] == [1]


async def test_get_queryset_stays_below_the_parent_of_the_path(serve: Serve) -> None:
    """An action that asks it for rows gets those of the path."""
    client = serve(nested())
    assert (await client.get("/companies/2/departments/names")).json() == ["Sales"]
    assert (await client.get("/companies/3/departments/names")).status_code == 404


async def test_objects_inside_an_answer_that_no_schema_describes_are_refused(serve: Serve) -> None:
    """A row's every column would be sent; a tuple of rows is shown by the read schema."""
    client = serve(nested())
    assert (await client.get("/companies/1/departments/raw")).status_code == 500
    rows = (await client.get("/companies/1/departments/several")).json()
    assert [sorted(row) for row in rows] == [["budget", "company_id", "hits", "id", "name"]]


@pytest.mark.usefixtures("no_policies")
async def test_an_ancestors_policy_sees_the_scope_that_opens_the_ancestor(serve: Serve) -> None:
    """A wider scope for what is below does not open the parent."""

    tree = RouterSchema(
        "companies",
        model=Company,
        read_schema=CompanyRead,
        security=Scopes(),
        permission_classes=[],
        security_scopes=SecurityScopes(get=["co.read.any", "co.read.own"]),
        objects_filter=own_or_any,
        children=[
            RouterSchema(
                "departments",
                model=Department,
                read_schema=DepartmentRead,
                security_scopes=SecurityScopes(get=["dep.read.any"]),
            )
        ],
    )
    client = serve(tree)
    client.headers["scopes"] = "co.read.own dep.read.any"
    assert [(await client.get(f"/companies/{key}/departments")).status_code for key in (1, 2)] == [200, 404]


async def test_a_dependency_cannot_hold_a_transaction_around_an_endpoint(serve: Serve) -> None:
    """Its commit would come after the answer, so the request fails, and nothing is acknowledged."""

    async def transaction() -> AsyncIterator[None]:
        async with atomic():
            yield

    app = FastAPI()
    app.include_router(Departments().router, dependencies=[Depends(transaction)])
    client = serve(app)
    answer = await client.post("/departments", json={"company_id": 1, "name": "New"})
    assert answer.status_code == 500
    assert (await serve(Departments()).get("/departments")).json()["count"] == 3


async def test_another_route_may_have_a_methods_path(serve: Serve) -> None:
    """What the viewset does not offer, a route of the application may; else the answer is 405 with Allow."""

    class Listed(ListModelMixin, GenericViewSet[Company]):
        read_schema = CompanyRead
        permission_classes = [AllowAny]

    app = FastAPI()
    app.include_router(Listed().router)

    @app.put("/companies")
    async def replace_all() -> str:
        return "replaced"

    client = serve(app)
    assert (await client.put("/companies")).json() == "replaced"
    refused = await client.post("/companies")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_an_object_permission_may_look_at_what_the_read_schema_shows(serve: Serve) -> None:
    """The relations that it shows are loaded in unsafe methods too."""

    class CompanyIsOpen(BasePermission):
        def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
            return bool(obj.company.name != "Gone")

    class WithCompany(DepartmentRead):
        company: CompanyRead

    class Guarded(Departments):
        read_schema: Any = WithCompany
        permission_classes = [CompanyIsOpen]

    client = serve(Guarded())
    changed = [await client.patch(f"/departments/{key}", json={"budget": 5}) for key in (1, 3)]
    assert [answer.status_code for answer in changed] == [200, 403]


async def test_links_and_locations_name_what_a_proxy_stripped(serve: Serve) -> None:
    """``root_path`` stands before the path, once."""
    inner = FastAPI()
    inner.include_router(Departments().router)

    async def behind_a_proxy(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": "/gateway"}, receive, send)

    app = FastAPI()
    app.mount("/", behind_a_proxy)
    client = serve(app)
    created = await client.post("/departments", json={"company_id": 1, "name": "New"})
    assert created.headers["location"] == "/gateway/departments/4"
    assert (await client.get("/departments?page_size=1")).json()["next"] == "/gateway/departments?page_size=1&page=2"


async def test_an_answer_that_contradicts_its_schema_is_not_sent(serve: Serve) -> None:
    """It is a fault of the code, so 500, and nothing was written."""

    class Wrong(Departments):
        async def list(self) -> Any:
            return ["not a page"]

    assert (await serve(Wrong()).get("/departments")).status_code == 500


@pytest.mark.usefixtures("no_policies")
async def test_a_policy_of_another_model_sees_the_scope_that_reads_that_model(serve: Serve) -> None:
    """A wider scope for a department does not let its foreign key name another tenant's company."""

    companies = RouterSchema(
        "companies",
        model=Company,
        read_schema=CompanyRead,
        security=Scopes(),
        permission_classes=[],
        security_scopes=SecurityScopes(get=["co.read.any", "co.read.own"]),
        objects_filter=own_or_any,
    )
    departments = RouterSchema(
        "departments",
        model=Department,
        read_schema=DepartmentRead,
        create_schema=DepartmentIn,
        security=Scopes(),
        permission_classes=[],
        security_scopes=SecurityScopes(get=["dep.read.any"], post=["dep.create.any"]),
    )
    client = serve(companies, departments)
    client.headers["scopes"] = "co.read.own dep.create.any"
    created = [await client.post("/departments", json={"company_id": key, "name": "New"}) for key in (1, 2)]
    assert [answer.status_code for answer in created] == [201, 422]


@pytest.mark.usefixtures("no_policies")
async def test_a_write_cannot_leave_the_rows_of_its_route(serve: Serve) -> None:
    """What ``objects_filter`` hides after a write is refused, and nothing is written."""
    client = serve(Departments(objects_filter=lambda access: Department.name != "Hidden"))
    refused = await client.patch("/departments/1", json={"name": "Hidden"})
    assert (refused.status_code, refused.json()["code"]) == (403, "row_policy")
    assert (await client.post("/departments", json={"company_id": 1, "name": "Hidden"})).status_code == 403
    assert (await client.get("/departments/1")).json()["name"] == "Sales"


@pytest.mark.usefixtures("no_policies")
async def test_a_hook_cannot_move_a_row_out_of_reach(serve: Serve) -> None:
    """What ``perform_update()`` sets by hand is held to the limits as well."""

    class Hiding(Departments):
        async def perform_update(self, obj: Any, data: dict[str, Any]) -> Any:
            obj.name = "Hidden"

    client = serve(Hiding(objects_filter=lambda access: Department.name != "Hidden"))
    assert (await client.patch("/departments/1", json={"budget": 1})).status_code == 403
    assert (await client.get("/departments/1")).json()["name"] == "Sales"
