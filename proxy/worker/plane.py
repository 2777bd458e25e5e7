"""What a worker asks of its data plane, and how the real one is built from what the supervisor sent."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from proxy.caching.store import CacheDescriptors, Store
from proxy.config.schema import Config
from proxy.control.keys import derived_key
from proxy.control.messages import (
    CACHE_LIFE,
    CACHE_LOCKS,
    CACHE_MEMORY,
    CLIENTS_IN_REPORT,
    CONNECTION_ROWS,
    LIMITER_LOCKS,
    LIMITER_TABLE,
    CertificateUnusable,
    CertificateWanted,
    Configure,
    MostLimited,
    Report,
)
from proxy.data_plane import DataPlane, WorkerContext
from proxy.downstream.admission import ConnectionBounds
from proxy.telemetry.counters import LIMITER_BUSY, WorkerCounters
from proxy.traffic.connection_limits import SharedConnectionCounter
from proxy.traffic.firewall import Firewalls
from proxy.traffic.gateway import default_gateways
from proxy.traffic.limiter import scope_key
from proxy.traffic.limiter_table import LimiterTable
from proxy.traffic.top_clients import LimitedClient
from proxy.upstream.addresses import UpstreamMessage

_OWN_DESCRIPTORS: Final = 64
_ROUTES: Final = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))


class MovableCache(Protocol):
    """A cache that moves to other memory, step by step (`proxy.cache_gate.CacheMemory`)."""

    def open_beside(self, store: Store) -> None:
        """Void in this memory, too, what a write voids."""
        ...

    def swap(self) -> None:
        """Use the other memory from now on."""
        ...

    def leave_other(self) -> None:
        """Forget the memory that is not in use."""
        ...


class Plane(Protocol):
    """What a worker asks of its data plane."""

    @property
    def cache_memory(self) -> MovableCache | None:
        """Return the cache, None where there is none."""
        ...

    def open_listener(self, listening_socket: socket.socket, *, tls: bool, port: int) -> Awaitable[None]:
        """Accept connections on a socket that other workers share."""
        ...

    def close_listener(self, listening_socket: socket.socket) -> None:
        """Stop accepting on one socket; its connections live on."""
        ...

    def apply(self, config: Config, site_blocks: Mapping[str, int], firewalls: Firewalls) -> None:
        """Use another snapshot for all requests to come."""
        ...

    def upstream_changed(self, message: UpstreamMessage) -> None:
        """Take over what is known about an upstream's name or address."""
        ...

    def set_certificate(self, name: str, chain_pem: bytes, key_pem: bytes) -> None:
        """Serve a certificate for a configured name."""
        ...

    def fail_certificate(self, name: str) -> None:
        """End the handshakes that wait for a name's certificate."""
        ...

    def set_thumbprint(self, names: Sequence[str], thumbprint: str) -> None:
        """Answer the ACME challenges of these names with this thumbprint."""
        ...

    def set_placeholder(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Greet CDN edges with this certificate while a name's own is being issued."""
        ...

    def stop_accepting(self) -> None:
        """Stop accepting on all sockets."""
        ...

    async def drain(self, seconds: float, /) -> None:
        """Finish what is in flight, at most for so long, then close what is left.

        It may be cancelled and begun anew with another time.
        """
        ...

    def reopen_logs(self) -> None:
        """Open the log files anew."""
        ...

    def active(self) -> int:
        """Count the open client connections."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker gets once, before its first snapshot.

    `memory` maps the name of each region that all workers share to its descriptor. `row` is where this worker
    counts its connections. `secret` is the same in all workers.
    """

    worker: int
    row: int
    counters: WorkerCounters
    memory: Mapping[str, int]
    secret: bytes
    report: Callable[[Report], None]


PlaneFactory = Callable[[asyncio.AbstractEventLoop, Configure, Surroundings], Plane]


def data_plane(loop: asyncio.AbstractEventLoop, first: Configure, given: Surroundings) -> Plane:
    """Build the data plane of a worker from its first snapshot and what all workers share."""
    limiter = LimiterTable.attach(given.memory[LIMITER_TABLE], given.memory[LIMITER_LOCKS])
    limiter.on_busy = lambda: given.counters.add(LIMITER_BUSY)
    gateways = _gateways()
    cache_secret = derived_key(given.secret, b"cache")
    memory = given.memory
    context = WorkerContext(
        counters=given.counters,
        instance=derived_key(given.secret, b"instance").hex()[:16],
        limiter=limiter,
        limiter_key=limiter.key,
        cache=cache_store(memory, given.secret),
        cache_secret=cache_secret,
        hash_key=derived_key(given.secret, b"balancing"),
        gateways=tuple(gateways),
        site_blocks=first.site_blocks,
        firewalls=first.firewalls,
        bounds=ConnectionBounds(
            SharedConnectionCounter.attach(memory[CONNECTION_ROWS], given.row),
            scope_key(limiter.key, "connections"),
            in_worker=most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
            exempt=gateways,
        ),
        most_limited=lambda clients: _report_limited(given.report, clients),
        certificate_wanted=lambda name: given.report(CertificateWanted(name)),
        certificate_unusable=lambda name, reason: given.report(CertificateUnusable(name, reason)),
    )
    return DataPlane(loop, first.config, context)


def cache_store(memory: Mapping[str, int], secret: bytes) -> Store:
    """Attach to the cache's memory, by the names that its regions have on the control channel.

    Raises SharedMemoryError for memory of another program's.
    """
    descriptors = CacheDescriptors(memory[CACHE_MEMORY], memory[CACHE_LOCKS], memory[CACHE_LIFE])
    return Store(descriptors, derived_key(secret, b"cache"))


def most_connections(descriptors: int) -> int:
    """Say how many clients a worker may serve at once with so many descriptors.

    Each may need a connection to an app at the same time, and logs, sockets and shared memory need some.
    """
    return max(1, (descriptors - _OWN_DESCRIPTORS) // 2)


def _report_limited(report: Callable[[Report], None], clients: Sequence[LimitedClient]) -> None:
    """Tell the supervisor whom this worker limits most; an empty list is told, too."""
    for start in range(0, max(1, len(clients)), CLIENTS_IN_REPORT):
        report(MostLimited(start > 0, tuple(clients[start : start + CLIENTS_IN_REPORT])))


def _gateways() -> frozenset[bytes]:
    texts = []
    for table in _ROUTES:
        try:
            texts.append(table.read_text(encoding="ascii", errors="replace"))
        except OSError:
            texts.append("")  # no IPv6, or no /proc/net at all
    return default_gateways(*texts)
