"""What the cache says: answers from what is stored, and the field lines of requests that it lets pass."""

import time
from typing import TYPE_CHECKING

from proxy.caching.front import Entry
from proxy.caching.outcomes import Forward, Outcome, Reason, bypassed_lines, forwarded_lines
from proxy.caching.store import Found
from proxy.exchange import Exchange

if TYPE_CHECKING:
    from proxy.plans import CachePlan


def send_entry(exchange: Exchange, cached: "CachePlan", entry: Entry, lines: bytes, outcome: Outcome) -> bool:
    """Answer from what is stored; False where only the app can answer (several ranges)."""
    exchange.cache_outcome = outcome
    if cached.identity.is_plain and exchange.method == b"GET":
        exchange.downstream.respond_stored(entry.status, entry.prefix, lines, entry.body)
        return True
    shaped = entry.shape(exchange.method, cached.identity, time.time())
    if shaped is None:
        return passes(exchange, Reason.RANGE)
    exchange.downstream.respond_stored(shaped.status, shaped.prefix, lines, shaped.content)
    return True


def passes(exchange: Exchange, reason: Reason) -> bool:
    """Let a request pass the cache by; always False, which is what an answer that was not given is."""
    exchange.cache_outcome = Outcome.BYPASS
    exchange.cache_lines = bypassed_lines(reason)
    count_reason(exchange, reason)
    return False


def misses(exchange: Exchange, found: Found, reason: Reason | None) -> bool:
    """Let a request that found nothing go to the app by itself; always False, like `passes`."""
    exchange.cache_outcome = Outcome.MISS
    forward = Forward.VARY_MISS if found.varies else Forward.URI_MISS
    exchange.cache_lines = forwarded_lines(Outcome.MISS, forward, reason=reason)
    if reason is not None:
        count_reason(exchange, reason)
    return False


def count_reason(exchange: Exchange, reason: Reason) -> None:
    """Count why a request was not answered from the cache, or its response not kept."""
    if exchange.site is not None:
        exchange.site.counters.bypassed(reason.value)
