"""Engines: one per database alias and event loop, made from ``settings.DATABASES`` when first used."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, Dialect, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DataError, DisconnectionError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from fastapix5.db.closing import wait_for_closing
from fastapix5.db.dialects import is_our_dialect
from fastapix5.db.errors import translated
from fastapix5.db.pool import Pool, is_closed
from fastapix5.db.preparing import PRAGMAS, begin_immediate, prepare_postgresql, prepare_sqlite
from fastapix5.exceptions import ImproperlyConfigured, Unavailable, did_you_mean
from fastapix5.settings import settings

# The client gives up this much after the server should have: only a server that no longer answers gets here.
GRACE = 0.5

# Marks a SQLite connection that has its PRAGMAs.
PREPARED = "fastapix5_prepared"

POSTGRESQL = frozenset({"postgres", "postgresql", "postgresql+asyncpg", "postgresql+fastapix5"})
SQLITE = frozenset({"sqlite", "sqlite+aiosqlite", "sqlite+fastapix5"})


@dataclass(frozen=True, slots=True)
class Database:
    """An engine and its two ways to run a statement; both share the engine's pool.

    Attributes:
        engine: The engine itself: statements run in a transaction, on SQLite one by BEGIN IMMEDIATE.
        autocommit: Each statement commits itself, and no BEGIN is sent.
        is_ours: Whether the engine was made from settings; the user's own is not disposed of.
        memo: What others keep for as long as the engine lives, by keys of their own.
    """

    engine: AsyncEngine
    autocommit: Engine
    is_ours: bool
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def transactional(self) -> Engine:
        """The engine as a synchronous session takes it."""
        return self.engine.sync_engine

    @property
    def pool(self) -> Any:
        """The pool, which disposing of the engine replaces."""
        return self.engine.sync_engine.pool


Databases = MutableMapping[str, Database]

_by_loop: dict[asyncio.AbstractEventLoop, Databases] = {}
_without_loop: Databases = {}


def get_engine(alias: str = "default") -> AsyncEngine:
    """Return the engine of a database alias, made when first asked for in this event loop.

    Raises:
        ImproperlyConfigured: There is no such alias, or its value does not describe a database.
    """
    return get_database(alias).engine


def get_database(alias: str = "default") -> Database:
    """Return the engine of an alias with its two flavours.

    Raises:
        ImproperlyConfigured: There is no such alias, or its value does not describe a database.
    """
    databases = _databases()
    database = databases.get(alias)
    if database is None:
        database = databases[alias] = _make(alias)
    return database


async def dispose_engines() -> None:
    """Close the connections of every engine that this event loop has made, and forget the engines."""
    for databases in (_databases(), _without_loop):
        while databases:
            _, database = databases.popitem()
            if database.is_ours:
                await database.engine.dispose()
    await wait_for_closing()


async def ping(alias: str = "default") -> None:
    """Run one statement on the database.

    Raises:
        Unavailable: The database does not answer.
    """
    with translated():
        async with get_engine(alias).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.exec_driver_sql("SELECT 1")


def _databases() -> Databases:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _without_loop
    databases = _by_loop.get(loop)
    if databases is None:
        _forget_closed_loops()
        databases = _by_loop[loop] = {}
    return databases


def _forget_closed_loops() -> None:
    """Let go of engines whose loop ended without ``dispose_engines``: their connections can only be collected."""
    for loop in [loop for loop in _by_loop if loop.is_closed()]:
        if _by_loop.pop(loop):
            gc.collect()


def _make(alias: str) -> Database:
    where = f'settings.DATABASES["{alias}"]'
    if alias not in settings.DATABASES:
        remedy = f"Write settings.configure(DATABASES={{{alias!r}: ...}})."
        hint = did_you_mean(alias, settings.DATABASES)
        raise ImproperlyConfigured(where, f"There is no database of this name.{hint}", remedy)
    value = settings.DATABASES[alias]
    if isinstance(value, AsyncEngine):
        return _complete(value, is_ours=False)
    try:
        url, options = _read(value)
        return _complete(_create(url, options), is_ours=True)
    except (ArgumentError, ImportError, NoSuchModuleError, TypeError, ValueError) as error:
        what = f"The value does not describe a database: {error}"
        raise ImproperlyConfigured(where, what, "Write a URL like postgresql+asyncpg://user@host/name.") from error


def _read(value: Any) -> tuple[URL, dict[str, Any]]:
    """Return the URL of a setting's value, and the options for ``create_async_engine``."""
    if not isinstance(value, Mapping):
        return make_url(value), {}
    options = dict(value.get("OPTIONS") or {})
    if "URL" in value:
        return make_url(value["URL"]), options
    port = value.get("PORT")
    url = URL.create(
        value["DRIVERNAME"],
        value.get("USERNAME"),
        value.get("PASSWORD"),
        value.get("HOST"),
        int(port) if port else None,
        value.get("DATABASE"),
    )
    return url, options


def _create(url: URL, given: dict[str, Any]) -> AsyncEngine:
    """Make the engine; what the user's OPTIONS say wins over the settings."""
    arguments = dict(given.pop("connect_args", {}))
    make = _create_other
    if url.drivername in POSTGRESQL:
        make = _create_postgresql
    elif url.drivername in SQLITE:
        make = _create_sqlite
    options: dict[str, Any] = {"hide_parameters": True}
    if given.get("poolclass") not in (NullPool, StaticPool):
        options |= {"poolclass": Pool, "pool_size": settings.POOL_SIZE, "max_overflow": 0}
        options |= {"pool_timeout": _at_most_a_statement(settings.POOL_TIMEOUT)}
    return make(url, options | given, arguments)


def _create_other(url: URL, options: dict[str, Any], arguments: dict[str, Any]) -> AsyncEngine:
    return create_async_engine(url, connect_args=arguments, **options)


def _create_postgresql(url: URL, options: dict[str, Any], arguments: dict[str, Any]) -> AsyncEngine:
    query = dict(url.query)
    if "sslmode" in query:  # libpq's word for it, as hosting companies write it.
        query["ssl"] = query.pop("sslmode")
    own = {
        "timeout": _at_most_a_statement(settings.CONNECT_TIMEOUT),
        "command_timeout": settings.STATEMENT_TIMEOUT + GRACE,
        # The driver's timers would hold on to the context of whoever asked a statement first. Their number has a bound.
        "max_cached_statement_lifetime": 0,
        "server_settings": {
            "application_name": str(query.pop("application_name", "fastapix5")),
            "statement_timeout": _milliseconds(settings.STATEMENT_TIMEOUT),
            "lock_timeout": _milliseconds(settings.LOCK_TIMEOUT),
            "idle_in_transaction_session_timeout": _milliseconds(settings.IDLE_TIMEOUT),
        },
    }
    url = url.set(drivername="postgresql+fastapix5", query=query)
    engine = create_async_engine(url, connect_args=own | arguments, **options)
    if not isinstance(engine.pool, Pool):
        event.listen(engine.sync_engine, "checkout", _replace_closed)
    return engine


def _create_sqlite(url: URL, options: dict[str, Any], arguments: dict[str, Any]) -> AsyncEngine:
    own = {"timeout": settings.LOCK_TIMEOUT, "isolation_level": None}
    if url.database in (None, "", ":memory:") and options.get("poolclass") is Pool:
        # Each connection to memory is a database of its own, so there is one, and whoever wants it waits.
        options |= {"pool_size": 1}
    options = {"statement_timeout": settings.STATEMENT_TIMEOUT, "lock_timeout": settings.LOCK_TIMEOUT} | options
    return create_async_engine(url.set(drivername="sqlite+fastapix5"), connect_args=own | arguments, **options)


def _complete(engine: AsyncEngine, *, is_ours: bool) -> Database:
    listeners: dict[str, Any] = {"do_connect": _connect, "handle_error": handle_error}
    if engine.dialect.name == "sqlite":
        listeners["begin"] = begin_immediate
        if not is_our_dialect(engine.dialect):
            listeners["checkout"] = _prepare_sqlite
    if engine.dialect.driver == "asyncpg" and not is_our_dialect(engine.dialect):
        listeners["engine_connect"] = _prepare_postgresql
    for name, listener in listeners.items():
        # The user's own engine may come by again.
        if not event.contains(engine.sync_engine, name, listener):
            event.listen(engine.sync_engine, name, listener)
    return Database(engine, engine.sync_engine.execution_options(isolation_level="AUTOCOMMIT"), is_ours)


def _replace_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Have a pool of the user's choice connect anew where the server has hung up, as ours does."""
    if is_closed(dbapi_connection):
        raise DisconnectionError


def _prepare_sqlite(dbapi_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Set up a connection of the user's own engine as our dialect does, also one that was open before we saw it."""
    if PREPARED in record.info:
        return
    record.info[PREPARED] = True
    cursor = dbapi_connection.cursor()
    for pragma in (*PRAGMAS, f"busy_timeout = {_milliseconds(settings.LOCK_TIMEOUT)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    prepare_sqlite(dbapi_connection)


def _prepare_postgresql(connection: Connection) -> None:
    """Have the dialect of the user's own engine learn from its first connection what ours does."""
    if not hasattr(connection.dialect, "folding_collation"):
        prepare_postgresql(connection.dialect, connection.connection.dbapi_connection)


def _connect(dialect: Dialect, _record: object, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Connect; a server that cannot be reached is ``Unavailable`` from here on."""
    try:
        return dialect.connect(*arguments, **options)
    except OSError as error:  # TimeoutError is one.
        raise Unavailable(f"connect: {error!r}") from error


def handle_error(context: ExceptionContext) -> None:
    """Give errors that SQLAlchemy passes on bare a class that tells where they come from.

    Raises:
        Unavailable: The driver waited in vain, or lost its server; the connection is given up.
        DataError: The driver cannot send a value.
    """
    error = context.original_exception
    ours = placed(error, context.statement)
    if ours is None and context.sqlalchemy_exception is None and isinstance(error, Exception) and _is_lost(context):
        # Cursors' errors come as the driver has them.
        ours = Unavailable(repr(error))
    if ours:
        context.is_disconnect = context.is_disconnect or isinstance(ours, Unavailable)
        raise ours from error


def _is_lost(context: ExceptionContext) -> bool:
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return False
    return is_closed(connection.connection.dbapi_connection)


def placed(error: BaseException, statement: str | None) -> Unavailable | DataError | None:
    """Return what tells where an error comes from that a driver raised and SQLAlchemy does not know."""
    if isinstance(error, OSError):  # TimeoutError is one.
        return Unavailable(repr(error))
    if isinstance(error, (OverflowError, UnicodeError)):
        return DataError(statement, None, error, hide_parameters=True)
    return None


def _at_most_a_statement(seconds: float) -> float:
    """Hold a wait to STATEMENT_TIMEOUT: from a silent server, too, an answer comes a second after it at the latest."""
    return min(seconds, settings.STATEMENT_TIMEOUT)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
