"""From plans to routes: a router that holds the trees of any number of viewsets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from fastapi import APIRouter, params
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from fastapix5.checks import Place, anonymous, check_routes
from fastapix5.endpoints import ViewSetRoute, with_problems
from fastapix5.plan import ResourcePlan, RoutePlan


class PlanRouter(APIRouter):
    """An ``APIRouter`` made of plans; it is included like any other.

    Args:
        prefix: Stands before every path.
        dependencies: Run for every request, as those of ``include_router`` do.
        tags: Stand before those of each viewset.
        deprecated: Marks every route in OpenAPI.
        include_in_schema: Whether OpenAPI shows the routes.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        dependencies: Sequence[params.Depends] = (),
        tags: Sequence[str] = (),
        deprecated: bool | None = None,
        include_in_schema: bool = True,
    ) -> None:
        super().__init__(
            prefix=prefix,
            dependencies=list(dependencies),
            tags=list(tags),
            deprecated=deprecated,
            include_in_schema=include_in_schema,
        )
        self._plans: dict[Place, RoutePlan] = {}

    @property
    def plans(self) -> tuple[RoutePlan, ...]:
        """Every route that the router holds, as planned."""
        return tuple(self._plans.values())

    def add_resource(self, resource: ResourcePlan) -> None:
        """Add the routes of a viewset and of everything below it.

        Raises:
            ImproperlyConfigured: A path and method are taken already.
        """
        plans = resource.walk()
        self._plans |= check_routes(plans, self._plans)
        self.routes.extend(self._routes(plans))
        self._mark_routes_changed()

    def _routes(self, plans: Iterable[RoutePlan]) -> Iterator[BaseRoute]:
        """One route for each method of a path, and one that answers every other method."""
        ordered = sorted(plans, key=lambda plan: (static_first(plan.path), anonymous(plan.path)))
        paths = {anonymous(plan.path) for plan in ordered}
        for _, group in groupby(ordered, key=lambda plan: anonymous(plan.path)):
            same_path = list(group)
            others = OtherMethods(same_path)
            for plan in same_path:
                yield ViewSetRoute(plan, plan.method, self, others)
                if plan.method == "GET":
                    yield ViewSetRoute(plan, "HEAD", self, others)
            path = same_path[0].path
            # Another route of the application may have the path's other methods, but a key must not: /late is no flight.
            # Starlette takes an empty list for every method.
            methods = [] if hides_a_key(path, paths) else ["OPTIONS"]
            yield Route(self.prefix + path, others, methods=methods, include_in_schema=False)


class OtherMethods:
    """Answers OPTIONS, and every method that a path does not have, with ``Allow``. Needs no authentication."""

    def __init__(self, plans: Iterable[RoutePlan]) -> None:
        methods = {plan.method for plan in plans} | {"OPTIONS"}
        self.allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await with_problems(self._handled, scope, receive, send, None)

    async def _handled(self, scope: Scope, receive: Receive, send: Send) -> None:
        await wrap_app_handling_exceptions(self._answer, Request(scope))(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "OPTIONS":
            raise HTTPException(405, headers={"Allow": self.allow})
        await Response(status_code=204, headers={"Allow": self.allow})(scope, receive, send)


def static_first(path: str) -> tuple[int, ...]:
    """Sorts a static segment before a key in the same place."""
    return tuple(int(part.startswith("{")) for part in path.split("/"))


def hides_a_key(path: str, paths: Collection[str]) -> bool:
    """Whether a path's last segment is static, and a path of the same router has a key there."""
    above, _, last = path.rpartition("/")
    return not last.startswith("{") and f"{anonymous(above)}/{{}}" in paths
