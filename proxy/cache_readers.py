"""Who gets a fetch's response as it comes: the client that began it, and those who read along."""

from typing import TYPE_CHECKING, NamedTuple

from proxy.caching.outcomes import Forward, Outcome, forwarded_lines
from proxy.exchange import Exchange

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
        for content in self._kept.content:
            waiter.exchange.downstream.send_content(content)

    def send_head(
        self, waiter: "Waiter", outcome: Outcome, content: bytes = b"", *, complete: bool = False
    ) -> None:
        """Send a reader the head, and the content that is here already."""
        if waiter.is_silent or self.head is None:
            return
        line, status, block, length, has_date = self.head
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
