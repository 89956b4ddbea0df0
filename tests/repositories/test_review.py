"""Facts that a reviewer found to be otherwise."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import event, func, select
from sqlalchemy.orm import Mapped, mapped_column

from fastapix5.access import Access
from fastapix5.db import atomic, get_engine, session_scope
from fastapix5.exceptions import (
    AccessRequired,
    DoesNotExist,
    MultipleObjectsReturned,
    RowPolicyViolation,
    StaleVersion,
    TransactionAborted,
)
from fastapix5.models import IntModel, Model, SoftDeleteMixin, VersionMixin
from fastapix5.repositories import (
    Condition,
    Count,
    F,
    Min,
    Q,
    QuerySet,
    Read,
    Repository,
    register_policy,
    unrestricted,
)
from fastapix5.schemas import select_for
from tests.models.sqlmodels import SQLModelTeam
from tests.repositories.models import AUTHORS, Author, Book, Box, Copy, Defaults, Shelf

pytestmark = pytest.mark.anyio

READER = Access(user_id="reader")


class AuthorName(BaseModel):
    id: int


class BookWithAuthor(BaseModel):
    id: int
    author: AuthorName | None


class ReviewNote(VersionMixin, IntModel):
    __tablename__ = "review_note"

    body: Mapped[str] = mapped_column()
    stars: Mapped[int] = mapped_column(default=0)


class ReviewPage(SoftDeleteMixin, IntModel):
    __tablename__ = "review_page"

    at: Mapped[dt.datetime | None]


def keeps_even(access: Access) -> Condition:
    """Rows with an even key."""
    return Q(id__in=[2, 202])


def by_queryset(access: Access) -> Condition:
    """Authors 1, 4 and 5, by a queryset of the model's own rows."""
    return Q(id__in=Repository(Author).objects.filter(rank__gte=2).values("id"))


def by_value(access: Access) -> Condition:
    """The same, by a value that the database computes from the model's own rows."""
    return Q(rank__gte=select(func.max(Author.rank) - 1).scalar_subquery())


def by_value_in_list(access: Access) -> Condition:
    """The same, by such a value in a list."""
    return Q(rank__in=[2, select(func.max(Author.rank)).scalar_subquery()])


def by_alternatives(access: Access) -> Condition:
    """The same, collected from an empty Q on."""
    found = Q()
    for rank in (2, 3):
        found |= Q(rank=rank)
    return found


@pytest.mark.parametrize("policy", [by_queryset, by_value, by_value_in_list, by_alternatives])
async def test_a_policy_that_asks_its_own_model_holds_for_related_rows(
    library: str, policy: Callable[[Access], Condition]
) -> None:
    """In every way that a statement reaches them."""
    register_policy(Author, policy, policy, "Authors")
    async with session_scope(access=READER):
        books = Repository(Book).objects.order_by("id")
        expected = [1, 1, None, None, None]
        assert await Repository(Author).objects.order_by("id").values_list("id", flat=True) == [1, 4, 5]
        assert [book.author and book.author.id for book in await books.as_schema(BookWithAuthor)] == expected
        assert [book.author and book.author.id for book in await books.select_related("author")] == expected
        assert [book.author and book.author.id for book in await books.prefetch_related("author")] == expected
        assert await books.values_list("author__id", flat=True) == expected
        assert await books.annotate(first=Min("author__id")).values_list("first", flat=True) == expected
        assert await books.filter(author__id__gt=0).count() == 2


async def test_one_unrestricted_serves_several_tasks(library: str) -> None:
    """What one task lifts is not lifted in another that leaves the same object."""
    register_policy(Author, by_value, by_value, "Authors")
    lifted = unrestricted(Author)
    entered, left = asyncio.Event(), asyncio.Event()

    async def within_another() -> int:
        async with session_scope(access=READER):
            with unrestricted(Author), lifted:
                entered.set()
                await left.wait()
            return await Repository(Author).objects.count()

    async def beside() -> int:
        async with session_scope(access=READER):
            await entered.wait()
            with lifted:
                left.set()
                await asyncio.sleep(0.02)
            return await Repository(Author).objects.count()

    assert list(await asyncio.gather(within_another(), beside())) == [3, 3]


async def test_an_empty_q_adds_nothing_to_alternatives(scope: None) -> None:
    """``Q()`` is where a loop of alternatives begins; alone it holds for every row."""
    authors = QuerySet(Author)
    assert await authors.filter(Q() | Q(id=1)).count() == 1
    assert await authors.filter(Q(id=1) | Q(Q())).count() == 1
    assert await authors.filter((Q() | Q(id=1)) & Q()).count() == 1
    assert await authors.filter(Q() | Q()).count() == len(AUTHORS)
    assert await authors.filter(~Q() | Q(id=1)).count() == 1


async def test_a_q_keeps_the_values_of_an_iterator(scope: None) -> None:
    """In every queryset that it filters, and in an aggregate."""
    condition = Q(id__in=iter([1, 2]))
    assert await QuerySet(Author).filter(condition).count() == 2
    assert await QuerySet(Author).filter(condition).count() == 2
    counted = QuerySet(Author).annotate(n=Count("books", filter=Q(books__id__in=iter([1, 2]))))
    assert await counted.order_by("id").values_list("n", flat=True) == [2, 0, 0, 0, 0, 0, 0]


async def test_a_list_that_an_aggregate_filters_by_stays_what_it_was(scope: None) -> None:
    """Whoever changes the list afterwards changes nothing."""
    wanted = [1]
    counted = QuerySet(Author).annotate(n=Count("books", filter=Q(books__id__in=wanted)))
    wanted.append(2)
    assert await counted.filter(id=1).values_list("n", flat=True) == [1]


async def test_a_filtered_aggregate_compares_with_a_value_of_a_select(scope: None) -> None:
    """And not with whether the SELECT has rows."""
    mean = select(func.avg(Book.pages)).scalar_subquery()
    counted = QuerySet(Author).annotate(n=Count("books", filter=Q(books__pages__gt=mean)))
    assert await counted.order_by("id").values_list("n", flat=True) == [0, 1, 0, 0, 0, 0, 0]


async def test_a_distinct_aggregate_over_related_rows_of_no_rows_is_nothing(scope: None) -> None:
    """As every other aggregate is."""
    nobody = QuerySet(Author).filter(id=-1)
    assert await nobody.aggregate(n=Count("books", distinct=True)) == {"n": 0}
    assert await nobody.aggregate(n=Count("books", distinct=True), m=Count("*")) == {"n": 0, "m": 0}
    assert await QuerySet(Author).aggregate(n=Count("books__pages", distinct=True)) == {"n": 2}


async def test_a_distinct_aggregate_over_related_rows_keeps_annotations_in_sql(scope: None) -> None:
    """Its subquery is on the rows that are narrowed by them."""
    narrowed = QuerySet(Author).annotate(following=Author.id + 1).filter(following=2)
    assert await narrowed.aggregate(n=Count("books", distinct=True)) == {"n": 2}


async def test_a_name_is_shown_once(scope: None) -> None:
    """A dict has it once anyway, and a tuple would lose its places."""
    assert await QuerySet(Author).filter(id=1).values("id", "id") == [{"id": 1}]
    with pytest.raises(ValueError, match="each name once"):
        QuerySet(Author).values_list("id", "id", "name")


async def test_nulls_stand_alike_for_columns_and_for_names(scope: None) -> None:
    """On every database; what the expression says itself wins."""
    authors = QuerySet(Author)

    async def ranks(*order: Any) -> list[int | None]:
        found: list[int | None] = await authors.order_by(*order).values_list("rank", flat=True)
        return found

    assert await ranks(Author.rank, "id") == await ranks("rank", "id")
    assert await ranks(Author.rank.desc(), "id") == await ranks("-rank", "id")
    assert (await ranks(Author.rank.nulls_first()))[0] is None
    assert (await ranks(Author.rank.desc().nulls_last()))[-1] is None
    ascending = await authors.order_by(Author.rank, Author.id).values_list("id", flat=True)
    assert await authors.order_by(Author.rank, Author.id).reverse().values_list("id", flat=True) == ascending[::-1]


async def test_changed_objects_get_the_relations_that_a_query_loads(scope: None) -> None:
    """And keep their changes."""
    book = await QuerySet(Book).get(id=1)
    book.title = "changed"
    assert await QuerySet(Book).select_related("author").prefetch_related("chapters").get(id=1) is book
    assert book.title == "changed"
    assert book.author is not None
    assert book.author.id == 1
    assert [chapter.id for chapter in book.chapters] == [1, 2]
    await Repository(Book).update(book, {"pages": 5})
    assert await QuerySet(Book).filter(id=1).values("title", "pages") == [{"title": "changed", "pages": 5}]


@pytest.mark.parametrize("name", ["_sa_instance_state", "__class__", "metadata", "registry", "_hidden"])
def test_an_annotation_takes_no_name_that_an_object_needs(name: str) -> None:
    """It would be written over."""
    with pytest.raises(ValueError, match="annotate"):
        QuerySet(Author).annotate(**{name: F("id")})


async def test_objects_of_sqlmodel_get_annotations(database: str) -> None:
    """Though they take no attributes but their fields."""
    async with get_engine().begin() as connection:
        await connection.run_sync(SQLModelTeam.metadata.create_all)
    async with session_scope():
        team = await Repository(SQLModelTeam).create({"name": "red"})
        found = await Repository(SQLModelTeam).objects.annotate(following=F("id") + 1)
        assert [vars(row)["following"] for row in found] == [(team.id or 0) + 1]


async def test_objects_without_all_columns_have_their_version(database: str) -> None:
    """So that they do not overwrite what they have not seen."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Model.metadata.create_all, tables=[Model.metadata.tables["review_note"]])
    notes = Repository(ReviewNote)
    async with session_scope():
        key = (await notes.create({"body": "a"})).id
    async with session_scope():
        few = await notes.objects.only("stars").get(id=key)
        less = await notes.objects.defer("version", "body").get(id=key)
        assert less is few
        async with session_scope():
            await notes.objects.filter(id=key).update(stars=5)
        with pytest.raises(StaleVersion):
            await notes.update(few, {"stars": 1})
    async with session_scope():
        assert (await notes.objects.get(id=key)).stars == 5


@pytest.mark.parametrize("model", [Author, Box], ids=["directly", "by a flush"])
async def test_nobody_deletes_a_row_out_of_reach(library: str, model: type[Any]) -> None:
    """By the object of it, however it was come by; and where the policy needs an access, nobody without one."""
    rows = Repository(model)
    async with session_scope():
        mine, other = await rows.create({"id": 201}), await rows.create({"id": 202})
    register_policy(model, keeps_even, keeps_even, "Test", requires_access=True)
    async with session_scope(access=READER):
        with pytest.raises(DoesNotExist):
            await rows.delete(mine)
        with pytest.raises(DoesNotExist):
            await rows.purge(mine)
        await rows.delete(other)
        with unrestricted(model):
            assert await rows.objects.filter(id__gt=200).values_list("id", flat=True) == [201]
    async with session_scope():
        with pytest.raises(AccessRequired):
            await rows.delete(mine)
    async with session_scope(access=READER):
        with unrestricted(model):
            await rows.delete(await rows.objects.get(id=201))


@pytest.mark.parametrize("listens", [False, True], ids=["directly", "by a flush"])
async def test_nobody_hides_a_row_out_of_reach(database: str, listens: bool) -> None:
    """Hiding is deleting."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Model.metadata.create_all, tables=[Model.metadata.tables["review_page"]])
    pages = Repository(ReviewPage)
    async with session_scope():
        page = await pages.create({"id": 1})
    register_policy(ReviewPage, keeps_even, keeps_even, "Test")
    async with session_scope(access=READER):
        with unrestricted(ReviewPage):
            page = await pages.objects.get(id=1)
        if listens:
            event.listen(ReviewPage, "before_update", lambda *_: None)
        with pytest.raises(DoesNotExist):
            await pages.delete(page)
        with unrestricted(ReviewPage):
            assert await pages.objects.count() == 1


async def test_a_moment_with_a_zone_is_none_without(database: str) -> None:
    """SQLite would compare the clock's time and forget the zone."""
    with pytest.raises(ValueError, match="at has no time zone"):
        QuerySet(ReviewPage).filter(at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)).count_statement()


async def test_truth_is_no_number(scope: None) -> None:
    """PostgreSQL would not compare them, and SQLite would."""
    with pytest.raises(ValueError, match="id is compared with int or float or Decimal, not with bool"):
        await QuerySet(Author).filter(id=True)
    with pytest.raises(ValueError, match="not with bool"):
        await QuerySet(Shelf).filter(since__year__gt=True)


async def test_keys_of_json_are_found_however_json_writes_them(scope: None) -> None:
    """SQLite compares them as they stand in the document."""
    note = {"ü": 1, "a\\b": 2, "two\nlines": 3, "d.t": 4}
    async with atomic():
        await Repository(Defaults).create({"note": note})
        for key, value in note.items():
            assert await QuerySet(Defaults).filter(**{f"note__{key}": value}).count() == 1
        assert await QuerySet(Defaults).filter(**{"note__\x01": 1}).count() == 0


async def test_an_error_that_is_caught_does_not_keep_what_a_single_statement_wrote(library: str) -> None:
    """The transaction ends with it, so that none is changed."""
    register_policy(Box, keeps_even, keeps_even, "Test")
    read = Read(select_for(AuthorName, Box, "test"))
    boxes = Repository(Box)
    with pytest.raises(TransactionAborted):
        async with session_scope(access=READER), atomic():
            with pytest.raises(RowPolicyViolation):
                await boxes.insert_row({"id": 201}, read)
    authors = Read(select_for(AuthorName, Author, "test"))
    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                with pytest.raises(MultipleObjectsReturned):
                    await Repository(Author).update_rows({"rank": 77}, authors, [Author.id > 0])
        with pytest.raises(TransactionAborted):
            async with atomic():
                with pytest.raises(MultipleObjectsReturned):
                    await Repository(Copy).delete_rows([Copy.id > 0])
        assert await boxes.objects.count() == 0
        assert await QuerySet(Author).filter(rank=77).count() == 0
        assert await QuerySet(Copy).count() == 4


async def test_callers_who_name_one_related_row_in_two_ways_get_one_row(library: str) -> None:
    """By its object, or by its key."""

    async def book(number: int) -> tuple[Book, bool]:
        async with session_scope():
            if number % 2:
                return await QuerySet(Book).get_or_create(author_id=1, title="One")
            return await QuerySet(Book).get_or_create(author=await QuerySet(Author).get(id=1), title="One")

    found = await asyncio.gather(*(book(number) for number in range(8)))
    assert len({made.id for made, _ in found}) == 1
    assert sum(created for _, created in found) == 1


def test_a_queryset_is_made_before_anyone_asks() -> None:
    """Policies are asked when a statement is made."""

    def refused(access: Access) -> Condition:
        raise AssertionError

    register_policy(Author, refused, refused, "Test", requires_access=True)
    books = QuerySet(Book).order_by("author__name").annotate(first=F("author__name"), n=Min("author__rank"))
    books.order_by(F("author__name").desc(), "first", "n").distinct("author__name").values("author__name", "first", "n")
