"""The parts of a page that are made from the code: signatures, and the table of lookups.

``<!-- signatures of QuerySet -->`` stands before headings that are names of methods; ``<!-- every lookup -->`` before a
table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import fastapix5

SIGNATURES = re.compile(r"^<!-- signatures of (\w+) -->$", re.MULTILINE)
METHOD = re.compile(r"^### (\w+)\n\n`[^\n]*`$", re.MULTILINE)
LOOKUPS = re.compile(r"^<!-- every lookup -->\n\n(?:\|[^\n]*\n)*\n*", re.MULTILINE)


def derived(source: str) -> str:
    """The page with these parts as they should be."""
    parts = SIGNATURES.split(source)
    found = parts[0]
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        owner = getattr(fastapix5, name)
        found += f"<!-- signatures of {name} -->" + METHOD.sub(_signed(owner), text)
    return LOOKUPS.sub(_table, found)


def _signed(owner: type[Any]) -> Callable[[re.Match[str]], str]:
    def written(found: re.Match[str]) -> str:
        return f"### {found[1]}\n\n`{signature_of(owner, found[1])}`"

    return written


def signature_of(owner: type[Any], name: str) -> str:
    """A method's name, its parameters with their defaults, and what it returns."""
    member = inspect.getattr_static(owner, name)
    if isinstance(member, property):
        return name
    signature = inspect.signature(getattr(owner, name))
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    bare = [parameter for parameter in bare if parameter.name not in ("self", "cls")]
    returns = signature.return_annotation
    # A page has no modules.
    arrow = "" if returns is inspect.Signature.empty else " -> " + re.sub(r"\b[a-z_]+\.", "", str(returns))
    awaited = "await " if inspect.iscoroutinefunction(getattr(owner, name)) else ""
    return f"{awaited}{name}{inspect.Signature(bare)}{arrow}"


def _table(_: re.Match[str]) -> str:
    from tests.documentation.lookups import lookup_table

    return f"<!-- every lookup -->\n\n{lookup_table()}\n"


def public_names(owner: type[Any], below: type[Any] = object) -> list[str]:
    """The public methods and properties of a class and of its bases, but for those of ``below``."""
    classes = [found for found in owner.__mro__ if not issubclass(below, found)]
    return sorted({name for found in classes for name in vars(found) if not name.startswith("_")})
