"""What objects of a model come with: relations to load, columns to leave out, and the order of loaded lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import inspect
from sqlalchemy.orm import defer, joinedload, load_only, raiseload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories.lookups import UnknownPath
from fastapix5.repositories.paths import refuse_many
from fastapix5.repositories.policies import loaded_within
from fastapix5.schemas import mapper_of


class Loading(NamedTuple):
    """Which parts of objects are loaded.

    Attributes:
        joined: Paths of to-one relations that come in the same statement.
        fetched: Paths of relations that come in a statement each.
        only: The columns that are loaded, by path; empty for all.
        deferred: Columns that are not, by path.
    """

    joined: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether objects lack columns."""
        return bool(self.only or self.deferred)

    def returns(self, model: type[Any]) -> bool:
        """Whether a relation leads back to a model that it came by: its rows may be those that were loaded already."""
        for path in (*self.joined, *self.fetched):
            passed = [model]
            for _, _, target in _steps(model, path):
                if any(issubclass(target, known) or issubclass(known, target) for known in passed):
                    return True
                passed.append(target)
        return False

    def join(self, model: type[Any], paths: Iterable[str]) -> Loading:
        """With further relations in the same statement.

        Raises:
            UnknownPath: A name is no relation.
            ImproperlyConfigured: It leads to many rows.
        """
        paths = tuple(paths)
        for path in paths:
            _steps(model, path)
            refuse_many("select_related", model, path, path.split("__"))
        return self._replace(joined=(*self.joined, *paths))

    def fetch(self, model: type[Any], paths: Iterable[str]) -> Loading:
        """With further relations in a statement each.

        Raises:
            UnknownPath: A name is no relation.
        """
        paths = tuple(paths)
        for path in paths:
            _steps(model, path)
        return self._replace(fetched=(*self.fetched, *paths))

    def options(self, model: type[Any]) -> list[Any]:
        """The loader options of a statement on ``model``."""
        only, deferred = _by_relation(model, self.only), _by_relation(model, self.deferred)
        options: list[Any] = []
        if "" in only or "" in deferred:
            options += _columns(model, only.get("", ()), deferred.get("", ()))
        for path in self._paths():
            loader: Any = None
            prefix: list[str] = []
            for name, owner, target in _steps(model, path):
                prefix.append(name)
                how = joinedload if self._is_joined("__".join(prefix)) else selectinload
                attribute = loaded_within(getattr(owner, name))
                loader = how(attribute) if loader is None else getattr(loader, how.__name__)(attribute)
                below = "__".join(prefix)
                loader = loader.options(*_columns(target, only.get(below, ()), deferred.get(below, ())))
            options.append(loader)
        missing = {*only, *deferred} - {"", *self._paths()}
        if missing:
            path = min(missing)
            raise ImproperlyConfigured(
                f"{model.__name__}: only and defer", f'"{path}" is not loaded.', f'Add select_related("{path}").'
            )
        return [*options, raiseload("*")]

    def put_in_order(self, objects: Sequence[Any]) -> None:
        """Put loaded lists into the order of the rows' keys, where the relationship has none of its own."""
        for path in self.fetched:
            level: list[Any] = list(objects)
            for name in path.split("__"):
                level = [found for item in level for found in _ordered(item, name)]

    def _paths(self) -> list[str]:
        """Every relation, those on the way to others too, each once."""
        prefixes = dict.fromkeys(
            "__".join(names[: length + 1])
            for path in (*self.joined, *self.fetched)
            for names in (path.split("__"),)
            for length in range(len(names))
        )
        return list(prefixes)

    def _is_joined(self, path: str) -> bool:
        return any(joined == path or joined.startswith(f"{path}__") for joined in self.joined)


def _steps(model: type[Any], path: str) -> list[tuple[str, type[Any], type[Any]]]:
    """The relations along ``path``: name, where it starts and where it leads."""
    if not isinstance(path, str):
        raise TypeError(f'Relations are named, such as "books" or "books__tags", not given as {type(path).__name__}.')
    steps = []
    for name in path.split("__"):
        relationships = mapper_of(model).relationships
        if name not in relationships:
            raise UnknownPath(path, name, model.__name__, tuple(relationships.keys()))
        steps.append((name, model, relationships[name].mapper.class_))
        model = steps[-1][2]
    return steps


def check_columns(model: type[Any], paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of columns.

    Raises:
        UnknownPath: One is no column.
    """
    paths = tuple(paths)
    _by_relation(model, paths)
    return paths


def _by_relation(model: type[Any], paths: Iterable[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        relation, _, name = path.rpartition("__")
        owner = _steps(model, relation)[-1][2] if relation else model
        mapper = mapper_of(owner)
        if name == "pk":
            names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        elif name in mapper.column_attrs:
            names = [name]
        else:
            raise UnknownPath(path, name, owner.__name__, tuple(mapper.column_attrs.keys()))
        found.setdefault(relation, []).extend(names)
    return found


def _columns(model: type[Any], only: Sequence[str], deferred: Sequence[str]) -> list[Any]:
    version = mapper_of(model).version_id_col
    # What has no version to compare would overwrite what it has not seen.
    kept = [] if version is None else [mapper_of(model).get_property_by_column(version).key]
    options = [load_only(*(getattr(model, name) for name in (*only, *kept)), raiseload=True)] if only else []
    return [*options, *(defer(getattr(model, name), raiseload=True) for name in deferred if name not in kept)]


def _ordered(item: Any, name: str) -> Sequence[Any]:
    """The rows behind a loaded relation, put in order."""
    relationship = inspect(item).mapper.relationships[name]
    if name in inspect(item).unloaded:
        return ()
    found = getattr(item, name)
    if not relationship.uselist:
        return () if found is None else (found,)
    changed = inspect(item).attrs[name].history.has_changes()
    if not relationship.order_by and isinstance(found, list) and not changed:
        found = sorted(found, key=relationship.mapper.primary_key_from_instance)
        set_committed_value(item, name, found)
    return tuple(found)
