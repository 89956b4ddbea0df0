"""How often a caller may ask: the only module that knows slowapi and limits.

Quotas are counted in fixed windows. A window starts with the first request of a key and lasts the rate's period; the
count is one number however large the rate, and the wait is exact. In return a caller may spend one quota at the end
of a window and the next at the start of another. A moving window would keep one entry for each request.

The counts live in the memory of one process: with several workers each counts on its own.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import itertools
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from fastapix5.access import Access
from fastapix5.concurrency import call
from fastapix5.exceptions import ImproperlyConfigured, Throttled
from fastapix5.settings import settings

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import RateLimiter

MAX_KEYS = 100_000
MAX_KEY_LENGTH = 128
RATE = r"(?i)\s*([0-9]+)\s*(?:/|\bper\b)\s*([0-9]*)\s*([a-z]+)\s*"
PERIODS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), "second"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("year", "years"), "year"),
}


class BaseThrottle:
    """Counts requests by key. Override ``get_key``; or ``allow_request``, to decide by something else than a rate.

    Attributes:
        scope: The name under which DEFAULT_THROTTLE_RATES has the rate.
        rate: The rate itself, such as ``"1000/day"``; it wins over the setting. Several are separated by ``;``.

    Args:
        rate: Overrides the class's rate for this instance.

    Raises:
        ImproperlyConfigured: There is no rate, or it cannot be read.
    """

    scope: str | None = None
    rate: str | None = None

    def __init__(self, rate: str | None = None) -> None:
        self._name = type(self).__qualname__
        self._limits: tuple[RateLimitItem, ...] = ()
        if rate is not None:
            self.rate = rate
        if type(self).allow_request is BaseThrottle.allow_request:
            if type(self).get_key is BaseThrottle.get_key:
                raise ImproperlyConfigured(self._name, "It overrides neither get_key nor allow_request.")
            self._limits = _parsed(self._found_rate(), self._name)
            _limiter()  # Loaded now rather than at a request.

    def get_key(self, request: Request, view: Any) -> Any:
        """Return the text that callers who share a quota share, or None for whoever is not throttled.

        May be ``def`` or ``async def``.
        """
        raise NotImplementedError

    async def allow_request(self, request: Request, view: Any) -> None:
        """Spend one request of the caller's quota.

        Quotas count for each throttle class, key, viewset and action (``view.throttle_scope``).

        Raises:
            Throttled: The quota is spent; it says how many seconds are left.
        """
        key = await call(self.get_key, request, view)
        if key is None:
            return
        limiter, parts = _limiter(), (type(self).__module__, self._name, view.throttle_scope, _bounded(str(key)))
        waits = [
            limiter.get_window_stats(limit, *parts).reset_time - time.time()
            for limit in self._limits
            if not limiter.hit(limit, *parts)
        ]
        if waits:
            raise Throttled(max(0.0, *waits))

    def _found_rate(self) -> str:
        if self.rate is not None:
            return self.rate
        rate = None if self.scope is None else settings.DEFAULT_THROTTLE_RATES.get(self.scope)
        if rate is None:
            scope = self.scope or "..."
            raise ImproperlyConfigured(
                self._name,
                f'DEFAULT_THROTTLE_RATES has no rate for "{scope}".' if self.scope else "It has no rate and no scope.",
                f'Set DEFAULT_THROTTLE_RATES={{"{scope}": "1000/day"}}, or write rate = "1000/day" in the class.',
            )
        return rate


class AnonRateThrottle(BaseThrottle):
    """Counts anonymous callers by address; whoever is authenticated is not throttled."""

    scope = "anon"

    def get_key(self, request: Request, view: Any) -> str | None:
        """Return the address, or None for an authenticated caller."""
        access: Access = view.access
        return None if access.is_authenticated else client_address(request)


class UserRateThrottle(BaseThrottle):
    """Counts authenticated callers by user id and anonymous ones by address."""

    scope = "user"

    def get_key(self, request: Request, view: Any) -> str | None:
        """Return the user id, or the address."""
        access: Access = view.access
        return f"user:{access.user_id}" if access.is_authenticated else client_address(request)


async def check_throttles(throttles: Iterable[BaseThrottle], request: Request, view: Any) -> None:
    """Ask every throttle in turn, also after one refused.

    Raises:
        Throttled: One or more refused; it has the longest wait.
    """
    waits: list[float] = []
    for throttle in throttles:
        try:
            # Django REST framework's allow_request answers True or False: a False must not let the caller through.
            if await call(throttle.allow_request, request, view) is False:
                waits.append(1.0)
        except Throttled as refusal:
            waits.append(refusal.wait)
    if waits:
        raise Throttled(max(waits))


def reset_throttles() -> None:
    """Forget every count. For tests."""
    _limiter().storage.reset()


def client_address(request: Request) -> str:
    """Return ``address:`` and the peer's address; of IPv6 the network, since one caller commonly has a whole /64.

    No header is read: behind a proxy the server has to set the peer, as uvicorn does with ``--forwarded-allow-ips``.
    """
    host = request.client.host if request.client else "unknown"
    if ":" not in host:
        return f"address:{host}"
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return f"address:{host}"
    if address.ipv4_mapped:
        return f"address:{address.ipv4_mapped}"
    return f"address:{ipaddress.IPv6Network((int(address) >> 64 << 64, 64))}"


def _parsed(rate: object, where: str) -> tuple[RateLimitItem, ...]:
    """Return the limits that a rate such as ``"10/minute;1000/day"`` means."""
    from limits import parse

    limits = []
    for part in re.split("[;,|]", rate) if isinstance(rate, str) else [""]:
        found = re.fullmatch(RATE, part)
        amount, count, period = found.groups() if found else ("0", "", "")
        if period.lower() not in PERIODS or int(amount) < 1 or count.strip("0") == "" != count:
            raise ImproperlyConfigured(
                where, f"{rate!r} is no rate.", 'Write a number and a period: "10/second", "100/min", "1000/day".'
            )
        limits.append(parse(f"{int(amount)}/{count or 1} {PERIODS[period.lower()]}"))
    return tuple(limits)


def _bounded(key: str) -> str:
    """Return a key of bounded length: callers may choose a part of it."""
    if len(key) <= MAX_KEY_LENGTH:
        return key
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class _Windows:
    """Fixed windows in a dict of at most MAX_KEYS keys, as a storage of ``limits``.

    The library's own memory storage has no bound, and while requests come in it starts a thread every 10 ms that
    walks over all keys.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    base_exceptions = ValueError
    wrap_exceptions = False

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, and return the count; the first one opens a window of ``expiry`` seconds."""
        now = time.time()
        with self._lock:
            ends, count = self._windows.get(key, (0.0, 0))
            if ends <= now:
                self._windows.pop(key, None)  # So that the dict stays ordered by the windows' starts.
                self._make_room(now)
                ends, count = now + expiry, 0
            self._windows[key] = (ends, count + amount)
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of the open window, or 0."""
        ends, count = self._windows.get(key, (0.0, 0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since the epoch."""
        return self._windows.get(key, (time.time(), 0))[0]

    def check(self) -> bool:
        """Return True: memory is always there."""
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one key."""
        with self._lock:
            self._windows.pop(key, None)

    def _make_room(self, now: float) -> None:
        """Drop what has ended when the dict is full, and the oldest tenth where that is not enough."""
        if len(self._windows) < MAX_KEYS:
            return
        self._windows = {key: window for key, window in self._windows.items() if window[0] > now}
        excess = len(self._windows) - MAX_KEYS * 9 // 10
        for key in list(itertools.islice(self._windows, max(0, excess))):
            del self._windows[key]


@functools.cache
def _limiter() -> RateLimiter:
    """Return the one limiter of this process; slowapi and limits are loaded with it."""
    from limits.storage import Storage
    from slowapi import Limiter

    class BoundedMemoryStorage(_Windows, Storage):
        STORAGE_SCHEME = ["fastapix5"]

    class Configuration(Limiter):
        """Holds storage and strategy; takes nothing from RATELIMIT_* variables or a ``.env`` file."""

        def get_app_config(self, key: str, default_value: Any = None) -> Any:
            return default_value

    made = Configuration(
        key_func=client_address,
        strategy="fixed-window",
        storage_uri="fastapix5://",
        storage_options={},
        # It reads `.env` unless another file is named, and warns where that one is missing: this one is empty.
        config_filename=str(Path(__file__).with_name("py.typed")),
    )
    return made.limiter
