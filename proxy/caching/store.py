"""The store that all workers share: responses by key and variant, in memory of exactly the configured size.

The supervisor calls `create_cache` and hands the three descriptors to its workers; each process, the supervisor
included (for `purge`), attaches once. Nothing here waits, and no Python object is kept for an entry.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from proxy.caching.claims import Claims
from proxy.caching.identity import Identity
from proxy.caching.invalidation import Invalidations
from proxy.caching.key import KEY_SIZE, cache_key, keyed_hash
from proxy.caching.layout import KIND, LAYOUT_VERSION, MAX_STRIPES, STRIPES, plan, region_size, stripes_for
from proxy.caching.marks import Marks
from proxy.caching.policy import Verdict
from proxy.caching.record import SECOND, RecordError, Stamp, Stored, Variants, decode, encode
from proxy.caching.ring import Put, Ring, format_ring
from proxy.caching.vary import MAX_VARIANTS, selecting_values
from proxy.shared_memory import SharedMemory, SharedMemoryError, StripedLock

#: Places in the lock file: the ring's stripes, then the purges, then the claims.
_PURGE_LOCK: Final = MAX_STRIPES
_FIRST_CLAIM_LOCK: Final = MAX_STRIPES + 1
#: How long it is remembered, beyond a response's own time, that its resource varies.
_VARIANTS_SECONDS: Final = 60


class CacheDescriptors(NamedTuple):
    """What a process inherits to share the cache; it must never close `locks` or `life` while it runs."""

    memory: int
    locks: int
    life: int


class Found(NamedTuple):
    """What is known of a request's key. `stored` is valid but perhaps stale; None: there is nothing.

    `fill_key` is what flights, claims and marks go by: the variant's key where it is known that responses vary.
    `varies` tells that the resource is stored, but not the variant asked for.
    """

    key: bytes
    fill_key: bytes
    names: tuple[bytes, ...]
    stored: Stored | None
    varies: bool


@dataclass(slots=True, kw_only=True)
class Fetched:
    """A complete response that the policy lets in. `block` as in `Stored`; `arrived` is its head's arrival (ns)."""

    status: int
    reason: bytes
    block: bytes
    body: bytes
    arrived: int
    verdict: Verdict
    stamp: Stamp
    _stored: Stored | None = field(default=None, init=False, repr=False, compare=False)

    def to_store(self) -> Stored:
        """Turn periods into moments, once."""
        if self._stored is None:
            verdict = self.verdict
            fresh_until = self.arrived + int(verdict.lifetime * SECOND)
            self._stored = Stored(
                status=self.status,
                reason=self.reason,
                block=self.block,
                body=self.body,
                born=self.arrived - verdict.initial_age * SECOND,
                fresh_until=fresh_until,
                revalidate_until=fresh_until + int(verdict.revalidate_for * SECOND),
                error_until=fresh_until + int(verdict.error_for * SECOND),
                stamp=self.stamp,
            )
        return self._stored


def create_cache(size: int, largest_object: int) -> CacheDescriptors:
    """Make the shared memory of a cache of exactly `size` octets (rounded down to a word), and its locks.

    `largest_object` is the largest `object_size` in the configuration. Raises ValueError for a size out of bounds.
    """
    content = region_size(size)
    stripes = stripes_for(size, largest_object)
    memory = SharedMemory.create(KIND, layout=LAYOUT_VERSION, size=content)
    memory.words[STRIPES] = stripes
    locks = StripedLock.create()
    format_ring(memory, plan(content, stripes))
    return CacheDescriptors(memory.descriptor, locks.descriptor, StripedLock.create().descriptor)


class Store:
    """One process's way into the shared cache; all times are nanoseconds of the clock that workers share."""

    __slots__ = ("_locks", "_memory", "_ring", "_secret", "claims", "invalidations", "marks", "stripes")

    def __init__(self, descriptors: CacheDescriptors, secret: bytes) -> None:
        """Attach; `secret` is the KeyRules' secret, the same in every process.

        Raises SharedMemoryError where the memory is another program's, NoOwnerLeftError with too many processes.
        """
        memory = SharedMemory.attach(descriptors.memory, KIND, layout=LAYOUT_VERSION)
        self.stripes: int = memory.words[STRIPES]
        if not 1 <= self.stripes <= MAX_STRIPES:
            raise SharedMemoryError(f"the shared cache has {self.stripes} stripes")
        layout = plan(memory.size, self.stripes)
        locks = StripedLock(descriptors.locks)
        life = StripedLock(descriptors.life, tries=1)
        self._memory = memory
        self._locks = locks, life
        self._secret = secret
        self._ring = Ring(memory, locks, layout, secret)
        self.invalidations: Final = Invalidations(memory, locks, layout, secret, lock_stripe=_PURGE_LOCK)
        self.marks: Final = Marks(memory, layout)
        self.claims: Final = Claims(memory, locks, life, layout, first_lock=_FIRST_CLAIM_LOCK)

    @classmethod
    def create(cls, size: int, secret: bytes, *, largest_object: int = 1 << 20) -> Self:
        """Make a cache for this process alone."""
        return cls(create_cache(size, largest_object), secret)

    @property
    def stored_octets(self) -> int:
        """Count the octets that records take, from all workers."""
        return self._ring.stored_octets

    @property
    def largest_octets(self) -> int:
        """Return how large a record can be, its fields and what it repeats of its key included."""
        return self._ring.largest_octets

    @property
    def evicted(self) -> int:
        """Count the records that this process pushed out although they were still of use."""
        return self._ring.evicted

    def get(self, base: bytes, target: bytes, identity: Identity, now: int) -> Found:
        """Look a request up; void responses are not found, stale ones are (see `freshness_of`)."""
        return self.look(cache_key(base, target, identity), identity, now)

    def look(self, key: bytes, identity: Identity, now: int) -> Found:
        """Look the request up whose key this is (`Found.key`)."""
        record = self._read(key)
        if not isinstance(record, Variants):
            return Found(key, key, (), self._valid(record), varies=False)
        if record.until <= now:
            return Found(key, key, (), None, varies=False)
        variant = identity.variant(record.names, selecting_values)
        variant_key = self._variant_key(key, variant)
        if not record.holds(variant):
            return Found(key, variant_key, record.names, None, varies=True)
        stored = self._read(variant_key)
        valid = None if isinstance(stored, Variants) else self._valid(stored)
        return Found(key, variant_key, record.names, valid, varies=valid is None)

    def put(self, key: bytes, identity: Identity, fetched: Fetched, now: int) -> Put:
        """Store a response under a request's key (`Found.key`), unless something voided it since its fetch began."""
        stored = fetched.to_store()
        if not self.invalidations.is_valid(fetched.stamp):
            return Put.INVALIDATED
        names = fetched.verdict.vary
        until = max(stored.fresh_until, stored.revalidate_until, stored.error_until)
        if not names:
            return self._write(key, stored, now, until)
        variant = identity.variant(names, selecting_values)
        outcome = self._write(self._variant_key(key, variant), stored, now, until)
        if outcome is not Put.STORED:
            return outcome
        return self._remember_variant(key, names, variant, now, until)

    def close(self) -> None:
        """Let go of the memory, but not of the locks: closing them would free what others of this process hold."""
        self._ring.close()
        self.invalidations.close()
        self._memory.close()

    def leave(self) -> None:
        """Let go of the locks, too, with whatever this process holds in them; for a process that goes on."""
        self.close()
        for locks in self._locks:
            locks.close()

    def _remember_variant(
        self, key: bytes, names: tuple[bytes, ...], variant: bytes, now: int, until: int
    ) -> Put:
        """Note at the resource's key that a variant is kept, unless that is known for as long as it is."""
        known = self._read(key)
        if not isinstance(known, Variants) or known.names != names or known.until <= now:
            known = Variants(names, (), until)
        elif known.until >= until and known.holds(variant):
            return Put.STORED
        lasting = until + _VARIANTS_SECONDS * SECOND
        return self._write(key, known.with_variant(variant, most=MAX_VARIANTS, until=lasting), now, until)

    def _valid(self, stored: Stored | None) -> Stored | None:
        return stored if stored is not None and self.invalidations.is_valid(stored.stamp) else None

    def variant_key(self, key: bytes, identity: Identity, names: tuple[bytes, ...]) -> bytes:
        """Return a request's `fill_key` under the fields that a response to it turns out to vary on."""
        return self._variant_key(key, identity.variant(names, selecting_values)) if names else key

    def _variant_key(self, key: bytes, variant: bytes) -> bytes:
        return keyed_hash(key + variant, self._secret, KEY_SIZE)

    def _read(self, key: bytes) -> Stored | Variants | None:
        octets = self._ring.get(key)
        if octets is None:
            return None
        try:
            return decode(octets)
        except RecordError:
            return None

    def _write(self, key: bytes, record: Stored | Variants, now: int, until: int) -> Put:
        return self._ring.put(key, encode(record), now=now // SECOND, until=until // SECOND)
