"""Find the site for a Host and the route for a path (RFC 3986 section 6.2.2).

A path is compared in a normal form, so that no spelling of it gets around a rule: percent-encoded
unreserved characters decoded, dot segments removed, empty segments merged.  The upstream gets the raw
octets all the same.
"""

import re
from typing import Final, Generic, TypeVar

_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_DOT_SEGMENT: Final = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:/|\Z)")

_Value = TypeVar("_Value")


def normalise_path(target: bytes) -> bytes:
    """Return the path of an origin-form target in the form that rules are compared with; "*" stays as it
    is."""
    path = target.partition(b"?")[0]
    if b"%" in path:
        path = _ENCODED.sub(_decode_unreserved, path)
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments[1:]:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment and segment != b".":
            kept.append(segment)
    ends_as_folder = segments[-1] in (b"", b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if kept and ends_as_folder else b"")


def _decode_unreserved(match: re.Match[bytes]) -> bytes:
    octet = int(match[1], 16)
    return bytes((octet,)) if octet in _UNRESERVED else match[0].upper()


class PrefixTable(dict[bytes, _Value], Generic[_Value]):
    """The longest prefix at a segment boundary wins; the cost grows with the path's depth, not with the
    table.

    A prefix "/api" covers "/api" and "/api/x", not "/apix"; a prefix "/api/" covers the same, so that a
    rule for a folder is never escaped by leaving out the slash. As a dictionary it tells without a call whether
    it is empty, which every request asks.
    """

    __slots__ = ("_deepest",)

    def __init__(self, prefixes: dict[str, _Value]) -> None:
        super().__init__((prefix.encode().rstrip(b"/"), value) for prefix, value in prefixes.items())
        self._deepest = max((prefix.count(b"/") for prefix in self), default=0)

    def find(self, path: bytes) -> _Value | None:
        """Return the value of the longest prefix of a normalised path, else None."""
        segments = path.split(b"/", self._deepest + 1)[: self._deepest + 1]
        for depth in range(len(segments), 0, -1):
            value = self.get(b"/".join(segments[:depth]))
            if value is not None:
                return value
        return None


def strip_path_prefix(target: bytes, prefix: bytes) -> bytes:
    """Return an origin-form target without a route's prefix, still beginning with "/".

    Where the target spells the prefix in another way, or holds dot segments, which could lead out of the prefix
    once it is gone, its normal form is used instead of its raw octets.
    """
    prefix = prefix.rstrip(b"/")
    path, mark, query = target.partition(b"?")
    spelled = path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")
    if not spelled or _DOT_SEGMENT.search(path) is not None:
        path = normalise_path(target)
    rest = path[len(prefix) :]
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    return rest + mark + query
