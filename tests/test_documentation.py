"""What README and docs say is what happens: their blocks run, their links lead somewhere, their tables are the code's."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastapix5
from fastapix5 import actions, checks, exceptions, pipeline, problems, repositories
from fastapix5.repositories import UnknownPath
from fastapix5.repositories.kinds import Kind
from fastapix5.repositories.vocabulary import TRANSFORMS
from fastapix5.viewsets import GenericViewSet
from tests.documentation.blocks import LANGUAGES, ROOT, Block, blocks_of, chain_of
from tests.documentation.derived import public_names
from tests.documentation.isolated import problem_of
from tests.documentation.pages import rewritten, run_page
from tests.test_layers import MODULES, ROWS
from tests.test_layers import ROOT as PACKAGE

DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.rglob("*.md"))]
RUN = [page for page in PAGES if any(block.is_run for block in blocks_of(page))]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose_of(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next."""
    text = re.split(rf"^#+ {re.escape(heading)}$", prose_of(DOCS / page), flags=re.MULTILINE)[1]
    return re.split(r"^#+ ", text, flags=re.MULTILINE)[0]


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in ROW.findall(section(page, heading))]
    assert len(found) > 2, f"{page} has no table below {heading!r}"
    return found[2:]


def first_cells(page: str, heading: str) -> list[str]:
    """The names in the first column, without back ticks and parameters."""
    return [row[0].strip("`").partition("(")[0] for row in rows_of(page, heading)]


def named(text: str) -> list[str]:
    """Everything in back ticks."""
    return re.findall(r"`([^`]+)`", text)


# Blocks


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_of_a_page_run(page: Path) -> None:
    """Each block of a page does what the page says, in a process and a directory of its own."""
    assert (problem_of(page) or "") == ""


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    """Its process says what is wrong with it, and takes a warning for an error."""
    page = page_with(tmp_path, "```python\nimport warnings\n\nprint(1)\n```\n\n```text\n2\n```\n")
    assert "page.md:7 says" in (problem_of(page) or "")
    page = page_with(tmp_path, '```python\nimport warnings\n\nwarnings.warn("old")\n```\n')
    assert "UserWarning: old" in (problem_of(page) or "")


def test_every_fence_is_one_that_is_run() -> None:
    """No page has a block in a language that nobody runs."""
    unknown = [f"{b.where} {b.language}" for page in PAGES for b in blocks_of(page) if b.language not in LANGUAGES]
    assert unknown == []


def test_every_page_is_in_the_index() -> None:
    """The index leads to each page of docs."""
    linked = {(DOCS / target).resolve() for target in LINK.findall(prose_of(DOCS / "index.md")) if ".md" in target}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - linked == {DOCS / "index.md"}


def test_what_continues_a_page_says_so() -> None:
    """A page that goes on with another one's blocks links to it."""
    for page in PAGES:
        before = chain_of(page)[-2:-1]
        if before and before[0].parent != page.parent:
            assert before[0].name in prose_of(page), name_of(page)


# The runner itself


def page_with(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


def mistakes(page: Path) -> list[Block]:
    return [block for block, text in run_page(page).items() if block.text != text]


def test_a_wrong_output_is_found(tmp_path: Path) -> None:
    """A ``text`` block that says something else than what was printed is a mistake, and ``--write`` corrects it."""
    page = page_with(tmp_path, "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    assert [block.language for block in mistakes(page)] == ["text"]
    assert rewritten(page, run_page(page)) == "```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n"


def test_an_error_that_no_text_tells_of_fails(tmp_path: Path) -> None:
    """A block that raises must be followed by what it raises."""
    page = page_with(tmp_path, "```python\n1 / 0\n```\n")
    with pytest.raises(Exception, match=r"page\.md:1: ZeroDivisionError"):
        run_page(page)


@pytest.mark.parametrize("text", ["```ruby\nputs 1\n```\n", "```console\n$ rm -r /\n```\n", "```\nno language\n```\n"])
def test_what_cannot_be_run_fails(tmp_path: Path, text: str) -> None:
    """An unknown fence or command fails, unless a comment says why it is not run."""
    with pytest.raises(Exception, match=r"nobody (knows|runs)"):
        run_page(page_with(tmp_path, text))
    assert run_page(page_with(tmp_path, f"<!-- not run: a test -->\n{text}")) == {}


# Links


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose_of(page)))
    return set(words)


def links_of(page: Path) -> Iterator[str]:
    yield from (target for target in LINK.findall(prose_of(page)) if not re.match(r"[a-z]+:", target))


@pytest.mark.parametrize("page", [page for page in PAGES if list(links_of(page))], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file, and to a heading in it, resolves."""
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors_of(file), f"{name_of(page)} links to {target}"


# Tables. That of the settings is held by test_settings.


def test_the_table_of_lookups_is_the_codes() -> None:
    """The reference lists every lookup in order, with what it takes, and every short form."""
    operands = {"a value": "VALUE", "text": "TEXT", "a list": "LIST", "two values": "PAIR", "true or false": "BOOLEAN"}
    documented = {row[0].strip("`"): operands[row[1]] for row in rows_of("reference/filters.md", "Lookups")}
    assert documented == {name: lookup.operand.name for name, lookup in repositories.LOOKUPS.items()}
    short = dict(re.findall(r"`(\w+)` \(`(\w+)`\)", section("reference/filters.md", "Lookups")))
    assert short == repositories.ALIASES


def test_the_table_of_parts_is_the_codes() -> None:
    """The reference lists every part of a column in order, with the types that have it."""
    kinds = {"dates": Kind.DATE, "dates with time": Kind.DATETIME, "times": Kind.TIME, "arrays": Kind.ARRAY}
    documented = {row[0].strip("`"): row[1].split(", ") for row in rows_of("reference/filters.md", "Parts of a column")}
    assert list(documented) == list(TRANSFORMS)
    for name, words in documented.items():
        assert {kinds[word] for word in words} == {kind for kind in kinds.values() if kind in TRANSFORMS[name].kinds}


def test_the_tables_of_viewsets_are_the_codes() -> None:
    """The reference lists every attribute and hook of a viewset."""
    assert set(first_cells("reference/viewsets.md", "Attributes")) == checks.ATTRIBUTES
    assert set(first_cells("reference/viewsets.md", "Hooks")) == checks.HOOKS
    for name in first_cells("reference/viewsets.md", "For one request"):
        assert hasattr(GenericViewSet, name) or name in GenericViewSet.__annotations__


def test_the_options_of_actions_are_the_codes() -> None:
    """The reference names every option of @action."""
    text = section("reference/viewsets.md", "Actions").rpartition("|")[2]
    assert set(named(text)) == actions.POLICIES | actions.DOCUMENTATION


def test_the_standard_actions_are_the_codes() -> None:
    """The reference has method, path and status of every standard action."""
    documented = {
        row[0].strip("`"): (row[1], row[2].strip("`"), int(row[3][:3]))
        for row in rows_of("reference/wire.md", "Paths and methods")
    }
    expected = {
        standard.action: (standard.method, "/{name}/{key}" if standard.detail else "/{name}", standard.status)
        for standard in actions.STANDARD.values()
    }
    assert documented == expected


def problem_codes() -> Iterator[tuple[str, int]]:
    """Every code that a problem of ours can have, with its status."""
    for status, code in problems.STATUSES.values():
        yield code, status
    for kind in subclasses(exceptions.IntegrityViolation):
        problem = problems.problem_for(kind())
        yield problem.code, problem.status
    yield from {"invalid": 422, "unknown_parameter": 422, "server_error": 500, "method_not_allowed": 405}.items()
    source = (PACKAGE / "bodies.py").read_text()
    yield from ((code, 422) for code in re.findall(r'ParseError\([^()]+, "(\w+)"', source))
    yield problems.ParseError("").code, 422


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("fastapix5."):
            yield from subclasses(below)


def test_the_table_of_problem_codes_is_the_codes() -> None:
    """The reference lists every problem code with its status."""
    documented = {row[0].strip("`"): int(row[1]) for row in rows_of("reference/errors.md", "Problem codes")}
    assert documented == dict(problem_codes())


def test_the_table_of_statuses_is_complete() -> None:
    """The wire page has every status of a problem."""
    documented = {int(row[0]) for row in rows_of("reference/wire.md", "Statuses")}
    assert documented == {status for _, status in problem_codes()}


def test_the_table_of_exceptions_is_the_codes() -> None:
    """The reference lists every exception."""
    expected = {kind.__name__ for kind in subclasses(exceptions.Error)} - {"Error"}
    assert UnknownPath.__name__ in expected
    assert set(first_cells("reference/errors.md", "Exceptions")) == expected


def test_the_members_of_a_problem_are_the_codes() -> None:
    """The reference lists every member of a problem, and how many errors one names."""
    assert set(first_cells("reference/errors.md", "Errors")) == set(problems.ProblemDetails.model_fields)
    assert f"The first {problems.MOST_ERRORS}." in section("reference/errors.md", "Errors")


@pytest.mark.parametrize(("heading", "owner"), [("Service", fastapix5.Service), ("Repository", fastapix5.Repository)])
def test_the_tables_of_data_are_the_codes(heading: str, owner: type[Any]) -> None:
    """The reference lists every verb and attribute of services and repositories."""
    documented = re.findall(r"^\| `(\w+)", section("reference/data.md", heading), re.MULTILINE)
    # What only instances have is known by its annotation, or as a parameter.
    known = {*public_names(owner), *owner.__annotations__, *inspect.signature(owner).parameters}
    assert set(public_names(owner)) <= {*documented, "mapper"}
    assert set(documented) <= known


def test_every_public_name_is_in_the_reference() -> None:
    """Whatever fastapix5 exports, a page of the reference or a guide names."""
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in fastapix5.__all__ if not re.search(rf"\b{name}\b", text)] == []


# Explanation


def test_the_table_of_layers_is_the_codes() -> None:
    """The architecture page has every module in its row."""
    there = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in MODULES}
    documented = [tuple(named(row[1])) for row in rows_of("explanation/architecture.md", "Layers")]
    assert documented == [tuple(room for room in row if room in there) for row in ROWS]


def test_the_rooms_of_the_data_layer_are_the_codes() -> None:
    """The architecture page has every module of both packages once."""
    text = section("explanation/architecture.md", "Inside the data layer")
    tables = re.split(r"^\| in `(\w+)`", text, flags=re.MULTILINE)
    documented = {
        package: [name for row in ROW.findall(table)[1:] for name in named(row.split("|")[1])]
        for package, table in zip(tables[1::2], tables[2::2], strict=True)
    }
    for package, names in documented.items():
        there = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
        assert sorted(names) == sorted(there)


def test_the_steps_of_a_request_are_the_codes() -> None:
    """The architecture page has the steps of ``answer()``, in its words, with modules that are there."""
    documented = [re.split(r"\W", row[1])[0] for row in rows_of("explanation/architecture.md", "One request")]
    steps = re.findall(r"^\s*\d+\. (\w+)", pipeline.answer.__doc__ or "", re.MULTILINE)
    assert documented == steps
    rooms = {room for row in ROWS for room in row}
    assert {name for row in rows_of("explanation/architecture.md", "One request") for name in named(row[2])} <= rooms


def test_every_dependency_has_a_line() -> None:
    """The decisions page has a line for each runtime dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = [re.split(r"[\[<>=]", requirement)[0] for requirement in project["dependencies"]]
    documented = [row[0].strip("`") for row in rows_of("explanation/decisions.md", "Dependencies")]
    assert set(documented) - {"fastapix5 itself"} == set(expected)
