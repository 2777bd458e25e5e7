"""A first-in-first-out ring of records in shared memory, with an index of 64-bit words in front of it.

Theory of operation. The ring has a few stripes, each with one writer at a time. A stripe is a window over an
endless tape: `head` is where the tape ends, and a record at tape position `v` lies at `v % stripe_size`. It is
whole and its own as long as `head - v <= stripe_size`. A writer takes the stripe's lock, moves `head` past what
it is about to write, and only then writes; so a reader that copies first and looks at `head` afterwards
knows whether anybody may have written into its copy. On top of that each record repeats its key and its
tape position, under a checksum that is keyed with the cache's secret.

What may happen to a writer at any instruction:
- killed before `head` moves: nothing has happened; after it: octets that no index word points to;
- killed before the index word is stored: a record that nobody finds;
- stopped: its stripe is busy, others use the other stripes, or do not store. Nobody waits.

The index is a hash table of buckets of eight words, looked at from first to last. A word holds a tag of the key,
a stripe and a tape position; it is replaced with one store. Two writers in one bucket may lose one of
their words, which costs a miss. Words whose record is overwritten are told by `head` and used again.
"""

import struct
from enum import Enum
from typing import Final

from proxy.caching.key import KEY_SIZE, keyed_hash
from proxy.caching.layout import BUCKET, GRAIN, STRIPE_WORDS, Layout
from proxy.shared_memory import SharedMemory, StripedLock

_CHECKSUM_SIZE: Final = 16
_HEAD: Final = struct.Struct(f"<QII{KEY_SIZE}s{_CHECKSUM_SIZE}s")
_COVERED_HEAD: Final = struct.Struct(f"<QII{KEY_SIZE}s")
_BEGINNING: Final = struct.Struct("<QII")

_POSITION_BITS: Final = 33
_POSITION_MASK: Final = (1 << _POSITION_BITS) - 1
_STRIPE_SHIFT: Final = _POSITION_BITS
_STRIPE_MASK: Final = 7
_TAG_SHIFT: Final = 36
#: A new tape begins here, so that no index word is 0, which means free.
_FIRST: Final = GRAIN
#: Each record is at most this part of its stripe, so that one cannot push out all others.
_LARGEST_SHARE: Final = 4


class Put(Enum):
    """What became of a record that was to be stored."""

    STORED = "stored"
    BUSY = "busy"
    TOO_LARGE = "too-large"
    INVALIDATED = "invalidated"


def format_ring(memory: SharedMemory, layout: Layout) -> None:
    """Prepare a new, zeroed region, before anybody else attaches to it."""
    for stripe in range(layout.stripes):
        head_at = layout.stripe_heads + stripe * STRIPE_WORDS
        memory.words[head_at] = memory.words[head_at + 1] = _FIRST


class Ring:
    """Keep records by key until newer ones need the room; `evicted` counts what this process pushed out too early."""

    __slots__ = ("_index", "_layout", "_locks", "_next_stripe", "_octets", "_secret", "_words", "evicted")

    def __init__(self, memory: SharedMemory, locks: StripedLock, layout: Layout, secret: bytes) -> None:
        self._words = memory.words
        self._octets = memory.octets
        self._locks = locks
        self._layout = layout
        self._secret = secret
        self._index = memory.words[layout.index : layout.index + layout.index_count]
        self._next_stripe = 0
        self.evicted = 0

    @property
    def largest_octets(self) -> int:
        """Return how large a record can be."""
        return self._layout.stripe_size // _LARGEST_SHARE - _HEAD.size

    @property
    def stored_octets(self) -> int:
        """Count the octets of the region that records take, from all workers."""
        heads = (self._head_of(stripe) for stripe in range(self._layout.stripes))
        taken = (self._words[head] - self._words[head + 1] for head in heads)
        return sum(octets for octets in taken if 0 <= octets <= self._layout.stripe_size)

    def put(self, key: bytes, record: bytes, *, now: int, until: int) -> Put:
        """Append a record, in place of what the key had before.

        It is of use until `until`, in whole seconds like `now`: giving way earlier counts as an eviction.
        """
        need = -(-(_HEAD.size + len(record)) // GRAIN) * GRAIN
        if need > self._layout.stripe_size // _LARGEST_SHARE:
            return Put.TOO_LARGE
        count = self._layout.stripes
        self._next_stripe = first = (self._next_stripe + 1) % count
        for further in range(count):
            stripe = (first + further) % count
            if self._locks.try_acquire(stripe):
                try:
                    start = self._reserve(stripe, need, now)
                    self._write(stripe, start, key, record, until)
                finally:
                    self._locks.release(stripe)
                self._enter(key, stripe, start)
                return Put.STORED
        return Put.BUSY

    def get(self, key: bytes) -> bytes | None:
        """Return a copy of the key's record, or None."""
        first, tag = self._bucket_of(key)
        for word in self._index[first : first + BUCKET].tolist():
            if word >> _TAG_SHIFT == tag and word:
                record = self._read(word, key)
                if record is not None:
                    return record
        return None

    def close(self) -> None:
        """Let go of the memory."""
        self._index.release()

    def _head_of(self, stripe: int) -> int:
        return self._layout.stripe_heads + stripe * STRIPE_WORDS

    def _bucket_of(self, key: bytes) -> tuple[int, int]:
        """Return where a key's bucket begins in the index, and the key's tag."""
        place = int.from_bytes(key[:8], "little")
        return place % self._layout.index_count // BUCKET * BUCKET, place >> _TAG_SHIFT

    def _reserve(self, stripe: int, need: int, now: int) -> int:
        """Move a locked stripe's head past a record's room, before anything is written; return its position."""
        size, head_at = self._layout.stripe_size, self._head_of(stripe)
        start: int = self._words[head_at]
        if start % size + need > size:
            start += size - start % size
        self._move_tail(stripe, start + need - size, now)
        self._words[head_at] = start + need
        return start

    def _write(self, stripe: int, start: int, key: bytes, record: bytes, until: int) -> None:
        """Write a record into the room reserved for it."""
        at = self._layout.records + stripe * self._layout.stripe_size + start % self._layout.stripe_size
        checksum = self._checksum(start, key, record, until)
        self._octets[at : at + _HEAD.size] = _HEAD.pack(start, len(record), until, key, checksum)
        self._octets[at + _HEAD.size : at + _HEAD.size + len(record)] = record

    def _move_tail(self, stripe: int, least: int, now: int) -> None:
        """Count the records that are about to be overwritten; the tail serves nothing but figures."""
        words, size = self._words, self._layout.stripe_size
        base = self._layout.records + stripe * size
        tail_at = self._head_of(stripe) + 1
        tail: int = words[tail_at]
        while tail < least:
            offset = tail % size
            position, length, until = _BEGINNING.unpack_from(self._octets, base + offset)
            if position == tail and 0 < length <= size - offset - _HEAD.size:
                self.evicted += until > now
                tail += -(-(_HEAD.size + length) // GRAIN) * GRAIN
            else:
                # What a record that did not fit has left at the end, or what a killed writer has left.
                tail = min(least, tail + size - offset)
        words[tail_at] = tail

    def _enter(self, key: bytes, stripe: int, position: int) -> None:
        """Point the index at a record: over the key's old word, a free one, or the one nearest to its end."""
        first, tag = self._bucket_of(key)
        oldest, chosen = -1, first
        for place, word in enumerate(self._index[first : first + BUCKET].tolist(), first):
            if word >> _TAG_SHIFT == tag or not word:
                chosen = place
                break
            age = self._age_of(word)
            if age > oldest:
                oldest, chosen = age, place
        units = position // GRAIN & _POSITION_MASK
        self._index[chosen] = tag << _TAG_SHIFT | stripe << _STRIPE_SHIFT | units

    def _tape_position(self, word: int, head: int) -> int:
        """Return the full position that an index word abbreviates."""
        end = head // GRAIN
        return (end - ((end - word) & _POSITION_MASK)) * GRAIN

    def _age_of(self, word: int) -> int:
        """Return how much was written behind an index word's record."""
        stripe = word >> _STRIPE_SHIFT & _STRIPE_MASK
        if stripe >= self._layout.stripes:
            return self._layout.stripe_size
        head = self._words[self._head_of(stripe)]
        return head - self._tape_position(word, head)

    def _read(self, word: int, key: bytes) -> bytes | None:
        """Copy the record behind an index word if it is the key's and was not written into meanwhile."""
        layout, words = self._layout, self._words
        stripe = word >> _STRIPE_SHIFT & _STRIPE_MASK
        if stripe >= layout.stripes:
            return None
        head_at, size = self._head_of(stripe), layout.stripe_size
        head = words[head_at]
        position = self._tape_position(word, head)
        offset = position % size
        if position < _FIRST or head - position > size or offset + _HEAD.size > size:
            return None
        at = layout.records + stripe * size + offset
        found_position, length, until, found_key, checksum = _HEAD.unpack_from(self._octets, at)
        if found_position != position or found_key != key or length > size - offset - _HEAD.size:
            return None
        record = self._copy(at + _HEAD.size, length)
        if words[head_at] - position > size or self._checksum(position, key, record, until) != checksum:
            return None
        return record

    def _copy(self, at: int, length: int) -> bytes:
        return bytes(self._octets[at : at + length])

    def _checksum(self, position: int, key: bytes, record: bytes, until: int) -> bytes:
        covered = _COVERED_HEAD.pack(position, len(record), until, key)
        return keyed_hash(covered, self._secret, _CHECKSUM_SIZE, record)
