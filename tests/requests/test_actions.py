"""``@action``: its paths, its parameters, its policies, and what may be returned."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pytest
from fastapi import Body, Path
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from fastapix5 import (
    Action,
    AllowAny,
    HasScope,
    IsAuthenticated,
    RouterSchema,
    Service,
    action,
)
from fastapix5.pagination import PageNumberPagination
from tests.conftest import on_sqlite
from tests.requests import schemas
from tests.requests.app import ADA, FILTERS, CompanyDetailViewSet, CompanyViewSet, DepartmentViewSet, token
from tests.requests.conftest import Serve
from tests.requests.models import Company, Department
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class Rename(BaseModel):
    name: str
    since: date | None = None


class CompanyService(Service[Company]):
    async def close(self, company: Company) -> Company:
        return await self.update(company, {"closed": True})


class ActiveViewSet(CompanyViewSet):
    service_class = CompanyService
    permission_classes = {Action.LIST: [AllowAny], "close": [HasScope("close")], ...: [IsAuthenticated]}

    @action(detail=True, methods=["POST"])
    async def close(self) -> None:
        """Close a company."""
        await self.service.close(await self.get_object())

    @action(detail=True, methods=["PUT", "PATCH"], url_path="new-name", permission_classes=[AllowAny])
    async def new_name(self, body: Rename, shout: bool = False) -> schemas.CompanyRead:
        name = body.name.upper() if shout else body.name
        return await self.service.update(await self.get_object(), {"name": name})  # type: ignore[no-any-return]

    @action(detail=False, permission_classes=[AllowAny], read_schema=schemas.CompanyBrief)
    async def first(self):  # type: ignore[no-untyped-def]
        return await self.get_queryset().order_by("id").first()

    @action(detail=False, permission_classes=[AllowAny], authentication_classes=[])
    async def anonymous(self) -> bool:
        return not self.access.is_authenticated and not self.request.user.is_authenticated

    @action(detail=False)
    async def me(self) -> dict[str, Any]:
        return {"user": self.request.user.identity, "auth": self.request.auth.scopes, "view": self.access.user_id}

    @action(detail=True, permission_classes=[AllowAny], url_path="part/{number}")
    async def part(self, company_id: int, number: Annotated[int, Path(ge=1)]) -> list[Any]:
        return [company_id, number, self.kwargs]

    @action(detail=False, permission_classes=[AllowAny], pagination_class=PageNumberPagination, filter_backends=FILTERS)
    async def letters(self) -> Any:
        queryset = await self.filter_queryset(self.get_queryset().filter(name__icontains="t"))
        return await self.paginate_queryset(queryset)


async def test_an_action_has_its_own_path_and_policies(serve: Serve) -> None:
    """The mapping's entry for its name decides; a None answer is 204."""
    client = serve(ActiveViewSet())
    assert (await client.post("/companies/1/close")).status_code == 401
    assert (await client.post("/companies/1/close", headers=ADA)).status_code == 403
    response = await client.post("/companies/1/close", headers=token("ada", "close"))
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get("/companies")).json()["count"] == 1
    assert (await client.post("/companies/1/close", headers=token("ada", "close"))).status_code == 404
    response = await client.get("/companies/1/close")
    assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")


async def test_an_action_takes_several_methods(serve: Serve) -> None:
    """Each of its methods runs it; body and query are FastAPI's, objects leave as the annotation shows them."""
    client = serve(ActiveViewSet())
    for method, name, query, expected in (("PUT", "Ajax", "", "Ajax"), ("PATCH", "bolt ii", "?shout=true", "BOLT II")):
        response = await client.request(method, f"/companies/1/new-name{query}", json={"name": name})
        assert (response.status_code, response.json()["name"]) == (200, expected)
    response = await client.patch("/companies/1/new-name", json={"name": 1, "since": "tomorrow"})
    assert [error["loc"] for error in response.json()["errors"]] == [["body", "name"], ["body", "since"]]
    response = await client.patch("/companies/1/new-name?shout=perhaps", json={"name": "x"})
    assert [error["loc"] for error in response.json()["errors"]] == [["query", "shout"]]
    response = await client.patch("/companies/99/new-name", json={})
    assert response.status_code == 422, "an action validates its body before its own get_object()"
    assert (await client.patch("/companies/99/new-name", json={"name": "x"})).status_code == 404
    assert (await client.options("/companies/1/new-name")).headers["allow"] == "OPTIONS, PATCH, PUT"


@on_sqlite
async def test_an_action_overrides_schemas_and_authentication(serve: Serve) -> None:
    """read_schema and authentication_classes of the decorator hold for it alone."""
    client = serve(ActiveViewSet())
    assert (await client.get("/companies/first")).json() == {"id": 1, "name": "Acme"}
    assert (await client.get("/companies/anonymous", headers=token("mallory"))).json() is True
    response = await client.get("/companies/me", headers=token("ada", "b", "a"))
    assert response.json() == {"user": "ada", "auth": ["a", "b"], "view": "ada"}


@on_sqlite
async def test_an_action_takes_the_keys_of_its_path(serve: Serve) -> None:
    """By their names, typed; a segment of its own url_path too."""
    client = serve(ActiveViewSet())
    assert (await client.get("/companies/7/part/3")).json() == [7, 3, {"company_id": 7}]
    for path, loc in (("/companies/x/part/3", "company_id"), ("/companies/7/part/0", "number")):
        response = await client.get(path)
        assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["path", loc])


@on_sqlite
async def test_an_action_may_list(serve: Serve) -> None:
    """With filter backends and a pagination it has their parameters."""
    client = serve(ActiveViewSet())
    response = await client.get("/companies/letters?page_size=1&ordering=-id")
    assert (response.status_code, response.json()["count"]) == (200, 1)
    assert response.json()["results"][0]["name"] == "Bolt"
    assert (await client.get("/companies/letters?page=0")).status_code == 422


class ReturningViewSet(CompanyViewSet):
    permission_classes = [AllowAny]

    async def _all(self) -> list[Company]:
        return await self.get_queryset().order_by("id").all()  # type: ignore[no-any-return]

    @action(detail=False)
    async def one(self) -> schemas.CompanyBrief:
        return (await self._all())[0]  # type: ignore[return-value]

    @action(detail=False)
    async def models(self) -> list[schemas.CompanyRead]:
        return await self._all()  # type: ignore[return-value]

    @action(detail=False)
    async def briefs(self) -> list[schemas.CompanyBrief]:
        return await self._all()  # type: ignore[return-value]

    @action(detail=False)
    async def unannotated(self):  # type: ignore[no-untyped-def]
        return await self._all()

    @action(detail=False)
    async def schema(self) -> schemas.CompanyBrief:
        return schemas.CompanyBrief(id=1, name="a")

    @action(detail=False)
    async def other_schema(self) -> schemas.CompanyBrief:
        return schemas.CompanyRead(id=1, name="a", slug="secret", vat="secret")  # type: ignore[return-value]

    @action(detail=False)
    async def mapping(self) -> schemas.CompanyBrief:
        return {"id": 1, "name": "a", "slug": "secret"}  # type: ignore[return-value]

    @action(detail=False)
    async def plain(self):  # type: ignore[no-untyped-def]
        return {"a": [1, date(2013, 1, 1)]}

    @action(detail=False)
    async def maybe(self) -> schemas.CompanyBrief | None:
        return None

    @action(detail=False)
    async def nothing(self):  # type: ignore[no-untyped-def]
        return None

    @action(detail=False)
    def sync(self) -> int:
        return 7

    @action(detail=False)
    async def response(self) -> Response:
        return Response("text", 203, media_type="text/plain")

    @action(detail=False)
    async def either(self):  # type: ignore[no-untyped-def]
        return Response("text", 203)

    @action(detail=False)
    async def stream(self) -> StreamingResponse:
        async def parts() -> Any:
            yield b"a"
            yield b"b"

        return StreamingResponse(parts(), media_type="text/csv")

    @action(detail=False, methods=["POST"], status_code=202)
    async def queued(self) -> str:
        return "later"


ACME = {"id": 1, "name": "Acme", "slug": "acme", "vat": "A1"}
BOLT = {"id": 2, "name": "Bolt", "slug": "bolt", "vat": None}


@on_sqlite
async def test_an_action_may_return(serve: Serve) -> None:
    """Objects, schemas, mappings, lists, plain values and None, as their annotation shows them."""
    client = serve(ReturningViewSet())
    for name, expected in (
        ("one", {"id": 1, "name": "Acme"}),
        ("models", [ACME, BOLT]),
        ("briefs", [{"id": 1, "name": "Acme"}, {"id": 2, "name": "Bolt"}]),
        ("unannotated", [ACME, BOLT]),
        ("schema", {"id": 1, "name": "a"}),
        ("other_schema", {"id": 1, "name": "a"}),
        ("mapping", {"id": 1, "name": "a"}),
        ("plain", {"a": [1, "2013-01-01"]}),
        ("maybe", None),
        ("nothing", None),
        ("sync", 7),
    ):
        response = await client.get(f"/companies/{name}")
        assert (response.status_code, response.json()) == (200, expected), name


@on_sqlite
async def test_an_action_may_return_a_response(serve: Serve) -> None:
    """A Response leaves as it is, a streamed one too; status_code is the status of anything else."""
    client = serve(ReturningViewSet())
    for path in ("response", "either"):
        response = await client.get(f"/companies/{path}")
        assert (response.status_code, response.text) == (203, "text")
    response = await client.get("/companies/stream")
    assert (response.text, response.headers["content-type"]) == ("ab", "text/csv; charset=utf-8")
    response = await client.post("/companies/queued")
    assert (response.status_code, response.json()) == (202, "later")


async def test_objects_with_relations_cost_a_fixed_number_of_statements(serve: Serve, statements: Statements) -> None:
    """A list of objects is shown with its relations in as many statements for many as for one."""

    class Charts(CompanyDetailViewSet):
        @action(detail=False)
        async def top(self) -> list[schemas.CompanyDetail]:
            return await self.get_queryset().order_by("-id").all()  # type: ignore[no-any-return]

    client = serve(Charts())
    statements.reset()
    response = await client.get("/charts/top")
    assert [row["id"] for row in response.json()] == [3, 2, 1]
    assert response.json()[0]["departments"] == [{"id": 3, "name": "Attic"}]
    assert await statements.count() == 3


class HitViewSet(DepartmentViewSet):
    permission_classes = [AllowAny]

    @action(detail=True, methods=["POST"])
    async def hit(self, by: Annotated[int, Body(embed=True)] = 1) -> schemas.DepartmentRead:
        department: Department = await self.get_object()
        return await self.service.update(department, {"hits": department.hits + by})  # type: ignore[no-any-return]

    @action(detail=True, methods=["POST"])
    async def touch(self) -> int:
        department = await self.get_object()
        department.hits += 1
        return int(department.hits)

    @action(detail=False)
    async def above(self) -> dict[str, Any]:
        return dict(self.parents)


async def test_an_action_below_a_parent_needs_the_parent(serve: Serve) -> None:
    """Ancestors are there before an action runs, detail or not."""
    client = serve(RouterSchema(viewset=CompanyViewSet, children=[RouterSchema(viewset=HitViewSet)]))
    assert (await client.post("/companies/1/departments/1/hit", json={"by": 2})).json()["hits"] == 2
    assert (await client.post("/companies/1/departments/1/hit")).json()["hits"] == 3
    assert (await client.get("/companies/1/departments/above")).json() == {"companies": 1}
    for path in ("/companies/2/departments/1/hit", "/companies/99/departments/1/hit"):
        assert (await client.post(path)).status_code == 404
    for path in ("/companies/99/departments/above", "/companies/3/departments/above"):
        assert (await client.get(path)).status_code == 404


async def test_changes_of_an_object_are_written_at_the_end(serve: Serve) -> None:
    """An object that an action changed is flushed and committed with the request."""
    client = serve(HitViewSet())
    assert (await client.post("/departments/1/touch")).json() == 1
    assert (await client.get("/departments/1")).json()["hits"] == 1
