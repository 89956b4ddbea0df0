"""The chart: for each row of the table, each contender's rate as a multiple of the hand-written one's."""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.benchmarks.registry import Contender
from tests.benchmarks.running import Results, Run
from tests.benchmarks.works import Work

UNIT = "handwritten"
COLOURS = {
    "limit": "#9aa0a6",
    "fastapix5": "#00796b",
    "handwritten": "#3f51b5",
    "restly": "#c2185b",
    "fastcrud": "#ef6c00",
    "drf": "#6d4c41",
}
LABELS, BARS, VALUES, BAR, GAP, LEGEND = 330, 420, 60, 12, 14, 66
TITLE = "Answers a second, as multiples of those of the endpoints written by hand"
STYLE = "text { font: 12px system-ui, sans-serif; fill: #222 } rect.page { fill: #fff }"


def draw(run: Run) -> str:
    """Return the chart as SVG."""
    drawn = [contender for name in COLOURS for contender in run.contenders if contender.name == name]
    values = [value for work in run.works for one in drawn if (value := multiple(run.results, work, one)) is not None]
    longest = max(values, default=1.0)
    parts: list[str] = []
    top = LEGEND
    for work in run.works:
        top = draw_work(parts, run.results, work, drawn, top, BARS / longest)
    width = LABELS + BARS + VALUES
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">',
            f"<title>{TITLE}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{top}"/>',
            text(8, 16, TITLE),
            *legend(drawn),
            *parts,
            "</svg>",
            "",
        ]
    )


def multiple(results: Results, work: Work, contender: Contender) -> float | None:
    """The contender's rate, as a multiple."""
    return results.ratio(work.name, contender.name, UNIT)


def draw_work(parts: list[str], results: Results, work: Work, drawn: list[Contender], top: int, scale: float) -> int:
    """Add one row's bars, and return where the next begins."""
    begin = top
    for contender in drawn:
        value = multiple(results, work, contender)
        if value is not None:
            parts.append(bar(contender, value, top, scale))
            top += BAR
    parts.insert(-1, text(8, (begin + top) // 2 + 4, work.title))
    return top + GAP


def bar(contender: Contender, value: float, top: int, scale: float) -> str:
    """One bar, with its value behind it."""
    length = value * scale
    shape = f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[contender.name]}"/>'
    return shape + text(LABELS + length + 4, top + BAR - 3, f"{value:.2f}")


def legend(drawn: list[Contender]) -> list[str]:
    """The contenders' colours, three in a row."""
    found = []
    for index, contender in enumerate(drawn):
        x, y = 8 + index % 3 * 265, 26 + index // 3 * 16
        found.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{COLOURS[contender.name]}"/>')
        found.append(text(x + 16, y + 10, contender.title))
    return found


def text(x: float, y: float, words: str) -> str:
    """Some words."""
    return f'<text x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'
