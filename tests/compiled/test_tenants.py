"""Tenants and scopes over HTTP, all at once on what others have left there: each sees its own rows and no other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import ForeignKey, String, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from starlette.requests import Request

from fastapix5 import (
    Access,
    BaseAuthentication,
    FilterSetBackend,
    ModelViewSet,
    OrderingFilter,
    Q,
    Repository,
    RouterSchema,
    SearchFilter,
    SecurityScopes,
    setup,
    unrestricted,
)
from fastapix5.db import get_engine
from fastapix5.repositories import Condition
from tests.compiled.ways import Runs, by_core

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Ship(Base):
    __tablename__ = "ship"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(5))
    owner: Mapped[str] = mapped_column(String(5))
    name: Mapped[str] = mapped_column(String(20))
    crates: Mapped[list[Crate]] = relationship(back_populates="ship", order_by="Crate.id", passive_deletes="all")


class Crate(Base):
    __tablename__ = "crate"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(5))
    owner: Mapped[str] = mapped_column(String(5))
    name: Mapped[str] = mapped_column(String(20))
    ship_id: Mapped[int] = mapped_column(ForeignKey(Ship.id))
    ship: Mapped[Ship] = relationship(back_populates="crates")


class ShipBrief(BaseModel):
    id: int
    tenant: str
    owner: str
    name: str


class CrateRead(ShipBrief):
    ship: ShipBrief | None


class ShipRead(ShipBrief):
    crates: list[CrateRead]


class ShipIn(BaseModel):
    tenant: str
    owner: str
    name: str


class CrateIn(BaseModel):
    name: str


class ByHeaders(BaseAuthentication):
    """Whoever the headers name."""

    def authenticate(self, request: Request) -> Access:
        headers = request.headers
        scopes = frozenset(headers["scopes"].split())
        return Access(user_id=headers["user"], tenant_id=headers["tenant"], scopes=scopes)


def by_scope(access: Access) -> Condition | None:
    """Rows of the tenant, of the owner alone, or all; nothing without a scope."""
    match "none" if access.scope is None else access.scope.selector:
        case "any":
            return None
        case "tenant":
            return Q(tenant=access.tenant_id)
        case "own":
            return Q(tenant=access.tenant_id, owner=access.user_id)
    return Q(pk__in=[])


class CrateRepository(Repository[Crate]):
    """Crates on ships of one's tenant."""

    def row_policy(self, access: Access) -> Condition | None:
        return None if access.scope is not None and access.scope.selector == "any" else Crate.tenant == access.tenant_id


class ShipViewSet(ModelViewSet[Ship]):
    name = "ships"
    read_schema = ShipRead
    create_schema = ShipIn
    update_schema = ShipIn
    authentication_classes = [ByHeaders]
    permission_classes = []
    security_scopes = SecurityScopes(
        get=["ship.any", "ship.tenant", "ship.own"], post=["ship.any", "ship.tenant", "ship.own"],
        put=["ship.any", "ship.own"], patch=["ship.any", "ship.own"], delete=["ship.own"],
    )  # fmt: skip
    filter_backends = [FilterSetBackend, SearchFilter, OrderingFilter]
    filterset_fields = {"name": ["exact", "in", "icontains"], "crates__name": ["exact", "icontains"], "owner": ["in"]}
    search_fields = ["name", "crates__name"]
    ordering_fields = ["name"]

    def objects_filter(self, access: Access) -> Condition | None:
        return by_scope(access)


class CrateViewSet(ModelViewSet[Crate]):
    """Crates below ships."""

    name = "crates"
    read_schema = CrateRead
    create_schema = CrateIn
    update_schema = CrateIn
    repository_class = CrateRepository
    authentication_classes = [ByHeaders]
    permission_classes = []
    security_scopes = SecurityScopes(get=["crate.any", "crate.tenant"], delete=["crate.tenant"])
    filter_backends = [FilterSetBackend]
    filterset_fields = {"name": ["exact", "icontains"], "ship__name": ["exact", "icontains"]}


class AllCrateViewSet(CrateViewSet):
    """One's own crates, by what the request says."""

    name = "own-crates"

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(owner=self.access.user_id)


class NamedCrateViewSet(CrateViewSet):
    """Crates of names that the tenant gives."""

    name = "named-crates"

    def objects_filter(self, access: Access) -> Condition | None:
        return Crate.name.in_([f"{access.tenant_id}{number}" for number in range(len(access.user_id or ""))])


class OpenCrateViewSet(CrateViewSet):
    """Every crate, and the ships behind them as one may see them."""

    name = "open-crates"

    async def filter_queryset(self, queryset: Any) -> Any:
        with unrestricted(Crate):
            names = [crate.name for crate in await queryset.order_by("id").as_schema(ShipBrief)]
        return await super().filter_queryset(queryset.filter(name__in=names))


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of ships and crates of two tenants, each with two owners."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        owners = [(tenant, owner) for tenant in ("a", "b") for owner in ("eve", "bo")]
        ships = [{"id": n, "tenant": t, "owner": o, "name": f"{t} {o}"} for n, (t, o) in enumerate(owners, start=1)]
        await connection.execute(insert(Ship), ships)
        crates = [
            {"id": 10 * ship + n, "tenant": t, "owner": o, "name": f"{t}{n}", "ship_id": ship}
            for ship in (1, 2, 3, 4)
            for n, (t, o) in enumerate(owners)
        ]
        await connection.execute(insert(Crate), crates)
        if connection.dialect.name == "postgresql":
            for table in ("ship", "crate"):
                await connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)")
    app = setup(FastAPI())
    for included in (
        RouterSchema(viewset=ShipViewSet, children=[RouterSchema(viewset=CrateViewSet)]),
        AllCrateViewSet(),
        NamedCrateViewSet(),
        OpenCrateViewSet(),
    ):
        app.include_router(included.router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as found:
        yield found


SCOPES = ("any", "tenant", "own")
CALLERS = list(itertools.product(("a", "b"), ("eve", "bo"), SCOPES))
PATHS = [
    "/ships", "/ships?crates__name__icontains=a", "/ships?search=b1", "/ships?name__in=a%20eve,b%20bo&ordering=-name",
    "/ships?owner__in=eve&page_size=1", "/ships/1", "/ships/3", "/ships/1/crates", "/ships/4/crates?name=a1", "/ships/1/crates/10",
    "/ships/3/crates/32", "/own-crates", "/own-crates?ship__name__icontains=a", "/own-crates/10", "/own-crates/33", "/named-crates",
    "/named-crates?name=a1", "/named-crates/11", "/open-crates?ship__name__icontains=b",
]  # fmt: skip


def headers_of(tenant: str, user: str, scope: str) -> dict[str, str]:
    """Who is asking, under which scopes."""
    return {"tenant": tenant, "user": user, "scopes": f"ship.{scope} crate.{'any' if scope == 'any' else 'tenant'}"}


async def test_everybody_gets_what_is_theirs(client: httpx2.AsyncClient, runs: Runs) -> None:
    """Lists and rows, nested and not, a hundred at a time."""

    async def ask(turn: tuple[str, tuple[str, str, str]]) -> tuple[int, Any]:
        path, caller = turn
        answer = await client.get(path, headers=headers_of(*caller))
        return answer.status_code, None if answer.status_code == 404 else answer.json()

    turns = list(itertools.product(PATHS, CALLERS))
    with by_core():
        expected = [await ask(turn) for turn in turns]
    assert not runs
    assert {status for status, _ in expected} == {200, 404}
    for _ in range(2):
        actual: list[Any] = []
        for start in range(0, len(turns), 100):
            actual += await asyncio.gather(*map(ask, turns[start : start + 100]))
        different = [(turn, *both) for turn, *both in zip(turns, actual, expected, strict=True) if both[0] != both[1]]
        assert different == []
    assert len(runs) > len(turns)
    for (path, (tenant, user, scope)), (status, body) in zip(turns, expected, strict=True):
        if scope != "any" and status == 200 and "results" in body:
            assert {row["tenant"] for row in body["results"]} <= {tenant}, path
        if scope == "own" and path == "/ships":
            assert {row["owner"] for row in body["results"]} == {user}


async def test_nobody_writes_what_is_not_theirs(client: httpx2.AsyncClient) -> None:
    """What one may change, another gets a 404 for, in turns."""
    allowed = {1: ("a", "eve"), 2: ("a", "bo"), 3: ("b", "eve"), 4: ("b", "bo")}
    for name, (key, owner) in itertools.product(("x", "y", "z"), allowed.items()):
        for tenant, user in allowed.values():
            headers = headers_of(tenant, user, "own")
            changed = await client.patch(f"/ships/{key}", json={"name": name}, headers=headers)
            assert changed.status_code == (200 if (tenant, user) == owner else 404)
            taken = await client.patch(f"/ships/{key}", json={"owner": "mal"}, headers=headers)
            assert taken.status_code in (403, 404)
    for key, owner in allowed.items():
        for crate, (tenant, user) in itertools.product((10 * key, 10 * key + 3), allowed.values()):
            answer = await client.delete(f"/ships/{key}/crates/{crate}", headers=headers_of(tenant, user, "own"))
            is_theirs = (tenant, user) == owner and tenant == ("a" if crate % 10 == 0 else "b")
            assert answer.status_code == (204 if is_theirs else 404), (crate, tenant, user)
