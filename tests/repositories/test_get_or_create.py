"""Find a row or create it: one row, whoever else does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fastapix5.access import Access
from fastapix5.db import atomic, session_scope
from fastapix5.exceptions import (
    LengthViolation,
    MultipleObjectsReturned,
    RowPolicyViolation,
    UniqueViolation,
)
from fastapix5.repositories import Condition, F, Q, QuerySet, Repository, UnknownPath, register_policy
from fastapix5.settings import override_settings
from tests.repositories.models import SINCE, Account, Author, Book, City, Draft, Employee, Order, Point, Shelf, Tag
from tests.statements import Statements

pytestmark = pytest.mark.anyio

CALLERS = 50


@pytest.fixture
def patient(configured_database: str) -> Iterator[None]:
    """A slow machine may need more than two seconds for fifty callers at ten connections."""
    with override_settings(POOL_TIMEOUT=5.0, LOCK_TIMEOUT=5.0):
        yield


def objects(model: type[Any]) -> QuerySet[Any]:
    return Repository(model).objects


async def test_a_row_that_is_there_is_found_in_one_statement(scope: None, statements: Statements) -> None:
    """And nothing is written."""
    statements.reset()
    tag, created = await objects(Tag).get_or_create(word="old", defaults={"id": 77})
    assert (tag.id, created) == (1, False)
    assert await statements.count() == 1


async def test_a_row_that_is_not_there_is_created(scope: None) -> None:
    """From the lookups that say what it has, and the defaults, whose callables are called."""
    author, created = await objects(Author).get_or_create(
        name__iexact="eve", rank=5, defaults={"name": lambda: "Eve", "mentor": await objects(Author).get(id=1)}
    )
    assert ((author.name, author.rank, author.mentor_id), created) == (("Eve", 5, 1), True)
    again, created = await objects(Author).get_or_create(name__iexact="EVE", rank=5)
    assert (again, created) == (author, False)
    book, created = await objects(Book).get_or_create(author__name="Ada", title="New", defaults={"author_id": 1})
    assert ((book.title, book.author_id), created) == (("New", 1), True)
    other, created = await objects(Book).filter(pages__gt=1000).get_or_create(title="Alpha", author=author)
    assert ((other.title, other.author_id, other.pages), created) == (("Alpha", author.id, None), True)


async def test_a_row_that_is_there_is_updated(scope: None) -> None:
    """With defaults, which may be expressions; a new one gets what is meant for it."""
    author, created = await objects(Author).update_or_create(id=4, defaults={"rank": F("rank") + 5, "name": str})
    assert ((author.name, author.rank), created) == (("", 7), False)
    author, created = await objects(Author).update_or_create({"rank": 1}, {"rank": 2}, name="Eve")
    assert ((author.name, author.rank), created) == (("Eve", 2), True)
    author, created = await objects(Author).update_or_create({"rank": 1}, {"rank": 2}, name="Eve")
    assert ((author.name, author.rank), created) == (("Eve", 1), False)
    draft, created = await objects(Draft).update_or_create(body="a")
    assert (draft.version, created) == (1, True)
    draft, created = await objects(Draft).update_or_create({"body": "b"}, body="a")
    assert ((draft.body, draft.version), created) == (("b", 2), False)


@pytest.mark.parametrize(
    ("model", "lookups", "defaults"),
    [
        (Shelf, {"room": "z", "since": SINCE}, {"label": "x"}),
        (Shelf, {"pk": ("z", SINCE)}, {"label": "x"}),
        (Order, {"group": "a"}, {"parent_id": None}),
        (City, {"name": "Rome"}, {}),
        (Point, {"x": 1}, {"y": 2}),
        (Account, {"email": "a@b"}, {}),
        (Employee, {"name": "Eve"}, {"salary": 1}),
    ],
)
async def test_every_kind_of_model_is_found_or_created(
    scope: None, model: type[Any], lookups: dict[str, Any], defaults: dict[str, Any]
) -> None:
    """Composite keys, awkward names, imperative models, dataclasses, validators, inheritance."""
    first, created = await objects(model).get_or_create(defaults, **lookups)
    assert created
    for name, value in defaults.items():
        assert getattr(first, name) == value
    assert await objects(model).get_or_create(defaults, **lookups) == (first, False)
    assert await objects(model).update_or_create(defaults, **lookups) == (first, False)


async def test_several_rows_that_match_are_refused(scope: None) -> None:
    """Also where nobody asked for a lock."""
    with pytest.raises(MultipleObjectsReturned):
        await objects(Book).get_or_create(title="Alpha")
    with pytest.raises(MultipleObjectsReturned):
        await objects(Book).update_or_create({"pages": 1}, title="Alpha")


async def test_what_cannot_be_created_is_refused(scope: None) -> None:
    """Names, values, and querysets that have no rows of their own; nothing is written."""
    with pytest.raises(UnknownPath):
        await objects(Tag).get_or_create(wort="x")
    with pytest.raises(UnknownPath):
        await objects(Tag).get_or_create({"wort": "x"}, word="x")
    with pytest.raises(LengthViolation):
        await objects(Tag).get_or_create(word="x" * 21)
    with pytest.raises(UniqueViolation):
        await objects(Tag).get_or_create({"id": 1}, word="x")
    with pytest.raises(UniqueViolation):
        await objects(Tag).update_or_create({"id": 1}, word="x")
    with pytest.raises(UniqueViolation):
        await objects(Tag).update_or_create({"word": "new"}, word="old")
    with pytest.raises(TypeError):
        await objects(Tag)[:1].get_or_create(word="x")
    with pytest.raises(TypeError):
        await objects(Tag).values("word").get_or_create(word="x")
    assert await objects(Tag).order_by("id").values_list("word", flat=True) == ["old", "new", "rare"]


async def test_a_failure_leaves_the_transaction_around_it_as_it_was(scope: None) -> None:
    """What was done before and is done afterwards is kept."""
    async with atomic():
        await objects(Tag).create(word="before")
        with pytest.raises(UniqueViolation):
            await objects(Tag).get_or_create({"id": 1}, word="x")
        assert (await objects(Tag).get_or_create(word="after"))[1]
        assert not (await objects(Tag).get_or_create(word="before"))[1]
    assert await objects(Tag).count() == 5


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("model", "lookups"), [(Tag, {"word": "hot"}), (Author, {"name": "hot"}), (Employee, {"name": "hot", "salary": 1})]
)
async def test_fifty_callers_get_one_row(
    patient: None, library: str, model: type[Any], lookups: dict[str, Any], inside: bool
) -> None:
    """With a unique constraint and without; inside atomic and outside."""

    async def call() -> tuple[Any, bool]:
        async with session_scope():
            if not inside:
                found, created = await objects(model).get_or_create(**lookups)
                return found.id, created
            async with atomic():
                found, created = await objects(model).get_or_create(**lookups)
                await asyncio.sleep(0)
            return found.id, created

    results = await asyncio.gather(*(call() for _ in range(CALLERS)))
    assert len({key for key, _ in results}) == 1
    assert [created for _, created in results].count(True) == 1


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("model", [Tag, Author])
async def test_fifty_callers_update_one_row(patient: None, library: str, model: type[Any], inside: bool) -> None:
    """Each after the other: none of their updates is lost."""
    name = "word" if model is Tag else "name"
    lookups = {name: "hot"}

    async def write() -> bool:
        return bool((await objects(model).update_or_create({"id": F("id") + 1}, {"id": 1000}, **lookups))[1])

    async def call() -> bool:
        async with session_scope():
            if not inside:
                return await write()
            async with atomic():
                return await write()

    results = await asyncio.gather(*(call() for _ in range(CALLERS)))
    assert results.count(True) == 1
    async with session_scope():
        assert (await objects(model).get(**lookups)).id == 1000 + CALLERS - 1


def old_words(access: Access) -> Condition | None:
    """Words that are not rare."""
    return Q(word__ne="rare")


async def test_a_row_out_of_reach_is_a_conflict(library: str) -> None:
    """Never the row; where nothing is unique, it is as good as missing."""
    register_policy(Tag, old_words, old_words, "Tags")

    def short(access: Access) -> Condition | None:
        return Q(pages__lt=200)

    register_policy(Book, short, short, "Books")
    async with session_scope(access=Access(user_id="reader")):
        with pytest.raises(UniqueViolation):
            await objects(Tag).get_or_create(word="rare")
        with pytest.raises(UniqueViolation):
            await objects(Tag).update_or_create({"id": 9}, word="rare")
        book, created = await objects(Book).get_or_create(title="Gamma", defaults={"pages": 1})
        assert created
        key = book.id
        with pytest.raises(RowPolicyViolation):
            await objects(Book).get_or_create(title="New", defaults={"pages": 900})
        with pytest.raises(RowPolicyViolation):
            await objects(Book).update_or_create({"pages": 900}, title="Gamma")
        assert await objects(Book).filter(title__in=["New", "Gamma"]).count() == 1
    async with session_scope():
        assert await objects(Tag).count() == 3
        assert (await objects(Book).get(id=key)).pages == 1
