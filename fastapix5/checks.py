"""What stops the start: each check names the place, what is wrong there, and the remedy."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fastapix5.actions import STANDARD, declaration_of
from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.permissions import BasePermission, SecurityScopes
from fastapix5.plan import RoutePlan
from fastapix5.schemas import Selection
from fastapix5.schemas.bounds import unwrap
from fastapix5.services import Service
from fastapix5.settings import settings

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
        "retry",
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
    "lookup_value_regex": "Leave it out: the column's type says what a key looks like.",
}

NEAR = 0.85

# A method, and a path with its parameters' names left out.
Place = tuple[str, str]


def check_class(cls: type[Any], base: type[Any]) -> None:
    """Refuse attributes of a viewset class that are near misses of known ones, and DRF's hooks that have no effect.

    Args:
        cls: The viewset's class; its bases and mixins are checked too, but for ours.
        base: The root class of viewsets.

    Raises:
        ImproperlyConfigured: One is there.
    """
    ours = (base.__module__.partition(".")[0], "builtins", "typing")
    for owner in cls.__mro__:
        if owner.__module__.partition(".")[0] not in ours:
            for name in {**vars(owner), **inspect.get_annotations(owner)}:
                # What an @action is called is the user's own choice: "rename" is no misspelt "name".
                if declaration_of(vars(owner).get(name)) is None:
                    check_attribute(f"{owner.__name__}.{name}", name, base)


def check_attribute(where: str, name: str, base: type[Any]) -> None:
    """Refuse one attribute; see ``check_class``.

    Raises:
        ImproperlyConfigured: It is one of DRF's that has no effect, or a near miss of a known one.
    """
    if name in REPLACED:
        raise ImproperlyConfigured(where, "it has no effect here.", REPLACED[name])
    known = ATTRIBUTES | HOOKS
    if name.startswith("_") or name in known or belongs_to(base, name):
        return
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=NEAR)
    if near:
        raise ImproperlyConfigured(
            where,
            f'it is not an attribute of a viewset. Did you mean "{near[0]}"?',
            "If it is your own, give it a name that is further from ours, or a leading underscore.",
        )


def belongs_to(base: type[Any], name: str) -> bool:
    """Whether the root class has or annotates an attribute."""
    return hasattr(base, name) or name in base.__annotations__


def check_action(where: str, name: str, base: type[Any]) -> None:
    """Refuse an ``@action`` whose name is taken: it would replace what a viewset needs.

    Raises:
        ImproperlyConfigured: It is called like a standard action, a hook or an attribute.
    """
    if name in STANDARD:
        raise ImproperlyConfigured(where, "it is a standard action.", "Override it without @action, or rename yours.")
    if name in ATTRIBUTES | HOOKS or belongs_to(base, name):
        raise ImproperlyConfigured(
            where,
            "a viewset has an attribute of this name.",
            f'Rename the method; url_path="{name}" keeps its path.',
        )


def check_database(where: str, alias: str) -> None:
    """Refuse an alias that DATABASES lacks; where nothing is configured yet, there is nothing to hold it to.

    Raises:
        ImproperlyConfigured: There is no such database.
    """
    known = settings.DATABASES
    if known and alias not in known:
        raise ImproperlyConfigured(
            where,
            f'settings.DATABASES has no "{alias}".{did_you_mean(alias, known)}',
            f"Known: {', '.join(sorted(known))}.",
        )


def check_same_database(where: str, using: str, parent: str) -> None:
    """Refuse a child in another database than its parent's: one statement reaches both.

    Raises:
        ImproperlyConfigured: The two differ.
    """
    if using != parent:
        raise ImproperlyConfigured(
            where, f'it is "{using}", and the parent\'s is "{parent}".', "Leave it out, or do not nest the two."
        )


def check_readable(where: str, scopes: object) -> None:
    """Refuse a parent whose scopes do not say who may read its rows: its children are reached through them.

    Raises:
        ImproperlyConfigured: The scopes name no ``get``.
    """
    if isinstance(scopes, SecurityScopes) and not scopes.names("retrieve", "GET"):
        raise ImproperlyConfigured(
            f"{where}.security_scopes",
            "it names no get, and there are children, for which its rows must be readable.",
            "Name the get scopes (get=[] asks only for an authenticated caller), or drop security_scopes.",
        )


def check_service(where: str, service: type[Service[Any]], action: str) -> None:
    """Refuse a service's own ``list`` or ``retrieve``, which the generated action never calls.

    Raises:
        ImproperlyConfigured: It is overridden.
    """
    if action in ("list", "retrieve") and getattr(service, action) is not getattr(Service, action):
        raise ImproperlyConfigured(
            f"{where}.service_class",
            f"{service.__name__}.{action}() is overridden, and the generated {action} does not call it.",
            f"Override get_queryset() or {action}() of the viewset.",
        )


def check_bytes(where: str, selection: Selection) -> None:
    """Refuse a read schema that would send bytes as UTF-8 text, which not all bytes are; nested ones too.

    Raises:
        ImproperlyConfigured: A field of it is ``bytes`` and nothing says how they are sent.
    """
    schema = selection.schema
    for field in selection.columns:
        leaf, _, metadata = unwrap(field.info.annotation)
        own = (*metadata, *field.info.metadata)
        if leaf is bytes and not own and schema.model_config.get("ser_json_bytes", "utf8") == "utf8":
            raise ImproperlyConfigured(
                where,
                f"{schema.__name__}.{field.name} is bytes, which JSON has not, and not all bytes are text.",
                'Write model_config = ConfigDict(ser_json_bytes="base64") in the schema.',
            )
    for relation in selection.relations:
        check_bytes(where, relation.selection)


def check_keywords(where: str, keywords: Iterable[str], known: Collection[str] = ATTRIBUTES) -> None:
    """Refuse keywords that stand for no attribute.

    Raises:
        ImproperlyConfigured: One is unknown; the error suggests the nearest.
    """
    for name in keywords:
        if name not in known:
            guess = "" if name in REPLACED else did_you_mean(name, known)
            remedy = REPLACED.get(name, f"Known: {', '.join(sorted(known))}.")
            raise ImproperlyConfigured(where, f'there is no keyword "{name}".{guess}', remedy)


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


def check_routes(routes: Iterable[RoutePlan], taken: Mapping[Place, RoutePlan]) -> dict[Place, RoutePlan]:
    """Return ``routes`` by method and path; refuse two that share both, among themselves or with what is taken.

    Raises:
        ImproperlyConfigured: Two collide; the error names both.
    """
    found: dict[Place, RoutePlan] = {}
    for route in routes:
        place = (route.method, anonymous(route.path))
        other = taken.get(place) or found.setdefault(place, route)
        if other is not route:
            raise ImproperlyConfigured(
                route.where,
                f"{route.method} {route.path} is taken by {other.where}.",
                "Give the action another url_path or method, or the viewset another name.",
            )
    return found


def anonymous(path: str) -> str:
    """``path`` with its parameters' names left out: two paths that differ in them alone are one."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
