"""Reads that select what a schema shows and nothing else: one statement, and one more for each to-many relation.

A ``Read`` is compiled once from a ``Selection``. To-one relations travel in the same statement, by an outer join, or
behind a write's RETURNING by scalar subqueries; to-many relations are fetched together for all rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Column, ColumnElement, Select, inspect, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased, joinedload, raiseload, selectinload
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import replacement_traverse

from fastapix5.repositories.comparisons import one_of
from fastapix5.repositories.paths import Reach
from fastapix5.repositories.policies import has_policies, loaded_within, reach_of, related_condition, related_term
from fastapix5.repositories.shapes import (
    Shapeless,
    Slot,
    Slots,
    Term,
    made,
    opaque,
    parameters_of,
    shapes_of,
    values_of,
)
from fastapix5.repositories.templates import ask
from fastapix5.repositories.writes import key_in
from fastapix5.schemas import Selection, key_of, select_for

# As many keys as one statement binds: PostgreSQL takes 32,767 arguments, SQLite 32,766.
KEYS_PER_STATEMENT = 5_000


Key = tuple[Any, ...]
# What was found for each to-many relation of a row's nodes, one after the other, by the owner's key.
Related = Sequence[Mapping[Any, list[Any]]]
# Makes of rows what is shown of them.
Show = Callable[["Read", str, Sequence[Any]], Awaitable[list[Any]]]


@dataclass(eq=False)
class Many:
    """A to-many relation of a node: the statement that fetches its rows for a set of owners."""

    name: str
    read: Read
    owner: Any
    owner_key: tuple[ColumnElement[Any], ...]
    join: Any
    order: tuple[Any, ...]

    async def fetch(self, using: str, keys: Sequence[Any], show: Show) -> Mapping[Any, list[Any]]:
        """What is shown of the related rows of each owner, whose keys are as ``Node.identify`` has them."""
        found: dict[Any, list[Any]] = defaultdict(list)
        width = len(self.owner_key)
        owner_of = itemgetter(*range(-width, 0))
        step = max(1, KEYS_PER_STATEMENT // width)
        for start in range(0, len(keys), step):
            rows = await ask(using, self._term(keys[start : start + step]))
            for owner, shown in zip(map(owner_of, rows), await show(self.read, using, rows), strict=True):
                found[owner].append(shown)
        return found

    def _term(self, keys: Sequence[Any]) -> Term[Select[Any]]:
        """The SELECT, taken apart: any number of keys is one value, unless the key has several columns."""
        try:
            terms = (related_term(self.read.entity), *self.read.terms()) if has_policies() else ()
            shape = (self, shapes_of(terms))
        except Shapeless:
            return opaque(lambda: self._statement(keys))
        if len(self.owner_key) > 1:
            return opaque(lambda: self._statement(keys))

        def make(slots: Slots | None) -> Select[Any]:
            if slots is None:
                return self._statement(keys)
            said = zip((self.read.entity, *self.read.targets), made(terms, slots), strict=False)
            return self._select(one_of(self.owner_key[0], Slot(slots[-1])), reach_of(dict(said)))

        return Term(shape, (*values_of(terms), keys), make, parameters_of(terms))

    def _statement(self, keys: Sequence[Any]) -> Select[Any]:
        parts = keys if len(self.owner_key) > 1 else [(key,) for key in keys]
        return self._select(key_in(self.owner_key, parts), related_condition)

    def _select(self, owners: ColumnElement[bool], reach: Reach) -> Select[Any]:
        """The SELECT of the related rows of some owners, and their owners' keys."""
        statement = select(self.owner).join(_within(self.join, self.read.entity, reach)).where(owners)
        return self.read.statement(statement.order_by(*self.order), reach).add_columns(*self.owner_key)


@dataclass(eq=False)
class Node:
    """One entity of a read: where its values stand in the row, and what hangs below it.

    Attributes:
        selection: What the schema selects of it.
        entity: The model, or an alias of it.
        start: Where its columns begin.
        key: Where the parts of its primary key stand.
        one: The nodes of its to-one relations, by field.
        many: Its to-many relations.
    """

    selection: Selection
    entity: Any
    start: int = 0
    key: list[int] = field(default_factory=list)
    one: list[tuple[str, Node]] = field(default_factory=list)
    many: list[Many] = field(default_factory=list)

    def key_of(self, row: Sequence[Any]) -> Key:
        """The primary key of this entity in ``row``."""
        return tuple([row[index] for index in self.key])

    @cached_property
    def identify(self) -> Callable[[Sequence[Any]], Any]:
        """What finds the entity of a row among others: its key, without a tuple around one value."""
        return itemgetter(*self.key)

    def walk(self) -> Iterator[Node]:
        """This node and every one below it in the same row."""
        yield self
        for _, node in self.one:
            yield from node.walk()

    def walk_many(self) -> Iterator[tuple[Node, Many]]:
        """The to-many relations of all these nodes, each with its owner."""
        for node in self.walk():
            for many in node.many:
                yield node, many


def written_out(root: Node, finish: Callable[[Node], Callable[[dict[str, Any]], Any] | None]) -> Callable[..., Any]:
    """Write a function that makes of rows, and of what is related to them, a list of what is shown.

    It is one expression, so that a row takes no call. What ``namedtuple`` and dataclasses do with their fields is done
    here with those of the schemas; mappings of books with an author and tags are ::

        [{'id': row[0], 'author': None if row[1] is None else {'name': row[2]}, 'tags': related[0].get(row[0]) or []}
         for row in rows]

    Args:
        root: The node whose rows they are.
        finish: What makes something of a node's values by field; None where they are left as they are.
    """
    finishing: list[Any] = []
    places = {many: place for place, (_, many) in enumerate(root.walk_many())}

    def shown(node: Node) -> str:
        found = {name: f"row[{place}]" for place, name in enumerate(node.selection.names, node.start)}
        key = [f"row[{place}]" for place in node.key]
        for name, one in node.one:
            # Where an outer join found nothing, the key is null.
            absent = " or ".join(f"row[{place}] is None" for place in one.key)
            found[name] = f"None if {absent} else {shown(one)}"
        for many in node.many:
            owner = key[0] if len(key) == 1 else f"({', '.join(key)})"
            found[many.name] = f"related[{places[many]}].get({owner}) or []"
        values = f"{{{', '.join(f'{name!r}: {found[name]}' for name in node.selection.order)}}}"
        finisher = finish(node)
        if finisher is None:
            return values
        finishing.append(finisher)
        return f"finishing[{len(finishing) - 1}]({values})"

    source = f"lambda rows, related: [{shown(root)} for row in rows]"
    make: Callable[..., Any] = eval(source, {"finishing": finishing})  # noqa: S307 (names are quoted, and the rest is ours)
    return make


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
        self._places: dict[tuple[Any, str], int] = {}
        self._joins: list[tuple[Any, Any]] = []
        self._through: list[tuple[tuple[Any, Any], ...]] = []
        self.root = self._node(selection, self.entity, through=())
        self._alike = [node for node in self.root.walk() if node is not self.root and _table(node) is _table(self.root)]
        self._extra = [self._place(self.entity, name, ()) for name in extra]
        self.targets = tuple(target for target, _ in self._joins)
        self._many = tuple(self.root.walk_many())
        self.has_many = bool(self._many)

    def _node(self, selection: Selection, entity: Any, through: tuple[tuple[Any, Any], ...]) -> Node:
        node = Node(selection, entity, len(self._columns))
        for schema_field in selection.columns:
            self._add(entity, schema_field.attribute, through)
        mapper = inspect(selection.model)
        for column in mapper.primary_key:
            node.key.append(self._place(entity, mapper.get_property_by_column(column).key, through))
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

    def _add(self, entity: Any, attribute: str, through: tuple[tuple[Any, Any], ...]) -> int:
        self._columns.append(getattr(entity, attribute))
        self._through.append(through)
        return self._places.setdefault((entity, attribute), len(self._columns) - 1)

    def _place(self, entity: Any, attribute: str, through: tuple[tuple[Any, Any], ...]) -> int:
        """Where an attribute stands; it is selected besides where no field shows it."""
        place = self._places.get((entity, attribute))
        return self._add(entity, attribute, through) if place is None else place

    def _subquery(self, column: Any, through: tuple[tuple[Any, Any], ...], reach: Reach) -> Any:
        """``column`` as an expression behind RETURNING: on the written table, or a scalar subquery behind it."""
        table = inspect(self.entity).mapper.local_table
        if not through:
            expression = column.__clause_element__()
            return expression if isinstance(expression, Column) else Whole(_on_written_row(expression, table))
        (first, join), *rest = through
        statement = select(column).select_from(first)
        for target, onclause in rest:
            statement = statement.outerjoin(target, _within(onclause, target, reach))
        condition = _on_written_row(join.__clause_element__(), table)
        within = reach(first, join.property)
        statement = statement if within is None else statement.where(within)
        return Whole(statement.where(condition).correlate(None).scalar_subquery())

    def statement(self, base: Select[Any], reach: Reach = related_condition) -> Select[Any]:
        """``base`` (which selects from the entity) with the columns and joins of this read.

        Args:
            base: The SELECT.
            reach: What narrows the rows behind each join.
        """
        statement = base.with_only_columns(*self._columns, maintain_column_froms=True)
        for target, onclause in self._joins:
            statement = statement.outerjoin(target, _within(onclause, target, reach))
        return statement

    def returning(self, reach: Reach = related_condition) -> list[Any]:
        """The expressions that a write returns to build the schema's instance."""
        if all(reach(target, join.property) is None for target, join in self._joins):
            return self._unnarrowed
        return self._subqueries(reach)

    @cached_property
    def _unnarrowed(self) -> list[Any]:
        return self._subqueries(lambda *_: None)

    def _subqueries(self, reach: Reach) -> list[Any]:
        pairs = zip(self._columns, self._through, strict=True)
        return [self._subquery(column, through, reach) for column, through in pairs]

    def terms(self) -> tuple[Term[Any], ...]:
        """What row policies say of the rows behind each join, taken apart; nothing where no model has one.

        Raises:
            Shapeless: It cannot be taken apart.
        """
        return tuple(map(related_term, self.targets)) if self.targets and has_policies() else ()

    @cached_property
    def is_final(self) -> bool:
        """Whether one row is all that an instance is made of, and nothing could refuse to make it, or to serialize it."""
        return not (self.has_many or self._alike) and all(node.selection.is_plain for node in self.root.walk())

    def may_show_itself(self, row: Sequence[Any]) -> bool:
        """Whether ``row``, which a write returned, may show itself among its relations: as it was before the write."""
        if not self._alike:
            return False
        key = self.root.key_of(row)
        return any(node.key_of(row) == key or None in node.key_of(row) for node in self._alike)

    def extra_of(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The values in ``row`` that were selected besides."""
        return tuple(row[index] for index in self._extra)

    @cached_property
    def _make_instances(self) -> Callable[[Sequence[Any], Related], list[BaseModel]]:
        return written_out(self.root, lambda node: node.selection.build)

    @cached_property
    def _make_mappings(self) -> Callable[[Sequence[Any], Related], list[dict[str, Any]]]:
        return written_out(self.root, lambda _: None)

    async def instances(self, using: str, rows: Sequence[Any]) -> list[BaseModel]:
        """The schema's instances for ``rows``, with one more statement for each to-many relation."""
        related = await self._related(using, rows, Read.instances) if self.has_many else ()
        return self._make_instances(rows, related)

    async def mappings(self, using: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What the instances for ``rows`` would hold, by field; for schemas without rules of their own."""
        related = await self._related(using, rows, Read.mappings) if self.has_many else ()
        return self._make_mappings(rows, related)

    async def _related(self, using: str, rows: Sequence[Any], show: Show) -> Related:
        """What is shown of the rows that are related to ``rows`` by relations to many."""
        found = []
        for node, many in self._many:
            keys = dict.fromkeys(map(node.identify, rows))
            owners = [key for key in keys if key is not None and not (len(node.key) > 1 and None in key)]
            found.append(await many.fetch(using, owners, show))
        return found


@lru_cache(maxsize=1024)
def _read_of(schema: type[BaseModel], model: Any) -> Read:
    return Read(select_for(schema, model, schema.__name__))


def read_of(schema: type[BaseModel], model: type[Any]) -> Read:
    """How a schema reads a model; made once."""
    named: Any = model
    return _read_of(schema, named)


@lru_cache(maxsize=1024)
def list_adapter(schema: type[BaseModel]) -> TypeAdapter[Any]:
    """What serializes a list of a schema's instances."""
    return TypeAdapter(list[schema])  # type: ignore[valid-type]


def _within(onclause: Any, target: Any, reach: Reach) -> Any:
    """A relationship's join to ``target``, to those rows that may be reached."""
    condition = reach(target, onclause.property)
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
