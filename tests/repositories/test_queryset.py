"""Querysets: immutable, lazy, and ended by a verb."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import InvalidRequestError

from fastapix5.db import atomic, get_session
from fastapix5.exceptions import (
    DoesNotExist,
    ImproperlyConfigured,
    MultipleObjectsReturned,
    RangeViolation,
    ScopeRequired,
)
from fastapix5.repositories import Avg, Count, F, Q, QuerySet, Sum, UnknownPath
from tests.repositories.models import AUTHORS, Author, Book, Copy, Defaults, Shelf
from tests.statements import Statements

pytestmark = pytest.mark.anyio


async def ids(queryset: QuerySet[Any]) -> list[int]:
    """The keys of a queryset's rows, in its order."""
    return [row.id for row in await queryset.all()]


async def test_every_method_returns_a_new_queryset(scope: None) -> None:
    """What was there before stays as it was, and a later condition never replaces an earlier one."""
    everyone = QuerySet(Author)
    some = everyone.filter(rank__gte=1)
    fewer = some.filter(rank__gte=2).exclude(name="Bob")
    assert [await found.count() for found in (everyone, some, fewer)] == [7, 4, 2]


async def test_nothing_is_asked_before_a_verb(scope: None, statements: Statements) -> None:
    """A queryset only describes."""
    QuerySet(Author).filter(books__title="Alpha").order_by("-name").ordered()[:3]
    assert await statements.count() == 0


async def test_a_verb_outside_any_scope_raises() -> None:
    """The error names session_scope."""
    with pytest.raises(ScopeRequired, match="session_scope"):
        await QuerySet(Author).all()


async def test_nulls_stand_last_ascending_and_first_descending(scope: None) -> None:
    """On both engines, through relations too."""
    assert await ids(QuerySet(Author).order_by("rank", "id")) == [7, 6, 3, 4, 1, 5, 2]
    assert await ids(QuerySet(Author).order_by("-rank", "-id")) == [2, 5, 1, 4, 3, 6, 7]
    assert await ids(QuerySet(Book).order_by("author__rank", "id")) == [5, 1, 2, 3, 4]
    assert await ids(QuerySet(Book).order_by("-author__mentor__rank", "-id")) == [4, 2, 1, 5, 3]
    assert await ids(QuerySet(Book).order_by("author", "-id")) == [2, 1, 3, 5, 4]
    assert await ids(QuerySet(Author).order_by(Author.id.desc())[:2]) == [7, 6]


async def test_ordered_ends_with_the_primary_key(scope: None) -> None:
    """So that no two rows ever change places; a composite key too."""
    assert await ids(QuerySet(Book).order_by("title").ordered()) == [1, 4, 2, 5, 3]
    shelves = await QuerySet(Shelf).order_by("-room").ordered().all()
    assert [shelf.label for shelf in shelves] == ["third", "first", "second"]


def test_order_across_a_to_many_relation_is_refused() -> None:
    """It would repeat rows, or choose one of many."""
    for model, path in ((Author, "books__title"), (Book, "-author__books"), (Book, "tags")):
        with pytest.raises(ImproperlyConfigured, match="leads to many rows"):
            QuerySet(model).order_by(path)


def test_an_order_goes_no_further_than_a_column() -> None:
    """A lookup is no part of it."""
    with pytest.raises(UnknownPath, match="icontains"):
        QuerySet(Author).order_by("name__icontains")
    with pytest.raises(UnknownPath, match='Did you mean "rank"'):
        QuerySet(Author).order_by("-rnak")


async def test_slices_are_those_of_a_list(scope: None) -> None:
    """Slices of slices too."""
    queryset, keys = QuerySet(Author).order_by("id"), [row["id"] for row in AUTHORS]
    for cut in (
        slice(2),
        slice(2, None),
        slice(1, 3),
        slice(5, 99),
        slice(3, 3),
        slice(4, 2),
        slice(None),
        slice(99, 100),
    ):
        assert await ids(queryset[cut]) == keys[cut], cut
        assert await queryset[cut].count() == len(keys[cut]), cut
        assert await queryset[cut].exists() == bool(keys[cut]), cut
    assert await ids(queryset[2:][1:3]) == keys[2:][1:3]
    assert await ids(queryset[1:4][2:9]) == keys[1:4][2:9]
    assert await ids(queryset[:3][5:]) == []


def test_a_slice_has_no_step_and_no_negative_end() -> None:
    """A list's other slices would have to read every row."""
    for cut in (slice(None, None, 2), slice(-1, None), slice(None, -1)):
        with pytest.raises(ValueError, match="slices"):
            QuerySet(Author)[cut]


def test_what_would_change_a_slice_is_refused() -> None:
    """Filter first, then cut."""
    cut = QuerySet(Author)[:3]
    with pytest.raises(TypeError, match="slice"):
        cut.filter(id=1)
    with pytest.raises(TypeError, match="slice"):
        cut.exclude(id=1)
    with pytest.raises(TypeError, match="slice"):
        cut.order_by("id")


async def test_an_offset_beyond_the_database_is_out_of_range(scope: None) -> None:
    """It is our error on both engines."""
    with pytest.raises(RangeViolation):
        await QuerySet(Author)[2**63 :].all()


async def test_get_returns_the_only_row(scope: None) -> None:
    """By conditions given to it or before it."""
    assert (await QuerySet(Author).get(name="Bob")).id == 4
    assert (await QuerySet(Author).filter(name="Bob").get()).id == 4
    with pytest.raises(DoesNotExist, match="No Author matches"):
        await QuerySet(Author).get(name="Zoe")
    with pytest.raises(MultipleObjectsReturned, match="More than one Author"):
        await QuerySet(Author).get(rank=3)


async def test_first_is_the_first_in_order_or_by_key(scope: None) -> None:
    """None where there is no row."""
    first = await QuerySet(Author).first()
    highest = await QuerySet(Author).order_by("-rank").filter(rank__isnull=False).first()
    assert first is not None
    assert highest is not None
    assert (first.id, highest.rank) == (1, 3)
    assert await QuerySet(Author).filter(rank=77).first() is None


async def test_exists_tells_whether_any_row_matches(scope: None) -> None:
    """A boolean on both engines."""
    assert await QuerySet(Author).filter(rank=3).exists() is True
    assert await QuerySet(Author).filter(rank=77).exists() is False


async def test_count_carries_facts_in_the_same_statement(scope: None, statements: Statements) -> None:
    """Each fact is true or false, whatever the rows."""
    there = QuerySet(Author).filter(id=1).exists_clause()
    missing = QuerySet(Author).filter(id=77).exists_clause()
    statements.reset()
    assert await QuerySet(Book).filter(author=1).count_with(there, missing) == (2, (True, False))
    assert await statements.count() == 1
    assert await QuerySet(Book).filter(id=77).count_with(there) == (0, (True,))
    assert await QuerySet(Author).filter(id=1).count_with(missing, there) == (1, (False, True))


async def test_a_fact_may_stand_in_a_filter(scope: None) -> None:
    """Rows of the same model in it are others."""
    there, missing = (QuerySet(Author).filter(id=key).exists_clause() for key in (1, 77))
    assert await QuerySet(Author).filter(there).count() == len(AUTHORS)
    assert await QuerySet(Author).filter(missing).count() == 0


async def test_a_relation_that_was_not_asked_for_raises(scope: None) -> None:
    """It never loads silently; one that was asked for is there."""
    book = await QuerySet(Book).get(id=1)
    for name in ("author", "tags"):
        with pytest.raises(InvalidRequestError, match=r"raiseload|lazy"):
            getattr(book, name)


async def test_related_rows_load_with_the_objects(scope: None, statements: Statements) -> None:
    """To one in the same statement, to many in one more, along paths too."""
    statements.reset()
    books = await QuerySet(Book).order_by("id").select_related("author").prefetch_related("tags").all()
    assert await statements.count() == 2
    assert books[2].author is not None
    assert books[2].author.name == "ada_b%"
    assert books[3].author is None
    assert sorted(tag.word for tag in books[4].tags) == ["new", "rare"]
    for known in (True, False):
        if not known:
            get_session().expunge_all()
        statements.reset()
        book = await QuerySet(Book).select_related("author__mentor").prefetch_related("chapters__book").get(id=3)
        # Where a relation leads back, objects that are known are read anew by themselves.
        assert await statements.count() == (3 if known else 2)
    assert book.author is not None
    assert book.author.mentor is not None
    assert (book.author.mentor.name, book.chapters) == ("Ada", [])


async def test_an_unknown_relation_to_load_is_refused() -> None:
    """With the nearest name; rows do not repeat, so no join leads to many."""
    with pytest.raises(UnknownPath, match='Did you mean "author"'):
        QuerySet(Book).select_related("auther")
    with pytest.raises(ImproperlyConfigured, match="leads to many rows"):
        QuerySet(Book).select_related("author__books")


async def test_rows_are_locked_inside_a_transaction(scope: None) -> None:
    """A locked row is read anew."""
    author = await QuerySet(Author).get(id=1)
    async with atomic():
        locked = await QuerySet(Author).filter(id=1).select_for_update().get()
        assert locked is author


async def test_at_names_the_row_of_an_object(scope: None) -> None:
    """Composite keys too."""
    shelf = await QuerySet(Shelf).get(label="second")
    assert [found.label for found in await QuerySet(Shelf).at(shelf).all()] == ["second"]
    copy = await QuerySet(Copy).get(id=2)
    assert await QuerySet(Copy).at(copy).count() == 1


async def test_a_part_of_a_column_is_a_value_like_any_other(scope: None) -> None:
    """It is shown, grouped by, ordered by, and named by F; behind a relation too."""
    shelves = QuerySet(Shelf).order_by("since__year", "room")
    assert await shelves.values_list("since__year", flat=True) == [2020, 2020, 2021]
    groups = QuerySet(Copy).values("shelf__since__year").annotate(n=Count("*")).order_by("shelf__since__year")
    assert await groups.values_list("shelf__since__year", "n") == [(2020, 2), (2021, 1), (None, 1)]
    assert await QuerySet(Shelf).filter(since__month=F("since__day")).count() == 3
    with pytest.raises(UnknownPath, match=r'Shelf.since has no "yeer".*Did you mean "year"'):
        QuerySet(Shelf).values("since__yeer")


async def test_a_value_of_another_type_is_refused_at_once(scope: None) -> None:
    """PostgreSQL would raise, and SQLite would find nothing; the error names both types."""
    with pytest.raises(ValueError, match="since__date is compared with date, not with str"):
        QuerySet(Shelf).filter(since__date="2020-01-01")
    with pytest.raises(ValueError, match="rank is compared with int or float or Decimal, not with str"):
        QuerySet(Author).filter(rank__in=[1, "2"])
    with pytest.raises(ValueError, match='"gt" cannot compare with None'):
        QuerySet(Author).filter(rank__gt=None)


async def test_an_aggregate_without_a_name_is_called_after_what_it_is_over(scope: None) -> None:
    """As in Django: the name, and the aggregate's own; rows and expressions need one that is given."""
    assert await QuerySet(Book).aggregate(Avg("pages"), n=Count("*")) == {"pages__avg": 137.5, "n": 5}
    authors: Any = QuerySet(Author).annotate(Count("books")).filter(books__count__gt=1)
    assert [(author.id, author.books__count) for author in await authors] == [(1, 2)]
    with pytest.raises(TypeError, match=r"Count needs a name here: write name=Count\(...\)"):
        await QuerySet(Book).aggregate(Count("*"))


async def test_distinct_values_are_ordered_by_what_they_show(scope: None) -> None:
    """PostgreSQL would refuse another order, and SQLite answer somehow."""
    titles = QuerySet(Book).values_list("title", flat=True).distinct()
    assert await titles.order_by("-title") == ["Gamma", "Delta", "Beta", "Alpha"]
    with pytest.raises(ValueError, match="ordered by what they show"):
        await titles.order_by("pages")


async def test_an_attribute_of_the_model_is_a_condition_and_an_order(scope: None) -> None:
    """SQLAlchemy's expressions are welcome wherever a condition stands; on a relation too."""
    assert await QuerySet(Defaults).filter(Defaults.number > 3).order_by(Defaults.id.desc()).count() == 0
    assert await QuerySet(Author).filter(Author.rank == 3).order_by(Author.id).values_list("id", flat=True) == [1, 5]


def test_a_method_of_ones_own_does_not_hide_a_querysets_own_parts() -> None:
    """The class is refused when it is made; verbs may be extended."""
    with pytest.raises(ImproperlyConfigured, match=r"Shelves\.unique: Querysets keep something"):

        class Shelves(QuerySet[Shelf]):
            def unique(self) -> None:  # type: ignore[override]
                """Not this name."""

    class Others(QuerySet[Shelf]):
        async def first(self) -> Shelf | None:
            return await super().first()


async def test_what_is_no_condition_is_refused(scope: None) -> None:
    """A comparison of F, or of a class attribute by mistake, is a bool of Python's: it would mean every row, or none."""
    with pytest.raises(TypeError, match="Compare by name"):
        QuerySet(Book).filter(F("pages") != 100)  # type: ignore[arg-type]
    mistakes: list[Any] = [True, None, "title", 1, {"title": "Alpha"}]
    for wrong in mistakes:
        with pytest.raises(TypeError, match="A condition is a Q"):
            QuerySet(Book).filter(wrong)
        with pytest.raises(TypeError, match="A condition is a Q"):
            Q(title="Alpha") & wrong


async def test_a_queryset_as_a_value_must_fit(scope: None) -> None:
    """Rows of the model that the path leads to, one value of each, and one row where one is compared."""
    authors, books = QuerySet(Author), QuerySet(Book)
    assert await books.filter(author__in=authors.filter(rank=3)).count() == 2
    assert await books.filter(author=authors.order_by("id")[:1]).count() == 2
    with pytest.raises(TypeError, match="author__in takes rows of Author, not of Book"):
        books.filter(author__in=books)
    with pytest.raises(ValueError, match="author takes one row"):
        books.filter(author=authors)
    with pytest.raises(ValueError, match="takes one value of each row, and the queryset shows 2"):
        books.filter(author_id__in=authors.values("id", "name"))


async def test_a_number_that_no_row_can_have_is_refused(scope: None) -> None:
    """PostgreSQL would raise, and SQLite find nothing."""
    with pytest.raises(ValueError, match="pages holds numbers from -2147483648 to 2147483647"):
        QuerySet(Book).filter(pages=2**40)


async def test_only_numbers_are_added_up(scope: None) -> None:
    """SQLite would add the numbers that texts begin with."""
    with pytest.raises(TypeError, match=r"Sum\('title'\) takes numbers, and not text"):
        await QuerySet(Book).aggregate(total=Sum("title"))


async def test_relations_that_lead_back_keep_what_led_there(scope: None) -> None:
    """The author of an author's books is the same object: its books stay loaded, and its columns are fresh."""
    known = await QuerySet(Author).get(id=1)
    await QuerySet(Author).filter(id=1).update(rank=9)
    for _ in range(2):
        ada = await QuerySet(Author).prefetch_related("books__author").get(id=1)
        assert ada is known
        assert ada.rank == 9
        assert [book.author is ada for book in ada.books] == [True, True]


def test_a_name_from_django_says_what_to_write() -> None:
    """And a name that is nearly right says which one is meant."""
    queryset: Any = QuerySet(Book)
    for name, sentence in (
        ("aget", 'QuerySet has no "aget": get() is awaited already.'),
        ("latest", 'QuerySet has no "latest": write order_by("-name").first().'),
        ("filtr", 'QuerySet has no "filtr". Did you mean "filter"?'),
    ):
        with pytest.raises(AttributeError) as error:
            getattr(queryset, name)
        assert str(error.value) == sentence


async def test_what_does_not_depend_on_an_order_ignores_it(scope: None) -> None:
    """Counting distinct values, or asking whether there are any, needs no order that they could show."""
    ranks = QuerySet(Author).order_by("name").values_list("rank", flat=True).distinct()
    assert await ranks.count() == 6
    assert await ranks.exists()
    assert await ranks.aggregate(n=Count("rank")) == {"n": 5}
    assert await QuerySet(Author).filter(rank__in=ranks).count() == 6
