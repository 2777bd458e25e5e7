"""The counters of one worker: plain 64-bit words in memory that the supervisor reads.

Theory of operation. Each worker has a region of shared memory of its own and is its only writer, so that
adding to a word takes no lock. The region starts with the counters of the process and goes on with one block
per site; which site owns which block is the supervisor's decision, which it never takes back. Nothing is ever
reset: when a worker ends, the supervisor adds its words to those of the workers that ended before it.

Durations are kept as histograms (one word per bucket, not cumulative) and a sum in nanoseconds. Blocks that
no site uses cost no memory, because nobody touches their pages.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

COUNTERS_KIND: Final = "counters"
COUNTERS_LAYOUT: Final = 1

CACHE_OUTCOMES: Final = ("NONE", "HIT", "MISS", "STALE", "BYPASS", "COLLAPSED", "REVALIDATED")

# What is counted by itself; every other status counts as "other", which keeps the set of labels bounded.
STATUS_CODES: Final = (
    *(101, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226),
    *(300, 301, 302, 303, 304, 305, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418),
    *(421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499),
    *(500, 501, 502, 503, 504, 505, 507, 508, 511),
)
STATUS_LABELS: Final = (*map(str, STATUS_CODES), "other")

# Upper bounds in seconds; a last bucket takes what is longer than all of them.
DURATION_BOUNDS: Final[tuple[float, ...]] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_BUCKETS: Final = len(DURATION_BOUNDS) + 1

BYPASS_REASONS: Final = (
    *("disabled", "method", "upgrade", "content", "range", "precondition", "credentials", "no-store"),
    *("private", "set-cookie", "vary", "status", "expired", "stream", "too-large", "truncated"),
    *("invalidated", "known-uncacheable", "busy", "other"),
)
UPSTREAM_ERRORS: Final = (
    *("unresolved", "unhealthy", "refused", "connect-timeout", "first-byte-timeout", "read-timeout"),
    *("reset", "tls", "invalid", "other"),
)
PARSE_ERROR_KINDS: Final = (
    *("bare-cr-lf", "chunk-end", "chunk-extensions", "chunk-line", "coding-in-http10", "content-length"),
    *("expectation", "field-syntax", "head-too-large", "host", "length-and-coding", "method", "request-line"),
    *("target", "target-too-long", "too-many-fields", "trailers", "transfer-encoding", "version", "other"),
)
HANDSHAKE_FAILURES: Final = (
    *("client_left", "timeout", "plain_http", "not_tls", "malformed", "unrecognized_name"),
    *("no_application_protocol", "no_certificate", "too_many_held", "tls", "client_alert"),
)

# The counters of a process: what WorkerCounters.add takes.
HTTP_OPENED: Final = 0
HTTP_CLOSED: Final = 1
HTTPS_OPENED: Final = 2
HTTPS_CLOSED: Final = 3
UPGRADED_OPENED: Final = 4
UPGRADED_CLOSED: Final = 5
HANDSHAKES_FULL: Final = 6
HANDSHAKES_RESUMED: Final = 7
HANDSHAKES_FAILED: Final = 8
HANDSHAKES_TIMED_OUT: Final = 9
HANDSHAKES_NAME_REFUSED: Final = 10
PROXY_PROTOCOL_ERRORS: Final = 11
CLOSED_AT_LIMIT: Final = 12
REFUSED_PER_ADDRESS: Final = 13
REFUSED_BY_FIREWALL: Final = 14
HEAD_TIMEOUTS: Final = 15
BODY_TIMEOUTS: Final = 16
SEND_TIMEOUTS: Final = 17
TOO_SLOW: Final = 18
LOG_LINES_DROPPED: Final = 19
INTERNAL_ERRORS: Final = 20
LIMITER_BUSY: Final = 21
CACHE_BUSY: Final = 22
UPSTREAM_OPENED: Final = 23
UPSTREAM_CLOSED: Final = 24
UPSTREAM_REUSED: Final = 25
GATEWAY_PEERS: Final = 26
CACHE_EVICTED: Final = 27
FIRST_PARSE_ERROR: Final = 32
FIRST_HANDSHAKE_FAILURE: Final = 52
PROCESS_WORDS: Final = 64

# Each pair tells what is open now: opened less closed.
OPEN_PAIRS: Final = (
    (HTTP_OPENED, HTTP_CLOSED),
    (HTTPS_OPENED, HTTPS_CLOSED),
    (UPGRADED_OPENED, UPGRADED_CLOSED),
    (UPSTREAM_OPENED, UPSTREAM_CLOSED),
)

# Words within a site's block.
REQUESTS: Final = 0
DURATION_BUCKETS: Final = REQUESTS + len(STATUS_LABELS) * len(CACHE_OUTCOMES)
DURATION_SUM: Final = DURATION_BUCKETS + _BUCKETS
UPSTREAM_BUCKETS: Final = DURATION_SUM + 1
UPSTREAM_SUM: Final = UPSTREAM_BUCKETS + _BUCKETS
RECEIVED: Final = UPSTREAM_SUM + 1
SENT: Final = RECEIVED + 1
LIMITED: Final = SENT + 1
LIMITED_DRY_RUN: Final = LIMITED + 1
DENIED: Final = LIMITED_DRY_RUN + 1
RETRIES: Final = DENIED + 1
STORED: Final = RETRIES + 1
BYPASSED: Final = STORED + 1
UPSTREAM_FAILED: Final = BYPASSED + len(BYPASS_REASONS)
SITE_WORDS: Final = 512  # one page of 4 KB, with room to grow

MAX_SITES: Final = 4096
NO_SITE: Final = 0  # the block of requests that belong to no site, and of sites beyond MAX_SITES
COUNTERS_SIZE: Final = 8 * (PROCESS_WORDS + MAX_SITES * SITE_WORDS)

_BOUNDS_NS: Final = tuple(round(bound * 1_000_000_000) for bound in DURATION_BOUNDS)
_SHORTEST: Final = _BOUNDS_NS[0]  # most requests take less: a comparison in place of a search
_FIRST_OF_STATUS: Final = [(len(STATUS_LABELS) - 1) * len(CACHE_OUTCOMES)] * 1000
for _position, _code in enumerate(STATUS_CODES):
    _FIRST_OF_STATUS[_code] = _position * len(CACHE_OUTCOMES)


def _numbered(names: tuple[str, ...]) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(names)}


_BYPASS_NUMBERS: Final = _numbered(BYPASS_REASONS)
_UPSTREAM_ERROR_NUMBERS: Final = _numbered(UPSTREAM_ERRORS)
_PARSE_ERROR_NUMBERS: Final = _numbered(PARSE_ERROR_KINDS)


class SiteCounters:
    """Count what happens to the requests of one site; every method is O(1) and allocates next to nothing."""

    __slots__ = (
        "_base",
        "_duration",
        "_duration_sum",
        "_received",
        "_sent",
        "_upstream",
        "_upstream_sum",
        "_words",
    )

    def __init__(self, words: memoryview, block: int) -> None:
        """Write into block `block` of a worker's words."""
        base = PROCESS_WORDS + block * SITE_WORDS
        self._words = words
        self._base = base
        self._duration = base + DURATION_BUCKETS
        self._duration_sum = base + DURATION_SUM
        self._upstream = base + UPSTREAM_BUCKETS
        self._upstream_sum = base + UPSTREAM_SUM
        self._received = base + RECEIVED
        self._sent = base + SENT

    def request(self, status: int, outcome: int, nanoseconds: int, received: int, sent: int) -> None:
        """Count a finished request: status code, index into CACHE_OUTCOMES, duration, octets in and out.

        The duration comes from a monotonic clock: a negative one raises ValueError.
        """
        words = self._words
        words[self._base + _FIRST_OF_STATUS[status] + outcome] += 1
        bucket = bisect_left(_BOUNDS_NS, nanoseconds) if nanoseconds > _SHORTEST else 0
        words[self._duration + bucket] += 1
        words[self._duration_sum] += nanoseconds
        if received:  # few requests have content, and adding to a word costs 0.13 µs
            words[self._received] += received
        words[self._sent] += sent

    def upstream(self, nanoseconds: int) -> None:
        """Count an upstream's answer: the time from sending the request to the first octet of the response."""
        words = self._words
        words[self._upstream + bisect_left(_BOUNDS_NS, nanoseconds)] += 1
        words[self._upstream_sum] += nanoseconds

    def upstream_failed(self, reason: str) -> None:
        """Count an attempt that brought no response; a reason outside UPSTREAM_ERRORS counts as "other"."""
        number = _UPSTREAM_ERROR_NUMBERS.get(reason, len(UPSTREAM_ERRORS) - 1)
        self._words[self._base + UPSTREAM_FAILED + number] += 1

    def retried(self) -> None:
        """Count a request that was sent to an upstream a second time."""
        self._words[self._base + RETRIES] += 1

    def limited(self, n: int = 1) -> None:
        """Count requests that the rate limiter refused."""
        self._words[self._base + LIMITED] += n

    def limited_dry_run(self, n: int = 1) -> None:
        """Count requests that the rate limiter would have refused."""
        self._words[self._base + LIMITED_DRY_RUN] += n

    def denied(self) -> None:
        """Count a request that the firewall refused."""
        self._words[self._base + DENIED] += 1

    def stored(self) -> None:
        """Count a response that went into the cache."""
        self._words[self._base + STORED] += 1

    def bypassed(self, reason: str) -> None:
        """Count a request that the cache could not serve; outside BYPASS_REASONS it counts as "other"."""
        number = _BYPASS_NUMBERS.get(reason, len(BYPASS_REASONS) - 1)
        self._words[self._base + BYPASSED + number] += 1


class WorkerCounters:
    """Count what happens in one worker; the words belong to this process alone."""

    __slots__ = ("_sites", "_words")

    def __init__(self, words: memoryview) -> None:
        """Write into the words of a region of COUNTERS_SIZE octets."""
        self._words = words
        self._sites: dict[int, SiteCounters] = {}

    def site(self, index: int) -> SiteCounters:
        """Return the counters of a site's block; requests of no site belong to NO_SITE."""
        counters = self._sites.get(index)
        if counters is None:
            if not 0 <= index < MAX_SITES:
                raise ValueError(f"there is no block {index} for a site: 0 to {MAX_SITES - 1}")
            counters = self._sites[index] = SiteCounters(self._words, index)
        return counters

    def add(self, counter: int, n: int = 1) -> None:
        """Add to one of the counters of the process, such as HTTP_OPENED; never less than 0."""
        self._words[counter] += n

    def parse_error(self, kind: str) -> None:
        """Count a malformed message by its `MessageError.kind`; an unknown kind counts as "other"."""
        number = _PARSE_ERROR_NUMBERS.get(kind, len(PARSE_ERROR_KINDS) - 1)
        self._words[FIRST_PARSE_ERROR + number] += 1

    def open(self, opened: int, closed: int) -> int:
        """Tell how many are open now, for one of OPEN_PAIRS."""
        words: memoryview = self._words
        difference: int = words[opened] - words[closed]
        return difference
