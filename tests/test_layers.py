"""Each module imports from lower rows only, and every fenced library stands in its one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import fastapix5

ROOT = Path(fastapix5.__file__).parent

# The rows of the architecture. Within a row a module imports only from those written before it; policies not at all.
ROWS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "settings", "access", "concurrency"),
    ("db",),
    ("models", "schemas", "repositories"),
    ("services",),
    ("problems", "tokens", "parameters"),
    ("authentication", "permissions", "throttling", "filters", "pagination"),
    (
        "actions",
        "plan",
        "ancestors",
        "lists",
        "handlers",
        "checks",
        "declarations",
        "keys",
        "shapes",
        "planner",
        "pipeline",
        "bodies",
        "openapi",
        "failures",
        "endpoints",
        "paths",
        "routers",
    ),
    ("viewsets", "tree", "app", "testing", "cli"),
)
POLICIES = 5

# Third-party libraries and the modules that may know them; everything else is below the package's name.
FENCED = {
    "jose": {"tokens"},
    "slowapi": {"throttling"},
    "limits": {"throttling"},
    "fastapi_pagination": {"pagination"},
    "sqlalchemy.dialects": {"db"},
    "asyncpg": {"db"},
    "aiosqlite": {"db"},
    "sqlite3": {"db"},
    "pydantic_settings": {"settings"},
    "typer": {"cli"},
    "rich": {"cli"},
}
PRIVATE_OF_FASTAPI = {"endpoints", "routers"}


class Import(NamedTuple):
    """One name that a module imports."""

    module: str
    line: int
    target: str
    in_function: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def room_of(name: str) -> str:
    """The room of a module: ``db.engines`` is in ``db``."""
    return name.partition(".")[0]


def place_of(room: str) -> tuple[int, int]:
    """The row of a room, and its place in it."""
    return next((row, rooms.index(room)) for row, rooms in enumerate(ROWS) if room in rooms)


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inner = {child for node in ast.walk(tree) if isinstance(node, functions) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(module, node.lineno, target, node in inner)


def is_of(found: Import, library: str) -> bool:
    """Whether an import is of a library, or of a part of it."""
    return f"{found.target}.".startswith(f"{library}.")


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
IMPORTS = [found for path in MODULES for found in imports_of(path)]
OWN = [found for found in IMPORTS if found.target.startswith("fastapix5.")]


def is_allowed(source: str, target: str) -> bool:
    """Whether a room may import from another."""
    if source == target:
        return True
    row, place = place_of(source)
    other_row, other_place = place_of(target)
    return other_row < row or (row == other_row and row != POLICIES and other_place < place)


def test_every_module_has_a_row() -> None:
    """No module stands outside the rows."""
    rooms = {room for row in ROWS for room in row}
    assert {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES} <= rooms


def test_modules_import_from_lower_rows_only() -> None:
    """An import leads down, or within its row to what is written before; those inside functions count too."""
    wrong = [
        str(found)
        for found in OWN
        if not is_allowed(room_of(found.module), room_of(found.target.removeprefix("fastapix5.")))
    ]
    assert wrong == []


def test_policies_do_not_import_each_other() -> None:
    """Authentication, permissions, throttling, filters and pagination are siblings."""
    siblings = ROWS[POLICIES]
    assert not any(is_allowed(source, target) for source in siblings for target in siblings if source != target)


def test_own_modules_are_imported_at_the_top() -> None:
    """Only a fenced third-party library may be imported inside a function, so that it loads when first used."""
    late = [found for found in IMPORTS if found.in_function]
    wrong = [str(found) for found in late if not any(is_of(found, library) for library in FENCED)]
    assert wrong == []


@pytest.mark.parametrize("library", FENCED)
def test_fenced_library_is_imported_in_one_room(library: str) -> None:
    """What wraps a library is the only one to know it."""
    rooms = {room_of(found.module) for found in IMPORTS if is_of(found, library)}
    assert rooms <= FENCED[library]


def test_private_names_of_fastapi_stay_in_two_modules() -> None:
    """Only the endpoints and the routers touch what FastAPI and Starlette do not promise."""
    private = [
        found
        for found in IMPORTS
        if found.target.startswith(("fastapi.", "starlette."))
        and any(p.startswith("_") for p in found.target.split("."))
    ]
    assert {found.module for found in private} <= PRIVATE_OF_FASTAPI


def test_lower_rows_know_no_http() -> None:
    """Data and business import neither FastAPI nor Starlette."""
    rooms = {room for row in ROWS[:4] for room in row}
    wrong = [
        str(found)
        for found in IMPORTS
        if room_of(found.module) in rooms and found.target.partition(".")[0] in ("fastapi", "starlette")
    ]
    assert wrong == []


def test_only_db_commits() -> None:
    """No other module calls ``commit`` or ``rollback``."""
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if room_of(".".join(path.relative_to(ROOT).parts)) != "db"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("commit", "rollback")
    ]
    assert calls == []
