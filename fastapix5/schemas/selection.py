"""What a read schema selects: the columns and relations behind its fields, and how a row becomes an instance."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WrapSerializer,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from sqlalchemy import Column, Enum, inspect
from sqlalchemy.orm import ColumnProperty, CompositeProperty, RelationshipDirection, RelationshipProperty
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.types import TypeEngine

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.schemas.bounds import strip_optional, unwrap
from fastapix5.schemas.mapping import SchemaField, aliases, key_of, mapper_of, nested_schema, schema_fields
from fastapix5.schemas.values import can_show, examples_of, value_type

SCALARS = frozenset({str, int, float, bool, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID})
SERIALIZERS = (PlainSerializer, WrapSerializer)
RULES = (AfterValidator, BeforeValidator, WrapValidator, PlainValidator, StringConstraints)
TRANSFORMATIONS = ("str_strip_whitespace", "str_to_lower", "str_to_upper")


@dataclass(frozen=True)
class Relation:
    """A field that shows related rows."""

    field: SchemaField
    many: bool
    selection: Selection
    relationship: RelationshipProperty[Any]

    def order_of(self, target: Any) -> tuple[Any, ...]:
        """The order of the related rows as ``target``, an alias of their model: the relationship's, then by key."""
        adapter = ClauseAdapter(inspect(target).selectable)
        declared = self.relationship.order_by or ()
        return (*(adapter.traverse(column) for column in declared), *key_of(target))

    def in_order(self, related: Collection[Any]) -> Collection[Any]:
        """Loaded objects in the same order: SQLAlchemy sees to the relationship's own only."""
        if self.relationship.order_by:
            return related
        return sorted(related, key=self.relationship.mapper.primary_key_from_instance)


@dataclass(frozen=True)
class Selection:
    """What one schema selects of one model. Frozen; made once, when the declaration is compiled.

    Attributes:
        schema: The pydantic model that rows become.
        model: The mapped class.
        columns: Fields that are columns, hybrids or other expressions.
        relations: Fields that are related rows.
        validates: Whether an instance must be validated on the way out, since the schema has rules of its own or
            other types than the columns.
    """

    schema: type[BaseModel]
    model: type[Any]
    columns: tuple[SchemaField, ...]
    relations: tuple[Relation, ...]
    validates: bool

    @cached_property
    def input_names(self) -> Mapping[str, str]:
        """For validation: under which key pydantic expects each field."""
        if self.schema.model_config.get("validate_by_alias") is False:
            return {name: name for name in self.schema.model_fields}
        return {name: next(aliases(info), name) for name, info in self.schema.model_fields.items()}

    @cached_property
    def is_plain(self) -> bool:
        """Whether nothing can fail when a row becomes an instance, and that JSON: no code of the schema's own, or of a type's."""
        decorators = self.schema.__pydantic_decorators__
        own = (decorators.field_serializers, decorators.model_serializers, decorators.computed_fields)
        if self.validates or any(own) or any(map(has_own_json, self.schema.model_fields.values())):
            return False
        return all(holds_scalars(self.model, field) for field in self.columns)

    @cached_property
    def build(self) -> Callable[[dict[str, Any]], BaseModel]:
        """What makes an instance of values by field, in the fields' order; validated only where that can change anything."""
        return self._validate if self.validates else self._put

    def _validate(self, values: dict[str, Any]) -> BaseModel:
        names = self.input_names
        return self.schema.model_validate({names[name]: value for name, value in values.items()})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of all fields, in the order of the schema."""
        return tuple(self.schema.model_fields)

    @cached_property
    def _put(self) -> Callable[[dict[str, Any]], BaseModel]:
        """What makes an instance of ``values`` as they are: the four things that pydantic keeps of one, and no more."""
        schema, put = self.schema, object.__setattr__
        new: Callable[[type[BaseModel]], BaseModel] = schema.__new__
        has_extra = schema.model_config.get("extra") == "allow"

        def make(values: dict[str, Any]) -> BaseModel:
            instance = new(schema)
            put(instance, "__dict__", values)
            put(instance, "__pydantic_fields_set__", set(values))
            put(instance, "__pydantic_extra__", {} if has_extra else None)
            put(instance, "__pydantic_private__", None)
            return instance

        return make

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields that columns show, in their order."""
        return tuple(field.name for field in self.columns)

    @cached_property
    def schemas(self) -> frozenset[type[BaseModel]]:
        """This schema and all that it nests."""
        return frozenset({self.schema}).union(*(relation.selection.schemas for relation in self.relations))

    @cached_property
    def needs_validation(self) -> bool:
        """Whether an instance of this schema, or of one that it nests, is more than the values of its fields."""
        return self.validates or any(relation.selection.needs_validation for relation in self.relations)

    def from_object(self, instance: Any) -> BaseModel:
        """Return the schema's instance for a loaded object of the model; relations must be loaded."""
        values = {field.name: getattr(instance, field.attribute) for field in self.columns}
        for relation in self.relations:
            related = getattr(instance, relation.field.attribute)
            if relation.many:
                ordered = relation.in_order(related)
                values[relation.field.name] = [relation.selection.from_object(item) for item in ordered]
            else:
                values[relation.field.name] = None if related is None else relation.selection.from_object(related)
        return self.build({name: values[name] for name in self.order})


def select_for(
    schema: type[BaseModel], model: type[Any], where: str, above: tuple[type[BaseModel], ...] = ()
) -> Selection:
    """Compile what ``schema`` selects of ``model``.

    Args:
        schema: A read schema; nested schemas stand for relationships.
        model: A mapped class.
        where: Opens the sentence of an error: ``FlightViewSet.read_schema``.
        above: The schemas that this one is nested in.

    Raises:
        ImproperlyConfigured: A field stands for nothing, or for something of another kind.
    """
    mapper = mapper_of(model)
    columns: list[SchemaField] = []
    relations: list[Relation] = []
    validates = has_rules(schema)
    for field in schema_fields(schema, model, where):
        descriptor = mapper.attrs.get(field.attribute)
        if isinstance(descriptor, CompositeProperty):
            raise ImproperlyConfigured(
                where,
                f"{schema.__name__}.{field.name} stands for {descriptor}, a composite of columns.",
                f"Name its columns: {', '.join(part.key for part in descriptor.props)}.",
            )
        if isinstance(descriptor, RelationshipProperty):
            relations.append(_relation(field, descriptor, (*above, schema), where))
            fits = shows_relation(field, descriptor)
        else:
            columns.append(field)
            fits = isinstance(descriptor, ColumnProperty) and shows_column(field, descriptor.columns[0])
            if isinstance(descriptor, ColumnProperty) and not fits:
                _check_type(field, descriptor.columns[0].type, schema, model, where)
        validates = validates or not fits
    return Selection(schema, model, tuple(columns), tuple(relations), validates)


def _check_type(
    field: SchemaField, column_type: TypeEngine[Any], schema: type[BaseModel], model: type[Any], where: str
) -> None:
    """Refuse a field that could show no value of its column, where no rule of the schema's own may change that."""
    leaf, _, inside = unwrap(field.info.annotation)
    if has_rules(schema) or can_show(leaf, column_type, schema.model_config, (*inside, *field.info.metadata)):
        return
    kinds = " or ".join(dict.fromkeys(type(example).__name__ for example in examples_of(column_type)))
    raise ImproperlyConfigured(
        where,
        f"{schema.__name__}.{field.name} is of type {leaf.__name__}, but {model.__name__}.{field.attribute} is a column of"
        f" type {type(column_type).__name__}, whose values are {kinds}.",
        f"Annotate the field with {kinds}, or convert the values in a field_validator with mode='before'.",
    )


def _relation(
    field: SchemaField, relationship: RelationshipProperty[Any], above: tuple[type[BaseModel], ...], where: str
) -> Relation:
    schema = above[-1]
    nested, many = nested_schema(field.info.annotation)
    if nested in above:
        raise ImproperlyConfigured(
            where,
            f"{schema.__name__}.{field.name} nests {nested.__name__} in itself, without end.",
            "Nest another schema, which stops.",
        )
    if nested is None or many is not bool(relationship.uselist):
        kind = "list[...] of a schema" if relationship.uselist else "a schema, or a schema | None"
        raise ImproperlyConfigured(
            where,
            f"{schema.__name__}.{field.name} stands for the relationship {relationship}.",
            f"Annotate it with {kind}, or name a column.",
        )
    return Relation(field, many, select_for(nested, relationship.mapper.class_, where, above), relationship)


def has_rules(schema: type[BaseModel]) -> bool:
    """Whether a schema does more than hold values: validators, private attributes, a constructor, a root value."""
    decorators = schema.__pydantic_decorators__
    return bool(
        decorators.validators
        or decorators.field_validators
        or decorators.root_validators
        or decorators.model_validators
        or schema.__private_attributes__
        or schema.__pydantic_root_model__
        or schema.model_post_init is not BaseModel.model_post_init
        or schema.__init__ is not BaseModel.__init__
        or any(schema.model_config.get(name) for name in TRANSFORMATIONS)
        or any(isinstance(item, RULES) for info in schema.model_fields.values() for item in all_metadata(info))
    )


def has_own_json(info: FieldInfo) -> bool:
    """Whether a field says for itself how, or when, its value is serialized."""
    return info.exclude_if is not None or any(isinstance(item, SERIALIZERS) for item in all_metadata(info))


def holds_scalars(model: type[Any], field: SchemaField) -> bool:
    """Whether a field shows a plain column of a type whose every value the driver itself has checked."""
    descriptor = mapper_of(model).attrs.get(field.attribute)
    if not isinstance(descriptor, ColumnProperty) or not isinstance(descriptor.columns[0], Column):
        return False
    column_type = descriptor.columns[0].type
    kinds = (column_type, *column_type._variant_mapping.values())  # noqa: SLF001 (what with_variant() adds)
    if any(isinstance(kind, Enum) or not type(kind).__module__.startswith("sqlalchemy.") for kind in kinds):
        return False
    return unwrap(field.info.annotation)[0] in SCALARS


def all_metadata(info: FieldInfo) -> tuple[Any, ...]:
    """What annotates a field, outside and inside of its ``| None``."""
    _, _, inside = unwrap(info.annotation)
    return (*inside, *info.metadata)


def shows_column(field: SchemaField, column: Any) -> bool:
    """Whether the column's values, null included, are of the field's own type already."""
    leaf, optional, _ = unwrap(field.info.annotation)
    if leaf is Any:
        return True
    # Whether an expression can be null, nobody says.
    return leaf is value_type(column.type) and (optional or not getattr(column, "nullable", True))


def shows_relation(field: SchemaField, relationship: RelationshipProperty[Any]) -> bool:
    """Whether what is found is of the field's own type already: a list, or None where there may be no row."""
    inner, optional = strip_optional(field.info.annotation)
    if relationship.uselist:
        return get_origin(inner) is list
    owns_key = relationship.direction is RelationshipDirection.MANYTOONE
    return optional or (owns_key and not any(column.nullable for column in relationship.local_columns))
