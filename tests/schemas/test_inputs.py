"""Input schemas: the user's own, held to what the columns can store, and the partial one for PATCH."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationError,
    create_model,
    field_validator,
)
from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Enum,
    Float,
    Numeric,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    inspect,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.repositories.storing import storable
from fastapix5.schemas import body_values, bounded, input_schema, partial_schema, schema_fields


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}


class Color(enum.Enum):
    RED = "red"


class Shout(TypeDecorator[str]):
    """Stores upper case."""

    impl = String(4)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper()


class Thing(Base):
    """A column of each kind."""

    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    small: Mapped[int | None] = mapped_column(SmallInteger)
    plain: Mapped[int | None]
    big: Mapped[int | None] = mapped_column(BigInteger)
    word: Mapped[str | None] = mapped_column(String(5))
    text: Mapped[str | None] = mapped_column(Text)
    shout: Mapped[str | None] = mapped_column(Shout)
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(5, 2))
    single: Mapped[float | None] = mapped_column(REAL)
    single_by_bits: Mapped[float | None] = mapped_column(Float(24))
    double: Mapped[float | None] = mapped_column(Double)
    aware: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    naive: Mapped[dt.datetime | None] = mapped_column(DateTime)
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None]
    span: Mapped[dt.timedelta | None]
    color: Mapped[Color | None]
    mode: Mapped[str | None] = mapped_column(Enum("on", "off", name="mode"))
    key: Mapped[uuid.UUID | None]
    flag: Mapped[bool | None]
    data: Mapped[dict[str, Any] | None]

    @hybrid_property
    def computed(self) -> int:
        """No column."""
        return 1


def schema_of(annotation: Any, column: str) -> type[BaseModel]:
    """An input schema with one field."""
    return input_schema(made(column, annotation), Thing, "test")


def made(name: str, annotation: Any) -> type[BaseModel]:
    """A schema with one field."""
    fields: dict[str, Any] = {name: (annotation, ...)}
    return create_model("Given", **fields)


def accepts(schema: type[BaseModel], body: str) -> bool:
    """Whether a JSON value for the schema's only field is valid."""
    (name,) = schema.model_fields
    try:
        schema.model_validate_json(f'{{"{name}": {body}}}')
    except ValidationError:
        return False
    return True


def documented(schema: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of the schema's only field."""
    (found,) = schema.model_json_schema()["properties"].values()
    return {name: value for name, value in found.items() if name != "title"}


def text_of(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, default=str)


CASES: list[tuple[Any, str, list[Any], list[Any]]] = [
    (int, "small", [2**15 - 1, -(2**15), 3.0], [2**15, -(2**15) - 1, "1", True, 1.5]),
    (int, "plain", [2**31 - 1, -(2**31)], [2**31, -(2**31) - 1, 10**400]),
    (int, "big", [2**63 - 1, -(2**63)], [2**63, -(2**63) - 1]),
    (int | None, "small", [None, 1], [2**15]),
    (str, "word", ["", "abcde", "äöüß€"], ["abcdef", "a\0", 1, "\ud800"]),
    (str | None, "word", [None, "abcde"], ["abcdef"]),
    (str, "text", ["x" * 10_000], ["\0"]),
    (str, "shout", ["abcd"], ["abcde"]),
    (int | str, "plain", [1, "x"], [2**31, "\0"]),
    (decimal.Decimal, "price", [1, 999.99, "1.20", "-999.99"], [1000, 1.234, "NaN", "Infinity", "1e5"]),
    (float, "price", [1.5, -999.99], [1000.5, 1e300]),
    (int, "price", [999], [1000]),
    (float, "single", [3.4e38, 0], [3.5e38, -3.5e38, "1"]),
    (float, "single_by_bits", [3.4e38], [3.5e38]),
    (float, "double", [1.7e308, 5], []),
    (
        dt.datetime,
        "aware",
        ["2013-01-31T09:30:00Z", "2013-01-31 09:30:00+02:00"],
        ["2013-01-31T09:30:00", 5, "5", "5.5"],
    ),
    (dt.datetime, "aware", ["0002-01-01T00:00:00+14:00"], ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]),
    (dt.datetime, "naive", ["2013-01-31T09:30:00", "2013-01-31T09:30:00Z"], ["1359624600", 1359624600, "2013-01-31"]),
    (dt.date, "day", ["2013-01-31"], ["20130131", 0, "0", "2013-02-30", "2013-01-31T09:30:00"]),
    (dt.time, "clock", ["09:30", "09:30:00.5"], ["34200", 34200, "25:00", "09:30:00+02:00", "09:30:00Z"]),
    (dt.timedelta, "span", ["P1DT2H"], ["P999999999D", "x"]),
    (Color, "color", ["red"], ["RED", "blue"]),
    (str, "color", ["RED"], ["red"]),
    (str, "mode", ["on"], ["none", "ON"]),
    (Literal["on"], "mode", ["on"], ["off"]),
    (uuid.UUID, "key", ["12345678-1234-5678-1234-567812345678"], ["x", 1]),
    (bool, "flag", [True, False], [1, "true", "yes", None]),
    (dict[str, Any], "data", [{}, {"a": [1, None]}], [[], "x", 1]),
]


@pytest.mark.parametrize(("annotation", "column", "taken", "refused"), CASES)
def test_a_field_takes_what_its_column_can_hold(
    annotation: Any, column: str, taken: list[Any], refused: list[Any]
) -> None:
    """On both engines alike, and nothing that JSON Schema calls another type."""
    schema = schema_of(annotation, column)
    assert [value for value in taken if not accepts(schema, text_of(value))] == []
    assert [value for value in refused if accepts(schema, text_of(value))] == []


@pytest.mark.parametrize(("annotation", "column", "taken", "refused"), CASES)
def test_what_a_body_takes_its_column_stores(
    annotation: Any, column: str, taken: list[Any], refused: list[Any]
) -> None:
    """What is checked before SQL has the same limits; unless a field takes another type besides."""
    schema = schema_of(annotation, column)
    fields = schema_fields(schema, Thing, "test")
    for value in taken:
        if not (column == "plain" and value == "x"):
            body = schema.model_validate_json(f'{{"{column}": {text_of(value)}}}')
            assert storable(inspect(Thing), body_values(body, fields, partial=False)).keys() == {column}


@pytest.mark.parametrize("column", ["price", "single", "double"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_is_finite(column: str, number: str) -> None:
    """Whatever Python's JSON would read."""
    annotation = decimal.Decimal if column == "price" else float
    assert not accepts(schema_of(annotation, column), number)


def test_times_become_utc() -> None:
    """A column without time zone holds UTC too; a time without an offset stays as it is there."""
    aware, naive = schema_of(dt.datetime, "aware"), schema_of(dt.datetime, "naive")
    nine = dt.datetime(2013, 1, 31, 9, 30, tzinfo=dt.UTC)
    given = '"2013-01-31T11:30:00+02:00"'
    found = [
        schema.model_validate_json(f'{{"{name}": {given}}}') for schema, name in ((aware, "aware"), (naive, "naive"))
    ]
    assert [next(iter(item.model_dump().values())) for item in found] == [nine, nine.replace(tzinfo=None)]
    assert aware.model_validate({"aware": nine}).model_dump() == {"aware": nine}


OWN: list[tuple[Any, str, dict[str, Any], list[Any], list[Any]]] = [
    (Annotated[int, Field(gt=0)], "plain", {"exclusiveMinimum": 0, "maximum": 2**31 - 1}, [1], [0, 2**31]),
    (PositiveInt, "small", {"exclusiveMinimum": 0, "maximum": 2**15 - 1}, [1], [0, 2**15]),
    (Annotated[int, Field(ge=1, lt=10)], "plain", {"minimum": 1, "exclusiveMaximum": 10}, [1, 9], [0, 10]),
    (Annotated[int, Field(le=10**12)], "plain", {"minimum": -(2**31), "maximum": 2**31 - 1}, [5], [2**31]),
    (
        Annotated[int, Field(multiple_of=5)],
        "small",
        {"minimum": -(2**15), "maximum": 2**15 - 1, "multipleOf": 5},
        [5],
        [6],
    ),
    (Annotated[str, Field(max_length=3)], "word", {"maxLength": 3}, ["abc"], ["abcd"]),
    (Annotated[str, Field(max_length=50)], "word", {"maxLength": 5}, ["abcde"], ["abcdef"]),
    (
        Annotated[str, StringConstraints(max_length=50, min_length=1)],
        "word",
        {"maxLength": 5, "minLength": 1},
        ["a"],
        [""],
    ),
    (Annotated[str, StringConstraints(max_length=2)], "word", {"maxLength": 2}, ["ab"], ["abc"]),
    (Annotated[str, Field(pattern="^a")], "word", {"maxLength": 5, "pattern": "^a"}, ["ab"], ["b", "a\0"]),
    (Annotated[float, Field(ge=0)], "single", {"minimum": 0}, [0.5], [-1, 3.5e38]),
]


@pytest.mark.parametrize(("annotation", "column", "shown", "taken", "refused"), OWN)
def test_tighter_constraints_of_the_schema_stand(
    annotation: Any, column: str, shown: dict[str, Any], taken: list[Any], refused: list[Any]
) -> None:
    """And are what OpenAPI shows; wider ones give way to the column's."""
    schema = schema_of(annotation, column)
    found = documented(schema)
    limits = {name: value for name, value in found.items() if name != "type" and value != "^[^\\x00]*$"}
    assert {name: limits.get(name) for name in shown} == shown
    for name in ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"):
        assert not limits.keys() >= set(name)
    assert [value for value in taken if not accepts(schema, text_of(value))] == []
    assert [value for value in refused if accepts(schema, text_of(value))] == []


@pytest.mark.parametrize(
    "annotation", [Annotated[int, Field(gt=0)] | None, Annotated[int | None, Field(gt=0)], PositiveInt | None]
)
def test_constraints_stand_beside_null(annotation: Any) -> None:
    """Wherever the None is written."""
    schema = schema_of(annotation, "plain")
    assert documented(schema)["anyOf"] == [
        {"type": "integer", "exclusiveMinimum": 0, "maximum": 2**31 - 1},
        {"type": "null"},
    ]
    assert accepts(schema, "null")
    assert not accepts(schema, "0")


def test_fewer_digits_stand() -> None:
    """More give way."""
    few, many = (
        schema_of(Annotated[decimal.Decimal, Field(max_digits=digits, decimal_places=places)], "price")
        for digits, places in ((3, 1), (30, 10))
    )
    assert [accepts(few, text) for text in ("12.3", "1.23", "123.4")] == [True, False, False]
    assert [accepts(many, text) for text in ("999.99", "1.234", "1000")] == [True, False, False]


def test_validators_of_the_schema_see_what_they_saw_before() -> None:
    """Before, after, around the whole union, and of a field."""

    def blank_to_none(value: Any) -> Any:
        return None if value == "" else value

    class Given(BaseModel):
        word: Annotated[str | None, BeforeValidator(blank_to_none)]
        text: Annotated[str, AfterValidator(str.upper)] | None = None
        plain: Annotated[int, BeforeValidator(len)] = 0

        @field_validator("text")
        @classmethod
        def doubled(cls, value: str) -> str:
            return value * 2

    schema = input_schema(Given, Thing, "test")
    found = schema.model_validate_json('{"word": "", "text": "ab", "plain": "four"}')
    assert found.model_dump() == {"word": None, "text": "ABAB", "plain": 4}
    with pytest.raises(ValidationError, match="at most 5"):
        schema.model_validate_json('{"word": "abcdef"}')


def test_aliases_stand() -> None:
    """The wire uses them; values come out by attribute."""

    class Given(BaseModel):
        word: str = Field(alias="theWord")
        size: int = Field(validation_alias="plain")

    schema = input_schema(Given, Thing, "test")
    fields = schema_fields(schema, Thing, "test")
    found = schema.model_validate_json('{"theWord": "a", "plain": 2}')
    assert body_values(found, fields, partial=False) == {"word": "a", "plain": 2}
    assert list(schema.model_json_schema()["properties"]) == ["theWord", "plain"]


def test_an_unknown_field_is_refused_unless_the_schema_says_otherwise() -> None:
    """By its own ``extra``."""

    class Given(BaseModel):
        word: str

    class Lenient(Given):
        model_config = ConfigDict(extra="ignore")

    with pytest.raises(ValidationError, match="Extra inputs"):
        input_schema(Given, Thing, "test").model_validate_json('{"word": "a", "wrod": "b"}')
    assert input_schema(Lenient, Thing, "test").model_validate_json('{"word": "a", "wrod": "b"}').model_dump() == {
        "word": "a"
    }


def test_a_schema_that_is_not_strict_converts() -> None:
    """By its own ``strict``."""

    class Given(BaseModel):
        model_config = ConfigDict(strict=False)
        flag: bool
        double: float

    found = input_schema(Given, Thing, "test").model_validate_json('{"flag": "yes", "double": "1.5"}')
    assert found.model_dump() == {"flag": True, "double": 1.5}


def test_the_schema_keeps_its_name_and_what_it_says_of_itself() -> None:
    """OpenAPI shows the user's."""

    class Given(BaseModel):
        """What is given."""

        model_config = ConfigDict(title="A thing")
        word: str = Field("a", description="The word.", examples=["b"])

    schema = input_schema(Given, Thing, "test")
    found = schema.model_json_schema()
    assert issubclass(schema, Given)
    assert (schema.__name__, found["title"], found["description"]) == ("Given", "A thing", "What is given.")
    assert found["properties"]["word"] == {
        "default": "a",
        "description": "The word.",
        "examples": ["b"],
        "maxLength": 5,
        "pattern": "^[^\\x00]*$",
        "title": "Word",
        "type": "string",
    }


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("wrod", 'Given.wrod stands for no attribute of Thing. Did you mean "word"?'),
        ("computed", "Given.computed is not a column of Thing, so a body cannot write it."),
    ],
)
def test_a_field_that_no_column_takes_stops_the_start(field: str, message: str) -> None:
    """With where, what and the remedy."""
    with pytest.raises(ImproperlyConfigured) as caught:
        input_schema(made(field, int), Thing, "ThingViewSet.create_schema")
    assert str(caught.value).startswith(f"ThingViewSet.create_schema: {message}")


# The partial schema


class Update(BaseModel):
    model_config = ConfigDict(validate_default=True)

    word: str
    text: str | None
    plain: int = 7
    mode: Literal["on", "off"] = Field("on", alias="theMode")
    data: dict[str, Any] = Field(default_factory=dict)

    @field_validator("word")
    @classmethod
    def lowered(cls, value: str) -> str:
        return value.lower()


PATCH = partial_schema(input_schema(Update, Thing, "test"), "PatchedUpdate")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", {}),
        ('{"text": null}', {"text": None}),
        ('{"word": "AB"}', {"word": "ab"}),
        ('{"theMode": "off", "data": {}}', {"mode": "off", "data": {}}),
        ('{"plain": 7}', {"plain": 7}),
    ],
)
def test_a_partial_schema_tells_absent_from_null(body: str, expected: dict[str, Any]) -> None:
    """Only what was sent is written."""
    fields = schema_fields(PATCH, Thing, "test")
    assert body_values(PATCH.model_validate_json(body), fields, partial=True) == expected


@pytest.mark.parametrize(
    "body", ['{"word": null}', '{"plain": null}', '{"word": "abcdef"}', '{"mode": "on"}', '{"x": 1}']
)
def test_a_partial_schema_takes_no_more_than_the_whole_one(body: str) -> None:
    """Null only where the field takes it."""
    with pytest.raises(ValidationError):
        PATCH.model_validate_json(body)


def test_a_partial_schema_documents_no_default() -> None:
    """A field that is absent stays as it is."""
    found = PATCH.model_json_schema()
    assert "required" not in found
    assert found["title"] == "PatchedUpdate"
    assert not any("default" in shown for shown in found["properties"].values())
    assert "null" not in json.dumps(found["properties"]["word"])


def test_a_partial_schema_may_leave_fields_as_they_are() -> None:
    """Only those that are named become optional."""
    schema = partial_schema(input_schema(Update, Thing, "test"), "ShelfUpdate", only=["text"])
    assert schema.model_json_schema()["required"] == ["word"]


# Keys and filters


def test_a_bare_column_has_the_same_bounds() -> None:
    """For keys in the path and values of filters."""
    columns = Thing.__table__.c

    def valid(column: str, text: str) -> bool:
        schema = create_model("Given", value=(bounded(columns[column].type), ...))
        try:
            schema.model_validate_strings({"value": text})
        except ValidationError:
            return False
        return True

    cases = {
        "small": ("32767", "32768"),
        "word": ("abcde", "abcdef"),
        "shout": ("abcd", "abcde"),
        "price": ("999.99", "1.234"),
        "mode": ("on", "none"),
        "color": ("red", "blue"),
        "aware": ("2013-01-31T09:30:00Z", "2013-01-31T09:30:00"),
        "naive": ("2013-01-31T09:30:00", "1359624600"),
        "double": ("1e5", "nan"),
        "key": ("12345678-1234-5678-1234-567812345678", "x"),
    }
    for column, (taken, refused) in cases.items():
        assert (valid(column, taken), valid(column, refused)) == (True, False), column
