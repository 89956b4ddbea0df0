"""What a run prints, and the page and the chart that it writes."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.chart import draw
from tests.benchmarks.contenders.common import MANY
from tests.benchmarks.figures import AIMS, SHORT, figure
from tests.benchmarks.registry import BY_NAME, Contender
from tests.benchmarks.running import FIRST_ANSWER, START, Results, Run

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "explanation" / "benchmarks.md"
CHART = DOCS / "benchmarks.svg"
README = DOCS.parent / "README.md"

# Below this share of its core a server was waiting.
BUSY = 0.85
WAITED = (
    f"* The server used less than {BUSY:.0%} of its core: it waited for the database, or other processes had the core."
)

# What the README shows: all of it is on the page.
BRIEFLY = ("fastapix5", "fastapix5-token", "handwritten", "fastcrud", "drf", "limit")

STARTS = ((START, "start of the process until the first answer, ms"), (FIRST_ANSWER, "the first request of these, ms"))
PACKAGES = (
    "fastapi",
    "starlette",
    "sqlalchemy",
    "asyncpg",
    "pydantic",
    "uvicorn",
    "uvloop",
    "fastcrud",
    "fastapi-restly",
    "django",
    "djangorestframework",
    "gunicorn",
    "psycopg",
    "orjson",
)

# A head and its rows. The first cell of each is what the row is about.
Cells = list[str]
Rows = tuple[Cells, list[Cells]]


def rates(run: Run) -> Rows:
    """Answers a second, and how long a start takes."""
    return table(run, run.contenders)


def table(run: Run, contenders: Sequence[Contender]) -> Rows:
    """The same for some contenders."""
    rows = [[work.title, *(rate(run.results, work.name, contender) for contender in contenders)] for work in run.works]
    for what, title in STARTS:
        rows.append([title, *(whole(run.results.milliseconds(what, contender.name)) for contender in contenders)])
    return ["", *(contender.title for contender in contenders)], rows


def briefly(run: Run) -> Rows:
    """What the README shows: the rates of some contenders, and what the project is held against."""
    head, rows = table(run, [contender for contender in run.contenders if contender.name in BRIEFLY])
    against = ("handwritten", "limit")
    for row, work in zip(rows, run.works, strict=False):
        row.extend(times(run.results, work.name, other) for other in against)
    for row in rows[len(run.works) :]:
        row.extend("" for _ in against)
    return [*head, *(f"against {SHORT[other]}" for other in against)], rows


def in_words(run: Run) -> str:
    """The figures that have no column in the README's table."""
    token, last = times(run.results, "retrieve", "handwritten-token"), times(run.results, "retrieve", "only")
    return (
        f"Against the endpoints by hand that check a token and a permission too, retrieve is {token} times as fast; "
        f"the last of {MANY:,} viewsets answers at {last} times the rate of an only one."
    )


def rate(results: Results, work: str, contender: Contender) -> str:
    """A median, marked where the server had time to wait."""
    found = results.rate(work, contender.name)
    waited = found is not None and results.busy(work, contender.name) < BUSY
    return whole(found) + ("*" if waited else "")


def costs(run: Run) -> Rows:
    """Microseconds of the server's processor."""
    rows = [
        [work.title, *(whole(run.results.cost(work.name, contender.name)) for contender in run.contenders)]
        for work in run.works
    ]
    return ["", *(contender.title for contender in run.contenders)], rows


def ratios(run: Run) -> Rows:
    """How many times the rate of others fastapix5 has."""
    head = ["", *(f"against {SHORT.get(other) or BY_NAME[other].title}" for other in AIMS)]
    return head, [[work.title, *(ratio(run.results, work.name, other) for other in AIMS)] for work in run.works]


def times(results: Results, work: str, against: str) -> str:
    """A ratio of medians alone."""
    found = results.ratio(work, figure(work, against).side, against)
    return "" if found is None else f"{found:.2f}"


def ratio(results: Results, work: str, against: str) -> str:
    """A ratio of medians, the range over the rounds, and what it should be."""
    wanted = figure(work, against)
    found = results.ratio(work, wanted.side, against)
    if found is None:
        return ""
    low, high = results.ratio_range(work, wanted.side, against)
    spread = "" if low == high else f" ({low:.2f} to {high:.2f})"
    return f"{found:.2f}{spread}" + ("" if wanted.aim is None else f", aim {wanted.aim:g}")


def whole(value: float | None) -> str:
    """A number without decimals, or nothing."""
    return "" if value is None else f"{value:,.0f}"


def without_empty_columns(head: Cells, rows: list[Cells]) -> Rows:
    """The same table without columns that have no value."""
    kept = [index for index in range(len(head)) if index == 0 or any(row[index] for row in rows)]
    return [head[index] for index in kept], [[row[index] for index in kept] for row in rows]


def print_report(run: Run) -> None:
    """Print the tables, as wide as they are."""
    console = Console(width=240)
    if not run.results.samples:
        console.print("Every answer is the same. Nothing was measured.")
        return
    for title, found in {
        "Answers a second": rates(run),
        "Microseconds of the server's processor for an answer": costs(run),
        "How many times the rate of others fastapix5 has": ratios(run),
    }.items():
        head, rows = without_empty_columns(*found)
        table = Table(title=title, title_justify="left", box=box.SIMPLE)
        for index, name in enumerate(head):
            table.add_column(name, justify="right" if index else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(WAITED)


def write_report(run: Run, rounds: int, duration: float) -> None:
    """Write the page's results and the chart, and the README's where it has a place for them."""
    results = "\n\n".join(
        [
            circumstances(run, rounds, duration),
            "Answers a second, medians:",
            markdown(*rates(run)),
            f"\\{WAITED}",
            "Microseconds of the server's processor for an answer, medians:",
            markdown(*costs(run)),
            "How many times the rate of others fastapix5 has (ratios of medians; in parentheses the range over the rounds):",
            markdown(*ratios(run)),
            "![How many times the rate of the endpoints written by hand](../benchmarks.svg)",
        ]
    )
    replace_between(PAGE, results)
    brief = [circumstances(run, rounds, duration), markdown(*briefly(run)), f"\\{WAITED}", in_words(run)]
    replace_between(README, "\n\n".join(brief))
    CHART.write_text(draw(run))


def replace_between(page: Path, results: str) -> None:
    """Put results between the marks of a page, if it has any."""
    begin, end = "<!-- results of make bench -->", "<!-- end of results -->"
    text = page.read_text()
    if begin in text:
        before, _, rest = text.partition(begin)
        page.write_text(f"{before}{begin}\n{results}\n{end}{rest.partition(end)[2]}")


def markdown(head: Cells, rows: list[Cells]) -> str:
    """A table in Markdown."""
    head, rows = without_empty_columns(head, rows)
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def circumstances(run: Run, rounds: int, duration: float) -> str:
    """When, where and with what."""
    day = datetime.now(UTC).date().isoformat()
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(found for found in map(version, PACKAGES) if found)
    return (
        f"Measured on {day}: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, PostgreSQL {run.postgresql}, {versions}. "
        f"{rounds} rounds, samples of {run.seconds:g} s, {duration / 60:.0f} minutes in all; load before it began: {run.load:.1f}."
    )


def version(package: str) -> str:
    """A package with its version, or nothing where it is not installed."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()
