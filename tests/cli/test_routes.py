"""``fastapix5 routes``: which routes it finds, what it says of each, and how it prints them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fastapix5.actions import METHODS
from fastapix5.cli.routes import Method
from fastapix5.db import dispose_engines
from fastapix5.db.engines import get_engine
from fastapix5.repositories.policies import forget_policies
from fastapix5.settings import override_settings
from tests.cli.running import COMMAND, invoked, listed, run, terminal

APP = "tests.cli.library:app"
EXAMPLE = "example_project.app:app"


URL = "sqlite+aiosqlite:///nowhere/at/all.db"


@pytest.fixture(autouse=True)
def _declare_anew() -> Iterator[None]:
    """Other tests of the process may have forgotten the row policies that the applications declared."""
    forget_policies()
    sys.modules.pop("tests.cli.library", None)
    yield
    forget_policies()
    sys.modules.pop("tests.cli.library", None)


@pytest.fixture(autouse=True)
def _forget_engines() -> Iterator[None]:
    """Engines that were made without an event loop outlive the settings."""
    yield
    asyncio.run(dispose_engines())


@pytest.fixture
def engine() -> Iterator[AsyncEngine]:
    """The engine of the default database, which nobody connects to."""
    with override_settings(DATABASES={"default": URL}):
        yield get_engine()


def explained(*arguments: str) -> dict[str, dict[str, Any]]:
    """What is said of each operation."""
    result = invoked("routes", APP, "--explain", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {row["operation"]: row["explanation"] for row in json.loads(result.stdout)}


# Which routes


def test_every_route_of_a_viewset_is_listed_as_it_is_included() -> None:
    """Behind every prefix, and below every mount; a GET route answers HEAD as well."""
    head, *lines = (re.split("  +", line) for line in listed(APP))
    assert head == ["METHOD", "PATH", "OPERATION", "ACTION"]
    assert {methods for methods, *_ in lines} == {"GET, HEAD"}
    collections = [
        "/authors AuthorViewSet.list",
        "/authors/{author_id} AuthorViewSet.retrieve",
        "/authors/{author_id}/books BookViewSet.list",
        "/authors/{author_id}/books/{book_id} BookViewSet.retrieve",
    ]
    expected = [f"{prefix}/api{rest}" for prefix in ("/outer/v1", "/mounted", "/below") for rest in collections]
    assert [f"{path} {action}" for _, path, _, action in lines] == expected


def test_operations_are_those_of_openapi() -> None:
    """The path makes them unique."""
    rows = json.loads(invoked("routes", APP, "--json", "--path", "/outer").stdout)
    assert [(row["name"], row["operation"]) for row in rows] == [
        ("authors-list", "outer_v1_api_authors_list"),
        ("authors-retrieve", "outer_v1_api_authors_retrieve"),
        ("books-list", "outer_v1_api_authors_books_list"),
        ("books-retrieve", "outer_v1_api_authors_books_retrieve"),
    ]


def test_other_routes_are_listed_where_all_are() -> None:
    """With their function; nothing is explained."""
    lines = listed(APP, "--all", "--path", "/h")
    assert lines[1].split() == ["GET", "/health", "health_health_get", "health"]
    lines = listed(APP, "--all", "--path", "/updates", "--explain")
    assert lines[1].split() == ["-", "/updates", "updates", "updates", "fastapi"]


def test_routes_are_chosen_by_path_and_method(engine: AsyncEngine) -> None:
    """By a part of the path, and by a method in any case."""
    paths = [line.split()[2] for line in listed(APP, "--path", "{book_id}", "--method", "head")[1:]]
    assert paths == [
        f"{prefix}/api/authors/{{author_id}}/books/{{book_id}}" for prefix in ("/outer/v1", "/mounted", "/below")
    ]
    assert set(get_args(Method)) == {*METHODS, "HEAD"}


def test_where_there_is_no_route_it_is_said() -> None:
    """Not where the answer belongs."""
    result = invoked("routes", APP, "--method", "post")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No route of a viewset found; --all lists the others.\n"
    assert invoked("routes", APP, "--method", "post", "--all").stderr == "No route found.\n"
    assert invoked("routes", APP, "--method", "post", "--json").stdout == "[]\n"


# What is said of each


def test_a_route_is_explained(engine: AsyncEngine) -> None:
    """Its path with the reason, and its policies, those of the ancestors too."""
    found = explained("--path", "/below")
    assert found["api_authors_books_list"] == {
        "path": "compiled",
        "why": "nothing asks for an object; the row of authors is loaded first",
        "database": "default",
        "authentication": [],
        "permissions": ["AllowAny"],
        "ancestors": {"authors": ["LooksAtRows"]},
        "throttles": ["UserRateThrottle(10/minute)"],
        "filters": ["FilterSetBackend", "OrderingFilter"],
        "pagination": "PageNumberPagination",
        "rows": ["BookViewSet.objects_filter"],
    }
    retrieve = found["api_authors_retrieve"]
    assert (retrieve["path"], retrieve["why"]) == ("objects", "LooksAtRows looks at the object")
    assert (retrieve["pagination"], retrieve["rows"]) == (None, [])


def test_nothing_is_explained_unless_somebody_asks() -> None:
    """Then no database need be configured either."""
    rows = json.loads(invoked("routes", APP, "--json").stdout)
    assert {row["explanation"] for row in rows} == {None}


def test_explaining_needs_a_database() -> None:
    """Which path a route takes depends on it."""
    with override_settings(DATABASES={}):
        result = invoked("routes", APP, "--explain")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('settings.DATABASES["default"]: There is no database of this name.')


def test_a_listener_turns_compiled_into_core(engine: AsyncEngine) -> None:
    """From the moment that somebody listens to the engine's statements; what makes objects makes them still."""
    before = {found["path"] for found in explained().values()}
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: None)
    after = {found["path"]: found["why"] for found in explained().values()}
    assert (before, set(after)) == ({"compiled", "objects"}, {"core", "objects"})
    assert after["core"] == "somebody listens to its statements (before_cursor_execute)"


def test_an_engine_of_sqlalchemys_own_takes_the_core() -> None:
    """One that was not made from settings."""
    with override_settings(DATABASES={"default": create_async_engine(URL)}):
        found = {row["path"]: row["why"] for row in explained().values()}
    assert found["core"] == "the engine is the user's own, with SQLAlchemy's dialect"


def test_an_engine_that_echoes_takes_the_core() -> None:
    """As the settings say."""
    database = {"URL": URL, "OPTIONS": {"echo": True}}
    with override_settings(DATABASES={"default": database}):
        found = {row["path"]: row["why"] for row in explained().values()}
    assert found["core"] == "echo is on"


# How they are printed


def test_a_pipe_gets_one_line_for_each_route(engine: AsyncEngine) -> None:
    """With everything in it, however long, in columns: ``grep`` and ``awk`` can read it."""
    lines = listed(APP, "--explain", "--path", "/below", COLUMNS="40")
    assert len(lines) == 5
    names = "METHOD PATH OPERATION ACTION TAKES WHY AUTHENTICATION PERMISSIONS THROTTLES FILTERS PAGINATION ROWS"
    assert lines[0].split() == names.split()
    starts = [lines[0].index(name) for name in lines[0].split()]
    assert all(line[start - 2 : start] == "  " for line in lines for start in starts[1:])
    assert lines[3][starts[7] :].split("  ")[0] == "LooksAtRows of authors, AllowAny"


def test_a_terminal_that_is_wide_enough_gets_the_same_lines() -> None:
    """Where the longest of them fits."""
    piped = listed(APP, "--path", "/below")
    width = max(map(len, piped))
    assert listed(APP, "--path", "/below", **terminal(width)) == piped
    assert len(listed(APP, "--path", "/below", **terminal(width - 1))) == 3 * (len(piped) - 1)


def test_a_narrow_terminal_gets_blocks(engine: AsyncEngine) -> None:
    """No line is longer than the terminal is wide, and nothing is lost."""
    assert listed(APP, "--path", "/below/api/authors/{author_id}/books/", **terminal(55)) == [
        "GET, HEAD",
        "/below/api/authors/{author_id}/books/{book_id}",
        "    operation  api_authors_books_retrieve",
        "    action     BookViewSet.retrieve",
    ]
    assert listed(APP, "--path", "/below/api/authors/{author_id}/books/", "--explain", **terminal(50)) == [
        "GET, HEAD",
        "/below/api/authors/{author_id}/books/{book_id}",
        "    operation       api_authors_books_retrieve",
        "    action          BookViewSet.retrieve",
        "    takes           compiled: nothing asks for an",
        "                    object; the row of authors is",
        "                    loaded first",
        "    authentication  none",
        "    permissions     LooksAtRows of authors,",
        "                    AllowAny",
        "    throttles       UserRateThrottle(10/minute)",
        "    rows            BookViewSet.objects_filter",
        "",
    ]


def test_other_routes_have_blocks_too(engine: AsyncEngine) -> None:
    """Which say that FastAPI serves them."""
    lines = listed(APP, "--all", "--explain", "--path", "/health", **terminal(100))
    assert lines[0] == "GET /health"
    assert lines[-2] == "    takes      fastapi"


# The example


def test_the_routes_of_the_example_are_explained(tmp_path: Path) -> None:
    """By the installed command, without its database: nothing connects."""
    url = f"sqlite+aiosqlite:///{tmp_path}/flights.db"
    done = run(COMMAND, "routes", EXAMPLE, "--explain", "--json", cwd=tmp_path, DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    found = {row["operation"]: row["explanation"] for row in json.loads(done.stdout)}
    assert {(operation.rpartition("_")[2], row["path"]) for operation, row in found.items()} == {
        ("list", "compiled"),
        ("retrieve", "compiled"),
        ("create", "core"),
        ("update", "objects"),
        ("destroy", "objects"),
        ("delay", "objects"),
    }
    create = found["api_airlines_flights_create"]
    assert create["permissions"] == ["(HasScope('flights.write') & IsOwnAirline)"]
    assert create["ancestors"] == {"airlines": ["AllowAny"]}
    assert create["throttles"] == ["AnonRateThrottle(100000/hour)", "UserRateThrottle(100000/hour)"]
    assert list(tmp_path.iterdir()) == []
