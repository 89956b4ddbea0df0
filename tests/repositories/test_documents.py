"""Arrays and JSON, against plain Python over the same rows."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import ARRAY, JSON, Integer, String, insert, literal, null, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5.db import get_engine, session_scope
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import QuerySet, UnknownPath, resolve
from tests.conftest import on_postgresql, on_sqlite

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Paper(Base):
    """JSON as both engines have it."""

    __tablename__ = "paper"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    either: Mapped[Any] = mapped_column(
        MutableDict.as_mutable(JSON().with_variant(JSONB(), "postgresql")), nullable=True
    )
    number: Mapped[int | None]


class PostgreSQLBase(DeclarativeBase):
    pass


class Sheet(PostgreSQLBase):
    """What PostgreSQL alone has."""

    __tablename__ = "sheet"

    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    plain: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    words: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    grid: Mapped[list[list[int]] | None] = mapped_column(ARRAY(Integer, dimensions=2))


UUID = uuid.UUID(int=7)
DATA: list[Any] = [
    {"a": {"b": 3}, "list": [1, {"c": "x"}], "name": "Ännä_100%", "on": True, "at": "2013-01-31", "key": str(UUID)},
    {"a": {"b": 3.5}, "list": [], "name": "änn", "on": False, "0": "zero"},
    {"a": {"b": "3"}, "list": ["x"], "name": None, "on": None},
    {"a": {"b": True}, "list": "no list", "name": 3, "on": "true"},
    {"a": {"b": None}, "list": {"0": 1}, "name": ["Ännä"]},
    {"a": {"b": {"d": 1, "e": [1, 2]}}, "null": None},
    {"a": {}, "b": {"x": 1, "y": 2}},
    {},
    None,
    [3, "x", {"b": 1}],
    "text",
    3,
    12345678901234567,
]
ROWS = [{"id": number, "data": data, "number": 3} for number, data in enumerate(DATA)]


def at(data: Any, *path: str | int) -> Any:
    """What stands at a path, or ``...`` where nothing does."""
    for step in path:
        try:
            data = data[step] if isinstance(step, int) == isinstance(data, list) else ...
        except (KeyError, IndexError, TypeError):
            return ...
    return data


def of(kind: Any, test: Callable[[Any], Any], *path: str | int) -> list[int]:
    """The keys of the rows whose value at a path is of a type, and passes."""
    there = ((number, at(data, *path)) for number, data in enumerate(DATA))
    found = (
        (number, value)
        for number, value in there
        if isinstance(value, kind) and (kind is bool or type(value) is not bool)
    )
    return [number for number, value in found if test(value)]


@pytest.fixture
async def papers(database: str) -> AsyncIterator[None]:
    """The papers, in an open scope."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Paper), ROWS)
        await connection.execute(insert(Paper), {"id": 100, "data": JSON.NULL, "number": None})
    async with session_scope():
        yield


async def ids(model: Any = Paper, **conditions: Any) -> list[int]:
    """The keys of the rows that meet the conditions, in order."""
    return sorted(row.id for row in await QuerySet(model).filter(**conditions).all())


NUMBER = (int, float)
KEYS: list[tuple[str, Any, list[int]]] = [
    ("a__b", 3, of(NUMBER, lambda b: b == 3, "a", "b")),
    ("a__b", 3.0, of(NUMBER, lambda b: b == 3, "a", "b")),
    ("a__b", decimal.Decimal("3.5"), of(NUMBER, lambda b: b == 3.5, "a", "b")),
    ("a__b", "3", of(str, lambda b: b == "3", "a", "b")),
    ("a__b", True, of(bool, lambda b: b is True, "a", "b")),
    ("a__b", {"e": [1, 2], "d": 1}, [5]),
    ("a__b__e", [1, 2], [5]),
    ("a__b__e__1", 2, [5]),
    ("a__b", None, [4]),
    ("a", {}, [6]),
    ("b", {"y": 2, "x": 1}, [6]),
    ("a__b__gte", 3, of(NUMBER, lambda b: b >= 3, "a", "b")),
    ("a__b__gt", 3, of(NUMBER, lambda b: b > 3, "a", "b")),
    ("a__b__lt", 3.5, of(NUMBER, lambda b: b < 3.5, "a", "b")),
    ("a__b__range", (3, 4), of(NUMBER, lambda b: 3 <= b <= 4, "a", "b")),
    ("a__b__in", [3, "3", True, None, {"d": 1, "e": [1, 2]}], [0, 2, 3, 4, 5]),
    ("a__b__in", [], []),
    ("a__b__isnull", True, [6, 7, 8, 9, 10, 11, 12, 100]),
    ("a__b__isnull", False, [0, 1, 2, 3, 4, 5]),
    ("null__isnull", False, [5]),
    ("null", None, [5]),
    ("list__0", 1, [0]),
    ("list__1__c", "x", [0]),
    ("list__0", "x", [2]),
    ("0", 3, [9]),
    ("0__isnull", False, [9]),
    ("2__b", 1, [9]),
    ("on", True, [0]),
    ("on", False, [1]),
    ("on", "true", [3]),
    ("on__ne", True, sorted({*range(1, 13), 100})),
    ("on__not_in", [True, False], sorted({*range(2, 13), 100})),
    ("name", "Ännä_100%", [0]),
    ("name__contains__exact", 1, []),
    ("name__icontains", "Ä", of(str, lambda name: "ä" in name.lower(), "name")),
    ("name__icontains", "_100%", [0]),
    ("name__startswith", "Ä", [0]),
    ("name__iendswith", "NN", [1]),
    ("name__like", "_nn%", [0, 1]),
    ("name__iexact", "ÄNN", [1]),
    ("name__regex", "^Ä.n", [0]),
    ("name__iregex", "^ÄN", [0, 1]),
    ("at", dt.date(2013, 1, 31), [0]),
    ("at__gte", dt.date(2013, 1, 1), [0]),
    ("key", UUID, [0]),
    ("exact", 3, [11]),
    ("exact", 12345678901234567, [12]),
    ("gt", 3, [12]),
    ("exact", "text", [10]),
    ("startswith", "te", [10]),
    ("exact", {}, [7]),
    ("exact", [3, "x", {"b": 1}], [9]),
    ("exact", None, [8, 100]),
    ("isnull", True, [8, 100]),
    ("isnull", False, [number for number in range(13) if number != 8]),
    ("ne", None, [number for number in range(13) if number != 8]),
    ("ne", 3, [number for number in (*range(13), 100) if number != 11]),
]


async def test_what_stands_in_json_is_compared_by_its_type(papers: None) -> None:
    """A number is no text, a truth no number; a key that is missing is null, one whose value is null is not."""
    for path, value, expected in KEYS:
        assert await ids(**{f"data__{path}": value}) == expected, (path, value)
        rest = sorted({*range(13), 100} - set(expected))
        found = sorted(row.id for row in await QuerySet(Paper).exclude(**{f"data__{path}": value}).all())
        assert found == rest, (path, value)


async def test_json_is_compared_with_columns(papers: None) -> None:
    """As the type that the column has."""
    assert await ids(data__a__b=Paper.number) == [0]
    assert await ids(data__a__b__gt=Paper.number + 0.25) == [1]
    assert await ids(data__a__b__in=[Paper.number]) == [0]


async def test_a_null_of_json_is_null(papers: None) -> None:
    """A whole value that Python would call None is null, however the row has it."""
    assert await ids(data=None) == await ids(data__isnull=True) == [8, 100]


async def test_a_variant_is_json(papers: None) -> None:
    """JSON on one engine, JSONB on the other; in a type that tells of changes."""
    async with get_engine().begin() as connection:
        await connection.execute(
            insert(Paper), [{"id": 200, "either": {"a": [1, 2]}}, {"id": 201, "either": {"a": [2]}}]
        )
    assert await ids(either__a__1=2) == [200]
    assert await ids(either__a__0__gte=2) == [201]


@pytest.mark.parametrize("value", [b"x", object()])
async def test_what_json_has_not_is_refused(papers: None, value: Any) -> None:
    """With the value's type."""
    with pytest.raises(TypeError, match="JSON has no"):
        await ids(data__a=value)


# What PostgreSQL alone has

WORDS: list[list[str] | None] = [["a", "b", "c"], ["a"], [], None, ["b", "d"]]
SHEETS: list[dict[str, Any]] = [
    {"id": number, "words": words, "grid": None, "data": None, "plain": None} for number, words in enumerate(WORDS)
]
SHEETS[0] |= {"data": {"a": 1, "b": [1, 2], "c": {"d": 1}}, "grid": [[1, 2], [3, 4], [5, 6]]}
SHEETS[1] |= {"data": {"a": 1}}
SHEETS[2] |= {"data": {}}
for sheet in SHEETS:
    sheet["plain"] = sheet["data"]


@pytest.fixture
async def sheets(database: str) -> AsyncIterator[None]:
    """The sheets, in an open scope."""
    async with get_engine().begin() as connection:
        await connection.run_sync(PostgreSQLBase.metadata.create_all)
        await connection.execute(insert(Sheet), SHEETS)
    async with session_scope():
        yield


ON_POSTGRESQL: list[tuple[str, Any, list[int]]] = [
    ("words__contains", ["a"], [0, 1]),
    ("words__contains", {"a", "b"}, [0]),
    ("words__contains", [], [0, 1, 2, 4]),
    ("words__contained_by", ("a", "b", "c"), [0, 1, 2]),
    ("words__overlap", ["c", "d"], [0, 4]),
    ("words__overlap", [], []),
    ("words__len", 2, [4]),
    ("words__len", 0, [2]),
    ("words__len__gte", 1, [0, 1, 4]),
    ("words__len__isnull", True, [3]),
    ("grid__len", 3, [0]),
    ("words", ["a"], [1]),
    ("words__ne", ["a"], [0, 2, 3, 4]),
    ("words__isnull", True, [3]),
    *(
        (f"{column}__{path}", value, expected)
        for column in ("data", "plain")
        for path, value, expected in (
            ("contains", {"a": 1}, [0, 1]),
            ("contains", {"b": [2]}, [0]),
            ("contains", {}, [0, 1, 2]),
            ("b__contains", 1, [0]),
            ("b__contains", [2], [0]),
            ("contained_by", {"a": 1, "x": 2}, [1, 2]),
            ("has_key", "a", [0, 1]),
            ("has_keys", ["a", "b"], [0]),
            ("has_any_keys", ["b", "c"], [0]),
            ("c__has_key", "d", [0]),
            ("c__d", 1, [0]),
        )
    ),
]


@on_postgresql
async def test_arrays_and_json_are_contained(sheets: None) -> None:
    """By Django's names; a set, a tuple and a list are all lists of values."""
    for path, value, expected in ON_POSTGRESQL:
        assert await ids(Sheet, **{path: value}) == expected, (path, value)


@on_postgresql
async def test_an_array_is_compared_with_an_expression(sheets: None) -> None:
    """Another column, or SQL."""
    assert await ids(Sheet, words__contains=Sheet.words) == [0, 1, 2, 4]
    assert await ids(Sheet, data__contains=Sheet.plain) == [0, 1, 2]
    assert await ids(Sheet, data__contains=literal({"a": 1}, JSONB())) == [0, 1]


@on_sqlite
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data__contains", {}),
        ("data__has_key", "a"),
        ("data__has_keys", ["a"]),
        ("data__has_any_keys", []),
        ("data__contained_by", {}),
    ],
)
async def test_what_needs_postgresql_says_so(papers: None, path: str, value: Any) -> None:
    """When the statement is made, with the lookup's name."""
    with pytest.raises(ImproperlyConfigured, match=rf"^{path.partition('__')[2]}: it needs PostgreSQL, .* is sqlite"):
        await ids(**{path: value})


@on_sqlite
async def test_full_text_needs_postgresql(papers: None) -> None:
    """So does what is made of arrays."""
    for path in ("words__len", "words__overlap", "words__contains", "words__contained_by"):
        statement = select(null()).where(resolve(Sheet, path).make(Sheet.words, 1 if "len" in path else ["a"]))
        with pytest.raises(ImproperlyConfigured, match="it needs PostgreSQL"):
            statement.compile(get_engine().sync_engine)


@pytest.mark.parametrize(
    "path", ["data__overlap", "words__has_key", "id__len", "words__icontains", "id__contained_by", "id__has_key"]
)
def test_a_lookup_of_another_type_is_unknown(path: str) -> None:
    """The error names what the type has. On JSON it is a key like any other."""
    if path == "data__overlap":
        assert resolve(Sheet, path).lookup.name == "exact"
        return
    with pytest.raises(UnknownPath, match=path.partition("__")[2]):
        QuerySet(Sheet).filter(**{path: 1})
