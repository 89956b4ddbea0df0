"""Row policies: which rows of a model an access may reach, one for each model.

A policy is ``(access) -> condition``, where None means all rows. A repository's own is the model's; without one, the
``objects_filter`` that the model's viewsets share is. The planner registers them, requests read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement

from fastapix5.access import Access, current_access
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories.conditions import Condition, to_sql

RowPolicy = Callable[[Access], Condition | None]

_policies: dict[type[Any], tuple[RowPolicy, Any]] = {}


def register_policy(model: type[Any], policy: RowPolicy, source: Any, where: str) -> None:
    """Make ``policy`` the row policy of ``model``, for every statement and every foreign key that names its rows.

    Args:
        model: The mapped class.
        policy: ``(access) -> condition``.
        source: The function as it was written: two viewsets may share it.
        where: Opens the sentence of an error.

    Raises:
        ImproperlyConfigured: The model has another policy already.
    """
    _, known = _policies.setdefault(model, (policy, source))
    if known != source:
        raise ImproperlyConfigured(
            where,
            f"{model.__name__} has another row policy already ({_name(known)}).",
            "Give the model one policy, on its repository; objects_filter may narrow it where the repository has one.",
        )


def forget_policies() -> None:
    """Drop every registered policy: for tests that declare models anew."""
    _policies.clear()


def policy_condition(model: type[Any]) -> ColumnElement[bool] | None:
    """The condition that the current access sets on ``model``'s rows; None where it sets none.

    Outside a request no access is set and policies do not apply.
    """
    registered, access = _policies.get(model), current_access.get()
    if registered is None or access is None:
        return None
    condition = registered[0](access)
    return None if condition is None else to_sql((condition,), model)


def _name(policy: RowPolicy) -> str:
    return getattr(policy, "__qualname__", repr(policy))
