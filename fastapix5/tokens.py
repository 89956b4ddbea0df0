"""Signed tokens (JWT, HS256): the only module that knows python-jose.

python-jose signs, and checks signatures; what a token says is checked here, once. What python-jose lets pass is refused:
a token over 4 KB, other spellings of the same bytes, ``crit``, a time or subject of the wrong type, an ``iat`` in the
future, an ``aud`` where no audience is set, short secrets, and asymmetric keys used as secrets. Whatever goes wrong while
a token is read is an ``AuthenticationFailed``.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import re
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from fastapix5.access import Access
from fastapix5.exceptions import AuthenticationFailed, ImproperlyConfigured
from fastapix5.settings import MIN_SECRET_BYTES, settings

ALGORITHM = "HS256"
MAX_TOKEN_LENGTH = 4096
MAX_TIME = 253_402_300_799  # The last second of the year 9999.
FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# What a segment of base64 may end in, by its length modulo four: all other bits of the last character are unused.
LAST = (string.ascii_letters + string.digits + "-_", "", "AQgw", "AEIMQUYcgkosw048")
INVALID = "The token is not valid."
EXPIRED = "The token has expired."


class _Refused(Exception):
    """A check failed; its text is the reason that the caller is told."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What makes a token good: its key, and the audience and issuer it must name.

    Attributes:
        secret: The HMAC secret, checked.
        audience: What ``aud`` must contain; None refuses every token that has an ``aud``.
        issuer: What ``iss`` must be; None accepts any.
        leeway: Seconds by which clocks may differ.
    """

    secret: bytes = field(repr=False)
    audience: str | None = None
    issuer: str | None = None
    leeway: float = 0.0

    def decode(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that holds.

        Raises:
            AuthenticationFailed: It does not hold. Nothing else is raised, whatever the token.
        """
        try:
            _check_form(token)
            claims = _signed(token, self.secret)
            self._check_times(claims)
            self._check_names(claims)
        except _Refused as refusal:
            raise AuthenticationFailed(str(refusal)) from None
        except Exception:  # noqa: BLE001  (a claim that is missing is a KeyError; python-jose raises many others)
            raise AuthenticationFailed(INVALID) from None
        return claims

    def encode(self, claims: Mapping[str, Any], *, lifetime: timedelta = timedelta(hours=1)) -> str:
        """Return a signed token with ``iat`` and ``exp``, and ``aud`` and ``iss`` where the rules have them.

        Args:
            claims: What the token says; ``sub`` names the user. A claim given here is left as it is.
            lifetime: Time until the token expires.

        Raises:
            ValueError: There is no ``sub``, or the token would be longer than ``decode`` takes.
        """
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise ValueError('A token needs "sub", a non-empty string.')
        now = int(time.time())
        made: dict[str, Any] = {"iat": now, "exp": now + math.ceil(lifetime.total_seconds())}
        if self.audience is not None:
            made["aud"] = self.audience
        if self.issuer is not None:
            made["iss"] = self.issuer
        token: str = _jose().jwt.encode({**made, **claims}, _signer(self.secret), algorithm=ALGORITHM)
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError(f"The token would have {len(token)} characters; at most {MAX_TOKEN_LENGTH} are read.")
        return token

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """``exp`` and ``iat`` must be there; ``nbf`` may."""
        now = time.time()
        expires, issued = _moment(claims["exp"]), _moment(claims["iat"])
        if now >= expires + self.leeway:
            raise _Refused(EXPIRED)
        starts = _moment(claims["nbf"]) if "nbf" in claims else issued
        if max(issued, starts) > now + self.leeway or issued > expires:
            raise _Refused(INVALID)

    def _check_names(self, claims: Mapping[str, Any]) -> None:
        """``sub`` must be there, and who should read the token, or has made it, where the rules name them."""
        _text(claims["sub"])
        given = claims.get("aud")
        audience = [given] if isinstance(given, str) else given
        if self.audience is None:
            is_ours = "aud" not in claims
        else:
            is_ours = isinstance(audience, list) and all(map(_is_text, audience)) and self.audience in audience
        if not is_ours or (self.issuer is not None and claims.get("iss") != self.issuer):
            raise _Refused(INVALID)
        # The hash is that of an access token, and there is none beside this one.
        if "at_hash" in claims or not _is_text(claims.get("jti", "")):
            raise _Refused(INVALID)


def token_rules(
    key: str | bytes | None = None,
    *,
    audience: str | None = None,
    issuer: str | None = None,
    leeway: float | None = None,
) -> TokenRules:
    """Return the rules; what is not given comes from SECRET_KEY, JWT_AUDIENCE, JWT_ISSUER and JWT_LEEWAY.

    Raises:
        ImproperlyConfigured: There is no key, or it is no secret; or an audience or issuer is no text.
    """
    if key is None:
        key = settings.SECRET_KEY
    if key is None:
        raise ImproperlyConfigured(
            "SECRET_KEY", "Tokens need a key and none is set.", "Set SECRET_KEY, or write JWTAuthentication(key=...)."
        )
    return TokenRules(
        secret=_checked_secret(key),
        audience=_checked_name("audience", settings.JWT_AUDIENCE if audience is None else audience),
        issuer=_checked_name("issuer", settings.JWT_ISSUER if issuer is None else issuer),
        leeway=settings.JWT_LEEWAY if leeway is None else leeway,
    )


def decode(
    token: str,
    key: str | bytes | None = None,
    *,
    audience: str | None = None,
    issuer: str | None = None,
    leeway: float | None = None,
) -> dict[str, Any]:
    """Return the claims of a token that holds by ``token_rules(key, ...)``.

    Raises:
        AuthenticationFailed: It does not hold.
    """
    return token_rules(key, audience=audience, issuer=issuer, leeway=leeway).decode(token)


def encode(
    claims: Mapping[str, Any],
    key: str | bytes | None = None,
    *,
    lifetime: timedelta = timedelta(hours=1),
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """Return a signed token by ``token_rules(key, ...)``; see ``TokenRules.encode``."""
    return token_rules(key, audience=audience, issuer=issuer).encode(claims, lifetime=lifetime)


def access_from_claims(claims: Mapping[str, Any]) -> Access:
    """Return who the claims name: ``sub``, ``tenant_id``, and ``scope``, blank-separated or a list.

    Raises:
        AuthenticationFailed: One of them has the wrong type.
    """
    try:
        return Access(
            user_id=_text(claims.get("sub")),
            tenant_id=_tenant(claims.get("tenant_id")),
            scopes=_scopes(claims.get("scope")),
            claims=MappingProxyType(dict(claims)),
        )
    except _Refused as refusal:
        raise AuthenticationFailed(str(refusal)) from None


def _tenant(claim: object) -> str | None:
    """Return the tenant as text: some issuers write a number."""
    if isinstance(claim, int) and not isinstance(claim, bool):
        return str(claim)
    return None if claim is None else _text(claim)


def _scopes(claim: object) -> frozenset[str]:
    if claim is None or claim == "":
        return frozenset()
    if isinstance(claim, str):
        return frozenset(_text(claim).split())
    if not isinstance(claim, list):
        raise _Refused(INVALID)
    return frozenset(map(_text, claim))


@functools.cache
def _jose() -> Any:
    """Return python-jose, which is loaded with the first key."""
    import jose.jws  # type: ignore[import-untyped]  # it has no types
    import jose.jwt  # type: ignore[import-untyped]

    return jose


def _signed(token: str, secret: bytes) -> dict[str, Any]:
    """Return what a token says whose signature holds."""
    claims = json.loads(_jose().jws.verify(token, _signer(secret), [ALGORITHM]).decode())
    if not isinstance(claims, dict):
        raise _Refused(INVALID)
    return claims


@functools.lru_cache(maxsize=64)
def _signer(secret: bytes) -> Any:
    """Return python-jose's key object. A plain string would be tried as JSON first, and so could be a set of keys."""
    return _jose().jwk.construct(secret, ALGORITHM)


def _check_form(token: str) -> None:
    """Refuse what is no token before anything reads it."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH:
        raise _Refused(INVALID)
    found = FORM.fullmatch(token)
    if found is None or not all(map(_is_canonical, found.groups())) or not _is_our_header(found[1]):
        raise _Refused(INVALID)


def _is_canonical(segment: str) -> bool:
    """Whether the segment is the one spelling of its bytes: base64 leaves bits of the last character unused."""
    return segment[-1] in LAST[len(segment) % 4]


@functools.lru_cache(maxsize=64)
def _is_our_header(segment: str) -> bool:
    """Whether the header is one that ``encode`` could have made. Most tokens have the same."""
    header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    # No extension is understood here, so none may be critical. One key of one algorithm: `kid` is not looked at.
    return isinstance(header, dict) and header.get("alg") == ALGORITHM and "crit" not in header


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_TIME:
        raise _Refused(INVALID)
    return value


def _checked_name(what: str, value: object) -> Any:
    if value is not None and not _is_text(value):
        raise ImproperlyConfigured(f"JWTAuthentication({what}=...)", f"{value!r} is no text.", "Name one, as a text.")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _text(value: object) -> str:
    """Return the text; refuse what is none, or what no database and no log could take: NUL and lone surrogates."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Refused(INVALID)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused(INVALID) from None
    return value


def _checked_secret(key: str | bytes) -> bytes:
    """Refuse a key that is too short, or that others may know because it is the public half of a pair."""
    try:
        secret = key.encode() if isinstance(key, str) else bytes(key)
    except UnicodeEncodeError:
        raise _no_secret("The key is no valid text.") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise _no_secret(f"The key has {len(secret)} bytes; {MIN_SECRET_BYTES} are the least.")
    if any(_is_der(form) for form in _binary_forms(key)) or _is_jwk(secret):
        raise _no_secret("The key is an asymmetric key or a certificate, not a secret.")
    try:
        _signer(secret)
    except Exception:  # noqa: BLE001  (whatever it is, the key is no secret)
        # python-jose refuses PEM and OpenSSH keys by itself.
        raise _no_secret("The key is an asymmetric key or a certificate, not a secret.") from None
    return secret


def _no_secret(what: str) -> ImproperlyConfigured:
    remedy = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
    return ImproperlyConfigured("SECRET_KEY", what, remedy)


def _binary_forms(key: str | bytes) -> list[bytes]:
    """Return the bytes that the key may stand for: itself, and what it says in base64."""
    raw = key.encode("latin-1", "replace") if isinstance(key, str) else bytes(key)
    try:
        return [raw, base64.b64decode(b"".join(raw.split()).translate(bytes.maketrans(b"-_", b"+/")) + b"==")]
    except binascii.Error:
        return [raw]


def _is_der(data: bytes) -> bool:
    """Whether the bytes are one whole DER sequence, the outer form of every key and certificate."""
    if len(data) < 2 or data[0] != 0x30:
        return False
    if data[1] < 0x80:
        return len(data) == 2 + data[1]
    count = data[1] & 0x7F
    return 0 < count <= 4 and len(data) == 2 + count + int.from_bytes(data[2 : 2 + count])


def _is_jwk(secret: bytes) -> bool:
    try:
        found = json.loads(secret)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool({"kty", "keys"} & set(found))
