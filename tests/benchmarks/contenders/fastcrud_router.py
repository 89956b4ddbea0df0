"""FastCRUD: its router, and its CRUD class in an endpoint where the router would count or join."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastcrud import FastCRUD, FilterConfig, JoinConfig, crud_router
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.benchmarks.contenders.common import POOL_SIZE, database_url
from tests.benchmarks.models import Department, Employee, Skill
from tests.benchmarks.schemas import DepartmentRead, EmployeeChange, EmployeeRead, EmployeeWrite, ProfileRead, SkillRead

sessions = async_sessionmaker(create_async_engine(database_url(), pool_size=POOL_SIZE), expire_on_commit=False)

RELATIONS = [
    JoinConfig(
        model=Department,
        join_on=Employee.department_id == Department.id,
        join_prefix="department_",
        schema_to_select=DepartmentRead,
        relationship_type="one-to-one",
    ),
    # Without a limit of its own FastCRUD would cut the joined rows, not the employees, to 50.
    JoinConfig(
        model=Skill,
        join_on=Employee.id == Skill.employee_id,
        join_prefix="skills_",
        schema_to_select=SkillRead,
        relationship_type="one-to-many",
        sort_columns="id",
        nested_limit=100,
    ),
]


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session for the request."""
    async with sessions() as session:
        yield session


def opened() -> FastAPI:
    """The application."""
    app = FastAPI()
    crud: Any = FastCRUD(Employee)
    app.include_router(
        crud_router(
            session=get_session,
            model=Employee,
            create_schema=EmployeeWrite,
            update_schema=EmployeeChange,
            select_schema=EmployeeRead,
            crud=crud,
            path="/employees",
            filter_config=FilterConfig(department_id=None, rating__gte=None, rating__lte=None),
        )
    )

    @app.get("/feed")
    async def feed(session: Annotated[AsyncSession, Depends(get_session)]) -> dict[str, list[EmployeeRead]]:
        found: dict[str, list[EmployeeRead]] = await crud.get_multi(
            session,
            limit=50,
            sort_columns="id",
            schema_to_select=EmployeeRead,
            return_as_model=True,
            return_total_count=False,
        )
        return found

    @app.get("/profiles")
    async def profiles(session: Annotated[AsyncSession, Depends(get_session)]) -> dict[str, list[ProfileRead]]:
        found: dict[str, list[ProfileRead]] = await crud.get_multi_joined(
            session,
            limit=50,
            sort_columns="id",
            schema_to_select=ProfileRead,
            nest_joins=True,
            joins_config=RELATIONS,
            return_total_count=False,
        )
        return found

    return app
