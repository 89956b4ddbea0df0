"""What the text of a failed statement tells: which table it wrote, and which columns its arguments were for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_NAME = rf"(?:{_PART}\.)*{_PART}"
# Compiled when a statement has failed.
_INSERT = rf"INSERT (?:OR \w+ )?INTO (?P<table>{_NAME}) \((?P<columns>[^()]*)\)"
_UPDATE = rf"UPDATE (?P<table>{_NAME}) SET "  # noqa: S608 (it reads SQL)
_DELETE = rf"DELETE FROM (?P<table>{_NAME})"  # noqa: S608
_SET = rf"\s*(?P<column>{_PART})\s*="
_ROW = re.compile(r"\bVALUES\s*\(")
_SELECT = re.compile(r" SELECT ")
_PLACEHOLDER = re.compile(r"\$(\d+)|\?")


class Statement(NamedTuple):
    """What is known of a statement; of one that is not understood, nothing.

    Attributes:
        verb: INSERT, UPDATE, DELETE, or the empty string.
        table: The table that it writes.
        columns: The columns that it writes.
        arguments: Column by the number of an argument, from 1; of several rows, those of the first.
    """

    verb: str = ""
    table: str | None = None
    columns: tuple[str, ...] = ()
    arguments: Mapping[int, str] = MappingProxyType({})

    def column_of(self, argument: int) -> str | None:
        """The column that an argument was for."""
        size = len(self.arguments)
        if self.verb == "INSERT" and size:
            argument = (argument - 1) % size + 1
        return self.arguments.get(argument)


NO_STATEMENT = Statement()


def read_statement(text: str | None) -> Statement:
    """Read a statement as SQLAlchemy writes it."""
    text = " ".join((text or "").split())
    if found := re.match(_INSERT, text):
        columns = tuple(_plain(part) for part in found["columns"].split(", "))
        row = _ROW.search(text, found.end()) or _SELECT.match(text, found.end())
        items = list(_items(text[row.end() :])) if row else []
        # A row of many may carry its number besides, at the end.
        pairs = zip(columns, items, strict=False) if len(items) in (len(columns), len(columns) + 1) else ()
        return Statement("INSERT", _last(found["table"]), columns, _numbered([*pairs, *_rest(columns, items)]))
    if found := re.match(_UPDATE, text):
        parts = [
            (_plain(item["column"]), part) for part in _items(text[found.end() :]) if (item := re.match(_SET, part))
        ]
        columns = tuple(column for column, _ in parts)
        return Statement("UPDATE", _last(found["table"]), columns, _numbered(parts))
    if found := re.match(_DELETE, text):
        return Statement("DELETE", _last(found["table"]))
    return NO_STATEMENT


def _rest(columns: Sequence[str], items: Sequence[str]) -> list[tuple[str, str]]:
    return [("", item) for item in items[len(columns) :]]


def _numbered(parts: Sequence[tuple[str, str]]) -> dict[int, str]:
    """Each placeholder in the expressions, by its number, with the column that the expression is for."""
    numbers: dict[int, str] = {}
    for column, expression in parts:
        for placeholder in _PLACEHOLDER.finditer(expression):
            numbers[int(placeholder[1] or len(numbers) + 1)] = column
    return numbers


def _items(text: str) -> Iterator[str]:
    """The parts of a list between its commas, up to the bracket that closes it or the next clause."""
    depth, start, quote = 0, 0, ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif depth == 0 and text.startswith((" WHERE ", " FROM ", " RETURNING "), index):
            depth = -1
        if depth < 0 or (depth == 0 and not quote and character == ","):
            yield text[start:index]
            start = index + 1
        if depth < 0:
            return
    yield text[start:]


def _last(name: str) -> str:
    """The name of a table without its schema's."""
    return _plain(re.findall(_PART, name)[-1])


def _plain(name: str) -> str:
    return name.strip().strip('"').replace('""', '"')
