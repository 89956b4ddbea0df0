"""Steps 7 to 9 on rows: the object, and what each action does.

A handler takes the view and the body, and returns what is rendered. ``choose`` picks one for a route when it is
planned. A *direct* handler goes from SQL to the schema's instance in one statement; the others make objects of the
model, for permissions that look at them and for hooks that want them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sqlalchemy import inspect
from sqlalchemy.orm import Mapper
from starlette.responses import Response

from fastapix5.actions import Action
from fastapix5.ancestors import narrowing, row, rows, verify
from fastapix5.concurrency import call
from fastapix5.db.errors import translated
from fastapix5.db.sessions import get_session
from fastapix5.exceptions import (
    DoesNotExist,
    FieldError,
    NotAuthenticated,
    PermissionDenied,
    ValidationFailed,
)
from fastapix5.lists import Listing, Mapped
from fastapix5.plan import BodyPlan, Handler
from fastapix5.repositories import QuerySet, Read, row_key
from fastapix5.repositories.facts import facts_of
from fastapix5.repositories.shapes import Fact
from fastapix5.schemas import body_values


@dataclass
class Body:
    """What came in the body: the values that FastAPI's parameters got, or why there are none.

    The error waits here until steps 6 to 8 are decided: a missing row with a wrong body is 404.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    def data(self, plan: BodyPlan) -> dict[str, Any]:
        """The model's attributes and their new values."""
        if self.error is not None:
            raise self.error
        return body_values(self.values["data"], plan.fields, partial=plan.partial)

    def sent(self, plan: BodyPlan) -> set[str]:
        """The attributes that the body names, null or not."""
        return set(body_values(self.values["data"], plan.fields, partial=True))


async def fetch_object(view: Any, *, lock: bool) -> Any:
    """Load the row that the path names, and check the permissions that look at it.

    Raises:
        DoesNotExist: The row, or an ancestor, is not there.
        PermissionDenied: The caller may read the row and may not do this to it.
    """
    queryset = await row(view)
    if lock:
        queryset = queryset.select_for_update()
    if view.plan is not None and view.plan.output.read is not None:
        queryset = queryset.loading(view.plan.output.read.selection)
    instance = await queryset.get()
    await call(view.check_object_permissions, instance)
    return instance


def denied(view: Any) -> Exception:
    """What a refusal is called: 401 for a stranger where credentials could help, else 403."""
    if not view.access.is_authenticated and view.authenticates:
        return NotAuthenticated()
    return PermissionDenied()


async def find(view: Any) -> None:
    """Decide steps 6 to 8 by themselves. An action looks for its object when it wants to.

    Raises:
        DoesNotExist: The row, or an ancestor, is not there.
        PermissionDenied: The caller may not do this to the row.
    """
    if view.plan.key is None or view.plan.function is not None:
        await verify(view)
    else:
        await call(view.get_object)


# Step 9: lists


async def list_rows(view: Any, _body: Body) -> Any:
    """Filter, order and cut the rows; what the read schema shows is all that is selected."""
    queryset = await call(view.filter_queryset, await rows(view))
    # A queryset class of the user's own may show rows in its own way.
    if view.plan.output.mappings is None or type(queryset).as_schema is not QuerySet.as_schema:
        return await call(view.paginate_queryset, queryset)
    return Mapped(await Listing(view, queryset, mapped=True).answer())


# Step 9: one row


async def retrieve_row(view: Any, _body: Body) -> Any:
    """One statement, from SQL to the schema's instance."""
    return await (await row(view)).get_as(view.plan.output.read)


async def retrieve_object(view: Any, _body: Body) -> Any:
    """Load the object, for a permission that looks at it."""
    return await render(view, await call(view.get_object))


async def create_row(view: Any, body: Body) -> Any:
    """One INSERT that carries the ancestors' facts and returns what the read schema shows."""
    data = await _data(view, body, verify)
    written = await view.repository.insert_row(
        data, view.plan.output.read, view.ancestors.facts, within=narrowing(view)
    )
    if written is None:
        raise DoesNotExist(view.model.__name__)
    view.location = written.extra
    return written.instance


async def create_object(view: Any, body: Body) -> Any:
    """``perform_create()``, or what stands in for it below."""
    await verify(view)
    data = await _data(view, body, None)
    instance = await call(view.perform_create, data)
    await keep(view, instance)
    view.location = tuple(getattr(instance, name) for name in view.key.fields)
    return await render(view, instance)


async def keep(view: Any, instance: Any) -> None:
    """Write what a hook changed on an object, and refuse it where the caller could no longer read the row.

    Raises:
        RowPolicyViolation: The row would leave the caller's reach, or that of the viewset.
    """
    with translated(view.repository.mapper):
        await get_session(view.repository.using).flush()
    await view.repository.check_reach(instance, narrowing(view))


async def update_row(view: Any, body: Body) -> Any:
    """One UPDATE that carries every condition and returns what the read schema shows."""
    data = await _data(view, body, _exists)
    queryset = await row(view)
    if not data:
        return await queryset.get_as(view.plan.output.read)
    return await _updated(view, data, facts_of(queryset))


async def update_loaded_row(view: Any, body: Body) -> Any:
    """Load and lock the object for the permissions that look at it, then write its row in one UPDATE."""
    instance = await call(view.get_object)
    data = await _data(view, body, None)
    if not data:
        return await render(view, instance)
    return await _updated(view, data, facts_of(QuerySet(view.model).at(instance)))


async def update_object(view: Any, body: Body) -> Any:
    """Load and lock the object, then ``perform_update()``."""
    instance = await call(view.get_object)
    data = await _data(view, body, None)
    updated = await call(view.perform_update, instance, data)
    instance = instance if updated is None else updated
    await keep(view, instance)
    return await render(view, instance)


async def destroy_row(view: Any, _body: Body) -> None:
    """One DELETE that carries every condition."""
    if not await view.repository.delete_rows(facts_of(await row(view))):
        raise DoesNotExist(view.model.__name__)


async def destroy_loaded_row(view: Any, _body: Body) -> None:
    """Load and lock the object for the permissions that look at it, then delete its row."""
    instance = await call(view.get_object)
    if not await view.repository.delete_rows(facts_of(QuerySet(view.model).at(instance))):
        raise DoesNotExist(view.model.__name__)


async def destroy_object(view: Any, _body: Body) -> None:
    """Load and lock the object, then ``perform_destroy()``."""
    await call(view.perform_destroy, await call(view.get_object))


# Step 9: the user's own methods


async def run_action(view: Any, body: Body) -> Any:
    """An ``@action``: its body is valid and the ancestors are there before it runs."""
    await verify(view)
    if body.error is not None:
        raise body.error
    method = getattr(view, view.action)
    keys = {name: value for name, value in view.kwargs.items() if name in view.plan.takes}
    return await present(view, await call(method, **body.values, **keys))


async def run_overridden(view: Any, body: Body) -> Any:
    """A standard action that the viewset overrides."""
    await verify(view)
    method = getattr(view, view.action)
    if view.plan.body is None:
        return await present(view, await call(method))
    return await present(view, await call(method, await _data(view, body, find)))


async def present(view: Any, result: Any) -> Any:
    """What a user's method returned, as the answer shows it: objects of the model become the read schema's."""
    output = view.plan.output
    if isinstance(result, Response) or output.adapter is None:
        return result
    if output.read is not None:
        if isinstance(result, view.model) and output.response_type in (output.schema, Any):
            return await render(view, result)
        if isinstance(result, (list, tuple)) and result and all(isinstance(item, view.model) for item in result):
            return await render_all(view, result)
    if output.response_type is Any:
        refuse_objects(result, view)
    return output.adapter.validate_python(result, from_attributes=True)


def refuse_objects(result: Any, view: Any) -> None:
    """Refuse objects of a model inside an answer that no schema describes: every column would be sent.

    Raises:
        TypeError: One is there.
    """
    items = result.values() if isinstance(result, Mapping) else result
    if isinstance(items, (list, tuple, set, frozenset)) or isinstance(result, Mapping):
        for item in items:
            refuse_objects(item, view)
    elif isinstance(inspect(type(result), raiseerr=False), Mapper):
        raise TypeError(
            f"{view.plan.where} returns a {type(result).__name__} inside its answer: annotate what it returns."
        )


async def render(view: Any, instance: Any) -> BaseModel:
    """What the read schema shows of an object; see ``render_all``."""
    return (await render_all(view, [instance]))[0]


async def render_all(view: Any, instances: Sequence[Any]) -> list[BaseModel]:
    """What the read schema shows of objects. Where a relation that it shows is not loaded, all are read once more."""
    read = view.plan.output.read
    if not any(_is_incomplete(view, read, instance) for instance in instances):
        return [read.selection.from_object(instance) for instance in instances]
    shown = await QuerySet(view.model, view.repository.using).at(*instances).by_key(read)
    return [shown[row_key(view.repository.mapper, instance)] for instance in instances]


def _is_incomplete(view: Any, read: Read, instance: Any) -> bool:
    relations = {relation.field.attribute for relation in read.selection.relations}
    columns = {found.attribute for found in read.selection.columns}
    # After a write a relation may show what a foreign key named before.
    written = not view.plan.safe and bool(relations)
    return written or bool(inspect(instance).unloaded & (relations | columns))


async def _data(view: Any, body: Body, decide: Any) -> dict[str, Any]:
    """The body's values with the parent's key from the URL.

    Where the body is wrong, ``decide`` settles first whether the rows that the path names are there.
    """
    try:
        return _with_parent(view, body)
    except Exception:
        if decide is not None:
            await decide(view)
        raise


def _with_parent(view: Any, body: Body) -> dict[str, Any]:
    plan: BodyPlan = view.plan.body
    above = view.ancestors.values
    data = body.data(plan)
    if not above:
        return data
    for name in body.sent(plan) & above.keys():
        if data[name] != above[name]:
            raise ValidationFailed([FieldError(plan.places[name], "contradicts_url", "The URL says otherwise.")])
    if plan.partial:
        return {name: value for name, value in data.items() if name not in above}
    return {**data, **above}


async def _exists(view: Any) -> None:
    if not await (await row(view)).exists():
        raise DoesNotExist(view.model.__name__)


async def _updated(view: Any, data: Mapping[str, Any], where: Sequence[Fact]) -> BaseModel:
    written = await view.repository.update_rows(data, view.plan.output.read, where, within=narrowing(view))
    if written is None:
        raise DoesNotExist(view.model.__name__)
    return written.instance  # type: ignore[no-any-return]


# By action: without an object, with one that is loaded, and with the hooks.
HANDLERS: Mapping[Action, tuple[Handler, Handler, Handler]] = {
    Action.LIST: (list_rows, list_rows, list_rows),
    Action.RETRIEVE: (retrieve_row, retrieve_object, retrieve_object),
    Action.CREATE: (create_row, create_row, create_object),
    Action.UPDATE: (update_row, update_loaded_row, update_object),
    Action.PARTIAL_UPDATE: (update_row, update_loaded_row, update_object),
    Action.DESTROY: (destroy_row, destroy_loaded_row, destroy_object),
}


def choose(action: Action, *, loads: bool, direct: bool, overridden: bool) -> Handler:
    """The handler of a standard action.

    Args:
        action: Which one.
        loads: Whether the object must be loaded first.
        direct: Whether one statement does the rest.
        overridden: Whether the viewset has a method of its own for it.
    """
    if overridden:
        return run_overridden
    without, loaded, hooks = HANDLERS[action]
    if not direct:
        return hooks
    return loaded if loads else without
