"""Who is asking. A request always has an access, the anonymous one included; a command or task has one if it sets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


class Scope(str):
    """One granted scope, such as ``business.companies.read.own``."""

    __slots__ = ()

    @property
    def selector(self) -> str:
        """The last dotted part: ``own`` of ``business.companies.read.own``."""
        return self.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Access:
    """Who is asking, and what they were granted. Also serves as Starlette's ``request.user``.

    Attributes:
        user_id: The token's ``sub``; None for the anonymous access.
        tenant_id: The token's ``tenant_id``, where it has one.
        scopes: Every scope that the credentials carry.
        scope: The one scope that granted this request, where the route asks for scopes.
        claims: Everything the credentials said, read-only.
    """

    user_id: str | None = None
    tenant_id: str | None = None
    scopes: frozenset[str] = frozenset()
    scope: Scope | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is named: every access but the anonymous one."""
        return self.user_id is not None

    @property
    def display_name(self) -> str:
        """The user's id, or the empty string (Starlette's ``BaseUser``)."""
        return self.user_id or ""

    @property
    def identity(self) -> str:
        """The user's id, or the empty string (Starlette's ``BaseUser``)."""
        return self.user_id or ""


ANONYMOUS = Access()

current_access: ContextVar[Access | None] = ContextVar("fastapix5_access", default=None)


@contextmanager
def acting(access: Access) -> Iterator[None]:
    """Have row policies see ``access`` for the duration of a block."""
    token = current_access.set(access)
    try:
        yield
    finally:
        current_access.reset(token)
