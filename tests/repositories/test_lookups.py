"""Each lookup, against plain Python over the same rows."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable, Collection
from typing import Any

import pytest
from sqlalchemy import func, select

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import LOOKUPS, Q, QuerySet, UnknownPath, register_lookup, resolve
from tests.conftest import on_postgresql
from tests.repositories.models import AUTHORS, LATER, SINCE, Author, Book, Color, Copy, Shelf

pytestmark = pytest.mark.anyio


async def ids(queryset: QuerySet[Any]) -> list[int]:
    """The keys of a queryset's rows, in order of key."""
    return sorted(row.id for row in await queryset.all())


def matching(field: str, test: Callable[[Any], bool]) -> list[int]:
    """The keys of the authors whose value passes ``test``; null passes none."""
    return [row["id"] for row in AUTHORS if row[field] is not None and test(row[field])]


TEXT: list[tuple[str, Any, Callable[[str], bool]]] = [
    ("exact", "Ada", lambda name: name == "Ada"),
    ("eq", "Ada", lambda name: name == "Ada"),
    ("iexact", "aDa", lambda name: name.lower() == "ada"),
    ("contains", "da", lambda name: "da" in name),
    ("contains", "DA", lambda name: "DA" in name),
    ("icontains", "dA", lambda name: "da" in name.lower()),
    ("startswith", "Ad", lambda name: name.startswith("Ad")),
    ("istartswith", "aD", lambda name: name.lower().startswith("ad")),
    ("endswith", "a", lambda name: name.endswith("a")),
    ("iendswith", "DA", lambda name: name.lower().endswith("da")),
    ("contains", "_", lambda name: "_" in name),
    ("contains", "%", lambda name: "%" in name),
    ("contains", "/", lambda name: "/" in name),
    ("contains", "\\", lambda name: "\\" in name),
    ("icontains", "A_B%", lambda name: "a_b%" in name.lower()),
    ("icontains", "/B\\", lambda name: "/b\\" in name.lower()),
    ("startswith", "%", lambda name: name.startswith("%")),
    ("endswith", "_", lambda name: name.endswith("_")),
    ("contains", "", lambda name: True),
    ("regex", "^A.a$", lambda name: bool(re.search("^A.a$", name))),
    ("iregex", "^a.A$", lambda name: bool(re.search("(?i)^a.A$", name))),
    ("in", ["Ada", "Bob", "nobody"], lambda name: name in ("Ada", "Bob")),
    ("in", [], lambda name: False),
    ("gt", "B", lambda name: name in ("Bob", "a/b\\c", "ada_b%")),
    ("isnull", False, lambda name: True),
]


async def test_a_text_lookup_finds_what_python_finds(scope: None) -> None:
    """Case counts unless the lookup starts with ``i``; percent, underscore and backslash are themselves."""
    for lookup, value, test in TEXT:
        found = await ids(QuerySet(Author).filter(**{f"name__{lookup}": value}))
        assert found == matching("name", test), (lookup, value)


NUMBERS: list[tuple[str, Any, Callable[[int], bool]]] = [
    ("exact", 3, lambda rank: rank == 3),
    ("gt", 1, lambda rank: rank > 1),
    ("gte", 1, lambda rank: rank >= 1),
    ("ge", 1, lambda rank: rank >= 1),
    ("lt", 1, lambda rank: rank < 1),
    ("lte", 1, lambda rank: rank <= 1),
    ("le", 1, lambda rank: rank <= 1),
    ("range", (0, 2), lambda rank: 0 <= rank <= 2),
    ("between", (2, 0), lambda rank: False),
    ("in", {1, 3}, lambda rank: rank in (1, 3)),
]


async def test_a_number_lookup_finds_what_python_finds(scope: None) -> None:
    """Null meets no comparison."""
    for lookup, value, test in NUMBERS:
        found = await ids(QuerySet(Author).filter(**{f"rank__{lookup}": value}))
        assert found == matching("rank", test), (lookup, value)


WITH_NULL: list[tuple[str, Any, Collection[int]]] = [
    ("exact", None, {2}),
    ("ne", None, {1, 3, 4, 5, 6, 7}),
    ("ne", 3, {2, 3, 4, 6, 7}),
    ("in", [3, None], {1, 2, 5}),
    ("in", [None], {2}),
    ("not_in", [3, 2], {2, 3, 6, 7}),
    ("notin", [3, None], {3, 4, 6, 7}),
    ("not_in", [], {1, 2, 3, 4, 5, 6, 7}),
    ("isnull", True, {2}),
]


async def test_null_is_a_value_that_differs_from_every_other(scope: None) -> None:
    """As None is in Python."""
    for lookup, value, expected in WITH_NULL:
        found = await ids(QuerySet(Author).filter(**{f"rank__{lookup}": value}))
        assert found == sorted(expected), (lookup, value)


async def test_exclude_keeps_exactly_what_filter_does_not(scope: None) -> None:
    """Rows with null stay."""
    for lookup, value, _ in NUMBERS:
        condition = {f"rank__{lookup}": value}
        found = await ids(QuerySet(Author).filter(**condition))
        rest = [row["id"] for row in AUTHORS if row["id"] not in found]
        assert await ids(QuerySet(Author).exclude(**condition)) == rest, (lookup, value)


RELATIONS: list[tuple[type[Any], dict[str, Any], Collection[int]]] = [
    (Book, {"author__isnull": True}, {4}),
    (Book, {"author__isnull": False}, {1, 2, 3, 5}),
    (Book, {"author__name__isnull": True}, {4, 5}),
    (Book, {"author__name__ne": "Ada"}, {3, 4, 5}),
    (Book, {"author__name": None}, {4, 5}),
    (Book, {"author__mentor__name": "Ada"}, {3, 5}),
    (Book, {"author__mentor__isnull": True}, {1, 2, 4}),
    (Book, {"author": 1}, {1, 2}),
    (Book, {"author__in": [1, 3]}, {1, 2, 5}),
    (Book, {"author__id__gt": 1}, {3, 5}),
    (Book, {"tags__word": "old"}, {1, 2}),
    (Book, {"tags__isnull": True}, {4}),
    (Book, {"tags": 2}, {1, 5}),
    (Book, {"color": Color.RED}, {1, 5}),
    (Book, {"author__label": "Ada!"}, {1, 2}),
    (Book, {"chapter_count__gte": 1}, {1, 2, 5}),
    (Author, {"books__isnull": True}, {4, 5, 6, 7}),
    (Author, {"books__pages__isnull": True}, {1, 4, 5, 6, 7}),
    (Author, {"books__tags__word": "rare"}, {2, 3}),
    (Author, {"pupils__books__title": "Gamma"}, {1}),
    (Author, {"mentor__mentor__isnull": False}, {4, 6}),
    (Copy, {"shelf__isnull": True}, {4}),
    (Copy, {"shelf__isnull": False}, {1, 2, 3}),
    (Copy, {"shelf__label__in": ["first", "third"]}, {1, 2}),
    (Copy, {"book__author__name": "Ada", "shelf__label": "second"}, {3}),
]


async def test_a_path_crosses_relations(scope: None) -> None:
    """To one, to many, through a secondary table, to itself, by composite keys; no related row counts as null."""
    for model, conditions, expected in RELATIONS:
        assert await ids(QuerySet(model).filter(**conditions)) == sorted(expected), conditions


async def test_a_composite_key_is_reached_from_the_other_side(scope: None) -> None:
    """EXISTS compares both parts."""
    shelves = await QuerySet(Shelf).filter(copies__book__title="Alpha").order_by("label").all()
    assert [shelf.label for shelf in shelves] == ["first", "second"]


async def test_an_object_stands_for_its_key(scope: None) -> None:
    """Alone, in a list, and behind any path that ends at its model; a tuple is a key of several columns."""
    ada, bob = [await QuerySet(Author).get(id=number) for number in (1, 4)]
    assert await ids(QuerySet(Book).filter(author=ada)) == [1, 2]
    assert await ids(QuerySet(Book).filter(author__ne=ada)) == [3, 4, 5]
    assert await ids(QuerySet(Book).filter(author__in=[ada, bob])) == [1, 2]
    assert await ids(QuerySet(Book).filter(author__in=(number for number in (1, 4)))) == [1, 2]
    assert await ids(QuerySet(Author).filter(mentor__mentor=ada)) == [4]
    assert await ids(QuerySet(Author).filter(pk=ada)) == [1]
    assert await ids(QuerySet(Author).exclude(books__author=ada)) == [2, 3, 4, 5, 6, 7]
    shelf = await QuerySet(Shelf).get(label="first")
    assert await ids(QuerySet(Copy).filter(shelf=shelf)) == [1, 2]
    assert await ids(QuerySet(Copy).filter(shelf=("a", LATER))) == [3]
    assert await ids(QuerySet(Copy).filter(shelf__in=[shelf, ("a", LATER)])) == [1, 2, 3]
    assert await ids(QuerySet(Copy).filter(shelf__ne=shelf)) == [3, 4]
    assert await ids(QuerySet(Copy).filter(shelf__not_in=[shelf])) == [3, 4]


async def test_an_object_that_has_no_key_or_no_place_is_refused(scope: None) -> None:
    """It was never saved, or is of another model."""
    with pytest.raises(ValueError, match="This Author was never saved"):
        await ids(QuerySet(Book).filter(author=Author(name="New")))
    with pytest.raises(TypeError, match=r"Author\.id cannot be compared with a Book"):
        await ids(QuerySet(Book).filter(author=await QuerySet(Book).get(id=1)))


async def test_pk_is_the_primary_key(scope: None) -> None:
    """Whatever its name, of one column or of several, across relations too."""
    assert await ids(QuerySet(Author).filter(pk=1)) == [1]
    assert await ids(QuerySet(Author).filter(pk__in=[1, 3])) == [1, 3]
    assert await ids(QuerySet(Author).filter(pk__gt=5)) == [6, 7]
    assert await ids(QuerySet(Book).filter(author__pk=1)) == [1, 2]
    for condition, expected in (
        ({"pk": ("a", SINCE)}, ["first"]),
        ({"pk__in": [("a", SINCE), ["b", SINCE]]}, ["first", "third"]),
        ({"pk__ne": ("a", SINCE)}, ["second", "third"]),
        ({"pk__not_in": [("a", SINCE)]}, ["second", "third"]),
        ({"pk__in": []}, []),
        ({"pk__isnull": False}, ["first", "second", "third"]),
    ):
        shelves = await QuerySet(Shelf).filter(**condition).order_by("label").all()
        assert [shelf.label for shelf in shelves] == expected, condition


async def test_a_list_may_be_a_select(scope: None) -> None:
    """Its null equals nothing, so ``not_in`` keeps what is not found."""
    ranks = select(Author.rank).where(Author.id.in_([1, 2]))
    assert await ids(QuerySet(Author).filter(rank__in=ranks)) == [1, 5]
    assert await ids(QuerySet(Author).filter(rank__not_in=ranks)) == [2, 3, 4, 6, 7]
    assert await ids(QuerySet(Author).exclude(rank__in=ranks)) == [2, 3, 4, 6, 7]
    assert await ids(QuerySet(Book).filter(author__in=select(Author.id).where(Author.name == "Ada"))) == [1, 2]
    keys = select(Shelf.room, Shelf.since).where(Shelf.label == "first")
    assert await ids(QuerySet(Copy).filter(shelf__in=keys)) == [1, 2]


async def test_a_value_may_be_an_expression(scope: None) -> None:
    """In every comparison, and in lists and ranges."""
    rank: Any = Author.rank
    for lookup, value, expected in (
        ("exact", rank, [1, 3, 4, 5, 6, 7]),
        ("gt", rank - 1, [1, 3, 4, 5, 6, 7]),
        ("lt", Author.id, [3, 4, 5, 6, 7]),
        ("in", [rank, 100], [1, 3, 4, 5, 6, 7]),
        ("not_in", [Author.id], [1, 2, 3, 4, 5, 6, 7]),
        ("ne", Author.mentor_id, [1, 2, 5, 6, 7]),
        ("not_in", [Author.mentor_id, 3], [2, 6, 7]),
        ("range", (Author.id - 6, Author.id), [3, 4, 5, 6]),
    ):
        assert await ids(QuerySet(Author).filter(**{f"rank__{lookup}": value})) == expected, lookup


MANY = 40_000


async def test_a_list_may_be_longer_than_a_statement_has_parameters(scope: None) -> None:
    """PostgreSQL takes 32,767, SQLite 32,766; every type of column, keys of several columns, and null."""
    numbers = [number for number in range(MANY) if number != 3]
    assert await ids(QuerySet(Author).filter(rank__in=numbers)) == [3, 4, 6]
    assert await ids(QuerySet(Author).filter(rank__in=[*numbers, None])) == [2, 3, 4, 6]
    assert await ids(QuerySet(Author).filter(rank__not_in=numbers)) == [1, 2, 5, 7]
    assert await ids(QuerySet(Author).filter(rank__not_in=[*numbers, None])) == [1, 5, 7]
    assert await ids(QuerySet(Author).exclude(rank__in=numbers)) == [1, 2, 5, 7]
    assert await ids(QuerySet(Author).filter(name__in=["Bob", "", *map(str, numbers)])) == [4, 7]
    prices = [decimal.Decimal(number) / 100 for number in range(MANY)]
    assert await ids(QuerySet(Book).filter(price__in=prices)) == [1, 3]
    assert await ids(QuerySet(Book).filter(color__in=[Color.RED] * MANY)) == [1, 5]
    keys = [("a", SINCE + dt.timedelta(hours=number)) for number in range(MANY)]
    assert await ids(QuerySet(Copy).filter(shelf__in=keys)) == [1, 2, 3]
    times = [SINCE + dt.timedelta(days=number) for number in range(MANY // 10)]
    assert await ids(QuerySet(Copy).filter(shelf__since__in=times)) == [1, 2, 3]
    assert await ids(QuerySet(Author).filter(label__in=["Bob!", *map(str, numbers)])) == [4]


WRONG: list[tuple[str, Any, str]] = [
    *(
        (f"rank__{name}", None, rf'^"{name}" cannot compare with None: use isnull')
        for name in ("gt", "gte", "lt", "lte", "in", "range")
    ),
    ("rank__between", (1, None), '^"range" takes two values, not'),
    ("rank__range", (1, 2, 3), '^"range" takes two values, not'),
    ("rank__range", 1, '^"range" takes two values, not 1'),
    ("name__in", "Ada", '^"in" takes a list of values, not'),
    ("rank__not_in", 1, '^"not_in" takes a list of values, not 1'),
    ("rank__isnull", None, '^"isnull" cannot compare with None'),
    ("rank__isnull", 1, '^"isnull" takes True or False, not 1'),
    ("name__contains", None, '^"contains" cannot compare with None'),
    ("name__icontains", 3, '^"icontains" takes text, not 3'),
    ("name__regex", b"a", '^"regex" takes text, not'),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG)
async def test_a_value_that_cannot_be_compared_is_refused(scope: None, path: str, value: Any, message: str) -> None:
    """With the lookup's name; nothing is silently matched by nothing."""
    with pytest.raises(ValueError, match=message):
        await ids(QuerySet(Author).filter(**{path: value}))


async def test_text_is_found_in_numbers(scope: None) -> None:
    """As SQL writes them."""
    assert await ids(QuerySet(Book).filter(pages__startswith="10")) == [1, 5]
    assert await ids(QuerySet(Author).filter(rank__contains="-")) == [7]


@on_postgresql
async def test_search_asks_postgresql_for_full_text(scope: None) -> None:
    """Words match whatever their ending."""
    assert await ids(QuerySet(Book).filter(title__search="alphas")) == [1, 4]


UNKNOWN = (
    (Author, "nmae", 'Author has no "nmae" ("nmae"). Did you mean "name"?'),
    (Book, "author__nmae", 'Author has no "nmae" ("author__nmae"). Did you mean "name"?'),
    (Author, "name__icontain", 'Author.name has no "icontain" ("name__icontain"). Did you mean "icontains"?'),
    (Author, "books__titel__in", 'Book has no "titel" ("books__titel__in"). Did you mean "title"?'),
    (Author, "rank__year", 'Author.rank has no "year" ("rank__year").'),
    (Copy, "shelf__gt", 'Shelf.pk has no "gt" ("shelf__gt").'),
    (Shelf, "since__year__gtt", 'Shelf.since__year has no "gtt" ("since__year__gtt"). Did you mean "gt"?'),
)


@pytest.mark.parametrize(("model", "path", "message"), UNKNOWN)
def test_an_unknown_name_says_what_is_known(model: type[Any], path: str, message: str) -> None:
    """The error names the part, its owner, and the nearest word."""
    with pytest.raises(UnknownPath) as caught:
        QuerySet(model).filter(**{path: 1})
    assert str(caught.value).startswith(message)


async def test_a_project_registers_a_lookup_of_its_own(scope: None) -> None:
    """It works like any other, through relations too; a name that is taken is refused."""
    register_lookup("length", lambda column, value: func.length(column) == value)
    try:
        assert await ids(QuerySet(Author).filter(name__length=0)) == [7]
        assert await ids(QuerySet(Book).filter(author__name__length=3)) == [1, 2]
        for taken in ("length", "gt", "eq", "year"):
            with pytest.raises(ImproperlyConfigured, match="taken"):
                register_lookup(taken, lambda column, value: column == value)
        with pytest.raises(ImproperlyConfigured, match="not a name"):
            register_lookup("two__words", lambda column, value: column == value)
    finally:
        del LOOKUPS["length"]


async def test_a_sqlalchemy_expression_is_a_condition(scope: None) -> None:
    """Alone, in a Q, and negated."""
    assert await ids(QuerySet(Author).filter(Author.rank > 2)) == [1, 5]
    assert await ids(QuerySet(Author).filter(Q(Author.rank > 2) | Q(name="Bob"))) == [1, 4, 5]
    assert await ids(QuerySet(Author).exclude(Author.rank > 2)) == [2, 3, 4, 6, 7]


def test_a_path_resolves_to_relations_attribute_and_lookup() -> None:
    """What filters ask at start."""
    path = resolve(Book, "author__mentor__name__icontains")
    assert (path.relations, path.attribute, path.lookup.name) == (("author", "mentor"), "name", "icontains")
