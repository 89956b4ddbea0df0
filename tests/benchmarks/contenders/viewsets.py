"""fastapix5: the viewset of the design page, once with a token and a permission, once open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le
from fastapi import FastAPI
from pydantic import BaseModel

from fastapix5 import (
    Action,
    AllowAny,
    BasePagination,
    FilterSetBackend,
    HasScope,
    IsAuthenticated,
    JWTAuthentication,
    ModelViewSet,
    OrderingFilter,
    ReadOnlyModelViewSet,
    Router,
    RouterSchema,
    SearchFilter,
    get_default_app,
    settings,
)
from fastapix5.pagination import Count, Fetch, Link
from fastapix5.parameters import Parameter
from tests.benchmarks.contenders.common import POOL_SIZE, READ, SECRET_KEY, WRITE, database_url
from tests.benchmarks.models import Company, Department, Employee
from tests.benchmarks.schemas import CompanyRead, DepartmentRead, EmployeeRead, EmployeeWrite, ProfileRead


class Rows(BaseModel):
    """A page without a count."""

    results: list[Any]


class UncountedPagination(BasePagination):
    """``page_size`` rows from the first on, uncounted."""

    looks_at_rows = False

    def get_parameters(self) -> Sequence[Parameter]:
        """Return ``page_size``."""
        return (Parameter("page_size", Annotated[int, Ge(1), Le(self.largest)], "Rows on a page"),)

    def get_page_schema(self, schema: type[BaseModel]) -> Any:
        """Return the type of the answer."""
        return type(f"{schema.__name__}Rows", (Rows,), {"__annotations__": {"results": list[schema]}})  # type: ignore[valid-type]

    async def paginate(self, query: dict[str, Any], count: Count, fetch: Fetch, link: Link, page_class: Any) -> Any:
        """Return the rows."""
        return page_class.model_construct(results=await fetch(query.get("page_size", self.size), 0))


class EmployeeViewSet(ModelViewSet[Employee]):
    """Employees, for everybody."""

    read_schema = EmployeeRead
    create_schema = update_schema = EmployeeWrite
    permission_classes: Any = [AllowAny]
    filter_backends = [FilterSetBackend, SearchFilter, OrderingFilter]
    filterset_fields = {
        "rating": ["gte", "lte"],
        "hired": ["gte", "lte"],
        "department_id": ["exact", "in"],
        "name": ["icontains"],
    }
    search_fields = ["^name"]
    ordering_fields = ["salary", "rating", "hired"]
    ordering = ["id"]


class SecuredEmployeeViewSet(EmployeeViewSet):
    """Employees who are active, for those whose token says so."""

    authentication_classes = [JWTAuthentication]
    permission_classes = {
        Action.LIST: [IsAuthenticated & HasScope(READ)],
        Action.RETRIEVE: [IsAuthenticated & HasScope(READ)],
        ...: [IsAuthenticated & HasScope(WRITE)],
    }

    def get_queryset(self) -> Any:
        """Return the active ones."""
        return super().get_queryset().filter(active=True)


class CompanyViewSet(ReadOnlyModelViewSet[Company]):
    """Companies."""

    read_schema = CompanyRead


class DepartmentViewSet(ReadOnlyModelViewSet[Department]):
    """Departments, below their company."""

    read_schema = DepartmentRead


def make_app(employees: type[EmployeeViewSet], **policies: Any) -> FastAPI:
    """Return the application for a viewset; the policies are those of the companies and departments above it."""
    settings.configure(DATABASES={"default": database_url()}, POOL_SIZE=POOL_SIZE, SECRET_KEY=SECRET_KEY)
    router = Router()
    router.register(employees)
    router.register(employees(pagination_class=UncountedPagination), name="feed")
    router.register(employees(read_schema=ProfileRead, pagination_class=UncountedPagination), name="profiles")
    router.register(
        RouterSchema(
            viewset=CompanyViewSet(**policies),
            children=[
                RouterSchema(viewset=DepartmentViewSet(**policies), children=[RouterSchema(viewset=employees)]),
            ],
        )
    )
    app = get_default_app()
    app.include_router(router)
    return app


def opened() -> FastAPI:
    """The application without checks."""
    return make_app(EmployeeViewSet, permission_classes=[AllowAny])


def secured() -> FastAPI:
    """The application with tokens and scopes."""
    return make_app(
        SecuredEmployeeViewSet,
        authentication_classes=[JWTAuthentication],
        permission_classes=[IsAuthenticated & HasScope(READ)],
    )
