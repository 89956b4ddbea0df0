"""Filters on arrays and JSON, which PostgreSQL alone has."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import ARRAY, JSON, Integer, String, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import AllowAny, FilterSetBackend, ReadOnlyModelViewSet
from fastapix5.db import get_engine
from tests.conftest import on_postgresql
from tests.filters.conftest import Ask

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Sheet(Base):
    """Words and numbers in arrays, anything in JSON."""

    __tablename__ = "sheets"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[list[str]] = mapped_column(ARRAY(String))
    numbers: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    data: Mapped[Any] = mapped_column(JSON)


class SheetRead(BaseModel):
    """All of it."""

    id: int
    words: list[str]
    numbers: list[int]
    data: Any


class SheetViewSet(ReadOnlyModelViewSet[Sheet]):
    """Open to all."""

    read_schema = SheetRead
    permission_classes = [AllowAny]
    filter_backends = [FilterSetBackend]
    filterset_fields = {
        "words": ["contains", "overlap", "len", "isnull"],
        "numbers": ["contained_by", "len__in"],
        "data": ["has_key", "has_keys", "has_any_keys", "owner__name__icontains", "owner__isnull", "0__startswith"],
    }


ROWS = [
    {"id": 1, "words": ["a", "b"], "numbers": [1, 2], "data": {"owner": {"name": "Ännä"}, "x": 1}},
    {"id": 2, "words": ["b"], "numbers": [2], "data": {"owner": {"name": 3}}},
    {"id": 3, "words": [], "numbers": [], "data": ["first"]},
]

FOUND: dict[str, list[int]] = {
    "words__contains=a,b": [1],
    "words__contains=b": [1, 2],
    "words__overlap=a,z": [1],
    "words__len=1": [2],
    "words__isnull=true": [],
    "numbers__contained_by=2,3": [2, 3],
    "numbers__len__in=0,2": [1, 3],
    "data__has_key=owner": [1, 2],
    "data__has_keys=owner,x": [1],
    "data__has_any_keys=x,y": [1],
    "data__owner__name__icontains=äN": [1],
    "data__owner__isnull=true": [3],
    "data__0__startswith=fi": [3],
}
REFUSED = {
    "numbers__contained_by=x": "int_parsing",
    "numbers__contained_by=2147483648": "less_than_equal",
    "words__len=x": "int_parsing",
    "words__contains=a,,b": "blank",
    "data__has_key=%00": "string_pattern_mismatch",
}


@pytest.fixture
async def things(database: str) -> None:
    """The sheets."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(Sheet), ROWS)


@on_postgresql
async def test_filter_by_what_arrays_and_json_hold(ask: Ask) -> None:
    """A list is one of the array's items, or of keys."""
    viewset = SheetViewSet(ordering=["id"])
    assert {query: await ask(viewset, query) for query in FOUND} == FOUND
    expected = {query: (422, ["query", query.partition("=")[0]], code) for query, code in REFUSED.items()}
    assert {query: await ask(viewset, query) for query in REFUSED} == expected


@on_postgresql
async def test_arrays_are_typed_in_openapi(things: None) -> None:
    """By their items."""
    app = FastAPI()
    app.include_router(SheetViewSet().router)
    parameters = {each["name"]: each["schema"] for each in app.openapi()["paths"]["/sheets"]["get"]["parameters"]}
    assert parameters["words__contains"]["items"]["type"] == "string"
    assert parameters["numbers__contained_by"]["items"]["type"] == "integer"
    assert parameters["words__len"]["type"] == "integer"
    assert parameters["data__has_keys"]["items"]["type"] == "string"
