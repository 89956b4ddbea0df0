"""How a model comes by its row policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from fastapix5.access import Access
from fastapix5.db import session_scope
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import Condition, Q, QuerySet, Repository, forget_policies, register_policy
from tests.repositories.models import Author, Book

pytestmark = pytest.mark.anyio

M = TypeVar("M")


def first(access: Access) -> Condition:
    """One row."""
    return Q(id=1)


async def test_a_repository_class_registers_its_policy(library: str) -> None:
    """When it is made, and when it is used after all were forgotten."""

    class Books(Repository[Book]):
        def row_policy(self, access: Access) -> Condition | None:
            return Q(id=1)

    async with session_scope(access=Access(user_id="reader")):
        assert await Repository(Book).objects.count() == 1
        forget_policies()
        assert await Repository(Book).objects.count() == 5
        assert await Books().objects.count() == 1
        assert await Repository(Book).objects.count() == 1


async def test_repositories_of_several_models_may_share_a_policy(library: str) -> None:
    """And extend it."""

    class Own(Repository[M]):
        def row_policy(self, access: Access) -> Condition | None:
            return Q(id__lte=2)

    class Books(Own[Book]):
        pass

    class Authors(Books):
        model = Author  # type: ignore[assignment]

        def row_policy(self, access: Access) -> Condition | None:
            above = super().row_policy(access)
            return None if above is None else Q(above, id__gt=1)

    class Others(Authors):
        pass

    async with session_scope(access=Access(user_id="reader")):
        assert await Books().objects.count() == 2
        assert await Authors().objects.count() == 1
        assert Others.model is Author


async def test_two_repositories_with_different_policies_are_refused() -> None:
    """When the second one is made."""

    class Books(Repository[Book]):
        def row_policy(self, access: Access) -> Condition | None:
            return Q(id=1)

    with pytest.raises(ImproperlyConfigured, match="Book has another row policy already"):

        class Others(Repository[Book]):
            def row_policy(self, access: Access) -> Condition | None:
                return None


@pytest.mark.parametrize("repository_first", [True, False])
async def test_a_repository_stands_above_a_filter(library: str, repository_first: bool) -> None:
    """Whichever comes first."""
    if not repository_first:
        assert register_policy(Book, first, first, "Books.objects_filter")

    class Books(Repository[Book]):
        def row_policy(self, access: Access) -> Condition | None:
            return Q(id__lte=3)

    assert not register_policy(Book, first, first, "Books.objects_filter")
    async with session_scope(access=Access(user_id="reader")):
        assert await Repository(Book).objects.count() == 3
        assert await QuerySet(Book).count() == 5


async def test_a_policy_that_was_written_anew_replaces_the_old_one(library: str) -> None:
    """Of the same module and name; what one factory makes twice differs."""

    def written(source: str) -> Any:
        space: dict[str, Any] = {"Q": Q, "__name__": "policies"}
        exec(f"def policy(access):\n    return {source}", space)
        return space["policy"]

    def factory(key: int) -> Callable[[Access], Condition]:
        def policy(access: Access) -> Condition:
            return Q(id=key)

        return policy

    wrong, right = written("Q(ids=1)"), written("Q(id=1)")
    register_policy(Book, wrong, wrong, "Books")
    register_policy(Book, right, right, "Books")
    async with session_scope(access=Access(user_id="reader")):
        assert await Repository(Book).objects.count() == 1
    one, two = factory(1), factory(2)
    register_policy(Author, one, one, "Authors")
    with pytest.raises(ImproperlyConfigured):
        register_policy(Author, two, two, "Authors")
