"""Four things on each engine, and what the API says of them."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fastapix5 import atomic, get_session, session_scope, setup
from fastapix5.db.engines import get_engine
from tests.filters.shop import Base, Color, Maker, Part, Tag, Thing

Ask = Callable[..., Awaitable[Any]]


def thing(name: str, number: int | None, **values: Any) -> Thing:
    """A thing, of which only the interesting columns are told."""
    ordinal = ord(name[0].lower()) - ord("a") + 1
    return Thing(
        name=name,
        number=number,
        weight=ordinal / 2,
        price=decimal.Decimal(ordinal) + decimal.Decimal("0.99"),
        day=dt.date(2020, 1, ordinal),
        made=dt.datetime(2020, 1, ordinal, 12, tzinfo=dt.UTC),
        code=uuid.UUID(int=ordinal),
        **{"is_sold": False, "color": Color.RED, **values},
    )


@pytest.fixture
async def things(database: str) -> None:
    """Anvil, Ball, 100% Cotton and Dish_1: two makers, three tags, parts of two sizes."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    acme, bolt = Maker(name="Acme"), Maker(name="Bolt")
    heavy, round_, soft = Tag(word="heavy"), Tag(word="round"), Tag(word="soft thing")
    rows = [
        thing("Anvil", 10, maker=acme, tags=[heavy], note="forged", parts=[Part(name="horn", size=1)]),
        thing(
            "Ball",
            20,
            maker=acme,
            tags=[round_, soft],
            color=Color.BLUE,
            is_sold=True,
            parts=[Part(name="skin", size=1), Part(name="skin", size=2), Part(name="valve", size=9)],
        ),
        thing("Cotton 100%", 20, maker=bolt, tags=[soft], note='"pure", white', is_sold=True),
        thing("Dish_1", None, note=""),
    ]
    async with session_scope(), atomic():
        get_session().add_all(rows)
        await get_session().flush()


@pytest.fixture
async def ask(things: None) -> AsyncIterator[Ask]:
    """Return what a list answers: ids where it is 200, else the status and the first error."""
    async with AsyncExitStack() as stack:
        clients: dict[Any, httpx2.AsyncClient] = {}

        async def ask(viewset: Any, query: str = "") -> Any:
            if viewset not in clients:
                app = setup(FastAPI())
                app.include_router(viewset.router)
                transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
                client = httpx2.AsyncClient(transport=transport, base_url="http://test")
                clients[viewset] = await stack.enter_async_context(client)
            answer = await clients[viewset].get(f"{viewset.router.plans[0].path}?{query}")
            body = answer.json()
            if answer.status_code != 200:
                error = body.get("errors", [{"loc": None, "code": body["code"]}])[0]
                return answer.status_code, error["loc"], error["code"]
            return [row["id"] for row in body["results"]]

        yield ask
