"""One request that waits for a fetch."""

import asyncio
from typing import TYPE_CHECKING, Final

from proxy.caching.front import Entry
from proxy.caching.store import Found
from proxy.exchange import Exchange
from proxy.plans import CachePlan, RequestPlan
from proxy.semantics.fields import FieldLine

if TYPE_CHECKING:
    from proxy.cache_fill import Fill
    from proxy.cache_waits import Waits
    from proxy.caching.collapse import Flight
    from proxy.snapshot import RouteRuntime

#: What is known of a request before it was looked up.
NOTHING_FOUND: Final = Found(b"", b"", (), None, varies=False)


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
        "is_paused",
        "is_silent",
        "plan",
        "route",
        "timer",
        "validated",
        "waits",
    )

    def __init__(
        self,
        exchange: Exchange,
        route: "RouteRuntime",
        plan: RequestPlan,
        cached: CachePlan,
        base: bytes,
    ) -> None:
        self.exchange = exchange
        self.route = route
        self.plan = plan
        self.cached = cached
        self.base = base
        self.found = NOTHING_FOUND
        self.fallback: Entry | None = None  # what may be served if the upstream fails
        self.validated: Entry | None = None  # what the upstream may be asked to confirm
        self.waits: Waits | None = None
        self.flight: Flight[Waiter] | None = None
        self.fill: Fill | None = None
        self.is_paused = False  # its client takes nothing at the moment
        self.is_silent = False  # a refresh in the background: nobody is answered
        self.timer: asyncio.TimerHandle | None = None

    @property
    def fill_plan(self) -> RequestPlan:
        """Return the plan of a fetch for this request."""
        return self.plan.for_fill(self.cached.rules)

    def request_content(self, content: bytes) -> None:
        """Drop it: requests with content never wait for a fetch."""

    def request_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """Nothing to do: the request was complete."""

    def downstream_paused(self) -> None:
        """The client takes no more; a fetch that only it reads waits with it."""
        self.is_paused = True
        if self.fill is not None:
            self.fill.set_pace()

    def downstream_resumed(self) -> None:
        """The client takes more."""
        self.is_paused = False
        if self.fill is not None:
            self.fill.set_pace()

    def client_gone(self) -> None:
        """Leave; the fetch goes on for the others."""
        if self.waits is not None:
            self.waits.leave(self)

    def stop_waiting(self) -> None:
        """Cancel the wait's bound."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def settle(self) -> None:
        """Belong to no fetch any more."""
        self.stop_waiting()
        self.fill = self.flight = None
        if not self.is_silent:
            self.exchange.receiver = None
