"""Facts about requests that no HTTP library would send: bodies too large and too deep, broken heads, bad tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.withstand.conftest import Both
from tests.withstand.problems import fine, refused
from tests.withstand.served import PROBLEM, Answer, token
from tests.withstand.test_values import FLIGHT, FLIGHTS

pytestmark = pytest.mark.usefixtures("nothing_written", "nothing_written_here")

MEBIBYTE = 1 << 20
WHOLE = json.dumps(FLIGHT).encode()
WRITES = (("POST", FLIGHTS), ("PUT", f"{FLIGHTS}/1"), ("PATCH", "/flights/1"), ("POST", "/flights/1/delay"))


def nested(depth: int, closed: bool = True) -> bytes:
    """Objects inside each other."""
    return b'{"a":' * depth + b"1" + b"}" * depth * closed


NO_JSON = [
    b"{", b"}", b"{]", b"{'a':1}", b'{"a":1,}', b"//x", b"\0", b"\xff", b"\xff\xfe{\0}\0", b"\xef\xbb\xbf" + WHOLE, WHOLE + b"x",
    WHOLE + WHOLE, b'{"dest":"\xff\xfe\xfd"}', b'{"dest":"\xed\xa0\x80"}', b'{"dest":"\xc0\xaf"}', b'{"\xff":1}', b"[" * 900,
    b"[" * 100_000, nested(900, closed=False), b" ", b" " * MEBIBYTE, b'{"flight":' + b"1" * 1_000_000 + b"}", b"NaN", b"undefined",
]  # fmt: skip
NO_OBJECT = [
    b"null",
    b"true",
    b"1",
    b'"x"',
    b"[]",
    b"[{}]",
    b"[" + WHOLE + b"]",
    b"[" + b"{}," * 300_000 + b"{}]",
    b"1e5",
]
TOO_DEEP = [
    nested(33),
    nested(100),
    nested(900),
    b"[" * 33 + b"]" * 33,
    b"[" * 900 + b"]" * 900,
    b'{"dest":' + b"[" * 32 + b"]" * 32 + b"}",
]
TOO_LARGE = [
    b" " * (MEBIBYTE + 1),
    b"x" * 10 * MEBIBYTE,
    b'{"dest":"' + b"A" * 10 * MEBIBYTE + b'"}',
    b"[" * 10 * MEBIBYTE,
]


@pytest.mark.parametrize("chunks", [0, 65_536], ids=["declared", "chunked"])
@pytest.mark.parametrize("body", [*NO_JSON, *NO_OBJECT, *TOO_DEEP, b""], ids=lambda body: repr(body[:12]))
def test_a_body_that_is_no_object_is_refused(both: Both, body: bytes, chunks: int) -> None:
    """Whatever it is instead; JSON deeper than MAX_JSON_DEPTH is told as such where it can be read at all."""
    for where in WRITES:
        answer = refused(both(*where, raw=body, chunks=chunks))
        assert answer.status == 422
        assert {place[0] for place in answer.places} == {"body"}
        if body in TOO_DEEP:
            assert answer.json()["code"] in ("too_deep", "invalid_json")


@pytest.mark.parametrize("chunks", [0, 65_536], ids=["declared", "chunked"])
@pytest.mark.parametrize("body", TOO_LARGE, ids=lambda body: f"{body[:10]!r}*{len(body)}")
def test_a_body_that_is_too_large_is_refused(both: Both, body: bytes, chunks: int) -> None:
    """Also where its length was not declared; the caller hears of it."""
    for where in WRITES:
        assert refused(both(*where, raw=body, chunks=chunks)).status == 413


def test_a_body_of_the_largest_size_is_read(both: Both) -> None:
    """MAX_BODY_SIZE itself is not too large."""
    padded = b'{"minutes": 0' + b" " * (MEBIBYTE - 14) + b"}"
    assert len(padded) == MEBIBYTE
    assert refused(both("POST", "/flights/1/delay", raw=padded)).places == [("body", "minutes")]


def test_a_hundred_thousand_wrong_fields_are_not_all_told(both: Both) -> None:
    """The answer has an end, and comes soon."""
    body = b"{" + b",".join(b'"k%d":1' % number for number in range(80_000)) + b"}"
    for where in WRITES[:2]:
        answer = refused(both(*where, raw=body))
        assert answer.status == 422
        assert answer.seconds < 3


def test_a_body_where_none_is_expected_changes_nothing(both: Both) -> None:
    """It is not read."""
    for body in (b"{", b"\xff" * 1000, nested(900)):
        fine(both("GET", "/flights/1", raw=body))
        assert refused(both("DELETE", "/flights/2147483647", raw=body)).status == 404


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "", "\xff", "application/problem+json", "multipart/form-data; boundary=x", "application/json; charset=utf-16",
     "application/json; charset=latin-1", "application/x-www-form-urlencoded", "application/jsonx", "json", "x" * 30_000, "*/*"],
)  # fmt: skip
def test_a_body_that_says_it_is_something_else_is_refused(both: Both, content_type: str) -> None:
    """Only application/json in UTF-8 is taken."""
    for where in WRITES:
        assert refused(both(*where, raw=WHOLE, headers={"Content-Type": content_type})).status == 415


def segments(*parts: str) -> str:
    """A token of these parts."""
    return "Bearer " + ".".join(parts)


HEAD, CLAIMS, SIGNATURE = token().split(".")
BAD_AUTHORIZATIONS = [
    "", " ", "Bearer", "Bearer ", "Bearer x", "Bearer ..", "Basic dTpw", "Basic \xff", "\xff\xfe", "Bearer \xe9.\xe9.\xe9",
    "Bearer " + "x" * 5_000, "Bearer " + "." * 50_000, segments(HEAD, CLAIMS), segments(HEAD, CLAIMS, ""),
    segments(HEAD, CLAIMS, SIGNATURE[:-1]), segments(HEAD, CLAIMS, SIGNATURE + "A"), segments(HEAD, CLAIMS, SIGNATURE + "="),
    segments(HEAD, CLAIMS, SIGNATURE, SIGNATURE), segments("eyJhbGciOiJub25lIn0", CLAIMS, ""), segments(CLAIMS, CLAIMS, SIGNATURE),
    segments("W10", CLAIMS, SIGNATURE), segments("bnVsbA", CLAIMS, SIGNATURE), segments("W1tb" * 400, CLAIMS, SIGNATURE),
    f"Bearer {token()}, Bearer {token()}", f"Token {token()}", token(),
]  # fmt: skip


@pytest.mark.parametrize("authorization", BAD_AUTHORIZATIONS, ids=lambda value: repr(value[:24]))
def test_credentials_that_do_not_hold_are_refused_before_anything_is_read(both: Both, authorization: str) -> None:
    """401 whatever the rest of the request is."""
    headers = {"Authorization": authorization}
    for method, path, body in (
        ("POST", FLIGHTS, b"{"),
        ("DELETE", "/flights/x", b""),
        ("PATCH", "/flights/1?x=1", WHOLE),
    ):
        assert refused(both(method, path, raw=body, headers=headers)).status == 401


@pytest.mark.parametrize(
    "headers",
    [{"X-Request-ID": "\xff"}, {"X-Request-ID": "a" * 10_000}, {"X-Request-ID": "a b<script>"}, {"X-Request-ID": ""},
     {"Accept": "text/html"}, {"Accept": "\xff\xfe"}, {"Cookie": "\xff" * 1_000}, {"X-Forwarded-For": "x" * 1_000}, {"X": "y" * 50_000},
     {"Host": "evil.example"}, {"Range": "bytes=0-0"}, {"If-Match": '"x"'}, {"Content-Encoding": "gzip"}, {"Accept-Language": "\x7f"}],
    ids=str,
)  # fmt: skip
def test_strange_headers_break_nothing(both: Both, headers: Mapping[str, str]) -> None:
    """A request id that is none is replaced by one of ours."""
    for method, path in (("GET", "/flights/1"), ("POST", FLIGHTS)):
        answer = both(method, path, raw=b"{}", headers=headers)
        assert answer.status in (200, 422)
        assert len(answer.headers["x-request-id"]) == 32


# Heads that the server itself may refuse, before the application sees them.


def ask(both: Both, head: bytes, body: bytes = b"") -> Answer | None:
    """The answer, or None where the server only hung up."""
    answers: list[Answer | None] = []
    for served in both.apis.values():
        head_with_token = head.replace(b"@", served.api.authorization["Authorization"].encode())
        try:
            answers.append(served.api.send(head_with_token + body, timeout=5))
        except (ConnectionError, TimeoutError):
            answers.append(None)
    assert (answers[0] and answers[0].status) == (answers[1] and answers[1].status)
    return answers[1]


@pytest.mark.parametrize(
    "length", ["-1", "abc", "1e3", "+5", "", "5, 6", "0x5", "99999999999999999999", "10485760", "\xb2"]
)
def test_a_wrong_content_length_is_refused(both: Both, length: str) -> None:
    """By the server, or as too large: nothing is waited for."""
    head = f"POST /api{FLIGHTS} HTTP/1.1\r\nHost: t\r\nAuthorization: @\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    answer = ask(both, head.encode("latin-1"), WHOLE)
    assert answer is not None
    assert answer.status in (400, 413)
    assert answer.status == 400 or answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    "head",
    [b"GET /api/flights/\xff HTTP/1.1\r\nHost: t\r\n\r\n", b"GET /api/flights?a=\xff HTTP/1.1\r\nHost: t\r\n\r\n",
     b"GET /api/flights/\0 HTTP/1.1\r\nHost: t\r\n\r\n", b"GET /api/flights HTTP/9.9\r\nHost: t\r\n\r\n", b"\0\0\0\0\r\n\r\n",
     b"GET /api/flights?" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", b"GET  HTTP/1.1\r\nHost: t\r\n\r\n",
     b"GET /api/flights HTTP/1.1\r\nHost: t\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", b"GET * HTTP/1.1\r\nHost: t\r\n\r\n",
     b"GET http://evil.example/api/flights HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
     b"GET //evil.example/ HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", b"FOO /api/flights HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
     b"GET /api/flights HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", b"GET /api/flights HTTP/1.1\r\nHost : t\r\n\r\n",
     b"POST /api/flights HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n"],
    ids=lambda head: repr(head[:40]),
)  # fmt: skip
def test_a_broken_head_breaks_nothing(both: Both, head: bytes) -> None:
    """The connection may be closed; no answer is a 5xx, and the next caller is served."""
    answer = ask(both, head)
    assert answer is None or answer.status < 500
    fine(both("GET", "/flights/1"))
