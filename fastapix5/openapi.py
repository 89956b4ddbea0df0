"""What a route says of itself in OpenAPI: its signature, its errors and its words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from fastapix5.permissions import AllowAny
from fastapix5.plan import RoutePlan
from fastapix5.schemas import closed_schema


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
