"""Parameters of the path and the query: one declaration that parses the text and documents itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from annotated_types import MaxLen, MinLen
from fastapi import Path, Query
from pydantic import StringConstraints, TypeAdapter, ValidationError
from starlette.requests import Request

from fastapix5.exceptions import FieldError, ValidationFailed, did_you_mean
from fastapix5.problems import MOST_ERRORS, field_errors

NO_COMMA = StringConstraints(pattern=r"^[^,\x00]+$")

DUPLICATE = "Give this parameter once."

# What a path's segment may hold as it is (RFC 3986), but for the comma.
UNTOUCHED = "!$&'()*+;=:@"

ENCODED_SLASH = re.compile(r"%((?:25)*2F)", re.IGNORECASE)

# What JSON Schema calls these types; pydantic alone would also take "1_000", " 7" and "yes".
SPELLINGS: dict[type, tuple[re.Pattern[str], str]] = {
    int: (re.compile(r"-?[0-9]{1,20}"), "Input should be a valid integer"),
    float: (re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"), "Input should be a valid number"),
    bool: (re.compile(r"true|false"), "Input should be true or false"),
}


def base_type(annotation: Any) -> Any:
    """The type behind ``Annotated``."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


@dataclass(frozen=True)
class Parameter:
    """One query parameter.

    Attributes:
        name: As the URL has it.
        annotation: The type of one value, with its limits; OpenAPI shows it and pydantic checks it.
        description: A line for OpenAPI.
        many: Whether it takes a list, by comma or by repeating the key.
        least: How many values a list must have.
        most: How many values a list may have.
        default: The value where the parameter is absent; None leaves it out.
    """

    name: str
    annotation: Any
    description: str
    many: bool = False
    least: int = 1
    most: int | None = None
    default: Any = None

    @cached_property
    def _convert(self) -> Callable[[str], Any]:
        return converter(TypeAdapter(self.annotation))

    @cached_property
    def _spelling(self) -> tuple[re.Pattern[str], str] | None:
        return SPELLINGS.get(base_type(self.annotation))

    def parse(self, texts: Sequence[str]) -> Any:
        """Return the typed value of what the URL says.

        Raises:
            ValidationFailed: It is not of the type, blank where that is no value, or given twice.
        """
        if not self.many:
            if len(texts) > 1:
                raise self._refused("duplicate", DUPLICATE)
            return self._value(texts[0])
        items = [item for text in texts for item in text.split(",")]
        if self.most is not None and len(items) > self.most:
            raise self._refused("too_long", f"Give at most {self.most} values.")
        if len(items) < self.least:
            raise self._refused("too_short", f"Give at least {self.least} values, separated by commas.")
        if "" in items:
            raise self._refused("blank", "An item of the list is empty.")
        return [self._value(item) for item in items]

    def _value(self, text: str) -> Any:
        if text == "" and base_type(self.annotation) is not str:
            raise self._refused("blank", "This parameter may not be blank.")
        if self._spelling is not None and not self._spelling[0].fullmatch(text):
            raise self._refused(f"{base_type(self.annotation).__name__}_parsing", f"{self._spelling[1]}.")
        try:
            return self._convert(text)
        except (ValidationError, UnicodeError) as error:
            raise refused(error, "query", self.name) from None

    def _refused(self, code: str, message: str) -> ValidationFailed:
        return ValidationFailed([FieldError(("query", self.name), code, message)])

    def signature(self) -> inspect.Parameter:
        """This parameter as FastAPI declares it, for OpenAPI."""
        annotation = self.annotation
        if self.many:
            item = Annotated[annotation, NO_COMMA] if base_type(annotation) is str else annotation
            limits = [MinLen(self.least), *([MaxLen(self.most)] if self.most is not None else [])]
            annotation = Annotated[(list[item], *limits)]  # type: ignore[valid-type]
        marker = Query(alias=self.name, description=self.description)
        return inspect.Parameter(
            f"query_{identifier(self.name)}",
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[annotation, marker],
            default=self.default,
        )


class _Part:
    """One of the values that make up a key."""

    __slots__ = ("convert", "dump", "field", "kind", "spelling")

    def __init__(self, field: str, annotation: Any) -> None:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        self.field, self.kind = field, base_type(annotation)
        self.convert, self.dump = converter(adapter), adapter.serializer.to_python
        self.spelling = SPELLINGS.get(self.kind)

    def parse(self, text: str, kwarg: str) -> Any:
        """Return the typed value; raise ValidationFailed, which names ``kwarg``."""
        if self.spelling is not None and not self.spelling[0].fullmatch(text):
            message = f"{self.spelling[1]}."
            raise ValidationFailed([FieldError(("path", kwarg), f"{self.kind.__name__}_parsing", message)])
        try:
            return self.convert(text)
        except (ValidationError, UnicodeError) as error:
            raise refused(error, "path", kwarg) from None

    def text(self, value: Any) -> str:
        """Return what ``parse`` makes the value of."""
        return value if isinstance(value, str) else str(self.dump(value, mode="json"))


@dataclass(frozen=True)
class Key:
    """A row's key in the path: one segment, the values of a composite key joined by commas.

    Attributes:
        kwarg: The name of the path parameter.
        fields: The model's attributes that make up the key.
        annotations: The type of each, with its limits.
        description: A line for OpenAPI.
    """

    kwarg: str
    fields: tuple[str, ...]
    annotations: tuple[Any, ...]
    description: str

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        return tuple(map(_Part, self.fields, self.annotations))

    def parse(self, text: str) -> dict[str, Any]:
        """Return the typed values by attribute.

        Raises:
            ValidationFailed: A value is not of its type or out of range, or their number is wrong.
        """
        if len(self._parts) == 1:
            return {self.fields[0]: self._parts[0].parse(decode_slash(text), self.kwarg)}
        # A comma or slash inside a value was encoded twice, so it is still encoded here.
        texts = [unquote(part) for part in text.split(",")]
        if len(texts) != len(self.fields):
            message = f"Give {len(self.fields)} values, separated by commas: {', '.join(self.fields)}."
            raise ValidationFailed([FieldError(("path", self.kwarg), "key_parts", message)])
        return {part.field: part.parse(text, self.kwarg) for part, text in zip(self._parts, texts, strict=True)}

    def format(self, values: Sequence[Any]) -> str:
        """Return the path segment for a row's key values, before percent-encoding."""
        if len(self._parts) == 1:
            return encode_slash(self._parts[0].text(values[0]))
        texts = [part.text(value) for part, value in zip(self._parts, values, strict=True)]
        return ",".join(quote(text, safe=UNTOUCHED) for text in texts)

    def signature(self) -> inspect.Parameter:
        """This parameter as FastAPI declares it, for OpenAPI."""
        annotation: Any = self.annotations[0]
        if len(self.fields) > 1:
            parts = ",".join(["[^,]+"] * len(self.fields))
            annotation = Annotated[str, StringConstraints(pattern=f"^{parts}$")]
        return inspect.Parameter(
            self.kwarg,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[annotation, Path(description=self.description)],
        )


def encode_slash(text: str) -> str:
    """Return a key's text with its slashes encoded: a server decodes the path before a route sees it.

    What looks like an encoded slash already is encoded once more, so that ``decode_slash`` gives the text back.
    """
    written = ENCODED_SLASH.sub(r"%25\1", text) if "%" in text else text
    return written.replace("/", "%2F")


def decode_slash(text: str) -> str:
    """Return the text that ``encode_slash`` was given."""
    if "%" not in text:
        return text
    return ENCODED_SLASH.sub(lambda match: f"%{match[1][2:]}" if match[1][2:] else "/", text)


def quoted_path(request: Request) -> str:
    """The request's own path, as a URL has it; with the part that a proxy stripped (``root_path``)."""
    path, root = request.scope["path"], request.scope.get("root_path", "").rstrip("/")
    whole = path if path == root or path.startswith(f"{root}/") else root + path
    return quoted(whole)


def quoted(path: str) -> str:
    """A path, or a segment without slashes, as a URL has it."""
    return quote(path, safe=UNTOUCHED + ",/")


def converter(adapter: TypeAdapter[Any]) -> Callable[[str], Any]:
    """Return what makes a typed value of a text; what it raises becomes ``refused``."""
    # Not the adapter's own method, which takes longer to pass eight options on than the validator takes.
    return adapter.validator.validate_strings  # type: ignore[return-value]  # texts are a part of what it takes


def refused(error: ValidationError | UnicodeError, *loc: str) -> ValidationFailed:
    """Return what is said of a text that a ``converter`` could not read; it names ``loc``."""
    if isinstance(error, ValidationError):
        return ValidationFailed(field_errors(error.errors(include_url=False, include_input=False), *loc))
    return ValidationFailed([FieldError(loc, "string_unicode", "Input should be valid Unicode.")])


def query_items(query: bytes) -> list[tuple[str, str]]:
    """Return the names and texts in a query string, as Starlette reads it.

    Raises:
        ValidationFailed: It percent-encodes what is no UTF-8, and would be read as U+FFFD: with the parameters.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if b"%" in query:
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            names = [name for name, text in pairs if "\ufffd" in name + text]
            message = "Input should be valid Unicode."
            raise ValidationFailed([FieldError(("query", name), "string_unicode", message) for name in names]) from None
    return pairs


def defaults_of(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of parameters that a request does not give, by name."""
    return {name: found.default for name, found in parameters.items() if found.default is not None}


def parse_query(
    items: Iterable[tuple[str, str]],
    parameters: Mapping[str, Parameter],
    defaults: Mapping[str, Any],
    known: Mapping[str, bool],
    *,
    lenient: bool,
) -> dict[str, Any]:
    """Return the typed values of a query string, by parameter name.

    Args:
        items: Names and texts, in order.
        parameters: What the route declares.
        defaults: The values of those that are not given.
        known: Other names that are welcome, those that FastAPI dependencies declare, and whether each takes a list.
        lenient: Whether an unknown name is passed over.

    Raises:
        ValidationFailed: Every wrong parameter at once; an unknown name comes with a suggestion.
    """
    texts: dict[str, list[str]] = {}
    for name, text in items:
        texts.setdefault(name, []).append(text)
    values = dict(defaults)
    errors: list[FieldError] = []
    unknown: list[FieldError] = []
    names = known.keys()
    for name, given in texts.items():
        if name in parameters:
            try:
                values[name] = parameters[name].parse(given)
            except ValidationFailed as error:
                errors.extend(error.errors)
        elif name in names:
            if len(given) > 1 and not known[name]:
                errors.append(FieldError(("query", name), "duplicate", DUPLICATE))
        elif not lenient:
            if len(unknown) == MOST_ERRORS:  # No more are told, and a suggestion takes its time.
                break
            guess = did_you_mean(name[:100], names | set(parameters))
            unknown.append(FieldError(("query", name), "unknown_parameter", f"There is no such parameter.{guess}"))
    if unknown or errors:
        raise ValidationFailed([*unknown, *errors], code="invalid" if errors else "unknown_parameter")
    return values


def identifier(name: str) -> str:
    """``name`` as a Python identifier."""
    return re.sub(r"\W", "_", name)
