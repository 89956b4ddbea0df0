"""Reads that select what a schema shows and nothing else: one statement, and one more for each to-many relation.

A ``Read`` is compiled once from a ``Selection``. To-one relations travel in the same statement, by an outer join, or
behind a write's RETURNING by scalar subqueries; to-many relations are fetched together for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Column, ColumnElement, Row, Select, inspect, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased, joinedload, raiseload, selectinload
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import replacement_traverse

from fastapix5.db.sessions import execute
from fastapix5.repositories.policies import loaded_within, related_condition
from fastapix5.repositories.writes import key_in
from fastapix5.schemas import Selection, key_of

# As many keys as one statement binds: PostgreSQL takes 32,767 arguments, SQLite 32,766.
KEYS_PER_STATEMENT = 5_000


@dataclass
class Many:
    """A to-many relation of a node: the statement that fetches its rows for a set of owners."""

    name: str
    read: Read
    owner: Any
    owner_key: tuple[ColumnElement[Any], ...]
    join: Any
    order: tuple[Any, ...]


@dataclass
class Node:
    """One entity of a read: where its values stand in the row, and what hangs below it."""

    selection: Selection
    entity: Any
    columns: list[tuple[str, int]] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    one: list[tuple[str, Node]] = field(default_factory=list)
    many: list[Many] = field(default_factory=list)

    def key_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The primary key of this entity in ``row``."""
        return tuple(row[index] for index in self.key)

    def build(self, row: Sequence[Any], related: dict[int, dict[tuple[Any, ...], list[BaseModel]]]) -> BaseModel | None:
        """The schema's instance for this entity in ``row``; None where an outer join found nothing."""
        key = self.key_of(row)
        if None in key:
            return None
        values: dict[str, Any] = {name: row[index] for name, index in self.columns}
        for name, node in self.one:
            values[name] = node.build(row, related)
        for many in self.many:
            values[many.name] = related[id(many)].get(key, [])
        return self.selection.build(values)

    def walk(self) -> Iterator[Node]:
        """This node and every one below it in the same row."""
        yield self
        for _, node in self.one:
            yield from node.walk()


class Whole(FunctionElement[Any]):
    """An expression behind RETURNING whose columns keep their table's name, which SQLite's compiler drops there."""

    inherit_cache = True

    def __init__(self, expression: ColumnElement[Any]) -> None:
        super().__init__(expression)
        self.type = expression.type


@compiles(Whole)
def _compile_whole(element: Whole, compiler: SQLCompiler, **options: Any) -> str:
    options.pop("include_table", None)
    return str(compiler.process(element.clauses.clauses[0], **options))


class Read:
    """A compiled read of one selection.

    Args:
        selection: What the schema selects.
        entity: The model, or an alias of it.
        extra: Attributes of the model that are selected besides, such as the key that a Location needs.
    """

    def __init__(self, selection: Selection, entity: Any = None, extra: Sequence[str] = ()) -> None:
        self.selection = selection
        self.entity = selection.model if entity is None else entity
        self._columns: list[Any] = []
        self._joins: list[tuple[Any, Any]] = []
        self._through: list[tuple[tuple[Any, Any], ...]] = []
        self.root = self._node(selection, self.entity, through=())
        self._alike = [node for node in self.root.walk() if node is not self.root and _table(node) is _table(self.root)]
        self._extra = [self._add(getattr(self.entity, name), ()) for name in extra]
        self._returning = [
            self._subquery(column, way) for column, way in zip(self._columns, self._through, strict=True)
        ]
        self.has_many = any(node.many for node in self.root.walk())

    def _node(self, selection: Selection, entity: Any, through: tuple[tuple[Any, Any], ...]) -> Node:
        node = Node(selection, entity)
        for schema_field in selection.columns:
            node.columns.append((schema_field.name, self._add(getattr(entity, schema_field.attribute), through)))
        mapper = inspect(selection.model)
        for column in mapper.primary_key:
            attribute = mapper.get_property_by_column(column).key
            shown = [index for name, index in node.columns if self._attribute(selection, name) == attribute]
            node.key.append(shown[0] if shown else self._add(getattr(entity, attribute), through))
        for relation in selection.relations:
            name, attribute = relation.field.name, getattr(entity, relation.field.attribute)
            target = aliased(relation.selection.model)
            if relation.many:
                read, order = Read(relation.selection, target), relation.order_of(target)
                node.many.append(Many(name, read, entity, key_of(entity), attribute.of_type(target), order))
                continue
            join = attribute.of_type(target)
            self._joins.append((target, join))
            node.one.append((name, self._node(relation.selection, target, (*through, (target, join)))))
        return node

    @staticmethod
    def _attribute(selection: Selection, name: str) -> str:
        return next(found.attribute for found in selection.columns if found.name == name)

    def _add(self, column: Any, through: tuple[tuple[Any, Any], ...]) -> int:
        self._columns.append(column)
        self._through.append(through)
        return len(self._columns) - 1

    def _subquery(self, column: Any, through: tuple[tuple[Any, Any], ...]) -> Any:
        """``column`` as an expression behind RETURNING: on the written table, or a scalar subquery behind it."""
        table = inspect(self.entity).mapper.local_table
        if not through:
            expression = column.__clause_element__()
            return expression if isinstance(expression, Column) else Whole(_on_written_row(expression, table))
        (first, join), *rest = through
        statement = select(column).select_from(first)
        for target, onclause in rest:
            statement = statement.outerjoin(target, _within(onclause, target))
        condition = _on_written_row(join.__clause_element__(), table)
        within = related_condition(first, join.property)
        statement = statement if within is None else statement.where(within)
        return Whole(statement.where(condition).correlate(None).scalar_subquery())

    def statement(self, base: Select[Any]) -> Select[Any]:
        """``base`` (which selects from the entity) with the columns and joins of this read."""
        statement = base.with_only_columns(*self._columns, maintain_column_froms=True)
        for target, onclause in self._joins:
            statement = statement.outerjoin(target, _within(onclause, target))
        return statement

    def returning(self) -> list[Any]:
        """The expressions that a write returns to build the schema's instance."""
        if all(related_condition(target, join.property) is None for target, join in self._joins):
            return self._returning
        return [self._subquery(column, through) for column, through in zip(self._columns, self._through, strict=True)]

    def may_show_itself(self, row: Sequence[Any]) -> bool:
        """Whether ``row``, which a write returned, may show itself among its relations: as it was before the write."""
        key = self.root.key_of(row)
        return any(node.key_of(row) == key or None in node.key_of(row) for node in self._alike)

    def extra_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The values in ``row`` that were selected besides."""
        return tuple(row[index] for index in self._extra)

    async def instances(self, session: AsyncSession, rows: Sequence[Row[Any]]) -> list[BaseModel]:
        """The schema's instances for ``rows``, with one more statement for each to-many relation."""
        related: dict[int, dict[tuple[Any, ...], list[BaseModel]]] = {}
        for node in self.root.walk() if rows else ():
            for many in node.many:
                keys = dict.fromkeys(key for row in rows if None not in (key := node.key_of(row)))
                related[id(many)] = await self._fetch(session, many, list(keys))
        return [built for row in rows if (built := self.root.build(row, related)) is not None]

    async def _fetch(
        self, session: AsyncSession, many: Many, keys: list[tuple[Any, ...]]
    ) -> dict[tuple[Any, ...], list[BaseModel]]:
        found: dict[tuple[Any, ...], list[BaseModel]] = {}
        step = max(1, KEYS_PER_STATEMENT // len(many.owner_key))
        for start in range(0, len(keys), step):
            condition = key_in(many.owner_key, keys[start : start + step])
            statement = (
                select(many.owner).join(_within(many.join, many.read.entity)).where(condition).order_by(*many.order)
            )
            statement = many.read.statement(statement).add_columns(*many.owner_key)
            rows = (await execute(session, statement)).all()
            owners = [tuple(row[-len(many.owner_key) :]) for row in rows]
            for owner, instance in zip(owners, await many.read.instances(session, rows), strict=True):
                found.setdefault(owner, []).append(instance)
        return found


@lru_cache(maxsize=1024)
def list_adapter(schema: type[BaseModel]) -> TypeAdapter[Any]:
    """What serializes a list of a schema's instances."""
    return TypeAdapter(list[schema])  # type: ignore[valid-type]


def _within(onclause: Any, target: Any) -> Any:
    """A relationship's join to ``target``, to those rows that the current access may reach."""
    condition = related_condition(target, onclause.property)
    return onclause if condition is None else onclause.and_(condition)


def _table(node: Node) -> Any:
    return inspect(node.selection.model).local_table


def _on_written_row(condition: Any, table: Any) -> Any:
    """``condition`` with the written table's columns spelt out.

    SQLAlchemy gives the RETURNING of an INSERT nothing to correlate with, and would add the table to the subquery.
    """

    def spell(element: Any, **_: Any) -> Any:
        if isinstance(element, Column) and element.table is table:
            parts = [part for part in (table.schema, table.name, element.name) if part]
            return literal_column(".".join('"' + part.replace('"', '""') + '"' for part in parts), element.type)
        return None

    return replacement_traverse(condition, {}, spell)


def loader_options(selection: Selection) -> list[Any]:
    """What an object of the model needs loaded to become the schema's instance: its relations, in as few statements."""
    options = []
    for relation in selection.relations:
        attribute = getattr(selection.model, relation.field.attribute)
        below = [
            getattr(relation.selection.model, found.attribute)
            for found in relation.selection.columns
            if found.attribute in inspect(relation.selection.model).column_attrs
        ]
        within = loaded_within(attribute)
        loader = selectinload(within) if relation.many else joinedload(within)
        loader = loader.load_only(*below, raiseload=True) if below else loader
        options.append(loader.options(*loader_options(relation.selection), raiseload("*")))
    return options
