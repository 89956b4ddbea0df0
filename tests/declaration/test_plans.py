"""What a declaration compiles to: which attribute counts, for whom, and that it is left as it was."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from fastapi import Request
from pydantic import BaseModel

from fastapix5 import (
    Action,
    AllowAny,
    AnonRateThrottle,
    BaseAuthentication,
    BaseFilterBackend,
    BasePagination,
    BasePermission,
    FilterSetBackend,
    IsAuthenticated,
    JWTAuthentication,
    LimitOffsetPagination,
    OrderingFilter,
    PageNumberPagination,
    Repository,
    Router,
    RouterSchema,
    SearchFilter,
    SecurityScopes,
    Service,
    action,
    override_settings,
)
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.plan import RoutePlan
from fastapix5.routers import PlanRouter
from tests.declaration.library import (
    Author,
    AuthorRead,
    AuthorViewSet,
    Book,
    BookRead,
    BookViewSet,
    BookWrite,
    Review,
    ReviewRead,
    ReviewViewSet,
)

KEY = "k" * 32


class Title(BaseModel):
    """A book in a list."""

    title: str


class IsEditor(BasePermission):
    """Somebody who edits."""


class Tokens(BaseAuthentication):
    """Nobody has one."""

    async def authenticate(self, request: Request) -> None:
        return None


def plans(router: PlanRouter) -> dict[tuple[str, str], RoutePlan]:
    """The plans of a router by method and path."""
    return {(plan.method, plan.path): plan for plan in router.plans}


def by_action(router: PlanRouter) -> dict[str, RoutePlan]:
    """The plans of a router by action."""
    return {plan.action: plan for plan in router.plans}


def permissions(plan: RoutePlan) -> list[str]:
    """The permissions of a route, as they are written."""
    return [repr(permission) for permission in plan.policies.permissions]


# By action


def test_attribute_by_action() -> None:
    """A mapping by action says what counts for which action; ``...`` stands for the rest."""
    viewset = BookViewSet(
        permission_classes={Action.LIST: [AllowAny], "retrieve": [IsEditor], ...: [IsEditor & AllowAny]},
        read_schema={Action.LIST: Title, ...: BookRead},
    )
    found = by_action(viewset.router)
    assert {name: permissions(plan) for name, plan in found.items()} == {
        "list": ["AllowAny"],
        "retrieve": ["IsEditor"],
        **{key: ["(IsEditor & AllowAny)"] for key in ["create", "update", "partial_update", "destroy"]},
    }
    assert found["list"].output.schema is Title
    assert found["create"].output.schema is BookRead


def test_action_that_a_mapping_leaves_out() -> None:
    """Without ``...`` an action that the mapping does not name has the next value: the setting's."""
    with override_settings(DEFAULT_PERMISSION_CLASSES=[IsEditor]):
        found = by_action(BookViewSet(permission_classes={Action.LIST: [AllowAny]}).router)
    assert permissions(found["list"]) == ["AllowAny"]
    assert permissions(found["create"]) == ["IsEditor"]


def test_list_schema_is_for_lists() -> None:
    """``list_schema`` is what a list shows, and nothing else."""
    found = by_action(BookViewSet(list_schema=Title).router)
    assert (found["list"].output.schema, found["retrieve"].output.schema) == (Title, BookRead)


def test_filters_by_action() -> None:
    """The filters of a list are those that its mapping names."""
    viewset = BookViewSet(
        filter_backends=[FilterSetBackend, OrderingFilter],
        filterset_fields={Action.LIST: {"title": ["exact", "in"]}},
        ordering_fields={...: ["pages"]},
        ordering={Action.LIST: ["-pages"]},
    )
    listing = by_action(viewset.router)["list"]
    assert list(listing.parameters) == ["title", "title__in", "ordering", "page", "page_size"]
    assert listing.ordering == ("-pages",)


def test_field_that_is_called_like_an_action() -> None:
    """A mapping of filters is by action only where a key is an ``Action`` or ``...``."""
    viewset = BookViewSet(filter_backends=[FilterSetBackend], filterset_fields={"title": ["iexact"]})
    assert "title__iexact" in by_action(viewset.router)["list"].parameters


# Precedence


def test_keywords_override_the_class() -> None:
    """A keyword counts before the class attribute of the same name."""
    viewset = BookViewSet(name="volumes", permission_classes=[IsEditor])
    assert {plan.path.split("/")[1] for plan in viewset.router.plans} == {"volumes"}
    assert permissions(viewset.router.plans[0]) == ["IsEditor"]


def test_an_action_overrides_its_viewset() -> None:
    """A keyword of ``@action`` counts before the viewset's attribute."""

    class Shelf(BookViewSet):
        @action(detail=True, permission_classes=[IsEditor], throttle_classes=[AnonRateThrottle("1/day")])
        async def lend(self) -> None: ...

        @action(detail=False)
        async def lost(self) -> None: ...

    found = by_action(Shelf().router)
    assert (permissions(found["lend"]), permissions(found["lost"])) == (["IsEditor"], ["AllowAny"])
    assert (len(found["lend"].policies.throttles), found["lost"].policies.throttles) == (1, ())


def test_an_empty_list_means_none() -> None:
    """An empty list is an answer: no policies, on purpose."""
    with override_settings(DEFAULT_THROTTLE_CLASSES=[AnonRateThrottle("1/day")]):
        assert by_action(BookViewSet(throttle_classes=[]).router)["list"].policies.throttles == ()
        assert len(by_action(BookViewSet().router)["list"].policies.throttles) == 1


def test_children_inherit_who_may_come_in() -> None:
    """Authentication, permissions, throttles and scopes come from the nearest ancestor that has them."""
    tree = RouterSchema(
        "authors",
        model=Author,
        read_schema=AuthorRead,
        authentication_classes=[Tokens],
        permission_classes={Action.LIST: [AllowAny], ...: [IsEditor]},
        throttle_classes=[AnonRateThrottle("1/day")],
        security_scopes=SecurityScopes(get=["read"]),
        children=[
            RouterSchema(
                "books",
                model=Book,
                read_schema=BookRead,
                parent_field="author",
                children=[RouterSchema("reviews", model=Review, read_schema=ReviewRead)],
            )
        ],
    )
    found = plans(tree.router)
    prefix = "/authors/{author_id}/books/{book_id}/reviews"
    listing, one = found["GET", prefix], found["GET", f"{prefix}/{{review_id}}"]
    assert permissions(listing) == ["AllowAny", "HasScope('read')"]
    assert permissions(one) == ["IsEditor", "HasScope('read')"]
    assert [type(item).__name__ for item in listing.policies.authentication] == ["Tokens"]
    assert len(listing.policies.throttles) == 1


def test_children_do_not_inherit_what_is_shown() -> None:
    """Filters, pagination and schemas belong to a model."""
    tree = RouterSchema(
        viewset=BookViewSet,
        filter_backends=[SearchFilter],
        search_fields=["title"],
        pagination_class=LimitOffsetPagination,
        ordering=["title"],
        children=[RouterSchema(viewset=ReviewViewSet)],
    )
    below = plans(tree.router)["GET", "/books/{book_id}/reviews"]
    assert (list(below.parameters), below.ordering) == (["page", "page_size"], ())


def test_children_use_their_parents_database() -> None:
    """A child is where its parent is, on every level, unless it says otherwise."""
    with override_settings(DATABASES={"archive": "sqlite+aiosqlite://", "default": "sqlite+aiosqlite://"}):
        tree = RouterSchema(
            viewset=AuthorViewSet,
            using="archive",
            children=[
                RouterSchema(viewset=BookViewSet, parent_field="author", children=[RouterSchema(viewset=ReviewViewSet)])
            ],
        )
        deepest = tree.router.plans[-1]
    assert deepest.using == "archive"
    assert [parent.prototype.using for parent in deepest.parents] == ["archive", "archive"]


def test_undeclared_pagination_is_the_settings() -> None:
    """Without a word it is page number; None is a bare list."""
    assert isinstance(by_action(BookViewSet().router)["list"].policies.pagination, PageNumberPagination)
    bare = by_action(BookViewSet(pagination_class=None).router)["list"]
    assert bare.policies.pagination is None
    assert bare.output.response_type == list[BookRead]


# Security


def test_security_stands_for_authentication() -> None:
    """``security`` is the short form of one authentication class."""
    found = by_action(BookViewSet(security=Tokens()).router)["list"]
    assert [type(item).__name__ for item in found.policies.authentication] == ["Tokens"]


def test_nearer_one_of_security_and_authentication_counts() -> None:
    """A keyword ``security`` overrides the class's ``authentication_classes``, and the other way round."""

    class Closed(BookViewSet):
        authentication_classes = [JWTAuthentication(KEY)]

    class Open(Closed):
        security = Tokens()

    def names(viewset: Any) -> list[str]:
        authentication = by_action(viewset.router)["list"].policies.authentication
        return [type(found).__name__ for found in authentication]

    assert names(Closed(security=Tokens())) == ["Tokens"]
    assert names(Open()) == ["Tokens"]
    assert names(Open(authentication_classes=[])) == []


def test_declared_security_without_scopes_still_authenticates() -> None:
    """Where ``security`` is declared and permissions are not, strangers are refused, whatever the settings open."""
    with override_settings(DEFAULT_PERMISSION_CLASSES=[AllowAny]):
        tree = RouterSchema("authors", model=Author, read_schema=AuthorRead, security=Tokens())
        found = by_action(tree.router)["list"]
    assert permissions(found) == ["AllowAny", "IsAuthenticated"]


def scoped(scopes: SecurityScopes, **attributes: Any) -> BookViewSet:
    """Books behind scopes."""
    return BookViewSet(authentication_classes=[Tokens], security_scopes=scopes, **attributes)


def test_scopes_by_method() -> None:
    """``put`` defaults to ``patch``, ``list`` to ``get``; any one of those listed grants."""
    scopes = SecurityScopes(get=["r.any", "r.own"], post=["c"], patch=["u"], delete=["d"])
    found = by_action(scoped(scopes).router)
    assert {name: permissions(plan)[1:] for name, plan in found.items()} == {
        "list": ["HasScope('r.any', 'r.own')"],
        "retrieve": ["HasScope('r.any', 'r.own')"],
        "create": ["HasScope('c')"],
        "update": ["HasScope('u')"],
        "partial_update": ["HasScope('u')"],
        "destroy": ["HasScope('d')"],
    }


def test_method_without_scopes_is_not_offered() -> None:
    """A method that the scopes do not name is not there."""
    found = scoped(SecurityScopes(list=["l"], put=["p"])).router.plans
    assert sorted(plan.action for plan in found) == ["list", "update"]


def test_action_follows_the_scopes_of_its_method() -> None:
    """An action needs its method's scopes, unless it names its own; a method without any is not offered."""

    class Shelf(BookViewSet):
        authentication_classes = [Tokens]
        security_scopes = SecurityScopes(get=["r"], post=["c"])

        @action(detail=True, methods=["GET", "DELETE"])
        async def mark(self) -> None: ...

        @action(detail=True, methods=["DELETE"], security_scopes=["shred"])
        async def shred(self) -> None: ...

    found = {key: permissions(plan)[1:] for key, plan in plans(Shelf().router).items()}
    assert found["GET", "/books/{book_id}/mark"] == ["HasScope('r')"]
    assert ("DELETE", "/books/{book_id}/mark") not in found
    assert found["DELETE", "/books/{book_id}/shred"] == ["HasScope('shred')"]


def test_scopes_of_the_ancestors_are_required() -> None:
    """Whoever wants a row below must be able to read the row above."""
    tree = RouterSchema(
        viewset=scoped(SecurityScopes(get=["books"], post=["write"])),
        children=[RouterSchema(viewset=ReviewViewSet, security_scopes=SecurityScopes(get=["reviews"]))],
    )
    below = plans(tree.router)["GET", "/books/{book_id}/reviews"]
    assert [repr(permission) for permission in below.permissions] == [
        "AllowAny",
        "HasScope('books')",
        "AllowAny",
        "HasScope('reviews')",
    ]


def test_child_that_drops_authentication_below_a_closed_parent() -> None:
    """A route whose ancestor must know who is calling needs a way to tell."""
    tree = RouterSchema(
        viewset=BookViewSet,
        authentication_classes=[Tokens],
        permission_classes=[IsAuthenticated],
        children=[RouterSchema(viewset=ReviewViewSet, authentication_classes=[])],
    )
    with pytest.raises(ImproperlyConfigured, match=r"ReviewViewSet\.list: IsAuthenticated requires authentication"):
        _ = tree.router


# Trees


def test_node_offers_what_it_has_schemas_for() -> None:
    """Without a create or update schema those methods are not offered, nor is DELETE without either."""

    def offered(**attributes: Any) -> set[str]:
        attributes = {"permission_classes": [AllowAny], **attributes}
        node = RouterSchema("books", model=Book, read_schema=BookRead, **attributes)
        return {plan.action for plan in node.router.plans} - {"list", "retrieve"}

    assert offered() == set()
    assert offered(create_schema=BookWrite) == {"create", "destroy"}
    assert offered(update_schema=BookWrite) == {"update", "partial_update", "destroy"}
    scopes = SecurityScopes(get=["r"], delete=["d"])
    assert offered(authentication_classes=[Tokens], security_scopes=scopes) == {"destroy"}


def test_keyword_of_a_row_below_itself() -> None:
    """Where an ancestor has a keyword already, the name stands before it, as often as it takes."""
    leaf = RouterSchema(viewset=ReviewViewSet)
    middle = RouterSchema(viewset=ReviewViewSet, children=[leaf])
    tree = RouterSchema(viewset=ReviewViewSet, children=[middle])
    assert tree.router.plans[-1].path == (
        "/reviews/{review_id}/reviews/{reviews_review_id}/reviews/{reviews_reviews_review_id}"
    )


# The declaration stays as it is


def test_router_is_made_once() -> None:
    """``.router`` is one object, however often it is asked for."""
    viewset, tree = BookViewSet(), RouterSchema(viewset=BookViewSet)
    assert viewset.router is viewset.router
    assert tree.router is tree.router


def test_declaration_is_not_changed() -> None:
    """Compiling writes nothing to the class or the instance that was declared."""
    viewset = BookViewSet(security=Tokens(), permission_classes=[IsAuthenticated])
    before, of_class = dict(vars(viewset)), dict(vars(BookViewSet))
    router = Router()
    router.register(viewset, name="volumes")
    router.register(RouterSchema("tomes", viewset=viewset))
    assert vars(viewset) == before
    assert dict(vars(BookViewSet)) == of_class
    assert {plan.name for plan in router.plans} == {"volumes", "tomes"}
    assert {plan.name for plan in viewset.router.plans} == {"books"}


def test_one_viewset_in_several_trees() -> None:
    """A class may stand alone, below one parent and below another."""
    router = Router(prefix="/api")
    router.register(BookViewSet)
    router.register(
        RouterSchema(viewset=AuthorViewSet, children=[RouterSchema(viewset=BookViewSet, parent_field="author")])
    )
    router.register(
        RouterSchema(
            "editors", viewset=AuthorViewSet, children=[RouterSchema(viewset=BookViewSet, parent_field="editor")]
        )
    )
    links = {plan.path: dict(plan.link) for plan in router.plans if plan.action == "list"}
    assert links == {
        "/books": {},
        "/authors": {},
        "/authors/{author_id}/books": {"author_id": "id"},
        "/editors": {},
        "/editors/{author_id}/books": {"editor_id": "id"},
    }


def test_instance_of_a_policy_is_not_shared_by_routes() -> None:
    """What a filter or pagination keeps for one route does not reach another that shares the declaration."""
    search, pages = SearchFilter(), PageNumberPagination(page_size=5)
    shared: dict[str, Any] = {"filter_backends": [search], "pagination_class": pages}
    books = by_action(BookViewSet(search_fields=["title"], **shared).router)["list"]
    reviews = by_action(ReviewViewSet(search_fields=["text"], **shared).router)["list"]
    assert books.policies.filters[0] is not reviews.policies.filters[0]
    assert books.parameters["search"].description == "Terms to find in title"
    assert vars(search) == vars(SearchFilter())
    assert vars(pages) == vars(PageNumberPagination(page_size=5))


def test_plans_are_frozen() -> None:
    """A plan is only read."""
    plan = BookViewSet().router.plans[0]
    with pytest.raises(AttributeError):
        plan.action = "other"  # type: ignore[misc]


# When


def test_settings_are_read_when_the_router_is_asked_for() -> None:
    """What overrides the settings before ``.router`` counts, however early the viewset was made."""
    viewset = BookViewSet(pagination_class=PageNumberPagination())
    with override_settings(PAGE_SIZE=7, MAX_PAGE_SIZE=9, IGNORE_UNKNOWN_PARAMETERS=True):
        plan = by_action(viewset.router)["list"]
    assert plan.lenient
    assert plan.parameters["page_size"].description == "Rows on a page, 7 without it"
    assert plan.policies.pagination is not None
    assert (plan.policies.pagination.size, plan.policies.pagination.largest) == (7, 9)


def test_nothing_is_read_at_import() -> None:
    """Declaring reads no setting, and compiling connects to nothing."""
    code = (
        "import sys\n"
        "from tests.declaration import library\n"
        "from fastapix5 import *\n"
        "from fastapix5.settings import settings\n"
        "PageNumberPagination(); LimitOffsetPagination(page_size=3); SearchFilter(); FilterSetBackend(); Router()\n"
        "RouterSchema(viewset=library.BookViewSet, pagination_class=PageNumberPagination(page_size=3))\n"
        "library.BookViewSet(permission_classes=[IsAuthenticated])\n"
        "settings.configure(DATABASES={'default': 'postgresql+asyncpg://nobody@127.0.0.1:1/none'}, PAGE_SIZE=3)\n"
        "plan = library.BookViewSet().router.plans[0]\n"
        "assert plan.policies.pagination.size == 3\n"
        "from fastapix5.db.engines import _without_loop\n"
        "assert not _without_loop\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


# Actions


def test_action_may_take_the_key_of_its_path() -> None:
    """A key of the path is a parameter like any other, to an action that names it."""

    class Shelf(BookViewSet):
        @action(detail=True)
        async def spine(self, book_id: int) -> str:
            raise NotImplementedError

    plan = by_action(Shelf().router)["spine"]
    assert plan.takes == {"book_id"}


def test_action_has_the_filters_and_pages_that_it_names() -> None:
    """What an action does not name it does not have."""

    class Shelf(BookViewSet):
        filter_backends = [SearchFilter]
        search_fields = ["title"]

        @action(detail=False)
        async def lost(self) -> list[BookRead]:
            raise NotImplementedError

        @action(detail=False, pagination_class=LimitOffsetPagination)
        async def lent(self) -> Any:
            raise NotImplementedError

        @action(detail=False, filter_backends=[SearchFilter], search_fields=["author__name"])
        async def found(self) -> list[BookRead]:
            raise NotImplementedError

    found = by_action(Shelf().router)
    assert {name: list(found[name].parameters) for name in ("lost", "lent", "found")} == {
        "lost": [],
        "lent": ["limit", "offset"],
        "found": ["search"],
    }
    assert found["lent"].output.response_type.__name__ == "BookReadPage"
    assert found["found"].parameters["search"].description == "Terms to find in author__name"


def test_answer_of_an_action() -> None:
    """The annotation is the answer; objects of the model are shown as the read schema."""

    class Shelf(BookViewSet):
        @action(detail=False)
        async def nothing(self) -> None: ...

        @action(detail=False)
        async def anything(self): ...  # type: ignore[no-untyped-def]

        @action(detail=False)
        async def one(self) -> Book:
            raise NotImplementedError

        @action(detail=False)
        async def many(self) -> list[Book]:
            raise NotImplementedError

        @action(detail=False, status_code=202)
        async def other(self) -> dict[str, int]:
            raise NotImplementedError

        @action(detail=False, read_schema=Title)
        async def title(self): ...  # type: ignore[no-untyped-def]

    found = by_action(Shelf().router)
    names = ("nothing", "anything", "one", "many", "other", "title")
    assert {name: (found[name].output.status, found[name].output.response_type) for name in names} == {
        "nothing": (204, None),
        "anything": (200, Any),
        "one": (200, BookRead),
        "many": (200, list[BookRead]),
        "other": (202, dict[str, int]),
        "title": (200, Title),
    }


# Which way a route takes


def test_way_of_a_route() -> None:
    """One statement where nothing asks for an object; the plan says what does."""

    class Looking(BasePermission):
        def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
            return True

    class Shelf(BookViewSet):
        def perform_create(self, data: dict[str, Any]) -> Any: ...

    class BookService(Service[Book]):
        async def destroy(self, obj: Book) -> None: ...

    class BookRepository(Repository[Book]):
        async def update(self, instance: Book, data: Any, **keywords: Any) -> Any:
            raise NotImplementedError

    def why(viewset: Any, name: str) -> tuple[bool, str]:
        plan = by_action(viewset.router)[name]
        return plan.compiled, plan.why

    assert why(BookViewSet(), "update") == (True, "nothing asks for an object")
    assert why(BookViewSet(permission_classes=[Looking]), "retrieve") == (False, "Looking looks at the object")
    assert why(BookViewSet(permission_classes=[Looking]), "list") == (True, "nothing asks for an object")
    assert why(Shelf(), "create") == (False, "perform_create() is overridden")
    assert why(BookViewSet(service_class=BookService), "destroy") == (False, "BookService.destroy() is overridden")
    assert why(BookViewSet(repository_class=BookRepository), "update") == (
        False,
        "BookRepository.update() is overridden",
    )


def test_custom_policies_need_only_their_base() -> None:
    """A filter backend and a pagination of one's own take their place among ours."""

    class Mine(BaseFilterBackend):
        pass

    class Whole(BasePagination):
        pass

    plan = by_action(BookViewSet(filter_backends=[Mine], pagination_class=Whole).router)["list"]
    assert isinstance(plan.policies.filters[0], Mine)
    assert isinstance(plan.policies.pagination, Whole)
