"""What else an app may take a path for than the proxy does (CWE-436), so that no spelling leads around a rule.

Theory of operation. The proxy compares rules with one normal form of a path (`router.normalise_path`). Apps and the
servers in front of them differ from it and from each other: they decode `%2F`, decode twice, take a
backslash for a slash, leave out `;parameters`, do not merge `//`, take `//x/` for an authority, do not resolve dot
segments, cut at an encoded `?`, take compatibility characters for what they look like (NFKC), or compare without
regard to case. A rule about a route must hold wherever one of these readings leads.

All of them are tried in combination, on paths that have something to be read differently; others have one reading.
"""

import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar
from unicodedata import normalize

from proxy.traffic.router import PrefixTable, normalise_path

#: A path that is longer and odd, or odd in many ways, may lead anywhere: to try all its readings would be a way to keep
#: us busy.
LONGEST: Final = 128
_MOST_TEXTS: Final = 8  # in a round
_ROUNDS: Final = 3  # of decoding
_REMEMBERED: Final = 512
#: What readers disagree about: parameters, backslashes, dot segments, empty segments, dots and blanks at the end of a
#: segment; the encoded forms of delimiters, of controls, of dots, of "%" itself; what an overlong UTF-8 sequence begins
#: with; blocks that hold compatibility forms of ASCII characters.
_ODD: Final = re.compile(
    rb"[;\\]|//|\.(?:/|\Z)|%20(?:/|\Z)"
    rb"|%(?:2[3FfEe5]|3[BbFf]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]|[Cc][01]|[Ee]0%[89]|[Ff]0%[89]"
    rb"|[Cc]2%[AaBb]|[Ee]2%(?:80%[Aa][4-6]|8[145]|9[23])|[Ee][Ff]%(?:[Aa][Cc]|[Bb][CcDd]))"
)
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0\x80[\x80-\xbf]{2}")
_CUT: Final = re.compile(rb"[?#\x00]")
_PARAMETERS: Final = re.compile(rb";[^/]*")
_TRAILING: Final = re.compile(rb"(?<=[^/. \x01-\x1f\x7f])[. \x01-\x1f\x7f]++(?=/|\Z)")

_Value = TypeVar("_Value")


def readings(target: bytes) -> frozenset[bytes] | None:
    """Return the paths that an origin-form target may be taken for; None when it may be anything."""
    path = target.partition(b"?")[0]
    if _ODD.search(path) is None:
        return frozenset((normalise_path(path),))
    if len(path) > LONGEST:
        return None
    found = {normalise_path(path)}
    for _ in range(_ROUNDS + 1):
        texts = {path}
        for change in _CHANGES:
            texts |= {change(text) for text in texts}
            if len(texts) > _MOST_TEXTS:
                return None
        for text in texts:
            found |= _resolutions(text)
        decoded = _OVERLONG.sub(_shortest, _ENCODED.sub(_octet, path))
        if decoded == path:
            break
        path = decoded
    return frozenset(found)


def _compatible(path: bytes) -> bytes:
    """Replace compatibility characters, such as full-width letters, by what they are compatible with."""
    if path.isascii():
        return path
    return normalize("NFKC", path.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _without_backslashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _cut(path: bytes) -> bytes:
    return _CUT.split(path, 1)[0]


def _without_parameters(path: bytes) -> bytes:
    return _PARAMETERS.sub(b"", path)


def _without_trailing(path: bytes) -> bytes:
    return _TRAILING.sub(b"", path)


#: What readers may do to a path, each or not, in the order in which one makes room for another.
_CHANGES: Final = (_compatible, _without_backslashes, _cut, _without_parameters, _without_trailing)


def _resolutions(path: bytes) -> set[bytes]:
    """Leave dot segments, or remove them: with empty segments merged, kept, or taken for the mark of an authority."""
    segments = path.split(b"/")[1:]
    found = {path, _resolved(segments, merge=True)}
    if b"//" in path:
        found.add(_resolved(segments, merge=False))
        if not segments[0]:
            found.add(_resolved(segments[2:], merge=True))
    return found


def _resolved(segments: list[bytes], *, merge: bool) -> bytes:
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b"." and (segment or not merge):
            kept.append(segment)
    return b"/" + b"/".join(kept)


def _octet(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def _shortest(match: re.Match[bytes]) -> bytes:
    """Return the character of an overlong sequence, if it is an ASCII one."""
    code = 0
    for octet in match[0][1:]:
        code = code << 6 | octet & 0x3F
    code |= (match[0][0] & 0x1F) << 6 if len(match[0]) == 2 else 0
    return bytes((code,)) if code < 0x80 else match[0]


class OtherReadings(Generic[_Value]):
    """Which values of a table of prefixes a target may belong to besides the one that its normal form leads to."""

    def __init__(self, prefixes: Mapping[str, _Value], default: _Value) -> None:
        """`default` belongs to whatever no prefix covers."""
        self._default = default
        self._every = tuple(dict.fromkeys((*prefixes.values(), default)))
        self._exact = PrefixTable(dict(prefixes))
        alike: dict[str, tuple[_Value, ...]] = {}
        for prefix, value in prefixes.items():
            alike[prefix.lower()] = (*alike.get(prefix.lower(), ()), value)
        self._without_case = PrefixTable(alike)
        self._remembered: dict[bytes, tuple[_Value, ...]] = {}

    def of(self, target: bytes) -> tuple[_Value, ...]:
        """Return every value that some reading of an origin-form target leads to, its normal form included."""
        path = target.partition(b"?")[0]
        found = self._remembered.get(path)
        if found is None:
            found = self._find(path)
            if len(path) > LONGEST:
                return found
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[path] = found
        return found

    def _find(self, path: bytes) -> tuple[_Value, ...]:
        paths = readings(path)
        if paths is None:
            return self._every
        found: dict[_Value, None] = {}
        for read in sorted(paths):  # in every worker in the same order
            exact = self._exact.find(read)
            found[self._default if exact is None else exact] = None
            found |= dict.fromkeys(self._without_case.find(read.lower()) or ())
        return tuple(found)
