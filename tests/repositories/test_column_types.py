"""Facts about every column type of SQLAlchemy's two dialects: what a schema shows of it, or why it stops the start."""

# Values without a time zone are what some columns hold.
# ruff: noqa: DTZ001

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, TypeAdapter, create_model, field_validator
from pydantic.networks import IPvAnyAddress, IPvAnyInterface
from sqlalchemy import (
    CHAR,
    JSON,
    REAL,
    VARCHAR,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    Unicode,
    UnicodeText,
    Uuid,
    inspect,
    null,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import registry

from fastapix5.db import atomic, get_engine, get_session, session_scope
from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories import QuerySet
from fastapix5.schemas import select_for

pytestmark = pytest.mark.anyio

D = decimal.Decimal
AWARE = dt.datetime(2020, 1, 31, 9, 30, 0, 123456, dt.UTC)
NAIVE = AWARE.replace(tzinfo=None)
WHOLE = NAIVE.replace(microsecond=0)
KEY = uuid.UUID("a2345678-1234-5678-1234-56781234567f")
DAYS = dt.timedelta(days=3, seconds=5, microseconds=7)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Point(BaseModel):
    x: int
    y: float = 0.5


class Plain(TypeDecorator[str]):
    """Makes nothing of what it reads."""

    impl = String(5)
    cache_ok = True


class AsPoint(TypeDecorator[Point]):
    """Stores a pydantic model as JSON, and does not say what it reads."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Point | None, dialect: Dialect) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Point | None:
        return None if value is None else Point.model_validate(value)


class AsLevel(TypeDecorator[Level]):
    """Stores an enumeration by number, and says so."""

    impl = SmallInteger
    cache_ok = True
    python_type = Level

    def process_result_value(self, value: Any, dialect: Dialect) -> Level | None:
        return None if value is None else Level(value)


@dataclass
class Shown:
    """What schemas show of a column type.

    Attributes:
        type: The column's.
        annotation: The field's natural type.
        values: What is stored, besides NULL.
        validated: Whether each value goes through pydantic on the way out, since only that makes it the field's type.
    """

    type: sqltypes.TypeEngine[Any]
    annotation: Any
    values: list[Any]
    validated: bool = False


HAS_JSONB = sqlite3.sqlite_version_info >= (3, 45)
# Without types of their own, these take any argument.
DATE: Any = sqlite.DATE
TIME: Any = sqlite.TIME
DATETIME: Any = sqlite.DATETIME
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# fmt: off
GENERIC = [
    Shown(Integer(), int, [0, -(2**31)]),
    Shown(SmallInteger(), int, [7]),
    Shown(BigInteger(), int, [2**63 - 1]),
    Shown(sqltypes.INTEGER(), int, [7]),
    Shown(sqltypes.INT(), int, [7]),
    Shown(sqltypes.SMALLINT(), int, [7]),
    Shown(sqltypes.BIGINT(), int, [7]),
    Shown(Integer(), bool, [0, 1], validated=True),
    Shown(Integer(), float, [7], validated=True),
    Shown(Integer(), Level, [1], validated=True),
    Shown(AsLevel(), Level, [Level.LOW]),
    Shown(Numeric(10, 3), D, [D("1.500"), D("-0.001"), D("0.000")]),
    Shown(Numeric(10, 3), float, [D("1.5")], validated=True),
    Shown(Numeric(10, 0), int, [D(7)], validated=True),
    Shown(Numeric(10, 3, asdecimal=False), float, [1.5, 3.0], validated=True),
    Shown(sqltypes.NUMERIC(5, 2), D, [D("1.50")]),
    Shown(sqltypes.DECIMAL(5, 2), D, [D("1.50")]),
    Shown(Float(), float, [1.5, 3.0, -0.0, float("inf"), 1e300]),
    Shown(Float(asdecimal=True), D, [D("1.5")]),
    Shown(Double(), float, [1.5, 3.0]),
    Shown(REAL(), float, [1.5, 3.0]),
    Shown(sqltypes.FLOAT(), float, [3.0]),
    Shown(sqltypes.DOUBLE_PRECISION(), float, [3.0]),
    Shown(Boolean(), bool, [True, False]),
    Shown(sqltypes.BOOLEAN(), bool, [True]),
    Shown(String(10), str, ["", "ä\"\\\n\u2028", "\U0001f600"]),
    Shown(String(10), int, ["7"], validated=True),
    Shown(String(10), bytes, ["ab"], validated=True),
    Shown(String(10), Literal["on", "off"], ["on"], validated=True),
    Shown(String(10), Color, ["red"], validated=True),
    Shown(String(), uuid.UUID, [str(KEY)], validated=True),
    Shown(String(), dt.date, ["2020-01-31"], validated=True),
    Shown(Text(), str, ["x" * 1000]),
    Shown(Unicode(5), str, ["ä"]),
    Shown(UnicodeText(), str, ["ä"]),
    Shown(VARCHAR(5), str, ["ab"]),
    Shown(CHAR(2), str, ["ab"]),
    Shown(sqltypes.TEXT(), str, ["ab"]),
    Shown(Plain(), str, ["ab"]),
    Shown(Enum(Color), Color, [Color.RED]),
    Shown(Enum(Color, name="color2"), str, [Color.RED], validated=True),
    Shown(Enum("on", "off", name="mode"), str, ["on"]),
    Shown(Enum("on", "off", name="mode2"), Literal["on", "off"], ["on"], validated=True),
    Shown(Enum(Color, native_enum=False, values_callable=lambda kind: [item.value for item in kind]), Color, [Color.BLUE]),
    Shown(Date(), dt.date, [NAIVE.date(), dt.date.max]),
    Shown(Date(), dt.datetime, [NAIVE.date()], validated=True),
    Shown(sqltypes.DATE(), dt.date, [NAIVE.date()]),
    Shown(DateTime(), dt.datetime, [NAIVE, WHOLE]),
    Shown(DateTime(timezone=True), dt.datetime, [AWARE]),
    Shown(DateTime(timezone=True), AwareDatetime, [AWARE], validated=True),
    Shown(DateTime(), dt.date, [dt.datetime(2020, 1, 31)], validated=True),
    Shown(sqltypes.TIMESTAMP(), dt.datetime, [NAIVE]),
    Shown(sqltypes.TIMESTAMP(timezone=True), dt.datetime, [AWARE]),
    Shown(Time(), dt.time, [NAIVE.time(), dt.time()]),
    Shown(Time(timezone=True), dt.time, [AWARE.timetz()]),
    Shown(sqltypes.TIME(), dt.time, [NAIVE.time()]),
    Shown(Interval(), dt.timedelta, [DAYS, -DAYS, dt.timedelta()]),
    Shown(LargeBinary(), bytes, [b"", b"abc"]),
    Shown(Uuid(), uuid.UUID, [KEY]),
    Shown(Uuid(), Any, [KEY]),
    Shown(Uuid(as_uuid=False), str, [str(KEY)]),
    Shown(Uuid(as_uuid=False), uuid.UUID, [str(KEY)], validated=True),
    Shown(JSON(), Any, [{"a": [1, 1.5, None, "ä"]}, [], "x", 7, False]),
    Shown(JSON(), dict[str, Any], [{"a": [1]}], validated=True),
    Shown(JSON(), dict, [{"a": [1]}], validated=True),
    Shown(JSON(), list[int], [[1, 2]], validated=True),
    Shown(JSON(), Point, [{"x": 1}], validated=True),
    Shown(JSON(), list[Point], [[{"x": 1, "y": 2}]], validated=True),
    Shown(AsPoint(), Point, [Point(x=1)], validated=True),
    Shown(JSON().with_variant(pg.JSONB(), "postgresql"), Any, [{"a": 1}]),
    Shown(BigInteger().with_variant(Integer(), "sqlite"), int, [7]),
    Shown(PickleType(), Any, [{"a": AWARE}, [KEY]]),
    Shown(PickleType(), dict[str, dt.datetime], [{"a": AWARE}], validated=True),
]
POSTGRESQL = [
    Shown(pg.INTEGER(), int, [7]),
    Shown(pg.BIGINT(), int, [7]),
    Shown(pg.SMALLINT(), int, [7]),
    Shown(pg.VARCHAR(5), str, ["ab"]),
    Shown(pg.CHAR(5), str, ["ab"]),
    Shown(pg.TEXT(), str, ["ab"]),
    Shown(pg.CITEXT(), str, ["aB"]),
    Shown(pg.NUMERIC(5, 2), D, [D("1.50")]),
    Shown(pg.FLOAT(), float, [1.5]),
    Shown(pg.REAL(), float, [1.5]),
    Shown(pg.DOUBLE_PRECISION(), float, [1.5]),
    Shown(pg.MONEY(), str, ["$1.50"]),
    Shown(pg.OID(), int, [7]),
    Shown(pg.REGCLASS(), str, ["pg_class"]),
    Shown(pg.REGCONFIG(), str, ["english"]),
    Shown(pg.TSQUERY(), str, ["'a' & 'b'"]),
    Shown(pg.TSVECTOR(), str, ["'a':1 'b'"]),
    Shown(pg.JSONPATH(), str, ["$.a"]),
    Shown(pg.MACADDR(), str, ["aa:bb:cc:dd:ee:ff"]),
    Shown(pg.MACADDR8(), str, ["aa:bb:cc:dd:ee:ff:00:11"]),
    Shown(pg.INET(), Address, ["10.0.0.1", "::1"], validated=True),
    Shown(pg.INET(), IPvAnyAddress | IPvAnyInterface, ["10.0.0.1", "10.0.0.1/8", "::1/64"], validated=True),
    Shown(pg.INET(), Any, ["10.0.0.1", "10.0.0.1/8"]),
    Shown(pg.CIDR(), Network, ["10.0.0.0/8", "::/64"], validated=True),
    Shown(pg.UUID(), uuid.UUID, [KEY]),
    Shown(pg.UUID(as_uuid=False), str, [str(KEY)]),
    Shown(pg.BIT(3), str, ["101"], validated=True),
    Shown(pg.BIT(varying=True), Any, ["10"]),
    Shown(pg.BYTEA(), bytes, [b"ab"]),
    Shown(pg.BOOLEAN(), bool, [True]),
    Shown(pg.DATE(), dt.date, [NAIVE.date()]),
    Shown(pg.TIME(), dt.time, [NAIVE.time()]),
    Shown(pg.TIME(timezone=True), dt.time, [AWARE.timetz()]),
    Shown(pg.TIMESTAMP(), dt.datetime, [NAIVE]),
    Shown(pg.TIMESTAMP(timezone=True, precision=3), dt.datetime, [AWARE]),
    Shown(pg.INTERVAL(), dt.timedelta, [DAYS]),
    Shown(pg.ENUM(Color, name="colors"), Color, [Color.RED]),
    Shown(pg.ENUM("a", "b", name="letters"), str, ["a"]),
    Shown(pg.DOMAIN("positive", Integer(), check="VALUE > 0"), int, [7]),
    Shown(pg.DOMAIN("price", Numeric(5, 2)), D, [D("1.50")]),
    Shown(pg.JSON(), Any, [{"a": [1]}]),
    Shown(pg.JSONB(), Any, [{"a": [1]}]),
    Shown(pg.JSONB(), dict[str, list[int]], [{"a": [1]}], validated=True),
    Shown(pg.HSTORE(), dict, [{"a": "b", "c": None}, {}]),
    Shown(pg.HSTORE(), dict[str, str | None], [{"a": "b", "c": None}], validated=True),
    Shown(pg.ARRAY(Integer), list, [[1, 2], []]),
    Shown(pg.ARRAY(Integer), list[int], [[1, 2], []], validated=True),
    Shown(pg.ARRAY(Integer), list[int | None], [[1, None]], validated=True),
    Shown(pg.ARRAY(Integer), set[int], [[1, 1]], validated=True),
    Shown(pg.ARRAY(Integer, as_tuple=True), tuple[int, ...], [[1, 2]], validated=True),
    Shown(pg.ARRAY(Integer, dimensions=2), list[list[int]], [[[1, 2], [3, 4]]], validated=True),
    Shown(pg.ARRAY(Numeric(5, 2)), list[D], [[D("1.50")]], validated=True),
    Shown(pg.ARRAY(DateTime(timezone=True)), list[dt.datetime], [[AWARE]], validated=True),
    Shown(pg.ARRAY(Enum(Color, name="color_items")), list[Color], [[Color.RED]], validated=True),
    Shown(pg.ARRAY(Uuid()), list[uuid.UUID], [[KEY]], validated=True),
    Shown(pg.ARRAY(pg.INET()), list[Address], [["10.0.0.1"]], validated=True),
    Shown(pg.ARRAY(pg.JSONB()), list[dict[str, int]], [[{"a": 1}]], validated=True),
    Shown(sqltypes.ARRAY(String(5)), list[str], [["ab"]], validated=True),
    Shown(pg.INT4RANGE(), pg.Range, [pg.Range(1, 5), pg.Range(None, 5), pg.Range(empty=True)]),
    Shown(pg.INT4RANGE(), pg.Range[int], [pg.Range(1, 5)], validated=True),
    Shown(pg.INT8RANGE(), pg.Range, [pg.Range(1, None)]),
    Shown(pg.NUMRANGE(), pg.Range, [pg.Range(D("1.5"), D(2))]),
    Shown(pg.DATERANGE(), pg.Range, [pg.Range(NAIVE.date(), None)]),
    Shown(pg.TSRANGE(), pg.Range, [pg.Range(NAIVE, None)]),
    Shown(pg.TSTZRANGE(), pg.Range[dt.datetime], [pg.Range(AWARE, None)], validated=True),
    Shown(pg.INT4MULTIRANGE(), list[pg.Range[int]], [[pg.Range(1, 2), pg.Range(4, 5)]], validated=True),
    Shown(pg.INT8MULTIRANGE(), Any, [[pg.Range(1, 2)]]),
    Shown(pg.NUMMULTIRANGE(), Any, [[pg.Range(D(1), D(2))]]),
    Shown(pg.DATEMULTIRANGE(), Any, [[pg.Range(NAIVE.date(), None)]]),
    Shown(pg.TSMULTIRANGE(), Any, [[pg.Range(NAIVE, None)]]),
    Shown(pg.TSTZMULTIRANGE(), list[pg.Range[dt.datetime]], [[pg.Range(AWARE, None)]], validated=True),
]
SQLITE = [
    Shown(sqlite.INTEGER(), int, [7]),
    Shown(sqlite.SMALLINT(), int, [7]),
    Shown(sqlite.VARCHAR(5), str, ["ab"]),
    Shown(sqlite.CHAR(5), str, ["ab"]),
    Shown(sqlite.TEXT(), str, ["ab"]),
    Shown(sqlite.NUMERIC(5, 2), D, [D("1.50")]),
    Shown(sqlite.DECIMAL(5, 2), D, [D("1.50")]),
    Shown(sqlite.FLOAT(), float, [3.0]),
    Shown(sqlite.REAL(), float, [3.0]),
    Shown(sqlite.BOOLEAN(), bool, [True]),
    Shown(DATE(), dt.date, [NAIVE.date()]),
    Shown(TIME(), dt.time, [NAIVE.time()]),
    Shown(TIME(timezone=True), dt.time, [AWARE.timetz()]),
    Shown(DATETIME(), dt.datetime, [NAIVE]),
    Shown(DATETIME(timezone=True), dt.datetime, [AWARE]),
    Shown(sqlite.TIMESTAMP(), dt.datetime, [NAIVE]),
    Shown(sqlite.BLOB(), bytes, [b"ab"]),
    Shown(sqlite.JSON(), Any, [{"a": 1}]),
    *([Shown(sqlite.JSONB(), Any, [{"a": 1}])] if HAS_JSONB else []),
    Shown(sqltypes.BLOB(), bytes, [b"ab"]),
    Shown(sqltypes.BINARY(2), bytes, [b"ab"]),
    Shown(sqltypes.VARBINARY(2), bytes, [b"ab"]),
    Shown(sqltypes.CLOB(), str, ["ab"]),
    Shown(sqltypes.NCHAR(5), str, ["ab"]),
    Shown(sqltypes.NVARCHAR(5), str, ["ab"]),
    Shown(sqltypes.DATETIME(), dt.datetime, [NAIVE]),
    Shown(sqltypes.DOUBLE(), float, [3.0]),
    Shown(sqltypes.UUID(), uuid.UUID, [KEY]),
]
# What no table has a column of: bases, and the types of expressions.
ABSTRACT = {
    "ExternalType", "HasExpressionLookup", "Indexable", "Concatenable", "MatchType", "NullType", "NumericCommon", "SchemaType",
    "TupleType", "TypeDecorator", "TypeEngine", "UserDefinedType", "Variant", "NamedType", "Emulated", "NativeForEmulated",
}
# fmt: on


def test_every_type_of_both_dialects_is_in_the_tables() -> None:
    """And every generic one."""
    covered = {type(shown.type) for shown in (*GENERIC, *POSTGRESQL, *SQLITE)}
    names = [(pg, name) for name in pg.__all__] + [(sqlite, name) for name in sqlite.__all__]
    names += [(sqltypes, name) for name in dir(sqltypes) if name[0].isupper()]
    known = {found for module, name in names if isinstance(found := getattr(module, name), type)}
    types = {found for found in known if issubclass(found, sqltypes.TypeEngine) and found.__name__ not in ABSTRACT}
    types -= set() if HAS_JSONB else {sqlite.JSONB}
    assert {f"{found.__module__}.{found.__name__}" for found in types - covered} == set()


def model_of(column_type: sqltypes.TypeEngine[Any], name: str = "shown") -> type[Any]:
    """A mapped class with one column of a type, called unlike its attribute."""
    found = registry()
    table = Table(name, found.metadata, Column("id", Integer, primary_key=True), Column("v", column_type))
    model: type[Any] = type("Thing", (), {})
    found.map_imperatively(model, table, properties={"value": table.c.v})
    return model


def schema_of(annotation: Any, config: ConfigDict | None = None) -> type[BaseModel]:
    """A read schema with one field, called otherwise on the wire."""
    fields: dict[str, Any] = {"value": (annotation, Field(serialization_alias="theValue"))}
    return create_model("ThingRead", __config__=config, **fields)


def made(model: type[Any], key: int, value: Any) -> Any:
    """An object; None becomes NULL, whatever else a type would make of it."""
    thing = model()
    thing.id, thing.value = key, null() if value is None else value
    return thing


def described(shown: Shown) -> str:
    """For the name of a test."""
    return f"{type(shown.type).__name__}-{getattr(shown.annotation, '__name__', shown.annotation)}"


@pytest.mark.parametrize("shown", [*GENERIC, *POSTGRESQL, *SQLITE], ids=described)
def test_only_values_of_another_type_than_the_field_are_validated(shown: Shown) -> None:
    """What the driver has made already is not made again."""
    selection = select_for(schema_of(shown.annotation | None), model_of(shown.type), "test")
    assert selection.validates is shown.validated
    # A field that takes no null has to see to it.
    assert select_for(schema_of(shown.annotation), model_of(shown.type), "test").validates is (
        shown.annotation is not Any
    )


async def prepare(connection: AsyncConnection, models: Iterable[type[Any]]) -> None:
    """Make the models' tables."""
    if connection.dialect.name == "postgresql":
        for extension in ("hstore", "citext"):
            await connection.exec_driver_sql(f"CREATE EXTENSION {extension}")
    for model in models:
        await connection.run_sync(inspect(model).local_table.metadata.create_all)


async def test_every_type_is_shown_as_pydantic_would(database: str) -> None:
    """Byte for byte what the object's own value becomes when it is validated, null included."""
    table = [*GENERIC, *(SQLITE if database.startswith("sqlite") else POSTGRESQL)]
    models = [model_of(shown.type, f"shown_{number}") for number, shown in enumerate(table)]
    different = []
    async with get_engine().begin() as connection:
        await prepare(connection, models)
    async with session_scope():
        async with atomic():
            for shown, model in zip(table, models, strict=True):
                things = (made(model, key, value) for key, value in enumerate([*shown.values, None]))
                get_session().add_all(things)
        get_session().expunge_all()
        for shown, model in zip(table, models, strict=True):
            rows = QuerySet(model).order_by("id")
            given = rows.filter(model.id < len(shown.values))
            for schema, queryset in (
                (schema_of(shown.annotation), given),
                (schema_of(shown.annotation | None), rows),
            ):
                found: list[BaseModel] = await queryset.as_schema(schema)
                expected = [schema.model_validate({"value": thing.value}) for thing in await queryset.all()]
                as_json = await queryset.as_json(schema)
                wanted = TypeAdapter(list[schema]).dump_json(expected, by_alias=True)  # type: ignore[valid-type]
                has_null = as_json.endswith(b'{"theValue":null}]')
                if as_json != wanted or found != expected or has_null is not (queryset is rows):
                    different.append((described(shown), as_json, wanted))
    assert different == []


REFUSED: list[tuple[sqltypes.TypeEngine[Any], Any, str]] = [
    (Integer(), str, "is of type str, but Thing.value is a column of type Integer, whose values are int."),
    (Integer(), uuid.UUID, "is of type UUID, but Thing.value is a column of type Integer, whose values are int."),
    (Float(), bytes, "is of type bytes, but Thing.value is a column of type Float, whose values are float."),
    (Numeric(5, 2), str, "whose values are Decimal."),
    (Numeric(5, 2), uuid.UUID, "whose values are Decimal."),
    (Boolean(), str, "whose values are bool."),
    (Date(), int, "whose values are date."),
    (DateTime(), str, "whose values are datetime."),
    (DateTime(timezone=True), int, "whose values are datetime."),
    (Time(), str, "whose values are time."),
    (Interval(), int, "whose values are timedelta."),
    (Uuid(), str, "whose values are UUID."),
    (Uuid(), int, "whose values are UUID."),
    (LargeBinary(), dict, "whose values are bytes."),
    (pg.INET(), str, "whose values are IPv4Address or IPv6Address or IPv4Interface or IPv6Interface."),
    (pg.CIDR(), str, "whose values are IPv4Network or IPv6Network."),
    (pg.CIDR(), ipaddress.IPv4Address, "whose values are IPv4Network or IPv6Network."),
    (pg.INT4RANGE(), str, "whose values are Range."),
    (pg.INT4RANGE(), int, "whose values are Range."),
    (pg.INT4RANGE(), list, "whose values are Range."),
    (pg.INT4MULTIRANGE(), str, "whose values are MultiRange."),
    (pg.HSTORE(), str, "whose values are dict."),
    (pg.ARRAY(Integer), str, "whose values are list."),
    (pg.ARRAY(Integer), int, "whose values are list."),
    (pg.OID(), str, "whose values are int."),
    (pg.DOMAIN("positive", Integer()), str, "whose values are int."),
    (pg.INTERVAL(), str, "whose values are timedelta."),
]


@pytest.mark.parametrize(("column_type", "annotation", "message"), REFUSED)
def test_a_field_that_can_show_no_value_stops_the_start(
    column_type: sqltypes.TypeEngine[Any], annotation: Any, message: str
) -> None:
    """By name: schema, field, column, both types, and what to write instead."""
    for optional in (annotation, annotation | None):
        with pytest.raises(ImproperlyConfigured) as caught:
            select_for(schema_of(optional), model_of(column_type), "ThingViewSet.read_schema")
        assert caught.value.where == "ThingViewSet.read_schema"
        assert caught.value.what.startswith(
            f"ThingRead.value is of type {annotation.__name__}, but Thing.value is a column"
        )
        assert caught.value.what.endswith(message)
        assert caught.value.remedy.startswith("Annotate the field with ")


def test_a_strict_schema_takes_no_other_type() -> None:
    """So an integer over decimals stops the start there."""
    assert select_for(schema_of(int), model_of(Numeric(5)), "test").validates
    with pytest.raises(ImproperlyConfigured, match="whose values are Decimal"):
        select_for(schema_of(int, ConfigDict(strict=True)), model_of(Numeric(5)), "test")
    with pytest.raises(ImproperlyConfigured, match="whose values are Decimal"):
        select_for(schema_of(Annotated[int, Strict()]), model_of(Numeric(5)), "test")


def test_a_schema_may_convert_what_it_shows() -> None:
    """By its configuration or by a validator of its own."""

    class ThingRead(BaseModel):
        value: str

        @field_validator("value", mode="before")
        @classmethod
        def as_text(cls, value: Any) -> str:
            return str(value)

    selection = select_for(ThingRead, model_of(pg.INET()), "test")
    assert selection.build({"value": ipaddress.ip_address("10.0.0.1")}).model_dump() == {"value": "10.0.0.1"}
    numbers = select_for(schema_of(str, ConfigDict(coerce_numbers_to_str=True)), model_of(Integer()), "test")
    assert numbers.build({"value": 7}).model_dump() == {"value": "7"}
