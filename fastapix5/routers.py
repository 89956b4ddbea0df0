"""From plans to routes: a router that holds any number of viewsets, and finds the one that a path names.

FastAPI asks every route of a router whether it matches, and makes what an inclusion adds (a prefix, dependencies,
overrides) for all routes before it answers the first request. Here a tree of path segments knows the route, and what an
inclusion adds is made for one route, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

from fastapi import APIRouter, params
from fastapi.routing import _EffectiveRouteContext, _get_scope_included_router, _IncludedRouter, iter_route_contexts
from fastapi.telemetry._api import _route_selected
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapix5.actions import METHODS
from fastapix5.checks import Place, anonymous, check_routes
from fastapix5.endpoints import BOUND, BoundRoute, ViewSetRoute, with_handlers
from fastapix5.failures import with_problems
from fastapix5.paths import PathTree, Prefix, Values
from fastapix5.plan import ResourcePlan, RoutePlan

# Where FastAPI's node of an inclusion keeps ours, and where a request keeps what was found for it.
INCLUSION = "fastapix5_inclusion"
FOUND = "fastapix5.found"


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
        self._made = Index(self)

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
        ordered = sorted(plans, key=lambda plan: (static_first(plan.path), anonymous(plan.path)))
        known = self._made if self._made.is_of(self) else None
        self.routes.extend(ViewSetRoute(plan, self) for plan in ordered)
        self._mark_routes_changed()
        # Not left to the first request; where plain routes came between, it is.
        if known is not None:
            self._made = Index(self, known)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the inclusion that FastAPI asks about serves a request."""
        included = _get_scope_included_router(scope)
        if included is None or included.original_router is not self:
            return super().matches(scope)
        found = self._inclusion(included).find(scope)
        if found.app is not None:
            scope[FOUND] = found
        return found.match, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by what ``matches`` found."""
        included = _get_scope_included_router(scope)
        if included is None or included.original_router is not self:
            await super().handle(scope, receive, send)
            return
        found: Found | None = scope.pop(FOUND, None)
        if found is None or found.included is not included:
            found = self._inclusion(included).find(scope)
        scope.update(found.child_scope)
        _route_selected(scope=scope, path=found.path)
        await (found.app or self.default)(scope, receive, send)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an application of its own: where the router is mounted."""
        serve = super().app if scope["type"] == "lifespan" else self._alone.app
        await serve(scope, receive, send)

    @cached_property
    def _alone(self) -> APIRouter:
        outer = APIRouter(redirect_slashes=self.redirect_slashes, default=self.default)
        outer.include_router(self)
        return outer

    @property
    def _index(self) -> Index:
        """Where the routes are; made again where they are not those that it was made of."""
        if not self._made.is_of(self):
            self._made = Index(self)
        return self._made

    def _inclusion(self, included: _IncludedRouter) -> Inclusion:
        index, kept = self._index, vars(included)
        inclusion: Inclusion | None = kept.get(INCLUSION)
        if inclusion is None or inclusion.index is not index:
            inclusion = kept[INCLUSION] = Inclusion(self, index, included)
        return inclusion

    def _get_routes_version(self, seen: set[int] | None = None) -> int:
        """What FastAPI counts, without a walk over every route: a router around this one asks at each request."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return self._routes_version
        seen.add(id(self))
        return self._routes_version + sum(run._get_routes_version(seen) for _, run in self._index.others)  # noqa: SLF001


class Entry(NamedTuple):
    """A viewset's route, where it stands in its router, and the names of the keys in its path."""

    position: int
    route: ViewSetRoute
    names: tuple[str, ...]


class Bound(NamedTuple):
    """A route in one inclusion: its endpoint and its whole path, as FastAPI has them, and what serves it."""

    endpoint: Any
    path: str
    app: ASGIApp


class Found(NamedTuple):
    """What an inclusion has for a request.

    Attributes:
        included: The inclusion, as FastAPI has it.
        match: How well it matches.
        app: What serves the request; None for nothing.
        position: Where in the router that stands.
        child_scope: What it adds to the request's scope.
        path: The whole path of the route, where it is a viewset's.
    """

    included: _IncludedRouter
    match: Match = Match.NONE
    app: ASGIApp | None = None
    position: int = 0
    child_scope: Mapping[str, Any] = {}
    path: str | None = None


# What a path leads to, by method.
Leaf = dict[str, Entry]


class Index:
    """Where the routes of a router are: those of viewsets in a tree, all others in runs as they stand between them.

    A viewset's route and another one keep the order in which they were added: the first that serves the method does.

    Args:
        router: Whose routes they are.
        known: The index of its first routes, which this one takes over.
    """

    def __init__(self, router: APIRouter, known: Index | None = None) -> None:
        self._version, self.size = router._routes_version, len(router.routes)  # noqa: SLF001
        self.tree: PathTree[Leaf] = PathTree() if known is None else known.tree
        self.others: list[tuple[int, APIRouter]] = [] if known is None else known.others
        start = 0 if known is None else known.size
        run: APIRouter | None = None
        for position, route in enumerate(router.routes[start:], start):
            if isinstance(route, ViewSetRoute) and route.path == router.prefix + route.plan.path:
                self._add(position, route)
                run = None
            elif run is None:
                run = APIRouter(routes=[route])
                self.others.append((position, run))
            else:
                run.routes.append(route)

    def is_of(self, router: APIRouter) -> bool:
        """Whether the router still has the routes that it had."""
        return self._version == router._routes_version and self.size == len(router.routes)  # noqa: SLF001

    def _add(self, position: int, route: ViewSetRoute) -> None:
        node = self.tree.at(route.plan.path)
        if node.leaf is None:
            node.leaf = {}
        names = tuple(part[1:-1] for part in route.plan.path.split("/") if part.startswith("{"))
        entry = Entry(position, route, names)
        node.leaf.setdefault(route.plan.method, entry)
        if route.plan.method == "GET":
            node.leaf.setdefault("HEAD", entry)


class Inclusion:
    """An index in one inclusion of its router: behind a prefix, with what the inclusion adds to each route."""

    def __init__(self, router: APIRouter, index: Index, included: _IncludedRouter) -> None:
        self.index = index
        self._included = included
        self._prefix = Prefix(included.include_context.prefix + router.prefix)
        self._head = self._prefix.head(index.tree.trunk)
        self._others = [
            (position, _IncludedRouter(original_router=run, include_context=included.include_context))
            for position, run in index.others
        ]
        self._bound: dict[int, Bound] = {}
        self._nothing = Found(included)

    def find(self, scope: Scope) -> Found:
        """Return the best route for a request."""
        found = self._planned(scope) if scope["type"] == "http" else self._nothing
        for place, run in self._others:
            if found.match is Match.FULL and place > found.position:
                break
            other, _ = run.matches(scope)
            if other is Match.FULL:
                return Found(self._included, other, run.handle)
            if other is Match.PARTIAL and found.match is Match.NONE:
                found = Found(self._included, other, run.handle)
        return found

    def _planned(self, scope: Scope) -> Found:
        """What the viewsets have for a request."""
        whole = get_route_path(scope)
        # Most of many routers are asked in vain.
        if not whole.startswith(self._head):
            return self._nothing
        method, tree = scope["method"], self.index.tree
        missed: list[Leaf] = []
        for above, path in self._prefix.split(whole, tree.depth):
            for node, leaf, values in tree.find(path):
                entry = leaf.get(method)
                if entry is not None:
                    return self._chosen(entry, {**scope.get("path_params", {}), **above}, values)
                missed.append(leaf)
                # Another route of the application may have the other methods, but a key must not: /late is no flight.
                if node.hides_a_key:
                    return Found(self._included, Match.FULL, OtherMethods(missed), position_of(missed))
        if not missed:
            return self._nothing
        match = Match.FULL if method == "OPTIONS" else Match.PARTIAL
        app = OtherMethods(missed, [run for _, run in self._others])
        return Found(self._included, match, app, position_of(missed))

    def _chosen(self, entry: Entry, above: dict[str, Any], values: Values) -> Found:
        bound = self._bound.get(entry.position) or self._bind(entry)
        above.update(zip(entry.names, values, strict=True))
        child_scope = {"route": entry.route, "endpoint": bound.endpoint, "path_params": above}
        return Found(self._included, Match.FULL, bound.app, entry.position, child_scope, bound.path)

    def _bind(self, entry: Entry) -> Bound:
        """What the inclusion makes of a route, made when the route is first asked for."""
        context = cast("_EffectiveRouteContext", self._included._build_effective_context(entry.route))  # noqa: SLF001
        route: BoundRoute = vars(context)[BOUND]
        app: ASGIApp = route
        if not route.idle or context.max_body_size is not None:
            app = partial(with_problems, cast("ASGIApp", context.app), plan=entry.route.plan)
        return self._bound.setdefault(entry.position, Bound(context.endpoint, context.path_format, app))


class OtherMethods:
    """Answers OPTIONS, and every method that a path does not have, with ``Allow``. Needs no authentication.

    Args:
        leaves: What the viewsets have for the path.
        others: The other routes of the router.
    """

    def __init__(self, leaves: Iterable[Leaf], others: Iterable[BaseRoute] = ()) -> None:
        self.methods = {"OPTIONS"}.union(*leaves)
        self.others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await with_handlers(self._answer, Request(scope, receive, send), send, None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods = self.methods.union(*(offered(route, scope) for route in self.others))
        headers = {"Allow": ", ".join(sorted(methods))}
        if scope["method"] != "OPTIONS":
            raise HTTPException(405, headers=headers)
        await Response(status_code=204, headers=headers)(scope, receive, send)


def offered(route: BaseRoute, scope: Scope) -> set[str]:
    """The methods that a route has for the path of a request."""
    asked = (*METHODS, "HEAD")
    return {method for method in asked if route.matches({**scope, "method": method})[0] is Match.FULL}


def position_of(leaves: Sequence[Leaf]) -> int:
    """Where the first route of the first path stands."""
    return next(iter(leaves[0].values())).position


def static_first(path: str) -> tuple[int, ...]:
    """Sorts a static segment before a key in the same place."""
    return tuple(int(part.startswith("{")) for part in path.split("/"))


class ListedRoute(NamedTuple):
    """A route as an application has it: behind every prefix and mount. Routes of viewsets have a plan."""

    path: str
    methods: frozenset[str]
    name: str
    operation: str
    endpoint: Any
    plan: RoutePlan | None


def list_routes(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[ListedRoute]:
    """Yield every route of an application or router in its order, those of what is included or mounted too."""
    for found in iter_route_contexts(routes):
        path = prefix + (found.path or "")
        mounted = getattr(found, "routes", None)
        if mounted:
            yield from list_routes(mounted, path)
            continue
        plan: RoutePlan | None = getattr(found.original_route, "plan", None)
        name = found.name or ""
        operation = getattr(found, "operation_id", None) or getattr(found, "unique_id", None) or name
        endpoint = getattr(found, "endpoint", None) if plan is None else None
        yield ListedRoute(path, frozenset(found.methods or ()), name, operation, endpoint, plan)
