"""What can be done with a resource: the standard actions, and ``@action`` for the others."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

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
        "filterset_fields",
        "search_fields",
        "ordering_fields",
        "ordering",
        "allow_hidden",
        "pagination_class",
        "read_schema",
        "retry",
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


class Standard(NamedTuple):
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


class ActionDeclaration(NamedTuple):
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
    status_code: int | None
    policies: Mapping[str, Any]
    documentation: Mapping[str, Any]


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
        options: Policies and schemas that override the viewset's for this action (``permission_classes``, ...);
            ``retry=False``, so that it never runs twice for one request; and ``summary``, ``description``,
            ``deprecated``, ``tags``, ``include_in_schema`` for OpenAPI.

    Raises:
        ImproperlyConfigured: An option or method is unknown.
    """

    def declare(function: F) -> F:
        where = getattr(function, "__qualname__", "@action")
        path = (function.__name__ if url_path is None else url_path).strip("/")
        check_options(where, options)
        check_path(where, path)
        declaration = ActionDeclaration(
            name=function.__name__,
            detail=detail,
            methods=checked_methods(where, methods),
            url_path=path,
            status_code=status_code,
            policies={name: value for name, value in options.items() if name in POLICIES},
            documentation={name: value for name, value in options.items() if name in DOCUMENTATION},
        )
        setattr(function, MARK, declaration)
        return function

    return declare


def check_options(where: str, options: Mapping[str, Any]) -> None:
    """Refuse options that ``@action`` does not have.

    Raises:
        ImproperlyConfigured: One is unknown; the error suggests the nearest.
    """
    known = sorted(POLICIES | DOCUMENTATION)
    for name in options:
        if name not in known:
            raise ImproperlyConfigured(
                where, f'@action has no option "{name}".{did_you_mean(name, known)}', f"Known: {', '.join(known)}."
            )


def checked_methods(where: str, methods: Sequence[str]) -> tuple[str, ...]:
    """Return HTTP methods in upper case, each once.

    Raises:
        ImproperlyConfigured: One is unknown, or there is none.
    """
    given = [methods] if isinstance(methods, str) else methods
    upper = tuple(dict.fromkeys(str(method).upper() for method in given))
    for method in upper or ("",):
        if method not in METHODS:
            raise ImproperlyConfigured(
                where,
                f'@action has no method "{method}".{did_you_mean(method, METHODS)}',
                f"Known: {', '.join(METHODS)}.",
            )
    return upper


def check_path(where: str, path: str) -> None:
    """Refuse an action's path that is none.

    Raises:
        ImproperlyConfigured: It has odd characters, or begins with a parameter.
    """
    if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+|/\{[a-zA-Z_]\w*\})*", path):
        raise ImproperlyConfigured(
            where, f'url_path "{path}" is not a path.', 'Write it like "delay" or "seats/{row}".'
        )


def declared_actions(cls: type[Any]) -> list[ActionDeclaration]:
    """Return every ``@action`` of a class, its bases' included, in the order of their names.

    Raises:
        ImproperlyConfigured: A subclass overrides an action's method and forgets the decorator.
    """
    marked = {
        name for owner in cls.__mro__ for name, member in vars(owner).items() if MARK in getattr(member, "__dict__", ())
    }
    found = []
    for name in sorted(marked):
        member = getattr(cls, name, None)
        declaration = declaration_of(member)
        if declaration is not None:
            found.append(declaration._replace(name=name))
        elif callable(member):
            raise ImproperlyConfigured(
                f"{cls.__name__}.{name}",
                "it overrides an @action, and is none itself.",
                f"Decorate it again, or drop the action: {name} = None.",
            )
    return found


def declaration_of(member: Any) -> ActionDeclaration | None:
    """Return what ``@action`` said of a member, or None."""
    found = getattr(member, MARK, None)
    return found if isinstance(found, ActionDeclaration) else None
