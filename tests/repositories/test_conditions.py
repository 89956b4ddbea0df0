"""Q trees: which related rows they are about, and a comparison with plain Python over the same rows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastapix5.repositories import Q, QuerySet
from tests.repositories.models import AUTHORS, BOOK_TAGS, BOOKS, TAGS, Author, Book

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


# A model of lists


@dataclass(eq=False)
class Row:
    """A row in plain Python, with its relations."""

    values: dict[str, Any]
    related: dict[str, list[Row]] = field(default_factory=dict)


def plain_rows() -> list[Row]:
    """The authors with what hangs below them."""
    tags = {row["id"]: Row(row) for row in TAGS}
    books = [
        Row(row, {"tags": [tags[pair["tag_id"]] for pair in BOOK_TAGS if pair["book_id"] == row["id"]]})
        for row in BOOKS
    ]
    authors = {row["id"]: Row(row) for row in AUTHORS}
    for author in authors.values():
        mentor = authors.get(author.values["mentor_id"])
        author.related["mentor"] = [] if mentor is None else [mentor]
        author.related["books"] = [book for book in books if book.values["author_id"] == author.values["id"]]
    return list(authors.values())


ROWS = plain_rows()


@dataclass(frozen=True)
class Leaf:
    """One lookup."""

    path: tuple[str, ...]
    attribute: str
    lookup: str
    value: Any

    def q(self) -> Q:
        """The same as a Q."""
        return Q(**{"__".join((*self.path, self.attribute, self.lookup)): self.value})


@dataclass(frozen=True)
class Tree:
    """Conditions joined by a connector, or the negation of one."""

    kind: str
    children: tuple[Leaf | Tree, ...]

    def q(self) -> Q:
        """The same as a Q."""
        found = self.children[0].q()
        for child in self.children[1:]:
            found = found & child.q() if self.kind == "and" else found | child.q()
        return ~found if self.kind == "not" else found


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "ne": operator.ne,
    "in": lambda found, values: found in values,
    "not_in": lambda found, values: found not in values,
    "isnull": lambda found, value: (found is None) is value,
    "gt": lambda found, value: found is not None and found > value,
    "gte": lambda found, value: found is not None and found >= value,
    "lt": lambda found, value: found is not None and found < value,
    "lte": lambda found, value: found is not None and found <= value,
}

Binding = dict[tuple[str, ...], Row | None]


def holds(tree: Leaf | Tree, row: Row) -> bool:
    """Whether one choice of a row for each relation path makes the tree true; a negation chooses anew."""
    paths = sorted({leaf.path[:end] for leaf in leaves(tree) for end in range(1, len(leaf.path) + 1)}, key=len)
    return any(true_for(tree, row, binding) for binding in bindings(paths, {(): row}))


def leaves(tree: Leaf | Tree) -> Iterator[Leaf]:
    """The lookups outside any negation."""
    if isinstance(tree, Leaf):
        yield tree
    elif tree.kind != "not":
        for child in tree.children:
            yield from leaves(child)


def bindings(paths: list[tuple[str, ...]], bound: Binding) -> Iterator[Binding]:
    """Every choice of one related row for each path; None where there is none."""
    if not paths:
        yield bound
        return
    path, *rest = paths
    above = bound[path[:-1]]
    found: list[Row | None] = [*above.related[path[-1]]] if above is not None else []
    for choice in found or [None]:
        yield from bindings(rest, {**bound, path: choice})


def true_for(tree: Leaf | Tree, row: Row, binding: Binding) -> bool:
    """Whether the tree is true for one choice."""
    if isinstance(tree, Leaf):
        there = binding[tree.path]
        return bool(COMPARE[tree.lookup](None if there is None else there.values[tree.attribute], tree.value))
    if tree.kind == "not":
        return not holds(tree.children[0], row)
    found = (true_for(child, row, binding) for child in tree.children)
    return all(found) if tree.kind == "and" else any(found)


COLUMNS: list[tuple[tuple[str, ...], str, list[Any]]] = [
    ((), "rank", [-1, 0, 1, 2, 3]),
    (("mentor",), "rank", [1, 2, 3]),
    (("books",), "pages", [50, 100, 300]),
    (("books",), "title", ["Alpha", "Beta", "Gamma"]),
    (("books", "tags"), "word", ["old", "new", "rare"]),
    (("mentor", "books"), "pages", [100, 300]),
]


@st.composite
def lookups(draw: st.DrawFn) -> Leaf:
    """A lookup with a value that some row may have."""
    path, attribute, values = draw(st.sampled_from(COLUMNS))
    ordered = isinstance(values[0], int)
    lookup = draw(st.sampled_from([name for name in COMPARE if ordered or name in ("exact", "ne", "in", "isnull")]))
    one = st.sampled_from(values)
    if lookup in ("in", "not_in"):
        return Leaf(path, attribute, lookup, tuple(draw(st.lists(st.none() | one, max_size=2))))
    if lookup == "isnull":
        return Leaf(path, attribute, lookup, draw(st.booleans()))
    return Leaf(path, attribute, lookup, draw(st.none() | one if lookup in ("exact", "ne") else one))


def joined(children: st.SearchStrategy[Leaf | Tree]) -> st.SearchStrategy[Tree]:
    """Several conditions with a connector, or one negated."""
    several = st.tuples(st.sampled_from(["and", "or"]), st.lists(children, min_size=2, max_size=3).map(tuple))
    one = st.tuples(st.just("not"), children.map(lambda child: (child,)))
    return (several | one).map(lambda parts: Tree(*parts))


trees = st.recursive(lookups(), joined, max_leaves=6)
chains = st.lists(st.tuples(st.booleans(), trees), min_size=1, max_size=3)
ORDERS = ["rank", "-rank", "mentor__rank", "-mentor__rank", "-id"]
orders = st.lists(st.sampled_from(ORDERS), max_size=2)
slices = st.tuples(st.integers(0, 4), st.none() | st.integers(0, 6))


def in_order(rows: list[Row], names: list[str]) -> list[Row]:
    """The rows by ``names`` and then by key: null is greater than everything."""
    rows = sorted(rows, key=lambda row: row.values["id"])
    for name in reversed(names):
        *path, attribute = name.lstrip("-").split("__")

        def key(row: Row, path: list[str] = path, attribute: str = attribute) -> tuple[bool, Any]:
            there = row if not path else next(iter(row.related[path[0]]), None)
            value = None if there is None else there.values[attribute]
            return value is None, value or 0

        rows = sorted(rows, key=key, reverse=name.startswith("-"))
    return rows


async def compare(chain: list[tuple[bool, Leaf | Tree]], order: list[str], cut: tuple[int, int | None]) -> None:
    """One chain, asked of the database and of the lists."""
    queryset, expected = QuerySet(Author), ROWS
    for keeps, tree in chain:
        queryset = queryset.filter(tree.q()) if keeps else queryset.exclude(tree.q())
        expected = [row for row in expected if holds(tree, row) is keeps]
    expected = in_order(expected, order)
    assert await queryset.count() == len(expected)
    queryset = queryset.order_by(*order).ordered()[cut[0] : cut[1]]
    expected = expected[cut[0] : cut[1]]
    assert [author.id for author in await queryset.all()] == [row.values["id"] for row in expected]
    assert await queryset.count() == len(expected)


RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=100, deadline=None, suppress_health_check=RELAXED)
@given(chains, orders, slices)
async def test_a_chain_finds_what_a_model_of_lists_finds(
    scope: None, chain: list[tuple[bool, Leaf | Tree]], order: list[str], cut: tuple[int, int | None]
) -> None:
    """Filters, excludes, order and a slice at random; count agrees with all."""
    await compare(chain, order, cut)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=RELAXED)
@given(chains, orders, slices)
async def test_many_chains_find_what_a_model_of_lists_finds(
    scope: None, chain: list[tuple[bool, Leaf | Tree]], order: list[str], cut: tuple[int, int | None]
) -> None:
    """The same, for longer."""
    await compare(chain, order, cut)
