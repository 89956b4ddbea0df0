"""Facts about what the database's errors become."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, insert, literal, select, text, update
from sqlalchemy.exc import ProgrammingError

from fastapix5.db import atomic, dispose_engines, get_session, session_scope, translate, translated
from fastapix5.exceptions import (
    CheckViolation,
    ForeignKeyViolation,
    IntegrityViolation,
    LengthViolation,
    NotNullViolation,
    ProtectedRow,
    RangeViolation,
    SerializationFailure,
    StaleVersion,
    TypeViolation,
    Unavailable,
    UniqueViolation,
)
from fastapix5.settings import override_settings
from tests.conftest import on_postgresql, on_sqlite
from tests.db.conftest import STATEMENT_TIMEOUT
from tests.db.models import Book, Counter, Draft, Shelf

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tables")]

Work = Callable[[], Awaitable[Any]]


async def run(statement: Any, values: Any = None) -> Any:
    """Run a statement that commits itself."""
    return await get_session().execute(statement, values)


async def raised(
    kind: type[IntegrityViolation], statement: Any, model: type = Book, **options: Any
) -> IntegrityViolation:
    """Return the error of the kind that a statement raises."""
    async with session_scope():
        with pytest.raises(IntegrityViolation) as caught, translated(model, **options):
            await run(statement)
    assert type(caught.value) is kind
    return caught.value


def facts(error: IntegrityViolation) -> tuple[str | None, str | None, tuple[str, ...]]:
    return error.constraint, error.table, error.fields


async def test_a_unique_violation_names_constraint_table_and_attributes() -> None:
    """The same on both engines: SQLite's constraint name comes from the metadata."""
    async with session_scope():
        await run(insert(Book).values(title="a"))
        await run(insert(Shelf).values(id=1, label="a"))
    error = await raised(UniqueViolation, insert(Book).values(title="a"))
    assert facts(error) == ("uq_book_book_title_edition", "book", ("title", "edition"))
    error = await raised(UniqueViolation, insert(Shelf).values(id=2, label="a"), Shelf)
    assert facts(error) == ("uq_shelf_shelf_label", "shelf", ("label",))
    error = await raised(UniqueViolation, insert(Shelf).values(id=1, label="b"), Shelf)
    assert facts(error) == ("pk_shelf", "shelf", ("id",))


async def test_a_not_null_violation_names_the_attribute() -> None:
    """No constraint has a name here; the column is told."""
    assert facts(await raised(NotNullViolation, insert(Book).values(title=None))) == (None, "book", ("title",))


async def test_a_check_violation_names_the_attributes_that_it_reads() -> None:
    """The columns of a check come from the metadata on both engines."""
    error = await raised(CheckViolation, insert(Book).values(title="a", pages=0))
    assert facts(error) == ("ck_book_pages_positive", "book", ("pages",))


async def test_a_foreign_key_violation_names_the_attribute() -> None:
    """SQLite does not say which key: it is told where the model has one only."""
    error = await raised(ForeignKeyViolation, insert(Book).values(title="a", shelf_id=404))
    assert facts(error) == ("fk_book_shelf", "book", ("shelf_id",))


async def test_a_row_that_others_need_is_protected() -> None:
    """A deletion that a foreign key refuses is no missing reference."""
    async with session_scope():
        await run(insert(Shelf).values(id=1, label="a"))
        await run(insert(Book).values(title="a", shelf_id=1))
    error = await raised(ProtectedRow, delete(Shelf), Shelf, deleting=True)
    assert error.code == "protected"


async def test_postgresql_tells_a_protected_row_by_itself(tables: str) -> None:
    """Its words are enough; SQLite's are the same for both."""
    async with session_scope():
        await run(insert(Shelf).values(id=1, label="a"))
        await run(insert(Book).values(title="a", shelf_id=1))
    await raised(ForeignKeyViolation if tables.startswith("sqlite") else ProtectedRow, delete(Shelf), Shelf)


async def test_a_flush_names_attributes_without_being_told_the_model() -> None:
    """``atomic`` knows which classes were flushed, and finds the others that are declared with them."""
    async with session_scope():
        with pytest.raises(UniqueViolation) as caught:
            async with atomic():
                get_session().add_all([Book(title="a"), Book(title="a")])
    assert facts(caught.value) == ("uq_book_book_title_edition", "book", ("title", "edition"))


@on_postgresql
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param({"title": "x" * 11}, LengthViolation, id="too long"),
        pytest.param({"title": "a", "pages": 2**31}, RangeViolation, id="int4"),
        pytest.param({"title": "a", "isbn": 2**63}, RangeViolation, id="int8"),
        pytest.param({"title": "a", "pages": "many"}, TypeViolation, id="text for int"),
        pytest.param({"title": "a\x00b"}, TypeViolation, id="NUL"),
        pytest.param({"title": "a\ud800"}, TypeViolation, id="surrogate"),
        pytest.param({"title": b"a"}, TypeViolation, id="bytes"),
        pytest.param({"title": "a", "read_at": "yesterday"}, TypeViolation, id="text for datetime"),
    ],
)
async def test_postgresql_refuses_values_with_a_violation(
    values: dict[str, Any], kind: type[IntegrityViolation]
) -> None:
    """Length, range and type, whether the server or the driver refuses."""
    await raised(kind, insert(Book).values(**values))
    async with session_scope():
        with pytest.raises(kind):
            async with atomic():
                get_session().add(Book(**values))


@on_sqlite
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param({"title": "a", "isbn": 2**63}, RangeViolation, id="int8"),
        pytest.param({"title": "a\ud800"}, TypeViolation, id="surrogate"),
        pytest.param({"title": {}}, TypeViolation, id="dict"),
        pytest.param({"title": "a", "read_at": "yesterday"}, TypeViolation, id="text for datetime"),
    ],
)
async def test_sqlite_refuses_what_its_driver_cannot_send(
    values: dict[str, Any], kind: type[IntegrityViolation]
) -> None:
    """SQLite enforces no length, range or type; what the driver refuses has the same name as on PostgreSQL."""
    await raised(kind, insert(Book).values(**values))
    async with session_scope():
        with pytest.raises(kind):
            async with atomic():
                get_session().add(Book(**values))


async def test_values_in_conditions_are_refused_alike() -> None:
    """A SELECT with a value that the driver cannot send is a violation too, not a crash."""
    await raised(RangeViolation, select(Book).where(Book.isbn == 2**63))
    await raised(TypeViolation, select(Book).where(Book.title == "\ud800"))


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELEC 1"])
async def test_a_mistake_in_the_statement_stays_what_it_is(statement: str, tables: str) -> None:
    """Errors of the program are not the data's: they are not translated."""
    async with session_scope():
        with pytest.raises(Exception) as caught, translated():
            await run(text(statement))
    assert translate(caught.value) is None
    if not tables.startswith("sqlite"):
        assert isinstance(caught.value, ProgrammingError)


async def test_a_row_that_changed_meanwhile_is_a_stale_version() -> None:
    """SQLAlchemy's version counter speaks our words."""
    async with session_scope():
        async with atomic():
            get_session().add(Draft(id=1, text="a"))
        draft = await get_session().get_one(Draft, 1)
        await run(update(Draft).values(version=7).execution_options(synchronize_session=False))
        draft.text = "b"
        with pytest.raises(StaleVersion):
            async with atomic():
                pass


async def test_a_lock_that_is_held_makes_the_database_unavailable() -> None:
    """A writer that waits longer than LOCK_TIMEOUT gives up, and nothing is written."""
    await dispose_engines()
    with override_settings(LOCK_TIMEOUT=0.2):
        async with session_scope():
            await run(insert(Counter).values(id=1, value=0))
        async with session_scope(), atomic():
            await run(update(Counter).values(value=1))
            async with session_scope():
                with pytest.raises(Unavailable):
                    async with atomic():
                        await run(update(Counter).values(value=2))
                with pytest.raises(Unavailable), translated():
                    await run(update(Counter).values(value=3))
        async with session_scope():
            assert await get_session().scalar(select(Counter.value)) == 1


@on_postgresql
async def test_a_deadlock_is_a_serialization_failure() -> None:
    """One of the two ends with an error after which the whole may run again."""
    async with session_scope():
        await run(insert(Counter), [{"id": 1, "value": 0}, {"id": 2, "value": 0}])
    ready = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with session_scope(), atomic():
            await run(update(Counter).where(Counter.id == first).values(value=1))
            await ready.wait()
            await run(update(Counter).where(Counter.id == second).values(value=1))

    results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert {type(result) for result in results} == {type(None), SerializationFailure}


@on_postgresql
async def test_transactions_that_cannot_both_hold_are_a_serialization_failure() -> None:
    """SQLSTATE 40001 has its own class, because running again may succeed."""
    async with session_scope():
        await run(insert(Counter).values(id=1, value=0))
        with pytest.raises(SerializationFailure):
            async with atomic():
                await run(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                await get_session().get_one(Counter, 1)
                async with session_scope():
                    await run(update(Counter).values(value=1))
                await run(update(Counter).values(value=2))


async def test_no_error_shows_sql_or_values() -> None:
    """The sentence of an error is fit for a caller."""
    async with session_scope():
        await run(insert(Shelf).values(label="secret"))
    error = await raised(UniqueViolation, insert(Shelf).values(label="secret"), Shelf)
    assert str(error) == "label: A row with this value exists already."
    assert "secret" not in repr(error)
    assert "secret" not in str(error.__cause__).replace("(shelf_label)=(secret)", "")


async def test_a_statement_that_runs_too_long_is_stopped() -> None:
    """Both engines end a statement after STATEMENT_TIMEOUT; the connection serves the next one."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with session_scope():
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable), translated():
            await run(text(endless))
        assert asyncio.get_running_loop().time() - started < STATEMENT_TIMEOUT + 1
        assert await get_session().scalar(select(literal(1))) == 1


async def test_a_task_that_is_cancelled_in_a_statement_stops_it() -> None:
    """Nobody waits for a statement whose caller is gone, and the next scope is served at once."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with session_scope():
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await run(text(endless))
    async with session_scope():
        assert await get_session().scalar(select(literal(1))) == 1
    assert asyncio.get_running_loop().time() - started < 1


async def test_errors_of_the_drivers_are_known_without_sqlalchemy() -> None:
    """Code that talks to the driver itself gets the same words."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = "SQLITE_BUSY"
    assert isinstance(translate(error), Unavailable)
    assert isinstance(translate(asyncpg.LockNotAvailableError("canceling statement")), Unavailable)
    assert translate(KeyError("x")) is None
    assert translate(Unavailable("x")) is None
