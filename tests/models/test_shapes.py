"""Inheritance, mixins, hybrids, synonyms and composites, as repositories and the generated API see them."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from fastapix5 import (
    AllowAny,
    FilterSetBackend,
    ModelViewSet,
    OrderingFilter,
    ReadOnlyModelViewSet,
    Repository,
    SearchFilter,
    atomic,
    session_scope,
    setup,
)
from fastapix5.db import get_engine
from fastapix5.exceptions import ImproperlyConfigured
from tests.models.shapes import Bike, Owner, Truck, Vehicle, fill

pytestmark = pytest.mark.anyio

OPEN: dict[str, Any] = {"permission_classes": [AllowAny], "authentication_classes": []}


class OwnerRead(BaseModel):
    id: int
    full: str
    surname: str
    size: int


class VehicleRead(BaseModel):
    id: int
    kind: str
    label: str
    wheels: int
    owner: OwnerRead | None


class VehicleWrite(BaseModel):
    label: str = "none"
    wheels: int = 4
    owner_id: int | None = None


class TruckRead(VehicleRead):
    load: int


class TruckWrite(VehicleWrite):
    load: int = 0


class BikeRead(VehicleRead):
    bell: str | None


class BikeWrite(VehicleWrite):
    bell: str | None = None


class Anything(BaseModel):
    id: int
    place: Any


@pytest.fixture
async def shapes(database: str) -> None:
    """The tables, and two owners."""
    async with get_engine().begin() as connection:
        await connection.run_sync(fill)


@pytest.fixture
async def client(shapes: None) -> Any:
    """A client of an API of every class."""
    app = FastAPI()
    setup(app)
    for model, read, write in (
        (Vehicle, VehicleRead, VehicleWrite),
        (Truck, TruckRead, TruckWrite),
        (Bike, BikeRead, BikeWrite),
    ):
        view: Any = ModelViewSet(
            model=model,
            name=model.__name__.lower() + "s",
            read_schema=read,
            create_schema=write,
            update_schema=write,
            filter_backends=[FilterSetBackend, OrderingFilter],
            filterset_fields={"wheels": ["gte"], "label": ["exact"], "owner__surname": ["exact"]},
            ordering_fields=["wheels", "owner__full", "label"],
            allow_hidden=["owner__full"],
            **OPEN,
        )
        app.include_router(view.router)
    owners: Any = ReadOnlyModelViewSet(
        model=Owner,
        name="owners",
        read_schema=OwnerRead,
        filter_backends=[FilterSetBackend, SearchFilter, OrderingFilter],
        filterset_fields={"full": ["exact", "icontains"], "surname": ["exact"], "size": ["gt"]},
        search_fields=["full"],
        ordering_fields=["full", "surname", "size"],
        **OPEN,
    )
    app.include_router(owners.router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as found:
        yield found


ADA = {"id": 1, "full": "Ada Lovelace", "surname": "Lovelace", "size": 8}


@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("vehicles", "vehicle", {}),
        ("trucks", "truck", {"load": 7}),
        ("bikes", "bike", {"bell": "ding"}),
    ],
)
async def test_inherited_and_mixin_columns_are_as_ones_own(
    client: httpx2.AsyncClient, name: str, kind: str, own: dict[str, Any]
) -> None:
    """A whole life of a row: joined tables, one table, and the mixin's column and relationship."""
    created = await client.post(f"/{name}", json={"label": "a", "owner_id": 1, **own})
    row = {"id": 1, "kind": kind, "label": "a", "wheels": 4, "owner": ADA, **own}
    assert (created.status_code, created.json()) == (201, row)
    assert (await client.get(f"/{name}?owner__surname=Lovelace&label=a&wheels__gte=4")).json()["results"] == [row]
    patched = await client.patch(f"/{name}/1", json={"wheels": 6, **({"load": 8} if own.get("load") else {})})
    assert patched.status_code == 200
    assert patched.json()["wheels"] == 6
    assert (await client.get(f"/{name}?ordering=-owner__full,label")).json()["results"] == [patched.json()]
    nowhere = await client.patch(f"/{name}/1", json={"owner_id": 99})
    assert (nowhere.status_code, nowhere.json()["errors"][0]["loc"]) == (422, ["body", "owner_id"])
    assert (await client.delete(f"/{name}/1")).status_code == 204
    assert (await client.get(f"/{name}/1")).status_code == 404
    assert (await client.get("/vehicles")).json()["count"] == 0


async def test_the_root_shows_its_subclasses_and_they_only_themselves(client: httpx2.AsyncClient) -> None:
    """A truck is a vehicle; a vehicle is no truck."""
    for name in ("vehicles", "trucks", "bikes"):
        assert (await client.post(f"/{name}", json={})).status_code == 201
    assert [row["kind"] for row in (await client.get("/vehicles")).json()["results"]] == ["vehicle", "truck", "bike"]
    for name in ("trucks", "bikes"):
        found = (await client.get(f"/{name}")).json()
        assert (found["count"], [row["kind"] for row in found["results"]]) == (1, [name[:-1]])
    assert (await client.get("/trucks/1")).status_code == 404
    assert (await client.patch("/bikes/2", json={"wheels": 1})).status_code == 404
    assert (await client.delete("/trucks/3")).status_code == 404


async def test_hybrids_synonyms_and_expressions_read_as_columns(client: httpx2.AsyncClient) -> None:
    """They are shown, filtered, searched and ordered by."""

    async def names(query: str) -> list[str]:
        response = await client.get(f"/owners?{query}")
        assert response.status_code == 200, response.json()
        return [row["surname"] for row in response.json()["results"]]

    assert (await client.get("/owners/1")).json() == ADA
    assert await names("full=Ada Lovelace") == ["Lovelace"]
    assert await names("full__icontains=AN T") == ["Turing"]
    assert await names("surname=Turing") == ["Turing"]
    assert await names("size__gt=6") == ["Lovelace"]
    assert await names("search=alan") == ["Turing"]
    assert await names("ordering=-full") == ["Turing", "Lovelace"]
    assert await names("ordering=-surname") == ["Turing", "Lovelace"]
    assert await names("ordering=size") == ["Turing", "Lovelace"]


async def test_conditions_of_the_queryset_reach_them(shapes: None) -> None:
    """Names of inherited columns, the mixin's relation, hybrids, synonyms: all stand in a filter."""
    trucks: Repository[Truck] = Repository(Truck)
    async with session_scope(), atomic():
        truck = await trucks.create({"label": "a", "wheels": 8, "load": 3, "owner_id": 2})
        assert type(truck) is Truck
        for lookups in (
            {"label": "a"},
            {"wheels__gt": 4, "load__lt": 4},
            {"owner__full": "Alan Turing"},
            {"owner__surname__startswith": "Tur"},
            {"owner__size": 6},
        ):
            assert await trucks.objects.filter(**lookups).count() == 1, lookups
            assert await trucks.objects.exclude(**lookups).count() == 0, lookups
        assert await Repository(Vehicle).objects.filter(label="a").get() is truck
        truck = await trucks.update(truck, {"wheels": 10, "load": 4})
        assert (truck.wheels, truck.load) == (10, 4)
        await trucks.delete(truck)
        assert await Repository(Vehicle).objects.count() == 0


COMPOSITES: dict[str, tuple[dict[str, Any], str]] = {
    "shown": ({"read_schema": Anything}, r"Anything\.place stands for Vehicle\.place, a composite .* columns: x, y"),
    "filtered": ({"filter_backends": [FilterSetBackend], "filterset_fields": {"place": ["exact"]}}, '"place" is not a'),
    "ordered": ({"filter_backends": [OrderingFilter], "ordering_fields": ["place"]}, '"place" is not a column'),
    "searched": ({"filter_backends": [SearchFilter], "search_fields": ["place"]}, '"place" is not a column'),
}


@pytest.mark.parametrize(("declared", "message"), COMPOSITES.values(), ids=COMPOSITES)
def test_a_composite_is_refused_at_the_start(configured_database: str, declared: dict[str, Any], message: str) -> None:
    """Its columns can be named; the value that they make together means nothing to SQL or JSON."""
    view: Any = ReadOnlyModelViewSet(model=Vehicle, **{"read_schema": VehicleRead, **declared, **OPEN})
    with pytest.raises(ImproperlyConfigured, match=message):
        _ = view.router


async def test_the_columns_of_a_composite_are_columns(shapes: None) -> None:
    """They are written and filtered by their own names."""
    async with session_scope():
        vehicle = await Repository(Vehicle).create({"x": 3, "y": 4})
        assert (vehicle.place.x, vehicle.place.y) == (3, 4)
        assert await Repository(Vehicle).objects.filter(x=3, y__gt=3).exists()
