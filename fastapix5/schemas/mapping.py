"""Which mapped attribute a schema's field stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import inspect
from sqlalchemy.orm import Mapper

from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.schemas.bounds import strip_optional


class SchemaField(NamedTuple):
    """One field of a schema and the attribute of the model that it stands for."""

    name: str
    attribute: str
    info: FieldInfo


def mapper_of(model: type[Any]) -> Mapper[Any]:
    """The mapper of a model.

    Raises:
        ImproperlyConfigured: ``model`` is not a mapped class.
    """
    mapper = inspect(model, raiseerr=False)
    if not isinstance(mapper, Mapper):
        name = getattr(model, "__name__", repr(model))
        raise ImproperlyConfigured(
            name,
            "it is not a SQLAlchemy mapped class.",
            "Give a declarative, dataclass-mapped or SQLModel table class.",
        )
    return mapper


def key_of(entity: Any) -> tuple[Any, ...]:
    """The attributes of an entity's primary key: a model's, or an alias of one's."""
    mapper: Mapper[Any] = inspect(entity).mapper
    return tuple(getattr(entity, mapper.get_property_by_column(column).key) for column in mapper.primary_key)


def attribute_names(mapper: Mapper[Any]) -> list[str]:
    """Every mapped attribute: columns, relationships, hybrids and synonyms."""
    return [name for name in mapper.all_orm_descriptors.keys() if not name.startswith("__")]  # noqa: SIM118


def candidates(name: str, info: FieldInfo) -> Iterator[str]:
    """The names under which a field may find its attribute: its own, then its validation aliases."""
    yield name
    yield from aliases(info)


def aliases(info: FieldInfo) -> Iterator[str]:
    """A field's validation aliases, as far as they are names."""
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    for choice in choices:
        path = choice.path if isinstance(choice, AliasPath) else [choice]
        if len(path) == 1 and isinstance(path[0], str):
            yield path[0]


def schema_fields(schema: type[BaseModel], model: type[Any], where: str) -> tuple[SchemaField, ...]:
    """Match every field of ``schema`` with an attribute of ``model``, by its name or validation alias.

    Raises:
        ImproperlyConfigured: A field stands for nothing; ``where`` opens the sentence.
    """
    if not schema.__pydantic_complete__:
        schema.model_rebuild()
    known = attribute_names(mapper_of(model))
    found = []
    for name, info in schema.model_fields.items():
        attribute = next((candidate for candidate in candidates(name, info) if candidate in known), None)
        if attribute is None:
            raise ImproperlyConfigured(
                where,
                f"{schema.__name__}.{name} stands for no attribute of {model.__name__}.{did_you_mean(name, known)}",
                f"Rename the field, give it a validation_alias, or map the attribute. Known: {', '.join(sorted(known))}.",
            )
        found.append(SchemaField(name, attribute, info))
    return tuple(found)


def nested_schema(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the schema that an annotation nests, and whether it is a list of them."""
    inner, _ = strip_optional(annotation)
    many = get_origin(inner) in (list, tuple, set, frozenset)
    if many:
        inner = get_args(inner)[0]
    return (inner, many) if isinstance(inner, type) and issubclass(inner, BaseModel) else (None, many)
