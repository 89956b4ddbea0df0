"""A write whose one statement could be its own transaction: whatever wants more around it gets more."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, PlainSerializer
from sqlalchemy import Enum, ForeignKey, String, TypeDecorator, event, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column, relationship

from fastapix5 import AllowAny, BasePermission, ModelViewSet, Repository, RouterSchema, get_session, override_settings
from fastapix5.db import dispose_engines, session_scope
from fastapix5.db.engines import get_engine
from tests.conftest import on_postgresql, on_sqlite
from tests.requests.conftest import Serve
from tests.statements import Statements

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    """The root of the models."""


class Sealed(TypeDecorator[str]):
    """Text that cannot always be opened."""

    impl = String
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        return str

    def process_result_value(self, value: str | None, dialect: object) -> str | None:
        if value == "broken":
            raise ValueError("cannot be opened")
        return value


class Color(enum.Enum):
    RED = "red"


class Shelf(Base):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]


class Book(Base):
    """Its colour, where nobody says otherwise, is one that is no longer known."""

    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    note: Mapped[str | None] = mapped_column(Sealed())
    varying: Mapped[str | None] = mapped_column(String(9).with_variant(Sealed(9), "postgresql", "sqlite"))
    color: Mapped[Color | None] = mapped_column(Enum(Color, native_enum=False, length=9), server_default="GREEN")
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    shelf: Mapped[Shelf] = relationship()
    length: Mapped[str | None] = column_property(func.length(title, type_=String()))


class Audit(Base):
    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]


class OnPostgreSQL(DeclarativeBase):
    """The root of what only PostgreSQL has."""


class Signed(OnPostgreSQL):
    """Says in which transaction it was written."""

    __tablename__ = "signed"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    by: Mapped[str | None] = mapped_column(
        server_default=text("current_setting('app.user', true)"), onupdate=text("current_setting('app.user', true)")
    )
    isolation: Mapped[str | None] = mapped_column(
        server_default=text("current_setting('transaction_isolation')"),
        onupdate=text("current_setting('transaction_isolation')"),
    )


class ShelfRead(BaseModel):
    id: int
    label: str


class BookRead(BaseModel):
    id: int
    title: str


class BookWrite(BaseModel):
    title: str
    note: str | None = None
    varying: str | None = None
    shelf_id: int = 1


class SignedRead(BaseModel):
    id: int
    by: str | None
    isolation: str | None


class SignedWrite(BaseModel):
    title: str


class BookViewSet(ModelViewSet[Book]):
    read_schema: type[BaseModel] = BookRead
    create_schema = BookWrite
    update_schema = BookWrite
    permission_classes: Any = [AllowAny]


class SignedViewSet(ModelViewSet[Signed]):
    read_schema = SignedRead
    create_schema = SignedWrite
    update_schema = SignedWrite
    permission_classes = [AllowAny]


@pytest.fixture
async def tables(database: str) -> None:
    """A shelf with a book."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        if connection.dialect.name == "postgresql":
            await connection.run_sync(OnPostgreSQL.metadata.create_all)
            await connection.execute(text("INSERT INTO signed (title) VALUES ('old')"))
        await connection.execute(text("INSERT INTO shelf (label) VALUES ('here')"))
        await connection.execute(text("INSERT INTO book (title, shelf_id) VALUES ('old', 1)"))


async def titles() -> list[str]:
    """What is committed of the books."""
    async with session_scope():
        return list(await get_session().scalars(select(Book.title).order_by(Book.id)))


async def audits() -> int:
    """How many audits are committed."""
    async with session_scope():
        return await get_session().scalar(select(func.count()).select_from(Audit)) or 0


def audit() -> None:
    """Add one to the session, and leave the writing to whoever writes."""
    get_session().add(Audit(what="asked"))


async def write(client: httpx2.AsyncClient, path: str, method: str, **values: Any) -> httpx2.Response:
    """Create a row, or change the first."""
    values = {"title": "new", **values}
    return await client.request(method, path if method == "POST" else f"{path}/1", json=values)


@contextmanager
def listening(target: Any, name: str, listener: Callable[..., None]) -> Iterator[None]:
    """Somebody listens, for the duration of a block."""
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


BOTH = pytest.mark.parametrize("method", ["POST", "PATCH"])


# What it is alone


@on_postgresql
async def test_a_plain_write_is_its_own_transaction(serve: Serve, statements: Statements) -> None:
    """No BEGIN and no COMMIT is sent, and the row is there."""
    client = serve(BookViewSet())
    await client.get("/book/1")
    statements.reset()
    assert (await write(client, "/book", "POST")).status_code == 201
    assert (await write(client, "/book", "PATCH", title="other")).status_code == 200
    assert (await write(client, "/book", "PUT", title="another")).status_code == 200
    assert (await write(client, "/book", "PUT", title="new")).status_code == 409
    assert (await client.delete("/book/2")).status_code == 204
    assert await statements.read_control() == []
    assert await titles() == ["another"]


@on_sqlite
async def test_on_sqlite_a_write_is_in_a_transaction(serve: Serve, statements: Statements) -> None:
    """What it returns may be of another type than its column, and then nothing is kept."""
    client = serve(BookViewSet())
    statements.reset()
    assert (await write(client, "/book", "POST")).status_code == 201
    assert [found.text for found in await statements.read_control()] == ["BEGIN IMMEDIATE", "COMMIT"]


# Who listens to transactions


@on_postgresql
@BOTH
@pytest.mark.parametrize("name", ["after_begin", "begin"])
async def test_what_is_set_when_a_transaction_begins_holds_for_the_write(serve: Serve, name: str, method: str) -> None:
    """For the session's event and for the engine's, from the first write on."""

    def sign(*found: Any) -> None:
        found[-1].exec_driver_sql("SELECT set_config('app.user', 'bob', true)")

    client = serve(SignedViewSet())
    assert (await write(client, "/signed", method)).json()["by"] is None
    with listening(Session if name == "after_begin" else get_engine().sync_engine, name, sign):
        assert [(await write(client, "/signed", method)).json()["by"] for _ in range(2)] == ["bob", "bob"]
    assert (await write(client, "/signed", method)).json()["by"] in (None, "")


@pytest.mark.parametrize("name", ["commit", "before_commit", "after_commit"])
async def test_who_listens_to_commits_hears_of_each_write(serve: Serve, name: str) -> None:
    """Once for each; a read has nothing to commit."""
    heard: list[object] = []
    client = serve(BookViewSet())
    await client.get("/book/1")
    target = get_engine().sync_engine if name == "commit" else Session
    with listening(target, name, heard.append):
        for method in ("POST", "PATCH", "DELETE"):
            heard.clear()
            response = await write(client, "/book", method, title=method)
            assert response.is_success
            assert len(heard) == 1, (name, method)
    assert await titles() == ["POST"]


@on_postgresql
@BOTH
async def test_the_engines_isolation_level_holds_for_the_write(serve: Serve, database_url: str, method: str) -> None:
    """As its OPTIONS say."""
    options = {"URL": database_url, "OPTIONS": {"isolation_level": "SERIALIZABLE"}}
    client = serve(SignedViewSet())
    assert (await write(client, "/signed", method)).json()["isolation"] == "read committed"
    await dispose_engines()
    with override_settings(DATABASES={"default": options}):
        for _ in range(2):
            assert (await write(client, "/signed", method)).json()["isolation"] == "serializable"
        await dispose_engines()


# Who has begun to write before


class Audits(BasePermission):
    async def has_permission(self, request: Any, view: Any) -> bool:
        audit()
        return True


class Narrowed(BookViewSet):
    """Audits where nobody would expect it."""

    def get_queryset(self) -> Any:
        audit()
        return super().get_queryset()


async def depended() -> None:
    """A dependency of FastAPI's."""
    audit()


class Strict(BaseModel):
    """What it shows of a book cannot be serialized."""

    id: int
    title: Annotated[str, PlainSerializer(lambda title: title[100])]


def audited(how: str, **attributes: Any) -> APIRouter:
    """A viewset of books before whose writes somebody adds an object to the session."""
    router = APIRouter(dependencies=[Depends(depended)] if how == "dependency" else [])
    if how == "permission":
        attributes["permission_classes"] = [Audits]
    router.include_router((Narrowed if how == "queryset" else BookViewSet)(**attributes).router)
    return router


@BOTH
@pytest.mark.parametrize("how", ["dependency", "permission"])
async def test_an_object_that_was_added_before_is_written_with_the_row(serve: Serve, how: str, method: str) -> None:
    """By a dependency or a permission: both rows are there, or neither is."""
    expected = {"POST": ["old", "new"], "PATCH": ["new"]}[method]
    response = await write(serve(audited(how)), "/book", method)
    assert response.status_code == (201 if method == "POST" else 200)
    assert (await titles(), await audits()) == (expected, 1)
    response = await write(serve(audited(how, read_schema=Strict)), "/book", method, title="newer")
    assert (response.status_code, await titles(), await audits()) == (500, expected, 1)


async def test_an_object_that_get_queryset_adds_is_no_half_of_a_write(serve: Serve) -> None:
    """What was answered is what is there."""
    response = await write(serve(audited("queryset")), "/book", "PATCH")
    found = await titles(), await audits()
    assert (response.status_code, found) in [(200, (["new"], 1)), (500, (["old"], 0))]


class ShelfViewSet(ModelViewSet[Shelf]):
    read_schema = ShelfRead
    create_schema = ShelfRead
    update_schema = ShelfRead


class Renames(BasePermission):
    """Changes the shelf that it looks at."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        obj.label += "!"
        return True


class Notes(BasePermission):
    """Writes that somebody looked."""

    async def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        await Repository(Audit).create({"what": "looked"})
        return True


def below(permission: type[BasePermission]) -> Any:
    """Books below shelves, of which a permission is asked."""
    shelves = ShelfViewSet(permission_classes=[permission])
    return RouterSchema(viewset=shelves, children=[RouterSchema(viewset=BookViewSet())])


async def test_an_ancestor_that_its_permission_changed_is_written_with_the_row(serve: Serve) -> None:
    """Both are there, or neither is."""
    client = serve(below(Renames))
    assert (await write(client, "/shelf/1/book", "POST")).status_code == 201
    assert (await write(client, "/shelf/1/book", "POST")).status_code == 409
    async with session_scope():
        assert await get_session().scalar(select(Shelf.label)) == "here!"
    assert await titles() == ["old", "new"]


async def test_what_an_ancestors_permission_wrote_goes_where_the_write_fails(serve: Serve) -> None:
    """It is part of the write's transaction."""
    client = serve(below(Notes))
    assert (await write(client, "/shelf/1/book", "POST")).status_code == 201
    assert await audits() == 1
    for method, path, status in (("POST", "", 409), ("PATCH", "/1", 409), ("DELETE", "/99", 404)):
        response = await client.request(method, f"/shelf/1/book{path}", json={"title": "new"})
        assert (response.status_code, await audits()) == (status, 1), method
    assert await titles() == ["old", "new"]


# What cannot be answered


def fail(value: Any) -> Any:
    """A serializer with a fault."""
    raise LookupError(value)


class ByRelation(BaseModel):
    id: int
    shelf: Annotated[ShelfRead, PlainSerializer(fail)]


class ByExclusion(BaseModel):
    id: int
    title: Annotated[str, Field(exclude_if=fail)]


class ByExcludedRelation(BaseModel):
    id: int
    shelf: Annotated[ShelfRead, Field(exclude_if=fail)]


class ByType(BaseModel):
    id: int
    note: str | None


class ByVariant(BaseModel):
    id: int
    varying: str | None


class ByEnum(BaseModel):
    id: int
    color: Color | None


class ByExpression(BaseModel):
    """Its column_property says that a length is text."""

    id: int
    length: str | None


FAULTY = [Strict, ByRelation, ByExclusion, ByExcludedRelation, ByType, ByVariant, ByEnum, ByExpression]


@BOTH
@pytest.mark.parametrize("schema", FAULTY)
async def test_what_cannot_be_answered_is_not_written(serve: Serve, schema: type[BaseModel], method: str) -> None:
    """Where the answer cannot be made of the row, or its JSON cannot: 500, the first time and the second."""
    client = serve(BookViewSet(read_schema=schema))
    for _ in range(2):
        response = await write(client, "/book", method, note="broken", varying="broken")
        assert (response.status_code, await titles()) == (500, ["old"])
