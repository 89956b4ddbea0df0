"""What stops the start: each check names the place, what is wrong there, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.permissions import BasePermission
from fastapix5.plan import RoutePlan

# Everything a declaration may say, as a class attribute or as a keyword.
ATTRIBUTES: frozenset[str] = frozenset(
    {
        "allow_hidden",
        "authentication_classes",
        "create_schema",
        "filter_backends",
        "filterset_fields",
        "list_schema",
        "lock_object",
        "lookup_field",
        "lookup_url_kwarg",
        "model",
        "name",
        "objects_filter",
        "ordering",
        "ordering_fields",
        "pagination_class",
        "parent_field",
        "permission_classes",
        "read_schema",
        "repository_class",
        "search_fields",
        "security",
        "security_scopes",
        "service_class",
        "tags",
        "throttle_classes",
        "update_schema",
        "using",
    }
)

HOOKS: frozenset[str] = frozenset(
    {
        "check_object_permissions",
        "create",
        "destroy",
        "filter_queryset",
        "get_object",
        "get_queryset",
        "list",
        "partial_update",
        "perform_create",
        "perform_destroy",
        "perform_update",
        "retrieve",
        "update",
    }
)

# DRF's hooks that a mapping by action replaces, and other names of DRF's that mean something here.
REPLACED: Mapping[str, str] = {
    "get_permissions": "Write permission_classes = {Action.LIST: [AllowAny], ...: [IsAuthenticated]}.",
    "get_authenticators": "Write authentication_classes = [...], or a mapping by action.",
    "get_throttles": "Write throttle_classes = {Action.CREATE: [UserRateThrottle], ...: []}.",
    "get_serializer_class": "Write read_schema = {Action.LIST: Brief, ...: Full}; list_schema does the same for lists.",
    "serializer_class": "Write read_schema, create_schema and update_schema.",
    "queryset": "Write model = ..., and narrow it in get_queryset().",
    "filter_class": "Write filterset_fields.",
    "permissions": "Write permission_classes.",
}

NEAR = 0.8


def check_class(cls: type[Any], base: type[Any]) -> None:
    """Refuse attributes of a viewset class that are near misses of known ones, and DRF's hooks that have no effect.

    Raises:
        ImproperlyConfigured: One is there.
    """
    known = ATTRIBUTES | HOOKS
    for owner in cls.__mro__:
        if not issubclass(owner, base) or owner.__module__.partition(".")[0] == base.__module__.partition(".")[0]:
            continue
        for name in vars(owner):
            if name in REPLACED:
                raise ImproperlyConfigured(f"{owner.__name__}.{name}", "it has no effect here.", REPLACED[name])
            if name.startswith("_") or name in known or hasattr(base, name):
                continue
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=NEAR)
            if near:
                raise ImproperlyConfigured(
                    f"{owner.__name__}.{name}",
                    f'it is not an attribute of a viewset. Did you mean "{near[0]}"?',
                    "If it is your own, give it a name that is further from ours, or a leading underscore.",
                )


def check_keywords(where: str, keywords: Iterable[str], known: Collection[str] = ATTRIBUTES) -> None:
    """Refuse keywords that stand for no attribute.

    Raises:
        ImproperlyConfigured: One is unknown; the error suggests the nearest.
    """
    for name in keywords:
        if name not in known:
            remedy = REPLACED.get(name, f"Known: {', '.join(sorted(known))}.")
            raise ImproperlyConfigured(where, f'there is no keyword "{name}".{did_you_mean(name, known)}', remedy)


def check_authentication(where: str, permissions: Iterable[BasePermission], authentication: Collection[Any]) -> None:
    """Refuse a route that nobody could ever use: it asks who is calling and has no way to tell.

    Raises:
        ImproperlyConfigured: A permission requires authentication and none is configured.
    """
    asking = next((permission for permission in permissions if permission.requires_authentication), None)
    if asking is not None and not authentication:
        raise ImproperlyConfigured(
            where,
            f"{asking!r} requires authentication, and none is configured.",
            "Give authentication_classes = [JWTAuthentication], set DEFAULT_AUTHENTICATION_CLASSES, "
            "or open it with permission_classes = [AllowAny].",
        )


def check_routes(routes: Iterable[RoutePlan]) -> None:
    """Refuse two routes with one path and method.

    Raises:
        ImproperlyConfigured: Two collide; the error names both.
    """
    seen: dict[tuple[str, str], RoutePlan] = {}
    for route in routes:
        place = (route.method, anonymous(route.path))
        other = seen.setdefault(place, route)
        if other is not route:
            raise ImproperlyConfigured(
                route.where,
                f"{route.method} {route.path} is taken by {other.where}.",
                "Give the action another url_path or method, or the viewset another name.",
            )


def anonymous(path: str) -> str:
    """``path`` with its parameters' names left out: two paths that differ in them alone are one."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
