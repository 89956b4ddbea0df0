"""Hooks and overridden methods, as ``def`` and as ``async def``; policies by action."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastapix5 import (
    Action,
    AllowAny,
    BaseAuthentication,
    BasePermission,
    IsAuthenticated,
    Repository,
    Service,
)
from fastapix5.exceptions import DoesNotExist, PermissionDenied
from tests.conftest import on_sqlite
from tests.requests.app import ADA, CompanyViewSet, DepartmentViewSet, TokenAuthentication, token
from tests.requests.conftest import Serve
from tests.requests.models import Company

pytestmark = pytest.mark.anyio

NEW = {"name": "Cog", "slug": "cog"}
calls: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    calls.clear()


class OpenViewSet(CompanyViewSet):
    permission_classes = [AllowAny]


class SyncViewSet(OpenViewSet):
    def get_queryset(self) -> Any:
        calls.append("get_queryset")
        return super().get_queryset().filter(name__startswith="A")

    def get_object(self) -> Any:
        calls.append("get_object")
        return super().get_object()

    def perform_create(self, data: dict[str, Any]) -> Any:
        calls.append("perform_create")
        return super().perform_create(data | {"vat": "sync"})

    def perform_update(self, obj: Any, data: dict[str, Any]) -> Any:
        calls.append("perform_update")
        return super().perform_update(obj, data | {"vat": obj.name})

    def perform_destroy(self, obj: Any) -> Any:
        calls.append("perform_destroy")
        return self.service.update(obj, {"closed": True})

    def filter_queryset(self, queryset: Any) -> Any:
        calls.append("filter_queryset")
        return super().filter_queryset(queryset)

    def check_object_permissions(self, obj: Any) -> Any:
        calls.append("check_object_permissions")
        return super().check_object_permissions(obj)


class AsyncViewSet(OpenViewSet):
    async def get_queryset(self) -> Any:
        calls.append("get_queryset")
        return super().get_queryset().filter(name__startswith="A")

    async def get_object(self) -> Any:
        calls.append("get_object")
        return await super().get_object()

    async def perform_create(self, data: dict[str, Any]) -> Any:
        calls.append("perform_create")
        return await super().perform_create(data | {"vat": "sync"})

    async def perform_update(self, obj: Any, data: dict[str, Any]) -> Any:
        calls.append("perform_update")
        return await super().perform_update(obj, data | {"vat": obj.name})

    async def perform_destroy(self, obj: Any) -> None:
        calls.append("perform_destroy")
        await self.service.update(obj, {"closed": True})

    async def filter_queryset(self, queryset: Any) -> Any:
        calls.append("filter_queryset")
        return await super().filter_queryset(queryset)

    async def check_object_permissions(self, obj: Any) -> None:
        calls.append("check_object_permissions")
        await super().check_object_permissions(obj)


@pytest.mark.parametrize("viewset", [SyncViewSet, AsyncViewSet])
async def test_hooks_are_called(serve: Serve, viewset: Any) -> None:
    """Each hook runs for its actions, written either way, and what it returns counts."""
    client = serve(viewset())
    found = ["get_object", "get_queryset", "check_object_permissions"]
    for method, path, body, status, expected in (
        ("GET", "/companies", None, 200, ["get_queryset", "filter_queryset"]),
        ("GET", "/companies/1", None, 200, found),
        ("GET", "/companies/2", None, 404, ["get_object", "get_queryset"]),
        ("POST", "/companies", NEW, 201, ["perform_create"]),
        ("PUT", "/companies/1", {"name": "Ajax"}, 200, [*found, "perform_update"]),
        ("PATCH", "/companies/1", {"name": "Apex"}, 200, [*found, "perform_update"]),
        ("DELETE", "/companies/1", None, 204, [*found, "perform_destroy"]),
        ("DELETE", "/companies/1", None, 404, ["get_object", "get_queryset"]),
    ):
        calls.clear()
        response = await client.request(method, path, json=body)
        assert (response.status_code, calls) == (status, expected), (method, path)
        if method in ("POST", "PATCH"):
            assert response.json()["vat"] == {"POST": "sync", "PATCH": "Ajax"}[method]
    assert response.status_code == 404


class OverriddenViewSet(OpenViewSet):
    async def list(self) -> Any:
        calls.append("list")
        return await super().list()

    async def retrieve(self) -> Any:
        calls.append("retrieve")
        return await super().retrieve()

    async def create(self, data: dict[str, Any]) -> Any:
        calls.append("create")
        return await super().create(data | {"name": data["name"].upper()})

    async def update(self, data: dict[str, Any]) -> Any:
        calls.append("update")
        return await super().update(data)

    async def partial_update(self, data: dict[str, Any]) -> Any:
        calls.append("partial_update")
        return await super().partial_update(data)

    async def destroy(self) -> None:
        calls.append("destroy")
        await super().destroy()


async def test_standard_methods_may_be_overridden(serve: Serve) -> None:
    """An overridden list, retrieve, create, ... runs, and super() does what it did."""
    client, plain = serve(OverriddenViewSet()), serve(OpenViewSet())
    for method, path, body, name in (
        ("GET", "/companies?page_size=1", None, "list"),
        ("GET", "/companies/1", None, "retrieve"),
        ("PUT", "/companies/1", {"name": "Ajax"}, "update"),
        ("PATCH", "/companies/1", {"vat": "9"}, "partial_update"),
        ("PATCH", "/companies/1", {"name": "Bolt"}, "partial_update"),
        ("DELETE", "/companies/1", None, "destroy"),
    ):
        calls.clear()
        response = await client.request(method, path, json=body)
        expected = await plain.request(method, path, json=body)
        assert calls == [name]
        keep = "request_id"
        assert response.status_code == expected.status_code
        if response.content:
            actual, wanted = response.json(), expected.json()
            assert {k: v for k, v in actual.items() if k != keep} == {k: v for k, v in wanted.items() if k != keep}
    response = await client.post("/companies", json=NEW)
    assert (response.status_code, response.json()["name"]) == (201, "COG")
    assert (await client.get(response.headers["location"])).json() == response.json()
    assert (await client.delete(response.headers["location"])).status_code == 204


async def test_an_overridden_update_is_404_before_its_body_is_judged(serve: Serve) -> None:
    """A missing row with an invalid body is 404 on overridden methods too."""
    client = serve(OverriddenViewSet())
    for method in ("PUT", "PATCH"):
        assert (await client.request(method, "/companies/99", json={"name": 1})).status_code == 404
        assert (await client.request(method, "/companies/1", json={"name": 1})).status_code == 422
    assert calls == []


@on_sqlite
async def test_an_overridden_method_may_return_objects_and_mappings(serve: Serve) -> None:
    """What it returns is shown by the read schema."""

    class Returning(OpenViewSet):
        async def retrieve(self) -> Any:
            return await self.get_object()

        async def update(self, data: dict[str, Any]) -> Any:
            return {"id": 1, "name": "x", "slug": "y", "vat": None, "closed": "secret"}

    client = serve(Returning())
    assert (await client.get("/companies/1")).json()["slug"] == "acme"
    assert (await client.put("/companies/1", json={"name": "z"})).json() == {
        "id": 1,
        "name": "x",
        "slug": "y",
        "vat": None,
    }


async def test_an_error_in_a_hook_rolls_back(serve: Serve) -> None:
    """Whatever a hook raises after it wrote, nothing of it is kept."""

    class Failing(OpenViewSet):
        async def perform_create(self, data: dict[str, Any]) -> Any:
            await super().perform_create(data)
            raise PermissionDenied("Not today.")

        async def perform_destroy(self, obj: Any) -> None:
            await self.service.update(obj, {"closed": True})
            raise DoesNotExist("Company")

    client = serve(Failing())
    response = await client.post("/companies", json=NEW)
    assert (response.status_code, response.json()["detail"]) == (403, "Not today.")
    assert (await client.delete("/companies/1")).status_code == 404
    assert (await client.get("/companies")).json()["count"] == 2


class LoudRepository(Repository[Company]):
    async def create(self, data: Any) -> Company:
        return await super().create({**data, "vat": "loud"})


class LoudService(Service[Company]):
    async def destroy(self, obj: Company) -> None:
        await self.update(obj, {"closed": True})


async def test_services_and_repositories_of_the_users_own_are_used(serve: Serve) -> None:
    """Their overridden verbs run behind the standard actions."""
    client = serve(OpenViewSet(repository_class=LoudRepository, service_class=LoudService))
    assert (await client.post("/companies", json=NEW)).json()["vat"] == "loud"
    assert (await client.delete("/companies/1")).status_code == 204
    assert (await client.get("/companies/1")).status_code == 404


class Weekday(BasePermission):
    async def has_permission(self, request: Any, view: Any) -> bool:
        calls.append(view.action)
        return "x-weekday" in request.headers


@on_sqlite
async def test_policies_go_by_action(serve: Serve) -> None:
    """A mapping takes actions, names and ... for the rest; permissions may be async def."""
    policies = {Action.LIST: [AllowAny], "create": [Weekday], ...: [IsAuthenticated & Weekday]}
    client = serve(CompanyViewSet(permission_classes=policies))
    assert (await client.get("/companies")).status_code == 200
    assert (await client.post("/companies", json=NEW)).status_code == 401
    assert (await client.post("/companies", json=NEW, headers=ADA)).status_code == 403
    assert (await client.post("/companies", json=NEW, headers={"X-Weekday": "1"})).status_code == 201
    assert (await client.get("/companies/1")).status_code == 401
    assert (await client.get("/companies/1", headers=ADA | {"X-Weekday": "1"})).status_code == 200
    assert calls == ["create", "create", "create", "retrieve"]


class KeyAuthentication(BaseAuthentication):
    async def authenticate(self, request: Any) -> Any:
        return None


@on_sqlite
async def test_the_first_authentication_names_the_challenge(serve: Serve) -> None:
    """Authentications are asked in turn; a 401 shows the first one's way."""
    viewset = CompanyViewSet(authentication_classes=[KeyAuthentication, TokenAuthentication])
    client = serve(viewset)
    response = await client.delete("/companies/1")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Key")
    response = await client.get("/companies/1", headers=token("mallory"))
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Key")
    assert (await client.delete("/companies/99", headers=ADA)).status_code == 404


@on_sqlite
async def test_without_authentication_a_refusal_is_403(serve: Serve) -> None:
    """Where no credentials could help, a stranger is 403."""
    client = serve(DepartmentViewSet(authentication_classes=[], permission_classes=[Weekday]))
    response = await client.get("/departments")
    assert (response.status_code, "www-authenticate" in response.headers) == (403, False)
