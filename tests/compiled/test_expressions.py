"""Expressions whose SQL may depend on more than a shape: whatever becomes of them, changing values give the right rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    String,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    tuple_,
    type_coerce,
    values,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

from fastapix5 import Q, QuerySet
from tests.compiled.ways import different
from tests.repositories.models import Author, Book, book_tag

pytestmark = pytest.mark.anyio


class AuthorRead(BaseModel):
    id: int
    name: str | None
    rank: int | None


class BookRead(BaseModel):
    id: int
    title: str


class ShelfRead(BaseModel):
    room: str
    since: dt.datetime
    label: str


class Written(FunctionElement[Any]):
    """A number that stands in the text; SQLAlchemy is not told what of it decides that."""

    inherit_cache = False
    type = Integer()

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@compiles(Written)
def _written(element: Written, compiler: SQLCompiler, **_: Any) -> str:
    return str(element.number)


class Unkeyed(UserDefinedType[int]):
    """A type that SQLAlchemy may not keep statements of."""

    cache_ok = False

    def __init__(self, plus: int = 0) -> None:
        self.plus = plus

    def get_col_spec(self, **_: Any) -> str:
        return "INTEGER"

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:
        return lambda value: value + self.plus


current: ContextVar[int] = ContextVar("current", default=0)
asked: ColumnElement[bool] = Author.rank == bindparam("asked", callable_=current.get, type_=Integer)
peer, book = aliased(Author), aliased(Book)
RANKS = (3, 1, 0, 2)


def now(value: int) -> ColumnElement[bool]:
    """An expression that is made once, and says what the context says."""
    current.set(value)
    return asked


def counted(value: int) -> Any:
    """A common table expression."""
    ranked = select(Author.id.label("key")).where(Author.rank >= value).cte()
    return select(ranked.c.key).where(ranked.c.key != value)


def twice(value: int) -> ColumnElement[bool]:
    """One parameter in two places."""
    parameter = bindparam("both", value, type_=Integer)
    return or_(Author.rank == parameter, Author.id == parameter)


def named(value: int) -> ColumnElement[bool]:
    """Parameters with names of their own, that others may have too."""
    return and_(Author.rank >= bindparam("mine", value), Author.rank <= value + 1, Author.id >= bindparam("yours", 1))


EXPRESSIONS: dict[str, Callable[[int], Any]] = {
    "column": lambda v: Author.rank == v,
    "null": lambda v: Author.rank == (None if v == 9 else v),
    "literal_execute": lambda v: Author.rank == bindparam("r", v, literal_execute=True),
    "literal_execute of many": lambda v: Author.rank.in_(
        bindparam("r", [v, v + 1], expanding=True, literal_execute=True)
    ),
    "expanding": lambda v: Author.rank.in_(bindparam("r", [v] * (v + 2), expanding=True)),
    "in": lambda v: Author.rank.in_(range(v)),
    "in with null": lambda v: Author.rank.in_([v, None]),
    "not in": lambda v: Author.rank.not_in([v, v + 1]),
    "in of tuples": lambda v: tuple_(Author.id, Author.rank).in_([(1, v), (4, v), (5, 3)][: v + 2]),
    "tuple": lambda v: tuple_(Author.id, Author.rank) > (v, 0),
    "text": lambda v: and_(Author.id > 0, text(f"author.rank = {v}")),
    "text with binds": lambda v: or_(text("author.rank = :r").bindparams(r=v), text("author.id = :r").bindparams(r=v)),
    "text with typed binds": lambda v: and_(
        Author.id > 0, text("author.rank IN :t").bindparams(bindparam("t", [v, 0], expanding=True))
    ),
    "text and others": lambda v: and_(Author.rank >= v, text("author.rank < :u").bindparams(u=v + 2), Author.id < 7),
    "literal_column": lambda v: Author.rank == literal_column(str(v)),
    "literal": lambda v: literal(v) == Author.rank,
    "callable": lambda v: Author.rank == bindparam("r", callable_=lambda: v, type_=Integer),
    "context": now,
    "named": named,
    "twice": twice,
    "op": lambda v: Author.rank.op("+")(v) > 3,
    "bool_op": lambda v: Author.rank.bool_op(">=")(v),
    "arithmetic": lambda v: Author.rank * v + 1 > v,
    "negation": lambda v: not_(Author.rank == v),
    "between": lambda v: Author.rank.between(v, v + 1),
    "coalesce": lambda v: func.coalesce(Author.rank, v) >= 2,
    "case": lambda v: case((Author.rank == v, "a"), (Author.rank > v, "b"), else_="c") == "b",
    "case of values": lambda v: case({v: "a", 2: "b"}, value=Author.rank, else_="c") == "a",
    "cast": lambda v: cast(Author.rank, String) == str(v),
    "cast of a value": lambda v: Author.rank == cast(literal(str(v), String), Integer),
    "type_coerce": lambda v: Author.rank == type_coerce(v, Integer),
    "an own type": lambda v: Author.rank == type_coerce(1, Unkeyed(v)),
    "an own function": lambda v: Author.rank == Written(v),
    "an own function among others": lambda v: and_(Author.rank >= Written(v), Author.id <= v + 3),
    "hybrid": lambda v: Author.label == ("Ada!", "Bob!", "!", "")[v % 4],
    "any": lambda v: Author.books.any(Book.pages > v * 50),
    "any by name": lambda v: Author.pupils.any(rank=v),
    "has": lambda v: Author.mentor.has(Author.rank == v),
    "alias": lambda v: exists().where(peer.mentor_id == Author.id, peer.rank == v),
    "alias made anew": lambda v: exists().where((found := aliased(Author)).mentor_id == Author.id, found.rank == v),
    "select": lambda v: Author.id.in_(select(Book.author_id).where(Book.pages >= v * 100)),
    "select with a limit": lambda v: Author.id.in_(select(Author.id).order_by(Author.id).limit(v + 1)),
    "select of an alias": lambda v: Author.id.in_(select(book.author_id).where(book.id > v)),
    "subquery": lambda v: Author.id.in_(select(select(Author.id.label("k")).where(Author.rank > v).subquery().c.k)),
    "scalar": lambda v: Author.rank > select(func.count()).select_from(Book).where(Book.id <= v).scalar_subquery(),
    "correlated": lambda v: (
        select(func.count()).select_from(Book).where(Book.author_id == Author.id, Book.id > v).scalar_subquery() > 0
    ),
    "union": lambda v: Author.id.in_(select(Author.id).where(Author.rank == v).union(select(Book.id).where(Book.id == v))),
    "cte": lambda v: Author.id.in_(counted(v)),
    "table": lambda v: Author.id.in_(select(Book.author_id).join(book_tag).where(book_tag.c.tag_id == v)),
    "like": lambda v: Author.name.like("%a" * (v % 3) + "%"),
    "contains": lambda v: Author.name.contains("aA%_b"[v % 5], autoescape=True),
    "true": lambda v: literal_column("1") == 1 if v > 1 else Author.rank == v,
    "collate": lambda v: func.lower(Author.name) == ("ada", "bob", "")[v % 3],
}  # fmt: skip


ON_POSTGRESQL: dict[str, Callable[[int], Any]] = {
    "values": lambda v: Author.id.in_(select(values(column("k", Integer), name="v").data([(v,), (v + 1,)]))),
    "array": lambda v: Author.rank == any_(literal([v, v + 1], ARRAY(Integer))),
}


def expressions(database: str) -> dict[str, Callable[[int], Any]]:
    """Those that a database has."""
    return EXPRESSIONS if database.startswith("sqlite") else EXPRESSIONS | ON_POSTGRESQL


async def test_an_expression_gives_the_same_rows_both_ways(library: str, scope: None) -> None:
    """Alone, joined with names, negated, and beside others of its kind."""
    authors = QuerySet(Author).order_by("id")
    found: dict[str, Any] = {}
    for name, make in expressions(library).items():
        chains: list[Callable[[int], Any]] = [
            lambda v: authors.filter(make(v)),  # noqa: B023 (used at once)
            lambda v: authors.filter(~Q(make(v)) | Q(rank=v), id__gt=v - 2),  # noqa: B023
            lambda v: authors.filter(make(v)).exclude(make(v + 1))[: v + 3],  # noqa: B023
        ]
        for chain in chains:
            found[name] = found.get(name) or await different(chain, RANKS, AuthorRead)
    assert {name: problem for name, problem in found.items() if problem} == {}


async def test_expressions_of_all_kinds_are_told_apart(library: str, scope: None) -> None:
    """What was kept of one is not taken for another: they come in turns."""
    kinds, authors = list(expressions(library).values()), QuerySet(Author).order_by("id")

    def chain(value: tuple[int, int]) -> QuerySet[Any]:
        place, rank = value
        return authors.filter(kinds[place](rank), Q(rank__lt=rank + 2) | Q(rank=None))

    turns = [(place, rank) for rank in (1, 2, 3) for place in range(len(kinds))]
    assert not await different(chain, turns, AuthorRead)
