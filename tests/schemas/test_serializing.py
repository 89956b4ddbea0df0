"""Rows that are still mappings become the same JSON as the instances of their schemas."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
)
from sqlalchemy import ForeignKey, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapix5 import AllowAny, ReadOnlyModelViewSet, setup
from fastapix5.db.engines import get_engine
from fastapix5.pagination import page_schema
from fastapix5.schemas.serializing import mapping_serializer

T = TypeVar("T")


class Color(enum.Enum):
    """A color."""

    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """What is nested, twice."""

    id: int
    name: str = Field(alias="label")


class Wide(BaseModel):
    """One field of each kind."""

    model_config = ConfigDict(populate_by_name=True)

    id: int = Field(serialization_alias="number")
    text: str
    price: Decimal
    ratio: float
    fine: bool
    day: dt.date
    moment: dt.datetime
    hour: dt.time
    span: dt.timedelta
    key: uuid.UUID
    color: Color
    maybe: str | None
    secret: str = Field(exclude=True)
    anything: Any
    one: Inner | None
    other: Inner
    many: list[Inner]


VALUES: dict[str, Any] = {
    "id": 7,
    "text": 'a "quoted" ü\n\u2028',
    "price": Decimal("10.50"),
    "ratio": 1.0,
    "fine": True,
    "day": dt.date(2013, 1, 31),
    "moment": dt.datetime(2013, 1, 31, 5, 17, 0, 250, tzinfo=dt.UTC),
    "hour": dt.time(5, 17),
    "span": dt.timedelta(days=1, microseconds=5),
    "key": uuid.UUID(int=7),
    "color": Color.BLUE,
    "maybe": None,
    "secret": "hidden",
    "anything": {"b": [1, None, "x"], "a": 1.5},
    "one": None,
    "other": {"id": 1, "name": "one"},
    "many": [{"id": 2, "name": "two"}, {"id": 3, "name": "three"}],
}


def instance(values: dict[str, Any]) -> Wide:
    """The instance that holds ``values``."""
    nested = {"other": built(values["other"]), "many": [built(item) for item in values["many"]]}
    return Wide.model_construct(**{**values, **nested})


def built(values: dict[str, Any]) -> Inner:
    """The nested instance."""
    inner = Inner.model_construct()
    inner.__dict__.update(values)
    return inner


def test_a_list_of_mappings_is_the_list_of_instances() -> None:
    """Aliases, what is excluded, nested schemas and every type are in the JSON as pydantic writes them."""
    adapter: TypeAdapter[Any] = TypeAdapter(list[Wide])
    serializer = mapping_serializer(adapter, list[Wide], [Wide, Inner])
    assert serializer is not None
    expected = adapter.dump_json([instance(VALUES)] * 2, by_alias=True, warnings="error")
    assert serializer.to_json([VALUES] * 2, by_alias=True, warnings="error") == expected
    assert b'"number":7' in expected


def test_a_page_of_mappings_is_the_page_of_instances() -> None:
    """The page itself may be an instance still."""
    page = page_schema(Wide)
    adapter: TypeAdapter[Any] = TypeAdapter(page)
    serializer = mapping_serializer(adapter, page, [Wide, Inner])
    assert serializer is not None
    links: dict[str, Any] = {"count": 1, "next": None, "previous": "/wides?page=1"}
    expected = adapter.dump_json(page.model_construct(results=[instance(VALUES)], **links), by_alias=True)
    actual = serializer.to_json(page.model_construct(results=[VALUES], **links), by_alias=True, warnings="error")
    assert actual == expected


class Computed(BaseModel):
    """Shows more than it holds."""

    id: int

    @computed_field
    def twice(self) -> int:
        """Twice the id."""
        return self.id * 2


class ByField(BaseModel):
    """Writes a field in its own way, and looks at the others for it."""

    id: int

    @field_serializer("id")
    def show(self, value: int) -> str:
        """The id in brackets."""
        return f"[{value}]"


class ByModel(BaseModel):
    """Writes itself in its own way."""

    id: int

    @model_serializer
    def show(self) -> list[int]:
        """The id alone."""
        return [self.id]


class Configured(BaseModel):
    """Says in its config how a type is written."""

    model_config = ConfigDict(ser_json_timedelta="float")

    span: dt.timedelta


class Box(BaseModel, Generic[T]):
    """Holds something."""

    inside: T


@pytest.mark.parametrize("schema", [Computed, ByField, ByModel, Configured, Box[Computed]])
def test_a_schema_with_words_of_its_own_wants_instances(schema: type[BaseModel]) -> None:
    """Where its JSON is more than its fields and their types, there is no such serializer."""
    nested = [Computed] if schema is Box[Computed] else []
    assert mapping_serializer(TypeAdapter(list[schema]), list[schema], [schema, *nested]) is None  # type: ignore[valid-type]


class Annotating(BaseModel):
    """Has a serializer that looks at nothing but the value."""

    id: Annotated[int, PlainSerializer(lambda value: f"#{value}")]


def test_a_serializer_of_a_type_is_kept() -> None:
    """What an annotation says of a value's JSON holds for mappings too."""
    adapter = TypeAdapter(list[Annotating])
    serializer = mapping_serializer(adapter, list[Annotating], [Annotating])
    assert serializer is not None
    assert serializer.to_json([{"id": 1}]) == adapter.dump_json([Annotating(id=1)]) == b'[{"id":"#1"}]'


class Excluding(BaseModel):
    """Leaves out what is nothing."""

    id: int
    name: Annotated[str | None, Field(exclude_if=lambda value: value is None)]


def test_a_condition_on_a_value_is_kept() -> None:
    """What is excluded by its value is excluded of mappings too."""
    adapter = TypeAdapter(list[Excluding])
    serializer = mapping_serializer(adapter, list[Excluding], [Excluding])
    assert serializer is not None
    rows: list[dict[str, Any]] = [{"id": 1, "name": None}, {"id": 2, "name": "b"}]
    expected = adapter.dump_json([Excluding(**row) for row in rows])
    assert serializer.to_json(rows) == expected == b'[{"id":1},{"id":2,"name":"b"}]'


def first(value: Any) -> Any:
    """What a serializer makes of an instance, or of instances: it needs their attributes."""
    return value[0].name if isinstance(value, list) else value.name


def wrapped(value: Any, handler: SerializerFunctionWrapHandler) -> Any:
    """The same, around what would be written without it."""
    return value.name, handler(value)


def unchanged(value: Any, handler: SerializerFunctionWrapHandler) -> Any:
    """What is written as without it."""
    return handler(value)


class Plainly(BaseModel):
    one: Annotated[Inner, PlainSerializer(first)]


class Optionally(BaseModel):
    one: Annotated[Inner | None, PlainSerializer(first)]


class Within(BaseModel):
    one: Annotated[Inner, PlainSerializer(first)] | None


class Wrapped(BaseModel):
    one: Annotated[Inner, WrapSerializer(wrapped)]


class WrappedAsItIs(BaseModel):
    one: Annotated[Inner, WrapSerializer(unchanged)]


class AsAny(BaseModel):
    one: SerializeAsAny[Inner]


class AsAnyOrNone(BaseModel):
    one: Annotated[Inner | None, SerializeAsAny()]


class Conditionally(BaseModel):
    one: Annotated[Inner, Field(exclude_if=lambda one: one.id == 1)]


class Many(BaseModel):
    one: Annotated[list[Inner], PlainSerializer(first)]


class EachOfMany(BaseModel):
    one: list[Annotated[Inner, PlainSerializer(first)]]


class Nested(BaseModel):
    """Has it one level further down."""

    one: Plainly


RELATED = [Plainly, Optionally, Within, Wrapped, AsAny, AsAnyOrNone, Conditionally, Many, EachOfMany, Nested]


@pytest.mark.parametrize("schema", [*RELATED, WrappedAsItIs])
def test_a_relation_with_words_of_its_own_wants_instances(schema: type[BaseModel]) -> None:
    """A serializer or a condition on a field that shows rows would be given a mapping; in a page as in a list."""
    nested = [Plainly] if schema is Nested else []
    page = page_schema(schema)
    for answer in (list[schema], page):  # type: ignore[valid-type]
        assert mapping_serializer(TypeAdapter(answer), answer, [schema, *nested, Inner]) is None


class Base(DeclarativeBase):
    """The root of the models."""


class Owner(Base):
    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    one: Mapped[Owner] = relationship()


@pytest.fixture
async def things(database: str) -> None:
    """Two things, each with its owner."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        for number in (1, 2):
            await connection.execute(insert(Owner).values(id=number, name=f"owner {number}"))
            await connection.execute(insert(Thing).values(id=number, owner_id=number))


@pytest.mark.anyio
async def test_a_list_shows_what_a_row_shows(things: None) -> None:
    """Whatever the schema says of a relation: a page and a bare list have the same items as retrieve answers."""

    class Viewset(ReadOnlyModelViewSet[Thing]):
        permission_classes = [AllowAny]

    schemas = [Plainly, Optionally, Wrapped, WrappedAsItIs, AsAnyOrNone, Conditionally]
    app = setup(FastAPI())
    for schema in schemas:
        name = schema.__name__.lower()
        app.include_router(Viewset(name=name, read_schema=schema).router)
        app.include_router(Viewset(name=f"{name}s", read_schema=schema, pagination_class=None).router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        for schema in schemas:
            path = f"/{schema.__name__.lower()}"
            rows = [(await client.get(f"{path}/{number}")).json() for number in (1, 2)]
            assert "status" not in rows[0], (schema, rows)
            assert (await client.get(path)).json()["results"] == rows, schema
            assert (await client.get(f"{path}s")).json() == rows, schema
