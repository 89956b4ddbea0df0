"""Pages: by number, by limit and offset, or none; with bounds, links and an order that never changes places."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

import httpx2
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import (
    AllowAny,
    BasePagination,
    FilterSetBackend,
    LimitOffsetPagination,
    OrderingFilter,
    PageNumberPagination,
    ReadOnlyModelViewSet,
    atomic,
    get_session,
    override_settings,
    session_scope,
    setup,
)
from fastapix5.db.engines import get_engine
from fastapix5.pagination import CountedPage
from tests.statements import Statements

pytestmark = pytest.mark.anyio

Get = Callable[..., Awaitable[Any]]
T = TypeVar("T")


class Base(DeclarativeBase):
    """The root of the models."""


class Letter(Base):
    """A letter; half of them are vowels, so that an order by kind leaves ties."""

    __tablename__ = "letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]


class LetterRead(BaseModel):
    """A letter."""

    id: int
    kind: str


class LetterViewSet(ReadOnlyModelViewSet[Letter]):
    """Twelve letters, five on a page."""

    read_schema = LetterRead
    permission_classes = [AllowAny]
    filter_backends = [FilterSetBackend, OrderingFilter]
    filterset_fields = {"kind": ["exact", "in"]}
    ordering_fields = ["kind"]
    pagination_class = PageNumberPagination(page_size=5, max_page_size=8)


class LimitedViewSet(LetterViewSet):
    """The same by limit and offset."""

    pagination_class = LimitOffsetPagination(page_size=5, max_page_size=8)  # type: ignore[assignment]


@pytest.fixture
async def letters(database: str) -> None:
    """Twelve letters."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_scope(), atomic():
        get_session().add_all(
            Letter(id=number, name=f"letter {number}", kind="vowel" if number % 2 else "consonant")
            for number in range(1, 13)
        )
        await get_session().flush()


@pytest.fixture
async def get(letters: None) -> AsyncIterator[Get]:
    """Return what a list answers: the body where it is 200, else the status and the first error."""
    async with AsyncExitStack() as stack:
        clients: dict[Any, httpx2.AsyncClient] = {}

        async def get(viewset: Any, url: str = "/letters", **options: Any) -> Any:
            if viewset not in clients:
                app = setup(FastAPI())
                app.include_router(viewset.router, **options)
                transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
                client = httpx2.AsyncClient(transport=transport, base_url="http://test")
                clients[viewset] = await stack.enter_async_context(client)
            answer = await clients[viewset].get(url)
            body = answer.json()
            if answer.status_code == 200:
                return body
            return answer.status_code, body["code"], *[error["loc"][-1] for error in body.get("errors", [])]

        yield get


def brief(body: Any) -> Any:
    """A page with the ids of its rows."""
    return {**body, "results": [row["id"] for row in body["results"]]}


async def test_pages_by_number(get: Get) -> None:
    """A page tells how many rows there are in all, and where its neighbours are."""
    viewset = LetterViewSet()
    assert [brief(await get(viewset, url)) for url in ("/letters", "/letters?page=2", "/letters?page=3")] == [
        {"count": 12, "next": "/letters?page=2", "previous": None, "results": [1, 2, 3, 4, 5]},
        {"count": 12, "next": "/letters?page=3", "previous": "/letters", "results": [6, 7, 8, 9, 10]},
        {"count": 12, "next": None, "previous": "/letters?page=2", "results": [11, 12]},
    ]


async def test_pages_by_offset(get: Get) -> None:
    """Limit and offset lead through the rows as well; past the end there are none."""
    viewset = LimitedViewSet()
    urls = ("/letters", "/letters?limit=8&offset=3", "/letters?offset=10", "/letters?offset=12", "/letters?offset=9999")
    assert [brief(await get(viewset, url)) for url in urls] == [
        {"count": 12, "next": "/letters?limit=5&offset=5", "previous": None, "results": [1, 2, 3, 4, 5]},
        {
            "count": 12,
            "next": "/letters?limit=8&offset=11",
            "previous": "/letters?limit=8",
            "results": [4, 5, 6, 7, 8, 9, 10, 11],
        },
        {"count": 12, "next": None, "previous": "/letters?limit=5&offset=5", "results": [11, 12]},
        {"count": 12, "next": None, "previous": "/letters?limit=5&offset=7", "results": []},
        {"count": 12, "next": None, "previous": "/letters?limit=5&offset=9994", "results": []},
    ]


async def test_links_lead_through_every_row_once(get: Get) -> None:
    """Who follows the links sees each row once, though an order by kind leaves ties."""
    for viewset, size in ((LetterViewSet(), "page_size=5"), (LimitedViewSet(), "limit=5")):
        url, seen = f"/letters?ordering=-kind&{size}", []
        while url:
            page = await get(viewset, url)
            url = page["next"]
            seen += [row["id"] for row in page["results"]]
        assert seen == [1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12]


async def test_links_keep_other_parameters(get: Get) -> None:
    """Filters, order and size stay in a link, encoded as they must be."""
    page = await get(LetterViewSet(), "/letters?kind__in=vowel,consonant&page_size=2&page=2&ordering=kind")
    expected = "/letters?kind__in=vowel%2Cconsonant&page_size=2&ordering=kind"
    assert (page["next"], page["previous"]) == (f"{expected}&page=3", expected)


async def test_links_are_below_the_prefix(get: Get) -> None:
    """A link is path and query: the inclusion's prefix included, whatever the Host says."""
    page = await get(LetterViewSet(), "/api/letters?page=2", prefix="/api")
    assert (page["next"], page["previous"]) == ("/api/letters?page=3", "/api/letters")


async def test_links_begin_with_the_public_url(get: Get) -> None:
    """Where PUBLIC_BASE_URL is set, links are whole."""
    with override_settings(PUBLIC_BASE_URL="https://letters.example"):
        page = await get(LetterViewSet())
    assert page["next"] == "https://letters.example/letters?page=2"


async def test_bounds(get: Get) -> None:
    """What is out of bounds is 422, a page past the end 404."""
    by_number, by_offset = LetterViewSet(), LimitedViewSet()
    expected: dict[str, Any] = {
        "page=0": (422, "invalid", "page"),
        "page=-1": (422, "invalid", "page"),
        "page=": (422, "invalid", "page"),
        "page=1.0": (422, "invalid", "page"),
        "page=last": (422, "invalid", "page"),
        "page=1000000000000000000": (422, "invalid", "page"),
        "page=1&page=2": (422, "invalid", "page"),
        "page_size=0": (422, "invalid", "page_size"),
        "page_size=9": (422, "invalid", "page_size"),
        "limit=5": (422, "unknown_parameter", "limit"),
        "page=4": (404, "not_found"),
        "page=2147483647": (404, "not_found"),
        "page=2&kind=none": (404, "not_found"),
    }
    assert {query: await get(by_number, f"/letters?{query}") for query in expected} == expected
    expected = {
        "limit=0": (422, "invalid", "limit"),
        "limit=9": (422, "invalid", "limit"),
        "offset=-1": (422, "invalid", "offset"),
        "offset=10001": (422, "invalid", "offset"),
        "offset=9223372036854775808": (422, "invalid", "offset"),
        "page=1": (422, "unknown_parameter", "page"),
    }
    assert {query: await get(by_offset, f"/letters?{query}") for query in expected} == expected


async def test_first_page_is_always_there(get: Get) -> None:
    """A list without rows has a first page, and it is empty."""
    expected: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    assert await get(LetterViewSet(), "/letters?kind=none") == expected
    assert await get(LetterViewSet(), "/letters?kind=none&page=1") == expected
    assert await get(LimitedViewSet(), "/letters?kind=none") == expected


async def test_links_do_not_lead_out_of_bounds(get: Get) -> None:
    """No link leads to an offset that would be refused."""
    with override_settings(MAX_OFFSET=9):
        viewset = LimitedViewSet()
        assert (await get(viewset, "/letters?offset=4"))["next"] == "/letters?limit=5&offset=9"
        assert (await get(viewset, "/letters?offset=5"))["next"] is None


async def test_settings_bound_a_page(get: Get) -> None:
    """PAGE_SIZE and MAX_PAGE_SIZE hold where a pagination says nothing of its own."""
    with override_settings(PAGE_SIZE=3, MAX_PAGE_SIZE=4):
        viewset = LetterViewSet(pagination_class=PageNumberPagination)
        assert len((await get(viewset))["results"]) == 3
        assert len((await get(viewset, "/letters?page_size=4"))["results"]) == 4
        assert await get(viewset, "/letters?page_size=5") == (422, "invalid", "page_size")


async def test_no_pagination_is_a_bare_list(get: Get) -> None:
    """``pagination_class = None`` answers with a list of all rows."""
    viewset = LetterViewSet(pagination_class=None)
    assert [row["id"] for row in await get(viewset)] == list(range(1, 13))
    assert [row["id"] for row in await get(viewset, "/letters?kind=vowel")] == [1, 3, 5, 7, 9, 11]
    assert await get(viewset, "/letters?page=1") == (422, "unknown_parameter", "page")


async def test_subclass_names_its_sizes_and_parameters(get: Get) -> None:
    """A subclass sets what Django REST framework's does."""

    class Sheets(PageNumberPagination):
        page_size = 2
        max_page_size = 3
        page_query_param = "sheet"
        page_size_query_param = "rows"

    page = brief(await get(LetterViewSet(pagination_class=Sheets), "/letters?sheet=2&rows=3"))
    assert page == {"count": 12, "next": "/letters?rows=3&sheet=3", "previous": "/letters?rows=3", "results": [4, 5, 6]}


async def test_pagination_of_ones_own(get: Get) -> None:
    """A pagination of one's own decides what a page is."""

    class Sample(BaseModel):
        first: LetterRead

    class First(BasePagination):
        def get_page_schema(self, schema: Any) -> Any:
            return Sample

        async def paginate(self, query: Any, count: Any, fetch: Any, link: Any, page_class: Any) -> Any:
            return page_class(first=(await fetch(1, 2))[0])

    assert await get(LetterViewSet(pagination_class=First)) == {"first": {"id": 3, "kind": "vowel"}}


SEEN: list[type[Any]] = []
"""What the rows were that a pagination or a page has seen."""


def look(rows: Any) -> Any:
    """Note what rows are."""
    SEEN.extend(map(type, rows))
    return rows


class Watching:
    """A mixin that sees the rows on their way."""

    async def paginate(self, query: Any, count: Any, fetch: Any, link: Any, page_class: Any) -> Any:
        async def seen(limit: int, offset: int) -> Any:
            return look(await fetch(limit, offset))

        return await super().paginate(query, count, seen, link, page_class)  # type: ignore[misc]


class SeenPage(CountedPage[T], Generic[T]):
    """A page that sees its rows when it is made."""

    @classmethod
    def create(cls, items: Sequence[T], params: object, **kwargs: Any) -> Any:
        return super().create(look(items), params, **kwargs)


class Mixed(Watching, PageNumberPagination):
    """Sees them by a mixin."""


class BelowMixed(Mixed):
    """Sees them by a class further up."""

    page_size = 7


class Overriding(LimitOffsetPagination):
    """Sees them by a method of its own."""

    async def paginate(self, query: Any, count: Any, fetch: Any, link: Any, page_class: Any) -> Any:
        async def seen(limit: int, offset: int) -> Any:
            return look(await fetch(limit, offset))

        return await super().paginate(query, count, seen, link, page_class)


class Paged(PageNumberPagination):
    """Sees them by its page."""

    def get_page_schema(self, schema: Any) -> Any:
        return SeenPage[schema]


class HandingOn(Overriding):
    """Says that nobody looks at them."""

    looks_at_rows = False


class PagedHandingOn(Paged):
    """Says that nobody looks at them."""

    looks_at_rows = False


class LooksAgain(Watching, HandingOn):
    """What a class above it says does not hold for what it adds."""


@pytest.mark.parametrize("pagination", [Mixed, BelowMixed, Overriding, Paged, LooksAgain])
async def test_a_pagination_that_may_look_at_rows_is_given_instances(get: Get, pagination: Any) -> None:
    """Wherever it does: in a method of its own, of a mixin, or of its page."""
    SEEN.clear()
    page = await get(LetterViewSet(pagination_class=pagination))
    assert page["results"][0] == {"id": 1, "kind": "vowel"}
    assert set(SEEN) == {LetterRead}


@pytest.mark.parametrize("pagination", [HandingOn, PagedHandingOn])
async def test_a_pagination_that_only_hands_rows_on_is_given_mappings(get: Get, pagination: Any) -> None:
    """Where it says of itself that it does not look at them; the page is the same."""
    SEEN.clear()
    page = await get(LetterViewSet(pagination_class=pagination))
    assert set(SEEN) == {dict}
    assert page == await get(LetterViewSet(pagination_class=PageNumberPagination))


async def test_parameters_of_dependencies_stay_in_links(get: Get) -> None:
    """What a FastAPI dependency reads is known, and kept."""

    async def tenant(tenant: str) -> str:
        return tenant

    page = await get(LetterViewSet(), "/letters?tenant=a%26b", dependencies=[Depends(tenant)])
    assert page["next"] == "/letters?tenant=a%26b&page=2"


async def test_statements_of_a_page(get: Get, statements: Statements) -> None:
    """A page is two statements, and one where the offset is past the end."""
    viewset = LimitedViewSet()
    await get(viewset)
    for url, expected in (("/letters?offset=5", 2), ("/letters?offset=50", 1)):
        statements.reset()
        await get(viewset, url)
        assert await statements.count() == expected
