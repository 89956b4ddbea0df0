"""A run: the contenders are compared, and then measured in turn, round after round."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.answers import SAMPLES, Answers, HttpClient, Mismatch, ask, compare, headers_for
from tests.benchmarks.processes import LoadGenerator, Measured, Running, pin, served
from tests.benchmarks.registry import Contender
from tests.benchmarks.rows import copy_template, digest, insert_doomed, make_template, restore
from tests.benchmarks.works import BY_NAME, DOOMED, Request, Work
from tests.servers import Server

TEMPLATE = "benchmark"
DISTINCT = 256
# More than the fastest contender deletes in a second.
DELETED_A_SECOND = 8000
FIRST = Request("GET", "/employees/1")
RETRIEVE = BY_NAME["retrieve"]
WARM = 0.4
# A new server makes its connections and fills its caches before it is measured.
WARM_UP = 1.0

START, FIRST_ANSWER = "start", "first"


@dataclass
class Results:
    """What a run found.

    Attributes:
        samples: By work and contender: what each round measured.
        starts: By contender: how long each start took, and the first request in it.
    """

    samples: dict[tuple[str, str], list[Measured]] = field(default_factory=dict)
    starts: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def rate(self, work: str, contender: str) -> float | None:
        """The median of the answers a second."""
        found = self.samples.get((work, contender))
        return statistics.median(sample.rate for sample in found) if found else None

    def milliseconds(self, what: str, contender: str) -> float | None:
        """The median of the time to start, or of the first request."""
        found = self.starts.get((what, contender))
        return statistics.median(found) * 1000 if found else None

    def cost(self, work: str, contender: str) -> float | None:
        """The median of the processor time that an answer took, in microseconds."""
        found = self.samples.get((work, contender))
        return statistics.median(sample.cost for sample in found) if found else None

    def busy(self, work: str, contender: str) -> float:
        """The median share of its core that a server used."""
        return statistics.median(sample.server for sample in self.samples[work, contender])

    def ratio_range(self, work: str, contender: str, other: str) -> tuple[float, float]:
        """The lowest and the highest ratio of a round."""
        pairs = zip(self.samples[work, contender], self.samples[work, other], strict=True)
        found = [mine.rate / theirs.rate for mine, theirs in pairs if theirs.rate]
        return min(found, default=0.0), max(found, default=0.0)

    def ratio(self, work: str, contender: str, other: str) -> float | None:
        """How many times the rate of another contender one has."""
        rate, against = self.rate(work, contender), self.rate(work, other)
        return rate / against if rate and against else None


@dataclass
class Run:
    """The parts of a run that stay from round to round.

    Attributes:
        server: PostgreSQL.
        contenders: Who takes part.
        works: What is measured.
        seconds: The length of a sample.
        advance: Called after each step, with what it was.
        results: What was found so far.
        postgresql: The server's version.
        load: How many processes wanted a core before the run began.
    """

    server: Server
    contenders: Sequence[Contender]
    works: Sequence[Work]
    seconds: float
    advance: Callable[[str], None]
    results: Results = field(default_factory=Results)
    postgresql: str = ""
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def prepare(self) -> None:
        """Make the rows, and a copy of them for each contender."""
        self.postgresql = self.server.fetch("SHOW server_version")[0][0]
        for process in self.server.processes():
            pin(process, first=False)
        make_template(self.server, TEMPLATE)
        for contender in self.contenders:
            copy_template(self.server, TEMPLATE, contender.name)

    def compare(self) -> None:
        """Compare the answers of all contenders, and the rows that they leave.

        Raises:
            Mismatch: Some differ.
        """
        known: dict[bool, tuple[Contender, Answers, str]] = {}
        for contender in self.contenders:
            headers = headers_for(contender)
            insert_doomed(self.server, contender.name, DOOMED, SAMPLES)
            with self.served(contender) as running:
                found = ask(contender, HttpClient(running.port), headers)
            left = digest(self.server, contender.name) if contender.writes else ""
            reference, expected, rows = known.setdefault(contender.secured, (contender, found, left))
            compare(contender, found, reference, expected)
            if contender.writes and left != rows:
                raise Mismatch(f"{contender.name} leaves other rows than {reference.name}.")
            restore(self.server, contender.name)
            self.advance(f"compared {contender.name}")

    def round(self, generator: LoadGenerator) -> None:
        """Measure each work, contender after contender."""
        with ExitStack() as stack:
            servers = []
            for contender in self.contenders:
                running = stack.enter_context(self.served(contender))
                self.results.starts.setdefault((START, contender.name), []).append(running.start)
                self.results.starts.setdefault((FIRST_ANSWER, contender.name), []).append(running.first)
                self.warm_up(generator, running)
                servers.append(running)
                self.advance(f"started {contender.name}")
            for work in self.works:
                for running in servers:
                    if work.name in running.contender.works:
                        found = self.measure(generator, running, work)
                        self.results.samples.setdefault((work.name, running.contender.name), []).append(found)
                        self.advance(f"{work.name}: {running.contender.name}")

    def warm_up(self, generator: LoadGenerator, running: Running) -> None:
        """Keep a new server busy for a moment."""
        headers = headers_for(running.contender)
        generator.sample(running, RETRIEVE, RETRIEVE.requests(DISTINCT), headers, seconds=WARM_UP, warm=0.0)

    def measure(self, generator: LoadGenerator, running: Running, work: Work) -> Measured:
        """Take one sample, and put the rows back."""
        database = running.contender.name
        count = DISTINCT
        if work.name == "delete":
            count = int(DELETED_A_SECOND * (self.seconds + WARM))
            insert_doomed(self.server, database, DOOMED, count)
        found = generator.sample(
            running, work, work.requests(count), headers_for(running.contender), seconds=self.seconds, warm=WARM
        )
        if work.writes:
            restore(self.server, database)
        return found

    @contextmanager
    def served(self, contender: Contender, **options: Any) -> Iterator[Running]:
        """Start a contender's server."""
        url = self.server.url(contender.name)
        with served(contender, url, contender.spell(FIRST), headers_for(contender), **options) as running:
            yield running

    def steps(self, rounds: int) -> int:
        """How often ``advance`` is called."""
        samples = sum(work.name in contender.works for work in self.works for contender in self.contenders)
        return len(self.contenders) + rounds * (len(self.contenders) + samples)
