"""Databases: engines, sessions, transactions and errors. The only place that commits; it knows no HTTP."""

from __future__ import annotations

from fastapix5.db.engines import dispose_engines, get_engine, ping
from fastapix5.db.errors import translate, translated
from fastapix5.db.sessions import execute, get_session, session_scope
from fastapix5.db.streams import stream
from fastapix5.db.transactions import atomic, in_atomic, on_commit

__all__ = [
    "atomic",
    "dispose_engines",
    "execute",
    "get_engine",
    "get_session",
    "in_atomic",
    "on_commit",
    "ping",
    "session_scope",
    "stream",
    "translate",
    "translated",
]
