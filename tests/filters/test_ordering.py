"""Ordering: by declared names only, and never ambiguous."""

from __future__ import annotations

import pytest

from fastapix5.exceptions import ImproperlyConfigured
from tests.filters.conftest import Ask
from tests.filters.shop import ThingViewSet

pytestmark = pytest.mark.anyio


ORDERS: dict[str, list[int]] = {
    "": [4, 3, 2, 1],
    "ordering=name": [1, 2, 3, 4],
    "ordering=-name": [4, 3, 2, 1],
    # Equal numbers stand by primary key, whichever way the numbers go; nulls are last ascending.
    "ordering=number": [1, 2, 3, 4],
    "ordering=-number": [4, 2, 3, 1],
    "ordering=-number,-name": [4, 3, 2, 1],
    "ordering=-number&ordering=-name": [4, 3, 2, 1],
    "ordering=maker__name,-name": [2, 1, 3, 4],
}


async def test_ordering(ask: Ask) -> None:
    """The caller's names decide, then the primary key; without any, the viewset's order."""
    viewset = ThingViewSet()
    assert {query: await ask(viewset, query) for query in ORDERS} == ORDERS


REFUSED = {
    "ordering=": "blank",
    "ordering=weight": "literal_error",
    "ordering=--name": "literal_error",
    "ordering=name,": "blank",
    "ordering=Name": "literal_error",
}


async def test_ordering_that_is_refused(ask: Ask) -> None:
    """What is not declared is 422."""
    viewset = ThingViewSet()
    expected = {query: (422, ["query", "ordering"], code) for query, code in REFUSED.items()}
    assert {query: await ask(viewset, query) for query in REFUSED} == expected


async def test_ordering_without_fields(ask: Ask) -> None:
    """Where nothing is declared there is no parameter, and the viewset's own order stands."""
    viewset = ThingViewSet(ordering_fields=[], ordering=["weight"])
    assert await ask(viewset) == [1, 2, 3, 4]
    assert await ask(viewset, "ordering=name") == (422, ["query", "ordering"], "unknown_parameter")


async def test_order_by_the_key_without_any(ask: Ask) -> None:
    """A viewset without an order is ordered by primary key."""
    assert await ask(ThingViewSet(ordering=[])) == [1, 2, 3, 4]


async def test_order_of_a_queryset_is_kept(ask: Ask) -> None:
    """An order that ``get_queryset()`` gives stands before the declared one, and the caller's before both."""

    class Own(ThingViewSet):
        def get_queryset(self):  # type: ignore[no-untyped-def]
            return super().get_queryset().order_by("weight")

    assert await ask(Own()) == [1, 2, 3, 4]
    assert await ask(Own(), "ordering=-name") == [4, 3, 2, 1]


@pytest.mark.parametrize("declared", [{"ordering_fields": ["tags__word"]}, {"ordering": ["-tags__word"]}])
async def test_an_order_across_a_to_many_relation_stops_the_start(ask: Ask, declared: dict[str, list[str]]) -> None:
    """It would repeat rows, or choose one of many."""
    with pytest.raises(
        ImproperlyConfigured, match=r'ordering.*: "tags__word" crosses Thing\.tags, which leads to many'
    ):
        await ask(ThingViewSet(**declared))
