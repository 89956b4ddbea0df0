"""A library to declare viewsets over: no test here asks a database."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5 import AllowAny, ModelViewSet, ReadOnlyModelViewSet


class Base(DeclarativeBase):
    """The root of the models."""


class Author(Base):
    """Somebody who writes or edits."""

    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret: Mapped[str]


class Book(Base):
    """A book has two people, so two foreign keys lead to authors."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    pages: Mapped[int]
    published: Mapped[dt.date]
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    editor_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))

    author: Mapped[Author] = relationship(foreign_keys=[author_id])
    editor: Mapped[Author] = relationship(foreign_keys=[editor_id])


class Review(Base):
    """What somebody says of a book; a review may answer another."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    book_id: Mapped[int] = mapped_column(ForeignKey("books.id"))
    answers_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"))


class AuthorRead(BaseModel):
    """An author."""

    id: int
    name: str


class BookRead(BaseModel):
    """A book with its author."""

    id: int
    title: str
    pages: int
    author: AuthorRead


class BookWrite(BaseModel):
    """A book as it comes in."""

    title: str
    pages: int
    published: dt.date
    author_id: int
    editor_id: int


class ReviewRead(BaseModel):
    """A review."""

    id: int
    text: str


class AuthorViewSet(ReadOnlyModelViewSet[Author]):
    """Authors, open to all."""

    read_schema = AuthorRead
    permission_classes = [AllowAny]


class BookViewSet(ModelViewSet[Book]):
    """Books, open to all."""

    read_schema = BookRead
    create_schema = BookWrite
    update_schema = BookWrite
    permission_classes = [AllowAny]


class ReviewViewSet(ReadOnlyModelViewSet[Review]):
    """Reviews, open to all."""

    read_schema = ReviewRead
    permission_classes = [AllowAny]
