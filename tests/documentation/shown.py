"""How a page shows what came out."""

from __future__ import annotations

import json
import textwrap
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx2 import Response

WIDTH = 110
SHOWN_HEADERS = ("allow", "location", "retry-after", "www-authenticate")


def shown_answer(answer: Response, shows_head: bool) -> str:
    """An answer as a page shows it: with ``-i`` the status and the headers that say something, then the body."""
    head = ""
    if shows_head:
        head = f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}\n"
        head += "".join(f"{name}: {answer.headers[name]}\n" for name in SHOWN_HEADERS if name in answer.headers)
    if not answer.content:
        return head
    body = answer.text.rstrip("\n")
    if "json" in answer.headers["content-type"]:
        tree = json.loads(body)
        if isinstance(tree, dict) and "request_id" in tree:
            tree["request_id"] = "..."
        body = pretty(tree)
    return f"{head}\n{body}\n" if head else f"{body}\n"


def pretty(value: Any, indent: str = "", before: int = 0) -> str:
    """JSON on one line where it fits, else one item a line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        items = [pretty(item, inner) for item in value]
        return "[\n" + ",\n".join(f"{inner}{item}" for item in items) + f"\n{indent}]"
    keys = {name: f"{json.dumps(name)}: " for name in value}
    items = [key + pretty(value[name], inner, len(key) + 1) for name, key in keys.items()]
    return "{\n" + ",\n".join(f"{inner}{item}" for item in items) + f"\n{indent}}}"


def filled(text: str) -> str:
    """Text whose long lines are wrapped as a page wraps them."""
    lines = (textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join(lines)
