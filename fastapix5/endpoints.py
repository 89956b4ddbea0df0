"""Where FastAPI meets the pipeline: a route that runs a plan, and what an inclusion adds to it.

This module and ``routers`` alone touch FastAPI's internals; ``tests/test_fastapi_internals.py`` names each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any, Protocol, cast

import pydantic_core
from fastapi import APIRouter, params
from fastapi._compat import ModelField, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, get_flat_params, solve_dependencies
from fastapi.exceptions import HTTPException
from fastapi.routing import APIRoute, _effective_route_context_var, iter_route_contexts
from fastapi.utils import create_model_field
from pydantic_core import PydanticUndefined
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapix5.bodies import check_json, is_json, parsed, validated
from fastapix5.exceptions import Error, FieldError, ImproperlyConfigured, ValidationFailed
from fastapix5.failures import with_problems
from fastapix5.handlers import Body
from fastapix5.openapi import description, endpoint_of, operation_id, schemes, statuses, summary
from fastapix5.parameters import identifier
from fastapix5.pipeline import Rendered, answer
from fastapix5.plan import RoutePlan
from fastapix5.problems import PayloadTooLarge, ProblemDetails, UnsupportedMediaType, documented, field_errors

# Where FastAPI's context of a route in an inclusion keeps ours.
BOUND = "fastapix5_bound"


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
        bound = vars(context)[BOUND] = BoundRoute(self.plan, cast("Effective", context))

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


async def with_handlers(app: ASGIApp, request: Request, send: Send, plan: RoutePlan | None) -> None:
    """Run ``app`` behind the exception handlers of the application, then ``with_problems``: for what FastAPI has not wrapped.

    Args:
        app: What answers the request.
        request: What the handlers are given; it may hold the body already.
        send: Where the answer goes.
        plan: The route's.
    """

    async def handled(scope: Scope, receive: Receive, send: Send) -> None:
        await wrap_app_handling_exceptions(app, request)(scope, receive, send)

    await with_problems(handled, request.scope, request.receive, send, plan)


async def fail(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    """Raise an error, as an application that fails."""
    raise error


class BoundRoute:
    """A plan in one inclusion: what prefixes, dependencies and overrides add is known here, once.

    Attributes:
        waits: Whether a dependency reads the body, so that all of them run in step 9.
        idle: Whether no dependency and no parameter of an action's own is left for FastAPI.
        solves: Whether there is anything to ``solve`` in step 5.
        has_body: Whether anything takes the body.
    """

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
        self.solves = not self.idle and not self.waits
        self.has_body = bool(self.body_fields)
        document_problem(effective)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request where nothing is left for FastAPI: no exit stacks, and handlers only where they are needed."""
        request = Request(scope, receive, send)
        try:
            response = await answer(self, request)
        except Exception as error:  # noqa: BLE001  (it is raised again where the application's handlers are asked)
            await with_handlers(partial(fail, error), request, send, self.plan)
            return
        if type(response) is Rendered and scope["method"] != "HEAD":
            await response(scope, receive, send)
        else:
            await with_handlers(response, request, send, self.plan)

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
        limit = self.plan.max_body_size
        # Of a header that is given twice the first counts.
        headers: dict[bytes, bytes] = dict(reversed(list(request.scope["headers"])))
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
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
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        return raw if not raw or is_json(content_type) else UnsupportedMediaType()

    def parse_body(self, raw: bytes | Exception, solved: SolvedDependencies | None) -> Body:
        """Parse the body strictly, as OpenAPI documents it; an error waits in the ``Body``."""
        values = {} if solved is None else solved.values
        if not self.own_body:
            return Body(values)
        try:
            if isinstance(raw, Exception):
                raise raw
            return Body({**values, **self._own_values(raw)})
        except (Error, HTTPException) as error:
            return Body(error=error)

    async def solve_with_body(self, request: Request, raw: bytes | Exception) -> tuple[Body, SolvedDependencies | None]:
        """Run the dependencies that waited for the body, and parse it; an error waits in the ``Body``."""
        try:
            if isinstance(raw, Exception):
                raise raw
            solved = await self._solve(request, self._tree(raw))
        except (Error, HTTPException) as error:
            return Body(error=error), None
        return self.parse_body(raw, solved), solved

    def _tree(self, raw: bytes) -> Any:
        if not raw:
            return PydanticUndefined
        check_json(raw, self.plan.max_depth)
        return parsed(raw)

    def _own_values(self, raw: bytes) -> dict[str, Any]:
        if not raw:
            return self._without_body()
        check_json(raw, self.plan.max_depth)
        if not self.embed:
            return {self.own_body[0].name: body_value(self.own_body[0], raw, ("body",))}
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
                raw = pydantic_core.to_json(tree[found.alias])
                values[found.name] = body_value(found, raw, ("body", found.alias))
            except ValidationFailed as error:
                errors.extend(error.errors)
        if errors:
            raise ValidationFailed(errors)
        return values


# FastAPI's dependants


def body_params(dependant: Dependant) -> Iterator[ModelField]:
    """Every body parameter of a dependant and of what it depends on."""
    yield from dependant.body_params
    for found in dependant.dependencies:
        yield from body_params(found)


def body_value(found: ModelField, raw: bytes, loc: tuple[str, ...]) -> Any:
    """Return the value of a body parameter from its JSON."""
    return validated(found._type_adapter, found.field_info.annotation, raw, loc)  # noqa: SLF001


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
