"""Tables with a few rows, and a client that speaks to an application in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fastapix5 import atomic, get_session, session_scope
from fastapix5.db.engines import get_engine
from tests.requests import app as api
from tests.requests.models import Base, Company, Department, Employee

Serve = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def tables(database: str) -> None:
    """Two companies and a closed one, three departments and two employees."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_scope(), atomic():
        for rows in (
            [
                Company(name="Acme", slug="acme", vat="A1"),
                Company(name="Bolt", slug="bolt"),
                Company(name="Gone", slug="gone", closed=True),
            ],
            [
                Department(company_id=1, name="Sales", budget=10),
                Department(company_id=2, name="Sales"),
                Department(company_id=3, name="Attic"),
            ],
            [
                Employee(department_id=1, name="Eve", mail="eve@acme", salary=1.5),
                Employee(department_id=2, name="Bob", mail="bob@bolt"),
            ],
        ):
            get_session().add_all(rows)
            await get_session().flush()


@pytest.fixture
async def serve(tables: None) -> AsyncIterator[Serve]:
    """Return a client of an application, or of one that includes the given viewsets, routers and trees."""
    async with AsyncExitStack() as stack:

        def serve(*what: Any, **options: Any) -> httpx2.AsyncClient:
            app = what[0] if what and isinstance(what[0], FastAPI) else None
            if app is None:
                app = api.make_app(*(getattr(found, "router", found) for found in what), **options)
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx2.AsyncClient(transport=transport, base_url="http://test", follow_redirects=False)
            stack.push_async_callback(client.aclose)
            return client

        yield serve


@pytest.fixture
def client(serve: Serve) -> httpx2.AsyncClient:
    """A client of the whole API."""
    return serve(api.router)
