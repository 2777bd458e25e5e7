"""What a worker asks of its data plane, and how the real one is built from what the supervisor sent."""

import asyncio
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
    LIMITER_LOCKS,
    LIMITER_TABLE,
    CertificateUnusable,
    CertificateWanted,
    Report,
)
from proxy.data_plane import DataPlane, WorkerContext
from proxy.telemetry.counters import WorkerCounters
from proxy.traffic.gateway import default_gateways
from proxy.traffic.limiter_table import LimiterTable
from proxy.upstream.addresses import UpstreamMessage

_ROUTES: Final = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))


class Plane(Protocol):
    """What a worker asks of its data plane."""

    def open_listener(self, listening_socket: socket.socket, *, tls: bool, port: int) -> Awaitable[None]:
        """Accept connections on a socket that other workers share."""
        ...

    def close_listener(self, listening_socket: socket.socket) -> None:
        """Stop accepting on one socket; its connections live on."""
        ...

    def apply(self, config: Config, site_blocks: Mapping[str, int]) -> None:
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

    `memory` maps the name of each region that all workers share to its descriptor. `secret` is the same in
    all workers.
    """

    worker: int
    counters: WorkerCounters
    memory: Mapping[str, int]
    secret: bytes
    report: Callable[[Report], None]


PlaneFactory = Callable[[asyncio.AbstractEventLoop, Config, Mapping[str, int], Surroundings], Plane]


def data_plane(
    loop: asyncio.AbstractEventLoop, config: Config, site_blocks: Mapping[str, int], given: Surroundings
) -> Plane:
    """Build the data plane of a worker from its first snapshot and what all workers share."""
    limiter = LimiterTable.attach(given.memory[LIMITER_TABLE], given.memory[LIMITER_LOCKS])
    cache_secret = derived_key(given.secret, b"cache")
    memory = given.memory
    cache = Store(
        CacheDescriptors(memory[CACHE_MEMORY], memory[CACHE_LOCKS], memory[CACHE_LIFE]), cache_secret
    )
    context = WorkerContext(
        counters=given.counters,
        instance=derived_key(given.secret, b"instance").hex()[:16],
        limiter=limiter,
        limiter_key=limiter.key,
        cache=cache,
        cache_secret=cache_secret,
        hash_key=derived_key(given.secret, b"balancing"),
        gateways=tuple(_gateways()),
        site_blocks=site_blocks,
        certificate_wanted=lambda name: given.report(CertificateWanted(name)),
        certificate_unusable=lambda name, reason: given.report(CertificateUnusable(name, reason)),
    )
    return DataPlane(loop, config, context)


def _gateways() -> frozenset[bytes]:
    texts = []
    for table in _ROUTES:
        try:
            texts.append(table.read_text(encoding="ascii", errors="replace"))
        except OSError:
            texts.append("")  # no IPv6, or no /proc/net at all
    return default_gateways(*texts)
