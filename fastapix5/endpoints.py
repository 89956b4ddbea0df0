"""Where FastAPI meets the pipeline: a route that runs a plan, and keeps the declared signature for OpenAPI.

This module and ``routers`` alone touch FastAPI's internals; ``tests/test_fastapi_internals.py`` names each.
"""

from __future__ import annotations

import email.message
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Protocol, cast

import pydantic_core
from fastapi import APIRouter, params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, get_flat_params, solve_dependencies
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.routing import APIRoute, _effective_route_context_var, iter_route_contexts
from fastapi.utils import create_model_field
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined
from starlette.background import BackgroundTasks
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from fastapix5.exceptions import Error, FieldError, ImproperlyConfigured, ValidationFailed
from fastapix5.handlers import Body
from fastapix5.parameters import identifier
from fastapix5.permissions import AllowAny
from fastapix5.pipeline import answer
from fastapix5.plan import RoutePlan
from fastapix5.problems import (
    ParseError,
    PayloadTooLarge,
    ProblemDetails,
    UnsupportedMediaType,
    documented,
    field_errors,
    problem_for,
    request_id,
)
from fastapix5.schemas import closed_schema

logger = logging.getLogger("fastapix5.request")

# Where a request's scope keeps the places of the model's attributes.
PLACES = "fastapix5.places"

# What a typed field cannot refuse by itself, spelt in bytes: NUL, and numbers that are not finite.
SUSPICIOUS = re.compile(rb"\\u0000|[eE]\+?[0-9]{3}|[0-9]{300}|NaN|Infinity")


class Effective(Protocol):
    """A route, or its context in one inclusion: what FastAPI made of the signature."""

    dependant: Dependant
    body_field: ModelField | None
    dependency_overrides_provider: Any
    response_fields: dict[Any, ModelField]
    _embed_body_fields: bool


# What FastAPI makes of a signature; most of what a route costs.
MADE = ("dependant", "body_field", "response_field", "response_fields", "_embed_body_fields")


class ViewSetRoute(APIRoute):
    """One route of a viewset.

    FastAPI makes fields of a signature for the route itself and again for each inclusion, which are the ones that count.
    Here the route's own are made when somebody asks for them, and at once where the signature is a user's: one that
    FastAPI refuses stops the start.

    Args:
        plan: What it serves.
        router: The router that holds it, whose prefix, dependencies and tags are the route's too.
    """

    def __init__(self, plan: RoutePlan, router: APIRouter) -> None:
        self.plan = plan
        documentation = {"deprecated": router.deprecated, **plan.documentation}
        shown = documentation.pop("include_in_schema", True) and router.include_in_schema
        tags = documentation.pop("tags", None) or getattr(plan.prototype, "tags", None) or [plan.name]
        super().__init__(
            router.prefix + plan.path,
            unread,
            methods=[plan.method],
            name=f"{plan.name}-{plan.action.replace('_', '-')}",
            status_code=plan.output.status,
            response_model=None,
            response_class=Response if plan.output.adapter is None else JSONResponse,
            summary=documentation.pop("summary", None) or summary(plan),
            description=documentation.pop("description", None) or description(plan),
            tags=[*router.tags, *tags],
            generate_unique_id_function=operation_id,
            include_in_schema=shown,
            **documentation,
        )
        self.endpoint = endpoint_of(plan)
        self.response_model = plan.output.response_type if plan.output.adapter is not None else None
        self.dependencies = [*router.dependencies, *(params.Security(scheme) for scheme in schemes(plan))]
        for name in MADE:
            delattr(self, name)
        has_body = plan.body is not None
        if plan.function is not None or router.dependencies:
            has_body = self.body_field is not None
        self.responses = {status: documented(status) for status in statuses(plan, has_body=has_body)}

    def __getattr__(self, name: str) -> Any:
        """Make what FastAPI makes of the signature, as in an inclusion that adds nothing."""
        if name not in MADE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        outer = APIRouter()
        outer.include_router(APIRouter(routes=[self]))
        (alone,) = iter_route_contexts(outer.routes)
        for made in MADE:
            setattr(self, made, getattr(alone, made))
        return vars(self)[name]

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Bind the plan to the inclusion that FastAPI is making of this route, or to the route itself, when it is asked."""
        context = _effective_route_context_var.get()
        if context is None or context.original_route is not self:
            return self._answer
        bound = BoundRoute(self.plan, cast("Effective", context))

        async def handler(request: Request) -> Response:
            return await answer(bound, request)

        return handler

    async def _answer(self, request: Request) -> Response:
        return await answer(self._bound, request)

    @cached_property
    def _bound(self) -> BoundRoute:
        return BoundRoute(self.plan, cast("Effective", self))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; what nobody handled becomes a problem."""
        await with_problems(super().handle, scope, receive, send, self.plan)


async def unread() -> None:
    """Stands for an endpoint until its signature is read."""


@dataclass
class SolvedDependencies:
    """What FastAPI dependencies and an action's own parameters came to."""

    values: dict[str, Any]
    response: Response | None = None
    background: BackgroundTasks | None = None

    def finish(self, response: Response) -> None:
        """Give the response the status, headers and background tasks that they asked for."""
        if self.response is not None:
            response.raw_headers.extend(self.response.raw_headers)
            # FastAPI leaves it None until somebody sets it.
            response.status_code = self.response.status_code or response.status_code
        if self.background is not None:
            if response.background is None:
                response.background = self.background
            else:
                response.background = BackgroundTasks([self.background, response.background])

    def remember(self) -> Callable[[], None]:
        """Return what takes back status, headers and background tasks that are added from here on."""
        response, background = self.response, self.background
        status: Any = None if response is None else response.status_code
        headers = () if response is None else tuple(response.raw_headers)
        tasks = () if background is None else tuple(background.tasks)

        def take_back() -> None:
            if response is not None:
                # In place: the headers that were handed out are a view of the list.
                response.status_code, response.raw_headers[:] = status, headers
            if background is not None:
                background.tasks[:] = tasks

        return take_back


class BoundRoute:
    """A plan in one inclusion: what prefixes, dependencies and overrides add is known here, once."""

    def __init__(self, plan: RoutePlan, effective: Effective) -> None:
        self.plan = plan
        self.embed = effective._embed_body_fields  # noqa: SLF001
        self.provider = effective.dependency_overrides_provider
        whole = effective.dependant
        self.body_fields = tuple(body_params(whole))
        check_json_only(plan, self.body_fields)
        documented_only = schemes(plan)
        self.dependant = replace(
            whole,
            path_params=self._foreign(whole.path_params),
            query_params=self._foreign(whole.query_params),
            body_params=[],
            dependencies=[found for found in whole.dependencies if found.call not in documented_only],
        )
        self.own_body = tuple(whole.body_params)
        self.waits = any(any(body_params(found)) for found in self.dependant.dependencies)
        self.known = dict(query_names(self.dependant))
        rest = (self.dependant.path_params, self.dependant.query_params, whole.header_params, whole.cookie_params)
        special = (whole.request_param_name, whole.response_param_name, whole.background_tasks_param_name)
        self.idle = not any(rest) and not self.dependant.dependencies and not any(special)
        document_problem(effective)

    def _foreign(self, fields: list[ModelField]) -> list[ModelField]:
        """Parameters that the plan does not parse itself: those of an action's own signature."""
        own = {f"query_{identifier(name)}" for name in self.plan.parameters} | {key.kwarg for key in self.plan.keys}
        return [found for found in fields if found.name not in own]

    def known_parameters(self) -> Mapping[str, bool]:
        """Query parameters that dependencies and actions declare, overrides included, and whether each takes a list."""
        overrides = getattr(self.provider, "dependency_overrides", None)
        if not overrides:
            return self.known
        return self.known | dict(pair for found in overriding(self.dependant, overrides) for pair in query_names(found))

    async def solve(self, request: Request) -> SolvedDependencies:
        """Run the dependencies that need no body, and parse an action's own parameters.

        Raises:
            ValidationFailed: A parameter is wrong.
        """
        if self.idle or self.waits:
            return SolvedDependencies({})
        return await self._solve(request, PydanticUndefined)

    async def _solve(self, request: Request, body: Any) -> SolvedDependencies:
        solved = await solve_dependencies(
            request=request,
            dependant=self.dependant,
            body=body,
            dependency_overrides_provider=self.provider,
            async_exit_stack=request.scope["fastapi_inner_astack"],
            embed_body_fields=self.embed,
        )
        if solved.errors:
            raise ValidationFailed(field_errors(solved.errors))
        return SolvedDependencies(solved.values, solved.response, solved.background_tasks)

    async def read_body(self, request: Request) -> bytes | Exception:
        """Read the body before a transaction is opened, so that a slow client holds no connection."""
        if not self.body_fields:
            return b""
        limit = self.plan.max_body_size
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            return PayloadTooLarge(limit)
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                return PayloadTooLarge(limit)
            chunks.append(chunk)
        raw = b"".join(chunks)
        # What Starlette keeps for a hook that asks for request.body() or request.json().
        request._body = raw  # noqa: SLF001
        return raw if not raw or is_json(request.headers.get("content-type")) else UnsupportedMediaType()

    async def parse_body(
        self, request: Request, raw: bytes | Exception, solved: SolvedDependencies
    ) -> tuple[Body, SolvedDependencies]:
        """Parse the body strictly, as OpenAPI documents it; an error waits in the ``Body``."""
        if not self.body_fields:
            return Body(solved.values), solved
        try:
            if isinstance(raw, Exception):
                raise raw
            if self.waits:
                solved = await self._solve(request, self._tree(raw))
            return Body({**solved.values, **self._own_values(raw)}), solved
        except (Error, HTTPException) as error:
            return Body(error=error), solved

    def _tree(self, raw: bytes) -> Any:
        if not raw:
            return PydanticUndefined
        check_json(raw, self.plan.max_depth)
        return parsed(raw)

    def _own_values(self, raw: bytes) -> dict[str, Any]:
        if not self.own_body:
            return {}
        if not raw:
            return self._without_body()
        check_json(raw, self.plan.max_depth)
        if not self.embed:
            return {self.own_body[0].name: validated(self.own_body[0], raw, ("body",))}
        tree = parsed(raw)
        if not isinstance(tree, dict):
            raise ValidationFailed([FieldError(("body",), "dict_type", "Input should be a JSON object.")])
        return self._embedded(tree)

    def _without_body(self) -> dict[str, Any]:
        missing = [found for found in self.own_body if found.field_info.is_required()]
        if missing:
            raise ValidationFailed([FieldError(("body",), "missing", "A body is required.")])
        return {found.name: found.get_default() for found in self.own_body}

    def _embedded(self, tree: dict[str, Any]) -> dict[str, Any]:
        values, errors = {}, []
        known = {found.alias for found in self.body_fields}
        errors += [
            FieldError(("body", key), "extra_forbidden", "There is no such field.") for key in tree if key not in known
        ]
        for found in self.own_body:
            if found.alias not in tree:
                if found.field_info.is_required():
                    errors.append(FieldError(("body", found.alias), "missing", "Field required"))
                else:
                    values[found.name] = found.get_default()
                continue
            try:
                values[found.name] = validated(found, pydantic_core.to_json(tree[found.alias]), ("body", found.alias))
            except ValidationFailed as error:
                errors.extend(error.errors)
        if errors:
            raise ValidationFailed(errors)
        return values


# Bodies


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type says ``application/json``, in UTF-8 where it says more."""
    message = email.message.Message()
    message["content-type"] = content_type or "application/octet-stream"
    charset = message.get_param("charset", "utf-8")
    return message.get_content_type() == "application/json" and str(charset).lower() in ("utf-8", "utf8")


def parsed(raw: bytes) -> Any:
    """Return the JSON in ``raw``.

    Raises:
        ParseError: It is not JSON, or not UTF-8.
    """
    try:
        return pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise too_deep(("body",)) from None
        raise ParseError(f"This is not valid JSON: {error}.") from None


def validated(found: ModelField, raw: bytes, loc: tuple[str, ...]) -> Any:
    """Return the value of a body parameter; types are JSON's own: no string is taken for a number."""
    # A schema says for itself how strict it is: ours say so field by field.
    strict = None if hasattr(found.field_info.annotation, "model_config") else True
    try:
        return found._type_adapter.validate_json(raw, strict=strict)  # noqa: SLF001
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise ParseError(f"This is not valid JSON: {errors[0].get('ctx', {}).get('error', '')}.") from None
        raise ValidationFailed(field_errors(errors, *loc)) from None


def check_json(raw: bytes, max_depth: int) -> None:
    """Refuse what no field would: nesting beyond ``max_depth``, NUL, and numbers that overflow.

    The bytes tell whether a closer look is needed, so that an ordinary body is parsed once.

    Raises:
        ParseError: With the place.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth or SUSPICIOUS.search(raw):
        check_tree(parsed(raw), max_depth, ("body",))


def check_tree(value: Any, depth: int, loc: tuple[str | int, ...]) -> None:
    """Walk parsed JSON; see ``check_json``."""
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise too_deep(loc[:2])
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and "\0" in key:
                raise ParseError("A name contains the NUL character.", "nul_character", loc)
            check_tree(item, depth - 1, (*loc, key))
    elif isinstance(value, str) and "\0" in value:
        raise ParseError("The text contains the NUL character.", "nul_character", loc)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ParseError("The number is too large.", "finite_number", loc)


def too_deep(loc: tuple[str | int, ...]) -> ParseError:
    """What is said of JSON that nests too deep."""
    return ParseError("The JSON is nested too deep.", "too_deep", loc)


# FastAPI's dependants


def body_params(dependant: Dependant) -> Iterator[ModelField]:
    """Every body parameter of a dependant and of what it depends on."""
    yield from dependant.body_params
    for found in dependant.dependencies:
        yield from body_params(found)


def query_names(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names, in the URL, of every query parameter of a dependant, and whether each takes a list."""
    for found in get_flat_params(dependant):
        if getattr(found.field_info, "in_", None) is params.ParamTypes.query:
            yield found.alias, field_annotation_is_sequence(found.field_info.annotation)


def overriding(dependant: Dependant, overrides: Mapping[Any, Any]) -> Iterator[Dependant]:
    """The dependants of the overrides that a route's dependencies meet."""
    for found in dependant.dependencies:
        if found.call in overrides:
            yield get_dependant(path=found.path or "", call=overrides[found.call])
        yield from overriding(found, overrides)


def check_json_only(plan: RoutePlan, fields: tuple[ModelField, ...]) -> None:
    """Refuse forms and files: only JSON bodies are taken.

    Raises:
        ImproperlyConfigured: A parameter is one.
    """
    for found in fields:
        if isinstance(found.field_info, params.Form):
            raise ImproperlyConfigured(
                plan.where, f'"{found.name}" is a form field.', "Take it from a JSON body instead."
            )


def document_problem(effective: Effective) -> None:
    """Have FastAPI collect the problem's schema, to which the documented errors refer."""
    effective.response_fields = {**effective.response_fields, "problem": problem_field()}


@cache
def problem_field() -> ModelField:
    """The problem's schema, as FastAPI keeps one."""
    return create_model_field(name="Problem", type_=ProblemDetails, mode="serialization")


# What a route says of itself


def endpoint_of(plan: RoutePlan) -> Callable[..., Any]:
    """A function with the signature that OpenAPI shows and FastAPI's dependencies are found in; it is never called."""

    async def endpoint(**values: Any) -> Any:
        raise NotImplementedError("the pipeline runs the plan")

    parameters = [key.signature() for key in plan.keys]
    parameters += [parameter.signature() for parameter in plan.parameters.values()]
    if plan.body is not None:
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("data", kind, annotation=plan.body.schema))
    if plan.function is not None:
        taken = {parameter.name for parameter in parameters}
        own = inspect.signature(plan.function, eval_str=True).parameters.values()
        parameters += [closed(found) for found in own if found.name not in taken]
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__name__ = endpoint.__qualname__ = plan.action
    endpoint.__module__ = type(plan.prototype).__module__
    endpoint.__doc__ = None
    return endpoint


def closed(parameter: inspect.Parameter) -> inspect.Parameter:
    """An action's parameter as it is enforced: a schema in the body refuses what it does not name."""
    annotation = parameter.annotation
    if (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and parameter.default is inspect.Parameter.empty
    ):
        annotation = closed_schema(annotation)
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def statuses(plan: RoutePlan, *, has_body: bool) -> list[int]:
    """The error statuses that a route can answer with."""
    found = {422, 500, 503}
    if plan.policies.authentication:
        found |= {401}
    # A write may also leave the row policy.
    if not plan.safe or any(type(permission) is not AllowAny for permission in plan.permissions):
        found |= {403}
    pagination = plan.policies.pagination
    if plan.keys or plan.function is not None or (pagination is not None and pagination.ends):
        found |= {404}
    if plan.policies.throttles:
        found |= {429}
    if not plan.safe:
        found |= {409}
    if has_body:
        found |= {413, 415}
    return sorted(found)


def schemes(plan: RoutePlan) -> list[Any]:
    """The security schemes to document, where the permissions ask for somebody."""
    if not any(permission.requires_authentication for permission in plan.permissions):
        return []
    found = (authentication.security_scheme for authentication in plan.policies.authentication)
    return [scheme for scheme in found if scheme is not None]


SUMMARIES = {
    "list": "List {name}",
    "create": "Create one of {name}",
    "retrieve": "Retrieve one of {name}",
    "update": "Replace one of {name}",
    "partial_update": "Change one of {name}",
    "destroy": "Delete one of {name}",
}


def summary(plan: RoutePlan) -> str:
    """A short line for OpenAPI."""
    below = f" below {', '.join(parent.name for parent in plan.parents)}" if plan.parents else ""
    standard = SUMMARIES.get(plan.action) if plan.function is None else None
    return (standard or plan.action.replace("_", " ").capitalize()).format(name=plan.name) + below


def description(plan: RoutePlan) -> str | None:
    """The docstring of an action's method, else of the viewset."""
    source = plan.function if plan.function is not None else type(plan.prototype)
    own = source.__doc__ if plan.function is not None else vars(source).get("__doc__")
    return inspect.cleandoc(own) if own else None


def operation_id(route: Any) -> str:
    """A stable, readable id that the path makes unique: ``api_airlines_flights_list``."""
    words = [part for part in route.path_format.split("/") if part and not part.startswith("{")]
    plan: RoutePlan | None = getattr(getattr(route, "original_route", route), "plan", None)
    action = route.name.rpartition("-")[2] if plan is None else plan.action
    if plan is not None and plan.function is not None:
        words = words[:-1]
        several = len(getattr(plan.function, "__fastapix5_action__").methods) > 1  # noqa: B009
        action = f"{action}_{plan.method.lower()}" if several else action
    return "_".join(re.sub(r"\W", "_", word) for word in [*words, action])


# Errors on their way out


async def with_problems(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
    scope: Scope,
    receive: Receive,
    send: Send,
    plan: RoutePlan | None,
) -> None:
    """Run ``app`` so that our errors, and what nobody handles, are answered as problems.

    Handlers that the application registered win: for the class of the error by Starlette's own look-up, and for
    ``Exception`` by letting it through.
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
    StarletteHTTPException: error_problem,
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
