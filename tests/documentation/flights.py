"""Runs a page on the flights of the example, on one database after the other.

Its blocks may await at their top level: each runs in a session scope of its own.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import shutil
import sys
import types
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from example_project import data, loading
from example_project.database import make_engine
from example_project.models import Base
from fastapix5.db import dispose_engines, session_scope
from fastapix5.repositories import LOOKUPS, forget_policies
from fastapix5.settings import settings
from tests.documentation.blocks import ROOT
from tests.documentation.reader import Reader
from tests.documentation.statements import PostgreSQLStatements
from tests.servers import Server
from tests.statements import SQLiteStatements

SOURCE = ROOT / "tests" / "example" / "data"
LIMIT = 200
DATABASES = {"PostgreSQL": "postgresql", "SQLite": "sqlite"}


class FlightsReader(Reader):
    """Runs the blocks of a page on one database.

    Args:
        database: ``PostgreSQL`` or ``SQLite``.
    """

    def __init__(self, database: str) -> None:
        super().__init__("page")
        self._runner = self._open.enter_context(asyncio.Runner())
        self._listening: Any = PostgreSQLStatements() if database == "PostgreSQL" else SQLiteStatements()
        self._make = self._make_on_postgresql if database == "PostgreSQL" else self._make_files

    def prepare(self) -> None:
        """Load the flights."""
        settings.configure(DATABASES=self._make())
        self._lookups = dict(LOOKUPS)
        self._open.callback(self._end)
        self._open.enter_context(self._listening)

    def _make_on_postgresql(self) -> dict[str, str]:
        server = Server()
        self._open.callback(server.stop)
        name = server.create_database()
        self._runner.run(_load(server.url(name)))
        server.run(f'CREATE DATABASE archive TEMPLATE "{name}"')
        return {"default": server.url(name), "archive": server.url("archive")}

    def _make_files(self) -> dict[str, str]:
        urls = {alias: f"sqlite+aiosqlite:///{Path.cwd() / alias}.db" for alias in ("default", "archive")}
        self._runner.run(_load(urls["default"]))
        shutil.copy("default.db", "archive.db")
        return urls

    def _end(self) -> None:
        self._runner.run(dispose_engines())
        settings.reset()
        forget_policies()
        # What the page has registered is not there yet when the next database's turn comes.
        LOOKUPS.clear()
        LOOKUPS.update(self._lookups)

    def trace(self) -> None:
        """It listens from the start."""

    def asked(self) -> Sequence[str]:
        """What the block before asked, but for what a connection asks first."""
        if isinstance(self._listening, PostgreSQLStatements):
            return self._listening
        return [found.text for found in self._listening._all() if not found.text.startswith("PRAGMA")]

    def forget(self) -> None:
        """Forget what blocks have asked so far."""
        self._listening.clear() if isinstance(self._listening, list) else self._listening.reset()

    def compiled(self, text: str, name: str) -> types.CodeType:
        """The code of a block, which may await."""
        code: types.CodeType = compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return code

    def _executed(self, code: types.CodeType, namespace: dict[str, Any]) -> tuple[str, Exception | None]:
        if not code.co_flags & inspect.CO_COROUTINE:
            return super()._executed(code, namespace)
        sys.modules[self.module.__name__] = self.module
        raised = None
        with redirect_stdout(io.StringIO()) as output:
            try:
                self._runner.run(_in_scope(types.FunctionType(code, namespace)))
            except Exception as error:  # noqa: BLE001  (a page may show what raises)
                raised = error
        return output.getvalue(), raised


async def _in_scope(function: Any) -> None:
    async with session_scope():
        await function()


async def _load(url: str) -> None:
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await loading.load(engine, data.read_folder(SOURCE), limit=LIMIT)
    await engine.dispose()
