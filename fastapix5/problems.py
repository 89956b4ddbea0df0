"""Errors as the wire shows them: ``application/problem+json`` (RFC 9457), one table from error to status and code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fastapix5 import exceptions
from fastapix5.exceptions import Error, FieldError, IntegrityViolation, ProtectedRow, ValidationFailed

MEDIA_TYPE = "application/problem+json"
LONGEST_NAME = 100
MOST_ERRORS = 50

Location = tuple[str | int, ...]

# Where a request's scope keeps its id.
REQUEST_ID = "fastapix5.request_id"

# Among the places of attributes: the row itself, which the path names.
ROW = ""


class ParseError(Error):
    """The body is not JSON, or more than a body may be: too deep, with characters no database holds."""

    def __init__(self, message: str, code: str = "invalid_json", loc: Location = ("body",)) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.loc = loc


class PayloadTooLarge(Error):
    """The body is larger than MAX_BODY_SIZE bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"The body is larger than the {self.limit} bytes that are taken."


class UnsupportedMediaType(Error):
    """The body is not UTF-8 ``application/json``."""

    def __str__(self) -> str:
        return "The body must be application/json in UTF-8."


class ProblemField(BaseModel, defer_build=True):
    """One wrong place in the input."""

    loc: list[str | int] = Field(description="The place: path, query, header or body, then inwards")
    code: str = Field(description="What is wrong, in a word that stays the same")
    message: str = Field(description="What is wrong, in a sentence fit for a form")


class ProblemDetails(BaseModel, defer_build=True):
    """Why a request was not served (RFC 9457)."""

    type: str = Field(description="A URI for the kind of problem; about:blank where the status says it all")
    title: str = Field(description="The status in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="A sentence fit for a person")
    code: str = Field(description="The kind of problem, in a word that stays the same")
    request_id: str = Field(description="Names this request in the server's log")
    errors: list[ProblemField] | None = Field(default=None, description="The wrong places, where the input is to blame")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error on its way out.

    Attributes:
        status: The HTTP status.
        code: A stable snake_case word.
        detail: A sentence that names neither keys nor SQL.
        errors: The wrong places; the answer names the first MOST_ERRORS.
        headers: What the status asks for: WWW-Authenticate, Retry-After, Allow.
    """

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, request_id: str) -> Response:
        """The answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": phrase_of(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            body["errors"] = [
                {"loc": [_short(part) for part in error.loc], "code": error.code, "message": error.message}
                for error in self.errors[:MOST_ERRORS]
            ]
        body["request_id"] = request_id
        # ASCII, so that a lone surrogate in a name of the caller's cannot break the answer.
        content = json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return Response(content, self.status, headers=dict(self.headers), media_type=MEDIA_TYPE)


# From the most general to the most special: the last class that fits decides.
STATUSES: dict[type[Error], tuple[int, str]] = {
    exceptions.NotAuthenticated: (401, "not_authenticated"),
    exceptions.AuthenticationFailed: (401, "authentication_failed"),
    exceptions.PermissionDenied: (403, "permission_denied"),
    exceptions.RowPolicyViolation: (403, "row_policy"),
    exceptions.DoesNotExist: (404, "not_found"),
    exceptions.StaleVersion: (409, "stale_version"),
    exceptions.UniqueViolation: (409, "unique"),
    exceptions.ProtectedRow: (409, "protected"),
    PayloadTooLarge: (413, "too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    exceptions.InvalidPattern: (422, "invalid_regex"),
    exceptions.Throttled: (429, "throttled"),
    exceptions.Unavailable: (503, "unavailable"),
}

HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    400: "bad_request",
    401: "not_authenticated",
    403: "permission_denied",
}

NOT_FOUND = "Not found."
INVALID = "The request is not valid."
SERVER_ERROR = "Something went wrong on our side."


def problem_for(error: Exception, places: Mapping[str, Location] | None = None) -> Problem:
    """Return what the wire says of ``error``; what is none of ours is a 500 that tells nothing.

    Args:
        error: What was raised.
        places: Where in the request each attribute of the model came from, for errors that the database found.
    """
    if isinstance(error, ValidationFailed):
        return Problem(422, error.code, INVALID, error.errors)
    if isinstance(error, ParseError):
        return Problem(422, error.code, INVALID, (FieldError(error.loc, error.code, error.message),))
    if isinstance(error, HTTPException):
        return _from_http(error)
    headers = _headers(error)
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if isinstance(error, IntegrityViolation):
        number, code = status or (422, error.code)
        return Problem(number, code, error.message, _integrity_errors(error, places or {}), headers)
    if status is None:
        return Problem(500, "server_error", SERVER_ERROR)
    number, code = status
    return Problem(number, code, NOT_FOUND if number == 404 else str(error), headers=headers)


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, exceptions.Throttled):
        return {"Retry-After": str(max(1, round(error.wait + 0.5)))}
    if isinstance(error, exceptions.Unavailable):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, exceptions.CredentialsError):
        return {"WWW-Authenticate": error.challenge}
    return {}


def _integrity_errors(error: IntegrityViolation, places: Mapping[str, Location]) -> tuple[FieldError, ...]:
    if isinstance(error, ProtectedRow):  # SQLite cannot tell which of its columns the others refer to.
        return (FieldError(places.get(ROW, ("path",)), error.code, error.message),)
    locations = [places.get(name, ("body", name)) for name in error.fields] or [("body",)]
    return tuple(FieldError(location, error.code, error.message) for location in locations)


def _from_http(error: HTTPException) -> Problem:
    phrase = phrase_of(error.status_code)
    code = HTTP_CODES.get(error.status_code, re.sub(r"\W+", "_", phrase.lower()))
    detail = error.detail if isinstance(error.detail, str) else phrase
    detail = NOT_FOUND if error.status_code == 404 and detail == phrase else detail
    return Problem(
        error.status_code, code, detail if detail[-1:] in ".!?" else f"{detail}.", headers=error.headers or {}
    )


# RFC 9110 renamed these two, and Python follows it from 3.13 on: the wire says the same on every version.
PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}


def phrase_of(status: int) -> str:
    """A status in words; a status that nobody registered has none of its own."""
    try:
        return PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"


def field_errors(errors: Sequence[ErrorDetails] | Sequence[Mapping[str, Any]], *prefix: str | int) -> list[FieldError]:
    """Return pydantic's first MOST_ERRORS in our words; ``prefix`` opens each location. Values are never repeated."""
    found = []
    for error in errors[:MOST_ERRORS]:
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append(FieldError((*prefix, *error["loc"]), str(error["type"]), message))
    return found


def request_id(scope: Any) -> str:
    """Return the id of a request, made when first asked for."""
    known: str | None = scope.get(REQUEST_ID)
    if known is None:
        known = scope[REQUEST_ID] = os.urandom(16).hex()
    return known


def _short(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= LONGEST_NAME else f"{part[:LONGEST_NAME]}..."


DESCRIPTIONS = {
    401: "No credentials, or credentials that do not hold",
    403: "Not permitted",
    404: "No such row within reach",
    409: "In conflict with what is stored",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The input is not valid",
    429: "Too many requests",
    500: "A fault of the server",
    503: "The database cannot serve at the moment",
}

_RETRY_AFTER = {"Retry-After": {"description": "Seconds until another attempt", "schema": {"type": "string"}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def documented(status: int) -> dict[str, Any]:
    """What OpenAPI says of an error status: the problem's schema, and its headers."""
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    response: dict[str, Any] = {"description": DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if status in _HEADERS:
        response["headers"] = _HEADERS[status]
    return response
