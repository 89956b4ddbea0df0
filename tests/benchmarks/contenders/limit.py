"""The limit: Starlette, asyncpg and orjson, with nothing in between and no checks. Nobody would want to maintain it."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson
from sqlalchemy import make_url
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.contenders.common import POOL_SIZE, database_url

COLUMNS = "id, name, salary, rating, active, hired, seen_at, department_id"
ONE = f"SELECT {COLUMNS} FROM employees WHERE id = $1"
COUNT = "SELECT count(*) FROM employees"
PAGE = f"SELECT {COLUMNS} FROM employees ORDER BY id LIMIT $1 OFFSET $2"
BY_DEPARTMENT = "FROM employees WHERE department_id = $1 AND rating >= $2"
PROFILES = """
    SELECT e.id, e.name, e.salary, e.rating, e.active, e.hired, e.seen_at, e.department_id, d.name AS department
    FROM employees e JOIN departments d ON d.id = e.department_id ORDER BY e.id LIMIT 50"""
SKILLS = "SELECT id, name, employee_id FROM skills WHERE employee_id = ANY($1) ORDER BY id"
DEPARTMENT = "SELECT 1 FROM departments WHERE id = $1 AND company_id = $2"
INSERT = f"""
    INSERT INTO employees (name, salary, rating, active, hired, seen_at, department_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}"""
PATCH = f"UPDATE employees SET salary = $2 WHERE id = $1 RETURNING {COLUMNS}"
DELETE = "DELETE FROM employees WHERE id = $1 RETURNING id"


async def keep(_connection: Any) -> None:
    """Give a connection back as it is: asyncpg would send a statement that resets what nobody has set."""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The pool."""
    url = make_url(database_url())
    async with asyncpg.create_pool(
        user=url.username,
        password=url.password,
        database=url.database,
        host=url.host or url.query.get("host"),
        port=url.port or 5432,
        min_size=0,
        max_size=POOL_SIZE,
        reset=keep,
    ) as pool:
        app.state.pool = pool
        yield


def answer(content: Any, status: int = 200) -> Response:
    """A JSON answer."""
    body = orjson.dumps(content, default=str, option=orjson.OPT_UTC_Z)
    return Response(body, status, media_type="application/json")


def page(request: Request, count: int, rows: list[Any]) -> Response:
    """A page with its count and its neighbours."""
    number = int(request.query_params.get("page", 1))

    def link(to: int) -> str:
        return f"{request.url.path}?{urlencode({**request.query_params, 'page': to})}"

    return answer(
        {
            "count": count,
            "next": link(number + 1) if number * 50 < count else None,
            "previous": link(number - 1) if number > 1 else None,
            "results": [dict(row) for row in rows],
        }
    )


async def retrieve(request: Request) -> Response:
    """One row."""
    row = await request.app.state.pool.fetchrow(ONE, int(request.path_params["key"]))
    return Response(status_code=404) if row is None else answer(dict(row))


async def list_employees(request: Request) -> Response:
    """A page with an exact count, filtered and ordered where the request says so."""
    query = request.query_params
    async with request.app.state.pool.acquire() as connection:
        if "department_id" in query:
            arguments = int(query["department_id"]), float(query["rating__gte"])
            count = await connection.fetchval(f"SELECT count(*) {BY_DEPARTMENT}", *arguments)
            sql = f"SELECT {COLUMNS} {BY_DEPARTMENT} ORDER BY salary DESC, id LIMIT 50"
            return page(request, count, await connection.fetch(sql, *arguments))
        count = await connection.fetchval(COUNT)
        return page(request, count, await connection.fetch(PAGE, 50, (int(query.get("page", 1)) - 1) * 50))


async def feed(request: Request) -> Response:
    """A page without a count."""
    return answer({"results": [dict(row) for row in await request.app.state.pool.fetch(PAGE, 50, 0)]})


async def profiles(request: Request) -> Response:
    """A page with a to-one and a to-many relation."""
    async with request.app.state.pool.acquire() as connection:
        found = {row["id"]: dict(row) for row in await connection.fetch(PROFILES)}
        for row in found.values():
            row["department"] = {"id": row["department_id"], "name": row["department"]}
            row["skills"] = []
        for skill in await connection.fetch(SKILLS, list(found)):
            found[skill["employee_id"]]["skills"].append({"id": skill["id"], "name": skill["name"]})
    return answer({"results": list(found.values())})


async def nested(request: Request) -> Response:
    """A page two levels down."""
    company, department = int(request.path_params["company"]), int(request.path_params["department"])
    async with request.app.state.pool.acquire() as connection:
        if await connection.fetchval(DEPARTMENT, department, company) is None:
            return Response(status_code=404)
        count = await connection.fetchval("SELECT count(*) FROM employees WHERE department_id = $1", department)
        sql = f"SELECT {COLUMNS} FROM employees WHERE department_id = $1 ORDER BY id LIMIT 50"
        return page(request, count, await connection.fetch(sql, department))


async def create(request: Request) -> Response:
    """Insert a row."""
    body = orjson.loads(await request.body())
    row = await request.app.state.pool.fetchrow(
        INSERT,
        body["name"],
        Decimal(body["salary"]),
        body["rating"],
        body["active"],
        dt.date.fromisoformat(body["hired"]),
        dt.datetime.fromisoformat(body["seen_at"]),
        body["department_id"],
    )
    return answer(dict(row), 201)


async def patch(request: Request) -> Response:
    """Change one column of a row."""
    body = orjson.loads(await request.body())
    arguments = int(request.path_params["key"]), Decimal(body["salary"])
    row = await request.app.state.pool.fetchrow(PATCH, *arguments)
    return Response(status_code=404) if row is None else answer(dict(row))


async def delete(request: Request) -> Response:
    """Delete a row."""
    found = await request.app.state.pool.fetchval(DELETE, int(request.path_params["key"]))
    return Response(status_code=404 if found is None else 204)


def opened() -> Starlette:
    """The application."""
    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/employees/{key}", retrieve),
            Route("/employees", list_employees),
            Route("/feed", feed),
            Route("/profiles", profiles),
            Route("/companies/{company}/departments/{department}/employees", nested),
            Route("/employees", create, methods=["POST"]),
            Route("/employees/{key}", patch, methods=["PATCH"]),
            Route("/employees/{key}", delete, methods=["DELETE"]),
        ],
    )
