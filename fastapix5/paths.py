"""Paths as a tree of segments: where a path leads is found in as many steps as it has segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from starlette.routing import compile_path

T = TypeVar("T")

Values = tuple[str, ...]


class PathTree(Generic[T]):
    """One place in a tree of paths, and all below it.

    A segment is static, or a key (``{book_id}``) that any text but an empty one fits. Where both fit, the static one
    comes first; the key is tried after it.

    Attributes:
        leaf: What the path that ends here leads to, or None.
        depth: In the root: how many segments the longest path has.
        above: The place that this one is below.
        static: The places below static segments.
        key: The place below a key.
    """

    __slots__ = ("above", "depth", "key", "leaf", "static")

    def __init__(self, above: PathTree[T] | None = None) -> None:
        self.leaf: T | None = None
        self.depth = 0
        self.above = above
        self.static: dict[str, PathTree[T]] = {}
        self.key: PathTree[T] | None = None

    def at(self, path: str) -> PathTree[T]:
        """Return the place of a path such as ``/books/{book_id}``, made where it is not there yet."""
        node = self
        segments = path[1:].split("/")
        for segment in segments:
            node = node._below(segment)
        self.depth = max(self.depth, len(segments))
        return node

    def _below(self, segment: str) -> PathTree[T]:
        if not segment.startswith("{"):
            return self.static.setdefault(segment, PathTree(self))
        if self.key is None:
            self.key = PathTree(self)
        return self.key

    def find(self, path: str) -> Iterator[tuple[PathTree[T], T, Values]]:
        """Yield each place that a path fits, what it leads to, and the values of its keys; the most static first."""
        segments = path[1:].split("/", self.depth)
        count = len(segments)
        if count > self.depth or path[:1] != "/":
            return
        # Where the keys lead that stand beside a static segment: they come after it.
        waiting: list[tuple[PathTree[T], int, Values]] = [(self, 0, ())]
        while waiting:
            node, depth, values = waiting.pop()
            while depth < count:
                segment = segments[depth]
                depth += 1
                below = node.static.get(segment)
                if node.key is not None and segment:
                    if below is not None:
                        waiting.append((node.key, depth, (*values, segment)))
                    else:
                        below, values = node.key, (*values, segment)
                if below is None:
                    break
                node = below
            else:
                if node.leaf is not None:
                    yield node, node.leaf, values

    @property
    def trunk(self) -> str:
        """What every path begins with: ``/books`` where there is nothing beside it."""
        if self.leaf is not None or self.key is not None or len(self.static) != 1:
            return ""
        ((segment, below),) = self.static.items()
        return f"/{segment}{below.trunk}"

    @property
    def hides_a_key(self) -> bool:
        """Whether this is a static segment in the place of a key: ``/books/late`` beside ``/books/{book_id}``."""
        beside = None if self.above is None else self.above.key
        return beside is not None and beside is not self and beside.leaf is not None


class Prefix:
    """What stands before every path of a router: ``/api``, or with parameters, ``/{tenant}/v{version:int}``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._regex, _, self._convertors = compile_path(text or "/")
        self.is_static = not self._convertors

    def head(self, trunk: str) -> str:
        """What every path behind the prefix begins with, as far as it is known.

        Args:
            trunk: What follows the prefix in each.
        """
        return self.text + trunk if self.is_static else self.text.partition("{")[0]

    def split(self, path: str, depth: int) -> Iterable[tuple[Mapping[str, Any], str]]:
        """Return each way to take the prefix off a path: its parameters, and the rest.

        Args:
            path: The path of a request.
            depth: How many segments the rest has at most.
        """
        if not self.is_static:
            return self._matches(path, depth)
        return (({}, path[len(self.text) :]),) if path.startswith(self.text) else ()

    def _matches(self, path: str, depth: int) -> Iterator[tuple[Mapping[str, Any], str]]:
        cut = len(path)
        for _ in range(depth):
            cut = path.rfind("/", 0, cut)
            if cut <= 0:
                return
            match = self._regex.fullmatch(path[:cut])
            if match is not None:
                found = match.groupdict()
                yield {name: self._convertors[name].convert(value) for name, value in found.items()}, path[cut:]
