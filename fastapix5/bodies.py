"""JSON bodies: what is no JSON, or more than a body may be, is refused before any field is looked at."""

from __future__ import annotations

import email.message
import re
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from fastapix5.exceptions import ValidationFailed
from fastapix5.problems import ParseError, field_errors

# What a typed field cannot refuse by itself, spelt in bytes: NUL, and numbers that are not finite. Each alternative
# begins with a character of its own, so that the search leaps from one of these to the next.
SUSPICIOUS = re.compile(rb"\\u0000|e\+?[0-9]{3}|E\+?[0-9]{3}|NaN|Infinity")
LONG_NUMBER = re.compile(rb"[0-9]{300}")


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type says ``application/json``, in UTF-8 where it says more."""
    if content_type == "application/json":
        return True
    message = email.message.Message()
    message["content-type"] = content_type or "application/octet-stream"
    charset = message.get_param("charset", "utf-8")
    return message.get_content_type() == "application/json" and str(charset).lower() in ("utf-8", "utf8")


def parsed(raw: bytes) -> Any:
    """Return the JSON in ``raw``.

    Raises:
        ParseError: It is not JSON, or not UTF-8.
    """
    try:
        return pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise too_deep(("body",)) from None
        raise ParseError(f"This is not valid JSON: {error}.") from None


def validated(adapter: TypeAdapter[Any], annotation: Any, raw: bytes, loc: tuple[str, ...]) -> Any:
    """Return the value of a body parameter; types are JSON's own: no string is taken for a number.

    Args:
        adapter: Validates it.
        annotation: Its type.
        raw: The JSON.
        loc: Its place, for errors.

    Raises:
        ParseError: It is not JSON.
        ValidationFailed: It is not what the type asks for.
    """
    # A schema says for itself how strict it is: ours say so field by field.
    strict = None if hasattr(annotation, "model_config") else True
    try:
        return adapter.validator.validate_json(raw, strict=strict)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise ParseError(f"This is not valid JSON: {errors[0].get('ctx', {}).get('error', '')}.") from None
        raise ValidationFailed(field_errors(errors, *loc)) from None


def check_json(raw: bytes, max_depth: int) -> None:
    """Refuse what no field would: nesting beyond ``max_depth``, NUL, and numbers that overflow.

    The bytes tell whether a closer look is needed, so that an ordinary body is parsed once.

    Raises:
        ParseError: With the place.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth or SUSPICIOUS.search(raw) or LONG_NUMBER.search(raw):
        check_tree(parsed(raw), max_depth, ("body",))


def check_tree(value: Any, depth: int, loc: tuple[str | int, ...]) -> None:
    """Walk parsed JSON; see ``check_json``."""
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise too_deep(loc[:2])
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and "\0" in key:
                raise ParseError("A name contains the NUL character.", "nul_character", loc)
            check_tree(item, depth - 1, (*loc, key))
    elif isinstance(value, str) and "\0" in value:
        raise ParseError("The text contains the NUL character.", "nul_character", loc)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ParseError("The number is too large.", "finite_number", loc)


def too_deep(loc: tuple[str | int, ...]) -> ParseError:
    """What is said of JSON that nests too deep."""
    return ParseError("The JSON is nested too deep.", "too_deep", loc)
