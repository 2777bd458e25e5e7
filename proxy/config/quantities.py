"""Durations, sizes and rates: from the text of `proxy.toml` to numbers, and back."""

import re
from typing import Final

from proxy.config.errors import UnacceptableError
from proxy.config.schema import Rate

_DURATION_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SIZE: Final = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?)(B|[KMGT]i?B)")
_RATE: Final = re.compile(r"([0-9]{1,9})/([smh])")
_LOOSE: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*/?\s*(?:per\s+)?([a-z]{0,12})\s*")

# Largest first: so compound durations are written, and so the shortest form is found.
_MILLISECONDS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
# A kilobyte is 1024 octets, as in nginx, whose sizes most users bring along; "KiB" is accepted for the same.
_OCTETS: Final = {"TB": 1024**4, "GB": 1024**3, "MB": 1024**2, "KB": 1024, "B": 1}
_RATE_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}

_DURATION_WORDS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_SIZE_WORDS: Final = {
    **dict.fromkeys(("", "b", "byte", "bytes", "octets"), "B"),
    **dict.fromkeys(("k", "kb", "kib"), "KB"),
    **dict.fromkeys(("m", "mb", "mib", "megabytes"), "MB"),
    **dict.fromkeys(("g", "gb", "gib", "gigabytes"), "GB"),
    **dict.fromkeys(("t", "tb", "tib"), "TB"),
}
_RATE_WORDS: Final = {
    **dict.fromkeys(("s", "sec", "second", "rps"), "s"),
    **dict.fromkeys(("", "m", "min", "minute", "rpm"), "m"),
    **dict.fromkeys(("h", "hr", "hour"), "h"),
}

DAY: Final = 86_400.0
YEAR: Final = 365 * DAY


def parse_duration(value: object, *, least: float = 0.0, most: float = 10 * YEAR) -> float:
    """Return the seconds of a duration such as "250ms", "3s" or "1h30m"."""
    text = value if isinstance(value, str) else ""
    units = [unit for _, unit in _DURATION_PART.findall(text)]
    in_order = sorted(set(units), key=list(_MILLISECONDS).index)
    if not _DURATION.fullmatch(text) or units != in_order:
        raise UnacceptableError('a duration such as "3s", "250ms" or "10m"', _meant(value, _DURATION_WORDS))
    milliseconds = sum(float(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if milliseconds != int(milliseconds):
        raise UnacceptableError("a duration in whole milliseconds")
    seconds = milliseconds / 1000
    if not least <= seconds <= most:
        bounds = f'between "{format_duration(least)}" and "{format_duration(most)}"'
        raise UnacceptableError(f"a duration {bounds}")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration in the largest unit that divides it; one minute is 60 seconds, as people write it."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 60_000:
        return "60s"
    unit = next(unit for unit, factor in _MILLISECONDS.items() if milliseconds % factor == 0)
    return f"{milliseconds // _MILLISECONDS[unit]}{unit}" if milliseconds else "0s"


def parse_size(value: object, *, least: int = 0, most: int = 1024**5) -> int:
    """Return the octets of a size such as "500B", "32KB" or "64MB"."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UnacceptableError('a size such as "100MB"', _meant(value, _SIZE_WORDS))
    octets = float(match[1]) * _OCTETS[match[2].replace("i", "")]
    if octets != int(octets):
        raise UnacceptableError("a size in whole bytes")
    if not least <= octets <= most:
        raise UnacceptableError(f'a size between "{format_size(least)}" and "{format_size(most)}"')
    return int(octets)


def format_size(octets: int) -> str:
    """Write a size in the largest unit that divides it."""
    unit = next(unit for unit, factor in _OCTETS.items() if octets % factor == 0)
    return f"{octets // _OCTETS[unit]}{unit}" if octets else "0B"


def parse_rate(value: object) -> Rate | None:
    """Return a rate such as "150/m", or None for "off"."""
    if value == "off":
        return None
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        meant = value.replace("r/", "/") if isinstance(value, str) else value  # nginx writes 10r/s
        raise UnacceptableError('a rate such as "150/m" or "10/s", or "off"', _meant(meant, _RATE_WORDS, "/"))
    if int(match[1]) == 0:
        raise UnacceptableError("a rate above 0", 'write "off" to switch the limit off')
    return Rate(count=int(match[1]), seconds=_RATE_SECONDS[match[2]])


def format_rate(rate: Rate | None) -> str:
    """Write a rate as the file has it."""
    if rate is None:
        return "off"
    unit = next(unit for unit, seconds in _RATE_SECONDS.items() if seconds == rate.seconds)
    return f"{rate.count}/{unit}"


def _meant(value: object, words: dict[str, str], separator: str = "") -> str:
    """Guess what a number with a wrong unit, or with none, was to say."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**12:
        text = str(value)
    else:
        return ""
    if text.startswith("-"):
        return "it cannot be negative"
    match = _LOOSE.fullmatch(text.lower())
    unit = words.get(match[2]) if match else None
    return f'did you mean "{match[1]}{separator}{unit}"?' if match and unit else ""
