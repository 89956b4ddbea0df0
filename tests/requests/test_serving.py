"""A route without FastAPI dependencies is served without FastAPI's machinery: nobody can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

from fastapix5 import AllowAny, action, setup
from fastapix5.endpoints import BoundRoute
from fastapix5.exceptions import DoesNotExist
from fastapix5.problems import REQUEST_ID
from tests.conftest import on_sqlite
from tests.requests.app import ADA, CompanyViewSet
from tests.requests.conftest import Serve

pytestmark = [pytest.mark.anyio, on_sqlite]

ran: list[str] = []


def nothing() -> None:
    """A dependency, so that FastAPI serves the route."""


class ServedViewSet(CompanyViewSet):
    @action(detail=False, permission_classes=[AllowAny])
    async def missing(self) -> None:
        raise HTTPException(404, "Nobody knows.", headers={"X-Looked": "everywhere"})

    @action(detail=False, permission_classes=[AllowAny])
    async def broken(self) -> None:
        raise ValueError("swordfish")

    @action(detail=False, permission_classes=[AllowAny])
    async def streamed(self) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one,"
            yield b"two"

        return StreamingResponse(parts(), media_type="text/csv", background=BackgroundTask(ran.append, "later"))

    @action(detail=False, permission_classes=[AllowAny])
    async def no_file(self) -> FileResponse:
        return FileResponse(Path("nowhere"))

    @action(detail=False, permission_classes=[AllowAny])
    async def raw(self) -> bytes:
        return b"{}"

    @action(detail=False, permission_classes=[AllowAny])
    async def own(self) -> JSONResponse:
        return JSONResponse({"a": 1}, 203, headers={"X-Own": "yes"})


def both(serve: Serve, **options: Any) -> list[httpx2.AsyncClient]:
    """Clients of two applications: FastAPI serves the routes of the second one."""
    clients = []
    for dependencies in ([], [Depends(nothing)]):
        app = setup(FastAPI(**options))
        app.include_router(ServedViewSet().router, dependencies=dependencies)
        clients.append(serve(app))
    return clients


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were served without FastAPI's machinery."""
    paths: list[str] = []
    serve = BoundRoute.__call__

    async def watched(self: BoundRoute, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await serve(self, scope, receive, send)

    monkeypatch.setattr(BoundRoute, "__call__", watched)
    return paths


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("GET", "/companies", None),
        ("GET", "/companies/1", None),
        ("HEAD", "/companies/1", None),
        ("GET", "/companies/99", None),
        ("GET", "/companies/x", None),
        ("HEAD", "/companies/x", None),
        ("GET", "/companies?nme=1", None),
        ("POST", "/companies", {"name": 1}),
        ("PATCH", "/companies/1", {"name": "Ada's"}),
        ("DELETE", "/companies/99", None),
        ("GET", "/companies/missing", None),
        ("GET", "/companies/broken", None),
        ("GET", "/companies/streamed", None),
        ("HEAD", "/companies/streamed", None),
        ("GET", "/companies/no-file", None),
        ("GET", "/companies/raw", None),
        ("GET", "/companies/own", None),
    ],
)
async def test_both_ways_answer_alike(serve: Serve, served: list[str], method: str, path: str, json: Any) -> None:
    """Status, headers and body are the same; one of the two was served without FastAPI's machinery."""
    ran.clear()
    answers = []
    headers = {**ADA, "X-Request-ID": "same"}
    for client in both(serve):
        answer = await client.request(method, path, json=json, headers=headers)
        answers.append((answer.status_code, answer.headers.multi_items(), answer.text))
    assert answers[0] == answers[1]
    assert served == [path.partition("?")[0]]
    assert ran == (["later", "later"] if path.endswith("streamed") else [])


async def test_a_handler_is_given_the_request_whose_body_was_read(serve: Serve) -> None:
    """So it can show the body, which comes once."""

    async def handler(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"sent": await request.json()}, 410)

    app = setup(FastAPI())
    app.add_exception_handler(DoesNotExist, handler)
    app.include_router(ServedViewSet().router)
    answer = await serve(app).patch("/companies/99", json={"name": "x"}, headers=ADA)
    assert (answer.status_code, answer.json()) == (410, {"sent": {"name": "x"}})


async def test_a_limit_of_fastapis_own_holds(serve: Serve) -> None:
    """``max_body_size`` of the application or of the inclusion."""
    app = setup(FastAPI())
    app.include_router(ServedViewSet().router, max_body_size=10)
    for client in (serve(app), both(serve, max_body_size=10)[0]):
        answer = await client.post("/companies", json={"name": "Cog", "slug": "cog"}, headers=ADA)
        assert answer.status_code == 413


async def test_bytes_of_an_action_are_a_value(serve: Serve) -> None:
    """What it returns as bytes is a string in the answer, and not JSON already."""
    (client, _) = both(serve)
    assert (await client.get("/companies/raw")).text == '"{}"'


async def test_each_request_has_an_id_of_its_own(serve: Serve) -> None:
    """32 hexadecimal digits, unless the caller gives a sane one; an answer's own stays."""
    app = setup(FastAPI())
    app.include_router(ServedViewSet().router)

    @app.get("/named")
    def named(request: Request) -> JSONResponse:
        return JSONResponse(request.scope[REQUEST_ID], headers={"X-Request-ID": "mine"})

    client = serve(app)
    made = {(await client.get("/companies/1")).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    assert all(len(found) == 32 and int(found, 16) for found in made)
    strange = await client.get("/companies/1", headers={"X-Request-ID": "a b"})
    assert strange.headers["x-request-id"] not in {"a b", *made}
    assert (await client.get("/named", headers={"X-Request-ID": "given"})).json() == "given"
    assert (await client.get("/named")).headers.get_list("x-request-id") == ["mine"]
