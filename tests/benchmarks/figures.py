"""The figures to reach: ratios of medians of one run. Nothing asserts them; the report shows them beside what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OURS = {"handwritten-token": "fastapix5-token", "only": "last"}
SHORT = {
    "handwritten": "by hand",
    "handwritten-token": "by hand, both with a token",
    "limit": "the limit",
    "only": "an only viewset: the last of 1,000",
}

_FIVE_TIMES = dict.fromkeys(("retrieve", "feed", "list", "relations", "create", "patch"), 5.0)

# By whom fastapix5 is held against, and by work. What is not named here is shown without an aim.
AIMS: Mapping[str, Mapping[str, float]] = {
    "handwritten": {"retrieve": 3.5, "feed": 3.0, "list": 1.9, "relations": 3.0, "create": 4.0, "patch": 4.0},
    "handwritten-token": {"retrieve": 3.0},
    "limit": {"retrieve": 0.75, "feed": 0.8, "list": 0.9, "relations": 0.7, "create": 0.6, "patch": 0.6},
    "fastcrud": _FIVE_TIMES,
    "drf": _FIVE_TIMES,
    "restly": {},
    "only": {"retrieve": 0.95},
}


@dataclass(frozen=True)
class Figure:
    """A ratio: the rate of one side, divided by that of another.

    Attributes:
        side: Ours.
        against: The other.
        aim: The least that the project wants.
    """

    side: str
    against: str
    aim: float | None


def figure(work: str, against: str) -> Figure:
    """The figure of a row against a contender."""
    return Figure(OURS.get(against, "fastapix5"), against, AIMS[against].get(work))
