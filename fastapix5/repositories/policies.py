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
    access = current_access.get()
    if access is None or not _policies:
        return None
    # What holds for a class holds for its subclasses.
    registered = [_policies[cls][0] for cls in model.__mro__ if cls in _policies]
    conditions = [condition for policy in registered if (condition := policy(access)) is not None]
    return to_sql(conditions, model) if conditions else None


def _name(policy: RowPolicy) -> str:
    return getattr(policy, "__qualname__", repr(policy))
