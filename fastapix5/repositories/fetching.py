"""Objects by the keys of their rows, as a queryset would load them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import inspect

from fastapix5.repositories.guards import KEYS_PER_STATEMENT, chunked
from fastapix5.repositories.reading import Reading
from fastapix5.repositories.writes import key_in
from fastapix5.schemas import key_of

M = TypeVar("M")


def all_rows(queryset: Reading[M, Any]) -> Reading[M, M]:
    """Every row of a queryset's model within the same reach, whatever the queryset narrows."""
    return replace(queryset, conditions=(), ordering=(), annotations=(), start=0, stop=None, unique=None, lock=None)


async def objects_by_key(queryset: Reading[M, Any], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], M]:
    """The objects of these rows, refreshed, with what the queryset loads; no policy holds, and none is hidden."""
    key = key_of(queryset.model)
    found: dict[tuple[Any, ...], M] = {}
    for chunk in chunked(keys, KEYS_PER_STATEMENT // len(key)):
        here = key_in(key, chunk)
        rows = replace(queryset, conditions=(here,), guarded=False, shows_deleted=True, lock=None, ordering=())
        found.update({tuple(inspect(instance).identity): instance for instance in await rows.all()})
    return found
