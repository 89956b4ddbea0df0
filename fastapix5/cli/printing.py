"""Prints routes: for a person at a terminal, for ``grep``, and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastapix5.cli.explaining import Explanation

STYLES = {"compiled": "green", "core": "yellow", "objects": "magenta"}
# What is said to be missing; of the others nothing is said where there is nothing.
EXPECTED = ("authentication", "permissions", "throttles")


@dataclass(frozen=True)
class Row:
    """A route as it is printed.

    Attributes:
        methods: The methods that it answers.
        path: Behind every prefix.
        name: For ``url_path_for``.
        operation: OpenAPI's operation id.
        viewset: The viewset's class, or nothing for a route of another kind.
        action: Its action, or the function of a route of another kind.
        explanation: What stands behind a route of a viewset, where somebody asked.
    """

    methods: tuple[str, ...]
    path: str
    name: str
    operation: str
    viewset: str
    action: str
    explanation: Explanation | None


def print_json(rows: Iterable[Row]) -> None:
    """Print a list of objects; ``explanation`` is null where nobody asked."""
    typer.echo(json.dumps([asdict(row) for row in rows], indent=2))


def print_rows(rows: Sequence[Row], *, explained: bool) -> None:
    """Print as fits: at a terminal a table or blocks, into a pipe one line for each route."""
    console = Console(markup=False, highlight=False, emoji=False)
    lines = list(lines_of(rows, explained=explained))
    if not console.is_terminal:
        typer.echo("\n".join(lines))
    elif explained or max(map(len, lines)) > console.width:
        for row in rows:
            console.print(block_of(row, explained=explained))
    else:
        console.print(Text(lines[0], "bold"), *map(Text, lines[1:]), sep="\n")


def cells_of(row: Row) -> dict[str, str]:
    """Return what every form shows of a route."""
    action = f"{row.viewset}.{row.action}" if row.viewset else row.action
    return {"method": ", ".join(row.methods), "path": row.path, "operation": row.operation, "action": action}


def facts_of(found: Explanation | None) -> dict[str, str]:
    """Return what is shown of an explanation; a route that is not of a viewset has none."""
    if found is None:
        return {"takes": "fastapi"}
    above = (f"{permission} of {name}" for name, known in found.ancestors.items() for permission in known)
    return {
        "takes": found.path,
        "why": found.why,
        "authentication": ", ".join(found.authentication),
        "permissions": ", ".join((*above, *found.permissions)),
        "throttles": ", ".join(found.throttles),
        "filters": ", ".join(found.filters),
        "pagination": found.pagination or "",
        "rows": ", ".join(found.rows),
    }


def lines_of(rows: Sequence[Row], *, explained: bool) -> Iterator[str]:
    """Yield a head and a line for each route, in columns; two blanks or more stand between them."""
    found = [cells_of(row) | (facts_of(row.explanation) if explained else {}) for row in rows]
    names = max(found, key=len)
    table = [[name.upper() for name in names], *([cells.get(name) or "-" for name in names] for cells in found)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def block_of(row: Row, *, explained: bool) -> Group:
    """Return several lines for one route, which wrap in a narrow terminal."""
    cells = cells_of(row)
    head = Text.assemble(cells.pop("method"), " ", (cells.pop("path"), "bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, text in cells.items():
        grid.add_row(Text(name, "dim"), Text(text))
    if not explained:
        return Group(head, Padding.indent(grid, 4))
    for name, line in explained_lines(facts_of(row.explanation)):
        grid.add_row(Text(name, "dim"), line)
    return Group(head, Padding.indent(grid, 4), "")


def explained_lines(facts: dict[str, str]) -> Iterator[tuple[str, Text]]:
    """Yield the lines of an explanation; what is missing is said where one would look for it."""
    takes, why = facts.pop("takes"), facts.pop("why", "")
    yield "takes", Text.assemble((takes, STYLES.get(takes, "")), f": {why}" if why else "")
    for name, text in facts.items():
        if text or name in EXPECTED:
            yield name, Text(text or "none")
