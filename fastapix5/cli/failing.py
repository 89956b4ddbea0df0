"""How a command fails: with a sentence, unless somebody asks for the traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

from fastapix5.exceptions import Error

Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")]


@contextmanager
def errors_as_sentences(*, traceback: bool) -> Iterator[None]:
    """End the command with an error's sentence and exit code 1.

    Args:
        traceback: Whether to let the error through instead.
    """
    try:
        yield
    except Error as error:
        if traceback:
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
