"""``RouterSchema``: the tree form of a declaration, nested to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from fastapix5.checks import ATTRIBUTES, check_keywords
from fastapix5.declarations import Declaration, shown, varied
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.permissions import SecurityScopes
from fastapix5.planner import compile_declaration
from fastapix5.routers import PlanRouter
from fastapix5.viewsets import (
    CreateModelMixin,
    DestroyModelMixin,
    GenericViewSet,
    ListModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
)


class RouterSchema:
    """A resource and what hangs below it: ``/companies/{company_id}/departments/{department_id}/teams``.

    Args:
        name: The path's segment; the table's name without it.
        viewset: A viewset class, or an instance of one, where the resource has one.
        children: The resources below; each row of one belongs to the row above.
        attributes: What a viewset declares: ``model``, ``read_schema``, ``permission_classes``, ... Without a create or
            update schema those methods are not offered; DELETE is with either of them, or where the scopes name it.

    Raises:
        ImproperlyConfigured: A keyword is unknown, or a child is no ``RouterSchema``.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        viewset: type[GenericViewSet[Any]] | GenericViewSet[Any] | None = None,
        children: Sequence[RouterSchema] = (),
        **attributes: Any,
    ) -> None:
        where = title(name)
        check_keywords(where, attributes, ATTRIBUTES | {"viewset", "children"})
        check_viewset(where, viewset)
        self.name = name
        self.viewset = viewset
        self.children = checked_children(where, children)
        self.attributes = attributes if name is None else {**attributes, "name": name}

    @cached_property
    def router(self) -> PlanRouter:
        """The compiled tree, to be given to ``include_router``.

        Raises:
            ImproperlyConfigured: Something in the declaration is wrong: where, what, and the remedy.
        """
        router = PlanRouter()
        router.add_resource(compile_declaration(self.declaration(), GenericViewSet))
        return router

    def declaration(self) -> Declaration:
        """The tree as the planner takes it."""
        return Declaration(self._prototype(), tuple(child.declaration() for child in self.children))

    def _prototype(self) -> GenericViewSet[Any]:
        if isinstance(self.viewset, GenericViewSet):
            # A copy: the same viewset may stand alone elsewhere, under another name.
            return varied(self.viewset, self.attributes)  # type: ignore[no-any-return]
        return (self.viewset or self._viewset_class())(**self.attributes)

    def _viewset_class(self) -> type[GenericViewSet[Any]]:
        creates = self.attributes.get("create_schema") is not None
        updates = self.attributes.get("update_schema") is not None
        scopes = self.attributes.get("security_scopes")
        deletes = isinstance(scopes, SecurityScopes) and scopes.names("destroy", "DELETE")
        offered: list[type[Any]] = [
            *([CreateModelMixin] if creates else []),
            RetrieveModelMixin,
            *([UpdateModelMixin] if updates else []),
            *([DestroyModelMixin] if creates or updates or deletes else []),
            ListModelMixin,
        ]
        return type(title(self.name), (*offered, GenericViewSet), {"__module__": __name__})


def title(name: str | None) -> str:
    """How a node is called in errors: as it was written."""
    return "RouterSchema" if name is None else f'RouterSchema("{name}")'


def check_viewset(where: str, viewset: Any) -> None:
    """Refuse what is no viewset.

    Raises:
        ImproperlyConfigured: It is something else.
    """
    made = viewset if isinstance(viewset, type) else type(viewset)
    if viewset is not None and not issubclass(made, GenericViewSet):
        raise ImproperlyConfigured(
            f"{where}.viewset",
            f"{shown(viewset)} is not a viewset.",
            "Give a subclass of GenericViewSet, or model and schemas.",
        )


def checked_children(where: str, children: Any) -> tuple[RouterSchema, ...]:
    """Return the nodes below.

    Raises:
        ImproperlyConfigured: One is no ``RouterSchema``, or there is no list.
    """
    if not isinstance(children, Sequence) or isinstance(children, str):
        raise ImproperlyConfigured(f"{where}.children", f"{shown(children)} is not a list.", "Write children = [...].")
    for child in children:
        if not isinstance(child, RouterSchema):
            raise ImproperlyConfigured(
                f"{where}.children",
                f"{shown(child)} is not a RouterSchema.",
                "Write RouterSchema(viewset=YourViewSet).",
            )
    return tuple(children)
