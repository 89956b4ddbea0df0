"""Where a path leads: among many viewsets, beside other routes, behind prefixes, below mounts."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column
from starlette.routing import Match, compile_path

from fastapix5 import AllowAny, GenericViewSet, Router, RouterSchema, action
from fastapix5.checks import anonymous
from fastapix5.endpoints import BoundRoute
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.paths import PathTree
from fastapix5.plan import ResourcePlan, RoutePlan
from fastapix5.routers import PlanRouter, static_first
from tests.declaration.library import AuthorViewSet, Base, BookViewSet

pytestmark = pytest.mark.anyio

Client = httpx2.AsyncClient


class Place(Base):
    """Whose key is any text."""

    __tablename__ = "places"

    slug: Mapped[str] = mapped_column(primary_key=True)


class PlaceViewSet(GenericViewSet[Place]):
    """Says where a request went, and asks no database."""

    permission_classes = [AllowAny]

    @action(detail=False)
    async def late(self) -> dict[str, Any]:
        return {"action": "late", **self.request.path_params}

    @action(detail=True)
    async def early(self) -> dict[str, Any]:
        return {"action": "early", **self.request.path_params}

    @action(detail=True, methods=["POST", "DELETE"], url_path="early/{day}")
    async def on_day(self, day: str) -> str:
        return f"{self.request.method} on {day}"


def client_of(*routers: APIRouter, app: FastAPI | None = None, **options: Any) -> Client:
    """A client of an application that includes the routers."""
    app = FastAPI() if app is None else app
    for router in routers:
        app.include_router(router, **options)
    return Client(transport=httpx2.ASGITransport(app=app), base_url="http://test")


async def status_of(client: Client, path: str, method: str = "GET") -> int:
    return (await client.request(method, path)).status_code


# Any tree, any path

(PROTOTYPE,) = (plan for plan in PlaceViewSet().router.plans if plan.action == "late")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SEGMENTS = ("a", "b", "é", "a.b")
WORDS = (*SEGMENTS, "", "c d", "A", "a\n", "{x}", "%2F", "~")

Answer = tuple[int, str | None, dict[str, str] | None]


def planned(method: str, path: str) -> RoutePlan:
    """A plan of another route."""
    return replace(PROTOTYPE, method=method, path=path)


@st.composite
def paths(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from((*SEGMENTS, "{}")), min_size=1, max_size=4))
    return "".join(f"/{{k{at}}}" if part == "{}" else f"/{part}" for at, part in enumerate(parts))


PLANS = st.lists(
    st.builds(planned, st.sampled_from(METHODS), paths()),
    min_size=1,
    max_size=8,
    unique_by=lambda plan: (plan.method, anonymous(plan.path)),
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from((*METHODS, "HEAD", "OPTIONS", "TRACE")),
        st.lists(st.sampled_from(WORDS), max_size=5).map(lambda words: "/" + "/".join(words)),
    ),
    min_size=1,
    max_size=12,
)


def scan(plans: Sequence[RoutePlan], method: str, path: str) -> Answer:
    """What one asks of a router, by a walk over all plans: the status, the path that answers or Allow, and the keys."""
    ordered = sorted(plans, key=lambda plan: static_first(plan.path))
    templates = list(dict.fromkeys(anonymous(plan.path) for plan in ordered))
    allow = {"OPTIONS"}
    for template in templates:
        same = [plan for plan in ordered if anonymous(plan.path) == template]
        match = compile_path(same[0].path)[0].fullmatch(path)
        if match is None:
            continue
        for plan in same:
            if plan.method == ("GET" if method == "HEAD" else method):
                return 200, plan.path, match.groupdict()
        allow |= {name for plan in same for name in ((plan.method, "HEAD") if plan.method == "GET" else (plan.method,))}
        above, _, last = template.rpartition("/")
        if last != "{}" and f"{above}/{{}}" in templates:
            return (204 if method == "OPTIONS" else 405), ", ".join(sorted(allow)), None
    if len(allow) == 1:
        return 404, None, None
    return (204 if method == "OPTIONS" else 405), ", ".join(sorted(allow)), None


async def asked(app: FastAPI, method: str, path: str) -> Answer:
    """What an application answers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    status = sent[0]["status"]
    headers = dict(sent[0]["headers"])
    if status == 200:
        return status, scope["route"].plan.path, scope["path_params"]
    return status, headers[b"allow"].decode() if b"allow" in headers else None, None


@settings(max_examples=60, deadline=None)
@given(PLANS, REQUESTS)
async def test_a_path_leads_where_a_walk_over_all_routes_would(
    plans: list[RoutePlan], requests: list[tuple[str, str]]
) -> None:
    """Whatever the tree and the path: the same route, the same keys, the same 404 and 405."""
    router = PlanRouter()
    half = len(plans) // 2
    router.add_resource(ResourcePlan("first", "", tuple(plans[:half])))
    router.add_resource(ResourcePlan("second", "", tuple(plans[half:])))
    app = FastAPI(redirect_slashes=False)
    app.include_router(router)
    for method, path in requests:
        assert await asked(app, method, path) == scan(plans, method, path), (method, path)


@given(st.lists(paths(), min_size=1, max_size=12), st.lists(st.sampled_from(WORDS), max_size=5))
def test_a_tree_finds_every_path_that_fits(templates: list[str], words: list[str]) -> None:
    """Each once, with the values of its keys, the most static first."""
    tree: PathTree[str] = PathTree()
    for template in templates:
        tree.at(template).leaf = anonymous(template)
    path = "/" + "/".join(words)
    found = [(leaf, values) for _, leaf, values in tree.find(path)]
    fitting = {
        anonymous(template): tuple(match.groups())
        for template in templates
        if (match := compile_path(template)[0].fullmatch(path))
    }
    assert found == sorted(fitting.items(), key=lambda pair: static_first(pair[0]))


# One router


async def test_a_static_segment_is_tried_first_and_a_key_after_it() -> None:
    """/places/late/early has no route below "late", so "late" is a key there; in /places/late it is none."""
    client = client_of(PlaceViewSet().router)
    assert (await client.get("/places/late")).json() == {"action": "late"}
    assert (await client.get("/places/late/early")).json() == {"action": "early", "place_slug": "late"}
    assert await status_of(client, "/places/late", "DELETE") == 405


async def test_allow_names_all_that_the_path_has() -> None:
    """Those of two viewsets, of a plain route of the router, and of a path with a key that fits as well."""
    router = Router()
    router.register(PlaceViewSet)

    class Writing(GenericViewSet[Place]):
        permission_classes = [AllowAny]

        @action(detail=False, methods=["POST"], url_path="late")
        async def write(self) -> str:
            return "written"

    router.register(Writing)

    @router.put("/places/{place_slug}/early/{day}")
    async def put(place_slug: str, day: str) -> str:
        return f"{place_slug} {day}"

    client = client_of(router)
    for method, status in (("OPTIONS", 204), ("PATCH", 405)):
        response = await client.request(method, "/places/late")
        assert (response.status_code, response.headers["allow"]) == (status, "GET, HEAD, OPTIONS, POST")
        response = await client.request(method, "/places/1/early/mon")
        assert (response.status_code, response.headers["allow"]) == (status, "DELETE, OPTIONS, POST, PUT")
    assert (await client.put("/places/1/early/mon")).json() == "1 mon"
    assert (await client.post("/places/late")).json() == "written"


async def test_routes_keep_the_order_in_which_they_were_added() -> None:
    """A plain route that was added before a viewset comes before it; one that was added after it, after it."""
    router = Router()

    @router.get("/places/1/early")
    async def first() -> str:
        return "first"

    router.register(PlaceViewSet)

    @router.get("/places/{which}/early")
    async def last(which: str) -> str:
        return "last"

    @router.get("/places/{which}/never")
    async def other(which: str) -> str:
        return f"other {which}"

    router.register(PlaceViewSet, name="more")
    client = client_of(router, prefix="/v1")
    assert (await client.get("/v1/places/1/early")).json() == "first"
    assert (await client.get("/v1/places/2/early")).json() == {"action": "early", "place_slug": "2"}
    assert (await client.get("/v1/places/2/never")).json() == "other 2"
    assert (await client.get("/v1/more/late")).json() == {"action": "late"}
    assert await status_of(client, "/v1/places/1/early", "PUT") == 405


async def test_what_a_router_does_not_know_falls_through() -> None:
    """To routes of the application, before and after it, and at last to its 404."""
    app = FastAPI()
    app.include_router(PlaceViewSet().router)

    @app.get("/places/9/other")
    async def other() -> str:
        return "other"

    @app.patch("/places/{place_slug}/early")
    async def patch(place_slug: str) -> str:
        return "patched"

    client = client_of(app=app)
    assert (await client.get("/places/9/other")).json() == "other"
    assert (await client.patch("/places/9/early")).json() == "patched"
    for path in ("/", "/place", "/placesx/late", "/places/9", "/places//early", "//places/late", "/places/late/x/y/z"):
        response = await client.get(path)
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"}), path


async def test_routes_that_come_and_go_are_noticed() -> None:
    """A viewset that is registered after the first request is served; a route that was taken out is not."""
    router = Router()
    router.register(PlaceViewSet)
    client = client_of(router)
    nested = APIRouter()
    nested.include_router(router)
    outer = client_of(nested)
    for served in (client, outer):
        assert await status_of(served, "/places/late") == 200
        assert await status_of(served, "/more/late") == 404
    router.register(PlaceViewSet, name="more")
    for served in (client, outer):
        assert await status_of(served, "/more/late") == 200
    router.routes.pop(0)
    assert [await status_of(client, path) for path in ("/places/late", "/places/1/early")].count(404) == 1


async def test_a_subclass_of_a_router_may_match_for_itself() -> None:
    """What overrides matches() is asked."""

    class Closed(Router):
        closed = False

        def matches(self, scope: Any) -> tuple[Match, Any]:
            return (Match.NONE, {}) if self.closed else super().matches(scope)

    router = Closed()
    router.register(PlaceViewSet)
    client = client_of(router)
    assert await status_of(client, "/places/late") == 200
    router.closed = True
    assert await status_of(client, "/places/late") == 404


async def test_a_route_of_a_viewset_may_stand_elsewhere() -> None:
    """Taken over into another router, it serves and is documented there."""
    app = FastAPI()
    app.router.routes.extend(PlaceViewSet().router.routes)
    client = client_of(app=app)
    assert (await client.get("/places/late")).json() == {"action": "late"}
    parameters = app.openapi()["paths"]["/places/{place_slug}/early"]["get"]["parameters"]
    assert [parameter["name"] for parameter in parameters] == ["place_slug"]


# Inclusions


@pytest.mark.parametrize(
    ("prefix", "before", "params"),
    [
        ("", "", {}),
        ("/api/v1", "/api/v1", {}),
        ("/{tenant}", "/x", {"tenant": "x"}),
        ("/{tenant}/v{version:int}", "/x/v2", {"tenant": "x", "version": 2}),
        ("/at/{path:path}", "/at/a/places/b", {"path": "a/places/b"}),
    ],
)
async def test_a_prefix_may_have_parameters(prefix: str, before: str, params: dict[str, Any]) -> None:
    """Of an inclusion, of the router, of a router around it; converters of the path convert them."""
    inside = Router(prefix=prefix)
    inside.register(PlaceViewSet)
    outer = APIRouter(prefix=prefix)
    outer.include_router(PlaceViewSet().router)
    for client in (client_of(PlaceViewSet().router, prefix=prefix), client_of(inside), client_of(outer)):
        expected = {"action": "early", "place_slug": "late", **params}
        assert (await client.get(f"{before}/places/late/early")).json() == expected
        assert (await client.get(f"{before}/places/late")).json() == {"action": "late", **params}
        assert await status_of(client, f"{before}/places/late", "PUT") == 405
        assert await status_of(client, f"{before}x/") == 404


async def test_a_prefix_that_does_not_convert_is_not_found() -> None:
    """/vx is no version."""
    client = client_of(PlaceViewSet().router, prefix="/v{version:int}")
    assert await status_of(client, "/vx/places/late") == 404


async def test_routers_nest_in_routers() -> None:
    """A plain router in ours, ours in it, and ours in that one again; prefixes and dependencies add up."""
    seen: list[str] = []

    def note(name: str) -> Any:
        async def dependency() -> None:
            seen.append(name)

        return Depends(dependency)

    middle = APIRouter(prefix="/middle", dependencies=[note("middle")])
    middle.include_router(PlaceViewSet().router, prefix="/in", dependencies=[note("in")])
    router = Router(prefix="/router", dependencies=[note("router")])
    router.register(PlaceViewSet)
    router.include_router(middle)
    outer = APIRouter()
    outer.include_router(router, prefix="/outer")
    client = client_of(outer, prefix="/app", dependencies=[note("app")])
    path = "/app/outer/router/middle/in/places"
    assert (await client.get(f"{path}/1/early")).json()["action"] == "early"
    assert seen == ["app", "router", "middle", "in"]
    assert (await client.options(f"{path}/late")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert await status_of(client, "/app/outer/router/places/late") == 200
    response = await client.get(f"{path}/late/")
    assert (response.status_code, response.headers["location"]) == (307, f"http://test{path}/late")


async def test_a_router_serves_where_it_is_mounted() -> None:
    """Without an inclusion too: methods, redirects and its own 404; below a root_path of the server as well."""
    router = Router(prefix="/r")
    router.register(PlaceViewSet)

    @router.get("/plain")
    async def plain() -> str:
        return "plain"

    app = FastAPI()
    app.mount("/m", router)
    proxied = httpx2.ASGITransport(app=app, root_path="/proxy")
    for client, before in (
        (client_of(app=app), "/m"),
        (Client(transport=proxied, base_url="http://test"), "/proxy/m"),
    ):
        assert (await client.get(f"{before}/r/places/1/early")).json() == {"action": "early", "place_slug": "1"}
        assert (await client.get(f"{before}/r/plain")).json() == "plain"
        assert (await client.head(f"{before}/r/places/late")).content == b""
        response = await client.delete(f"{before}/r/places/late")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert await status_of(client, f"{before}/r/places/late/") == 307
        assert await status_of(client, f"{before}/r/nothing") == 404


async def test_a_mounted_application_finds_its_viewsets() -> None:
    """Below the path that it is mounted at."""
    inner = FastAPI()
    inner.include_router(PlaceViewSet().router, prefix="/v1")
    app = FastAPI()
    app.mount("/sub", inner)
    client = client_of(app=app)
    assert (await client.get("/sub/v1/places/late")).json() == {"action": "late"}
    assert await status_of(client, "/v1/places/late") == 404


def test_a_router_may_hold_websockets_and_mounts() -> None:
    """They are found beside viewsets, by their own rules."""
    router = Router()
    router.register(PlaceViewSet)

    @router.websocket("/places/{place_slug}/early")
    async def talk(websocket: WebSocket, place_slug: str) -> None:
        await websocket.accept()
        await websocket.send_text(place_slug)
        await websocket.close()

    mounted = FastAPI()

    @mounted.get("/here")
    async def here() -> str:
        return "here"

    router.mount("/mounted", mounted)
    app = FastAPI()
    app.include_router(router, prefix="/api")
    with TestClient(app) as client:
        with client.websocket_connect("/api/places/7/early") as socket:
            assert socket.receive_text() == "7"
        assert client.get("/api/mounted/here").json() == "here"
        assert client.get("/api/places/7/early").json()["place_slug"] == "7"


def test_paths_can_be_reversed() -> None:
    """url_path_for knows viewsets' routes by name and action, behind every prefix."""
    router = Router(prefix="/r")
    router.register(PlaceViewSet)
    app = FastAPI()
    app.include_router(router, prefix="/api")
    assert app.url_path_for("places-late") == "/api/r/places/late"
    assert app.url_path_for("places-on-day", place_slug="1", day="x") == "/api/r/places/1/early/x"


async def test_overrides_count_from_the_first_request_and_later() -> None:
    """dependency_overrides replace what an inclusion added."""

    async def number() -> int:
        return 1

    class Counting(GenericViewSet[Place]):
        name = "numbers"
        permission_classes = [AllowAny]

        @action(detail=False)
        async def count(self, found: int = Depends(number)) -> int:
            return found

    app = FastAPI()
    app.dependency_overrides[number] = lambda: 2
    client = client_of(Counting().router, app=app)
    assert (await client.get("/numbers/count")).json() == 2
    app.dependency_overrides.clear()
    assert (await client.get("/numbers/count")).json() == 1


async def test_telemetry_and_middleware_see_the_route() -> None:
    """scope has the route, its endpoint and its keys."""
    seen: dict[str, Any] = {}
    app = FastAPI()

    @app.middleware("http")
    async def watch(request: Any, following: Callable[[Any], Any]) -> Any:
        response = await following(request)
        seen.update(request.scope)
        return response

    client = client_of(PlaceViewSet().router, app=app, prefix="/api")
    await client.get("/api/places/5/early")
    assert (seen["route"].path, seen["path_params"]) == ("/places/{place_slug}/early", {"place_slug": "5"})
    assert callable(seen["endpoint"])


# Many


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of routes for which somebody made what an inclusion adds."""
    found: list[str] = []
    made = BoundRoute.__init__

    def noted(self: BoundRoute, plan: RoutePlan, *rest: Any) -> None:
        found.append(plan.path)
        made(self, plan, *rest)

    monkeypatch.setattr(BoundRoute, "__init__", noted)
    return found


def many(number: int) -> PlanRouter:
    """A router of many resources, of three routes each."""
    router = PlanRouter()
    book = {plan.action: plan for plan in BookViewSet().router.plans}
    for at in range(number):
        routes = [
            replace(book[name], path=f"/n{at}{path}")
            for name, path in (("list", ""), ("retrieve", "/{book_id}"), ("destroy", "/{book_id}"))
        ]
        router.add_resource(ResourcePlan(f"n{at}", "", tuple(routes)))
    return router


async def test_a_request_makes_only_what_its_route_needs(bound: list[str]) -> None:
    """Nothing is made of 40 viewsets until they are asked, nor by a path that leads nowhere."""
    router = Router()
    for at in range(40):
        router.register(PlaceViewSet, name=f"n{at}")
    nested = APIRouter()
    nested.include_router(router)
    app = FastAPI()
    app.include_router(nested, prefix="/nested")
    client = client_of(router, app=app)
    bound.clear()
    assert await status_of(client, "/n39/nowhere/at/all") == 404
    assert await status_of(client, "/n39/late", "PUT") == 405
    assert bound == []
    for _ in range(2):
        assert await status_of(client, "/n39/late") == 200
        assert await status_of(client, "/nested/n39/late") == 200
    assert bound == ["/n39/late"] * 2


async def test_a_request_asks_no_other_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among many viewsets no route is asked whether it matches."""
    app = FastAPI()
    app.include_router(many(20))
    client = client_of(PlaceViewSet().router, app=app)

    def refuse(self: Any, scope: Any) -> Any:
        raise AssertionError(f"{self.path} was asked")

    for route in app.routes:
        if getattr(route, "path", "").startswith(("/docs", "/redoc", "/openapi")):
            app.router.routes.remove(route)
    monkeypatch.setattr("fastapi.routing.APIRoute.matches", refuse)
    assert (await client.get("/places/late")).json() == {"action": "late"}
    assert await status_of(client, "/n19/1/nothing") == 404


async def test_a_thousand_viewsets_start_and_answer() -> None:
    """In one router, and that in another; the first and the last are found, and what is not there is not."""
    router = many(1000)
    nested = APIRouter()
    nested.include_router(router)
    app = FastAPI()
    app.include_router(nested, prefix="/nested")
    app.include_router(router)
    with TestClient(app) as client:
        for before in ("", "/nested"):
            for at in (0, 500, 999):
                assert client.options(f"{before}/n{at}/1").headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
                assert client.get(f"{before}/n{at}/x").status_code == 422
            assert client.get(f"{before}/n1000").status_code == 404


def test_openapi_is_made_when_it_is_asked_for(bound: list[str]) -> None:
    """Not at the start; then every route is there."""
    app = FastAPI()
    app.include_router(many(50))
    bound.clear()
    with TestClient(app) as client:
        assert bound == []
        assert len(client.get("/openapi.json").json()["paths"]) == 100


def test_hundreds_of_separate_inclusions_start() -> None:
    """Each as a router of its own, plain ones around them; FastAPI's lifespans nest once for each."""
    app = FastAPI()
    for at in range(200):
        around = APIRouter(prefix=f"/r{at}")
        around.include_router(PlaceViewSet().router, prefix="/in")
        app.include_router(around)
    with TestClient(app) as client:
        assert client.get("/r199/in/places/3/early").json() == {"action": "early", "place_slug": "3"}


class Node(Base):
    """Hangs below another."""

    __tablename__ = "nodes"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"))


class NodeViewSet(GenericViewSet[Node]):
    """A level of a deep tree."""

    parent_field = "parent_id"
    permission_classes = [AllowAny]

    @action(detail=False)
    async def here(self) -> int:
        return len(self.keys)


async def test_trees_may_be_deep() -> None:
    """Forty levels below one another are forty pairs of segments."""
    depth = 40
    children: list[RouterSchema] = []
    for level in reversed(range(depth)):
        children = [RouterSchema(name=f"l{level}", viewset=NodeViewSet, children=children)]
    client = client_of(children[0].router)
    path = "".join(f"/l{level}/{level}" for level in range(depth - 1))
    assert await status_of(client, f"{path}/l{depth - 1}/here", "OPTIONS") == 204
    assert await status_of(client, f"{path}x/l{depth - 1}/here") == 422
    assert await status_of(client, f"{path}/heres") == 404


async def test_paths_leave_nothing_behind() -> None:
    """Neither those that lead somewhere nor those that lead nowhere are remembered."""
    client = client_of(many(3), PlaceViewSet().router)

    async def ask(start: int, number: int) -> int:
        for at in range(start, start + number):
            await client.get(f"/places/{at}/early")
            await client.get(f"/n1/{at}/{at}/{at}")
            await client.delete(f"/places/{at}/early")
        gc.collect()
        return len(gc.get_objects())

    before = await ask(0, 30)
    assert await ask(100, 300) - before < 100


def test_a_path_that_is_taken_is_told_whoever_adds_it() -> None:
    """Two resources of one router may share a path, but not a path and a method."""
    router = Router()
    router.register(AuthorViewSet)
    with pytest.raises(ImproperlyConfigured, match=re.escape("GET /authors is taken by")):
        router.register(AuthorViewSet)
