"""The commands, by name. A command's module is loaded when it is run: what it needs takes longer than ``--help``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# Each is a function of this name, in a module of this name beside this one.
COMMANDS: Mapping[str, str] = {
    "routes": "List the routes of an application; --explain says what each asks and which path it takes.",
}

OPTIONS: Mapping[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "markdown",
}


class Commands(TyperGroup):
    """Shows the commands by their names, and loads the one that is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name, with the options of its module."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            alone = typer.Typer(**OPTIONS)
            alone.command(name)(getattr(import_module(f"fastapix5.cli.{name}"), name))
            command = typer.main.get_command(alone)
        return name, command, rest


app = typer.Typer(cls=Commands, no_args_is_help=True, **OPTIONS)


def _listed() -> None:
    # Typer wants a function to list a command by; the one that runs is in the command's module.
    raise NotImplementedError("resolve_command gives the command itself")


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_listed)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastapix5 {version('fastapix5')}")
        raise typer.Exit


@app.callback()
def fastapix5(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Commands for projects that use fastapix5."""
