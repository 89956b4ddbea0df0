"""What an application gets from ``setup(app)``: problem answers everywhere, request ids, and the engines' lifespan."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapix5.db import dispose_engines, get_engine, ping
from fastapix5.failures import HANDLERS
from fastapix5.problems import REQUEST_ID, request_id
from fastapix5.settings import settings

HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def setup(app: FastAPI) -> FastAPI:
    """Make an existing application speak as the generated routes do, and return it.

    Errors of every route become problems, unless the application registered a handler for them before; answers carry
    ``X-Request-ID``, taken from the request where it has a sane one; engines are made at start, where PING_DATABASES pings
    them, and disposed of at shutdown.
    """
    if getattr(app.state, "fastapix5", False):
        return app
    app.state.fastapix5 = True
    defaults = FastAPI().exception_handlers
    for kind, handler in HANDLERS.items():
        if app.exception_handlers.get(kind) in (None, defaults.get(kind)):
            app.add_exception_handler(kind, handler)
    app.add_middleware(RequestIdMiddleware)
    app.router.lifespan_context = _with_engines(app.router.lifespan_context)
    return app


def get_default_app(**options: Any) -> FastAPI:
    """Return a new FastAPI application that is set up.

    Args:
        options: What ``FastAPI`` takes.
    """
    return setup(FastAPI(**options))


class RequestIdMiddleware:
    """Names each request: in the answer's ``X-Request-ID``, in problems and in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == HEADER:
                if SANE.fullmatch(value):
                    scope[REQUEST_ID] = value.decode()
                break
        header = (HEADER, request_id(scope).encode())

        def named(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if HEADER not in dict(headers):
                    message["headers"] = [*headers, header]
            return send(message)

        await self.app(scope, receive, named)


def _with_engines(lifespan: Any) -> Any:
    @asynccontextmanager
    async def with_engines(app: Any) -> AsyncIterator[Any]:
        for alias in settings.DATABASES:
            # Nothing connects; but a driver takes its time to load, and the first request should not wait for it.
            get_engine(alias)
            if settings.PING_DATABASES:
                await ping(alias)
        try:
            async with lifespan(app) as state:
                yield state
        finally:
            await dispose_engines()

    return with_engines
