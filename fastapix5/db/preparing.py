"""What a connection needs before it serves: our dialects see to it, and the listeners of an engine that is the user's own."""

from __future__ import annotations

import json
from typing import Any, cast

from sqlalchemy import Connection

from fastapix5.db.dialects import is_our_dialect

# The functions that lookups call.
LOWER = "fastapix5_lower"
DOCUMENT = "fastapix5_document"

# What every connection is set to. LIKE minds case, as PostgreSQL's does.
PRAGMAS = ("journal_mode = WAL", "foreign_keys = ON", "case_sensitive_like = ON")

# Whether lower() knows more than ASCII; the two characters are one letter, in upper and in lower case.
FOLDS = """
    SELECT CASE current_setting('server_encoding') WHEN 'UTF8' THEN lower(chr(196) COLLATE {}) = chr(228) ELSE true END
"""
COLLATIONS = "SELECT collname FROM pg_collation WHERE collencoding IN (-1, pg_char_to_encoding('UTF8'))"
# Those that fold Unicode in a database that does not, the fastest first.
FOLDING_COLLATIONS = ("pg_c_utf8", "C.utf8", "C.UTF-8", "und-x-icu")


# SQLite


def prepare_sqlite(dbapi_connection: Any) -> None:
    """Give a new connection the functions that lookups call; SQLite's own fold ASCII alone."""
    dbapi_connection.create_function(LOWER, 1, _lower, deterministic=True)
    dbapi_connection.create_function(DOCUMENT, 1, _document, deterministic=True)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _document(text: str | None) -> str | None:
    """JSON whose text is the same where its value is."""
    return None if text is None else json.dumps(json.loads(text), sort_keys=True)


def begin_immediate(connection: Connection) -> None:
    """Begin transactions on SQLite as writers; a listener for the engine's ``begin``.

    A transaction that starts by reading and then writes would lose the race for the lock, whatever the timeout.
    """
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    if is_our_dialect(connection.dialect):
        cast("Any", connection.dialect).do_begin_immediate(connection)
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


# PostgreSQL


def prepare_postgresql(dialect: Any, dbapi_connection: Any) -> None:
    """Have a dialect of asyncpg learn from a new connection how its server folds Unicode."""
    dialect.folding_collation = dbapi_connection.run_async(_find_folding_collation)


async def _find_folding_collation(driver: Any) -> str | None:
    """Return a collation that folds Unicode, or None where the database's own does, or no other can."""
    if await driver.fetchval(FOLDS.format('"default"')):
        return None
    known = {row["collname"] for row in await driver.fetch(COLLATIONS)}
    for name in FOLDING_COLLATIONS:
        if name in known and await driver.fetchval(FOLDS.format(f'"{name}"')):
            return name
    return None
