"""Facts about rules that only the tables know: broken, they are told alike on both engines, with the field's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, in_thread
from tests.withstand.conftest import Both, Served
from tests.withstand.databases import contents, make_tables
from tests.withstand.problems import fine, refused
from tests.withstand.served import serving
from tests.withstand.workshop import Base

TOOL: dict[str, Any] = {"id": 1, "sku": "S1", "name": "saw", "price": 100, "slot": 1, "maker_id": 1}
OTHER = TOOL | {"id": 2, "sku": "S2", "slot": 2}
THIRD = TOOL | {"id": 3, "sku": "S3", "slot": 3}
PATHS = ("/tools", "/hooked")


@pytest.fixture(scope="session")
def workshop_urls(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Databases with the workshop's tables, by engine."""
    file: Path = tmp_path_factory.mktemp("workshop") / "tools.sqlite3"
    urls = {
        "sqlite": f"sqlite+aiosqlite:///{file}",
        "postgresql": postgres_server.url(postgres_server.create_database()),
    }
    for url in urls.values():
        in_thread(lambda url=url: make_tables(url, Base.metadata))  # type: ignore[misc]
    return urls


@pytest.fixture(scope="session")
def workshop(workshop_urls: Mapping[str, str]) -> Iterator[Both]:
    """The workshop on both engines, with two makers and two tools."""
    with ExitStack() as stack:
        apis = {
            name: Served(stack.enter_context(serving(url, "tests.withstand.workshop:app")), url)
            for name, url in workshop_urls.items()
        }
        both = Both(apis)
        for path, body in (
            ("/makers", {"id": 1, "label": "a"}),
            ("/makers", {"id": 2, "label": "b"}),
            ("/tools", TOOL),
            ("/tools", OTHER),
        ):
            fine(both("POST", path, body))
        yield both


@pytest.fixture(autouse=True)
def _nothing_written(workshop: Both) -> Iterator[None]:
    """After each test the tools are as they were before."""

    def tools() -> list[str]:
        return [contents(served.url, "ws_tools") for served in workshop.apis.values()]

    before = tools()
    yield
    assert tools() == before


BROKEN = [
    ({"sku": "S1"}, 409, "unique", {"sku"}),
    ({"slot": 1}, 409, "unique", {"maker_id", "slot"}),
    ({"maker_id": 3}, 422, "reference", {"maker_id"}),
    ({"second_maker_id": 3}, 422, "reference", {"second_maker_id"}),
    ({"name": None}, 422, "null", {"name"}),
    ({"price": 0}, 422, "check", {"price"}),
    ({"slot": 1000}, 422, "check", {"slot", "price"}),
    ({"sku": "S" * 9}, 422, "string_too_long", {"sku"}),
    ({"name": "n" * 21}, 422, "string_too_long", {"name"}),
    ({"price": 2**31}, 422, "less_than_equal", {"price"}),
    ({"price": -(2**63)}, 422, "greater_than_equal", {"price"}),
    ({"second_maker_id": 2**31}, 422, "less_than_equal", {"second_maker_id"}),
]


def identify(value: object) -> str:
    """A parameter's name, the same in every process."""
    return str(sorted(value) if isinstance(value, set) else value)[:24]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("change", "status", "code", "fields"), BROKEN, ids=identify)
def test_a_broken_rule_is_told_with_its_field(
    workshop: Both, path: str, change: dict[str, Any], status: int, code: str, fields: set[str]
) -> None:
    """In a create, a full and a partial update, with hooks and without; nothing shows the table or the rule."""
    for method, target, body in (
        ("POST", path, THIRD | change),
        ("PUT", f"{path}/2", OTHER | change),
        ("PATCH", f"{path}/2", change),
    ):
        answer = refused(workshop(method, target, body))
        problem = answer.json()
        assert answer.status == status
        assert {error["code"] for error in problem["errors"]} == {code}
        assert {place[0] for place in answer.places} == {"body"}
        assert {place[-1] for place in answer.places} == fields
        for inside in ("ws_", "_column", "price_cents", "maker_id)=("):
            assert inside not in answer.content.decode()


def test_a_primary_key_given_twice_is_told(workshop: Both) -> None:
    """It is unique like others."""
    for path in PATHS:
        answer = refused(workshop("POST", path, THIRD | {"id": 1}))
        assert (answer.status, answer.places) == (409, [("body", "id")])


def test_a_row_that_others_need_stays(workshop: Both) -> None:
    """Deleting it is a conflict; the row is the one that the path names."""
    answer = refused(workshop("DELETE", "/makers/1"))
    assert (answer.status, answer.json()["code"], answer.places) == (409, "protected", [("path", "maker_id")])
    assert "ws_" not in answer.content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_a_rule_that_breaks_only_at_commit_is_told_as_if_it_broke_before(workshop: Both, path: str) -> None:
    """A tool that is somebody's heir stays, and an heir must be there; both are checked when the transaction ends."""
    for served in workshop.apis.values():
        for method, target, body in (("POST", path, THIRD | {"heir_id": 77}), ("PATCH", f"{path}/1", {"heir_id": 77})):
            answer = refused(served.api(method, target, body))
            # SQLite does not say which of several references it was.
            assert (answer.status, answer.json()["code"], answer.places[0][0]) == (422, "reference", "body")
    fine(workshop("PATCH", "/tools/1", {"heir_id": 2}))
    try:
        answer = refused(workshop("DELETE", f"{path}/2"))
        assert (answer.status, answer.json()["code"]) == (409, "protected")
    finally:
        fine(workshop("PATCH", "/tools/1", {"heir_id": None}))
