"""Facts about values that are checked before SQL: the same on both engines, and as PostgreSQL itself says."""

# Values without a time zone are what some columns hold.
# ruff: noqa: DTZ001, DTZ901

from __future__ import annotations

import datetime as dt
import decimal
import enum
import gc
import ipaddress
import timeit
import uuid
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import AnyUrl, BaseModel
from sqlalchemy import (
    CHAR,
    JSON,
    REAL,
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
    Null,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    Unicode,
    Uuid,
    inspect,
    literal,
    select,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column, registry

from fastapix5.db import get_engine, get_session, session_scope, translate
from fastapix5.exceptions import IntegrityViolation, LengthViolation, RangeViolation, TypeViolation
from fastapix5.repositories import QuerySet, Repository
from fastapix5.repositories.storing import storable, storable_rows, stored_columns
from tests.conftest import on_postgresql

pytestmark = pytest.mark.anyio

D = decimal.Decimal
AWARE = dt.datetime(2020, 1, 31, 9, 30, 0, 123456, dt.UTC)
NAIVE = AWARE.replace(tzinfo=None)
EAST = AWARE.astimezone(dt.timezone(dt.timedelta(hours=14)))
KEY = uuid.UUID(int=7)
INF, NAN = float("inf"), float("nan")

Wrong = dict[type[IntegrityViolation], list[Any]]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "l"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Case:
    """What happens to the values of one column type.

    Attributes:
        type: The column's.
        taken: Stored and read again as they are.
        becomes: Pairs: what is given, and what is stored; PostgreSQL may refuse the former.
        refused: By us and by PostgreSQL, with the same class.
        stricter: Refused by us only, because PostgreSQL would store something else, or SQLite could not.
    """

    type: sqltypes.TypeEngine[Any]
    taken: list[Any]
    becomes: list[tuple[Any, Any]] = field(default_factory=list)
    refused: Wrong = field(default_factory=dict)
    stricter: Wrong = field(default_factory=dict)


def integers(bits: int) -> dict[str, Any]:
    """What an integer column takes."""
    return {
        "taken": [0, 2**bits - 1, -(2**bits)],
        "becomes": [(True, 1), (2.0, 2), (D("3"), 3), (D("3.00"), 3), (Level.LOW, 1)],
        "refused": {
            RangeViolation: [2**bits, -(2**bits) - 1, 10**400, 1e300, INF, D("-Infinity"), D("1E+131071")],
            TypeViolation: ["", "1", "x", b"1", NAN, D("NaN"), [1], {}, NAIVE, dt.timedelta(1), Color.RED, object],
        },
        "stricter": {TypeViolation: [1.5, -0.5, D("1.5"), D("1E-16383"), KEY]},
    }


NO_TEXT: list[Any] = [
    1,
    1.5,
    True,
    b"x",
    bytearray(b"x"),
    ["x"],
    {},
    D(1),
    NAIVE,
    NAIVE.date(),
    KEY,
    Color.RED,
    "a\0",
    "\ud800",
    object,
]
NO_NUMBER: list[Any] = [b"1", [], {}, NAIVE, dt.timedelta(1), KEY, Color.RED, object]
FLOATS: dict[str, Any] = {
    "becomes": [(3, 3.0), (True, 1.0), (D("0.5"), 0.5)],
    "refused": {TypeViolation: ["1.5", "", *NO_NUMBER], RangeViolation: [10**400]},
    "stricter": {RangeViolation: [NAN, D("NaN"), D("1E+400")]},
}

# fmt: off
CASES: dict[str, Case] = {
    "SmallInteger": Case(SmallInteger(), **integers(15)),
    "Integer": Case(Integer(), **integers(31)),
    "BigInteger": Case(BigInteger(), **integers(63)),
    "String(5)": Case(
        String(5),
        ["", "abcde", " a ", "äöüß€", "\U0001f600" * 5, "\n"],
        [(Size.LARGE, "l"), (AnyUrl("a:b"), "a:b")],
        {LengthViolation: ["abcdef", "\U0001f600" * 6, "x" * 10_000], TypeViolation: NO_TEXT},
        {LengthViolation: ["abcde "]},
    ),
    "CHAR(3)": Case(CHAR(3), ["abc"], [], {LengthViolation: ["abcd"], TypeViolation: NO_TEXT}, {LengthViolation: ["abc "]}),
    "Text": Case(Text(), ["", "x" * 10_000, "\x01\x7f\ue000\uffff"], [], {TypeViolation: NO_TEXT}),
    "Unicode(5)": Case(Unicode(5), ["abcde"], [], {LengthViolation: ["abcdef"], TypeViolation: NO_TEXT}),
    "Numeric(5, 2)": Case(
        Numeric(5, 2),
        [D("0.00"), D("999.99"), D("-999.99"), D("1.50")],
        [
            (1, D("1.00")), (1.5, D("1.50")), ("1.5", D("1.50")), (D("999.994"), D("999.99")), (D("0.005"), D("0.01")),
            (D("-0.005"), D("-0.01")), (0.125, D("0.13")), (D("1E-16384"), D("0.00")), (Level.LOW, D("1.00")),
        ],
        {
            RangeViolation: [1000, -1000, D("999.995"), D("-999.995"), 999.995, 1e300, 10**400, D("1E+131071"), INF, D("Infinity")],
            TypeViolation: ["", "x", "1,5", *NO_NUMBER],
        },
        {RangeViolation: [NAN, D("NaN"), D("sNaN"), D("1E+131072")]},
    ),
    "Numeric(5)": Case(
        Numeric(5), [D(99999), D(-99999)], [(D("99999.4"), D(99999)), (1.5, D(2)), (2.5, D(3)), (-2.5, D(-3))],
        {RangeViolation: [D("99999.5"), 10**5, -(10**5)], TypeViolation: NO_NUMBER},
    ),
    "Numeric(5, 2) of floats": Case(
        Numeric(5, 2, asdecimal=False), [0.0, 999.99, -1.5], [(D("0.125"), 0.13), (0.125, 0.13), (3, 3.0)],
        {RangeViolation: [1000, 999.995, INF], TypeViolation: NO_NUMBER}, {RangeViolation: [NAN]},
    ),
    "Numeric": Case(
        Numeric(), [D(0), D("123456.789"), D(10) ** 15], [(1.5, D("1.5")), ("2.5", D("2.5"))],
        {TypeViolation: ["x", *NO_NUMBER]},
        # PostgreSQL stores the last as zero.
        {RangeViolation: [NAN, D("NaN"), 10**400, D("1E+131071"), D("1E+131072")]},
    ),
    "Float": Case(Float(), [0.0, -0.0, 1.5, 1.7e308, 5e-324, INF, -INF], **FLOATS),
    "Float(53)": Case(Float(53), [1.5, 1.7e308, INF], **FLOATS),
    "Double": Case(Double(), [1.5, 1.7e308, INF], **FLOATS),
    "REAL": Case(
        REAL(), [0.0, 1.5, INF, -INF], FLOATS["becomes"],
        {RangeViolation: [3.5e38, -3.5e38, 1e39, D("1e39"), 10**39], TypeViolation: ["1.5", *NO_NUMBER]}, FLOATS["stricter"],
    ),
    "Float(24)": Case(Float(24), [1.5], [], {RangeViolation: [3.5e38]}),
    "Boolean": Case(
        Boolean(), [True, False], [(1, True), (0, False), (1.0, True)],
        {TypeViolation: [2, -1, 0.5, "true", "", b"", [], {}, NAN, NAIVE, object]},
    ),
    "Date": Case(
        Date(), [NAIVE.date(), dt.date.min, dt.date.max], [(NAIVE, NAIVE.date()), (AWARE, AWARE.date())],
        {TypeViolation: ["2020-01-31", 0, 1.5, dt.time(9), dt.timedelta(1), KEY, {}, object]},
    ),
    "Time": Case(
        Time(), [dt.time(), NAIVE.time(), dt.time.max], [],
        {TypeViolation: ["09:30", 0, NAIVE.date(), dt.timedelta(1), {}, object]},
        {TypeViolation: [NAIVE, AWARE, dt.time(9, tzinfo=dt.UTC)]},
    ),
    "Time(timezone=True)": Case(
        Time(timezone=True), [dt.time(9, 30, tzinfo=dt.UTC), dt.time(20, tzinfo=EAST.tzinfo)], [], {TypeViolation: [dt.time(9), "09:30", 0, {}]}, {TypeViolation: [AWARE]}
    ),
    "DateTime": Case(
        DateTime(), [NAIVE, dt.datetime.min, dt.datetime.max], [(NAIVE.date(), dt.datetime(2020, 1, 31))],
        {TypeViolation: ["2020-01-31T09:30:00", 0, 1.5, dt.time(9), dt.timedelta(1), AWARE, EAST, {}, object]},
    ),
    "DateTime(timezone=True)": Case(
        DateTime(timezone=True),
        [AWARE, EAST, dt.datetime(1, 1, 3, tzinfo=dt.UTC), dt.datetime(9999, 12, 30, tzinfo=dt.UTC)],
        [(NAIVE, NAIVE.astimezone()), (NAIVE.date(), dt.datetime(2020, 1, 31).astimezone())],
        {TypeViolation: ["2020-01-31T09:30:00Z", 0, 1.5, dt.time(9), dt.timedelta(1), {}, object]},
        {RangeViolation: [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.max]},
    ),
    "Interval": Case(
        Interval(), [dt.timedelta(0), dt.timedelta(days=-700_000), dt.timedelta(days=2_000_000, microseconds=1)], [],
        {TypeViolation: ["1", 1, 1.5, NAIVE, dt.time(9), {}, object]}, {RangeViolation: [dt.timedelta.max, dt.timedelta.min]},
    ),
    "LargeBinary": Case(
        LargeBinary(), [b"", b"\0\xff", b"x" * 10_000], [(bytearray(b"ab"), b"ab"), (memoryview(b"ab"), b"ab")],
        {TypeViolation: ["x", 1, 1.5, [1], {}, NAIVE, KEY, object]},
    ),
    "LargeBinary(4)": Case(
        LargeBinary(4), [b"abcd"], [], {TypeViolation: ["abcd"]}, {LengthViolation: [b"abcde", bytearray(b"abcde")]}
    ),
    "Enum of a class": Case(
        Enum(Color), [Color.RED, Color.BLUE], [("RED", Color.RED)],
        {TypeViolation: ["red", "", "a\0", 0, 1.5, b"RED", Size.SMALL, Level.LOW, [], {}, KEY, object]},
    ),
    "Enum of text": Case(
        Enum("on", "off", name="mode"), ["on", "off"], [], {TypeViolation: ["ON", "", 0, True, b"on", ["on"], Color.RED, object]}
    ),
    "Enum by VARCHAR": Case(
        Enum("on", "off", native_enum=False), ["on", "off"], [], {TypeViolation: [0, b"on", Color.RED]}, {TypeViolation: ["ON", ""]}
    ),
    "Enum of a text class": Case(Enum(Size), [Size.SMALL], [("LARGE", Size.LARGE)], {TypeViolation: ["x", 1, Color.RED]}),
    "Uuid": Case(Uuid(), [KEY], [(str(KEY), KEY), (KEY.hex, KEY)], {TypeViolation: ["x", "", 7, KEY.bytes, 1.5, {}, object]}),
    "Uuid of text": Case(
        Uuid(as_uuid=False), [str(KEY)], [(KEY, str(KEY))], {TypeViolation: ["x", "", 7, KEY.bytes, {}, object]}
    ),
    "JSON": Case(
        JSON(), [{}, [], "", 0, True, 1.5, "x", {"a": [1, None, {"b": "ä"}, 10**30]}],
        [(AWARE, "2020-01-31T09:30:00.123456Z"), ({1: 2}, {"1": 2}), ((1, KEY), [1, str(KEY)]), ({"a": D("1.5")}, {"a": "1.5"}), (Level.LOW, 1)],
        {TypeViolation: [NAN, INF, {"a": [NAN]}, object, {"a": object}, b"\xff"]},
        {TypeViolation: ["a\0", {"a\0": 1}, {"a": ["\0"]}, "\ud800", {"\ud800": 1}]},
    ),
    "PickleType": Case(PickleType(), [{1: object}, NAN, "\0", AWARE]),
}

ON_POSTGRESQL: dict[str, Case] = {
    "JSONB": Case(
        pg.JSONB(), [{}, [], "x", 1, {"a": [1, None]}], [({1: AWARE.date()}, {"1": "2020-01-31"})],
        {TypeViolation: [NAN, {"a": [INF]}, object, "a\0", {"a\0": 1}, "\ud800"]},
    ),
    "ARRAY of Integer": Case(
        pg.ARRAY(Integer), [[], [1, None, -(2**31)], [[1, 2], [3, 4]], [[[1]]]], [((1, 2), [1, 2]), ([True, 2.0], [1, 2])],
        {RangeViolation: [[2**31]], TypeViolation: [["a"], [[1], [2, 3]], [1, [2]], [[1], 2], [{}], 1, "1", [[[[[[[1]]]]]]], object]},
        {TypeViolation: [{1}, {1: 2}, b"ab", "", [1.5]]},
    ),
    "ARRAY of String(3)": Case(
        pg.ARRAY(String(3)), [["abc", ""], [None]], [], {TypeViolation: [[1], ["\0"], [["a"], None, ["b"]]]},
        {LengthViolation: [["abcd"], [["ab", "abcd"]]], TypeViolation: ["abc", {"a": 1}]},
    ),
    "ARRAY of Numeric(3, 1)": Case(pg.ARRAY(Numeric(3, 1)), [[D("99.9")]], [([0.25], [D("0.3")])], {RangeViolation: [[D("99.95")]]}),
    "HSTORE": Case(
        pg.HSTORE(), [{}, {"a": "b", "c": None}], [], {TypeViolation: [{"a": 1}, {1: "a"}, ["a"], 1, {"a": "\0"}]}, {TypeViolation: [""]}
    ),
    "INET": Case(
        pg.INET(), [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_interface("10.0.0.1/8"), ipaddress.ip_address("::1")],
        [("10.0.0.1", ipaddress.ip_address("10.0.0.1"))], {TypeViolation: ["x", "", 1.5, {}, object]}, {TypeViolation: [1, (1, 2)]},
    ),
    "CIDR": Case(
        pg.CIDR(), [ipaddress.ip_network("10.0.0.0/8")], [("10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8"))],
        {TypeViolation: ["10.0.0.1/8", "x", 1.5, object]}, {TypeViolation: [1]},
    ),
    "BIT(3)": Case(
        pg.BIT(3), [pg.BitString("101")], [("101", pg.BitString("101"))], {TypeViolation: ["x", 1, 1.5, ["1"], object]},
        {LengthViolation: ["1", ""], TypeViolation: [b"a"]},
    ),
    "BIT varying": Case(pg.BIT(3, varying=True), [pg.BitString("10")], [], {TypeViolation: ["x", 1]}, {LengthViolation: ["1011"]}),
    "OID": Case(pg.OID(), [0, 2**32 - 1], [(True, 1)], {RangeViolation: [2**32, -1], TypeViolation: ["1", {}]}, {TypeViolation: [1.5]}),
    "MONEY": Case(pg.MONEY(), ["$1.50"], [], {TypeViolation: [1, D(1), {}, "\0"]}),
    "CITEXT": Case(pg.CITEXT(), ["aB"], [], {TypeViolation: NO_TEXT}),
    "TSVECTOR": Case(pg.TSVECTOR(), ["'a' 'b'"], [], {TypeViolation: [1, {}, "\0"]}),
    "INT4RANGE": Case(
        pg.INT4RANGE(), [pg.Range(1, 5), pg.Range(None, 5), pg.Range(empty=True)], [],
        {RangeViolation: [pg.Range(1, 2**31)], TypeViolation: [pg.Range("a", "b"), 1, "[1,2)", {}, object]}, {TypeViolation: [(1, 2)]},
    ),
    "TSTZRANGE": Case(pg.TSTZRANGE(), [pg.Range(AWARE, None)], [], {TypeViolation: [pg.Range("a"), 1]}),
    "INT8MULTIRANGE": Case(
        pg.INT8MULTIRANGE(), [[pg.Range(1, 2), pg.Range(4, 5)], []], [], {RangeViolation: [[pg.Range(1, 2**63)]], TypeViolation: [[1], 1]}
    ),
    "DOMAIN": Case(pg.DOMAIN("short", String(3)), ["abc"], [], {LengthViolation: ["abcd"], TypeViolation: [1]}),
    "INTERVAL": Case(pg.INTERVAL(), [dt.timedelta(days=1)], [], {TypeViolation: ["1", 1]}, {RangeViolation: [dt.timedelta.max]}),
}
# fmt: on

ALL = {**CASES, **ON_POSTGRESQL}


def model_of(column_type: sqltypes.TypeEngine[Any], name: str = "held") -> type[Any]:
    """A mapped class with one column of a type; attribute and column are not called alike."""
    found = registry()
    table = Table(name, found.metadata, Column("id", Integer, primary_key=True), Column("v", column_type))
    model: type[Any] = type("Held", (), {})
    found.map_imperatively(model, table, properties={"value": table.c.v})
    return model


def stored(mapper: Mapper[Any], value: Any) -> Any:
    """What becomes of a value, or the class of its error."""
    try:
        return storable(mapper, {"value": value})["value"]
    except IntegrityViolation as violation:
        is_placed = (violation.constraint, violation.table, violation.fields) == (None, "held", ("value",))
        return type(violation) if is_placed else violation


def wrong(groups: Wrong) -> list[tuple[Any, type[IntegrityViolation]]]:
    """Each value with the class of its error."""
    return [(value, kind) for kind, values in groups.items() for value in values]


@pytest.mark.parametrize("name", ALL)
def test_a_value_that_a_column_cannot_hold_is_refused(name: str) -> None:
    """With the class of what is wrong, and the attribute; all others become what is stored."""
    case = ALL[name]
    mapper = inspect(model_of(case.type))
    refused = [*wrong(case.refused), *wrong(case.stricter)]
    assert [(value, found) for value, kind in refused if (found := stored(mapper, value)) is not kind] == []
    for value in [*case.taken, *(value for value, _ in case.becomes), None]:
        assert not isinstance(found := stored(mapper, value), type), (value, found)


async def raw(connection: AsyncConnection, table: Table, value: Any) -> type[Any] | None:
    """The class of the error with which the database refuses a value that nobody has checked, or None."""
    try:
        async with connection.begin_nested():
            await connection.execute(table.insert().values(v=value))
    except Exception as error:  # noqa: BLE001 (what is no error of the database's becomes NoneType)
        return type(translate(error))
    return None


@on_postgresql
async def test_postgresql_says_the_same(database: str) -> None:
    """Whatever it refuses, we refuse with the same class; what we refuse beyond that is told apart above."""
    different = []
    async with get_engine().connect() as connection:
        for extension in ("hstore", "citext"):
            await connection.exec_driver_sql(f"CREATE EXTENSION {extension}")
        for number, (name, case) in enumerate(ALL.items()):
            table = inspect(model_of(case.type, f"held_{number}")).local_table
            await connection.run_sync(table.metadata.create_all)
            expected = [(value, None) for value in case.taken]
            expected += [(value, None) for value, _ in wrong(case.stricter)]
            for value, kind in [*expected, *wrong(case.refused)]:
                if (found := await raw(connection, table, value)) is not kind:
                    different.append((name, value, kind, found))
    assert different == []


async def test_what_is_stored_reads_alike_on_both_engines(database: str) -> None:
    """Down to its type, whatever SQLite makes of types."""
    different = []
    cases = CASES if database.startswith("sqlite") else ALL
    async with get_engine().begin() as connection:
        if cases is ALL:
            for extension in ("hstore", "citext"):
                await connection.exec_driver_sql(f"CREATE EXTENSION {extension}")
        for number, (name, case) in enumerate(cases.items()):
            mapper = inspect(model_of(case.type, f"held_{number}"))
            table = mapper.local_table
            await connection.run_sync(table.metadata.create_all)
            pairs = [*((value, value) for value in case.taken), *case.becomes, (None, None)]
            for value, expected in pairs:
                kept = storable(mapper, {"value": value})["value"]
                key = (await connection.execute(table.insert().values(v=kept).returning(table.c.id))).scalar_one()
                found = (await connection.execute(select(table.c.v).where(table.c.id == key))).scalar_one()
                # Of whole numbers SQLite makes integers there; schemas make floats of them again.
                alike = type(found) is type(expected) or case.type.__class__ is Numeric
                if repr(found) != repr(expected) and not (found == expected and alike):
                    different.append((name, value, expected, found))
    assert different == []


class Shout(TypeDecorator[str]):
    """Stores upper case, twice."""

    impl = String(4)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper() * 2


class Named(TypeDecorator[str]):
    """Adds nothing to what it decorates."""

    impl = String(4)
    cache_ok = True


class Settings(BaseModel):
    theme: str = "dark"
    since: dt.datetime = AWARE


class AsJSON(TypeDecorator[Settings]):
    """Stores a pydantic model."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Settings | None, dialect: Dialect) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Settings | None:
        return None if value is None else Settings.model_validate(value)


class Marked(TypeDecorator[Any]):
    """Another type on each engine."""

    impl = String(3)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return pg.INTEGER() if dialect.name == "postgresql" else String(3)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" or value is None else str(value)


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}


class Row(Base):
    __tablename__ = "stored_row"

    id: Mapped[int] = mapped_column("row_id", primary_key=True)
    word: Mapped[str | None] = mapped_column("w", String(5))
    small: Mapped[int | None] = mapped_column("s", SmallInteger)
    price: Mapped[D | None] = mapped_column("p", Numeric(5, 2))
    data: Mapped[dict[str, Any] | None] = mapped_column("d")
    shout: Mapped[str | None] = mapped_column(Shout)
    settings: Mapped[Settings | None] = mapped_column(AsJSON)
    known: Mapped[str] = mapped_column(String(3), default="new")


MAPPER = inspect(Row)


@pytest.mark.parametrize(
    ("decorated", "taken", "refused"),
    [
        (Shout(), "ab", {LengthViolation: ["abc"], TypeViolation: [1, "\0"]}),
        (Named(), "abcd", {LengthViolation: ["abcde"], TypeViolation: [1]}),
        (AsJSON(), Settings(), {}),
        (Marked(), 2**31 - 1, {RangeViolation: [2**31], TypeViolation: ["1"]}),
        (Integer().with_variant(BigInteger(), "postgresql"), 2**63 - 1, {RangeViolation: [2**63]}),
        (BigInteger().with_variant(Integer(), "sqlite"), 2**63 - 1, {RangeViolation: [2**63]}),
        (pg.ARRAY(String(3)).with_variant(JSON(), "sqlite"), ["abc"], {LengthViolation: [["abcd"]], TypeViolation: [{}]}),
        (JSON().with_variant(pg.JSONB(), "postgresql"), {"a": 1}, {TypeViolation: [NAN]}),
    ],
    ids=["a decorator", "a bare decorator", "a pydantic model", "by dialect", "a wider variant", "a narrower variant", "array or JSON", "JSONB"],
)  # fmt: skip
def test_a_type_of_the_users_own_is_held_to_what_it_decorates(
    decorated: sqltypes.TypeEngine[Any], taken: Any, refused: Wrong
) -> None:
    """By what it makes of the value, for PostgreSQL; the value itself stays what it is."""
    mapper = inspect(model_of(decorated))
    assert stored(mapper, taken) == taken
    assert [(value, found) for value, kind in wrong(refused) if (found := stored(mapper, value)) is not kind] == []


def test_sql_expressions_pass_as_they_are() -> None:
    """The database computes them; and so do attributes and names that are no column."""
    given = {"small": Row.small + 1, "word": literal("x" * 9), "price": Row.price, "data": select(1).scalar_subquery()}
    assert storable(MAPPER, given) is given
    assert storable(MAPPER, {"unknown": object}) == {"unknown": object}


def test_nothing_is_copied_where_nothing_changes() -> None:
    """And what was given is never changed."""
    same, other = {"word": "abc", "small": 1, "shout": None}, {"price": D("0.125"), "word": "abc"}
    assert storable(MAPPER, same) is same
    assert storable(MAPPER, other) == {"price": D("0.13"), "word": "abc"}
    assert other == {"price": D("0.125"), "word": "abc"}


def test_null_is_the_columns_own() -> None:
    """Also in JSON, which has one of its own, where a decorator does not say what None is."""
    assert isinstance(storable(MAPPER, {"data": None})["data"], Null)
    assert storable(MAPPER, {"data": JSON.NULL})["data"] is JSON.NULL
    same = {"word": None, "settings": None, "known": None}
    assert storable(MAPPER, same) is same


def test_rows_are_checked_one_by_one() -> None:
    """For bulk writes; the first that cannot be stored raises."""
    assert storable_rows(MAPPER, [{"small": 1.0}, {"word": "a"}]) == [{"small": 1}, {"word": "a"}]
    with pytest.raises(LengthViolation) as caught:
        storable_rows(MAPPER, [{"word": "a"}, {"word": "abcdef"}])
    assert caught.value.fields == ("word",)


def test_a_check_costs_about_a_microsecond() -> None:
    """So every write can afford it."""
    row = {"id": 7, "word": "abc", "small": 1, "known": "new"}
    times = min(timeit.repeat(lambda: storable(MAPPER, row), number=10_000, repeat=5)) / 10_000
    assert times / len(row) < 2e-6


def test_checks_end_with_their_model() -> None:
    """Nothing keeps a class that is gone."""
    model = model_of(Integer())
    found = weakref.ref(inspect(model))
    assert stored_columns(inspect(model))
    model.__mapper__.registry.dispose()
    del model
    gc.collect()
    assert found() is None


@pytest.fixture
async def rows(database: str) -> None:
    """The table of rows."""
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


BAD: list[tuple[str, Any, type[IntegrityViolation]]] = [
    ("word", "abcdef", LengthViolation),
    ("word", 1, TypeViolation),
    ("word", "a\0", TypeViolation),
    ("small", 2**15, RangeViolation),
    ("small", "1", TypeViolation),
    ("price", D(1000), RangeViolation),
    ("data", {"a": NAN}, TypeViolation),
    ("shout", "abc", LengthViolation),
]


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(("name", "value", "kind"), BAD, ids=lambda value: repr(value)[:20])
async def test_a_repository_refuses_on_both_engines_alike(
    name: str, value: Any, kind: type[IntegrityViolation]
) -> None:
    """In a create and in an update; nothing is written."""
    repository = Repository(Row)
    async with session_scope():
        row = await repository.create({"id": 1, "word": "abc", "small": 5, "data": {}, "settings": Settings()})
        for write in (repository.create({"id": 2, name: value}), repository.update(row, {name: value})):
            with pytest.raises(IntegrityViolation) as caught:
                await write
            violation = caught.value
            assert type(violation) is kind
            assert (violation.constraint, violation.table, violation.fields) == (None, "stored_row", (name,))
        assert await repository.objects.count() == 1
        found = await repository.objects.get(id=1)
        assert (found.word, found.small, found.settings) == ("abc", 5, Settings())


Given = dict[str, Any]


async def _create(rows: QuerySet[Row], values: Given) -> None:
    await rows.create(id=2, **values)


async def _get_or_create(rows: QuerySet[Row], values: Given) -> None:
    await rows.get_or_create(id=2, defaults=values)


async def _update_or_create(rows: QuerySet[Row], values: Given) -> None:
    await rows.update_or_create(id=1, defaults=values)


async def _update(rows: QuerySet[Row], values: Given) -> None:
    await rows.filter(id=1).update(**values)


async def _bulk_create(rows: QuerySet[Row], values: Given) -> None:
    await rows.bulk_create([{"id": 2, "known": "a"}, {"id": 3, **values}])


async def _bulk_create_of_objects(rows: QuerySet[Row], values: Given) -> None:
    await rows.bulk_create([Row(id=2), Row(id=3, **values)])


async def _bulk_update(rows: QuerySet[Row], values: Given) -> None:
    row = await rows.get(id=1)
    for name, value in values.items():
        setattr(row, name, value)
    try:
        await rows.bulk_update([row], list(values))
    finally:
        get_session().expunge(row)


async def _upsert(rows: QuerySet[Row], values: Given) -> None:
    await rows.upsert({"id": 1, **values}, unique_fields=["id"])


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    "write",
    [_create, _get_or_create, _update_or_create, _update, _bulk_create, _bulk_create_of_objects, _bulk_update, _upsert],
    ids=lambda write: str(write.__name__).strip("_"),
)
async def test_every_write_of_a_queryset_refuses_alike(
    write: Callable[[QuerySet[Row], Given], Awaitable[None]],
) -> None:
    """Before anything is written, on both engines."""
    different = []
    async with session_scope():
        repository = Repository(Row)
        await repository.create({"id": 1, "word": "abc", "small": 5})
        for name, value, kind in BAD:
            with pytest.raises(IntegrityViolation) as caught:
                await write(repository.objects, {name: value})
            violation = caught.value
            found = type(violation), violation.constraint, violation.table, violation.fields
            if found != (kind, None, "stored_row", (name,)):
                different.append((name, value, kind, found))
        assert [(row.id, row.word, row.small) for row in await repository.objects.all()] == [(1, "abc", 5)]
    assert different == []


@pytest.mark.usefixtures("rows")
async def test_null_in_json_is_sqls_by_every_write() -> None:
    """So ``isnull`` finds it; JSON's own null is ``JSON.NULL``."""
    async with session_scope():
        rows = Repository(Row).objects
        await rows.bulk_create([{"id": 1, "data": None}, {"id": 2, "data": {"a": 1}}, {"id": 3}])
        await rows.bulk_create([Row(id=4, data=None), Row(id=5, data={"a": None})])
        await rows.upsert({"id": 6, "data": None}, unique_fields=["id"])
        await rows.filter(id=2).update(data=None)
        assert await rows.filter(data__isnull=True).order_by("id").values_list("id", flat=True) == [1, 2, 3, 4, 6]
