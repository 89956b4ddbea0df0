"""Who may do what: small classes, joined by ``&``, ``|`` and ``~``, on classes and instances alike."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from fastapix5.access import Access, Scope
from fastapix5.concurrency import call
from fastapix5.exceptions import ImproperlyConfigured

Verdict = bool | Awaitable[bool]


class _Composable(type):
    """Gives the classes themselves the operators that their instances have."""

    def __and__(cls, other: object) -> BasePermission:
        return _both(cls, other, And)

    def __or__(cls, other: Any) -> Any:
        # `SomePermission | None` in an annotation is still a union.
        return _both(cls, other, Or) if _is_permission(other) else super().__or__(other)

    def __invert__(cls) -> BasePermission:
        return ~as_instance(cls)


class BasePermission(metaclass=_Composable):
    """Override one method or both, as ``def`` or ``async def``; ``view.access`` says who is asking.

    Attributes:
        requires_authentication: Whether no anonymous caller can ever pass. A declaration that requires it and
            configures no authentication stops the start.
    """

    requires_authentication: bool = False

    def has_permission(self, request: Request, view: Any) -> Verdict:
        """Return whether the caller may make this request; asked before any row is looked up."""
        return True

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> Verdict:
        """Return whether the caller may do this to ``obj``; asked after ``has_permission``, never for a list."""
        return True

    def __and__(self, other: object) -> BasePermission:
        return _both(self, other, And)

    def __or__(self, other: object) -> BasePermission:
        return _both(self, other, Or)

    def __invert__(self) -> BasePermission:
        return Not(self)

    def __repr__(self) -> str:
        return type(self).__name__


class AllowAny(BasePermission):
    """Everybody."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True."""
        return True


class IsAuthenticated(BasePermission):
    """Everybody whose credentials hold."""

    requires_authentication = True

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether somebody is named."""
        access: Access = view.access
        return access.is_authenticated


class HasScope(BasePermission):
    """Whoever was granted one of these scopes.

    Args:
        *scopes: Any one of them is enough.
    """

    requires_authentication = True

    def __init__(self, *scopes: str) -> None:
        if not scopes or not all(isinstance(scope, str) and scope and scope.split() == [scope] for scope in scopes):
            raise ImproperlyConfigured(
                "HasScope", f"{scopes!r} are no scopes.", 'Write each as one word: HasScope("flights.write").'
            )
        self.scopes = scopes

    def granting(self, access: Access) -> Scope | None:
        """Return the first of these scopes that the access has, or None."""
        for scope in self.scopes:
            if scope in access.scopes:
                return Scope(scope)
        return None

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the access is authenticated and has one of the scopes."""
        access: Access = view.access
        return access.is_authenticated and self.granting(access) is not None

    def __repr__(self) -> str:
        return f"HasScope({', '.join(map(repr, self.scopes))})"


class And(BasePermission):
    """Both parts: ``left & right``. The right one is asked only where the left one agrees."""

    def __init__(self, left: BasePermission, right: BasePermission) -> None:
        self.parts = (left, right)
        self.requires_authentication = left.requires_authentication or right.requires_authentication

    async def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether both agree."""
        for part in self.parts:
            if not await call(part.has_permission, request, view):
                return False
        return True

    async def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return whether both agree."""
        for part in self.parts:
            if not await call(part.has_object_permission, request, view, obj):
                return False
        return True

    def __invert__(self) -> BasePermission:
        return ~self.parts[0] | ~self.parts[1]

    def __repr__(self) -> str:
        return f"({self.parts[0]!r} & {self.parts[1]!r})"


class Or(BasePermission):
    """Either part: ``left | right``. For an object, one part must agree to the request and to the object."""

    def __init__(self, left: BasePermission, right: BasePermission) -> None:
        self.parts = (left, right)
        self.requires_authentication = left.requires_authentication and right.requires_authentication

    async def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether one of them agrees."""
        for part in self.parts:
            if await call(part.has_permission, request, view):
                return True
        return False

    async def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return whether one of them agrees to both."""
        for part in self.parts:
            # Else the part that let the request in would vouch for the object that the other one refuses.
            if await call(part.has_permission, request, view) and await call(
                part.has_object_permission, request, view, obj
            ):
                return True
        return False

    def __invert__(self) -> BasePermission:
        return ~self.parts[0] & ~self.parts[1]

    def __repr__(self) -> str:
        return f"({self.parts[0]!r} | {self.parts[1]!r})"


class Not(BasePermission):
    """The opposite of one permission that is itself not composed: ``~left``.

    It turns round only what the permission judges. One that judges objects alone says nothing about the request,
    and neither does its opposite; one that judges requests alone says nothing about the object.
    """

    def __init__(self, part: BasePermission) -> None:
        self.part = part
        self._requests = type(part).has_permission is not BasePermission.has_permission
        self._objects = checks_objects(part)

    async def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the part refuses the request."""
        if self._objects and not self._requests:
            return True
        return not await call(self.part.has_permission, request, view)

    async def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return whether the part refuses the request or the object."""
        if not self._objects:
            return True
        return not (
            await call(self.part.has_permission, request, view)
            and await call(self.part.has_object_permission, request, view, obj)
        )

    def __invert__(self) -> BasePermission:
        return self.part

    def __repr__(self) -> str:
        return f"~{self.part!r}"


def as_instance(permission: type[BasePermission] | BasePermission | object) -> BasePermission:
    """Return an instance of a permission class, and an instance as it is.

    Raises:
        ImproperlyConfigured: It is neither, or the class needs arguments.
    """
    if isinstance(permission, BasePermission):
        return permission
    if not isinstance(permission, type) or not issubclass(permission, BasePermission):
        raise ImproperlyConfigured(
            "permission_classes", f"{permission!r} is no permission.", "Write a subclass of BasePermission."
        )
    try:
        return permission()
    except TypeError as error:
        name = permission.__name__
        raise ImproperlyConfigured(
            name, "The class cannot be made without arguments.", f"Write an instance: {name}(...)."
        ) from error


def checks_objects(permission: type[BasePermission] | BasePermission) -> bool:
    """Return whether the permission, or a part of it, judges objects."""
    if isinstance(permission, (And, Or)):
        return any(checks_objects(part) for part in permission.parts)
    if isinstance(permission, Not):
        return checks_objects(permission.part)
    made = permission if isinstance(permission, type) else type(permission)
    return made.has_object_permission is not BasePermission.has_object_permission


def parts_of(permissions: Iterable[BasePermission]) -> Iterator[BasePermission]:
    """Yield what there is to ask where all must agree: each part of ``a & b`` by itself, and nobody who always agrees."""
    for permission in permissions:
        if type(permission) is And:
            yield from parts_of(permission.parts)
        elif type(permission) is not AllowAny:
            yield permission


def names_scopes(permission: BasePermission) -> bool:
    """Return whether the permission, or a part of it, grants by scope."""
    if isinstance(permission, (And, Or)):
        return any(map(names_scopes, permission.parts))
    return isinstance(permission, HasScope)


def _is_permission(value: object) -> bool:
    return isinstance(value, (BasePermission, _Composable))


def _both(left: object, right: object, join: type[And | Or]) -> BasePermission:
    return join(as_instance(left), as_instance(right)) if _is_permission(right) else NotImplemented


@dataclass(frozen=True)
class SecurityScopes:
    """Scopes by HTTP method, for a viewset or tree node: any one of those listed grants.

    ``put`` defaults to ``patch``, ``list`` to ``get``, HEAD follows ``get``, and an action follows its method. A method
    that is not named (None) is not offered; an empty list asks for no scope, only for a caller who is authenticated.
    An ancestor's ``get`` scopes are required for everything below it.
    """

    get: Sequence[str] | None = None
    list: Sequence[str] | None = None
    post: Sequence[str] | None = None
    put: Sequence[str] | None = None
    patch: Sequence[str] | None = None
    delete: Sequence[str] | None = None

    def scopes(self, action: str, method: str) -> Sequence[str] | None:
        """Return the scopes of which an action with a method needs one; None where the method is not named."""
        if action == "list":
            return self.get if self.list is None else self.list
        if method == "PUT":
            return self.patch if self.put is None else self.put
        named: Sequence[str] | None = getattr(self, "get" if method == "HEAD" else method.lower())
        return named

    def names(self, action: str, method: str) -> bool:
        """Return whether an action with a method is offered."""
        return self.scopes(action, method) is not None


def granted_scope(permissions: Iterable[BasePermission], access: Access) -> Scope | None:
    """Return the scope by which the permissions let ``access`` in, or None where they ask for none.

    Args:
        permissions: Permissions that all agreed to the request; of several scopes the first counts.
        access: Who was let in.
    """
    for permission in permissions:
        scope = _granted(permission, access)
        if scope:
            return scope
    return None


def _granted(permission: BasePermission, access: Access) -> Scope | None:
    """The scope that a permission, or the first part of it that has one, granted."""
    if isinstance(permission, HasScope):
        return permission.granting(access)
    if isinstance(permission, And) and not _lacks_scope(permission, access):
        return granted_scope(permission.parts, access)
    return granted_scope(permission.parts, access) if isinstance(permission, Or) else None


def _lacks_scope(permission: BasePermission, access: Access) -> bool:
    """Whether a missing scope alone says that a permission did not agree: the other half of ``a & b`` granted nothing."""
    if isinstance(permission, HasScope):
        return permission.granting(access) is None
    if isinstance(permission, And):
        return any(_lacks_scope(part, access) for part in permission.parts)
    return isinstance(permission, Or) and all(_lacks_scope(part, access) for part in permission.parts)
