"""Importing loads what every use needs; a library that some uses need loads with the first of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

BASE = "import fastapi, sqlalchemy.ext.asyncio\n"
PACKAGE = "from fastapix5 import ModelViewSet, Router, setup\n"

# Libraries, and parts of SQLAlchemy, by who needs them.
OPTIONAL = {
    "aiosqlite",
    "asyncpg",
    "fastapi_pagination",
    "jose",
    "limits",
    "pydantic_settings",
    "slowapi",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlite3",
    "typer",
}

VIEWSET = """
from pydantic import BaseModel
from fastapix5 import AllowAny, AnonRateThrottle, IntModel, JWTAuthentication, settings

class Book(IntModel):
    __tablename__ = "books"

class BookRead(BaseModel):
    id: int

class BookViewSet(ModelViewSet[Book]):
    read_schema = BookRead
    create_schema = BookRead
    update_schema = BookRead
    permission_classes = [AllowAny]
    pagination_class = None
"""


def loaded_by(code: str) -> set[str]:
    """The modules that are loaded when a process of its own has run the code."""
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_a_viewset_needs_no_other_library() -> None:
    """What declares viewsets loads the package and no library besides FastAPI and SQLAlchemy: drivers and policies wait."""
    base, found = loaded_by(BASE), loaded_by(BASE + PACKAGE)
    libraries = {name.partition(".")[0] for name in found} - {name.partition(".")[0] for name in base}
    assert libraries - sys.stdlib_module_names == {"fastapix5"}
    assert not found & OPTIONAL


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("BookViewSet().router.plans", set()),
        ("BookViewSet(pagination_class='fastapix5.PageNumberPagination').router.plans", {"fastapi_pagination"}),
        ("BookViewSet(throttle_classes=[AnonRateThrottle(rate='1/s')]).router.plans", {"limits", "slowapi"}),
        ("JWTAuthentication(key='k' * 32)", {"jose"}),
        ("import os; os.environ['FASTAPIX5_PAGE_SIZE'] = '9'; settings.PAGE_SIZE", {"pydantic_settings"}),
        ("make('sqlite+aiosqlite://')", {"aiosqlite", "sqlite3", "sqlalchemy.dialects.sqlite"}),
        ("make('postgresql+asyncpg://u@h/d')", {"asyncpg", "sqlalchemy.dialects.postgresql"}),
    ],
)
def test_a_use_loads_what_it_needs(use: str, expected: set[str]) -> None:
    """A library loads where a route is built, or an engine made, that needs it; not at a request."""
    make = """
def make(url):
    from fastapix5.db import get_engine
    settings.configure(DATABASES={"default": url})
    get_engine()
"""
    assert loaded_by(PACKAGE + VIEWSET + make + use) & OPTIONAL == expected
