"""Facts about ``atomic`` and ``on_commit``."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from fastapix5.db import atomic, get_session, in_atomic, on_commit, session_scope
from fastapix5.exceptions import (
    ForeignKeyViolation,
    NotNullViolation,
    ScopeRequired,
    TransactionAborted,
    UniqueViolation,
)
from tests.db.models import Base, Book, Counter, Loan, Shelf
from tests.statements import Statements

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tables")]


async def count(model: type[Base]) -> int:
    """Return the number of committed rows, as another session sees it."""
    async with session_scope():
        return await get_session().scalar(select(func.count()).select_from(model)) or 0


async def test_a_read_outside_atomic_sends_no_begin(statements: Statements) -> None:
    """A statement outside ``atomic`` is one statement at the server: no BEGIN, no COMMIT, no ROLLBACK."""
    async with session_scope():
        await get_session().scalar(select(1))
        statements.reset()
        await get_session().scalars(select(Book))
    assert await statements.count() == 1
    assert await statements.read_control() == []


async def test_a_block_sends_one_begin_and_one_commit(statements: Statements) -> None:
    """A block is one transaction around its statements."""
    async with session_scope():
        await get_session().scalar(select(1))
        statements.reset()
        async with atomic():
            get_session().add(Shelf(label="a"))
            await get_session().flush()
            await get_session().scalars(select(Book))
    assert await statements.count() == 2
    assert sorted(text.split()[0] for text, _ in await statements.read_control()) == ["BEGIN", "COMMIT"]


async def test_an_empty_block_sends_nothing(statements: Statements) -> None:
    """A block in which nothing happens costs the database nothing."""
    statements.reset()
    async with session_scope(), atomic():
        pass
    assert await statements.count() == 0
    assert await statements.read_control() == []


async def test_a_block_flushes_and_commits_when_it_ends() -> None:
    """What was added needs no flush of its own."""
    async with session_scope(), atomic():
        get_session().add(Shelf(label="a"))
    assert await count(Shelf) == 1


async def test_an_exception_rolls_back() -> None:
    """A block that raises leaves nothing behind, and its exception is raised as it is."""
    async with session_scope():
        with pytest.raises(LookupError, match="mine"):
            async with atomic():
                get_session().add(Shelf(label="a"))
                await get_session().flush()
                raise LookupError("mine")
    assert await count(Shelf) == 0


async def test_an_exception_of_the_callers_own_is_never_translated() -> None:
    """A TimeoutError or OSError of the caller's code does not become a database's."""
    async with session_scope():
        for mine in (TimeoutError("mine"), FileNotFoundError("mine"), OverflowError("mine")):
            with pytest.raises(type(mine), match="mine"):
                async with atomic():
                    raise mine


async def test_a_statement_outside_atomic_commits_itself() -> None:
    """An INSERT outside a block is there for others at once."""
    async with session_scope():
        await get_session().execute(insert(Shelf).values(label="a"))
        assert await count(Shelf) == 1


async def test_a_change_that_waits_is_written_inside_the_block_that_follows() -> None:
    """Entering a block flushes nothing: what it flushes later is rolled back with it."""
    async with session_scope():
        async with atomic():
            get_session().add(Shelf(id=1, label="a"))
        shelf = await get_session().get_one(Shelf, 1)
        shelf.label = "b"
        with pytest.raises(LookupError):
            async with atomic():
                await get_session().flush()
                raise LookupError
    async with session_scope():
        assert (await get_session().get_one(Shelf, 1)).label == "a"


async def test_objects_stay_readable_after_commit() -> None:
    """Nothing expires at commit, the new key included."""
    async with session_scope():
        async with atomic():
            shelf = Shelf(label="a")
            get_session().add(shelf)
        assert (shelf.id, shelf.label) == (1, "a")


async def test_a_nested_block_is_a_savepoint() -> None:
    """The inner block fails alone."""
    async with session_scope():
        async with atomic():
            get_session().add(Shelf(label="a"))
            with pytest.raises(UniqueViolation):
                async with atomic():
                    get_session().add(Shelf(label="a"))
            get_session().add(Shelf(label="b"))
    assert await count(Shelf) == 2


async def test_a_nested_block_is_lost_with_the_outer_one() -> None:
    """What an inner block kept is gone when the outer one fails."""
    async with session_scope():
        with pytest.raises(LookupError):
            async with atomic():
                async with atomic():
                    get_session().add(Shelf(label="a"))
                raise LookupError
    assert await count(Shelf) == 0


async def test_a_block_without_savepoint_takes_the_outer_one_along() -> None:
    """Its failure, though caught, leaves nothing of the transaction, and leaving says so."""
    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                get_session().add(Shelf(label="a"))
                with pytest.raises(LookupError):
                    async with atomic(savepoint=False):
                        raise LookupError
    assert await count(Shelf) == 0


async def test_a_block_without_savepoint_sends_none(statements: Statements) -> None:
    """``savepoint=False`` joins the transaction around it."""
    async with session_scope():
        statements.reset()
        async with atomic(), atomic(savepoint=False):
            get_session().add(Shelf(label="a"))
    assert not [text for text, _ in await statements.read_control() if "SAVEPOINT" in text.upper()]
    assert await count(Shelf) == 1


async def test_a_durable_block_must_be_the_outermost() -> None:
    """``durable=True`` inside another block raises before anything is done."""
    async with session_scope(), atomic(durable=True):
        with pytest.raises(RuntimeError, match="durable"):
            async with atomic(durable=True):
                raise AssertionError


async def test_atomic_decorates_a_coroutine_function() -> None:
    """``@atomic`` and ``@atomic(...)`` both run each call in a transaction of its own."""

    @atomic
    async def plain(label: str) -> bool:
        get_session().add(Shelf(label=label))
        return in_atomic()

    @atomic(using="default")
    async def failing(label: str) -> None:
        await plain(label)
        raise LookupError

    async with session_scope():
        assert await plain("a")
        assert await plain("b")
        with pytest.raises(LookupError):
            await failing("c")
        assert not in_atomic()
    assert await count(Shelf) == 2


async def test_atomic_decorates_nothing_but_coroutine_functions() -> None:
    """A ``def`` function cannot wait for a transaction."""
    with pytest.raises(TypeError, match="coroutine"):
        atomic(len)  # type: ignore[arg-type]


async def test_atomic_needs_a_scope() -> None:
    """Outside any scope there is no session to open a transaction on."""
    with pytest.raises(ScopeRequired, match="session_scope"):
        async with atomic():
            raise AssertionError


async def test_a_cancelled_block_rolls_back_and_gives_its_connection_back() -> None:
    """Cancellation in mid-transaction, and again while it rolls back, leaves neither rows nor connections behind."""
    inside = asyncio.Event()

    async def work() -> None:
        async with session_scope(), atomic():
            get_session().add(Shelf(label="a"))
            await get_session().flush()
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(Shelf) == 0
    async with session_scope(), atomic():
        get_session().add(Shelf(label="a"))


async def test_tasks_that_read_and_write_lose_no_update() -> None:
    """Eight tasks that add one, 20 times each, end at 160; so do single statements among them, and none starves."""
    async with session_scope(), atomic():
        get_session().add(Counter(id=1, value=0))

    async def add() -> None:
        for turn in range(20):
            async with session_scope():
                if turn % 4 == 0:
                    await get_session().execute(update(Counter).values(value=Counter.value + 1))
                    continue
                async with atomic():
                    counter = await get_session().get_one(Counter, 1, with_for_update=True)
                    counter.value += 1

    await asyncio.gather(*(add() for _ in range(8)))
    async with session_scope():
        assert (await get_session().get_one(Counter, 1)).value == 160


async def test_a_flush_that_breaks_a_rule_is_translated_on_leaving() -> None:
    """Errors of a flush become ours, with attribute names for columns."""
    async with session_scope():
        with pytest.raises(NotNullViolation) as caught:
            async with atomic():
                get_session().add(Book(title=None))
    assert caught.value.fields == ("title",)


async def test_a_rule_that_is_checked_at_commit_is_translated_too() -> None:
    """A deferred foreign key breaks at COMMIT and is raised as if it had broken before."""
    async with session_scope():
        with pytest.raises(ForeignKeyViolation):
            async with atomic():
                get_session().add(Loan(book_id=404))
                await get_session().flush()
        assert not in_atomic()
    assert await count(Loan) == 0


async def test_an_error_caught_inside_a_block_does_not_end_in_a_silent_success() -> None:
    """A flush that failed has undone the transaction: leaving the block normally raises."""
    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                get_session().add(Shelf(label="a"))
                await get_session().flush()
                get_session().add(Shelf(label="a"))
                with suppress(IntegrityError):
                    await get_session().flush()
    assert await count(Shelf) == 0


async def test_a_core_statement_that_failed_does_not_end_in_a_silent_success() -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK and no error, and SQLite would keep what did not fail."""
    async with session_scope():
        with pytest.raises(TransactionAborted):
            async with atomic():
                await get_session().execute(insert(Shelf).values(label="a"))
                with suppress(IntegrityError):
                    await get_session().execute(insert(Shelf).values(label="a"))
        assert not in_atomic()
    assert await count(Shelf) == 0


async def test_the_session_serves_again_after_a_rollback() -> None:
    """A scope outlives a failed transaction."""
    async with session_scope():
        with pytest.raises(UniqueViolation):
            async with atomic():
                get_session().add_all([Shelf(label="a"), Shelf(label="a")])
        async with atomic():
            get_session().add(Shelf(label="a"))
        await get_session().execute(update(Shelf).values(label="b"))
        assert await get_session().scalar(select(Shelf.label)) == "b"
        await get_session().execute(delete(Shelf))
    assert await count(Shelf) == 0


async def test_callbacks_run_after_the_outermost_commit_in_order() -> None:
    """``on_commit`` takes def and async def; both see committed rows."""
    seen: list[str] = []

    async def asynchronous() -> None:
        seen.append(f"async {await count(Shelf)} {in_atomic()}")

    async with session_scope():
        async with atomic():
            on_commit(asynchronous)
            async with atomic():
                await on_commit(lambda: seen.append("sync"))
                get_session().add(Shelf(label="a"))
            assert seen == []
    assert seen == ["async 1 False", "sync"]


async def test_callbacks_of_what_was_rolled_back_never_run() -> None:
    """A savepoint or transaction that fails takes its callbacks along."""
    seen: list[str] = []
    async with session_scope():
        async with atomic():
            on_commit(lambda: seen.append("outer"))
            with pytest.raises(LookupError):
                async with atomic():
                    on_commit(lambda: seen.append("inner"))
                    raise LookupError
        with pytest.raises(LookupError):
            async with atomic():
                on_commit(lambda: seen.append("lost"))
                raise LookupError
    assert seen == ["outer"]


async def test_callbacks_outside_a_block_run_at_once() -> None:
    """Without a transaction there is nothing to wait for; an async one ends before the scope does."""
    seen: list[str] = []

    async def asynchronous() -> None:
        await asyncio.sleep(0.01)
        seen.append("async")

    async with session_scope():
        on_commit(lambda: seen.append("sync"))
        assert seen == ["sync"]
        await on_commit(asynchronous)
        assert seen == ["sync", "async"]
        on_commit(asynchronous)
    assert seen == ["sync", "async", "async"]


async def test_a_session_from_outside_is_not_committed() -> None:
    """In a scope on the caller's own session a block is a savepoint, and the caller decides about the whole."""
    async with session_scope():
        outer = get_session()
        async with atomic():
            async with session_scope(using=outer):
                assert get_session() is outer
                async with atomic():
                    get_session().add(Shelf(label="a"))
            assert await outer.scalar(text("SELECT count(*) FROM shelf")) == 1
            await outer.execute(delete(Shelf))
    assert await count(Shelf) == 0
