"""Short memories about keys, shared by all workers: "not cacheable" and "its upstream fails".

One 64-bit word each, in a table without probing: 22 bits of tag, 2 of kind, 40 of an end in milliseconds. Two keys in
one place take turns, which costs a fetch or a wait; nothing depends on a mark being kept, and none outlives
its end. A mark is written with one store and needs no lock.
"""

from enum import Enum
from typing import Final

from proxy.caching.layout import Layout
from proxy.caching.record import SECOND
from proxy.shared_memory import SharedMemory

_TAG_SHIFT: Final = 42
_KIND_SHIFT: Final = 40
_END_MASK: Final = (1 << 40) - 1
_MILLISECOND: Final = 1_000_000
#: Kinds, and what keeps two of one key apart.
_PASS: Final = 1
_FAILING: Final = 2
_KIND_SPREAD: Final = (0, 0x9E3779B97F4A7C15, 0x3C6EF372FE94F82A)
#: How long after the end of a failing mark its upstream still has to prove itself.
_PROBATION_MS: Final = 60_000


class UpstreamState(Enum):
    """What is known of an upstream when a stale answer is at hand."""

    WORKING = "working"
    FAILING = "failing"
    PROBE_DUE = "probe-due"


class Marks:
    """Remember things about keys for a while. Times are nanoseconds of the shared clock."""

    __slots__ = ("_count", "_table", "_words")

    def __init__(self, memory: SharedMemory, layout: Layout) -> None:
        self._words = memory.words
        self._table = layout.marks
        self._count = layout.mark_count

    def set_uncacheable(self, key: bytes, now: int, seconds: float) -> None:
        """Remember that responses for this key cannot be stored, so that nobody waits for one."""
        self._set(key, _PASS, now + int(seconds * SECOND))

    def is_uncacheable(self, key: bytes, now: int) -> bool:
        """Say whether a fetch for this key is of no use to anybody else."""
        return self._end_of(key, _PASS) > now // _MILLISECOND

    def set_failing(self, scope: bytes, now: int, seconds: float) -> None:
        """Let stale answers be served without asking for a while; afterwards one request probes.

        `scope` is a key for errors of one resource, the route's upstream for connections that fail; at least
        16 octets. Who probes calls this first, for as long as the probe may take.
        """
        self._set(scope, _FAILING, now + int(seconds * SECOND))

    def set_working(self, scope: bytes) -> None:
        """Take back what `set_failing` said."""
        place, tag = self._place_of(scope, _FAILING)
        if self._end_at(place, tag, _FAILING):
            self._words[place] = 0

    def upstream_state(self, scope: bytes, now: int) -> UpstreamState:
        """Say whether a stale answer goes out at once, or the upstream is asked (first)."""
        end = self._end_of(scope, _FAILING)
        moment = now // _MILLISECOND
        if end > moment:
            return UpstreamState.FAILING
        return UpstreamState.PROBE_DUE if end and end + _PROBATION_MS > moment else UpstreamState.WORKING

    def _place_of(self, key: bytes, kind: int) -> tuple[int, int]:
        number = int.from_bytes(key[8:16], "little") ^ _KIND_SPREAD[kind]
        return self._table + (number & (self._count - 1)), number >> _TAG_SHIFT

    def _set(self, key: bytes, kind: int, end: int) -> None:
        place, tag = self._place_of(key, kind)
        self._words[place] = tag << _TAG_SHIFT | kind << _KIND_SHIFT | (end // _MILLISECOND & _END_MASK)

    def _end_of(self, key: bytes, kind: int) -> int:
        """Return when a mark ends, in milliseconds; 0 without one."""
        place, tag = self._place_of(key, kind)
        return self._end_at(place, tag, kind)

    def _end_at(self, place: int, tag: int, kind: int) -> int:
        word: int = self._words[place]
        return word & _END_MASK if word >> _KIND_SHIFT == tag << 2 | kind else 0
