"""Which application a command is about, and what it says where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapix5.cli.apps import load_app
from fastapix5.exceptions import ImproperlyConfigured
from tests.cli import library
from tests.cli.running import COMMAND, invoked, run

LIBRARY = "tests.cli.library"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to work in; what is imported from it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def refusal(name: str | None, *, factory: bool = False) -> str:
    """The sentence in which an application is refused."""
    with pytest.raises(ImproperlyConfigured) as caught:
        load_app(name, factory=factory)
    return str(caught.value)


def test_an_application_is_named_as_for_a_server() -> None:
    """``module:attribute``; the attribute may be one of an attribute."""
    assert load_app(f"{LIBRARY}:app", factory=False) is library.app
    assert load_app("tests.cli.test_apps:library.app", factory=False) is library.app


def test_a_factory_is_called() -> None:
    """Where ``--factory`` says so."""
    assert load_app(f"{LIBRARY}:make", factory=True) is library.app


def test_the_environment_names_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """FASTAPIX5_APP, where the argument does not, and it is no setting."""
    monkeypatch.setenv("FASTAPIX5_APP", f"{LIBRARY}:app")
    assert load_app(None, factory=False) is library.app
    assert load_app(f"{LIBRARY}:below", factory=False) is library.below


def test_pyproject_names_the_application(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entrypoint that the ``fastapi`` command takes; the environment comes before."""
    (project / "pyproject.toml").write_text(f'[tool.fastapi]\nentrypoint = "{LIBRARY}:app"\n')
    assert load_app(None, factory=False) is library.app
    monkeypatch.setenv("FASTAPIX5_APP", f"{LIBRARY}:below")
    assert load_app(None, factory=False) is library.below


def test_modules_of_the_working_directory_are_found(project: Path) -> None:
    """Though the command itself lies elsewhere, and what they print is not the command's answer."""
    (project / "shop.py").write_text("import fastapi\nprint('hello')\napp = fastapi.FastAPI(openapi_url=None)\n")
    done = run(COMMAND, "routes", "shop:app", "--json", cwd=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "hello\n")


def test_the_settings_module_of_the_project_is_read(project: Path) -> None:
    """That in the working directory, before the application is made."""
    (project / "settings.py").write_text('DEFAULT_PERMISSION_CLASSES = ["nowhere.Permission"]\n')
    (project / "shop.py").write_text(
        "from fastapix5 import ReadOnlyModelViewSet\nfrom tests.declaration.library import Author, AuthorRead\n\n\n"
        "class Shop(ReadOnlyModelViewSet[Author]):\n    read_schema = AuthorRead\n\n\nShop().router\n"
    )
    done = run(COMMAND, "routes", "shop:app", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith('settings.DEFAULT_PERMISSION_CLASSES: There is no module "nowhere".')


NOTHING = (
    "APP: Nothing names the application. Write it as module:attribute, such as main:app, set FASTAPIX5_APP, "
    'or write entrypoint = "main:app" below [tool.fastapi] in pyproject.toml.'
)


def test_where_nothing_names_the_application_the_places_are_told(project: Path) -> None:
    """Without ``pyproject.toml``, and with one that says nothing of it."""
    assert refusal(None) == NOTHING
    (project / "pyproject.toml").write_text("[tool.fastapi]\nentrypoint = 1\n")
    assert refusal(None) == NOTHING


def test_a_broken_pyproject_is_told(project: Path) -> None:
    """With what is wrong with it."""
    (project / "pyproject.toml").write_text("[tool")
    assert refusal(None).startswith("pyproject.toml: It is not TOML: Expected ']'")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("main", "main:app"),
        ("main.py", "main:app"),
        ("./src/main.py:shop", "src.main:shop"),
        ("shop/main.py", "shop.main:app"),
        ("main:", "main:app"),
        ("main:my-app", "main:app"),
        (":shop", "module:shop"),
        ("my-shop:app", "module:app"),
    ],
)
def test_a_name_of_another_form_is_refused(name: str, expected: str) -> None:
    """With what may have been meant."""
    assert refusal(name) == f"{name}: It does not name an application. Write {expected}."


def test_a_module_that_is_not_there_is_told(project: Path) -> None:
    """With one of a similar name, in the working directory or in the package."""
    (project / "bookshop.py").touch()
    assert refusal("bokshop:app") == 'bokshop:app: There is no module "bokshop". Did you mean "bookshop"?'
    expected = 'tests.cli.librari:app: There is no module "tests.cli.librari". Did you mean "tests.cli.library"?'
    assert refusal("tests.cli.librari:app") == expected
    remedy = "Run the command where the module can be imported."
    assert refusal("nowhere.app:app") == f'nowhere.app:app: There is no module "nowhere". {remedy}'
    assert refusal("bookshop.app:app") == f'bookshop.app:app: There is no module "bookshop.app". {remedy}'


def test_an_attribute_that_is_not_there_is_told() -> None:
    """With one of a similar name, else with the applications of the module."""
    assert refusal(f"{LIBRARY}:ap") == f'{LIBRARY}:ap: There is no "ap". Did you mean "app"?'
    expected = f'{LIBRARY}:xyz: There is no "xyz". Write {LIBRARY}:app or {LIBRARY}:below.'
    assert refusal(f"{LIBRARY}:xyz") == expected
    assert refusal("tests.cli.running:xyz") == 'tests.cli.running:xyz: There is no "xyz".'


def test_what_is_no_application_is_told() -> None:
    """With what it is, and what there is instead."""
    expected = "It is no FastAPI application, but an object of Router."
    assert refusal(f"{LIBRARY}:router") == f"{LIBRARY}:router: {expected} Write {LIBRARY}:app or {LIBRARY}:below."
    expected = "It is a function. Add --factory, if it returns the application."
    assert refusal(f"{LIBRARY}:make") == f"{LIBRARY}:make: {expected}"


def test_what_is_no_factory_is_told() -> None:
    """An application, and a function that returns something else."""
    expected = f"{LIBRARY}:app: It is an application, and no function. Leave out --factory."
    assert refusal(f"{LIBRARY}:app", factory=True) == expected
    expected = f"{LIBRARY}:give_nothing: It returned no FastAPI application, but an object of NoneType."
    assert refusal(f"{LIBRARY}:give_nothing", factory=True) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'."),
        ("app = 1 / 0", "ZeroDivisionError: division by zero."),
        ("app =", "SyntaxError: invalid syntax (broken.py, line 1)."),
    ],
)
def test_what_a_module_raises_is_told(project: Path, text: str, expected: str) -> None:
    """In a sentence."""
    (project / "broken.py").write_text(text)
    assert refusal("broken:app") == f"broken:app: {expected} Add --traceback to see where."


def test_what_a_factory_raises_is_told() -> None:
    """In a sentence."""
    expected = f"{LIBRARY}:fail: LookupError: There is nothing here. Add --traceback to see where."
    assert refusal(f"{LIBRARY}:fail", factory=True) == expected


def test_a_wrong_declaration_is_told_as_at_the_start(project: Path) -> None:
    """Its own sentence and exit code 1; ``--traceback`` shows where."""
    (project / "wrong.py").write_text(
        "from fastapix5 import FilterSetBackend\nfrom tests.declaration.library import BookViewSet\n\n\n"
        "class Wrong(BookViewSet):\n    filter_backends = [FilterSetBackend]\n"
        '    filterset_fields = ["titel"]\n\n\nWrong().router\n'
    )
    result = invoked("routes", "wrong:app")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith('Wrong.filterset_fields: Book has no "titel" ("titel"). Did you mean "title"?')
    done = run(COMMAND, "routes", "wrong:app", "--traceback", cwd=project)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert 'wrong.py", line 10' in done.stderr
    assert done.stderr.splitlines()[-1].endswith(result.stderr.strip())
