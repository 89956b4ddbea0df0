"""Search: terms are joined by AND, fields by OR."""

from __future__ import annotations

import pytest

from fastapix5.filters import search_terms
from tests.conftest import on_postgresql
from tests.filters.conftest import Ask
from tests.filters.shop import PatternViewSet, ThingViewSet


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  , ,", []),
        ("a b,c", ["a", "b", "c"]),
        ('"a b",c', ["a b", "c"]),
        ("'a, b' c", ["a, b", "c"]),
        ('""', []),
        ('"  "', []),
        ("it's", ["it's"]),
        ('say "hi', ["say", '"hi']),
        ("a\tb\nc", ["a", "b", "c"]),
        ("é ñ", ["é", "ñ"]),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    """Blanks and commas split, quotes keep together."""
    assert search_terms(text) == expected


FOUND: dict[str, list[int]] = {
    "": [4, 3, 2, 1],
    "search=": [4, 3, 2, 1],
    "search=BALL": [2],
    "search=forg": [1],
    "search=orged": [],
    "search=acme": [2, 1],
    "search=acm": [],
    "search=soft": [3, 2],
    "search=soft+acme": [2],
    "search=soft,acme": [2],
    "search=%22soft+thing%22": [3, 2],
    "search=%22thing+soft%22": [],
    "search=%25": [3],
    "search=100%25": [3],
    "search=_": [4],
    "search=%5C": [],
    "search=(": [],
    "search=ball&is_sold=false": [],
}


@pytest.mark.anyio
async def test_search(ask: Ask) -> None:
    """A field contains the term, ``^`` starts with it, ``=`` is it, whatever the case; ``%`` and ``_`` are literal."""
    viewset = ThingViewSet()
    assert {query: await ask(viewset, query) for query in FOUND} == FOUND


@pytest.mark.anyio
@on_postgresql
async def test_search_by_pattern(ask: Ask) -> None:
    """``$`` takes a regular expression; one that is invalid is 422."""
    assert await ask(PatternViewSet(), "search=^[ab]") == [2, 1]
    assert await ask(PatternViewSet(), "search=^[ab]+l$") == [2, 1]
    assert await ask(PatternViewSet(), "search=l$,^a") == [1]
    assert await ask(PatternViewSet(), "search=(") == (422, ["query", "search"], "invalid_regex")


@pytest.mark.anyio
@on_postgresql
async def test_search_by_pattern_that_the_database_refuses(ask: Ask) -> None:
    """A pattern that Python takes and PostgreSQL does not is 422, too."""
    actual = await ask(PatternViewSet(), "search=(?P<first>A)")
    assert actual == (422, ["query", "search"], "invalid_regex")


@pytest.mark.anyio
@on_postgresql
async def test_full_text_search(ask: Ask) -> None:
    """``@`` searches full text: words in any form."""
    viewset = ThingViewSet(search_fields=["@note"])
    assert await ask(viewset, "search=forging") == [1]
    assert await ask(viewset, "search=forge+white") == []


@pytest.mark.anyio
async def test_search_is_there_once(ask: Ask) -> None:
    """A second ``search`` is 422, and without fields there is none."""
    assert await ask(ThingViewSet(), "search=a&search=b") == (422, ["query", "search"], "duplicate")
    assert await ask(ThingViewSet(search_fields=[]), "search=a") == (422, ["query", "search"], "unknown_parameter")
