"""Requests that wait for a fetch, in this worker or in another, and every way in which such a wait ends.

    join -> lead        claims the key; fetches it (cache_fill.py), or looks every few milliseconds whether
                        the worker that has the claim is done, or dead
         -> wait        until the fetch has a head or an end
         -> read along  at once

A wait ends once, by the first of: the fetch's end or head (`wake`), the time that its route gives it
(`_waited`), its client's leaving (`leave`).  The first two answer it or send it to the app by itself; so whoever
ends a fetch owes a `wake` to all who waited for it.  A waiter belongs to one flight at most, and to no fill before it
is sent that fill's response.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.cache_answers import misses, send_entry
from proxy.cache_fill import FAILING_SECONDS, Fill
from proxy.cache_waiter import Waiter
from proxy.caching.claims import Claim
from proxy.caching.collapse import FillBudget, Flight, Flights, Join, Wake
from proxy.caching.front import Entry, Freshness, Front, freshness_of
from proxy.caching.marks import UpstreamState
from proxy.caching.outcomes import Forward, Outcome, Reason, forwarded_lines
from proxy.caching.record import SECOND, Stamp
from proxy.clock import shared_clock
from proxy.errors import GatewayError
from proxy.telemetry import counters, process_log
from proxy.traffic.router import normalise_path

if TYPE_CHECKING:
    from proxy.pipeline import Pipeline

#: How often a worker looks whether another worker's fetch is over, or its leader dead (seconds).
POLL: Final = 0.01
#: A claim that is busy so many times in a row is done without: who holds its lock may be stopped.
BUSY_TRIES: Final = 3
#: Octets that one worker may hold for responses that it is about to store.
FILL_BUDGET: Final = 32 * 1024 * 1024
#: An app that varies its Vary could send a request from flight to flight for ever.
MOST_VARIANTS: Final = 4

_log = process_log.logger("worker")


class Waits:
    """All waiters of one worker, and the fetches that they wait for."""

    def __init__(self, pipeline: "Pipeline", front: Front) -> None:
        self.pipeline = pipeline
        self.front = front
        self.store = front.store
        self.flights: Flights[Waiter] = Flights(self.store.invalidations.is_valid)
        self.budget = FillBudget(FILL_BUDGET)
        self.fills: dict[Flight[Waiter], Fill] = {}
        self._polls = 0  # looks at other workers' fetches that are still to come

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is left that would use the store."""
        return not (self.fills or self._polls or len(self.flights))

    # --- how waits begin

    def join(self, waiter: Waiter, key: bytes) -> None:
        """Wait for a key's fetch, or start it."""
        waiter.waits = self
        for _ in range(MOST_VARIANTS):
            joined, flight = self.flights.join(key, waiter, lambda: self._stamp(waiter))
            if joined is not Join.OTHER_VARIANT:
                self._joined(waiter, joined, flight)
                return
            key = self.store.variant_key(waiter.found.key, waiter.cached.identity, flight.names)
        self.go_itself(waiter, None)

    def _joined(self, waiter: Waiter, joined: Join, flight: Flight[Waiter]) -> None:
        if waiter.is_silent and joined is not Join.LEAD:
            self.flights.leave(flight, waiter)  # somebody is at it already
            return
        waiter.flight = flight
        match joined:
            case Join.LEAD:
                self._claim(waiter, flight, 0)
            case Join.READ_ALONG:
                self.fills[flight].read_along(waiter)
            case _:
                self._bound(waiter)

    def _stamp(self, waiter: Waiter) -> Stamp:
        """Note what is valid now, for a fetch that begins now."""
        exchange = waiter.exchange
        label = exchange.site.label if exchange.site is not None else b""
        path = normalise_path(exchange.target)
        return self.store.invalidations.begin(label, path, exchange.target, waiter.cached.identity)

    def _bound(self, waiter: Waiter) -> None:
        """Bound a wait, from its first beginning on, whichever flights it joins."""
        if waiter.timer is None:
            waiter.timer = self.pipeline.loop.call_later(waiter.route.cache.wait, self._waited, waiter)

    def _claim(self, waiter: Waiter, flight: Flight[Waiter], busy: int) -> None:
        """Fetch, unless another worker is at it; ``busy`` is how often in a row the claim could not be asked for."""
        self.flights.restamp(flight, lambda: self._stamp(waiter))
        now = shared_clock()
        deadline = now + int(waiter.route.cache.wait * SECOND)
        claim = self.store.claims.claim(flight.key, flight.stamp.fingerprint, now=now, deadline=deadline)
        if claim is Claim.BUSY:
            self.pipeline.counters.add(counters.CACHE_BUSY)
            busy += 1
        else:
            busy = 0
        # The fetch of another worker may have ended between the lookup and the claim.
        wake = self._outcome_elsewhere(waiter, flight) if claim is Claim.LEAD else None
        if wake is not None:
            self.store.claims.release(flight.key, flight.stamp.fingerprint)
            self.wake(self.flights.finish(flight, wake))
        elif claim is Claim.LEAD or busy >= BUSY_TRIES:
            waiter.stop_waiting()
            self.fills[flight] = fill = Fill(self, flight, waiter, is_claimed=claim is Claim.LEAD)
            fill.start()
        else:
            self._bound(waiter)
            self._polls += 1
            self.pipeline.loop.call_later(POLL, self._poll, waiter, flight, busy)

    def _poll(self, first: Waiter, flight: Flight[Waiter], busy: int) -> None:
        """Look whether another worker's fetch is over; take it over when that worker is dead."""
        self._polls -= 1
        if not flight.is_wanted:
            return
        waiter = first if first in flight.waiters else next(iter(flight.waiters))
        wake = self._outcome_elsewhere(waiter, flight)
        if wake is not None:
            self.wake(self.flights.finish(flight, wake))
        else:
            self._claim(waiter, flight, busy)

    def _outcome_elsewhere(self, waiter: Waiter, flight: Flight[Waiter]) -> Wake | None:
        """Say how another worker's fetch for a flight ended, if it has."""
        now = shared_clock()
        stored = self.store.look(waiter.found.key, waiter.cached.identity, now).stored
        if stored is not None and freshness_of(stored, now) is Freshness.FRESH:
            return Wake.STORED
        return Wake.UNCACHEABLE if self.store.marks.is_uncacheable(flight.key, now) else None

    # --- how waits end

    def wake(
        self,
        woken: list[tuple[Waiter, Wake]],
        *,
        entry: Entry | None = None,
        error: GatewayError | None = None,
        names: tuple[bytes, ...] = (),
    ) -> None:
        """Let waiters go on, each for its reason, whatever becomes of the others.

        ``entry`` is what was fetched, where it was fetched here; ``names`` are the fields by which variants differ.
        """
        for waiter, reason in woken:
            self.serve_safely(waiter, partial(self._wake, reason, entry, error, names))

    def _wake(
        self,
        reason: Wake,
        entry: Entry | None,
        error: GatewayError | None,
        names: tuple[bytes, ...],
        waiter: Waiter,
    ) -> None:
        waiter.flight = None
        match reason:
            case Wake.STORED if entry is not None:
                self.serve_fetched(waiter, entry, Outcome.COLLAPSED)
            case Wake.STORED:
                self._look_again(waiter)
            case Wake.FAILED:
                self.failed(waiter, error)
            case Wake.OTHER_VARIANT:
                self.join(waiter, self.store.variant_key(waiter.found.key, waiter.cached.identity, names))
            case Wake.UNCACHEABLE | Wake.READ_ALONG:
                self.go_itself(waiter, Reason.KNOWN_UNCACHEABLE)

    def serve_safely(self, waiter: Waiter, serve: Callable[[Waiter], None]) -> None:
        """Do something for one of many clients: a fault of ours there must not keep the others from their answers."""
        try:
            serve(waiter)
        except Exception:
            self.pipeline.counters.add(counters.INTERNAL_ERRORS)
            _log.exception("cannot go on with a request that waited")
            self.leave(waiter)
            if not waiter.is_silent:
                waiter.exchange.receiver = None
                waiter.exchange.downstream.abort_response()

    def _look_again(self, waiter: Waiter) -> None:
        """Answer from what another worker has stored; who needs another variant of it waits for that."""
        now = shared_clock()
        found, entry = self.front.find_again(
            waiter.found.key, waiter.base, waiter.exchange.target, waiter.cached.identity, now
        )
        if entry is not None and freshness_of(entry.stored, now) is Freshness.FRESH:
            self.serve_fetched(waiter, entry, Outcome.COLLAPSED)
        elif found.fill_key != waiter.found.fill_key:
            waiter.found = found
            self.join(waiter, found.fill_key)
        else:
            self.go_itself(waiter, None)

    def serve_fetched(self, waiter: Waiter, entry: Entry, outcome: Outcome) -> None:
        """Answer a waiter from a response that was fetched while it waited."""
        waiter.settle()
        if waiter.is_silent:
            return
        forward = Forward.VARY_MISS if waiter.found.varies else Forward.URI_MISS
        if waiter.fallback is not None or outcome is Outcome.REVALIDATED:
            forward = Forward.STALE
        lines = entry.age_line(shared_clock())
        lines += forwarded_lines(outcome, forward, stored=outcome is not Outcome.COLLAPSED)
        if not send_entry(waiter.exchange, waiter.cached, entry, lines, outcome):
            self.pipeline.forward(waiter.exchange, waiter.route, waiter.plan)

    def failed(self, waiter: Waiter, error: GatewayError | None, status: int = 0) -> None:
        """End a wait whose fetch failed: stale if there is something, else as it failed.

        ``status`` is the app's, where it was an error.
        """
        fallback = waiter.fallback
        if fallback is not None and not waiter.is_silent and self._may_serve_stale(fallback):
            waiter.settle()
            lines = fallback.failed_lines(shared_clock(), status)
            send_entry(waiter.exchange, waiter.cached, fallback, lines, Outcome.STALE)
        elif error is None:
            self.go_itself(waiter, None)
        else:
            waiter.settle()
            if not waiter.is_silent:
                self.pipeline.gateway_error(waiter.exchange, error)

    def _may_serve_stale(self, entry: Entry) -> bool:
        return shared_clock() < entry.stored.error_until and self.store.invalidations.is_valid(
            entry.stored.stamp
        )

    def go_itself(self, waiter: Waiter, reason: Reason | None) -> None:
        """Forward a waiter's request by itself."""
        waiter.settle()
        self.probe_over(waiter)
        if not waiter.is_silent:
            misses(waiter.exchange, waiter.found, reason)
            self.pipeline.forward(waiter.exchange, waiter.route, waiter.plan)

    def _waited(self, waiter: Waiter) -> None:
        """End a wait that took too long: stale if there is something, else by itself."""
        waiter.timer = None
        flight, waiter.flight = waiter.flight, None
        if flight is not None:
            self._left(flight, waiter)
        self.failed(waiter, None)

    def leave(self, waiter: Waiter) -> None:
        """Take out a waiter whose client is gone."""
        waiter.stop_waiting()
        fill, waiter.fill = waiter.fill, None
        flight, waiter.flight = waiter.flight, None
        if flight is not None:
            self._left(flight, waiter)
        if fill is not None:
            fill.reader_left(waiter)

    def _left(self, flight: Flight[Waiter], waiter: Waiter) -> None:
        if self.flights.leave(flight, waiter):
            return
        fill = self.fills.get(flight)
        if fill is None:
            self.flights.abandon(flight)
            self.probe_over(waiter)
        else:
            fill.end_unwanted()

    def probe_over(self, waiter: Waiter) -> None:
        """Let another request ask a failing app soon, if this one was to find out how it is and does not."""
        if waiter.validated is None:
            return
        marks, now = self.store.marks, shared_clock()
        for scope in (waiter.route.scope, waiter.found.fill_key):
            if marks.upstream_state(scope, now) is UpstreamState.FAILING:
                marks.set_failing(scope, now, FAILING_SECONDS)
