"""What FastAPI's users know keeps working: dependencies, inclusion, overrides, handlers, middleware, OpenAPI."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException

from fastapix5 import AllowAny, Router, action, get_session, setup
from fastapix5.exceptions import DoesNotExist, Error, UniqueViolation
from tests.conftest import on_sqlite
from tests.requests.app import ADA, CompanyViewSet, DepartmentViewSet, make_app, tree
from tests.requests.conftest import Serve

pytestmark = [pytest.mark.anyio, on_sqlite]

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _forget(database_url: str) -> Iterator[None]:
    yield
    seen.clear()


def plain(x_name: Annotated[str, Header()] = "nobody") -> str:
    return x_name


async def awaited(name: str = Depends(plain)) -> str:
    return name.upper()


async def watching() -> AsyncIterator[str]:
    try:
        yield "watching"
    except Exception as error:
        seen.append(type(error))
        raise
    finally:
        seen.append("left")


def tasks_and_headers(response: Response, background: BackgroundTasks) -> None:
    response.headers["X-Extra"] = "kept"
    response.set_cookie("c", "1")
    background.add_task(seen.append, "ran")


class DependingViewSet(CompanyViewSet):
    permission_classes = [AllowAny]

    @action(detail=False)
    async def who(self, name: Annotated[str, Depends(awaited)], request: Request) -> str:
        return f"{name} {request.method}"

    @action(detail=False)
    async def watched(self, missing: bool = False, what: str = Depends(watching)) -> str:
        if missing:
            raise DoesNotExist("Company")
        return what

    @action(detail=False)
    async def released(self, missing: bool = False, what: str = Depends(watching, scope="function")) -> str:
        if missing:
            raise DoesNotExist("Company")
        return what

    @action(detail=False, methods=["POST"])
    async def own(self, response: Response, background: BackgroundTasks) -> Response:
        background.add_task(seen.append, "ran")
        response.headers["X-Extra"] = "kept"
        return JSONResponse({"a": 1}, 202, headers={"X-Own": "too"})

    @action(detail=False, methods=["POST"])
    async def accepted(self, response: Response) -> str:
        response.status_code = 202
        return "later"

    @action(detail=False)
    async def fails(self, how: str) -> str:
        errors: dict[str, Exception] = {
            "http": HTTPException(418, "No coffee", headers={"X-Pot": "tea"}),
            "odd": HTTPException(499, {"not": "text"}),
            "ours": UniqueViolation(fields=["name"]),
            "value": ValueError("swordfish"),
        }
        raise errors[how]


async def test_dependencies_of_an_action_are_solved(serve: Serve) -> None:
    """Plain and async dependencies, headers and the request itself arrive as in FastAPI."""
    response = await serve(DependingViewSet()).get("/companies/who", headers={"X-Name": "ada"})
    assert response.json() == "ADA GET"


@pytest.mark.parametrize("path", ["watched", "released"])
async def test_a_yield_dependency_sees_our_errors(serve: Serve, path: str) -> None:
    """Of either scope: the error passes through it, and still becomes a problem."""
    client = serve(DependingViewSet())
    assert (await client.get(f"/companies/{path}")).json() == "watching"
    assert seen == ["left"]
    seen.clear()
    response = await client.get(f"/companies/{path}?missing=true")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert seen == [DoesNotExist, "left"]


async def test_a_yield_dependency_of_the_inclusion_sees_our_errors(serve: Serve) -> None:
    """A missing row of a standard action too."""
    app = make_app()
    app.include_router(CompanyViewSet().router, dependencies=[Depends(watching)])
    assert (await serve(app).get("/companies/99")).status_code == 404
    assert seen == [DoesNotExist, "left"]


@pytest.mark.parametrize("with_setup", [True, False])
async def test_dependencies_and_prefixes_of_inclusions_hold(serve: Serve, with_setup: bool) -> None:
    """Every include_router on the way adds its own, and a refusal of theirs is a problem."""

    def refuse(x_pass: Annotated[str, Header()] = "") -> None:
        if x_pass != "yes":
            raise HTTPException(403, "No pass")

    inner, outer = APIRouter(prefix="/inner"), APIRouter(dependencies=[Depends(refuse)])
    inner.include_router(tree().router, prefix="/v1", dependencies=[Depends(watching)])
    outer.include_router(inner, prefix="/outer")
    app = make_app(with_setup=with_setup)
    app.include_router(outer, prefix="/api")
    client = serve(app)
    path = "/api/outer/inner/v1/companies"
    response = await client.get(path)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert response.json()["detail"] == "No pass."
    headers = ADA | {"X-Pass": "yes"}
    assert (await client.get(f"{path}/1/departments/1", headers=headers)).status_code == 200
    created = await client.post(path, json={"name": "Cog", "slug": "cog"}, headers=headers)
    assert created.headers["location"] == f"{path}/4"
    assert (await client.options(path)).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await client.delete(path)).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await client.get(f"{path}/")).headers["location"] == f"http://test{path}"


async def test_dependencies_of_a_router_hold(serve: Serve) -> None:
    """What Router() was given as dependencies holds for all that it registers."""

    def refuse() -> None:
        raise HTTPException(403)

    router = Router(prefix="/api", dependencies=[Depends(refuse)])
    router.register(CompanyViewSet)
    assert (await serve(router).get("/api/companies")).status_code == 403


async def test_a_security_scheme_of_the_users_own_is_enforced(serve: Serve) -> None:
    """FastAPI's security classes keep refusing where a user puts them."""
    app = make_app()
    app.include_router(CompanyViewSet().router, dependencies=[Depends(HTTPBearer())])
    client = serve(app)
    assert (await client.get("/companies")).status_code == 401
    assert (await client.get("/companies", headers={"Authorization": "Bearer x"})).status_code == 200


async def test_a_stranger_is_refused_before_dependencies_run(serve: Serve) -> None:
    """Our permissions come first."""
    app = make_app()
    app.include_router(CompanyViewSet().router, dependencies=[Depends(watching)])
    assert (await serve(app).post("/companies", json={})).status_code == 401
    assert seen == []


async def test_overrides_replace_dependencies(serve: Serve) -> None:
    """dependency_overrides count, and what an override declares is known and parsed."""
    app = make_app(DependingViewSet().router)
    client = serve(app)
    assert (await client.get("/companies/who?title=Dr")).status_code == 422

    def titled(title: str) -> str:
        return f"{title} Ada"

    app.dependency_overrides[plain] = titled
    assert (await client.get("/companies/who?title=Dr")).json() == "DR ADA GET"
    response = await client.get("/companies/who")
    assert response.json()["errors"] == [{"loc": ["query", "title"], "code": "missing", "message": "Field required"}]
    app.dependency_overrides.clear()
    assert (await client.get("/companies/who")).json() == "NOBODY GET"


def signed(sign: Annotated[str, Body(embed=True)]) -> str:
    seen.append("signed")
    return sign


class SignedViewSet(DepartmentViewSet):
    permission_classes = [AllowAny]

    @action(detail=False, methods=["POST"])
    async def sign(self, signature: str = Depends(signed)) -> str:
        return signature


async def test_a_dependency_may_read_the_body(serve: Serve) -> None:
    """A dependency with a body parameter runs in step 9, on the checked body."""
    client = serve(SignedViewSet())
    assert (await client.post("/departments/sign", json={"sign": "x"})).json() == "x"
    seen.clear()
    for content, status in (
        (b"{", 422),
        (b'{"sign": "\\u0000"}', 422),
        (b'{"sign": 1}', 422),
        (b"{}", 422),
        (b"", 422),
    ):
        response = await client.post("/departments/sign", content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["errors"][0]["loc"][0]) == (status, "body"), content
    assert (await client.post("/departments/sign", content=b"{}")).status_code == 415
    assert seen == []


async def test_a_dependency_that_reads_the_body_waits_for_the_row(serve: Serve) -> None:
    """Below a missing parent it does not run."""
    root = tree()
    root.children[0].viewset = SignedViewSet
    client = serve(root)
    response = await client.post("/companies/99/departments/sign", json={"sign": "x"})
    assert (response.status_code, seen) == (404, [])
    assert (await client.post("/companies/1/departments/sign", json={"sign": "x"})).status_code == 200


async def test_a_dependency_and_a_hook_may_read_the_raw_body(serve: Serve) -> None:
    """request.body() works before our reading and after it."""

    async def raw(request: Request) -> None:
        seen.append(await request.body())

    class Raw(CompanyViewSet):
        permission_classes = [AllowAny]

        async def perform_create(self, data: Any) -> Any:
            seen.append(await self.request.json())
            return await super().perform_create(data)

    body = {"name": "Cog", "slug": "cog"}
    assert (await serve(Raw()).post("/companies", json=body)).status_code == 201
    assert seen == [body]
    seen.clear()
    app = make_app()
    app.include_router(Raw().router, dependencies=[Depends(raw)])
    body = {"name": "Dot", "slug": "dot"}
    response = await serve(app).post("/companies", json=body)
    assert (response.status_code, seen[0]) == (201, response.request.content)


async def test_headers_and_background_tasks_of_dependencies_are_kept(serve: Serve) -> None:
    """On standard actions too; not where the request fails."""
    app = make_app()
    app.include_router(CompanyViewSet().router, dependencies=[Depends(tasks_and_headers)])
    client = serve(app)
    response = await client.get("/companies/1")
    assert (response.headers["x-extra"], response.cookies["c"], seen) == ("kept", "1", ["ran"])
    seen.clear()
    assert "x-extra" not in (await client.get("/companies/99")).headers
    assert seen == []
    response = await client.delete("/companies/2", headers=ADA)
    assert (response.status_code, seen) == (409, [])


async def test_a_response_of_the_actions_own_keeps_both(serve: Serve) -> None:
    """A Response that an action returns has its headers, and those asked for on the injected one."""
    client = serve(DependingViewSet())
    response = await client.post("/companies/own")
    assert (response.status_code, response.json(), seen) == (202, {"a": 1}, ["ran"])
    assert (response.headers["x-extra"], response.headers["x-own"]) == ("kept", "too")
    response = await client.post("/companies/accepted")
    assert (response.status_code, response.json()) == (202, "later")


async def test_background_tasks_run_after_the_requests_scope(serve: Serve) -> None:
    """A background task has no session of the request; what the request wrote is committed."""
    tasks: list[Any] = []

    async def later() -> None:
        try:
            get_session()
        except Error as error:
            tasks.append(type(error).__name__)
        tasks.append((await client.get("/companies")).json()["count"])

    class Later(CompanyViewSet):
        permission_classes = [AllowAny]

    def schedule(background: BackgroundTasks) -> None:
        background.add_task(later)

    app = make_app(Later().router)
    client = serve(app)
    scheduling = FastAPI()
    scheduling.include_router(Later().router, dependencies=[Depends(schedule)])
    await serve(scheduling).post("/companies", json={"name": "Cog", "slug": "cog"})
    assert tasks == ["ScopeRequired", 3]


@pytest.mark.parametrize("with_setup", [True, False])
async def test_errors_are_problems(serve: Serve, with_setup: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With setup() and without, whatever is raised is answered as a problem."""
    client = serve(DependingViewSet(), with_setup=with_setup)
    for how, status, code in (
        ("http", 418, "i_m_a_teapot"),
        ("odd", 499, "error_499"),
        ("ours", 409, "unique"),
        ("value", 500, "server_error"),
    ):
        response = await client.get(f"/companies/fails?how={how}", headers={"X-Request-ID": f"id-{how}"})
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.status_code, response.json()["code"]) == (status, code)
        if with_setup:
            assert response.json()["request_id"] == response.headers["x-request-id"] == f"id-{how}"
    assert (await client.get("/companies/fails")).status_code == 422
    assert (await client.put("/companies/fails")).status_code == 405
    assert (await client.get("/companies/fails?how=http")).headers["x-pot"] == "tea"


async def test_a_500_is_logged_without_the_callers_values(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the request id, the place and the traceback; the error's text, which may hold a value, is left out."""
    client = serve(DependingViewSet())
    with caplog.at_level(logging.ERROR):
        response = await client.get("/companies/fails?how=value", headers={"X-Request-ID": "id-1"})
    assert "swordfish" not in response.text
    (record,) = [record for record in caplog.records if record.name.startswith("fastapix5")]
    text = logging.Formatter().format(record)
    assert "id-1" in text
    assert "DependingViewSet.fails" in text
    assert "raise errors[how]" in text
    assert "ValueError" in text
    assert "swordfish" not in text


@pytest.mark.parametrize("with_setup", [True, False])
@pytest.mark.parametrize(
    "kind", [Error, UniqueViolation, StarletteHTTPException, RequestValidationError, Exception, 500]
)
async def test_a_handler_of_the_app_wins(serve: Serve, kind: Any, with_setup: bool) -> None:
    """For our classes, HTTPException, RequestValidationError, and Exception."""

    async def handler(request: Any, error: Exception) -> JSONResponse:
        return JSONResponse({"handled": type(error).__name__}, 555)

    client = serve(
        DependingViewSet(),
        with_setup=with_setup,
        prepare=lambda app: app.add_exception_handler(kind, handler),
    )
    how = {Error: "ours", UniqueViolation: "ours", StarletteHTTPException: "http", Exception: "value", 500: "value"}
    raised = {"ours": "UniqueViolation", "http": "HTTPException", "value": "ValueError"}
    for asked, name in raised.items():
        response = await client.get(f"/companies/fails?how={asked}")
        if how.get(kind) == asked:
            assert (response.status_code, response.json()) == (555, {"handled": name})
        else:
            assert response.status_code != 555, asked


async def test_middlewares_see_requests_and_answers(serve: Serve) -> None:
    """A middleware of the app wraps generated routes, refusals included."""
    app = make_app(CompanyViewSet().router)

    @app.middleware("http")
    async def mark(request: Request, following: Any) -> Any:
        response = await following(request)
        response.headers["X-Marked"] = "yes"
        return response

    client = serve(app)
    for path, status in (("/companies", 200), ("/companies/99", 404), ("/companies/x", 422), ("/nowhere", 404)):
        response = await client.get(path)
        assert (response.status_code, response.headers["x-marked"]) == (status, "yes")


async def test_other_routes_of_the_app_speak_alike(serve: Serve) -> None:
    """setup() makes every route answer with problems; without it those of the app stay as FastAPI has them."""

    def build(with_setup: bool) -> httpx2.AsyncClient:
        app = make_app(CompanyViewSet().router, with_setup=with_setup)

        @app.get("/plain")
        def plain(number: int) -> int:
            raise DoesNotExist("Company") if number else HTTPException(404, "Nope")

        return serve(app)

    client = build(with_setup=True)
    assert (await client.get("/plain?number=x")).json()["errors"][0]["loc"] == ["query", "number"]
    assert (await client.get("/plain?number=1")).json()["code"] == "not_found"
    assert (await client.get("/plain?number=0")).json()["detail"] == "Nope."
    assert (await client.get("/nowhere")).json()["code"] == "not_found"
    client = build(with_setup=False)
    assert (await client.get("/plain?number=x")).json()["detail"][0]["loc"] == ["query", "number"]
    assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}


def test_setup_twice_is_setup_once() -> None:
    """A second setup() of an app changes nothing."""
    app = FastAPI()
    assert setup(app) is setup(app)
    assert len(app.user_middleware) == 1


def operation_ids(app: FastAPI) -> list[str]:
    return [operation["operationId"] for path in app.openapi()["paths"].values() for operation in path.values()]


def test_a_viewset_included_twice_has_unique_stable_operation_ids(recwarn: pytest.WarningsRecorder) -> None:
    """Ids tell the two inclusions apart, and a second build of the app gives the same."""

    def build() -> FastAPI:
        app = FastAPI()
        router = tree().router
        app.include_router(router, prefix="/v1")
        app.include_router(router, prefix="/v2")
        app.include_router(DependingViewSet(name="firms").router)
        return app

    ids = operation_ids(build())
    assert len(ids) == len(set(ids))
    assert {"v1_companies_departments_list", "v2_companies_departments_list", "firms_who"} <= set(ids)
    assert operation_ids(build()) == ids
    assert recwarn.list == []


async def test_both_inclusions_of_a_viewset_serve(serve: Serve) -> None:
    """What one inclusion adds does not reach the other."""

    def refuse() -> None:
        raise HTTPException(403)

    app, router = make_app(), CompanyViewSet().router
    app.include_router(router, prefix="/open")
    app.include_router(router, prefix="/shut", dependencies=[Depends(refuse)])
    client = serve(app)
    for _ in range(2):
        assert (await client.get("/shut/companies")).status_code == 403
        assert (await client.get("/open/companies")).status_code == 200


async def test_a_mounted_app_knows_where_it_is(serve: Serve) -> None:
    """Locations, links and redirects of a mounted application lead back to it."""
    outer = FastAPI()
    outer.mount("/sub", make_app(CompanyViewSet().router))
    client = serve(outer)
    created = await client.post("/sub/companies", json={"name": "Cog", "slug": "cog"}, headers=ADA)
    assert created.headers["location"] == "/sub/companies/4"
    page = await client.get("/sub/companies?page_size=1")
    assert page.json()["next"] == "/sub/companies?page_size=1&page=2"
    assert (await client.get("/sub/companies/")).headers["location"] == "http://test/sub/companies"


async def test_a_router_registers_classes_instances_and_trees(serve: Serve) -> None:
    """register() takes each of them, and another name."""
    router = Router(prefix="/api")
    router.register(CompanyViewSet, name="firms")
    router.register(CompanyViewSet(permission_classes=[AllowAny]))
    router.register(tree(), name="trees")
    client = serve(router)
    for path in ("/api/firms/1", "/api/companies/1", "/api/trees/1", "/api/trees/1/departments/1"):
        assert (await client.get(path)).status_code == 200, path
