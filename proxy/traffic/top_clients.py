"""Which clients are limited most, in bounded memory, and when the log says so.

Counting is Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k
elements in data streams", 2005): a client that is not among the counted ones takes the place of the least
counted, with that count as its possible error. So a flood of ever new clients cannot grow the memory, and
whoever is refused more often than one in `capacity` of all refusals is always listed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.traffic.limiter import RateLimitStore, TokenBucket

MINUTE_S: Final = 60.0
MINUTES: Final = 5
CAPACITY: Final = 100
# Turns a client's bucket into another, as unlikely to meet with a third one: the one that holds back log
# lines.
_LOG_MARK: Final = 0x9E37_79B9_7F4A_7C15
_ONCE_A_MINUTE: Final = TokenBucket(60_000_000, 1)
# All clients together: a flood from a million addresses must not become a flood of lines.
_ALL_BUCKET: Final = _LOG_MARK
_ALL: Final = TokenBucket.of(10, 1, 100)


@dataclass(frozen=True, slots=True)
class LimitedClient:
    """How often a client was refused: between `count - error` and `count` times."""

    client: str
    count: int
    error: int


class TopClients:
    """The most limited clients of the last five minutes, as one worker saw them."""

    __slots__ = ("_capacity", "_minute", "_minutes")

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Count at most `capacity` clients for each minute."""
        self._capacity = capacity
        self._minute = -MINUTES
        self._minutes = [_Counts(capacity) for _ in range(MINUTES)]

    def record(self, client: str, now: float, refusals: int = 1) -> None:
        """Count refusals of about `now` (monotonic seconds)."""
        minute = int(now // MINUTE_S)
        if minute != self._minute:
            self._turn_to(minute)
        self._minutes[minute % MINUTES].add(client, refusals)

    def limited(self, now: float) -> list[LimitedClient]:
        """List the clients of the last five minutes, the most limited first."""
        self._turn_to(int(now // MINUTE_S))
        return merge((counts.clients() for counts in self._minutes), self._capacity)

    def _turn_to(self, minute: int) -> None:
        """Empty the minutes that have begun since the last call."""
        if minute <= self._minute:
            return
        for passed in range(max(self._minute + 1, minute - MINUTES + 1), minute + 1):
            self._minutes[passed % MINUTES] = _Counts(self._capacity)
        self._minute = minute


class _Counts:
    """Space-Saving over one minute."""

    __slots__ = ("_capacity", "_counts", "_errors")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def add(self, client: str, refusals: int) -> None:
        counts = self._counts
        if client in counts:
            counts[client] += refusals
        elif len(counts) < self._capacity:
            counts[client] = refusals
        else:
            least = min(counts, key=counts.__getitem__)
            count = counts.pop(least)
            self._errors.pop(least, None)
            counts[client] = count + refusals
            self._errors[client] = count

    def clients(self) -> list[LimitedClient]:
        errors = self._errors
        return [LimitedClient(client, count, errors.get(client, 0)) for client, count in self._counts.items()]


def merge(lists: Iterable[Iterable[LimitedClient]], most: int = CAPACITY) -> list[LimitedClient]:
    """Add up what several minutes or workers counted; the `most` limited clients, the most limited first."""
    counts: dict[str, int] = {}
    errors: dict[str, int] = {}
    for clients in lists:
        for limited in clients:
            counts[limited.client] = counts.get(limited.client, 0) + limited.count
            errors[limited.client] = errors.get(limited.client, 0) + limited.error
    ordered = sorted(counts, key=lambda client: (-counts[client], client))
    return [LimitedClient(client, counts[client], errors[client]) for client in ordered[:most]]


def log_refusal_in(store: RateLimitStore, bucket: int, now_ns: int) -> int:
    """Tell in how many microseconds to log a refusal by this bucket, 0 for now.

    Once a minute, and ten lines a second in all, over all workers. It takes from buckets of their own in the same
    store, so no memory of log lines can grow.
    """
    return store.take(bucket ^ _LOG_MARK, _ONCE_A_MINUTE, now_ns) or store.take(_ALL_BUCKET, _ALL, now_ns)
