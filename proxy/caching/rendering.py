"""Stored responses on their way to a client: whole, 304, a part, or without content (RFC 9110 sections 14, 15).

Everything but Age, Cache-Status, X-Cache-Status and connection fields is settled when a response is stored; a
prefix is status line, field lines and Content-Length, ready for the lines of the moment to follow.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from proxy.caching.conditional import field_values, if_range_holds, is_not_modified
from proxy.caching.identity import Identity
from proxy.caching.outcomes import Reason
from proxy.caching.ranges import RangeVerdict, select_range
from proxy.caching.record import Stored
from proxy.http1.writer import status_line
from proxy.semantics.dates import format_http_date

#: About the content, which a 304 does not have (RFC 9110 section 15.4.5).
_ABOUT_CONTENT: Final = frozenset(
    {b"content-encoding", b"content-language", b"content-length", b"content-range", b"content-type"}
)
#: Told anew with every answer.
_OF_THE_MOMENT: Final = frozenset(
    {b"age", b"x-cache-status", b"content-length", b"connection", b"keep-alive"}
)
_NOT_FROM_304: Final = _ABOUT_CONTENT | _OF_THE_MOMENT | {b"transfer-encoding", b"trailer", b"set-cookie"}
#: Longer field lines are looked at each time, so that what is remembered stays small.
_LONGEST_REMEMBERED: Final = 4096


class Shaped(NamedTuple):
    """An answer from the cache: `prefix` lacks the lines of the moment and the empty line."""

    status: int
    prefix: bytes
    content: bytes


def block_to_store(block: bytes, now: float) -> bytes:
    """Take what is told anew out of a response's field lines, and add Date if it has none.

    `now` is the time of its arrival in seconds since the epoch (RFC 9110 section 6.6.1).
    """
    if len(block) > _LONGEST_REMEMBERED:
        return _block_to_store(block, int(now))
    return _remembered_block(block, int(now))


def _block_to_store(block: bytes, now: int) -> bytes:
    lines = [line for line in block.split(b"\r\n") if line]
    names = [line.partition(b":")[0].lower() for line in lines]
    kept = [line + b"\r\n" for line, name in zip(lines, names, strict=True) if name not in _OF_THE_MOMENT]
    if b"date" not in names:
        kept.append(b"Date: %s\r\n" % format_http_date(now))
    return b"".join(kept)


# An app's responses of one second are often alike (4 µs less for a miss).
_remembered_block = lru_cache(maxsize=64)(_block_to_store)


def refreshed_block(block: bytes, not_modified: bytes) -> bytes:
    """Return a stored response's field lines as a 304's field lines change them (RFC 9111 section 3.2)."""
    news = [(line.partition(b":")[0].lower(), line) for line in not_modified.split(b"\r\n") if line]
    news = [(name, line) for name, line in news if name not in _NOT_FROM_304]
    replaced = {name for name, _ in news}
    kept = [line for line in block.split(b"\r\n") if line and line.partition(b":")[0].lower() not in replaced]
    return b"".join([line + b"\r\n" for line in (*kept, *(line for _, line in news))])


def prefix_of(status: int, reason: bytes, block: bytes, length: int) -> bytes:
    """Build a prefix; a 204 and a 304 have no Content-Length (RFC 9110 section 8.6)."""
    if status in (204, 304):
        return status_line(status, reason) + block
    return b"%b%bContent-Length: %d\r\n" % (status_line(status, reason), block, length)


def shape(stored: Stored, prefix: bytes, method: bytes, identity: Identity, now: float) -> Shaped | Reason:
    """Answer a GET or HEAD from a stored response, as its conditions and its range want it.

    `prefix` is that of the whole response, `now` in seconds since the epoch. A Reason says that the request has
    to go to the upstream after all (several ranges), by itself and unstored.
    """
    is_get = method == b"GET"
    if not identity.is_plain and stored.status == 200:
        request, response = identity.pairs, stored.pairs
        if is_not_modified(request, response, now):
            return Shaped(304, prefix_of(304, b"", block_of_304(stored.block), 0), b"")
        ranges = field_values(request, b"range")
        if is_get and ranges and _takes_ranges(response) and if_range_holds(request, response, now):
            partial = _partial(stored, b",".join(ranges))
            if partial is not None:
                return partial
    return Shaped(stored.status, prefix, stored.body if is_get else b"")


def _takes_ranges(response: tuple[tuple[bytes, bytes], ...]) -> bool:
    return all(value.strip().lower() != b"none" for value in field_values(response, b"accept-ranges"))


def block_of_304(block: bytes) -> bytes:
    """Return the field lines of a 304 that stands for a response with these."""
    lines = (line for line in block.split(b"\r\n") if line)
    return b"".join(
        [line + b"\r\n" for line in lines if line.partition(b":")[0].lower() not in _ABOUT_CONTENT]
    )


def _partial(stored: Stored, value: bytes) -> Shaped | Reason | None:
    """Answer one range; None: with the whole response."""
    length = len(stored.body)
    selected = select_range(value, length)
    if selected is RangeVerdict.IGNORE:
        return None
    if selected is RangeVerdict.SEVERAL:
        return Reason.RANGE
    if isinstance(selected, RangeVerdict):
        block = b"%bContent-Range: bytes */%d\r\n" % (block_of_304(stored.block), length)
        return Shaped(416, prefix_of(416, b"", block, 0), b"")
    first, end = selected
    block = b"%bContent-Range: bytes %d-%d/%d\r\n" % (stored.block, first, end - 1, length)
    return Shaped(206, prefix_of(206, b"", block, end - first), stored.body[first:end])
