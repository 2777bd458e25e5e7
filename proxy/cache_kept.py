"""What a fetch keeps of its response: the octets within a worker's budget, and the way into the store."""

import time
from typing import TYPE_CHECKING, assert_never

from proxy.cache_answers import count_reason
from proxy.caching.conditional import confirms
from proxy.caching.front import Entry
from proxy.caching.outcomes import Reason
from proxy.caching.policy import PASS_SECONDS, Verdict, judge, terms_of
from proxy.caching.record import Stored, pairs_of
from proxy.caching.rendering import block_to_store, refreshed_block
from proxy.caching.ring import Put
from proxy.caching.store import Fetched
from proxy.clock import shared_clock
from proxy.exchange import Exchange
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.cache_readers import Head
    from proxy.cache_waiter import Waiter
    from proxy.cache_waits import Waits
    from proxy.caching.collapse import Flight


class Kept:
    """One response on its way into the store; `is_storing` until it turns out that it does not get there.

    `reason` says why not. The claim and the part of the budget that it holds are given back once.
    """

    __slots__ = (
        "_arrived",
        "_flight",
        "_is_claimed",
        "_octets",
        "_reserved",
        "_verdict",
        "_waiter",
        "_waits",
        "content",
        "exchange",
        "is_storing",
        "reason",
    )

    def __init__(
        self,
        waits: "Waits",
        flight: "Flight[Waiter]",
        waiter: "Waiter",
        exchange: Exchange,
        *,
        is_claimed: bool,
    ) -> None:
        """Keep the response of ``exchange`` under the key of the request that asked first."""
        self.exchange = exchange
        self.content: list[bytes] = []
        self.is_storing = False
        self.reason: Reason | None = None
        self._waits = waits
        self._flight = flight
        self._waiter = waiter
        self._is_claimed = is_claimed
        self._octets = 0
        self._reserved = 0
        self._arrived = 0
        self._verdict: Verdict | None = None

    def arrived(self, now: int) -> None:
        """Take note of when the head came, from which the lifetime counts (nanoseconds of the shared clock)."""
        self._arrived = now

    def begin(self, status: int, block: bytes, length: int, *, to_come: int) -> Verdict:
        """Decide whether a response can be kept; ``length`` is its content's or -1.

        ``to_come`` octets are to be held until it is whole: 0 where it is here at once, whatever the budget is.
        """
        verdict = self._verdict = self._judge(status, block, length)
        self.reason = verdict.reason
        if verdict.reason is None and not self._reserve(to_come):
            self.reason = Reason.BUSY
        self.is_storing = self.reason is None
        return verdict

    def add_all(self, content: bytes) -> None:
        """Keep content that came whole with its head."""
        if self.is_storing:
            self.content.append(content)

    def add(self, content: bytes) -> Reason | None:
        """Keep content; a reason says that nothing of this response can be kept any more."""
        octets = self._octets + len(content)
        if octets > self._waiter.route.cache.object_size:
            return Reason.TOO_LARGE
        if not self._reserve(octets):
            return Reason.BUSY
        self._octets = octets
        self.content.append(content)
        return None

    def drop(self, reason: Reason) -> None:
        """Keep nothing (more) of this response."""
        self.is_storing = False
        self.reason = reason
        self.give_back()
        count_reason(self.exchange, reason)

    def give_back(self) -> None:
        """Give content, claim and part of the budget back."""
        self.content = []
        self._waits.budget.give_back(self._reserved)
        self._reserved = 0
        if self._is_claimed:
            self._is_claimed = False
            self._waits.store.claims.release(self._flight.key, self._flight.stamp.fingerprint)

    def store(self, head: "Head") -> Stored | None:
        """Store the whole response; return it for those who asked while it was fetched, whether or not it is stored.

        They asked before anything that voids it now.
        """
        if not self.is_storing or self._verdict is None:
            return None
        block = block_to_store(head.block, time.time())
        fetched = self._fetched(head.status, b"", block, b"".join(self.content), self._verdict)
        self.is_storing = self._put(fetched)
        return fetched.to_store()

    def confirm(self, validated: Entry, block: bytes) -> Entry | None:
        """Give what is stored another lifetime, as a 304 with this block wants it (RFC 9111 section 4.3.4).

        None: the 304 speaks of something else. `is_storing` says whether it may serve others, too.
        """
        stored = validated.stored
        if not confirms(pairs_of(block), stored.pairs):
            return None
        # A 304 without Date was made now (RFC 9110 section 6.6.1): with the old Date nothing would become fresh.
        refreshed = refreshed_block(stored.block, block_to_store(block, time.time()))
        verdict = self._judge(stored.status, refreshed, len(stored.body))
        fetched = self._fetched(stored.status, stored.reason, refreshed, stored.body, verdict)
        if verdict.reason is None:
            self.is_storing = True
            self._put(fetched)
        else:
            count_reason(self.exchange, verdict.reason)
        return Entry(fetched.to_store(), 0)

    def _judge(self, status: int, block: bytes, length: int) -> Verdict:
        waiter = self._waiter
        return judge(
            status,
            terms_of(block),
            identity=waiter.cached.identity,
            rules=waiter.cached.rules,
            settings=waiter.route.cache,
            now=time.time(),
            delay=max(0.0, self.exchange.upstream_seconds),
            length=length,
        )

    def _reserve(self, octets: int) -> bool:
        more = octets - self._reserved
        if more <= 0:
            return True
        if not self._waits.budget.take(more):
            return False
        self._reserved = octets
        return True

    def _fetched(self, status: int, reason: bytes, block: bytes, body: bytes, verdict: Verdict) -> Fetched:
        return Fetched(
            status=status,
            reason=reason,
            block=block,
            body=body,
            arrived=self._arrived,
            verdict=verdict,
            stamp=self._flight.stamp,
        )

    def _put(self, fetched: Fetched) -> bool:
        """Store a response, and count what becomes of it."""
        waiter, site, store = self._waiter, self.exchange.site, self._waits.store
        before = store.evicted
        put = store.put(waiter.found.key, waiter.cached.identity, fetched, shared_clock())
        self._waits.pipeline.counters.add(counters.CACHE_EVICTED, store.evicted - before)
        match put:
            case Put.STORED:
                if site is not None:
                    site.counters.stored()
            case Put.BUSY:
                self._waits.pipeline.counters.add(counters.CACHE_BUSY)
                count_reason(self.exchange, Reason.BUSY)
            case Put.TOO_LARGE:
                store.marks.set_uncacheable(self._flight.key, shared_clock(), PASS_SECONDS)
                count_reason(self.exchange, Reason.TOO_LARGE)
            case Put.INVALIDATED:
                count_reason(self.exchange, Reason.INVALIDATED)
            case _:
                assert_never(put)
        return put is Put.STORED
