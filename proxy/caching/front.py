"""Each worker's own map of parsed entries in front of the shared store: where a hit is found within a microsecond.

An entry comes in when it is asked for the second time (the first time stored it), so that a flood of requests
that are never repeated leaves the map as it is. It is bounded in octets and first in, first out: entries live
for seconds, and keeping the order of their use would cost each hit more than it could save. While it is full of what is
still fresh, only one newcomer in eight is let in: else more entries than fit, asked for in turn, would push out each
other just before they are asked for again.
"""

from collections import OrderedDict
from enum import Enum
from typing import Final

from proxy.caching.identity import Identity
from proxy.caching.outcomes import Forward, Outcome, forwarded_lines, hit_lines
from proxy.caching.record import SECOND, Stored
from proxy.caching.rendering import Shaped, prefix_of, shape
from proxy.caching.store import Found, Store
from proxy.caching.vary import selecting_values

#: What Python needs for an entry with three tokens besides its octets, by tracemalloc and rounded up (860 with one).
_OVERHEAD: Final = 1152

#: While the map is full, one entry in so many takes the place of the oldest.
_CROWD: Final = 8

#: Base, target and digest; a variant's digest may follow.
_FrontKey = tuple[bytes, ...]
_WITHOUT_VARIANT: Final = 3


class Freshness(Enum):
    """What a stored response is good for (RFC 9111 section 4.2, RFC 5861)."""

    FRESH = "fresh"
    #: Served now, while one request fetches it anew.
    REVALIDATE = "revalidate"
    #: Served if the upstream fails.
    ON_ERROR = "on-error"
    #: Good for nothing but its validators.
    EXPIRED = "expired"


def freshness_of(stored: Stored, now: int) -> Freshness:
    """Say what a stored response is good for; `now` in nanoseconds of the shared clock."""
    if now < stored.fresh_until:
        return Freshness.FRESH
    if now < stored.revalidate_until:
        return Freshness.REVALIDATE
    return Freshness.ON_ERROR if now < stored.error_until else Freshness.EXPIRED


class Entry:
    """A stored response ready to be sent; `prefix` ends before Age and the status lines, `body` is all content."""

    __slots__ = ("body", "born", "fresh_until", "generation", "prefix", "size", "status", "stored")

    def __init__(self, stored: Stored, generation: int) -> None:
        self.stored = stored
        self.status = stored.status
        self.prefix = prefix_of(stored.status, stored.reason, stored.block, len(stored.body))
        self.body = stored.body
        self.born = stored.born
        self.fresh_until = stored.fresh_until
        self.generation = generation
        self.size = _OVERHEAD + len(self.prefix) + len(stored.block) + len(stored.body)

    def age_line(self, now: int) -> bytes:
        """Return Age alone, for an answer that was fetched or confirmed while its request waited."""
        return b"Age: %d\r\n" % ((now - self.born) // SECOND)

    def moment_lines(self, now: int) -> bytes:
        """Return Age, Cache-Status and X-Cache-Status for this moment (nanoseconds of the shared clock)."""
        return hit_lines((now - self.born) // SECOND, (self.fresh_until - now) // SECOND)

    def failed_lines(self, now: int, status: int = 0) -> bytes:
        """Return the same when it stands in for an answer that failed; `status` is the upstream's, 0 without one."""
        return self.age_line(now) + forwarded_lines(Outcome.STALE, Forward.STALE, status=status)

    def shape(self, method: bytes, identity: Identity, wall: float) -> Shaped | None:
        """Answer a GET or HEAD as `rendering.shape` does; None: it has to go to the upstream by itself."""
        shaped = shape(self.stored, self.prefix, method, identity, wall)
        return shaped if isinstance(shaped, Shaped) else None


class Varying:
    """Stands for a resource whose responses vary; they lie under the digest of the fields it names."""

    __slots__ = ("fresh_until", "names", "size")

    def __init__(self, names: tuple[bytes, ...], fresh_until: int) -> None:
        self.names = names
        self.fresh_until = fresh_until  # until when it leads to anything
        self.size = _OVERHEAD


class Front:
    """Answer lookups from the worker's own map, or from the shared store behind it."""

    __slots__ = ("_entries", "_generation", "_limit", "_turned_away", "octets", "store")

    def __init__(self, store: Store, *, limit: int = 16 * 1024 * 1024) -> None:
        """Keep up to `limit` octets of entries in this process."""
        self.store = store
        self.octets = 0
        self._limit = limit
        self._turned_away = 0
        self._generation = store.invalidations.generation
        self._entries: OrderedDict[_FrontKey, Entry | Varying] = OrderedDict()

    def lookup(self, base: bytes, target: bytes, identity: Identity, now: int) -> Entry | None:
        """Return a fresh, valid entry from the map alone: the path of nearly every hit.

        Times are nanoseconds of the shared clock. None: ask `find`.
        """
        entry = self._entries.get((base, target, identity.digest))
        if type(entry) is Varying:
            variant = identity.variant(entry.names, selecting_values)
            entry = self._entries.get((base, target, identity.digest, variant))
        if type(entry) is not Entry or now >= entry.fresh_until:
            return None
        if self._generation[0] != entry.generation:
            return self._confirmed(entry)
        return entry

    def find(self, base: bytes, target: bytes, identity: Identity, now: int) -> tuple[Found, Entry | None]:
        """Look into the shared store; the entry is valid, but fresh only if `freshness_of` says so."""
        return self._found(self.store.get(base, target, identity, now), base, target, identity, now)

    def find_again(
        self, key: bytes, base: bytes, target: bytes, identity: Identity, now: int
    ) -> tuple[Found, Entry | None]:
        """Look for what `find` has looked for; `key` is what it found it under."""
        return self._found(self.store.look(key, identity, now), base, target, identity, now)

    def _found(
        self, found: Found, base: bytes, target: bytes, identity: Identity, now: int
    ) -> tuple[Found, Entry | None]:
        if found.stored is None:
            return found, None
        generation = self.store.invalidations.confirm(found.stored.stamp)
        if generation is None:
            return found, None
        entry = Entry(found.stored, generation)
        if now < entry.fresh_until:
            self._keep(base, target, identity, found.names, entry, now)
        return found, entry

    def _confirmed(self, entry: Entry) -> Entry | None:
        """Look whether what was invalidated since the last time concerns an entry."""
        generation = self.store.invalidations.confirm(entry.stored.stamp)
        if generation is None:
            return None
        entry.generation = generation
        return entry

    def _keep(
        self, base: bytes, target: bytes, identity: Identity, names: tuple[bytes, ...], entry: Entry, now: int
    ) -> None:
        key: _FrontKey = (base, target, identity.digest)
        if names:
            key = (*key, identity.variant(names, selecting_values))
        if entry.size > self._limit // 4 or self._is_too_crowded_for(key, entry, now):
            return
        if names:
            self._put(key[:_WITHOUT_VARIANT], Varying(names, entry.fresh_until))
        self._put(key, entry)
        while self.octets > self._limit:
            key, oldest = self._entries.popitem(last=False)
            self.octets -= _size_of(key, oldest)

    def _is_too_crowded_for(self, key: _FrontKey, entry: Entry, now: int) -> bool:
        """Say whether a newcomer is turned away for the sake of entries that are still fresh."""
        is_refreshed = key in self._entries and key[:_WITHOUT_VARIANT] in self._entries
        # Twice: where responses vary, two come in.
        if is_refreshed or self.octets + 2 * _size_of(key, entry) <= self._limit:
            return False
        oldest = next(iter(self._entries.values()), None)
        if oldest is None or now >= oldest.fresh_until:
            return False
        self._turned_away = (self._turned_away + 1) % _CROWD
        return self._turned_away != 0

    def _put(self, key: _FrontKey, entry: Entry | Varying) -> None:
        replaced = self._entries.pop(key, None)
        if replaced is not None:
            self.octets -= _size_of(key, replaced)
        self._entries[key] = entry
        self.octets += _size_of(key, entry)


def _size_of(key: _FrontKey, entry: Entry | Varying) -> int:
    return sum(map(len, key)) + entry.size
