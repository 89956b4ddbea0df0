"""The command ``fastapix5``. Each command is a module of this package; ``commands`` names them."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec


def main() -> None:
    """Run the command line, or say what to install for it."""
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        sys.exit(f'fastapix5: the command line needs {" and ".join(missing)}: pip install "fastapix5[cli]"')
    import_module("fastapix5.cli.commands").app(prog_name="fastapix5")
