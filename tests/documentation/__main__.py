"""``python -m tests.documentation [--write] PAGE`` runs a page in an empty directory, or puts the real answers into it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.documentation.blocks import Failure
from tests.documentation.pages import rewritten, run_page


def main(arguments: Sequence[str]) -> str | None:
    """Run a page, with ``--write`` correct it; return what is wrong."""
    page = Path(arguments[-1]).resolve()
    try:
        with TemporaryDirectory() as directory, chdir(directory):
            found = run_page(page)
    except Failure as failure:
        return str(failure)
    if "--write" in arguments:
        page.write_text(rewritten(page, found))
        return None
    wrong = (
        f"{block.where} says\n{textwrap.indent(block.text, '    ')}but it is\n{textwrap.indent(text, '    ')}"
        for block, text in found.items()
        if block.text != text
    )
    return "\n".join(wrong) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
