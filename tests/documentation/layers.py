"""The layers as a page draws them."""

from __future__ import annotations

from tests.test_layers import MODULES, OWN, ROOT, ROWS, place_of, room_of


def drawn_layers() -> str:
    """The rows of modules as a Mermaid diagram, drawn from the imports; arrows that follow from others are left out."""
    there = {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES}
    below: dict[int, set[int]] = {row: set() for row in range(len(ROWS))}
    for found in OWN:
        source, target = place_of(room_of(found.module))[0], place_of(room_of(found.target.partition(".")[2]))[0]
        below[source] |= {target} - {source}

    def reach(row: int) -> set[int]:
        return below[row].union(*(reach(other) for other in below[row]))

    lines = ["flowchart TD"]
    for row in reversed(range(len(ROWS))):
        names = ", ".join(room for room in ROWS[row] if room in there)
        lines.append(f'    r{row}["{row}: {names}"]')
    for row in reversed(range(len(ROWS))):
        direct = below[row] - set().union(*(reach(other) for other in below[row]))
        lines += [f"    r{row} --> r{other}" for other in sorted(direct, reverse=True)]
    return "\n".join(lines) + "\n"
