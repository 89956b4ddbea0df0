"""Every kind of mapped class through the generated API, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from fastapix5 import (
    AllowAny,
    FilterSetBackend,
    ModelViewSet,
    OrderingFilter,
    Repository,
    SearchFilter,
    atomic,
    get_session,
    session_scope,
    setup,
)
from fastapix5.db import get_engine
from tests.models import sqlmodels
from tests.models.kinds import KINDS, Kind
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class HeroBrief(BaseModel):
    id: int
    name: str


class TeamRead(BaseModel):
    id: int
    name: str
    heroes: list[HeroBrief]


class TeamWrite(BaseModel):
    model_config = ConfigDict(title="Team")

    name: str


class TeamBrief(BaseModel):
    id: int
    name: str


class HeroRead(BaseModel):
    id: int
    name: str
    age: int | None
    team: TeamBrief | None


class HeroWrite(BaseModel):
    name: str
    age: int | None = 18
    team_id: int | None = None


class Hooked(ModelViewSet[Any]):
    """Its hooks are overridden, so that objects are made and changed rather than rows."""

    async def perform_create(self, data: Any) -> Any:
        return await super().perform_create(data)

    async def perform_update(self, obj: Any, data: Any) -> Any:
        return await super().perform_update(obj, data)

    async def perform_destroy(self, obj: Any) -> None:
        await super().perform_destroy(obj)


def viewsets(kind: Kind, base: type[ModelViewSet[Any]], **schemas: Any) -> list[ModelViewSet[Any]]:
    """The viewsets of both tables."""
    common: dict[str, Any] = {"permission_classes": [AllowAny], "authentication_classes": []}
    teams = base(
        model=kind.team,
        name="teams",
        read_schema=TeamRead,
        create_schema=TeamWrite,
        update_schema=TeamWrite,
        **common,
    )
    shown: dict[str, Any] = {"read_schema": HeroRead, "create_schema": HeroWrite, "update_schema": HeroWrite}
    heroes = base(
        model=kind.hero,
        name="heroes",
        filter_backends=[FilterSetBackend, SearchFilter, OrderingFilter],
        filterset_fields={"name": ["exact", "icontains"], "team__name": ["exact"]},
        search_fields=["name"],
        ordering_fields=["name", "team__name"],
        **common,
        **(shown | schemas),
    )
    return [teams, heroes]


def client_of(*views: ModelViewSet[Any]) -> httpx2.AsyncClient:
    """A client of an application with these viewsets."""
    app = FastAPI()
    setup(app)
    for view in views:
        app.include_router(view.router)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
async def kind(request: pytest.FixtureRequest, database: str) -> Kind:
    """Each way to map the two tables, which are there and empty."""
    found: Kind = request.param
    async with get_engine().begin() as connection:
        await connection.run_sync(found.metadata.create_all)
    return found


@pytest.fixture(params=[ModelViewSet, Hooked], ids=["rows", "objects"])
async def client(request: pytest.FixtureRequest, kind: Kind) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an API that writes rows, and of one that writes objects."""
    async with client_of(*viewsets(kind, request.param)) as found:
        yield found


async def test_a_life_of_a_row(client: httpx2.AsyncClient) -> None:
    """Create, list, filter, patch, put and delete, with the related rows that the schemas nest."""
    created = await client.post("/teams", json={"name": "Avengers"})
    assert (created.status_code, created.json()) == (201, {"id": 1, "name": "Avengers", "heroes": []})

    created = await client.post("/heroes", json={"name": "Thor", "team_id": 1})
    thor = {"id": 1, "name": "Thor", "age": 18, "team": {"id": 1, "name": "Avengers"}}
    assert (created.status_code, created.json()) == (201, thor)
    assert created.headers["location"] == "/heroes/1"
    await client.post("/heroes", json={"name": "Loki", "age": None})
    loki = {"id": 2, "name": "Loki", "age": None, "team": None}

    listed = await client.get("/heroes?ordering=name")
    assert listed.json() == {"count": 2, "next": None, "previous": None, "results": [loki, thor]}
    assert (await client.get("/heroes?team__name=Avengers&search=th")).json()["results"] == [thor]
    teams = [{"id": 1, "name": "Avengers", "heroes": [{"id": 1, "name": "Thor"}]}]
    assert (await client.get("/teams")).json()["results"] == teams

    patched = await client.patch("/heroes/2", json={"team_id": 1})
    assert (patched.status_code, patched.json()) == (200, {**loki, "team": {"id": 1, "name": "Avengers"}})
    replaced = await client.put("/heroes/2", json={"name": "Hela"})
    assert (replaced.status_code, replaced.json()) == (200, {"id": 2, "name": "Hela", "age": 18, "team": None})
    assert (await client.get("/heroes/2")).json() == replaced.json()

    assert (await client.delete("/teams/1")).status_code == 409
    assert (await client.delete("/heroes/1")).status_code == 204
    assert (await client.get("/heroes/1")).status_code == 404
    assert (await client.delete("/teams/1")).status_code == 204


async def test_violations_name_the_field(client: httpx2.AsyncClient) -> None:
    """A team of that name is there, and one of that key is not."""
    await client.post("/teams", json={"name": "Avengers"})
    again = await client.post("/teams", json={"name": "Avengers"})
    assert (again.status_code, again.json()["errors"][0]["loc"]) == (409, ["body", "name"])
    nowhere = await client.post("/heroes", json={"name": "Thor", "team_id": 9})
    assert (nowhere.status_code, nowhere.json()["errors"][0]["loc"]) == (422, ["body", "team_id"])
    long = await client.post("/heroes", json={"name": "x" * 21})
    assert (long.status_code, long.json()["errors"][0]["loc"]) == (422, ["body", "name"])


async def test_a_create_is_one_statement(kind: Kind, statements: Statements) -> None:
    """Whatever the class: where no hook asks for an object, none is made."""
    async with client_of(*viewsets(kind, ModelViewSet)) as client:
        await client.post("/teams", json={"name": "Avengers"})
        statements.reset()
        await client.post("/heroes", json={"name": "Thor", "team_id": 1})
        assert await statements.count() == 1


async def test_the_repository_makes_objects_of_the_class(kind: Kind) -> None:
    """Outside of requests: create, get, update and delete."""
    repository: Repository[Any] = Repository(kind.hero)
    async with session_scope(), atomic():
        made = await repository.create({"name": "Thor", "age": 30})
        assert type(made) is kind.hero
        found = await repository.objects.filter(name__startswith="T").get()
        assert found is made
        updated = await repository.update(found, {"age": 31})
        assert updated.age == 31
        await repository.delete(updated)
        assert await repository.objects.count() == 0


async def test_objects_of_ones_own_are_flushed(kind: Kind) -> None:
    """An object that is made by its constructor and added is written when the transaction ends."""
    async with session_scope():
        async with atomic():
            if kind.name == "imperative":
                made = kind.team()
                made.name = "Avengers"
            else:
                made = kind.team(name="Avengers")
            get_session().add(made)
        teams: Repository[Any] = Repository(kind.team)
        assert (await teams.objects.prefetch_related("heroes").get()).heroes == []


async def test_schemas_of_sqlmodel(database: str) -> None:
    """SQLModel's schemas are pydantic's, so a project may share fields between table and schemas."""
    kind = KINDS[-1]
    async with get_engine().begin() as connection:
        await connection.run_sync(kind.metadata.create_all)
    schemas = {
        "read_schema": sqlmodels.HeroPublic,
        "create_schema": sqlmodels.HeroCreate,
        "update_schema": sqlmodels.HeroCreate,
    }
    async with client_of(*viewsets(kind, ModelViewSet, **schemas)) as client:
        await client.post("/teams", json={"name": "Avengers"})
        created = await client.post("/heroes", json={"name": "Thor", "team_id": 1})
        team = {"id": 1, "name": "Avengers"}
        thor = {"id": 1, "name": "Thor", "age": 18, "team_id": 1, "team": team}
        assert (created.status_code, created.json()) == (201, thor)
        patched = await client.patch("/heroes/1", json={"age": None})
        assert patched.json() == {**thor, "age": None}
        assert (await client.get("/heroes")).json()["results"] == [patched.json()]
        unknown = await client.post("/heroes", json={"name": "Thor", "power": 9})
        assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (422, "extra_forbidden")
        document = (await client.get("/openapi.json")).json()
        assert {"HeroPublic", "HeroCreate", "TeamPublic"} <= set(document["components"]["schemas"])
