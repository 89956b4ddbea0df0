"""The blocks of a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LANGUAGES = frozenset({"python", "text", "console", "sql", "mermaid"})

FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n+\Z")
CONTINUES = re.compile(r"^<!-- continues: (\S+) -->$", re.MULTILINE)
FLIGHTS = re.compile(r"^<!-- flights on: (.+) -->$", re.MULTILINE)
SERVED = re.compile(r"^\$ uvicorn (\w+):app\b", re.MULTILINE)


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


def commands_of(block: Block) -> Iterator[str]:
    """Each command of a ``console`` block, its continued lines joined."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        first, *rest = part.split("\n")
        yield "\n".join([first, *(line[2:] for line in takewhile(lambda line: line.startswith("> "), rest))])
