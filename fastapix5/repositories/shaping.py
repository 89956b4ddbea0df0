"""The part of a queryset that narrows and shapes: every method returns another queryset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from sqlalchemy import ColumnElement, SQLColumnExpression, false

from fastapix5.repositories.conditions import Condition, Q, check_names
from fastapix5.repositories.description import Annotation, Description, Kind, Lock, M, R, Shown
from fastapix5.repositories.expressions import Aggregate, Expression, Ordering, named_aggregates
from fastapix5.repositories.loading import check_columns
from fastapix5.repositories.lookups import resolve_value
from fastapix5.repositories.paths import refuse_many
from fastapix5.repositories.writes import key_condition
from fastapix5.schemas import Selection, attribute_names

if TYPE_CHECKING:
    from fastapix5.repositories.queryset import QuerySet

T = TypeVar("T")


class Shaping(Description[M, R]):
    """Chain these; a condition given once is kept, whatever follows."""

    def using(self, alias: str) -> Self:
        """The same rows in another database of ``DATABASES``."""
        return self.vary(alias=alias)

    def execution_options(self, **options: Any) -> Self:
        """With execution options for the statement, as SQLAlchemy has them."""
        return self.vary(options={**self.options, **options})

    # Which rows

    def filter(self, *conditions: Condition, **lookups: Any) -> Self:
        """Rows that meet all of it; ``field__lookup=value``, ``Q`` objects and SQLAlchemy expressions.

        Conditions on one relation path inside one ``filter()`` hold for the same related row; separate calls are
        independent.

        Raises:
            UnknownPath: A name is not there; the error says what is known.
            TypeError: The queryset is sliced already.
        """
        self.refuse_slice("filter")
        return self._narrowed(Q(*conditions, **lookups)) if conditions or lookups else self

    def exclude(self, *conditions: Condition, **lookups: Any) -> Self:
        """Rows that do not meet all of it; rows for which it is unknown (null) stay.

        On a to-many path no single related row may meet all of it; Django tests each condition alone.
        """
        self.refuse_slice("exclude")
        return self._narrowed(~Q(*conditions, **lookups))

    def _narrowed(self, condition: Q) -> Self:
        check_names(condition, self.model, self.annotation_names())
        return self.vary(conditions=(*self.conditions, condition))

    def at(self, *instances: M) -> Self:
        """The rows of these objects, and no others."""
        return self.vary(conditions=(*self.conditions, key_condition(self.model, *instances)))

    def none(self) -> Self:
        """No rows."""
        return self.vary(conditions=(*self.conditions, false()))

    def distinct(self, *names: str) -> Self:
        """Rows of values that differ; objects of a model always do.

        Args:
            names: PostgreSQL only: the first row, in this order, for each combination of these values.
        """
        self.refuse_slice("distinct")
        for name in names:
            self.check_name(name)
        return self.vary(unique=names)

    # In which order

    def order_by(self, *names: str | Expression | Ordering | SQLColumnExpression[Any]) -> Self:
        """Replace the order: ``"name"``, ``"-name"``, ``"origin__name"``, ``F("name").desc()`` or SQL.

        Nulls stand last ascending and first descending, on every database, unless ``F(...).asc(nulls_first=True)``
        says otherwise.

        Raises:
            UnknownPath: A name is not there.
            ImproperlyConfigured: It crosses a relation to many rows.
            TypeError: The queryset is sliced already.
        """
        self.refuse_slice("order_by")
        return self.vary(ordering=tuple(self._ordering(name) for name in names))

    def reverse(self) -> Self:
        """The same rows in the opposite order; without an order, by descending key."""
        self.refuse_slice("reverse")
        known = self if self.ordering else self.ordered()
        return self.vary(ordering=tuple(ordering.reversed() for ordering in known.ordering))

    def ordered(self) -> Self:
        """The same order with the primary key at its end, so that no two rows ever change places."""
        ends = [Ordering("pk")] if self.shows_objects else [Ordering(name) for name in self.shown.groups or ()]
        if not self.shows_objects and not self.is_grouped and self.unique is None:
            ends = [Ordering("pk")]
        return self.vary(ordering=(*self.ordering, *ends))

    def _ordering(self, given: Any) -> Ordering:
        ordering = given if isinstance(given, Ordering) else Ordering(given)
        if isinstance(given, str) and given.startswith("-"):
            ordering = Ordering(given[1:], descending=True)
        by = ordering.by
        for name in by.names() if isinstance(by, Expression) else (by,) if isinstance(by, str) else ():
            self.check_name(name)
        return ordering

    def _cut(self, item: slice) -> Self:
        if item.step is not None or (item.start or 0) < 0 or (item.stop or 0) < 0:
            raise ValueError("A queryset takes slices without a step, from 0 up.")
        start = self.start + (item.start or 0)
        stop = self.stop if item.stop is None else self.start + item.stop
        if self.stop is not None and stop is not None:
            stop = min(stop, self.stop)
        return self.vary(start=start, stop=stop)

    # What objects come with

    def select_related(self, *names: str) -> Self:
        """Load to-one relations in the same statement: ``"author"``, ``"author__mentor"``.

        Raises:
            UnknownPath: A name is no relation.
            ImproperlyConfigured: It leads to many rows.
        """
        return self.vary(loads=self.loads.join(self.model, names))

    def prefetch_related(self, *names: str) -> Self:
        """Load relations with one statement each, to-many ones too; lists come ordered by primary key.

        Raises:
            UnknownPath: A name is no relation.
        """
        return self.vary(loads=self.loads.fetch(self.model, names))

    def only(self, *names: str) -> Self:
        """Load these columns, the key and a version; others raise when touched. A second ``only`` replaces the first.

        Raises:
            UnknownPath: A name is no column.
        """
        return self.vary(loads=self.loads._replace(only=check_columns(self.model, names), deferred=()))

    def defer(self, *names: str) -> Self:
        """Leave these columns out; they raise when touched.

        Raises:
            UnknownPath: A name is no column.
        """
        deferred = (*self.loads.deferred, *check_columns(self.model, names))
        return self.vary(loads=self.loads._replace(deferred=deferred))

    def loading(self, selection: Selection) -> Self:
        """Load the relations that a schema shows, so that its objects can be rendered without another statement."""
        return self.vary(selections=(*self.selections, selection))

    def select_for_update(self, *, skip_locked: bool = False, nowait: bool = False) -> Self:
        """Lock the rows until the transaction ends. SQLite locks as a whole, when the transaction begins.

        Args:
            skip_locked: Leave out rows that others have locked.
            nowait: Raise ``Unavailable`` where others have locked a row, instead of waiting.

        Raises:
            ValueError: Both are asked for.
        """
        if skip_locked and nowait:
            raise ValueError("select_for_update() takes skip_locked or nowait, not both.")
        return self.vary(lock=Lock(skip_locked, nowait))

    # Values

    def annotate(self, *aggregates: Aggregate, **values: Expression | SQLColumnExpression[Any]) -> Self:
        """Add a computed value to each row: ``annotate(n=Count("books"))``. Objects get it as an attribute.

        After ``values()``, an aggregate groups the rows by what is shown.

        Args:
            aggregates: Aggregates that are called after what they are over: ``Count("books")`` is ``books__count``.
            values: Expressions, aggregates and SQL by name.

        Raises:
            UnknownPath: An expression names what is not there.
            ValueError: A name is the model's already, or begins with an underscore.
        """
        found = self
        for name, value in named_aggregates(aggregates, values).items():
            if name in (*attribute_names(self.mapper), "pk") or hasattr(self.model, name):
                raise ValueError(f"{self.model.__name__} has an attribute {name!r}: annotate under another name.")
            if name.startswith("_"):
                raise ValueError(f"annotate({name}=...): a name begins with a letter.")
            found = found._annotated(name, value)
        return found

    def _annotated(self, name: str, value: Any) -> Self:
        expression = value.__clause_element__() if hasattr(value, "__clause_element__") else value
        if not isinstance(expression, (Expression, ColumnElement)):
            raise TypeError(f"annotate({name}=...) takes an expression, an aggregate or SQL, not {value!r}.")
        self._check_expression(expression)
        shown, of_groups = self.shown, False
        if not self.shows_objects:
            names = tuple(known for known in self.value_names() if known != name)
            of_groups = self._is_of_group(value)
            if of_groups:
                self.refuse_slice("group")
            groups = names if shown.groups is None and of_groups else shown.groups
            shown = Shown(shown.kind, (*names, name), groups)
        kept = tuple(known for known in self.annotations if known.name != name)
        return self.vary(annotations=(*kept, Annotation(name, expression, of_groups)), shown=shown)

    def _check_expression(self, expression: Expression | ColumnElement[Any]) -> None:
        """Resolve the names in an expression, without making its SQL."""
        known = self.annotation_names()
        for name in expression.names() if isinstance(expression, Expression) else ():
            if name not in known:
                relations, _, _ = resolve_value(self.model, name)
                if not expression.aggregates():
                    refuse_many("one value of each row", self.model, name, relations)

    def _is_of_group(self, value: Any) -> bool:
        if not isinstance(value, Expression):
            return False
        known = {annotation.name for annotation in self.annotations if annotation.of_groups}
        return value.aggregates() or not known.isdisjoint(value.names())

    def values(self, *names: str) -> QuerySet[M, dict[str, Any]]:
        """Rows as dicts: of these names (columns, annotations, paths over to-one relations), or of every column.

        Raises:
            UnknownPath: A name is not there.
            ImproperlyConfigured: It crosses a relation to many rows, which would repeat rows.
        """
        found: QuerySet[M, dict[str, Any]] = self._showing(Kind.DICT, names)
        return found

    @overload
    def values_list(self, *names: str, flat: Literal[True]) -> QuerySet[M, Any]: ...
    @overload
    def values_list(self, *names: str, named: Literal[True]) -> QuerySet[M, Any]: ...
    @overload
    def values_list(
        self, *names: str, flat: Literal[False] = False, named: Literal[False] = False
    ) -> QuerySet[M, tuple[Any, ...]]: ...
    def values_list(self, *names: str, flat: bool = False, named: bool = False) -> QuerySet[M, Any]:
        """Rows as tuples.

        Args:
            names: As ``values`` takes them.
            flat: The one value of each row, and no tuple around it.
            named: Named tuples.

        Raises:
            TypeError: ``flat`` with other than one name, or with ``named``.
        """
        if flat and (named or len(names) != 1):
            raise TypeError("values_list(flat=True) takes one name, and not named=True.")
        found: QuerySet[M, Any] = self._showing(Kind.FLAT if flat else Kind.NAMED if named else Kind.TUPLE, names)
        return found

    def _showing(self, kind: Kind, names: Iterable[str]) -> Any:
        given = tuple(names)
        names = tuple(dict.fromkeys(given))
        if len(names) < len(given) and kind is not Kind.DICT:
            raise ValueError("values_list() takes each name once.")
        for name in names:
            self.check_name(name)
        return self.vary(shown=Shown(kind, names, self.shown.groups))
