"""What a write by key never does: touch several rows, pass listeners by, or leave what its caller may reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, event, inspect
from sqlalchemy.orm import Session, registry

from fastapix5.db import in_atomic
from fastapix5.exceptions import MultipleObjectsReturned, RowPolicyViolation
from fastapix5.repositories import QuerySet, Read, Repository
from fastapix5.repositories.references import references
from fastapix5.repositories.writes import names_one_row
from fastapix5.schemas import select_for
from tests.repositories.models import Book, Copy, Order, Shelf, Tag
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class BookRead(BaseModel):
    id: int
    title: str


def read() -> Read:
    return Read(select_for(BookRead, Book, "test"))


@contextmanager
def listening(target: Any, name: str, listener: Any, **options: Any) -> Iterator[None]:
    event.listen(target, name, listener, **options)
    yield
    event.remove(target, name, listener)


async def test_a_write_by_key_touches_one_row_or_none(scope: None) -> None:
    """Where several match, nothing is changed, also where no transaction was open."""
    alpha = QuerySet(Book).filter(title="Alpha").where()
    with pytest.raises(MultipleObjectsReturned):
        await Repository(Book).update_rows({"pages": 1}, read(), alpha)
    copies = QuerySet(Copy).filter(shelf_room="a").where()
    with pytest.raises(MultipleObjectsReturned):
        await Repository(Copy).delete_rows(copies)
    assert not in_atomic()
    assert await QuerySet(Book).filter(pages=1).count() == 0
    assert await QuerySet(Copy).count() == 4
    assert await Repository(Copy).delete_rows(copies, several=True) == 3


async def test_a_write_by_a_unique_key_needs_no_transaction(scope: None, statements: Statements) -> None:
    """The database sees to it that there is one row."""
    statements.reset()
    await Repository(Book).update_rows({"pages": 1}, read(), QuerySet(Book).filter(id=1, title="Alpha").where())
    assert await statements.count() == 1
    cases = (
        (Tag, {"word": "old"}, True),
        (Tag, {"word__iexact": "old"}, False),
        (Tag, {"id__gt": 1}, False),
        (Shelf, {"room": "a"}, False),
        (Book, {"author__id": 1}, False),
        (Order, {"id": 1, "group": "a"}, True),
    )
    for model, lookups, expected in cases:
        assert names_one_row(inspect(model), QuerySet(model).filter(**lookups).where()) is expected


async def test_a_model_is_written_by_a_flush_where_someone_listens(scope: None) -> None:
    """To an attribute, or to every session's flushes."""

    def upper(target: Any, value: str, *_: Any) -> str:
        return value.upper()

    def look(session: Session, *_: Any) -> None:
        seen.append(session)

    seen: list[Session] = []
    repository = Repository(Book)
    assert Repository(Book).writes_directly
    with listening(Book.title, "set", upper, retval=True):
        assert not Repository(Book).writes_directly
        assert (await repository.create({"title": "loud"})).title == "LOUD"
    with listening(Session, "before_flush", look):
        assert not Repository(Book).writes_directly
        assert not Repository(Copy).deletes_directly
        await repository.create({"title": "seen"})
    assert len(seen) == 1
    assert Repository(Book).writes_directly


async def test_an_object_may_get_another_key(scope: None) -> None:
    """The answer is the row under its new key."""
    tag = await Repository(Tag).create({"id": 50, "word": "fifty"})
    moved = await Repository(Tag).update(tag, {"id": 60})
    await Repository(Tag).check_reach(moved, [Tag.id == 60])
    assert (moved.id, moved.word) == (60, "fifty")
    assert (await Repository(Tag).update(moved, {"word": "sixty"})).word == "sixty"
    with pytest.raises(RowPolicyViolation):
        await Repository(Tag).check_reach(moved, [Tag.id == 70])


async def test_a_write_must_stay_within_what_its_caller_narrows(scope: None) -> None:
    """Otherwise nothing is kept, also where no transaction was open."""
    repository, here = Repository(Book), QuerySet(Book).filter(id=1)
    short = QuerySet(Book).filter(pages__lt=200, author__name="Ada").where()
    values = {"title": "New", "pages": 500, "author_id": 1}
    with pytest.raises(RowPolicyViolation):
        await repository.insert_row(values, read(), within=short)
    with pytest.raises(RowPolicyViolation):
        await repository.update_rows(values, read(), here.where(), within=short)
    assert not await QuerySet(Book).filter(title="New").exists()
    values["pages"] = 5
    await repository.insert_row(values, read(), within=short)
    await repository.update_rows(values, read(), here.where(), within=short)
    assert await QuerySet(Book).filter(title="New").count() == 2


async def test_a_foreign_key_that_is_not_mapped_is_left_to_the_database() -> None:
    """A column that the mapper excludes."""
    metadata = MetaData()
    Table("above", metadata, Column("id", Integer, primary_key=True))
    table = Table(
        "below",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("hidden", ForeignKey("above.id")),
        Column("shown", ForeignKey("above.id")),
    )

    class Below:
        pass

    mapper = registry().map_imperatively(Below, table, exclude_properties=["hidden"])
    assert [reference.fields for reference in references(mapper)] == [("shown",)]
