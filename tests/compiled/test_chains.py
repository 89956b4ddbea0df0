"""Random conditions, both ways, with others of their shape before and after them; and how much is kept of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fastapix5 import Access, QuerySet, Repository, override_settings
from fastapix5.db import dispose_engines, session_scope
from fastapix5.db.engines import get_database
from fastapix5.repositories import forget_policies, register_policy
from fastapix5.repositories.templates import KEPT
from tests.compiled.ways import Runs, by_core, different, shown
from tests.repositories.chains import ANNOTATIONS, COLUMNS, Leaf, Tree, joined, lookups, names_in
from tests.repositories.models import Author, Book

pytestmark = pytest.mark.anyio


class Brief(BaseModel):
    id: int


class AuthorRead(Brief):
    mentor: Brief | None
    books: list[Brief]


KNOWN: dict[Any, list[Any]] = {(path, attribute): values for path, attribute, values in COLUMNS}
trees = st.recursive(lookups().filter(lambda leaf: {*names_in(leaf)}.isdisjoint(ANNOTATIONS)), joined, max_leaves=5)


def varied(tree: Leaf | Tree, step: int) -> Leaf | Tree:
    """A condition of the same shape, with other values."""
    if isinstance(tree, Tree):
        return replace(tree, children=tuple(varied(child, step) for child in tree.children))
    values, value = KNOWN[tree.path, tree.attribute], tree.value

    def other(item: Any) -> Any:
        return values[(values.index(item) + step) % len(values)] if item in values and type(item) is not bool else item

    return replace(tree, value=tuple(map(other, value)) if type(value) is tuple else other(value))


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[Any, Any, slice]]:
    """Two conditions and a slice, then the same with other values."""
    first, second, size = draw(trees), draw(trees), draw(st.integers(1, 4))
    return [(varied(first, step), varied(second, step), slice(step, step + size)) for step in range(1, 3)]


def chain(turn: tuple[Any, Any, slice]) -> QuerySet[Any]:
    """Authors who meet one and not the other."""
    first, second, cut = turn
    return QuerySet(Author).filter(first.q()).exclude(second.q()).order_by("-rank", "id")[cut]


async def compare_policies(asked: list[tuple[Any, Any, slice]]) -> None:
    """Ask for rows under conditions that are the policy of a model, and of one that another refers to."""

    def policy(access: Access) -> Any:
        return asked[int(access.user_id or 0)][0].q()

    async def told(user: int) -> Any:
        async with session_scope(access=Access(user_id=str(user))):
            authors, books = Repository(Author).objects.order_by("id"), QuerySet(Book).filter(author__id__gt=user)
            return await shown(authors, AuthorRead), await shown(books.order_by("id"), Brief)

    register_policy(Author, policy, policy, "Authors")
    try:
        with by_core():
            expected = [await told(user) for user in range(len(asked))]
        for _ in range(2):
            assert [await told(user) for user in range(len(asked))] == expected
    finally:
        forget_policies()


usual = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(usual, max_examples=100)
@given(turns())
async def test_conditions_give_the_same_both_ways(scope: None, asked: list[tuple[Any, Any, slice]]) -> None:
    """With the values of each of two that have one shape."""
    assert not await different(chain, asked, Brief)


@pytest.mark.slow
@settings(usual, max_examples=1_000)
@given(turns())
async def test_many_conditions_give_the_same_both_ways(scope: None, asked: list[tuple[Any, Any, slice]]) -> None:
    """The same with relations, and as row policies."""
    assert not await different(chain, asked, AuthorRead)
    await compare_policies(asked)


async def test_what_is_kept_is_bounded(library: str, runs: Runs) -> None:
    """By COMPILED_CACHE_SIZE, and half of that until it is tidied up; what was dropped is learned again."""
    await dispose_engines()
    with override_settings(COMPILED_CACHE_SIZE=10):
        async with session_scope():
            for size in (*range(1, 201), 1, 200):
                rows = QuerySet(Author).filter(id__in=[3, *range(100, 100 + size)]).order_by("id")
                assert [author.id for author in await rows.as_schema(Brief)] == [3]
                assert len(get_database("default").memo.get(KEPT, ())) <= 15
            assert len(runs) == 1
            for key in (1, 2, 1):
                assert (await QuerySet(Author).filter(id=key).get_as(Brief)).id == key
            assert len(runs) == 3
        await dispose_engines()
