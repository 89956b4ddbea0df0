"""Pagination: page number, and limit with offset, built on fastapi-pagination, which no other module imports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from annotated_types import Ge, Le
from fastapi_pagination.bases import AbstractPage, AbstractParams, RawParams
from fastapi_pagination.config import Config
from fastapi_pagination.customization import CustomizedPage, UseName
from fastapi_pagination.flow import Flow, run_async_flow
from fastapi_pagination.flows import generic_flow
from pydantic import BaseModel, Field

from fastapix5.exceptions import DoesNotExist
from fastapix5.parameters import Parameter
from fastapix5.settings import settings

T = TypeVar("T")

# Pages beyond it cannot exist: no table has so many rows, and the database need not be asked.
LAST_PAGE = 2**31 - 1

Count = Callable[[], Awaitable[int]]
Fetch = Callable[[int, int], Awaitable[Sequence[BaseModel]]]
Link = Callable[[dict[str, Any]], str]


class NumberParams(BaseModel, AbstractParams):
    """Which page, and how long it is."""

    page: int = 1
    page_size: int

    def to_raw_params(self) -> RawParams:
        """The page as limit and offset."""
        return RawParams(limit=self.page_size, offset=(self.page - 1) * self.page_size)


class OffsetParams(BaseModel, AbstractParams):
    """How many rows, after how many others."""

    limit: int
    offset: int = 0

    def to_raw_params(self) -> RawParams:
        """The same, as fastapi-pagination has it."""
        return RawParams(limit=self.limit, offset=self.offset)


class CountedPage(AbstractPage[T], Generic[T]):
    """A page of rows: ``{count, next, previous, results}``, as in Django REST framework."""

    count: int = Field(description="How many rows there are in all")
    next: str | None = Field(description="The next page, or null on the last")
    previous: str | None = Field(description="The previous page, or null on the first")
    results: list[T]

    __params_type__ = NumberParams

    @classmethod
    def create(cls, items: Sequence[T], params: AbstractParams, **kwargs: Any) -> CountedPage[T]:
        """Return the page; the rows are what the queryset built, so they are not validated again."""
        return cls.model_construct(
            results=list(items), count=kwargs["total"], next=kwargs["next"], previous=kwargs["previous"]
        )


@lru_cache(maxsize=1024)
def page_schema(schema: type[BaseModel]) -> type[CountedPage[Any]]:
    """The page of a read schema, bound once: ``FlightReadPage``."""
    page: Any = CountedPage[schema]  # type: ignore[valid-type]
    return CustomizedPage[page, UseName(f"{schema.__name__}Page")]  # type: ignore[no-any-return]


class BasePagination:
    """Cuts a list into pages. One instance serves one route; the settings are read when it is made.

    Args:
        page_size: Rows on a page; PAGE_SIZE without it.
        max_page_size: The most that a caller may ask for; MAX_PAGE_SIZE without it.
    """

    page_size: int | None = None
    max_page_size: int | None = None

    def __init__(self, *, page_size: int | None = None, max_page_size: int | None = None) -> None:
        self.max_page_size = max_page_size or self.max_page_size or settings.MAX_PAGE_SIZE
        self.page_size = min(page_size or self.page_size or settings.PAGE_SIZE, self.max_page_size)

    def get_parameters(self) -> Sequence[Parameter]:
        """Return the query parameters that choose a page."""
        return ()

    def get_page_schema(self, schema: type[BaseModel]) -> Any:
        """Return the type of a page of ``schema``, for the answer and for OpenAPI."""
        return page_schema(schema)

    async def paginate(self, query: dict[str, Any], count: Count, fetch: Fetch, link: Link, page_class: Any) -> Any:
        """Return one page.

        Args:
            query: The parsed parameters.
            count: Asks for the exact number of rows.
            fetch: Asks for ``limit`` rows after ``offset`` others.
            link: Returns this request's URL with other query parameters.
            page_class: What ``get_page_schema`` returned.

        Raises:
            DoesNotExist: The page is past the end.
        """
        raise NotImplementedError(f"{type(self).__name__} must override paginate().")


class CountedPagination(BasePagination):
    """What page number and limit with offset share: an exact count, and links to both neighbours."""

    def params(self, query: dict[str, Any]) -> Any:
        """The fastapi-pagination parameters of this request."""
        raise NotImplementedError

    def check(self, params: Any, total: int) -> None:
        """Refuse a page that cannot be there, before it is asked for."""

    def neighbours(self, params: Any, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The query parameters of the next and the previous page."""
        raise NotImplementedError

    async def paginate(self, query: dict[str, Any], count: Count, fetch: Fetch, link: Link, page_class: Any) -> Any:
        params = self.params(query)
        links: dict[str, Any] = {}
        seen = 0

        def total_flow() -> Flow[Any, int]:
            nonlocal seen
            seen = yield count()
            self.check(params, seen)
            following, preceding = self.neighbours(params, seen)
            links["next"] = None if following is None else link(following)
            links["previous"] = None if preceding is None else link(preceding)
            return seen

        def rows_flow(raw: RawParams) -> Flow[Any, Sequence[BaseModel]]:
            if (raw.offset or 0) >= seen:
                return []
            rows: Sequence[BaseModel] = yield fetch(raw.limit or 0, raw.offset or 0)
            return rows

        def create(items: Sequence[Any], /, **kwargs: Any) -> Any:
            return page_class.create(items, **kwargs, **links)

        flow = generic_flow(
            limit_offset_flow=rows_flow,
            total_flow=total_flow,
            params=params,
            config=Config(page_cls=page_class),
            async_=True,
            create_page_factory=create,
        )
        return await run_async_flow(flow)


class PageNumberPagination(CountedPagination):
    """``page`` and ``page_size``. A page past the end is not found."""

    page_query_param: ClassVar[str] = "page"
    page_size_query_param: ClassVar[str] = "page_size"

    def get_parameters(self) -> Sequence[Parameter]:
        size = f"Rows on a page, {self.page_size} without it"
        return (
            Parameter(self.page_query_param, Annotated[int, Ge(1), Le(LAST_PAGE)], "Page number, from 1"),
            Parameter(self.page_size_query_param, Annotated[int, Ge(1), Le(self.max_page_size or 1)], size),
        )

    def params(self, query: dict[str, Any]) -> NumberParams:
        size = query.get(self.page_size_query_param, self.page_size)
        return NumberParams.model_construct(page=query.get(self.page_query_param, 1), page_size=size)

    def check(self, params: NumberParams, total: int) -> None:
        if params.page > 1 and (params.page - 1) * params.page_size >= total:
            raise DoesNotExist("page")

    def neighbours(self, params: NumberParams, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        name = self.page_query_param
        following = {name: params.page + 1} if params.page * params.page_size < total else None
        # As in Django REST framework, the first page is the URL without a number.
        preceding = None if params.page == 1 else {name: params.page - 1 if params.page > 2 else None}
        return following, preceding


class LimitOffsetPagination(CountedPagination):
    """``limit`` and ``offset``. An offset past the end is an empty page."""

    limit_query_param: ClassVar[str] = "limit"
    offset_query_param: ClassVar[str] = "offset"
    max_offset: int | None = None

    def get_parameters(self) -> Sequence[Parameter]:
        self.max_offset = settings.MAX_OFFSET if self.max_offset is None else self.max_offset
        limit = f"How many rows, {self.page_size} without it"
        return (
            Parameter(self.limit_query_param, Annotated[int, Ge(1), Le(self.max_page_size or 1)], limit),
            Parameter(self.offset_query_param, Annotated[int, Ge(0), Le(self.max_offset)], "After how many rows"),
        )

    def params(self, query: dict[str, Any]) -> OffsetParams:
        limit = query.get(self.limit_query_param, self.page_size)
        return OffsetParams.model_construct(limit=limit, offset=query.get(self.offset_query_param, 0))

    def neighbours(self, params: OffsetParams, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        limit, offset = params.limit, params.offset
        reachable = self.max_offset is None or offset + limit <= self.max_offset
        following = offset + limit if offset + limit < total and reachable else None
        preceding = offset - limit if offset > limit else None
        names = {self.limit_query_param: limit}
        next_page = None if following is None else {**names, self.offset_query_param: following}
        return next_page, None if offset == 0 else {**names, self.offset_query_param: preceding}
