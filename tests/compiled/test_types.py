"""Every column type of both dialects, both ways: as it is shown, compared and written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, create_model
from sqlalchemy.exc import ArgumentError, DBAPIError

from fastapix5 import QuerySet, Repository
from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.exceptions import Error
from fastapix5.filters import lookups_for
from fastapix5.repositories import Operand, Read
from fastapix5.repositories.facts import facts_of
from fastapix5.repositories.kinds import kind_of
from fastapix5.repositories.vocabulary import lookup_on
from fastapix5.schemas import select_for
from tests.compiled.ways import Runs, by_core
from tests.repositories.test_column_types import (
    GENERIC,
    POSTGRESQL,
    SQLITE,
    Shown,
    described,
    made,
    model_of,
    prepare,
    schema_of,
)

pytestmark = pytest.mark.anyio

Tables = list[tuple[Shown, type[Any]]]


def table(database: str) -> list[Shown]:
    """The column types of a database."""
    return [*GENERIC, *(SQLITE if database.startswith("sqlite") else POSTGRESQL)]


@pytest.fixture
async def tables(database: str) -> Tables:
    """A table for each type, with its values and a null."""
    found = [(shown, model_of(shown.type, f"shown_{number}")) for number, shown in enumerate(table(database))]
    async with get_engine().begin() as connection:
        await prepare(connection, [model for _, model in found])
    async with session_scope(), atomic():
        for shown, model in found:
            get_session().add_all(made(model, key, value) for key, value in enumerate([*shown.values, None]))
    return found


async def test_every_type_is_shown_alike(tables: Tables, runs: Runs) -> None:
    """Byte for byte, null included."""
    different: list[Any] = []
    async with session_scope():
        for shown, model in tables:
            schema, rows = schema_of(shown.annotation | None), QuerySet(model).order_by("id")
            with by_core():
                expected = await rows.as_json(schema)
            runs.clear()
            if [await rows.as_json(schema) for _ in range(3)] != [expected] * 3 or len(runs) < 2:
                different.append(described(shown))
    assert different == []


def operands(operand: Operand, values: list[Any]) -> tuple[Any, Any]:
    """What a lookup is given first, and what then."""
    first, last = values[0], values[-1]
    match operand:
        case Operand.TEXT:
            return "B%", "a"
        case Operand.LIST:
            return [first, last], [last, last]
        case Operand.PAIR:
            return (first, first), (first, last)
        case Operand.BOOLEAN:
            return True, False
    return first, last


async def outcome(rows: QuerySet[Any]) -> Any:
    """How many rows there are, or why nobody knows."""
    try:
        return await rows.count()
    except (Error, ArgumentError, TypeError, ValueError) as error:
        return type(error), str(error)
    except DBAPIError as error:
        return type(error), str(error.orig)


# Of operators that other types of SQLAlchemy's do not know well.
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
async def test_every_lookup_that_a_viewset_offers_finds_alike_on_every_type(tables: Tables, runs: Runs) -> None:
    """For a value that comes after another of the same shape."""
    different: list[Any] = []
    types = {repr(shown.type): (shown, model) for shown, model in tables}
    async with session_scope():
        for shown, model in types.values():
            for name in lookups_for(shown.type):
                lookup = lookup_on(name, kind_of(shown.type))
                if lookup is None:
                    continue
                first, last = (
                    QuerySet(model).filter(**{f"value__{name}": value})
                    for value in operands(lookup.operand, shown.values)
                )
                await outcome(first)
                actual = await outcome(last)
                with by_core():
                    expected = await outcome(last)
                if actual != expected:
                    different.append((described(shown), name, actual, expected))
    assert different == []
    assert len(runs) > len(types)


async def test_every_type_is_written_alike(tables: Tables, runs: Runs) -> None:
    """By an INSERT and by an UPDATE, null included."""
    different: list[Any] = []
    async with session_scope():
        for shown, model in tables:
            schema: type[BaseModel] = create_model("ThingRead", id=(int, ...), value=(shown.annotation | None, ...))
            read, repository = Read(select_for(schema, model, "test")), Repository(model)

            async def write(start: int) -> list[Any]:
                found = []
                for key, value in enumerate([*shown.values, None, *shown.values], start):  # noqa: B023
                    inserted = await repository.insert_row({"id": key, "value": value}, read)  # noqa: B023
                    here = facts_of(QuerySet(model).filter(id=key))  # noqa: B023
                    emptied = await repository.update_rows({"value": None}, read, here)  # noqa: B023
                    updated = await repository.update_rows({"value": value}, read, here)  # noqa: B023
                    found += [row.instance.value for row in (inserted, emptied, updated)]  # type: ignore[union-attr]
                return found

            runs.clear()
            actual = await write(100)
            if not runs:
                different.append((described(shown), "never kept"))
            with by_core():
                expected = await write(200)
            rows = QuerySet(model).order_by("id")
            stored = [(thing.id, thing.value) for thing in await rows.filter(id__gte=100).all()]
            if repr(actual) != repr(expected) or repr([v for k, v in stored if k < 200]) != repr(
                [v for k, v in stored if k >= 200]
            ):
                different.append((described(shown), actual, expected, stored))
    assert different == []
