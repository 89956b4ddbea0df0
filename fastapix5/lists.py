"""Step 9 of a list: the page of rows that a request asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapix5.ancestors import verify
from fastapix5.exceptions import DoesNotExist, InvalidPattern
from fastapix5.filters import blamed
from fastapix5.parameters import quoted_path
from fastapix5.plan import RoutePlan
from fastapix5.repositories import QuerySet
from fastapix5.repositories.facts import taken_apart, with_facts
from fastapix5.repositories.reading import mappings_of
from fastapix5.settings import settings


class Mapped(NamedTuple):
    """An answer with mappings in place of the instances of the read schema.

    Attributes:
        answer: A list of them, or a page that holds one.
    """

    answer: Any


class Listing:
    """The page of a queryset that a request asks for.

    The ancestors' facts travel with the count, or with the rows where nothing is counted.

    Args:
        view: The request's viewset.
        queryset: The rows, filtered.
        mapped: Whether nobody looks at the rows before they are serialized, so that no instances are made.
    """

    def __init__(self, view: Any, queryset: QuerySet[Any], *, mapped: bool = False) -> None:
        self.view = view
        self.plan: RoutePlan = view.plan
        self.facts = view.ancestors.facts
        self.verified = not self.facts
        self.mapped = mapped
        if not queryset.ordering and self.plan.ordering:
            queryset = queryset.order_by(*self.plan.ordering)
        # The count is a statement, and the page another.
        self.queryset = taken_apart(queryset.ordered())

    async def answer(self) -> Any:
        """Return the page, or every row where the route has no pages.

        Raises:
            DoesNotExist: An ancestor is not there, or out of the caller's reach; or the page is past the end.
        """
        pagination = self.plan.policies.pagination
        if pagination is None:
            return await self._read(self._rows())
        query, page_class = self.view.query, self.plan.output.response_type
        return await pagination.paginate(query, self.count, self.fetch, self.link, page_class)

    async def count(self) -> int:
        """The exact number of rows."""
        try:
            number, held = await self.queryset.count_with(*self.facts)
        except InvalidPattern as error:
            raise self._blamed(error) from error
        if not all(held):
            raise DoesNotExist(self.view.model.__name__)
        self.verified = True
        return number

    async def fetch(self, limit: int, offset: int) -> list[Any]:
        """``limit`` rows after ``offset`` others."""
        return await self._read(self._rows()[offset : offset + limit])

    def link(self, changes: Mapping[str, Any]) -> str:
        """This request's URL with other query parameters: path and query, behind PUBLIC_BASE_URL where it is set."""
        kept = [(name, text) for name, text in self.view.query_items if name not in changes]
        changed = [(name, value) for name, value in changes.items() if value is not None]
        query = urlencode([*kept, *changed])
        return f"{self._path}?{query}" if query else self._path

    @cached_property
    def _path(self) -> str:
        return f"{settings.PUBLIC_BASE_URL or ''}{quoted_path(self.view.request)}"

    def _rows(self) -> QuerySet[Any]:
        """The rows, with the facts that no other statement has carried."""
        return self.queryset if self.verified else with_facts(self.queryset, self.facts)

    async def _read(self, rows: QuerySet[Any]) -> list[Any]:
        read: Any = self.plan.output.read
        try:
            found: list[Any] = await (mappings_of(rows, read) if self.mapped else rows.as_schema(read))
        except InvalidPattern as error:
            raise self._blamed(error) from error
        if not found and not self.verified:
            await verify(self.view)
        return found

    def _blamed(self, error: InvalidPattern) -> Exception:
        return blamed(error, self.plan.policies.filters, self.view.query)
