"""Repositories and querysets of a project's own: what they override holds for every generated request."""

from __future__ import annotations

from typing import Any

import pytest

from fastapix5 import AllowAny, QuerySet, Repository
from tests.requests.app import CompanyViewSet
from tests.requests.conftest import Serve
from tests.requests.models import Company

pytestmark = pytest.mark.anyio


class NarrowRepository(Repository[Company]):
    """The first company, and no other."""

    @property
    def all_objects(self) -> Any:
        return super().all_objects.filter(id=1)


async def test_all_objects_of_a_repository_holds_for_reads_and_writes(serve: Serve) -> None:
    """``objects`` begins with it."""
    client = serve(CompanyViewSet(repository_class=NarrowRepository, permission_classes=[AllowAny]))
    listed = (await client.get("/companies")).json()["results"]
    assert [company["id"] for company in listed] == [1]
    for method, body in (("GET", None), ("PATCH", {"vat": "9"}), ("DELETE", None)):
        assert (await client.request(method, "/companies/2", json=body)).status_code == 404
    assert (await serve(CompanyViewSet(permission_classes=[AllowAny])).get("/companies/2")).json()["vat"] is None


class NotTheSecond(QuerySet[Company]):
    """Filters that never find the second company."""

    def filter(self, *conditions: Any, **lookups: Any) -> Any:
        return super().filter(*conditions, **lookups).exclude(id=2)


class LastFirst(QuerySet[Company]):
    """An order that is always turned round."""

    def order_by(self, *names: Any) -> Any:
        return super().order_by(*(f"-{name}" for name in names))


class AlwaysByName(QuerySet[Company]):
    """An order that ends with the name."""

    def ordered(self) -> Any:
        return self.order_by("-name")


class OldFashioned(QuerySet[Company]):
    """A constructor with fewer names than ours."""

    def __init__(self, model: type[Company], alias: str = "default", *, guarded: bool = False) -> None:
        super().__init__(model, alias, guarded=guarded)


def of(queryset_class: type[QuerySet[Company]], **attributes: Any) -> CompanyViewSet:
    """Companies whose repository has such querysets, for everybody."""
    repository = type("OwnRepository", (Repository,), {"model": Company, "queryset_class": queryset_class})
    return CompanyViewSet(repository_class=repository, permission_classes=[AllowAny], **attributes)


async def test_filter_of_a_queryset_holds_for_the_key_of_the_path(serve: Serve) -> None:
    """And for what is written by it."""
    client = serve(of(NotTheSecond))
    assert (await client.get("/companies/1")).status_code == 200
    for method, body in (("GET", None), ("PATCH", {"vat": "9"}), ("DELETE", None)):
        assert (await client.request(method, "/companies/2", json=body)).status_code == 404


@pytest.mark.parametrize(
    ("queryset_class", "attributes"),
    [(LastFirst, {"ordering": ["name"]}), (AlwaysByName, {})],
    ids=["order_by", "ordered"],
)
async def test_the_order_of_a_queryset_holds_for_lists(
    serve: Serve, queryset_class: type[QuerySet[Company]], attributes: dict[str, Any]
) -> None:
    """Where the caller asks for none."""
    listed = (await serve(of(queryset_class, **attributes)).get("/companies")).json()["results"]
    assert [company["name"] for company in listed] == ["Bolt", "Acme"]


async def test_a_queryset_may_have_a_constructor_of_its_own(serve: Serve) -> None:
    """It is made of a model and an alias, and whether a row policy holds."""
    assert (await serve(of(OldFashioned)).get("/companies")).json()["count"] == 2
