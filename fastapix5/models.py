"""Bases and mixins for models: what most tables want, and what repositories then do by themselves.

Any mapped class is a model, whatever its base is. The mixins go with ``Model``, with a declarative base of your own, with
dataclass-mapped classes and SQLModel's; of those two their columns are no fields, so no constructor takes them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ClauseElement,
    Column,
    ColumnElement,
    Constraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Uuid,
    column,
    event,
    inspect,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, InstanceState, Mapped, Mapper, declared_attr, mapped_column
from sqlalchemy.schema import ColumnCollectionConstraint

from fastapix5.exceptions import ImproperlyConfigured

T = TypeVar("T")
Rule = Constraint | Index

# PostgreSQL cuts off what is longer.
LONGEST_NAME: Final = 63

# The attribute of SoftDeleteMixin, for those who write it by name.
DELETED_AT: Final = "deleted_at"


def name_of(kind: str, rule: Rule, table: Table) -> str:
    """The name of a constraint or index: its kind, its table, its columns; of a check, the name it was given.

    It has at most 63 characters, so that it is the same on every database.

    Args:
        kind: ``pk``, ``fk``, ``uq``, ``ck``, ``ex`` or ``ix``.
        rule: The constraint or index.
        table: The table that it stands in.
    """
    name = "_".join((kind, table.name, *_distinction(rule, table)))
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 7]}_{_digest(name)}"


def _distinction(rule: Rule, table: Table) -> Iterator[str]:
    """What tells a rule from the others of its kind in its table."""
    if isinstance(rule, CheckConstraint):
        if isinstance(rule.name, str):
            yield rule.name
            return
        words = set(re.findall(r"\w+", _text(rule.sqltext)))
        yield from (found.name for found in table.columns if found.name in words)
        yield _digest(_text(rule.sqltext))
    elif isinstance(rule, (ColumnCollectionConstraint, Index)) and not isinstance(rule, PrimaryKeyConstraint):
        yield from (found.name for found in rule.columns)
    if isinstance(rule, Index) and not all(isinstance(part, Column) for part in rule.expressions):
        yield _digest("".join(_text(part) for part in rule.expressions))
    if isinstance(rule, ForeignKeyConstraint):
        yield rule.elements[0].target_fullname.split(".")[-2]


def _text(expression: ClauseElement | str) -> str:
    if isinstance(expression, str):
        return expression
    return str(expression.compile(compile_kwargs={"literal_binds": True}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _namer(kind: str) -> Callable[[Rule, Table], str]:
    return lambda rule, table: name_of(kind, rule, table)


# SQLAlchemy asks for names again, to put the kind before them, where the convention speaks of a constraint_name.
NAMING_CONVENTION: Final[dict[Any, Any]] = {
    "pk": "%(pk_name)s",
    "fk": "%(fk_name)s",
    "uq": "%(uq_name)s",
    "ck": "%(ck_constraint_name)s",
    "ix": "%(ix_name)s",
    # Any other: PostgreSQL's ExcludeConstraint.
    ColumnCollectionConstraint: "%(ex_name)s",
    **{f"{kind}_name": _namer(kind) for kind in ("pk", "fk", "uq", "ix", "ex")},
    "ck_constraint_name": _namer("ck"),
}


class Model(AsyncAttrs, DeclarativeBase):
    """A base for models: every constraint has a name, ``awaitable_attrs`` loads a relation, ``repr`` never loads.

    Constraints and indexes are called ``pk_flight``, ``fk_flight_origin_id_airport``, ``uq_flight_number``,
    ``ix_flight_carrier``, and ``ck_flight_positive`` for a check named ``positive``; a name that you give to another
    constraint stays as it is. ``NAMING_CONVENTION`` is the same for a ``MetaData`` of your own.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)

    def __repr__(self) -> str:
        """``<Flight id=1>``: class and primary key, as far as they are known without asking the database."""
        state: InstanceState[Any] | None = inspect(self, raiseerr=False)
        values = () if state is None else _known_key(state)
        return f"<{' '.join((type(self).__name__, *(f'{name}={value!r}' for name, value in values)))}>"


def _known_key(state: InstanceState[Any]) -> Iterator[tuple[str, Any]]:
    """The parts of an object's primary key, by attribute: as in its row, or as they were set."""
    names = [state.mapper.get_property_by_column(part).key for part in state.mapper.primary_key]
    if state.identity is not None:
        yield from zip(names, state.identity, strict=True)
    else:
        yield from ((name, state.dict[name]) for name in names if name in state.dict)


# Columns of mixins


def _column(make: Callable[[Any], Mapped[T]]) -> declared_attr[T]:
    """Declare a mixin's column; without its annotation it suits dataclass-mapped classes, as none of their fields."""
    del make.__annotations__["return"]
    return declared_attr(make)


def utc_now() -> dt.datetime:
    """The time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def _time_of_statement(context: DefaultExecutionContext) -> dt.datetime:
    """One time for all that a statement inserts, so that both columns are equal until the first change."""
    time: dt.datetime = vars(context).setdefault("fastapix5_time", utc_now())
    return time


# Marks a default that takes whatever object stands for the execution of its statement.
ANY_CONTEXT = "fastapix5_any_context"
setattr(_time_of_statement, ANY_CONTEXT, True)


class UUIDModel(Model):
    """A model whose primary key ``id`` is a random UUID (version 4), made here and not by the database."""

    __abstract__ = True

    @_column
    def id(cls) -> Mapped[uuid.UUID]:  # noqa: N805 (declared_attr gives it the class)
        """The primary key."""
        return mapped_column(Uuid, primary_key=True, insert_default=uuid.uuid4, sort_order=-1)


class IntModel(Model):
    """A model whose primary key ``id`` is a 64-bit integer that the database counts up.

    SQLite counts only what it calls INTEGER, which has 64 bits there as well.
    """

    __abstract__ = True

    @_column
    def id(cls) -> Mapped[int]:  # noqa: N805 (declared_attr gives it the class)
        """The primary key."""
        return mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, sort_order=-1)


class TimestampMixin:
    """``created_at`` and ``updated_at``: aware, in UTC, to the microsecond.

    Both are set with the row, to one time for all that a statement inserts, and ``updated_at`` by each UPDATE that
    writes to it: flushes, bulk writes and Core's own statements alike. A value that you give wins.

    The clock is this process's, not the database's: so an object knows its times without a look at its row, every
    database keeps them to the microsecond, and what one transaction writes is not all of one time.
    """

    @_column
    def created_at(cls) -> Mapped[dt.datetime]:  # noqa: N805 (declared_attr gives it the class)
        """When the row was inserted."""
        return mapped_column(DateTime(timezone=True), nullable=False, insert_default=_time_of_statement)

    @_column
    def updated_at(cls) -> Mapped[dt.datetime]:  # noqa: N805 (declared_attr gives it the class)
        """When the row was last written."""
        return mapped_column(
            DateTime(timezone=True), nullable=False, insert_default=_time_of_statement, onupdate=utc_now
        )


class SoftDeleteMixin:
    """``deleted_at``: a row that is deleted stays, hidden.

    ``Repository.delete()`` and ``delete()`` of a queryset write the time, ``restore()`` takes it back, and ``purge()``
    really deletes. A hidden row

    - is not in ``objects``, nor in what the generated API shows; ``all_objects`` has every row;
    - is not among the rows of a to-many relation: in schemas, prefetches, counts and conditions that cross it;
    - is shown by a to-one relation that names it: what has happened keeps its names;
    - cannot be named anew: a foreign key in what is written is refused, as for a row that is not there;
    - keeps its unique values: another row with one of them is a ``UniqueViolation``.

    What SQLAlchemy loads by itself (``awaitable_attrs``, statements of your own) has hidden rows too.
    """

    @_column
    def deleted_at(cls) -> Mapped[dt.datetime | None]:  # noqa: N805 (declared_attr gives it the class)
        """When the row was deleted; None for one that is there."""
        return mapped_column(DateTime(timezone=True), nullable=True)


class VersionMixin:
    """``version``: a counter that each UPDATE raises, so that nobody overwrites what they have not seen.

    A flush or ``Repository.update()`` of an object whose row was changed since it was read raises ``StaleVersion``
    (409). What a caller gives for ``version`` is what they believe it to be: it is compared and never written.
    """

    @_column
    def version(cls) -> Mapped[int]:  # noqa: N805 (declared_attr gives it the class)
        """How often the row was written."""
        return mapped_column(Integer, nullable=False, insert_default=1, onupdate=column("version", Integer) + 1)


@event.listens_for(VersionMixin, "after_mapper_constructed", propagate=True)
def _check_versions(mapper: Mapper[Any], _: type[Any]) -> None:
    # Not by __mapper_args__: a class that has its own would lose the mixin's without a word.
    if mapper.version_id_col is None:
        mapper.version_id_col = mapper.columns["version"]


@event.listens_for(SoftDeleteMixin, "after_mapper_constructed", propagate=True)
def _refuse_half_hidden(mapper: Mapper[Any], model: type[Any]) -> None:
    above = mapper.inherits
    if above is not None and not soft_deletes(above.class_):
        raise ImproperlyConfigured(
            model.__name__,
            f"it has SoftDeleteMixin, and {above.class_.__name__}, of which each of its rows is one, has not.",
            f"Give the mixin to {above.class_.__name__}.",
        )


@event.listens_for(TimestampMixin, "after_mapper_constructed", propagate=True)
def _touch_with_other_tables(mapper: Mapper[Any], model: type[Any]) -> None:
    # Where only the table of a subclass is written, nothing else would reach the one that has updated_at.
    if len(mapper.tables) > 1:
        event.listen(model, "before_update", _touch)


def _touch(_: Mapper[Any], __: Any, instance: Any) -> None:
    state: InstanceState[Any] = inspect(instance)
    session = state.session
    is_modified = session is not None and session.is_modified(instance, include_collections=False)
    if is_modified and not state.attrs.updated_at.history.has_changes():
        instance.updated_at = utc_now()


# What repositories ask


def soft_deletes(model: type[Any]) -> bool:
    """Whether deleting a row of ``model`` only hides it."""
    return issubclass(model, SoftDeleteMixin)


def not_deleted(entity: Any) -> ColumnElement[bool] | None:
    """The condition that a row of ``entity``, a model or an alias of one, is not hidden; None where no row ever is."""
    if not soft_deletes(entity if isinstance(entity, type) else inspect(entity).mapper.class_):
        return None
    condition: ColumnElement[bool] = entity.deleted_at.is_(None)
    return condition
