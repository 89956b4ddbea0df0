"""Random chains of queryset methods, and what a model of lists says that each gives."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st

from fastapix5 import Count, F, Max, Min, Q, QuerySet, Sum
from tests.repositories.models import AUTHORS, BOOK_TAGS, BOOKS, TAGS, Author


@dataclass(eq=False)
class Row:
    """A row in plain Python, with its relations and its annotations."""

    values: dict[str, Any]
    related: dict[str, list[Row]] = field(default_factory=dict)

    def at(self, name: str) -> Any:
        """The value at the end of a path of to-one relations; None where there is no row."""
        *path, attribute = name.split("__")
        row: Row | None = self
        for part in path:
            row = next(iter(row.related[part]), None) if row is not None else None
        return None if row is None else row.values[attribute]

    @property
    def key(self) -> int:
        """The primary key."""
        found: int = self.values["id"]
        return found


def plain_rows() -> list[Row]:
    """The authors with what hangs below them."""
    tags = {row["id"]: Row(row) for row in TAGS}
    books = [
        Row(row, {"tags": [tags[pair["tag_id"]] for pair in BOOK_TAGS if pair["book_id"] == row["id"]]})
        for row in BOOKS
    ]
    authors = {row["id"]: Row(dict(row)) for row in AUTHORS}
    for author in authors.values():
        mentor = authors.get(author.values["mentor_id"])
        author.related["mentor"] = [] if mentor is None else [mentor]
        author.related["books"] = [book for book in books if book.values["author_id"] == author.key]
    for author in authors.values():
        author.related["pupils"] = [pupil for pupil in authors.values() if pupil.values["mentor_id"] == author.key]
        for name, annotation in ANNOTATIONS.items():
            author.values[name] = annotation.count(author)
    return sorted(authors.values(), key=lambda row: row.key)


# Annotations


class Annotation(NamedTuple):
    """An annotation, and the same of a plain row."""

    make: Callable[[], Any]
    count: Callable[[Row], Any]
    values: list[int]


def _known(rows: list[Row], name: str) -> list[Any]:
    return [row.values[name] for row in rows if row.values[name] is not None]


ANNOTATIONS: dict[str, Annotation] = {
    "of_books": Annotation(lambda: Count("books"), lambda row: len(row.related["books"]), [0, 1, 2]),
    "of_pages": Annotation(
        lambda: Sum("books__pages"), lambda row: sum(_known(row.related["books"], "pages")) or None, [100, 300]
    ),
    "of_tags": Annotation(
        lambda: Count("books__tags", distinct=True),
        lambda row: len({id(tag) for book in row.related["books"] for tag in book.related["tags"]}),
        [0, 1, 2],
    ),
    "of_long": Annotation(
        lambda: Count("books", filter=Q(books__pages__gte=100)),
        lambda row: sum(pages >= 100 for pages in _known(row.related["books"], "pages")),
        [0, 1],
    ),
    "of_pupils": Annotation(
        lambda: Max("pupils__rank"), lambda row: max(_known(row.related["pupils"], "rank"), default=None), [0, 1, 2]
    ),
    "of_ranks": Annotation(
        lambda: F("rank") + F("mentor__rank"),
        lambda row: sum(ranks) if None not in (ranks := (row.at("rank"), row.at("mentor__rank"))) else None,
        [3, 4, 6],
    ),
}  # fmt: skip
ROWS = plain_rows()


# Conditions


class Reference(NamedTuple):
    """The value of another attribute of the row that the tree is about, and a number added to it."""

    name: str
    plus: int

    def f(self) -> Any:
        """The same as an F."""
        return F(self.name) + self.plus if self.plus else F(self.name)

    def of(self, row: Row) -> Any:
        """Its value; None where the attribute has none."""
        found = row.at(self.name)
        return None if found is None else found + self.plus


@dataclass(frozen=True)
class Leaf:
    """One lookup."""

    path: tuple[str, ...]
    attribute: str
    lookup: str
    value: Any

    def q(self) -> Q:
        """The same as a Q."""
        value = self.value.f() if isinstance(self.value, Reference) else self.value
        return Q(**{"__".join((*self.path, self.attribute, self.lookup)): value})

    def meets(self, found: Any, root: Row) -> bool:
        """Whether a value meets it; an expression that is null is met by nothing."""
        if not isinstance(self.value, Reference):
            return bool(COMPARE[self.lookup](found, self.value))
        value = self.value.of(root)
        return value is not None and found is not None and bool(COMPARE[self.lookup](found, value))


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


def _there(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    return lambda found, value: found is not None and bool(compare(found, value))


NULLS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "ne": operator.ne,
    "in": lambda found, values: found in values,
    "not_in": lambda found, values: found not in values,
    "isnull": lambda found, value: (found is None) is value,
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": _there(operator.gt),
    "gte": _there(operator.ge),
    "lt": _there(operator.lt),
    "lte": _there(operator.le),
    "range": _there(lambda found, pair: pair[0] <= found <= pair[1]),
}
TEXT: dict[str, Callable[[Any, Any], bool]] = {
    "iexact": _there(lambda found, value: found.lower() == value.lower()),
    "contains": _there(lambda found, value: value in found),
    "icontains": _there(lambda found, value: value.lower() in found.lower()),
    "startswith": _there(lambda found, value: found.startswith(value)),
    "istartswith": _there(lambda found, value: found.lower().startswith(value.lower())),
    "endswith": _there(lambda found, value: found.endswith(value)),
    "iendswith": _there(lambda found, value: found.lower().endswith(value.lower())),
}
COMPARE = NULLS | ORDER | TEXT

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


def names_in(tree: Leaf | Tree) -> Iterator[str]:
    """The attributes of the row itself that the whole tree speaks of."""
    if isinstance(tree, Tree):
        for child in tree.children:
            yield from names_in(child)
        return
    yield tree.attribute
    if isinstance(tree.value, Reference):
        yield tree.value.name


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
        return tree.meets(None if there is None else there.values[tree.attribute], row)
    if tree.kind == "not":
        return not holds(tree.children[0], row)
    found = (true_for(child, row, binding) for child in tree.children)
    return all(found) if tree.kind == "and" else any(found)


# Strategies

COLUMNS: list[tuple[tuple[str, ...], str, list[Any]]] = [
    ((), "rank", [-1, 0, 1, 2, 3]),
    ((), "name", ["Ada", "ADA", "da", "_", "%", "a", "\\", "", "B"]),
    (("mentor",), "rank", [1, 2, 3]),
    (("mentor",), "name", ["Ada", "b%", "A"]),
    (("books",), "pages", [50, 100, 300]),
    (("books",), "title", ["Alpha", "Beta", "Gamma", "ph", "A"]),
    (("books", "tags"), "word", ["old", "new", "rare", "E"]),
    (("mentor", "books"), "pages", [100, 300]),
    (("pupils",), "rank", [0, 1, 2]),
]
ANNOTATED: list[tuple[tuple[str, ...], str, list[Any]]] = [
    ((), name, annotation.values) for name, annotation in ANNOTATIONS.items()
]
REFERENCES = ["rank", "mentor__rank", "id", "mentor__mentor__rank", *ANNOTATIONS]


@st.composite
def lookups(draw: st.DrawFn) -> Leaf:
    """A lookup with a value that some row may have."""
    path, attribute, values = draw(st.sampled_from(ANNOTATED if draw(st.integers(0, 4)) == 0 else COLUMNS))
    is_number = isinstance(values[0], int)
    lookup = draw(st.sampled_from([*NULLS, *(ORDER if is_number else TEXT)]))
    one = st.sampled_from(values)
    if is_number and lookup in ("exact", "gt", "gte", "lt", "lte") and draw(st.integers(0, 3)) == 0:
        return Leaf(path, attribute, lookup, Reference(draw(st.sampled_from(REFERENCES)), draw(st.integers(-1, 1))))
    if lookup in ("in", "not_in"):
        return Leaf(path, attribute, lookup, tuple(draw(st.lists(st.none() | one, max_size=2))))
    if lookup == "isnull":
        return Leaf(path, attribute, lookup, draw(st.booleans()))
    if lookup == "range":
        return Leaf(path, attribute, lookup, (draw(one), draw(one)))
    return Leaf(path, attribute, lookup, draw(st.none() | one if lookup in ("exact", "ne") else one))


def joined(children: st.SearchStrategy[Leaf | Tree]) -> st.SearchStrategy[Tree]:
    """Several conditions with a connector, or one negated."""
    several = st.tuples(st.sampled_from(["and", "or"]), st.lists(children, min_size=2, max_size=3).map(tuple))
    one = st.tuples(st.just("not"), children.map(lambda child: (child,)))
    return (several | one).map(lambda parts: Tree(*parts))


trees = st.recursive(lookups(), joined, max_leaves=6)
ORDERS = ["rank", "-rank", "mentor__rank", "-mentor__rank", "-id", "of_books", "-of_pages", "of_pupils", "-of_ranks"]


def in_order(rows: list[Row], names: list[str]) -> list[Row]:
    """The rows by ``names`` and then by key: null is greater than everything."""
    rows = sorted(rows, key=lambda row: row.key)
    for name in reversed(names):

        def key(row: Row, name: str = name.removeprefix("-")) -> tuple[bool, Any]:
            value = row.at(name)
            return value is None, value or 0

        rows = sorted(rows, key=key, reverse=name.startswith("-"))
    return rows


# What ends a chain


async def streamed(queryset: QuerySet[Any]) -> list[int]:
    """The keys, row by row."""
    return [author.id async for author in queryset]


async def keys_of(queryset: QuerySet[Any]) -> list[int]:
    """The keys of the objects."""
    return [author.id for author in await queryset.all()]


async def key_of(found: Awaitable[Any]) -> int | None:
    """The key of the object that there may be."""
    author = await found
    return None if author is None else author.id


async def annotated(queryset: QuerySet[Any], name: str) -> list[tuple[int, Any]]:
    """An annotation of each object."""
    return [(author.id, author.shown) for author in await queryset.annotate(shown=ANNOTATIONS[name].make())]


async def bulk(queryset: QuerySet[Any]) -> set[int]:
    """The keys of the objects by key."""
    return {*await queryset.in_bulk()}


def unique(values: list[Any]) -> list[Any]:
    """Each value once, null last."""
    return sorted(set(values), key=lambda value: (value is None, value or 0))


End = tuple[Callable[[Any], Awaitable[Any]], Callable[[list[Row]], Any]]
ENDS: dict[str, End] = {
    "all": (keys_of, lambda rows: [row.key for row in rows]),
    "async for": (streamed, lambda rows: [row.key for row in rows]),
    "count": (lambda q: q.count(), len),
    "exists": (lambda q: q.exists(), bool),
    "first": (lambda q: key_of(q.first()), lambda rows: rows[0].key if rows else None),
    "values": (
        lambda q: q.values("id", "rank"),
        lambda rows: [{"id": row.key, "rank": row.at("rank")} for row in rows],
    ),
    "values_list": (
        lambda q: q.values_list("id", "mentor__name"),
        lambda rows: [(row.key, row.at("mentor__name")) for row in rows],
    ),
    "flat": (lambda q: q.values_list("rank", flat=True), lambda rows: [row.at("rank") for row in rows]),
    "only": (lambda q: keys_of(q.only("name")), lambda rows: [row.key for row in rows]),
    "select_related": (
        lambda q: keys_of(q.select_related("mentor")),
        lambda rows: [row.key for row in rows],
    ),
    "annotate": (lambda q: annotated(q, "of_books"), lambda rows: [(row.key, row.at("of_books")) for row in rows]),
    "aggregate": (
        lambda q: q.aggregate(n=Count("*"), ranks=Sum("rank"), low=Min("rank")),
        lambda rows: {
            "n": len(rows),
            "ranks": sum(_known(rows, "rank")) if _known(rows, "rank") else None,
            "low": min(_known(rows, "rank"), default=None),
        },
    ),
}  # fmt: skip
# What a slice refuses.
WHOLE: dict[str, End] = {
    "in_bulk": (bulk, lambda rows: {row.key for row in rows}),
    "distinct count": (lambda q: q.distinct().count(), len),
    "distinct": (lambda q: keys_of(q.distinct()), lambda rows: [row.key for row in rows]),
    "last": (lambda q: key_of(q.last()), lambda rows: rows[-1].key if rows else None),
    "reverse": (lambda q: keys_of(q.reverse()), lambda rows: [row.key for row in reversed(rows)]),
    "distinct values": (
        lambda q: q.order_by("rank").values_list("rank", flat=True).distinct(),
        lambda rows: unique([row.at("rank") for row in rows]),
    ),
    "distinct values count": (
        lambda q: q.values_list("rank").distinct().count(),
        lambda rows: len({row.at("rank") for row in rows}),
    ),
    "groups": (
        lambda q: q.order_by("rank").values("rank").annotate(n=Count("id")).values_list("rank", "n"),
        lambda rows: [
            (rank, sum(row.at("rank") == rank for row in rows)) for rank in unique([row.at("rank") for row in rows])
        ],
    ),
}


@dataclass(frozen=True)
class Chain:
    """Filters and excludes, an order, a slice, and what ends them."""

    steps: tuple[tuple[bool, Leaf | Tree], ...]
    order: tuple[str, ...]
    cut: slice | None
    end: str

    def queryset(self) -> QuerySet[Any]:
        """The same as a queryset; what is annotated is what is spoken of."""
        queryset: QuerySet[Any] = QuerySet(Author)
        names = {name for _, tree in self.steps for name in names_in(tree)} | {name.lstrip("-") for name in self.order}
        for name in sorted(names & {*ANNOTATIONS}):
            queryset = queryset.annotate(**{name: ANNOTATIONS[name].make()})
        for keeps, tree in self.steps:
            queryset = queryset.filter(tree.q()) if keeps else queryset.exclude(tree.q())
        queryset = queryset.order_by(*self.order, "id")
        return queryset if self.cut is None else queryset[self.cut]

    def rows(self) -> list[Row]:
        """The same of the lists."""
        rows = ROWS
        for keeps, tree in self.steps:
            rows = [row for row in rows if holds(tree, row) is keeps]
        rows = in_order(rows, list(self.order))
        return rows if self.cut is None else rows[self.cut]

    async def compare(self) -> None:
        """Ask the database and the lists, with one statement."""
        ask, expect = (ENDS | WHOLE)[self.end]
        actual, expected = await ask(self.queryset()), expect(self.rows())
        assert actual == expected


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Any chain."""
    steps = tuple(draw(st.lists(st.tuples(st.booleans(), trees), min_size=1, max_size=3)))
    order = tuple(draw(st.lists(st.sampled_from(ORDERS), max_size=2)))
    cut = draw(st.none() | st.builds(slice, st.integers(0, 4), st.none() | st.integers(0, 6)))
    return Chain(steps, order, cut, draw(st.sampled_from([*ENDS] if cut is not None else [*ENDS, *WHOLE])))
