"""Viewsets: what a person declares, and what each request gets an instance of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import EllipsisType
from typing import Any, Generic, Self, TypeAlias, TypeVar, get_args

from pydantic import BaseModel
from starlette.requests import Request

from fastapix5.access import Access
from fastapix5.actions import SAFE_METHODS, Action
from fastapix5.ancestors import NO_ANCESTORS, Ancestors, limited, rows
from fastapix5.authentication import BaseAuthentication
from fastapix5.checks import check_keywords
from fastapix5.concurrency import call, is_pending
from fastapix5.declarations import Declaration
from fastapix5.filters import BaseFilterBackend
from fastapix5.handlers import denied, fetch_object, render
from fastapix5.lists import Listing
from fastapix5.pagination import BasePagination
from fastapix5.parameters import Key
from fastapix5.permissions import BasePermission, SecurityScopes
from fastapix5.plan import RoutePlan
from fastapix5.planner import compile_declaration
from fastapix5.repositories import QuerySet, Repository, RowPolicy
from fastapix5.routers import PlanRouter
from fastapix5.services import Service
from fastapix5.throttling import BaseThrottle

M = TypeVar("M")
T = TypeVar("T")

ByAction: TypeAlias = T | Mapping[Action | str | EllipsisType, T]
Schema = type[BaseModel]
Classes = Sequence[Any]


class GenericViewSet(Generic[M]):
    """A model, its schemas and its policies; the mixins and ``@action`` add what can be done with it.

    Attributes of the class are the declaration; keywords of an instance override them. Asking an instance for
    ``router`` compiles it, once. Each request then works on a viewset of its own.

    Args:
        **attributes: Any attribute below, for this instance.

    Attributes:
        name: The path's segment; the table's name without it.
        model: The mapped class.
        read_schema: What leaves; decides what is selected.
        list_schema: The same for lists, where they show less.
        create_schema: What POST takes.
        update_schema: What PUT takes; PATCH takes the same with every field optional.
        lookup_field: The attribute that names a row; the primary key without it.
        lookup_url_kwarg: The name of the path's parameter.
        parent_field: Which foreign key leads to the parent, where two do.
        filterset_fields: ``{"dep_delay": ["gte", "lte"]}``, or a list of fields for ``exact``.
        search_fields: Text columns, with DRF's prefixes.
        ordering_fields: What a caller may order by.
        ordering: The order where the caller asks for none.
        allow_hidden: Columns that filters may use although the read schema does not show them.
        lock_object: Whether ``get_object()`` locks the row in unsafe methods; True without it.
        retry: Whether an unsafe request runs again where its transaction could not hold beside others; True without it.
        using: The database alias.
        request: The request, once there is one.
        action: The action's name.
        access: Who is asking.
        parents: The keys of the ancestors in the path, by their viewsets' names.
    """

    name: str
    model: type[M]
    read_schema: ByAction[Schema]
    list_schema: ByAction[Schema]
    create_schema: ByAction[Schema]
    update_schema: ByAction[Schema]
    lookup_field: str
    lookup_url_kwarg: str
    parent_field: str
    filter_backends: ByAction[Sequence[type[BaseFilterBackend] | BaseFilterBackend | str]]
    filterset_fields: Mapping[str, Sequence[str]] | Sequence[str]
    search_fields: Sequence[str]
    ordering_fields: Sequence[str]
    ordering: Sequence[str]
    allow_hidden: Sequence[str]
    pagination_class: ByAction[type[BasePagination] | BasePagination | str | None]
    authentication_classes: ByAction[Sequence[type[BaseAuthentication] | BaseAuthentication | str]]
    permission_classes: ByAction[Sequence[type[BasePermission] | BasePermission | str]]
    throttle_classes: ByAction[Sequence[type[BaseThrottle] | BaseThrottle | str]]
    security: BaseAuthentication
    security_scopes: SecurityScopes
    objects_filter: RowPolicy
    repository_class: type[Repository[Any]]
    service_class: type[Service[Any]]
    using: str
    lock_object: bool
    retry: ByAction[bool]
    tags: Sequence[str]

    request: Request
    action: str
    access: Access
    parents: dict[str, Any]
    query: dict[str, Any]

    # What the pipeline keeps here for one request.
    plan: RoutePlan | None = None
    key: Key
    query_items: Sequence[tuple[str, str]]
    keys: dict[str, dict[str, Any]]
    ancestors: Ancestors
    location: tuple[Any, ...] | None = None
    authenticates: bool = False
    permissions: tuple[BasePermission, ...] = ()
    # What ``objects_filter`` adds to the row policy of the repository.
    narrowing: RowPolicy | None = None
    row_limits: tuple[Ancestors, Any] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            arguments = get_args(base)
            if "model" not in cls.__dict__ and arguments and isinstance(arguments[0], type):
                cls.model = arguments[0]

    def __init__(self, **attributes: Any) -> None:
        check_keywords(type(self).__name__, attributes)
        for name, value in attributes.items():
            setattr(self, name, value)

    @cached_property
    def router(self) -> PlanRouter:
        """The compiled viewset, to be given to ``include_router``.

        Raises:
            ImproperlyConfigured: Something in the declaration is wrong: where, what, and the remedy.
        """
        router = PlanRouter()
        router.add_resource(compile_declaration(Declaration(self), GenericViewSet))
        return router

    def for_request(self, request: Request, attributes: Mapping[str, Any]) -> Self:
        """Return this request's own viewset. The pipeline calls it.

        Args:
            request: The request.
            attributes: What every view of the route begins with.
        """
        view = object.__new__(type(self))
        fresh = {"request": request, "parents": {}, "query": {}, "query_items": (), "keys": {}}
        view.__dict__.update(attributes, ancestors=NO_ANCESTORS, location=None, **fresh)
        return view

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keys in the path by parameter name: a value, or a dict of attributes and values for a composite key."""
        return {name: next(iter(key.values())) if len(key) == 1 else dict(key) for name, key in self.keys.items()}

    @property
    def throttle_scope(self) -> str:
        """Under what this route's quota counts: the viewset and the action."""
        return f"{type(self).__module__}.{type(self).__qualname__}:{self.action}"

    @cached_property
    def repository(self) -> Repository[M]:
        """The model's rows."""
        chosen = getattr(self, "repository_class", Repository)
        return chosen(self.model, using=self.plan.using if self.plan else getattr(self, "using", "default"))

    @cached_property
    def service(self) -> Any:
        """The business verbs, over ``repository``."""
        return getattr(self, "service_class", Service)(self.repository)

    # Hooks

    def get_queryset(self) -> Any:
        """Return the rows that this viewset is about: within reach of the caller, and below the row that the path names.

        Override it to narrow them further; it may be ``async def``.
        """
        return limited(self, self.repository.objects)

    async def filter_queryset(self, queryset: QuerySet[M]) -> QuerySet[M]:
        """Return ``queryset`` as the filter backends narrow and order it."""
        for backend in () if self.plan is None else self.plan.policies.filters:
            found = backend.filter_queryset(self.request, queryset, self)
            queryset = await found if is_pending(found) else found
        return queryset

    async def paginate_queryset(self, queryset: QuerySet[M]) -> Any:
        """Return the page of ``queryset`` that the request asks for, as the read schema shows it."""
        return await Listing(self, queryset).answer()

    async def get_object(self) -> M:
        """Return the row that the path names, locked in an unsafe method, its object permissions checked.

        Raises:
            DoesNotExist: It is not there, or not within reach.
            PermissionDenied: The caller may read it and may not do this to it.
        """
        unsafe = self.plan is not None and self.request.method not in SAFE_METHODS
        return await fetch_object(self, lock=unsafe and getattr(self, "lock_object", True))  # type: ignore[no-any-return]

    async def check_object_permissions(self, obj: M) -> None:
        """Ask every permission about a row.

        Raises:
            PermissionDenied: One refuses.
        """
        for permission in self.permissions:
            if not await call(permission.has_object_permission, self.request, self, obj):
                raise denied(self)


class CreateModelMixin:
    """POST on the collection."""

    location: tuple[Any, ...] | None

    async def create(self: Any, data: dict[str, Any]) -> Any:
        """Create a row from attribute names and validated values; what it returns is answered with 201."""
        instance = await call(self.perform_create, data)
        self.location = tuple(getattr(instance, name) for name in self.key.fields)
        return await render(self, instance)

    async def perform_create(self: Any, data: dict[str, Any]) -> Any:
        """Store a new row and return its object; override to add to ``data`` or to do more."""
        return await self.service.create(data)


class ListModelMixin:
    """GET on the collection."""

    async def list(self: Any) -> Any:
        """Return a page of rows."""
        return await call(self.paginate_queryset, await call(self.filter_queryset, await rows(self)))


class RetrieveModelMixin:
    """GET on one row."""

    async def retrieve(self: Any) -> Any:
        """Return the row that the path names."""
        return await render(self, await call(self.get_object))


class UpdateModelMixin:
    """PUT and PATCH on one row."""

    async def update(self: Any, data: dict[str, Any]) -> Any:
        """Replace the row's values."""
        instance = await call(self.get_object)
        updated = await call(self.perform_update, instance, data)
        return await render(self, instance if updated is None else updated)

    async def partial_update(self: Any, data: dict[str, Any]) -> Any:
        """Change the values that were sent."""
        instance = await call(self.get_object)
        updated = await call(self.perform_update, instance, data)
        return await render(self, instance if updated is None else updated)

    async def perform_update(self: Any, obj: Any, data: dict[str, Any]) -> Any:
        """Store new values of a row and return its object; override to add to ``data`` or to do more."""
        return await self.service.update(obj, data)


class DestroyModelMixin:
    """DELETE on one row."""

    async def destroy(self: Any) -> None:
        """Delete the row that the path names."""
        await call(self.perform_destroy, await call(self.get_object))

    async def perform_destroy(self: Any, obj: Any) -> None:
        """Delete a row; override to do more, or to do something else instead."""
        await self.service.destroy(obj)


class ReadOnlyModelViewSet(RetrieveModelMixin, ListModelMixin, GenericViewSet[M]):
    """List and retrieve."""


class ModelViewSet(
    CreateModelMixin, RetrieveModelMixin, UpdateModelMixin, DestroyModelMixin, ListModelMixin, GenericViewSet[M]
):
    """List, retrieve, create, update, partial_update and destroy."""


class Router(PlanRouter):
    """Many viewsets in one router: ``Router(prefix="/api")``, then ``register``."""

    def register(
        self, viewset: type[GenericViewSet[Any]] | GenericViewSet[Any] | Any, *, name: str | None = None
    ) -> None:
        """Add a viewset class or instance, or a ``RouterSchema``.

        Args:
            viewset: What to add.
            name: The path's segment, instead of the viewset's own.

        Raises:
            ImproperlyConfigured: The declaration is wrong, or its path is taken.
        """
        declared = viewset() if isinstance(viewset, type) else viewset
        declaration = declared.declaration() if hasattr(declared, "declaration") else Declaration(declared)
        if name is not None:
            declaration = declaration.vary(name=name)
        self.add_resource(compile_declaration(declaration, GenericViewSet))
