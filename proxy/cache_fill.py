"""One fetch that fills the cache: a request of our own to the app, its response kept and passed on as it comes.

Theory of operation.  To the Forward that carries it a Fill looks like a client (Downstream); to its readers
it is the app.  The request that started it is the lead: it gets the response in any case, as it comes.
Others read along when the head shows that the response can be stored and is not too large, or wait for the
end when its length is not known.  While the response is being kept (cache_kept.py), it comes at the app's speed;
from the moment when it turns out not to be storable it is an ordinary response to the lead, whose client then sets
the pace (cache_readers.py).  A fetch that nobody wants any more is given up.

A Fill ends once, in `_close`, which gives back its claim and its part of the budget and returns who still waited.
Only after that is anybody answered: an answer may start that client's next request, for the same key.
"""

from functools import partial
from typing import TYPE_CHECKING

from proxy.cache_answers import count_reason
from proxy.cache_kept import Kept
from proxy.cache_readers import Head, Readers
from proxy.cache_request import OVER, OwnRequest
from proxy.caching.collapse import Flight, Wake
from proxy.caching.conditional import revalidation_fields
from proxy.caching.front import Entry
from proxy.caching.outcomes import Outcome, Reason
from proxy.caching.policy import PASS_SECONDS
from proxy.caching.record import Stored
from proxy.clock import shared_clock
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.semantics.fields import FieldLine

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
        plan = lead.fill_plan
        client = asking.downstream
        lines = client.client_lines(asking, (plan.head or plan.make_head()).chain)
        super().__init__(client.origin, client.peer, (asking.client, asking.client_packed), lines)
        self._waits = waits
        self._marks = waits.store.marks
        self._flight = flight
        self._waiter = lead  # whose request this is; kept after its client has left
        self._is_paused = False
        self._over = False
        self._validated: Entry | None = None
        exchange = Exchange(self, asking.snapshot, b"GET", asking.target, 1, asking.fields, shared_clock())
        exchange.site, exchange.route = asking.site, asking.route
        exchange.client, exchange.client_packed = asking.client, asking.client_packed
        exchange.request_id = waits.pipeline.request_id(asking)
        self.exchange = exchange
        self._kept = Kept(waits, flight, lead, exchange, is_claimed=is_claimed)
        self._readers = Readers(lead, exchange, self._kept)
        lead.fill = self
        waits.flights.leave(flight, lead)  # the lead is served by itself, whatever becomes of the flight

    def start(self) -> None:
        """Send the request, under the condition that what is stored has changed if it can be asked so."""
        stored = self._waiter.validated
        conditions = () if stored is None else revalidation_fields(stored.stored.pairs)
        if stored is not None and stored.status == 200 and conditions:
            self._validated = stored
            self.exchange.extra_lines = b"".join(b"%s: %s\r\n" % pair for pair in conditions)
        self._waits.pipeline.forward(self.exchange, self._waiter.route, self._waiter.fill_plan)

    # --- the response (Downstream)

    def send_interim(self, status: int, block: bytes) -> None:
        """Pass early hints on to the lead."""
        self._readers.send_interim(status, block)

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
        self._kept.arrived(shared_clock())
        self._marks.set_working(self._waiter.route.scope)
        if status == 304 and self._validated is not None:
            self._marks.set_working(self._flight.key)
            self._confirmed(self._validated, block)
            return
        if status in _FAILURES and self._stale_stands_in(status):
            return
        self._marks.set_working(self._flight.key)
        self._readers.head = Head(line, status, block, length, has_date)
        size = len(content) if complete and length < 0 else length
        verdict = self._kept.begin(status, block, size, to_come=0 if complete else max(size, len(content)))
        if self._kept.reason is not None:
            self._give_up(self._kept.reason, verdict.pass_for)
        elif self._flight.waiters or not complete:  # who comes later finds the flight over, if it is complete
            self._share(verdict.vary, length_known=size >= 0 and not complete)
        if self._over:
            return
        if complete:
            self._complete_at_once(content)
            return
        if self._readers.lead is not None:
            self._readers.send_head(self._readers.lead, Outcome.MISS)
        if content:
            self.send_content(content)

    def _complete_at_once(self, content: bytes) -> None:
        """Handle the common case, a whole response in one piece: one write to each client."""
        self._kept.add_all(content)
        stored = self._store()
        lead, readers = self._readers.lead, self._readers
        woken = self._close(Wake.UNCACHEABLE if stored is None else Wake.STORED)
        serve = partial(readers.send_head, outcome=Outcome.MISS, content=content, complete=True)
        if lead is not None:
            lead.settle()
            self._waits.serve_safely(lead, serve)
        self._wake(woken, stored)

    def _wake(self, woken: "list[tuple[Waiter, Wake]]", stored: Stored | None) -> None:
        """Let those who waited for the end go on."""
        if woken:
            self._waits.wake(woken, entry=None if stored is None else Entry(stored, 0))

    def _share(self, names: tuple[bytes, ...], *, length_known: bool) -> None:
        """Let those who wait read along, or join under the key of their own variant."""
        store, waits = self._waits.store, self._waits
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
        self._readers.read_along(waiter)

    def send_content(self, content: bytes) -> None:
        """Pass content on, and keep it if the response is to be stored."""
        self._keep(content)
        self._readers.send_content(content)

    def _keep(self, content: bytes) -> None:
        reason = self._kept.add(content) if self._kept.is_storing else None
        if reason is not None:
            self._give_up(reason, PASS_SECONDS if reason is Reason.TOO_LARGE else 0.0)

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """End the response: store it, and let those who waited for its end have it."""
        if self._over:
            return
        stored = self._store()
        everybody = self._readers.everybody
        woken = self._close(Wake.UNCACHEABLE if stored is None else Wake.STORED)
        for waiter in everybody:
            waiter.settle()
            if not waiter.is_silent:
                self._waits.serve_safely(waiter, lambda reader: reader.exchange.downstream.finish(trailers))
        self._wake(woken, stored)

    def _store(self) -> Stored | None:
        return None if self._readers.head is None else self._kept.store(self._readers.head)

    def _confirmed(self, validated: Entry, block: bytes) -> None:
        """Serve what is stored for another lifetime: the app said that it has not changed."""
        lead = self._readers.lead
        entry = self._kept.confirm(validated, block)
        woken = self._close(Wake.STORED if self._kept.is_storing else Wake.UNCACHEABLE)
        if lead is not None and entry is None:
            self._waits.go_itself(lead, None)
        elif lead is not None and entry is not None:
            self._readers.tell_of_upstream(lead.exchange)
            self._waits.serve_fetched(lead, entry, Outcome.REVALIDATED)
        self._waits.wake(woken, entry=entry)

    # --- failures

    def upstream_failed(self, error: GatewayError) -> None:
        """Take note that no response came; stale answers stand in where there are any."""
        if self._over:
            return
        self._marks.set_failing(self._waiter.route.scope, shared_clock(), FAILING_SECONDS)
        if self._waiter.fallback is not None:
            self._waits.pipeline.log_failure(self.exchange, error)  # no client will see it
        self._failed(error, 0)

    def _stale_stands_in(self, status: int) -> bool:
        """Answer stale instead of with an error of the app, where there is something."""
        fallback = self._waiter.fallback
        if fallback is None:
            return False
        stored = fallback.stored
        until = max(stored.error_until, stored.revalidate_until if self._waiter.is_silent else 0)
        if shared_clock() >= until:
            return False
        self._marks.set_failing(self._flight.key, shared_clock(), FAILING_SECONDS)
        self._failed(None, status)
        return True

    def _failed(self, error: GatewayError | None, status: int) -> None:
        """End a fetch that gives nobody an answer: ``error`` without a response, else its status."""
        waits, lead = self._waits, self._readers.lead
        woken = self._close(Wake.FAILED, cancel=error is None)
        if lead is not None:
            self._readers.tell_of_upstream(lead.exchange)
            waits.serve_safely(lead, lambda waiter: waits.failed(waiter, error, status))
        waits.wake(woken, error=error)

    def abort_response(self) -> None:
        """Cut all readers' responses off: the app did not finish its own."""
        if self._over:
            return
        if self._kept.is_storing:
            count_reason(self.exchange, Reason.TRUNCATED)
        everybody = self._readers.everybody
        woken = self._close(Wake.FAILED)
        for waiter in everybody:
            waiter.settle()
            if not waiter.is_silent:
                waiter.exchange.error = self.exchange.error
                waiter.exchange.downstream.abort_response()
        self._waits.wake(woken)

    def _give_up(self, reason: Reason, pass_for: float) -> None:
        """Keep nothing (more) of this response, and tell those who hoped for it."""
        if pass_for:
            self._marks.set_uncacheable(self._flight.key, shared_clock(), pass_for)
        self._kept.drop(reason)
        self._waits.wake(self._waits.flights.head(self._flight, storable=False))
        if not self.end_unwanted():
            self.set_pace()

    def _close(self, wake: Wake, *, cancel: bool = False) -> "list[tuple[Waiter, Wake]]":
        """End the flight, and give the request up where nobody is left who wants it; return who still waited."""
        self._over = True
        receiver, self.exchange.receiver = self.exchange.receiver, None
        self.exchange.downstream = OVER
        self._readers.release()
        self._kept.give_back()
        self._waits.fills.pop(self._flight, None)
        woken = self._waits.flights.finish(self._flight, wake)
        if cancel and receiver is not None:
            receiver.client_gone()
        return woken

    # --- readers

    def reader_left(self, waiter: "Waiter") -> None:
        """Go on without a reader; a fetch that nobody wants ends."""
        self._readers.leave(waiter)
        if not self.end_unwanted():
            self.set_pace()

    def end_unwanted(self) -> bool:
        """End a fetch that nobody wants, or whose refresh came to nothing; say whether it is over."""
        if self._over:
            return True
        if self._readers.wants_more or self._flight.is_wanted:
            return False
        self._close(Wake.FAILED, cancel=True)
        self._waits.probe_over(self._waiter)
        return True

    def set_pace(self) -> None:
        """Let the only reader of a response that is not kept set the pace."""
        receiver = self.exchange.receiver
        if self._readers.sets_pace is self._is_paused or receiver is None:
            return
        self._is_paused = not self._is_paused
        if self._is_paused:
            receiver.downstream_paused()
        else:
            receiver.downstream_resumed()
