"""Applications for the command to list: nobody asks their database."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, WebSocket

from fastapix5 import (
    AllowAny,
    BasePermission,
    FilterSetBackend,
    OrderingFilter,
    ReadOnlyModelViewSet,
    Router,
    RouterSchema,
    UserRateThrottle,
)
from fastapix5.access import Access
from tests.declaration.library import Author, AuthorRead, Book, BookRead


class LooksAtRows(BasePermission):
    """Asks to see the author."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return True


class AuthorViewSet(ReadOnlyModelViewSet[Author]):
    read_schema = AuthorRead
    permission_classes = [LooksAtRows]


class BookViewSet(ReadOnlyModelViewSet[Book]):
    read_schema = BookRead
    parent_field = "author"
    permission_classes = [AllowAny]
    throttle_classes = [UserRateThrottle("10/minute")]
    filter_backends = [FilterSetBackend, OrderingFilter]
    filterset_fields = ["title"]

    def objects_filter(self, access: Access) -> Any:
        return None


router = Router(prefix="/api")
router.register(RouterSchema(viewset=AuthorViewSet, children=[RouterSchema(viewset=BookViewSet)]))

app = FastAPI(openapi_url=None)
outer = APIRouter(prefix="/outer")
outer.include_router(router, prefix="/v1")
app.include_router(outer)
app.mount("/mounted", router)
below = FastAPI(openapi_url=None)
below.include_router(router)
app.mount("/below", below)


@app.get("/health")
def health() -> None: ...


@app.websocket("/updates")
async def updates(websocket: WebSocket) -> None: ...


def make() -> FastAPI:
    return app


def fail() -> FastAPI:
    raise LookupError("There is nothing here")


def give_nothing() -> None: ...
