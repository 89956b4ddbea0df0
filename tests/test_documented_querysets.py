"""The reference of querysets has every method with its SQL, as the code has them."""

from __future__ import annotations

import dataclasses
import re

import fastapix5
from fastapix5.repositories import LOOKUPS
from fastapix5.repositories.description import Description
from fastapix5.repositories.vocabulary import TRANSFORMS
from tests.documentation.blocks import ROOT
from tests.documentation.derived import derived, public_names, signature_of
from tests.documentation.statements import filled_in, laid_out, merged

PAGE = ROOT / "docs" / "reference" / "querysets.md"
METHODS = public_names(fastapix5.QuerySet, Description)


def sections() -> dict[str, str]:
    """What stands below each heading of the page."""
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text: str) -> list[str]:
    """The names in the first column of a table, without parameters."""
    return re.findall(r"^\| `?\(?([a-z]\w*)", text, re.MULTILINE)[1:]


def test_every_method_is_there() -> None:
    """The page has a section for each public method of a queryset, with its signature."""
    found = sections()
    assert [name for name in METHODS if name not in found] == []
    wrong = [
        name for name in METHODS if not found[name].startswith(f"\n\n`{signature_of(fastapix5.QuerySet, name)}`\n")
    ]
    assert wrong == []


def test_every_method_has_its_sql() -> None:
    """Each of these sections shows the SQL that an example sends; that it is this SQL, the page's blocks are tested for."""
    found = sections()
    assert [name for name in METHODS if not re.search(r"^```sql\n\S", found[name], re.MULTILINE)] == []


def test_nothing_else_is_there() -> None:
    """The page has a signature for public methods only."""
    signed = [name for name, text in sections().items() if re.match(r"\n\n`(await )?\w+\(", text) and name.islower()]
    assert sorted(name for name in signed if name.isidentifier()) == METHODS


def test_what_a_queryset_says_of_itself_is_there() -> None:
    """The table of a queryset's description has all of its fields and public methods."""
    fields = {field.name for field in dataclasses.fields(fastapix5.QuerySet)}
    assert set(first_cells(sections()["Its description"])) == {*public_names(Description), *fields}


def test_what_is_made_from_the_code_is_as_the_code_makes_it() -> None:
    """Signatures and the table of lookups say what the code says; ``--write`` corrects them."""
    assert derived(PAGE.read_text()) == PAGE.read_text()


def test_every_lookup_is_there() -> None:
    """The table has every lookup and every part of a column, and SQL for PostgreSQL at least."""
    text = sections()["Lookups"]
    assert set(first_cells(text)) >= {*LOOKUPS, *TRANSFORMS}
    assert not re.search(r"^\| [^|]+\| [^|]+\| refused", text, re.MULTILINE)


# How statements are shown


def test_parameters_come_into_their_places() -> None:
    """Parameters are shown as literals: numbered ones and others, with the casts that say something."""
    text = filled_in("SELECT $2::VARCHAR, $1::INTEGER, $3::DATE, $1::INTEGER AND true", [1, "it's", "2013-01-01"])
    assert text == "SELECT 'it''s', 1, '2013-01-01'::DATE, 1 AND true"
    assert filled_in("SELECT ?, ?", [None, True]) == "SELECT NULL, true"


def test_what_two_databases_are_asked_is_merged() -> None:
    """Statements that are the same are shown once, others below the name of their database."""
    texts = {"PostgreSQL": "BEGIN;\nSELECT 1;\nCOMMIT;\n", "SQLite": "BEGIN IMMEDIATE;\nSELECT 2;\nCOMMIT;\n"}
    assert merged(texts) == "BEGIN;\n-- PostgreSQL\nSELECT 1;\n-- SQLite\nSELECT 2;\n-- both\nCOMMIT;\n"
    assert merged({"PostgreSQL": "SELECT 1;\n", "SQLite": "SELECT 1;\n"}) == "SELECT 1;\n"


def test_a_long_statement_has_a_line_for_each_clause() -> None:
    """A statement is on one line where it fits; a text in it stays as it is."""
    assert laid_out("SELECT  a \nFROM b") == "SELECT a FROM b;"
    inner = f"SELECT 1 FROM c WHERE c.d = '{'(x)  ' * 10}' AND c.e = 1 AND c.f = 2"
    expected = f"SELECT a\nFROM b\nWHERE EXISTS (\n    {inner}\n)\nLIMIT 1;"
    assert laid_out(f"SELECT a FROM b WHERE EXISTS ({inner}) LIMIT 1") == expected
