"""Every error that fastapix5 raises on purpose. None knows HTTP: ``problems`` gives each its status.

::

Error:
    ├── ImproperlyConfigured         a declaration or a setting is wrong; the start stops
    ├── ScopeRequired                a query outside any session scope
    │   └── ScopeEnded               a query in a scope that is over
    ├── SessionInUse                 two tasks at one session, or in one transaction
    ├── UnflushedChanges             a scope ends with changes that were never written
    ├── OpenTransaction              a scope that ends inside atomic
    ├── NotLoaded                    an attribute is read whose value was never loaded, or is no longer known
    ├── TransactionRequired          a lock outside any transaction
    ├── AccessRequired               a policy needs an access and there is none
    ├── CredentialsError             the caller did not show who it is
    │   ├── NotAuthenticated         no credentials where some are needed
    │   └── AuthenticationFailed     credentials that do not hold
    ├── PermissionDenied             known, and may not
    │   └── RowPolicyViolation       the write would leave the caller's rows
    ├── Throttled                    too often
    ├── ValidationFailed             input that is wrong, with the places
    ├── DoesNotExist                 no such row within reach
    ├── MultipleObjectsReturned      several rows where one was asked for
    └── DatabaseError
        ├── IntegrityViolation       a rule of the table, with constraint and fields
        │   ├── UniqueViolation
        │   ├── ForeignKeyViolation  a reference to a row that is not there
        │   │   └── ProtectedRow     a row that others still need
        │   ├── NotNullViolation
        │   ├── CheckViolation
        │   ├── LengthViolation
        │   ├── RangeViolation
        │   └── TypeViolation
        ├── InvalidPattern           a regular expression that the database does not take
        ├── StaleVersion             the row changed since it was read
        ├── TransactionAborted       a part of the transaction failed, so none of it is kept
        └── Unavailable              the database, its pool or a lock cannot serve now
            └── SerializationFailure transactions that cannot both hold; the unit may run again

An error stores values and renders its sentence in ``__str__``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class Error(Exception):
    """The root: ``except Error`` catches whatever fastapix5 raises on purpose."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the nearest known word, or the empty string where none is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""


class ImproperlyConfigured(Error):
    """A declaration or a setting is wrong.

    Args:
        where: The class and attribute, or the setting: ``BookViewSet.search_fields``.
        what: What is wrong: ``Book has no column "titel".``
        remedy: What to write instead, or the empty string.
    """

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        super().__init__(where, what, remedy)
        self.where = where
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy.strip()}".rstrip()


class ScopeRequired(Error):
    """A query ran outside any session scope."""

    def __str__(self) -> str:
        return "No session scope is open here: wrap the code in `async with session_scope():`."


class ScopeEnded(ScopeRequired):
    """A task, or a session that it kept, has outlived the scope."""

    def __str__(self) -> str:
        return (
            "The session scope that this code was started in has ended: "
            "wrap the code in an `async with session_scope():` of its own."
        )


class SessionInUse(Error):
    """Two tasks use one session, or one transaction, at once.

    Args:
        what: What the other task is doing.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} A session serves one task at a time: open `async with session_scope():` inside each task,"
            " or await them one after the other."
        )


class TransactionRequired(Error):
    """What holds until the end of a transaction was asked for outside one.

    Args:
        what: Such as ``select_for_update()``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} needs a transaction: wrap the code in `async with atomic():`."


class OpenTransaction(Error):
    """A session scope ended while an ``atomic`` block in it was open.

    Args:
        aliases: The databases' aliases.
    """

    def __init__(self, aliases: Sequence[str]) -> None:
        super().__init__(tuple(aliases))
        self.aliases = tuple(aliases)

    def __str__(self) -> str:
        return (
            f"The scope ended inside an atomic block ({', '.join(self.aliases)}): open and close atomic() within the"
            " scope. Around a generated endpoint a dependency cannot hold one: unsafe methods have a transaction already."
        )


class UnflushedChanges(Error):
    """A session scope ends with changes that were never written.

    Args:
        models: Names of the changed models.
    """

    def __init__(self, models: Iterable[str]) -> None:
        self.models = tuple(sorted(set(models)))
        super().__init__(self.models)

    def __str__(self) -> str:
        return (
            f"The session scope ends with unwritten changes of {', '.join(self.models)}: "
            "make them inside `async with atomic():`, or call `await get_session().flush()`."
        )


class NotLoaded(Error):
    """An attribute was touched whose value is not there, where nothing can wait for the database.

    Args:
        model: The model's name.
        names: The attributes; several where a rollback took them all.
        key: The row's primary key, as far as it is known.
        is_relation: Whether the attribute is a relation.
        is_list: Whether the relation has many objects.
    """

    def __init__(
        self,
        model: str,
        names: Sequence[str],
        *,
        key: Sequence[Any] = (),
        is_relation: bool = False,
        is_list: bool = False,
    ) -> None:
        super().__init__(model, tuple(names))
        self.model = model
        self.names = tuple(names)
        self.key = tuple(key)
        self.is_relation = is_relation
        self.is_list = is_list

    def __str__(self) -> str:
        what = f"{self.model}.{self.names[0]} is" if len(self.names) == 1 else f"The values of this {self.model} are"
        if self.is_relation:
            name = self.names[0]
            select = "" if self.is_list else f'select_related("{name}") or '
            return f'{what} not loaded: {select}prefetch_related("{name}") loads it.'
        key = f"pk={self.key[0] if len(self.key) == 1 else self.key!r}" if self.key else "..."
        return (
            f"{what} not loaded: the transaction that used the object was rolled back, or the column was left out."
            f" Read the row again: `await repository.objects.get({key})`."
        )


class AccessRequired(Error):
    """A policy needs to know who is asking, and no access is set."""

    def __init__(self, policy: str) -> None:
        super().__init__(policy)
        self.policy = policy

    def __str__(self) -> str:
        return f"{self.policy} needs an access: open the scope with `session_scope(access=...)`."


class CredentialsError(Error):
    """What the caller showed of itself is not enough.

    Attributes:
        challenge: How to do better, as WWW-Authenticate says it; the pipeline asks the route's authentication.
    """

    challenge = "Bearer"


class NotAuthenticated(CredentialsError):
    """No credentials were given where some are needed."""

    def __str__(self) -> str:
        return "Authentication credentials were not provided."


class AuthenticationFailed(CredentialsError):
    """Credentials were given and do not hold.

    Args:
        reason: A sentence for the caller; it never repeats the credentials.
    """

    def __init__(self, reason: str = "The credentials are not valid.") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class PermissionDenied(Error):
    """The caller is known and may not do this."""

    def __init__(self, reason: str = "You do not have permission to perform this action.") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RowPolicyViolation(PermissionDenied):
    """A write would leave the rows that the caller may reach."""

    def __init__(self) -> None:
        super().__init__("The change would put the row outside your reach.")


class Throttled(Error):
    """The caller asked too often.

    Args:
        wait: Seconds until the next attempt can succeed.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait

    def __str__(self) -> str:
        seconds = max(1, round(self.wait))
        return f"Request was throttled. Try again in {seconds} second{'' if seconds == 1 else 's'}."


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with the input.

    Attributes:
        loc: The place, from ``path``, ``query``, ``header`` or ``body`` inwards.
        code: A stable snake_case word.
        message: A sentence fit for a form.
    """

    loc: tuple[str | int, ...]
    code: str
    message: str


class ValidationFailed(Error):
    """The input is wrong; ``errors`` names every place that was found."""

    def __init__(self, errors: Sequence[FieldError], *, code: str = "invalid") -> None:
        super().__init__(errors)
        self.errors = tuple(errors)
        self.code = code

    def __str__(self) -> str:
        first = self.errors[0]
        place = ".".join(str(part) for part in first.loc)
        more = len(self.errors) - 1
        return f"{place}: {first.message}" + (f" (and {more} more)" if more else "")


class DoesNotExist(Error):
    """No row within reach matches."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return f"No {self.model} matches the given query."


class MultipleObjectsReturned(Error):
    """Several rows match where one was asked for."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return f"More than one {self.model} matches the given query."


class DatabaseError(Error):
    """The database refused or could not serve."""


class IntegrityViolation(DatabaseError):
    """A rule of the table does not hold.

    Attributes:
        constraint: The constraint's name, or None where the database does not tell.
        table: The table's name, or None.
        fields: Attribute names of the model, as far as they are known.
        place: Which of several rows it is, such as ``objs[999]``; the empty string where there is one, or none is known.
    """

    code = "integrity"
    message = "A rule of the data does not hold."
    place = ""

    def __init__(self, *, constraint: str | None = None, table: str | None = None, fields: Sequence[str] = ()) -> None:
        super().__init__(constraint, table, tuple(fields))
        self.constraint = constraint
        self.table = table
        self.fields = tuple(fields)

    def __str__(self) -> str:
        fields = ", ".join(self.fields)
        return ": ".join(part for part in (self.place, fields, self.message) if part)


class UniqueViolation(IntegrityViolation):
    """Another row has these values already."""

    code = "unique"
    message = "A row with this value exists already."


class ForeignKeyViolation(IntegrityViolation):
    """A reference names a row that is not there, or out of reach."""

    code = "reference"
    message = "The row that this refers to does not exist."


class ProtectedRow(ForeignKeyViolation):
    """The row cannot go, since others refer to it."""

    code = "protected"
    message = "Other rows still refer to this one."


class NotNullViolation(IntegrityViolation):
    """A value is missing where the table asks for one."""

    code = "null"
    message = "This field may not be null."


class CheckViolation(IntegrityViolation):
    """A value breaks a CHECK constraint."""

    code = "check"
    message = "The value breaks a rule of the data."


class LengthViolation(IntegrityViolation):
    """A text is longer than its column."""

    code = "too_long"
    message = "The value is too long."


class RangeViolation(IntegrityViolation):
    """A number or time is outside its column's range."""

    code = "out_of_range"
    message = "The value is out of range."


class TypeViolation(IntegrityViolation):
    """A value is not of its column's type."""

    code = "type"
    message = "The value has the wrong type."


class InvalidPattern(DatabaseError):
    """A regular expression that the database does not take."""

    def __str__(self) -> str:
        return "This is not a valid regular expression."


class StaleVersion(DatabaseError):
    """The row changed since it was read."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return f"The {self.model} was changed by somebody else in the meantime."


class TransactionAborted(DatabaseError):
    """A part of the transaction failed and the error was caught, so nothing of the transaction is kept."""

    def __str__(self) -> str:
        return "The transaction was rolled back: catch a database error outside an `atomic` block, not inside."


class Unavailable(DatabaseError):
    """The database, its pool or a lock cannot serve now.

    Args:
        retry_after: Seconds after which another attempt makes sense.
        reason: For the log only; it is never sent.
    """

    def __init__(self, reason: Any = "", *, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.reason = str(reason)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return "The service cannot answer at the moment. Try again soon."


class SerializationFailure(Unavailable):
    """Two transactions could not both hold; running the whole unit again may succeed."""
