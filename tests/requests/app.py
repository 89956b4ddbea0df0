"""The API of these tests: three levels below companies, and a viewset for each oddity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from fastapix5 import (
    Access,
    Action,
    AllowAny,
    BaseAuthentication,
    BaseFilterBackend,
    BasePermission,
    FilterSetBackend,
    HasScope,
    IsAuthenticated,
    ModelViewSet,
    OrderingFilter,
    ReadOnlyModelViewSet,
    Router,
    RouterSchema,
    SearchFilter,
    setup,
)
from fastapix5.exceptions import AuthenticationFailed
from fastapix5.viewsets import ByAction
from tests.requests import schemas
from tests.requests.models import Badge, Company, Department, Desk, Employee, Label, Note, Room


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Token ada:read,write`` is Ada with two scopes; nobody is called "mallory"."""

    security_scheme: SecurityBase | None = HTTPBearer(auto_error=False, scheme_name="Token")

    def authenticate(self, request: Request) -> Access | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Token":
            return None
        name, _, scopes = token.partition(":")
        if name == "mallory":
            raise AuthenticationFailed
        return Access(user_id=name, scopes=frozenset(scopes.split(",")) - {""})


def token(name: str, *scopes: str) -> dict[str, str]:
    """Return the headers by which somebody is known."""
    return {"Authorization": f"Token {name}:{','.join(scopes)}"}


ADA = token("ada")
FILTERS: list[type[BaseFilterBackend]] = [FilterSetBackend, SearchFilter, OrderingFilter]
Permissions = ByAction[Sequence[type[BasePermission] | BasePermission | str]]
OPEN_READS: Permissions = {Action.LIST: [AllowAny], Action.RETRIEVE: [AllowAny], ...: [IsAuthenticated]}


class CompanyViewSet(ModelViewSet[Company]):
    """Companies that are not closed."""

    read_schema = schemas.CompanyRead
    create_schema = schemas.CompanyCreate
    update_schema = schemas.CompanyUpdate
    authentication_classes = [TokenAuthentication]
    permission_classes: Permissions = OPEN_READS
    filter_backends = FILTERS
    filterset_fields = {"id": ["exact", "in", "range"], "name": ["exact", "in", "icontains"], "vat": ["isnull"]}
    search_fields = ["name"]
    ordering_fields = ["name", "id"]

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(closed=False)


class DepartmentViewSet(ModelViewSet[Department]):
    read_schema = schemas.DepartmentRead
    create_schema = schemas.DepartmentIn
    update_schema = schemas.DepartmentIn
    authentication_classes = [TokenAuthentication]
    permission_classes: Permissions = OPEN_READS


class EmployeeViewSet(ModelViewSet[Employee]):
    read_schema = schemas.EmployeeRead
    create_schema = schemas.EmployeeIn
    update_schema = schemas.EmployeeIn
    authentication_classes = [TokenAuthentication]
    permission_classes: Permissions = OPEN_READS


class EmployeeDetailViewSet(ReadOnlyModelViewSet[Employee]):
    name = "staff"
    read_schema = schemas.EmployeeDetail
    permission_classes = [AllowAny]


class CompanyDetailViewSet(ReadOnlyModelViewSet[Company]):
    name = "charts"
    read_schema = schemas.CompanyDetail
    permission_classes = [AllowAny]


class BadgeViewSet(ModelViewSet[Badge]):
    read_schema = schemas.BadgeRead
    create_schema = schemas.BadgeIn
    update_schema = schemas.BadgeIn
    permission_classes = [AllowAny]


class RoomViewSet(ModelViewSet[Room]):
    read_schema = schemas.RoomRead
    create_schema = schemas.RoomIn
    update_schema = schemas.RoomUpdate
    permission_classes = [AllowAny]


class DeskViewSet(ModelViewSet[Desk]):
    read_schema = schemas.DeskRead
    create_schema = schemas.DeskIn
    update_schema = schemas.DeskIn
    permission_classes = [AllowAny]


class LabelViewSet(ModelViewSet[Label]):
    read_schema = schemas.LabelRead
    create_schema = schemas.LabelIn
    update_schema = schemas.LabelIn
    permission_classes = [AllowAny]


class NoteViewSet(ModelViewSet[Note]):
    read_schema = schemas.NoteRead
    create_schema = schemas.NoteIn
    update_schema = schemas.NoteIn
    permission_classes = [AllowAny]


class SecretViewSet(ModelViewSet[Department]):
    """Below companies, for those who hold a scope."""

    name = "secrets"
    read_schema = schemas.DepartmentRead
    create_schema = schemas.DepartmentIn
    update_schema = schemas.DepartmentIn
    authentication_classes = [TokenAuthentication]
    permission_classes = [HasScope("secrets")]


def tree() -> RouterSchema:
    """Companies, their departments, and the employees of those."""
    return RouterSchema(
        viewset=CompanyViewSet,
        children=[
            RouterSchema(viewset=DepartmentViewSet, children=[RouterSchema(viewset=EmployeeViewSet)]),
            RouterSchema(viewset=SecretViewSet),
        ],
    )


def make_router() -> Router:
    """Everything, below ``/api``."""
    router = Router(prefix="/api")
    router.register(tree())
    router.register(RouterSchema(viewset=RoomViewSet, children=[RouterSchema(viewset=DeskViewSet)]))
    router.register(RouterSchema(viewset=LabelViewSet, children=[RouterSchema(viewset=NoteViewSet)]))
    for viewset in (EmployeeDetailViewSet, CompanyDetailViewSet, BadgeViewSet):
        router.register(viewset)
    return router


router = make_router()


def make_app(*routers: Any, with_setup: bool = True, prepare: Callable[[FastAPI], None] | None = None) -> FastAPI:
    """Return an application that includes ``routers``; ``prepare`` sees it first."""
    app = FastAPI()
    if prepare is not None:
        prepare(app)
    if with_setup:
        setup(app)
    for included in routers:
        app.include_router(included)
    return app
