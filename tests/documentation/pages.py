"""Runs whole pages, and corrects them."""

from __future__ import annotations

from pathlib import Path

from tests.documentation.blocks import LANGUAGES, SERVED, Block, Failure, blocks_of, chain_of
from tests.documentation.reader import Reader


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
