"""Runs the command: in a process of its own, or in this one, which has its imports already."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from typer.testing import CliRunner, Result

from fastapix5.cli.commands import app
from tests.documentation.blocks import ROOT

COMMAND = Path(sysconfig.get_path("scripts")) / "fastapix5"


def terminal(width: int) -> dict[str, str]:
    """An environment in which rich takes what it writes to for a terminal without styles."""
    return {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": str(width), "LINES": "50"}


def invoked(*arguments: str, **environment: str) -> Result:
    """What the command does in this process."""
    return CliRunner().invoke(app, arguments, env=environment, prog_name="fastapix5")


def listed(*arguments: str, **environment: str) -> list[str]:
    """The lines that ``fastapix5 routes`` prints, without blanks at their ends."""
    result = invoked("routes", *arguments, **environment)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return [line.rstrip() for line in result.stdout.splitlines()]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, whose working directory is not on the path; warnings are errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTAPIX5_", "DATABASE_URL"))}
    given = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error", **environment}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=kept | given, capture_output=True, text=True, check=False, timeout=60
    )
