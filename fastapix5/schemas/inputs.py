"""What may come in: a create or update schema, held to what the columns can store, and its partial for PATCH."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.schemas.mapping import SchemaField, mapper_of, schema_fields
from fastapix5.schemas.tightening import tighten


def input_schema(schema: type[BaseModel], model: type[Any], where: str) -> type[BaseModel]:
    """Return a subclass of ``schema`` that refuses what the model's columns cannot hold, and fields that it lacks.

    The schema's own ``extra`` and ``strict`` settings stand where it has them; without, an unknown field is refused and
    a JSON string is not taken for a number. The name stays, so that OpenAPI shows the user's.

    Raises:
        ImproperlyConfigured: A field stands for no column of the model.
    """
    columns = input_columns(schema, model, where)
    fields = {
        field.name: tighten(field.info, columns[field.attribute].type) for field in schema_fields(schema, model, where)
    }
    return _derive(schema, schema.__name__, fields)


@lru_cache(maxsize=4096)
def closed_schema(schema: type[BaseModel]) -> type[BaseModel]:
    """Return a subclass of ``schema`` for an action's body: unknown fields are refused, types are JSON's own."""
    fields = {name: tighten(info, None) for name, info in schema.model_fields.items()}
    return _derive(schema, schema.__name__, fields)


def partial_schema(schema: type[BaseModel], name: str, only: Collection[str] | None = None) -> type[BaseModel]:
    """Return ``schema`` with every field optional: absent is not null, and null only where the field takes it.

    Args:
        schema: What it is made from.
        name: What OpenAPI calls it: ``PatchedFlightUpdate``.
        only: Make these fields optional, and leave the others as they are.
    """
    fields = {}
    for field, info in schema.model_fields.items():
        if only is not None and field not in only:
            continue
        optional = FieldInfo.merge_field_infos(info, annotation=info.annotation)
        optional.default, optional.default_factory, optional.validate_default = None, None, False
        if optional.json_schema_extra is None:
            optional.json_schema_extra = _without_default
        fields[field] = optional
    return _derive(schema, name, fields)


def input_columns(schema: type[BaseModel], model: type[Any], where: str) -> Mapping[str, Any]:
    """The columns behind a schema's fields, by attribute.

    Raises:
        ImproperlyConfigured: A field stands for a relationship or an expression, which a body cannot write.
    """
    mapper = mapper_of(model)
    columns = {}
    for field in schema_fields(schema, model, where):
        prop = mapper.column_attrs.get(field.attribute)
        if prop is None:
            raise ImproperlyConfigured(
                where,
                f"{schema.__name__}.{field.name} is not a column of {model.__name__}, so a body cannot write it.",
                "Take the foreign key's column instead, or write the rest in perform_create() and perform_update().",
            )
        columns[field.attribute] = prop.columns[0]
    return columns


def body_values(data: BaseModel, fields: tuple[SchemaField, ...], *, partial: bool) -> dict[str, Any]:
    """Return attribute names and validated values; with ``partial`` those that were sent, else all of them."""
    if not partial:
        return {attribute: getattr(data, name) for name, attribute, _ in fields}
    sent = data.model_fields_set
    return {attribute: getattr(data, name) for name, attribute, _ in fields if name in sent}


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _derive(schema: type[BaseModel], name: str, fields: Mapping[str, FieldInfo]) -> type[BaseModel]:
    config = schema.model_config
    namespace: dict[str, Any] = {
        "__module__": schema.__module__,
        "__qualname__": name,
        "__doc__": schema.__doc__,
        "__annotations__": {field: info.annotation for field, info in fields.items()},
        "model_config": ConfigDict(
            extra=config.get("extra") or "forbid",
            strict=config.get("strict", True),
            title=config.get("title"),
        ),
        **fields,
    }
    derived: type[BaseModel] = types.new_class(name, (schema,), exec_body=lambda body: body.update(namespace))
    return derived
