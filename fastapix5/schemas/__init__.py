"""Schemas: what a read schema selects, what an input schema may bring in, and its partial for PATCH."""

from fastapix5.schemas.bounds import bounded, python_type
from fastapix5.schemas.inputs import body_values, closed_schema, input_columns, input_schema, partial_schema
from fastapix5.schemas.mapping import SchemaField, attribute_names, key_of, mapper_of, schema_fields
from fastapix5.schemas.selection import Relation, Selection, select_for

__all__ = [
    "Relation",
    "SchemaField",
    "Selection",
    "attribute_names",
    "body_values",
    "bounded",
    "closed_schema",
    "input_columns",
    "input_schema",
    "key_of",
    "mapper_of",
    "partial_schema",
    "python_type",
    "schema_fields",
    "select_for",
]
