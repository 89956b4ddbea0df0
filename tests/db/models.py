"""Models with one rule of each kind."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class Shelf(Base):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column("shelf_label", String(20), unique=True)
    books: Mapped[list[Book]] = relationship(back_populates="shelf", passive_deletes="all")


class Book(Base):
    """The attribute names differ from the columns' on purpose."""

    __tablename__ = "book"
    __table_args__ = (
        UniqueConstraint("book_title", "edition"),
        CheckConstraint("pages > 0", name="pages_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column("book_title", String(10))
    edition: Mapped[int] = mapped_column(default=1)
    pages: Mapped[int] = mapped_column(default=100)
    isbn: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    bought_at: Mapped[datetime | None] = mapped_column(DateTime)
    shelf_id: Mapped[int | None] = mapped_column("shelf", ForeignKey(Shelf.id))
    shelf: Mapped[Shelf | None] = relationship(back_populates="books")


class Loan(Base):
    """Its foreign key is checked at commit."""

    __tablename__ = "loan"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column("book", ForeignKey(Book.id, deferrable=True, initially="DEFERRED"))


class Counter(Base):
    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class Draft(Base):
    """A row with a version."""

    __tablename__ = "draft"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}
