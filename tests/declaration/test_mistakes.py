"""A mistake in a declaration stops the start, and says where, what and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from fastapi import Form
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ARRAY, JSON, Enum, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5 import (
    Action,
    AllowAny,
    BaseFilterBackend,
    FilterSetBackend,
    GenericViewSet,
    IsAuthenticated,
    JWTAuthentication,
    ModelViewSet,
    OrderingFilter,
    PageNumberPagination,
    ReadOnlyModelViewSet,
    Router,
    RouterSchema,
    SearchFilter,
    SecurityScopes,
    Service,
    action,
    override_settings,
)
from fastapix5.checks import ATTRIBUTES, HOOKS
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.parameters import Parameter
from tests.declaration.library import Author, AuthorViewSet, Book, BookRead, BookViewSet, BookWrite, ReviewViewSet

FILTERS = [FilterSetBackend, SearchFilter, OrderingFilter]
BOOK = "Known: author, author_id, editor, editor_id, id, pages, published, title."
ACTIONS = "Known: create, destroy, list, partial_update, retrieve, update, and ... for the rest."
IN_THE_WAY = "If it is your own, give it a name that is further from ours, or a leading underscore."


class Misspelt(BaseModel):
    """A field that Book lacks."""

    titel: str


async def async_policy(access: Any) -> None: ...


class Lister(Service[Book]):
    """Has a list of its own."""

    async def list(self, *arguments: Any, **keywords: Any) -> Any: ...


class Retriever(Service[Book]):
    """Has a retrieve of its own."""

    async def retrieve(self, *arguments: Any, **keywords: Any) -> Any: ...


class Pager(BaseFilterBackend):
    """Reads a parameter that pagination has as well."""

    def get_parameters(self, declaration: Any) -> list[Parameter]:
        return [Parameter("page", int, "A page of the book")]


def mistake(make: Callable[[], Any]) -> str:
    """The sentence with which the start stops."""
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = make().router
    return str(caught.value)


def shelf(**attributes: Any) -> Any:
    """A project's own viewset class, of these attributes."""
    return type("ShelfViewSet", (BookViewSet,), {"__module__": "project", **attributes})


FIELD = 'Misspelt.titel stands for no attribute of Book. Did you mean "title"? Rename the field, give it a validation_alias,'
HIDDEN = (
    'BookViewSet.{}: "author__secret" is not shown by the read schema, so it would leak through filters. '
    'Show it, or open it by name: allow_hidden = ["author__secret"].'
)
NO_TITEL = f'Book has no "titel" ("titel"). Did you mean "title"? {BOOK}'

KEYWORDS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field to read": (
        {"read_schema": Misspelt},
        f"BookViewSet.read_schema: {FIELD} or map the attribute. {BOOK}",
    ),
    "unknown field to create": (
        {"create_schema": Misspelt},
        f"BookViewSet.create_schema: {FIELD} or map the attribute. {BOOK}",
    ),
    "unknown field to update": (
        {"update_schema": Misspelt},
        f"BookViewSet.update_schema: {FIELD} or map the attribute. {BOOK}",
    ),
    "a relationship in a body": (
        {"create_schema": BookRead},
        (
            "BookViewSet.create_schema: BookRead.author is not a column of Book, so a body cannot write it. "
            "Take the foreign key's column instead, or write the rest in perform_create() and perform_update()."
        ),
    ),
    "no schema": (
        {"read_schema": "BookRead"},
        'BookViewSet.read_schema: "BookRead" is not a pydantic model. Write read_schema = YourSchema.',
    ),
    "no mapped class": (
        {"model": BookRead},
        (
            "BookViewSet.model: BookRead is not a SQLAlchemy mapped class. "
            "Give a declarative, dataclass-mapped or SQLModel table class."
        ),
    ),
    "an action that is none": (
        {"permission_classes": {"lst": [AllowAny]}},
        f'BookViewSet.permission_classes: "lst" is not an action. Did you mean "list"? {ACTIONS}',
    ),
    "an action without a schema": (
        {"read_schema": {Action.LIST: BookRead}},
        "BookViewSet.read_schema: it is missing, and create needs it. Give a pydantic model.",
    ),
    "a lookup field that is no column": (
        {"lookup_field": "titel"},
        (
            'BookViewSet.lookup_field: Book has no column "titel". Did you mean "title"? '
            "Known: author_id, editor_id, id, pages, published, title."
        ),
    ),
    "a keyword that no path can have": (
        {"lookup_url_kwarg": "the-id"},
        'BookViewSet.lookup_url_kwarg: "the-id" cannot name a path parameter. Use letters, digits and _.',
    ),
    "a name of two segments": (
        {"name": "a/b"},
        'BookViewSet.name: "a/b" is not one path segment. Use letters, digits, _ and -.',
    ),
    "a name that is none": ({"name": 3}, 'BookViewSet.name: 3 is not a name. Write name = "...".'),
    "a lookup field of several rows": (
        {"lookup_field": "title"},
        (
            'BookViewSet.lookup_field: Book.title is not unique, so "title" may name several rows. '
            "Add a unique constraint on it, or take another field."
        ),
    ),
    "a row policy that must be awaited": (
        {"objects_filter": async_policy},
        (
            "BookViewSet.objects_filter: it is async def, and a row policy is a condition that nobody awaits. "
            "Write def; what must be looked up belongs into the condition as a subquery, or into the token's claims."
        ),
    ),
    "a service whose list nobody calls": (
        {"service_class": Lister},
        (
            "BookViewSet.service_class: Lister.list() is overridden, and the generated list does not call it. "
            "Override get_queryset() or list() of the viewset."
        ),
    ),
    "a service whose retrieve nobody calls": (
        {"service_class": Retriever},
        (
            "BookViewSet.service_class: Retriever.retrieve() is overridden, and the generated retrieve does not call it. "
            "Override get_queryset() or retrieve() of the viewset."
        ),
    ),
    "security twice": (
        {"security": JWTAuthentication("k" * 32), "authentication_classes": []},
        "BookViewSet.security: authentication_classes is given as well. Keep one of the two.",
    ),
    "scopes without methods": (
        {"security_scopes": ["books"]},
        "BookViewSet.security_scopes: ['books'] is not a SecurityScopes. Write SecurityScopes(get=[...], post=[...]).",
    ),
    "a service that is none": (
        {"service_class": dict},
        "BookViewSet.service_class: dict is not a subclass of Service. Give the class, not an instance of it.",
    ),
    "a lock that is neither": (
        {"lock_object": "no"},
        'BookViewSet.lock_object: "no" is not True or False. Write lock_object = False.',
    ),
    "a row policy that is no function": (
        {"objects_filter": "mine"},
        'BookViewSet.objects_filter: "mine" is not a function. Write (access) -> condition.',
    ),
    "nobody can be authenticated": (
        {"permission_classes": [IsAuthenticated]},
        (
            "BookViewSet.list: IsAuthenticated requires authentication, and none is configured. "
            "Give authentication_classes = [JWTAuthentication], set DEFAULT_AUTHENTICATION_CLASSES, "
            "or open it with permission_classes = [AllowAny]."
        ),
    ),
    "a policy that is no list": (
        {"permission_classes": AllowAny},
        "BookViewSet.permission_classes: AllowAny is not a list. Write permission_classes = [AllowAny].",
    ),
    "a policy of another kind": (
        {"throttle_classes": [AllowAny]},
        "BookViewSet.throttle_classes: AllowAny is not a BaseThrottle. Write a subclass of BaseThrottle.",
    ),
    "a dotted path to no class": (
        {"permission_classes": ["fastapix5.AllowAyn"]},
        'BookViewSet.permission_classes: fastapix5 has no class "AllowAyn". Did you mean "AllowAny"?',
    ),
    "a dotted path to no module": (
        {"permission_classes": ["fastapix6.AllowAny"]},
        (
            'BookViewSet.permission_classes: There is no module "fastapix6". '
            "Write a dotted name that this process can import."
        ),
    ),
    "a page that is too long": (
        {"pagination_class": PageNumberPagination(page_size=500)},
        (
            "PageNumberPagination.page_size: 500 is more than the 100 that a page may have. "
            "Write max_page_size=500 as well, or raise MAX_PAGE_SIZE."
        ),
    ),
    "a page without rows": (
        {"pagination_class": PageNumberPagination(page_size=0)},
        "PageNumberPagination.page_size: 0 is no number of rows. Write a whole number from 1 up.",
    ),
    "an order by nothing": ({"ordering": ["-titel"]}, f"BookViewSet.ordering: {NO_TITEL}"),
    "an order that is no list": (
        {"ordering": "-title"},
        'BookViewSet.ordering: "-title" is not a list. Write ordering = ["-title"].',
    ),
    "a database that is not there": (
        {"using": "archve"},
        'BookViewSet.using: settings.DATABASES has no "archve". Did you mean "archive"? Known: archive.',
    ),
}

FILTERING: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown lookup": (
        {"filterset_fields": {"title": ["icontain"]}},
        'BookViewSet.filterset_fields: "title" has no lookup "icontain". Did you mean "icontains"? Known: exact, ',
    ),
    "an unknown filter": ({"filterset_fields": ["titel"]}, f"BookViewSet.filterset_fields: {NO_TITEL}"),
    "an unknown search": ({"search_fields": ["^titel"]}, f"BookViewSet.search_fields: {NO_TITEL}"),
    "an unknown order": ({"ordering_fields": ["titel"]}, f"BookViewSet.ordering_fields: {NO_TITEL}"),
    "an unknown hidden column": ({"allow_hidden": ["titel"]}, f"BookViewSet.allow_hidden: {NO_TITEL}"),
    "a hidden filter": ({"filterset_fields": ["author__secret"]}, HIDDEN.format("filterset_fields")),
    "a hidden search": ({"search_fields": ["=author__secret"]}, HIDDEN.format("search_fields")),
    "a hidden order": ({"ordering_fields": ["author__secret"]}, HIDDEN.format("ordering_fields")),
    "a lookup in a list": (
        {"filterset_fields": ["title__icontains"]},
        (
            'BookViewSet.filterset_fields: "title__icontains" goes on after the column "title". '
            'Lookups stand in filterset_fields: {"name": ["icontains"]}.'
        ),
    ),
    "a lookup outside a list": (
        {"filterset_fields": {"title": "icontains"}},
        (
            'BookViewSet.filterset_fields: the lookups of "title" are "icontains", which is not a list. '
            'Write {"title": ["icontains"]}.'
        ),
    ),
    "a search in numbers": (
        {"search_fields": ["pages"]},
        'BookViewSet.search_fields: "pages" is not a text column. Search text; filter the rest.',
    ),
    "a full text search off PostgreSQL": (
        {"search_fields": ["@title"]},
        'BookViewSet.search_fields: "@title" searches full text, which sqlite has not. Drop the @, or use PostgreSQL.',
    ),
    "a search by pattern off PostgreSQL": (
        {"search_fields": ["$title"]},
        (
            'BookViewSet.search_fields: "$title" is a regular expression of the caller\'s, and on sqlite one can freeze '
            "the process. Drop the $, or use PostgreSQL."
        ),
    ),
    "a filter by pattern off PostgreSQL": (
        {"filterset_fields": {"title": ["iregex"]}},
        (
            'BookViewSet.filterset_fields: "title__iregex" is a regular expression of the caller\'s, and on sqlite one '
            "can freeze the process. Drop the lookup, or use PostgreSQL."
        ),
    ),
    "text in a number": (
        {"filterset_fields": {"pages": ["icontains"]}},
        (
            'BookViewSet.filterset_fields: "pages" is Integer, which "icontains" does not fit. '
            "Lookups that fit: exact, ne, gt, gte, lt, lte, in, not_in, isnull, range."
        ),
    ),
    "a parameter twice": (
        {"filter_backends": [Pager]},
        'BookViewSet.list: two parameters are called "page". Drop or rename one.',
    ),
}


@pytest.mark.parametrize(("keywords", "expected"), KEYWORDS.values(), ids=KEYWORDS)
@override_settings(DATABASES={"archive": "sqlite+aiosqlite://"})
def test_keyword_that_is_wrong(keywords: dict[str, Any], expected: str) -> None:
    """A wrong value of an attribute is named with the class and the attribute."""
    assert mistake(lambda: BookViewSet(**{"using": "archive", **keywords})) == expected


@pytest.mark.parametrize(("keywords", "expected"), FILTERING.values(), ids=FILTERING)
def test_filter_that_is_wrong(keywords: dict[str, Any], expected: str) -> None:
    """Filters, search and ordering name columns that are there and shown."""
    actual = mistake(lambda: BookViewSet(**{"filter_backends": FILTERS, **keywords}))
    assert actual.startswith(expected)


class TypesBase(DeclarativeBase):
    """The root of Typed."""


class Typed(TypesBase):
    """Columns that are compared in few ways, and keys that name a row in several."""

    __tablename__ = "typed"
    __table_args__ = (
        UniqueConstraint("parent_id", "number"),
        Index("some", "partial", unique=True, postgresql_where=text("number > 0")),
        Index("every", "indexed", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("typed.id"))
    number: Mapped[int]
    partial: Mapped[int]
    indexed: Mapped[int]
    slug: Mapped[str] = mapped_column(unique=True)
    flag: Mapped[bool]
    data: Mapped[Any] = mapped_column(JSON)
    words: Mapped[list[str]] = mapped_column(ARRAY(String))
    raw: Mapped[bytes]
    kind: Mapped[str] = mapped_column(Enum("a", "b"))


class TypedRead(BaseModel):
    """Everything but the bytes."""

    id: int
    flag: bool
    data: Any
    words: list[str]
    kind: str


class RawRead(BaseModel):
    """Bytes, as text."""

    raw: bytes | None


class Base64Read(RawRead):
    """Bytes, as base64."""

    model_config = ConfigDict(ser_json_bytes="base64")


class TypedViewSet(ReadOnlyModelViewSet[Typed]):
    """Open to all."""

    read_schema = TypedRead
    permission_classes = [AllowAny]
    filter_backends = FILTERS
    allow_hidden = ["raw"]


TEXTUAL = "icontains, startswith, istartswith, endswith, iendswith, like, ilike, regex, iregex"
ON_POSTGRESQL = {"contains", "contained_by", "overlap", "has_key", "has_keys", "has_any_keys", "regex", "iregex"}


@pytest.mark.parametrize("dialect", ["sqlite+aiosqlite://", "postgresql+asyncpg://nobody@nowhere/none"])
@pytest.mark.parametrize(
    ("field", "kind", "refused", "fitting"),
    [
        ("flag", "Boolean", ["gt", "range", "icontains"], "exact, ne, in, not_in, isnull"),
        (
            "data",
            "JSON",
            ["exact", "in", "gt", "contains"],
            f"iexact, isnull, {TEXTUAL}, has_key, has_keys, has_any_keys",
        ),
        ("words", "ARRAY", ["exact", "in", "gt", "icontains"], "isnull, contains, contained_by, overlap"),
        ("raw", "LargeBinary", ["exact", "in", "gt", "contains"], "isnull"),
        ("kind", "Enum", ["icontains", "iexact", "regex"], "exact, ne, gt, gte, lt, lte, in, not_in, isnull, range"),
    ],
)
def test_lookup_that_does_not_fit(dialect: str, field: str, kind: str, refused: list[str], fitting: str) -> None:
    """A lookup that a column's type has not is refused on both engines alike, and those that fit are named."""
    with override_settings(DATABASES={"default": dialect}):
        for lookup in refused:
            expected = (
                f'TypedViewSet.filterset_fields: "{field}" is {kind}, which "{lookup}" does not fit. '
                f"Lookups that fit: {fitting}."
            )
            fields = {field: [lookup]}
            assert mistake(lambda fields=fields: TypedViewSet(filterset_fields=fields)) == expected  # type: ignore[misc]
        offered = [
            name for name in fitting.split(", ") if dialect.startswith("postgresql") or name not in ON_POSTGRESQL
        ]
        assert TypedViewSet(filterset_fields={field: offered}).router.plans


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"words": ["contains"]}, '"words__contains" looks into arrays and JSON'),
        ({"words": ["len__gt"]}, '"words__len__gt" looks into arrays and JSON'),
        ({"data": ["has_key"]}, '"data__has_key" looks into arrays and JSON'),
    ],
)
def test_lookup_that_needs_postgresql(fields: dict[str, list[str]], problem: str) -> None:
    """Elsewhere it stops the start."""
    with override_settings(DATABASES={"default": "sqlite+aiosqlite://"}):
        expected = f"TypedViewSet.filterset_fields: {problem}, which sqlite cannot. Drop the lookup, or use PostgreSQL."
        assert mistake(lambda: TypedViewSet(filterset_fields=fields)) == expected


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"id": ["year"]},
            '"id" is Integer, which "year" does not fit. Lookups that fit: exact, ne, gt, gte, lt, lte, in, ',
        ),
        ({"data": ["a__gte"]}, '"data" is JSON, which "a__gte" does not fit. Lookups that fit: iexact, '),
        (
            {"words": ["len__icontain"]},
            '"words" has no lookup "len__icontain". Did you mean "icontains"? Known: exact, iexact, ',
        ),
    ],
)
def test_part_that_does_not_fit(fields: dict[str, list[str]], problem: str) -> None:
    """A part of a date needs a date, and what stands in JSON has no type that OpenAPI could show."""
    assert mistake(lambda: TypedViewSet(filterset_fields=fields)).startswith(
        f"TypedViewSet.filterset_fields: {problem}"
    )


@pytest.mark.parametrize(("field", "kind"), [("data", "JSON"), ("words", "ARRAY"), ("raw", "LargeBinary")])
def test_order_by_what_has_none(field: str, kind: str) -> None:
    """JSON, lists and bytes have no order."""
    for name in ("ordering_fields", "ordering"):
        expected = f'TypedViewSet.{name}: "{field}" is {kind}, which has no order. Order by another column.'
        assert mistake(lambda name=name: TypedViewSet(**{name: [field]})) == expected  # type: ignore[misc]


def test_bytes_that_would_be_sent_as_text() -> None:
    """A schema that shows bytes says how, in a config of its own."""
    assert mistake(lambda: TypedViewSet(read_schema=RawRead)) == (
        "TypedViewSet.read_schema: RawRead.raw is bytes, which JSON has not, and not all bytes are text. "
        'Write model_config = ConfigDict(ser_json_bytes="base64") in the schema.'
    )
    assert TypedViewSet(read_schema=Base64Read).router.plans


@pytest.mark.parametrize("field", ["id", "slug", "indexed"])
def test_lookup_field_that_names_one_row(field: str) -> None:
    """A primary key, a unique constraint and a unique index name one row."""
    assert TypedViewSet(lookup_field=field).router.plans


@pytest.mark.parametrize("field", ["number", "partial"])
def test_lookup_field_that_names_several(field: str) -> None:
    """A part of a unique constraint does not name one row, nor does an index of some rows."""
    assert "is not unique" in mistake(lambda: TypedViewSet(lookup_field=field))


def test_lookup_field_that_names_one_row_below_its_parent() -> None:
    """Below a parent, what is unique together with the link names one row."""

    def tree(field: str) -> RouterSchema:
        return RouterSchema(viewset=TypedViewSet, children=[RouterSchema(viewset=TypedViewSet, lookup_field=field)])

    assert tree("number").router.plans
    assert mistake(lambda: tree("partial")) == (
        'TypedViewSet.lookup_field: Typed.partial is not unique, so "partial" may name several rows. '
        "Add a unique constraint on it, or one together with parent_id, or take another field."
    )


def test_service_is_free_where_the_viewset_has_its_own() -> None:
    """A service's own list is welcome where the viewset's own list can call it."""

    async def own(self: Any) -> Any: ...

    assert shelf(service_class=Lister, list=own)().router.plans


def test_hidden_column_is_opened_by_name() -> None:
    """``allow_hidden`` opens a column that the read schema does not show."""
    open_viewset = BookViewSet(
        filter_backends=FILTERS, ordering_fields=["author__secret"], allow_hidden=["author__secret"]
    )
    assert list(open_viewset.router.plans[0].parameters) == ["ordering", "page", "page_size"]


@override_settings(DATABASES={"default": "postgresql+asyncpg://nobody@nowhere/none"})
def test_full_text_search_is_for_postgresql() -> None:
    """On PostgreSQL ``@`` is welcome; nothing connects to find out."""
    searched = BookViewSet(filter_backends=FILTERS, search_fields=["@title"])
    assert "search" in searched.router.plans[0].parameters


# Classes


def test_viewset_without_model() -> None:
    """A viewset needs a model."""

    class Nothing(ModelViewSet):  # type: ignore[type-arg]
        pass

    assert mistake(Nothing) == "Nothing.model: it is missing. Write model = YourMappedClass."


def test_viewset_without_read_schema() -> None:
    """A viewset that shows rows needs a read schema."""

    class Bare(ModelViewSet[Book]):
        permission_classes = [AllowAny]

    assert mistake(Bare) == "Bare.read_schema: it is missing, and list needs it. Give a pydantic model."


def test_model_viewset_without_create_schema() -> None:
    """A ModelViewSet without a create schema does not quietly leave POST out."""

    class Half(ModelViewSet[Book]):
        permission_classes = [AllowAny]
        read_schema = BookRead
        update_schema = BookWrite

    assert mistake(Half) == (
        "Half.create_schema: it is missing, and create needs it. Give a pydantic model, "
        "or leave the action out: ReadOnlyModelViewSet, or the mixins you need."
    )


def test_viewset_without_actions() -> None:
    """A viewset that offers nothing is a mistake."""

    class Empty(GenericViewSet[Book]):
        pass

    assert mistake(Empty) == "Empty: it offers nothing. Add a mixin, such as ListModelMixin."


def test_unknown_keyword() -> None:
    """An unknown keyword comes with the nearest known one."""
    expected = 'BookViewSet: there is no keyword "serch_fields". Did you mean "search_fields"? Known: allow_hidden, '
    assert mistake(lambda: BookViewSet(serch_fields=["title"])).startswith(expected)


def test_keyword_of_rest_framework() -> None:
    """A keyword of Django REST framework's comes with what stands for it here."""
    expected = (
        'BookViewSet: there is no keyword "serializer_class". Write read_schema, create_schema and update_schema.'
    )
    assert mistake(lambda: BookViewSet(serializer_class=BookRead)) == expected


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("serch_fields", "search_fields"),
        ("permision_classes", "permission_classes"),
        ("perform_created", "perform_create"),
    ],
)
def test_misspelt_attribute(name: str, near: str) -> None:
    """A class attribute that is nearly one of ours is taken for a slip."""
    expected = f'ShelfViewSet.{name}: it is not an attribute of a viewset. Did you mean "{near}"? {IN_THE_WAY}'
    assert mistake(shelf(**{name: []})) == expected


def test_misspelt_attribute_of_a_mixin() -> None:
    """A plain mixin is looked at too, and named."""

    class Policies:
        permission_clases = [AllowAny]

    class Mixed(Policies, BookViewSet):
        pass

    assert mistake(Mixed).startswith("Policies.permission_clases: it is not an attribute of a viewset. Did you mean")


def test_misspelt_annotation() -> None:
    """An attribute that is only annotated is looked at as well."""

    class Annotated(BookViewSet):
        orderring: list[str]

    assert mistake(Annotated).startswith(
        'Annotated.orderring: it is not an attribute of a viewset. Did you mean "ordering"?'
    )


@pytest.mark.parametrize("name", ["shelf", "color", "audit_log", "get_shelf", "rename", "_serch_fields", "models_seen"])
def test_own_attribute_is_welcome(name: str) -> None:
    """A project's own attributes and methods are its own business."""
    assert shelf(**{name: "own"})().router.plans


@pytest.mark.parametrize(
    ("hook", "remedy"),
    [
        ("get_permissions", "Write permission_classes = {Action.LIST: [AllowAny], ...: [IsAuthenticated]}."),
        ("get_authenticators", "Write authentication_classes = [...], or a mapping by action."),
        ("get_throttles", "Write throttle_classes = {Action.CREATE: [UserRateThrottle], ...: []}."),
        (
            "get_serializer_class",
            "Write read_schema = {Action.LIST: Brief, ...: Full}; list_schema does the same for lists.",
        ),
        ("queryset", "Write model = ..., and narrow it in get_queryset()."),
    ],
)
def test_hook_of_rest_framework(hook: str, remedy: str) -> None:
    """A hook of Django REST framework's that a mapping replaces says what to write instead."""
    assert mistake(shelf(**{hook: lambda self: None})) == f"ShelfViewSet.{hook}: it has no effect here. {remedy}"


def test_known_attributes_are_those_of_the_viewset() -> None:
    """What the checks know and what the viewset annotates is one list."""
    annotated = set(GenericViewSet.__annotations__)
    assert annotated >= ATTRIBUTES
    assert all(hasattr(ModelViewSet, name) for name in HOOKS)


# Trees


def nested(**child: Any) -> RouterSchema:
    """Books below authors, to whom two foreign keys lead."""
    return RouterSchema(viewset=AuthorViewSet, children=[RouterSchema(viewset=BookViewSet, **child)])


@override_settings(DATABASES={"default": "sqlite+aiosqlite://", "archive": "sqlite+aiosqlite://"})
def test_child_in_another_database() -> None:
    """A child lives in its parent's database."""
    assert mistake(lambda: nested(using="archive", parent_field="author")) == (
        'BookViewSet.using: it is "archive", and the parent\'s is "default". Leave it out, or do not nest the two.'
    )


def test_parent_whose_scopes_name_no_get() -> None:
    """Scopes that do not say who may read the parent leave its children open to nobody knows whom."""

    def tree(scopes: SecurityScopes) -> RouterSchema:
        security = JWTAuthentication("k" * 32)
        child = RouterSchema(viewset=ReviewViewSet, security_scopes=SecurityScopes(get=["reviews"]))
        return RouterSchema(viewset=BookViewSet, security=security, security_scopes=scopes, children=[child])

    assert mistake(lambda: tree(SecurityScopes(post=["books"]))) == (
        "BookViewSet.security_scopes: it names no get, and there are children, for which its rows must be readable. "
        "Name the get scopes (get=[] asks only for an authenticated caller), or drop security_scopes."
    )
    below = tree(SecurityScopes(get=[], post=["books"])).router.plans[-1]
    assert [repr(permission) for permission in below.permissions] == [
        "AllowAny",
        "IsAuthenticated",
        "AllowAny",
        "HasScope('reviews')",
    ]


def test_two_foreign_keys_to_the_parent() -> None:
    """Where two foreign keys lead to the parent, one must be chosen."""
    assert mistake(nested) == (
        "BookViewSet.parent_field: 2 foreign keys lead from Book to Author: author_id, editor_id. "
        'Choose one: parent_field = "author_id".'
    )


@pytest.mark.parametrize("parent_field", ["editor_id", "editor"])
def test_parent_field_chooses(parent_field: str) -> None:
    """The column or its relationship chooses the foreign key."""
    plan = nested(parent_field=parent_field).router.plans[-1]
    assert plan.link == {"editor_id": "id"}


def test_parent_field_that_does_not_lead_there() -> None:
    """A parent field must be one of the foreign keys."""
    assert mistake(lambda: nested(parent_field="autor_id")) == (
        'BookViewSet.parent_field: "autor_id" does not lead from Book to Author. Did you mean "author_id"? '
        "Known: author_id, editor_id."
    )


def test_no_foreign_key_to_the_parent() -> None:
    """A child must refer to its parent."""
    tree = RouterSchema(viewset=AuthorViewSet, children=[RouterSchema(viewset=ReviewViewSet)])
    expected = (
        "ReviewViewSet.parent_field: no foreign key leads from Review to Author. Add one, or do not nest the two."
    )
    assert mistake(lambda: tree) == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: RouterSchema("books", children=[BookViewSet]),  # type: ignore[list-item]
            'RouterSchema("books").children: BookViewSet is not a RouterSchema. Write RouterSchema(viewset=YourViewSet).',
        ),
        (
            lambda: RouterSchema("books", children=BookViewSet),  # type: ignore[arg-type]
            'RouterSchema("books").children: BookViewSet is not a list. Write children = [...].',
        ),
        (
            lambda: RouterSchema("books", viewset=Book),  # type: ignore[arg-type]
            (
                'RouterSchema("books").viewset: Book is not a viewset. '
                "Give a subclass of GenericViewSet, or model and schemas."
            ),
        ),
        (
            lambda: RouterSchema("books", model=Book, permission_classes=[AllowAny]),
            'RouterSchema("books").read_schema: it is missing, and list needs it. Give a pydantic model.',
        ),
    ],
)
def test_node_that_is_wrong(make: Callable[[], Any], expected: str) -> None:
    """A node of a tree is named as it was written."""
    assert mistake(make) == expected


def test_unknown_keyword_of_a_node() -> None:
    """A node knows the keywords of a viewset, and its own."""
    expected = 'RouterSchema("books"): there is no keyword "modle". Did you mean "model"? Known: allow_hidden, '
    assert mistake(lambda: RouterSchema("books", modle=Book)).startswith(expected)


def test_two_viewsets_with_one_path() -> None:
    """One router has each path and method once."""
    router = Router()
    router.register(BookViewSet)
    with pytest.raises(ImproperlyConfigured) as caught:
        router.register(AuthorViewSet, name="books")
    assert str(caught.value) == (
        "AuthorViewSet.list: GET /books is taken by BookViewSet.list. "
        "Give the action another url_path or method, or the viewset another name."
    )


# Settings


def test_setting_that_names_no_class() -> None:
    """A class that a setting names wrongly is blamed on the setting."""
    with override_settings(DEFAULT_PAGINATION_CLASS="fastapix5.PageNumerPagination"):
        actual = mistake(BookViewSet)
    assert actual == (
        'settings.DEFAULT_PAGINATION_CLASS: fastapix5 has no class "PageNumerPagination". '
        'Did you mean "PageNumberPagination"?'
    )


# Actions


async def late(self: Any) -> None:
    """Say which books are late."""


def with_action(function: Any = late, **options: Any) -> Any:
    """A viewset with one action of these options."""
    copied = FunctionType(function.__code__, globals(), argdefs=function.__defaults__)
    copied.__annotations__ = function.__annotations__
    return shelf(**{function.__name__: action(**{"detail": False, **options})(copied)})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"methods": ["FETCH"]},
            '@action has no method "FETCH". Did you mean "PATCH"? Known: GET, POST, PUT, PATCH, DELETE.',
        ),
        ({"methods": []}, '@action has no method "". Known: GET, POST, PUT, PATCH, DELETE.'),
        (
            {"permision_classes": []},
            '@action has no option "permision_classes". Did you mean "permission_classes"? Known: ',
        ),
        ({"url_path": "a b"}, 'url_path "a b" is not a path. Write it like "delay" or "seats/{row}".'),
        ({"url_path": ""}, 'url_path "" is not a path. Write it like "delay" or "seats/{row}".'),
        (
            {"url_path": "late/{days}"},
            'url_path "late/{days}" has "days", and the method does not take it. Add a parameter: days: str.',
        ),
        ({"permission_classes": AllowAny}, "AllowAny is not a list. Write permission_classes = [AllowAny]."),
        ({"filter_backends": FILTERS, "filterset_fields": ["titel"], "read_schema": BookRead}, NO_TITEL),
    ],
)
def test_action_with_a_wrong_option(options: dict[str, Any], expected: str) -> None:
    """What is wrong with an action is said with its options."""
    actual = mistake(lambda: with_action(**options)())  # noqa: PLW0108  (the decorator itself may refuse)
    assert actual.partition(": ")[2].startswith(expected)


def test_action_that_takes_a_path() -> None:
    """An action may not take another route's path and method."""

    class Taking(BookViewSet):
        @action(detail=False)
        async def late(self) -> None: ...

        @action(detail=False, url_path="late")
        async def later(self) -> None: ...

    assert mistake(Taking) == (
        "Taking.later: GET /books/late is taken by Taking.late. "
        "Give the action another url_path or method, or the viewset another name."
    )


@pytest.mark.parametrize("name", ["ordering", "get_object", "request", "service", "paginate_queryset", "parents"])
def test_action_with_a_name_that_is_taken(name: str) -> None:
    """An action may not be called like an attribute or a hook."""
    function = FunctionType(late.__code__, globals(), name)
    expected = (
        f"ShelfViewSet.{name}: a viewset has an attribute of this name. "
        f'Rename the method; url_path="{name}" keeps its path.'
    )
    assert mistake(shelf(**{name: action(detail=False)(function)})) == expected


def test_standard_action_is_overridden_without_decorator() -> None:
    """A standard action is not declared anew."""
    function = FunctionType(late.__code__, globals(), "list")
    expected = "ShelfViewSet.list: it is a standard action. Override it without @action, or rename yours."
    assert mistake(shelf(list=action(detail=False)(function))) == expected


def test_action_that_is_overridden_without_decorator() -> None:
    """An action does not vanish because a subclass forgot the decorator."""

    class Sub(with_action()):  # type: ignore[misc]
        async def late(self) -> None: ...

    expected = (
        "Sub.late: it overrides an @action, and is none itself. Decorate it again, or drop the action: late = None."
    )
    assert mistake(Sub) == expected


def test_action_that_is_dropped() -> None:
    """A subclass drops an action by None."""
    dropped = type("Dropped", (with_action(),), {"__module__": "project", "late": None})
    assert "late" not in {plan.action for plan in dropped().router.plans}


async def as_in_rest_framework(self: Any, request, pk=None) -> None: ...  # type: ignore[no-untyped-def]


async def with_anything(self: Any, **kwargs: Any) -> None: ...


async def with_form(self: Any, days: int = Form()) -> None: ...


async def with_page(self: Any, page: int) -> None: ...


async def with_key(self: Any, book_id: int) -> None: ...


async def with_model(self: Any) -> Author:
    raise NotImplementedError


async def with_unknown(self: Any, body: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


NO_ANNOTATION = (
    "so nothing tells where it comes from. "
    "Annotate it, or drop it: the request is self.request and the keys of the path are in self.kwargs."
)


@pytest.mark.parametrize(
    ("function", "options", "expected"),
    [
        (as_in_rest_framework, {}, f'its parameter "request" has no annotation, {NO_ANNOTATION}'),
        (with_anything, {}, f'its parameter "**kwargs: Any" takes anything, {NO_ANNOTATION}'),
        (with_form, {}, 'its parameter "days" is a form field. Take it from a JSON body instead.'),
        (
            with_page,
            {"pagination_class": PageNumberPagination},
            'two parameters are called "page". Drop or rename one.',
        ),
        (with_key, {}, 'it takes "book_id", which its path does not have. Write detail=True, or drop the parameter.'),
        (with_model, {}, "Author cannot be shown as JSON. Annotate the method with a schema, or with a Response."),
        (
            with_unknown,
            {},
            (
                'its signature names "Nowhere", which is not defined in its module. '
                "Import it at the top, and not under TYPE_CHECKING."
            ),
        ),
        (with_page, {"status_code": 204}, None),
    ],
)
def test_action_with_a_wrong_signature(function: Any, options: dict[str, Any], expected: str | None) -> None:
    """A signature that FastAPI would misread stops the start."""
    make = with_action(function, **options)
    if expected is None:
        assert make().router.plans
    else:
        assert mistake(make) == f"ShelfViewSet.{function.__name__}: {expected}"
