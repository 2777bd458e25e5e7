"""Finding a connection for a request: address after address, kept connections first (see forward.py)."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from proxy.errors import GatewayError, NothingLeftError, UnresolvedError
from proxy.exchange import Exchange
from proxy.semantics.fields import IDEMPOTENT_METHODS, FieldLine
from proxy.upstream.balancer import Target
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.happy_eyeballs import Race
from proxy.upstream.health import FailureStage
from proxy.upstream.pool import FRESH, Attempt, Pool

if TYPE_CHECKING:
    from proxy.pipeline import Pipeline
    from proxy.plans import RequestPlan
    from proxy.snapshot import RouteRuntime


class Seeker:
    """A request that needs a connection to its app; the base of Forward, which has all of its state here."""

    __slots__ = (
        "_app_ended",
        "_attempt",
        "_client_ended",
        "_connection",
        "_content_sent",
        "_exchange",
        "_only_new",
        "_pending",
        "_pending_octets",
        "_pipeline",
        "_plan",
        "_route",
        "_sent_at",
        "_target",
        "_trailers",
        "_tried",
    )

    def __init__(
        self, pipeline: "Pipeline", exchange: Exchange, route: "RouteRuntime", plan: "RequestPlan"
    ) -> None:
        self._pipeline = pipeline
        self._exchange = exchange
        self._route = route
        self._plan = plan
        self._connection: UpstreamConnection | None = None
        self._attempt: Attempt | Race | None = None
        self._target: Target | None = None
        self._tried: tuple[Target, ...] = ()
        self._only_new = False
        self._pending: list[bytes] = []
        self._pending_octets = 0
        self._content_sent = False
        self._trailers: tuple[FieldLine, ...] = ()
        self._client_ended = False
        self._app_ended = False
        self._sent_at = 0  # nanoseconds of the shared clock; 0: not yet

    @abstractmethod
    def _send(self, connection: UpstreamConnection, now: float) -> None:
        """Send the request; ``now`` is the loop's clock."""

    @abstractmethod
    def _fail(self, error: GatewayError) -> None:
        """End the request: there is no (further) address to try."""

    def seek(self, error: GatewayError | None = None) -> None:
        """Choose an address and send the request there; ``error`` is what the last one failed with."""
        exchange, route = self._exchange, self._route
        now = self._pipeline.loop.time()
        target = route.balancer.pick(now, exchange.client_packed, self._tried)
        if target is None:
            self._fail(error or self._no_target())
            return
        if error is not None:
            exchange.retries += 1
            if exchange.site is not None:
                exchange.site.counters.retried()
        self._target = target
        target.in_flight += 1
        pool = target.pool
        if not isinstance(pool, Pool):  # nothing was ever sent there
            try:
                pool = self._pipeline.pool_of(target)
            except GatewayError as fault:
                self.not_connected(fault)
                return
        timeouts = route.timeouts
        if not self._only_new:
            keepalive, fields = timeouts.keepalive_upstream, exchange.fields
            # In place of has_content: a property takes as long as three comparisons.
            if exchange.method not in IDEMPOTENT_METHODS or fields.chunked or fields.content_length > 0:
                keepalive = min(FRESH, keepalive)
            connection = pool.take(keepalive, now)
            if connection is not None:
                # Sent as soon as it came, which needs no look at the clock (0.3 µs).
                self._sent_at = exchange.started if error is None else 0
                self._send(connection, now)
                return
        other = route.balancer.alternate(target, now, self._tried)
        if other is None:
            self._attempt = pool.connect(self, timeouts.connect)
        else:
            self._attempt = Race(self, self._pipeline.pool_of, target, other, timeouts.connect)

    def _no_target(self) -> GatewayError:
        fault = self._pipeline.directory.fault(self._route.config)
        if not self._route.balancer.members:
            return UnresolvedError(fault or "the upstream's name has no address yet")
        return NothingLeftError("every address was tried")

    def retarget(self, target: Target) -> None:
        """Go on with the address that won a race, or that was the last to fail in it."""
        if target is not self._target:
            self._release()
            self._target = target
            target.in_flight += 1

    def runner_failed(self, target: Target, error: GatewayError) -> None:
        """Count an address that failed while another still connects."""
        target.health.failed(self._pipeline.loop.time(), FailureStage.CONNECT, error.kind)
        self._count_failure(error)
        self._tried = (*self._tried, target)

    def connected(self, connection: UpstreamConnection) -> None:
        """Take the connection and send the request."""
        self._attempt = None
        self._sent_at = 0
        self._send(connection, self._pipeline.loop.time())

    def not_connected(self, error: GatewayError) -> None:
        """Go on to the next address: nothing was sent."""
        self._attempt = None
        target = self._release()
        target.health.failed(self._pipeline.loop.time(), FailureStage.CONNECT, error.kind)
        self._count_failure(error)
        self._tried = (*self._tried, target)
        if error.try_next:
            self.seek(error)
        else:
            self._fail(error)

    def _release(self) -> Target:
        target, self._target = self._target, None
        if target is None:
            raise RuntimeError("a target was released twice")
        target.in_flight -= 1
        return target

    def _count_failure(self, error: GatewayError) -> None:
        if self._exchange.site is not None:
            self._exchange.site.counters.upstream_failed(error.kind)
