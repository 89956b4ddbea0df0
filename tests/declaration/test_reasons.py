"""Why a compiled write stands in a transaction, or in none: what is said of a route, and what a request does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5 import AllowAny, BasePermission, ModelViewSet, RouterSchema, override_settings
from fastapix5.cli.explaining import path_of
from fastapix5.db import dispose_engines

PLAIN = ("compiled", "nothing asks for an object")
ASKS = "get_queryset() may ask the database first"
LOADED = "the row of an ancestor is loaded first"
SQLITE = "SQLite does not hold rows to the types of their columns"
FALLIBLE = "making or serializing the answer may fail"
RELATED = "the answer shows related rows"


class Base(DeclarativeBase):
    """The root of the models."""


class Shelf(Base):
    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    above_id: Mapped[int | None] = mapped_column(ForeignKey("shelves.id"))
    above: Mapped[Shelf | None] = relationship(remote_side="Shelf.id")
    books: Mapped[list[Book]] = relationship(back_populates="shelf", passive_deletes="all")


class Book(Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelves.id"))
    shelf: Mapped[Shelf] = relationship(back_populates="books")


class ShelfRead(BaseModel):
    id: int
    label: str


class ShelfWithBooks(ShelfRead):
    class Book(BaseModel):
        title: str

    books: list[Book]


class ShelfWithAbove(ShelfRead):
    above: ShelfRead | None


class BookRead(BaseModel):
    """Shows one related row, too."""

    title: str
    shelf: ShelfRead


class Validated(BaseModel):
    title: str

    @field_validator("title")
    @classmethod
    def check(cls, title: str) -> str:
        return title


class BookWrite(BaseModel):
    title: str


class ShelfWrite(BaseModel):
    label: str


class ShelfViewSet(ModelViewSet[Shelf]):
    read_schema: type[BaseModel] = ShelfRead
    create_schema = ShelfWrite
    update_schema = ShelfWrite
    permission_classes: Any = [AllowAny]


class BookViewSet(ModelViewSet[Book]):
    read_schema: type[BaseModel] = BookRead
    create_schema = BookWrite
    update_schema = BookWrite
    permission_classes = [AllowAny]


class AskingShelfViewSet(ShelfViewSet):
    async def get_queryset(self) -> Any:
        return super().get_queryset()


class Looks(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return True


def below(shelves: Any) -> Any:
    """Books below shelves."""
    return RouterSchema(viewset=shelves, children=[RouterSchema(viewset=BookViewSet())])


@pytest.fixture(autouse=True)
def postgresql() -> Iterator[None]:
    """Nobody connects to it."""
    with override_settings(DATABASES={"default": "postgresql+asyncpg://nobody@nowhere/nothing"}):
        yield
        asyncio.run(dispose_engines())


def said(declared: Any) -> dict[str, tuple[str, str]]:
    """What is said of each write of books, or of shelves where there are no books."""
    plans = declared.router.plans
    model = plans[-1].prototype.model
    found = {plan.action: path_of(plan) for plan in plans if plan.prototype.model is model and not plan.safe}
    assert found.pop("update") == found["partial_update"]
    return found


def writes(create: tuple[str, str], update: tuple[str, str], destroy: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {"create": create, "partial_update": update, "destroy": destroy}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (ShelfViewSet(), writes(PLAIN, PLAIN, PLAIN)),
        (BookViewSet(), writes(PLAIN, PLAIN, PLAIN)),
        (below(ShelfViewSet()), writes(PLAIN, PLAIN, PLAIN)),
        (below(ShelfViewSet(permission_classes=[Looks])), writes(*[("core", LOADED)] * 3)),
        (below(AskingShelfViewSet()), writes(*[("core", ASKS)] * 3)),
        (AskingShelfViewSet(), writes(*[("core", ASKS)] * 3)),
        (ShelfViewSet(read_schema=ShelfWithBooks), writes(("core", RELATED), ("core", RELATED), PLAIN)),
        (ShelfViewSet(read_schema=ShelfWithAbove), writes(("core", FALLIBLE), ("core", FALLIBLE), PLAIN)),
        (BookViewSet(read_schema=Validated), writes(("core", FALLIBLE), ("core", FALLIBLE), PLAIN)),
    ],
    ids=["shelves", "books", "below", "loaded", "asking above", "asking", "related", "itself", "validated"],
)
def test_a_write_says_why_it_is_in_a_transaction(declared: Any, expected: dict[str, tuple[str, str]]) -> None:
    """Or that nothing asks for one."""
    assert said(declared) == expected


def test_on_sqlite_each_write_is_in_a_transaction() -> None:
    """What a statement returns there may contradict its column."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite:///nowhere.db"}):
        assert said(BookViewSet()) == writes(*[("core", SQLITE)] * 3)
        asyncio.run(dispose_engines())
