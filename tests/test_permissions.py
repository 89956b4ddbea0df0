"""Permissions: what each says, and what &, | and ~ make of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, get_type_hints

import pytest
from starlette.requests import Request

from fastapix5.access import ANONYMOUS, Access, Scope
from fastapix5.concurrency import call
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.permissions import (
    AllowAny,
    BasePermission,
    HasScope,
    IsAuthenticated,
    as_instance,
    checks_objects,
    granted_scope,
    parts_of,
)

pytestmark = pytest.mark.anyio

ADA = Access(user_id="ada", scopes=frozenset({"flights.read", "flights.write"}))
BOB = Access(user_id="bob")
REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": []})


@dataclass
class View:
    """What a permission reads of a viewset."""

    access: Access


@dataclass
class Book:
    """A row with an owner."""

    owner: str


class IsOwner(BasePermission):
    """Judges objects alone."""

    requires_authentication = True

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return bool(obj.owner == view.access.user_id)


class IsAda(BasePermission):
    """Judges requests alone, with ``async def``."""

    async def has_permission(self, request: Request, view: Any) -> bool:
        return bool(view.access.user_id == "ada")


class OwnerNamedAda(IsAda):
    """Judges both."""

    async def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return bool(obj.owner == view.access.user_id)


class Exploding(BasePermission):
    """Must not be asked."""

    def has_permission(self, request: Request, view: Any) -> bool:
        raise AssertionError

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        raise AssertionError


async def allows(permission: object, access: Access, obj: object = None) -> bool:
    """Ask as a request does: first about itself, then about the object where there is one."""
    made = as_instance(permission)
    if not await call(made.has_permission, REQUEST, View(access)):
        return False
    return obj is None or bool(await call(made.has_object_permission, REQUEST, View(access), obj))


async def test_allow_any_allows_anybody() -> None:
    """Nobody is refused."""
    assert await allows(AllowAny, ANONYMOUS)
    assert await allows(AllowAny, ADA, Book("bob"))


async def test_is_authenticated_needs_a_name() -> None:
    """The anonymous access is refused."""
    assert not await allows(IsAuthenticated, ANONYMOUS)
    assert await allows(IsAuthenticated, ADA)


async def test_one_scope_is_enough() -> None:
    """Any one of the scopes grants, and the first granting one is told."""
    assert await allows(HasScope("flights.write"), ADA)
    assert await allows(HasScope("x", "flights.read"), ADA)
    assert not await allows(HasScope("flights"), ADA)
    assert not await allows(HasScope("flights.write"), BOB)
    granted = HasScope("x", "flights.write", "flights.read").granting(ADA)
    assert granted == Scope("flights.write")
    assert granted is not None
    assert granted.selector == "write"


def test_scopes_that_a_subclass_sets_are_told_by_their_selector() -> None:
    """A row policy reads ``access.scope.selector``, whoever wrote the scopes down."""

    class OwnScopes(HasScope):
        def __init__(self) -> None:
            self.scopes = ("flights.read.own",)

    granted = OwnScopes().granting(Access(user_id="ada", scopes=frozenset({"flights.read.own"})))
    assert granted is not None
    assert granted.selector == "own"


async def test_a_scope_without_a_name_does_not_grant() -> None:
    """An anonymous access has no use of scopes."""
    assert not await allows(HasScope("a"), Access(scopes=frozenset({"a"})))


@pytest.mark.parametrize("scopes", [(), ("",), ("a b",), (" a",), (7,), (["a"],)])
def test_a_scope_is_one_word(scopes: tuple[Any, ...]) -> None:
    """No scope, or what can never be in a token, is a mistake."""
    with pytest.raises(ImproperlyConfigured, match=r"HasScope\("):
        HasScope(*scopes)


async def test_and_needs_both() -> None:
    """Both parts must agree, to the request and to the object."""
    assert await allows(IsAda & IsOwner, ADA, Book("ada"))
    assert not await allows(IsAda & IsOwner, ADA, Book("bob"))
    assert not await allows(IsAda & IsOwner, BOB, Book("bob"))


async def test_or_needs_one_that_agrees_to_request_and_object() -> None:
    """A part that refused the request cannot vouch for the object."""
    assert await allows(IsAda | IsOwner, BOB, Book("bob"))
    assert await allows(IsAda | IsOwner, ADA, Book("bob"))
    assert not await allows(IsAda | IsOwner, BOB, Book("ada"))
    assert not await allows(OwnerNamedAda | IsAuthenticated, ANONYMOUS)


async def test_operators_stop_where_the_answer_is_known() -> None:
    """The right part is not asked when the left one decides."""
    assert not await allows(IsAuthenticated & Exploding, ANONYMOUS)
    assert await allows(AllowAny | Exploding, ANONYMOUS, Book("ada"))


async def test_not_of_a_request_permission_holds_for_objects_too() -> None:
    """~ of what judges requests alone says nothing about the object."""
    assert await allows(~IsAda, BOB, Book("ada"))
    assert not await allows(~IsAda, ADA, Book("ada"))
    assert await allows(~IsAuthenticated, ANONYMOUS, Book("ada"))


async def test_not_of_an_object_permission_lets_requests_in() -> None:
    """~ of what judges objects alone refuses those objects and nothing else."""
    assert await allows(~IsOwner, ADA)
    assert await allows(~IsOwner, ADA, Book("bob"))
    assert not await allows(~IsOwner, ADA, Book("ada"))


async def test_not_of_both_refuses_whoever_may_make_the_request() -> None:
    """~ of what judges both refuses at the request, before any row is looked up."""
    assert not await allows(~OwnerNamedAda, ADA)
    assert await allows(~OwnerNamedAda, BOB, Book("ada"))
    refused = ~OwnerNamedAda
    assert not await call(refused.has_object_permission, REQUEST, View(ADA), Book("ada"))


async def test_parentheses_and_precedence() -> None:
    """~ binds tighter than &, and & tighter than |, as everywhere in Python."""
    assert await allows(AllowAny | IsAda & Exploding, BOB)
    assert not await allows((AllowAny | IsAda) & IsAda, BOB)
    assert await allows(~IsAda & IsAuthenticated, BOB)
    assert not await allows(~(IsAda | IsAuthenticated), BOB)


async def test_composition_agrees_with_logic() -> None:
    """Over every caller and owner, compositions say what and, or and not say."""
    for access, owner in itertools.product((ANONYMOUS, ADA, BOB), ("ada", "bob")):
        book, ada, mine = Book(owner), access.user_id == "ada", access.user_id == owner
        cases: list[tuple[BasePermission, bool]] = [
            (~(IsAda & IsOwner), not (ada and mine)),
            (~(IsAda | IsOwner), not (ada or mine)),
            (~(~IsAda & ~IsOwner), ada or mine),
            (IsAda & ~IsOwner, ada and not mine),
            (~IsAda | IsOwner, not ada or mine),
            (~~IsOwner & AllowAny, mine),
            ((IsAda | IsOwner) & ~(IsAda & IsOwner), ada != mine),
        ]
        for permission, expected in cases:
            assert await allows(permission, access, book) is expected, (permission, access, book)


def test_classes_and_instances_mix() -> None:
    """Operators take classes and instances on either side, and always make an instance."""
    scope = HasScope("a")
    for made in (IsAuthenticated & scope, scope & IsAuthenticated, IsAuthenticated | IsAda, ~IsAda, scope | ~scope):
        assert isinstance(made, BasePermission)
    assert repr(~(IsAuthenticated & scope) | AllowAny) == "((~IsAuthenticated | ~HasScope('a')) | AllowAny)"


def test_what_is_no_permission_cannot_be_joined() -> None:
    """Joining anything else is a TypeError where it is written."""
    for operand in (5, "x", None, int):
        with pytest.raises(TypeError):
            IsAuthenticated & operand
    for operand in (5, "x", None, int):
        with pytest.raises(TypeError):
            HasScope("a") | operand
    with pytest.raises(TypeError):
        IsAuthenticated | 5


def test_unions_in_annotations_still_work() -> None:
    """``SomePermission | None`` is a type where a type is meant."""

    def hook(permission: IsAuthenticated | None) -> None: ...

    assert get_type_hints(hook)["permission"] == (IsAuthenticated | None)


def test_requires_authentication_is_composed() -> None:
    """& needs a name where a part does, | where all parts do, ~ never."""
    assert IsAuthenticated.requires_authentication
    assert HasScope("a").requires_authentication
    assert not AllowAny.requires_authentication
    assert (AllowAny & IsAuthenticated).requires_authentication
    assert not (AllowAny | IsAuthenticated).requires_authentication
    assert (IsOwner | IsAuthenticated).requires_authentication
    assert not (~IsAuthenticated).requires_authentication
    assert not (~(AllowAny | IsAuthenticated)).requires_authentication


def test_checks_objects_finds_overrides() -> None:
    """A permission checks objects where it, or a part of it, overrides the method."""
    assert checks_objects(IsOwner)
    assert checks_objects(IsOwner())
    assert checks_objects(AllowAny & (IsAda | ~IsOwner))
    assert not checks_objects(IsAda)
    assert not checks_objects(AllowAny & ~(IsAda | HasScope("a")))


def test_where_all_must_agree_each_part_is_asked_by_itself() -> None:
    """The parts of ``&`` come one after the other, and who agrees to everything is not asked."""
    either = HasScope("a") | HasScope("b")
    asked = parts_of([AllowAny(), IsAuthenticated() & either & AllowAny()])
    assert list(map(repr, asked)) == ["IsAuthenticated", "(HasScope('a') | HasScope('b'))"]


def test_granted_scope_is_that_of_the_part_that_granted() -> None:
    """Compositions are walked: & where no part of it lacks its scope, | its first part that has one, ~ never."""
    read, write, other = HasScope("flights.read"), HasScope("flights.write"), HasScope("x")
    cases: list[tuple[BasePermission, str | None]] = [
        (read, "flights.read"),
        (IsAuthenticated & read, "flights.read"),
        (write & read, "flights.write"),
        (other | write | read, "flights.write"),
        ((read & other) | write, "flights.write"),
        ((read & (other | other)) | write, "flights.write"),
        (~other, None),
        (~other & read, "flights.read"),
        (IsAuthenticated & IsAda, None),
    ]
    for permission, expected in cases:
        assert granted_scope([IsAuthenticated(), permission], ADA) == (expected and Scope(expected)), permission


def test_as_instance_makes_or_keeps() -> None:
    """A class is made, an instance is kept, anything else is refused."""
    kept = HasScope("a")
    assert as_instance(kept) is kept
    assert isinstance(as_instance(IsAda), IsAda)
    for wrong in (5, "fastapix5.IsAuthenticated", int, None):
        with pytest.raises(ImproperlyConfigured, match=r"is no permission\. Write a subclass of BasePermission"):
            as_instance(wrong)


class NeedsName(BasePermission):
    """Cannot be made without an argument."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_class_that_needs_arguments_is_named() -> None:
    """A class in the list where an instance is needed is told."""
    with pytest.raises(ImproperlyConfigured, match=r"NeedsName: .* Write an instance: NeedsName\(\.\.\.\)\."):
        as_instance(NeedsName)
    with pytest.raises(ImproperlyConfigured, match="Write each as one word"):
        as_instance(HasScope)
