"""Requests beside each other: no update is lost, and no request sees another's view."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastapix5 import AllowAny, action
from tests.conftest import on_sqlite
from tests.requests.app import CompanyViewSet, DepartmentViewSet, TokenAuthentication, token
from tests.requests.conftest import Serve

pytestmark = pytest.mark.anyio


class CountingViewSet(DepartmentViewSet):
    permission_classes = [AllowAny]

    @action(detail=True, methods=["POST"])
    async def hit(self) -> int:
        """Read, wait, and write what was read and one more."""
        department = await self.get_object()
        await asyncio.sleep(0.005)
        return int((await self.service.update(department, {"hits": department.hits + 1})).hits)

    @action(detail=True, methods=["POST"])
    async def touch(self) -> int:
        """The same by an attribute of the object."""
        department = await self.get_object()
        await asyncio.sleep(0.005)
        department.hits += 1
        return int(department.hits)

    async def perform_update(self, obj: Any, data: Any) -> Any:
        await asyncio.sleep(0.005)
        return await super().perform_update(obj, data | {"hits": obj.hits + 1})


@pytest.mark.parametrize("how", ["hit", "touch", "patch"])
async def test_no_read_modify_write_is_lost(serve: Serve, how: str) -> None:
    """get_object() locks in unsafe methods: of twenty increments at once each one counts."""
    client = serve(CountingViewSet())
    if how == "patch":
        requests = [client.patch("/departments/1", json={"name": "x"}) for _ in range(20)]
    else:
        requests = [client.post(f"/departments/1/{how}") for _ in range(20)]
    responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} == {200}
    assert (await client.get("/departments/1")).json()["hits"] == 20


class WaitingViewSet(CompanyViewSet):
    authentication_classes = [TokenAuthentication]
    permission_classes = [AllowAny]

    @action(detail=True)
    async def me(self) -> list[Any]:
        """Everything that belongs to one request, read around a wait."""
        self.service.note = self.access.user_id
        before = (id(self.service), id(self.repository), self.service.repository is self.repository)
        await asyncio.sleep(0.01)
        after = (id(self.service), id(self.repository), before[2])
        return [self.access.user_id, self.service.note, self.kwargs["company_id"], self.action, before == after]


@on_sqlite
async def test_a_view_belongs_to_one_request(serve: Serve) -> None:
    """Requests at once see their own access, keys, service and repository, also where the declaration made one."""
    viewset = WaitingViewSet()
    assert viewset.service.repository is viewset.repository
    client = serve(viewset)
    responses = await asyncio.gather(
        *(client.get(f"/companies/{number}/me", headers=token(f"user{number}")) for number in range(1, 21))
    )
    expected = [[f"user{number}", f"user{number}", number, "me", True] for number in range(1, 21)]
    assert [response.json() for response in responses] == expected
    assert not hasattr(viewset, "request")
    assert not hasattr(viewset.service, "note")


async def test_a_cancelled_request_writes_nothing(serve: Serve) -> None:
    """A request whose task is cancelled rolls back, and its connection serves others."""
    started = asyncio.Event()

    class Slow(CompanyViewSet):
        permission_classes = [AllowAny]

        async def perform_create(self, data: Any) -> Any:
            created = await super().perform_create(data)
            started.set()
            await asyncio.sleep(30)
            return created

    client = serve(Slow())
    task = asyncio.ensure_future(client.post("/companies", json={"name": "Cog", "slug": "cog"}))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.get("/companies")).json()["count"] == 2
    assert (await client.patch("/companies/1", json={"name": "Ajax"})).status_code == 200
