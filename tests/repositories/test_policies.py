"""Row policies and foreign keys: which rows a caller reaches, and which it may refer to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from fastapix5.access import Access
from fastapix5.db import session_scope
from fastapix5.exceptions import (
    AccessRequired,
    DoesNotExist,
    ForeignKeyViolation,
    ImproperlyConfigured,
    RowPolicyViolation,
)
from fastapix5.repositories import Condition, Q, QuerySet, Read, Repository, policy_condition, register_policy
from fastapix5.schemas import select_for
from tests.repositories.models import LATER, SINCE, Author, Book, Copy, Employee, Order, Person, Shelf
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class BookRead(BaseModel):
    id: int
    title: str


class CopyRead(BaseModel):
    id: int


class AuthorRead(BaseModel):
    id: int


def short_books(access: Access) -> Condition | None:
    """Everybody but the librarian reaches books of less than 200 pages."""
    return None if access.user_id == "librarian" else Q(pages__lt=200)


def first_shelf(access: Access) -> Condition | None:
    """One shelf."""
    return Q(label="first")


def ranked(access: Access) -> Condition | None:
    """Authors with a high rank, as an expression."""
    return Author.rank >= 2


@pytest.fixture
def policies() -> None:
    """A policy on books, authors and shelves."""
    register_policy(Book, short_books, short_books, "Books")
    register_policy(Shelf, first_shelf, first_shelf, "Shelves")
    register_policy(Author, ranked, ranked, "Authors")


@pytest.fixture
async def reader(library: str, policies: None) -> AsyncIterator[None]:
    """A scope in which a reader asks."""
    async with session_scope(access=Access(user_id="reader")):
        yield


async def all_books() -> dict[int, str]:
    """Every book, whoever asks: in a scope without an access."""
    async with session_scope(access=Access(user_id="librarian")):
        return {book.id: book.title for book in await QuerySet(Book).all()}


async def test_a_policy_narrows_the_objects_of_a_repository(reader: None) -> None:
    """Every verb."""
    objects = Repository(Book).objects
    assert sorted(book.id for book in await objects.all()) == [1, 4, 5]
    assert await objects.filter(title="Alpha").count() == 2
    with pytest.raises(DoesNotExist):
        await objects.get(id=3)
    assert not await objects.filter(id=3).exists()


async def test_a_policy_that_returns_none_means_all_rows(library: str, policies: None) -> None:
    """And without an access none applies."""
    async with session_scope(access=Access(user_id="librarian")):
        assert await Repository(Book).objects.count() == 5
    async with session_scope():
        assert await Repository(Book).objects.count() == 5


async def create(values: dict[str, Any]) -> None:
    """By the object."""
    await Repository(Book).create(values)


async def insert(values: dict[str, Any]) -> None:
    """By one statement."""
    await Repository(Book).insert_row(values, Read(select_for(BookRead, Book, "test")))


async def update(values: dict[str, Any]) -> None:
    """Of the first book, by the object."""
    await Repository(Book).update(await QuerySet(Book).get(id=1), values)


async def change(values: dict[str, Any]) -> None:
    """Of the first book, by one statement."""
    conditions = Repository(Book).objects.filter(id=1).where()
    await Repository(Book).update_rows(values, Read(select_for(BookRead, Book, "test")), conditions)


Write = Callable[[dict[str, Any]], Awaitable[None]]
every_way = pytest.mark.parametrize("write", [create, insert, update, change])


@every_way
async def test_a_write_must_not_leave_the_policy(reader: None, write: Write) -> None:
    """Nothing is kept, also where no transaction was open."""
    before = await all_books()
    for pages in (500, None):
        with pytest.raises(RowPolicyViolation):
            await write({"title": "New", "pages": pages})
    assert await all_books() == before
    await write({"title": "New", "pages": 1})
    assert "New" in (await all_books()).values()


@every_way
async def test_a_missing_row_is_named_by_the_field_that_refers_to_it(scope: None, write: Write) -> None:
    """On both engines."""
    with pytest.raises(ForeignKeyViolation) as caught:
        await write({"title": "New", "author_id": 77})
    assert caught.value.fields == ("author_id",)


@every_way
async def test_a_row_out_of_reach_is_as_good_as_missing(reader: None, write: Write) -> None:
    """The error is the same."""
    before = await all_books()
    for author in (3, 77):
        with pytest.raises(ForeignKeyViolation) as caught:
            await write({"title": "New", "pages": 1, "author_id": author})
        assert caught.value.fields == ("author_id",)
    assert await all_books() == before
    await write({"title": "New", "pages": 1, "author_id": 4})
    await write({"title": "Newer", "pages": 1, "author_id": None})


async def test_one_of_several_references_is_named(scope: None) -> None:
    """The one that fails, composite ones by all of their fields."""
    read = Read(select_for(CopyRead, Copy, "test"))
    cases = (
        ({"book_id": 77}, ("book_id",)),
        ({"book_id": 1, "shelf_room": "z", "shelf_since": SINCE}, ("shelf_room", "shelf_since")),
        ({"book_id": 77, "shelf_room": "a", "shelf_since": SINCE}, ("book_id",)),
    )
    for values, fields in cases:
        with pytest.raises(ForeignKeyViolation) as caught:
            await Repository(Copy).insert_row(values, read)
        assert caught.value.fields == fields
    with pytest.raises(ForeignKeyViolation) as caught:
        await Repository(Copy).update_rows({"shelf_room": "z"}, read, QuerySet(Copy).filter(id=1).where())
    assert caught.value.fields == ("shelf_room", "shelf_since")
    await Repository(Copy).insert_row({"shelf_room": "z", "shelf_since": None}, read)


async def test_a_composite_reference_that_is_written_in_part_is_checked_as_a_whole(reader: None) -> None:
    """What is not written is the row's own."""
    read = Read(select_for(CopyRead, Copy, "test"))
    here = QuerySet(Copy).filter(id=3)
    with pytest.raises(ForeignKeyViolation) as caught:
        await Repository(Copy).update_rows({"shelf_room": "a"}, read, here.where())
    assert caught.value.fields == ("shelf_room", "shelf_since")
    with pytest.raises(ForeignKeyViolation):
        await Repository(Copy).update(await here.get(), {"shelf_room": "a"})
    with pytest.raises(ForeignKeyViolation):
        await Repository(Copy).update_rows({"shelf_since": LATER}, read, here.where())
    assert await Repository(Copy).update_rows({"shelf_since": SINCE}, read, here.where()) is not None
    assert await Repository(Copy).update_rows({"shelf_room": "a"}, read, here.where()) is not None
    assert await Repository(Copy).update_rows({"shelf_room": None}, read, here.where()) is not None
    assert await Repository(Copy).update_rows({"shelf_room": "b"}, read, QuerySet(Copy).filter(id=77).where()) is None


async def test_references_out_of_reach_travel_in_the_statement(reader: None, statements: Statements) -> None:
    """What a policy narrows is asked in the write itself."""
    read = Read(select_for(CopyRead, Copy, "test"))
    statements.reset()
    await Repository(Copy).insert_row({"book_id": 1}, read)
    assert await statements.count() == 1


async def test_a_reference_to_the_same_table_is_checked(library: str) -> None:
    """The row that is written is another one."""

    def own_group(access: Access) -> Condition:
        return Q(group=access.user_id)

    register_policy(Order, own_group, own_group, "Orders")
    read = Read(select_for(AuthorRead, Order, "test"))
    async with session_scope():
        await Repository(Order).insert_row({"id": 1, "group": "b"}, read)
    async with session_scope(access=Access(user_id="a")):
        await Repository(Order).insert_row({"id": 2, "group": "a"}, read)
        await Repository(Order).insert_row({"id": 3, "group": "a", "parent_id": 2}, read)
        with pytest.raises(ForeignKeyViolation):
            await Repository(Order).insert_row({"id": 4, "group": "a", "parent_id": 1}, read)
        with pytest.raises(ForeignKeyViolation):
            conditions = Repository(Order).objects.filter(id=2).where()
            await Repository(Order).update_rows({"parent_id": 1}, read, conditions)


async def test_a_policy_holds_for_subclasses(library: str) -> None:
    """In joined-table inheritance too; their own narrows further."""

    def named(access: Access) -> Condition:
        return Q(name=access.user_id)

    def paid(access: Access) -> Condition:
        return Employee.salary > 5

    async with session_scope():
        for name, salary in (("eve", 10), ("eve", 1), ("bob", 10)):
            await Repository(Employee).create({"name": name, "salary": salary})
    register_policy(Person, named, named, "People")
    async with session_scope(access=Access(user_id="eve")):
        assert await Repository(Employee).objects.count() == 2
        register_policy(Employee, paid, paid, "Employees")
        assert await Repository(Employee).objects.count() == 1
        with pytest.raises(RowPolicyViolation):
            await Repository(Employee).create({"name": "bob", "salary": 10})
        assert await Repository(Person).objects.count() == 1


async def test_two_different_policies_for_one_model_are_refused() -> None:
    """The same one may come twice."""
    register_policy(Book, short_books, short_books, "Books")
    register_policy(Book, short_books, short_books, "OtherBooks")
    with pytest.raises(ImproperlyConfigured, match="Others: Book has another row policy already \\(short_books\\)"):
        register_policy(Book, ranked, ranked, "Others")


async def test_a_write_of_several_tables_is_kept_whole_or_not_at_all(scope: None) -> None:
    """Also where no transaction was open."""
    with pytest.raises(Exception, match="null"):
        await Repository(Employee).create({"name": "eve"})
    assert await QuerySet(Person).count() == 0


def test_an_inherited_policy_may_require_an_access() -> None:
    """The class that asks for more says so; a class without a policy has nothing to ask for."""

    class Plain(Repository[Book]):
        def row_policy(self, access: Access) -> Q:
            return Q(id=1)

    assert policy_condition(Book) is None

    class Strict(Plain):
        policy_requires_access = True

    with pytest.raises(AccessRequired, match="session_scope"):
        policy_condition(Book)
    with pytest.raises(ImproperlyConfigured, match="no row_policy"):

        class Empty(Repository[Author]):
            policy_requires_access = True
