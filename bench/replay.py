"""The data plane of a worker in this process, with transports that go nowhere: its own cost, and nothing else's.

It is built as the supervisor and a worker build it, from a proxy.toml and the memory that workers share. The event loop
hands out transports that swallow what is written; the client's octets are prepared before anything is measured, and an
app answers every request with the same octets. So a request runs through exactly the code that serves it, without
sockets, and what a run costs is the worker's alone.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from bench.certificates import write_certificate
from bench.quiet import AppTransport, QuietTransport, TlsClient
from proxy.config.loader import parse
from proxy.control.messages import Configure
from proxy.supervisor.shared_regions import SharedRegions
from proxy.telemetry.counters import (
    CACHE_OUTCOMES,
    COUNTERS_SIZE,
    PROCESS_WORDS,
    SITE_WORDS,
    STATUS_LABELS,
    WorkerCounters,
)
from proxy.traffic.firewall import firewalls_of
from proxy.traffic.limiter_table import LimiterTable
from proxy.worker.plane import Plane, Surroundings, data_plane

_T = TypeVar("_T")
HOST = "localhost"
HANDSHAKE_ROUNDS = 10

CONFIGURATION = """
[server]
http = ["127.0.0.1:1"]
https = ["127.0.0.1:2"]
metrics = ""
workers = 1
redirect_https = false

[tls]
mode = "files"
certificate = "{folder}/certificate.pem"
private_key = "{folder}/key.pem"

[log]
access = "{folder}/access.log"

[rate_limit]
rate = "1000000/s"
burst = 1000000

[limits]
connections_per_ip = 100000

[cache]
size = "512MB"
ttl = "1h"  # longer than any run, however slow the machine that counts it

[[site]]
domains = ["localhost"]
upstream = "http://127.0.0.1:9"
"""


class ReplayLoop(uvloop.Loop):
    """An event loop whose servers never listen and whose connections lead to no host."""

    def __init__(self) -> None:
        super().__init__()
        self.factories: list[Callable[[], Any]] = []
        self.asked: list[AppTransport] = []
        self.closed: list[QuietTransport] = []

    async def create_server(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        """Keep the factory that makes a protocol for a client."""
        self.factories.append(protocol_factory)

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        """Connect to the app that answers everything."""
        transport = AppTransport(self.asked, self.closed)
        transport.protocol = protocol_factory()
        transport.protocol.connection_made(transport)
        return transport, transport.protocol


class Client:
    """One connection to the worker."""

    def __init__(self, transport: QuietTransport, tls: TlsClient | None) -> None:
        self.transport = transport
        self._tls = tls

    def prepare(self, octets: bytes) -> bytes:
        """Return a request as it travels."""
        return octets if self._tls is None else self._tls.encrypt(octets)

    def answer(self) -> bytes:
        """Return what the worker has written since the last call, as the client reads it."""
        octets = self.transport.taken()
        return octets if self._tls is None else self._tls.decrypt(octets)


class Worker:
    """A data plane and everything that it shares with others; a context manager."""

    def __init__(self, folder: Path, site: str = "", *, workers: int = 1) -> None:
        """Prepare with more lines of the [[site]], or sites behind it.

        `workers` is how many share the memory, as far as this one knows.
        """
        if not (folder / "key.pem").exists():
            write_certificate(folder, HOST)
        text = CONFIGURATION.format(folder=folder) + site
        self._folder = folder
        self._client_context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        self._config = parse(text.encode(), path=str(folder / "proxy.toml"), environ={})
        self._workers = workers
        self.loop = ReplayLoop()
        self.plane: Plane
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        asyncio.set_event_loop(self.loop)
        self._regions = SharedRegions(self._config, lambda: LimiterTable.create(bytes(32)))
        self._regions.secret = bytes(32)
        rows = [self._regions.enter() for _ in range(self._workers)]
        self._words = memoryview(bytearray(COUNTERS_SIZE)).cast("Q")
        surroundings = Surroundings(
            0,
            rows[0],
            WorkerCounters(self._words),
            self._regions.descriptors,
            bytes(32),
            lambda _report: None,
        )
        blocks = {site.name: number + 1 for number, site in enumerate(self._config.sites)}
        self.run(
            self._start(Configure(1, self._config, blocks, firewalls_of(self._config, {})), surroundings)
        )
        gc.collect()
        gc.freeze()  # as a worker does
        return self

    async def _start(self, configure: Configure, surroundings: Surroundings) -> None:
        self.plane = data_plane(self.loop, configure, surroundings)
        pem = (self._folder / "certificate.pem").read_bytes(), (self._folder / "key.pem").read_bytes()
        self.plane.set_certificate(HOST, *pem)
        for tls in (False, True):
            self._sockets.append(socket.socket())
            await self.plane.open_listener(self._sockets[-1], tls=tls, port=443 if tls else 80)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.unfreeze()
        self.run(self.plane.drain(0.0))
        self.lose_closed()
        for listening in self._sockets:
            listening.close()
        asyncio.set_event_loop(None)
        self.loop.close()

    @property
    def requests(self) -> int:
        """Count the requests that were answered, by the worker's own counters."""
        blocks = range(len(self._config.sites) + 1)
        width = len(STATUS_LABELS) * len(CACHE_OUTCOMES)
        bases = [PROCESS_WORDS + block * SITE_WORDS for block in blocks]
        return sum(sum(self._words[base : base + width]) for base in bases)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the worker's loop."""
        return self.loop.run_until_complete(work)

    async def connect(self, *, tls: bool = False) -> Client:
        """Open a connection, for https with a whole handshake."""
        transport = QuietTransport(self.loop.closed)
        transport.protocol = self.loop.factories[tls]()
        transport.protocol.connection_made(transport)
        client = self.tls_client() if tls else None
        if client is not None:
            await self._shake_hands(transport, client)
        return Client(transport, client)

    def tls_client(self) -> TlsClient:
        """Make the client's side of a connection."""
        return TlsClient(self._client_context, HOST)

    async def _shake_hands(self, transport: QuietTransport, client: TlsClient) -> None:
        answer = b""
        transport.taken()
        for _ in range(HANDSHAKE_ROUNDS):
            octets, through = client.greet(answer)
            transport.protocol.data_received(octets)
            await asyncio.sleep(0)
            if through:
                return
            answer = transport.taken()
        raise RuntimeError("the handshake does not come to an end")

    def answer(self, octets: bytes) -> None:
        """Let the app answer all that it was asked."""
        asked = self.loop.asked
        while asked:
            asked.pop().protocol.data_received(octets)

    def lose_closed(self) -> None:
        """Report the loss of the connections that the worker has closed."""
        closed = self.loop.closed
        while closed:
            closed.pop().protocol.connection_lost(None)
