"""An immutable, lazy description of rows, ended by a verb that asks the database."""

from __future__ import annotations

from dataclasses import dataclass

from fastapix5.repositories.description import M, R
from fastapix5.repositories.reading import Reading


@dataclass(frozen=True, eq=False)
class QuerySet(Reading[M, R]):
    """Rows of a model: chain ``filter``, ``exclude``, ``order_by`` and slices, then await a verb.

    Every method returns a new queryset; a condition given once is kept, whatever follows.
    """
