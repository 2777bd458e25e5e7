"""Own writes and purges: what makes stored responses void in all workers at once (RFC 9111 section 4.4).

Theory of operation. A table of 64-bit words stands for targets and credentials, by keyed hash; two that share a
word invalidate too much, never too little. Invalidating stores a value that was never stored before. A fetch
notes the words of its target and of its credentials when it begins (`begin`), the stored response keeps
them, and it is valid as long as they are the same. So "the fetch began later than the write" needs no clock,
and no lock either: whatever two workers store at once, or one that was stopped stores too late, differs
from every value noted before, and no order of stores can make void responses valid again. (With times in
the words, a worker stopped between reading the clock and storing could take back a newer write.)

Every invalidation ends with a new value of one `generation` word. A front map remembers under which generation
it confirmed an entry, so that a hit looks at one word as long as nobody writes.

Purges name a site and a prefix of the decoded path. They lie in a ring of 64; a response older than all
64 is void.

The order of stores (the words, then the generation) must be the order in which others see them. x86 does that;
elsewhere the locks in `_fence`, which are barriers, see to it.
"""

import os
import struct
import threading
from collections.abc import Iterable
from typing import Final

from proxy.caching.identity import Identity
from proxy.caching.key import begun_digest, digest_of, frames_of
from proxy.caching.layout import GENERATION, PURGE_COUNT, PURGE_WORDS, PURGES, Layout
from proxy.caching.record import Stamp
from proxy.shared_memory import SharedMemory, StripedLock

_PURGE_HEAD: Final = struct.Struct("<8sH")
_PURGE_SIZE: Final = PURGE_WORDS * 8
_LONGEST_PREFIX: Final = _PURGE_SIZE - _PURGE_HEAD.size
_EVERY_SITE: Final = bytes(8)
_WORD_BYTES: Final = 8
_PURGE_TRIES: Final = 50
_SITES_REMEMBERED: Final = 4096


class _Site:
    """What is known of a site's name: its digest, and a hash that has taken all but a target's own octets."""

    __slots__ = ("_begun", "digest", "number")

    def __init__(self, name: bytes, secret: bytes) -> None:
        self.digest = digest_of(secret, b"site", name)[:_WORD_BYTES]
        self.number = int.from_bytes(self.digest, "little")
        self._begun = begun_digest(secret, b"target", name)

    def number_of(self, target: bytes) -> int:
        """Return the 64 bits that stand for a raw target of this site."""
        state = self._begun.copy()
        state.update(frames_of(target))
        return int.from_bytes(state.digest()[:_WORD_BYTES], "little")


class Invalidations:
    """Void stored responses, and say which are void. `generation[0]` changes with each invalidation."""

    __slots__ = (
        "_barrier",
        "_count",
        "_lock_stripe",
        "_locks",
        "_purges",
        "_secret",
        "_sites",
        "_table",
        "_words",
        "generation",
    )

    def __init__(
        self, memory: SharedMemory, locks: StripedLock, layout: Layout, secret: bytes, *, lock_stripe: int
    ) -> None:
        self._words = memory.words
        self._locks = locks
        self._lock_stripe = lock_stripe
        self._secret = secret
        self._table = layout.invalidations
        self._count = layout.invalidation_count
        self._purges = memory.octets[layout.purges * 8 : (layout.purges + PURGES * PURGE_WORDS) * 8]
        self._barrier = threading.Lock()
        self._sites: dict[bytes, _Site] = {}
        self.generation: memoryview = memory.words[GENERATION : GENERATION + 1]

    def begin(self, site: bytes, path: bytes, target: bytes, identity: Identity) -> Stamp:
        """Note what is valid now; call it before a request is sent whose response may be stored.

        `site` is the site's name, `path` the decoded path that purges look at, `target` the raw target.
        """
        words = self._words
        places = self._places(site, (target,), identity.elements)
        return Stamp(site, path, words[PURGE_COUNT], tuple([(place, words[place]) for place in places]))

    def is_valid(self, stamp: Stamp) -> bool:
        """Say whether nothing has voided a fetch since it began."""
        words = self._words
        for place, value in stamp.tokens:
            if words[place] != value:
                return False
        return words[PURGE_COUNT] == stamp.purges or not self._is_purged(stamp)

    def confirm(self, stamp: Stamp) -> int | None:
        """Return the generation under which a response is valid, or None if it is void."""
        generation: int = self.generation[0]
        self._fence()
        return generation if self.is_valid(stamp) else None

    def invalidate(self, site: bytes, targets: Iterable[bytes], identity: Identity) -> None:
        """Void what is kept for these raw targets and for each of the request's credentials.

        Call it before the response to an unsafe request is relayed, and when none will come.
        """
        words = self._words
        for place in self._places(site, targets, identity.elements):
            words[place] = _new_value()
        self._advance()

    def purge(self, site: bytes = b"", prefix: bytes = b"") -> bool:
        """Void a site's responses (b"": every site's) whose decoded path begins with `prefix`; False: try again.

        A prefix that is too long to keep voids more.
        """
        if not any(self._locks.try_acquire(self._lock_stripe) for _ in range(_PURGE_TRIES)):
            return False
        try:
            count = self._words[PURGE_COUNT]
            kept = prefix[:_LONGEST_PREFIX]
            digest = self._site_digest(site) if site else _EVERY_SITE
            at = count % PURGES * _PURGE_SIZE
            self._purges[at : at + _PURGE_HEAD.size] = _PURGE_HEAD.pack(digest, len(kept))
            self._purges[at + _PURGE_HEAD.size : at + _PURGE_HEAD.size + len(kept)] = kept
            self._fence()
            self._words[PURGE_COUNT] = count + 1
        finally:
            self._locks.release(self._lock_stripe)
        self._advance()
        return True

    def close(self) -> None:
        """Let go of the memory."""
        self._purges.release()
        self.generation.release()

    def _places(self, site: bytes, targets: Iterable[bytes], elements: Iterable[int]) -> list[int]:
        """Return the positions of the words that stand for targets and credentials at a site."""
        table, mask, known = self._table, self._count - 1, self._site(site)
        places = [table + (known.number_of(target) & mask) for target in targets]
        for element in elements:
            places.append(table + ((element ^ known.number) & mask))
        return places

    def _site(self, name: bytes) -> "_Site":
        site = self._sites.get(name)
        if site is None:
            if len(self._sites) >= _SITES_REMEMBERED:
                self._sites.clear()
            site = self._sites[name] = _Site(name, self._secret)
        return site

    def _site_digest(self, name: bytes) -> bytes:
        return self._site(name).digest

    def _is_purged(self, stamp: Stamp) -> bool:
        count: int = self._words[PURGE_COUNT]
        # One slot less than there are: the oldest may be under the pen of the next purge.
        if not 0 <= count - stamp.purges < PURGES:
            return True
        site = self._site_digest(stamp.site)
        for number in range(stamp.purges, count):
            at = number % PURGES * _PURGE_SIZE
            purged_site, length = _PURGE_HEAD.unpack_from(self._purges, at)
            prefix = bytes(self._purges[at + _PURGE_HEAD.size : at + _PURGE_HEAD.size + length])
            if purged_site in (site, _EVERY_SITE) and stamp.path.startswith(prefix):
                return True
        return bool(self._words[PURGE_COUNT] - stamp.purges >= PURGES)

    def _advance(self) -> None:
        self._fence()
        self.generation[0] = _new_value()
        self._fence()

    def _fence(self) -> None:
        with self._barrier:
            pass


def _new_value() -> int:
    """Return a value that no word has held: 64 random bits."""
    return int.from_bytes(os.urandom(8), "little")
