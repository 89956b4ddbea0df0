"""Finds the application that a command is about."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeAlias

import typer
from fastapi import FastAPI

from fastapix5.exceptions import Error, ImproperlyConfigured, did_you_mean
from fastapix5.settings import APP_VARIABLE

AppName: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="APP",
        help=f"The application, as module:attribute. Without it {APP_VARIABLE} names it, else the entrypoint of "
        "tool.fastapi in pyproject.toml.",
        show_default=False,
    ),
]
Factory: TypeAlias = Annotated[
    bool, typer.Option("--factory", help="APP is a function that returns the application.", show_default=False)
]


def load_app(name: str | None, *, factory: bool) -> FastAPI:
    """Return the application that ``name``, the environment or ``pyproject.toml`` names.

    Modules are looked for in the working directory first. What they print goes to stderr.

    Args:
        name: ``module:attribute``, or None.
        factory: Whether the attribute is called for the application.

    Raises:
        ImproperlyConfigured: There is no such module, attribute or application, or importing it raised.
    """
    name = name or os.environ.get(APP_VARIABLE) or _entrypoint()
    module_name, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise ImproperlyConfigured(name, "It does not name an application.", f"Write {_corrected(name)}.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with redirect_stdout(sys.stderr):
        module = _module(module_name, name)
        found = _attribute(module, attribute, name)
        if factory:
            found = _made(found, name)
    if isinstance(found, FastAPI):
        return found
    if isfunction(found):
        raise ImproperlyConfigured(name, "It is a function.", "Add --factory, if it returns the application.")
    what = f"It {'returned' if factory else 'is'} no FastAPI application, but an object of {type(found).__name__}."
    raise ImproperlyConfigured(name, what, "" if factory else _applications_of(module))


def _entrypoint() -> str:
    """What ``pyproject.toml`` tells the ``fastapi`` command."""
    file = Path("pyproject.toml")
    try:
        table = tomllib.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise ImproperlyConfigured(str(file), f"It is not TOML: {error}.") from error
    entrypoint = table.get("tool", {}).get("fastapi", {}).get("entrypoint")
    if not isinstance(entrypoint, str):
        raise ImproperlyConfigured(
            "APP",
            "Nothing names the application.",
            f"Write it as module:attribute, such as main:app, set {APP_VARIABLE}, "
            'or write entrypoint = "main:app" below [tool.fastapi] in pyproject.toml.',
        )
    return entrypoint


def _corrected(name: str) -> str:
    """What somebody may have meant who wrote a path, or a module alone."""
    module, _, attribute = name.partition(":")
    parts = [part for part in module.removesuffix(".py").replace("\\", "/").replace("/", ".").split(".") if part]
    is_module = bool(parts) and all(part.isidentifier() for part in parts)
    return f"{'.'.join(parts) if is_module else 'module'}:{attribute if attribute.isidentifier() else 'app'}"


def _module(name: str, where: str) -> ModuleType:
    try:
        module: ModuleType = _attempted(where, importlib.import_module, name)
    except ImproperlyConfigured as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise
        hint = did_you_mean(missing, _modules_beside(missing)) or " Run the command where the module can be imported."
        raise ImproperlyConfigured(where, f'There is no module "{missing}".{hint}') from cause
    return module


def _made(factory: Any, where: str) -> Any:
    if isinstance(factory, FastAPI):
        raise ImproperlyConfigured(where, "It is an application, and no function.", "Leave out --factory.")
    return _attempted(where, factory)


def _modules_beside(name: str) -> list[str]:
    """The modules that could have been meant: in the same package, or in the working directory."""
    package, _, _ = name.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", ()) if package else [str(Path.cwd())]
    return [found.name for found in pkgutil.iter_modules(folders, f"{package}." if package else "")]


def _attribute(module: ModuleType, path: str, where: str) -> Any:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            near = did_you_mean(part, (name for name in dir(found) if not name.startswith("_")))
            raise ImproperlyConfigured(where, f'There is no "{part}".', near or _applications_of(module))
        found = getattr(found, part)
    return found


def _applications_of(module: ModuleType) -> str:
    """What to write for the applications that a module has."""
    names = [name for name, value in vars(module).items() if isinstance(value, FastAPI)]
    return f"Write {' or '.join(f'{module.__name__}:{name}' for name in names)}." if names else ""


def _attempted(where: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's own code returns; what it raises becomes an error of ours."""
    try:
        return make(*arguments)
    except Error:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(". ")
        raise ImproperlyConfigured(where, f"{what}.", "Add --traceback to see where.") from error
