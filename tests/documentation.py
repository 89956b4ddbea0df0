"""Runs the blocks of a Markdown page as its reader would; CONTRIBUTING.md says how a page is written.

``python -m tests.documentation PAGE`` runs one, in the current directory; ``--write`` puts the real answers into it.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlalchemy import event
from sqlalchemy.pool import Pool
from sqlalchemy.util.concurrency import await_

if TYPE_CHECKING:
    from httpx2 import Response

ROOT = Path(__file__).resolve().parent.parent

LANGUAGES = frozenset({"python", "text", "console", "sql", "mermaid"})
BASE_URL = "http://localhost:8000"
WIDTH = 110
SHOWN_HEADERS = ("allow", "location", "retry-after", "www-authenticate")

FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n+\Z")
CONTINUES = re.compile(r"<!-- continues: (\S+) -->")
SERVED = re.compile(r"^\$ uvicorn (\w+):app\b", re.MULTILINE)
ASSIGNMENT = re.compile(r"(\w+)=\$\((.*)\)", re.DOTALL)


class Failure(Exception):
    """A page says something else than what happens."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, where it starts, and whether it is to be run."""

    page: Path
    line: int
    language: str
    text: str
    is_run: bool

    @property
    def where(self) -> str:
        """The place, as an editor takes it."""
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    source = page.read_text()
    return [
        Block(
            page,
            source.count("\n", 0, found.start()) + 1,
            found["language"],
            found["text"],
            not NOT_RUN.search(source, 0, found.start()),
        )
        for found in FENCE.finditer(source)
    ]


def chain_of(page: Path) -> list[Path]:
    """The pages that ``page`` continues, first to last, and the page itself."""
    before = CONTINUES.search(page.read_text())
    return [*(chain_of(page.parent / before[1]) if before else []), page]


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
            self._statements.clear()
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
                return self._traced()
            case _:
                return drawn_layers()

    def close(self) -> None:
        """Let the app end."""
        self._open.close()

    # Python

    def _run_python(self, block: Block) -> None:
        # Blank lines before it, so that a traceback names the page's own line.
        code = compile("\n" * block.line + block.text, str(block.page), "exec")
        self.printed, self.raised = self._executed(code, self.module.__dict__)
        if self.raised is not None:
            self.printed += f"{type(self.raised).__name__}: {self.raised}"

    def _executed(self, code: types.CodeType, namespace: dict[str, Any]) -> tuple[str, Exception | None]:
        sys.modules[self.module.__name__] = self.module
        raised = None
        with redirect_stdout(io.StringIO()) as output:
            try:
                exec(code, namespace)
            except Exception as error:
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
            case ["uvicorn", *_]:
                return ""
            case ["make", *targets]:
                known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
                if set(targets) <= set(known):
                    return ""
        raise Failure(f"{block.where}: nobody runs `{command}`.")

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
        return shown_answer(answer, shows_head)

    def _app_client(self) -> Any:
        from starlette.testclient import TestClient

        app = self.module.__dict__["app"]
        if self._served is not app:
            client = TestClient(decoding_once(app), raise_server_exceptions=False, follow_redirects=False, base_url=BASE_URL)
            self._served, self._client = app, self._open.enter_context(client)
        return self._client

    # SQL

    def _traced(self) -> str:
        own = (text for text in self._statements if not text.startswith("PRAGMA"))
        return "".join(re.sub(r" *\n *", "\n", text) + ";\n" for text in own)


def commands_of(block: Block) -> Iterator[str]:
    """Each command of a ``console`` block, its continued lines joined."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        first, *rest = part.split("\n")
        yield "\n".join([first, *(line[2:] for line in takewhile(lambda line: line.startswith("> "), rest))])


def decoding_once(app: Any) -> Any:
    """``app`` as a server calls it: the test client decodes the path twice, so that ``%252C`` becomes a comma."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if "raw_path" in scope:
            scope["path"] = unquote(scope["raw_path"].decode())
        await app(scope, receive, send)

    return served


# What is shown


def shown_answer(answer: Response, shows_head: bool) -> str:
    """An answer as a page shows it: with ``-i`` the status and the headers that say something, then the body."""
    head = ""
    if shows_head:
        head = f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}\n"
        head += "".join(
            f"{name}: {answer.headers[name]}\n" for name in SHOWN_HEADERS if name in answer.headers
        )
    if not answer.content:
        return head
    body = answer.text.rstrip("\n")
    if "json" in answer.headers["content-type"]:
        tree = json.loads(body)
        if isinstance(tree, dict) and "request_id" in tree:
            tree["request_id"] = "..."
        body = pretty(tree)
    return f"{head}\n{body}\n" if head else f"{body}\n"


def pretty(value: Any, indent: str = "", before: int = 0) -> str:
    """JSON on one line where it fits, else one item a line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        items = [pretty(item, inner) for item in value]
        return "[\n" + ",\n".join(f"{inner}{item}" for item in items) + f"\n{indent}]"
    keys = {name: f"{json.dumps(name)}: " for name in value}
    items = [key + pretty(value[name], inner, len(key) + 1) for name, key in keys.items()]
    return "{\n" + ",\n".join(f"{inner}{item}" for item in items) + f"\n{indent}}}"


def filled(text: str) -> str:
    """Text whose long lines are wrapped as a page wraps them."""
    lines = (textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join(lines)


def drawn_layers() -> str:
    """The rows of modules as a Mermaid diagram, drawn from the imports; arrows that follow from others are left out."""
    from tests.test_layers import MODULES, OWN, ROOT, ROWS, place_of, room_of

    there = {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES}
    below: dict[int, set[int]] = {row: set() for row in range(len(ROWS))}
    for found in OWN:
        source, target = place_of(room_of(found.module))[0], place_of(room_of(found.target.partition(".")[2]))[0]
        below[source] |= {target} - {source}

    def reach(row: int) -> set[int]:
        return below[row].union(*(reach(other) for other in below[row]))

    lines = ["flowchart TD"]
    for row in reversed(range(len(ROWS))):
        names = ", ".join(room for room in ROWS[row] if room in there)
        lines.append(f'    r{row}["{row}: {names}"]')
    for row in reversed(range(len(ROWS))):
        direct = below[row] - set().union(*(reach(other) for other in below[row]))
        lines += [f"    r{row} --> r{other}" for other in sorted(direct, reverse=True)]
    return "\n".join(lines) + "\n"


# Pages


def run_page(page: Path) -> dict[Block, str]:
    """Run a page and return its blocks with what each should look like.

    Raises:
        Failure: A block cannot be run.
    """
    chain = chain_of(page)
    served = SERVED.search("".join(part.read_text() for part in chain))
    reader = Reader(served[1] if served else "page")
    found: dict[Block, str] = {}
    try:
        blocks = [block for part in chain for block in blocks_of(part) if block.is_run]
        if any(block.language == "sql" for block in blocks):
            reader.trace()
        for index, block in enumerate(blocks):
            if block.language not in LANGUAGES:
                raise Failure(f'{block.where}: nobody knows the fence "{block.language}".')
            after = reader.run(block, blocks[index + 1] if index + 1 < len(blocks) else None)
            if block.page == page:
                found[block] = after
    finally:
        reader.close()
    return found


def rewritten(page: Path, found: dict[Block, str]) -> str:
    """The page with what its blocks should look like; blocks that say the same keep their looks."""
    source = page.read_text()
    for block, text in sorted(found.items(), key=lambda item: -item[0].line):
        if block.text != text:
            lines = source.splitlines(keepends=True)
            lines[block.line : block.line + block.text.count("\n")] = [text]
            source = "".join(lines)
    return source


def main(arguments: Sequence[str]) -> int:
    """Run a page; with ``--write`` correct it."""
    page = Path(arguments[-1]).resolve()
    try:
        found = run_page(page)
    except Failure as failure:
        print(failure)
        return 1
    if "--write" in arguments:
        page.write_text(rewritten(page, found))
        return 0
    wrong = [block for block, text in found.items() if block.text != text]
    for block in wrong:
        print(f"{block.where} says\n{textwrap.indent(block.text, '    ')}but it is\n{textwrap.indent(found[block], '    ')}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
