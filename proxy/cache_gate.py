"""The cache's place on a request's way: answer it from what is stored, let it join a fetch, or let it pass.

lookup -> hit                                answered at once, nothing else happens
       -> stale, its upstream known to fail  answered stale
       -> miss                               joins the fetch for its key, or starts it (cache_waits.py)
       -> not for the cache                  forwarded by itself, with the reason
"""

from typing import TYPE_CHECKING, Final

from proxy.cache_answers import misses, passes, send_entry
from proxy.cache_waiter import Waiter
from proxy.cache_waits import Waits
from proxy.caching.front import Entry, Freshness, Front, freshness_of
from proxy.caching.identity import Identity, identify
from proxy.caching.invalidation import Invalidations
from proxy.caching.key import Pairs
from proxy.caching.marks import UpstreamState
from proxy.caching.outcomes import Outcome, Reason
from proxy.caching.store import Found, Store
from proxy.caching.written import written_targets
from proxy.exchange import Exchange
from proxy.plans import CachePlan, RequestPlan

if TYPE_CHECKING:
    from proxy.pipeline import Pipeline
    from proxy.snapshot import RouteRuntime

#: How often it is looked whether memory that was left is still in use (seconds).
_LOOK_EVERY: Final = 1.0


class CacheGate:
    """One worker's output cache in front of its pipeline's last step."""

    def __init__(self, pipeline: "Pipeline", store: Store) -> None:
        self.store = store
        self.front = Front(store)
        self.waits = Waits(pipeline, self.front)
        #: What a write voids besides, while the cache moves to other memory.
        self.beside: Invalidations | None = None

    # --- on the way in

    def answers(
        self, exchange: Exchange, route: "RouteRuntime", plan: RequestPlan, cached: CachePlan
    ) -> bool:
        """Take a request over, or return False: forward it by itself."""
        method = exchange.method
        if method != b"GET" and method != b"HEAD":
            return passes(exchange, Reason.METHOD)
        if exchange.is_upgrade:
            return passes(exchange, Reason.UPGRADE)
        if cached.bypass is not None:
            return passes(exchange, cached.bypass)
        base = cached.base + exchange.client if cached.rules.key_client_address else cached.base
        now = exchange.started
        entry = self.front.lookup(base, exchange.target, cached.identity, now)
        if entry is not None:
            return send_entry(exchange, cached, entry, entry.moment_lines(now), Outcome.HIT)
        return self._miss(Waiter(exchange, route, plan, cached, base))

    def _miss(self, waiter: Waiter) -> bool:
        """Find a request's answer in the shared store, or see that it is fetched."""
        exchange, cached = waiter.exchange, waiter.cached
        now = exchange.started
        found, entry = self.front.find(waiter.base, exchange.target, cached.identity, now)
        waiter.found = found
        is_uncacheable = self.store.marks.is_uncacheable(found.fill_key, now)
        is_fetch = exchange.method == b"GET" and not cached.has_range and not is_uncacheable
        if entry is not None:
            waiter.validated = entry
            freshness = freshness_of(entry.stored, now)
            if freshness is Freshness.FRESH:
                return send_entry(exchange, cached, entry, entry.moment_lines(now), Outcome.HIT)
            if freshness is Freshness.REVALIDATE and not is_uncacheable:
                if not self._is_failing(waiter.route, found, now, may_probe=True):
                    self._refresh(waiter, entry)
                return send_entry(exchange, cached, entry, entry.moment_lines(now), Outcome.STALE)
            if now < entry.stored.error_until:
                waiter.fallback = entry
                if self._is_failing(waiter.route, found, now, may_probe=is_fetch):
                    return send_entry(exchange, cached, entry, entry.failed_lines(now), Outcome.STALE)
        if exchange.method == b"HEAD":
            return misses(exchange, found, None)
        if cached.has_range:
            return passes(exchange, Reason.RANGE)
        if is_uncacheable:
            return misses(exchange, found, Reason.KNOWN_UNCACHEABLE)
        exchange.receiver = waiter
        self.waits.join(waiter, found.fill_key)
        return True

    def _is_failing(self, route: "RouteRuntime", found: Found, now: int, *, may_probe: bool) -> bool:
        """Say whether a stale answer goes out without asking; where a probe is due, this request is the probe.

        Only a fetch can be one: nobody would tell how another request ended.
        """
        marks = self.store.marks
        for scope in (route.scope, found.fill_key):
            state = marks.upstream_state(scope, now)
            if state is UpstreamState.FAILING:
                return True
            if state is UpstreamState.PROBE_DUE and may_probe:
                marks.set_failing(scope, now, route.timeouts.connect + route.timeouts.first_byte)
                return False
        return False

    def _refresh(self, asking: Waiter, entry: Entry) -> None:
        """Fetch anew in the background what is served stale meanwhile (RFC 5861 section 3)."""
        waiter = Waiter(asking.exchange, asking.route, asking.plan, asking.cached, asking.base)
        waiter.found = asking.found
        waiter.fallback = waiter.validated = entry
        waiter.is_silent = True
        self.waits.join(waiter, waiter.found.fill_key)

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
        if self.beside is not None:
            self.beside.invalidate(site.label, targets, identity)


class CacheMemory:
    """Move one worker's cache to other memory while it serves.

    The steps are `open_beside` (a write voids what is kept in either memory), `swap` (answers are looked up and
    stored in the other one) and `leave_other`. All workers have to have done a step before any does the next: then
    none ever answers with what a write in another has made void.
    """

    def __init__(self, pipeline: "Pipeline", store: Store) -> None:
        """Serve from `store`."""
        self._pipeline = pipeline
        self._gate = pipeline.cache = CacheGate(pipeline, store)
        self._other: CacheGate | None = None

    def open_beside(self, store: Store) -> None:
        """Void in this memory, too, what a write voids."""
        self.leave_other()
        self._other = CacheGate(self._pipeline, store)
        self._gate.beside = store.invalidations

    def swap(self) -> None:
        """Use the other memory from now on; fetches under way end where they began."""
        if self._other is not None:
            self._gate, self._other = self._other, self._gate
            self._gate.beside = self._other.store.invalidations
            self._pipeline.cache = self._gate

    def leave_other(self) -> None:
        """Forget the memory that is not in use, as soon as no fetch needs it."""
        left, self._other = self._other, None
        self._gate.beside = None
        if left is not None:
            self._close_when_idle(left)

    def _close_when_idle(self, left: CacheGate) -> None:
        if left.waits.is_idle:
            left.store.leave()
        else:
            self._pipeline.loop.call_later(_LOOK_EVERY, self._close_when_idle, left)
