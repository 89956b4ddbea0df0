"""Errors on their way out: each meets the application's own handlers first, and becomes a problem where there is none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapix5.exceptions import Error, ValidationFailed
from fastapix5.plan import RoutePlan
from fastapix5.problems import field_errors, problem_for, request_id

logger = logging.getLogger("fastapix5.request")

# Where a request's scope keeps the places of the model's attributes.
PLACES = "fastapix5.places"


async def with_problems(app: ASGIApp, scope: Scope, receive: Receive, send: Send, plan: RoutePlan | None) -> None:
    """Run ``app`` so that our errors, and what nobody handles, are answered as problems.

    Handlers that the application registered win: for the class of the error by Starlette's own look-up, which ``app``
    makes, and for ``Exception`` by letting it through.
    """
    by_class, by_status = scope.get("starlette.exception_handlers", ({}, {}))
    started = False

    async def watched(message: Any) -> None:
        nonlocal started
        started = True
        if scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    own = {kind: handler for kind, handler in by_class.items() if handler not in DEFAULTS}
    scope["starlette.exception_handlers"] = ({**HANDLERS, **own}, by_status)
    scope[PLACES] = {} if plan is None else plan.places
    try:
        await app(scope, receive, watched)
    except ClientDisconnect:
        return
    except Exception as error:
        if started or has_own_handler(scope):
            raise
        log_failure(scope, error, plan)
        await (await error_problem(Request(scope), error))(scope, receive, watched)


async def error_problem(request: Request, error: Exception) -> Response:
    """Answer an error as a problem; the route says where in the request each attribute came from."""
    return problem_for(error, request.scope.get(PLACES)).response(request_id(request.scope))


async def validation_problem(request: Request, error: Exception) -> Response:
    """Answer FastAPI's own validation error as a problem."""
    errors = field_errors(cast("RequestValidationError", error).errors())
    return problem_for(ValidationFailed(errors)).response(request_id(request.scope))


HANDLERS: Mapping[Any, Any] = {
    Error: error_problem,
    HTTPException: error_problem,
    RequestValidationError: validation_problem,
}

# What gives way to ours: FastAPI's own.
DEFAULTS = (http_exception_handler, request_validation_exception_handler)


def has_own_handler(scope: Scope) -> bool:
    """Whether the application handles every error itself."""
    handlers = getattr(scope.get("app"), "exception_handlers", {})
    return Exception in handlers or 500 in handlers


def log_failure(scope: Scope, error: Exception, plan: RoutePlan | None) -> None:
    """Log a 500 with its request id and traceback, but never with the error's text, which may hold a caller's values."""
    where = plan.where if plan is not None else scope.get("path", "")
    shown = RuntimeError(f"{type(error).__name__}; its text is left out, since it may hold a caller's values")
    logger.error("500 in %s, request %s", where, request_id(scope), exc_info=(RuntimeError, shown, error.__traceback__))
