"""The part of a queryset that asks the database."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast, overload

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, Table, UniqueConstraint, inspect, select

from fastapix5.db.errors import translated
from fastapix5.db.sessions import execute, get_session
from fastapix5.db.streams import Rows
from fastapix5.db.transactions import in_atomic
from fastapix5.exceptions import DoesNotExist, ImproperlyConfigured, MultipleObjectsReturned, TransactionRequired
from fastapix5.repositories.compiled import count_term, rows_term
from fastapix5.repositories.conditions import Condition, Q
from fastapix5.repositories.description import Kind, M, R
from fastapix5.repositories.explaining import explain
from fastapix5.repositories.expressions import Aggregate, Expression, named_aggregates
from fastapix5.repositories.loading import Loading
from fastapix5.repositories.reads import Read, list_adapter, loader_options, read_of
from fastapix5.repositories.shapes import Fact, Term, fact_of
from fastapix5.repositories.shaping import Shaping
from fastapix5.repositories.templates import ask
from fastapix5.repositories.unflushed import unflushed_kept

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")

BATCH = 2_000


class Reading(Shaping[M, R]):
    """Await these. Awaiting the queryset itself is awaiting ``all()``."""

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self.all().__await__()

    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            # Without it Python would call __getitem__ for ever.
            raise TypeError("A queryset asks the database: write `async for row in queryset`, or await it.")

    def __bool__(self) -> bool:
        raise TypeError("Whether a queryset has rows, the database knows: write `await queryset.exists()`.")

    @overload
    def __getitem__(self, item: slice) -> Self: ...
    @overload
    def __getitem__(self, item: int) -> Awaitable[R]: ...
    def __getitem__(self, item: slice | int) -> Self | Awaitable[R]:
        """A slice of the rows, or the one at a place, to be awaited.

        Raises:
            ValueError: The slice has a step, or counts from the end.
            IndexError: On awaiting: there is no row at this place.
        """
        if isinstance(item, slice):
            return self._cut(item)
        if item < 0:
            raise ValueError("A queryset counts from 0 up: reverse() the order to count from the end.")
        return self._at(item)

    async def _at(self, place: int) -> R:
        found = await self._cut(slice(place, place + 1)).all()
        if not found:
            raise IndexError(f"There is no {self.model.__name__} at place {place}.")
        return found[0]

    def __aiter__(self) -> AsyncIterator[R]:
        return self.iterator()

    async def iterator(self, chunk_size: int = BATCH) -> AsyncIterator[R]:
        """Every row, fetched in batches, so that a table larger than memory can be walked.

        Outside ``atomic`` the walk has a transaction of its own where the driver needs one.

        Args:
            chunk_size: How many rows a batch has.

        Raises:
            ValueError: A batch would have none.
        """
        if chunk_size < 1:
            raise ValueError(f"chunk_size is how many rows come together, at least 1, and not {chunk_size}.")
        session = get_session(self.alias)
        make: Callable[[Sequence[Any]], list[R]] = self._shown
        statement = self._select_values
        if self.shows_objects:
            make, statement = self._objects, self._select_objects
        rows = Rows(session, self._with_options(statement()), chunk_size)
        try:
            while True:
                with unflushed_kept(session):
                    batch = await rows.fetch()
                if not batch:
                    return
                for row in make(batch):
                    yield row
        finally:
            await rows.close()

    async def all(self) -> list[R]:
        """Every row. A relation of an object that was not asked for raises when touched."""
        if not self.shows_objects:
            return self._shown(await self._execute(self._select_values()))
        return cast("list[R]", self._objects(await self._load()))

    async def first(self) -> R | None:
        """The first row, or None. Without an order, the lowest primary key."""
        ordered = self if self.ordering or self.is_sliced else self.ordered()
        found = await ordered._cut(slice(1)).all()  # noqa: SLF001 (its own class)
        return found[0] if found else None

    async def last(self) -> R | None:
        """The last row, or None. Without an order, the highest primary key.

        Raises:
            TypeError: The queryset is sliced.
        """
        return await self.reverse().first()

    async def get(self, *conditions: Condition, **lookups: Any) -> R:
        """The one row that matches.

        Raises:
            DoesNotExist: No row matches.
            MultipleObjectsReturned: Several do.
        """
        narrowed = self.filter(*conditions, **lookups) if conditions or lookups else self
        return self._only(await narrowed._two().all())  # noqa: SLF001 (its own class)

    async def get_or_none(self, *conditions: Condition, **lookups: Any) -> R | None:
        """The one row that matches, or None.

        Raises:
            MultipleObjectsReturned: Several match.
        """
        try:
            return await self.get(*conditions, **lookups)
        except DoesNotExist:
            return None

    async def in_bulk(self, ids: Iterable[Any] | None = None, field_name: str = "pk") -> dict[Any, R]:
        """The rows with these keys, by key; without keys, all of them.

        Args:
            ids: Values of ``field_name``; of a composite key, tuples.
            field_name: A unique column.

        Raises:
            ValueError: The column is not unique.
            TypeError: The queryset is sliced, or shows values.
        """
        if not self.shows_objects:
            raise TypeError("in_bulk() returns objects: it cannot follow values().")
        if field_name != "pk" and not self._is_unique(field_name):
            raise ValueError(f"in_bulk() needs a unique column, and {self.model.__name__}.{field_name} is none.")
        narrowed = self if ids is None else self.filter(Q(**{f"{field_name}__in": list(ids)}))
        rows = await narrowed.all()
        return {self._key(row, field_name): row for row in rows}

    async def count(self) -> int:
        """The exact number of rows."""
        number, _ = await self.count_with()
        return number

    async def count_with(self, *facts: Fact | ColumnElement[bool]) -> tuple[int, tuple[bool, ...]]:
        """The exact number of rows and whether each of ``facts`` holds, in one statement."""
        with translated(self.mapper):
            rows = await ask(self.alias, count_term(self, tuple(map(fact_of, facts))))
        return rows[0][0], tuple(bool(fact) for fact in rows[0][1:])

    async def exists(self) -> bool:
        """Whether any row matches."""
        rows = await self._execute(select(self.exists_clause()))
        return bool(rows[0][0])

    async def aggregate(self, *aggregates: Aggregate, **named: Expression) -> dict[str, Any]:
        """One value from all rows for each name: ``aggregate(n=Count("*"), mean=Avg("pages"))``.

        Args:
            aggregates: Aggregates that are called after what they are over: ``Avg("pages")`` is ``pages__avg``.
            named: Aggregates by name.

        Raises:
            UnknownPath: An aggregate names what is not there.
            TypeError: A value is no aggregate.
        """
        values = named_aggregates(aggregates, named)
        for name, value in values.items():
            if not isinstance(value, Expression) or not value.aggregates():
                raise TypeError(f"aggregate({name}=...) takes an aggregate, such as Count, not {value!r}.")
        if not values:
            return {}
        rows = await self._execute(self.aggregate_statement(values))
        return dict(zip(values, rows[0], strict=False))

    async def as_schema(self, schema: type[S] | Read) -> list[S]:
        """Every row as an instance of ``schema``: only its columns, its relations in a fixed number of statements.

        Raises:
            ImproperlyConfigured: A field of the schema stands for nothing on the model.
        """
        read = schema if isinstance(schema, Read) else read_of(schema, self.model)
        with translated(self.mapper):
            rows = await ask(self.alias, self._shown_by(read))
            return cast("list[S]", await read.instances(self.alias, rows))

    def _shown_by(self, read: Read) -> Term[Select[Any]]:
        """The SELECT of the rows that ``read`` makes instances of, taken apart."""
        if not self.shows_objects:
            raise TypeError("A schema shows the model's own rows: it cannot follow values().")
        self._check()
        return rows_term(self, read)

    async def as_json(self, schema: type[BaseModel]) -> bytes:
        """Every row as ``schema`` shows it, as a JSON array in UTF-8; names are the schema's aliases.

        Raises:
            ImproperlyConfigured: A field of the schema stands for nothing on the model.
        """
        return list_adapter(schema).dump_json(await self.as_schema(schema), by_alias=True)

    async def by_key(self, read: Read) -> dict[tuple[Any, ...], BaseModel]:
        """Every row as ``as_schema`` shows it, by its primary key."""
        with translated(self.mapper):
            rows = await ask(self.alias, self._shown_by(read))
            instances = await read.instances(self.alias, rows)
        return {read.root.key_of(row): instance for row, instance in zip(rows, instances, strict=True)}

    async def get_as(self, schema: type[S] | Read) -> S:
        """The one row as an instance of ``schema``; raises as ``get`` does."""
        found: list[S] = await self._two().as_schema(schema)
        return self._only(found)

    def _two(self) -> Self:
        """The first two rows: enough to tell whether there is one."""
        return self._cut(slice(2)) if self.is_sliced else self.vary(stop=2)

    async def explain(self, *, analyze: bool = False) -> str:
        """How the database would find these rows, in its own words.

        Args:
            analyze: PostgreSQL only: run the statement, and tell what it took.
        """
        statement = self.objects_statement() if self.shows_objects else self.values_statement()
        rows = await self._execute(explain(statement, analyze=analyze))
        return "\n".join(str(row[-1]) for row in rows)

    # How

    async def _execute(self, statement: Any) -> Sequence[Any]:
        with translated(self.mapper):
            rows: Sequence[Any] = (await execute(self.alias, self._with_options(statement))).all()
        return rows

    def _with_options(self, statement: Any) -> Any:
        return statement.execution_options(**self.options) if self.options else statement

    def _select_objects(self) -> Select[Any]:
        """The SELECT of objects. Those that the session has already are refreshed, but for those that lack columns."""
        self._check()
        options = [*self.loads.options(self.model)]
        shown = [option for selection in self.selections for option in loader_options(selection)]
        statement = self.objects_statement().options(*shown, *options)
        return statement.execution_options(populate_existing=not (self.loads.partial or self.loads.returns(self.model)))

    def _select_values(self) -> Select[Any]:
        self._check()
        if self.lock is not None and (self.is_grouped or self.unique is not None):
            raise TypeError("Rows that are grouped or distinct cannot be locked.")
        return self._locked(self.values_statement())

    def _check(self) -> None:
        """Refuse what this database, or this place, cannot do.

        Raises:
            TransactionRequired: Rows are to be locked outside a transaction.
            ImproperlyConfigured: Rows are to be distinct by some of their columns, and the database is not PostgreSQL.
        """
        if self.lock is not None and not in_atomic(self.alias):
            raise TransactionRequired("select_for_update()")
        if self.unique and (dialect := get_session(self.alias).get_bind().dialect.name) != "postgresql":
            what = f"distinct() by columns needs PostgreSQL, and this is {dialect}."
            raise ImproperlyConfigured(self.model.__name__, what, "Write values(...).distinct().")

    async def _load(self) -> Sequence[Any]:
        session = get_session(self.alias)
        with unflushed_kept(session):
            if self.loads.returns(self.model) and session.identity_map:
                # Objects that are known already are read anew by themselves: what leads back to them would unload the
                # relations that led there.
                await self._execute(self.vary(loads=Loading())._select_objects())  # noqa: SLF001 (its own class)
            return await self._execute(self._select_objects())

    def _objects(self, rows: Sequence[Any]) -> list[Any]:
        names = self.annotation_names()
        found = []
        for row in rows:
            for place, name in enumerate(names, start=1):
                object.__setattr__(row[0], name, row[place])  # SQLModel's own takes only fields.
            found.append(row[0])
        self.loads.put_in_order(found)
        return found

    def _shown(self, rows: Sequence[Any]) -> list[R]:
        make = self._maker()
        return [make(row) for row in rows]

    def _maker(self) -> Callable[[Sequence[Any]], Any]:
        """What makes of a row what it is shown as."""
        names, widths = self.value_names(), self.widths()
        many = max(widths, default=1) > 1
        kind = self.shown.kind
        named: Any = cast("Any", namedtuple)("Row", names) if kind is Kind.NAMED else None  # noqa: PYI024 (its fields are known only now)

        def make(row: Sequence[Any]) -> Any:
            values = _joined(row, widths) if many else row[: len(names)]
            match kind:
                case Kind.DICT:
                    return dict(zip(names, values, strict=True))
                case Kind.FLAT:
                    return values[0]
                case Kind.NAMED:
                    return named(*values)
                case _:
                    return tuple(values)

        return make

    def _only(self, found: list[T]) -> T:
        if not found:
            raise DoesNotExist(self.model.__name__)
        if len(found) > 1:
            raise MultipleObjectsReturned(self.model.__name__)
        return found[0]

    def _is_unique(self, name: str) -> bool:
        mapper, table = self.mapper, self.mapper.local_table
        if name not in mapper.column_attrs:
            return False
        column = mapper.column_attrs[name].columns[0]
        sole = (
            [{column} == set(rule.columns) for rule in table.constraints if isinstance(rule, UniqueConstraint)]
            if isinstance(table, Table)
            else []
        )
        alone = isinstance(table, Table) and any(
            index.unique and set(index.columns) == {column} for index in table.indexes
        )
        return any(sole) or alone or bool(column.unique) or tuple(mapper.primary_key) == (column,)

    def _key(self, row: Any, name: str) -> Any:
        if name != "pk":
            return getattr(row, name)
        key = inspect(row).identity
        return key[0] if len(key) == 1 else tuple(key)


async def mappings_of(queryset: Reading[Any, Any], read: Read) -> list[dict[str, Any]]:
    """What the instances of ``as_schema`` would hold, by field, for a schema without rules of its own."""
    with translated(queryset.mapper):
        rows = await ask(queryset.alias, queryset._shown_by(read))  # noqa: SLF001 (its own room)
        return await read.mappings(queryset.alias, rows)


def _joined(row: Sequence[Any], widths: Sequence[int]) -> list[Any]:
    """The values of a row, those that take several columns as tuples."""
    values, start = [], 0
    for width in widths:
        values.append(row[start] if width == 1 else tuple(row[start : start + width]))
        start += width
    return values
