"""Reads into schemas: only the schema's columns, in a number of statements that rows do not change."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model
from sqlalchemy import insert

from fastapix5.db import get_session
from fastapix5.exceptions import DoesNotExist, ImproperlyConfigured, MultipleObjectsReturned
from fastapix5.repositories import QuerySet, Read
from fastapix5.schemas import select_for
from tests.repositories.models import LATER, SINCE, Author, Book, Color, Copy, Employee, Order, Shelf, Tag, book_tag
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class TagRead(BaseModel):
    word: str


class ChapterRead(BaseModel):
    heading: str


class AuthorBrief(BaseModel):
    name: str | None


class BookBrief(BaseModel):
    title: str
    tags: list[TagRead]


class BookRead(BaseModel):
    title: str
    author: AuthorBrief | None
    tags: list[TagRead]
    chapters: list[ChapterRead]


class AuthorRead(BaseModel):
    id: int
    mentor: AuthorBrief | None
    books: list[BookBrief]


class ShelfBrief(BaseModel):
    label: str
    since: dt.datetime


class BookWithMentor(BaseModel):
    id: int
    author: AuthorWithMentor | None


class AuthorWithMentor(BaseModel):
    name: str | None
    mentor: AuthorRead | None


class CopyRead(BaseModel):
    id: int
    shelf: ShelfBrief | None
    book: BookRead | None


class CopyKey(BaseModel):
    id: int


class ShelfRead(BaseModel):
    label: str
    copies: list[CopyKey]


async def test_only_the_columns_of_the_schema_are_selected(scope: None, statements: Statements) -> None:
    """And the key, where relations need it."""
    statements.reset()
    found = await QuerySet(Author).filter(id=1).as_schema(AuthorBrief)
    assert [item.model_dump() for item in found] == [{"name": "Ada"}]
    (statement,) = await statements.read()
    assert "author.name" in statement.text
    assert "rank" not in statement.text


async def test_related_rows_stand_below_each_row(scope: None, statements: Statements) -> None:
    """To one by a join, to many ordered by primary key, through a secondary table too."""
    statements.reset()
    books = await QuerySet(Book).order_by("id").as_schema(BookRead)
    assert await statements.count() == 3
    assert [book.model_dump() for book in books[:2]] == [
        {
            "title": "Alpha",
            "author": {"name": "Ada"},
            "tags": [{"word": "old"}, {"word": "new"}],
            "chapters": [{"heading": "One"}, {"heading": "Two"}],
        },
        {"title": "Beta", "author": {"name": "Ada"}, "tags": [{"word": "old"}], "chapters": [{"heading": "One"}]},
    ]
    assert books[3].model_dump() == {"title": "Alpha", "author": None, "tags": [], "chapters": []}


async def test_more_rows_take_no_more_statements(scope: None, statements: Statements) -> None:
    """Nested two levels."""
    session = get_session()
    await session.execute(insert(Author), [{"id": key, "name": f"{key}", "rank": 9} for key in range(200, 260)])
    await session.execute(insert(Book), [{"id": key, "title": "x", "author_id": key} for key in range(200, 260)])
    await session.execute(insert(book_tag), [{"book_id": key, "tag_id": 1} for key in range(200, 260)])
    counts = []
    for condition in ({"id": 1}, {"rank": 9}):
        statements.reset()
        found = await QuerySet(Author).filter(**condition).ordered().as_schema(AuthorRead)
        counts.append((len(found), await statements.count()))
        assert found[-1].books[-1].tags == [TagRead(word="old")]
    assert counts == [(1, 3), (60, 3)]


async def test_a_relation_to_the_same_table_is_another_row(scope: None) -> None:
    """To one and to many, two levels up."""
    authors = {author.id: author for author in await QuerySet(Author).as_schema(AuthorRead)}
    assert authors[2].mentor == AuthorBrief(name="Ada")
    assert authors[1].mentor is None
    books = {book.id: book for book in await QuerySet(Book).as_schema(BookWithMentor)}
    assert books[3].model_dump() == {
        "id": 3,
        "author": {
            "name": "ada_b%",
            "mentor": {
                "id": 1,
                "mentor": None,
                "books": [
                    {"title": "Alpha", "tags": [{"word": "old"}, {"word": "new"}]},
                    {"title": "Beta", "tags": [{"word": "old"}]},
                ],
            },
        },
    }
    assert books[1].author == AuthorWithMentor(name="Ada", mentor=None)
    assert books[4].author is None


async def test_composite_keys_join_and_group(scope: None) -> None:
    """In both directions, with a time in the key."""
    copies = await QuerySet(Copy).order_by("id").as_schema(CopyRead)
    assert [copy.shelf and copy.shelf.label for copy in copies] == ["first", "first", "second", None]
    assert copies[2].shelf == ShelfBrief(label="second", since=LATER)
    shelves = await QuerySet(Shelf).order_by("label").as_schema(ShelfRead)
    assert [[copy.id for copy in shelf.copies] for shelf in shelves] == [[1, 2], [3], []]


async def test_expressions_are_columns_too(scope: None) -> None:
    """A hybrid, a column_property, an enumeration, a Decimal, under the names that the schema gives them."""

    class Shown(BaseModel):
        name: str = Field(validation_alias="title")
        chapter_count: int
        color: Color | None
        price: decimal.Decimal | None

    class Labelled(BaseModel):
        label: str | None

    book = await QuerySet(Book).filter(id=1).get_as(Shown)
    assert book == Shown.model_construct(name="Alpha", chapter_count=2, color=Color.RED, price=decimal.Decimal("9.50"))
    assert (await QuerySet(Author).filter(id=1).get_as(Labelled)).label == "Ada!"
    assert (await QuerySet(Author).filter(id=3).get_as(Labelled)).label is None


async def test_slices_hold_although_rows_are_joined(scope: None) -> None:
    """A slice counts rows of the model."""
    books = await QuerySet(Book).order_by("-id")[1:3].as_schema(BookRead)
    assert [book.title for book in books] == ["Alpha", "Gamma"]


async def test_awkward_names_are_quoted(scope: None) -> None:
    """Reserved words, mixed case and blanks."""

    class Parent(BaseModel):
        group: str

    class Shown(BaseModel):
        id: int
        group: str
        parent: Parent | None

    await get_session().execute(
        insert(Order), [{"id": 1, "group": "a", "parent_id": None}, {"id": 2, "group": "b", "parent_id": 1}]
    )
    found = await QuerySet(Order).order_by("-group").as_schema(Shown)
    assert [item.parent for item in found] == [Parent(group="a"), None]


async def test_a_subclass_reads_both_of_its_tables(scope: None) -> None:
    """Joined-table inheritance."""

    class Shown(BaseModel):
        name: str
        salary: int

    session = get_session()
    session.add(Employee(id=1, name="Eve", salary=10))
    await session.flush()
    assert await QuerySet(Employee).filter(name="Eve").as_schema(Shown) == [Shown(name="Eve", salary=10)]


async def test_get_as_returns_the_only_row(scope: None) -> None:
    """It raises as get does."""
    assert await QuerySet(Tag).filter(word="old").get_as(TagRead) == TagRead(word="old")
    with pytest.raises(DoesNotExist):
        await QuerySet(Tag).filter(word="none").get_as(TagRead)
    with pytest.raises(MultipleObjectsReturned):
        await QuerySet(Tag).get_as(TagRead)


async def test_a_schema_that_fits_no_model_stops(scope: None) -> None:
    """Before anything is asked."""

    class Wrong(BaseModel):
        wrod: str

    with pytest.raises(ImproperlyConfigured, match=r'Wrong\.wrod stands for no attribute of Tag\. Did you mean "word"'):
        await QuerySet(Tag).as_schema(Wrong)


async def test_a_read_selects_further_attributes_on_demand(scope: None) -> None:
    """Such as the key that a Location needs."""
    read = Read(select_for(TagRead, Tag, "test"), extra=("id",))
    rows = (await get_session().execute(read.statement(QuerySet(Tag).filter(word="new").statement()))).all()
    assert [read.extra_of(row) for row in rows] == [(2,)]


async def test_an_object_shows_the_same_as_its_row(scope: None, statements: Statements) -> None:
    """Loaded with the relations that the schema shows, in as many statements."""
    for model, schema in ((Book, BookRead), (Author, AuthorRead), (Copy, CopyRead), (Shelf, ShelfRead)):
        selection = select_for(schema, model, "test")
        queryset: QuerySet[Any] = QuerySet(model).ordered()
        statements.reset()
        from_rows = await queryset.as_schema(schema)
        needed = await statements.count()
        statements.reset()
        objects = await queryset.loading(selection).all()
        assert await statements.count() <= needed
        assert [selection.from_object(found).model_dump() for found in objects] == [
            found.model_dump() for found in from_rows
        ], model


async def test_fields_come_out_in_the_order_of_the_schema(scope: None) -> None:
    """Whatever they stand for."""

    class Mixed(BaseModel):
        tags: list[TagRead]
        author: AuthorBrief | None
        title: str

    book = await QuerySet(Book).filter(id=2).get_as(Mixed)
    assert book.model_dump_json() == '{"tags":[{"word":"old"}],"author":{"name":"Ada"},"title":"Beta"}'


async def test_a_field_may_have_any_name(scope: None) -> None:
    """Also one that would mean something in Python."""
    names = ["it's", 'a"b\\', "class", "row", "related", "{row[0]}", "x]}\n"]
    fields: dict[str, Any] = {name: (str, Field(validation_alias="word")) for name in names}
    schema = create_model("Odd", **fields)
    assert [item.model_dump() for item in await QuerySet(Tag).filter(id=1).as_schema(schema)] == [
        dict.fromkeys(names, "old")
    ]


async def test_many_owners_are_asked_in_several_statements(scope: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no statement binds more than a database takes."""
    monkeypatch.setattr("fastapix5.repositories.reads.KEYS_PER_STATEMENT", 2)
    shelves = await QuerySet(Shelf).order_by("label").as_schema(ShelfRead)
    assert [[copy.id for copy in shelf.copies] for shelf in shelves] == [[1, 2], [3], []]
    authors = await QuerySet(Author).order_by("id").as_schema(AuthorRead)
    assert [len(author.books) for author in authors] == [2, 1, 1, 0, 0, 0, 0]


async def test_a_time_is_aware_on_both_engines(scope: None) -> None:
    """In UTC."""
    shelves = await QuerySet(Shelf).filter(since=SINCE).order_by("room").as_schema(ShelfBrief)
    assert [shelf.since.tzinfo for shelf in shelves] == [dt.UTC, dt.UTC]
