"""One request, in the order that a caller can observe. The numbers are those of ``answer`` and of the architecture page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from starlette.authentication import AuthCredentials
from starlette.requests import Request
from starlette.responses import Response

from fastapix5.access import ANONYMOUS, Access, current_access
from fastapix5.ancestors import resolve_ancestors
from fastapix5.authentication import BaseAuthentication
from fastapix5.concurrency import is_pending
from fastapix5.db.direct import stands_alone
from fastapix5.db.retries import run_unit
from fastapix5.db.sessions import current_scope, session_scope
from fastapix5.db.transactions import atomic
from fastapix5.exceptions import CredentialsError, FieldError, SerializationFailure, ValidationFailed
from fastapix5.handlers import Body, denied, find
from fastapix5.lists import Mapped
from fastapix5.parameters import parse_query, query_items, quoted, quoted_path
from fastapix5.permissions import granted_scope
from fastapix5.plan import MADE, RoutePlan
from fastapix5.settings import settings
from fastapix5.throttling import check_throttles


class Solved(Protocol):
    """What the FastAPI dependencies of a route left behind."""

    def finish(self, response: Response) -> None:
        """Give the response the headers and background tasks that they asked for."""

    def remember(self) -> Callable[[], None]:
        """Return what takes back headers and background tasks that are added from here on."""


S = TypeVar("S", bound=Solved)


class Inclusion(Protocol[S]):
    """A route as it was included: what FastAPI adds to its plan.

    Attributes:
        plan: The route's.
        solves: Whether there is anything to ``solve`` in step 5.
        waits: Whether a dependency reads the body, so that all of them run in step 9.
        has_body: Whether anything takes the body.
    """

    plan: RoutePlan
    solves: bool
    waits: bool
    has_body: bool

    def known_parameters(self) -> Mapping[str, bool]:
        """Query parameters that FastAPI dependencies and actions declare, and whether each takes a list."""

    async def solve(self, request: Request) -> S:
        """Run the dependencies that need no body, and parse the parameters of an action."""

    async def read_body(self, request: Request) -> bytes | Exception:
        """Read the body, or say why it cannot be taken."""

    def parse_body(self, raw: bytes | Exception, solved: S | None) -> Body:
        """Parse the body; what is wrong with it waits in the ``Body``."""

    async def solve_with_body(self, request: Request, raw: bytes | Exception) -> tuple[Body, S | None]:
        """Run the dependencies that waited for the body, and parse it."""


async def answer(inclusion: Inclusion[S], request: Request) -> Response:
    """Serve one request.

    1. route: FastAPI's and the router's work, done before this is called
    2. authenticate
    3. permissions, those of the ancestors first
    4. throttles
    5. path and query, then the FastAPI dependencies that need no body
    6. ancestors
    7. object
    8. object permission
    9. body, service, repository
    10. render, commit
    11. send: Starlette's work, done after this returns

    Steps 7 to 9 are the handler's, since the object, its permissions and the write often share one statement. In an
    unsafe method steps 6 to 10 are one transaction, and run again on a fresh view where it could not hold beside others;
    where one statement is all of it, the statement is the transaction.

    Raises:
        Error: Whatever refuses the request; ``problems`` says how it looks.
    """
    plan = inclusion.plan
    view = plan.prototype.for_request(request, plan.attributes)
    try:
        # Open from the start: an authentication or a permission may ask the database too. Nothing connects before.
        async with session_scope():
            settle(view, await authenticate(plan, request) if plan.policies.authentication else ANONYMOUS)
            above = parent_views(view) if plan.parents else ()
            refused = parse_keys(view, above)
            if not plan.is_open:
                await check_permissions(view, above)
            if plan.policies.throttles:
                await check_throttles(plan.policies.throttles, request, view)
            parse_parameters(view, refused, inclusion.known_parameters)
            solved = await inclusion.solve(request) if inclusion.solves else None
            raw = await inclusion.read_body(request) if inclusion.has_body else b""
            if plan.safe:
                response, solved = await attempt(inclusion, view, above, solved, raw)
            else:
                response, solved = await Attempts(inclusion, view, above, solved, raw).make()
    except CredentialsError as error:
        error.challenge = challenge(view, request)
        raise
    if solved is not None:
        solved.finish(response)
    return response


# 2


async def authenticate(plan: RoutePlan, request: Request) -> Access:
    """Ask each authentication in turn; the first that finds its kind of credentials decides.

    Raises:
        AuthenticationFailed: Credentials were given and do not hold.
    """
    for authentication in plan.policies.authentication:
        found: Any = authentication.authenticate(request)
        access: Access | None = await found if is_pending(found) else found
        if access is not None:
            return access
    return ANONYMOUS


def settle(view: Any, access: Access) -> None:
    """Tell the view, the row policies and Starlette who is asking."""
    view.access = access
    current_access.set(access)
    scope = view.request.scope
    scope["user"], scope["auth"] = access, AuthCredentials(sorted(access.scopes))


def challenge(view: Any, request: Request) -> str:
    """What WWW-Authenticate says: the first authentication's way (RFC 9110, 11.6.1)."""
    authentication: tuple[BaseAuthentication, ...] = view.plan.policies.authentication
    return authentication[0].authenticate_header(request) if authentication else "Bearer"


# 3


def parent_views(view: Any) -> tuple[Any, ...]:
    """The ancestors' viewsets for this request, each as its retrieve."""
    views = []
    for parent, attributes in zip(view.plan.parents, view.plan.ancestor_attributes, strict=True):
        above = parent.prototype.for_request(view.request, attributes)
        above.access = view.access
        views.append(above)
    return tuple(views)


def parse_keys(view: Any, views: tuple[Any, ...]) -> list[FieldError]:
    """Parse the keys of the path for the permissions to see, and return what is wrong with them.

    A key that is of the wrong type stays as it was written: the permissions come first, and then it is refused.
    """
    refused: list[FieldError] = []
    texts = view.request.scope["path_params"]
    for key in view.plan.keys:
        text = texts[key.kwarg]
        try:
            view.keys[key.kwarg] = key.parse(text)
        except ValidationFailed as error:
            refused.extend(error.errors)
            view.keys[key.kwarg] = dict.fromkeys(key.fields, text)
    if views:
        kwargs = view.kwargs
        for above, parent in zip(views, view.plan.parents, strict=True):
            above.keys = view.keys
            above.parents = dict(view.parents)
            view.parents[parent.name] = kwargs[parent.key.kwarg]
    return refused


async def check_permissions(view: Any, views: tuple[Any, ...]) -> None:
    """Ask every permission, from the outermost ancestor inwards.

    Raises:
        NotAuthenticated: One refuses a stranger.
        PermissionDenied: One refuses somebody known.
    """
    known = view.access
    for asked, gate in zip((*views, view), view.plan.gates, strict=True):
        for permission in gate.asked:
            verdict = permission.has_permission(view.request, asked)
            if not (await verdict if is_pending(verdict) else verdict):
                raise denied(asked)
        scope = granted_scope(gate.granting, asked.access)
        if scope != asked.access.scope:
            asked.access = replace(asked.access, scope=scope)
    if view.access is not known:
        settle(view, view.access)


# 5


def parse_parameters(view: Any, refused: Sequence[FieldError], known: Callable[[], Mapping[str, bool]]) -> None:
    """Parse the query string, once the keys of the path are right.

    Args:
        view: The request's viewset, which gets the values.
        refused: What is wrong with the keys.
        known: Returns the parameters that others parse, and whether each takes a list.

    Raises:
        ValidationFailed: With every wrong place of the path, else of the query.
    """
    if refused:
        raise ValidationFailed(refused)
    plan, written = view.plan, view.request.scope["query_string"]
    if written:
        view.query_items = query_items(written)
        view.query = parse_query(view.query_items, plan.parameters, plan.defaults, known(), lenient=plan.lenient)
    else:
        view.query = dict(plan.defaults)


# 6 to 10


async def attempt(
    inclusion: Inclusion[S], view: Any, above: tuple[Any, ...], solved: S | None, raw: bytes | Exception
) -> tuple[Response, S | None]:
    """Make steps 6 to 10, from what the steps before have left, and return what the dependencies left in the end.

    Args:
        inclusion: The route.
        view: The request's viewset.
        above: Those of the ancestors.
        solved: What the dependencies left in step 5.
        raw: The body, or why it cannot be taken.
    """
    plan = inclusion.plan
    # A permission may have asked for rows before its scope was granted.
    view.row_limits = None
    if above:
        view.ancestors = await resolve_ancestors(plan.parents, above, plan.link)
    if inclusion.waits:
        # A dependency that reads the body runs only where there is something to write to.
        await find(view)
        body, solved = await inclusion.solve_with_body(view.request, raw)
    else:
        body = inclusion.parse_body(raw, solved)
    return render(view, await plan.handler(view, body)), solved


class Attempts(Generic[S]):
    """Steps 6 to 10 of an unsafe method, which may run more than once: each time from what was there before the first.

    It takes what ``attempt`` takes.
    """

    def __init__(
        self, inclusion: Inclusion[S], view: Any, above: tuple[Any, ...], solved: S | None, raw: bytes | Exception
    ) -> None:
        self.inclusion = inclusion
        self.view = view
        self.above = above
        self.solved = solved
        self.raw = raw
        self.number = 0
        self.before = [remembered(found) for found in (*above, view)] if inclusion.plan.retry else []
        self.take_back = None if solved is None else solved.remember()

    async def make(self) -> tuple[Response, S | None]:
        """Make attempts until one holds beside others; where one statement is all of it, the first needs no transaction."""
        plan = self.inclusion.plan
        if plan.compiled and plan.around is None and not self.inclusion.waits and stands_alone(plan.using):
            work = current_scope().work(plan.using)
            work.is_alone = True
            try:
                return await self.attempt()
            except SerializationFailure:
                # Nothing was kept.
                if not plan.retry:
                    raise
            finally:
                work.is_alone = False
        return await run_unit(plan.using, lambda: atomic(plan.using), self.attempt, again=plan.retry)

    async def attempt(self) -> tuple[Response, S | None]:
        """Make an attempt."""
        self.number += 1
        if self.number > 1:
            if self.take_back is not None:
                self.take_back()
            *above, self.view = [
                anew(view, state) for view, state in zip((*self.above, self.view), self.before, strict=True)
            ]
            self.above = tuple(above)
        return await attempt(self.inclusion, self.view, self.above, self.solved, self.raw)


def remembered(view: Any) -> dict[str, Any]:
    """The attributes of a view; its own dicts are copied, since a hook may change them."""
    return {name: dict(value) if type(value) is dict else value for name, value in vars(view).items()}


def anew(view: Any, attributes: Mapping[str, Any]) -> Any:
    """Another view with the given attributes; its repository and service are made anew too."""
    fresh = object.__new__(type(view))
    vars(fresh).update(attributes)
    for made in MADE:
        vars(fresh).pop(made, None)
    return fresh


# 10


def render(view: Any, result: Any) -> Response:
    """Serialize what step 9 returned, while a failure can still roll back."""
    output = view.plan.output
    if isinstance(result, Response):
        return result
    if output.adapter is None or (result is None and output.status == 204):
        response = Response(status_code=output.status)
    else:
        serializer: Any = output.adapter.serializer
        if isinstance(result, Mapped):
            serializer, result = output.mappings, result.answer
        # What contradicts its schema is a fault of the code, and must not be sent.
        response = Rendered(serializer.to_json(result, by_alias=True, warnings="error"), output.status)
    if view.location is not None:
        place = location(view.request, view.key.format(view.location))
        response.raw_headers.insert(0, (b"location", place.encode("latin-1")))
    return response


class Rendered(Response):
    """A JSON answer whose bytes are ready, and so are its headers: nothing is left to find out about it.

    Args:
        body: JSON.
        status: The status.
    """

    media_type = "application/json"

    def __init__(self, body: bytes, status: int) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def location(request: Request, key: str) -> str:
    """Where a new row lives: behind the collection's own path."""
    return f"{settings.PUBLIC_BASE_URL or ''}{quoted_path(request)}/{quoted(key)}"
