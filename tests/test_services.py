"""Services: business verbs over a repository, without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel, Field

from fastapix5.db import get_engine, session_scope
from fastapix5.exceptions import DoesNotExist, ImproperlyConfigured, MultipleObjectsReturned
from fastapix5.repositories import Repository
from fastapix5.services import Service
from tests.repositories.models import Tag, fill

pytestmark = pytest.mark.anyio


class TagService(Service[Tag]):
    """One verb of its own."""

    async def shout(self, tag: Tag) -> Tag:
        return await self.update(tag, {"word": tag.word.upper()})


class TagInput(BaseModel):
    text: str = Field("none", validation_alias="word")


@pytest.fixture
async def service(database: str) -> AsyncIterator[TagService]:
    """A service on a filled database, in an open scope."""
    async with get_engine().begin() as connection:
        await connection.run_sync(fill)
    async with session_scope():
        yield TagService(Repository(Tag))


async def test_the_verbs_of_a_service(service: TagService) -> None:
    """List, retrieve, create, update, destroy, and one of its own."""
    created = await service.create({"word": "made"})
    assert await service.retrieve(word="made") is created
    await service.update(created, {"word": "changed"})
    assert (await service.shout(created)).word == "CHANGED"
    assert {tag.word for tag in await service.list()} == {"old", "new", "rare", "CHANGED"}
    await service.destroy(created)
    with pytest.raises(DoesNotExist):
        await service.retrieve(word="CHANGED")


async def test_a_list_may_be_narrowed_and_cut(service: TagService) -> None:
    """By a queryset and a slice."""
    words = service.repository.objects.order_by("-word")
    assert [tag.word for tag in await service.list(words, slice(1, 3))] == ["old", "new"]
    assert [tag.word for tag in await service.list(page=slice(0, 3))] == ["old", "new", "rare"]


async def test_retrieve_finds_one_row(service: TagService) -> None:
    """Several are too many."""
    with pytest.raises(MultipleObjectsReturned):
        await service.retrieve(word__contains="e")


async def test_a_schema_may_be_given_instead_of_a_mapping(service: TagService) -> None:
    """Fields go by the attributes that they stand for; an update writes those that were set."""
    created = await service.create(TagInput.model_validate({}))
    assert created.word == "none"
    assert (await service.update(created, TagInput.model_validate({}))).word == "none"
    assert (await service.update(created, TagInput.model_validate({"word": "set"}))).word == "set"
    await service.update(created, TagInput.model_validate({}))
    assert (await service.retrieve(id=created.id)).word == "set"


async def test_a_schema_that_fits_no_column_is_refused(service: TagService) -> None:
    """Rather than written in part."""

    class Wrong(BaseModel):
        wrod: str

    with pytest.raises(ImproperlyConfigured, match="Wrong"):
        await service.create(Wrong(wrod="x"))
