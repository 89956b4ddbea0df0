"""Tables beside the flights: what the flights lack, and what tests may write."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Connection,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship, synonym

NOW = dt.datetime(2013, 1, 1, 12, tzinfo=dt.UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
    )


class Word(Base):
    """Text that is easy to get wrong."""

    __tablename__ = "words"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(String(60))


class Moment(Base):
    """Times at the edges of days, weeks and years; aware, naive, and their halves."""

    __tablename__ = "moments"

    id: Mapped[int] = mapped_column(primary_key=True)
    aware: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    naive: Mapped[dt.datetime | None]
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None]


class Named:
    """A mixin's column."""

    label: Mapped[str | None] = mapped_column(String(20))


class Craft(Named, Base):
    """The root of a joined-table inheritance, with a hybrid, a synonym and a column of another name."""

    __tablename__ = "crafts"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    weight: Mapped[int | None] = mapped_column("Weight in kg")
    mass = synonym("weight")
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "craft"}

    @hybrid_property
    def pounds(self) -> int:
        """Pounds, roughly."""
        return (self.weight or 0) * 2

    @pounds.inplace.expression
    @classmethod
    def _pounds(cls) -> Any:
        return cls.weight * 2


class Glider(Craft):
    __tablename__ = "gliders"

    id: Mapped[int] = mapped_column(ForeignKey(Craft.id), primary_key=True)
    span: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "glider"}


class Seat(Base):
    """A composite key, and rows that refer to it."""

    __tablename__ = "seats"

    cabin: Mapped[str] = mapped_column(String(10), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int | None]
    bookings: Mapped[list[Booking]] = relationship(back_populates="seat", passive_deletes="all")


class Booking(Base):
    __tablename__ = "bookings"
    __table_args__ = (ForeignKeyConstraint(["cabin", "number"], ["seats.cabin", "seats.number"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    cabin: Mapped[str | None] = mapped_column(String(10))
    number: Mapped[int | None]
    passenger: Mapped[str] = mapped_column(String(20))
    seat: Mapped[Seat | None] = relationship(back_populates="bookings")


Seat.taken = column_property(
    select(func.count(Booking.id))
    .where(Booking.cabin == Seat.cabin, Booking.number == Seat.number)
    .correlate(Seat.__table__)
    .scalar_subquery()
)


class Ticket(Base):
    """What tests write: a unique column, a unique pair, and columns that may be null."""

    __tablename__ = "tickets"
    __table_args__ = (UniqueConstraint("flight", "seat"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(10), unique=True)
    flight: Mapped[int] = mapped_column(default=1)
    seat: Mapped[str | None] = mapped_column(String(4))
    price: Mapped[int | None]
    note: Mapped[str | None] = mapped_column(String(40))
    bought: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), default=NOW)


class Stop(Base):
    """A composite key that tests write."""

    __tablename__ = "stops"

    route: Mapped[str] = mapped_column(String(10), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str | None] = mapped_column(String(20))


class Counter(Base):
    """Counters by a name that is unique and by a topic that is not."""

    __tablename__ = "counters"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), unique=True)
    topic: Mapped[str | None] = mapped_column(String(20))
    n: Mapped[int] = mapped_column(default=0)


class Document(Base):
    """What only PostgreSQL has."""

    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(String(20)))
    numbers: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    data: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    plain: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    body: Mapped[str | None] = mapped_column(Text)


ON_POSTGRESQL = [Document.__table__]

TEXTS = [
    None, "", " ", "a", "A", "abc", "ABC", "aBc", "100%", "100 %", "1000", "a_b", "a%b", "axb", "a\\b", "a\\_b",
    "a/b", "%", "_", "\\",
    "émile", "Émile", "ÉMILE", "emile", "Ärger", "ärger", "дом", "Дом", "ДОМ", "naïve", "日本語", "日本",
    "it's", '"quoted"', "a.c", "a\nb",
    "😀 smile", "50%_off", "ñandú", "ÑANDÚ",
]  # fmt: skip
WORDS: list[dict[str, Any]] = [{"id": number, "text": text} for number, text in enumerate(TEXTS, start=1)]

_AWARE = [
    "2012-12-31T23:59:59.999999+00:00", "2013-01-01T00:00:00+00:00", "2013-01-01T00:30:00+05:45",
    "2013-12-31T23:30:00-05:00",
    "2016-02-29T12:00:00+00:00", "2016-01-03T08:05:09+00:00", "2016-01-04T08:05:09.500000+00:00",
    "2020-12-31T18:15:00+00:00",
    "2021-01-03T18:14:59+00:00", "1969-12-31T23:00:00+00:00", "2013-06-30T23:59:59+00:00", "2013-07-01T00:00:00+00:00",
]  # fmt: skip
MOMENTS: list[dict[str, Any]] = [
    {"id": number, "aware": aware, "naive": aware.replace(tzinfo=None), "day": aware.date(), "clock": aware.time()}
    for number, aware in enumerate((dt.datetime.fromisoformat(text).astimezone(dt.UTC) for text in _AWARE), start=1)
]
MOMENTS.append({"id": len(MOMENTS) + 1, "aware": None, "naive": None, "day": None, "clock": None})

CRAFTS: list[dict[str, Any]] = [
    {"id": 1, "kind": "craft", "label": "one", "weight": 10},
    {"id": 2, "kind": "craft", "label": None, "weight": None},
    {"id": 3, "kind": "glider", "label": "three", "weight": 30, "span": 15},
    {"id": 4, "kind": "glider", "label": "four", "weight": 5, "span": 18},
]
SEATS: list[dict[str, Any]] = [
    {"cabin": "first", "number": 1, "price": 900},
    {"cabin": "first", "number": 2, "price": None},
    {"cabin": "coach", "number": 1, "price": 100},
    {"cabin": "coach", "number": 2, "price": 120},
    {"cabin": "coach", "number": 10, "price": 90},
]
BOOKINGS: list[dict[str, Any]] = [
    {"id": 1, "cabin": "first", "number": 1, "passenger": "Ann"},
    {"id": 2, "cabin": "first", "number": 1, "passenger": "Bob"},
    {"id": 3, "cabin": "coach", "number": 2, "passenger": "Ann"},
    {"id": 4, "cabin": None, "number": None, "passenger": "Eve"},
]
DOCUMENTS: list[dict[str, Any]] = [
    {"id": 1, "tags": ["red", "old"], "numbers": [1, 2, 3], "body": "The quick brown foxes jump over lazy dogs",
     "data": {"owner": {"name": "Ann", "age": 41}, "list": [1, {"deep": "x"}], "size": 5, "flag": True}},
    {"id": 2, "tags": ["red"], "numbers": [2], "body": "A brown dog",
     "data": {"owner": {"name": "Bob", "age": None}, "list": [], "size": 12, "flag": False}},
    {"id": 3, "tags": [], "numbers": [], "body": "", "data": {}},
    {"id": 4, "tags": None, "numbers": None, "body": None, "data": None},
    {"id": 5, "tags": ["new", "old", "rare"], "numbers": [3, 9], "body": "Foxes, 100% of them",
     "data": {"owner": {"name": "ann"}, "size": 7.5, "list": [1], "o'dd \"key": 1}},
    {"id": 6, "tags": ["Red"], "numbers": [1], "body": "jumping", "data": {"owner": None, "size": "5"}},
]  # fmt: skip
for _document in DOCUMENTS:
    _document["plain"] = _document["data"]


def fill(connection: Connection) -> None:
    """Create every table that this database can hold, and rows for those that tests read."""
    is_postgresql = connection.dialect.name == "postgresql"
    tables = [table for table in Base.metadata.sorted_tables if is_postgresql or table not in ON_POSTGRESQL]
    Base.metadata.create_all(connection, tables=tables)
    crafts = [{"Weight in kg": row["weight"], **{key: row[key] for key in ("id", "kind", "label")}} for row in CRAFTS]
    gliders = [{"id": row["id"], "span": row["span"]} for row in CRAFTS if "span" in row]
    filled: list[tuple[type[Any], list[dict[str, Any]]]] = [
        (Word, WORDS),
        (Moment, MOMENTS),
        (Seat, SEATS),
        (Booking, BOOKINGS),
    ]
    for model, rows in filled:
        connection.execute(insert(model), rows)
    connection.execute(insert(Craft), crafts)
    connection.execute(insert(Glider), gliders)
    if is_postgresql:
        connection.execute(insert(Document), DOCUMENTS)
