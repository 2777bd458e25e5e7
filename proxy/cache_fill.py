"""One fetch that fills the cache: a request of our own to the app, its response kept and passed on as it comes.

Theory of operation.  To the Forward that carries it a Fill looks like a client (Downstream); to its readers
it is the app.  The request that started it is the lead: it gets the response in any case, as it comes.
Others read along when the head shows that the response can be stored and is not too large, or wait for the
end when its length is not known.  While the response is being kept, it comes at the app's speed; from the
moment when it turns out not to be storable it is an ordinary response to the lead, whose client then sets the
pace.  A fetch that nobody wants any more is given up.

A Fill ends once, in `_close`, which gives back its claim and its part of the budget and returns who still waited.
Only after that is anybody answered: an answer may start that client's next request, for the same key.
"""

import time
from typing import TYPE_CHECKING, assert_never

from proxy.cache_answers import count_reason
from proxy.cache_request import OwnRequest
from proxy.caching.collapse import Flight, Wake
from proxy.caching.conditional import confirms, revalidation_fields
from proxy.caching.front import Entry
from proxy.caching.outcomes import Forward as CacheForward
from proxy.caching.outcomes import Outcome, Reason, forwarded_lines
from proxy.caching.policy import PASS_SECONDS, Verdict, judge
from proxy.caching.record import pairs_of
from proxy.caching.rendering import block_to_store, refreshed_block
from proxy.caching.ring import Put
from proxy.caching.store import Fetched
from proxy.clock import shared_clock
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.semantics.fields import FieldLine
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.cache_waiter import Waiter
    from proxy.cache_waits import Waits

#: Statuses of an app that fails, for which a stale answer stands in (RFC 5861 section 4).
_FAILURES = frozenset({500, 502, 503, 504})
#: How long a failing upstream is left alone before one request asks it again (seconds).
FAILING_SECONDS = 1.0


class Fill(OwnRequest):
    """A fetch for a flight; implements Downstream towards its Forward."""

    def __init__(self, waits: "Waits", flight: "Flight[Waiter]", lead: "Waiter", *, is_claimed: bool) -> None:
        asking = lead.exchange
        super().__init__(asking, lead.cached.fill.chain)
        self._waits = waits
        self._store = waits.store
        self._flight = flight
        self._waiter = lead  # whose request this is; kept after its client has left
        self._lead: Waiter | None = lead
        self._readers: dict[Waiter, None] = {}
        self._verdict: Verdict | None = None
        self._content: list[bytes] = []
        self._octets = 0
        self._reserved = 0
        self._head: tuple[bytes, int, bytes, int, bool] | None = None
        self._arrived = 0
        self._storing = False
        self._reason: Reason | None = None  # why it is not stored
        self._paused = False
        self._over = False
        self._is_claimed = is_claimed
        self._validated: Entry | None = None
        exchange = Exchange(self, asking.snapshot, b"GET", asking.target, 1, asking.fields, shared_clock())
        exchange.site, exchange.route = asking.site, asking.route
        exchange.client, exchange.client_packed = asking.client, asking.client_packed
        exchange.request_id = waits.pipeline.request_id(asking)
        self.exchange = exchange
        lead.fill = self
        waits.flights.leave(flight, lead)  # the lead is served by itself, whatever becomes of the flight

    def start(self) -> None:
        """Send the request, under the condition that what is stored has changed if it can be asked so."""
        stored = self._waiter.validated
        if stored is not None and stored.status == 200:
            conditions = revalidation_fields(stored.stored.pairs)
            if conditions:
                self._validated = stored
                self.exchange.extra_lines = b"".join(b"%s: %s\r\n" % pair for pair in conditions)
        self._waits.pipeline.forward(self.exchange, self._waiter.route, self._waiter.cached.fill)

    # --- the response (Downstream)

    def send_interim(self, status: int, block: bytes) -> None:
        """Pass early hints on to the lead."""
        if self._lead is not None and not self._lead.is_silent:
            self._lead.exchange.downstream.send_interim(status, block)

    def respond(
        self,
        line: bytes,
        status: int,
        block: bytes,
        length: int,
        content: bytes,
        *,
        complete: bool,
        has_date: bool,
    ) -> None:
        """Take the response's head: decide whether it can be kept, and pass it on."""
        self.exchange.status = status
        self.exchange.head_sent = True
        self._arrived = shared_clock()
        marks = self._store.marks
        marks.set_working(self._waiter.route.scope)
        if status == 304 and self._validated is not None:
            marks.set_working(self._flight.key)
            self._confirmed(self._validated, block)
            return
        if status in _FAILURES and self._stale_stands_in(status):
            return
        marks.set_working(self._flight.key)
        size = len(content) if complete and length < 0 else length
        verdict = self._verdict = self._judge(status, block, size)
        self._head = (line, status, block, length, has_date)
        if verdict.reason is not None:
            self._give_up(verdict.reason, verdict.pass_for)
        elif self._reserve(max(size, len(content))):
            self._storing = True
            self._share(verdict.vary, length_known=size >= 0 and not complete)
        else:
            self._give_up(Reason.BUSY, 0.0)
        if self._over:
            return
        if complete:
            self._complete_at_once(content)
            return
        if self._lead is not None:
            self._send_head(self._lead, Outcome.MISS)
        if content:
            self.send_content(content)

    def _judge(self, status: int, block: bytes, length: int) -> Verdict:
        waiter = self._waiter
        return judge(
            status,
            pairs_of(block),
            identity=waiter.cached.identity,
            rules=waiter.cached.rules,
            settings=waiter.route.cache,
            now=time.time(),
            delay=max(0.0, self.exchange.upstream_seconds),
            length=length,
        )

    def _complete_at_once(self, content: bytes) -> None:
        """Handle the common case, a whole response in one piece: one write to each client."""
        if content:
            self._keep(content)
        entry = self._store_content()
        lead, is_stored = self._lead, self._storing
        woken = self._close(Wake.UNCACHEABLE if entry is None else Wake.STORED)
        self._storing = is_stored
        if lead is not None:
            lead.settle()
            self._waits.serve_safely(
                lead, lambda waiter: self._send_head(waiter, Outcome.MISS, content, complete=True)
            )
        self._waits.wake(woken, entry=entry)

    def _share(self, names: tuple[bytes, ...], *, length_known: bool) -> None:
        """Let those who wait read along, or join under the key of their own variant."""
        store, waits = self._store, self._waits
        key = store.variant_key(self._waiter.found.key, self._waiter.cached.identity, names)

        def same_variant(waiter: "Waiter") -> bool:
            return store.variant_key(waiter.found.key, waiter.cached.identity, names) == key

        woken = waits.flights.head(
            self._flight, storable=True, length_known=length_known, names=names, same_variant=same_variant
        )
        for waiter, reason in woken:
            if reason is Wake.READ_ALONG:
                waits.serve_safely(waiter, self.read_along)
        waits.wake([entry for entry in woken if entry[1] is not Wake.READ_ALONG], names=names)

    def read_along(self, waiter: "Waiter") -> None:
        """Send a waiter the head and what has come so far, and the rest as it comes."""
        waiter.stop_waiting()
        waiter.fill = self
        waiter.flight = self._flight
        self._readers[waiter] = None
        self._send_head(waiter, Outcome.COLLAPSED)
        for content in self._content:
            waiter.exchange.downstream.send_content(content)

    def _send_head(
        self, waiter: "Waiter", outcome: Outcome, content: bytes = b"", *, complete: bool = False
    ) -> None:
        if waiter.is_silent or self._head is None:
            return
        line, status, block, length, has_date = self._head
        exchange = waiter.exchange
        exchange.cache_outcome = outcome
        self._tell_of_upstream(exchange)
        forward = CacheForward.VARY_MISS if waiter.found.varies else CacheForward.URI_MISS
        if waiter.fallback is not None:
            forward = CacheForward.STALE
        exchange.cache_lines = forwarded_lines(outcome, forward, stored=self._storing, reason=self._reason)
        block += exchange.cache_lines
        exchange.downstream.respond(
            line, status, block, length, content, complete=complete, has_date=has_date
        )

    def _tell_of_upstream(self, exchange: Exchange) -> None:
        """Let a client's exchange say in the log who answered it, or did not."""
        exchange.upstream_address = self.exchange.upstream_address
        exchange.upstream_seconds = self.exchange.upstream_seconds
        exchange.retries = self.exchange.retries

    def send_content(self, content: bytes) -> None:
        """Pass content on, and keep it if the response is to be stored."""
        self._keep(content)
        for waiter in self._everybody():
            if not waiter.is_silent:
                waiter.exchange.downstream.send_content(content)

    def _keep(self, content: bytes) -> None:
        if not self._storing:
            return
        octets = self._octets + len(content)
        if octets > self._waiter.route.cache.object_size:
            self._give_up(Reason.TOO_LARGE, PASS_SECONDS)
        elif not self._reserve(octets):
            self._give_up(Reason.BUSY, 0.0)
        else:
            self._octets = octets
            self._content.append(content)

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """End the response: store it, and let those who waited for its end have it."""
        if self._over:
            return
        entry = self._store_content()
        everybody = self._everybody()
        woken = self._close(Wake.UNCACHEABLE if entry is None else Wake.STORED)
        for waiter in everybody:
            waiter.settle()
            if not waiter.is_silent:
                self._waits.serve_safely(waiter, lambda reader: reader.exchange.downstream.finish(trailers))
        self._waits.wake(woken, entry=entry)

    def _store_content(self) -> Entry | None:
        """Store what was kept; return it for those who asked while it was fetched, whether or not it is stored.

        They asked before anything that voids it now.
        """
        if not self._storing or self._head is None or self._verdict is None:
            return None
        _, status, block, _, _ = self._head
        fetched = self._fetched(status, b"", block_to_store(block, time.time()), self._verdict)
        self._storing = self._store_fetched(fetched)
        return Entry(fetched.to_store(), 0)

    def _fetched(
        self, status: int, reason: bytes, block: bytes, verdict: Verdict, body: bytes | None = None
    ) -> Fetched:
        return Fetched(
            status=status,
            reason=reason,
            block=block,
            body=b"".join(self._content) if body is None else body,
            arrived=self._arrived,
            verdict=verdict,
            stamp=self._flight.stamp,
        )

    def _store_fetched(self, fetched: Fetched) -> bool:
        """Store a response, and count what becomes of it."""
        waiter, site = self._waiter, self.exchange.site
        before = self._store.evicted
        put = self._store.put(waiter.found.key, waiter.cached.identity, fetched, shared_clock())
        self._waits.pipeline.counters.add(counters.CACHE_EVICTED, self._store.evicted - before)
        match put:
            case Put.STORED:
                if site is not None:
                    site.counters.stored()
            case Put.BUSY:
                self._waits.pipeline.counters.add(counters.CACHE_BUSY)
                count_reason(self.exchange, Reason.BUSY)
            case Put.TOO_LARGE:
                self._store.marks.set_uncacheable(self._flight.key, shared_clock(), PASS_SECONDS)
                count_reason(self.exchange, Reason.TOO_LARGE)
            case Put.INVALIDATED:
                count_reason(self.exchange, Reason.INVALIDATED)
            case _:
                assert_never(put)
        return put is Put.STORED

    def _confirmed(self, validated: Entry, block: bytes) -> None:
        """Serve what is stored for another lifetime: the app said that it has not changed (RFC 9111 section 4.3.4)."""
        stored, lead = validated.stored, self._lead
        entry, wake = None, Wake.UNCACHEABLE
        if confirms(pairs_of(block), stored.pairs):
            refreshed = refreshed_block(stored.block, block)
            verdict = self._judge(stored.status, refreshed, len(stored.body))
            fetched = self._fetched(stored.status, stored.reason, refreshed, verdict, stored.body)
            entry = Entry(fetched.to_store(), 0)
            if verdict.reason is None:
                self._store_fetched(fetched)
                wake = Wake.STORED
            else:
                count_reason(self.exchange, verdict.reason)
        woken = self._close(wake)
        if lead is not None and entry is None:
            self._waits.go_itself(lead, None)
        elif lead is not None and entry is not None:
            self._tell_of_upstream(lead.exchange)
            self._waits.serve_fetched(lead, entry, Outcome.REVALIDATED)
        self._waits.wake(woken, entry=entry)

    # --- failures

    def upstream_failed(self, error: GatewayError) -> None:
        """Take note that no response came; stale answers stand in where there are any."""
        if self._over:
            return
        waits, lead = self._waits, self._lead
        self._store.marks.set_failing(self._waiter.route.scope, shared_clock(), FAILING_SECONDS)
        if self._waiter.fallback is not None:
            waits.pipeline.log_failure(self.exchange, error)  # no client will see it
        woken = self._close(Wake.FAILED)
        if lead is not None:
            self._tell_of_upstream(lead.exchange)
            waits.serve_safely(lead, lambda waiter: waits.failed(waiter, error))
        waits.wake(woken, error=error)

    def _stale_stands_in(self, status: int) -> bool:
        """Answer stale instead of with an error of the app, where there is something."""
        fallback, lead, waits = self._waiter.fallback, self._lead, self._waits
        if fallback is None:
            return False
        stored = fallback.stored
        until = max(stored.error_until, stored.revalidate_until if self._waiter.is_silent else 0)
        if shared_clock() >= until:
            return False
        self._store.marks.set_failing(self._flight.key, shared_clock(), FAILING_SECONDS)
        woken = self._close(Wake.FAILED)
        self._cancel()
        if lead is not None:
            self._tell_of_upstream(lead.exchange)
            waits.serve_safely(lead, lambda waiter: waits.failed(waiter, None, status))
        waits.wake(woken)
        return True

    def abort_response(self) -> None:
        """Cut all readers' responses off: the app did not finish its own."""
        if self._over:
            return
        if self._storing:
            count_reason(self.exchange, Reason.TRUNCATED)
        everybody = self._everybody()
        woken = self._close(Wake.FAILED)
        for waiter in everybody:
            waiter.settle()
            if not waiter.is_silent:
                waiter.exchange.error = self.exchange.error
                waiter.exchange.downstream.abort_response()
        self._waits.wake(woken)

    def _give_up(self, reason: Reason, pass_for: float) -> None:
        """Keep nothing (more) of this response, and tell those who hoped for it."""
        waits, flight = self._waits, self._flight
        self._storing = False
        self._reason = reason
        self._content = []
        self._give_back()
        if pass_for:
            self._store.marks.set_uncacheable(flight.key, shared_clock(), pass_for)
        count_reason(self.exchange, reason)
        woken = waits.flights.head(flight, storable=False)
        waits.wake(woken)
        if not self.end_unwanted():
            self.set_pace()

    def _reserve(self, octets: int) -> bool:
        more = octets - self._reserved
        if more <= 0:
            return True
        if not self._waits.budget.take(more):
            return False
        self._reserved = octets
        return True

    def _give_back(self) -> None:
        """Give the claim and the part of the budget back, once."""
        self._waits.budget.give_back(self._reserved)
        self._reserved = 0
        if self._is_claimed:
            self._is_claimed = False
            self._store.claims.release(self._flight.key, self._flight.stamp.fingerprint)

    def _close(self, wake: Wake) -> "list[tuple[Waiter, Wake]]":
        """End the flight; return who still waited."""
        self._over = True
        self._lead = None
        self._readers = {}
        self._content = []
        self._give_back()
        self._waits.fills.pop(self._flight, None)
        return self._waits.flights.finish(self._flight, wake)

    def _cancel(self) -> None:
        """Give the request up: nobody is left who wants its response."""
        receiver, self.exchange.receiver = self.exchange.receiver, None
        if receiver is not None:
            receiver.client_gone()

    # --- readers

    def _everybody(self) -> "list[Waiter]":
        return [*self._readers] if self._lead is None else [self._lead, *self._readers]

    def reader_left(self, waiter: "Waiter") -> None:
        """Go on without a reader; a fetch that nobody wants ends."""
        if waiter is self._lead:
            self._lead = None
        self._readers.pop(waiter, None)
        if not self.end_unwanted():
            self.set_pace()

    def end_unwanted(self) -> bool:
        """End a fetch that nobody wants, or whose refresh came to nothing; say whether it is over."""
        if self._over:
            return True
        lead = self._lead
        is_read = bool(self._readers) or (
            lead is not None and (not lead.is_silent or self._head is None or self._storing)
        )
        if is_read or self._flight.is_wanted:
            return False
        self._close(Wake.FAILED)
        self._cancel()
        self._waits.probe_over(self._waiter)
        return True

    def set_pace(self) -> None:
        """Let the only reader of a response that is not kept set the pace."""
        lead = self._lead
        is_paused = lead is not None and lead.is_paused and not self._storing and not self._readers
        receiver = self.exchange.receiver
        if is_paused is self._paused or receiver is None:
            return
        self._paused = is_paused
        if is_paused:
            receiver.downstream_paused()
        else:
            receiver.downstream_resumed()
