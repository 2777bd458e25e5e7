"""HTTP-date in its three forms (RFC 9110 section 5.6.7), as whole seconds since the epoch."""

import re
from calendar import timegm
from functools import lru_cache
from time import gmtime
from typing import Final

_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTH_NUMBERS: Final = {name: number for number, name in enumerate(_MONTHS, 1)}

_TIME: Final = rb"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
_MONTH: Final = rb"(%s)" % b"|".join(_MONTHS)
#: Only this form is of that length.
_IMF_LENGTH: Final = 29
_IMF_FIXDATE: Final = re.compile(
    rb"(?:%s), ([0-3][0-9]) %s ([0-9]{4}) %s GMT" % (b"|".join(_DAYS), _MONTH, _TIME)
)
_RFC850_DATE: Final = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-3][0-9])-%s-([0-9]{2}) %s GMT" % (_MONTH, _TIME)
)
_ASCTIME_DATE: Final = re.compile(
    rb"(?:%s) %s ([0-3 ][0-9]) %s ([0-9]{4})" % (b"|".join(_DAYS), _MONTH, _TIME)
)


def parse_http_date(value: bytes, now: float) -> int | None:
    """Read an HTTP-date in any of its forms; None for anything else.

    `now` (seconds since the epoch) places two-digit years: more than 50 years ahead means the past century.
    """
    if len(value) == _IMF_LENGTH:
        return _parse_imf_fixdate(value)
    if match := _ASCTIME_DATE.fullmatch(value):
        month, day, hour, minute, second, year = match.groups()
        return _seconds(int(year), month, day.replace(b" ", b"0"), hour, minute, second)
    if match := _RFC850_DATE.fullmatch(value):
        day, month, short_year, hour, minute, second = match.groups()
        this_year = gmtime(now).tm_year
        year_number = this_year - this_year % 100 + int(short_year)
        if year_number > this_year + 50:
            year_number -= 100
        return _seconds(year_number, month, day, hour, minute, second)
    return None


@lru_cache(maxsize=256)
def _parse_imf_fixdate(value: bytes) -> int | None:
    """Read the preferred form; remembered, since a second's responses share their Date."""
    match = _IMF_FIXDATE.fullmatch(value)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    return _seconds(int(year), month, day, hour, minute, second)


def _seconds(year: int, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes) -> int | None:
    number = _MONTH_NUMBERS[month]
    if year < 1 or not 1 <= int(day) <= _days_in(year, number):
        return None
    return timegm((year, number, int(day), int(hour), int(minute), int(second), 0, 0, 0))


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@lru_cache(maxsize=64)
def format_http_date(seconds: int) -> bytes:
    """Write seconds since the epoch in the preferred form, IMF-fixdate."""
    moment = gmtime(seconds)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[moment.tm_wday],
        moment.tm_mday,
        _MONTHS[moment.tm_mon - 1],
        moment.tm_year,
        moment.tm_hour,
        moment.tm_min,
        moment.tm_sec,
    )


@lru_cache(maxsize=2)
def date_line(seconds: int) -> bytes:
    """Return the Date field line of a moment (RFC 9110 section 6.6.1), the same object for the same second."""
    return b"Date: %s\r\n" % format_http_date(seconds)
