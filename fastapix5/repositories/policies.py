"""Row policies: which rows of a model an access may reach, one for each model.

A policy is ``(access) -> condition``, where None means all rows. A repository's own is the model's, from the moment its
class is made; without one, the ``objects_filter`` that the model's viewsets share is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, and_, inspect, not_, or_, select
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty, aliased

from fastapix5.access import Access, Scope, current_access
from fastapix5.exceptions import AccessRequired, ImproperlyConfigured
from fastapix5.models import not_deleted
from fastapix5.repositories.conditions import Condition, Ground, Q, has_subquery, same_row, to_sql
from fastapix5.repositories.paths import Reach
from fastapix5.repositories.shapes import Fact, Term, expression_term, term_of
from fastapix5.schemas import mapper_of

RowPolicy = Callable[[Access], Condition | None]
Granted = Callable[[Access], Scope | None]


class _Registered(NamedTuple):
    policy: RowPolicy
    source: Any
    of_repository: bool
    requires_access: bool


_policies: dict[type[Any], _Registered] = {}
_readings: dict[type[Any], list[Granted]] = {}
_of_repositories: set[Any] = set()
_asking: ContextVar[frozenset[type[Any]]] = ContextVar("fastapix5_asking_a_policy", default=frozenset())
NONE_LIFTED: tuple[frozenset[type[Any]], ...] = (frozenset(),)
# One entry for each ``unrestricted`` that the running code is inside of, and the first for none.
_lifted: ContextVar[tuple[frozenset[type[Any]], ...]] = ContextVar("fastapix5_lifted_policies", default=NONE_LIFTED)


class unrestricted:  # noqa: N801 (it reads as a verb: with unrestricted(Flight))
    """Lift the row policies of models for a ``with`` or ``async with`` block, in this task and those that it starts.

    Args:
        *models: The mapped classes, each by name; what holds for a class holds for its subclasses.
    """

    def __init__(self, *models: type[Any]) -> None:
        if not models:
            raise TypeError("unrestricted() lifts policies by name: unrestricted(Flight).")
        self.models = frozenset(mapper_of(model).class_ for model in models)

    # What was lifted before stands in the context, not here: several tasks may be inside one of these at once.

    def __enter__(self) -> Self:
        before = _lifted.get()
        _lifted.set((*before, before[-1] | self.models))
        return self

    def __exit__(self, *_: object) -> None:
        _lifted.set(_lifted.get()[:-1] or NONE_LIFTED)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


def register_policy(
    model: type[Any], policy: RowPolicy, source: Any, where: str, *, requires_access: bool = False
) -> bool:
    """Make ``policy`` the row policy of ``model``, for every statement and every foreign key that names its rows.

    A repository's policy stands above every other; a function that was written anew replaces what it was before.

    Args:
        model: The mapped class.
        policy: ``(access) -> condition``.
        source: The function as it was written: two viewsets may share it.
        where: Opens the sentence of an error.
        requires_access: Whether statements without an access are refused, where otherwise the policy is skipped.

    Returns:
        Whether it is the model's policy now; False where the model's repository has one.

    Raises:
        ImproperlyConfigured: The model has another policy already.
    """
    of_repository, known = source in _of_repositories, _policies.get(model)
    if known is not None and known.of_repository and not of_repository:
        return False
    outranks = known is not None and of_repository and not known.of_repository
    if known is None or outranks or _is_anew(known.source, source):
        _policies[model] = _Registered(policy, source, of_repository, requires_access)
    elif known.source == source:
        # A subclass may ask for more than the class whose policy it inherits.
        _policies[model] = known._replace(requires_access=known.requires_access or requires_access)
    else:
        raise ImproperlyConfigured(
            where,
            f"{model.__name__} has another row policy already ({_name(known.source)}).",
            "Give the model one policy, on its repository; objects_filter may narrow it where the repository has one.",
        )
    return True


def mark_repository_policy(source: Any) -> None:
    """Remember that ``source`` is the policy of a repository class."""
    _of_repositories.add(source)


def forget_policies() -> None:
    """Drop every registered policy: for tests that declare models anew."""
    _policies.clear()
    _readings.clear()


def register_reading(model: type[Any], granted: Granted) -> None:
    """Remember by which scope a caller may read ``model``'s rows, where another model's route reaches them."""
    _readings.setdefault(model, []).append(granted)


def policy_condition(entity: Any, *, related: bool = False) -> ColumnElement[bool] | None:
    """The condition that the current access sets on the rows of ``entity``: a model, or an alias of one.

    Outside a request no access is set and policies do not apply, unless one requires it. What a policy crosses, no
    policy narrows.

    Args:
        entity: The model or alias.
        related: Whether the rows are reached from another model's route: then the policy sees the scope that would let
            the caller read them, and not the one that opened the route.

    Raises:
        AccessRequired: The policy needs to know who is asking, and nobody said.
    """
    if not _policies:
        return None
    return joined(_own_condition(entity, related=related), *_conditions_below(entity, related=related))


def joined(*parts: ColumnElement[bool] | None) -> ColumnElement[bool] | None:
    """The conditions that are there, ANDed; None where none is."""
    found = [part for part in parts if part is not None]
    return and_(*found) if len(found) > 1 else found[0] if found else None


def has_policies() -> bool:
    """Whether any model has a row policy, so that what a statement may reach depends on who is asking."""
    return bool(_policies)


def policy_terms(entity: type[Any]) -> tuple[Fact, ...]:
    """``policy_condition``, taken apart.

    Raises:
        AccessRequired: The policy needs to know who is asking, and nobody said.
        Shapeless: It cannot be taken apart.
    """
    if not _policies:
        return ()
    below = [part for part in _conditions_below(entity, related=False) if part is not None]
    with _asked(entity, related=False) as conditions:
        # What several of them cross is one related row.
        together = conditions if len(conditions) < 2 else [Q(*conditions)]
        own = [term_of(condition, entity, shown_condition, narrowed=False) for condition in together]
    # What names cross means something else in a policy, which sees all rows.
    return tuple(term._replace(shape=("policy", term.shape)) for term in (*own, *map(expression_term, below)))


def related_term(entity: Any) -> Term[Any]:
    """What row policies say of the rows of an entity that a statement reaches through a relation, taken apart: SQL or None.

    Raises:
        AccessRequired: A policy needs to know who is asking, and nobody said.
        Shapeless: It cannot be taken apart.
    """
    condition = None if _asking.get() else policy_condition(entity, related=True)
    return UNSAID if condition is None else expression_term(condition)


# Of what no row policy says anything.
UNSAID: Term[Any] = Term(None, (), lambda _: None)


def reach_of(said: Mapping[Any, ColumnElement[bool] | None]) -> Reach:
    """What narrows the rows of entities behind relations, where this is what row policies say of them."""

    def narrow(entity: Any, relationship: RelationshipProperty[Any]) -> ColumnElement[bool] | None:
        return joined(shown_condition(entity, relationship), said.get(entity))

    return narrow


def _conditions_below(entity: Any, *, related: bool) -> Iterator[ColumnElement[bool] | None]:
    """What policies of subclasses say of rows that are reached as those of a class above them."""
    mapper = inspect(entity).mapper
    for below in mapper.self_and_descendants:
        if below is mapper or below.class_ not in _policies:
            continue
        alias = aliased(below.class_)
        condition = _own_condition(alias, related=related, without=mapper.class_.__mro__)
        if condition is not None:
            row = select(1).select_from(alias).where(same_row(alias, entity)).correlate(entity)
            yield or_(not_(row.exists()), row.where(condition).exists())


def _own_condition(entity: Any, *, related: bool, without: Collection[type[Any]] = ()) -> ColumnElement[bool] | None:
    """What the policies of an entity's class, and of those above it, say of its rows."""
    with _asked(entity, related=related, without=without) as conditions:
        return to_sql(conditions, Ground(entity, shown_condition)) if conditions else None


@contextmanager
def _asked(entity: Any, *, related: bool, without: Collection[type[Any]] = ()) -> Iterator[list[Condition]]:
    """Ask the policies of an entity's class, and of those above it, for the duration of a block."""
    # What holds for a class holds for its subclasses.
    mro, asking = inspect(entity).mapper.class_.__mro__, _asking.get()
    classes = [cls for cls in mro if cls in _policies and cls not in asking and cls not in without]
    if not classes or not _lifted.get()[-1].isdisjoint(mro):
        yield []
        return
    registered, access = [_policies[cls] for cls in classes], current_access.get()
    if access is None:
        if any(found.requires_access for found in registered):
            raise AccessRequired(classes[0].__name__)
        yield []
        return
    if related:
        grants = (granted(access) for granted in _readings.get(classes[0], ()))
        access = replace(access, scope=next((scope for scope in grants if scope is not None), None))
    token = _asking.set(asking.union(classes))
    try:
        yield [condition for found in registered if (condition := found.policy(access)) is not None]
    finally:
        _asking.reset(token)


def related_condition(entity: Any, relationship: RelationshipProperty[Any] | None = None) -> ColumnElement[bool] | None:
    """What narrows the rows of an entity that a statement reaches through a relation.

    Args:
        entity: An alias of the related model, or the model.
        relationship: The relation, where it is one: then hidden rows are left out as ``shown_condition`` says.

    Returns:
        ``shown_condition`` and ``policy_condition``; the latter not while a policy is asked.
    """
    shown = None if relationship is None else shown_condition(entity, relationship)
    return joined(shown, None if _asking.get() else policy_condition(entity, related=True))


def shown_condition(entity: Any, relationship: RelationshipProperty[Any]) -> ColumnElement[bool] | None:
    """The condition that a relation's row is not hidden; None where no row is, and where a foreign key names the row.

    A to-one relation shows the row that it names, hidden or not, so that what has happened keeps its names.
    """
    return None if relationship.direction is RelationshipDirection.MANYTOONE else not_deleted(entity)


def loaded_within(attribute: Any) -> Any:
    """A relationship's attribute as a loader takes it, narrowed to the rows that the current access may reach."""
    model, relationship = attribute.property.mapper.class_, attribute.property
    condition = related_condition(model, relationship)
    if condition is None:
        return attribute
    if has_subquery(condition):
        # The loader puts an alias of its own for the model's table, in a SELECT of the policy's too.
        alias = aliased(model)
        inner = select(1).select_from(alias).where(same_row(alias, model), related_condition(alias, relationship))  # type: ignore[arg-type]
        condition = inner.correlate(model).exists()
    return attribute.and_(condition)


def _is_anew(known: Any, source: Any) -> bool:
    """Whether ``source`` is ``known`` as it was written again, and not its twin from one factory."""
    before, now = getattr(known, "__code__", None), getattr(source, "__code__", None)
    if before is None or now is None or known is source or now.co_name == "<lambda>":
        return False
    if (known.__module__, known.__qualname__) != (source.__module__, source.__qualname__):
        return False
    return before is not now or not set(now.co_freevars) - {"__class__"}


def _name(policy: Any) -> str:
    return getattr(policy, "__qualname__", repr(policy))


def policy_names(model: type[Any]) -> tuple[str, ...]:
    """How the row policies of a model are called: its own, and those of the classes above it."""
    return tuple(_name(_policies[cls].source) for cls in model.__mro__ if cls in _policies)
