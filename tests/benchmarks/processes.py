"""The processes of a run: each contender's server on one core, everything else on the others."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from tests.benchmarks.contenders.common import POOL_SIZE
from tests.benchmarks.registry import Contender
from tests.benchmarks.works import Request, Work, raw, target

START_TIMEOUT = 60.0


def pin(process: psutil.Process, *, first: bool) -> None:
    """Bind a process to the first core, or to all others; where a system cannot, it does nothing."""
    cores = os.cpu_count() or 1
    if cores > 1 and hasattr(process, "cpu_affinity"):
        process.cpu_affinity([0] if first else list(range(1, cores)))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Running:
    """A contender's server.

    Attributes:
        contender: Whose.
        port: Where it listens.
        process: The process.
        start: Seconds from the command to the first answer.
        first: Seconds that the first request took, once the server listened.
    """

    contender: Contender
    port: int
    process: psutil.Popen
    start: float = 0.0
    first: float = 0.0

    def busy(self) -> float:
        """Seconds of processor time that the server has used."""
        total = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


@contextmanager
def served(
    contender: Contender, database_url: str, request: Request, headers: dict[str, str], wrapper: Sequence[str] = ()
) -> Iterator[Running]:
    """Start a contender's server and send it its first request; stop it afterwards.

    Raises:
        RuntimeError: It does not start.
    """
    port = free_port()
    begin = time.perf_counter()
    process = psutil.Popen(
        [*wrapper, *contender.command(port)], env={**os.environ, "DATABASE_URL": database_url}, stdin=subprocess.DEVNULL
    )
    pin(process, first=True)
    try:
        _wait(process, port)
        listening = time.perf_counter()
        _ask(port, request, headers)
        answered = time.perf_counter()
        yield Running(contender, port, process, answered - begin, answered - listening)
    finally:
        processes = [process, *process.children(recursive=True)] if process.is_running() else [process]
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=5)
        for left in alive:
            left.kill()


def _wait(process: psutil.Popen, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode}: {' '.join(process.args)}")
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.002)
    raise RuntimeError(f"The server does not listen: {' '.join(process.args)}")


def _ask(port: int, request: Request, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(request.method, target(request), headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"The first answer is {response.status}: {content[:500]!r}")


@dataclass(frozen=True)
class Measured:
    """What a sample found.

    Attributes:
        rate: Answers a second.
        cost: Microseconds of processor time that the server used for an answer.
        server: The share of its core that the server used.
        generator: The share of its core that the load generator used.
    """

    rate: float
    cost: float
    server: float
    generator: float


class LoadGenerator:
    """The process that sends requests."""

    def __init__(self) -> None:
        self._process = psutil.Popen(
            [sys.executable, "-m", "tests.benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pin(self._process, first=False)

    def sample(
        self,
        running: Running,
        work: Work,
        requests: list[Request],
        headers: dict[str, str],
        *,
        seconds: float,
        warm: float,
    ) -> Measured:
        """Take a sample.

        Raises:
            RuntimeError: An answer was not what was expected.
        """
        spelled = [raw(running.contender.spell(request), headers).decode("latin-1") for request in requests]
        specification: dict[str, Any] = {
            "port": running.port,
            "connections": POOL_SIZE,
            "requests": spelled,
            "once": work.name == "delete",
            "expected": running.contender.status(work.status),
            "warm": warm,
            "seconds": seconds,
        }
        begin, used = time.perf_counter(), running.busy()
        self._process.stdin.write(json.dumps(specification) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        elapsed = time.perf_counter() - begin
        if not answer:
            raise RuntimeError("The load generator ended.")
        found = json.loads(answer)
        if found["unexpected"]:
            raise RuntimeError(f"{running.contender.name}, {work.name}, unexpected: {found['unexpected']}")
        used = running.busy() - used
        return Measured(
            rate=found["counted"] / found["seconds"],
            cost=1e6 * used / found["answered"],
            server=used / elapsed,
            generator=found["busy"] / elapsed,
        )

    def stop(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
