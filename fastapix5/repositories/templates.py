"""Statements that are compiled once for each shape: their text, and what becomes of values on the way in and out.

``ask`` is the one door. A statement of a new shape goes through SQLAlchemy, which says what came of it; the next one of
this shape binds its values and goes to the driver. What has no direct way, or cannot be kept, goes through SQLAlchemy
each time: to the same rows.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from fastapix5.db import direct
from fastapix5.db.engines import Database
from fastapix5.db.sessions import current_scope, execute
from fastapix5.db.transactions import atomic
from fastapix5.models import ANY_CONTEXT
from fastapix5.repositories.shapes import OPAQUE, Slot, Term, TextSlot
from fastapix5.settings import settings

T = TypeVar("T")

logger = logging.getLogger("fastapix5.db")

Processor = Callable[[Any], Any]

# Where a database keeps its templates, and what stands there for a shape that has none.
KEPT = "templates"
UNKEPT = "unkept"


@dataclass(frozen=True, slots=True)
class Template:
    """A statement, but for its values.

    Attributes:
        text: The SQL with the driver's placeholders.
        constants: Values that are the same each time.
        defaults: Make those that Python adds to a row.
        binds: For each placeholder, which of the values, constants and defaults stands there, and what the driver takes
            in its place.
        results: What the driver's values become; None where they stay as they are.
    """

    text: str
    constants: tuple[Any, ...]
    defaults: tuple[Callable[[Any], Any], ...]
    binds: tuple[tuple[int, Processor | None], ...]
    results: tuple[Processor | None, ...] | None

    def parameters(self, values: Sequence[Any]) -> list[Any]:
        """What the driver is given for ``values``."""
        if self.constants or self.defaults:
            context = SimpleNamespace()
            values = (*values, *self.constants, *(make(context) for make in self.defaults))
        return [values[place] if process is None else process(values[place]) for place, process in self.binds]

    def rows(self, found: Sequence[Any]) -> Sequence[Any]:
        """What the driver's rows mean."""
        results = self.results
        if results is None:
            return found
        return [
            [value if process is None else process(value) for value, process in zip(row, results, strict=True)]
            for row in found
        ]


async def ask(using: str, statement: Term[Any], *, writes: bool = False) -> Sequence[Any]:
    """Run a statement and return its rows.

    Args:
        using: The database's alias.
        statement: The statement, taken apart.
        writes: Whether it writes.

    Raises:
        ScopeRequired: No session scope is open here.
        SQLAlchemyError: What ``translated`` makes ours of.
    """
    way = None if statement.shape is OPAQUE else direct.way(using)
    if way is None or way.database is None:
        # What was to be all of a unit of work has company: what a hook has added to the session is written with it.
        work = current_scope().work(using)
        async with atomic(using) if writes and work.is_alone and not work.frames else nullcontext():
            rows: Sequence[Any] = (await execute(using, statement.make(None))).all()
        return rows
    templates = _templates_of(way.database)
    template = templates.get(statement.shape)
    if isinstance(template, Template):
        parameters = _parameters(template, statement.values)
        if parameters is not None:
            return template.rows(await direct.run(way, template.text, parameters, writes=writes))
    # SQLAlchemy need not keep what the template will stand for: it takes ten times the room.
    options = {"compiled_cache": None} if template is None else {}
    result: Any = await execute(using, statement.make(None), execution_options=options)
    # The ORM wraps the cursor's result; the driver's types are in the raw one.
    description = getattr(result, "raw", result).context.cursor.description
    rows = result.all()
    if template is None:
        types = [column[1] for column in description or ()]
        templates[statement.shape] = _try_to_compile(statement, way.database.engine.dialect, types) or UNKEPT
    return rows


def remembered(using: str, shape: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` returns for statements of a shape; kept beside their templates."""
    if shape is OPAQUE:
        return make()
    templates = _templates_of(current_scope().work(using).get_database())
    found: Any = templates.get(shape)
    if found is None:
        found = templates[shape] = make()
    return cast("T", found)


def _templates_of(database: Database) -> LRUCache[Hashable, Any]:
    found: LRUCache[Hashable, Any] | None = database.memo.get(KEPT)
    if found is None:
        found = database.memo[KEPT] = LRUCache(settings.COMPILED_CACHE_SIZE)
    return found


def _parameters(template: Template, values: Sequence[Any]) -> list[Any] | None:
    try:
        return template.parameters(values)
    except Exception:  # noqa: BLE001 (SQLAlchemy says in its own words what is wrong with a value)
        return None


def _try_to_compile(statement: Term[Any], dialect: Dialect, types: Sequence[Any]) -> Template | None:
    """``_compile`` for a statement that has run: whatever fails here must not fail what it did."""
    try:
        return _compile(statement, dialect, types)
    except Exception:
        logger.exception("A statement is not kept, since it could not be compiled with places for its values.")
        return None


def _compile(statement: Term[Any], dialect: Dialect, types: Sequence[Any]) -> Template | None:
    """Compile a statement with places for its values; None where a value might stay in it.

    Args:
        statement: The statement, taken apart.
        dialect: The database's.
        types: The driver's word for the type of each column that came back.
    """
    made: Any = statement.make(range(len(statement.values)))
    compiled: SQLCompiler = made.compile(dialect=dialect)
    defaults = _defaults(compiled)
    if compiled.literal_execute_params or defaults is None or _keeps_values(compiled, statement):
        return None
    state = compiled.construct_expanded_state(escape_names=False)
    processors: dict[str, Any] = {**compiled._bind_processors, **state.processors}  # noqa: SLF001
    names, given = state.positiontup or (), state.parameters
    if not all(callable(processors[name]) for name in names if name in processors):
        return None
    filled = {name: given[name].place for name in names if isinstance(given[name], (Slot, TextSlot))}
    constants = [name for name in dict.fromkeys(names) if name not in filled and name not in defaults]
    # Behind the statement's own values.
    behind = {name: len(statement.values) + place for place, name in enumerate((*constants, *defaults))}
    return Template(
        state.statement,
        tuple(given[name] for name in constants),
        tuple(defaults.values()),
        tuple(((filled | behind)[name], processors.get(name)) for name in names),
        _results(compiled, dialect, types),
    )


def _keeps_values(compiled: SQLCompiler, statement: Term[Any]) -> bool:
    """Whether a parameter still has what was given with this statement alone, or asks for its value when it runs."""
    given = {id(parameter) for parameter in statement.parameters}
    return any(
        bind.callable is not None or (given and any(id(found) in given for found in _unfilled(bind)))
        for bind in compiled.bind_names
    )


def _unfilled(bind: Any) -> Iterable[Any]:
    values = bind.value if bind.expanding else (bind.value,)
    filled = isinstance(values, (list, tuple)) and all(isinstance(value, (Slot, TextSlot)) for value in values)
    return () if filled else bind._cloned_set  # noqa: SLF001


def _defaults(compiled: SQLCompiler) -> Mapping[str, Callable[[Any], Any]] | None:
    """What makes the values that Python adds to a row, by parameter; None where one needs more than a call."""
    found: dict[str, Callable[[Any], Any]] = {}
    inserted, updated = compiled.insert_prefetch, compiled.update_prefetch
    for column, default in [(c, c.default) for c in inserted] + [(c, c.onupdate) for c in updated]:
        make = _maker(default)
        if make is None:
            return None
        found[compiled._within_exec_param_key_getter(column)] = make  # noqa: SLF001
    return found


def _maker(default: Any) -> Callable[[Any], Any] | None:
    if default is None or default.is_sequence or default.is_clause_element or default.is_sentinel:
        return None
    make = default.arg
    if not default.is_callable:
        return lambda _: make
    try:
        # SQLAlchemy hands its context to each; those that want none it has wrapped.
        wants_context = bool(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return None
    return make if getattr(make, ANY_CONTEXT, False) or not wants_context else None


def _results(compiled: SQLCompiler, dialect: Dialect, types: Sequence[Any]) -> tuple[Processor | None, ...] | None:
    columns = compiled._result_columns  # noqa: SLF001
    found = tuple(
        column.type._cached_result_processor(dialect, coltype)  # noqa: SLF001
        for column, coltype in zip(columns, types, strict=True)
    )
    return found if any(process is not None for process in found) else None
