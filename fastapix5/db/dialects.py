"""SQLAlchemy's dialects and the drivers, which load where a database is used: nothing here loads them before."""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy.dialects import registry

POSTGRESQL = "sqlalchemy.dialects.postgresql"

registry.register("postgresql.fastapix5", "fastapix5.db.postgresql", "PostgreSQLDialect")
registry.register("sqlite.fastapix5", "fastapix5.db.sqlite", "SQLiteDialect")


def loaded(module: str, *names: str) -> tuple[Any, ...]:
    """Names of a module; none where nothing has loaded it, for then nothing is an instance of its classes either."""
    found = sys.modules.get(module)
    return () if found is None else tuple(getattr(found, name) for name in names)


def is_our_dialect(dialect: object) -> bool:
    """Whether an engine's dialect is one of this package's."""
    return getattr(dialect, "is_ours", False)


def is_postgresql(column_type: object, *names: str) -> bool:
    """Whether a column's type is one of PostgreSQL's own, by the names that SQLAlchemy has for them."""
    return isinstance(column_type, loaded(POSTGRESQL, *names))


def load_postgresql() -> Any:
    """PostgreSQL's dialect, for SQL that has its types and words."""
    from sqlalchemy.dialects import postgresql

    return postgresql
