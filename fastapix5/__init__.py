"""Declare a model, its schemas and its policies once; get a nested, secured, filterable, paginated REST API."""

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
from fastapix5.settings import override_settings, settings
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
