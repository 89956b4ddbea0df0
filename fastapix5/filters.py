"""Filter backends: field filters, search and ordering. Each declares its parameters once and narrows a queryset."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MaxLen

from fastapix5.exceptions import FieldError, ImproperlyConfigured, ValidationFailed, did_you_mean
from fastapix5.parameters import Parameter, base_type
from fastapix5.repositories import LOOKUPS, Operand, Q, QuerySet, UnknownPath, resolve, walk
from fastapix5.schemas import bounded
from fastapix5.schemas.bounds import NO_NUL
from fastapix5.settings import settings


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
    filterset_fields: Mapping[str, Sequence[str]] | Sequence[str] = ()
    search_fields: Sequence[str] = ()
    ordering_fields: Sequence[str] = ()
    allow_hidden: Sequence[str] = ()
    dialect: str = "sqlite"

    def check_path(self, attribute: str, path: str) -> tuple[type[Any], str]:
        """Return the model and attribute that ``path`` leads to.

        Raises:
            ImproperlyConfigured: It leads nowhere, or to what the read schema does not show.
        """
        place = f"{self.where}.{attribute}"
        try:
            relations, name, rest, owner = walk(self.model, path)
        except UnknownPath as error:
            raise ImproperlyConfigured(place, str(error)) from None
        if rest:
            raise ImproperlyConfigured(place, f'"{path}" goes on after the column "{name}".', "Lookups stand apart.")
        if "__".join((*relations, name)) not in self.shown and path not in self.allow_hidden:
            raise ImproperlyConfigured(
                place,
                f'"{path}" is not shown by the read schema, so it would leak through filters.',
                f'Show it, or open it by name: allow_hidden = ["{path}"].',
            )
        return owner, name


class BaseFilterBackend:
    """Narrows or orders the rows of a list. One instance serves one route.

    Override ``filter_queryset``, and ``get_parameters`` where the backend reads the query string.
    """

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
        declared = declaration.filterset_fields
        fields = declared if isinstance(declared, Mapping) else dict.fromkeys(declared, ("exact",))
        parameters = [
            self._parameter(declaration, path, lookup) for path, lookups in fields.items() for lookup in lookups
        ]
        self._names = frozenset(parameter.name for parameter in parameters)
        return parameters

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        chosen = {name: value for name, value in view.query.items() if name in self._names}
        return queryset.filter(**chosen) if chosen else queryset

    def _parameter(self, declaration: FilterDeclaration, path: str, lookup_name: str) -> Parameter:
        owner, attribute = declaration.check_path("filterset_fields", path)
        name = path if lookup_name == "exact" else f"{path}__{lookup_name}"
        try:
            lookup = resolve(declaration.model, f"{path}__{lookup_name}").lookup
        except UnknownPath:
            raise ImproperlyConfigured(
                f"{declaration.where}.filterset_fields",
                f'"{path}" has no lookup "{lookup_name}".{did_you_mean(lookup_name, LOOKUPS)}',
                f"Known: {', '.join(LOOKUPS)}.",
            ) from None
        value = value_type(getattr(owner, attribute).type)
        phrase = f"{path.replace('__', ' ')} {lookup_name}"
        match lookup.operand:
            case Operand.BOOLEAN:
                return Parameter(name, bool, phrase)
            case Operand.TEXT:
                return Parameter(name, text_type(), phrase)
            case Operand.LIST:
                return Parameter(name, value, phrase, many=True, most=settings.MAX_LIST_VALUES)
            case Operand.PAIR:
                return Parameter(name, value, f"{phrase}: two values", many=True, least=2, most=2)
            case Operand.VALUE:
                return Parameter(name, value, phrase)


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
        self._conditions = tuple(self._condition(declaration, field) for field in declaration.search_fields)
        if not self._conditions:
            return ()
        fields = ", ".join(field.lstrip("^=$@") for field in declaration.search_fields)
        return (Parameter(self.param, text_type(), f"Terms to find in {fields}"),)

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        for term in search_terms(view.query.get(self.param, "")):
            self._check_patterns(term)
            found = Q(**{self._conditions[0]: term})
            for condition in self._conditions[1:]:
                found |= Q(**{condition: term})
            queryset = queryset.filter(found)
        return queryset

    def _condition(self, declaration: FilterDeclaration, field: str) -> str:
        lookup = self.LOOKUPS.get(field[:1], "icontains")
        path = field if lookup == "icontains" else field[1:]
        place = f"{declaration.where}.search_fields"
        owner, attribute = declaration.check_path("search_fields", path)
        if getattr(getattr(owner, attribute).type, "python_type", None) is not str:
            raise ImproperlyConfigured(place, f'"{path}" is not a text column.', "Search text; filter the rest.")
        if lookup == "search" and declaration.dialect != "postgresql":
            raise ImproperlyConfigured(
                place,
                f'"{field}" searches full text, which {declaration.dialect} has not.',
                "Drop the @, or use PostgreSQL.",
            )
        return f"{path}__{lookup}"

    def _check_patterns(self, term: str) -> None:
        if any(condition.endswith("__iregex") for condition in self._conditions):
            try:
                re.compile(term)
            except re.error:
                error = FieldError(("query", self.param), "invalid_regex", "This is not a valid regular expression.")
                raise ValidationFailed([error]) from None


class OrderingFilter(BaseFilterBackend):
    """``ordering=-a,b``: by the names that ``ordering_fields`` declares, else by the viewset's ``ordering``."""

    param: ClassVar[str] = "ordering"

    def get_parameters(self, declaration: FilterDeclaration) -> Sequence[Parameter]:
        for path in declaration.ordering_fields:
            declaration.check_path("ordering_fields", path)
        if not declaration.ordering_fields:
            return ()
        names = tuple(name for path in declaration.ordering_fields for name in (path, f"-{path}"))
        description = "Order of the rows; - before a name turns it round"
        return (Parameter(self.param, Literal[names], description, many=True, most=len(names)),)

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        chosen = view.query.get(self.param)
        return queryset.order_by(*chosen) if chosen else queryset


_TERM = re.compile(r'"([^"]*)"|\'([^\']*)\'|([^\s,]+)')


def search_terms(text: str) -> list[str]:
    """Split what was searched on blanks and commas; what stands in quotes stays together."""
    found = ("".join(parts) for parts in _TERM.findall(text))
    return [term for term in found if term.strip()]


def text_type() -> Any:
    """Text as a query may carry it: at most MAX_VALUE_LENGTH characters, no NUL."""
    return Annotated[str, NO_NUL, MaxLen(settings.MAX_VALUE_LENGTH)]


def value_type(column_type: Any) -> Any:
    """A value of a column as a query may carry it."""
    annotation = bounded(column_type)
    return text_type() if base_type(annotation) is str else annotation
