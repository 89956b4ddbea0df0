"""Q trees: which related rows they are about, and a comparison with plain Python over the same rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fastapix5.repositories import Q, QuerySet
from tests.repositories.chains import Chain, chains
from tests.repositories.models import AUTHORS, Author, Book

pytestmark = pytest.mark.anyio


async def ids(queryset: QuerySet[Any]) -> list[int]:
    """The keys of a queryset's rows, in order of key."""
    return sorted(row.id for row in await queryset.all())


async def test_conditions_in_one_filter_hold_for_the_same_related_row(scope: None) -> None:
    """Ada has a book of 100 pages and a book called Beta, and they are two."""
    assert await ids(QuerySet(Author).filter(books__pages=100, books__title="Beta")) == []
    assert await ids(QuerySet(Author).filter(Q(books__pages=100) & Q(books__title="Beta"))) == []
    assert await ids(QuerySet(Author).filter(Q(books__pages=100), books__title="Alpha")) == [1]


async def test_separate_filters_are_independent(scope: None) -> None:
    """Each may be met by another row."""
    assert await ids(QuerySet(Author).filter(books__pages=100).filter(books__title="Beta")) == [1]


async def test_conditions_below_a_shared_relation_share_it(scope: None) -> None:
    """A book that is old and new is one book; its tags are two rows in two EXISTS."""
    assert await ids(QuerySet(Author).filter(books__tags__word="old", books__pages=None)) == [1]
    assert await ids(QuerySet(Author).filter(books__tags__word="new", books__pages=None)) == []
    assert await ids(QuerySet(Book).filter(tags__word="old").filter(tags__word="new")) == [1]
    assert await ids(QuerySet(Book).filter(Q(tags__word="old") & Q(tags__word="new"))) == []


async def test_a_negation_means_that_no_related_row_meets_all_of_it(scope: None) -> None:
    """Also inside a larger tree."""
    everyone = {row["id"] for row in AUTHORS}
    assert await ids(QuerySet(Author).exclude(books__pages=100, books__title="Beta")) == sorted(everyone)
    assert await ids(QuerySet(Author).filter(~Q(books__pages=100, books__title="Alpha"))) == sorted(everyone - {1})
    assert await ids(QuerySet(Author).filter(Q(books__isnull=False) & ~Q(books__title="Beta"))) == [2, 3]
    assert await ids(QuerySet(Author).filter(~~Q(books__title="Beta"))) == [1]


async def test_an_or_may_be_met_by_different_rows(scope: None) -> None:
    """Rows never repeat, however many related rows match."""
    either = Q(books__pages=100) | Q(books__title="Beta") | Q(rank=0)
    assert await ids(QuerySet(Author).filter(either)) == [1, 3, 6]
    assert await QuerySet(Author).filter(either).count() == 3


async def test_empty_trees_mean_what_all_and_any_mean(scope: None) -> None:
    """An empty Q holds for every row, and its negation for none."""
    assert await QuerySet(Author).filter().count() == len(AUTHORS)
    assert await QuerySet(Author).filter(Q()).count() == len(AUTHORS)
    assert await QuerySet(Author).filter(Q() & Q(rank=3)).count() == 2
    assert await QuerySet(Author).exclude().count() == 0


RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=100, deadline=None, suppress_health_check=RELAXED)
@given(chains())
async def test_a_chain_gives_what_a_model_of_lists_gives(scope: None, chain: Chain) -> None:
    """Filters, excludes, annotations, order and a slice at random, ended by any verb."""
    await chain.compare()


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=RELAXED)
@given(chains())
async def test_many_chains_give_what_a_model_of_lists_gives(scope: None, chain: Chain) -> None:
    """The same, for longer."""
    await chain.compare()
