"""Where a server spends its time under load: py-spy looks at it some hundred times a second."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.processes import LoadGenerator
from tests.benchmarks.registry import Contender
from tests.benchmarks.running import Run
from tests.benchmarks.works import Work

RATE = 400
FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(?::\d+)?\)$")
PROJECT = Path(__file__).parents[2]

SERVERS = {"uvicorn", "click", "asyncio", "gunicorn", "<frozen runpy>", ""}

# A module and a function.
Frame = tuple[str, str]
Stack = tuple[Frame, ...]


def show_profile(run: Run, contender: Contender, work: Work, depth: int, kept: Path | None) -> None:
    """Put a contender under load, look at it, and print where its time goes.

    Args:
        run: A run that is prepared.
        contender: Whose server.
        work: What it is asked.
        depth: How many lines a table has.
        kept: Where the stacks go as well, as programs that draw flame graphs read them.
    """
    generator = LoadGenerator()
    with run.served(contender) as running, tempfile.TemporaryDirectory() as directory:
        run.warm_up(generator, running)
        seconds = run.seconds
        # py-spy stops the server for each look: what a request costs is measured without it.
        run.seconds = 2.0
        cost = run.measure(generator, running, work).cost
        # A little longer than py-spy looks, so that it never sees an idle server.
        run.seconds = seconds + 1.0
        output = Path(directory) / "stacks"
        spy = subprocess.Popen(spying(running.process.pid, seconds, output), stdout=subprocess.DEVNULL)
        run.measure(generator, running, work)
        if spy.wait() != 0:
            raise SystemExit("py-spy could not look at the server: it needs root, or the right to trace processes.")
        collapsed = output.read_text()
    generator.stop()
    if kept is not None:
        kept.write_text(collapsed)
    print_profile(dict(read_stacks(collapsed.splitlines())), cost, f"{contender.title}: {work.title}", depth)


def spying(process: int, seconds: float, output: Path) -> list[str]:
    """The command line of py-spy."""
    program = Path(sys.executable).with_name("py-spy")
    options = ["--rate", str(RATE), "--format", "raw", "--full-filenames", "--function", "--output", str(output)]
    return [str(program), "record", "--pid", str(process), "--duration", f"{seconds:.0f}", *options]


def read_stacks(lines: Iterable[str]) -> Iterator[tuple[Stack, int]]:
    """Each stack, outermost frame first, and how often it was seen."""
    for line in lines:
        frames, _, count = line.rpartition(" ")
        yield tuple(to_frame(one) for one in frames.split(";")), int(count)


def to_frame(text: str) -> Frame:
    """A frame as py-spy writes it, as module and function."""
    found = FRAME.match(text)
    return ("", text) if found is None else (module(found["file"]), found["function"])


def module(file: str) -> str:
    """The dotted name of a file: of this project, of an installed package, or of the standard library."""
    path = Path(file)
    parts = path.with_suffix("").parts
    if "site-packages" in parts:
        return ".".join(parts[parts.index("site-packages") + 1 :])
    if path.is_relative_to(PROJECT):
        return ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    library = next((i for i, part in enumerate(parts) if part.startswith("python3.")), -2)
    return ".".join(parts[library + 1 :])


def package(name: str) -> str:
    """The part of a module's name by which time is summed: the modules of this project, the packages of others."""
    parts = name.split(".")
    return ".".join(parts[: 3 if parts[0] == "fastapix5" else 2 if parts[0] == "sqlalchemy" else 1])


def own_time(stacks: dict[Stack, int], named: Callable[[Frame], str]) -> Counter[str]:
    """How often each innermost frame was seen, by what it is named."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[named(stack[-1])] += count
    return found


def by_package(frame: Frame) -> str:
    """A frame's package."""
    return package(frame[0])


def by_function(frame: Frame) -> str:
    """A frame's module and function."""
    return ": ".join(frame)


def whole_time(stacks: dict[Stack, int]) -> Counter[str]:
    """How often each function was somewhere in the stack, the server's own apart.

    What runs in a greenlet has a stack of its own, which begins there.
    """
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        for one in set(stack):
            if package(one[0]) not in SERVERS:
                found[by_function(one)] += count
    return found


def print_profile(stacks: dict[Stack, int], microseconds: float, title: str, depth: int) -> None:
    """Print the shares of packages, of functions by themselves, and of functions with all that they call."""
    console, total = Console(), sum(stacks.values())
    console.print(f"{title}: {microseconds:.0f} microseconds of the server's core a request, {total} looks")
    for name, counted in {
        "by module, own time": own_time(stacks, by_package),
        "by function, own time": own_time(stacks, by_function),
        "by function, with what it calls": whole_time(stacks),
    }.items():
        table = Table(name, "share", "microseconds")
        for what, count in counted.most_common(depth):
            table.add_row(what, f"{count / total:.1%}", f"{count / total * microseconds:.1f}")
        console.print(table)
