"""A process of its own that asks the example for whatever callers ask, and says after each round what it holds.

``python -m tests.withstand.soaking SEED:REQUESTS ...`` takes the rounds; those of one seed and length are alike. Each
writes a line of JSON. The application is called as a server calls it, without sockets and HTTP in between: parsing HTTP
is no work of ours, and takes as long as ours.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import psutil
from sqlalchemy.util import LRUCache

from example_project.app import app
from fastapix5.db import get_engine
from tests.withstand.served import token

TOGETHER = 4
# Each caller has a quota, and what he has used of it is kept for an hour: a few are soon known.
ADDRESSES = 250
CARRIERS = ["9E", "AA", "B6", "DL", "EV", "UA", "US", "WN", "ZZ"]
AIRPORTS = ["ORD", "LAX", "ATL", "BOS", "MCO", "XXX"]
WORDS = ["a", "inter", "N1", "air lines", "%", "_", "é", "\U0001f6eb", "'; --"]
STAFF = {f"user-{number}": f"Bearer {token('UA', user=f'user-{number}')}" for number in range(50)}
FLIGHT = {
    "date": "2019-03-01",
    "carrier": "UA",
    "origin": "JFK",
    "dest": "ORD",
    "sched_dep_time": 900,
    "sched_arr_time": 1100,
    "distance": 700,
    "time_hour": "2019-03-01T14:00:00Z",
}


@dataclass
class Caller:
    """Sends random requests, the same ones for the same seed.

    Attributes:
        chance: Where they come from.
        left: How many are still to be sent.
        sent: How many were.
        statuses: How they were answered.
    """

    chance: random.Random
    left: int
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    async def call(self) -> None:
        """Send requests until none is left."""
        while self.left > 0:
            method, path, query, body = random_request(self.chance)
            status, answered = await self.ask(method, path, query, body)
            if status == 201:
                own = f"{path}/{json.loads(answered)['id']}"
                await self.ask("PATCH", own, {}, {"dep_delay": self.chance.randrange(100)})
                await self.ask("DELETE", own, {}, None)

    async def ask(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> tuple[int, bytes]:
        """Send a request, and return the status and the body of its answer."""
        self.left -= 1
        self.sent += 1
        headers = [(b"host", b"test"), (b"x-request-id", f"soaking-{self.sent}".encode())]
        if method != "GET" or self.chance.random() < 0.2:
            headers.append((b"authorization", random_token(self.chance).encode()))
        raw = b"" if body is None else json.dumps(body).encode()
        if raw:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        client = f"10.1.1.{self.chance.randrange(ADDRESSES)}"
        status, answered = await served(method, path, urlencode(query).encode(), headers, raw, client)
        self.statuses[status] += 1
        # As on the wire: the next request comes with a later turn of the loop, and others are served meanwhile.
        await asyncio.sleep(0)
        return status, answered


async def served(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], raw: bytes, client: str
) -> tuple[int, bytes]:
    """Call the application as uvicorn does."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": (client, 1234),
        "scheme": "http",
        "root_path": "",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": headers,
        "state": {},
    }
    status, answered = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            answered += message.get("body", b"")

    await app(scope, receive, send)
    return status, answered


Request = tuple[str, str, dict[str, Any], Any]


def random_token(chance: random.Random) -> str:
    """A token that holds; now and then one that does not, and is another each time."""
    return random.Random(chance.random()).choice([*STAFF.values(), f"Bearer {chance.random()}.x.y", "Basic eDp5"])


def random_request(chance: random.Random) -> Request:
    """A request, hardly ever the same."""
    kind = chance.random()
    if kind < 0.64:
        return "GET", random_row(chance), {}, None
    if kind < 0.72:
        # What most callers ask for differs in its values only.
        return "GET", "/api/airports", {"alt__gte": chance.randrange(900), "page": 1, "page_size": 2}, None
    if kind < 0.727:
        return "GET", "/api/flights", random_flights(chance), None
    if kind < 0.732:
        path, query = random_list(chance)
        return "GET", path, query, None
    if kind < 0.84:
        unknown = {f"no_{chance.randrange(10**9)}": "1", "page": chance.choice([1, 0, 10**6])}
        return "GET", "/api/airlines", unknown, None
    if kind < 0.90:
        return "GET", f"/api/nowhere-{chance.randrange(10**9)}", {}, None
    if kind < 0.99:
        wrong = {f"name_{chance.randrange(10**9)}": chance.random(), "distance": "far"}
        return "POST", "/api/airlines/UA/flights", {}, wrong
    if kind < 0.994:
        chosen = {name: chance.randrange(60) for name in chance.sample(["dep_delay", "arr_delay", "air_time"], 2)}
        return "PATCH", f"/api/flights/{chance.randrange(1, 400)}", {}, chosen
    if kind < 0.997:
        return "POST", f"/api/flights/{chance.randrange(1, 400)}/delay", {}, {"minutes": 1}
    return "POST", "/api/airlines/UA/flights", {}, FLIGHT | {"flight": chance.randrange(-9, 10_000)}


def random_row(chance: random.Random) -> str:
    """The path of a row that may be there, or not."""
    day = f"2013-01-{chance.randrange(1, 31):02}"
    return chance.choice(
        [
            f"/api/flights/{chance.randrange(1, 900)}",
            f"/api/flights/{chance.randrange(10**8, 10**9)}",
            f"/api/flights/x{chance.randrange(10**9)}",
            f"/api/airlines/UA/flights/{chance.randrange(1, 900)}",
            f"/api/airports/JFK/weather/JFK,{day}T{chance.randrange(24):02}:00:00Z",
            f"/api/planes/N{chance.randrange(100_000)}",
            *[f"/api/airlines/{carrier}" for carrier in CARRIERS],
        ]
    )


def random_flights(chance: random.Random) -> dict[str, Any]:
    """A list of flights by any filters, with lists of any length, in any order."""
    day = f"2013-01-{chance.randrange(1, 31):02}"
    known: dict[str, Any] = {
        "date__gte": day,
        "date": day,
        "carrier__in": ",".join(chance.choices(CARRIERS, k=chance.randrange(1, 30))),
        "dest__in": ",".join(chance.choices(AIRPORTS, k=chance.randrange(1, 12))),
        "origin": "JFK",
        "tailnum__isnull": chance.choice(["true", "false"]),
        "dep_delay__gte": chance.randrange(-10, 200),
        "dep_delay__lte": chance.randrange(-10, 200),
        "distance__range": f"{chance.randrange(1, 500)},{chance.randrange(500, 5_000)}",
        "dest_airport__name__icontains": chance.choice(WORDS),
        "search": f"{chance.choice(WORDS)} {chance.randrange(100)}",
    }
    return random_part(chance, known, ["date", "dep_delay", "distance", "sched_dep_time"])


def random_list(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Another list."""
    known: dict[str, Any]
    match chance.randrange(3):
        case 0:
            known = {"tzone__isnull": "false", "alt__gte": chance.randrange(900), "search": chance.choice(WORDS)}
            return "/api/airports", random_part(chance, known, ["faa", "name", "alt"])
        case 1:
            known = {"visib__lt": chance.random(), "wind_gust__isnull": "true", "time_hour__gte": "2013-01-02T00:00Z"}
            return "/api/airports/JFK/weather", random_part(chance, known, ["time_hour", "temp", "wind_speed"])
    makers = ",".join(chance.choices(["BOEING", "AIRBUS", "EMBRAER"], k=chance.randrange(1, 20)))
    known = {"manufacturer__in": makers, "seats__gte": chance.randrange(200), "year__range": "1990,2005"}
    query = random_part(chance, known, ["year", "seats", "tailnum"])
    return "/api/planes", {"limit": query.pop("page_size"), "offset": query.pop("page") - 1, **query}


def random_part(chance: random.Random, known: dict[str, Any], ordered: list[str]) -> dict[str, Any]:
    """Some of the filters, some order, some page."""
    query = {name: known[name] for name in chance.sample(list(known), chance.randrange(min(4, len(known))))}
    order = [chance.choice(["", "-"]) + name for name in chance.sample(ordered, chance.randrange(len(ordered)))]
    if order:
        query["ordering"] = ",".join(order)
    return {**query, "page": chance.randrange(1, 4), "page_size": chance.randrange(1, 4)}


# What is held


def templates() -> LRUCache[Any, Any]:
    """The compiled statements of the example's database."""
    found: LRUCache[Any, Any]
    (found,) = (held for held in every(LRUCache) if any(isinstance(key, tuple) and "rows" in key for key in held))
    return found


def every(kind: type[Any]) -> Iterator[Any]:
    """All objects of a type."""
    # Asking a proxy for its class may fail where that is gone.
    return (held for held in gc.get_objects() if issubclass(type(held), kind))


def caches() -> dict[str, tuple[int, int | None]]:
    """How much is in each cache that has a bound, and the bound."""
    found: dict[str, tuple[int, int | None]] = {}
    wrapper: Any = type(functools.lru_cache(int))
    for held in every(wrapper):
        if str(held.__module__).startswith("fastapix5"):
            information = held.cache_info()
            found[f"{held.__module__}.{held.__qualname__}"] = information.currsize, information.maxsize
    kept = templates()
    found["templates"] = len(kept), round(kept.size_threshold)
    return found


def counts() -> Counter[str]:
    """How many objects there are of each type, once the compiled statements are forgotten and may come again."""
    templates()._data.clear()
    get_engine().sync_engine._compiled_cache._data.clear()  # type: ignore[union-attr]
    gc.collect()
    gc.collect()
    return Counter(f"{type(held).__module__}.{type(held).__qualname__}" for held in gc.get_objects())


async def soak(rounds: list[str]) -> None:
    """Send the rounds."""
    async with app.router.lifespan_context(app):
        for text in rounds:
            seed, _, number = text.partition(":")
            begin = time.perf_counter()
            caller = Caller(random.Random(seed), int(number))
            await asyncio.gather(*(caller.call() for _ in range(TOGETHER)))
            seconds = time.perf_counter() - begin
            gc.collect()
            said = {
                "requests": caller.sent,
                "seconds": seconds,
                "statuses": caller.statuses,
                "resident": psutil.Process().memory_info().rss,
                "caches": caches(),
            }
            print(json.dumps(said | ({"counts": counts()} if len(rounds) < 5 else {})), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(soak(sys.argv[1:]))
