"""The cache's place on a request's way: answer it from what is stored, let it join a fetch, or let it pass.

    lookup -> hit                                answered at once, nothing else happens
           -> stale, its upstream known to fail  answered stale
           -> miss                               joins the fetch for its key, or starts it (cache_fill.py)
           -> not for the cache                  forwarded by itself, with the reason

Waiters are requests whose fetch is under way, here or in another worker. Every waiter is bounded by its
route's ``wait`` and then goes by itself; none is ever lost, because whoever ends a fetch wakes them all with
a reason.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from proxy.cache_fill import Fill
from proxy.caching.claims import Claim
from proxy.caching.collapse import FillBudget, Flight, Flights, Join, Wake
from proxy.caching.front import Entry, Freshness, Front, freshness_of
from proxy.caching.key import Identity, Pairs, identify
from proxy.caching.marks import UpstreamState
from proxy.caching.outcomes import Forward, Outcome, Reason, bypassed_lines, forwarded_lines
from proxy.caching.record import SECOND, Stamp
from proxy.caching.store import Found, Store
from proxy.caching.written import written_targets
from proxy.clock import shared_clock
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.plans import CachePlan, RequestPlan
from proxy.semantics.fields import FieldLine
from proxy.traffic.router import normalise_path

if TYPE_CHECKING:
    from proxy.pipeline import Pipeline
    from proxy.snapshot import RouteRuntime

#: How often a worker looks whether another worker's fetch is over, or its leader dead (seconds).
POLL: Final = 0.01
#: Octets that one worker may hold for responses that it is about to store.
FILL_BUDGET: Final = 32 * 1024 * 1024
#: How long a failing upstream is left alone before one request asks it again (seconds).
FAILING_SECONDS: Final = 1.0


class Waiter:
    """A request that waits for a fetch; receives what its client's connection has to say meanwhile."""

    __slots__ = (
        "base",
        "cached",
        "exchange",
        "fallback",
        "fill",
        "flight",
        "found",
        "gate",
        "is_silent",
        "plan",
        "route",
        "timer",
        "validated",
    )

    def __init__(
        self,
        gate: "CacheGate",
        exchange: Exchange,
        route: "RouteRuntime",
        plan: RequestPlan,
        cached: CachePlan,
        base: bytes,
        found: Found,
        fallback: Entry | None,
        validated: Entry | None,
        *,
        is_silent: bool = False,
    ) -> None:
        self.gate = gate
        self.exchange = exchange
        self.route = route
        self.plan = plan
        self.cached = cached
        self.base = base
        self.found = found
        self.fallback = fallback  # what may be served if the upstream fails
        self.validated = validated  # what the upstream may be asked to confirm
        self.flight: Flight[Waiter] | None = None
        self.fill: Fill | None = None
        self.is_silent = is_silent  # a refresh in the background: nobody is answered
        self.timer: asyncio.TimerHandle | None = None

    def request_content(self, content: bytes) -> None:
        """Drop it: requests with content never wait for a fetch."""

    def request_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """Nothing to do: the request was complete."""

    def downstream_paused(self) -> None:
        """The client takes no more; a fetch that only it reads waits with it."""
        if self.fill is not None:
            self.fill.reader_paused(self)

    def downstream_resumed(self) -> None:
        """The client takes more."""
        if self.fill is not None:
            self.fill.reader_resumed(self)

    def client_gone(self) -> None:
        """Leave; the fetch goes on for the others."""
        self.gate.leave(self)

    def stop_waiting(self) -> None:
        """Cancel the wait's bound."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class CacheGate:
    """One worker's output cache in front of its pipeline's last step."""

    def __init__(self, pipeline: "Pipeline", store: Store) -> None:
        self.pipeline = pipeline
        self.store = store
        self.front = Front(store)
        self.flights: Flights[Waiter] = Flights(store.invalidations.is_valid)
        self.budget = FillBudget(FILL_BUDGET)
        self.fills: dict[Flight[Waiter], Fill] = {}

    # --- on the way in

    def answers(
        self, exchange: Exchange, route: "RouteRuntime", plan: RequestPlan, cached: CachePlan
    ) -> bool:
        """Take a request over, or return False: forward it by itself."""
        method = exchange.method
        if method != b"GET" and method != b"HEAD":
            return self._pass(exchange, Reason.METHOD)
        if exchange.is_upgrade:
            return self._pass(exchange, Reason.UPGRADE)
        if cached.bypass is not None:
            return self._pass(exchange, cached.bypass)
        base = cached.base + exchange.client if cached.rules.key_client_address else cached.base
        now = exchange.started
        entry = self.front.lookup(base, exchange.target, cached.identity, now)
        if entry is not None:
            return self._serve(exchange, cached, entry, now, Outcome.HIT)
        return self._miss(exchange, route, plan, cached, base, now)

    def _pass(self, exchange: Exchange, reason: Reason) -> bool:
        exchange.cache_outcome = Outcome.BYPASS
        exchange.cache_lines = bypassed_lines(reason)
        if exchange.site is not None:
            exchange.site.counters.bypassed(reason.value)
        return False

    def _miss(
        self,
        exchange: Exchange,
        route: "RouteRuntime",
        plan: RequestPlan,
        cached: CachePlan,
        base: bytes,
        now: int,
    ) -> bool:
        """Find a request's answer in the shared store, or see that it is fetched."""
        found, entry = self.front.find(base, exchange.target, cached.identity, now)
        fallback = validated = None
        if entry is not None:
            validated = entry
            freshness = freshness_of(entry.stored, now)
            if freshness is Freshness.FRESH:
                return self._serve(exchange, cached, entry, now, Outcome.HIT)
            if freshness is Freshness.REVALIDATE:
                self._refresh(exchange, route, plan, cached, base, found, entry)
                return self._serve(exchange, cached, entry, now, Outcome.STALE)
            if freshness is Freshness.ON_ERROR:
                fallback = entry
                if self._is_failing(route, found, now):
                    return self._serve_failed(exchange, cached, entry, now)
        if exchange.method == b"HEAD":
            return self._forward_itself(exchange, found, None)
        if cached.has_range:
            return self._pass(exchange, Reason.RANGE)
        if self.store.marks.is_uncacheable(found.fill_key, now):
            return self._forward_itself(exchange, found, Reason.KNOWN_UNCACHEABLE)
        waiter = Waiter(self, exchange, route, plan, cached, base, found, fallback, validated)
        exchange.receiver = waiter
        self._join(waiter, found.fill_key)
        return True

    def _forward_itself(self, exchange: Exchange, found: Found, reason: Reason | None) -> bool:
        exchange.cache_outcome = Outcome.MISS
        forward = Forward.VARY_MISS if found.varies else Forward.URI_MISS
        exchange.cache_lines = forwarded_lines(Outcome.MISS, forward, reason=reason)
        if reason is not None and exchange.site is not None:
            exchange.site.counters.bypassed(reason.value)
        return False

    def _is_failing(self, route: "RouteRuntime", found: Found, now: int) -> bool:
        """Say whether a stale answer goes out without asking; where a probe is due, this request is the probe."""
        marks = self.store.marks
        for scope in (route.scope, found.fill_key):
            state = marks.upstream_state(scope, now)
            if state is UpstreamState.FAILING:
                return True
            if state is UpstreamState.PROBE_DUE:
                probe_time = route.timeouts.connect + route.timeouts.first_byte
                marks.set_failing(scope, now, probe_time)
                return False
        return False

    # --- answers

    def _serve(self, exchange: Exchange, cached: CachePlan, entry: Entry, now: int, outcome: Outcome) -> bool:
        """Answer from what is stored; False where only the app can answer (several ranges)."""
        lines = entry.moment_lines(now)
        return self._send(exchange, cached, entry, lines, outcome)

    def _serve_failed(
        self, exchange: Exchange, cached: CachePlan, entry: Entry, now: int, status: int = 0
    ) -> bool:
        """Answer stale because the upstream fails."""
        return self._send(exchange, cached, entry, entry.failed_lines(now, status), Outcome.STALE)

    def _send(
        self, exchange: Exchange, cached: CachePlan, entry: Entry, lines: bytes, outcome: Outcome
    ) -> bool:
        exchange.cache_outcome = outcome
        if cached.identity.is_plain and exchange.method == b"GET":
            exchange.downstream.respond_stored(entry.status, entry.prefix, lines, entry.body)
            return True
        shaped = entry.shape(exchange.method, cached.identity, time.time())
        if shaped is None:
            return self._pass(exchange, Reason.RANGE)
        exchange.downstream.respond_stored(shaped.status, shaped.prefix, lines, shaped.content)
        return True

    def serve_fetched(self, waiter: Waiter, entry: Entry, outcome: Outcome) -> None:
        """Answer a waiter from a response that was fetched while it waited."""
        waiter.exchange.receiver = None
        forward = Forward.VARY_MISS if waiter.found.varies else Forward.URI_MISS
        if waiter.fallback is not None or outcome is Outcome.REVALIDATED:
            forward = Forward.STALE
        lines = entry.age_line(shared_clock())
        lines += forwarded_lines(outcome, forward, stored=outcome is not Outcome.COLLAPSED)
        if not self._send(waiter.exchange, waiter.cached, entry, lines, outcome):
            self.pipeline.forward(waiter.exchange, waiter.route, waiter.plan)

    # --- fetches

    def _join(self, waiter: Waiter, key: bytes) -> None:
        identity = waiter.cached.identity
        joined, flight = self.flights.join(key, waiter, lambda: self._stamp(waiter))
        waiter.flight = flight
        if waiter.is_silent and joined is not Join.LEAD:
            self.flights.leave(flight, waiter)  # somebody is at it already
            return
        match joined:
            case Join.LEAD:
                self._claim(waiter, flight)
            case Join.WAIT:
                self._bound(waiter)
            case Join.READ_ALONG:
                self.fills[flight].read_along(waiter)
            case Join.OTHER_VARIANT:
                self._join(waiter, self.store.variant_key(waiter.found.key, identity, flight.names))

    def _stamp(self, waiter: Waiter) -> Stamp:
        """Note what is valid now, for a fetch that begins now."""
        exchange = waiter.exchange
        label = exchange.site.label if exchange.site is not None else b""
        path = normalise_path(exchange.target)
        return self.store.invalidations.begin(label, path, exchange.target, waiter.cached.identity)

    def _bound(self, waiter: Waiter) -> None:
        if waiter.timer is None:
            waiter.timer = self.pipeline.loop.call_later(waiter.route.cache.wait, self._waited, waiter)

    def _claim(self, waiter: Waiter, flight: Flight[Waiter]) -> None:
        """Fetch, unless another worker is at it."""
        self._bound(waiter)
        self.flights.restamp(flight, lambda: self._stamp(waiter))
        now = shared_clock()
        deadline = now + int(waiter.route.cache.wait * SECOND)
        claim = self.store.claims.claim(flight.key, flight.stamp.fingerprint, now=now, deadline=deadline)
        if claim is Claim.LEAD:
            self._start(waiter, flight)
        else:
            self.pipeline.loop.call_later(POLL, self._poll, waiter, flight)

    def _start(self, waiter: Waiter, flight: Flight[Waiter]) -> None:
        waiter.stop_waiting()
        fill = Fill(self, flight, waiter)
        self.fills[flight] = fill
        fill.start()

    def _poll(self, first: Waiter, flight: Flight[Waiter]) -> None:
        """Look whether another worker's fetch is over; take it over when that worker is dead."""
        if not flight.is_wanted or flight in self.fills:
            return
        waiter = first if first in flight.waiters else next(iter(flight.waiters))
        now = shared_clock()
        _, entry = self.front.find(waiter.base, waiter.exchange.target, waiter.cached.identity, now)
        if entry is not None and freshness_of(entry.stored, now) is Freshness.FRESH:
            self.wake(self.flights.finish(flight, Wake.STORED))
        elif self.store.marks.is_uncacheable(flight.key, now):
            self.wake(self.flights.finish(flight, Wake.UNCACHEABLE))
        else:
            self._claim(waiter, flight)

    def _refresh(
        self,
        exchange: Exchange,
        route: "RouteRuntime",
        plan: RequestPlan,
        cached: CachePlan,
        base: bytes,
        found: Found,
        entry: Entry,
    ) -> None:
        """Fetch anew in the background what is served stale meanwhile (RFC 5861 section 3)."""
        waiter = Waiter(self, exchange, route, plan, cached, base, found, entry, entry, is_silent=True)
        self._join(waiter, found.fill_key)

    # --- how waits end

    def wake(
        self,
        woken: list[tuple[Waiter, Wake]],
        *,
        error: GatewayError | None = None,
        names: tuple[bytes, ...] = (),
    ) -> None:
        """Let waiters go on, each for its reason; ``names`` are the fields by which variants differ."""
        for waiter, reason in woken:
            waiter.stop_waiting()
            waiter.flight = None
            if waiter.is_silent:
                continue
            match reason:
                case Wake.STORED:
                    self._look_again(waiter)
                case Wake.FAILED:
                    self.failed(waiter, error)
                case Wake.OTHER_VARIANT:
                    self._join(
                        waiter, self.store.variant_key(waiter.found.key, waiter.cached.identity, names)
                    )
                case Wake.UNCACHEABLE | Wake.READ_ALONG:
                    self.go_itself(waiter, Reason.KNOWN_UNCACHEABLE)

    def _look_again(self, waiter: Waiter) -> None:
        now = shared_clock()
        _, entry = self.front.find(waiter.base, waiter.exchange.target, waiter.cached.identity, now)
        if entry is not None and freshness_of(entry.stored, now) is Freshness.FRESH:
            self.serve_fetched(waiter, entry, Outcome.COLLAPSED)
        else:
            self.go_itself(waiter, None)

    def failed(self, waiter: Waiter, error: GatewayError | None, status: int = 0) -> None:
        """End a wait whose fetch failed: stale if there is something, else as it failed."""
        if waiter.is_silent:
            return
        waiter.exchange.receiver = None
        if waiter.fallback is not None:
            now = shared_clock()
            if now < waiter.fallback.stored.error_until:
                self._serve_failed(waiter.exchange, waiter.cached, waiter.fallback, now, status)
                return
        if error is not None:
            self.pipeline.gateway_error(waiter.exchange, error)
        else:
            self.go_itself(waiter, None)

    def go_itself(self, waiter: Waiter, reason: Reason | None) -> None:
        """Forward a waiter's request by itself."""
        waiter.stop_waiting()
        if waiter.is_silent:
            return
        exchange = waiter.exchange
        exchange.receiver = None
        self._forward_itself(exchange, waiter.found, reason)
        self.pipeline.forward(exchange, waiter.route, waiter.plan)

    def _waited(self, waiter: Waiter) -> None:
        """End a wait that took too long."""
        waiter.timer = None
        flight, waiter.flight = waiter.flight, None
        if flight is not None:
            self._left(flight, waiter)
        self.go_itself(waiter, None)

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
        if not self.flights.leave(flight, waiter) and flight not in self.fills:
            self.flights.abandon(flight)

    # --- writes

    def wrote(self, exchange: Exchange, response: Pairs = ()) -> None:
        """Void what an unsafe request may have changed (RFC 9111 section 4.4); ``response`` are its fields."""
        site = exchange.site
        if site is None or site.write_rules is None:
            return
        trusted = exchange.downstream.origin.trusted
        key = (site, trusted)
        identity = exchange.fields.derived.get(key)
        if not isinstance(identity, Identity):
            pairs = tuple((lower, value) for lower, _, value in exchange.fields.lines)
            identity = exchange.fields.derived[key] = identify(pairs, site.write_rules, trusted=trusted)
        targets = written_targets(exchange.target, exchange.fields.host or b"", response)
        self.store.invalidations.invalidate(site.label, targets, identity)
