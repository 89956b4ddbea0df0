"""EXPLAIN, in each database's way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Executable, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from fastapix5.exceptions import ImproperlyConfigured


class Explain(Executable, ClauseElement):
    """A statement that tells how another would run."""

    inherit_cache = False

    def __init__(self, statement: Select[Any], *, analyze: bool) -> None:
        self.statement = statement
        self.analyze = analyze


def explain(statement: Select[Any], *, analyze: bool) -> Explain:
    """EXPLAIN of ``statement``; ``analyze`` runs it as well."""
    return Explain(statement, analyze=analyze)


@compiles(Explain)
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    analyze = "ANALYZE " if element.analyze else ""
    return f"EXPLAIN {analyze}{compiler.process(element.statement, **options)}"


@compiles(Explain, "sqlite")
def _explain_on_sqlite(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    if element.analyze:
        raise ImproperlyConfigured(
            "explain(analyze=True)", "it needs PostgreSQL, and this is SQLite.", "Write explain()."
        )
    return f"EXPLAIN QUERY PLAN {compiler.process(element.statement, **options)}"
