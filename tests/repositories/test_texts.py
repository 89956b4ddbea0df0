"""Case, wildcards and patterns, on both engines and whatever the locale of the database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection, insert, literal, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql import literal_column

from fastapix5.db import dispose_engines, get_engine, session_scope
from fastapix5.exceptions import InvalidPattern
from fastapix5.repositories import QuerySet, resolve
from fastapix5.settings import override_settings
from tests.conftest import on_sqlite
from tests.servers import Server

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Word(Base):
    """A text, and another that stands in it or not."""

    __tablename__ = "word"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    part: Mapped[str | None]


TEXTS = [
    "", "abc", "ABC", "aBc", "äöü", "ÄÖÜ", "Дом", "дОМ", "a_c", "a%c", "a\\c", "a*c", "a?c", "a[b]c", "x\nabc\ny", "100%", "日本", "A.C",
]  # fmt: skip
VALUES = [
    "",
    "abc",
    "B",
    "ä",
    "Ö",
    "дом",
    "_",
    "%",
    "\\",
    "*",
    "?",
    "[",
    "]",
    "[b]",
    "a_c",
    "%c",
    "\\c",
    "本",
    "\n",
    ".",
]
ROWS: list[dict[str, Any]] = [
    {"id": len(VALUES) * row + column, "text": found, "part": part}
    for row, found in enumerate(TEXTS)
    for column, part in enumerate(VALUES)
]
ROWS.append({"id": len(ROWS), "text": None, "part": "abc"})
ROWS.append({"id": len(ROWS), "text": "abc", "part": None})


def contains(found: str, part: str) -> bool:
    """As SQL says it."""
    return part in found


Test: TypeAlias = Callable[[str, str], bool]
FINDS: dict[str, Test] = {
    "contains": contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "exact": str.__eq__,
}
FOLDING: dict[str, Test] = {
    "icontains": contains,
    "istartswith": str.startswith,
    "iendswith": str.endswith,
    "iexact": str.__eq__,
}


def create(connection: Connection) -> None:
    """The table, with its rows."""
    Base.metadata.create_all(connection)
    connection.execute(insert(Word), ROWS)


@pytest.fixture
async def words(database: str) -> AsyncIterator[None]:
    """The words, in an open scope."""
    async with get_engine().begin() as connection:
        await connection.run_sync(create)
    async with session_scope():
        yield


@pytest.fixture
def plain_locale_url(postgres_server: Server) -> Iterator[str]:
    """A database whose locale knows ASCII alone."""
    name = "test_plain_locale"
    postgres_server.run(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C'")
    yield postgres_server.url(name)
    postgres_server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def plain_words(plain_locale_url: str) -> AsyncIterator[None]:
    """The words, in a database that folds ASCII alone."""
    with override_settings(DATABASES={"default": plain_locale_url}):
        async with get_engine().begin() as connection:
            await connection.run_sync(create)
        async with session_scope():
            yield
        await dispose_engines()


async def ids(**conditions: Any) -> list[int]:
    """The keys of the rows that meet the conditions, in order."""
    return sorted(row.id for row in await QuerySet(Word).filter(**conditions).all())


async def check_folding() -> None:
    """Whatever case the text or the value is in."""
    for lookup, test in FOLDING.items():
        for value in VALUES:
            expected = [
                row["id"] for row in ROWS if row["text"] is not None and test(row["text"].lower(), value.lower())
            ]
            for cased in {value, value.upper(), value.title()}:
                assert await ids(**{f"text__{lookup}": cased}) == expected, (lookup, cased)
    assert await ids(text__ilike="Ä%") == [row["id"] for row in ROWS if (row["text"] or "") in ("äöü", "ÄÖÜ")]
    assert await ids(text__iregex="^ÄÖ") == [row["id"] for row in ROWS if (row["text"] or "") in ("äöü", "ÄÖÜ")]


async def test_case_counts(words: None) -> None:
    """And no character means anything but itself."""
    for lookup, test in FINDS.items():
        for value in VALUES:
            expected = [row["id"] for row in ROWS if row["text"] is not None and test(row["text"], value)]
            assert await ids(**{f"text__{lookup}": value}) == expected, (lookup, value)


async def test_lookups_with_i_fold_unicode(words: None) -> None:
    """As Python's ``lower()`` does."""
    await check_folding()


async def test_lookups_with_i_fold_unicode_where_the_database_does_not(plain_words: None) -> None:
    """Its locale is C, so that its own ``lower()`` leaves all but ASCII as it is."""
    async with get_engine().connect() as connection:
        assert (await connection.execute(text("SELECT lower('Ä')"))).scalar() == "Ä"
    await check_folding()


@pytest.mark.parametrize("url", ["sqlite_url", "plain_locale_url"])
async def test_lookups_with_i_fold_unicode_on_an_engine_of_ones_own(url: str, request: pytest.FixtureRequest) -> None:
    """It gets on its connections what ours have."""
    engine = create_async_engine(request.getfixturevalue(url))
    async with engine.begin() as connection:
        await connection.run_sync(create)
    with override_settings(DATABASES={"default": engine}):
        async with session_scope():
            await check_folding()
        await dispose_engines()
    await engine.dispose()


async def test_a_value_may_be_a_column(words: None) -> None:
    """Each row is compared with its own."""
    for lookup, test in (FINDS | FOLDING).items():
        change = str.lower if lookup.startswith("i") else str
        there = [row for row in ROWS if None not in (row["text"], row["part"])]
        expected = [row["id"] for row in there if test(change(row["text"]), change(row["part"]))]
        assert await ids(**{f"text__{lookup}": Word.part}) == expected, lookup


LIKE = {
    "a_c": "a.c", "%c": ".*c", "a%": "a.*", "a\\_c": "a_c", "a\\%c": "a%c", "a\\\\c": r"a\\c", "%[%": r".*\[.*", "a*c": r"a\*c", "a?c": r"a\?c",
    "%\\%": ".*%", "": "", "%": ".*", "%\n%": ".*\n.*", "\\a\\bc": "abc", "日_": "日.", "a]c": "a]c",
}  # fmt: skip


async def test_like_takes_a_pattern(words: None) -> None:
    """``%`` is any text, ``_`` one character, backslash the escape; whatever SQLite's GLOB means is nothing here."""
    for pattern, regex in LIKE.items():
        for lookup, flags in (("like", 0), ("ilike", re.IGNORECASE)):
            matching = [row["id"] for row in ROWS if row["text"] is not None]
            matching = [number for number in matching if re.fullmatch(regex, ROWS[number]["text"], flags | re.DOTALL)]
            assert await ids(**{f"text__{lookup}": pattern}) == matching, (lookup, pattern)
            as_column = literal_column("'" + pattern + "'") if "\n" not in pattern else literal(pattern)
            assert await ids(**{f"text__{lookup}": as_column}) == matching, (lookup, pattern)


@pytest.mark.parametrize("lookup", ["like", "ilike"])
@pytest.mark.parametrize("pattern", ["\\", "abc\\", "a\\\\\\"])
async def test_a_pattern_that_ends_in_its_escape_is_refused(words: None, lookup: str, pattern: str) -> None:
    """PostgreSQL would raise, SQLite find something."""
    with pytest.raises(ValueError, match="ends in its escape"):
        await ids(**{f"text__{lookup}": pattern})


@pytest.mark.parametrize("pattern", ["(", "[", "*a", "a{2,1}"])
async def test_a_pattern_that_is_none_is_invalid(words: None, pattern: str) -> None:
    """On both engines, with case and without."""
    for lookup in ("regex", "iregex"):
        with pytest.raises(InvalidPattern):
            await ids(**{f"text__{lookup}": pattern})


async def test_a_pattern_may_be_a_column(words: None) -> None:
    """As any value may."""
    found = select(Word.id).where(resolve(Word, "text__iregex").make(Word.text, literal("^ABC$")), Word.part == "abc")
    async with get_engine().connect() as connection:
        assert (await connection.execute(found.order_by(Word.id))).scalars().all() == [
            row["id"] for row in ROWS if row["part"] == "abc" and (row["text"] or "").lower() == "abc"
        ]


@on_sqlite
async def test_sqlite_needs_no_pragma(words: None, database: str) -> None:
    """Nor any function, for lookups in which case counts."""
    engine = create_async_engine(database)
    async with engine.connect() as connection:
        for lookup, value in (("contains", "B"), ("startswith", "AB"), ("endswith", "BC"), ("like", "A_C")):
            condition = resolve(Word, f"text__{lookup}").make(Word.text, value)
            found = set((await connection.execute(select(Word.text).where(condition))).scalars())
            assert found <= {"ABC", "aBc", "A.C"}, lookup
            assert found, lookup
    await engine.dispose()


@on_sqlite
async def test_a_prefix_is_found_by_an_index(words: None) -> None:
    """SQLite uses one for GLOB with a constant start."""
    async with get_engine().begin() as connection:
        await connection.execute(text("CREATE INDEX text_index ON word (text)"))
        statement = select(Word.text).where(resolve(Word, "text__startswith").make(Word.text, "ab"))
        sql = str(statement.compile(connection.sync_engine))
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", ("ab*",))).all()
    assert "text_index (text>? AND text<?)" in str(plan)
