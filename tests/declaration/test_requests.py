"""What was declared, as a request meets it."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from fastapix5 import (
    Access,
    BaseAuthentication,
    LimitOffsetPagination,
    Q,
    Repository,
    RouterSchema,
    SearchFilter,
    SecurityScopes,
    action,
    atomic,
    get_session,
    session_scope,
    setup,
)
from fastapix5.db.engines import get_engine
from fastapix5.repositories import forget_policies
from tests.declaration.library import (
    Author,
    AuthorRead,
    AuthorViewSet,
    Base,
    Book,
    BookRead,
    BookViewSet,
    Review,
    ReviewViewSet,
)

pytestmark = pytest.mark.anyio

Serve = Callable[..., httpx2.AsyncClient]


class Named(BaseAuthentication):
    """``X-User: eve:books.read`` is Eve with a scope."""

    def authenticate(self, request: Request) -> Access | None:
        name, _, scopes = request.headers.get("x-user", "").partition(":")
        return Access(user_id=name, scopes=frozenset(scopes.split())) if name else None


@pytest.fixture
async def serve(database: str) -> AsyncIterator[Serve]:
    """Two authors, three books and two reviews; return a client of what is given."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    # Repository classes of this module registered theirs when they were made.
    forget_policies()
    async with session_scope(), atomic():
        get_session().add_all([Author(id=1, name="Ada", secret="a"), Author(id=2, name="Bob", secret="b")])
        await get_session().flush()
        for number, (title, author) in enumerate([("One", 1), ("Two", 1), ("Three", 2)], start=1):
            values = {"pages": number * 10, "published": dt.date(2020, 1, number), "author_id": author, "editor_id": 2}
            get_session().add(Book(id=number, title=title, **values))
        await get_session().flush()
        get_session().add_all([Review(id=1, text="good", book_id=1), Review(id=2, text="bad", book_id=3)])
        await get_session().flush()
    async with AsyncExitStack() as stack:

        def serve(*declared: Any) -> httpx2.AsyncClient:
            app = setup(FastAPI())
            for found in declared:
                app.include_router(found.router)
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx2.AsyncClient(transport=transport, base_url="http://test")
            stack.push_async_callback(client.aclose)
            return client

        yield serve
    forget_policies()


def ids(answer: httpx2.Response) -> list[int]:
    """The ids of a page's rows."""
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["results"]]


# Actions


class ShelfViewSet(BookViewSet):
    """Books with actions of every kind."""

    @action(detail=True)
    async def spine(self, book_id: int, size: int = 1) -> str:
        """The title, as often as asked for, by the key in the path."""
        return " ".join([(await self.get_object()).title] * size) + f" {book_id}"

    @action(detail=False)
    async def longest(self):  # type: ignore[no-untyped-def]
        """An object of the model, without an annotation."""
        return await self.get_queryset().order_by("-pages").first()

    @action(detail=False)
    async def counted(self):  # type: ignore[no-untyped-def]
        """Something else, without an annotation."""
        return {"count": await self.get_queryset().count()}

    @action(detail=False)
    async def short(self) -> list[Book]:
        """Objects of the model."""
        return await self.get_queryset().filter(pages__lt=30).order_by("id").all()  # type: ignore[no-any-return]

    @action(
        detail=False, pagination_class=LimitOffsetPagination, filter_backends=[SearchFilter], search_fields=["title"]
    )
    async def paged(self) -> Any:
        """A page of what is searched."""
        return await self.paginate_queryset(await self.filter_queryset(self.get_queryset()))

    @action(detail=True, url_path="pages/{number}")
    async def page(self, number: int) -> int:
        """A parameter of the action's own path."""
        return number


async def test_answers_of_actions(serve: Serve) -> None:
    """An action answers what it returns; objects of the model are shown as the read schema."""
    client = serve(ShelfViewSet())
    one = {"id": 1, "title": "One", "pages": 10, "author": {"id": 1, "name": "Ada"}}
    two = {"id": 2, "title": "Two", "pages": 20, "author": {"id": 1, "name": "Ada"}}
    three = {"id": 3, "title": "Three", "pages": 30, "author": {"id": 2, "name": "Bob"}}
    expected = {
        "1/spine": "One 1",
        "2/spine?size=2": "Two Two 2",
        "longest": three,
        "counted": {"count": 3},
        "short": [one, two],
        "paged?search=t&limit=1": {
            "count": 2,
            "next": "/books/paged?search=t&limit=1&offset=1",
            "previous": None,
            "results": [two],
        },
        "1/pages/7": 7,
    }
    assert {path: (await client.get(f"/books/{path}")).json() for path in expected} == expected


async def test_parameters_of_actions_are_checked(serve: Serve) -> None:
    """A wrong key, a wrong parameter and an unknown one are 422."""
    client = serve(ShelfViewSet())
    for path in ("x/spine", "1/spine?size=x", "1/spine?sise=1", "1/pages/x", "paged?search=a&page=1", "short?search=a"):
        assert (await client.get(f"/books/{path}")).status_code == 422, path


# Row policies


def written_before_three(access: Access) -> Any:
    """Rows that were written early."""
    return Q(id__lt=3)


class BookRepository(Repository[Book]):
    """Everybody sees what they wrote."""

    def row_policy(self, access: Access) -> Any:
        return Q(author__name=access.user_id)


async def test_objects_filter_of_a_class_is_a_plain_function(serve: Serve) -> None:
    """A function in the class body takes the access alone, as one given by keyword does."""

    class Early(BookViewSet):
        objects_filter = written_before_three  # type: ignore[assignment]

    client = serve(Early())
    assert ids(await client.get("/books")) == [1, 2]
    assert (await client.get("/books/3")).status_code == 404


async def test_objects_filter_narrows_the_policy_of_a_repository(serve: Serve) -> None:
    """Where the repository has the model's policy, ``objects_filter`` narrows it for its viewset alone."""
    wide = BookViewSet(repository_class=BookRepository, authentication_classes=[Named])
    narrow = BookViewSet(
        name="early",
        repository_class=BookRepository,
        authentication_classes=[Named],
        objects_filter=lambda access: Q(pages__gt=10),
    )
    tree = RouterSchema(
        "narrow",
        viewset=BookViewSet,
        repository_class=BookRepository,
        authentication_classes=[Named],
        objects_filter=lambda access: Q(pages__gt=10),
        children=[RouterSchema(viewset=ReviewViewSet)],
    )
    client = serve(wide, narrow, tree)
    ada = {"X-User": "Ada"}
    assert ids(await client.get("/books", headers=ada)) == [1, 2]
    assert ids(await client.get("/early", headers=ada)) == [2]
    statuses = {
        path: (await client.get(path, headers=ada)).status_code
        for path in ("/books/1", "/early/1", "/early/3", "/narrow/1/reviews", "/narrow/2/reviews")
    }
    assert statuses == {
        "/books/1": 200,
        "/early/1": 404,
        "/early/3": 404,
        "/narrow/1/reviews": 404,
        "/narrow/2/reviews": 200,
    }
    assert (await client.delete("/early/1", headers=ada)).status_code == 404


# Scopes


async def test_scopes_of_a_tree(serve: Serve) -> None:
    """Any one scope of the method grants, an ancestor's too; a method that is not named is 405."""
    tree = RouterSchema(
        "authors",
        model=Author,
        read_schema=AuthorRead,
        create_schema=AuthorRead,
        security=Named(),
        security_scopes=SecurityScopes(get=["authors.any", "authors.own"]),
        children=[
            RouterSchema(
                "books",
                model=Book,
                read_schema=BookRead,
                parent_field="author",
                security_scopes=SecurityScopes(list=["books"]),
            )
        ],
    )
    client = serve(tree)

    async def status(path: str, scopes: str | None, method: str = "GET") -> int:
        headers = {} if scopes is None else {"X-User": f"eve:{scopes}"}
        return (await client.request(method, path, headers=headers)).status_code

    assert await status("/authors", None) == 401
    assert await status("/authors", "") == 403
    assert await status("/authors", "authors.own") == 200
    assert await status("/authors", "authors.own", "POST") == 405
    assert await status("/authors/1/books", "books") == 403
    assert await status("/authors/1/books", "authors.any books") == 200
    assert await status("/authors/1/books/1", "authors.any books") == 404


async def test_one_viewset_in_two_trees(serve: Serve) -> None:
    """Below each parent a viewset shows that parent's rows, and alone it shows all."""
    client = serve(
        RouterSchema(
            viewset=AuthorViewSet,
            children=[
                RouterSchema(
                    viewset=BookViewSet, parent_field="author", children=[RouterSchema(viewset=ReviewViewSet)]
                ),
                RouterSchema("edited", viewset=BookViewSet, parent_field="editor"),
            ],
        ),
        BookViewSet(),
    )
    assert ids(await client.get("/authors/1/books")) == [1, 2]
    assert ids(await client.get("/authors/2/edited")) == [1, 2, 3]
    assert ids(await client.get("/authors/1/edited")) == []
    assert ids(await client.get("/books")) == [1, 2, 3]
    assert ids(await client.get("/authors/1/books/1/reviews")) == [1]
    assert (await client.get("/authors/2/books/1/reviews")).status_code == 404
