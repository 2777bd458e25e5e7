"""Durations, sizes and rates are read strictly, written back shortly, and what was meant is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.errors import UnacceptableError
from proxy.config.quantities import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)
from proxy.config.schema import Rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3),
        ("250ms", 0.25),
        ("10m", 600),
        ("7d", 604_800),
        ("0s", 0),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("1m0.5s", 60.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("75", 'did you mean "75s"?'),
        (75, 'did you mean "75s"?'),
        (2.5, 'did you mean "2.5s"?'),
        ("10 min", 'did you mean "10m"?'),
        ("3 Seconds", 'did you mean "3s"?'),
        ("500msec", 'did you mean "500ms"?'),
        ("-3s", "it cannot be negative"),
        (-3, "it cannot be negative"),
        ("s", ""),
        ("", ""),
        ("3S", 'did you mean "3s"?'),
        ("30m1h", ""),
        ("1s1s", ""),
        (" 3s", 'did you mean "3s"?'),
        ("3s\n", 'did you mean "3s"?'),
        ("٣s", ""),
        ("1e3s", ""),
        ("0x3s", ""),
        ("3µs", ""),
        (True, ""),
        (None, ""),
        (["3s"], ""),
        ({}, ""),
        (10**30, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        ("9" * 10_000 + "s", ""),
    ],
)
def test_durations_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse_duration(value)
    assert caught.value.expected == 'a duration such as "3s", "250ms" or "10m"'
    assert caught.value.hint == hint


def test_durations_out_of_bounds_name_the_bounds() -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse_duration("0s", least=0.01, most=3600)
    assert caught.value.expected == 'a duration between "10ms" and "1h"'
    with pytest.raises(UnacceptableError, match="between"):
        parse_duration("100000d")
    with pytest.raises(UnacceptableError, match="whole milliseconds"):
        parse_duration("0.0001s")


@given(st.integers(0, 10 * 365 * 86_400_000))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("seconds", "text"), [(60, "60s"), (120, "2m"), (3600, "1h"), (86_400, "1d"), (0, "0s"), (1.5, "1500ms")]
)
def test_durations_are_written_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("500B", 500),
        ("32KB", 32_768),
        ("64MB", 64 * 1024**2),
        ("1GB", 1024**3),
        ("1MiB", 1024**2),
        ("1.5KB", 1536),
        ("0B", 0),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("100M", 'did you mean "100MB"?'),
        ("100mb", 'did you mean "100MB"?'),
        ("64k", 'did you mean "64KB"?'),
        ("10 bananas", ""),
        (1024, 'did you mean "1024B"?'),
        ("-1MB", "it cannot be negative"),
        (True, ""),
        ("1PB", ""),
        ("", ""),
    ],
)
def test_sizes_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse_size(value)
    assert (caught.value.expected, caught.value.hint) == ('a size such as "100MB"', hint)


def test_sizes_out_of_bounds_name_the_bounds() -> None:
    with pytest.raises(UnacceptableError, match='between "1KB" and "1MB"'):
        parse_size("2MB", least=1024, most=1024**2)
    with pytest.raises(UnacceptableError, match="whole bytes"):
        parse_size("0.3B")


@given(st.integers(0, 1024**5))
def test_sizes_are_read_as_they_are_written(octets: int) -> None:
    assert parse_size(format_size(octets)) == octets


@pytest.mark.parametrize(
    ("text", "rate"),
    [("150/m", Rate(count=150, seconds=60)), ("10/s", Rate(count=10, seconds=1)), ("off", None)],
)
def test_rates(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("150", 'did you mean "150/m"?'),
        (150, 'did you mean "150/m"?'),
        ("150 / minute", 'did you mean "150/m"?'),
        ("150 per min", 'did you mean "150/m"?'),
        ("10rps", 'did you mean "10/s"?'),
        ("5r/s", 'did you mean "5/s"?'),
        ("0/m", 'write "off" to switch the limit off'),
        ("-1/s", "it cannot be negative"),
        ("OFF", ""),
        (False, ""),
        ("1/d", ""),
    ],
)
def test_rates_refused(value: object, hint: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        parse_rate(value)
    assert caught.value.hint == hint
