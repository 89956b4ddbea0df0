"""Facts about what the database's errors become."""

from __future__ import annotations

import asyncio
import decimal
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Numeric,
    String,
    UniqueConstraint,
    delete,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import ProgrammingError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, session_scope, translate, translated
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
from fastapix5.repositories import Repository
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


async def test_a_protected_row_is_told_without_help() -> None:
    """By PostgreSQL's words, or by the statement that SQLite refused."""
    async with session_scope():
        await run(insert(Shelf).values(id=1, label="a"))
        await run(insert(Book).values(title="a", shelf_id=1))
    await raised(ProtectedRow, delete(Shelf), Shelf)
    await raised(ProtectedRow, update(Shelf).values(id=2), Shelf)


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


# Each kind, by each way to write


class Base(DeclarativeBase):
    """Nothing gives its constraints names."""


class Line(Base):
    __tablename__ = "line"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column("line_name", String(9))


class Ticket(Base):
    """Attributes are not called as columns are; most constraints have no name."""

    __tablename__ = "ticket"
    __table_args__ = (
        UniqueConstraint("seat_no", "car"),
        Index("ix_ticket_code", text("lower(code)"), unique=True),
        CheckConstraint("price_cents > 0 AND note <> 'seat_no'"),
        CheckConstraint("seat_no < 500", name="seat_is_there"),
    )

    id: Mapped[int] = mapped_column("ticket_id", primary_key=True)
    seat: Mapped[int] = mapped_column("seat_no", default=1)
    car: Mapped[int] = mapped_column(default=1)
    code: Mapped[str] = mapped_column(String(5), default="x")
    email: Mapped[str | None] = mapped_column("mail", String(20), unique=True)
    price: Mapped[int] = mapped_column("price_cents")
    note: Mapped[str] = mapped_column(String(7), default="")
    discount: Mapped[decimal.Decimal | None] = mapped_column("off", Numeric(5, 2))
    at: Mapped[datetime | None] = mapped_column("valid_at", DateTime(timezone=True))
    kind: Mapped[str | None] = mapped_column(Enum("single", "return", native_enum=False))
    key: Mapped[uuid.UUID | None]
    line_id: Mapped[int | None] = mapped_column("line", ForeignKey(Line.id))
    return_line_id: Mapped[int | None] = mapped_column("back", ForeignKey(Line.id))
    next_id: Mapped[int | None] = mapped_column(
        "next", ForeignKey("ticket.ticket_id", deferrable=True, initially="DEFERRED", name="fk_next")
    )


OLD: dict[str, Any] = {"id": 1, "seat": 1, "code": "one", "email": "a@b", "price": 100}
NEW: dict[str, Any] = {"id": 2, "seat": 2, "code": "two", "price": 100}
Names = tuple[str, ...]

BROKEN: list[tuple[dict[str, Any], type[IntegrityViolation], str | None, Names]] = [
    ({"seat": 1}, UniqueViolation, None, ("seat", "car")),
    ({"email": "a@b"}, UniqueViolation, None, ("email",)),
    ({"code": "ONE"}, UniqueViolation, "ix_ticket_code", ()),
    ({"id": 1}, UniqueViolation, None, ("id",)),
    ({"price": None}, NotNullViolation, None, ("price",)),
    ({"price": 0}, CheckViolation, None, ("price", "note")),
    ({"seat": 500}, CheckViolation, "seat_is_there", ("seat",)),
    ({"line_id": 7}, ForeignKeyViolation, None, ("line_id",)),
    ({"return_line_id": 7}, ForeignKeyViolation, None, ("return_line_id",)),
    ({"next_id": 7}, ForeignKeyViolation, "fk_next", ("next_id",)),
]
# What SQLite stores as it is, unless it is checked before.
UNFIT: list[tuple[dict[str, Any], type[IntegrityViolation], str | None, Names]] = [
    ({"code": "x" * 6}, LengthViolation, None, ("code",)),
    ({"price": 2**31}, RangeViolation, None, ("price",)),
    ({"discount": decimal.Decimal(1000)}, RangeViolation, None, ("discount",)),
    ({"note": 5}, TypeViolation, None, ("note",)),
    ({"seat": "5"}, TypeViolation, None, ("seat",)),
]


async def create(values: dict[str, Any]) -> None:
    """By the repository."""
    await Repository(Ticket).create(values)


async def change(values: dict[str, Any]) -> None:
    """By the repository, in a row that is there."""
    ticket = await Repository(Ticket).create(NEW)
    await Repository(Ticket).update(ticket, values)


async def add(values: dict[str, Any]) -> None:
    """By a flush of the ORM, when ``atomic`` ends; beside an object of another class."""
    get_session().add_all([Line(id=100, name="new"), Ticket(**values)])


async def assign(values: dict[str, Any]) -> None:
    """By a flush of the ORM, of an object that is there."""
    ticket = Ticket(**NEW)
    get_session().add_all([Line(id=100, name="new"), ticket])
    await get_session().flush()
    for name, value in values.items():
        setattr(ticket, name, value)


async def execute(values: dict[str, Any]) -> None:
    """By a statement of one's own."""
    await run(insert(Ticket).values(values))


async def upset(values: dict[str, Any]) -> None:
    """By an UPDATE of one's own."""
    await run(insert(Ticket).values(NEW))
    await run(update(Ticket).where(Ticket.id == 2).values(values).execution_options(synchronize_session=False))


@pytest.fixture
async def tickets(tables: str) -> str:
    """The tables, and one ticket."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Ticket).values(OLD))
    return tables


async def broken(write: Callable[[dict[str, Any]], Awaitable[None]], values: dict[str, Any]) -> IntegrityViolation:
    """The error of a write that ends its transaction."""
    async with session_scope():
        with pytest.raises(IntegrityViolation) as caught:
            async with atomic():
                with translated(Ticket):
                    await write(values)
    async with session_scope():
        assert (await run(select(Ticket.id))).scalars().all() == [1]
        assert (await run(select(Line.id))).scalars().all() == []
    return caught.value


@pytest.mark.parametrize("write", [create, change, add, assign, execute, upset], ids=lambda write: str(write.__name__))
async def test_each_rule_is_told_by_each_way_to_write(
    tickets: str, write: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """With table, constraint and attributes; a constraint that has no name gets one from PostgreSQL only."""
    on_sqlite, checked = tickets.startswith("sqlite"), write in (create, change)
    by_update = write in (change, assign, upset)
    different = []
    for values, kind, constraint, fields in BROKEN + (UNFIT if checked or not on_sqlite else []):
        is_deferred = constraint == "fk_next"
        if is_deferred and write in (execute, upset):
            continue  # Only the commit fails, and of which model it was nobody knows.
        error = await broken(write, values if by_update else NEW | values)
        found = (type(error), error.table, error.constraint if on_sqlite or constraint else None, error.fields)
        expected: tuple[Any, ...] = (kind, "ticket", constraint, fields)
        if on_sqlite and kind is ForeignKeyViolation and (is_deferred or write is add):
            # SQLite does not say which key it is; nor does a commit, or an INSERT that writes them all.
            expected = (kind, None if is_deferred and write in (add, assign) else "ticket", None, ())
        if found != expected:
            different.append((values, expected, found))
    assert different == []


@pytest.mark.parametrize("values", [{"kind": 5}, {"key": "no uuid"}, {"at": "yesterday"}], ids=str)
@pytest.mark.parametrize("write", [add, assign, execute, upset], ids=lambda write: str(write.__name__))
async def test_a_value_that_sqlalchemy_cannot_bind_is_of_the_wrong_type(
    tickets: str, write: Callable[[dict[str, Any]], Awaitable[None]], values: dict[str, Any]
) -> None:
    """Whatever the type raises for it."""
    error = await broken(write, values if write in (assign, upset) else NEW | values)
    assert type(error) is TypeViolation
    assert isinstance(error.__cause__, StatementError)


@pytest.mark.usefixtures("tickets")
async def test_a_deferred_rule_breaks_at_commit() -> None:
    """Or where a block that is durable ends; the same error as before."""
    async with session_scope():
        with pytest.raises(ForeignKeyViolation):
            async with atomic(durable=True):
                get_session().add(Ticket(**NEW, next_id=404))
                await get_session().flush()
        with pytest.raises(ProtectedRow):
            async with atomic():
                get_session().add_all([Line(id=1, name="a"), Ticket(**NEW, line_id=1)])
                await get_session().flush()
                await run(delete(Line))
