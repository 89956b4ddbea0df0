"""Soft deletion and versions over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from fastapix5 import (
    Access,
    AllowAny,
    FilterSetBackend,
    ModelViewSet,
    Q,
    RouterSchema,
    action,
    atomic,
    session_scope,
    setup,
)
from fastapix5.repositories import Repository
from tests.models.fleet import Carrier, Manual, Plane, Ticket
from tests.statements import Statements

pytestmark = pytest.mark.anyio

OPEN: dict[str, Any] = {"permission_classes": [AllowAny], "authentication_classes": []}


class PlaneBrief(BaseModel):
    tail: str


class CarrierBrief(BaseModel):
    code: str


class CarrierRead(CarrierBrief):
    id: int
    seats: int
    version: int
    planes: list[PlaneBrief]


class CarrierCreate(BaseModel):
    code: str
    name: str


class CarrierUpdate(BaseModel):
    seats: int = 1
    version: int | None = None


class ManualRead(BaseModel):
    title: str


class PlaneRead(BaseModel):
    id: uuid.UUID
    tail: str
    carrier: CarrierBrief | None
    manual: ManualRead | None


class PlaneWrite(BaseModel):
    tail: str
    carrier_id: int | None = None


class TicketRead(BaseModel):
    id: int
    seat: str
    version: int


class TicketWrite(BaseModel):
    seat: str


class CarrierViewSet(ModelViewSet[Carrier]):
    name = "carriers"
    read_schema = CarrierRead
    create_schema = CarrierCreate
    update_schema = CarrierUpdate
    filter_backends = [FilterSetBackend]
    filterset_fields = {"planes__tail": ["exact", "isnull"]}


class PlaneViewSet(ModelViewSet[Plane]):
    name = "planes"
    read_schema = PlaneRead
    create_schema = PlaneWrite
    update_schema = PlaneWrite


class HookedPlaneViewSet(PlaneViewSet):
    """Its hook is overridden, so that objects are deleted rather than rows."""

    name = "hooked"

    async def perform_destroy(self, obj: Plane) -> None:
        await super().perform_destroy(obj)


class DeletedPlaneViewSet(PlaneViewSet):
    """What was deleted, and the way back."""

    name = "deleted"

    def get_queryset(self) -> Any:
        return self.service.repository.all_objects.exclude(deleted_at=None)

    @action(detail=True, methods=["POST"])
    async def restore(self) -> PlaneRead:
        found: Any = await self.service.repository.restore(await self.get_object())
        return found  # type: ignore[no-any-return]


@pytest.fixture
async def client(fleet: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API, with a carrier of two planes."""
    async with session_scope(), atomic():
        carrier = await Repository(Carrier).create({"code": "UA", "name": "United"})
        for tail in ("N1", "N2"):
            await Repository(Plane).create({"tail": tail, "carrier_id": carrier.id})
    app = FastAPI()
    setup(app)
    for view in (CarrierViewSet, PlaneViewSet, HookedPlaneViewSet, DeletedPlaneViewSet):
        app.include_router(view(**OPEN).router)
    nested = RouterSchema(
        name="fleets",
        model=Carrier,
        read_schema=CarrierBrief,
        children=[
            RouterSchema(name="planes", model=Plane, read_schema=PlaneRead, create_schema=PlaneWrite, **OPEN),
        ],
        **OPEN,
    )
    app.include_router(nested.router)
    tickets: Any = ModelViewSet(
        model=Ticket,
        name="tickets",
        read_schema=TicketRead,
        create_schema=TicketWrite,
        update_schema=TicketWrite,
        **OPEN,
    )
    app.include_router(tickets.router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as found:
        yield found


async def rows(client: httpx2.AsyncClient, path: str) -> list[dict[str, Any]]:
    """The rows of a list."""
    response = await client.get(path)
    assert response.status_code == 200, response.json()
    found: list[dict[str, Any]] = response.json()["results"]
    assert response.json()["count"] == len(found)
    return found


async def tails(client: httpx2.AsyncClient, path: str = "/planes") -> list[str]:
    """The tails of the planes in a list."""
    return sorted(row["tail"] for row in await rows(client, path))


async def key_of(client: httpx2.AsyncClient, tail: str) -> str:
    """The key of a plane."""
    return next(str(row["id"]) for row in await rows(client, "/planes") if row["tail"] == tail)


@pytest.mark.parametrize("name", ["planes", "hooked"])
async def test_a_deleted_row_is_404(client: httpx2.AsyncClient, name: str) -> None:
    """For every method, and in lists; it can be found where it is looked for, and brought back."""
    key = await key_of(client, "N1")
    assert (await client.delete(f"/{name}/{key}")).status_code == 204
    for method, body in (("GET", None), ("PATCH", {"tail": "N3"}), ("PUT", {"tail": "N3"}), ("DELETE", None)):
        assert (await client.request(method, f"/{name}/{key}", json=body)).status_code == 404, method
    assert await tails(client) == ["N2"]
    assert await tails(client, "/deleted") == ["N1"]
    assert (await client.delete(f"/deleted/{key}")).status_code == 404
    restored = await client.post(f"/deleted/{key}/restore")
    assert (restored.status_code, restored.json()["tail"]) == (200, "N1")
    assert await tails(client) == ["N1", "N2"]
    assert await tails(client, "/deleted") == []


async def test_a_delete_is_one_statement(client: httpx2.AsyncClient, statements: Statements) -> None:
    """Where nothing asks for the object."""
    key = await key_of(client, "N1")
    statements.reset()
    await client.delete(f"/planes/{key}")
    assert [statement.text[:6] for statement in await statements.read()] == ["UPDATE"]


async def test_related_rows_are_shown_by_kind(client: httpx2.AsyncClient) -> None:
    """Lists leave hidden rows out, filters do not see them, and a row keeps the name of what it refers to."""
    await client.delete(f"/planes/{await key_of(client, 'N1')}")
    (carrier,) = await rows(client, "/carriers")
    assert carrier["planes"] == [{"tail": "N2"}]
    assert await rows(client, "/carriers?planes__tail=N1") == []
    assert len(await rows(client, "/carriers?planes__tail=N2")) == 1
    assert (await client.delete("/carriers/1")).status_code == 204
    assert await rows(client, "/carriers") == []
    assert [row["carrier"] for row in await rows(client, "/planes")] == [{"code": "UA"}]


async def test_the_other_side_of_a_one_to_one_relation_is_left_out(client: httpx2.AsyncClient) -> None:
    """Once it is hidden: in what is read, and in what a write returns."""
    key = await key_of(client, "N1")
    async with session_scope():
        manuals = Repository(Manual)
        manual = await manuals.create({"title": "old", "plane_id": uuid.UUID(key)})
        assert (await client.patch(f"/planes/{key}", json={"tail": "N3"})).json()["manual"] == {"title": "old"}
        await manuals.delete(manual)
    assert (await client.get(f"/planes/{key}")).json()["manual"] is None
    assert (await client.patch(f"/planes/{key}", json={"tail": "N1"})).json()["manual"] is None
    assert [row["manual"] for row in await rows(client, "/planes")] == [None, None]


class SharedCarriers(Repository[Carrier]):
    """With a policy of its own, an ``objects_filter`` only narrows."""

    def row_policy(self, access: Access) -> Any:
        return Q(seats__gte=0)


@pytest.mark.parametrize("repository", [Repository, SharedCarriers])
async def test_what_narrows_a_viewset_sees_no_hidden_rows(
    client: httpx2.AsyncClient, repository: type[Repository[Any]]
) -> None:
    """A condition of ``objects_filter`` that crosses to many rows."""
    app = FastAPI()
    setup(app)
    narrowed: Any = CarrierViewSet(
        repository_class=repository, objects_filter=lambda access: Q(planes__tail="N1"), name="narrowed", **OPEN
    )
    app.include_router(narrowed.router)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as other:
        assert len(await rows(other, "/narrowed")) == 1
        await client.delete(f"/planes/{await key_of(client, 'N1')}")
        assert await rows(other, "/narrowed") == []


async def test_a_hidden_row_cannot_be_referred_to(client: httpx2.AsyncClient) -> None:
    """As if it were not there: 422, for POST and PATCH."""
    await client.delete("/carriers/1")
    for carrier_id in (1, 99):
        refused = await client.post("/planes", json={"tail": "N3", "carrier_id": carrier_id})
        assert refused.status_code == 422
        error = refused.json()["errors"][0]
        assert (error["loc"], error["code"]) == (["body", "carrier_id"], "reference")
        assert (
            await client.patch(f"/planes/{await key_of(client, 'N1')}", json={"carrier_id": carrier_id})
        ).status_code == 422
    assert await tails(client) == ["N1", "N2"]


async def test_nothing_is_found_below_a_hidden_row(client: httpx2.AsyncClient) -> None:
    """Its children are 404 in its path, and cannot be added."""
    assert await tails(client, "/fleets/1/planes") == ["N1", "N2"]
    await client.delete("/carriers/1")
    assert (await client.get("/fleets/1/planes")).status_code == 404
    assert (await client.get(f"/fleets/1/planes/{await key_of(client, 'N1')}")).status_code == 404
    assert (await client.post("/fleets/1/planes", json={"tail": "N3"})).status_code == 404


async def test_unique_values_of_hidden_rows_are_taken(client: httpx2.AsyncClient) -> None:
    """A second row of that code is 409."""
    await client.delete("/carriers/1")
    refused = await client.post("/carriers", json={"code": "UA", "name": "Untied"})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (409, ["body", "code"])


# Versions


async def test_a_patch_says_what_it_has_seen(client: httpx2.AsyncClient) -> None:
    """The version is compared and raised; an old one is 409 and changes nothing."""
    changed = await client.patch("/carriers/1", json={"seats": 5, "version": 1})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    for method in ("PATCH", "PUT"):
        stale = await client.request(method, "/carriers/1", json={"seats": 6, "version": 1})
        assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")
    assert (await client.get("/carriers/1")).json()["seats"] == 5


async def test_who_names_no_version_overwrites(client: httpx2.AsyncClient) -> None:
    """PATCH without it, and PUT with its default."""
    assert (await client.patch("/carriers/1", json={"seats": 5})).json()["version"] == 2
    assert (await client.put("/carriers/1", json={"seats": 6})).json()["version"] == 3
    assert (await client.patch("/carriers/1", json={"seats": 7, "version": None})).json()["version"] == 4


async def test_of_two_requests_one_wins(client: httpx2.AsyncClient) -> None:
    """Both have seen the same version."""
    requests = (client.patch("/carriers/1", json={"seats": seats, "version": 1}) for seats in (5, 6))
    answers = await asyncio.gather(*requests)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert (await client.get("/carriers/1")).json()["version"] == 2


async def test_a_dataclass_has_a_life_too(client: httpx2.AsyncClient) -> None:
    """Create, change, delete: with the mixins, in a dataclass-mapped class."""
    created = await client.post("/tickets", json={"seat": "1A"})
    assert (created.status_code, created.json()) == (201, {"id": 1, "seat": "1A", "version": 1})
    changed = await client.patch("/tickets/1", json={"seat": "2B"})
    assert changed.json() == {"id": 1, "seat": "2B", "version": 2}
    assert (await client.delete("/tickets/1")).status_code == 204
    assert (await client.get("/tickets/1")).status_code == 404
