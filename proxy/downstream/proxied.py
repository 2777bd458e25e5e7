"""Connections that begin with a PROXY protocol header, which names who really connected.

Only listed peers are asked for one, and a listed peer must send it: whatever else it sends closes the
connection, because its clients' addresses would be its own. The header comes before TLS, in plain octets.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from proxy.deadlines import NEVER, DeadlineWheel
from proxy.downstream.proxy_protocol import ProxyProtocolError, parse_proxy_header
from proxy.telemetry import counters
from proxy.telemetry.counters import WorkerCounters
from proxy.traffic.address import Address, parse_address

if TYPE_CHECKING:
    from proxy.pipeline import Pipeline

#: How long a listed peer may take for its header (seconds); it sends it with its first packet.
HEADER_SECONDS: Final = 5.0


#: Makes the protocol of a connection whose client is at the given address, or, for None, at the peer's.
Following = Callable[[Address | None], asyncio.Protocol]


class ProxyProtocolGate(asyncio.Protocol):
    """A new connection until it is known who is at its other end; then another protocol takes over its transport."""

    __slots__ = (
        "_buffer",
        "_counters",
        "_next",
        "_peer",
        "_pipeline",
        "_transport",
        "_wheel",
        "deadline",
        "filed_tick",
    )

    def __init__(
        self,
        pipeline: "Pipeline",
        wheel: DeadlineWheel,
        worker_counters: WorkerCounters,
        following: Following,
    ) -> None:
        self._pipeline = pipeline
        self._wheel = wheel
        self._counters = worker_counters
        self._next = following
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._buffer = b""
        self._peer: Address | None = None
        self.deadline = NEVER
        self.filed_tick = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header of a listed peer; hand any other on at once."""
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        peer = self._peer = parse_address(peername[0]) if isinstance(peername, tuple) else None
        if peer is None or not self._pipeline.snapshot.speaks_proxy_protocol(peer.packed):
            self._hand_on(None, b"")
            return
        self.deadline = self._pipeline.loop.time() + HEADER_SECONDS
        self._wheel.file(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._wheel.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read the header, and hand on what lies behind it."""
        self._buffer += data
        try:
            header = parse_proxy_header(self._buffer)
        except ProxyProtocolError:
            self._refuse()
            return
        if header is not None:
            # A header that names nobody is the peer's own health check.
            source = header.endpoints.source if header.endpoints is not None else self._peer
            self._hand_on(source, self._buffer[header.size :])

    def _hand_on(self, source: Address | None, rest: bytes) -> None:
        self._wheel.discard(self)
        self.deadline = NEVER
        self._buffer = b""
        following = self._next(source)
        self._transport.set_protocol(following)
        following.connection_made(self._transport)
        if rest and not self._transport.is_closing():
            following.data_received(rest)

    def deadline_reached(self, now: float) -> None:
        """Close a connection whose header does not come (called by the wheel)."""
        self._refuse()

    def _refuse(self) -> None:
        self._counters.add(counters.PROXY_PROTOCOL_ERRORS)
        self._transport.abort()
