"""Authentication: which credentials a request has, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Security
from starlette.requests import Request

from fastapix5.access import Access
from fastapix5.authentication import BaseAuthentication, JWTAuthentication
from fastapix5.exceptions import AuthenticationFailed, ImproperlyConfigured
from fastapix5.settings import override_settings
from fastapix5.tokens import encode

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def key_in_settings() -> Iterator[None]:
    """The settings have a key and ask for no audience."""
    with override_settings(SECRET_KEY=KEY, JWT_AUDIENCE=None, JWT_ISSUER=None, JWT_LEEWAY=0):
        yield


def request(*authorization: str) -> Request:
    """A request with these Authorization headers."""
    headers = [(b"authorization", value.encode("latin-1")) for value in authorization]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_a_bearer_token_names_the_caller(scheme: str) -> None:
    """The scheme's case does not matter."""
    token = encode({"sub": "ada", "tenant_id": "UA", "scope": "flights.read flights.write"})
    access = await JWTAuthentication().authenticate(request(scheme + token))
    assert access is not None
    assert (access.user_id, access.tenant_id) == ("ada", "UA")
    assert access.scopes == {"flights.read", "flights.write"}
    assert access.claims["sub"] == "ada"


@pytest.mark.parametrize("headers", [[], [""], [" "], ["Basic YWRhOng="], ["Bearerx y"], ["x"], ["Basic a", "Basic b"]])
async def test_other_credentials_are_not_judged(headers: list[str]) -> None:
    """No header, or one of another scheme, is no bearer token."""
    assert await JWTAuthentication().authenticate(request(*headers)) is None


@pytest.mark.parametrize(
    "headers",
    [
        ["Bearer"],
        ["Bearer "],
        ["Bearer a b"],
        ["Bearer a, Bearer b"],
        ["Bearer a", "Bearer b"],
        ["Basic a", "Bearer b"],
    ],
)
async def test_a_malformed_header_is_refused(headers: list[str]) -> None:
    """No token, several, or several headers: the request fails instead of being anonymous."""
    with pytest.raises(AuthenticationFailed, match="one token"):
        await JWTAuthentication().authenticate(request(*headers))


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "\xe4.\xe4.\xe4", "a\tb", "x" * 10_000, encode({"sub": "eve"}, KEY[::-1])]
)
async def test_a_token_that_does_not_hold_is_refused(token: str) -> None:
    """A bad token fails, it does not make the caller anonymous."""
    with pytest.raises(AuthenticationFailed, match=r"^The token is not valid\.$"):
        await JWTAuthentication().authenticate(request(f"Bearer {token}"))


async def test_claims_of_the_wrong_type_are_refused() -> None:
    """A signed token with a scope that is no text fails."""
    with pytest.raises(AuthenticationFailed):
        await JWTAuthentication().authenticate(request(f"Bearer {encode({'sub': 'ada', 'scope': 7})}"))


async def test_arguments_win_over_settings() -> None:
    """Key and audience may be given, so two kinds of token can live side by side."""
    partners = JWTAuthentication(key=KEY[::-1], audience="partners")
    token = encode({"sub": "ada"}, KEY[::-1], audience="partners")
    assert await partners.authenticate(request(f"Bearer {token}"))
    with pytest.raises(AuthenticationFailed):
        await JWTAuthentication().authenticate(request(f"Bearer {token}"))


async def test_the_key_is_read_when_it_is_made() -> None:
    """A later change of SECRET_KEY does not reach an instance."""
    made = JWTAuthentication()
    token = encode({"sub": "ada"})
    with override_settings(SECRET_KEY=KEY[::-1]):
        assert await made.authenticate(request(f"Bearer {token}"))


def test_without_a_key_nothing_starts() -> None:
    """No SECRET_KEY and no key: the error names both."""
    with override_settings(SECRET_KEY=None), pytest.raises(ImproperlyConfigured) as caught:
        JWTAuthentication()
    assert str(caught.value) == (
        "SECRET_KEY: Tokens need a key and none is set. Set SECRET_KEY, or write JWTAuthentication(key=...)."
    )


def test_the_challenge_is_bearer() -> None:
    """WWW-Authenticate is Bearer; another class is called by its name."""

    class ApiKeyAuthentication(BaseAuthentication):
        def authenticate(self, request: Request) -> Access | None:
            key = request.headers.get("x-api-key")
            return Access(user_id=key) if key else None

    assert JWTAuthentication().authenticate_header(request()) == "Bearer"
    assert ApiKeyAuthentication().authenticate_header(request()) == "ApiKey"
    assert ApiKeyAuthentication().security_scheme is None


def test_an_authentication_needs_authenticate() -> None:
    """A class that forgets its one method cannot be made."""

    class Forgetful(BaseAuthentication):
        pass

    with pytest.raises(TypeError, match="authenticate"):
        Forgetful()  # type: ignore[abstract]


def test_openapi_shows_the_scheme() -> None:
    """The scheme is documented as HTTP bearer with a JWT."""
    app = FastAPI()
    scheme = JWTAuthentication().security_scheme

    @app.get("/", dependencies=[Security(scheme)])  # type: ignore[arg-type]
    def index() -> None: ...

    assert app.openapi()["components"]["securitySchemes"] == {
        "JWTAuthentication": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
