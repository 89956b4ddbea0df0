"""The command ``fastapix5`` itself: how it starts, what it names, what it says where it cannot."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from fastapix5.cli.commands import COMMANDS
from tests.cli.running import COMMAND, invoked, run


def test_help_names_every_command() -> None:
    """``--help``, and no argument at all."""
    for arguments in (["--help"], []):
        result = invoked(*arguments)
        assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_module(name: str) -> None:
    """It has a function of the command's name, whose docstring is its help."""
    function = getattr(import_module(f"fastapix5.cli.{name}"), name)
    result = invoked(name, "--help")
    assert result.exit_code == 0
    assert function.__doc__.split()[0] in result.stdout


def test_help_loads_no_library_that_a_command_needs(tmp_path: Path) -> None:
    """Neither SQLAlchemy nor FastAPI: the first word answers at once."""
    code = (
        "import atexit, sys; sys.argv = ['fastapix5', '--help'];"
        "atexit.register(lambda: print({'sqlalchemy', 'fastapi', 'starlette'} & set(sys.modules), file=sys.stderr));"
        "from fastapix5.cli import main; main()"
    )
    done = run("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert "routes" in done.stdout


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    """``--version``, by the installed command and by ``python -m``."""
    expected = f"fastapix5 {version('fastapix5')}\n"
    for command in ([COMMAND], ["-m", "fastapix5.cli"]):
        done = run(*command, "--version", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize(
    ("missing", "named"), [(["typer"], "typer"), (["rich"], "rich"), (["typer", "rich"], "typer and rich")]
)
def test_without_its_extra_the_command_says_what_to_install(tmp_path: Path, missing: list[str], named: str) -> None:
    """Where typer or rich are not there."""
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); from fastapix5.cli import main; main()"
    done = run("-c", code, cwd=tmp_path)
    expected = f'fastapix5: the command line needs {named}: pip install "fastapix5[cli]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_an_unknown_command_is_refused() -> None:
    """With the one that may have been meant."""
    result = invoked("rutes")
    assert result.exit_code == 2
    assert "No such command 'rutes'. Did you mean 'routes'?" in result.stderr
