"""Who gets a fetch's response as it comes: the client that began it, and those who read along."""

import time
from typing import TYPE_CHECKING, NamedTuple

from proxy.caching.conditional import is_not_modified
from proxy.caching.outcomes import Forward, Outcome, forwarded_lines
from proxy.caching.record import pairs_of
from proxy.caching.rendering import block_of_304
from proxy.exchange import Exchange
from proxy.http1.writer import status_line

if TYPE_CHECKING:
    from proxy.cache_kept import Kept
    from proxy.cache_waiter import Waiter


class Head(NamedTuple):
    """A response head as `Downstream.respond` takes it."""

    line: bytes
    status: int
    block: bytes
    length: int
    has_date: bool


class Readers:
    """The lead and the others, in the order in which they came; who is silent is counted, but sent nothing."""

    __slots__ = ("_exchange", "_kept", "_others", "head", "lead")

    def __init__(self, lead: "Waiter", exchange: Exchange, kept: "Kept") -> None:
        """Serve the response of ``exchange``, of which ``kept`` is what is stored."""
        self.lead: Waiter | None = lead
        self.head: Head | None = None
        self._others: dict[Waiter, None] = {}
        self._exchange = exchange
        self._kept = kept

    @property
    def everybody(self) -> "list[Waiter]":
        """Return the lead, if it is still there, and the others."""
        return [*self._others] if self.lead is None else [self.lead, *self._others]

    @property
    def wants_more(self) -> bool:
        """Say whether anybody is sent the response, or waits until it is stored in the background."""
        lead = self.lead
        if self._others:
            return True
        return lead is not None and (not lead.is_silent or self.head is None or self._kept.is_storing)

    @property
    def sets_pace(self) -> bool:
        """Say whether the fetch waits for its only reader, who takes nothing at the moment."""
        lead = self.lead
        return lead is not None and lead.is_paused and not self._kept.is_storing and not self._others

    def leave(self, waiter: "Waiter") -> None:
        """Go on without a reader."""
        if waiter is self.lead:
            self.lead = None
        self._others.pop(waiter, None)

    def release(self) -> None:
        """Have no readers any more."""
        self.lead = None
        self._others = {}

    def send_interim(self, status: int, block: bytes) -> None:
        """Pass early hints on to the lead."""
        if self.lead is not None and not self.lead.is_silent:
            self.lead.exchange.downstream.send_interim(status, block)

    def read_along(self, waiter: "Waiter") -> None:
        """Send another the head and what has come so far, and the rest as it comes."""
        self._others[waiter] = None
        self.send_head(waiter, Outcome.COLLAPSED)
        if waiter not in self._others:
            return
        for content in self._kept.content:
            waiter.exchange.downstream.send_content(content)

    def send_head(
        self, waiter: "Waiter", outcome: Outcome, content: bytes = b"", *, complete: bool = False
    ) -> None:
        """Send a reader the head, and the content that is here already."""
        if waiter.is_silent or self.head is None:
            return
        line, status, block, length, has_date = self.head
        if self._is_not_modified(waiter, self.head):
            line, status, block, length, content = status_line(304), 304, block_of_304(block), -1, b""
            if not complete:
                self._has_enough(waiter)
            complete = True
        exchange = waiter.exchange
        exchange.cache_outcome = outcome
        self.tell_of_upstream(exchange)
        forward = Forward.VARY_MISS if waiter.found.varies else Forward.URI_MISS
        if waiter.fallback is not None:
            forward = Forward.STALE
        kept = self._kept
        exchange.cache_lines = forwarded_lines(outcome, forward, stored=kept.is_storing, reason=kept.reason)
        block += exchange.cache_lines
        exchange.downstream.respond(
            line, status, block, length, content, complete=complete, has_date=has_date
        )

    def _is_not_modified(self, waiter: "Waiter", head: Head) -> bool:
        """Say whether a reader has what is being stored already; its conditions were not sent along."""
        identity = waiter.cached.identity
        if identity.is_plain or head.status != 200 or not self._kept.is_storing:
            return False
        return is_not_modified(identity.pairs, pairs_of(head.block), time.time())

    def _has_enough(self, waiter: "Waiter") -> None:
        """Send a reader nothing more; for the lead the rest is still fetched, to be stored."""
        waits, flight = waiter.waits, waiter.flight
        waiter.settle()
        if waiter is self.lead:
            waiter.is_silent = True
            return
        self._others.pop(waiter, None)
        if waits is not None and flight is not None:
            waits.flights.leave(flight, waiter)

    def send_content(self, content: bytes) -> None:
        """Send all readers the next octets."""
        for waiter in self.everybody:
            if not waiter.is_silent:
                waiter.exchange.downstream.send_content(content)

    def tell_of_upstream(self, exchange: Exchange) -> None:
        """Let a client's exchange say in the log who answered it, or did not."""
        exchange.upstream_address = self._exchange.upstream_address
        exchange.upstream_seconds = self._exchange.upstream_seconds
        exchange.retries = self._exchange.retries
