"""What happens where a row with the same unique values is there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Mapper

from fastapix5.exceptions import did_you_mean
from fastapix5.repositories.naming import column_of, column_values, key_names, version_name
from fastapix5.repositories.uniques import UniqueKey, unique_keys

IGNORE, UPDATE = "ignore", "update"


class Conflict(NamedTuple):
    """What an insert does where it meets a row that is there.

    Attributes:
        key: The unique key; None for any.
        updates: Whether the row is updated; otherwise nothing is written.
        fields: The attributes that are updated; empty for all that are given.
    """

    key: UniqueKey | None
    updates: bool = False
    fields: tuple[str, ...] = ()

    def written(self, mapper: Mapper[Any], names: Iterable[str]) -> list[str]:
        """The attributes among ``names`` that are written to a row that is there."""
        if self.fields:
            return [name for name in names if name in self.fields]
        kept = {*key_names(mapper), *(self.key.names if self.key else ()), version_name(mapper)}
        return [name for name in names if name not in kept]


def conflict_of(
    mapper: Mapper[Any],
    on_conflict: str | None,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] = (),
) -> Conflict | None:
    """What ``bulk_create`` is told of conflicts; None where a row that is there is an error.

    Raises:
        ValueError: It does not fit together.
        UnknownPath: A field is not there.
    """
    where = f"{mapper.class_.__name__}: bulk_create()"
    if on_conflict is None:
        if unique_fields or update_fields:
            raise ValueError(f'{where}: unique_fields and update_fields go with on_conflict="ignore" or "update".')
        return None
    if on_conflict == UPDATE:
        return updating(mapper, unique_fields, update_fields, where)
    if on_conflict != IGNORE:
        hint = did_you_mean(on_conflict, (IGNORE, UPDATE))
        raise ValueError(f'{where}: on_conflict is "ignore" or "update", not {on_conflict!r}.{hint}')
    if update_fields:
        raise ValueError(f'{where}: on_conflict="ignore" writes nothing: take update_fields away, or say "update".')
    return Conflict(_unique_key(mapper, unique_fields, where) if unique_fields else None)


def updating(
    mapper: Mapper[Any], unique_fields: Sequence[str], update_fields: Sequence[str] = (), where: str = ""
) -> Conflict:
    """The row with the same values of ``unique_fields`` is updated.

    Raises:
        ValueError: These are no unique key, or a field cannot be updated.
        UnknownPath: A field is not there.
    """
    where = where or f"{mapper.class_.__name__}: upsert()"
    if not unique_fields:
        raise ValueError(f"{where} needs the unique key that may be there already: unique_fields={_known(mapper)}.")
    key = _unique_key(mapper, unique_fields, where)
    fields = tuple(column_values(mapper, dict.fromkeys(_names(update_fields, "update_fields", where))))
    for name in fields:
        if name in (*key_names(mapper), version_name(mapper)):
            raise ValueError(f"{where}: {name} is never updated: take it out of update_fields.")
    return Conflict(key, updates=True, fields=fields)


def _unique_key(mapper: Mapper[Any], unique_fields: Sequence[str], where: str) -> UniqueKey:
    names = _names(unique_fields, "unique_fields", where)
    given = [part for name in names for part in (key_names(mapper) if name == "pk" else (name,))]
    for name in given:
        column_of(mapper, name)
    for key in unique_keys(mapper):
        if set(key.names) == set(given):
            return key
    raise ValueError(f"{where}: {given} is no unique key. Write unique_fields={_known(mapper)}.")


def _known(mapper: Mapper[Any]) -> str:
    return " or ".join(str(list(key.names)) for key in unique_keys(mapper))


def _names(names: Sequence[str], what: str, where: str) -> Sequence[str]:
    if isinstance(names, str):
        raise TypeError(f"{where}: {what} is a list of names, such as [{names!r}].")
    return names
