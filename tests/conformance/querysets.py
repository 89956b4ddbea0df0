"""The querysets that the cases start from, and how one writes a plain row's test."""

from __future__ import annotations

from collections.abc import Callable

from example_project.models import Airline, Airport, Flight, Plane, Weather
from fastapix5 import QuerySet, Repository
from tests.conformance.rows import Row, known


def flights() -> QuerySet[Flight]:
    return Repository(Flight).objects


def airlines() -> QuerySet[Airline]:
    return Repository(Airline).objects


def airports() -> QuerySet[Airport]:
    return Repository(Airport).objects


def planes() -> QuerySet[Plane]:
    return Repository(Plane).objects


def weather() -> QuerySet[Weather]:
    return Repository(Weather).objects


def late(minutes: int) -> Callable[[Row], bool]:
    return known("dep_delay", lambda delay: delay >= minutes)
