"""What all connections of one listening socket share, and the connections that are open."""

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from proxy.deadlines import DeadlineWheel
from proxy.http1.memo import FieldMemo
from proxy.http1.request import RequestFields
from proxy.telemetry import counters
from proxy.telemetry.counters import WorkerCounters
from proxy.traffic.address import parse_address

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection
    from proxy.pipeline import Pipeline
    from proxy.snapshot import SiteRuntime


class Coverage(Protocol):
    """What is known about certificates: which names a connection was made for, and which could be made."""

    def misdirected(self, transport: asyncio.Transport, site: "SiteRuntime") -> bool:
        """Say whether the connection's certificate does not cover ``site``."""
        ...

    def has_certificate(self, site: "SiteRuntime") -> bool:
        """Say whether there is a valid certificate for ``site``."""
        ...


class DownstreamContext:
    """What all listeners of a worker share."""

    __slots__ = (
        "_closed",
        "connections",
        "counters",
        "coverage",
        "draining",
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
        coverage: Coverage | None = None,
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.pipeline = pipeline
        self.counters = worker_counters
        self.coverage = coverage
        self.draining = False
        self._closed = asyncio.Event()
        self.connections: set[ClientConnection] = set()
        #: Parsed field sections by minor version: what is valid in one may not be in the other.
        self.request_memo: tuple[FieldMemo[RequestFields], FieldMemo[RequestFields]] = (
            FieldMemo(),
            FieldMemo(),
        )

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        while self.connections:
            self._closed.clear()
            await self._closed.wait()

    def forget(self, connection: "ClientConnection") -> None:
        """Take a closed connection out."""
        self.connections.discard(connection)
        if not self.connections:
            self._closed.set()

    def forget_derived(self) -> None:
        """Drop remembered field sections, whose derived forms belong to a snapshot that is gone."""
        for memo in self.request_memo:
            memo.forget()


class Listener:
    """One listening socket: its scheme and port, and what its connections need at every turn."""

    __slots__ = (
        "_context",
        "_date",
        "_date_second",
        "counters",
        "loop",
        "pipeline",
        "port",
        "request_memo",
        "scheme",
        "tls",
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
        self.scheme = b"https" if tls else b"http"
        self.port = port
        self._date_second = 0
        self._date = b""

    @property
    def draining(self) -> bool:
        """Say whether connections are to end after their current request."""
        return self._context.draining

    def opened(self, connection: "ClientConnection", transport: asyncio.Transport) -> bool:
        """Take a new connection in; False when it was turned away."""
        peername = transport.get_extra_info("peername")
        address = parse_address(peername[0]) if isinstance(peername, tuple) else None
        if address is not None:
            connection.came_from(address, trusted=address.packed in self.pipeline.snapshot.trusted)
        self._context.connections.add(connection)
        self.counters.add(counters.HTTPS_OPENED if self.tls else counters.HTTP_OPENED)
        return True

    def closed(self, connection: "ClientConnection", *, upgraded: bool) -> None:
        """Forget a connection."""
        self._context.forget(connection)
        self.counters.add(counters.HTTPS_CLOSED if self.tls else counters.HTTP_CLOSED)
        if upgraded:
            self.counters.add(counters.UPGRADED_CLOSED)

    def misdirected(self, transport: asyncio.Transport, site: "SiteRuntime") -> bool:
        """Say whether the connection's certificate does not cover ``site``."""
        coverage = self._context.coverage
        return coverage is not None and coverage.misdirected(transport, site)

    def has_certificate(self, site: "SiteRuntime") -> bool:
        """Say whether https would answer for ``site`` with a valid certificate now."""
        coverage = self._context.coverage
        return coverage is not None and coverage.has_certificate(site)

    def date_line(self) -> bytes:
        """Return a Date field line for now (RFC 9110 section 6.6.1)."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date = b"Date: %s\r\n" % formatdate(second, usegmt=True).encode()
        return self._date
