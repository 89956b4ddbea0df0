"""Facts about engines: how settings become one, and what a connection is like."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fastapix5.db import atomic, dispose_engines, get_engine, get_session, ping, session_scope, translated
from fastapix5.exceptions import ImproperlyConfigured, Unavailable
from fastapix5.settings import override_settings
from tests.conftest import on_postgresql, on_sqlite
from tests.db.models import Base, Book, Counter

pytestmark = pytest.mark.anyio


async def ask(sql: str, alias: str = "default") -> Any:
    """Return the one value of a statement."""
    async with session_scope():
        return await get_session(alias).scalar(text(sql))


async def test_an_engine_is_made_once_per_alias(database: str) -> None:
    """The second call returns the first one's engine; after disposal there is a new one."""
    engine = get_engine()
    assert get_engine() is engine
    assert engine.sync_engine.hide_parameters
    await dispose_engines()
    assert get_engine() is not engine


async def test_every_event_loop_has_engines_of_its_own(database: str) -> None:
    """A connection belongs to the loop that opened it: another loop never sees it."""
    await ping()
    here = get_engine()

    async def elsewhere() -> bool:
        await ping()
        other = get_engine() is not here
        await dispose_engines()
        return other

    assert await asyncio.to_thread(asyncio.run, elsewhere())
    await ping()


async def test_a_database_is_also_a_dict(database_url: str) -> None:
    """Parts and OPTIONS, or a URL and OPTIONS."""
    url = make_url(database_url)
    parts = {"DRIVERNAME": url.drivername, "USERNAME": url.username, "DATABASE": url.database}
    if host := url.query.get("host"):
        parts["HOST"] = str(host)
    whole = {"URL": database_url, "OPTIONS": {"pool_size": 3}}
    with override_settings(DATABASES={"default": parts, "other": whole}):
        assert await ask("SELECT 1") == 1
        assert await ask("SELECT 1", "other") == 1
        assert get_engine("other").pool.size() == 3  # type: ignore[attr-defined]
        await dispose_engines()


async def test_a_url_without_a_driver_gets_the_async_one(database_url: str) -> None:
    """``postgresql://`` and ``sqlite://`` are what hosting companies and people write."""
    plain = database_url.replace("+asyncpg", "").replace("+aiosqlite", "")
    with override_settings(DATABASES={"default": plain}):
        await ping()
        await dispose_engines()


async def test_the_users_own_engine_is_used_and_left_alone(database_url: str) -> None:
    """It gets our transactions; it is not disposed of."""
    mine = create_async_engine(database_url, poolclass=NullPool)
    for _ in range(2):
        with override_settings(DATABASES={"default": mine}):
            assert get_engine() is mine
            async with mine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            async with session_scope():
                await get_session().execute(insert(Counter).values(value=1))
                with pytest.raises(LookupError):
                    async with atomic():
                        await get_session().execute(insert(Counter).values(value=2))
                        raise LookupError
                assert set(await get_session().scalars(select(Counter.value))) == {1}
            await dispose_engines()


@on_sqlite
async def test_an_own_sqlite_engine_is_set_up_as_ours_are(database_url: str) -> None:
    """Foreign keys hold, LIKE minds case, readers do not stop writers, and a lock is waited for."""
    mine = create_async_engine(database_url)
    async with mine.connect():
        pass  # Open before we see it.
    with override_settings(DATABASES={"default": mine}, LOCK_TIMEOUT=1.5):
        assert await ask("PRAGMA foreign_keys") == 1
        assert await ask("PRAGMA journal_mode") == "wal"
        assert await ask("PRAGMA busy_timeout") == 1500
        assert await ask("SELECT 'A' LIKE 'a'") == 0
        async with session_scope(), atomic():
            await get_session().execute(text("CREATE TABLE t (id INTEGER)"))
        assert await ask("SELECT count(*) FROM t") == 0
    await mine.dispose()


@pytest.mark.parametrize("value", ["nodialect://x", "postgresql+nodriver://x", {"DRIVERNAME": "sqlite", "PORT": "x"}])
async def test_a_value_that_describes_no_database_is_refused(value: Any) -> None:
    """With the setting's name and a remedy, before anything connects."""
    with override_settings(DATABASES={"default": value}):
        with pytest.raises(ImproperlyConfigured, match=r'DATABASES\["default"\]'):
            get_engine()


@on_postgresql
async def test_postgresql_is_told_every_timeout(database: str) -> None:
    """The server's own limits come from the settings, and the application has a name."""
    assert await ask("SHOW statement_timeout") == "1s"
    assert await ask("SHOW lock_timeout") == "2s"
    assert await ask("SHOW idle_in_transaction_session_timeout") == "10s"
    assert await ask("SHOW application_name") == "fastapix5"


@on_postgresql
async def test_options_win_over_settings(database_url: str) -> None:
    """PgBouncer, for one, refuses server settings: ``{"server_settings": {}}`` sends none."""
    options: dict[str, Any] = {"connect_args": {"server_settings": {}}}
    with override_settings(DATABASES={"default": {"URL": database_url, "OPTIONS": options}}):
        assert await ask("SHOW statement_timeout") == "0"
        await dispose_engines()


@on_sqlite
async def test_sqlite_is_set_up_for_concurrent_writers(database: str) -> None:
    """WAL, foreign keys, and a wait for locks."""
    assert await ask("PRAGMA journal_mode") == "wal"
    assert await ask("PRAGMA foreign_keys") == 1
    assert await ask("PRAGMA busy_timeout") == 2000


async def test_sqlite_in_memory_is_one_database() -> None:
    """Every scope sees the same one; a second connection waits for the first."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite://"}, POOL_TIMEOUT=0.2):
        async with get_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with session_scope(), atomic():
            get_session().add(Counter(value=1))
        async with session_scope():
            assert list(await get_session().scalars(select(Counter.value))) == [1]
            with pytest.raises(Unavailable):
                await ping()
        await dispose_engines()


async def test_aware_datetimes_are_utc_on_both_engines(tables: str) -> None:
    """An aware column returns aware UTC values, whatever zone they were written in; a naive one stays naive."""
    east = datetime(2013, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    bought = datetime(2013, 1, 1, 12, 0)  # noqa: DTZ001
    async with session_scope():
        async with atomic():
            get_session().add(Book(id=1, title="a", read_at=east, bought_at=bought))
        row = (await get_session().execute(select(Book.read_at, Book.bought_at))).one()
        assert row.read_at == east
        assert row.read_at.utcoffset() == timedelta(0)
        assert row.bought_at == bought
        found = select(Book.id).where(Book.read_at == datetime(2012, 12, 31, 19, 0, tzinfo=UTC))
        assert await get_session().scalar(found) == 1
        later = select(Book.id).where(Book.read_at > literal(east - timedelta(seconds=1)))
        assert await get_session().scalar(later) == 1


@on_sqlite
async def test_sqlite_stores_aware_datetimes_as_utc(tables: str) -> None:
    """The file has UTC in it, so that text sorts as time."""
    east = datetime(2013, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with session_scope():
        await get_session().execute(insert(Book).values(title="a", read_at=east))
    assert await ask("SELECT read_at FROM book") == "2012-12-31 19:00:00.000000"


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A missing directory, a directory in its place, and a file that is no database."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(os.urandom(4096))
    for path in (tmp_path / "missing" / "db", tmp_path, garbage):
        with override_settings(DATABASES={"default": f"sqlite+aiosqlite:///{path}"}):
            with pytest.raises(Unavailable):
                await ping()
            async with session_scope():
                with pytest.raises(Unavailable), translated():
                    await get_session().scalar(select(1))
                with pytest.raises(Unavailable):
                    async with atomic():
                        await get_session().scalar(select(1))
            await dispose_engines()
