"""``python -m tests.benchmarks``: measure, or profile one contender."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import registry, works
from tests.benchmarks.answers import Mismatch
from tests.benchmarks.processes import LoadGenerator
from tests.benchmarks.report import print_report, write_report
from tests.benchmarks.running import Run
from tests.servers import throwaway_server

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(stderr=True)

# More processes than this want a core: what is measured then says little.
QUIET = 1.0


def chosen(names: str, known: dict[str, Any], what: str) -> list[Any]:
    """The things of those names, in the order of the table; all of them without a name."""
    wanted = [name for name in names.replace(",", " ").split() if name]
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(f'There is no {what} "{name}". There are: {", ".join(known)}.')
    return [thing for name, thing in known.items() if name in wanted or not wanted]


@app.command()
def run(
    only: Annotated[str, typer.Option(help="Contenders, by comma; all without it.")] = "",
    rows: Annotated[str, typer.Option(help="Rows of the table, by comma; all without it.")] = "",
    rounds: Annotated[int, typer.Option(min=0, help="How often each sample is taken; 0 only compares.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="The length of a sample.")] = 2.0,
    write: Annotated[bool, typer.Option(help="Write the table and the chart into docs/.")] = False,
) -> None:
    """Compare the answers of the contenders, measure them in turn, and print the table."""
    contenders: Sequence[registry.Contender] = chosen(only, registry.BY_NAME, "contender")
    begin = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with throwaway_server() as server, Progress(*columns, console=console) as progress:
        task = progress.add_task("preparing")
        measured = Run(
            server,
            contenders,
            chosen(rows, works.BY_NAME, "row"),
            seconds,
            lambda what: progress.update(task, advance=1, description=what),
        )
        progress.update(task, total=measured.steps(rounds))
        if measured.load > QUIET:
            console.print(f"This machine is busy (load {measured.load:.1f}): look at processor time, not at rates.")
        measured.prepare()
        try:
            measured.compare()
        except Mismatch as mismatch:
            console.print(f"Nothing was measured. {mismatch}", style="red", markup=False)
            raise typer.Exit(1) from None
        generator = LoadGenerator()
        for _ in range(rounds):
            measured.round(generator)
        generator.stop()
    print_report(measured)
    if write:
        write_report(measured, rounds, time.monotonic() - begin)


@app.command()
def profile(
    work: Annotated[str, typer.Option(help="Which row of the table.")] = "retrieve",
    only: Annotated[str, typer.Option(help="Which contender.")] = "fastapix5",
    seconds: Annotated[float, typer.Option(min=0.5, help="How long.")] = 5.0,
    depth: Annotated[int, typer.Option(min=1, help="How many functions are shown.")] = 40,
    stacks: Annotated[Path | None, typer.Option(help="A file for the stacks, to draw a flame graph of.")] = None,
) -> None:
    """Show where a contender spends its time while it is under load."""
    from tests.benchmarks.profiling import show_profile

    (contender,) = chosen(only, registry.BY_NAME, "contender")
    (measured_work,) = chosen(work, works.BY_NAME, "row")
    with throwaway_server() as server:
        measured = Run(server, [contender], [measured_work], seconds, lambda _what: None)
        measured.prepare()
        show_profile(measured, contender, measured_work, depth, stacks)


if __name__ == "__main__":
    app()
