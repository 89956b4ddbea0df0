"""Who is asking: each class reads one kind of credentials from a request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable

from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from fastapix5.access import Access
from fastapix5.exceptions import AuthenticationFailed
from fastapix5.tokens import access_from_claims, token_rules


class BaseAuthentication(ABC):
    """Reads one kind of credentials. Override ``authenticate``, as ``def`` or ``async def``.

    Attributes:
        security_scheme: What OpenAPI shows, made with ``auto_error=False``; None shows nothing.
    """

    security_scheme: SecurityBase | None = None

    @abstractmethod
    def authenticate(self, request: Request) -> Awaitable[Access | None] | Access | None:
        """Return who is asking, or None where the request has no credentials of this kind.

        Raises:
            AuthenticationFailed: There are such credentials and they do not hold.
        """

    def authenticate_header(self, request: Request) -> str:
        """Return the value of ``WWW-Authenticate`` in a 401; the class's name without "Authentication" by default."""
        return type(self).__name__.removesuffix("Authentication") or "Credentials"


class JWTAuthentication(BaseAuthentication):
    """Takes a signed token from ``Authorization: Bearer <token>``.

    ``sub`` becomes ``user_id``, ``tenant_id`` stays, ``scope`` (blank-separated, or a list) becomes ``scopes``.

    Args:
        key: The HS256 secret; SECRET_KEY by default.
        audience: What ``aud`` must contain; JWT_AUDIENCE by default. Without one, a token with ``aud`` is refused.
        issuer: What ``iss`` must be; JWT_ISSUER by default.
        leeway: Seconds by which clocks may differ; JWT_LEEWAY by default.

    Raises:
        ImproperlyConfigured: There is no key, or it is no secret.
    """

    security_scheme: SecurityBase | None = HTTPBearer(
        auto_error=False, bearerFormat="JWT", scheme_name="JWTAuthentication"
    )

    def __init__(
        self,
        key: str | bytes | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        leeway: float | None = None,
    ) -> None:
        self._rules = token_rules(key, audience=audience, issuer=issuer, leeway=leeway)

    async def authenticate(self, request: Request) -> Access | None:
        """Return who the token names, or None where the request has no bearer token."""
        token = bearer_token(request)
        return None if token is None else access_from_claims(self._rules.decode(token))

    def authenticate_header(self, request: Request) -> str:
        """Return ``Bearer``."""
        return "Bearer"


def bearer_token(request: Request) -> str | None:
    """Return the token of ``Authorization: Bearer <token>``, or None where the header is absent or of another scheme.

    Raises:
        AuthenticationFailed: The header has no token or several, or is there twice.
    """
    given: list[tuple[bytes, bytes]] = request.scope["headers"]
    headers = [value.decode("latin-1") for name, value in given if name == b"authorization"]
    if not any(header.strip(" ").partition(" ")[0].lower() == "bearer" for header in headers):
        return None
    token = headers[0].strip(" ").partition(" ")[2].strip(" ")
    if len(headers) > 1 or not token or " " in token:
        raise AuthenticationFailed("The Authorization header should be: Bearer, a blank, one token.")
    return token
