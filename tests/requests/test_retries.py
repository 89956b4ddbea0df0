"""Requests whose transactions meet run again, and are answered once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, Response
from pydantic import BaseModel
from sqlalchemy import select, update

from fastapix5 import AllowAny, RouterSchema, action, get_session, on_commit, session_scope
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.settings import override_settings, settings
from tests.conftest import on_postgresql
from tests.requests.app import CompanyViewSet, DepartmentViewSet, TokenAuthentication
from tests.requests.conftest import Serve
from tests.requests.models import Department

pytestmark = [pytest.mark.anyio, on_postgresql, pytest.mark.usefixtures("strict")]


@pytest.fixture
def strict(configured_database: str) -> Iterator[None]:
    """An alias of the default database whose transactions see one state of it."""
    other = {"URL": configured_database, "OPTIONS": {"isolation_level": "REPEATABLE READ"}}
    with override_settings(DATABASES={**settings.DATABASES, "strict": other}):
        yield


async def meddle(number: int = 1) -> None:
    """Change a department from another connection, and commit."""
    async with session_scope():
        statement = update(Department).where(Department.id == number).values(hits=Department.hits + 100)
        await get_session().execute(statement)


async def hits(number: int = 1) -> int:
    async with session_scope():
        return int(await get_session().scalar(select(Department.hits).where(Department.id == number)) or 0)


class Amount(BaseModel):
    amount: int


class Seen:
    """What happened, attempt by attempt."""

    def __init__(self) -> None:
        self.attempts = 0
        self.views: list[Any] = []
        self.services: list[Any] = []
        self.amounts: list[int] = []
        self.solved = 0
        self.permissions = 0
        self.committed: list[int] = []
        self.background: list[int] = []


seen = Seen()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing has happened yet."""
    seen.__init__()  # type: ignore[misc]


async def dependency(response: Response) -> Any:
    """What is solved once, whatever follows."""
    seen.solved += 1
    response.headers["X-Solved"] = str(seen.solved)
    yield get_session("strict")


class Counted(AllowAny):
    def has_permission(self, request: Any, view: Any) -> bool:
        seen.permissions += 1
        view.noted = "by a permission"
        return True


class OvertakenViewSet(DepartmentViewSet):
    """Whoever changes a row is overtaken, as often as the path's key says."""

    using = "strict"
    lock_object = False
    authentication_classes = [TokenAuthentication]
    permission_classes = [Counted]
    times = 1

    async def overtake(self) -> None:
        seen.attempts += 1
        seen.views.append(self)
        seen.services.append(self.service)
        if seen.attempts <= self.times:
            await meddle()

    @action(detail=True, methods=["POST"])
    async def add(
        self,
        body: Amount,
        response: Response,
        background: BackgroundTasks,
        session: Annotated[Any, Depends(dependency)],
    ) -> int:
        department = await self.get_object()
        await self.overtake()
        seen.amounts.append(body.amount)
        body.amount += 1000
        number = seen.attempts
        on_commit(lambda: seen.committed.append(number), "strict")
        background.add_task(seen.background.append, number)
        response.headers.append("X-Attempt", str(number))
        assert session is get_session("strict")
        assert self.noted == "by a permission"  # type: ignore[attr-defined]
        department.hits += body.amount - 1000
        return int(department.hits)

    @action(detail=True, methods=["POST"], retry=False)
    async def add_once(self) -> int:
        department = await self.get_object()
        await self.overtake()
        department.hits += 1
        return int(department.hits)

    async def perform_update(self, obj: Any, data: Any) -> Any:
        await self.overtake()
        return await super().perform_update(obj, data | {"hits": obj.hits + 1})


async def test_a_request_runs_again_on_a_fresh_view(serve: Serve) -> None:
    """Steps 6 to 10 do; what a permission noted is there, and the caller sees one answer."""
    client = serve(OvertakenViewSet())
    answer = await client.post("/departments/1/add", json={"amount": 1})
    assert (answer.status_code, answer.json()) == (200, 101)
    assert await hits() == 101
    assert (seen.attempts, seen.permissions, seen.solved) == (2, 1, 1)
    assert seen.views[0] is not seen.views[1]
    assert seen.services[0] is not seen.services[1]
    assert seen.amounts == [1, 1]
    assert answer.headers["X-Solved"] == "1"


async def test_a_failed_attempt_leaves_no_effects(serve: Serve) -> None:
    """Neither callbacks, nor background tasks, nor headers."""
    client = serve(Thrice())
    answer = await client.post("/departments/1/add", json={"amount": 1})
    assert answer.status_code == 200
    assert seen.attempts == 4
    assert seen.committed == [4]
    assert seen.background == [4]
    assert answer.headers.get_list("X-Attempt") == ["4"]


class Thrice(OvertakenViewSet):
    times = 3


class Always(OvertakenViewSet):
    times = 99


async def test_a_request_that_never_gets_through_is_a_503(serve: Serve) -> None:
    """After the first attempt and three more, with Retry-After, and nothing of it is kept."""
    client = serve(Always())
    answer = await client.post("/departments/1/add", json={"amount": 1})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert seen.attempts == 4
    assert await hits() == 400
    assert seen.committed == []
    assert seen.background == []


async def test_standard_actions_run_again(serve: Serve) -> None:
    """An update whose hook reads and writes counts."""
    client = serve(OvertakenViewSet())
    answer = await client.patch("/departments/1", json={"name": "Later"})
    assert answer.status_code == 200
    assert seen.attempts == 2
    assert await hits() == 101


async def test_retry_false_runs_an_action_once(serve: Serve) -> None:
    """By the keyword of an action."""
    client = serve(OvertakenViewSet())
    answer = await client.post("/departments/1/add_once")
    assert answer.status_code == 503
    assert seen.attempts == 1
    assert await hits() == 100


async def test_retry_is_by_action_too(serve: Serve) -> None:
    """As an attribute of a viewset, for all or some of its actions."""
    for value, status in ((False, 503), ({"partial_update": False}, 503), ({"add": False, ...: True}, 200)):
        seen.attempts = 0
        client = serve(OvertakenViewSet(retry=value))
        answer = await client.patch("/departments/1", json={"name": "Later"})
        assert answer.status_code == status


def test_retry_is_true_or_false() -> None:
    """Anything else stops the start, and so does a near miss."""
    with pytest.raises(ImproperlyConfigured, match="True or False"):
        _ = OvertakenViewSet(retry=3).router
    with pytest.raises(ImproperlyConfigured, match=r'Did you mean "retry"\?'):
        action(detail=True, retrie=False)(meddle)


class CrossingViewSet(DepartmentViewSet):
    """Two rows, locked in the order of the caller."""

    permission_classes = [AllowAny]
    barrier: asyncio.Barrier

    @action(detail=True, methods=["POST"])
    async def cross(self, other: int) -> int:
        department = await self.get_object()
        seen.attempts += 1
        if seen.attempts <= 2:
            await self.barrier.wait()
        found = await self.repository.objects.select_for_update().get(id=other)
        found.hits += 1
        department.hits += 1
        return int(found.hits)


async def test_requests_that_lock_each_other_out_are_both_answered(serve: Serve) -> None:
    """The database ends one of two that deadlock, and it runs again."""
    CrossingViewSet.barrier = asyncio.Barrier(2)
    client = serve(CrossingViewSet())
    answers = await asyncio.gather(
        client.post("/departments/1/cross?other=2"), client.post("/departments/2/cross?other=1")
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert seen.attempts == 3
    assert [await hits(1), await hits(2)] == [2, 2]


async def test_a_nested_request_runs_again_below_its_ancestors(serve: Serve) -> None:
    """They are resolved anew, and the keys of the path are those of before."""

    tree = RouterSchema(
        name="companies",
        viewset=CompanyViewSet(permission_classes=[AllowAny], using="strict"),
        children=[RouterSchema(name="departments", viewset=OvertakenViewSet())],
    )
    client = serve(tree)
    answer = await client.post("/companies/1/departments/1/add", json={"amount": 1})
    assert (answer.status_code, answer.json()) == (200, 101)
    assert (await client.post("/companies/2/departments/1/add", json={"amount": 1})).status_code == 404
