"""From declaration to plan, once, when ``.router`` is asked for. All precedence is decided here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter
from sqlalchemy.orm import Mapper

from fastapix5 import handlers
from fastapix5.actions import STANDARD, Action, ActionDeclaration, Standard, declared_actions
from fastapix5.checks import check_authentication, check_class, check_routes
from fastapix5.exceptions import ImproperlyConfigured, did_you_mean
from fastapix5.filters import FilterDeclaration
from fastapix5.parameters import Key, Parameter
from fastapix5.permissions import BasePermission, HasScope, SecurityScopes, as_instance, checks_objects
from fastapix5.plan import BodyPlan, Output, ParentPlan, Policies, ResourcePlan, RoutePlan
from fastapix5.problems import Location
from fastapix5.repositories import Read, Repository, register_policy
from fastapix5.schemas import (
    Selection,
    attribute_names,
    bounded,
    input_schema,
    mapper_of,
    partial_schema,
    schema_fields,
    select_for,
)
from fastapix5.services import Service
from fastapix5.settings import import_class, settings


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()

LISTING = (Action.LIST,)


@dataclass(frozen=True)
class Declaration:
    """A viewset and what hangs below it, before it is compiled."""

    prototype: Any
    children: tuple[Declaration, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a viewset inherits: its ancestors' plans, and the nearest one's declaration."""

    parents: tuple[ParentPlan, ...] = ()
    parent: Planner | None = None
    prefix: str = ""


def nearest(name: str, action: str, policies: Mapping[str, Any], planner: Planner | None, default: Any) -> Any:
    """The value of an attribute for an action: the action's own, the viewset's, the parent viewsets', the default.

    A mapping by action is looked up with the action; ``...`` stands for the rest.
    """
    if name in policies:
        return policies[name]
    while planner is not None:
        value = by_action(getattr(planner.prototype, name, UNSET), action, name)
        if value is not UNSET:
            return value
        planner = planner.context.parent
    return default


def by_action(value: Any, action: str, name: str) -> Any:
    """What a declared value says for one action."""
    if not isinstance(value, Mapping):
        return value
    keys = {key for key in value if key is ... or isinstance(key, Action)}
    if name == "filterset_fields" and not keys:
        return value
    return value[action] if action in value else value.get(..., UNSET)


class Planner:
    """Compiles one viewset; its children get planners of their own.

    Args:
        declaration: The viewset and its children.
        context: What it inherits.
        base: The root class of viewsets, for the check of attributes.
    """

    def __init__(self, declaration: Declaration, context: Context, base: type[Any]) -> None:
        self.declaration = declaration
        self.prototype = declaration.prototype
        self.context = context
        self.base = base
        self.where = type(self.prototype).__name__
        check_class(type(self.prototype), base)
        self.model: type[Any] = self._model()
        self.mapper: Mapper[Any] = mapper_of(self.model)
        self.name: str = self._own("name", None) or str(self.mapper.local_table.name)
        self.using: str = self._own("using", None) or (context.parent.using if context.parent else "default")
        self._check_name()
        self._inherit_security()
        self.key = self._key()
        self.link = self._link()
        self._register_policy()

    # One resource

    def compile(self) -> ResourcePlan:
        """Return the frozen plan of this viewset and everything below it."""
        routes = tuple(self._routes())
        if not routes:
            raise ImproperlyConfigured(self.where, "it offers nothing.", "Add a mixin, such as ListModelMixin.")
        children = []
        for child in self.declaration.children:
            parents = (*self.context.parents, self._as_parent())
            prefix = f"{self.context.prefix}/{self.name}/{{{self.key.kwarg}}}"
            planner = Planner(child, Context(parents, self, prefix), self.base)
            children.append(planner.compile())
        plan = ResourcePlan(self.name, self.context.prefix, routes, tuple(children))
        if not self.context.parents:
            check_routes(plan.walk())
        return plan

    def _routes(self) -> Iterator[RoutePlan]:
        # Static segments stand before keys, so that /flights/late is not a flight.
        declared = sorted(declared_actions(type(self.prototype)), key=lambda action: action.detail)
        for action in declared:
            if not action.detail:
                yield from self._action_routes(action)
        for standard in STANDARD.values():
            if self._offers(standard):
                yield self._standard_route(standard)
        for action in declared:
            if action.detail:
                yield from self._action_routes(action)

    def _offers(self, standard: Standard) -> bool:
        scopes = nearest("security_scopes", standard.action, {}, self, None)
        named = scopes is None or scopes.names(standard.action, standard.method)
        return callable(getattr(self.prototype, standard.action, None)) and named

    # One route

    def _standard_route(self, standard: Standard) -> RoutePlan:
        action = standard.action
        where = f"{self.where}.{action}"
        read = self._read(action, {})
        body = self._body(action)
        policies = self._policies(action, standard.method, {}, listing=action in LISTING)
        parameters = self._parameters(action, {}, policies, read)
        loads, direct, why = self._path(action, policies.permissions)
        response: Any = None
        if action is not Action.DESTROY:
            response = read.selection.schema
        if action in LISTING:
            response = list[response] if policies.pagination is None else policies.pagination.get_page_schema(response)
        adapter = None if response is None else TypeAdapter(response)
        output = Output(read.selection.schema, read, response, adapter, standard.status)
        return self._route(
            where=where,
            action=action,
            method=standard.method,
            path=self._path_of(standard.detail),
            key=self.key if standard.detail else None,
            parameters=parameters,
            body=body,
            function=None,
            policies=policies,
            output=output,
            handler=handlers.choose(action, loads=loads, direct=direct, overridden=self._overrides(action)),
            compiled=direct and not loads,
            why=why,
            documentation={},
        )

    def _action_routes(self, declared: ActionDeclaration) -> Iterator[RoutePlan]:
        function = getattr(self.prototype, declared.name)
        listing = bool({"filter_backends", "pagination_class"} & set(declared.policies))
        for method in declared.methods:
            policies = self._policies(declared.name, method, declared.policies, listing=listing)
            read = self._read(declared.name, declared.policies, required=False)
            parameters = self._parameters(declared.name, declared.policies, policies, read) if listing else {}
            yield self._route(
                where=f"{self.where}.{declared.name}",
                action=declared.name,
                method=method,
                path=f"{self._path_of(declared.detail)}/{declared.url_path}",
                key=self.key if declared.detail else None,
                parameters=parameters,
                body=None,
                function=function,
                policies=policies,
                output=self._action_output(declared, function, read),
                handler=handlers.run_action,
                compiled=False,
                why="an action runs the viewset's own method",
                documentation=dict(declared.documentation),
            )

    def _route(self, **parts: Any) -> RoutePlan:
        parents = self.context.parents
        places: dict[str, Location] = dict(parts["body"].places) if parts["body"] is not None else {}
        if parents:
            places |= dict.fromkeys(self.link, ("path", parents[-1].key.kwarg))
        return RoutePlan(
            prototype=self.prototype,
            name=self.name,
            parents=parents,
            using=self.using,
            link=self.link,
            row_key=self.key,
            lenient=settings.IGNORE_UNKNOWN_PARAMETERS,
            max_body_size=settings.MAX_BODY_SIZE,
            max_depth=settings.MAX_JSON_DEPTH,
            places=places,
            **parts,
        )

    def _path_of(self, detail: bool) -> str:
        path = f"{self.context.prefix}/{self.name}"
        return f"{path}/{{{self.key.kwarg}}}" if detail else path

    # Schemas

    def _schema(self, name: str, action: str, policies: Mapping[str, Any] | None = None) -> type[BaseModel] | None:
        given = (policies or {}).get(name, UNSET)
        value = given if given is not UNSET else by_action(getattr(self.prototype, name, UNSET), action, name)
        if value is UNSET or value is None:
            return None
        if not (isinstance(value, type) and issubclass(value, BaseModel)):
            raise ImproperlyConfigured(f"{self.where}.{name}", f"{value!r} is not a pydantic model.", "Give a class.")
        return value

    def _read(self, action: str, policies: Mapping[str, Any], *, required: bool = True) -> Any:
        schema = self._schema("list_schema", action) if action in LISTING else None
        name = "read_schema" if schema is None else "list_schema"
        schema = schema or self._schema("read_schema", action, policies)
        if schema is None:
            if not required:
                return None
            raise self._missing("read_schema", action)
        return Read(select_for(schema, self.model, f"{self.where}.{name}"), extra=self.key.fields)

    def _body(self, action: Action) -> BodyPlan | None:
        names = {Action.CREATE: "create_schema", Action.UPDATE: "update_schema", Action.PARTIAL_UPDATE: "update_schema"}
        if action not in names:
            return None
        name = names[action]
        schema = self._schema(name, action)
        if schema is None:
            raise self._missing(name, action)
        partial = action is Action.PARTIAL_UPDATE
        enforced = enforced_schema(
            schema, self.model, f"{self.where}.{name}", tuple(self.link), self._parent_model(), partial
        )
        return BodyPlan(enforced, schema_fields(enforced, self.model, f"{self.where}.{name}"), partial)

    def _missing(self, name: str, action: str) -> ImproperlyConfigured:
        mixin = "ReadOnlyModelViewSet, or the mixins that you need" if name != "read_schema" else "a viewset without it"
        return ImproperlyConfigured(
            f"{self.where}.{name}", f"it is missing, and {action} needs it.", f"Give a pydantic model, or take {mixin}."
        )

    def _action_output(self, declared: ActionDeclaration, function: Any, read: Read | None) -> Output:
        hints = get_type_hints(function, include_extras=True)
        response = hints.get("return", UNSET)
        nothing = response is type(None)
        status = declared.status_code or (204 if nothing else 200)
        schema = None if read is None else read.selection.schema
        if response is UNSET and schema is not None and "read_schema" in declared.policies:
            response = schema
        if response is UNSET or nothing:
            return Output(schema, read, None, None, status)
        return Output(schema, read, response, action_adapter(response), status)

    # Policies

    def _policies(self, action: str, method: str, policies: Mapping[str, Any], *, listing: bool) -> Policies:
        where = f"{self.where}.{action}"
        authentication = self._instances("authentication_classes", "DEFAULT_AUTHENTICATION_CLASSES", action, policies)
        permissions = tuple(
            as_instance(self._imported(item))
            for item in nearest("permission_classes", action, policies, self, settings.DEFAULT_PERMISSION_CLASSES) or ()
        )
        scopes = nearest("security_scopes", action, policies, self, None)
        if isinstance(scopes, SecurityScopes):
            named = scopes.scopes(action, method)
            permissions = (*permissions, HasScope(*named)) if named else permissions
        check_authentication(where, permissions, authentication)
        throttles = self._instances("throttle_classes", "DEFAULT_THROTTLE_CLASSES", action, policies)
        filters: tuple[Any, ...] = ()
        pagination = None
        if listing:
            filters = self._instances("filter_backends", "DEFAULT_FILTER_BACKENDS", action, policies)
            chosen = nearest("pagination_class", action, policies, _only(self), settings.DEFAULT_PAGINATION_CLASS)
            pagination = None if chosen is None else _instance(self._imported(chosen))
        return Policies(authentication, permissions, throttles, filters, pagination)

    def _instances(self, name: str, setting: str, action: str, policies: Mapping[str, Any]) -> tuple[Any, ...]:
        # Filters, unlike who may come in, belong to a model: a child does not inherit its parent's.
        planner = self if name in INHERITED else _only(self)
        chosen = nearest(name, action, policies, planner, getattr(settings, setting))
        if isinstance(chosen, (str, type)) or not isinstance(chosen, Sequence):
            raise ImproperlyConfigured(f"{self.where}.{name}", f"{chosen!r} is not a list.", f"Write {name} = [...].")
        return tuple(_instance(self._imported(item)) for item in chosen)

    @staticmethod
    def _imported(item: Any) -> Any:
        return import_class(item) if isinstance(item, str) else item

    def _parameters(
        self, action: str, policies: Mapping[str, Any], chosen: Policies, read: Read | None
    ) -> dict[str, Parameter]:
        if not chosen.filters and chosen.pagination is None:
            return {}
        declaration = self._filter_declaration(action, read)
        found: dict[str, Parameter] = {}
        groups = [backend.get_parameters(declaration) for backend in chosen.filters]
        if chosen.pagination is not None:
            groups.append(chosen.pagination.get_parameters())
        for parameter in (parameter for group in groups for parameter in group):
            if parameter.name in found:
                raise ImproperlyConfigured(
                    f"{self.where}.{action}", f'two parameters are called "{parameter.name}".', "Drop or rename one."
                )
            found[parameter.name] = parameter
        return found

    def _filter_declaration(self, action: str, read: Read | None) -> FilterDeclaration:
        def own(name: str) -> Any:
            value = by_action(getattr(self.prototype, name, UNSET), action, name)
            return () if value is UNSET or value is None else value

        self._check_ordering(own("ordering"))
        return FilterDeclaration(
            where=self.where,
            model=self.model,
            shown=frozenset(() if read is None else shown_paths(read.selection)),
            filterset_fields=own("filterset_fields"),
            search_fields=own("search_fields"),
            ordering_fields=own("ordering_fields"),
            allow_hidden=own("allow_hidden"),
            dialect=dialect_of(self.using),
        )

    def _check_ordering(self, ordering: Sequence[str]) -> None:
        declaration = FilterDeclaration(where=self.where, model=self.model, allow_hidden=())
        for name in ordering:
            path = name.lstrip("-")
            replace(declaration, allow_hidden=(path,)).check_path("ordering", path)

    # Which path a route takes

    def _path(self, action: Action, permissions: tuple[BasePermission, ...]) -> tuple[bool, bool, str]:
        """Whether the object must be loaded first, whether one statement does the rest, and why."""
        if self._overrides(action):
            return False, False, f"{action}() is overridden"
        loads, direct, reasons = False, True, []
        asking = next((permission for permission in permissions if checks_objects(permission)), None)
        if action not in (Action.LIST, Action.CREATE):
            if asking is not None:
                loads, reasons = True, [f"{asking!r} looks at the object"]
            for hook in ("get_object", "check_object_permissions"):
                if self._overrides(hook):
                    loads, reasons = True, [*reasons, f"{hook}() is overridden"]
        overridden = [hook for hook in WRITES.get(action, ()) if self._overrides(hook)] + self._overridden_below(action)
        if overridden:
            direct, reasons = False, [*reasons, *(f"{hook}() is overridden" for hook in overridden)]
        repository = self.repository()
        if action in WRITES and not (
            repository.deletes_directly if action is Action.DESTROY else repository.writes_directly
        ):
            direct, reasons = False, [*reasons, "the model needs a flush"]
        loads = loads or (not direct and action not in (Action.LIST, Action.CREATE))
        return loads, direct, "; ".join(reasons) or "nothing asks for an object"

    def _overrides(self, name: str) -> bool:
        mine = getattr(type(self.prototype), name, None)
        return mine is not None and mine.__module__.partition(".")[0] != self.base.__module__.partition(".")[0]

    def _overridden_below(self, action: Action) -> list[str]:
        verbs = {
            Action.CREATE: "create",
            Action.UPDATE: "update",
            Action.PARTIAL_UPDATE: "update",
            Action.DESTROY: "destroy",
        }
        verb = verbs.get(action)
        if verb is None:
            return []
        below = "delete" if verb == "destroy" else verb
        found = []
        if getattr(self.service_class, verb) is not getattr(Service, verb):
            found.append(f"{self.service_class.__name__}.{verb}")
        if getattr(self.repository_class, below) is not getattr(Repository, below):
            found.append(f"{self.repository_class.__name__}.{below}")
        return found

    # The viewset itself

    @property
    def service_class(self) -> type[Service[Any]]:
        """The service that serves the requests."""
        return self._own("service_class", None) or Service

    @property
    def repository_class(self) -> type[Repository[Any]]:
        """The repository behind the service."""
        return self._own("repository_class", None) or Repository

    def repository(self) -> Repository[Any]:
        """A repository of this viewset's model and database."""
        return self.repository_class(self.model, using=self.using)

    def _own(self, name: str, default: Any) -> Any:
        value = getattr(self.prototype, name, UNSET)
        return default if value is UNSET else value

    def _model(self) -> type[Any]:
        model = self._own("model", None)
        if model is None:
            raise ImproperlyConfigured(f"{self.where}.model", "it is missing.", "Write model = YourMappedClass.")
        return model  # type: ignore[no-any-return]

    def _check_name(self) -> None:
        if not re.fullmatch(r"[\w.~-]+", self.name):
            raise ImproperlyConfigured(
                f"{self.where}.name", f'"{self.name}" is not one path segment.', "Use letters, digits, _ and -."
            )

    def _inherit_security(self) -> None:
        security = self._own("security", None)
        if security is not None:
            if "authentication_classes" in vars(self.prototype):
                raise ImproperlyConfigured(
                    f"{self.where}.security", "authentication_classes is given as well.", "Keep one of the two."
                )
            self.prototype.authentication_classes = [security]

    def _key(self) -> Key:
        names = attribute_names(self.mapper)
        lookup = self._own("lookup_field", None)
        fields = tuple(self.mapper.get_property_by_column(column).key for column in self.mapper.primary_key)
        if lookup is not None:
            if lookup not in names or lookup not in self.mapper.column_attrs:
                raise ImproperlyConfigured(
                    f"{self.where}.lookup_field",
                    f'{self.model.__name__} has no column "{lookup}".{did_you_mean(lookup, names)}',
                )
            fields = (lookup,)
        kwarg = self._own("lookup_url_kwarg", None) or f"{snake(self.model.__name__)}_{'_'.join(fields)}"
        taken = {parent.key.kwarg for parent in self.context.parents}
        kwarg = f"{self.name.replace('-', '_')}_{kwarg}" if kwarg in taken else kwarg
        types = tuple(bounded(self.mapper.column_attrs[name].columns[0].type) for name in fields)
        which = fields[0] if len(fields) == 1 else f"{', '.join(fields)}, joined by commas"
        return Key(kwarg, fields, types, f"{self.model.__name__}: {which}")

    def _parent_model(self) -> type[Any] | None:
        return None if self.context.parent is None else self.context.parent.model

    def _link(self) -> dict[str, str]:
        """The attributes that refer to the parent, and what of it they refer to."""
        parent = self.context.parent
        if parent is None:
            return {}
        links = [
            {
                self.mapper.get_property_by_column(element.parent).key: parent.mapper.get_property_by_column(
                    element.column
                ).key
                for element in constraint.elements
            }
            for constraint in self.mapper.local_table.foreign_key_constraints  # type: ignore[attr-defined]
            if constraint.referred_table is parent.mapper.local_table
        ]
        chosen = self._own("parent_field", None)
        if chosen is not None:
            chosen_names = self._columns_of(chosen)
            links = [link for link in links if chosen_names & set(link)]
        place = f"{self.where}.parent_field"
        names = f"{self.model.__name__} and {parent.model.__name__}"
        if not links:
            raise ImproperlyConfigured(
                place,
                f"no foreign key leads from {names.replace(' and ', ' to ')}" + (f' by "{chosen}".' if chosen else "."),
                "Name the column or relationship that does, or do not nest the two.",
            )
        if len(links) > 1:
            fields = ", ".join(sorted("+".join(link) for link in links))
            raise ImproperlyConfigured(
                place,
                f"{len(links)} foreign keys join {names}: {fields}.",
                f'Choose one: parent_field = "{sorted(links[0])[0]}".',
            )
        return links[0]

    def _columns_of(self, name: str) -> set[str]:
        relationship = self.mapper.relationships.get(name)
        if relationship is None:
            return {name}
        return {self.mapper.get_property_by_column(column).key for column in relationship.local_columns}

    def _as_parent(self) -> ParentPlan:
        permissions = self._policies(Action.RETRIEVE, "GET", {}, listing=False).permissions
        hooks = any(self._overrides(hook) for hook in ("get_object", "check_object_permissions"))
        loads = hooks or any(checks_objects(permission) for permission in permissions)
        link = {child: parent for child, parent in self.link.items()}
        return ParentPlan(self.name, self.prototype, self.key, link, permissions, loads, direct=True)

    def _register_policy(self) -> None:
        source = self.repository_class.row_policy
        if source is not Repository.row_policy:
            policy = self.repository_class(self.model).row_policy
            register_policy(self.model, policy, source, f"{self.where}.repository_class")
            return
        objects_filter = self._own("objects_filter", None)
        if objects_filter is not None:
            register_policy(self.model, objects_filter, objects_filter, f"{self.where}.objects_filter")


# Children inherit who may come in, not what is shown.
INHERITED = frozenset({"authentication_classes", "permission_classes", "throttle_classes", "security_scopes"})

WRITES: Mapping[Action, tuple[str, ...]] = {
    Action.CREATE: ("perform_create",),
    Action.UPDATE: ("perform_update",),
    Action.PARTIAL_UPDATE: ("perform_update",),
    Action.DESTROY: ("perform_destroy",),
}


def compile_declaration(declaration: Declaration, base: type[Any]) -> ResourcePlan:
    """Compile a viewset and its children.

    Raises:
        ImproperlyConfigured: Something in the declaration is wrong: where, what, and the remedy.
    """
    return Planner(declaration, Context(), base).compile()


@lru_cache(maxsize=4096)
def enforced_schema(
    schema: type[BaseModel],
    model: type[Any],
    where: str,
    link: tuple[str, ...],
    parent: type[Any] | None,
    partial: bool,
) -> type[BaseModel]:
    """The schema as it is enforced and documented: held to the columns, partial for PATCH, the parent's key optional."""
    enforced = input_schema(schema, model, where)
    optional = [field.name for field in schema_fields(schema, model, where) if field.attribute in link]
    if optional and parent is not None:
        enforced = partial_schema(enforced, f"{parent.__name__}{schema.__name__}", only=optional)
    return partial_schema(enforced, f"Patched{enforced.__name__}") if partial else enforced


def shown_paths(selection: Selection, prefix: str = "") -> Iterator[str]:
    """Every attribute path that a selection shows, such as ``origin__name``."""
    for field in selection.columns:
        yield f"{prefix}{field.attribute}"
    for relation in selection.relations:
        yield from shown_paths(relation.selection, f"{prefix}{relation.field.attribute}__")


def dialect_of(alias: str) -> str:
    """The dialect of a configured database, without connecting; ``sqlite`` where none is configured yet."""
    database = settings.DATABASES.get(alias)
    if isinstance(database, Mapping):
        database = database.get("URL") or database.get("DRIVERNAME") or ""
    if isinstance(database, str):
        return re.split(r"[+:]", database)[0] or "sqlite"
    return str(getattr(getattr(database, "dialect", None), "name", "sqlite"))


def action_adapter(response: Any) -> TypeAdapter[Any] | None:
    """What serializes an action's answer; None for a Response, which is one already."""
    if inspect.isclass(response) and response.__module__.startswith(("starlette.", "fastapi.")):
        return None
    return TypeAdapter(response)


def snake(name: str) -> str:
    """``CamelCase`` as ``camel_case``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _instance(item: Any) -> Any:
    return item() if isinstance(item, type) else item


def _only(planner: Planner) -> Planner:
    """The planner without its ancestors, for what is not inherited."""
    alone = object.__new__(Planner)
    alone.prototype, alone.context = planner.prototype, Context()
    return alone
