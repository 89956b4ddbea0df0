"""Keys in the URL: typed, composite, of free text, and behind a Location."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fastapix5 import AllowAny, ReadOnlyModelViewSet, action
from fastapix5.exceptions import ValidationFailed
from fastapix5.parameters import Key
from tests.conftest import on_sqlite
from tests.requests.app import CompanyViewSet, LabelViewSet, RoomViewSet
from tests.requests.conftest import Serve
from tests.requests.models import Company

pytestmark = pytest.mark.anyio

ROOMS = "/api/rooms"
ODD = [
    "a,b",
    "50%",
    "a%2Cb",
    "%252C",
    "a/b",
    "/",
    "a%2Fb",
    "//%252f",
    "ü ß",
    "日本",
    "?#&=+",
    "a;b:c@d",
    '"\\',
    "..a",
    " ",
    "\x7f",
    "😀",
]
KEY = Key("room", ("building", "number"), (str, int), "")


@given(st.text(min_size=1), st.integers(-(2**63), 2**63 - 1))
def test_a_composite_key_survives_its_writing(building: str, number: int) -> None:
    """Whatever a text holds, parsing what was formatted gives it back."""
    try:
        building.encode()
    except UnicodeEncodeError:
        return
    assert KEY.parse(KEY.format((building, number))) == {"building": building, "number": number}


@given(st.text(alphabet="a/%2Ff5,", min_size=1))
def test_a_key_of_text_survives_its_writing(text: str) -> None:
    """Slashes, and what looks like an encoded one, come back as they were."""
    key = Key("label", ("text",), (str,), "")
    assert "/" not in key.format((text,))
    assert key.parse(key.format((text,))) == {"text": text}


@pytest.mark.parametrize("text", ["a", "a,1,2", "a,x", "a,", ",1,", "", "a,1.0", "a,1e3", "a, 1", "a,٣"])
def test_a_composite_key_of_another_shape_is_refused(text: str) -> None:
    """Too few values, too many, or one of another type."""
    with pytest.raises(ValidationFailed) as raised:
        KEY.parse(text)
    assert {error.loc for error in raised.value.errors} == {("path", "room")}


async def test_a_location_with_a_composite_key_can_be_followed(client: httpx2.AsyncClient) -> None:
    """Every method finds the row where Location says it is; its list and its children too."""
    for building in ODD:
        await follow_room(client, building)


async def follow_room(client: httpx2.AsyncClient, building: str) -> None:
    body = {"building": building, "number": -7, "seats": 3}
    created = await client.post(ROOMS, json=body)
    assert (created.status_code, created.json()) == (201, body)
    place = created.headers["location"]
    assert (await client.get(place)).json() == body
    assert (await client.patch(place, json={"seats": 4})).json() == body | {"seats": 4}
    assert (await client.put(place, json={"seats": 5})).json() == body | {"seats": 5}
    desk = await client.post(f"{place}/desks", json={"wood": "oak"})
    assert (desk.status_code, desk.json()["building"], desk.json()["number"]) == (201, building, -7)
    assert (await client.get(desk.headers["location"])).json() == desk.json()
    listed = await client.get(f"{place}/desks?page_size=1")
    assert listed.json()["results"] == [desk.json()]
    assert (await client.delete(desk.headers["location"])).status_code == 204
    assert (await client.delete(place)).status_code == 204
    assert (await client.get(place)).status_code == 404


async def test_a_location_with_a_key_of_text_can_be_followed(client: httpx2.AsyncClient) -> None:
    """A key of free text is one segment; what hangs below it, and its pages, are found too."""
    for text in ODD:
        await follow_label(client, text)


async def follow_label(client: httpx2.AsyncClient, text: str) -> None:
    created = await client.post("/api/labels", json={"text": text})
    place = created.headers["location"]
    assert (await client.get(place)).json() == {"text": text}
    for body in ("one", "two"):
        note = await client.post(f"{place}/notes", json={"body": body})
        assert (await client.get(note.headers["location"])).json()["label"] == text
    page = await client.get(f"{place}/notes?page_size=1")
    following = await client.get(page.json()["next"])
    assert following.json()["results"][0]["body"] == "two"
    assert (await client.get(following.json()["previous"])).json() == page.json()


@on_sqlite
@pytest.mark.parametrize(
    ("path", "kwarg"),
    [
        ("/api/companies/{}", "company_id"),
        ("/api/companies/{}/departments", "company_id"),
        ("/api/companies/1/departments/{}", "department_id"),
    ],
)
async def test_a_key_of_another_type_is_422(client: httpx2.AsyncClient, path: str, kwarg: str) -> None:
    """A key that is no integer of the column's size is refused in the path, wherever it stands."""
    for key in ("x", "1.0", "1e3", "-", "%201", "1_000", "%D9%A3", "9" * 11, "9" * 5000, "true", "None", "%00", "0x1"):
        response = await client.get(path.format(key))
        assert (response.status_code, response.json()["code"]) == (422, "invalid"), key
        assert [error["loc"] for error in response.json()["errors"]] == [["path", kwarg]]
        assert len(response.content) < 1000


@on_sqlite
async def test_a_text_key_that_no_column_holds_is_422(client: httpx2.AsyncClient) -> None:
    """NUL and what is longer than the column are refused."""
    for key in ("%00", "a%00b", "x" * 61, "x" * 9000):
        assert (await client.get(f"/api/labels/{key}")).status_code == 422
        assert (await client.get(f"/api/rooms/{key},1")).status_code == 422


class LateViewSet(CompanyViewSet):
    permission_classes = [AllowAny]

    @action(detail=False)
    async def late(self) -> str:
        return "static"

    @action(detail=False, methods=["POST"], url_path="late/again")
    async def again(self) -> str:
        return "static"


async def test_a_static_segment_beats_a_lookup(serve: Serve) -> None:
    """An action's segment is no key, whatever the method; the path has its own Allow."""
    client = serve(LateViewSet(lookup_field="slug"))
    assert (await client.get("/companies/late")).json() == "static"
    assert (await client.post("/companies/late/again")).json() == "static"
    response = await client.delete("/companies/late")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


class SlugRead(BaseModel):
    slug: str


async def test_a_keyword_of_the_path_can_be_named(serve: Serve) -> None:
    """lookup_url_kwarg names the parameter, also where errors say where."""

    class Named(ReadOnlyModelViewSet[Company]):
        read_schema = SlugRead
        lookup_url_kwarg = "which"
        permission_classes = [AllowAny]

    response = await serve(Named()).get("/companies/x")
    assert response.json()["errors"][0]["loc"] == ["path", "which"]


async def test_viewsets_of_text_keys_stand_alone(serve: Serve) -> None:
    """Without a prefix and without setup() Location is right as well."""
    rooms, labels = {"building": "a,b", "number": 1}, {"text": "a,b"}
    for viewset, path, body in ((RoomViewSet(), "/rooms", rooms), (LabelViewSet(), "/labels", labels)):
        client = serve(viewset, with_setup=False)
        created = await client.post(path, json=body)
        assert (await client.get(created.headers["location"])).status_code == 200
