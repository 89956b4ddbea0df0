"""Settings: where they come from, which wins, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import assert_type

import pytest

from fastapix5.exceptions import ImproperlyConfigured
from fastapix5.permissions import IsAuthenticated
from fastapix5.settings import KNOWN, SettingsValues, import_class, override_settings, settings

pytestmark = pytest.mark.anyio

READ = "from fastapix5.settings import settings; settings.PAGE_SIZE"
SECRET = "0123456789abcdef0123456789abcdef"
REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts as a new process does."""
    for name in list(os.environ):
        if name.startswith("FASTAPIX5_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A settings module that FASTAPIX5_SETTINGS_MODULE names."""
    made = ModuleType("shop_settings")
    monkeypatch.setitem(sys.modules, "shop_settings", made)
    monkeypatch.setenv("FASTAPIX5_SETTINGS_MODULE", "shop_settings")
    return made


def run(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that stands in ``folder``."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_defaults_need_no_configuration() -> None:
    """Every setting has the default of the contract."""
    assert settings.PAGE_SIZE == 50
    assert settings.MAX_BODY_SIZE == 1024 * 1024
    assert settings.DATABASES == {}
    assert settings.SECRET_KEY is None
    assert settings.DEFAULT_PERMISSION_CLASSES == ["fastapix5.IsAuthenticated"]
    assert settings.STATEMENT_TIMEOUT == 5.0


def test_attributes_are_typed() -> None:
    """A type checker knows each setting's type."""
    assert_type(settings.PAGE_SIZE, int)
    assert_type(settings.SECRET_KEY, str | None)
    assert_type(settings.DEFAULT_THROTTLE_RATES, dict[str, str])


def test_configure_wins_over_environment_and_module(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """The order is configure, environment, module, default."""
    vars(module).update(PAGE_SIZE=10, POOL_SIZE=11, MAX_OFFSET=12)
    monkeypatch.setenv("FASTAPIX5_PAGE_SIZE", "20")
    monkeypatch.setenv("FASTAPIX5_POOL_SIZE", "21")
    settings.configure(PAGE_SIZE=30)
    assert (settings.PAGE_SIZE, settings.POOL_SIZE, settings.MAX_OFFSET) == (30, 21, 12)


def test_configure_adds_to_an_earlier_call() -> None:
    """A later configure() keeps what it does not name."""
    settings.configure(PAGE_SIZE=30)
    settings.configure(POOL_SIZE=3)
    assert (settings.PAGE_SIZE, settings.POOL_SIZE) == (30, 3)


def test_configure_is_seen_after_a_first_read() -> None:
    """A value that was read before is replaced."""
    assert settings.PAGE_SIZE == 50
    settings.configure(PAGE_SIZE=30)
    assert settings.PAGE_SIZE == 30


def test_environment_lists_and_dicts_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and dicts come from the environment as JSON, None as the word None."""
    monkeypatch.setenv("FASTAPIX5_DEFAULT_THROTTLE_RATES", '{"user": "5/second"}')
    monkeypatch.setenv("FASTAPIX5_DEFAULT_PERMISSION_CLASSES", "[]")
    monkeypatch.setenv("FASTAPIX5_DEFAULT_PAGINATION_CLASS", "None")
    monkeypatch.setenv("FASTAPIX5_PING_DATABASES", "true")
    assert settings.DEFAULT_THROTTLE_RATES == {"user": "5/second"}
    assert settings.DEFAULT_PERMISSION_CLASSES == []
    assert settings.DEFAULT_PAGINATION_CLASS is None
    assert settings.PING_DATABASES is True


def test_environment_pagination_class_is_a_dotted_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in the environment is plain text, not JSON."""
    monkeypatch.setenv("FASTAPIX5_DEFAULT_PAGINATION_CLASS", "shop.Pages")
    assert settings.DEFAULT_PAGINATION_CLASS == "shop.Pages"


def test_environment_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is not JSON is refused with an example."""
    monkeypatch.setenv("FASTAPIX5_DEFAULT_THROTTLE_CLASSES", "shop.Often")
    with pytest.raises(ImproperlyConfigured, match="FASTAPIX5_DEFAULT_THROTTLE_CLASSES: The value is not JSON"):
        _ = settings.PAGE_SIZE


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable leaves the default, so an empty key is no key."""
    monkeypatch.setenv("FASTAPIX5_SECRET_KEY", "")
    monkeypatch.setenv("FASTAPIX5_DEFAULT_PERMISSION_CLASSES", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert settings.SECRET_KEY is None
    assert settings.DEFAULT_PERMISSION_CLASSES == ["fastapix5.IsAuthenticated"]
    assert settings.DATABASES == {}


def test_database_url_sets_the_default_database_alone(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """DATABASE_URL replaces the default database and leaves the others of the module."""
    vars(module).update(
        DATABASES={"default": {"URL": "sqlite+aiosqlite:///a", "OPTIONS": {}}, "archive": "sqlite:///b"}
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://db/flights")
    assert settings.DATABASES == {"default": "postgresql+asyncpg://db/flights", "archive": "sqlite:///b"}


def test_configured_databases_replace_those_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """configure(DATABASES=...) is the whole value: nothing is merged in."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://db/flights")
    settings.configure(DATABASES={"archive": "sqlite+aiosqlite:///b"})
    assert settings.DATABASES == {"archive": "sqlite+aiosqlite:///b"}


def test_a_database_may_be_any_object() -> None:
    """An engine of the user's own is taken as it is."""
    engine = object()
    settings.configure(DATABASES={"default": engine})
    assert settings.DATABASES["default"] is engine


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"PAGE_SIZ": 3},
            'settings.configure(PAGE_SIZ=...): There is no setting "PAGE_SIZ". Did you mean "PAGE_SIZE"?',
        ),
        ({"page_size": 3}, 'There is no setting "page_size". Did you mean "PAGE_SIZE"?'),
        ({"XYZZY": 3}, 'There is no setting "XYZZY". See the settings reference'),
        ({"PAGE_SIZE": 0}, "settings.configure(PAGE_SIZE=...): Input should be greater than 0. Write for example"),
        ({"PAGE_SIZE": True}, "a number, not a bool"),
        ({"STATEMENT_TIMEOUT": float("inf")}, "finite number"),
        ({"SECRET_KEY": "short"}, "at least 32 bytes. Make one with"),
        ({"DATABASES": {"default": "db.sqlite3"}}, '"default": Input should be a database URL.'),
        ({"DATABASES": {"default": None}}, '"default": Input should be a URL, an engine, or a dict.'),
        ({"DATABASES": {"default": {"USER": "x"}}}, 'Unknown key "USER". Did you mean "USERNAME"?'),
        ({"DATABASES": {"default": {"HOST": "x"}}}, "The dict should have URL or DRIVERNAME."),
        ({"DEFAULT_PERMISSION_CLASSES": ["IsAuthenticated"]}, '"IsAuthenticated" is no dotted path to a class.'),
        ({"DEFAULT_PERMISSION_CLASSES": "fastapix5.IsAuthenticated"}, "valid list"),
        ({"PUBLIC_BASE_URL": "api.example.com"}, "Input should be an http or https address"),
        ({"PUBLIC_BASE_URL": "https://büro.example"}, "should be ASCII, as a header is: write the host as xn--"),
        ({"PUBLIC_BASE_URL": "https://api.example.com/büro"}, "and the path percent-encoded"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(values: dict[str, object], message: str) -> None:
    """A wrong name or value raises where it is written, with a remedy."""
    with pytest.raises(ImproperlyConfigured) as caught:
        settings.configure(**values)
    assert message in str(caught.value)


def test_errors_never_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor the password in a URL is in the error."""
    monkeypatch.setenv("FASTAPIX5_SECRET_KEY", "hunter2")
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = settings.PAGE_SIZE
    monkeypatch.setenv("FASTAPIX5_SECRET_KEY", SECRET)
    monkeypatch.setenv("FASTAPIX5_DATABASES", '{"default": "postgresql:ada:hunter2@db"}')
    with pytest.raises(ImproperlyConfigured) as second:
        _ = settings.PAGE_SIZE
    for error in (caught, second):
        assert "hunter2" not in f"{error.value} {error.value!r}"
        assert error.value.__cause__ is None


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable stops the start instead of being ignored."""
    monkeypatch.setenv("FASTAPIX5_PAGESIZE", "3")
    with pytest.raises(ImproperlyConfigured, match=r'FASTAPIX5_PAGESIZE: .* Did you mean "PAGE_SIZE"'):
        _ = settings.POOL_SIZE


def test_a_module_may_hold_names_of_its_own(module: ModuleType) -> None:
    """A project's own constants and lower-case names are left alone."""
    vars(module).update(CURRENCY="EUR", DATABASE_HOST="db", page_size=3, PAGE_SIZE=7)
    assert settings.PAGE_SIZE == 7


def test_a_near_miss_in_a_module_is_refused(module: ModuleType) -> None:
    """A constant that nearly is a setting is a misspelling."""
    vars(module).update(DEFAULT_PERMISSIONS_CLASSES=[])
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = settings.PAGE_SIZE
    assert str(caught.value).startswith("shop_settings.DEFAULT_PERMISSIONS_CLASSES: ")
    assert 'Did you mean "DEFAULT_PERMISSION_CLASSES"?' in str(caught.value)


def test_a_wrong_value_in_a_module_names_the_module(module: ModuleType) -> None:
    """The error says which place holds the wrong value."""
    vars(module).update(PAGE_SIZE="many")
    with pytest.raises(ImproperlyConfigured, match=re.escape("shop_settings.PAGE_SIZE: Input should be a valid int")):
        _ = settings.PAGE_SIZE


def test_a_missing_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings module that is not there stops the start."""
    monkeypatch.setenv("FASTAPIX5_SETTINGS_MODULE", "shop.nowhere")
    with pytest.raises(ImproperlyConfigured, match="FASTAPIX5_SETTINGS_MODULE: There is no module"):
        _ = settings.PAGE_SIZE


def test_settings_py_of_the_working_directory_is_read(tmp_path: Path) -> None:
    """A settings.py beside the program needs no variable."""
    (tmp_path / "settings.py").write_text("PAGE_SIZE = 7\n")
    done = run(tmp_path, "from fastapix5.settings import settings; print(settings.PAGE_SIZE)")
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_a_settings_module_may_not_read_settings(tmp_path: Path) -> None:
    """A settings.py that reads a setting while it is loaded gets an error, not half a configuration."""
    (tmp_path / "settings.py").write_text("from fastapix5.settings import settings\nX = settings.PAGE_SIZE\n")
    done = run(tmp_path, READ)
    assert "ImproperlyConfigured: settings.py: It reads the settings while it is being loaded." in done.stderr


def test_an_error_inside_the_module_is_shown_as_it_is(tmp_path: Path) -> None:
    """A module that lacks a library of its own fails with that library's name."""
    (tmp_path / "settings.py").write_text("import nowhere_at_all\n")
    done = run(tmp_path, READ, FASTAPIX5_SETTINGS_MODULE="settings")
    assert "ModuleNotFoundError: No module named 'nowhere_at_all'" in done.stderr


def test_importing_loads_nothing(tmp_path: Path) -> None:
    """The module is read with the first attribute, not at import."""
    (tmp_path / "settings.py").write_text("print('loaded')\n")
    code = READ.replace(";", "; print('imported'); settings.configure(POOL_SIZE=1);")
    assert run(tmp_path, code).stdout == "imported\nloaded\n"


def test_page_size_within_its_maximum() -> None:
    """A page size above the greatest one is a contradiction, wherever the two are set."""
    settings.configure(PAGE_SIZE=200)
    with pytest.raises(ImproperlyConfigured, match="PAGE_SIZE: 200 is more than MAX_PAGE_SIZE, 100"):
        _ = settings.PAGE_SIZE
    settings.configure(MAX_PAGE_SIZE=500)
    assert settings.PAGE_SIZE == 200


def test_an_unknown_attribute_says_what_was_meant() -> None:
    """A misspelt read raises AttributeError with a suggestion."""
    with pytest.raises(AttributeError, match='Did you mean "PAGE_SIZE"'):
        getattr(settings, "PAGE_SIZ")  # noqa: B009


def test_settings_are_not_assigned() -> None:
    """An assignment is refused and says what to write."""
    with pytest.raises(AttributeError, match=re.escape("settings.configure(PAGE_SIZE=...)")):
        settings.PAGE_SIZE = 3


def test_repr_shows_no_value() -> None:
    """Printing the settings prints no secret."""
    settings.configure(SECRET_KEY=SECRET)
    assert settings.SECRET_KEY == SECRET
    assert SECRET not in repr(settings)


def test_override_holds_inside_the_block() -> None:
    """override_settings wins over configure() until its block ends."""
    settings.configure(PAGE_SIZE=30)
    with override_settings(PAGE_SIZE=3) as inner:
        assert inner.PAGE_SIZE == 3
        with override_settings(PAGE_SIZE=4):
            assert settings.PAGE_SIZE == 4
        assert settings.PAGE_SIZE == 3
    assert settings.PAGE_SIZE == 30


def test_override_ends_with_an_exception() -> None:
    """An exception restores the settings too."""
    with pytest.raises(RuntimeError), override_settings(PAGE_SIZE=3):
        raise RuntimeError
    assert settings.PAGE_SIZE == 50


@override_settings(PAGE_SIZE=3)
def test_override_decorates_a_function() -> None:
    """A def runs under the settings."""
    assert settings.PAGE_SIZE == 3


@override_settings(PAGE_SIZE=3)
async def test_override_decorates_a_coroutine_function() -> None:
    """An async def runs under the settings while it is awaited."""
    assert settings.PAGE_SIZE == 3


def test_override_checks_its_names() -> None:
    """A misspelt override is refused when it is written."""
    with pytest.raises(ImproperlyConfigured, match=re.escape("override_settings(PAGESIZE=...)")):
        override_settings(PAGESIZE=3)


def test_reset_forgets() -> None:
    """reset() leaves the defaults."""
    settings.configure(PAGE_SIZE=3)
    settings.reset()
    assert settings.PAGE_SIZE == 50


def test_import_class_takes_a_class_or_its_path() -> None:
    """A class is returned as it is, a dotted path is imported."""
    assert import_class(IsAuthenticated) is IsAuthenticated
    assert import_class("fastapix5.permissions.IsAuthenticated") is IsAuthenticated


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fastapix5.permissions.IsAuthenticate", 'has no class "IsAuthenticate". Did you mean "IsAuthenticated"?'),
        ("fastapix5.permission.IsAuthenticated", 'There is no module "fastapix5.permission".'),
        ("fastapix5.settings.settings", '"fastapix5.settings.settings" is no class.'),
        ("IsAuthenticated", "'IsAuthenticated' is neither a class nor a dotted path"),
        ("fastapix5..IsAuthenticated", 'There is no module "fastapix5.".'),
        (".IsAuthenticated", '"" is no module name.'),
        (3, "3 is neither a class nor a dotted path"),
    ],
)
def test_import_class_says_what_is_wrong(value: object, message: str) -> None:
    """What names no class is refused with the place."""
    with pytest.raises(ImproperlyConfigured) as caught:
        import_class(value, where="DEFAULT_PERMISSION_CLASSES")
    assert str(caught.value).startswith("DEFAULT_PERMISSION_CLASSES: ")
    assert message in str(caught.value)


def test_the_reference_lists_every_setting() -> None:
    """The reference page has each setting once, in order, with its default."""
    rows = [line.split(" | ") for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(KNOWN)
    for row in rows:
        default = getattr(settings, row[0].strip("| `"))
        assert json.loads(row[2].strip(" `")) == default, row[0]


def test_the_module_keeps_a_small_surface() -> None:
    """The known names are exactly the model's fields, all upper-case."""
    assert set(SettingsValues.model_fields) == set(KNOWN)
    assert all(name.isupper() for name in KNOWN)
