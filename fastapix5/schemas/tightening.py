"""A schema's own field, held to what its column can hold."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt, MaxLen
from pydantic import BeforeValidator, Strict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError
from sqlalchemy import types as sqltypes

from fastapix5.schemas.bounds import Column, annotated, bounds, plain, unwrap


def tighten(field: FieldInfo, column_type: Column) -> FieldInfo:
    """Return a copy of ``field`` that also keeps the column's bounds; the schema's own tighter ones stand.

    Bounds stand at the type itself, inside of the schema's own validators, which see what they saw before.
    """
    limits, validators = _split(field.metadata)
    annotation = _held(field.annotation, plain(column_type), limits)
    tightened = FieldInfo.merge_field_infos(field, annotation=annotated(annotation, validators))
    tightened.metadata = []
    return tightened


def _held(annotation: Any, column_type: Column, given: tuple[Any, ...] = ()) -> Any:
    """``annotation`` with the column's bounds at each type in it, and the limits that the schema gave around it."""
    if get_origin(annotation) in (Union, UnionType):
        members = get_args(annotation)
        inside = given if len(members) == 2 and NoneType in members else ()
        union = reduce(operator.or_, (_held(member, column_type, inside) for member in members))
        return union if inside else annotated(union, given)
    if annotation in (None, NoneType):
        return annotation
    leaf, _, metadata = unwrap(annotation)
    if leaf is str and isinstance(column_type, sqltypes.Enum):
        leaf = Literal[tuple(column_type.enums)]
    limits, validators = _split((*metadata, *given))
    own = tuple(_flat(limits))
    added = [limit for limit in bounds(leaf, column_type, own) if not _is_stated(limit, own)]
    if leaf is int and not any(isinstance(limit, Strict) for limit in own):
        added += [Strict(False), BeforeValidator(whole)]
    return annotated(leaf, (*limits, *added, *validators))


def _split(metadata: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The limits that come first, and all from the first validator on."""
    kinds = (BaseMetadata, GroupedMetadata, FieldInfo)
    end = next((index for index, item in enumerate(metadata) if not isinstance(item, kinds)), len(metadata))
    return tuple(metadata[:end]), tuple(metadata[end:])


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """The limits that a schema states, one by one."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, GroupedMetadata):
            yield from _flat(item)
        else:
            yield item


def _is_stated(limit: Any, own: Iterable[Any]) -> bool:
    """Whether the schema states a limit of this kind itself, and no wider one."""
    if isinstance(limit, Ge):
        lows: list[Any] = [
            stated.ge if isinstance(stated, Ge) else stated.gt for stated in own if isinstance(stated, (Ge, Gt))
        ]
        return any(low >= limit.ge for low in lows)
    if isinstance(limit, Le):
        highs: list[Any] = [
            stated.le if isinstance(stated, Le) else stated.lt for stated in own if isinstance(stated, (Le, Lt))
        ]
        return any(high <= limit.le for high in highs)
    if isinstance(limit, MaxLen):
        return any(stated.max_length <= limit.max_length for stated in own if isinstance(stated, MaxLen))
    return False


def whole(value: Any) -> Any:
    """Let ``3.0`` be the integer that JSON Schema says it is, and refuse text and booleans, which pydantic would take."""
    if isinstance(value, (bool, str)):
        raise PydanticKnownError("int_type")
    return value
