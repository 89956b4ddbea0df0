"""What a project imports: one sorted list of documented, typed names."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest
from sqlalchemy.orm import declared_attr

import fastapix5

OURS = {name: getattr(fastapix5, name) for name in fastapix5.__all__}
CLASSES = {name: found for name, found in OURS.items() if inspect.isclass(found)}
FUNCTIONS = {name: found for name, found in OURS.items() if inspect.isfunction(found)}


def own_methods(cls: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties that a class has from this package."""
    for name in dir(cls):
        owner = next((owner for owner in cls.__mro__ if name in vars(owner)), object)
        found = inspect.getattr_static(cls, name)
        function = getattr(found, "fget", None) or getattr(found, "func", None) or getattr(found, "__func__", found)
        is_ours = owner.__module__.startswith("fastapix5.")
        is_column = isinstance(found, declared_attr)
        if is_ours and not name.startswith("_") and inspect.isfunction(function) and not is_column:
            yield f"{owner.__name__}.{name}", function


METHODS = dict(found for cls in CLASSES.values() for found in own_methods(cls))


def test_names_are_sorted() -> None:
    """``__all__`` is sorted, and each name is there once."""
    assert fastapix5.__all__ == sorted(set(fastapix5.__all__))


def test_names_are_all_that_is_public() -> None:
    """Whatever the package imports for its users is in ``__all__``; the rest are its own modules."""
    public = {
        name for name, found in vars(fastapix5).items() if not name.startswith("_") and not inspect.ismodule(found)
    }
    assert public == set(fastapix5.__all__)


def test_package_is_typed() -> None:
    """``py.typed`` tells type checkers to read the package."""
    assert resources.files("fastapix5").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS, *METHODS])
def test_public_name_has_a_docstring(name: str) -> None:
    """Every public class, function and method says in one line what it promises."""
    found = {**CLASSES, **FUNCTIONS, **METHODS}[name]
    first = (found.__doc__ or "").strip().partition("\n")[0]
    assert first, f"{name} has no docstring"
    assert first.endswith((".", ":")), f"{name}: {first!r} is no sentence"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_says_what_it_takes(name: str) -> None:
    """A function of several parameters has a section on them, or names them in its sentences."""
    function = FUNCTIONS[name]
    for parameter in inspect.signature(function).parameters.values():
        assert (
            re.search(rf"\b{parameter.name}\b", function.__doc__ or "")
            or len(inspect.signature(function).parameters) == 1
        ), f"{name} does not tell of {parameter.name}"


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_function_is_typed(name: str) -> None:
    """Every parameter and every answer of a public function has a type."""
    functions: dict[str, Callable[..., Any]] = {**FUNCTIONS, **METHODS}
    signature = inspect.signature(functions[name])
    parameters = [found for found in list(signature.parameters.values()) if found.name not in ("self", "cls")]
    assert all(found.annotation is not found.empty for found in parameters)
    assert signature.return_annotation is not signature.empty


def test_names_are_loaded_from_where_type_checkers_read_them() -> None:
    """``__init__`` says it twice: to type checkers as imports, to Python as a table."""
    tree = ast.parse(inspect.getsource(fastapix5))
    imported = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    loaded = {name: f"fastapix5.{module}" for name, module in fastapix5._HOMES.items()}
    eager = {"settings": "fastapix5.settings", "override_settings": "fastapix5.settings"}
    assert imported == loaded | eager
    assert set(imported) == set(fastapix5.__all__)


def test_no_name_is_a_modules_too() -> None:
    """Loading a module binds its name in the package; ``settings`` is bound to the object at once."""
    modules = {found.name for found in pkgutil.iter_modules(fastapix5.__path__)}
    assert modules & set(fastapix5.__all__) == {"settings"}
    assert not inspect.ismodule(fastapix5.settings)


def test_a_wrong_name_is_an_attribute_error() -> None:
    """As in any module; modules of the package are there without an import of their own."""
    with pytest.raises(ImportError):
        from fastapix5 import ModelViewSets  # type: ignore[attr-defined]  # noqa: F401
    assert not hasattr(fastapix5, "modelviewset")
    code = "import fastapix5; fastapix5.exceptions.Error; fastapix5.planner; assert 'Router' in dir(fastapix5)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_loads_what_it_needs() -> None:
    """The package alone loads neither FastAPI nor SQLAlchemy; the data layer loads no FastAPI."""
    code = (
        "import sys, fastapix5\n"
        "assert not {'fastapi', 'sqlalchemy', 'asyncpg', 'fastapi_pagination', 'jose', 'slowapi'} & set(sys.modules)\n"
        "from fastapix5 import Repository, atomic, session_scope\n"
        "assert not {'fastapi', 'fastapi_pagination', 'jose', 'slowapi'} & set(sys.modules)\n"
        "from fastapix5 import ModelViewSet\n"
        "assert not {'jose', 'slowapi', 'limits'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_import_reads_no_settings() -> None:
    """Importing the package reads no environment, connects to nothing and loads no optional part."""
    code = (
        "import sys\n"
        "from fastapix5 import *\n"
        "assert not {'typer', 'uvicorn', 'alembic', 'rich'} & set(sys.modules)\n"
        "from fastapix5.db.engines import _without_loop, _by_loop\n"
        "assert not _without_loop and not _by_loop\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
