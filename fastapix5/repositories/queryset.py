"""An immutable, lazy description of rows, ended by a verb that asks the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar, cast

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, func, inspect, select
from sqlalchemy.orm import aliased, joinedload, raiseload, selectinload

from fastapix5.db.errors import translated
from fastapix5.db.sessions import get_session
from fastapix5.exceptions import DoesNotExist, ImproperlyConfigured, MultipleObjectsReturned
from fastapix5.repositories.conditions import Condition, Q, to_sql
from fastapix5.repositories.lookups import UnknownPath, many_on, walk
from fastapix5.repositories.policies import loaded_within, related_condition
from fastapix5.repositories.reads import Read, loader_options
from fastapix5.repositories.writes import key_condition
from fastapix5.schemas import Selection, key_of, select_for

M = TypeVar("M")
S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True)
class QuerySet(Generic[M]):
    """Rows of a model: chain ``filter``, ``exclude``, ``order_by`` and slices, then await a verb.

    Every method returns a new queryset; a condition given once is kept, whatever follows.
    """

    model: type[M]
    alias: str = "default"
    conditions: tuple[ColumnElement[bool], ...] = ()
    ordering: tuple[Any, ...] = ()
    start: int = 0
    stop: int | None = None
    options: tuple[Any, ...] = ()
    locked: bool = False

    # What narrows and shapes

    def using(self, alias: str) -> Self:
        """The same rows in another database of ``DATABASES``."""
        return replace(self, alias=alias)

    def filter(self, *conditions: Condition, **lookups: Any) -> Self:
        """Rows that meet all of it; ``field__lookup=value``, ``Q`` objects and SQLAlchemy expressions.

        Raises:
            UnknownPath: A name is not there; the error says what is known.
            TypeError: The queryset is sliced already.
        """
        self._refuse_slice("filter")
        if not conditions and not lookups:
            return self
        return replace(self, conditions=(*self.conditions, self._sql(*conditions, Q(**lookups))))

    def exclude(self, *conditions: Condition, **lookups: Any) -> Self:
        """Rows that do not meet all of it; rows for which it is unknown (null) stay."""
        self._refuse_slice("exclude")
        return replace(self, conditions=(*self.conditions, self._sql(~Q(*conditions, **lookups))))

    def order_by(self, *names: str | ColumnElement[Any]) -> Self:
        """Replace the order: ``"name"``, ``"-name"``, ``"origin__name"`` or SQLAlchemy expressions.

        Nulls stand last ascending and first descending, on every database.
        """
        self._refuse_slice("order_by")
        return replace(self, ordering=tuple(self._order(name) for name in names))

    def ordered(self) -> Self:
        """The same order with the primary key at its end, so that no two rows ever change places."""
        return replace(self, ordering=(*self.ordering, *key_of(self.model)))

    def select_related(self, *names: str) -> Self:
        """Load to-one relations in the same statement: ``"author"``, ``"author__mentor"``.

        Raises:
            UnknownPath: A name is no relation.
            ImproperlyConfigured: It leads to many rows.
        """
        return replace(self, options=(*self.options, *(self._loader(name, joinedload) for name in names)))

    def prefetch_related(self, *names: str) -> Self:
        """Load relations with one statement each, to-many ones too.

        Raises:
            UnknownPath: A name is no relation.
        """
        return replace(self, options=(*self.options, *(self._loader(name, selectinload) for name in names)))

    def loading(self, selection: Selection) -> Self:
        """Load the relations that a schema shows, so that its objects can be rendered without another statement."""
        return replace(self, options=(*self.options, *loader_options(selection)))

    def at(self, *instances: M) -> Self:
        """The rows of these objects, and no others."""
        return replace(self, conditions=(*self.conditions, key_condition(self.model, *instances)))

    def select_for_update(self) -> Self:
        """Lock the rows until the transaction ends. SQLite locks as a whole, when the transaction begins."""
        return replace(self, locked=True)

    def __getitem__(self, item: slice) -> Self:
        if item.step is not None or (item.start or 0) < 0 or (item.stop or 0) < 0:
            raise ValueError("A queryset takes slices without a step, from 0 up.")
        start = self.start + (item.start or 0)
        stop = self.stop if item.stop is None else self.start + item.stop
        if self.stop is not None and stop is not None:
            stop = min(stop, self.stop)
        return replace(self, start=start, stop=stop)

    # What asks the database

    async def all(self) -> list[M]:
        """Every row, as an object of the model. A relation that was not asked for raises when touched."""
        rows = await self._execute(self._objects())
        return [row[0] for row in rows]

    async def first(self) -> M | None:
        """The first row, or None. Without an order, the lowest primary key."""
        ordered = self if self.ordering else self.ordered()
        found = await ordered[:1].all()
        return found[0] if found else None

    async def get(self, *conditions: Condition, **lookups: Any) -> M:
        """The one row that matches.

        Raises:
            DoesNotExist: No row matches.
            MultipleObjectsReturned: Several do.
        """
        narrowed = self.filter(*conditions, **lookups) if conditions or lookups else self
        return self._only(await narrowed[:2].all())

    async def count(self) -> int:
        """The exact number of rows."""
        number, _ = await self.count_with()
        return number

    async def count_with(self, *facts: ColumnElement[bool]) -> tuple[int, tuple[bool, ...]]:
        """The exact number of rows and whether each of ``facts`` holds, in one statement."""
        if self.start or self.stop is not None:
            statement = select(func.count()).select_from(self.statement().subquery())
        else:
            statement = self._narrowed(select(func.count()).select_from(self.model))
        number = statement.order_by(None).scalar_subquery()
        row = (await self._execute(select(number, *facts)))[0]
        return row[0], tuple(bool(fact) for fact in row[1:])

    async def exists(self) -> bool:
        """Whether any row matches."""
        rows = await self._execute(select(self.exists_clause()))
        return bool(rows[0][0])

    async def as_schema(self, schema: type[S] | Read) -> list[S]:
        """Every row as an instance of ``schema``: only its columns, its relations in a fixed number of statements.

        Raises:
            ImproperlyConfigured: A field of the schema stands for nothing on the model.
        """
        read = schema if isinstance(schema, Read) else Read(select_for(schema, self.model, schema.__name__))
        rows = await self._execute(read.statement(self.statement()))
        with translated(inspect(self.model)):
            return cast("list[S]", await read.instances(get_session(self.alias), rows))

    async def by_key(self, read: Read) -> dict[tuple[Any, ...], BaseModel]:
        """Every row as ``as_schema`` shows it, by its primary key."""
        rows = await self._execute(read.statement(self.statement()))
        with translated(inspect(self.model)):
            instances = await read.instances(get_session(self.alias), rows)
        return {read.root.key_of(row): instance for row, instance in zip(rows, instances, strict=True)}

    async def get_as(self, schema: type[S] | Read) -> S:
        """The one row as an instance of ``schema``; raises as ``get`` does."""
        found: list[S] = await self[:2].as_schema(schema)
        return self._only(found)

    # Parts of statements, for this package and for expressions of one's own

    def statement(self) -> Select[Any]:
        """The SELECT of the model's rows, as SQLAlchemy has it."""
        return self._cut(self._narrowed(select(self.model)).order_by(*self.ordering))

    def _cut(self, statement: Select[Any]) -> Select[Any]:
        if self.start:
            statement = statement.offset(self.start)
        if self.stop is not None:
            statement = statement.limit(max(self.stop - self.start, 0))
        return statement

    def exists_clause(self) -> ColumnElement[bool]:
        """``EXISTS (SELECT ... these rows ...)``, to stand in another statement."""
        return self._cut(self._narrowed(select(1).select_from(self.model))).correlate(None).exists()

    def _sql(self, *conditions: Condition) -> ColumnElement[bool]:
        return to_sql(conditions, self.model, related_condition)

    def _narrowed(self, statement: Select[Any]) -> Select[Any]:
        return statement.where(*self.conditions) if self.conditions else statement

    def _objects(self) -> Select[Any]:
        statement = self.statement().options(*self.options, raiseload("*"))
        if self.locked:
            statement = statement.with_for_update(of=self.model).execution_options(populate_existing=True)
        return statement

    async def _execute(self, statement: Select[Any]) -> Sequence[Any]:
        session = get_session(self.alias)
        with translated(inspect(self.model)):
            rows: Sequence[Any] = (await session.execute(statement)).all()
        return rows

    def _only(self, found: list[T]) -> T:
        if not found:
            raise DoesNotExist(self.model.__name__)
        if len(found) > 1:
            raise MultipleObjectsReturned(self.model.__name__)
        return found[0]

    def _order(self, name: str | ColumnElement[Any]) -> Any:
        if not isinstance(name, str):
            return name
        descending, path = name.startswith("-"), name.lstrip("-")
        relations, attribute, rest, owner = walk(self.model, path)
        if rest:
            raise UnknownPath(path, rest[0], f"{owner.__name__}.{attribute}", ())
        self._refuse_many("order_by", path, relations)
        column = _reach(self.model, relations, attribute)
        return column.desc().nulls_first() if descending else column.asc().nulls_last()

    def _loader(self, path: str, load: Callable[..., Any]) -> Any:
        """The option that loads the relations along ``path``."""
        model: type[Any] = self.model
        loader, names = None, path.split("__")
        for name in names:
            relationships = inspect(model).relationships
            if name not in relationships:
                raise UnknownPath(path, name, model.__name__, tuple(relationships.keys()))
            attribute = loaded_within(getattr(model, name))
            loader = load(attribute) if loader is None else getattr(loader, load.__name__)(attribute)
            model = relationships[name].mapper.class_
        if load is joinedload:
            self._refuse_many("select_related", path, names)
        return loader

    def _refuse_many(self, verb: str, path: str, relations: Sequence[str]) -> None:
        many = many_on(self.model, relations)
        if many is not None:
            raise ImproperlyConfigured(
                f"{self.model.__name__}.{verb}", f'"{path}" crosses {many}, which leads to many rows.'
            )

    def _refuse_slice(self, verb: str) -> None:
        if self.start or self.stop is not None:
            raise TypeError(f"Cannot {verb} once a slice has been taken.")


def _reach(model: Any, relations: Sequence[str], attribute: str) -> Any:
    """The attribute at the end of to-one relations, as a scalar subquery where there are any."""
    if not relations:
        return getattr(model, attribute)
    first = aliased(inspect(model).mapper.relationships[relations[0]].mapper.class_)
    join = getattr(model, relations[0]).of_type(first).__clause_element__()
    column = _reach(first, relations[1:], attribute)
    within = related_condition(first)
    narrowed = (join,) if within is None else (join, within)
    return select(column).select_from(first).where(*narrowed).correlate_except(first).scalar_subquery()
