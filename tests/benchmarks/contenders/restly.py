"""fastapi-restly: its views."""

from __future__ import annotations

from typing import Any

import fastapi_restly as fr
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from tests.benchmarks.contenders.common import POOL_SIZE, database_url
from tests.benchmarks.models import Employee
from tests.benchmarks.schemas import EmployeeChange, EmployeeRead, EmployeeWrite, ProfileRead

fr.configure(async_engine=create_async_engine(database_url(), pool_size=POOL_SIZE))


class EmployeeView(fr.AsyncRestView):
    """Employees."""

    prefix = "/employees"
    model = Employee
    schema = EmployeeRead
    schema_create = EmployeeWrite
    schema_update = EmployeeChange


class ProfileView(fr.AsyncRestView):
    """Employees with their relations."""

    prefix = "/profiles"
    model = Employee
    schema = ProfileRead
    exclude_routes = (fr.ViewRoute.CREATE, fr.ViewRoute.UPDATE, fr.ViewRoute.DELETE)


def opened() -> FastAPI:
    """The application."""
    app = FastAPI()
    views: tuple[Any, ...] = (EmployeeView, ProfileView)
    for view in views:
        fr.include_view(app, view)
    return app
