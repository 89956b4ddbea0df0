"""Each private name of FastAPI and Starlette that ``endpoints`` and ``routers`` use: its test fails when it moves.

FastAPI is pinned to the minor version that they were written for. Where one of these fails, read what took its place
before the pin moves.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel

import fastapix5

# What is neither documented nor in an `__all__`, with what it must be able to do.
IMPORTED = {
    "fastapi._compat.ModelField": "a parameter, with its field_info and its type adapter",
    "fastapi._compat.field_annotation_is_sequence": "whether a query parameter takes a list",
    "fastapi.dependencies.models.Dependant": "what a route depends on",
    "fastapi.dependencies.utils.get_dependant": "the dependant of an override",
    "fastapi.dependencies.utils.get_flat_params": "every parameter of a dependant",
    "fastapi.dependencies.utils.solve_dependencies": "runs the dependencies",
    "fastapi.routing._effective_route_context_var": "the inclusion for which a handler is made",
    "fastapi.routing._EffectiveRouteContext": "a route in one inclusion, with its app and its path",
    "fastapi.routing._IncludedRouter": "an inclusion of a router, which asks that router to match and to handle",
    "fastapi.routing._get_scope_included_router": "the inclusion that asks",
    "fastapi.telemetry._api._route_selected": "tells telemetry the path of the route",
    "fastapi.utils.create_model_field": "has OpenAPI collect a schema",
    "starlette._exception_handler.wrap_app_handling_exceptions": "asks an application's exception handlers",
    "starlette._utils.get_route_path": "the path below what an application is mounted at",
}


class Item(BaseModel):
    name: str


def give(number: int = 1) -> int:
    return number


def added() -> None:
    pass


def made_contexts() -> list[tuple[APIRoute, Any]]:
    """Return what ``get_route_handler`` saw: for the route itself, and for each of two inclusions."""
    from fastapi.routing import _effective_route_context_var

    seen: list[tuple[APIRoute, Any]] = []

    class Route(APIRoute):
        def get_route_handler(self) -> Any:
            seen.append((self, _effective_route_context_var.get()))
            return super().get_route_handler()

    async def endpoint(item: Item, number: Annotated[int, Depends(give)]) -> int:
        return number

    router = APIRouter(route_class=Route)
    router.post("/items")(endpoint)
    app = FastAPI()
    app.include_router(router, prefix="/a", dependencies=[Depends(added)])
    outer = APIRouter(prefix="/outer")
    outer.include_router(router)
    app.include_router(outer)
    with TestClient(app) as client:
        assert client.post("/a/items", json={"name": "x"}).json() == 1
        assert client.post("/outer/items", json={"name": "x"}).json() == 1
    return seen


@pytest.mark.parametrize("path", IMPORTED)
def test_a_private_name_is_where_it_was(path: str) -> None:
    """It can be imported from where we import it."""
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name), f"FastAPI moved {path}: {IMPORTED[path]}."


def test_no_other_private_name_is_imported() -> None:
    """The table above names every private import of the package, and only endpoints and routers have any."""
    private = ("fastapi._compat", "fastapi.dependencies", "fastapi.utils", "starlette._")
    found = {}
    for file in Path(fastapix5.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("fastapi.", "starlette.")):
                for alias in node.names:
                    if node.module.startswith(private) or alias.name.startswith("_"):  # type: ignore[union-attr]
                        found[f"{node.module}.{alias.name}"] = file.stem
    assert set(found) == set(IMPORTED)
    assert set(found.values()) <= {"endpoints", "routers"}


def test_a_handler_is_made_once_for_the_route_and_once_for_each_inclusion() -> None:
    """Only for an inclusion does the context variable hold one, whose original_route is the route."""
    seen = made_contexts()
    assert [context is None for _, context in seen[:2]] == [True, False]
    assert len({id(context) for _, context in seen}) > 2
    assert all(context.original_route is route for route, context in seen[1:]), "the context's original_route is gone"


def test_a_context_has_what_a_route_has() -> None:
    """``Effective`` names what we read of a route or of its context in an inclusion."""
    for route, context in made_contexts():
        effective = route if context is None else context
        for name in (
            "dependant",
            "body_field",
            "dependency_overrides_provider",
            "response_fields",
            "_embed_body_fields",
        ):
            assert hasattr(effective, name), f"{type(effective).__name__} has no {name} any more"
    contexts = [context for _, context in made_contexts() if context is not None]
    calls = [{found.call for found in context.dependant.dependencies} for context in contexts]
    assert {give, added} in calls, "the context's dependant misses what include_router added"
    contexts[0].response_fields = dict(contexts[0].response_fields)


def test_a_dependant_has_the_fields_that_we_replace() -> None:
    """``dataclasses.replace`` leaves out the body and chooses dependencies and parameters."""
    from fastapi.dependencies.models import Dependant

    names = {found.name for found in dataclasses.fields(Dependant)}
    expected = {
        "path_params",
        "query_params",
        "header_params",
        "cookie_params",
        "body_params",
        "dependencies",
        "call",
        "path",
        "request_param_name",
        "response_param_name",
        "background_tasks_param_name",
    }
    assert expected <= names, f"Dependant lost {expected - names}"


def test_solve_dependencies_takes_and_gives_what_it_did() -> None:
    """Its keywords, and the fields of what it returns."""
    from fastapi.dependencies.utils import SolvedDependency, solve_dependencies

    taken = set(inspect.signature(solve_dependencies).parameters)
    expected = {
        "request",
        "dependant",
        "body",
        "dependency_overrides_provider",
        "async_exit_stack",
        "embed_body_fields",
    }
    assert expected <= taken
    given = {found.name for found in dataclasses.fields(SolvedDependency)}
    assert {"values", "errors", "background_tasks", "response"} <= given


def test_flat_parameters_know_where_they_come_from() -> None:
    """A query parameter has an alias and ``in_``, and its annotation tells whether it takes a list."""
    from fastapi import params
    from fastapi._compat import field_annotation_is_sequence
    from fastapi.dependencies.utils import get_dependant, get_flat_params

    async def endpoint(page: int, number: Annotated[int, Depends(give)]) -> None: ...

    found = get_flat_params(get_dependant(path="/", call=endpoint))
    assert {field.alias for field in found} >= {"page", "number"}
    assert all(field.field_info.in_ is params.ParamTypes.query for field in found)  # type: ignore[attr-defined]
    assert field_annotation_is_sequence(list[int] | None)
    assert not field_annotation_is_sequence(int | None)


def test_a_body_parameter_has_a_type_adapter() -> None:
    """``ModelField._type_adapter`` validates JSON."""
    from fastapi.dependencies.utils import get_dependant

    async def endpoint(item: Item) -> None: ...

    (field,) = get_dependant(path="/", call=endpoint).body_params
    assert field._type_adapter.validate_json(b'{"name": "x"}') == Item(name="x")
    assert field.field_info.is_required()
    assert field.name == field.alias == "item"


def test_the_scope_holds_the_exit_stack_and_the_handlers() -> None:
    """While a route runs, the scope has what solve_dependencies and our problems need."""
    keys: set[str] = set()
    app = FastAPI()

    @app.get("/")
    async def endpoint(request: Request) -> None:
        keys.update(request.scope)

    with TestClient(app) as client:
        client.get("/")
    assert {"fastapi_inner_astack", "fastapi_function_astack", "starlette.exception_handlers"} <= keys


def test_a_request_keeps_its_body_where_we_put_it() -> None:
    """``Request._body`` is what ``request.body()`` answers, once the stream is read."""
    app = FastAPI()

    @app.post("/")
    async def endpoint(request: Request) -> bool:
        chunks = [chunk async for chunk in request.stream()]
        request._body = b"kept" + b"".join(chunks)
        return await request.body() == b"keptx"

    with TestClient(app) as client:
        assert client.post("/", content=b"x").json() is True


def test_a_router_marks_its_routes_as_changed() -> None:
    """``_mark_routes_changed`` lets an included router learn of routes that come later."""
    router, app = APIRouter(), FastAPI()
    app.include_router(router)

    async def endpoint() -> int:
        return 1

    with TestClient(app) as client:
        assert client.get("/late").status_code == 404
        router.routes.append(APIRoute("/late", endpoint))
        router._mark_routes_changed()
        assert client.get("/late").json() == 1


class Watched(APIRouter):
    """A router that notes what FastAPI asks of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[str, Any]] = []

    def matches(self, scope: Any) -> Any:
        from fastapi.routing import _get_scope_included_router

        self.asked.append(("matches", _get_scope_included_router(scope)))
        return super().matches(scope)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        from fastapi.routing import _get_scope_included_router

        self.asked.append(("handle", _get_scope_included_router(scope)))
        await super().handle(scope, receive, send)


def served() -> tuple[FastAPI, Watched]:
    """An application that includes a router with one route, and the router."""
    app, router = FastAPI(), Watched()
    router.add_api_route("/items/{number}", added)
    app.include_router(router, prefix="/api", dependencies=[Depends(added)])
    return app, router


def test_an_inclusion_asks_its_router_to_match_and_to_handle() -> None:
    """The scope says which inclusion asks, and what it keeps to itself stays with it."""
    from fastapi.routing import _IncludedRouter

    app, router = served()
    with TestClient(app) as client:
        assert client.get("/api/items/1").status_code == 200
        assert client.get("/nowhere").status_code == 404
    included = app.routes[-1]
    assert isinstance(included, _IncludedRouter)
    assert router.asked[0] == ("matches", included)
    assert ("handle", included) in router.asked
    assert included.original_router is router
    assert included.include_context.prefix == "/api"
    vars(included)["of ours"] = 1


def test_an_inclusion_makes_the_context_of_one_route() -> None:
    """``_build_effective_context`` takes a route; the context has an app, an endpoint and a path."""
    app, router = served()
    (context,) = [app.routes[-1]._build_effective_context(router.routes[0])]  # type: ignore[attr-defined]
    assert context.path_format == "/api/items/{number}"
    assert context.endpoint is added
    assert callable(context.app)
    assert context.original_route is router.routes[0]


def test_a_context_knows_the_limit_of_bodies_and_keeps_what_is_ours() -> None:
    """``max_body_size`` is that of the inclusion, else None; an attribute of ours stays with the context."""
    app, router = served()
    (route,) = router.routes
    context = app.routes[-1]._build_effective_context(route)  # type: ignore[attr-defined]
    assert context.max_body_size is None
    vars(context)["of ours"] = 1
    app.include_router(router, prefix="/limited", max_body_size=10)
    assert app.routes[-1]._build_effective_context(route).max_body_size == 10  # type: ignore[attr-defined]


def test_a_second_inclusion_can_be_made_of_the_first() -> None:
    """Some routes of a router, included as the router is."""
    from fastapi.routing import _IncludedRouter

    app, router = served()
    included = app.routes[-1]
    run = APIRouter(routes=router.routes)
    app.router.routes[-1] = _IncludedRouter(original_router=run, include_context=included.include_context)  # type: ignore[attr-defined]
    with TestClient(app) as client:
        assert client.get("/api/items/1").status_code == 200
        assert client.post("/api/items/1").status_code == 405
        assert client.get("/items/1").status_code == 404


def test_a_router_counts_its_changes() -> None:
    """``_get_routes_version`` takes the routers that were seen, and counts those of included routers too."""
    inner, outer = APIRouter(), APIRouter()
    outer.include_router(inner)
    before, seen = outer._get_routes_version(), set[int]()
    assert inner._get_routes_version(seen) == inner._routes_version
    assert seen == {id(inner)}
    inner._mark_routes_changed()
    assert outer._get_routes_version() == before + 1
    assert inner._get_routes_version(seen) == inner._routes_version


def test_telemetry_is_told_the_path_of_a_route() -> None:
    """Its keywords; without telemetry it does nothing."""
    from fastapi.telemetry._api import _route_selected

    scope = {"type": "http"}
    _route_selected(scope=scope, path="/items")
    assert scope == {"type": "http"}


def test_a_path_is_taken_below_the_root_path() -> None:
    """As Starlette's own routes do."""
    from starlette._utils import get_route_path

    assert get_route_path({"path": "/sub/items", "root_path": "/sub"}) == "/items"
    assert get_route_path({"path": "/subitems", "root_path": "/sub"}) == "/subitems"
    assert get_route_path({"path": "/items"}) == "/items"


def test_what_is_made_of_a_signature_is_not_needed_before() -> None:
    """A route that has lost it is included all the same; a context of it has everything."""
    from fastapix5.endpoints import MADE

    class Bare(APIRoute):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            for name in MADE:
                delattr(self, name)

    async def endpoint(item: Item, number: Annotated[int, Depends(give)]) -> Item:
        return item

    app, router = FastAPI(), APIRouter(route_class=Bare)
    router.post("/items", responses={418: {"model": Item}})(endpoint)
    app.include_router(router)
    with TestClient(app) as client:
        assert client.post("/items", json={"name": "x"}).json() == {"name": "x"}
        assert client.get("/openapi.json").status_code == 200
    (context,) = app.routes[-1].effective_route_contexts()  # type: ignore[attr-defined]
    assert all(hasattr(context, name) for name in MADE)
