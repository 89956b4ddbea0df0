"""What a declaration compiles to: frozen data that the request path only reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter

from fastapix5.access import ANONYMOUS
from fastapix5.actions import SAFE_METHODS, Action
from fastapix5.authentication import BaseAuthentication
from fastapix5.filters import BaseFilterBackend
from fastapix5.pagination import BasePagination
from fastapix5.parameters import Key, Parameter, defaults_of
from fastapix5.permissions import BasePermission, names_scopes, parts_of
from fastapix5.problems import Location
from fastapix5.repositories import Read
from fastapix5.schemas import SchemaField
from fastapix5.schemas.serializing import MappingSerializer
from fastapix5.throttling import BaseThrottle

# Step 9 of a route: runs with the view and the body's values, returns what is rendered.
Handler = Callable[[Any, Any], Awaitable[Any]]

# What a viewset makes for itself when it is asked for it: a copy makes its own.
MADE = ("router", "repository", "service")


@dataclass(frozen=True, eq=False)
class BodyPlan:
    """What a standard action takes in its body.

    Attributes:
        schema: The schema as it is enforced and documented.
        fields: Its fields with the model's attributes.
        partial: Whether only what was sent is written (PATCH).
    """

    schema: type[BaseModel]
    fields: tuple[SchemaField, ...]
    partial: bool

    @property
    def places(self) -> Mapping[str, Location]:
        """Where in the body each attribute comes from."""
        found: dict[str, Location] = {}
        for schema_field in self.fields:
            alias = schema_field.info.validation_alias
            found[schema_field.attribute] = ("body", alias if isinstance(alias, str) else schema_field.name)
        return found


@dataclass(frozen=True, eq=False)
class ParentPlan:
    """An ancestor in the path.

    Attributes:
        name: The parent viewset's name; the key of ``view.parents``.
        prototype: The parent's viewset, from which the request's own is made.
        key: Its key in the path.
        link: The child's attributes and the parent's that they refer to.
        permissions: Those of the parent's retrieve.
        loads: Whether the parent's row must be loaded, since a permission looks at it or ``get_object`` is overridden.
    """

    name: str
    prototype: Any
    key: Key
    link: Mapping[str, str]
    permissions: tuple[BasePermission, ...]
    loads: bool


@dataclass(frozen=True, eq=False)
class Gate:
    """What step 3 asks of one viewset's permissions.

    Attributes:
        asked: Those that are asked, all of which must agree.
        granting: Those that may name the scope by which they let somebody in.
    """

    asked: tuple[BasePermission, ...]
    granting: tuple[BasePermission, ...]

    @classmethod
    def of(cls, permissions: tuple[BasePermission, ...]) -> Gate:
        """Return the gate of some permissions."""
        return cls(tuple(parts_of(permissions)), tuple(filter(names_scopes, permissions)))


@dataclass(frozen=True, eq=False)
class Policies:
    """The policies of one route."""

    authentication: tuple[BaseAuthentication, ...] = ()
    permissions: tuple[BasePermission, ...] = ()
    throttles: tuple[BaseThrottle, ...] = ()
    filters: tuple[BaseFilterBackend, ...] = ()
    pagination: BasePagination | None = None


@dataclass(frozen=True, eq=False)
class Output:
    """What a route answers with.

    Attributes:
        schema: The read schema, or None for an action that returns something of its own.
        read: How rows of it are read.
        response_type: What OpenAPI shows: the schema, a page of it, an action's return type; None for no content.
        adapter: Serializes ``response_type``.
        mappings: Serializes it with mappings in place of the schema's instances, where a list need not make these.
        status: The status of the answer.
    """

    schema: type[BaseModel] | None
    read: Read | None
    response_type: Any
    adapter: TypeAdapter[Any] | None
    status: int
    mappings: MappingSerializer | None = None


@dataclass(frozen=True, eq=False)
class RoutePlan:
    """One route: one action, with one method, of one viewset.

    Attributes:
        prototype: The viewset's declaration, from which a view is made for each request.
        where: The class and the action, for errors and logs.
        action: The action's name.
        method: The HTTP method; a GET route answers HEAD as well.
        path: The path below the router's prefix.
        name: The viewset's name.
        key: The row's key in the path, on detail routes.
        row_key: How one row's key is written, on collection routes too: a Location needs it.
        parents: The ancestors, outermost first.
        parameters: Query parameters by name.
        ordering: The order of a list where the caller asks for none.
        body: The body of a standard action.
        policies: What is asked, and what narrows and cuts a list.
        output: What the answer shows.
        handler: Step 9.
        compiled: Whether rows go from SQL to the answer without objects of the model.
        why: Why they do or do not, in a few words.
        around: Why a compiled write needs a transaction around its statement; None where the statement is its own.
        using: The database alias.
        link: The attributes that refer to the parent, and what of it they refer to.
        lenient: Whether unknown query parameters are passed over.
        max_body_size: Bytes.
        max_depth: How deep JSON may nest.
        retry: Whether steps 6 to 10 run again where their transaction could not hold beside others.
        function: The method behind an ``@action``; its signature is a FastAPI signature.
        takes: The keys of the path that this signature names.
        places: Where each attribute comes from, for errors that the database finds.
        documentation: What OpenAPI says besides.
    """

    prototype: Any
    where: str
    action: str
    method: str
    path: str
    name: str
    key: Key | None
    row_key: Key
    parents: tuple[ParentPlan, ...]
    parameters: Mapping[str, Parameter]
    ordering: tuple[str, ...]
    body: BodyPlan | None
    policies: Policies
    output: Output
    handler: Handler
    compiled: bool
    why: str
    using: str
    link: Mapping[str, str]
    lenient: bool
    max_body_size: int
    max_depth: int
    retry: bool = True
    around: str | None = None
    function: Callable[..., Any] | None = None
    takes: frozenset[str] = frozenset()
    places: Mapping[str, Location] = field(default_factory=dict)
    documentation: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def safe(self) -> bool:
        """Whether the method promises to change nothing (RFC 9110)."""
        return self.method in SAFE_METHODS

    @cached_property
    def permissions(self) -> tuple[BasePermission, ...]:
        """Every permission that is asked, the outermost ancestor's first."""
        above = (permission for parent in self.parents for permission in parent.permissions)
        return (*above, *self.policies.permissions)

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """What step 3 asks, of the outermost ancestor first and of the route itself last."""
        above = (Gate.of(parent.permissions) for parent in self.parents)
        return (*above, Gate.of(self.policies.permissions))

    @cached_property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are, nor whether they may."""
        return not self.policies.authentication and not any(gate.asked for gate in self.gates)

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """What every view of this route begins with."""
        own = {"plan": self, "action": self.action, "key": self.row_key, "permissions": self.policies.permissions}
        return self._begin(self.prototype, own)

    @cached_property
    def ancestor_attributes(self) -> tuple[Mapping[str, Any], ...]:
        """What every view of each ancestor begins with, as its retrieve."""
        retrieve = {"plan": None, "action": Action.RETRIEVE.value}
        return tuple(
            self._begin(parent.prototype, {**retrieve, "key": parent.key, "permissions": parent.permissions})
            for parent in self.parents
        )

    def _begin(self, prototype: Any, own: Mapping[str, Any]) -> Mapping[str, Any]:
        declared = {name: value for name, value in vars(prototype).items() if name not in MADE}
        asks = {"access": ANONYMOUS, "authenticates": bool(self.policies.authentication)}
        return {**declared, **asks, **own}

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """Every key in the path, outermost first."""
        own = () if self.key is None else (self.key,)
        return (*(parent.key for parent in self.parents), *own)

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What the query parameters come to where the request has none."""
        return defaults_of(self.parameters)


@dataclass(frozen=True, eq=False)
class ResourcePlan:
    """A viewset and its children, compiled."""

    name: str
    prefix: str
    routes: tuple[RoutePlan, ...]
    children: tuple[ResourcePlan, ...] = ()

    def walk(self) -> list[RoutePlan]:
        """Every route of this resource and of all below it."""
        return [*self.routes, *(route for child in self.children for route in child.walk())]
