"""Attributes that are touched where nobody can wait for the database to load them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapix5.exceptions import NotLoaded


def check_loaded(statement: Any, options: Mapping[str, Any]) -> None:
    """Refuse to load an attribute, in words that name it; other statements are not for us to judge.

    Args:
        statement: What SQLAlchemy is about to execute.
        options: What it executes it with.

    Raises:
        NotLoaded: The statement is one that loads an attribute.
    """
    load = options.get("execution_options", {}).get("_sa_orm_load_options")
    compiled = getattr(statement, "_compile_options", None)
    if load is None or compiled is None:
        return
    if (state := load._lazy_loaded_from) is not None:  # noqa: SLF001 (there is no other way to ask here)
        relation = compiled._current_path[-1]  # noqa: SLF001
        raise NotLoaded(state.class_.__name__, [relation.key], is_relation=True, is_list=bool(relation.uselist))
    if (state := load._refresh_state) is not None:  # noqa: SLF001
        names = sorted(compiled._only_load_props or ())  # noqa: SLF001
        raise NotLoaded(state.class_.__name__, names, key=state.identity or ())
