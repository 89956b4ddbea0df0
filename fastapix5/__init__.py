"""Declare a model, its schemas and its policies once; get a nested, secured, filterable, paginated REST API."""

import importlib
import importlib.util
import typing

# Loaded at once: the object has its module's name, and would give way to the module.
from fastapix5.settings import override_settings, settings

if typing.TYPE_CHECKING:
    from fastapix5.access import Access, Scope
    from fastapix5.actions import Action, action
    from fastapix5.app import get_default_app, setup
    from fastapix5.authentication import BaseAuthentication, JWTAuthentication
    from fastapix5.db import atomic, get_session, on_commit, session_scope
    from fastapix5.filters import BaseFilterBackend, FilterSetBackend, OrderingFilter, SearchFilter
    from fastapix5.models import IntModel, Model, SoftDeleteMixin, TimestampMixin, UUIDModel, VersionMixin
    from fastapix5.pagination import BasePagination, LimitOffsetPagination, PageNumberPagination
    from fastapix5.permissions import AllowAny, BasePermission, HasScope, IsAuthenticated, SecurityScopes
    from fastapix5.repositories import (
        Avg,
        Count,
        F,
        Lookup,
        Max,
        Min,
        Operand,
        Q,
        QuerySet,
        Repository,
        Sum,
        register_lookup,
        unrestricted,
    )
    from fastapix5.services import Service
    from fastapix5.throttling import AnonRateThrottle, BaseThrottle, UserRateThrottle
    from fastapix5.tree import RouterSchema
    from fastapix5.viewsets import (
        CreateModelMixin,
        DestroyModelMixin,
        GenericViewSet,
        ListModelMixin,
        ModelViewSet,
        ReadOnlyModelViewSet,
        RetrieveModelMixin,
        Router,
        UpdateModelMixin,
    )

__all__ = [
    "Access",
    "Action",
    "AllowAny",
    "AnonRateThrottle",
    "Avg",
    "BaseAuthentication",
    "BaseFilterBackend",
    "BasePagination",
    "BasePermission",
    "BaseThrottle",
    "Count",
    "CreateModelMixin",
    "DestroyModelMixin",
    "F",
    "FilterSetBackend",
    "GenericViewSet",
    "HasScope",
    "IntModel",
    "IsAuthenticated",
    "JWTAuthentication",
    "LimitOffsetPagination",
    "ListModelMixin",
    "Lookup",
    "Max",
    "Min",
    "Model",
    "ModelViewSet",
    "Operand",
    "OrderingFilter",
    "PageNumberPagination",
    "Q",
    "QuerySet",
    "ReadOnlyModelViewSet",
    "Repository",
    "RetrieveModelMixin",
    "Router",
    "RouterSchema",
    "Scope",
    "SearchFilter",
    "SecurityScopes",
    "Service",
    "SoftDeleteMixin",
    "Sum",
    "TimestampMixin",
    "UUIDModel",
    "UpdateModelMixin",
    "UserRateThrottle",
    "VersionMixin",
    "action",
    "atomic",
    "get_default_app",
    "get_session",
    "on_commit",
    "override_settings",
    "register_lookup",
    "session_scope",
    "settings",
    "setup",
    "unrestricted",
]

# The module of each name. It is loaded when the name is first asked for, so that a command which needs a session does
# not load the routes, and no module pays for what it does not use.
_HOMES = {
    name: module
    for module, names in {
        "access": ("Access", "Scope"),
        "actions": ("Action", "action"),
        "app": ("get_default_app", "setup"),
        "authentication": ("BaseAuthentication", "JWTAuthentication"),
        "db": ("atomic", "get_session", "on_commit", "session_scope"),
        "filters": ("BaseFilterBackend", "FilterSetBackend", "OrderingFilter", "SearchFilter"),
        "models": ("IntModel", "Model", "SoftDeleteMixin", "TimestampMixin", "UUIDModel", "VersionMixin"),
        "pagination": ("BasePagination", "LimitOffsetPagination", "PageNumberPagination"),
        "permissions": ("AllowAny", "BasePermission", "HasScope", "IsAuthenticated", "SecurityScopes"),
        "repositories": (
            "Avg",
            "Count",
            "F",
            "Lookup",
            "Max",
            "Min",
            "Operand",
            "Q",
            "QuerySet",
            "Repository",
            "Sum",
            "register_lookup",
            "unrestricted",
        ),
        "services": ("Service",),
        "throttling": ("AnonRateThrottle", "BaseThrottle", "UserRateThrottle"),
        "tree": ("RouterSchema",),
        "viewsets": (
            "CreateModelMixin",
            "DestroyModelMixin",
            "GenericViewSet",
            "ListModelMixin",
            "ModelViewSet",
            "ReadOnlyModelViewSet",
            "RetrieveModelMixin",
            "Router",
            "UpdateModelMixin",
        ),
    }.items()
    for name in names
}

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load what is asked for: a name of ``__all__``, or a module."""
        if name in _HOMES:
            found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = found
            return found
        if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

    def __dir__() -> list[str]:
        """Name what there is, loaded or not."""
        return sorted({*globals(), *__all__})
