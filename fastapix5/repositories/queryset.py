"""An immutable, lazy description of rows, ended by a verb that asks the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import bulk, changing, finding, upserting
from fastapix5.repositories.description import Description, M, R
from fastapix5.repositories.hints import hint
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.writer import Writer

# What a class of one's own would break by a method of the same name; the verbs may be extended.
TAKEN = {name for name in (*vars(Description), *vars(Description)["__annotations__"]) if not name.startswith("_")}


@dataclass(frozen=True, eq=False, repr=False)
class QuerySet(Reading[M, R]):
    """Rows of a model: chain ``filter``, ``exclude``, ``order_by`` and slices, then await a verb.

    Every method returns a new queryset; a condition given once is kept, whatever follows.
    """

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(hint("QuerySet", name, dir(self)))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in TAKEN & cls.__dict__.keys():
            where = f"{cls.__qualname__}.{name}"
            raise ImproperlyConfigured(
                where, "Querysets keep something of their own under this name.", "Choose another."
            )

    # What writes. It never commits: who opened the transaction does, and outside one each statement does.

    async def create(self, **values: Any) -> M:
        """Insert a row and return its object.

        Raises:
            IntegrityViolation: A rule of the table does not hold; the class and ``fields`` say which.
            RowPolicyViolation: The row would not be within the current access's reach.
        """
        return await Writer(self.model, self.alias, guarded=self.guarded).create(values)

    async def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[M, bool]:
        """The one row that matches, or a new one; and whether it is new. Concurrent callers get one row.

        Args:
            defaults: What a new row has besides; callables are called.
            lookups: Conditions; those without ``__`` are also what a new row has.

        Raises:
            MultipleObjectsReturned: Several match.
            UniqueViolation: A row with the same unique values is there, and does not match, or is out of reach.
        """
        return await finding.get_or_create(self, defaults, lookups)

    async def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one row that matches, locked and updated, or a new one; and whether it is new.

        Args:
            defaults: What is written to a row that is there; callables are called, and ``F`` is the row's value.
            create_defaults: What a new row has besides; without it, ``defaults``.
            lookups: Conditions; those without ``__`` are also what a new row has.

        Raises:
            MultipleObjectsReturned: Several match.
            UniqueViolation: A row with the same unique values is there, and does not match, or is out of reach.
        """
        return await finding.update_or_create(self, defaults, create_defaults, lookups)

    async def update(self, **values: Any) -> int:
        """Write values to every row in one UPDATE; return how many rows there were.

        Values may be ``F`` and SQL expressions, and objects for relations to one row. ``version`` and ``updated_at`` are
        raised as by a flush, and objects that the session has read know what was written to their rows.

        Raises:
            TypeError: The queryset is sliced, or shows values.
            UnknownPath: A name is not there.
            IntegrityViolation: A rule of the table does not hold.
            RowPolicyViolation: A row would leave the current access's reach; none is changed.
        """
        return cast("int", await changing.update_rows(self, values))

    async def delete(self) -> int:
        """Delete every row, in one DELETE where nothing else goes with it; return how many rows there were.

        Raises:
            TypeError: The queryset is sliced, or shows values.
            ProtectedRow: Other rows still refer to one of them; none is deleted.
        """
        return cast("int", await changing.delete_rows(self))

    @overload
    def returning(self) -> changing.Returning[M, M]: ...
    @overload
    def returning(self, *fields: str) -> changing.Returning[M, dict[str, Any]]: ...
    def returning(self, *fields: str) -> changing.Returning[M, Any]:
        """Before ``update`` or ``delete``: have them return these attributes of each row, or its object without any.

        Raises:
            UnknownPath: A field is not there.
        """
        return changing.Returning(self, fields)

    async def bulk_create(
        self,
        objs: Iterable[M | Mapping[str, Any]],
        batch_size: int | None = None,
        on_conflict: Literal["ignore", "update"] | None = None,
        unique_fields: Sequence[str] = (),
        update_fields: Sequence[str] = (),
    ) -> list[M]:
        """Insert many rows, all or none, and return their objects, with keys and what the database made of them.

        Args:
            objs: Objects of the model, which are those that are returned, or mappings.
            batch_size: How many rows a statement has at most; never more than the database takes.
            on_conflict: What happens to a row that is there already: "ignore" leaves it and returns no object for it,
                "update" writes ``update_fields`` to it. Without, it is an error.
            unique_fields: The unique key that is meant.
            update_fields: Without them, every field that is given but those of the key.

        Raises:
            IntegrityViolation: A rule of the table does not hold; ``place`` says in which of the objects, if known.
            RowPolicyViolation: A row would not be within the current access's reach.
            UniqueViolation: A row is there already, and out of reach.
            ValueError: The arguments do not fit together.
        """
        return await bulk.bulk_create(self, objs, batch_size, on_conflict, unique_fields, update_fields)

    async def bulk_update(self, objs: Iterable[M], fields: Sequence[str], batch_size: int | None = None) -> int:
        """Write attributes of many objects to their rows, all or none; return how many rows were there.

        Rows that do not match the queryset, or are gone, do not count.

        Args:
            objs: Objects of the model.
            fields: The attributes.
            batch_size: How many objects go together.

        Raises:
            StaleVersion: A row was changed since its object was read.
            IntegrityViolation: A rule of the table does not hold; ``place`` says in which of the objects, if known.
            RowPolicyViolation: A row would leave the current access's reach.
        """
        return await bulk.bulk_update(self, objs, fields, batch_size)

    async def upsert(self, values: Mapping[str, Any], unique_fields: Sequence[str]) -> M:
        """Insert a row, or write the other values to the one with the same ``unique_fields``; return its object.

        Args:
            values: Values by attribute.
            unique_fields: The attributes of a unique key.

        Raises:
            UniqueViolation: The row is there, and out of reach.
            RowPolicyViolation: The row would leave the current access's reach.
            ValueError: The fields are no unique key.
        """
        return await upserting.upsert(self, values, unique_fields)
