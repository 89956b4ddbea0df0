"""Selections: what a read schema selects, and how a row becomes an instance."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.schemas import Selection, select_for
from tests.repositories.models import Author, Book, Chapter, Tag


class AuthorBrief(BaseModel):
    name: str | None


class TagRead(BaseModel):
    word: str


class Plain(BaseModel):
    id: int
    title: str
    pages: int | None


def shown(name: str, annotation: Any) -> type[BaseModel]:
    """A schema with one field."""
    fields: dict[str, Any] = {name: (annotation, ...)}
    return create_model("Shown", **fields)


def select(schema: type[BaseModel], model: type[Any] = Book) -> Selection:
    """What ``schema`` selects."""
    return select_for(schema, model, "BookViewSet.read_schema")


def test_fields_are_columns_and_relations() -> None:
    """By name or validation alias; nested schemas to any depth."""

    class BookRead(BaseModel):
        id: int
        name: str = Field(validation_alias="title")
        writer: AuthorBrief | None = Field(validation_alias=AliasChoices("author", "who"))
        tags: list[TagRead]

    class ChapterRead(BaseModel):
        heading: str
        of: BookRead = Field(validation_alias=AliasPath("book"))

    selection = select(ChapterRead, Chapter)
    assert [field.attribute for field in selection.columns] == ["heading"]
    (book,) = selection.relations
    assert (book.field.name, book.field.attribute, book.many, book.selection.model) == ("of", "book", False, Book)
    assert [(field.name, field.attribute) for field in book.selection.columns] == [("id", "id"), ("name", "title")]
    assert [(relation.field.attribute, relation.many) for relation in book.selection.relations] == [
        ("author", False),
        ("tags", True),
    ]


WRONG: list[tuple[str, Any, str]] = [
    ("titel", str, 'Shown.titel stands for no attribute of Book. Did you mean "title"?'),
    ("author", int, "Shown.author stands for the relationship Book.author. Annotate it with a schema"),
    ("author", list[AuthorBrief], "Shown.author stands for the relationship Book.author. Annotate it with a schema"),
    ("tags", TagRead, "Shown.tags stands for the relationship Book.tags. Annotate it with list[...] of a schema"),
    ("tags", list[int], "Shown.tags stands for the relationship Book.tags. Annotate it with list[...] of a schema"),
    ("author", create_model("Nested", nmae=(str, ...)), "Nested.nmae stands for no attribute of Author."),
]


@pytest.mark.parametrize(("name", "annotation", "message"), WRONG)
def test_a_field_that_fits_nothing_stops_the_start(name: str, annotation: Any, message: str) -> None:
    """With where, what and the remedy, however deep."""
    with pytest.raises(ImproperlyConfigured) as caught:
        select(shown(name, annotation))
    assert str(caught.value).startswith(f"BookViewSet.read_schema: {message}")


def test_what_is_no_model_is_refused() -> None:
    """A pydantic schema is none."""
    with pytest.raises(ImproperlyConfigured, match="Plain: it is not a SQLAlchemy mapped class"):
        select(Plain, Plain)


class Recursive(BaseModel):
    id: int
    pupils: list[Recursive]


def test_a_schema_that_nests_itself_stops_the_start() -> None:
    """It would select without end."""
    with pytest.raises(ImproperlyConfigured, match=r"Recursive\.pupils nests Recursive in itself"):
        select(Recursive, Author)


class Early(BaseModel):
    author: Late | None


class Late(BaseModel):
    name: str | None


def test_a_schema_may_name_one_that_comes_later() -> None:
    """Although pydantic had not built it yet."""
    assert select(Early).relations[0].selection.schema is Late


# Validation on the way out


class FieldRule(Plain):
    @field_validator("title")
    @classmethod
    def shouted(cls, value: str) -> str:
        return value.upper()


class ModelRule(Plain):
    @model_validator(mode="after")
    def shouted(self) -> ModelRule:
        self.title = self.title.upper()
        return self


class Annotation(Plain):
    title: Annotated[str, AfterValidator(str.upper)]


class InnerAnnotation(Plain):
    title: Annotated[str, AfterValidator(str.upper)] | None  # type: ignore[assignment]


class Constraint(Plain):
    title: Annotated[str, StringConstraints(to_upper=True)]


class Configured(Plain):
    model_config = ConfigDict(str_to_upper=True)


class PostInit(Plain):
    def model_post_init(self, context: Any) -> None:
        self.title = self.title.upper()


class Constructor(Plain):
    def __init__(self, **values: Any) -> None:
        super().__init__(**{**values, "title": values["title"].upper()})


@pytest.mark.parametrize(
    "schema",
    [FieldRule, ModelRule, Annotation, InnerAnnotation, Constraint, Configured, PostInit, Constructor],
    ids=lambda schema: schema.__name__,
)
def test_a_schema_with_rules_is_validated_on_the_way_out(schema: type[BaseModel]) -> None:
    """Whatever the rule is."""
    selection = select(schema)
    assert selection.validates
    assert selection.build({"id": 1, "title": "abc", "pages": None}).model_dump()["title"] == "ABC"


@pytest.mark.parametrize(
    ("name", "annotation", "validates"),
    [
        ("title", str, False),
        ("title", str | None, False),
        ("title", Annotated[str, Field(max_length=3)], False),
        ("title", Any, False),
        ("title", bytes, True),
        ("pages", int | None, False),
        ("pages", int, True),
        ("pages", float | None, True),
        ("price", float | None, True),
        ("chapter_count", int, True),
        ("author", AuthorBrief | None, False),
        ("author", AuthorBrief, True),
        ("tags", list[TagRead], False),
        ("tags", tuple[TagRead, ...], True),
    ],
)
def test_other_types_than_the_columns_are_validated(name: str, annotation: Any, validates: bool) -> None:
    """Null is a type here: a column that may be null does not fit a field that may not."""
    assert select(shown(name, annotation)).validates is validates


def test_a_plain_schema_is_built_as_it_stands() -> None:
    """Equal to one that was validated, down to what pydantic knows of it."""
    values = {"id": 1, "title": "abc", "pages": None}
    found, expected = select(Plain).build(dict(values)), Plain(**values)  # type: ignore[arg-type]
    assert found == expected
    assert found.model_fields_set == expected.model_fields_set
    assert found.model_dump_json() == expected.model_dump_json()
    assert found.model_copy(update={"pages": 3}).model_dump() == {**values, "pages": 3}
    assert repr(found) == repr(expected)


def test_what_a_schema_computes_is_there() -> None:
    """Computed fields, serializers, class variables, and room for extra values."""

    class Shown(Plain):
        model_config = ConfigDict(extra="allow")
        note: ClassVar[str] = "n"

        @computed_field  # type: ignore[prop-decorator]
        @property
        def doubled(self) -> str:
            return self.title * 2

        @field_serializer("pages")
        def shown_pages(self, value: int | None) -> str:
            return str(value)

    found = select(Shown).build({"id": 1, "title": "ab", "pages": 3})
    assert found.model_dump() == {"id": 1, "title": "ab", "pages": "3", "doubled": "abab"}


def test_private_attributes_get_their_defaults() -> None:
    """As pydantic gives them."""

    class Shown(Plain):
        _seen: list[int] = PrivateAttr(default_factory=list)

    found = select(Shown).build({"id": 1, "title": "ab", "pages": 3})
    assert found._seen == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "config",
    [ConfigDict(), ConfigDict(populate_by_name=True), ConfigDict(validate_by_alias=False, validate_by_name=True)],
)
def test_aliases_do_not_mix_when_validated(config: ConfigDict) -> None:
    """Even where one field's alias is another one's name."""

    class Shown(BaseModel):
        model_config = config
        tags: str = Field(validation_alias="title")
        title: list[str] = Field(validation_alias="tags")
        pages: int = Field(validation_alias=AliasChoices("id", "nr"))

        @field_validator("pages")
        @classmethod
        def doubled(cls, value: int) -> int:
            return value * 2

    selection = Selection(Shown, Tag, (), (), validates=True)
    found = selection.build({"tags": "a", "title": ["b"], "pages": 1})
    assert found.model_dump() == {"tags": "a", "title": ["b"], "pages": 2}
