"""What can be done with a resource: the standard actions, and ``@action`` for the others."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapix5.exceptions import ImproperlyConfigured, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__fastapix5_action__"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# What @action may say for its action alone; each stands for the viewset's attribute of the same name.
POLICIES = frozenset(
    {
        "authentication_classes",
        "permission_classes",
        "throttle_classes",
        "filter_backends",
        "pagination_class",
        "read_schema",
        "security_scopes",
    }
)


class Action(enum.StrEnum):
    """The standard actions; a mapping by action takes them, or the name of an ``@action``, as its keys."""

    LIST = "list"
    RETRIEVE = "retrieve"
    CREATE = "create"
    UPDATE = "update"
    PARTIAL_UPDATE = "partial_update"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Standard:
    """Where a standard action lives: its method, whether it names one row, and the status of its answer."""

    action: Action
    method: str
    detail: bool
    status: int


STANDARD: Mapping[Action, Standard] = {
    standard.action: standard
    for standard in (
        Standard(Action.LIST, "GET", detail=False, status=200),
        Standard(Action.CREATE, "POST", detail=False, status=201),
        Standard(Action.RETRIEVE, "GET", detail=True, status=200),
        Standard(Action.UPDATE, "PUT", detail=True, status=200),
        Standard(Action.PARTIAL_UPDATE, "PATCH", detail=True, status=200),
        Standard(Action.DESTROY, "DELETE", detail=True, status=204),
    )
}


@dataclass(frozen=True, slots=True)
class ActionDeclaration:
    """What ``@action`` said of a method.

    Attributes:
        name: The method's name.
        detail: Whether the path names one row.
        methods: HTTP methods, in upper case.
        url_path: The segment behind the collection or the row.
        status_code: The status of a plain answer; 204 where the method returns None.
        policies: Keywords that override the viewset's attributes for this action.
        documentation: ``summary``, ``description``, ``deprecated``, ``tags``, ``include_in_schema``.
    """

    name: str
    detail: bool
    methods: tuple[str, ...]
    url_path: str
    status_code: int | None = None
    policies: Mapping[str, Any] = field(default_factory=dict)
    documentation: Mapping[str, Any] = field(default_factory=dict)


DOCUMENTATION = frozenset({"summary", "description", "deprecated", "tags", "include_in_schema"})


def action(
    *,
    detail: bool,
    methods: Sequence[str] = ("GET",),
    url_path: str | None = None,
    status_code: int | None = None,
    **options: Any,
) -> Callable[[F], F]:
    """Give a viewset's method a route of its own. Its signature is a FastAPI signature: body, query, ``Depends``.

    Args:
        detail: Whether the path names one row: ``/flights/{flight_id}/delay`` or ``/flights/delay``.
        methods: HTTP methods.
        url_path: The path's segment; the method's name without it.
        status_code: The status of the answer; 200, or 204 for a method that returns None.
        options: Policies and schemas that override the viewset's for this action (``permission_classes``, ...), and
            ``summary``, ``description``, ``deprecated``, ``tags``, ``include_in_schema`` for OpenAPI.

    Raises:
        ImproperlyConfigured: An option or method is unknown.
    """

    def declare(function: F) -> F:
        where = getattr(function, "__qualname__", "@action")
        unknown = sorted(set(options) - POLICIES - DOCUMENTATION)
        if unknown:
            known = sorted(POLICIES | DOCUMENTATION)
            raise ImproperlyConfigured(
                where,
                f'@action has no option "{unknown[0]}".{did_you_mean(unknown[0], known)}',
                f"Known: {', '.join(known)}.",
            )
        upper = tuple(method.upper() for method in ([methods] if isinstance(methods, str) else methods))
        for method in upper:
            if method not in METHODS:
                raise ImproperlyConfigured(
                    where,
                    f'@action has no method "{method}".{did_you_mean(method, METHODS)}',
                    f"Known: {', '.join(METHODS)}.",
                )
        path = (function.__name__ if url_path is None else url_path).strip("/")
        if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+|/\{\w+\})*", path):
            raise ImproperlyConfigured(
                where, f'url_path "{path}" is not a path.', 'Write it like "delay" or "seats/{row}".'
            )
        declaration = ActionDeclaration(
            name=function.__name__,
            detail=detail,
            methods=upper,
            url_path=path,
            status_code=status_code,
            policies={name: value for name, value in options.items() if name in POLICIES},
            documentation={name: value for name, value in options.items() if name in DOCUMENTATION},
        )
        setattr(function, MARK, declaration)
        return function

    return declare


def declared_actions(cls: type[Any]) -> list[ActionDeclaration]:
    """Every ``@action`` of a class, its bases' included, in the order of their names."""
    members = inspect.getmembers(cls, lambda member: hasattr(member, MARK))
    return [getattr(member, MARK) for _, member in members]
