"""A small library: a relation of each kind, and tables that are awkward to write."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Computed,
    Connection,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    Numeric,
    String,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    mapped_column,
    registry,
    relationship,
    validates,
)


class Base(DeclarativeBase):
    pass


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(40))
    rank: Mapped[int | None]
    mentor_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
    mentor: Mapped[Author | None] = relationship(remote_side="Author.id", back_populates="pupils")
    pupils: Mapped[list[Author]] = relationship(back_populates="mentor")
    books: Mapped[list[Book]] = relationship(back_populates="author", passive_deletes="all")

    @hybrid_property
    def label(self) -> str:
        """The name with its rank."""
        return f"{self.name}!"

    @label.inplace.expression
    @classmethod
    def _label(cls) -> Any:
        return cls.name + "!"


book_tag = Table(
    "book_tag",
    Base.metadata,
    Column("book_id", ForeignKey("book.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(String(20), unique=True)
    books: Mapped[list[Book]] = relationship(secondary=book_tag, back_populates="tags")


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(40))
    pages: Mapped[int | None]
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(6, 2))
    color: Mapped[Color | None]
    author_id: Mapped[int | None] = mapped_column(ForeignKey(Author.id))
    author: Mapped[Author | None] = relationship(back_populates="books")
    tags: Mapped[list[Tag]] = relationship(secondary=book_tag, back_populates="books")
    chapters: Mapped[list[Chapter]] = relationship(back_populates="book", passive_deletes="all")


class Chapter(Base):
    __tablename__ = "chapter"

    id: Mapped[int] = mapped_column(primary_key=True)
    heading: Mapped[str] = mapped_column(String(40))
    book_id: Mapped[int] = mapped_column(ForeignKey(Book.id))
    book: Mapped[Book] = relationship(back_populates="chapters")


Book.chapter_count = column_property(
    select(func.count(Chapter.id)).where(Chapter.book_id == Book.id).correlate(Book.__table__).scalar_subquery()
)


class Shelf(Base):
    """A composite key, with a time in it."""

    __tablename__ = "shelf"

    room: Mapped[str] = mapped_column(String(10), primary_key=True)
    since: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    label: Mapped[str] = mapped_column(String(20), default="plain")
    copies: Mapped[list[Copy]] = relationship(back_populates="shelf", passive_deletes="all")


class Copy(Base):
    __tablename__ = "copy"
    __table_args__ = (ForeignKeyConstraint(["shelf_room", "shelf_since"], ["shelf.room", "shelf.since"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_room: Mapped[str | None] = mapped_column(String(10))
    shelf_since: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    book_id: Mapped[int | None] = mapped_column(ForeignKey(Book.id))
    shelf: Mapped[Shelf | None] = relationship(back_populates="copies")
    book: Mapped[Book | None] = relationship()


class Order(Base):
    """Reserved words and mixed case; attributes are not called as columns are."""

    __tablename__ = "Order"

    id: Mapped[int] = mapped_column("Select", primary_key=True)
    group: Mapped[str] = mapped_column("group", String(10))
    parent_id: Mapped[int | None] = mapped_column("Parent Id", ForeignKey("Order.Select"))
    parent: Mapped[Order | None] = relationship(remote_side="Order.id")


def next_number() -> int:
    """A default that Python makes."""
    return 7


class Defaults(Base):
    """Every way in which a column gets a value that nobody gave."""

    __tablename__ = "defaults"

    id: Mapped[int] = mapped_column(Integer, Identity(start=10), primary_key=True)
    key: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    number: Mapped[int] = mapped_column(default=next_number)
    word: Mapped[str] = mapped_column(String(10), server_default=text("'none'"))
    doubled: Mapped[int] = mapped_column(Computed("number * 2", persisted=True))
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: 99)
    note: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Person(Base):
    """The root of a joined-table inheritance."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "person"}


class Employee(Person):
    __tablename__ = "employee"

    id: Mapped[int] = mapped_column(ForeignKey(Person.id), primary_key=True)
    salary: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "employee"}


class Animal(Base):
    """The root of a single-table inheritance."""

    __tablename__ = "animal"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "animal"}


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}


class Draft(Base):
    """A row with a version."""

    __tablename__ = "draft"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(20))
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}


class Account(Base):
    """A row with a validator of its own."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(40))

    @validates("email")
    def lowered(self, key: str, value: str) -> str:
        """Addresses are kept in lower case."""
        return value.lower()


class Box(Base):
    """Its things go with it."""

    __tablename__ = "box"

    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[list[Thing]] = relationship(cascade="all, delete-orphan", back_populates="box")


class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey(Box.id))
    box: Mapped[Box] = relationship(back_populates="things")


class DataclassBase(MappedAsDataclass, DeclarativeBase):
    metadata = Base.metadata


class Point(DataclassBase):
    """Mapped as a dataclass."""

    __tablename__ = "point"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    x: Mapped[int]
    y: Mapped[int] = mapped_column(default=5)
    z: Mapped[int] = mapped_column(default_factory=lambda: 6)


class City:
    """Mapped imperatively; its constructor takes what it likes."""

    def __init__(self, named: str) -> None:
        self.name = named


imperative = registry(metadata=Base.metadata)
imperative.map_imperatively(
    City,
    Table("city", Base.metadata, Column("id", Integer, primary_key=True), Column("city_name", String(20), key="name")),
)


SINCE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LATER = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)

AUTHORS: list[dict[str, Any]] = [
    {"id": 1, "name": "Ada", "rank": 3, "mentor_id": None},
    {"id": 2, "name": "ada_b%", "rank": None, "mentor_id": 1},
    {"id": 3, "name": None, "rank": 1, "mentor_id": 1},
    {"id": 4, "name": "Bob", "rank": 2, "mentor_id": 2},
    {"id": 5, "name": "ADA", "rank": 3, "mentor_id": None},
    {"id": 6, "name": "a/b\\c", "rank": 0, "mentor_id": 4},
    {"id": 7, "name": "", "rank": -1, "mentor_id": None},
]
BOOKS: list[dict[str, Any]] = [
    {"id": 1, "title": "Alpha", "pages": 100, "price": decimal.Decimal("9.50"), "color": Color.RED, "author_id": 1},
    {"id": 2, "title": "Beta", "pages": None, "price": None, "color": None, "author_id": 1},
    {"id": 3, "title": "Gamma", "pages": 300, "price": decimal.Decimal("1.00"), "color": Color.BLUE, "author_id": 2},
    {"id": 4, "title": "Alpha", "pages": 50, "price": None, "color": None, "author_id": None},
    {"id": 5, "title": "Delta", "pages": 100, "price": None, "color": Color.RED, "author_id": 3},
]
TAGS = [{"id": 1, "word": "old"}, {"id": 2, "word": "new"}, {"id": 3, "word": "rare"}]
BOOK_TAGS = [{"book_id": book, "tag_id": tag} for book, tag in ((1, 2), (1, 1), (2, 1), (3, 3), (5, 2), (5, 3))]
CHAPTERS = [
    {"id": number, "heading": heading, "book_id": book}
    for number, (heading, book) in enumerate((("One", 1), ("Two", 1), ("One", 2), ("Three", 5)), start=1)
]
SHELVES = [
    {"room": "a", "since": SINCE, "label": "first"},
    {"room": "a", "since": LATER, "label": "second"},
    {"room": "b", "since": SINCE, "label": "third"},
]
COPIES = [
    {"id": 1, "shelf_room": "a", "shelf_since": SINCE, "book_id": 1},
    {"id": 2, "shelf_room": "a", "shelf_since": SINCE, "book_id": 2},
    {"id": 3, "shelf_room": "a", "shelf_since": LATER, "book_id": 1},
    {"id": 4, "shelf_room": None, "shelf_since": None, "book_id": None},
]


def fill(connection: Connection) -> None:
    """Create every table, and rows for those that tests read."""
    Base.metadata.create_all(connection)
    filled: list[tuple[Any, Any]] = [
        (Author, AUTHORS),
        (Book, BOOKS),
        (Tag, TAGS),
        (book_tag, BOOK_TAGS),
        (Chapter, CHAPTERS),
        (Shelf, SHELVES),
        (Copy, COPIES),
    ]
    for target, rows in filled:
        connection.execute(insert(target), rows)
    if connection.dialect.name == "postgresql":
        for table in ("author", "book", "tag", "chapter", "copy"):
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)")
