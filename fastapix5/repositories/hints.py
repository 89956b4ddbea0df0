"""What to write instead of a name that a Django developer may try, and that is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fastapix5.exceptions import did_you_mean

INSTEAD: Mapping[str, str] = {
    "latest": 'order_by("-name").first()',
    "earliest": 'order_by("name").first()',
    "raw": "get_session().execute(text(...))",
    "union": "filter(Q(...) | Q(...))",
    "contains": "filter(pk=obj.pk).exists()",
    "query": "statement()",
    "extra": "filter() and annotate(), which take SQLAlchemy expressions",
    "dates": 'values("name__date").distinct()',
    "db_manager": "using(alias)",
}
# What a repository has by its querysets.
OF_QUERYSETS = frozenset({"all", "filter", "exclude", "get", "first", "last", "count", "exists", "order_by", "values"})


def hint(owner: str, name: str, known: Collection[str]) -> str:
    """The sentence of an AttributeError.

    Args:
        owner: What lacks the attribute.
        name: The attribute.
        known: What it has.
    """
    missing = f'{owner} has no "{name}"'
    if name.startswith("a") and name[1:] in known:
        return f"{missing}: {name[1:]}() is awaited already."
    if owner == "Repository" and name in OF_QUERYSETS:
        return f"{missing}: write repository.objects.{name}(...)."
    if name in INSTEAD:
        return f"{missing}: write {INSTEAD[name]}."
    return f"{missing}.{did_you_mean(name, [item for item in known if not item.startswith('_')])}"
