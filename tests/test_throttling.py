"""Throttling: who shares a quota, how large it is, and how long one waits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from fastapix5 import throttling
from fastapix5.access import ANONYMOUS, Access
from fastapix5.exceptions import ImproperlyConfigured, Throttled
from fastapix5.settings import override_settings
from fastapix5.throttling import (
    AnonRateThrottle,
    BaseThrottle,
    UserRateThrottle,
    check_throttles,
    client_address,
    reset_throttles,
)

pytestmark = pytest.mark.anyio

ADA = Access(user_id="ada")
BOB = Access(user_id="bob")


@dataclass
class View:
    """What a throttle reads of a viewset."""

    access: Access = ANONYMOUS
    throttle_scope: str = "flights:list"


class TwoADay(UserRateThrottle):
    """Two requests a day."""

    rate = "2/day"


class OneADay(UserRateThrottle):
    """One request a day."""

    rate = "1/day"


class DjangoStyle(BaseThrottle):
    """Answers False instead of raising."""

    def allow_request(self, request: Request, view: Any) -> Any:
        return False


@pytest.fixture(autouse=True)
def no_counts() -> Iterator[None]:
    """Each test starts with whole quotas."""
    reset_throttles()
    yield
    reset_throttles()


def request(host: str | None = "192.0.2.1") -> Request:
    """A request from an address."""
    client = None if host is None else (host, 50_000)
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [], "client": client})


def remembered() -> dict[str, object]:
    """The quotas that are held in memory."""
    windows: dict[str, object] = vars(throttling._limiter().storage)["_windows"]
    return windows


async def passes(throttle: BaseThrottle, view: View, host: str | None = "192.0.2.1") -> bool:
    """Whether the throttle lets a request through."""
    try:
        await throttle.allow_request(request(host), view)
    except Throttled:
        return False
    return True


async def test_a_quota_is_spent_and_tells_the_wait() -> None:
    """After the quota is spent, Throttled has the seconds until the window ends."""
    throttle = TwoADay()
    assert await passes(throttle, View(ADA))
    assert await passes(throttle, View(ADA))
    with pytest.raises(Throttled) as caught:
        await throttle.allow_request(request(), View(ADA))
    assert 86_390 < caught.value.wait <= 86_400


async def test_a_quota_is_whole_again_after_its_window() -> None:
    """After the wait that was told, the next request passes."""
    throttle = UserRateThrottle("1/second")
    assert await passes(throttle, View(ADA))
    with pytest.raises(Throttled) as caught:
        await throttle.allow_request(request(), View(ADA))
    assert 0 < caught.value.wait <= 1
    time.sleep(caught.value.wait)  # noqa: ASYNC251
    assert await passes(throttle, View(ADA))


async def test_refused_requests_do_not_prolong_the_wait() -> None:
    """Asking again and again does not move the end of the window."""
    throttle = OneADay()
    assert await passes(throttle, View(ADA))
    waits = []
    for _ in range(3):
        with pytest.raises(Throttled) as caught:
            await throttle.allow_request(request(), View(ADA))
        waits.append(caught.value.wait)
    assert 86_400 >= waits[0] > waits[1] > waits[2]


async def test_users_have_quotas_of_their_own() -> None:
    """One user's requests, from wherever, spend no other's quota."""
    throttle = OneADay()
    assert await passes(throttle, View(ADA), "192.0.2.1")
    assert not await passes(throttle, View(ADA), "192.0.2.2")
    assert await passes(throttle, View(BOB), "192.0.2.1")


async def test_anonymous_callers_count_by_address() -> None:
    """Without a user the address has the quota; a user named like an address has another."""
    throttle = OneADay()
    assert await passes(throttle, View(), "192.0.2.1")
    assert not await passes(throttle, View(), "192.0.2.1")
    assert await passes(throttle, View(), "192.0.2.2")
    assert await passes(throttle, View(Access(user_id="192.0.2.1")))
    assert await passes(throttle, View(Access(user_id="address:192.0.2.1")))


async def test_anon_throttle_leaves_users_alone() -> None:
    """AnonRateThrottle counts only callers without a name."""
    throttle = AnonRateThrottle("1/day")
    for _ in range(3):
        assert await passes(throttle, View(ADA))
    assert await passes(throttle, View())
    assert not await passes(throttle, View())


async def test_quotas_count_per_viewset_and_action() -> None:
    """Another action has a quota of its own; another instance of the throttle shares it."""
    assert await passes(OneADay(), View(ADA, "flights:list"))
    assert not await passes(OneADay(), View(ADA, "flights:list"))
    assert await passes(OneADay(), View(ADA, "flights:create"))
    assert await passes(OneADay(), View(ADA, "planes:list"))


async def test_quotas_count_per_throttle_class() -> None:
    """Two classes with the same rate and key do not share."""
    assert await passes(OneADay(), View(ADA))
    assert await passes(UserRateThrottle("1/day"), View(ADA))


async def test_the_path_does_not_matter() -> None:
    """Requests for different rows meet in one quota: the key has no path."""
    throttle = OneADay()
    one, two = request(), request()
    one.scope["path"], two.scope["path"] = "/flights/1", "/flights/2"
    await throttle.allow_request(one, View(ADA))
    with pytest.raises(Throttled):
        await throttle.allow_request(two, View(ADA))


async def test_callers_without_an_address_share_a_quota() -> None:
    """Over a socket without addresses nobody escapes."""
    throttle = OneADay()
    assert await passes(throttle, View(), None)
    assert not await passes(throttle, View(), None)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "address:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "address:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "address:192.0.2.1"),
        ("not:an:address", "address:not:an:address"),
        ("testclient", "address:testclient"),
    ],
)
def test_an_ipv6_caller_is_its_network(host: str, address: str) -> None:
    """Of an IPv6 address the /64 counts, else one caller would have 2**64 quotas."""
    assert client_address(request(host)) == address


async def test_forwarded_headers_are_not_trusted() -> None:
    """A caller does not choose its address by a header."""
    scope = {**request().scope, "headers": [(b"x-forwarded-for", b"203.0.113.9"), (b"forwarded", b"for=203.0.113.9")]}
    assert client_address(Request(scope)) == "address:192.0.2.1"


async def test_rates_come_from_the_settings_by_scope() -> None:
    """DEFAULT_THROTTLE_RATES[scope] is the rate where the class has none."""
    with override_settings(DEFAULT_THROTTLE_RATES={"user": "1/day"}):
        throttle = UserRateThrottle()
    assert await passes(throttle, View(ADA))
    assert not await passes(throttle, View(ADA))


def test_a_missing_rate_stops_the_start() -> None:
    """A throttle without a rate says which setting lacks it."""
    with override_settings(DEFAULT_THROTTLE_RATES={"anon": "1/day"}), pytest.raises(ImproperlyConfigured) as caught:
        UserRateThrottle()
    assert str(caught.value) == (
        'UserRateThrottle: DEFAULT_THROTTLE_RATES has no rate for "user". '
        'Set DEFAULT_THROTTLE_RATES={"user": "1000/day"}, or write rate = "1000/day" in the class.'
    )


@pytest.mark.parametrize(
    "rate",
    [
        "",
        "often",
        "10",
        "10/",
        "/day",
        "0/day",
        "-1/day",
        "1.5/day",
        "10 day",
        "10/day;",
        "10/day; 5/week",
        "10/0 minute",
        10,
    ],
)
def test_a_wrong_rate_stops_the_start(rate: Any) -> None:
    """A rate that cannot be read is refused when the throttle is made, with examples."""
    with pytest.raises(ImproperlyConfigured, match=r'is no rate\. Write a number and a period: "10/second"'):
        UserRateThrottle(rate)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        ("1/s", 1),
        ("1/sec", 1),
        ("1/second", 1),
        ("1/m", 60),
        ("1/min", 60),
        ("1 per minute", 60),
        ("1/5 minutes", 300),
        ("1/h", 3600),
        ("1/HOUR", 3600),
        ("1/d", 86_400),
        ("1/day", 86_400),
        ("1/month", 30 * 86_400),
    ],
)
async def test_periods_have_the_names_of_drf_and_of_limits(rate: str, seconds: int) -> None:
    """Short and long names of a period mean the same."""
    throttle = UserRateThrottle(rate)
    assert await passes(throttle, View(ADA))
    with pytest.raises(Throttled) as caught:
        await throttle.allow_request(request(), View(ADA))
    assert seconds - 1 < caught.value.wait <= seconds


async def test_several_rates_tell_the_longest_wait() -> None:
    """Of "1/minute;2/day" both hold, and the longer wait is told."""
    throttle = UserRateThrottle("1/minute;2/day")
    assert await passes(throttle, View(ADA))
    with pytest.raises(Throttled) as first:
        await throttle.allow_request(request(), View(ADA))
    assert 50 < first.value.wait <= 60
    with pytest.raises(Throttled) as second:
        await throttle.allow_request(request(), View(ADA))
    assert second.value.wait > 80_000


async def test_every_throttle_is_asked_and_the_longest_wait_told() -> None:
    """check_throttles asks each in turn, also after one refused."""
    throttles = [UserRateThrottle("1/minute"), TwoADay()]
    await check_throttles(throttles, request(), View(ADA))
    with pytest.raises(Throttled) as first:
        await check_throttles(throttles, request(), View(ADA))
    assert first.value.wait <= 60
    with pytest.raises(Throttled) as second:
        await check_throttles(throttles, request(), View(ADA))
    assert second.value.wait > 80_000


async def test_an_answer_of_false_refuses() -> None:
    """A throttle in the manner of Django REST framework does not let everybody through."""
    with pytest.raises(Throttled):
        await check_throttles([DjangoStyle()], request(), View(ADA))


async def test_get_key_may_be_async_and_may_exempt() -> None:
    """A key may be awaited; None is not throttled."""

    class ByTenant(BaseThrottle):
        rate = "1/day"

        async def get_key(self, request: Request, view: Any) -> str | None:
            tenant: str | None = view.access.tenant_id
            return tenant

    throttle = ByTenant()
    united = View(Access(user_id="ada", tenant_id="UA"))
    assert await passes(throttle, united)
    assert not await passes(throttle, united)
    assert await passes(throttle, View(ADA))
    assert await passes(throttle, View(ADA))


def test_a_throttle_overrides_something() -> None:
    """A class that says neither who nor how cannot be made."""

    class Idle(BaseThrottle):
        rate = "1/day"

    with pytest.raises(ImproperlyConfigured, match="overrides neither get_key nor allow_request"):
        Idle()


async def test_long_keys_are_kept_short() -> None:
    """A caller who chooses a long name takes no more memory, and still has a quota of its own."""
    throttle = OneADay()
    long = [View(Access(user_id="x" * 3000 + end)) for end in ("a", "b", "\ud800")]
    for view in long:
        assert await passes(throttle, view)
        assert not await passes(throttle, view)
    assert max(map(len, remembered())) < 400


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers come, only so many are remembered, those that came last among them."""
    monkeypatch.setattr(throttling, "MAX_KEYS", 100)
    throttle = OneADay()
    for number in range(1000):
        assert await passes(throttle, View(), f"host{number}")
    assert len(remembered()) <= 100
    assert not await passes(throttle, View(), "host999")
    assert await passes(throttle, View(), "host0")


async def test_ended_windows_make_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota that is still running is not forgotten while ended ones take up the room."""
    monkeypatch.setattr(throttling, "MAX_KEYS", 100)
    assert await passes(OneADay(), View(ADA))
    for number in range(80):
        assert await passes(UserRateThrottle("1/second"), View(), f"host{number}")
    time.sleep(1.05)  # noqa: ASYNC251
    for number in range(80):
        assert await passes(OneADay(), View(), f"other{number}")
    assert not await passes(OneADay(), View(ADA))


@given(st.lists(st.sampled_from(["ada", "bob", "eve"]), max_size=30), st.integers(1, 5))
async def test_a_quota_lets_through_exactly_its_number(users: list[str], amount: int) -> None:
    """Of each user's requests the first ones pass and no more."""
    reset_throttles()
    throttle = UserRateThrottle(f"{amount}/day")
    passed = [user for user in users if await passes(throttle, View(Access(user_id=user)))]
    for user in set(users):
        assert passed.count(user) == min(amount, users.count(user))


def test_threads_lose_no_count() -> None:
    """Hits from several threads are all counted."""
    storage = throttling._limiter().storage
    threads = [threading.Thread(target=lambda: [storage.incr("key", 60) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.get("key") == 8000


def test_no_environment_and_no_dotenv_is_read(tmp_path: Path) -> None:
    """RATELIMIT_* variables and a .env file of another program change nothing; no thread is started."""
    (tmp_path / ".env").write_text("RATELIMIT_STRATEGY=nonsense\nRATELIMIT_STORAGE_URL=redis://nowhere\n")
    code = (
        "import threading; from fastapix5.throttling import UserRateThrottle, _limiter; UserRateThrottle('1/day');"
        "print(type(_limiter()).__name__, threading.active_count())"
    )
    environment = {**os.environ, "RATELIMIT_STRATEGY": "nonsense", "RATELIMIT_DEFAULT": "1/day"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("FixedWindowRateLimiter 1\n", "")


def test_libraries_load_when_used() -> None:
    """Importing the policies loads neither slowapi nor limits nor python-jose."""
    code = (
        "import sys, fastapix5.throttling, fastapix5.authentication;"
        "print([name for name in ('slowapi', 'limits', 'jose') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
