"""Filter backends: field filters, search and ordering. Each declares its parameters once and narrows a queryset."""

from __future__ import annotations

import functools
import operator
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MaxLen
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import String
from sqlalchemy.types import TypeEngine

from fastapix5.exceptions import FieldError, ImproperlyConfigured, InvalidPattern, ValidationFailed, did_you_mean
from fastapix5.parameters import Parameter, base_type
from fastapix5.repositories import LOOKUPS, Operand, Path, Q, QuerySet, UnknownPath, many_on, resolve, walk
from fastapix5.repositories.kinds import Kind, kind_of
from fastapix5.repositories.texts import check_like
from fastapix5.repositories.vocabulary import is_lookup
from fastapix5.schemas import bounded
from fastapix5.schemas.bounds import NO_NUL, plain
from fastapix5.settings import settings

# Lookups whose text is a regular expression.
PATTERNS = ("__regex", "__iregex")

# A project's own lookups fit what the project says.
BUILT_IN = frozenset(LOOKUPS)
# Types whose values have no order that both engines share.
UNORDERED = Kind.JSON | Kind.ARRAY | Kind.BINARY | Kind.VECTOR


@dataclass(frozen=True)
class FilterDeclaration:
    """What a viewset declares of filters, as its backends see it when the route is built.

    Attributes:
        where: The viewset's name, which opens errors.
        model: Whose rows are filtered.
        shown: Attribute paths that the read schema shows, such as ``origin__name``.
        filterset_fields: Paths with their lookups.
        search_fields: Paths with DRF's prefixes.
        ordering_fields: Paths that a caller may order by.
        allow_hidden: Paths that are open although the read schema does not show them.
        dialect: The database's dialect, such as ``postgresql``.
    """

    where: str
    model: type[Any]
    shown: Collection[str] = ()
    filterset_fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    search_fields: Sequence[str] = ()
    ordering_fields: Sequence[str] = ()
    allow_hidden: Sequence[str] = ()
    dialect: str = "sqlite"

    def check_path(self, attribute: str, path: str) -> Any:
        """Return the column that ``path`` leads to.

        Raises:
            ImproperlyConfigured: It leads nowhere, or to what the read schema does not show.
        """
        place = f"{self.where}.{attribute}"
        try:
            relations, name, rest, owner = walk(self.model, path)
        except UnknownPath as error:
            raise ImproperlyConfigured(place, str(error)) from None
        if rest:
            what = f'"{path}" goes on after the column "{name}".'
            raise ImproperlyConfigured(place, what, 'Lookups stand in filterset_fields: {"name": ["icontains"]}.')
        column = getattr(owner, name, None)
        if not hasattr(column, "type"):
            raise ImproperlyConfigured(
                place, f'"{path}" is not a column.', "Name a column, or a relation and a column."
            )
        many = many_on(self.model, relations) if attribute.startswith("ordering") else None
        if many is not None:
            raise ImproperlyConfigured(
                place, f'"{path}" crosses {many}, which leads to many rows.', "Order by a column of one row."
            )
        if "__".join((*relations, name)) not in self.shown and path not in self.allow_hidden:
            raise ImproperlyConfigured(
                place,
                f'"{path}" is not shown by the read schema, so it would leak through filters.',
                f'Show it, or open it by name: allow_hidden = ["{path}"].',
            )
        return column

    def lookup_of(self, attribute: str, path: str, name: str) -> Path:
        """Return what a declared lookup of a path is.

        Raises:
            ImproperlyConfigured: There is none of this name, the column's type has it not on either engine, or it is
                safe, or there at all, on PostgreSQL alone.
        """
        try:
            found = resolve(self.model, f"{path}__{name}")
        except UnknownPath as error:
            if is_lookup(error.part):
                raise self._unfit(attribute, path, name, error.column_type) from None
            raise ImproperlyConfigured(
                f"{self.where}.{attribute}",
                f'"{path}" has no lookup "{name}".{did_you_mean(error.part, error.known)}',
                f"Known: {', '.join(error.known)}.",
            ) from None
        if found.lookup.name in BUILT_IN and found.lookup.name not in lookups_for(found.compared):
            raise self._unfit(attribute, path, name, found.compared)
        for needs in (*(transform.needs for transform in found.transforms), found.lookup.needs):
            self.check_dialect(attribute, f"{path}__{name}", needs, "Drop the lookup")
        return found

    def _unfit(self, attribute: str, path: str, name: str, column_type: TypeEngine[Any]) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"{self.where}.{attribute}",
            f'"{path}" is {type(plain(column_type)).__name__}, which "{name}" does not fit.',
            f"Lookups that fit: {', '.join(lookups_for(column_type))}.",
        )

    def check_dialect(self, attribute: str, written: str, needs: str, remedy: str) -> None:
        """Refuse what needs PostgreSQL where the database is another one.

        Args:
            attribute: Where it is declared.
            written: What was declared.
            needs: Why it needs PostgreSQL, ``{}`` being the other database; empty where it does not.
            remedy: What to do.

        Raises:
            ImproperlyConfigured: The database is another one.
        """
        if needs and self.dialect != "postgresql":
            what = f'"{written}" {needs.format(self.dialect)}.'
            raise ImproperlyConfigured(f"{self.where}.{attribute}", what, f"{remedy}, or use PostgreSQL.")


class BaseFilterBackend:
    """Narrows or orders the rows of a list. Each route has an instance of its own.

    Override ``filter_queryset``, and ``get_parameters`` where the backend reads the query string.
    """

    # The names of those parameters that are regular expressions.
    patterns: frozenset[str] = frozenset()

    def get_parameters(self, declaration: FilterDeclaration) -> Sequence[Parameter]:
        """Return the query parameters that this backend reads; asked once, when the route is built.

        A parameter that no backend declares is refused, so what is read must be declared.

        Raises:
            ImproperlyConfigured: The declaration names what is not there.
        """
        return ()

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows that the request asks for; may be ``async def``. Typed values are in ``view.query``."""
        raise NotImplementedError(f"{type(self).__name__} must override filter_queryset().")


class FilterSetBackend(BaseFilterBackend):
    """``field`` and ``field__lookup`` parameters, as ``filterset_fields`` declares them, in one ``filter()``."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def get_parameters(self, declaration: FilterDeclaration) -> Sequence[Parameter]:
        """Return a parameter for each declared field and lookup, typed as the column is."""
        fields = declaration.filterset_fields
        parameters = [
            self._parameter(declaration, path, lookup) for path, lookups in fields.items() for lookup in lookups
        ]
        self._names = frozenset(parameter.name for parameter in parameters)
        self.patterns = frozenset(name for name in self._names if name.endswith(PATTERNS))
        return parameters

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows that meet every filter of the request."""
        names = self._names
        chosen = {name: value for name, value in view.query.items() if name in names}
        return queryset.filter(**chosen) if chosen else queryset

    def _parameter(self, declaration: FilterDeclaration, path: str, lookup_name: str) -> Parameter:
        declaration.check_path("filterset_fields", path)
        found = declaration.lookup_of("filterset_fields", path, lookup_name)
        name = path if lookup_name == "exact" else f"{path}__{lookup_name}"
        phrase = f"{path} {lookup_name}".replace("__", " ")
        match found.lookup.operand:
            case Operand.BOOLEAN:
                return Parameter(name, bool, phrase)
            case Operand.TEXT:
                return Parameter(name, text_type(CHECKS.get(found.lookup.name)), phrase)
            case Operand.LIST:
                item = value_type(item_type(found.compared))
                return Parameter(name, item, phrase, many=True, most=settings.MAX_LIST_VALUES)
            case Operand.PAIR:
                value = value_type(found.compared)
                return Parameter(name, value, f"{phrase}: two values", many=True, least=2, most=2)
            case Operand.VALUE:
                return Parameter(name, value_type(found.compared), phrase)


class SearchFilter(BaseFilterBackend):
    """``search``: every term in at least one of ``search_fields``.

    Terms are split on blanks and commas; quotes keep one together. Prefixes of a field are DRF's: ``^`` starts with,
    ``=`` equals, ``$`` regular expression, ``@`` full text on PostgreSQL; without one it contains, whatever the case.
    """

    param: ClassVar[str] = "search"
    LOOKUPS: ClassVar[Mapping[str, str]] = {"^": "istartswith", "=": "iexact", "$": "iregex", "@": "search"}

    def __init__(self) -> None:
        self._conditions: tuple[str, ...] = ()

    def get_parameters(self, declaration: FilterDeclaration) -> Sequence[Parameter]:
        """Return the one parameter, where there is something to search."""
        self._conditions = tuple(self._condition(declaration, name) for name in declaration.search_fields)
        if not self._conditions:
            return ()
        if any(condition.endswith(PATTERNS) for condition in self._conditions):
            self.patterns = frozenset({self.param})
        fields = ", ".join(name.lstrip("^=$@") for name in declaration.search_fields)
        return (Parameter(self.param, text_type(), f"Terms to find in {fields}"),)

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows in which every term is found.

        Raises:
            ValidationFailed: A term is to be a regular expression, and is none.
        """
        text = view.query.get(self.param)
        for term in search_terms(text) if text else ():
            if self.patterns:
                self._check_pattern(term)
            anywhere = [Q(**{condition: term}) for condition in self._conditions]
            queryset = queryset.filter(functools.reduce(operator.or_, anywhere))
        return queryset

    def _condition(self, declaration: FilterDeclaration, field: str) -> str:
        lookup = self.LOOKUPS.get(field[:1], "icontains")
        path = field if lookup == "icontains" else field[1:]
        place = f"{declaration.where}.search_fields"
        column = declaration.check_path("search_fields", path)
        if kind_of(column.type) is not Kind.TEXT:
            raise ImproperlyConfigured(place, f'"{path}" is not a text column.', "Search text; filter the rest.")
        declaration.check_dialect("search_fields", field, LOOKUPS[lookup].needs, f"Drop the {field[0]}")
        return f"{path}__{lookup}"

    def _check_pattern(self, term: str) -> None:
        try:
            check_pattern(term)
        except ValueError as error:
            raise ValidationFailed([FieldError(("query", self.param), "invalid_regex", f"{error}.")]) from None


class OrderingFilter(BaseFilterBackend):
    """``ordering=-a,b``: by the names that ``ordering_fields`` declares, else by the viewset's ``ordering``."""

    param: ClassVar[str] = "ordering"

    def get_parameters(self, declaration: FilterDeclaration) -> Sequence[Parameter]:
        """Return the one parameter, where there is something to order by."""
        for path in declaration.ordering_fields:
            column = declaration.check_path("ordering_fields", path)
            check_ordering(f"{declaration.where}.ordering_fields", path, column.type)
        if not declaration.ordering_fields:
            return ()
        names = tuple(name for path in declaration.ordering_fields for name in (path, f"-{path}"))
        description = "Order of the rows; - before a name turns it round"
        return (Parameter(self.param, Literal[names], description, many=True, most=len(names)),)

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows in the order of the request."""
        chosen = view.query.get(self.param)
        return queryset.order_by(*chosen) if chosen else queryset


_TERM = re.compile(r'"([^"]*)"|\'([^\']*)\'|([^\s,]+)')


def search_terms(text: str) -> list[str]:
    """Split what was searched on blanks and commas; what stands in quotes stays together."""
    found = ("".join(parts) for parts in _TERM.findall(text))
    return [term for term in found if term.strip()]


def blamed(error: InvalidPattern, backends: Iterable[BaseFilterBackend], query: Mapping[str, Any]) -> Exception:
    """What to raise where the database refuses a regular expression that Python takes: the query is to blame, if it has one."""
    names = [name for backend in backends for name in query if name in backend.patterns]
    errors = [FieldError(("query", name), "invalid_regex", str(error)) for name in names]
    return ValidationFailed(errors) if errors else error


def check_pattern(text: str) -> str:
    """Return a regular expression as it is.

    Raises:
        ValueError: Python would not take it. What PostgreSQL alone refuses, it refuses itself.
    """
    try:
        with warnings.catch_warnings():
            # What Python calls doubtful (a nested set) is still valid.
            warnings.simplefilter("ignore")
            re.compile(f"(?i){text}")
    except (re.error, OverflowError, RecursionError):
        raise PydanticCustomError("invalid_regex", "This is not a valid regular expression") from None
    return text


def check_wildcards(text: str) -> str:
    """Return a pattern of LIKE as it is.

    Raises:
        ValueError: It ends in its escape.
    """
    try:
        return check_like(text)
    except ValueError:
        raise PydanticCustomError("invalid_pattern", "This pattern ends in a backslash that escapes nothing") from None


# What text must be beyond text, by lookup.
CHECKS: Mapping[str, Callable[[str], str]] = {
    "regex": check_pattern,
    "iregex": check_pattern,
    "like": check_wildcards,
    "ilike": check_wildcards,
}


def text_type(check: Callable[[str], str] | None = None) -> Any:
    """Text as a query may carry it: at most MAX_VALUE_LENGTH characters, no NUL, and what ``check`` asks for."""
    limits = (NO_NUL, MaxLen(settings.MAX_VALUE_LENGTH))
    return Annotated[(str, *limits, *([AfterValidator(check)] if check else []))]


def lookups_for(column_type: TypeEngine[Any]) -> tuple[str, ...]:
    """The lookups of ours that a viewset may offer for a column's type, alike on every engine."""
    kind = kind_of(column_type)
    found = ((name, lookup.on(kind)) for name, lookup in LOOKUPS.items() if name in BUILT_IN)
    return tuple(name for name, lookup in found if lookup is not None and kind in lookup.kinds & lookup.offered)


def item_type(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of the values in a list that a column is compared with: of an array its items', of JSON its keys'."""
    bare: Any = plain(column_type)
    kind = kind_of(bare)
    if kind is Kind.ARRAY:
        found: TypeEngine[Any] = bare.item_type
        return found
    return String() if kind is Kind.JSON else column_type


def check_ordering(where: str, path: str, column_type: TypeEngine[Any]) -> None:
    """Refuse an order by a column whose values have none.

    Raises:
        ImproperlyConfigured: It is JSON, a list or bytes.
    """
    if kind_of(column_type) in UNORDERED:
        what = f'"{path}" is {type(plain(column_type)).__name__}, which has no order.'
        raise ImproperlyConfigured(where, what, "Order by another column.")


def value_type(column_type: Any) -> Any:
    """A value of a column as a query may carry it."""
    annotation = bounded(column_type)
    return text_type() if base_type(annotation) is str else annotation
