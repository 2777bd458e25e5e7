"""Cache-Control as origins really write it (RFC 9111 sections 1.2.2, 4.2.1, 5.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.caching.cache_control import LARGEST_DELTA, parse_cache_control, parse_delta


@pytest.mark.parametrize(
    ("values", "directives"),
    [
        ([b"no-store"], {b"no-store"}),
        ([b"No-Store, MAX-AGE=5"], {b"no-store", b"max-age"}),
        ([b"public", b"max-age=5"], {b"public", b"max-age"}),
        ([b'private="x, no-store", max-age=1'], {b"private", b"max-age"}),
        ([b'no-cache="set-cookie"'], {b"no-cache"}),
        ([b", ,no-store,,"], {b"no-store"}),
        ([b"max-age = 5 , private"], {b"max-age", b"private"}),
        ([b"public; no-store"], {b"public", b"no-store"}),
        ([b"max-age=60; private"], {b"max-age", b"private"}),
        ([b""], set()),
        ([], set()),
    ],
)
def test_rfc9111_5_2_directives_are_found(values: list[bytes], directives: set[bytes]) -> None:
    control = parse_cache_control(values)
    assert set(control.arguments) == directives
    assert not control.is_malformed


@pytest.mark.parametrize(
    "value", [b'private="x, max-age=5', b"max-age=5, (no-store)", b'"no-store"', b"no store", b"\xff"]
)
def test_what_cannot_be_read_is_told(value: bytes) -> None:
    assert parse_cache_control([value]).is_malformed


@pytest.mark.parametrize("value", [b'private="x, no-store', b"(x), no-store", b"a b, no-store"])
def test_a_prohibition_behind_something_unreadable_is_still_seen(value: bytes) -> None:
    assert b"no-store" in parse_cache_control([value])


@pytest.mark.parametrize(
    ("argument", "seconds"),
    [
        (b"0", 0),
        (b"5", 5),
        (b"0005", 5),
        (b"2147483648", LARGEST_DELTA),
        (b"99999999999999999999999999", LARGEST_DELTA),
        (b"0" * 30 + b"7", 7),
        (b"-1", 0),
        (b"+5", 0),
        (b"5.5", 0),
        (b"5s", 0),
        (b"1_0", 0),
        (b"", 0),
        (None, 0),
        (b"\xd9\xa5", 0),
    ],
)
def test_rfc9111_1_2_2_delta_seconds(argument: bytes | None, seconds: int) -> None:
    assert parse_delta(argument) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"max-age=60", 60),
        (b'max-age="60"', 60),
        (b"max-age=60, max-age=5", 5),
        (b"max-age=60, max-age=x", 0),
        (b"max-age", 0),
        (b"max-age=", 0),
        (b"public", None),
    ],
)
def test_rfc9111_4_2_1_conflicting_or_invalid_freshness_is_the_shortest(
    value: bytes, seconds: int | None
) -> None:
    assert parse_cache_control([value]).seconds(b"max-age") == seconds


@pytest.mark.parametrize("value", [b"\n", b"no-store\n", b"a=\n", b'a="\n"', b" \n,"])
def test_a_line_feed_that_never_comes_here_does_not_make_it_loop(value: bytes) -> None:
    parse_cache_control([value])


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_octets_make_the_parser_fail(values: list[bytes]) -> None:
    parse_cache_control(values)


@given(st.text('ab="\\,; \t-', max_size=40).map(str.encode))
def test_a_prohibition_as_a_member_of_its_own_is_never_lost(prefix: bytes) -> None:
    control = parse_cache_control([prefix, b"no-store"])
    assert b"no-store" in control


def test_a_long_hostile_value_takes_linear_time() -> None:
    parse_cache_control([b'a="' + b"\\x" * 30_000, b"=" * 60_000, b" " * 60_000, b'a="",' * 10_000])
