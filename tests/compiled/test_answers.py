"""The same requests to the same rows, both ways: status, headers and bodies are equal byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import insert

from fastapix5 import override_settings
from fastapix5.db import dispose_engines, get_engine
from tests.compiled.api import Base, Item, Maker, Part, Screw, Tag, make_app, start_over, tagged
from tests.compiled.ways import Runs, by_core
from tests.servers import Server

pytestmark = pytest.mark.anyio


class Ask(NamedTuple):
    """A request."""

    method: str
    path: str
    body: Any = None


class Answer(NamedTuple):
    """What came back, apart from what is new each time."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(params=["sqlite", "postgresql"])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two databases of one kind."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'one'}", f"sqlite+aiosqlite:///{tmp_path / 'other'}"
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.fresh_database() as one, server.fresh_database() as other:
        yield server.url(one), server.url(other)


def fill(connection: Any) -> None:
    """Makers of three levels, tags, items, parts of which one is hidden, and their screws."""
    Base.metadata.create_all(connection)
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (Maker, [{"id": 1, "name": "Acme", "parent_id": None}, {"id": 2, "name": "Bolt", "parent_id": 1}]),
        (Maker, [{"id": 3, "name": "100% Cotton", "parent_id": 2}, {"id": 4, "name": "acme_x", "parent_id": 1}]),
        (Tag, [{"id": 1, "word": "heavy"}, {"id": 2, "word": "round"}, {"id": 3, "word": "soft thing"}]),
        (
            Item,
            [
                {"key": n, "Item Name": name, "number": n % 3 or None, "note": note, "maker_id": maker, "serial": -n}
                for n, (name, note, maker) in enumerate(
                    [
                        ("Anvil", "forged", 1),
                        ("Ball", None, 2),
                        ("50% Ball", "", 3),
                        ("Dish_1", "a*b", None),
                        ("ball", "Ä", 1),
                    ],
                    start=1,
                )
            ],
        ),
        (tagged, [{"item_id": item, "tag_id": tag} for item, tag in ((1, 1), (2, 2), (2, 3), (3, 3))]),
        (Part, [{"id": n, "name": f"part {n % 2}", "item_id": item} for n, item in enumerate((1, 1, 2, 3), start=1)]),
        (Screw, [{"id": n, "length": n * 5, "part_id": part} for n, part in enumerate((1, 1, 2, 3), start=1)]),
    ]
    for target, values in rows:
        connection.execute(insert(target), values)
    connection.exec_driver_sql("UPDATE part SET deleted_at = '2020-01-01 00:00:00' WHERE id = 2")
    if connection.dialect.name == "postgresql":
        for table, key in (("maker", "id"), ("item", "key"), ("part", "id"), ("screw", "id")):
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), 100)")


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API on a database with its rows."""
    start_over()
    with override_settings(DATABASES={"default": url}):
        try:
            async with get_engine().begin() as connection:
                await connection.run_sync(fill)
            transport = httpx2.ASGITransport(app=make_app(), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client
        finally:
            await dispose_engines()


async def answer(client: httpx2.AsyncClient, ask: Ask) -> Answer:
    """What a request gets."""
    response = await client.request(ask.method, ask.path, json=ask.body)
    headers, body = dict(response.headers), response.content
    if name := headers.pop("x-request-id", ""):
        body = body.replace(name.encode(), b"-")
    headers.pop("date", None)
    return Answer(response.status_code, headers, body)


async def play(url: str, asks: Sequence[Ask], *, core: bool) -> list[Answer]:
    """What requests get, one after the other."""
    async with serving(url) as client:
        with by_core() if core else nullcontext():
            return [await answer(client, ask) for ask in asks]


QUERIES = [
    r"number=1",
    r"number=2",
    r"number=3",
    r"number__ne=1",
    r"number__ne=2",
    r"number__gt=1",
    r"number__gt=0",
    r"number__in=1,2",
    r"number__in=2,9",
    r"number__in=1,2,3",
    r"number__in=1",
    r"number__not_in=1",
    r"number__not_in=2,1",
    r"number__range=1,2",
    r"number__range=2,3",
    r"number__isnull=true",
    r"number__isnull=false",
    r"name=Ball",
    r"name=ball",
    r"name=x",
    r"name__ne=Ball",
    r"name__in=Ball,ball",
    r"name__in=Anvil,x",
    r"name__iexact=BALL",
    r"name__iexact=anvil",
    r"name__contains=al",
    r"name__contains=%",
    r"name__contains=_",
    r"name__icontains=BALL",
    r"name__icontains=%",
    r"name__icontains=*",
    r"name__icontains=[",
    r"name__startswith=A",
    r"name__startswith=50%",
    r"name__istartswith=b",
    r"name__istartswith=B",
    r"name__endswith=l",
    r"name__endswith=_1",
    r"name__iendswith=LL",
    r"name__iendswith=L",
    r"name__like=%all",
    r"name__like=_all",
    r"name__like=%\_%",
    r"note=",
    r"note=forged",
    r"note__isnull=true",
    r"note__icontains=ä",
    r"note__icontains=Ä",
    r"note__contains=*",
    r"note__startswith=a*",
    r"note__iexact=ä",
    r"maker__name=Acme",
    r"maker__name=Bolt",
    r"maker__name__in=Acme,Bolt",
    r"maker__name__icontains=ACME",
    r"maker__name__icontains=_",
    r"maker__name__ne=Acme",
    r"maker__parent__name=Acme",
    r"maker__parent__name=Bolt",
    r"maker__parent__name__isnull=true",
    r"maker__parent__name__icontains=O",
    r"tags__word=round",
    r"tags__word=heavy",
    r"tags__word__in=round,heavy",
    r"tags__word__icontains=T",
    r"parts__name=part%201",
    r"parts__name=part%200",
    r"parts__screws__length__gte=5",
    r"parts__screws__length__gte=15",
    r"parts__screws__length__range=5,10",
    r"parts__screws__length__range=1,2",
    r"maker_id__in=1,2",
    r"maker_id__in=2,3",
    r"maker_id__isnull=true",
    r"search=ball",
    r"search=BALL",
    r"search=Acme",
    r"search=50%",
    r"search=f",
    r"search=%22soft%20thing%22",
    r"search=a,b",
    r"search=b%20a",
    r"search=zzz",
    r"ordering=name",
    r"ordering=-name",
    r"ordering=maker__name,-name",
    r"ordering=-maker__name",
    r"ordering=number,name",
    r"number=1&name__icontains=a",
    r"number=2&name__icontains=l",
    r"is_sold=false",
    r"is_sold=true",
    r"page_size=2",
    r"page_size=1&page=2",
    r"page_size=2&page=2",
    r"page_size=2&page=9",
    r"page=0",
    r"search=l&number__gte=1&ordering=-name&page_size=1",
    r"search=a&number__gte=2&ordering=-name&page_size=2",
    r"price__in=1.50,2.25",
    r"price__in=2.25,9",
    r"price__gte=1.5",
    r"price__gte=2",
    r"ratio__lt=1",
    r"ratio__lt=1.5",
    r"color=red",
    r"color=blue",
    r"color__in=red,blue",
    r"code=a2345678-1234-5678-1234-56781234567f",
    r"code=b2345678-1234-5678-1234-56781234567f",
    r"day=2020-01-31",
    r"day=2020-02-01",
    r"day__range=2020-01-01,2020-12-31",
    r"made__gte=2020-01-31T09:30:00Z",
    r"made__gte=2020-01-31T10:30:00%2B01:00",
    r"made__year=2020",
    r"made__year=2021",
    r"made__date__lt=2020-02-01",
    r"made__date__lt=2020-01-31",
    r"at__gt=09:00:00",
    r"at__gt=10:00:00",
    r"number=x",
    r"unknown=1",
    r"number__in=",
    r"code=3",
]

VALUES: list[dict[str, Any]] = [
    {
        "name": "Full", "note": "n", "number": 2**60, "ratio": 1.5, "price": "1.50", "share": "0.125", "is_sold": True,
        "day": "2020-01-31", "made": "2020-01-31T10:30:00.123456+01:00", "local": "2020-01-31T09:30:00", "at": "09:30:00.5",
        "takes": "P3DT5.000007S", "color": "red", "size": "s", "code": "a2345678-1234-5678-1234-56781234567f", "raw": "ab",
        "data": {"a": [1, 1.5, None, "ä"]}, "words": ["a", "b"], "maker_id": 1,
    },
    {
        "name": "Other", "note": " o ", "number": -1, "ratio": 3.0, "price": "2.25", "share": "0.000001", "is_sold": False,
        "day": "2020-02-01", "made": "2021-01-31T09:30:00Z", "local": "2021-01-31T09:30:00", "at": "00:00:00",
        "takes": "-P1D", "color": "blue", "size": "l", "code": "b2345678-1234-5678-1234-56781234567f", "raw": "",
        "data": [], "words": [], "maker_id": 2,
    },
    {"name": "Third", "data": "x", "words": None, "ratio": 0.1, "price": "0"},
    {"name": "Nulls", **dict.fromkeys(["note", "number", "ratio", "price", "day", "made", "color", "code", "raw", "data"])},
    {"name": "False", "data": False, "number": 0, "words": ["äöü"], "price": "999999.99"},
]  # fmt: skip


def reads(prefix: str = "/items") -> list[Ask]:
    """Every query, and every row."""
    queries = [Ask("GET", f"{prefix}?{quote(query, safe='=&,%+:')}".replace("%%", "%25%")) for query in QUERIES]
    return [*queries, *(Ask("GET", f"{prefix}/{key}") for key in (1, 2, 3, 101, 102, 999))]


def writes(path: str = "/items") -> list[Ask]:
    """Rows of every value, which are then changed, refused and deleted."""
    keys = range(101, 101 + len(VALUES))
    asks = [Ask("POST", path, values) for values in VALUES]
    asks += [Ask("PUT", f"{path}/{key}", VALUES[-place] | {"name": f"put {key}"}) for place, key in enumerate(keys, 1)]
    for name in VALUES[0]:
        if name != "name":
            asks += [
                Ask("PATCH", f"{path}/{key}", {name: values.get(name)})
                for key, values in zip(keys, VALUES, strict=False)
            ]
    asks += [
        Ask("PATCH", f"{path}/{key}", {"name": name}) for key in (101, 102) for name in ("Anvil", "x" * 21, "", "ok")
    ]
    asks += [Ask("PATCH", f"{path}/{key}", {"maker_id": maker}) for key in (101, 102, 999) for maker in (77, 3, None)]
    asks += [Ask("PATCH", f"{path}/{key}", {}) for key in (101, 102, 999)]
    asks += [Ask("DELETE", f"{path}/{key}") for key in (103, 104, 103, 999, 1, 2)]
    return asks


MAKERS = [
    *(
        Ask("GET", f"/makers?{query}")
        for query in ("", "name=Acme", "name=Bolt", "name=x", "parent_id=1", "parent_id=2")
    ),
    *(Ask("GET", f"/makers?children__name__icontains={text}") for text in ("b", "ACME", "%25", "z")),
    *(
        Ask("GET", f"/makers?search={text}&ordering={by}")
        for text in ("a", "b", "%25")
        for by in ("name", "-parent__name")
    ),
    *(Ask("GET", f"/makers/{key}") for key in (1, 2, 3, 9)),
    *(Ask("POST", "/makers", {"name": name, "parent_id": 1}) for name in ("New", "Newer", "Newer", "Acme")),
    *(Ask("PATCH", f"/makers/{key}", {"parent_id": parent}) for key in (101, 102, 3) for parent in (2, 77, key, None)),
    *(Ask("PUT", f"/makers/{key}", {"name": f"maker {key}"}) for key in (101, 102, 4)),
    *(Ask("DELETE", f"/makers/{key}") for key in (101, 102, 101, 1, 2)),
]
BELOW = [
    *(Ask("GET", f"/makers/{maker}/items") for maker in (1, 2, 3, 9)),
    *(Ask("GET", f"/makers/{maker}/items/{item}") for maker in (1, 2) for item in (1, 2, 5)),
    *(Ask("GET", f"/makers/{maker}/items/{item}/parts") for maker in (1, 2) for item in (1, 2)),
    *(Ask("GET", f"/makers/1/items/1/parts/{part}/screws?length__gte={n}") for part in (1, 2, 3) for n in (1, 10)),
    *(
        Ask("GET", f"/makers/{m}/items/{i}/parts/{p}/screws/{s}")
        for m, i, p, s in ((1, 1, 1, 1), (2, 2, 3, 4), (1, 2, 3, 4))
    ),
    *(Ask("POST", f"/makers/{maker}/items", {"name": "Own", "number": maker}) for maker in (1, 2, 3, 9)),
    *(
        Ask("POST", f"/makers/{maker}/items/{item}/parts", {"name": "p"})
        for maker, item in ((1, 1), (1, 2), (2, 2), (1, 5))
    ),
    *(Ask("POST", f"/makers/1/items/1/parts/{part}/screws", {"length": part}) for part in (1, 2, 101, 3)),
    *(Ask("PATCH", f"/makers/{maker}/items/{item}", {"number": 7}) for maker in (1, 2) for item in (1, 2, 5)),
    *(Ask("PUT", f"/makers/1/items/1/parts/{part}", {"name": f"q{part}"}) for part in (1, 2, 101, 3)),
    *(Ask("DELETE", f"/makers/1/items/1/parts/1/screws/{screw}") for screw in (1, 2, 3)),
    *(
        Ask("DELETE", f"/makers/{maker}/items/{item}/parts/{part}")
        for maker, item, part in ((1, 1, 1), (1, 1, 101), (1, 2, 3), (2, 2, 3), (2, 2, 3))
    ),
    *(Ask("GET", f"/makers/{maker}/items/{item}/parts") for maker, item in ((1, 1), (2, 2), (1, 5), (1, 2))),
    *(Ask("DELETE", f"/makers/{maker}/items/{item}") for maker, item in ((1, 101), (2, 102), (3, 102), (3, 103))),
]
FLAT = [
    *(Ask("GET", f"/flat?{query}") for query in ("", "limit=2", "limit=1&offset=2", "limit=2&offset=3", "offset=100", "limit=0")),
    *(Ask("GET", f"/flat?size__in={sizes}&color={color}") for sizes in ("s", "s,l", "l") for color in ("red", "blue")),
    *(Ask("GET", f"/flat?search={text}&limit=2&ordering=-name") for text in ("ball", "%25", "A")),
    *(Ask("GET", f"/flat/{key}") for key in (1, 2, 101, 999)),
]  # fmt: skip
ASKS = [*writes(), *reads(), *BELOW, *MAKERS, *FLAT, *writes("/flat"), *reads()]


async def test_answers_are_equal_byte_for_byte(copies: tuple[str, str], runs: Runs) -> None:
    """What is learned from one request is right for the next: each comes with other values, and several times."""
    one, other = copies
    actual = await play(one, ASKS, core=False)
    direct = len(runs)
    expected = await play(other, ASKS, core=True)
    different = [turn for turn in zip(ASKS, actual, expected, strict=True) if turn[1] != turn[2]]
    assert different == []
    assert len(runs) == direct
    assert {answer.status for answer in actual} == {200, 201, 204, 404, 409, 422}
    assert direct > len(ASKS) / 2
