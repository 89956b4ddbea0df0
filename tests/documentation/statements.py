"""What databases are asked, as a page shows it: parameters in their places, long statements on several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any, Self, TypeAlias

from sqlalchemy import Connection, Engine, event

from tests.documentation.shown import WIDTH

# What SQLAlchemy asks PostgreSQL when it connects.
ON_CONNECT = re.compile(r"select pg_catalog|show |select current_schema|SET SESSION", re.IGNORECASE)
CAST = r"(?P<cast>::[A-Z]\w*(?: WITH(?:OUT)? TIME ZONE| PRECISION)?(?:\([\d, ]+\))?(?:\[\])?)?"
PLACEHOLDERS = {"$": re.compile(rf"\$(?P<number>\d+){CAST}"), "?": re.compile(rf"(?P<number>\?){CAST}")}
# Where the server's own collation folds ASCII alone, another is asked for.
COLLATION = re.compile(r'\(([^()]+) COLLATE "[^"]+"\)')
TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[()]|[^\s()'\"]+|\s+")

Item: TypeAlias = "str | list[Item]"


class PostgreSQLStatements(list[str]):
    """The statements that SQLAlchemy gives to asyncpg, noted while it is entered."""

    def __enter__(self) -> Self:
        for name, listener in self._listeners():
            event.listen(Engine, name, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for name, listener in self._listeners():
            event.remove(Engine, name, listener)

    def _listeners(self) -> Iterator[tuple[str, Any]]:
        yield "before_cursor_execute", self._execute
        yield "begin", self._begin
        yield "commit", self._commit
        yield "rollback", self._rollback

    def _execute(self, _: Connection, __: object, text: str, given: Any, ___: object, ____: bool) -> None:
        if not ON_CONNECT.match(text):
            self.extend(filled_in(text, row) for row in (given if given and isinstance(given[0], tuple) else [given]))

    def _begin(self, connection: Connection) -> None:
        if not _is_autocommit(connection):
            self.append("BEGIN")

    def _commit(self, connection: Connection) -> None:
        if not _is_autocommit(connection):
            self.append("COMMIT")

    def _rollback(self, connection: Connection) -> None:
        if not _is_autocommit(connection):
            self.append("ROLLBACK")


def _is_autocommit(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def filled_in(text: str, parameters: Sequence[Any]) -> str:
    """A statement with its parameters as literals; the casts of text, which say no more, left out."""
    text = COLLATION.sub(r"\1", text)
    if not parameters:
        return text
    places = iter(range(len(parameters)))

    def written(found: re.Match[str]) -> str:
        place = int(found["number"]) - 1 if found["number"] != "?" else next(places)
        return _literal(parameters[place], found["cast"] or "")

    return PLACEHOLDERS["$" if "$1" in text else "?"].sub(written, text)


def _literal(value: Any, cast: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return f"ARRAY[{', '.join(_literal(item, '') for item in value)}]"
    text = "'" + str(value).replace("'", "''") + "'"
    return text if cast in ("", "::VARCHAR") else f"{text}{cast}"


def merged(texts: dict[str, str]) -> str:
    """What several databases were asked: the first one's where they agree, what differs below the databases' names.

    That SQLite begins with ``BEGIN IMMEDIATE`` and skips no rows by ``OFFSET 0`` is no difference.
    """
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    (one, first), (other, second) = ((name, statements_of(text)) for name, text in texts.items())
    lines: list[str] = []
    matcher = SequenceMatcher(None, [_plain(line) for line in first], [_plain(line) for line in second], autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind == "equal":
            lines += ["-- both", *first[start:end]] if lines else first[start:end]
        else:
            lines += [f"-- {one}", *first[start:end]] if end > start else []
            lines += [f"-- {other}", *second[other_start:other_end]] if other_end > other_start else []
    return "".join(f"{line}\n" for line in lines)


def _plain(statement: str) -> str:
    return " ".join(statement.replace("BEGIN IMMEDIATE", "BEGIN").replace("OFFSET 0", "").split()).replace(" ;", ";")


def statements_of(text: str) -> list[str]:
    """The statements of an ``sql`` block."""
    return [part for part in re.split(r"(?<=;)\n", text) if part]


# Layout


def laid_out(statement: str) -> str:
    """A statement on one line where it fits, else a line for each clause, and for each SELECT that is too long."""
    items = _items(iter(TOKEN.findall(statement.strip().rstrip(";"))))
    return "\n".join(_lines(items, 0, WIDTH - 1)) + ";"


def _items(tokens: Iterator[str]) -> list[Item]:
    """The words of a statement, blanks as one blank, brackets as lists."""
    found: list[Item] = []
    for token in tokens:
        if token == "(":
            found.append(_items(tokens))
        elif token == ")":
            break
        elif not token.isspace():
            found.append(token)
        elif found and found[-1] != " ":
            found.append(" ")
    return found


def _flat(items: Sequence[Item]) -> str:
    return "".join(item if isinstance(item, str) else f"({_flat(item).strip()})" for item in items)


def _lines(items: list[Item], indent: int, width: int) -> list[str]:
    line = " " * indent + _flat(items).strip()
    if len(line) <= width:
        return [line]
    return [line for clause in _clauses(items) for line in _filled(clause, indent, width)]


STARTS = {"FROM", "WHERE", "HAVING", "LIMIT", "VALUES", "SET", "RETURNING", "LEFT", "UNION"}
STARTS_WITH = {("GROUP", "BY"), ("ORDER", "BY"), ("ON", "CONFLICT"), ("FOR", "UPDATE")}


def _clauses(items: list[Item]) -> list[list[Item]]:
    clauses: list[list[Item]] = [[]]
    words = [item for item in items if item != " "]
    before: Item = ""
    following = iter([*(pair[1] for pair in pairwise(words)), ""])
    for item in items:
        if item == " ":
            clauses[-1].append(item)
            continue
        after = next(following)
        is_start = isinstance(item, str) and (
            (item in STARTS and before != "DISTINCT")
            or (isinstance(after, str) and (item, after) in STARTS_WITH)
            or (item == "JOIN" and before != "OUTER")
        )
        if is_start and any(known != " " for known in clauses[-1]):
            clauses.append([])
        clauses[-1].append(item)
        before = item
    return clauses


def _filled(items: list[Item], indent: int, width: int) -> list[str]:
    """The parts of a clause, wrapped; a SELECT that is too long for a line has lines of its own."""
    lines = _Lines(indent, width)
    for atoms in _parts(items):
        text = " ".join(_flat(atom) for atom in atoms)
        if lines.fit(text):
            lines.put(text)
        elif lines.fit_next(text):
            lines.turn()
            lines.put(text)
        else:
            for atom in atoms:
                lines.put_long(atom)
    return [*lines.done, lines.line]


class _Lines:
    def __init__(self, indent: int, width: int) -> None:
        self.indent = indent
        self.width = width
        self.done: list[str] = []
        self.line = " " * indent

    def fit(self, text: str) -> bool:
        """Whether text fits on the line."""
        return len(self.line) + 1 + len(text) <= self.width

    def fit_next(self, text: str) -> bool:
        """Whether it fits on the next one, where anything stands on this one."""
        return bool(self.line.strip()) and self.indent + 4 + len(text) <= self.width

    def put(self, text: str) -> None:
        """Put text on the line."""
        self.line += f" {text}" if self.line.strip() else text

    def turn(self) -> None:
        """Begin the next line."""
        self.done.append(self.line)
        self.line = " " * (self.indent + 4)

    def put_long(self, atom: list[Item]) -> None:
        """Put what stands between blanks on the line, or what is in its brackets on lines of its own."""
        if self.fit(_flat(atom)) and not _has_select(atom):
            self.put(_flat(atom))
        elif not _has_group(atom):
            self.turn()
            self.put(_flat(atom))
        else:
            self.put("")
            for item in atom:
                if isinstance(item, str):
                    self.line += item
                else:
                    indent = len(self.line) - len(self.line.lstrip())
                    self.done += [f"{self.line}(", *_lines(item, indent + 4, self.width)]
                    self.line = " " * indent + ")"


def _has_group(atom: list[Item]) -> bool:
    return any(isinstance(item, list) for item in atom)


def _has_select(atom: list[Item]) -> bool:
    return any(isinstance(item, list) and (item[:1] == ["SELECT"] or _has_select(item)) for item in atom)


def _parts(items: list[Item]) -> list[list[list[Item]]]:
    """The atoms of a clause, together up to a comma or to the AND or OR before the next."""
    parts: list[list[list[Item]]] = [[]]
    for atom in _atoms(items):
        if parts[-1] and (atom in (["AND"], ["OR"]) or _flat(parts[-1][-1]).endswith(",")):
            parts.append([])
        parts[-1].append(atom)
    return parts


def _atoms(items: list[Item]) -> list[list[Item]]:
    """What stands between blanks."""
    atoms: list[list[Item]] = [[]]
    for item in items:
        if item == " ":
            atoms.append([])
        else:
            atoms[-1].append(item)
    return [atom for atom in atoms if atom]
