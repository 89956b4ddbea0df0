"""Tokens: what is signed comes back, and nothing else is ever accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from fastapix5.exceptions import AuthenticationFailed, ImproperlyConfigured
from fastapix5.settings import override_settings
from fastapix5.tokens import access_from_claims, decode, encode, token_rules

KEY = "0123456789abcdef0123456789abcdef"
PUBLIC_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
DER = PUBLIC_KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = PUBLIC_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SSH = PUBLIC_KEY.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture(autouse=True)
def key_in_settings() -> Iterator[None]:
    """The settings have a key and ask for no audience."""
    with override_settings(SECRET_KEY=KEY, JWT_AUDIENCE=None, JWT_ISSUER=None, JWT_LEEWAY=0):
        yield


def base64url(data: bytes) -> str:
    """Encode as tokens do."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(claims: object, *, header: object = None, key: bytes = KEY.encode()) -> str:
    """Sign whatever is given, without any check."""
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    parts = [base64url(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (head, claims)]
    signature = hmac.digest(key, ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, base64url(signature)])


def good(**changes: Any) -> dict[str, Any]:
    """Claims that hold, with changes; None removes a claim."""
    now = int(time.time())
    claims = {"sub": "ada", "iat": now, "exp": now + 60, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def test_claims_come_back() -> None:
    """What encode() signed, decode() returns, with iat and exp."""
    claims = decode(encode({"sub": "ada", "tenant_id": "UA"}, lifetime=timedelta(minutes=5)))
    assert (claims["sub"], claims["tenant_id"]) == ("ada", "UA")
    assert claims["exp"] - claims["iat"] == 300


def test_encode_leaves_its_argument_alone() -> None:
    """The caller's mapping is not changed."""
    claims = {"sub": "ada"}
    encode(claims)
    assert claims == {"sub": "ada"}


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 7}])
def test_encode_needs_a_subject(claims: dict[str, Any]) -> None:
    """A token that decode() would refuse is not made."""
    with pytest.raises(ValueError, match='A token needs "sub"'):
        encode(claims)


def test_encode_makes_no_token_that_is_too_long() -> None:
    """A token over 4 KB is not made, since it would not be read."""
    with pytest.raises(ValueError, match="at most 4096 are read"):
        encode({"sub": "ada", "scope": ["x" * 100] * 40})


def test_a_forged_token_with_the_right_key_holds() -> None:
    """The helper of these tests signs as encode() does."""
    assert decode(forge(good()))["sub"] == "ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["ada"]},
        {"sub": "a\0b"},
        {"sub": "\ud800"},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": 10**400},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": [1]},
        {"exp": -1},
        {"iat": "1"},
        {"iat": -1},
        {"iat": False},
        {"iat": time.time() + 10**6, "exp": time.time() + 10**7},
        {"nbf": time.time() + 10**6, "exp": time.time() + 10**7},
        {"nbf": "1"},
        {"aud": "flights"},
        {"aud": []},
        {"at_hash": "x"},
    ],
)
def test_bad_claims_are_refused(changes: dict[str, Any]) -> None:
    """A claim that is missing, of the wrong type, out of range, or for somebody else is refused."""
    with pytest.raises(AuthenticationFailed, match=r"^The token "):
        decode(forge(good(**changes)))


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
def test_a_null_claim_is_refused(name: str) -> None:
    """A required claim that is null is as good as missing."""
    with pytest.raises(AuthenticationFailed):
        decode(forge({**good(), name: None}))


def test_an_expired_token_says_so() -> None:
    """The caller is told that the token has expired, from the very second of exp."""
    now = int(time.time())
    for expires in (now - 1, now):
        with pytest.raises(AuthenticationFailed, match=r"^The token has expired\.$"):
            decode(forge(good(iat=now - 10, exp=expires)))


def test_an_expired_token_of_another_key_does_not_say_so() -> None:
    """Who cannot sign learns nothing about a token."""
    with pytest.raises(AuthenticationFailed, match=r"^The token is not valid\.$"):
        decode(forge(good(exp=1), key=b"x" * 32))


def test_leeway_covers_clocks_that_differ() -> None:
    """Within the leeway a token may be a little old or a little early."""
    now = time.time()
    for claims in (good(iat=now - 60, exp=now - 5), good(iat=now + 5), good(nbf=now + 5)):
        assert decode(forge(claims), leeway=10)["sub"] == "ada"
        with pytest.raises(AuthenticationFailed):
            decode(forge(claims))


def test_an_audience_must_be_named() -> None:
    """With an audience set, a token must name it, alone or among others."""
    for audience in ("flights", ["hotels", "flights"]):
        assert decode(forge(good(aud=audience)), audience="flights")
    for claims in (
        good(),
        good(aud="hotels"),
        good(aud=[]),
        good(aud=["hotels"]),
        good(aud=7),
        good(aud={"flights": 1}),
    ):
        with pytest.raises(AuthenticationFailed):
            decode(forge(claims), audience="flights")


def test_an_issuer_must_be_named() -> None:
    """With an issuer set, a token must be from it."""
    assert decode(forge(good(iss="login")), issuer="login")
    for claims in (good(), good(iss="other"), good(iss=["login"])):
        with pytest.raises(AuthenticationFailed):
            decode(forge(claims), issuer="login")


@pytest.mark.parametrize("what", ["audience", "issuer"])
def test_an_audience_or_issuer_is_one_text(what: str) -> None:
    """Several in a list are refused at the start: no token could hold."""
    with pytest.raises(ImproperlyConfigured, match=what):
        token_rules("k" * 32, **{what: ["a", "b"]})  # type: ignore[arg-type]


def test_audience_and_issuer_of_the_settings_hold() -> None:
    """JWT_AUDIENCE and JWT_ISSUER are written by encode() and asked for by decode()."""
    with override_settings(JWT_AUDIENCE="flights", JWT_ISSUER="login"):
        token = encode({"sub": "ada"})
        assert decode(token)["aud"] == "flights"
        with pytest.raises(AuthenticationFailed):
            decode(forge(good()))
    with pytest.raises(AuthenticationFailed):
        decode(token)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": {"HS256": 1}},
        {"alg": None},
        {},
        [],
        "HS256",
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": None},
        b"not json",
        b"\xff\xfe",
        b'{"alg":"HS256","x":' + b"[" * 1500 + b"]" * 1500 + b"}",
    ],
)
def test_bad_headers_are_refused(header: object) -> None:
    """Another algorithm, a critical extension, or what is no header is refused even where the signature is right."""
    with pytest.raises(AuthenticationFailed):
        decode(forge(good(), header=header))


def test_the_key_id_is_not_looked_at() -> None:
    """One key: a kid that points elsewhere changes nothing."""
    assert decode(forge(good(), header={"alg": "HS256", "kid": "../../dev/null"}))["sub"] == "ada"


@pytest.mark.parametrize("claims", [b"", b"null", b"[]", b"7", b'"x"', b"{", b"\xff", b"[" * 2000])
def test_claims_must_be_an_object(claims: bytes) -> None:
    """A payload that is no JSON object is refused."""
    with pytest.raises(AuthenticationFailed):
        decode(forge(claims))


def test_only_one_spelling_of_a_token_is_accepted() -> None:
    """The unused bits of a segment's last character must be zero."""
    token = forge(good())
    body, last = token[:-1], token[-1]
    assert decode(token)
    for character in set(ALPHABET) - {last}:
        with pytest.raises(AuthenticationFailed):
            decode(body + character)


@pytest.mark.parametrize("change", ["{}=", "{}\n", " {}", "{}.", ".{}", "{}.x", "{}ä", "{}\0", "{}%3D"])
def test_nothing_may_surround_a_token(change: str) -> None:
    """Padding, blanks and further segments are refused."""
    with pytest.raises(AuthenticationFailed):
        decode(change.format(forge(good())))


def test_a_long_token_is_refused() -> None:
    """A token of more than 4 KB is refused although its signature is right."""
    fits, too_long = forge(good(x="x" * 2800)), forge(good(x="x" * 3000))
    assert len(fits) < 4096 < len(too_long)
    assert decode(fits)
    with pytest.raises(AuthenticationFailed):
        decode(too_long)


@pytest.mark.parametrize("key", ["", "x" * 31, "\ud800" * 32, b"x"])
def test_a_short_key_is_refused(key: str | bytes) -> None:
    """A secret has at least 32 bytes."""
    with pytest.raises(ImproperlyConfigured, match=r"token_hex\(32\)"):
        token_rules(key)


@pytest.mark.parametrize(
    "key",
    [
        PEM,
        PEM.decode(),
        SSH,
        DER,
        DER.decode("latin-1"),
        base64.b64encode(DER),
        base64.b64encode(DER).decode().rstrip("="),
        base64.urlsafe_b64encode(DER),
        base64.encodebytes(DER),
        '{"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx", "e": "AQAB"}',
        '{"keys": [{"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWh"}]}',
    ],
)
def test_an_asymmetric_key_is_no_secret(key: str | bytes) -> None:
    """A public key, which everybody may know, cannot be the secret, in whatever form it comes."""
    with pytest.raises(ImproperlyConfigured, match="not a secret"):
        token_rules(key)


def test_a_secret_that_looks_like_json_is_one_secret() -> None:
    """A key with the form of a list is not taken for several keys."""
    key = json.dumps(["x" * 40, "y" * 40])
    assert decode(forge(good(), key=key.encode()), key)
    with pytest.raises(AuthenticationFailed):
        decode(forge(good(), key=b"x" * 40), key)


def test_no_key_says_what_to_do() -> None:
    """Without any key the error names the setting and the argument."""
    with override_settings(SECRET_KEY=None), pytest.raises(ImproperlyConfigured, match="Set SECRET_KEY, or write"):
        token_rules()


def test_rules_do_not_show_the_key() -> None:
    """Printing the rules prints no secret."""
    assert KEY not in repr(token_rules())


def test_an_error_carries_no_token() -> None:
    """Neither the error nor its causes repeat what was sent."""
    with pytest.raises(AuthenticationFailed) as caught:
        decode("s3cret.t0ken.here")
    assert "t0ken" not in str(caught.value)
    assert caught.value.__suppress_context__


@given(position=st.integers(0, 10_000), replacement=st.characters(), cut=st.integers(0, 1))
def test_no_mutation_is_accepted(position: int, replacement: str, cut: int) -> None:
    """A token that differs in one character, replaced or inserted, is refused."""
    token = encode({"sub": "ada", "scope": "flights.read"}, KEY)
    place = position % (len(token) + 1)
    mutated = token[:place] + replacement + token[place + cut :]
    if mutated == token:
        return
    with pytest.raises(AuthenticationFailed):
        decode(mutated, KEY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "at_hash", "scope", "tenant_id"]), JSON
)


@given(
    st.text()
    | st.binary().map(base64url)
    | st.lists(st.binary(), max_size=4).map(lambda x: ".".join(map(base64url, x)))
)
def test_reading_raises_nothing_else(token: str) -> None:
    """Whatever is sent, decode() raises AuthenticationFailed."""
    with pytest.raises(AuthenticationFailed):
        decode(token, KEY)


@given(claims=CLAIMS | JSON, header=st.none() | JSON)
def test_signed_nonsense_raises_nothing_else(claims: object, header: object) -> None:
    """Whatever is signed with the right key, it is read or AuthenticationFailed."""
    whole = {**good(), **claims} if isinstance(claims, dict) else claims
    try:
        access = access_from_claims(decode(forge(whole, header=header), KEY))
    except AuthenticationFailed:
        return
    assert access.user_id
    access.user_id.encode()


def test_claims_become_an_access() -> None:
    """sub, tenant_id and scope become user_id, tenant_id and scopes; everything said is in claims."""
    access = access_from_claims({"sub": "ada", "tenant_id": "UA", "scope": "a.read b.write", "x": 1})
    assert (access.user_id, access.tenant_id) == ("ada", "UA")
    assert access.scopes == {"a.read", "b.write"}
    assert access.claims["x"] == 1
    assert access.scope is None
    with pytest.raises(TypeError):
        access.claims["x"] = 2  # type: ignore[index]


def test_scopes_may_be_a_list() -> None:
    """A list of scopes means the same as words between blanks; none at all means none."""
    assert access_from_claims({"sub": "ada", "scope": ["a", "b"]}).scopes == {"a", "b"}
    assert access_from_claims({"sub": "ada", "scope": " a  b "}).scopes == {"a", "b"}
    assert access_from_claims({"sub": "ada"}).scopes == set()


def test_a_tenant_may_be_a_number() -> None:
    """A tenant's number becomes text."""
    assert access_from_claims({"sub": "ada", "tenant_id": 7}).tenant_id == "7"


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": 7},
        {"scope": {"a": 1}},
        {"scope": ["a", 7]},
        {"scope": [""]},
        {"tenant_id": True},
        {"tenant_id": ""},
        {"tenant_id": ["UA"]},
        {"tenant_id": 1.5},
        {"tenant_id": "\ud800"},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_claims_of_the_wrong_type_are_refused(claims: dict[str, Any]) -> None:
    """A claim that would have to be guessed is refused."""
    with pytest.raises(AuthenticationFailed):
        access_from_claims({"sub": "ada", **claims})
