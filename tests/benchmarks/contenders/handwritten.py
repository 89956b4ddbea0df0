"""FastAPI and SQLAlchemy as a good engineer writes them by hand, once with a token and scopes, once open."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

from tests.benchmarks.contenders.common import POOL_SIZE, READ, SECRET_KEY, WRITE, database_url
from tests.benchmarks.models import Department, Employee
from tests.benchmarks.schemas import EmployeeChange, EmployeeRead, EmployeeWrite, ProfileRead

T = TypeVar("T")

engine = create_async_engine(database_url(), pool_size=POOL_SIZE)
sessions = async_sessionmaker(engine, expire_on_commit=False)
bearer = HTTPBearer()


class Page(BaseModel, Generic[T]):
    """A page with its count."""

    count: int
    next: str | None
    previous: str | None
    results: list[T]


class Rows(BaseModel, Generic[T]):
    """A page without a count."""

    results: list[T]


class EmployeeQuery(BaseModel):
    """The query parameters of a list."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1)
    page_size: int = Field(50, ge=1, le=100)
    rating__gte: float | None = None
    rating__lte: float | None = None
    hired__gte: dt.date | None = None
    hired__lte: dt.date | None = None
    department_id: int | None = None
    department_id__in: str | None = None
    name__icontains: str | None = None
    search: str | None = None
    ordering: Literal["salary", "-salary", "rating", "-rating", "hired", "-hired"] | None = None


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session for the request."""
    async with sessions() as session:
        yield session


async def check_token(
    scopes: SecurityScopes, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> str:
    """Return who the token names, where it has the scopes of the endpoint."""
    try:
        claims = jwt.decode(
            credentials.credentials, SECRET_KEY, algorithms=["HS256"], options={"require": ["exp", "iat", "sub"]}
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "The token does not hold.", headers={"WWW-Authenticate": "Bearer"}) from None
    if not set(scopes.scopes) <= set(claims.get("scope", "").split()):
        raise HTTPException(403, "The token lacks a scope.")
    subject: str = claims["sub"]
    return subject


Session = Annotated[AsyncSession, Depends(get_session)]
Parameters = Annotated[EmployeeQuery, Query()]


def filtered(statement: Select[Employee], query: EmployeeQuery) -> Select[Employee]:
    """The statement with the conditions of a query."""
    if query.rating__gte is not None:
        statement = statement.where(Employee.rating >= query.rating__gte)
    if query.rating__lte is not None:
        statement = statement.where(Employee.rating <= query.rating__lte)
    if query.hired__gte is not None:
        statement = statement.where(Employee.hired >= query.hired__gte)
    if query.hired__lte is not None:
        statement = statement.where(Employee.hired <= query.hired__lte)
    if query.department_id is not None:
        statement = statement.where(Employee.department_id == query.department_id)
    if query.department_id__in is not None:
        statement = statement.where(
            Employee.department_id.in_([int(key) for key in query.department_id__in.split(",")])
        )
    if query.name__icontains is not None:
        statement = statement.where(Employee.name.icontains(query.name__icontains, autoescape=True))
    if query.search is not None:
        statement = statement.where(Employee.name.istartswith(query.search, autoescape=True))
    return statement


def ordered(statement: Select[Employee], query: EmployeeQuery) -> Select[Employee]:
    """The statement in the order that a query asks for."""
    if query.ordering is not None:
        column = getattr(Employee, query.ordering.removeprefix("-"))
        statement = statement.order_by(column.desc() if query.ordering.startswith("-") else column)
    return statement.order_by(Employee.id)


async def get_page(
    session: AsyncSession, request: Request, statement: Select[Employee], query: EmployeeQuery
) -> dict[str, Any]:
    """A page of a statement, with its count and its neighbours."""
    statement = filtered(statement, query)
    count = await session.scalar(statement.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    start = (query.page - 1) * query.page_size
    if query.page > 1 and start >= count:
        raise HTTPException(404, "There is no such page.")
    employees = await session.scalars(ordered(statement, query).limit(query.page_size).offset(start))

    def link(page: int) -> str:
        return f"{request.url.path}?{urlencode({**request.query_params, 'page': page})}"

    return {
        "count": count,
        "next": link(query.page + 1) if start + query.page_size < count else None,
        "previous": link(query.page - 1) if query.page > 1 else None,
        "results": employees.all(),
    }


def make_router(rows: Select[Employee], reads: list[Any], writes: list[Any]) -> APIRouter:  # noqa: C901
    """The endpoints, over the rows that the application shows, with the dependencies that guard them."""
    router = APIRouter()

    async def get_employee(session: AsyncSession, employee_id: int) -> Employee:
        employee = await session.scalar(rows.where(Employee.id == employee_id))
        if employee is None:
            raise HTTPException(404, "There is no such employee.")
        return employee

    @router.get("/employees/{employee_id}", response_model=EmployeeRead, dependencies=reads)
    async def retrieve(employee_id: int, session: Session) -> Employee:
        return await get_employee(session, employee_id)

    @router.get("/employees", response_model=Page[EmployeeRead], dependencies=reads)
    async def list_employees(request: Request, session: Session, query: Parameters) -> dict[str, Any]:
        return await get_page(session, request, rows, query)

    @router.get("/feed", response_model=Rows[EmployeeRead], dependencies=reads)
    async def feed(session: Session, query: Parameters) -> dict[str, Any]:
        employees = await session.scalars(ordered(filtered(rows, query), query).limit(query.page_size))
        return {"results": employees.all()}

    @router.get("/profiles", response_model=Rows[ProfileRead], dependencies=reads)
    async def profiles(session: Session, query: Parameters) -> dict[str, Any]:
        statement = ordered(filtered(rows, query), query).limit(query.page_size)
        related = joinedload(Employee.department, innerjoin=True), selectinload(Employee.skills)
        employees = await session.scalars(statement.options(*related))
        return {"results": employees.all()}

    @router.get(
        "/companies/{company_id}/departments/{department_id}/employees",
        response_model=Page[EmployeeRead],
        dependencies=reads,
    )
    async def nested(
        company_id: int, department_id: int, request: Request, session: Session, query: Parameters
    ) -> dict[str, Any]:
        above = select(Department.id).where(Department.id == department_id, Department.company_id == company_id)
        if await session.scalar(above) is None:
            raise HTTPException(404, "There is no such department.")
        below = rows.where(Employee.department_id == department_id)
        return await get_page(session, request, below, query)

    @router.post("/employees", status_code=201, response_model=EmployeeRead, dependencies=writes)
    async def create(body: EmployeeWrite, session: Session, request: Request, response: Response) -> Employee:
        employee = Employee(**body.model_dump())
        session.add(employee)
        await commit(session)
        response.headers["Location"] = f"{request.url.path}/{employee.id}"
        return employee

    @router.patch("/employees/{employee_id}", response_model=EmployeeRead, dependencies=writes)
    async def patch(employee_id: int, body: EmployeeChange, session: Session) -> Employee:
        employee = await get_employee(session, employee_id)
        for name, value in body.model_dump(exclude_unset=True).items():
            setattr(employee, name, value)
        await commit(session)
        return employee

    @router.delete("/employees/{employee_id}", status_code=204, dependencies=writes)
    async def delete(employee_id: int, session: Session) -> None:
        await session.delete(await get_employee(session, employee_id))
        await commit(session)

    return router


async def commit(session: AsyncSession) -> None:
    """Commit; a reference to a row that is not there is the caller's fault."""
    try:
        await session.commit()
    except IntegrityError:
        raise HTTPException(422, "The body names a row that is not there.") from None


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Close the pool at the end."""
    yield
    await engine.dispose()


def opened() -> FastAPI:
    """The application without checks."""
    app = FastAPI(lifespan=lifespan)
    app.include_router(make_router(select(Employee), [], []))
    return app


def secured() -> FastAPI:
    """The application with tokens and scopes."""
    app = FastAPI(lifespan=lifespan)
    reads, writes = Security(check_token, scopes=[READ]), Security(check_token, scopes=[WRITE])
    app.include_router(make_router(select(Employee).where(Employee.active), [reads], [writes]))
    return app
