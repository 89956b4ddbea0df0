"""The example served by a real uvicorn on a real port, over the committed excerpt of the data."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from example_project import data, loading
from example_project.database import make_engine, migrate

ROOT = Path(__file__).resolve().parents[2]
EXCERPT = Path(__file__).parent / "data"
STARTS_WITHIN = 30.0


def environment(url: str) -> dict[str, str]:
    """The environment of a process that serves or inspects the example."""
    ours = {
        "DATABASE_URL": url,
        "FASTAPIX5_SETTINGS_MODULE": "example_project.settings",
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **ours}


def load(url: str) -> None:
    """Migrate an empty database and load the excerpt."""

    async def run() -> None:
        engine = make_engine(url)
        try:
            await migrate(engine)
            await loading.load(engine, data.read_folder(EXCERPT))
        finally:
            await engine.dispose()

    asyncio.run(run())


@contextmanager
def served(url: str, log: Path) -> Iterator[str]:
    """Serve the example over the database at ``url``; yield its address, and stop it afterwards."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "example_project.app:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(url), stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/openapi.json", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the example did not start at {address}")
