"""What the cache did with a request and why: enums for code and metrics, field lines for clients (RFC 9211)."""

from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final

CACHE_NAME: Final = b"foregate"


class Outcome(IntEnum):
    """What X-Cache-Status says; the numbers are the places in the table of counters."""

    NONE = 0
    HIT = 1
    MISS = 2
    STALE = 3
    BYPASS = 4
    COLLAPSED = 5
    REVALIDATED = 6


class Reason(Enum):
    """Why a request was not answered from the cache, or its response not stored; the values name counters."""

    DISABLED = "disabled"
    METHOD = "method"
    UPGRADE = "upgrade"
    CONTENT = "content"
    RANGE = "range"
    PRECONDITION = "precondition"
    CREDENTIALS = "credentials"
    NO_STORE = "no-store"
    PRIVATE = "private"
    SET_COOKIE = "set-cookie"
    VARY = "vary"
    STATUS = "status"
    EXPIRED = "expired"
    STREAM = "stream"
    TOO_LARGE = "too-large"
    TRUNCATED = "truncated"
    INVALIDATED = "invalidated"
    KNOWN_UNCACHEABLE = "known-uncacheable"
    BUSY = "busy"


class Forward(Enum):
    """Why a request went to the upstream: the `fwd` parameter of Cache-Status (RFC 9211 section 2.2)."""

    BYPASS = b"bypass"
    METHOD = b"method"
    URI_MISS = b"uri-miss"
    VARY_MISS = b"vary-miss"
    STALE = b"stale"


@lru_cache(maxsize=1024)
def forwarded_lines(
    outcome: Outcome, forward: Forward, *, stored: bool = False, status: int = 0, reason: Reason | None = None
) -> bytes:
    """Return the field lines of a response that came from the upstream, for this request or one it joined.

    `status` is the upstream's when it differs from the client's (0: it does not); `reason` is told as detail.
    """
    parameters = [CACHE_NAME, b"fwd=" + forward.value]
    if status:
        parameters.append(b"fwd-status=%d" % status)
    if outcome is Outcome.COLLAPSED:
        parameters.append(b"collapsed")
    if stored:
        parameters.append(b"stored")
    if reason is not None:
        parameters.append(b"detail=" + reason.value.encode())
    return b"Cache-Status: %s\r\nX-Cache-Status: %s\r\n" % (b"; ".join(parameters), outcome.name.encode())


def bypassed_lines(reason: Reason) -> bytes:
    """Return the field lines of a response to a request that passed the cache by."""
    forward = Forward.METHOD if reason is Reason.METHOD else Forward.BYPASS
    return forwarded_lines(Outcome.BYPASS, forward, reason=reason)


@lru_cache(maxsize=4096)
def hit_lines(age: int, ttl: int) -> bytes:
    """Return Age and the status lines of an answer from the cache, both in seconds; stale ones have ttl < 0.

    RFC 9211 section 2.1 calls a stale answer without a question to the upstream a hit, too. An age below 0 is that
    of an answer which another worker stored after the request had begun.
    """
    outcome = b"HIT" if ttl >= 0 else b"STALE"
    return b"Age: %d\r\nCache-Status: %s; hit; ttl=%d\r\nX-Cache-Status: %s\r\n" % (
        max(0, age),
        CACHE_NAME,
        ttl,
        outcome,
    )
