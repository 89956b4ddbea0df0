"""OpenAPI shows every parameter, body, answer and error of every generated route, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, Field

from fastapix5 import (
    Action,
    AllowAny,
    AnonRateThrottle,
    FilterSetBackend,
    IsAuthenticated,
    JWTAuthentication,
    LimitOffsetPagination,
    OrderingFilter,
    Router,
    RouterSchema,
    SearchFilter,
    action,
    override_settings,
    setup,
)
from tests.declaration.library import AuthorRead, AuthorViewSet, BookRead, BookViewSet, ReviewViewSet
from tests.example.conftest import SETTINGS


class Loan(BaseModel):
    """For how long."""

    days: int = Field(ge=1, le=30)


class ShelfViewSet(BookViewSet):
    """Books on a shelf."""

    authentication_classes = [JWTAuthentication("k" * 32)]
    permission_classes = {  # type: ignore[assignment]
        Action.LIST: [AllowAny],
        Action.RETRIEVE: [AllowAny],
        ...: [IsAuthenticated],
    }
    throttle_classes = {Action.CREATE: [AnonRateThrottle("1/day")], ...: []}
    filter_backends = [FilterSetBackend, SearchFilter, OrderingFilter]
    filterset_fields = {"pages": ["exact", "in", "range", "isnull"], "title": ["icontains"]}
    search_fields = ["title"]
    ordering_fields = ["title"]

    @action(detail=True, methods=["POST", "DELETE"])
    async def lend(self, body: Loan, reason: str = "") -> BookRead:
        """Lend the book.

        Or take it back.
        """
        raise NotImplementedError

    @action(detail=False, summary="Lost ones", tags=["losses"], deprecated=True, status_code=203)
    async def lost(self) -> list[BookRead]:
        raise NotImplementedError

    @action(detail=False, include_in_schema=False)
    async def secret(self) -> None: ...


def document(*routers: APIRouter, **options: Any) -> dict[str, Any]:
    """What an application with these routers says of itself, as JSON."""
    app = setup(FastAPI())
    for router in routers:
        app.include_router(router, **options)
    found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation with its method and path."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def statuses(operation: dict[str, Any]) -> str:
    """The documented statuses."""
    return " ".join(sorted(operation["responses"]))


def references(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


@pytest.fixture(scope="module")
def shelf() -> dict[str, Any]:
    """The document of one viewset."""
    return document(ShelfViewSet().router)


TREE = RouterSchema(
    viewset=AuthorViewSet,
    children=[
        RouterSchema(viewset=BookViewSet, parent_field="author", children=[RouterSchema(viewset=ReviewViewSet)]),
        RouterSchema("edited", viewset=BookViewSet, parent_field="editor"),
    ],
)


def everything() -> dict[str, Any]:
    """A tree and a viewset in one router, included twice, and the viewset alone."""
    router = Router()
    router.register(TREE)
    router.register(ShelfViewSet)
    app = setup(FastAPI())
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    app.include_router(ShelfViewSet().router)
    found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return found


def example() -> dict[str, Any]:
    """The document of the example project."""
    with override_settings(**SETTINGS):
        from example_project.app import app

        found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return found


DOCUMENTS = {"everything": everything, "the example": example}


@pytest.fixture(scope="module", params=DOCUMENTS)
def whole(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The document of a whole application."""
    found: dict[str, Any] = DOCUMENTS[request.param]()
    return found


# Any document


def test_document_is_valid(whole: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1, by its JSON Schema."""
    schemathesis.openapi.from_dict(whole).validate()


def test_references_resolve(whole: dict[str, Any]) -> None:
    """Every reference leads somewhere, and every component is used."""
    names = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert set(references(whole)) == names


def test_operation_ids_are_unique(whole: dict[str, Any]) -> None:
    """No two operations share an id, though a viewset is included twice."""
    ids = [operation["operationId"] for _, _, operation in operations(whole)]
    assert len(ids) == len(set(ids))
    assert all(found.isidentifier() for found in ids)


def test_component_names_are_readable(whole: dict[str, Any]) -> None:
    """A component is called as its schema is, without module or number."""
    assert [name for name in whole["components"]["schemas"] if not name.isalnum()] == []


def test_errors_are_problems(whole: dict[str, Any]) -> None:
    """Every error is a problem and nothing else; FastAPI's own is not shown."""
    expected = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    for _, _, operation in operations(whole):
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response["content"] == expected
    assert "HTTPValidationError" not in whole["components"]["schemas"]


def test_parameters_of_the_path_are_those_of_the_path(whole: dict[str, Any]) -> None:
    """Each key in a path is a parameter, once, and no other is."""
    for _, path, operation in operations(whole):
        parameters = operation.get("parameters", [])
        names = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
        assert sorted(names) == sorted(part[1:-1] for part in path.split("/") if part.startswith("{"))
        assert len({(parameter["in"], parameter["name"]) for parameter in parameters}) == len(parameters)


# One viewset, exactly


def test_operations(shelf: dict[str, Any]) -> None:
    """Each action is an operation, with its id, its success and its errors."""
    actual = {
        f"{method} {path}": (operation["operationId"], statuses(operation))
        for method, path, operation in operations(shelf)
    }
    assert actual == {
        "GET /books": ("books_list", "200 401 404 422 500 503"),
        "POST /books": ("books_create", "201 401 403 409 413 415 422 429 500 503"),
        "GET /books/lost": ("books_lost", "203 401 403 404 422 500 503"),
        "GET /books/{book_id}": ("books_retrieve", "200 401 404 422 500 503"),
        "PUT /books/{book_id}": ("books_update", "200 401 403 404 409 413 415 422 500 503"),
        "PATCH /books/{book_id}": ("books_partial_update", "200 401 403 404 409 413 415 422 500 503"),
        "DELETE /books/{book_id}": ("books_destroy", "204 401 403 404 409 422 500 503"),
        "POST /books/{book_id}/lend": ("books_lend_post", "200 401 403 404 409 413 415 422 500 503"),
        "DELETE /books/{book_id}/lend": ("books_lend_delete", "200 401 403 404 409 413 415 422 500 503"),
    }


def test_parameters_of_a_list(shelf: dict[str, Any]) -> None:
    """Filters, search, order and page are there with their types and bounds."""
    integer = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    text = {"type": "string", "maxLength": 256, "pattern": "^[^\\x00]*$"}
    actual = {
        parameter["name"]: {
            key: value for key, value in parameter["schema"].items() if key not in ("title", "description")
        }
        for parameter in shelf["paths"]["/books"]["get"]["parameters"]
    }
    assert actual == {
        "pages": integer,
        "pages__in": {"type": "array", "items": integer, "minItems": 1, "maxItems": 100},
        "pages__range": {"type": "array", "items": integer, "minItems": 2, "maxItems": 2},
        "pages__isnull": {"type": "boolean"},
        "title__icontains": text,
        "search": text,
        "ordering": {
            "type": "array",
            "items": {"type": "string", "enum": ["title", "-title"]},
            "minItems": 1,
            "maxItems": 2,
        },
        "page": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        "page_size": {"type": "integer", "minimum": 1, "maximum": 100},
    }
    assert all(not parameter["required"] for parameter in shelf["paths"]["/books"]["get"]["parameters"])


def test_other_routes_have_no_parameters_of_a_list(shelf: dict[str, Any]) -> None:
    """A key is all that a row takes; an action takes what its signature says."""
    actual = {
        operation["operationId"]: [parameter["name"] for parameter in operation.get("parameters", [])]
        for _, _, operation in operations(shelf)
        if operation["operationId"] != "books_list"
    }
    assert actual == {
        "books_create": [],
        "books_lost": [],
        "books_retrieve": ["book_id"],
        "books_update": ["book_id"],
        "books_partial_update": ["book_id"],
        "books_destroy": ["book_id"],
        "books_lend_post": ["book_id", "reason"],
        "books_lend_delete": ["book_id", "reason"],
    }


def test_bodies(shelf: dict[str, Any]) -> None:
    """Create and update take their schemas, PATCH the same with nothing required; unknown fields are refused."""
    actual = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[
            -1
        ]
        for _, _, operation in operations(shelf)
        if "requestBody" in operation
    }
    assert actual == {
        "books_create": "BookWrite",
        "books_update": "BookWrite",
        "books_partial_update": "PatchedBookWrite",
        "books_lend_post": "Loan",
        "books_lend_delete": "Loan",
    }
    schemas = shelf["components"]["schemas"]
    assert schemas["BookWrite"]["required"] == ["title", "pages", "published", "author_id", "editor_id"]
    assert "required" not in schemas["PatchedBookWrite"]
    assert [schemas[name]["additionalProperties"] for name in ("BookWrite", "PatchedBookWrite", "Loan")] == [False] * 3


def test_answers(shelf: dict[str, Any]) -> None:
    """Each success shows its schema: a page, a row, nothing, or what an action says."""

    def answer(operation: dict[str, Any]) -> Any:
        success = next(response for status, response in operation["responses"].items() if status < "300")
        schema = success.get("content", {}).get("application/json", {}).get("schema")
        return schema and (schema.get("$ref", "").split("/")[-1] or schema["items"]["$ref"].split("/")[-1:])

    assert {operation["operationId"]: answer(operation) for _, _, operation in operations(shelf)} == {
        "books_list": "BookReadPage",
        "books_create": "BookRead",
        "books_lost": ["BookRead"],
        "books_retrieve": "BookRead",
        "books_update": "BookRead",
        "books_partial_update": "BookRead",
        "books_destroy": None,
        "books_lend_post": "BookRead",
        "books_lend_delete": "BookRead",
    }
    page = shelf["components"]["schemas"]["BookReadPage"]
    assert (list(page["properties"]), page["required"]) == (["count", "next", "previous", "results"],) * 2


def test_security(shelf: dict[str, Any]) -> None:
    """A route shows the scheme where its permissions ask for somebody."""
    actual = {operation["operationId"] for _, _, operation in operations(shelf) if "security" in operation}
    assert actual == {
        "books_create",
        "books_lost",
        "books_update",
        "books_partial_update",
        "books_destroy",
        "books_lend_post",
        "books_lend_delete",
    }
    assert shelf["components"]["securitySchemes"]["JWTAuthentication"]["scheme"] == "bearer"


def test_security_of_an_ancestor() -> None:
    """A route below a closed parent is closed, and says so."""
    tree = RouterSchema(
        viewset=AuthorViewSet,
        authentication_classes=[JWTAuthentication("k" * 32)],
        permission_classes=[IsAuthenticated],
        children=[RouterSchema(viewset=BookViewSet, parent_field="author")],
    )
    listing = document(tree.router)["paths"]["/authors/{author_id}/books"]["get"]
    assert listing["security"] == [{"JWTAuthentication": []}]
    assert statuses(listing) == "200 401 403 404 422 500 503"


def test_words_of_an_action(shelf: dict[str, Any]) -> None:
    """Summary, description, tags and deprecation are the decorator's, else the method's and the viewset's."""
    lend, lost = shelf["paths"]["/books/{book_id}/lend"]["post"], shelf["paths"]["/books/lost"]["get"]
    assert (lend["summary"], lend["description"], lend["tags"]) == (
        "Lend",
        "Lend the book.\n\nOr take it back.",
        ["books"],
    )
    assert (lost["summary"], lost["tags"], lost["deprecated"]) == ("Lost ones", ["losses"], True)
    assert shelf["paths"]["/books"]["get"]["description"] == "Books on a shelf."


def test_headers_of_errors(shelf: dict[str, Any]) -> None:
    """The errors that come with a header say so."""
    responses = shelf["paths"]["/books"]["post"]["responses"]
    actual = {status: list(response["headers"]) for status, response in responses.items() if "headers" in response}
    assert actual.items() >= {"401": ["WWW-Authenticate"], "429": ["Retry-After"], "503": ["Retry-After"]}.items()


# Variations


def test_pagination_decides_parameters_and_statuses() -> None:
    """Limit and offset know no missing page; without pagination there is a bare list."""
    limited = document(BookViewSet(pagination_class=LimitOffsetPagination).router)["paths"]["/books"]["get"]
    assert [parameter["name"] for parameter in limited["parameters"]] == ["limit", "offset"]
    assert statuses(limited) == "200 422 500 503"
    bare = document(BookViewSet(pagination_class=None).router)["paths"]["/books"]["get"]
    assert "parameters" not in bare
    assert bare["responses"]["200"]["content"]["application/json"]["schema"]["items"] == {
        "$ref": "#/components/schemas/BookRead"
    }


def test_body_below_a_parent() -> None:
    """Below a parent the field that the path says is optional, and each such schema has a name of its own."""
    schemas = document(TREE.router)["components"]["schemas"]
    assert "author_id" not in schemas["AuthorBookWrite"]["required"]
    assert "editor_id" not in schemas["EditorBookWrite"]["required"]


def test_pages_of_two_schemas_of_one_name() -> None:
    """Two schemas of one name in two modules stay two components, and so do their pages."""
    other = type("AuthorRead", (BaseModel,), {"__module__": "elsewhere", "__annotations__": {"name": str}})
    found = document(AuthorViewSet().router, AuthorViewSet(name="others", read_schema=other).router)
    names = {
        found["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        for path in ("/authors", "/others")
    }
    assert names == {
        "#/components/schemas/elsewhere__AuthorReadPage",
        f"#/components/schemas/{AuthorRead.__module__.replace('.', '__')}__AuthorReadPage",
    }


def test_parameters_of_dependencies_are_shown() -> None:
    """What ``include_router`` adds is shown beside what is generated."""

    async def since(since: dt.date) -> dt.date:
        return since

    found = document(AuthorViewSet().router, prefix="/api", dependencies=[Depends(since)], tags=["more"])
    listing = found["paths"]["/api/authors"]["get"]
    assert sorted(parameter["name"] for parameter in listing["parameters"]) == ["page", "page_size", "since"]
    assert listing["operationId"] == "api_authors_list"
    assert listing["tags"] == ["more", "authors"]


def test_document_is_stable() -> None:
    """The same declarations give the same document."""
    assert json.dumps(everything()) == json.dumps(everything())
