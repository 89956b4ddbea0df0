"""An API that another process serves on a real port, and a client that sends what no HTTP library would."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fastapix5.tokens import encode

ROOT = Path(__file__).parents[2]
SECRET = "a-key-that-only-these-tests-know-and-no-log-may-show"
PROBLEM = "application/problem+json"

# Seconds that a process may take until it serves: on a busy machine, importing alone takes a while.
START_TIMEOUT = 60.0


def token(tenant: str = "UA", *, user: str = "ada", scope: str = "flights.write") -> str:
    """A token that holds."""
    return encode({"sub": user, "tenant_id": tenant, "scope": scope}, SECRET)


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def places(self) -> list[tuple[Any, ...]]:
        """Where the input was wrong."""
        return [tuple(error["loc"]) for error in self.json().get("errors", [])]

    def summary(self) -> Any:
        """What must not differ between engines: how many rows were found, or the problem without its ``request_id``."""
        if self.status < 400 or not self.content:
            return self.status, self.json().get("count") if self.content.startswith(b'{"count"') else None
        problem = self.json()
        return self.status, {key: value for key, value in problem.items() if key != "request_id"}


@dataclass(eq=False)
class Api:
    """A served application.

    Attributes:
        process: Who serves it.
        port: Where, on 127.0.0.1.
        log: The file that has what the process logs.
        prefix: What every path begins with.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    prefix: str = "/api"
    authorization: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {token()}"})

    @property
    def stranger(self) -> Self:
        """The same API, for somebody without a token."""
        return type(self)(self.process, self.port, self.log, self.prefix, {})

    def as_staff_of(self, tenant: str, **claims: str) -> Self:
        """The same API, for somebody of an airline."""
        authorization = {"Authorization": f"Bearer {token(tenant, **claims)}"}
        return type(self)(self.process, self.port, self.log, self.prefix, authorization)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        chunks: int = 0,
        timeout: float = 20,
    ) -> Answer:
        """Send a request and return its answer.

        Args:
            method: Any word.
            path: Path and query below the prefix, as it goes over the wire.
            body: What becomes the JSON body.
            raw: The body as it is, in place of ``body``.
            headers: Further ones; a value of None leaves a standard one out.
            chunks: The length of the chunks that the body is sent in; 0 declares its length.
            timeout: Seconds to wait for the answer.
        """
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        lines = {"Host": "test", "Connection": "close", **self.authorization}
        if raw is not None:
            lines["Content-Type"] = "application/json"
            lines |= {"Transfer-Encoding": "chunked"} if chunks else {"Content-Length": str(len(raw))}
        lines |= headers or {}
        head = f"{method} {self.prefix}{path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        payload = raw or b""
        if chunks and raw is not None:
            parts = [raw[at : at + chunks] for at in range(0, len(raw), chunks)]
            payload = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return self.send(head.encode("latin-1") + b"\r\n" + payload, method, timeout=timeout)

    def send(self, data: bytes, method: str = "GET", *, timeout: float = 20) -> Answer:
        """Send bytes and return the answer to them."""
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            # The server may answer, and close, before it has taken everything.
            with suppress(ConnectionError):
                connection.sendall(data)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read(), time.monotonic() - started)

    def together(self, *requests: tuple[Any, ...], threads: int = 32) -> list[Answer]:
        """Send requests at the same time; each is the arguments of a call."""
        with ThreadPoolExecutor(min(threads, len(requests))) as pool:
            return list(pool.map(lambda arguments: self(*arguments), requests))

    def state(self, *, timeout: float = 20) -> dict[str, int]:
        """What the server's connection pool says."""
        unprefixed = type(self)(self.process, self.port, self.log, "", {})
        found: dict[str, int] = unprefixed("GET", "/state", timeout=timeout).json()
        return found

    def logged(self) -> str:
        """Everything that was logged so far."""
        return self.log.read_text()


@contextmanager
def serving(url: str, application: str = "example_project.app:app", **settings: object) -> Iterator[Api]:
    """Serve an application on a database, with settings from the environment, for the duration of a block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTAPIX5_")}
    environment |= {"DATABASE_URL": url, "FASTAPIX5_SECRET_KEY": SECRET}
    environment |= {f"FASTAPIX5_{name}": str(value) for name, value in settings.items()}
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        port = listener.getsockname()[1]
        log = Path(folder, "log")
        command = [sys.executable, "-m", "tests.withstand.serving", application, str(listener.fileno())]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()], stdout=file, stderr=file
            )
        try:
            api = Api(process, port, log)
            # It waits in the socket's queue until the process is ready.
            listener.close()
            try:
                api.state(timeout=START_TIMEOUT)
            except OSError as error:
                raise AssertionError(f"{application} does not serve. It logged:\n{api.logged()}") from error
            yield api
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where the block takes longer."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    assert taken < seconds, f"took {taken:.2f} s"
