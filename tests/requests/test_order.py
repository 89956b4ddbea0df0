"""The eleven steps of a request, in the order that a caller can observe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import Depends

from fastapix5 import AllowAny, BasePermission, BaseThrottle, IsAuthenticated, ModelViewSet, action
from fastapix5.exceptions import Throttled
from fastapix5.repositories import forget_policies
from tests.conftest import on_postgresql, on_sqlite
from tests.requests.app import (
    ADA,
    BadgeViewSet,
    CompanyViewSet,
    DepartmentViewSet,
    EmployeeViewSet,
    LabelViewSet,
    NoteViewSet,
    TokenAuthentication,
    token,
    tree,
)
from tests.requests.conftest import Serve
from tests.requests.models import Company, Department, Label
from tests.requests.schemas import CompanyRead, DepartmentIn, DepartmentRead, NoteIn, NoteMove
from tests.statements import Statements

pytestmark = pytest.mark.anyio

BAD = b'{"name": '
JSON = {"Content-Type": "application/json"}


class IsEve(BasePermission):
    """Refuses what happens to a row of another name."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return bool(obj.name == "Eve")


class Counting(BaseThrottle):
    """Counts who asked, and refuses from the second time on."""

    asked: list[str] = []

    async def allow_request(self, request: Any, view: Any) -> None:
        self.asked.append(view.action)
        if len(self.asked) > 1:
            raise Throttled(7)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    Counting.asked.clear()


class GuardedViewSet(ModelViewSet[Department]):
    read_schema = DepartmentRead
    create_schema = DepartmentIn
    update_schema = DepartmentIn
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [Counting]


class NamedViewSet(GuardedViewSet):
    """Its rows are looked at by a permission."""

    permission_classes = [IsAuthenticated & IsEve]
    throttle_classes = []


async def test_a_strangers_bad_json_is_401(client: httpx2.AsyncClient, statements: Statements) -> None:
    """Who is asking comes before what: a stranger learns nothing of the body, and no statement is sent."""
    statements.reset()
    for method, path in (("POST", "/api/companies"), ("PUT", "/api/companies/1"), ("PATCH", "/api/companies/99")):
        response = await client.request(method, path, content=BAD, headers=JSON)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Token")
        assert response.json()["code"] == "not_authenticated"
    assert await statements.count() == 0
    assert await statements.read_control() == []


@on_sqlite
@pytest.mark.parametrize("path", ["/api/companies", "/api/companies?nonsense=1", "/api/companies/x"])
async def test_a_bad_token_is_401_on_an_open_route(client: httpx2.AsyncClient, path: str) -> None:
    """Credentials that do not hold are refused even where none are needed, and before the parameters are read."""
    response = await client.get(path, headers=token("mallory"))
    assert (response.status_code, response.json()["code"]) == (401, "authentication_failed")
    assert response.headers["www-authenticate"] == "Token"


async def test_a_refused_caller_takes_no_connection(client: httpx2.AsyncClient, statements: Statements) -> None:
    """Somebody known without the scope is 403 before any look-up, whether the rows are there or not."""
    statements.reset()
    for path in ("/api/companies/1/secrets/1", "/api/companies/99/secrets/99", "/api/companies/1/secrets?nonsense=1"):
        response = await client.get(path, headers=ADA)
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
        assert "www-authenticate" not in response.headers
    assert await statements.count() == 0


@on_sqlite
async def test_a_refused_caller_spends_no_quota(serve: Serve) -> None:
    """Throttles are asked after the permissions, and before parameters and body."""
    client = serve(GuardedViewSet())
    assert (await client.get("/departments")).status_code == 401
    assert Counting.asked == []
    assert (await client.get("/departments?nonsense=1", headers=ADA)).status_code == 422
    response = await client.get("/departments?nonsense=1", headers=ADA)
    assert (response.status_code, response.headers["retry-after"]) == (429, "8")
    assert Counting.asked == ["list", "list"]


@on_sqlite
async def test_parameters_come_before_dependencies(serve: Serve) -> None:
    """A wrong path or query is refused before a FastAPI dependency runs; a dependency runs before any look-up."""
    ran: list[int] = []

    def run() -> int:
        ran.append(1)
        return 1

    class Counted(DepartmentViewSet):
        @action(detail=True)
        async def touch(self, seen: int = Depends(run)) -> int:
            return seen

    client = serve(Counted(permission_classes=[AllowAny]))
    assert (await client.get("/departments/x/touch")).status_code == 422
    assert (await client.get("/departments/1/touch?nonsense=1")).status_code == 422
    assert ran == []
    assert (await client.get("/departments/1/touch")).json() == 1
    assert ran == [1]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("viewset", [GuardedViewSet, NamedViewSet])
async def test_a_missing_row_with_an_invalid_body_is_404(serve: Serve, method: str, viewset: Any) -> None:
    """The row is looked for before its body is judged, with or without an object in between."""
    client = serve(viewset(throttle_classes=[]))
    for content in (BAD, b'{"name": 5}', b'{"unknown": 1}', b""):
        response = await client.request(method, "/departments/99", content=content, headers=ADA | JSON)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), content


async def test_an_invalid_body_below_a_missing_ancestor_is_404(client: httpx2.AsyncClient) -> None:
    """Ancestors are looked for before the body is judged."""
    for method, path in (
        ("POST", "/api/companies/99/departments"),
        ("POST", "/api/companies/3/departments"),
        ("POST", "/api/companies/2/departments/1/employees"),
        ("PATCH", "/api/companies/2/departments/1"),
    ):
        for content in (BAD, b'{"name": 5}', b'{"company_id": 77}'):
            response = await client.request(method, path, content=content, headers=ADA | JSON)
            assert response.status_code == 404, (method, path, content)


async def test_a_conflict_below_a_missing_ancestor_is_404(client: httpx2.AsyncClient) -> None:
    """A value that is taken, or a reference to nothing, is not told of where the ancestor is not there."""
    for path in ("/api/companies/99/departments/1/employees", "/api/companies/2/departments/1/employees"):
        response = await client.post(path, json={"name": "Eve", "e-mail": "eve@acme"}, headers=ADA)
        assert response.status_code == 404


@pytest.mark.parametrize("hooks", [False, True])
async def test_a_reference_out_of_reach_does_not_tell_of_missing_rows(serve: Serve, hooks: bool) -> None:
    """A foreign key out of reach is 422 at its place; on a missing row, or below a missing parent, it is 404."""

    class Notes(NoteViewSet):
        create_schema: type[NoteIn] = NoteMove
        update_schema: type[NoteIn] = NoteMove

        def get_queryset(self) -> Any:
            return super().get_queryset()

    class Hooked(Notes):
        async def perform_create(self, data: Any) -> Any:
            return await super().perform_create(data)

        async def perform_update(self, obj: Any, data: Any) -> Any:
            return await super().perform_update(obj, data)

    notes = (Hooked if hooks else Notes)()
    labels = LabelViewSet(objects_filter=lambda access: Label.text != "hidden")
    try:
        client = serve(labels, notes, LabelViewSet(name="all"))
        for text in ("seen", "too"):
            assert (await client.post("/labels", json={"text": text})).status_code == 201
        assert (await client.post("/labels", json={"text": "hidden"})).status_code == 403
        created = await client.post("/notes", json={"label": "seen", "body": "x"})
        assert created.status_code == 201
        for label in ("hidden", "nowhere"):
            body = {"label": label, "body": "y"}
            for method, path in (("POST", "/notes"), ("PUT", "/notes/1"), ("PATCH", "/notes/1")):
                response = await client.request(method, path, json=body)
                assert (response.status_code, response.json()["code"]) == (422, "reference"), (method, label)
                assert response.json()["errors"][0]["loc"] == ["body", "label"]
            for method in ("PUT", "PATCH"):
                assert (await client.request(method, "/notes/99", json=body)).status_code == 404, (method, label)
    finally:
        forget_policies()


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_object_permission_is_403_before_the_body(serve: Serve, method: str) -> None:
    """A row that the caller may read is refused before the body is judged; a missing one is 404."""
    client = serve(NamedViewSet())
    body = None if method in ("GET", "DELETE") else BAD
    response = await client.request(method, "/departments/1", content=body, headers=ADA | JSON)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert (await client.request(method, "/departments/99", content=body, headers=ADA | JSON)).status_code == 404


@on_sqlite
async def test_an_object_permission_is_401_for_a_stranger(serve: Serve) -> None:
    """Where credentials could help, a stranger's refusal is 401."""
    response = await serve(NamedViewSet(permission_classes=[IsEve])).get("/departments/1")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Token")


async def test_an_ancestors_permission_holds_below(serve: Serve, statements: Statements) -> None:
    """A parent's retrieve permission is asked before the child's own, without a statement."""
    root = tree()
    root.viewset = CompanyViewSet(permission_classes=[IsAuthenticated])
    client = serve(root)
    statements.reset()
    for path in ("/companies/1/departments", "/companies/1/departments/1", "/companies/1/departments/1/employees/1"):
        assert (await client.get(path)).status_code == 401
    assert await statements.count() == 0
    assert (await client.get(path, headers=ADA)).status_code == 200


class UnshowableViewSet(ModelViewSet[Company]):
    read_schema = CompanyRead
    create_schema = CompanyRead
    update_schema = CompanyRead
    permission_classes = [AllowAny]

    @action(detail=True, methods=["POST"])
    async def rename(self) -> CompanyRead:
        """Write, and return what is no company."""
        await self.service.update(await self.get_object(), {"name": "Renamed"})
        return {"id": "none"}  # type: ignore[return-value]


async def test_an_answer_that_cannot_be_rendered_rolls_back(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Rendering comes before the commit: what fails there is 500, and nothing is written."""
    client = serve(UnshowableViewSet())
    response = await client.post("/companies/1/rename")
    assert (response.status_code, response.json()["code"]) == (500, "server_error")
    assert (await client.get("/companies/1")).json()["name"] == "Acme"


@pytest.mark.parametrize("hooks", [False, True])
async def test_a_rule_broken_at_commit_answers_as_if_broken_before(serve: Serve, hooks: bool) -> None:
    """A deferred foreign key is 422 with the field, although only the commit finds it."""

    class Hooked(BadgeViewSet):
        async def perform_create(self, data: Any) -> Any:
            return await super().perform_create(data)

        async def perform_update(self, obj: Any, data: Any) -> Any:
            return await super().perform_update(obj, data)

    client = serve((Hooked if hooks else BadgeViewSet)())
    assert (await client.post("/badges", json={"holder": 1})).status_code == 201
    for method, path in (("POST", "/badges"), ("PUT", "/badges/1"), ("PATCH", "/badges/1")):
        response = await client.request(method, path, json={"holder": 99})
        assert response.status_code == 422, (method, response.text)
        assert response.json()["errors"][0]["loc"] == ["body", "holder"], (method, response.text)
        assert response.json()["code"] == "reference"
    assert (await client.get("/badges")).json()["results"] == [{"id": 1, "holder": 1}]


async def test_a_row_that_a_deferred_key_needs_is_protected(serve: Serve) -> None:
    """Deleting a row that a deferred foreign key refers to is 409, although only the commit finds it."""
    client = serve(BadgeViewSet(), EmployeeViewSet(permission_classes=[AllowAny]))
    assert (await client.post("/badges", json={"holder": 1})).status_code == 201
    response = await client.delete("/employees/1")
    assert (response.status_code, response.json()["code"]) == (409, "protected")
    assert (await client.get("/employees/1")).status_code == 200


async def test_nothing_is_acknowledged_before_it_is_committed(serve: Serve) -> None:
    """When the answer starts to leave, another connection sees the row."""
    seen: list[int] = []
    client = serve(CompanyViewSet())
    app = client._transport.app  # type: ignore[attr-defined]

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start" and scope["method"] == "POST":
                seen.append((await client.get("/companies")).json()["count"])
            await send(message)

        await app(scope, receive, watched)

    outer = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=watching), base_url="http://test")
    assert (await outer.post("/companies", json={"name": "Cog", "slug": "c"}, headers=ADA)).status_code == 201
    assert seen == [3]


@on_postgresql
async def test_a_safe_method_opens_no_transaction(client: httpx2.AsyncClient, statements: Statements) -> None:
    """GET sends no BEGIN; an unsafe method commits once."""
    statements.reset()
    assert (await client.get("/api/companies/1/departments/1")).status_code == 200
    assert await statements.read_control() == []
