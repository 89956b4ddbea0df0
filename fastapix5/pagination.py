"""Pagination: page number, and limit with offset, built on fastapi-pagination, which no other module imports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar

from annotated_types import Ge, Le
from pydantic import BaseModel, Field, create_model

from fastapix5.exceptions import DoesNotExist, ImproperlyConfigured
from fastapix5.parameters import Parameter
from fastapix5.settings import settings

if TYPE_CHECKING:
    from fastapi_pagination.bases import RawParams

T = TypeVar("T")

# Pages beyond it cannot exist: no table has so many rows, and the database need not be asked.
LAST_PAGE = 2**31 - 1

Count = Callable[[], Awaitable[int]]
Fetch = Callable[[int, int], Awaitable[Sequence[BaseModel]]]
Link = Callable[[dict[str, Any]], str]


@cache
def _library() -> Any:
    """What pages are in fastapi-pagination; it loads when a route that has pages is built."""
    from fastapi_pagination import bases

    return bases


class NumberParams(NamedTuple):
    """Which page, and how long it is."""

    page: int
    page_size: int

    def to_raw_params(self) -> RawParams:
        """The page as limit and offset."""
        raw: RawParams = _library().RawParams(limit=self.page_size, offset=(self.page - 1) * self.page_size)
        return raw


class OffsetParams(NamedTuple):
    """How many rows, after how many others."""

    limit: int
    offset: int

    def to_raw_params(self) -> RawParams:
        """The same, as fastapi-pagination has it."""
        raw: RawParams = _library().RawParams(limit=self.limit, offset=self.offset)
        return raw


class CountedPage(BaseModel, Generic[T]):
    """A page of rows: ``{count, next, previous, results}``, as in Django REST framework."""

    count: int = Field(description="How many rows there are in all")
    next: str | None = Field(description="The next page, or null on the last")
    previous: str | None = Field(description="The previous page, or null on the first")
    results: list[T]

    @classmethod
    def create(cls, items: Sequence[T], params: object, **kwargs: Any) -> CountedPage[T]:  # noqa: ARG003
        """Return the page; the rows are what the queryset built, so they are not validated again."""
        return cls.model_construct(
            results=list(items), count=kwargs["total"], next=kwargs["next"], previous=kwargs["previous"]
        )


@lru_cache(maxsize=1024)
def page_schema(schema: type[BaseModel]) -> type[CountedPage[Any]]:
    """The page of a read schema, bound once: ``FlightReadPage``. It is a page of fastapi-pagination, too."""
    bases: Any = (CountedPage[schema], _library().AbstractPage[schema])  # type: ignore[valid-type]
    page: type[CountedPage[Any]] = create_model(f"{schema.__name__}Page", __base__=bases, __module__=schema.__module__)
    return page


class BasePagination:
    """Cuts a list into pages. Each route has an instance of its own; settings are read when the route is built.

    Override ``get_parameters`` and ``paginate``, and ``get_page_schema`` where a page looks otherwise.

    Args:
        page_size: Rows on a page; PAGE_SIZE without it.
        max_page_size: The most that a caller may ask for; MAX_PAGE_SIZE without it.

    Attributes:
        page_size: The same, for a subclass.
        max_page_size: The same, for a subclass.
    """

    page_size: int | None = None
    max_page_size: int | None = None
    # Whether ``paginate`` looks at the rows. Where it only hands them on, no instances are made of them.
    looks_at_rows: ClassVar[bool] = True
    # Whether a page past the end is not found; one that is empty is there.
    ends: ClassVar[bool] = True

    def __init__(self, *, page_size: int | None = None, max_page_size: int | None = None) -> None:
        self.page_size = self.page_size if page_size is None else page_size
        self.max_page_size = self.max_page_size if max_page_size is None else max_page_size

    @cached_property
    def largest(self) -> int:
        """The most rows that a caller may ask for."""
        return self._checked("max_page_size", settings.MAX_PAGE_SIZE)

    @cached_property
    def size(self) -> int:
        """How many rows a page has where the caller asks for no number.

        Raises:
            ImproperlyConfigured: ``page_size`` is more than a caller may ask for.
        """
        size = self._checked("page_size", min(settings.PAGE_SIZE, self.largest))
        if size > self.largest:
            raise ImproperlyConfigured(
                f"{type(self).__name__}.page_size",
                f"{size} is more than the {self.largest} that a page may have.",
                f"Write max_page_size={size} as well, or raise MAX_PAGE_SIZE.",
            )
        return size

    def _checked(self, name: str, default: int) -> int:
        value: Any = getattr(self, name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            place = f"{type(self).__name__}.{name}"
            raise ImproperlyConfigured(place, f"{value!r} is no number of rows.", "Write a whole number from 1 up.")
        return int(value)

    @property
    def hands_on(self) -> bool:
        """Whether neither ``paginate`` nor the page looks at the rows, as ``looks_at_rows`` says.

        What a class says of that holds for the methods that it, or a class above it, has.
        """
        order = type(self).__mro__
        said, *methods = (
            next(place for place, owner in enumerate(order) if name in vars(owner))
            for name in ("looks_at_rows", "paginate", "get_page_schema")
        )
        return not self.looks_at_rows and said <= min(methods)

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

    looks_at_rows = False

    def params(self, query: dict[str, Any]) -> Any:
        """The fastapi-pagination parameters of this request."""
        raise NotImplementedError

    def check(self, params: Any, total: int) -> None:
        """Refuse a page that cannot be there, before it is asked for."""

    def neighbours(self, params: Any, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The query parameters of the next and the previous page."""
        raise NotImplementedError

    async def paginate(self, query: dict[str, Any], count: Count, fetch: Fetch, link: Link, page_class: Any) -> Any:
        """Return one page, with its links and the exact number of rows; see ``BasePagination``."""
        params = self.params(query)
        total = await count()
        self.check(params, total)
        wanted = params.to_raw_params()
        rows = [] if wanted.offset >= total else await fetch(wanted.limit, wanted.offset)
        following, preceding = self.neighbours(params, total)
        links = {"next": following and link(following), "previous": preceding and link(preceding)}
        return page_class.create(rows, params=params, total=total, **links)


class PageNumberPagination(CountedPagination):
    """``page`` and ``page_size``. A page past the end is not found."""

    page_query_param: ClassVar[str] = "page"
    page_size_query_param: ClassVar[str] = "page_size"

    def get_parameters(self) -> Sequence[Parameter]:
        """Return ``page`` and ``page_size``, with their limits."""
        size = f"Rows on a page, {self.size} without it"
        return (
            Parameter(self.page_query_param, Annotated[int, Ge(1), Le(LAST_PAGE)], "Page number, from 1"),
            Parameter(self.page_size_query_param, Annotated[int, Ge(1), Le(self.largest)], size),
        )

    def params(self, query: dict[str, Any]) -> NumberParams:
        """Return the page that the request asks for."""
        size = query.get(self.page_size_query_param, self.size)
        return NumberParams(page=query.get(self.page_query_param, 1), page_size=size)

    def check(self, params: NumberParams, total: int) -> None:
        """Refuse a page past the end; the first page is always there.

        Raises:
            DoesNotExist: The page is past the end.
        """
        if params.page > 1 and (params.page - 1) * params.page_size >= total:
            raise DoesNotExist("page")

    def neighbours(self, params: NumberParams, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the numbers of the next and the previous page."""
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
    ends = False

    @cached_property
    def farthest(self) -> int:
        """The largest offset that a caller may ask for."""
        return int(settings.MAX_OFFSET if self.max_offset is None else self.max_offset)

    def get_parameters(self) -> Sequence[Parameter]:
        """Return ``limit`` and ``offset``, with their limits."""
        limit = f"How many rows, {self.size} without it"
        return (
            Parameter(self.limit_query_param, Annotated[int, Ge(1), Le(self.largest)], limit),
            Parameter(self.offset_query_param, Annotated[int, Ge(0), Le(self.farthest)], "After how many rows"),
        )

    def params(self, query: dict[str, Any]) -> OffsetParams:
        """Return the rows that the request asks for."""
        limit = query.get(self.limit_query_param, self.size)
        return OffsetParams(limit=limit, offset=query.get(self.offset_query_param, 0))

    def neighbours(self, params: OffsetParams, total: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the offsets of the next and the previous page; none beyond what may be asked for."""
        limit, offset = params.limit, params.offset
        after, before = offset + limit, offset - limit
        there = after < total and after <= self.farthest
        following = {self.limit_query_param: limit, self.offset_query_param: after}
        # As in Django REST framework, the first page is the URL without an offset.
        preceding = {self.limit_query_param: limit, self.offset_query_param: before if before > 0 else None}
        return following if there else None, None if offset == 0 else preceding
