"""The types of a route: what its body takes, and what it answers with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, get_args, get_origin

from fastapi import UploadFile, params
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from sqlalchemy.orm import Mapper
from starlette.responses import Response

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.keys import camel, foreign_keys
from fastapix5.plan import BodyPlan
from fastapix5.schemas import Selection, input_columns, input_schema, mapper_of, partial_schema, schema_fields


def body_of(
    schema: type[BaseModel],
    mapper: Mapper[Any],
    link: Mapping[str, str],
    parent: Mapper[Any] | None,
    where: str,
    *,
    partial: bool,
) -> BodyPlan:
    """Return what a standard action takes: ``schema``, held to what the columns store.

    Args:
        schema: As it was declared.
        mapper: The model's.
        link: The attributes that refer to the parent: the path says them already, so the body need not.
        parent: The parent's mapper, or None.
        where: Opens the sentence of an error.
        partial: Whether every field is optional (PATCH).

    Raises:
        ImproperlyConfigured: A field stands for no column.
    """
    model: Any = mapper.class_
    input_columns(schema, model, where)
    above: Any = None if parent is None else parent.class_
    enforced = _enforced(schema, model, tuple(link), above, partial)
    return BodyPlan(enforced, schema_fields(enforced, model, where), partial)


# Two viewsets that take the same schema share what is made of it, so that OpenAPI has one of its name.
@lru_cache(maxsize=4096)
def _enforced(
    schema: type[BaseModel], model: Any, link: tuple[str, ...], parent: Any, partial: bool
) -> type[BaseModel]:
    enforced = input_schema(schema, model, schema.__name__)
    said = [field.name for field in schema_fields(schema, model, schema.__name__) if field.attribute in link]
    if said and parent is not None:
        enforced = partial_schema(enforced, below(schema, model, link, parent), only=said)
    return partial_schema(enforced, f"Patched{enforced.__name__}") if partial else enforced


def below(schema: type[BaseModel], model: Any, link: tuple[str, ...], parent: Any) -> str:
    """How a schema is called below a parent: by the parent, or by the foreign key where several lead to it."""
    several = len(foreign_keys(mapper_of(model), mapper_of(parent))) > 1
    which = "".join(camel(name.removesuffix("_id")) for name in link) if several else parent.__name__
    return f"{which}{schema.__name__}"


def shown_paths(selection: Selection, prefix: str = "") -> Iterator[str]:
    """Every attribute path that a selection shows, such as ``origin__name``."""
    for field in selection.columns:
        yield f"{prefix}{field.attribute}"
    for relation in selection.relations:
        yield from shown_paths(relation.selection, f"{prefix}{relation.field.attribute}__")


def signature_of(function: Any, where: str) -> inspect.Signature:
    """Return the signature of an action's method, its annotations resolved.

    Raises:
        ImproperlyConfigured: FastAPI could not tell where a parameter comes from.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        what = f'its signature names "{error.name}", which is not defined in its module.'
        raise ImproperlyConfigured(where, what, "Import it at the top, and not under TYPE_CHECKING.") from None
    for parameter in signature.parameters.values():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if variadic or (parameter.annotation is parameter.empty and parameter.default is parameter.empty):
            fault = "takes anything" if variadic else "has no annotation"
            what = f'its parameter "{parameter}" {fault}, so nothing tells where it comes from.'
            remedy = "Annotate it, or drop it: the request is self.request and the keys of the path are in self.kwargs."
            raise ImproperlyConfigured(where, what, remedy)
        if is_form(parameter):
            what = f'its parameter "{parameter.name}" is a form field.'
            raise ImproperlyConfigured(where, what, "Take it from a JSON body instead.")
    return signature


def is_form(parameter: inspect.Parameter) -> bool:
    """Whether FastAPI would take a parameter from a form: only JSON bodies are taken."""
    marks = (parameter.default, *get_args(parameter.annotation))
    return parameter.annotation is UploadFile or any(isinstance(mark, params.Form) for mark in marks)


def answer_of(signature: inspect.Signature, model: type[Any], schema: type[BaseModel] | None) -> Any:
    """Return what an action's method answers with, by its annotation.

    Objects of the model are answered as the read schema shows them, with an annotation or without.
    """
    annotation = signature.return_annotation
    if annotation is inspect.Signature.empty:
        return Any
    if schema is None:
        return annotation
    if annotation is model:
        return schema
    if get_origin(annotation) is list and get_args(annotation)[0] is model:
        return list[schema]  # type: ignore[valid-type]
    return annotation


def adapter_of(answer: Any, where: str) -> TypeAdapter[Any] | None:
    """Return what serializes an answer; None where there is nothing to serialize: no content, or a Response.

    Raises:
        ImproperlyConfigured: pydantic cannot tell how the type looks as JSON.
    """
    if answer in (None, type(None)) or (inspect.isclass(answer) and issubclass(answer, Response)):
        return None
    try:
        return TypeAdapter(answer)
    except (PydanticSchemaGenerationError, PydanticUserError):
        what = f"{getattr(answer, '__name__', answer)} cannot be shown as JSON."
        raise ImproperlyConfigured(where, what, "Annotate the method with a schema, or with a Response.") from None
