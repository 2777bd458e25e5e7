"""Range requests answered from a stored full response (RFC 9110 section 14)."""

import re
from enum import Enum
from typing import Final

#: Longer numbers name no octet of anything that is stored.
_MAX_DIGITS: Final = 18
_SPEC: Final = re.compile(rb"([0-9]*)-([0-9]*)")
_UNIT: Final = re.compile(rb"bytes=", re.IGNORECASE)


class RangeVerdict(Enum):
    """What becomes of a Range that is not one satisfiable range."""

    IGNORE = "ignore"
    UNSATISFIABLE = "unsatisfiable"
    SEVERAL = "several"


def select_range(value: bytes, length: int) -> tuple[int, int] | RangeVerdict:
    """Return the first octet's position and the one behind the last, for content of `length` octets.

    A malformed Range, or one in another unit, is ignored (section 14.2); several ranges are the upstream's.
    """
    unit = _UNIT.match(value)
    if unit is None:
        return RangeVerdict.IGNORE
    specs = [spec for part in value[unit.end() :].split(b",") if (spec := part.strip(b" \t"))]
    matches = [_SPEC.fullmatch(spec) for spec in specs]
    if not specs or any(match is None or not _is_valid(match[1], match[2]) for match in matches):
        return RangeVerdict.IGNORE
    if len(specs) > 1:
        return RangeVerdict.SEVERAL
    first_digits, _, last_digits = specs[0].partition(b"-")
    first = 0
    end = length
    if not first_digits:
        first = max(0, length - _number(last_digits))
    else:
        first = _number(first_digits)
        if last_digits:
            end = min(length, _number(last_digits) + 1)
    return (first, end) if first < end else RangeVerdict.UNSATISFIABLE


def _number(digits: bytes) -> int:
    significant = digits.lstrip(b"0") or b"0"
    return 10**_MAX_DIGITS if len(significant) > _MAX_DIGITS else int(significant)


def _is_valid(first: bytes, last: bytes) -> bool:
    if not first:
        return bool(last)
    return not last or _number(first) <= _number(last)
