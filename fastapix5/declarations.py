"""What a viewset says of itself: its attributes, each read in one place and by one precedence."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import BaseModel

from fastapix5.actions import STANDARD, Action, declared_actions
from fastapix5.authentication import BaseAuthentication
from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.permissions import SecurityScopes
from fastapix5.plan import MADE
from fastapix5.repositories import Repository, RowPolicy
from fastapix5.services import Service
from fastapix5.settings import import_class, settings


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()

# The setting that stands behind an attribute which nobody declares.
SETTINGS: Mapping[str, str] = {
    "authentication_classes": "DEFAULT_AUTHENTICATION_CLASSES",
    "permission_classes": "DEFAULT_PERMISSION_CLASSES",
    "throttle_classes": "DEFAULT_THROTTLE_CLASSES",
    "filter_backends": "DEFAULT_FILTER_BACKENDS",
    "pagination_class": "DEFAULT_PAGINATION_CLASS",
}

# Children inherit who may come in, not what is shown.
INHERITED = frozenset({"authentication_classes", "permission_classes", "throttle_classes", "security_scopes"})

NAMES = ("name", "lookup_field", "lookup_url_kwarg", "parent_field", "using")
LISTS_OF_NAMES = ("search_fields", "ordering_fields", "ordering", "allow_hidden", "tags")
SCHEMAS = ("read_schema", "list_schema", "create_schema", "update_schema")
CLASSES: Mapping[str, type[Any]] = {"service_class": Service, "repository_class": Repository}

BY_ACTION = frozenset({*SETTINGS, *SCHEMAS, *LISTS_OF_NAMES, "filterset_fields", "retry", "security_scopes"}) - {"tags"}


@dataclass(frozen=True)
class Declaration:
    """A viewset and what hangs below it, before it is compiled."""

    prototype: Any
    children: tuple[Declaration, ...] = ()

    def vary(self, **attributes: Any) -> Declaration:
        """Return the same declaration with other attributes; the viewset that was given stays as it is."""
        return replace(self, prototype=varied(self.prototype, attributes))


def varied(prototype: Any, attributes: Mapping[str, Any]) -> Any:
    """Return a copy of a viewset with other attributes, not compiled yet."""
    made = copy.copy(prototype)
    for cached in MADE:
        made.__dict__.pop(cached, None)
    made.__dict__.update(attributes)
    return made


class Found(NamedTuple):
    """A declared value, and where it stands: ``FlightViewSet.permission_classes``, or the setting."""

    value: Any
    where: str


class Declared:
    """The attributes of one viewset, with those of its ancestors behind them.

    Args:
        prototype: The viewset as it was declared; it is only read.
        parent: The attributes of the viewset above it.

    Raises:
        ImproperlyConfigured: An attribute is not what it should be: where, what, and the remedy.
    """

    def __init__(self, prototype: Any, parent: Declared | None) -> None:
        self.prototype = prototype
        self.parent = parent
        self.where = type(prototype).__name__
        self.actions = frozenset({*STANDARD, *(found.name for found in declared_actions(type(prototype)))})
        self._authentication = self._security()
        self._check()

    # Reading

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute that is the same for all actions."""
        value = getattr(self.prototype, name, UNSET)
        return default if value is UNSET or value is None else value

    def by_action(self, name: str, action: str) -> Any:
        """What the viewset itself says for one action; ``...`` in a mapping stands for the rest. UNSET for nothing."""
        if name == "authentication_classes" and self._authentication is not None:
            return self._authentication
        value: Any = getattr(self.prototype, name, UNSET)
        if not is_by_action(name, value):
            return value
        return value[action] if action in value else value.get(..., UNSET)

    def nearest(self, name: str, action: str, own: Mapping[str, Any]) -> Found:
        """The value of an attribute for an action, from the nearest place that has one.

        That is ``@action`` itself, then the viewset, then its ancestors where the attribute is inherited, then the
        setting. The value is None where no place has one.

        Args:
            name: The attribute.
            action: The action's name.
            own: What ``@action`` says.
        """
        if name in own:
            return Found(own[name], f"{self.where}.{action}({name})")
        level: Declared | None = self
        while level is not None:
            value = level.by_action(name, action)
            if value is not UNSET:
                return Found(value, f"{level.where}.{name}")
            level = level.parent if name in INHERITED else None
        setting = SETTINGS.get(name)
        return Found(None, f"{self.where}.{name}") if setting is None else self._default(name, setting)

    def names(self, name: str, action: str, own: Mapping[str, Any]) -> tuple[str, ...]:
        """A list of names for an action: search fields, an order."""
        found = self.nearest(name, action, own)
        return () if found.value is None else checked_names(found)

    def lookups(self, action: str, own: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """``filterset_fields`` for an action, as fields with their lookups; a list of fields stands for ``exact``."""
        found = self.nearest("filterset_fields", action, own)
        if found.value is None:
            return {}
        if not isinstance(found.value, Mapping):
            return dict.fromkeys(checked_names(found), ("exact",))
        for name, lookups in found.value.items():
            if isinstance(lookups, str) or not isinstance(lookups, Sequence):
                what = f'the lookups of "{name}" are {shown(lookups)}, which is not a list.'
                raise ImproperlyConfigured(found.where, what, f'Write {{"{name}": [{shown(lookups)}]}}.')
        return found.value

    def schema(self, name: str, action: str, own: Mapping[str, Any]) -> type[BaseModel] | None:
        """A schema for an action, or None where there is none."""
        found = self.nearest(name, action, own)
        if found.value is None:
            return None
        if not (isinstance(found.value, type) and issubclass(found.value, BaseModel)):
            raise ImproperlyConfigured(
                found.where, f"{shown(found.value)} is not a pydantic model.", f"Write {name} = YourSchema."
            )
        return found.value

    def flag(self, name: str, action: str, own: Mapping[str, Any], *, otherwise: bool) -> bool:
        """Whether an action does something."""
        found = self.nearest(name, action, own)
        if found.value is not None and not isinstance(found.value, bool):
            what = f"{shown(found.value)} is not True or False."
            raise ImproperlyConfigured(found.where, what, f"Write {name} = {not otherwise}.")
        return otherwise if found.value is None else found.value

    def instances(self, name: str, action: str, own: Mapping[str, Any], base: type[Any]) -> tuple[Any, ...]:
        """A list of policies for an action, as instances that belong to one route alone."""
        found = self.nearest(name, action, own)
        return tuple(instance_of(item, base, found.where) for item in checked_list(found))

    def instance(self, name: str, action: str, own: Mapping[str, Any], base: type[Any]) -> Any:
        """One policy for an action, as an instance that belongs to one route alone; None for "none, on purpose"."""
        found = self.nearest(name, action, own)
        return None if found.value is None else instance_of(found.value, base, found.where)

    def scopes(self, action: str, own: Mapping[str, Any]) -> SecurityScopes | Sequence[str] | None:
        """The scopes of an action: by method, or those that ``@action`` names for itself."""
        found = self.nearest("security_scopes", action, own)
        if found.value is None or isinstance(found.value, SecurityScopes):
            return found.value
        if "security_scopes" in own:
            return checked_names(found)
        raise ImproperlyConfigured(
            found.where,
            f"{shown(found.value)} is not a SecurityScopes.",
            "Write SecurityScopes(get=[...], post=[...]).",
        )

    def has_security(self) -> bool:
        """Whether this viewset or one above it declares ``security``."""
        return self.get("security") is not None or (self.parent is not None and self.parent.has_security())

    def policy(self) -> RowPolicy | None:
        """``objects_filter``: a plain function in the class body is one of the access alone, not a method."""
        value = inspect.getattr_static(self.prototype, "objects_filter", None)
        if inspect.isfunction(value) and len(inspect.signature(value).parameters) == 1:
            return value
        return getattr(self.prototype, "objects_filter", None)

    def _default(self, name: str, setting: str) -> Found:
        value, where = getattr(settings, setting), f"settings.{setting}"
        if name == "permission_classes" and self.has_security():
            # Declared security without a word on permissions still asks who is calling.
            return Found([*value, "fastapix5.permissions.IsAuthenticated"], where)
        return Found(value, where)

    # Checking

    def _security(self) -> list[Any] | None:
        """``security = X`` is the short form of ``authentication_classes = [X]``; the nearer of the two counts."""
        security, classes = (_level(self.prototype, name) for name in ("security", "authentication_classes"))
        value = getattr(self.prototype, "security", None)
        if security is None or value is None or (classes is not None and classes < security):
            return None
        place = f"{self.where}.security"
        if security == classes:
            raise ImproperlyConfigured(place, "authentication_classes is given as well.", "Keep one of the two.")
        return [instance_of(value, BaseAuthentication, place)]

    def _check(self) -> None:
        for name in NAMES:
            self._check_kind(name, str, "a name", f'Write {name} = "...".')
        self._check_kind("lock_object", bool, "True or False", "Write lock_object = False.")
        for name, base in CLASSES.items():
            value = self.get(name)
            if value is not None and not (isinstance(value, type) and issubclass(value, base)):
                what = f"{shown(value)} is not a subclass of {base.__name__}."
                raise ImproperlyConfigured(f"{self.where}.{name}", what, "Give the class, not an instance of it.")
        policy = self.get("objects_filter")
        if policy is not None and not callable(policy):
            what = f"{shown(policy)} is not a function."
            raise ImproperlyConfigured(f"{self.where}.objects_filter", what, "Write (access) -> condition.")
        check_sync(policy, f"{self.where}.objects_filter")
        if self.get("tags") is not None:
            checked_names(Found(self.get("tags"), f"{self.where}.tags"))
        for name in BY_ACTION:
            self._check_keys(name, getattr(self.prototype, name, UNSET))

    def _check_kind(self, name: str, kind: type[Any], words: str, remedy: str) -> None:
        value = self.get(name)
        if value is not None and not isinstance(value, kind):
            raise ImproperlyConfigured(f"{self.where}.{name}", f"{shown(value)} is not {words}.", remedy)

    def _check_keys(self, name: str, value: Any) -> None:
        """Refuse a mapping by action whose keys are no actions: it would say nothing, without a word."""
        if not is_by_action(name, value):
            return
        for key in value:
            if key is not ... and key not in self.actions:
                guess = did_you_mean(key, self.actions) if isinstance(key, str) else ""
                raise ImproperlyConfigured(
                    f"{self.where}.{name}",
                    f"{shown(key)} is not an action.{guess}",
                    f"Known: {', '.join(sorted(self.actions))}, and ... for the rest.",
                )


def check_sync(policy: Any, where: str) -> None:
    """Refuse a row policy that must be awaited: it is a condition, made wherever a statement is.

    Raises:
        ImproperlyConfigured: It is ``async def``.
    """
    if inspect.iscoroutinefunction(policy):
        what = "it is async def, and a row policy is a condition that nobody awaits."
        remedy = (
            "Write def; what must be looked up belongs into the condition as a subquery, or into the token's claims."
        )
        raise ImproperlyConfigured(where, what, remedy)


def is_by_action(name: str, value: Any) -> bool:
    """Whether a declared value is a mapping by action; the keys of ``filterset_fields`` may be fields instead."""
    if not isinstance(value, Mapping) or name not in BY_ACTION:
        return False
    return name != "filterset_fields" or any(key is ... or isinstance(key, Action) for key in value)


def shown(value: object) -> str:
    """A declared value as it was written."""
    return value.__name__ if isinstance(value, type) else f'"{value}"' if isinstance(value, str) else repr(value)


def checked_list(found: Found) -> Sequence[Any]:
    """Return a declared list.

    Raises:
        ImproperlyConfigured: It is something else.
    """
    if isinstance(found.value, (str, bytes, type)) or not isinstance(found.value, Sequence):
        name = re.split(r"[.(]", found.where.rstrip(")"))[-1]
        inside = shown(found.value) if isinstance(found.value, (str, type)) else "..."
        raise ImproperlyConfigured(found.where, f"{shown(found.value)} is not a list.", f"Write {name} = [{inside}].")
    return found.value


def checked_names(found: Found) -> tuple[str, ...]:
    """Return a declared list of names.

    Raises:
        ImproperlyConfigured: It is something else.
    """
    names = tuple(checked_list(found))
    for name in names:
        if not isinstance(name, str):
            raise ImproperlyConfigured(found.where, f"{shown(name)} is not a name.", 'Write it in quotes: "name".')
    return names


def instance_of(item: Any, base: type[Any], where: str) -> Any:
    """Return a policy as an instance of its own, from a class, a dotted path to one, or an instance.

    Raises:
        ImproperlyConfigured: It is none of these, or the class needs arguments.
    """
    chosen = import_class(item, where=where) if isinstance(item, str) else item
    if isinstance(chosen, base):
        # What a policy keeps for its route must not reach another route that shares the declaration.
        return copy.copy(chosen)
    if not (isinstance(chosen, type) and issubclass(chosen, base)):
        raise ImproperlyConfigured(
            where, f"{shown(chosen)} is not a {base.__name__}.", f"Write a subclass of {base.__name__}."
        )
    try:
        return chosen()
    except TypeError as error:
        raise ImproperlyConfigured(
            where, f"{chosen.__name__} cannot be made without arguments.", f"Write {chosen.__name__}(...)."
        ) from error


def _level(prototype: Any, name: str) -> int | None:
    """How near an attribute stands: 0 for a keyword, then the classes in their order."""
    owners = (vars(prototype), *map(vars, type(prototype).__mro__))
    return next((level for level, owner in enumerate(owners) if name in owner), None)
