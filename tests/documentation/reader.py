"""Runs blocks as a reader of the page would: in one namespace, against its own app."""

from __future__ import annotations

import io
import re
import shlex
import sys
import types
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from http import HTTPStatus
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlalchemy import event
from sqlalchemy.pool import Pool
from sqlalchemy.util.concurrency import await_
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fastapix5.cli.commands import app as fastapix5
from tests.documentation.blocks import ROOT, Block, Failure, commands_of
from tests.documentation.shown import WIDTH, filled, shown_answer
from tests.documentation.statements import laid_out

if TYPE_CHECKING:
    from httpx2 import Response

BASE_URL = "http://localhost:8000"

# Rich takes what it writes to for a terminal without styles.
TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": str(WIDTH), "LINES": "50"}

ASSIGNMENT = re.compile(r"(\w+)=\$\((.*)\)", re.DOTALL)


class Reader:
    """Runs the blocks of one page and of those that it continues, in one namespace, and notes what came out.

    Args:
        name: What the page calls its module.
    """

    def __init__(self, name: str) -> None:
        self.module = types.ModuleType(name)
        self.variables: dict[str, str] = {}
        self.printed = ""
        self.raised: Exception | None = None
        self._served: Any = None
        self._client: Any = None
        self._open = ExitStack()
        self._statements: list[str] = []

    def prepare(self) -> None:
        """Make what the page needs before its first block."""

    def trace(self) -> None:
        """Note what the app asks SQLite, from its next connection on."""

        def listen(connection: Any, _: object) -> None:
            # A page's own, synchronous connections have no driver behind them.
            if hasattr(connection, "driver_connection"):
                await_(connection.driver_connection.set_trace_callback(self._statements.append))

        event.listen(Pool, "connect", listen)

    def run(self, block: Block, following: Block | None) -> str:
        """Run a block and return what it should look like.

        Raises:
            Failure: It raises and no ``text`` follows to say so, or it cannot be run at all.
        """
        if block.language in ("python", "console"):
            self.forget()
        match block.language:
            case "python":
                self._run_python(block)
                if self.raised is not None and (following is None or following.language != "text"):
                    raise Failure(f"{block.where}: {type(self.raised).__name__}: {self.raised}") from self.raised
                return block.text
            case "text":
                return f"{filled(self.printed.rstrip())}\n"
            case "console":
                return "".join(self._run_command(block, command) for command in commands_of(block)).rstrip("\n") + "\n"
            case "sql":
                return "".join(f"{laid_out(text)}\n" for text in self.asked())
            case _:
                from tests.documentation.layers import drawn_layers

                return drawn_layers()

    def close(self) -> None:
        """Let the app end."""
        self._open.close()

    # Python

    def _run_python(self, block: Block) -> None:
        # Blank lines before it, so that a traceback names the page's own line.
        code = self.compiled("\n" * block.line + block.text, str(block.page))
        self.printed, self.raised = self._executed(code, self.module.__dict__)
        if self.raised is not None:
            self.printed += f"{type(self.raised).__name__}: {self.raised}"

    def compiled(self, text: str, name: str) -> types.CodeType:
        """The code of a block."""
        return compile(text, name, "exec")

    def _executed(self, code: types.CodeType, namespace: dict[str, Any]) -> tuple[str, Exception | None]:
        sys.modules[self.module.__name__] = self.module
        raised = None
        with redirect_stdout(io.StringIO()) as output:
            try:
                exec(code, namespace)
            except Exception as error:  # noqa: BLE001  (a page may show what raises)
                raised = error
        return output.getvalue(), raised

    # Commands

    def _run_command(self, block: Block, command: str) -> str:
        assigned = ASSIGNMENT.fullmatch(command)
        output = self._output(block, assigned[2] if assigned else command)
        if assigned:
            self.variables[assigned[1]] = output.strip()
            output = ""
        shown = command.replace("\n", "\n> ")
        return f"$ {shown}\n{output}\n" if output else f"$ {shown}\n"

    def _output(self, block: Block, command: str) -> str:
        words = [Template(word).safe_substitute(self.variables) for word in shlex.split(command)]
        match words:
            case ["curl", *arguments]:
                return self._requested(arguments)
            case ["python", "-c", code]:
                printed, raised = self._executed(compile(code, block.where, "exec"), {})
                if raised is not None:
                    raise raised
                return printed
            case ["fastapix5", *arguments]:
                return self._commanded(arguments)
            case ["uvicorn", *_]:
                return ""
            case ["make", *targets]:
                known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
                if set(targets) <= set(known):
                    return ""
        raise Failure(f"{block.where}: nobody runs `{command}`.")

    def _commanded(self, arguments: Sequence[str]) -> str:
        """What the command says at a terminal as wide as a page, or what ``grep`` leaves of it."""
        sys.modules[self.module.__name__] = self.module
        own, piped = list(arguments), []
        if "|" in own:
            own, piped = own[: own.index("|")], own[own.index("|") + 1 :]
        result = CliRunner().invoke(fastapix5, own, env={} if piped else TERMINAL, prog_name="fastapix5")
        lines = [line.rstrip() for line in result.output.splitlines()]
        match piped:
            case []:
                return "\n".join(lines)
            case ["grep", word]:
                return "\n".join(line for line in lines if word in line)
        raise Failure(f"Nobody knows what stands behind the pipe: {shlex.join(piped)}.")

    def _requested(self, arguments: Sequence[str]) -> str:
        method, headers, body, url, shows_head = "", [], None, "", False
        words = iter(arguments)
        for word in words:
            match word:
                case "-i":
                    shows_head = True
                case "-I":
                    shows_head, method = True, "HEAD"
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(":")
                    headers.append((name, value.strip()))
                case "--json":
                    body = next(words)
                    headers += [("Content-Type", "application/json"), ("Accept", "application/json")]
                case _ if word.startswith("-"):
                    raise Failure(f"curl {word} is not understood.")
                case _:
                    url = word.removeprefix("localhost:8000")
        method = method or ("GET" if body is None else "POST")
        answer: Response = self._app_client().request(method, url, headers=headers, content=body)
        if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Failure(f"{method} {url} is answered by a 500.")
        return shown_answer(answer, shows_head)

    def _app_client(self) -> Any:
        app = self.module.__dict__["app"]
        if self._served is not app:
            client = TestClient(
                decoding_once(app), raise_server_exceptions=False, follow_redirects=False, base_url=BASE_URL
            )
            self._served, self._client = app, self._open.enter_context(client)
        return self._client

    # SQL

    def asked(self) -> Sequence[str]:
        """What the block before asked the database, but for what a connection asks first."""
        return [text for text in self._statements if not text.startswith("PRAGMA")]

    def forget(self) -> None:
        """Forget what blocks have asked so far."""
        self._statements.clear()


def decoding_once(app: Any) -> Any:
    """``app`` as a server calls it: the test client decodes the path twice, so that ``%252C`` becomes a comma."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if "raw_path" in scope:
            scope["path"] = unquote(scope["raw_path"].decode())
        await app(scope, receive, send)

    return served
