"""One fetch per key among all workers: who leads, who waits, and what if the leader dies.

Theory of operation. A claim is four words: key, owner, deadline, and the fingerprint of what was valid when the
fetch began. It is made and given back under a lock of its bucket, so that there is one leader. A claim is void
when its deadline is over, when its owner is dead, or when it began before an invalidation that the asking
request has to see (another fingerprint): then the asker takes it over.

An owner is a process: it holds a byte of the `life` locks from its start to its death, when the kernel frees it, at
whatever instruction and even before anybody has reaped it. A random token in the owner's word tells a
process from an earlier one under the same number. So waiters who ask every few milliseconds replace a leader
that has died at once; one that is stopped keeps its claims until their deadlines.

A claim that is half written is free: its key is stored last.
"""

import os
from enum import Enum
from typing import Final

from proxy.caching.layout import CLAIM_WORDS, OWNERS, Layout
from proxy.shared_memory import SharedMemory, StripedLock

_BUCKET: Final = 4
_LOCK_STRIPES: Final = 64
_NUMBER_SHIFT: Final = 56
_TOKEN_MASK: Final = (1 << _NUMBER_SHIFT) - 1
_KEY, _OWNER, _DEADLINE, _FINGERPRINT = range(CLAIM_WORDS)


class Claim(Enum):
    """What a claim came to. BUSY: somebody is in the table; ask again in a few milliseconds, or fetch."""

    LEAD = "lead"
    WAIT = "wait"
    BUSY = "busy"


class NoOwnerLeftError(Exception):
    """Say that more processes use the cache than it has places for."""


class Claims:
    """Decide among workers who fetches; an instance is a process's own."""

    __slots__ = (
        "_buckets",
        "_first_lock",
        "_life",
        "_locks",
        "_number",
        "_owner",
        "_owners",
        "_table",
        "_words",
    )

    def __init__(
        self, memory: SharedMemory, locks: StripedLock, life: StripedLock, layout: Layout, *, first_lock: int
    ) -> None:
        """Take a free owner's place for as long as this process lives; raises NoOwnerLeftError.

        `life` must be a lock file of its own, whose descriptor is never closed before the process ends.
        """
        self._words = memory.words
        self._locks = locks
        self._first_lock = first_lock
        self._life = life
        self._table = layout.claims
        self._buckets = layout.claim_count // _BUCKET
        self._owners = layout.owners
        self._number = next((number for number in range(OWNERS) if life.try_acquire(number)), -1)
        if self._number < 0:
            raise NoOwnerLeftError(f"more than {OWNERS} processes use one cache")
        token = int.from_bytes(os.urandom(8), "little") & _TOKEN_MASK
        self._owner = self._number << _NUMBER_SHIFT | token | 1
        self._words[self._owners + self._number] = self._owner

    def claim(self, key: bytes, fingerprint: int, *, now: int, deadline: int) -> Claim:
        """Ask to fetch a key. `fingerprint` is that of the stamp with which the fetch would begin now.

        LEAD obliges to call `release`. Times are nanoseconds of the shared clock.
        """
        number, bucket = self._bucket_of(key)
        stripe = self._first_lock + bucket % _LOCK_STRIPES
        if not self._locks.try_acquire(stripe):
            return Claim.BUSY
        try:
            free = -1
            for at, (word_key, owner, until, began) in self._slots_of(bucket):
                is_live = word_key != 0 and until > now and self._is_alive(owner)
                if is_live and word_key == number:
                    if began == fingerprint:
                        return Claim.WAIT
                    free = at
                    break
                if not is_live and free < 0:
                    free = at
            if free >= 0:
                self._write(free, number, deadline, fingerprint)
            # With all four taken by other keys this one is fetched without a claim.
            return Claim.LEAD
        finally:
            self._locks.release(stripe)

    def release(self, key: bytes, fingerprint: int) -> None:
        """Give a claim back when the fetch is over, however it ended; one that was taken over stays."""
        number, bucket = self._bucket_of(key)
        stripe = self._first_lock + bucket % _LOCK_STRIPES
        # Without the lock a claim that somebody else makes at this instant may be lost: then there are two fetches.
        is_locked = self._locks.try_acquire(stripe)
        try:
            for at, (word_key, owner, _, began) in self._slots_of(bucket):
                if word_key == number and owner == self._owner and began == fingerprint:
                    self._words[at + _KEY] = 0
        finally:
            if is_locked:
                self._locks.release(stripe)

    def _bucket_of(self, key: bytes) -> tuple[int, int]:
        number = int.from_bytes(key[16:24], "little") | 1
        return number, (number >> 1) % self._buckets

    def _slots_of(self, bucket: int) -> list[tuple[int, list[int]]]:
        """Return a bucket's claims as they are now, each with its place."""
        first = self._table + bucket * _BUCKET * CLAIM_WORDS
        words = self._words[first : first + _BUCKET * CLAIM_WORDS].tolist()
        return [(first + at, words[at : at + CLAIM_WORDS]) for at in range(0, len(words), CLAIM_WORDS)]

    def _write(self, at: int, number: int, deadline: int, fingerprint: int) -> None:
        words = self._words
        words[at + _KEY] = 0
        words[at + _OWNER] = self._owner
        words[at + _DEADLINE] = deadline
        words[at + _FINGERPRINT] = fingerprint
        words[at + _KEY] = number

    def _is_alive(self, owner: int) -> bool:
        """Say whether a claim's owner still runs: its number's word names it, and it holds its life lock."""
        if owner == self._owner:
            return True
        number = owner >> _NUMBER_SHIFT
        if number == self._number or self._words[self._owners + number] != owner:
            return False
        if self._life.try_acquire(number):
            self._life.release(number)
            return False
        return True
