"""Cache-Control, read so that what a sloppy origin server wanted forbidden stays forbidden (RFC 9111 section 5.2)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: RFC 9111 section 1.2.2: a delta-seconds that is too large to hold counts as 2^31.
LARGEST_DELTA: Final = 1 << 31
#: Longer ones are parsed each time, so that what is remembered stays small.
_LONGEST_REMEMBERED: Final = 256

# A comma or, seen from misconfigured origins, a semicolon ends a directive; quoted strings hold both.
_DIRECTIVE: Final = re.compile(
    rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(?:=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\",;]*)))?[ \t]*(?:[,;]|\Z)"
)
_EMPTY: Final = re.compile(rb"[ \t]*(?:[,;]|\Z)")
_DELTA: Final = re.compile(rb"[0-9]+")


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The directives of a response, in lower case, with their arguments; `is_malformed` if some were unreadable."""

    arguments: dict[bytes, tuple[bytes | None, ...]]
    is_malformed: bool

    def __contains__(self, directive: bytes) -> bool:
        """Say whether the directive is there, with or without an argument."""
        return directive in self.arguments

    def seconds(self, directive: bytes) -> int | None:
        """Return a directive's delta-seconds: the smallest if it comes twice, 0 if it is not a number.

        RFC 9111 section 4.2.1 wants a response with invalid freshness information to be considered stale.
        """
        found = self.arguments.get(directive)
        if found is None:
            return None
        return min(parse_delta(argument) for argument in found)


def parse_delta(argument: bytes | None) -> int:
    """Read a delta-seconds (RFC 9111 section 1.2.2); 0 for anything else."""
    if argument is None or _DELTA.fullmatch(argument) is None:
        return 0
    digits = argument.lstrip(b"0")
    return LARGEST_DELTA if len(digits) > 10 else min(int(digits or b"0"), LARGEST_DELTA)


def parse_cache_control(values: Sequence[bytes]) -> CacheControl:
    """Parse all Cache-Control field lines of a response together; origins say few different things again and again."""
    if sum(map(len, values)) <= _LONGEST_REMEMBERED:
        return _remembered(tuple(values))
    return _parse(values)


@lru_cache(maxsize=256)
def _remembered(values: tuple[bytes, ...]) -> CacheControl:
    return _parse(values)


def _parse(values: Iterable[bytes]) -> CacheControl:
    arguments: dict[bytes, tuple[bytes | None, ...]] = {}
    is_malformed = False
    for value in values:
        position = 0
        while position < len(value):
            match = _DIRECTIVE.match(value, position)
            if match is None:
                empty = _EMPTY.match(value, position)
                is_malformed = is_malformed or empty is None
                position = empty.end() if empty else _next_directive(value, position)
                continue
            name, quoted, plain = match.groups()
            argument = quoted if quoted is not None else plain.strip(b" \t") if plain is not None else None
            arguments[name.lower()] = (*arguments.get(name.lower(), ()), argument)
            position = match.end()
    return CacheControl(arguments, is_malformed)


def _next_directive(value: bytes, position: int) -> int:
    """Skip what cannot be read up to the next separator, quoted or not: rather see one too many."""
    ends = [end for separator in b",;" if (end := value.find(separator, position)) >= 0]
    return min(ends) + 1 if ends else len(value)
