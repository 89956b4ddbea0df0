"""Steps 6 and 7 on rows: what the path says of the rows above, and which rows a request is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from fastapix5.access import acting
from fastapix5.concurrency import call, is_pending
from fastapix5.db.errors import translated
from fastapix5.exceptions import DoesNotExist
from fastapix5.plan import ParentPlan
from fastapix5.repositories import Q, QuerySet, to_sql
from fastapix5.repositories.compiled import facts_term
from fastapix5.repositories.conditions import Condition, Ground
from fastapix5.repositories.facts import exists_fact, key_fact, with_facts
from fastapix5.repositories.policies import shown_condition
from fastapix5.repositories.shapes import Fact
from fastapix5.repositories.templates import ask


@dataclass(frozen=True)
class Ancestors:
    """What the path says of the rows above: the values that a row below must have, and the facts that must hold."""

    values: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


NO_ANCESTORS = Ancestors()


# Step 6


async def resolve_ancestors(
    parents: tuple[ParentPlan, ...], views: tuple[Any, ...], link: Mapping[str, str]
) -> Ancestors:
    """Return what the ancestors demand. No statement is sent, unless an ancestor's permission looks at its row.

    Args:
        parents: The ancestors' plans, outermost first.
        views: Their viewsets for this request.
        link: The attributes of the row below that refer to the last of them.

    Raises:
        DoesNotExist: An ancestor that had to be loaded is not there.
    """
    values: Mapping[str, Any] = {}
    facts: list[Fact] = []
    for index, (parent, view) in enumerate(zip(parents, views, strict=True)):
        view.ancestors = Ancestors(values, tuple(facts))
        following = parents[index + 1].link if index + 1 < len(parents) else link
        known = view.keys[parent.key.kwarg]
        # An ancestor's row policy sees the scope that opens the ancestor, not the one that opens what is below it.
        with acting(view.access):
            if parent.loads or not set(following.values()) <= set(known):
                instance = await call(view.get_object)
                values = {child: getattr(instance, attribute) for child, attribute in following.items()}
                facts = []
            else:
                facts.append(exists_fact(await row(view)))
                values = {child: known[attribute] for child, attribute in following.items()}
    return Ancestors(values, tuple(facts))


async def verify(view: Any) -> None:
    """Send the ancestors' facts by themselves, where no other statement carries them.

    Raises:
        DoesNotExist: An ancestor is not there, or out of the caller's reach.
    """
    if view.ancestors.facts:
        with translated():
            found = await ask(view.repository.using, facts_term(view.ancestors.facts))
        if not all(found[0]):
            raise DoesNotExist(view.model.__name__)


# Step 7 and 8


async def rows(view: Any) -> QuerySet[Any]:
    """The view's rows, below the ancestors of the path."""
    found = view.get_queryset()
    queryset = await found if is_pending(found) else found
    # An overridden get_queryset() may have begun elsewhere than at super().
    return limited(view, queryset)


def limited(view: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
    """``queryset`` within the view's limits: its ``objects_filter``, and the values that the path gives."""
    if view.narrowing is None and not view.ancestors.values:
        return queryset
    missing = [limit for limit in limits(view) if not any(limit is known for known in queryset.conditions)]
    return queryset.vary(conditions=(*queryset.conditions, *missing)) if missing else queryset


def limits(view: Any) -> tuple[Condition, ...]:
    """The conditions on every row of this request, made once for the ancestors that the path has."""
    if view.row_limits is None or view.row_limits[0] is not view.ancestors:
        values = view.ancestors.values
        above = (Q(**values),) if values else ()
        view.row_limits = (view.ancestors, (*narrowing(view), *above))
    found: tuple[Condition, ...] = view.row_limits[1]
    return found


def narrowing(view: Any) -> tuple[ColumnElement[bool], ...]:
    """What the view's ``objects_filter`` says beside the model's row policy."""
    condition = None if view.narrowing is None else view.narrowing(view.access)
    return () if condition is None else (to_sql((condition,), Ground(view.model, shown_condition)),)


async def row(view: Any) -> QuerySet[Any]:
    """The one row that the path names, with the ancestors' facts."""
    queryset = await rows(view)
    key = view.keys[view.key.kwarg]
    if type(queryset).filter is not QuerySet.filter:
        return with_facts(queryset, view.ancestors.facts).filter(**key)
    queryset.refuse_slice("filter")
    return with_facts(queryset, (*view.ancestors.facts, key_fact(queryset.model, key)))
