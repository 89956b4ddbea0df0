"""Bodies: what is not taken, where it says so, and that nothing of it is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from fastapix5 import AllowAny, action, override_settings
from tests.conftest import on_sqlite
from tests.requests.app import ADA, CompanyViewSet
from tests.requests.conftest import Serve

pytestmark = [pytest.mark.anyio, on_sqlite]

PATH = "/api/companies"
JSON = ADA | {"Content-Type": "application/json"}
VALID = b'{"name": "Cog", "slug": "cog"}'


async def post(client: httpx2.AsyncClient, content: Any, **headers: str) -> httpx2.Response:
    response = await client.post(PATH, content=content, headers=JSON | headers)
    if response.status_code != 201:
        assert response.headers["content-type"] == "application/problem+json"
        assert (await client.get(PATH)).json()["count"] == 2
    return response


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


async def test_a_body_declared_too_large_is_413(client: httpx2.AsyncClient) -> None:
    """A Content-Length beyond the limit is refused without reading."""
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield VALID

    response = await post(client, body(), **{"Content-Length": str(2**20 + 1)})
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert read == []


async def test_a_chunked_body_too_large_is_413(client: httpx2.AsyncClient) -> None:
    """A body that does not say how long it is is read up to the limit."""
    response = await post(client, chunks(10 * 2**20))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_a_body_at_the_limit_is_taken(client: httpx2.AsyncClient) -> None:
    """The limit itself is not too large."""
    assert (await post(client, VALID.ljust(2**20))).status_code == 201


@pytest.mark.parametrize("length", ["-1", "\xb2", "1e3", ""])
async def test_a_content_length_that_is_no_number_is_passed_over(client: httpx2.AsyncClient, length: str) -> None:
    """A server passes on only good ones; a bad one does no harm."""
    headers = [("content-length", length.encode("latin-1")), *((k, v.encode()) for k, v in JSON.items())]
    assert (await client.post(PATH, content=VALID, headers=headers)).status_code == 201  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/jsonp",
        "application/vnd.api+json",
        "nonsense",
    ],
)
async def test_what_is_not_json_in_utf8_is_415(client: httpx2.AsyncClient, content_type: str | None) -> None:
    """Only application/json is taken, in UTF-8; a body without a Content-Type is not."""
    headers = ADA if content_type is None else ADA | {"Content-Type": content_type}
    response = await client.post(PATH, content=VALID, headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json; x=y"]
)
async def test_spellings_of_json(client: httpx2.AsyncClient, content_type: str) -> None:
    """Case, quotes and parameters of the Content-Type do not matter."""
    assert (await post(client, VALID, **{"Content-Type": content_type})).status_code == 201


REFUSED: list[tuple[bytes, str]] = [
    (b"{", "invalid_json"),
    (b"nonsense", "invalid_json"),
    (b'{"name": "a",}', "invalid_json"),
    (b'{"name": NaN}', "invalid_json"),
    (b'{"name": Infinity}', "invalid_json"),
    (b'{"name": "\xff", "slug": "a"}', "invalid_json"),
    (b'{"name": "\\ud800", "slug": "a"}', "invalid_json"),
    (b'{"\\ud800": 1}', "invalid_json"),
    ("﻿{}".encode("utf-16"), "invalid_json"),
    (b"[" * 33 + b"]" * 33, "too_deep"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
    (b"[" * 900 + b"]" * 900, "too_deep"),
    (b'{"a":' * 900 + b"1" + b"}" * 900, "too_deep"),
    (b"[" * 100_000, "too_deep"),
    (b'{"name": "a\\u0000b", "slug": "a"}', "nul_character"),
    (b'{"na\\u0000me": "a"}', "nul_character"),
    (b'{"name": 1e999}', "finite_number"),
    (b'{"name": -1e999}', "finite_number"),
]


async def test_json_that_nobody_takes_is_422(client: httpx2.AsyncClient) -> None:
    """What is no JSON, too deep, or holds what no database does is refused with a place in the body."""
    for content, code in REFUSED:
        response = await post(client, content)
        assert (response.status_code, response.json()["code"]) == (422, code), content[:40]
        assert [error["loc"][0] for error in response.json()["errors"]] == ["body"]


async def test_a_body_that_is_no_object_is_422(client: httpx2.AsyncClient) -> None:
    """JSON of another kind is refused at the body itself."""
    for content in (b"[]", b'"x"', b"1", b"null", b"true", b"[{}]"):
        response = await post(client, content)
        assert response.status_code == 422
        assert response.json()["errors"][0]["loc"] == ["body"]


async def test_every_wrong_field_is_named(client: httpx2.AsyncClient) -> None:
    """All wrong places come at once, an unknown field among them, and no value is repeated."""
    response = await post(client, json.dumps({"name": 5, "vat": "v" * 21, "colour": "swordfish"}).encode())
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    expected = {
        ("body", "name", "string_type"),
        ("body", "slug", "missing"),
        ("body", "vat", "string_too_long"),
        ("body", "colour", "extra_forbidden"),
    }
    assert {(*error["loc"], error["code"]) for error in response.json()["errors"]} == expected
    assert "swordfish" not in response.text


async def test_a_name_of_the_callers_is_cut(client: httpx2.AsyncClient) -> None:
    """A long unknown name does not come back whole."""
    response = await post(client, json.dumps({"x" * 5000: 1}).encode())
    assert response.status_code == 422
    assert len(response.content) < 1500


async def test_the_last_of_two_equal_names_counts(client: httpx2.AsyncClient) -> None:
    """Of a name given twice the last value is checked and written, as in most readers of JSON."""
    response = await post(client, b'{"name": 5, "slug": "a", "name": "Cog"}')
    assert response.json()["name"] == "Cog"


async def test_an_escaped_backslash_is_no_nul(client: httpx2.AsyncClient) -> None:
    """Text that only looks like an escape is text; so are the Unicode characters beyond the first plane."""
    response = await post(client, b'{"name": "a\\\\u0000\\ud83d\\ude00", "slug": "e999"}')
    assert response.status_code == 201
    assert response.json()["name"] == "a\\u0000\U0001f600"


class Order(BaseModel):
    lines: list[Any]
    weight: float = 0.0


class OrderingViewSet(CompanyViewSet):
    permission_classes = [AllowAny]

    @action(detail=False, methods=["POST"])
    async def order(self, order: Order) -> int:
        return len(order.lines)

    @action(detail=False, methods=["POST"])
    async def twice(self, order: Order, again: Order) -> int:
        return len(order.lines) + len(again.lines)


async def test_an_actions_body_is_held_to_the_same(serve: Serve) -> None:
    """A body that takes anything is held to depth, NUL and finite numbers too."""
    client = serve(OrderingViewSet())
    path = "/companies/order"
    assert (await client.post(path, json={"lines": [1, [2]]})).json() == 2
    for content, loc in (
        (b'{"lines": ' + b"[" * 33 + b"]" * 33 + b"}", ["body", "lines"]),
        (b'{"lines": ["\\u0000"]}', ["body", "lines", 0]),
        (b'{"lines": [{"a": 1e999}]}', ["body", "lines", 0, "a"]),
        (b'{"lines": [], "weight": 1e999}', ["body", "weight"]),
        (b'{"lines": [], "weight": ' + b"9" * 400 + b"}", ["body", "weight"]),
        (b'{"lines": [], "weight": "1"}', ["body", "weight"]),
        (b'{"lines": [], "colour": 1}', ["body", "colour"]),
    ):
        response = await client.post(path, content=content, headers=JSON)
        assert response.status_code == 422, content[:40]
        assert response.json()["errors"][0]["loc"] == loc, response.text


async def test_several_bodies_stand_beside_each_other(serve: Serve) -> None:
    """Two bodies of an action are two names of one object, as in FastAPI."""
    client = serve(OrderingViewSet())
    path = "/companies/twice"
    assert (await client.post(path, json={"order": {"lines": [1]}, "again": {"lines": [1]}})).json() == 2
    response = await client.post(path, json={"order": {"lines": 1}, "agian": {}})
    assert {tuple(error["loc"]) for error in response.json()["errors"]} == {
        ("body", "order", "lines"),
        ("body", "again"),
        ("body", "agian"),
    }
    assert (await client.post(path, json=[])).status_code == 422
    assert (await client.post(path)).status_code == 422


async def test_the_limits_are_settings(serve: Serve) -> None:
    """MAX_BODY_SIZE and MAX_JSON_DEPTH are read when the router is made."""
    with override_settings(MAX_BODY_SIZE=20, MAX_JSON_DEPTH=1):
        client = serve(CompanyViewSet(permission_classes=[AllowAny]))
    for content, status in ((VALID, 413), (b'{"a": []}', 422)):
        assert (await client.post("/companies", content=content, headers=JSON)).status_code == status
    assert (await client.post("/companies", content=b'{"a": []}', headers=JSON)).json()["code"] == "too_deep"


async def test_a_client_that_disconnects_is_nobodys_failure(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that leaves while it sends is neither answered nor logged, and writes nothing."""
    sent: list[Any] = []
    messages = iter([{"type": "http.request", "body": VALID[:5], "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in JSON.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "server": ("test", 80),
        "client": ("127.0.0.1", 1),
    }
    await client._transport.app(scope, receive, send)  # type: ignore[attr-defined]
    assert sent == []
    assert caplog.records == []
    assert (await client.get(PATH)).json()["count"] == 2
