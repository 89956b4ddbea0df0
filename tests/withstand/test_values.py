"""Facts about hostile values in the path, the query and the body: refused with their place, alike on both engines."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.withstand.conftest import Both
from tests.withstand.databases import fetch
from tests.withstand.problems import fine, not_broken, refused

FLIGHT: dict[str, Any] = {
    "date": "2014-01-01",
    "flight": 9001,
    "carrier": "UA",
    "origin": "EWR",
    "dest": "SFO",
    "distance": 2565,
    "sched_dep_time": 900,
    "sched_arr_time": 1230,
    "time_hour": "2014-01-01T14:00:00Z",
}
FLIGHTS = "/airlines/UA/flights"

HUGE = "1" * 100_000
STRANGE_TEXTS = (
    "\0",
    "a\0",
    "\u202e",
    "\U0001f600",
    "\ufeff1",
    "\u0661",
    "\uff11",
    "'",
    "' OR 1=1--",
    "%",
    "_",
    "\\",
    " ",
    "\n1",
)
WRONG_NUMBERS = ("2147483648", "-2147483649", "9223372036854775808", "1" + "0" * 30, "1e3", "1.5", "1_0", "+1", "0x1")
NO_NUMBERS = ("NaN", "Infinity", "true", "null", "", "1,2", "1;2", "1 ", " 1", "1\n", "..", *STRANGE_TEXTS)


pytestmark = pytest.mark.usefixtures("nothing_written", "nothing_written_here")

# The path


@pytest.mark.parametrize("key", [*WRONG_NUMBERS, *(text for text in NO_NUMBERS if text), HUGE[:8000]])
def test_a_key_that_is_no_integer_or_out_of_range_is_refused(both: Both, key: str) -> None:
    """On every method, before anything is asked of the database."""
    segment = quote(key, safe="")
    for method, path, body in (
        ("GET", f"/flights/{segment}", None),
        ("GET", f"{FLIGHTS}/{segment}", None),
        ("PATCH", f"/flights/{segment}", {"flight": 2}),
        ("PUT", f"/flights/{segment}", FLIGHT),
        ("DELETE", f"/flights/{segment}", None),
        ("POST", f"/flights/{segment}/delay", {"minutes": 5}),
    ):
        answer = refused(both(method, path, body))
        assert answer.status == 422
        assert answer.places == [("path", "flight_id")]


@pytest.mark.parametrize("key", ["0", "-1", "2147483647", "-2147483648", "00000000000000000001234567"])
def test_a_key_that_could_be_but_is_not_is_missing(both: Both, key: str) -> None:
    """The bounds are the column's own."""
    assert not_broken(both("GET", f"/flights/{key}")).status in (404, 422)
    assert not_broken(both("DELETE", f"/flights/{key}")).status in (404, 422)


@pytest.mark.parametrize(
    "key", [*STRANGE_TEXTS, "..", ".", "a/b", "../..", "../flights", "%2F", "x" * 8000, "ua", "U\0"]
)
def test_a_key_of_text_is_taken_literally(both: Both, key: str) -> None:
    """No wildcard, no fragment of SQL and no path in it has a meaning."""
    for escaped in (quote(key, safe=""), quote(key).replace(".", "%2e")):
        for path in (f"/airlines/{escaped}", f"/airlines/{escaped}/flights", f"/planes/{escaped}"):
            answer = both("GET", path)
            assert refused(answer).status in (404, 422)
            assert answer.status == 404 or answer.places[0][0] == "path"
            assert "\0" not in key or answer.status == 422


@pytest.mark.parametrize(
    "key",
    ["JFK", "JFK,", ",", "JFK,1", "JFK,NaN", "JFK,2013-01-01", "JFK,2013-01-01T06:00:00", "JFK,2013-13-01T06:00:00Z",
     "JFK,0001-01-01T00:00:00+14:00", "JFK,9999-12-31T23:59:59-14:00", "JFK,2013-01-01T06:00:00Z,1", "%00,%00",
     "JFK%2C2013", "JFK,10000-01-01T00:00:00Z", "JFK,2013-01-01T06:00:00%00Z", "%FF,%FF", "," * 1000],
)  # fmt: skip
def test_a_composite_key_of_the_wrong_shape_is_refused(both: Both, key: str) -> None:
    """Too few parts, too many, or one of the wrong type."""
    for path in (f"/weather/{key}", f"/airports/JFK/weather/{key}"):
        answer = refused(both("GET", path))
        assert answer.status == 422
        assert answer.places[0][0] == "path"


@pytest.mark.parametrize(
    "escaped", ["%FF", "%C3%28", "%ED%A0%80", "%C0%AF", "%F5%80%80%80", "%", "%2", "%zz", "%u0041"]
)
def test_bytes_in_the_path_that_are_no_unicode_lead_nowhere(both: Both, escaped: str) -> None:
    """And break nothing."""
    for path in (f"/airlines/{escaped}", f"/flights/{escaped}", f"/{escaped}", f"{FLIGHTS}/{escaped}"):
        assert refused(both("GET", path)).status in (404, 422)
        assert refused(both("DELETE", path)).status in (404, 405, 422)


# The query


@pytest.mark.parametrize(
    "query",
    [
        *(f"page={quote(value)}" for value in (*WRONG_NUMBERS, *NO_NUMBERS, "0", "-1", "1000000000000000000")),
        *(f"page_size={value}" for value in ("0", "-1", "101", "1000000000000000000", "9223372036854775808", "x")),
        *(f"dep_delay__gte={quote(value)}" for value in (*WRONG_NUMBERS, *NO_NUMBERS)),
        *(f"distance__range={value}" for value in ("1", "1,2,3", "1,", ",1", "NaN,1", "1,2147483648", "1e999,1", "")),
        *(f"dep_delay__isnull={value}" for value in ("yes", "1", "", "True", "null", "true,false")),
        *(f"date={value}" for value in ("", "1", "2013-02-30", "10000-01-01", "0000-01-01", "-2013-01-01", "infinity")),
        *(f"carrier__in={value}" for value in ("", ",", "UA,", ",UA", "UA,,DL", ",".join(["UA"] * 101), "%00,UA")),
        *(
            f"ordering={value}"
            for value in ("", ",", "-", "--date", "id", "time_hour", "date%00", "date;", "carrier--")
        ),
        "ordering=" + ",".join(["date"] * 1000),
        "carrier=%00",
        "search=%00",
        "dest_airport__name__icontains=a%00",
        "page=1&page=2",
        "dep_delay__isnull=true&dep_delay__isnull=false",
        "search=" + "x" * 257,
        "search=" + "x" * 60_000,
        "carrier=" + "x" * 257,
        "dest_airport__name__icontains=" + "%25" * 257,
        "unknown=1",
        "__class__=1",
        "id=1",
        "carrier__regex=(a%2B)%2B%24",
        "carrier[$ne]=1",
        "=1",
        "%00=1",
        "a" * 60_000 + "=1",
        "&".join(["page=1"] * 10_000),
        "&".join(["carrier__in=UA"] * 4_000),
        "&".join(f"a{number}=1" for number in range(10_000)),
    ],
    ids=lambda query: query[:60],
)
def test_a_parameter_that_cannot_be_is_refused(both: Both, query: str) -> None:
    """With its name, in one answer that stays small."""
    answer = refused(both("GET", f"/flights?{query}"))
    assert answer.status == 422
    name = query.partition("=")[0].replace("%00", "\0")
    known = "".join(str(part) for part in answer.places[0][1:]).removesuffix("...")
    assert answer.places[0][0] == "query"
    assert name.startswith(known)


def test_ten_thousand_unknown_parameters_do_not_keep_the_others_waiting(both: Both) -> None:
    """Suggestions cost time, so they have an end."""
    query = "&".join(f"carrrier{number}=1" for number in range(8_000))
    for path in (f"/flights?{query}", f"/flights?{query.replace('carr', 'CARR')}"):
        assert refused(both("GET", path)).seconds < 1


@pytest.mark.parametrize("escaped", ["%FF", "%C3%28", "%ED%A0%80", "%C0%AF", "a%FF", "%F5%80%80%80"])
def test_bytes_in_the_query_that_are_no_unicode_are_refused(both: Both, escaped: str) -> None:
    """In a value and in a name: the caller does not mean U+FFFD."""
    for name in ("carrier", "search", "carrier__in", "dest_airport__name__icontains"):
        answer = refused(both("GET", f"/flights?page=1&{name}={escaped}"))
        assert answer.status == 422
        assert answer.places[0] == ("query", name)
    assert refused(both("GET", f"/flights?{escaped}=1")).places[0][0] == "query"


@pytest.mark.parametrize("text", ["%", "_", "\\%", "%%", "' OR '1'='1", "'; DROP TABLE flights;--", "\u202e", "\uffff"])
def test_wildcards_and_fragments_of_sql_are_only_text(both: Both, text: str) -> None:
    """No airport is called so, and no plane."""
    for path in ("/flights?dest_airport__name__icontains=", "/airports?search=", "/airports?name__icontains="):
        assert fine(both("GET", path + quote(text))).json()["count"] == 0


@pytest.mark.parametrize("query", ["offset=10000", "limit=100&offset=9999", "offset=10001", "limit=0", "offset=-1", "limit=1e9",
                                   "offset=9223372036854775808", "offset=", "limit=101"])  # fmt: skip
def test_an_offset_is_empty_or_refused_but_never_broken(both: Both, query: str) -> None:
    """Within MAX_OFFSET it is served, beyond it is told."""
    answer = not_broken(both("GET", f"/planes?{query}"))
    assert answer.json()["results"] == [] if answer.status == 200 else answer.places[0][0] == "query"


# The body

NOT_A_FLIGHT_NUMBER = (
    "2147483648", "9223372036854775808", "-1", "0", "1.5", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "true",
    "null", '"5"', '"\\u0000"', "[]", "{}", "[1]", "10000", "1" * 400, "1" * 4400, "1" * 1_000_000, "0x1", "01", "1e400",
)  # fmt: skip
NOT_A_DESTINATION = (
    '"S\\u0000O"', '"\\ud800FO"', '"\\udc00\\ud800A"', '"SFO\\n"', '"sfo"', '""', '"ZZZ"', '["SFO"]', "null", "{}", "1",
    '"\u0405FO"', '"\U0001f600AA"', f'"{HUGE}"', '"SFO "', '"%%%"', '"___"', "\"' OR\"", '"..."', '"\\u202eAB"',
)  # fmt: skip
NOT_A_DATE = ('"2013-02-30"', '"0000-01-01"', '"10000-01-01"', '"2014-1-1"', '"20140101"', "true", "[]", '"2014-01-01\\u0000"',
              '"2014-01-01T12:00:00"', "1388534400", "1e18", '"1388534400"', "-1", "NaN", '"\\ud800"')  # fmt: skip
NOT_A_MOMENT = ('"2014-01-01T14:00:00"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', "0", "1e18", '"0"',
                '"2014-01-01"', '"2014-01-01T14:00:00+99:00"', '"2014-06-31T00:00:00Z"', "{}", "1388534400")  # fmt: skip
WRONG_FIELDS = [
    *(("flight", text) for text in NOT_A_FLIGHT_NUMBER),
    *(("dest", text) for text in NOT_A_DESTINATION),
    *(("date", text) for text in NOT_A_DATE),
    *(("time_hour", text) for text in NOT_A_MOMENT),
    *(("tailnum", text) for text in ('"\\ud800A"', '"NOPE99"', '""', "1", '"N\\u00001"', f'"{HUGE}"')),
    *(
        (name, "1")
        for name in ("x", "id", "", "__class__", "__proto__", "\\u0000", "\\ud800", "x" * 100_000, "Dest", "dest ")
    ),
    ("carrier", '"AA"'),
    ("carrier", "null"),
]


@pytest.mark.parametrize(("name", "text"), WRONG_FIELDS, ids=lambda value: value[:20])
def test_a_field_that_cannot_be_is_refused(both: Both, name: str, text: str) -> None:
    """In a create, a full and a partial update; where the JSON itself can be read, the answer names the field."""
    create, update = (
        [(key, json.dumps(FLIGHT[key])) for key in FLIGHT if key != name and key not in without]
        for without in ((), ("carrier",))
    )
    for method, path, fields in (
        ("POST", FLIGHTS, create),
        ("PUT", f"{FLIGHTS}/1", update),
        ("PATCH", f"{FLIGHTS}/1", []),
    ):
        raw = ("{" + ", ".join(f'"{key}": {value}' for key, value in [*fields, (name, text)]) + "}").encode()
        answer = refused(both(method, path, raw=raw))
        assert answer.status == 422
        assert answer.places[0][0] == "body"
        if answer.json()["code"] not in ("invalid_json", "nul_character"):
            assert name.startswith(str(answer.places[-1][1]).removesuffix("..."))


@pytest.mark.parametrize(
    "minutes", ["0", "1441", "2147483648", "1e999", "NaN", "null", '"5"', "true", "[5]", "-5", "1.5"]
)
def test_an_action_refuses_what_its_signature_does_not_take(both: Both, minutes: str) -> None:
    """Like every other body."""
    answer = refused(both("POST", f"{FLIGHTS}/1/delay", raw=f'{{"minutes": {minutes}}}'.encode()))
    assert answer.status == 422
    assert answer.places[0][0] == "body"


# The space of values

bytes_of_text = st.one_of(
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=20)
)
numbers = st.one_of(st.integers(), st.integers(-(2**70), 2**70), st.floats()).map(str)
values = st.one_of(numbers.map(str.encode), bytes_of_text, st.sampled_from([t.encode() for t in NO_NUMBERS]))
names = st.one_of(
    st.sampled_from(["page", "page_size", "date", "date__gte", "carrier", "carrier__in", "tailnum", "tailnum__isnull", "search",
                     "dep_delay__lte", "distance__range", "dest_airport__name__icontains", "ordering"]).map(str.encode),
    bytes_of_text,
)  # fmt: skip
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)
bodies = st.one_of(
    trees,
    st.dictionaries(st.sampled_from([*FLIGHT, "tailnum", "dep_time", "dep_delay", "x"]), trees, max_size=3).map(
        lambda changes: FLIGHT | changes
    ),
)
often = pytest.mark.parametrize("examples", [40, pytest.param(3_000, marks=pytest.mark.slow)])


def run_examples(examples: int) -> settings:
    """What every test over the space of values is set to."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=examples < 1_000, suppress_health_check=checks
    )


@often
def test_no_path_breaks_anything(both: Both, examples: int) -> None:
    """Whatever the bytes of the segments, on each method, both engines answer alike."""

    @run_examples(examples)
    @given(
        st.lists(values, min_size=1, max_size=3), st.sampled_from(["GET", "HEAD", "DELETE", "POST", "PATCH", "PURGE"])
    )
    def check(segments: list[bytes], method: str) -> None:
        path = "/".join(quote_from_bytes(segment, safe="") for segment in segments)
        for above in ("", "/airlines", "/airports/JFK", "/weather"):
            answer = both(method, f"{above}/{path}")
            if method != "HEAD":
                not_broken(answer)

    check()


@often
def test_no_query_breaks_anything(both: Both, examples: int) -> None:
    """Whatever the bytes of names and values, both engines answer alike, and find as many rows."""

    @run_examples(examples)
    @given(st.lists(st.tuples(names, values), min_size=1, max_size=3))
    def check(pairs: list[tuple[bytes, bytes]]) -> None:
        query = "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in pairs)
        answer = not_broken(both("GET", f"/flights?{query}"))
        assert answer.status in (200, 404, 422)
        assert answer.status == 200 or answer.status == 404 or answer.places[0][0] == "query"

    check()


@often
def test_no_body_breaks_anything(both: Both, examples: int) -> None:
    """Whatever the JSON, both engines answer alike; what was created after all is deleted again."""

    @run_examples(examples)
    @given(
        bodies,
        st.sampled_from([("POST", FLIGHTS), ("PUT", f"{FLIGHTS}/2147483647"), ("PATCH", f"{FLIGHTS}/2147483647")]),
    )
    def check(body: Any, where: tuple[str, str]) -> None:
        answer = not_broken(both(*where, raw=json.dumps(body).encode()))
        assert answer.status in (201, 404, 409, 422)
        if answer.status == 201:
            for served in both.apis.values():
                (latest,) = fetch(served.url, "SELECT max(id) FROM flights")[0]
                assert served.api("DELETE", f"{FLIGHTS}/{latest}").status == 204

    check()
