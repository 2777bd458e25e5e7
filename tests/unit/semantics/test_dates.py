"""HTTP-date in its three forms (RFC 9110 section 5.6.7)."""

from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.semantics.dates import date_line, format_http_date, parse_http_date

NOW = float(timegm((2026, 11, 22, 12, 0, 0)))
EXAMPLE = timegm((1994, 11, 6, 8, 49, 37))


@pytest.mark.parametrize(
    "value",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_rfc9110_5_6_7_all_three_forms_name_the_same_moment(value: bytes) -> None:
    assert parse_http_date(value, NOW) == EXAMPLE


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 29 Feb 2023 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT ",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_anything_else_is_no_date(value: bytes) -> None:
    assert parse_http_date(value, NOW) is None


def test_a_leap_day_and_a_leap_second_are_dates() -> None:
    assert parse_http_date(b"Thu, 29 Feb 2024 00:00:00 GMT", NOW) == timegm((2024, 2, 29, 0, 0, 0))
    assert parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW) == timegm((2017, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(("short", "year"), [(b"26", 2026), (b"76", 2076), (b"77", 1977), (b"00", 2000)])
def test_rfc9110_5_6_7_two_digit_years_are_at_most_fifty_years_ahead(short: bytes, year: int) -> None:
    value = b"Friday, 01-Jan-" + short + b" 00:00:00 GMT"
    assert parse_http_date(value, NOW) == timegm((year, 1, 1, 0, 0, 0))


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_http_date(format_http_date(seconds), NOW) == seconds


@given(st.binary(max_size=40))
def test_no_octets_make_the_parser_fail(value: bytes) -> None:
    parse_http_date(value, NOW)


def test_the_date_line_of_one_second_is_one_object() -> None:
    assert date_line(784111777) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert date_line(784111777) is date_line(784111777)
    assert date_line(784111778) != date_line(784111777)
