"""One fetch that fills the cache: a request of our own to the app, its response kept and passed on as it comes.

Theory of operation.  To the Forward that carries it a Fill looks like a client (Downstream); to its readers
it is the app.  The request that started it is the lead: it gets the response in any case, as it comes.
Others read along when the head shows that the response can be stored and is not too large, or wait for the
end when its length is not known.  While the response is being kept, it comes at the app's speed; from the
moment when it turns out not to be storable it is an ordinary response to the lead, whose client then sets the
pace.
"""

import time
from typing import TYPE_CHECKING

from proxy.caching.collapse import Flight, Wake
from proxy.caching.conditional import confirms, revalidation_fields
from proxy.caching.front import Entry
from proxy.caching.marks import UpstreamState
from proxy.caching.outcomes import Forward as CacheForward
from proxy.caching.outcomes import Outcome, Reason, forwarded_lines
from proxy.caching.policy import PASS_SECONDS, Verdict, judge
from proxy.caching.rendering import block_to_store, refreshed_block
from proxy.caching.ring import Put
from proxy.caching.store import Fetched
from proxy.clock import shared_clock
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.http1.request import RequestFields
from proxy.semantics.fields import FieldLine
from proxy.traffic.rate_policy import RatePolicy

if TYPE_CHECKING:
    from proxy.cache_gate import CacheGate, Waiter

#: Statuses of an app that fails, for which a stale answer stands in (RFC 5861 section 4).
_FAILURES = frozenset({500, 502, 503, 504})


class Fill:
    """A fetch for a flight; implements Downstream towards its Forward."""

    def __init__(self, gate: "CacheGate", flight: "Flight[Waiter]", lead: "Waiter") -> None:
        self._gate = gate
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
        self._paused = False
        self._over = False
        self._validated: Entry | None = None
        asking = lead.exchange
        self._client_lines = asking.downstream.client_lines(asking, lead.cached.fill.chain)
        self.origin = asking.downstream.origin
        self.is_reserved = False
        self.peer = asking.downstream.peer
        self.tls_version = ""
        self.exchange = Exchange(
            self, asking.snapshot, b"GET", asking.target, 1, asking.fields, shared_clock()
        )
        self.exchange.site = asking.site
        self.exchange.route = asking.route
        self.exchange.client = asking.client
        self.exchange.client_packed = asking.client_packed
        self.exchange.request_id = gate.pipeline.request_id(asking)
        lead.fill = self
        gate.flights.leave(flight, lead)  # the lead is served by itself, whatever becomes of the flight

    def start(self) -> None:
        """Send the request, under the condition that what is stored has changed if it can be asked so."""
        stored = self._waiter.validated
        if stored is not None and stored.status == 200:
            conditions = revalidation_fields(stored.stored.pairs)
            if conditions:
                self._validated = stored
                self.exchange.extra_lines = b"".join(b"%s: %s\r\n" % pair for pair in conditions)
        self._gate.pipeline.forward(self.exchange, self._waiter.route, self._waiter.cached.fill)

    # --- the response (Downstream)

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
        if status == 304 and self._validated is not None:
            self._confirmed(block)
            return
        marks = self._gate.store.marks
        if status in _FAILURES and self._stale_stands_in(status):
            return
        marks.set_working(self._waiter.route.scope)
        marks.set_working(self._flight.key)
        size = len(content) if complete and length < 0 else length
        self._verdict = self._judge(status, block, size)
        self._head = (line, status, block, length, has_date)
        if self._verdict.reason is None and self._reserve(max(size, len(content))):
            self._storing = True
            self._share(length_known=size >= 0 and not complete)
        else:
            self._give_up(self._verdict.reason or Reason.BUSY, self._verdict.pass_for)
        if complete:
            self._complete_at_once(content)
            return
        if self._lead is not None:
            self._send_head(self._lead, Outcome.MISS)
        if content:
            self.send_content(content)

    def _complete_at_once(self, content: bytes) -> None:
        """Handle the common case, a whole response in one piece: one write to each reader."""
        if content:
            self._keep(content)
        is_stored = self._storing = self._store_content()
        everybody = self._everybody()
        woken = self._close(Wake.STORED if is_stored else Wake.UNCACHEABLE)
        for number, waiter in enumerate(everybody):
            waiter.fill = waiter.flight = None
            outcome = Outcome.MISS if number == 0 and waiter is self._waiter else Outcome.COLLAPSED
            self._send_head(waiter, outcome, content, complete=True)
        self._gate.wake(woken)

    def _judge(self, status: int, block: bytes, length: int) -> Verdict:
        waiter = self._waiter
        return judge(
            status,
            _pairs(block),
            identity=waiter.cached.identity,
            rules=waiter.cached.rules,
            settings=waiter.route.cache,
            now=time.time(),
            delay=max(0.0, self.exchange.upstream_seconds),
            length=length,
        )

    def _share(self, *, length_known: bool) -> None:
        """Let those who wait read along, or join under the key of their own variant."""
        verdict, gate, flight = self._verdict, self._gate, self._flight
        names = verdict.vary if verdict is not None else ()
        key = gate.store.variant_key(self._waiter.found.key, self._waiter.cached.identity, names)

        def same_variant(waiter: "Waiter") -> bool:
            return gate.store.variant_key(waiter.found.key, waiter.cached.identity, names) == key

        woken = gate.flights.head(
            flight, storable=True, length_known=length_known, names=names, same_variant=same_variant
        )
        for waiter, reason in woken:
            if reason is Wake.READ_ALONG:
                self.read_along(waiter)
        gate.wake([entry for entry in woken if entry[1] is not Wake.READ_ALONG], names=names)

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
        exchange.upstream_address = self.exchange.upstream_address
        exchange.upstream_seconds = self.exchange.upstream_seconds
        exchange.retries = self.exchange.retries
        forward = CacheForward.VARY_MISS if waiter.found.varies else CacheForward.URI_MISS
        if waiter.fallback is not None:
            forward = CacheForward.STALE
        reason = self._verdict.reason if self._verdict is not None else None
        exchange.cache_lines = forwarded_lines(outcome, forward, stored=self._storing, reason=reason)
        block += exchange.cache_lines
        exchange.downstream.respond(
            line, status, block, length, content, complete=complete, has_date=has_date
        )

    def send_content(self, content: bytes) -> None:
        """Pass content on, and keep it if the response is to be stored."""
        self._keep(content)
        if self._lead is not None and not self._lead.is_silent:
            self._lead.exchange.downstream.send_content(content)
        for waiter in self._readers:
            waiter.exchange.downstream.send_content(content)

    def _keep(self, content: bytes) -> None:
        if not self._storing:
            return
        octets = self._octets + len(content)
        if octets > self._waiter.route.cache.object_size or not self._reserve(octets):
            self._give_up(Reason.TOO_LARGE, PASS_SECONDS)
            return
        self._octets = octets
        self._content.append(content)

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """End the response: store it, and let those who waited for its end have it."""
        if self._over:
            return
        wake = Wake.STORED if self._store_content() else Wake.UNCACHEABLE
        for waiter in self._everybody():
            waiter.fill = waiter.flight = None
            if not waiter.is_silent:
                waiter.exchange.downstream.finish(trailers)
        self._end(wake)

    def _store_content(self) -> bool:
        """Store what was kept, if it still is to be stored; say whether it was."""
        if not self._storing or self._head is None or self._verdict is None:
            return False
        _, status, block, _, _ = self._head
        kept = block_to_store(block, time.time())
        return self._store(status, b"", kept, b"".join(self._content), self._verdict)

    def _store(self, status: int, reason: bytes, block: bytes, body: bytes, verdict: Verdict) -> bool:
        waiter, gate = self._waiter, self._gate
        fetched = Fetched(
            status=status,
            reason=reason,
            block=block,
            body=body,
            arrived=self._arrived,
            verdict=verdict,
            stamp=self._flight.stamp,
        )
        stored = (
            gate.store.put(waiter.found.key, waiter.cached.identity, fetched, shared_clock()) is Put.STORED
        )
        if stored and self.exchange.site is not None:
            self.exchange.site.counters.stored()
        return stored

    def _confirmed(self, block: bytes) -> None:
        """Serve what is stored for another lifetime: the app said that it has not changed (RFC 9111 section 4.3.4)."""
        validated, lead = self._validated, self._lead
        if validated is None:
            return
        stored = validated.stored
        if not confirms(_pairs(block), stored.pairs):
            self._end(Wake.UNCACHEABLE)
            if lead is not None:
                self._gate.go_itself(lead, None)
            return
        refreshed = refreshed_block(stored.block, block)
        verdict = self._judge(stored.status, refreshed, len(stored.body))
        if verdict.reason is None:
            self._store(stored.status, stored.reason, refreshed, stored.body, verdict)
        fetched = Fetched(
            status=stored.status,
            reason=stored.reason,
            block=refreshed,
            body=stored.body,
            arrived=self._arrived,
            verdict=verdict,
            stamp=self._flight.stamp,
        )
        if lead is not None:
            lead.fill = lead.flight = None
            if not lead.is_silent:
                self._gate.serve_fetched(lead, Entry(fetched.to_store(), 0), Outcome.REVALIDATED)
        self._end(Wake.STORED if verdict.reason is None else Wake.UNCACHEABLE)

    # --- failures

    def upstream_failed(self, error: GatewayError) -> None:
        """Take note that no response came; stale answers stand in where there are any."""
        if self._over:
            return
        gate = self._gate
        gate.store.marks.set_failing(self._waiter.route.scope, shared_clock(), 1.0)
        lead = self._lead
        woken = self._close(Wake.FAILED)
        if lead is not None:
            lead.fill = lead.flight = None
            gate.failed(lead, error)
        gate.wake(woken, error=error)

    def _stale_stands_in(self, status: int) -> bool:
        """Answer stale instead of with an error of the app, where there is something."""
        lead = self._lead
        fallback = self._waiter.fallback
        if fallback is None or shared_clock() >= fallback.stored.error_until:
            return False
        gate = self._gate
        gate.store.marks.set_failing(self._flight.key, shared_clock(), 1.0)
        woken = self._close(Wake.FAILED)
        self._cancel()
        if lead is not None:
            lead.fill = lead.flight = None
            gate.failed(lead, None, status)
        gate.wake(woken)
        return True

    def abort_response(self) -> None:
        """Cut all readers' responses off: the app did not finish its own."""
        if self._over:
            return
        for waiter in self._everybody():
            waiter.fill = waiter.flight = None
            if not waiter.is_silent:
                waiter.exchange.error = self.exchange.error
                waiter.exchange.downstream.abort_response()
        self._end(Wake.FAILED)

    def _give_up(self, reason: Reason, pass_for: float) -> None:
        """Keep nothing (more) of this response, and tell those who hoped for it."""
        gate, flight = self._gate, self._flight
        self._storing = False
        self._content.clear()
        gate.budget.give_back(self._reserved)
        self._reserved = 0
        gate.store.marks.set_uncacheable(flight.key, shared_clock(), pass_for)
        if self.exchange.site is not None:
            self.exchange.site.counters.bypassed(reason.value)
        woken = gate.flights.head(flight, storable=False)
        gate.store.claims.release(flight.key, flight.stamp.fingerprint)
        gate.wake(woken)
        if self._lead is None and not self._readers:
            self._cancel()

    def _reserve(self, octets: int) -> bool:
        more = octets - self._reserved
        if more <= 0:
            return True
        if not self._gate.budget.take(more):
            return False
        self._reserved = octets
        return True

    def _close(self, wake: Wake) -> "list[tuple[Waiter, Wake]]":
        """End the flight; return who still waited."""
        gate, flight = self._gate, self._flight
        self._over = True
        self._lead = None
        self._readers = {}
        self._content = []
        gate.budget.give_back(self._reserved)
        self._reserved = 0
        gate.fills.pop(flight, None)
        gate.store.claims.release(flight.key, flight.stamp.fingerprint)
        return gate.flights.finish(flight, wake)

    def _end(self, wake: Wake) -> None:
        self._gate.wake(self._close(wake))

    def _cancel(self) -> None:
        """Give the request up: nobody is left who wants its response."""
        receiver, self.exchange.receiver = self.exchange.receiver, None
        if receiver is not None:
            receiver.client_gone()

    # --- readers

    def _everybody(self) -> "list[Waiter]":
        return [*([self._lead] if self._lead is not None else []), *self._readers]

    def reader_left(self, waiter: "Waiter") -> None:
        """Go on without a reader; a fetch that nobody wants ends."""
        if waiter is self._lead:
            self._lead = None
        self._readers.pop(waiter, None)
        if not self._over and not self._everybody() and not self._flight.is_wanted:
            woken = self._close(Wake.FAILED)
            self._cancel()
            self._probe_over()
            self._gate.wake(woken)
        elif self._paused:
            self._paused = False
            self._pace(paused=False)

    def _probe_over(self) -> None:
        """Let another request ask a failing app soon, if this one was to find out how it is."""
        marks = self._gate.store.marks
        for scope in (self._waiter.route.scope, self._flight.key):
            if marks.upstream_state(scope, shared_clock()) is UpstreamState.FAILING:
                marks.set_failing(scope, shared_clock(), 1.0)

    def reader_paused(self, waiter: "Waiter") -> None:
        """Let the only reader of a response that is not kept set the pace."""
        if waiter is self._lead and not self._storing and not self._readers:
            self._paused = True
            self._pace(paused=True)

    def reader_resumed(self, waiter: "Waiter") -> None:
        """Go on."""
        if self._paused and waiter is self._lead:
            self._paused = False
            self._pace(paused=False)

    def _pace(self, *, paused: bool) -> None:
        receiver = self.exchange.receiver
        if receiver is not None:
            if paused:
                receiver.downstream_paused()
            else:
                receiver.downstream_resumed()

    # --- the rest of Downstream, which a GET without content and upgrade does not need

    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the address of the client that asked first."""
        return self.exchange.client, self.exchange.client_packed

    def client_lines(self, exchange: Exchange, chain: bytes) -> bytes:
        """Return the lines that name the client that asked first."""
        return self._client_lines

    def bucket(self, rate: RatePolicy, packed: bytes) -> int | None:
        """Return none: the requests that led here were counted each."""
        return None

    def misdirected(self, fields: RequestFields) -> bool:
        """Say no: the requests that led here were checked."""
        return False

    def has_certificate(self, fields: RequestFields) -> bool:
        """Say no: nothing is redirected from here."""
        return False

    def respond_stored(self, status: int, prefix: bytes, lines: bytes, content: bytes) -> None:
        """Never called: a fetch does not ask the cache."""

    def send_interim(self, status: int, block: bytes) -> None:
        """Pass early hints on to the lead."""
        if self._lead is not None and not self._lead.is_silent:
            self._lead.exchange.downstream.send_interim(status, block)

    def pause_content(self) -> None:
        """Do nothing: there is no request content."""

    def resume_content(self) -> None:
        """Do nothing: there is no request content."""

    def switch_protocols(self, block: bytes) -> bytes:
        """Never called: a fetch asks for no upgrade."""
        return b""

    def tunnel(self, octets: bytes) -> None:
        """Never called: a fetch asks for no upgrade."""

    def shut_down_tunnel(self) -> bool:
        """Never called: a fetch asks for no upgrade."""
        return False

    def end_tunnel(self) -> None:
        """Never called: a fetch asks for no upgrade."""


def _pairs(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    lines = (line.partition(b":") for line in block.split(b"\r\n") if line)
    return tuple((name.lower(), value.strip(b" \t")) for name, _, value in lines)
