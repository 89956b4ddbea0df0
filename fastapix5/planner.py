"""From declaration to plan, once, when ``.router`` is asked for. Every choice of a route is made here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel, TypeAdapter
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Mapper

from fastapix5 import handlers
from fastapix5.actions import STANDARD, Action, ActionDeclaration, Standard, declared_actions
from fastapix5.authentication import BaseAuthentication
from fastapix5.checks import (
    check_action,
    check_authentication,
    check_bytes,
    check_class,
    check_database,
    check_readable,
    check_same_database,
    check_service,
)
from fastapix5.declarations import Declaration, Declared, check_sync, shown, varied
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.filters import BaseFilterBackend, FilterDeclaration, check_ordering
from fastapix5.keys import key_of, link_of, name_of
from fastapix5.pagination import BasePagination
from fastapix5.parameters import Parameter
from fastapix5.permissions import (
    BasePermission,
    HasScope,
    IsAuthenticated,
    SecurityScopes,
    checks_objects,
    granted_scope,
)
from fastapix5.plan import BodyPlan, Output, ParentPlan, Policies, ResourcePlan, RoutePlan
from fastapix5.problems import ROW, Location
from fastapix5.repositories import Read, Repository, register_policy, register_reading
from fastapix5.schemas import mapper_of, select_for
from fastapix5.schemas.serializing import mapping_serializer
from fastapix5.services import Service
from fastapix5.settings import settings
from fastapix5.shapes import adapter_of, answer_of, body_of, shown_paths, signature_of
from fastapix5.throttling import BaseThrottle

Own = Mapping[str, Any]

# By standard action: the schema of its body, the hook that writes, and the verbs of service and repository below it.
BODIES: Mapping[Action, str] = {
    Action.CREATE: "create_schema",
    Action.UPDATE: "update_schema",
    Action.PARTIAL_UPDATE: "update_schema",
}
WRITES: Mapping[Action, tuple[str, str, str]] = {
    Action.CREATE: ("perform_create", "create", "create"),
    Action.UPDATE: ("perform_update", "update", "update"),
    Action.PARTIAL_UPDATE: ("perform_update", "update", "update"),
    Action.DESTROY: ("perform_destroy", "destroy", "delete"),
}
WITHOUT_CONTENT = (204, 205, 304)
OBJECT_HOOKS = ("get_object", "check_object_permissions")


def compile_declaration(declaration: Declaration, base: type[Any]) -> ResourcePlan:
    """Compile a viewset and its children.

    Args:
        declaration: What was declared.
        base: The root class of viewsets.

    Raises:
        ImproperlyConfigured: Something in the declaration is wrong: where, what, and the remedy.
    """
    return Planner(declaration, None, base).compile()


class Planner:
    """Compiles one viewset; its children get planners of their own.

    Args:
        declaration: The viewset and its children.
        parent: The planner of the viewset above it.
        base: The root class of viewsets.
    """

    def __init__(self, declaration: Declaration, parent: Planner | None, base: type[Any]) -> None:
        check_class(type(declaration.prototype), base)
        self.declaration = declaration
        self.parent = parent
        self.base = base
        self.declared: Declared = Declared(declaration.prototype, None if parent is None else parent.declared)
        self.where = self.declared.where
        self.actions = declared_actions(type(declaration.prototype))
        for action in self.actions:
            check_action(f"{self.where}.{action.name}", action.name, base)
        self.mapper: Mapper[Any] = self._mapper()
        self.model: type[Any] = self.mapper.class_
        self.name = name_of(self.declared, self.mapper)
        self.using: str = self.declared.get("using") or (parent.using if parent else "default")
        check_database(f"{self.where}.using", self.using)
        if parent is not None:
            check_same_database(f"{self.where}.using", self.using, parent.using)
        self.parents: tuple[ParentPlan, ...] = () if parent is None else (*parent.parents, parent.as_parent())
        self.link = {} if parent is None else link_of(self.declared, self.mapper, parent.mapper)
        taken = [above.key.kwarg for above in self.parents]
        self.key = key_of(self.declared, self.mapper, self.name, taken, self.link)
        self.prefix = "" if parent is None else parent.path(detail=True)
        self.service_class: type[Service[Any]] = self.declared.get("service_class", Service)
        self.repository_class: type[Repository[Any]] = self.declared.get("repository_class", Repository)
        # One for each schema, which most of the actions share.
        self._reads: dict[type[BaseModel], Read] = {}
        # The viewset that requests copy: what was declared stays as it is.
        self.prototype = varied(declaration.prototype, {"using": self.using, "narrowing": self._row_policy()})

    # One resource

    def compile(self) -> ResourcePlan:
        """Return the frozen plan of this viewset and everything below it."""
        routes = tuple(self._routes())
        if not routes:
            raise ImproperlyConfigured(self.where, "it offers nothing.", "Add a mixin, such as ListModelMixin.")
        register_reading(self.model, partial(granted_scope, self._permissions(Action.RETRIEVE, "GET", {})))
        children = tuple(Planner(child, self, self.base).compile() for child in self.declaration.children)
        return ResourcePlan(self.name, self.prefix, routes, children)

    def path(self, *, detail: bool) -> str:
        """The path of the collection, or of one row."""
        path = f"{self.prefix}/{self.name}"
        return f"{path}/{{{self.key.kwarg}}}" if detail else path

    def as_parent(self) -> ParentPlan:
        """What the routes below need to know of this viewset: who may retrieve one of its rows, and how."""
        check_readable(self.where, self.declared.scopes(Action.RETRIEVE, {}))
        permissions = self._permissions(Action.RETRIEVE, "GET", {})
        loads = any(map(self._overrides, OBJECT_HOOKS)) or any(map(checks_objects, permissions))
        return ParentPlan(self.name, self.prototype, self.key, self.link, permissions, loads)

    def _routes(self) -> Iterator[RoutePlan]:
        for standard in STANDARD.values():
            offered = callable(getattr(self.prototype, standard.action, None))
            if offered and self._allows(standard.action, standard.method, {}):
                yield self._standard_route(standard)
        for action in self.actions:
            for method in action.methods:
                if self._allows(action.name, method, action.policies):
                    yield self._action_route(action, method)

    def _allows(self, action: str, method: str, own: Own) -> bool:
        """Whether the scopes name the method: one that they do not name is not offered."""
        scopes = self.declared.scopes(action, own)
        return not isinstance(scopes, SecurityScopes) or scopes.names(action, method)

    # One route

    def _standard_route(self, standard: Standard) -> RoutePlan:
        action = standard.action
        if not self._overrides(action):
            check_service(self.where, self.service_class, action)
        listing = action is Action.LIST
        policies = self._policies(action, standard.method, {}, filtered=listing, paged=listing)
        read = self._read(action, {}, required=action is not Action.DESTROY)
        loads, direct, why = self._way(action, policies.permissions)
        return self._route(
            action=action,
            own={},
            method=standard.method,
            path=self.path(detail=standard.detail),
            key=self.key if standard.detail else None,
            policies=policies,
            parameters=self._parameters(action, {}, policies, read),
            ordering=self._ordering(action, {}) if listing else (),
            body=self._body(action),
            output=self._output(standard, read, policies.pagination),
            handler=handlers.choose(action, loads=loads, direct=direct, overridden=self._overrides(action)),
            compiled=direct and not loads,
            why=why,
            around=self._around(action, read) if action in WRITES and direct and not loads else None,
        )

    def _action_route(self, declared: ActionDeclaration, method: str) -> RoutePlan:
        name, own = declared.name, declared.policies
        # An action has the filters and the pages that it names, and no others: what is not asked for is not applied.
        filtered, paged = "filter_backends" in own, "pagination_class" in own
        policies = self._policies(name, method, own, filtered=filtered, paged=paged)
        read = self._read(name, own, required=policies.pagination is not None or "read_schema" in own)
        parameters = self._parameters(name, own, policies, read)
        function = getattr(self.prototype, name)
        signature = self._signature(declared, parameters)
        return self._route(
            action=name,
            own=own,
            method=method,
            path=f"{self.path(detail=declared.detail)}/{declared.url_path}",
            key=self.key if declared.detail else None,
            policies=policies,
            parameters=parameters,
            ordering=self._ordering(name, own),
            body=None,
            output=self._action_output(declared, signature, read, policies.pagination),
            handler=handlers.run_action,
            compiled=False,
            why="an action runs the viewset's own method",
            function=function,
            takes=frozenset(signature.parameters) & {*(above.key.kwarg for above in self.parents), self.key.kwarg},
            documentation=dict(declared.documentation),
        )

    def _route(self, *, action: str, body: BodyPlan | None, own: Own, **parts: Any) -> RoutePlan:
        places: dict[str, Location] = {} if body is None else dict(body.places)
        if self.parents:
            places |= dict.fromkeys(self.link, ("path", self.parents[-1].key.kwarg))
        places[ROW] = ("path", self.key.kwarg)
        return RoutePlan(
            prototype=self.prototype,
            where=f"{self.where}.{action}",
            action=action,
            name=self.name,
            body=body,
            parents=self.parents,
            retry=self.declared.flag("retry", action, own, otherwise=True),
            using=self.using,
            link=self.link,
            row_key=self.key,
            lenient=settings.IGNORE_UNKNOWN_PARAMETERS,
            max_body_size=settings.MAX_BODY_SIZE,
            max_depth=settings.MAX_JSON_DEPTH,
            places=places,
            **parts,
        )

    # What comes in and goes out

    def _read(self, action: str, own: Own, *, required: bool) -> Read | None:
        names = ("list_schema", "read_schema") if action == Action.LIST else ("read_schema",)
        found = ((name, self.declared.schema(name, action, own)) for name in names)
        name, schema = next(((name, schema) for name, schema in found if schema is not None), ("read_schema", None))
        if schema is None:
            if required:
                raise self._missing("read_schema", action, "")
            return None
        if schema not in self._reads:
            selection = select_for(schema, self.model, f"{self.where}.{name}")
            check_bytes(f"{self.where}.{name}", selection)
            self._reads[schema] = Read(selection, extra=self.key.fields)
        return self._reads[schema]

    def _body(self, action: Action) -> BodyPlan | None:
        name = BODIES.get(action)
        if name is None:
            return None
        schema = self.declared.schema(name, action, {})
        if schema is None:
            raise self._missing(name, action, ", or leave the action out: ReadOnlyModelViewSet, or the mixins you need")
        parent = None if self.parent is None else self.parent.mapper
        partial = action is Action.PARTIAL_UPDATE
        return body_of(schema, self.mapper, self.link, parent, f"{self.where}.{name}", partial=partial)

    def _missing(self, name: str, action: str, otherwise: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"{self.where}.{name}", f"it is missing, and {action} needs it.", f"Give a pydantic model{otherwise}."
        )

    def _output(self, standard: Standard, read: Read | None, pagination: BasePagination | None) -> Output:
        if read is None or standard.action is Action.DESTROY:
            return Output(None if read is None else read.selection.schema, read, None, None, standard.status)
        answer = self._answer(read, pagination, many=standard.action is Action.LIST)
        adapter = TypeAdapter(answer)
        lists = standard.action is Action.LIST and not (self._overrides("list") or self._overrides("paginate_queryset"))
        makes_instances = read.selection.needs_validation or not (pagination is None or pagination.hands_on)
        mappings = (
            mapping_serializer(adapter, answer, read.selection.schemas) if lists and not makes_instances else None
        )
        return Output(read.selection.schema, read, answer, adapter, standard.status, mappings)

    @staticmethod
    def _answer(read: Read, pagination: BasePagination | None, *, many: bool) -> Any:
        schema = read.selection.schema
        if pagination is not None:
            return pagination.get_page_schema(schema)
        return list[schema] if many else schema  # type: ignore[valid-type]

    def _signature(self, declared: ActionDeclaration, parameters: Mapping[str, Parameter]) -> inspect.Signature:
        """The signature of an action's method, held against the path and the parameters of filters and pages."""
        where = f"{self.where}.{declared.name}"
        signature = signature_of(getattr(self.prototype, declared.name), where)
        for name in signature.parameters:
            if name in parameters:
                raise twice(where, name)
        for name in re.findall(r"{(\w+)}", declared.url_path):
            if name not in signature.parameters:
                what = f'url_path "{declared.url_path}" has "{name}", and the method does not take it.'
                raise ImproperlyConfigured(where, what, f"Add a parameter: {name}: str.")
        if not declared.detail and self.key.kwarg in signature.parameters:
            what = f'it takes "{self.key.kwarg}", which its path does not have.'
            raise ImproperlyConfigured(where, what, "Write detail=True, or drop the parameter.")
        return signature

    def _action_output(
        self,
        declared: ActionDeclaration,
        signature: inspect.Signature,
        read: Read | None,
        pagination: BasePagination | None,
    ) -> Output:
        where = f"{self.where}.{declared.name}"
        schema: type[BaseModel] | None = None if read is None else read.selection.schema
        answer = answer_of(signature, self.model, schema)
        if read is not None and pagination is not None:
            answer = self._answer(read, pagination, many=True)
        elif answer is Any and schema is not None and "read_schema" in declared.policies:
            answer = schema
        adapter = adapter_of(answer, where)
        status = declared.status_code or (204 if answer is None else 200)
        if adapter is not None and status in WITHOUT_CONTENT:
            raise ImproperlyConfigured(where, f"status {status} has no content.", "Annotate the method with -> None.")
        return Output(schema, read, None if adapter is None else answer, adapter, status)

    # Policies

    def _policies(self, action: str, method: str, own: Own, *, filtered: bool, paged: bool) -> Policies:
        authentication = self.declared.instances("authentication_classes", action, own, BaseAuthentication)
        permissions = self._permissions(action, method, own)
        above = [permission for parent in self.parents for permission in parent.permissions]
        check_authentication(f"{self.where}.{action}", [*above, *permissions], authentication)
        return Policies(
            authentication,
            permissions,
            self.declared.instances("throttle_classes", action, own, BaseThrottle),
            self.declared.instances("filter_backends", action, own, BaseFilterBackend) if filtered else (),
            self.declared.instance("pagination_class", action, own, BasePagination) if paged else None,
        )

    def _permissions(self, action: str, method: str, own: Own) -> tuple[BasePermission, ...]:
        permissions = self.declared.instances("permission_classes", action, own, BasePermission)
        scopes = self.declared.scopes(action, own)
        named = scopes.scopes(action, method) if isinstance(scopes, SecurityScopes) else scopes
        if named is None:
            return permissions
        return (*permissions, HasScope(*named) if named else IsAuthenticated())

    def _parameters(self, action: str, own: Own, policies: Policies, read: Read | None) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for parameter in self._declared_parameters(action, own, policies, read):
            if parameter.name in found:
                raise twice(f"{self.where}.{action}", parameter.name)
            found[parameter.name] = parameter
        return found

    def _declared_parameters(self, action: str, own: Own, policies: Policies, read: Read | None) -> Iterable[Parameter]:
        if policies.filters:
            declaration = self._filter_declaration(action, own, read)
            for backend in policies.filters:
                yield from backend.get_parameters(declaration)
        if policies.pagination is not None:
            yield from policies.pagination.get_parameters()

    def _filter_declaration(self, action: str, own: Own, read: Read | None) -> FilterDeclaration:
        declaration = FilterDeclaration(
            where=self.where,
            model=self.model,
            shown=frozenset(() if read is None else shown_paths(read.selection)),
            filterset_fields=self.declared.lookups(action, own),
            search_fields=self.declared.names("search_fields", action, own),
            ordering_fields=self.declared.names("ordering_fields", action, own),
            allow_hidden=self.declared.names("allow_hidden", action, own),
            dialect=dialect_of(self.using),
        )
        for path in declaration.allow_hidden:
            declaration.check_path("allow_hidden", path)
        return declaration

    def _ordering(self, action: str, own: Own) -> tuple[str, ...]:
        names = self.declared.names("ordering", action, own)
        declaration = FilterDeclaration(where=self.where, model=self.model)
        for name in names:
            # The declaration may order by what it does not show: a caller cannot choose it.
            path = name.removeprefix("-")
            column = replace(declaration, allow_hidden=(path,)).check_path("ordering", path)
            check_ordering(f"{self.where}.ordering", path, column.type)
        return names

    # Which way a route takes

    def _way(self, action: Action, permissions: tuple[BasePermission, ...]) -> tuple[bool, bool, str]:
        """Whether the object must be loaded first, whether one statement does the rest, and why."""
        if self._overrides(action):
            return False, False, f"{action}() is overridden"
        on_object = action not in (Action.LIST, Action.CREATE)
        looking = [f"{found!r} looks at the object" for found in permissions if checks_objects(found)]
        looking += [f"{hook}() is overridden" for hook in OBJECT_HOOKS if self._overrides(hook)]
        looking = looking if on_object else []
        writing = list(self._needs_objects(action)) if action in WRITES else []
        loads = on_object and bool(looking or writing)
        return loads, not writing, "; ".join([*looking, *writing]) or "nothing asks for an object"

    def _around(self, action: Action, read: Read | None) -> str | None:
        """Why something may come before or after the one statement of a write, so that it needs a transaction."""
        if any(parent.loads for parent in self.parents):
            return "the row of an ancestor is loaded first"
        if any(map(asks_for_rows, (self.prototype, *(parent.prototype for parent in self.parents)))):
            return "get_queryset() may ask the database first"
        if dialect_of(self.using) == "sqlite":
            return "SQLite does not hold rows to the types of their columns"
        if action is Action.DESTROY or read is None or read.is_final:
            return None
        return "the answer shows related rows" if read.has_many else "making or serializing the answer may fail"

    def _needs_objects(self, action: Action) -> Iterator[str]:
        """Why a write needs an object of the model: hooks and verbs of the user's own, or the model itself."""
        hook, verb, below = WRITES[action]
        if self._overrides(hook):
            yield f"{hook}() is overridden"
        if getattr(self.service_class, verb) is not getattr(Service, verb):
            yield f"{self.service_class.__name__}.{verb}() is overridden"
        if getattr(self.repository_class, below) is not getattr(Repository, below):
            yield f"{self.repository_class.__name__}.{below}() is overridden"
        repository = self.repository_class(self.model, using=self.using)
        if not (repository.deletes_directly if action is Action.DESTROY else repository.writes_directly):
            yield "the model needs a flush"

    def _overrides(self, name: str) -> bool:
        """Whether a method is the user's own, and not one of the base or its mixins."""
        owner = next((owner for owner in type(self.prototype).__mro__ if name in vars(owner)), self.base)
        return owner.__module__.partition(".")[0] != self.base.__module__.partition(".")[0]

    # The model

    def _mapper(self) -> Mapper[Any]:
        model: type[Any] | None = self.declared.get("model")
        if model is None:
            raise ImproperlyConfigured(f"{self.where}.model", "it is missing.", "Write model = YourMappedClass.")
        try:
            return mapper_of(model)
        except ImproperlyConfigured as error:
            what = error.what.replace("it ", f"{shown(model)} ", 1)
            raise ImproperlyConfigured(f"{self.where}.model", what, error.remedy) from None

    def _row_policy(self) -> Any:
        """Register the model's row policy; return what narrows this viewset besides, or None.

        The repository's is the model's; without one ``objects_filter`` is.
        """
        own, source = self.declared.policy(), self.repository_class.row_policy
        if source is not Repository.row_policy:
            policy = self.repository_class(self.model, using=self.using).row_policy
            check_sync(policy, f"{self.where}.repository_class")
            register_policy(self.model, policy, source, f"{self.where}.repository_class")
            return own
        if own is None or register_policy(self.model, own, own, f"{self.where}.objects_filter"):
            return None
        return own


def asks_for_rows(prototype: Any) -> bool:
    """Whether a viewset's ``get_queryset`` can wait for the database."""
    return inspect.iscoroutinefunction(prototype.get_queryset)


def twice(where: str, name: str) -> ImproperlyConfigured:
    """The error of a parameter that is declared twice."""
    return ImproperlyConfigured(where, f'two parameters are called "{name}".', "Drop or rename one.")


def dialect_of(alias: str) -> str:
    """The dialect of a configured database, without connecting; ``sqlite`` where none is configured yet."""
    database = settings.DATABASES.get(alias, "sqlite://")
    if isinstance(database, Mapping):
        database = database.get("URL") or f"{database.get('DRIVERNAME', 'sqlite')}://"
    if isinstance(database, (str, URL)):
        return make_url(database).get_backend_name()
    return str(database.dialect.name)
