"""``RouterSchema``: the tree form of a declaration, nested to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from fastapix5.checks import ATTRIBUTES, check_keywords
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.planner import Declaration, compile_declaration
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
            update schema those methods are not offered.

    Raises:
        ImproperlyConfigured: A keyword is unknown.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        viewset: type[GenericViewSet[Any]] | GenericViewSet[Any] | None = None,
        children: Sequence[RouterSchema] = (),
        **attributes: Any,
    ) -> None:
        where = f"RouterSchema({name!r})"
        check_keywords(where, attributes, ATTRIBUTES | {"viewset", "children"})
        for child in children:
            if not isinstance(child, RouterSchema):
                raise ImproperlyConfigured(
                    f"{where}.children", f"{child!r} is not a RouterSchema.", "Write RouterSchema(viewset=YourViewSet)."
                )
        self.name = name
        self.viewset = viewset
        self.children = tuple(children)
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
            return type(self.viewset)(**{**declared(self.viewset), **self.attributes})
        return (self.viewset or self._viewset_class())(**self.attributes)

    def _viewset_class(self) -> type[GenericViewSet[Any]]:
        offered: list[type[Any]] = [ListModelMixin, RetrieveModelMixin]
        if "create_schema" in self.attributes:
            offered.append(CreateModelMixin)
        if "update_schema" in self.attributes:
            offered.append(UpdateModelMixin)
        if "create_schema" in self.attributes or "update_schema" in self.attributes:
            offered.append(DestroyModelMixin)
        title = "".join(part.capitalize() for part in str(self.name or "").replace("-", "_").split("_"))
        return type(f"{title or 'Node'}Schema", (*offered, GenericViewSet), {"__module__": __name__})


def declared(viewset: GenericViewSet[Any]) -> dict[str, Any]:
    """The keywords that a viewset was made with."""
    return {name: value for name, value in vars(viewset).items() if name in ATTRIBUTES}
