"""Runs whole pages, and corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.documentation.blocks import FLIGHTS, LANGUAGES, SERVED, Block, Failure, blocks_of, chain_of
from tests.documentation.derived import derived
from tests.documentation.reader import Reader
from tests.documentation.statements import merged


def run_page(page: Path) -> dict[Block, str]:
    """Run a page and return its blocks with what each should look like; one on the flights runs on each database.

    Raises:
        Failure: A block cannot be run.
    """
    chain = chain_of(page)
    sources = "".join(part.read_text() for part in chain)
    on_flights = FLIGHTS.search(sources)
    if on_flights is None:
        served = SERVED.search(sources)
        return _run(page, chain, Reader(served[1] if served else "page"))
    from tests.documentation.flights import FlightsReader

    found = {name: _run(page, chain, FlightsReader(name)) for name in on_flights[1].split(", ")}
    blocks = next(iter(found.values()))
    return {block: merged({name: texts[block] for name, texts in found.items()}) for block in blocks}


def _run(page: Path, chain: Sequence[Path], reader: Reader) -> dict[Block, str]:
    found: dict[Block, str] = {}
    try:
        reader.prepare()
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
    """The page with what its blocks should look like, and with what is made from the code."""
    source = page.read_text()
    for block, text in sorted(found.items(), key=lambda item: -item[0].line):
        if block.text != text:
            lines = source.splitlines(keepends=True)
            lines[block.line : block.line + block.text.count("\n")] = [text]
            source = "".join(lines)
    return derived(source)
