"""What a route asks of a request, and which path its rows take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapix5.db.direct import refusal
from fastapix5.db.engines import get_database
from fastapix5.plan import RoutePlan
from fastapix5.repositories.policies import policy_names
from fastapix5.settings import settings
from fastapix5.throttling import BaseThrottle


@dataclass(frozen=True)
class Explanation:
    """What stands behind a route of a viewset.

    Attributes:
        path: ``compiled``, ``core`` or ``objects``.
        why: Why it is this one, in a few words.
        database: The alias.
        authentication: Who may be asking, the first that finds its credentials decides.
        permissions: Those of the viewset.
        ancestors: Those of each ancestor, which are asked before.
        throttles: With their rates.
        filters: The filter backends.
        pagination: The pagination, or None.
        rows: What narrows the rows: row policies of the model, the viewset's ``objects_filter``.
    """

    path: str
    why: str
    database: str
    authentication: tuple[str, ...]
    permissions: tuple[str, ...]
    ancestors: dict[str, tuple[str, ...]]
    throttles: tuple[str, ...]
    filters: tuple[str, ...]
    pagination: str | None
    rows: tuple[str, ...]


def explain(plan: RoutePlan) -> Explanation:
    """Return what stands behind a route, as things are now. Nothing connects.

    Raises:
        ImproperlyConfigured: Its database is not configured.
    """
    policies = plan.policies
    path, why = path_of(plan)
    return Explanation(
        path=path,
        why=why,
        database=plan.using,
        authentication=names(policies.authentication),
        permissions=tuple(map(repr, policies.permissions)),
        ancestors={parent.name: tuple(map(repr, parent.permissions)) for parent in plan.parents},
        throttles=tuple(map(rated, policies.throttles)),
        filters=names(policies.filters),
        pagination=None if policies.pagination is None else type(policies.pagination).__name__,
        rows=row_policies(plan),
    )


def path_of(plan: RoutePlan) -> tuple[str, str]:
    """Return which path a route takes, and why."""
    above = [f"the row of {parent.name} is loaded first" for parent in plan.parents if parent.loads]
    why = "; ".join([plan.why, *above])
    if not plan.compiled:
        return "objects", why
    refused = refusal(get_database(plan.using))
    return ("core", refused) if refused else ("compiled", why)


def row_policies(plan: RoutePlan) -> tuple[str, ...]:
    """Return the names of what narrows a route's rows."""
    model = policy_names(plan.prototype.model)
    narrowing = plan.prototype.narrowing
    return model if narrowing is None else (*model, getattr(narrowing, "__qualname__", repr(narrowing)))


def names(policies: Iterable[object]) -> tuple[str, ...]:
    """Return the classes of policies, whose values may be secret."""
    return tuple(type(policy).__name__ for policy in policies)


def rated(throttle: BaseThrottle) -> str:
    """Return a throttle's class with its rate, where it has one."""
    rate = throttle.rate or settings.DEFAULT_THROTTLE_RATES.get(throttle.scope or "")
    return f"{type(throttle).__name__}({rate})" if rate else type(throttle).__name__
