"""Serializing rows that are still mappings: the same JSON as from instances of their schemas, which need not be made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaSerializer

# What of a model's field decides how it is serialized.
FIELD_KEYS = ("schema", "serialization_alias", "serialization_exclude", "serialization_exclude_if")
# What a model may say besides its fields without changing its JSON.
MODEL_KEYS = frozenset(
    {"type", "cls", "schema", "config", "ref", "metadata", "root_model", "custom_init", "generic_origin", "strict"}
)
FIELDS_KEYS = frozenset({"type", "fields", "model_name", "metadata", "computed_fields"})


class _Otherwise(Exception):
    """A schema whose instances are serialized by more than their fields."""


class MappingSerializer:
    """Serializes an answer in which mappings by field name stand for the instances of schemas.

    Args:
        adapter: What serializes the answer with instances.
        schemas: The schemas, of which the answer has nothing but fields.
    """

    def __init__(self, adapter: TypeAdapter[Any], schemas: Collection[type[BaseModel]]) -> None:
        self._serializer = SchemaSerializer(_with_mappings(adapter.core_schema, frozenset(schemas)))

    def to_json(self, answer: Any, **options: Any) -> bytes:
        """Return the JSON of a list of mappings, or of an instance that holds one; see pydantic's own ``to_json``."""
        return self._serializer.to_json(vars(answer) if isinstance(answer, BaseModel) else answer, **options)


def mapping_serializer(
    adapter: TypeAdapter[Any], answer: Any, rows: Collection[type[BaseModel]]
) -> MappingSerializer | None:
    """What serializes an answer whose rows are mappings.

    Args:
        adapter: What serializes the answer with instances.
        answer: Its type: a list of rows, or a page that holds one.
        rows: Their schemas, and those that they nest.

    Returns:
        The serializer; None where a schema says more of its JSON than the types of its fields.
    """
    page = (answer,) if isinstance(answer, type) and issubclass(answer, BaseModel) else ()
    try:
        return MappingSerializer(adapter, (*page, *rows))
    except _Otherwise:
        return None


def _with_mappings(schema: Any, schemas: frozenset[type[BaseModel]]) -> Any:
    if isinstance(schema, list):
        return [_with_mappings(item, schemas) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("is_field_serializer") or any(name.startswith("ser") for name in schema.get("config") or ()):
        raise _Otherwise
    # What is written in a way of its own would be given a mapping.
    if ("serialization" in schema or "serialization_exclude_if" in schema) and _holds(schema, schemas):
        raise _Otherwise
    if schema.get("type") == "model" and schema["cls"] in schemas:
        return _mapping(schema, schemas)
    return {name: _with_mappings(value, schemas) if name != "cls" else value for name, value in schema.items()}


def _holds(schema: Any, schemas: frozenset[type[BaseModel]]) -> bool:
    """Whether one of the schemas, or a reference that may be to one, stands in a schema."""
    if isinstance(schema, list):
        return any(_holds(item, schemas) for item in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "definition-ref" or (schema.get("type") == "model" and schema["cls"] in schemas):
        return True
    return any(_holds(value, schemas) for name, value in schema.items() if name != "cls")


def _mapping(model: Mapping[str, Any], schemas: frozenset[type[BaseModel]]) -> Any:
    fields = model["schema"]
    if fields.get("type") != "model-fields" or fields.get("computed_fields") or model.get("root_model"):
        raise _Otherwise
    if not (model.keys() <= MODEL_KEYS and fields.keys() <= FIELDS_KEYS):
        raise _Otherwise
    shown = {name: _with_mappings(field, schemas) for name, field in fields["fields"].items()}
    found = {
        name: {
            "type": "typed-dict-field",
            "required": True,
            **{key: field[key] for key in FIELD_KEYS if key in field},
        }
        for name, field in shown.items()
    }
    reference = {"ref": model["ref"]} if "ref" in model else {}
    return {"type": "typed-dict", "fields": found, **reference}
