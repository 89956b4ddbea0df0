"""Facts about scopes and their sessions."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from fastapix5.access import Access, current_access
from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.db.engines import get_database
from fastapix5.exceptions import ImproperlyConfigured, ScopeRequired, UnflushedChanges
from fastapix5.settings import override_settings
from tests.db.models import Shelf

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("tables")]


def checked_out() -> int:
    """Return how many connections of the pool are in use."""
    count: int = get_engine().pool.checkedout()  # type: ignore[attr-defined]
    return count


async def test_outside_any_scope_there_is_no_session() -> None:
    """The error names what to write."""
    with pytest.raises(ScopeRequired, match="async with session_scope"):
        get_session()


async def test_a_scope_has_one_session_per_alias() -> None:
    """It is made when first asked for, with autoflush and expiry off."""
    async with session_scope():
        session = get_session()
        assert get_session("default") is session
        assert not session.sync_session.autoflush
        assert not session.sync_session.expire_on_commit


async def test_a_scope_that_asks_nothing_takes_no_connection() -> None:
    """Neither a scope, nor a session, nor a block takes a connection before the first statement."""
    async with session_scope():
        get_session()
        async with atomic():
            assert checked_out() == 0


async def test_leaving_a_scope_gives_its_connection_back() -> None:
    """Normally, by an exception, and by a cancellation."""
    async with session_scope():
        await get_session().scalar(select(1))
        assert checked_out() == 1
    assert checked_out() == 0
    with pytest.raises(LookupError):
        async with session_scope():
            await get_session().scalar(select(1))
            raise LookupError
    assert checked_out() == 0

    async def wait() -> None:
        async with session_scope():
            await get_session().scalar(select(1))
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert checked_out() == 0


async def test_a_block_uses_one_connection_at_a_time() -> None:
    """The connection of the statements before is released first: a full pool cannot lock itself out."""
    async with session_scope():
        await get_session().scalar(select(1))
        async with atomic():
            await get_session().scalar(select(1))
            assert checked_out() == 1
        assert checked_out() == 0


async def test_an_inner_scope_has_a_session_of_its_own() -> None:
    """Afterwards the outer scope's session is back."""
    async with session_scope():
        outer = get_session()
        async with session_scope():
            assert get_session() is not outer
        assert get_session() is outer
    with pytest.raises(ScopeRequired):
        get_session()


async def test_an_inner_scope_inherits_the_access() -> None:
    """An access given to a scope holds for its duration only."""
    ada, bob = Access(user_id="ada"), Access(user_id="bob")
    async with session_scope(access=ada):
        assert current_access.get() is ada
        async with session_scope():
            assert current_access.get() is ada
        async with session_scope(access=bob):
            assert current_access.get() is bob
        assert current_access.get() is ada
    assert current_access.get() is None


async def test_leaving_with_an_object_that_was_never_written_raises() -> None:
    """A new object that nobody flushed is a mistake that must be heard."""
    with pytest.raises(UnflushedChanges, match="Shelf"):
        async with session_scope():
            get_session().add(Shelf(label="a"))
    async with session_scope():
        assert await get_session().scalar(select(func.count()).select_from(Shelf)) == 0


async def test_leaving_with_a_change_or_deletion_that_was_never_written_raises() -> None:
    """So is a changed attribute, and a deletion."""
    async with session_scope(), atomic():
        get_session().add(Shelf(id=1, label="a"))
    with pytest.raises(UnflushedChanges):
        async with session_scope():
            (await get_session().get_one(Shelf, 1)).label = "b"
    with pytest.raises(UnflushedChanges):
        async with session_scope():
            await get_session().delete(await get_session().get_one(Shelf, 1))
    async with session_scope():
        shelf = await get_session().get_one(Shelf, 1)
        shelf.label = "a"  # No change.


async def test_an_exception_is_not_hidden_by_unwritten_changes() -> None:
    """What went wrong first is what is raised."""
    with pytest.raises(LookupError):
        async with session_scope():
            get_session().add(Shelf(label="a"))
            raise LookupError


async def test_a_flush_outside_a_block_writes() -> None:
    """An explicit flush commits itself, statement by statement."""
    async with session_scope():
        get_session().add(Shelf(label="a"))
        await get_session().flush()
    async with session_scope():
        assert await get_session().scalar(select(func.count()).select_from(Shelf)) == 1


async def test_queries_never_flush() -> None:
    """What waits is written by the end of a block or by an explicit flush, and by no query."""
    async with session_scope():
        async with atomic():
            get_session().add(Shelf(label="a"))
            assert await get_session().scalar(select(func.count()).select_from(Shelf)) == 0
        get_session().add(Shelf(label="b"))
        assert list(await get_session().scalars(select(Shelf.label))) == ["a"]
        await get_session().flush()
        assert list(await get_session().scalars(select(Shelf.label).order_by(Shelf.label))) == ["a", "b"]


async def test_session_options_reach_the_session() -> None:
    """Whatever ``AsyncSession`` takes."""
    async with session_scope(autoflush=True, info={"mine": 1}):
        assert get_session().sync_session.autoflush
        assert get_session().info["mine"] == 1


async def test_using_names_what_default_means(database_url: str, tables: str) -> None:
    """``session_scope(using="other")`` runs code that names no alias on the other database."""
    with override_settings(DATABASES={"default": database_url, "other": database_url}):
        async with session_scope(using="other"):
            assert get_session() is get_session("other")
            async with atomic():
                assert get_session().get_bind() is get_database("other").transactional


async def test_two_aliases_in_one_scope_have_transactions_of_their_own(database_url: str) -> None:
    """A block on one alias leaves the other in autocommit."""
    with override_settings(DATABASES={"default": database_url, "other": database_url}):
        async with session_scope():
            with pytest.raises(LookupError):
                async with atomic("other"):
                    await get_session("default").execute(insert(Shelf).values(label="a"))
                    if "postgresql" in database_url:
                        await get_session("other").execute(insert(Shelf).values(label="b"))
                    raise LookupError
            assert list(await get_session().scalars(select(Shelf.label))) == ["a"]


async def test_a_session_from_outside_is_neither_closed_nor_committed() -> None:
    """A session of SQLAlchemy's own kind works in a scope too."""
    async with AsyncSession(get_engine()) as mine:
        async with session_scope(using=mine):
            assert get_session() is mine
            async with atomic():
                get_session().add(Shelf(label="a"))
        assert await mine.scalar(select(func.count()).select_from(Shelf)) == 1
        await mine.rollback()
    async with session_scope():
        assert await get_session().scalar(select(func.count()).select_from(Shelf)) == 0


async def test_an_unknown_alias_is_refused_with_its_neighbour() -> None:
    """The error names the setting and the nearest alias."""
    async with session_scope():
        with pytest.raises(ImproperlyConfigured, match=r'Did you mean "default"\?'):
            await get_session("defualt").scalar(select(1))


async def test_wait_for_around_a_query_works() -> None:
    """On Python 3.11 ``asyncio.wait_for`` makes a task of its own."""
    async with session_scope():
        assert await asyncio.wait_for(get_session().scalar(select(1)), 1) == 1
