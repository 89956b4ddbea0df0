"""Settings, Django's way: upper-case names, set in code, in the environment or in a module; typed and checked.

The order is ``settings.configure()``, then the environment (``FASTAPIX5_<NAME>``, and a bare ``DATABASE_URL`` for the
default database), then the module (what ``FASTAPIX5_SETTINGS_MODULE`` names, else ``settings.py``), then the default.
A setting replaces the whole value of a lower place; only ``DATABASE_URL`` leaves the other databases as they are.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fastapix5.exceptions import ImproperlyConfigured, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

ENV_PREFIX = "FASTAPIX5_"
MODULE_VARIABLE = "FASTAPIX5_SETTINGS_MODULE"
# What the command line serves or lists where it is told nothing else: no setting.
APP_VARIABLE = "FASTAPIX5_APP"
MIN_SECRET_BYTES = 32
DATABASE_KEYS = ("URL", "DRIVERNAME", "USERNAME", "PASSWORD", "HOST", "PORT", "DATABASE", "OPTIONS")
NEAR_MISS = 0.85


def _check_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not a bool")  # noqa: TRY004  (pydantic lets a TypeError pass)
    return value


def _check_policy(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, list, dict)):
        raise ValueError("Input should be a class or a dotted path to one")
    if isinstance(value, str) and not ("." in value and all(part.isidentifier() for part in value.split("."))):
        raise ValueError(f'"{value}" is no dotted path to a class')
    return value


def _check_secret(value: str) -> str:
    if len(value.encode("utf-8", "surrogateescape")) < MIN_SECRET_BYTES:
        raise ValueError(f"The key should have at least {MIN_SECRET_BYTES} bytes")
    return value


def _check_database(value: object) -> object:
    """Check the shape only: what a URL may say is decided where the engine is made."""
    if value is None or isinstance(value, (bool, int, float, bytes, list, tuple, set)):
        raise ValueError("Input should be a URL, an engine, or a dict")
    if isinstance(value, str) and "://" not in value:
        raise ValueError("Input should be a database URL")
    if isinstance(value, dict):
        for key in value:
            if key not in DATABASE_KEYS:
                raise ValueError(f'Unknown key "{key}".{did_you_mean(str(key), DATABASE_KEYS)}')
        if "URL" not in value and "DRIVERNAME" not in value:
            raise ValueError("The dict should have URL or DRIVERNAME")
    return value


def _check_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("Input should be an http or https address without query and fragment")
    if not value.isascii():
        raise ValueError(
            "Input should be ASCII, as a header is: write the host as xn--..., and the path percent-encoded"
        )
    return value.rstrip("/")


Count = Annotated[int, BeforeValidator(_check_number), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(_check_number), Field(gt=0, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1)]
Policies = list[Annotated[Any, AfterValidator(_check_policy)]]


class SettingsValues(BaseModel):
    """Every setting with its type, its default and its meaning. Read them through ``settings``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    DATABASES: dict[Words, Annotated[Any, AfterValidator(_check_database)]] = Field(
        default_factory=dict, repr=False, examples=[{"default": "sqlite+aiosqlite:///db.sqlite3"}]
    )
    SECRET_KEY: Annotated[str, AfterValidator(_check_secret)] | None = Field(
        default=None,
        repr=False,
        description="Make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
    )
    DEFAULT_AUTHENTICATION_CLASSES: Policies = Field(default_factory=list, examples=[["fastapix5.JWTAuthentication"]])
    DEFAULT_PERMISSION_CLASSES: Policies = Field(
        default_factory=lambda: ["fastapix5.IsAuthenticated"], examples=[["fastapix5.IsAuthenticated"]]
    )
    DEFAULT_THROTTLE_CLASSES: Policies = Field(default_factory=list, examples=[["fastapix5.UserRateThrottle"]])
    DEFAULT_THROTTLE_RATES: dict[Words, Words] = Field(default_factory=dict, examples=[{"user": "1000/day"}])
    DEFAULT_FILTER_BACKENDS: Policies = Field(default_factory=list, examples=[["fastapix5.OrderingFilter"]])
    DEFAULT_PAGINATION_CLASS: Annotated[Any, AfterValidator(_check_policy)] | None = Field(
        default="fastapix5.PageNumberPagination"
    )
    PAGE_SIZE: Count = Field(default=50)
    MAX_PAGE_SIZE: Count = Field(default=100)
    MAX_OFFSET: Annotated[int, BeforeValidator(_check_number)] = Field(default=10_000, ge=0)
    MAX_LIST_VALUES: Count = Field(default=100)
    MAX_VALUE_LENGTH: Count = Field(default=256)
    MAX_BODY_SIZE: Count = Field(default=1024 * 1024)
    MAX_JSON_DEPTH: Count = Field(default=32)
    IGNORE_UNKNOWN_PARAMETERS: bool = Field(default=False)
    PUBLIC_BASE_URL: Annotated[str, AfterValidator(_check_base_url)] | None = Field(
        default=None, examples=["https://api.example.com"]
    )
    STATEMENT_TIMEOUT: Seconds = Field(default=5.0)
    LOCK_TIMEOUT: Seconds = Field(default=2.0)
    IDLE_TIMEOUT: Seconds = Field(default=10.0)
    CONNECT_TIMEOUT: Seconds = Field(default=2.0)
    POOL_SIZE: Count = Field(default=10)
    POOL_TIMEOUT: Seconds = Field(default=2.0)
    COMPILED_CACHE_SIZE: Count = Field(default=1_000)
    PING_DATABASES: bool = Field(default=False)
    JWT_AUDIENCE: Words | None = Field(default=None, examples=["flights"])
    JWT_ISSUER: Words | None = Field(default=None, examples=["https://login.example.com"])
    JWT_LEEWAY: Annotated[float, BeforeValidator(_check_number)] = Field(
        default=0.0, ge=0, allow_inf_nan=False, examples=[10]
    )
    RETRY_AFTER: Count = Field(default=1)


KNOWN = tuple(SettingsValues.model_fields)


def _remedy(name: str) -> str:
    field = SettingsValues.model_fields[name]
    return field.description or f"Write for example {name} = {(field.examples or [field.default])[0]!r}."


def _checked(values: dict[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Return the values as their types want them; ``place`` says where a setting was written."""
    try:
        made = SettingsValues(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        what = first["msg"].removeprefix("Value error, ")
        within = f'"{first["loc"][1]}": ' if isinstance(values[name], dict) and len(first["loc"]) > 1 else ""
        raise ImproperlyConfigured(
            place(name), f"{within}{what}{'' if what.endswith(('.', '?')) else '.'}", _remedy(name)
        ) from None
    return {name: getattr(made, name) for name in values}


def _refuse_unknown(names: Iterable[str], place: Callable[[str], str], *, cutoff: float | None = None) -> None:
    """Refuse names that are no setting; with a cutoff only those that nearly are one."""
    for name in names:
        if name in KNOWN:
            continue
        near = difflib.get_close_matches(name.upper(), KNOWN, n=1, cutoff=cutoff or 0.6)
        if near or cutoff is None:
            hint = f'Did you mean "{near[0]}"?' if near else "See the settings reference for the names."
            raise ImproperlyConfigured(place(name), f'There is no setting "{name}".', hint)


def _from_code(values: dict[str, Any], caller: str) -> dict[str, Any]:
    def place(name: str) -> str:
        return f"{caller}({name}=...)"

    _refuse_unknown(values, place)
    return _checked(values, place)


def _from_environment(databases_below: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in os.environ if name.startswith(ENV_PREFIX) and name not in (MODULE_VARIABLE, APP_VARIABLE)]
    _refuse_unknown((name.removeprefix(ENV_PREFIX) for name in names), ENV_PREFIX.__add__)
    values = _checked(_read_environment(names), ENV_PREFIX.__add__) if names else {}
    if url := os.environ.get("DATABASE_URL"):
        default = _checked({"DATABASES": {"default": url}}, lambda _: "DATABASE_URL")["DATABASES"]
        values["DATABASES"] = {**values.get("DATABASES", databases_below), **default}
    return values


def _read_environment(names: Iterable[str]) -> dict[str, Any]:
    """Return what the environment says of settings, by their names; lists and dicts are JSON."""
    from pydantic_settings import BaseSettings, EnvSettingsSource

    class Environment(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            try:
                return super().decode_complex_value(field_name, field, value)
            except ValueError:
                where = ENV_PREFIX + field_name
                raise ImproperlyConfigured(where, "The value is not JSON.", _remedy(field_name)) from None

    found = Environment(
        # It reads the fields of any model.
        cast("type[BaseSettings]", SettingsValues),
        case_sensitive=True,
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        env_parse_none_str="None",
    )()
    return {name: value for name, value in found.items() if ENV_PREFIX + name in names}


def _from_module() -> dict[str, Any]:
    module = _find_module()
    if module is None:
        return {}
    upper = {name: value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")}

    def place(name: str) -> str:
        return f"{module.__name__}.{name}"

    _refuse_unknown(upper, place, cutoff=NEAR_MISS)
    return _checked({name: value for name, value in upper.items() if name in KNOWN}, place)


def _find_module() -> ModuleType | None:
    """Return the module that the environment names, else the project's ``settings.py``, else None."""
    if named := os.environ.get(MODULE_VARIABLE):
        return _import(named, MODULE_VARIABLE)
    if "settings" in sys.modules:
        return sys.modules["settings"]
    spec = importlib.util.find_spec("settings")
    # A "settings" among the installed packages is some distribution's own, not the project's.
    if spec is None or not spec.origin or {"site-packages", "dist-packages"} & set(Path(spec.origin).parts):
        return None
    return importlib.import_module("settings")


def _import(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise ImproperlyConfigured(
            where, f'There is no module "{error.name}".', "Write a dotted name that this process can import."
        ) from None
    except (TypeError, ValueError):
        if name and all(part.isidentifier() for part in name.split(".")):
            raise
        raise ImproperlyConfigured(where, f'"{name}" is no module name.', "Write a dotted name.") from None


class _Store:
    """What was set in code, and the loaded values; ``Settings`` shows them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.configured: dict[str, Any] = {}
        self.overrides: list[dict[str, Any]] = []
        self.values: SettingsValues | None = None
        self.loading = False

    def load(self) -> SettingsValues:
        """Merge all places into one frozen set of values."""
        with self.lock:
            if self.loading:
                where = os.environ.get(MODULE_VARIABLE) or "settings.py"
                raise ImproperlyConfigured(where, "It reads the settings while it is being loaded.", "Write the value.")
            if self.values is None:
                self.loading = True
                try:
                    self.values = self.merged()
                finally:
                    self.loading = False
            return self.values

    def merged(self) -> SettingsValues:
        """Read the places, lowest first."""
        module = _from_module()
        values = {**module, **_from_environment(module.get("DATABASES", {})), **self.configured}
        for override in self.overrides:
            values |= override
        made = SettingsValues(**values)
        if made.PAGE_SIZE > made.MAX_PAGE_SIZE:
            raise ImproperlyConfigured(
                "PAGE_SIZE",
                f"{made.PAGE_SIZE} is more than MAX_PAGE_SIZE, {made.MAX_PAGE_SIZE}.",
                "Lower PAGE_SIZE or raise MAX_PAGE_SIZE.",
            )
        return made

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Forget the loaded values, so that the next read sees the change."""
        with self.lock:
            yield
            self.values = None


_store = _Store()

if TYPE_CHECKING:
    _Typed = SettingsValues
else:
    _Typed = object


class Settings(_Typed):
    """The settings of this process, loaded when the first one is read.

    The attributes are those of ``SettingsValues``. Change them by ``configure()`` or, in tests, by
    ``override_settings()``.
    """

    if not TYPE_CHECKING:  # A type checker sees the fields of SettingsValues instead, and refuses any other name.
        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            if name not in KNOWN:
                raise AttributeError(f'There is no setting "{name}".{did_you_mean(name, KNOWN)}')
            return getattr(_store.values or _store.load(), name)

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"Settings are not assigned: write settings.configure({name}=...).")

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *KNOWN})

        def __repr__(self) -> str:
            return "<fastapix5 settings>"

    def configure(self, **values: Any) -> None:
        """Set values in code; they win over the environment and the module. A later call adds to an earlier one.

        Raises:
            ImproperlyConfigured: A name is unknown or a value is wrong.
        """
        checked = _from_code(values, "settings.configure")
        with _store.changing():
            _store.configured |= checked

    def reset(self) -> None:
        """Forget what was configured, overridden and loaded, as in a new process. For tests."""
        with _store.changing():
            _store.configured = {}
            _store.overrides = []


settings = Settings()


class override_settings:  # noqa: N801  (Django's name)
    """Set values for a while: a context manager, and a decorator of ``def`` and ``async def`` functions.

    It changes the settings of the whole process, not of one task, and wins over ``configure()``.

    Args:
        **values: Settings by name.

    Raises:
        ImproperlyConfigured: A name is unknown or a value is wrong.
    """

    def __init__(self, **values: Any) -> None:
        self._values = _from_code(values, "override_settings")
        self._entered: list[dict[str, Any]] = []

    def __enter__(self) -> Settings:
        override = dict(self._values)
        self._entered.append(override)
        with _store.changing():
            _store.overrides.append(override)
        return settings

    def __exit__(self, *_: object) -> None:
        override = self._entered.pop()
        with _store.changing():
            _store.overrides = [one for one in _store.overrides if one is not override]

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` running under these settings."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with override_settings(**self._values):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with override_settings(**self._values):
                return function(*args, **kwargs)

        return run


def import_class(value: object, *, where: str = "import_class") -> type[Any]:
    """Return a class as it is, or the class that a dotted path names.

    Args:
        value: A class, or a dotted path such as ``"fastapix5.IsAuthenticated"``.
        where: The class and attribute, or the setting, that an error shall name.

    Raises:
        ImproperlyConfigured: There is no such module, or no such class in it.
    """
    if isinstance(value, type):
        return value
    if not isinstance(value, str) or "." not in value:
        raise ImproperlyConfigured(where, f"{value!r} is neither a class nor a dotted path to one.")
    path, _, name = value.rpartition(".")
    module = _import(path, where)
    found = getattr(module, name, None)
    if isinstance(found, type):
        return found
    if found is not None:
        raise ImproperlyConfigured(where, f'"{value}" is no class.')
    classes = [known for known in dir(module) if isinstance(getattr(module, known, None), type)]
    raise ImproperlyConfigured(where, f'{path} has no class "{name}".', did_you_mean(name, classes))
