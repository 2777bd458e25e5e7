"""What all connections of one listening socket share, and who may connect at all."""

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

from proxy.deadlines import DeadlineWheel
from proxy.downstream.admission import ConnectionBounds, LongestIdle
from proxy.downstream.caller import Caller, Callers
from proxy.exchange import Origin
from proxy.http1.memo import RequestMemo
from proxy.semantics.dates import date_line
from proxy.telemetry import counters
from proxy.telemetry.counters import WorkerCounters
from proxy.traffic.address import Address, parse_address
from proxy.traffic.connection_limits import ADMITTED, RESERVED, Admission

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection
    from proxy.pipeline import Pipeline

_NO_ADDRESS: Final = Address(b"", "")


class Coverage(Protocol):
    """What is known about certificates: which names one stands for, and for which there is one."""

    def same_certificate(self, server_name: str | None, host: str) -> bool:
        """Say whether the certificate that ``server_name`` was greeted with is also the one of ``host``."""
        ...

    def has(self, name: str) -> bool:
        """Say whether there is a certificate for a configured name."""
        ...


class DownstreamContext:
    """What all listeners of a worker share."""

    __slots__ = (
        "_closed",
        "bounds",
        "callers",
        "connections",
        "counters",
        "coverage",
        "gateways",
        "listeners",
        "longest_idle",
        "loop",
        "pipeline",
        "request_memo",
        "wheel",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: DeadlineWheel,
        pipeline: "Pipeline",
        worker_counters: WorkerCounters,
        *,
        coverage: Coverage | None = None,
        bounds: ConnectionBounds | None = None,
        gateways: frozenset[bytes] = frozenset(),
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.pipeline = pipeline
        self.counters = worker_counters
        self.coverage = coverage
        self.bounds = bounds
        self.callers = Callers(bounds)
        self.gateways = gateways
        self.listeners: list[Listener] = []
        self._closed = asyncio.Event()
        #: All open connections, oldest first.
        self.connections: dict[ClientConnection, None] = {}
        self.longest_idle: LongestIdle[ClientConnection] = LongestIdle()
        #: Parsed field sections by minor version: what is valid in one may not be in the other.
        self.request_memo = (RequestMemo(0), RequestMemo(1))

    def drain(self) -> None:
        """Let every connection end after its current request, or its next one."""
        for listener in self.listeners:
            listener.draining = True

    def close_idle(self) -> None:
        """Close the connections without a request."""
        for connection in list(self.connections):
            connection.close_when_idle()

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        while self.connections:
            self._closed.clear()
            await self._closed.wait()

    def forget(self, connection: "ClientConnection") -> None:
        """Take a closed connection out."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._closed.set()

    def forget_derived(self) -> None:
        """Drop remembered field sections and callers, which belong to a snapshot that is gone."""
        self.callers.forget()
        for memo in self.request_memo:
            memo.forget()


class Listener:
    """One listening socket: its scheme and port, and what its connections need at every turn."""

    __slots__ = (
        "_admitted",
        "_context",
        "counters",
        "draining",
        "loop",
        "pipeline",
        "request_memo",
        "tls",
        "trusted",
        "untrusted",
        "wheel",
    )

    def __init__(self, context: DownstreamContext, *, tls: bool, port: int) -> None:
        self._context = context
        self.loop = context.loop
        self.wheel = context.wheel
        self.pipeline = context.pipeline
        self.counters = context.counters
        self.request_memo = context.request_memo
        self.tls = tls
        scheme = b"https" if tls else b"http"
        self.trusted = Origin(scheme, port, trusted=True)
        self.untrusted = Origin(scheme, port, trusted=False)
        self.draining = False
        context.listeners.append(self)
        #: The TLS connections that are counted and whose handshake is not done, with what they count as.
        self._admitted: dict[asyncio.Transport, int | None] = {}

    # --- arrivals

    def admit(self, raw: asyncio.Transport, source: Address | None = None) -> bool:
        """Decide before any TLS whether a connection may stay; count it if so.

        `source` is the client's address where a PROXY protocol header named it.
        """
        address = source or _address_of(raw)
        caller, firewall = self.caller(address), self.pipeline.snapshot.firewall
        if not caller.is_trusted and firewall is not None and not firewall.permits(address.packed):
            self.counters.add(counters.REFUSED_BY_FIREWALL)
            return False
        client = caller.counted_as
        if self._count(client) is None:
            return False
        self._admitted[raw] = client
        return True

    def abandoned(self, raw: asyncio.Transport) -> None:
        """Give back an admitted connection that ended before its handshake was done."""
        self._uncount(self._admitted.pop(raw))

    def opened(self, connection: "ClientConnection", transport: asyncio.Transport) -> bool:
        """Take a new connection in; False when it was turned away (and is closed)."""
        address = connection.peer if connection.peer.packed else _address_of(transport)
        if not address.packed:  # reset; what it has sent could still be read, and no rule would hold for it
            if self.tls:
                self.abandoned(transport.get_extra_info("raw_transport"))
            transport.abort()
            return False
        caller = self.caller(address)
        connection.came_from(caller)
        if self.tls:
            connection.counted_as = self._admitted.pop(transport.get_extra_info("raw_transport"))
        else:
            client = caller.counted_as
            admission = self._count(client)
            if admission is None:
                transport.abort()
                return False
            connection.counted_as = client
            connection.is_reserved = admission is RESERVED
        connection.is_counted = True
        self._context.connections[connection] = None
        self.counters.add(counters.HTTPS_OPENED if self.tls else counters.HTTP_OPENED)
        if address.packed in self._context.gateways:
            self.counters.add(counters.GATEWAY_PEERS)
        return True

    def closed(self, connection: "ClientConnection", upgraded: bool) -> None:
        """Forget a connection."""
        if not connection.is_counted:
            return
        connection.is_counted = False
        self._context.forget(connection)
        self._uncount(connection.counted_as)
        self.counters.add(counters.HTTPS_CLOSED if self.tls else counters.HTTP_CLOSED)
        if upgraded:
            self.counters.add(counters.UPGRADED_CLOSED)

    def caller(self, peer: Address) -> Caller:
        """Return what is known of a peer's address under the present snapshot."""
        return self._context.callers.caller(peer, self.pipeline.snapshot)

    def _count(self, client: int | None) -> Admission | None:
        """Count a connection; None when it is one too many and has to go."""
        bounds = self._context.bounds
        if bounds is None:
            return ADMITTED
        snapshot = self.pipeline.snapshot
        per_client = snapshot.limits.connections_per_ip
        admission = bounds.open(client, per_client, snapshot.config.server.max_connections, not self.tls)
        if admission is ADMITTED:
            return admission
        if admission is not Admission.CLIENT_FULL and self._make_room():
            if admission is RESERVED:
                return ADMITTED
            admission = bounds.open_instead(client, per_client)
        match admission:
            case Admission.CLIENT_FULL:
                self.counters.add(counters.REFUSED_PER_ADDRESS)
                return None
            case Admission.FULL:
                self.counters.add(counters.CLOSED_AT_LIMIT)
                return None
        return admission

    def _uncount(self, client: int | None) -> None:
        if self._context.bounds is not None:
            self._context.bounds.close(client)

    def _make_room(self) -> bool:
        """Close the connection of this worker that has waited longest for a request, if there is one."""
        context = self._context
        longest = context.longest_idle.take(context.connections, self.loop.time())
        if longest is None:
            return False
        self.counters.add(counters.CLOSED_AT_LIMIT)
        longest.give_way()
        return True

    # --- certificates

    def misdirected(self, server_name: bytes | None, host: bytes) -> bool:
        """Say whether the certificate of a connection made for ``server_name`` is not that of ``host``."""
        coverage = self._context.coverage
        if coverage is None:
            return False
        return not coverage.same_certificate(server_name.decode() if server_name else None, host.decode())

    def has_certificate(self, host: bytes) -> bool:
        """Say whether https would answer for ``host`` with a certificate now."""
        coverage = self._context.coverage
        return coverage is not None and coverage.has(host.decode())

    def date_line(self) -> bytes:
        """Return a Date field line for now (RFC 9110 section 6.6.1)."""
        return date_line(int(time.time()))


def _address_of(transport: asyncio.Transport) -> Address:
    peername = transport.get_extra_info("peername")
    return (parse_address(peername[0]) if isinstance(peername, tuple) else None) or _NO_ADDRESS
