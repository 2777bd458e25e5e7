"""A data plane that does nothing but remember, for tests of the worker that holds one."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.caching.store import Store
from proxy.config.schema import Config
from proxy.traffic.firewall import Firewalls
from proxy.upstream.addresses import UpstreamMessage
from proxy.worker.plane import Surroundings


@dataclass
class FakeCacheMemory:
    """Implements proxy.worker.plane.MovableCache: notes its steps, and the sizes that it was given."""

    steps: list[str | int] = field(default_factory=list)

    def open_beside(self, store: Store) -> None:
        self.steps.append(store.largest_octets)
        store.leave()

    def swap(self) -> None:
        self.steps.append("swap")

    def leave_other(self) -> None:
        self.steps.append("leave")


@dataclass
class FakePlane:
    """Implements proxy.worker.plane.Plane; `drains` holds the time of each drain, `finish` lets it end."""

    config: Config
    site_blocks: Mapping[str, int]
    surroundings: Surroundings
    firewalls: Firewalls = field(default_factory=dict)
    listening: dict[int, tuple[bool, int]] = field(default_factory=dict)
    upstreams: list[UpstreamMessage] = field(default_factory=list)
    certificates: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    thumbprints: dict[str, str] = field(default_factory=dict)
    cache_memory: FakeCacheMemory = field(default_factory=FakeCacheMemory)
    reopened: int = 0
    connections: int = 0
    drains: list[float] = field(default_factory=list)
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: bool = False

    async def open_listener(self, listening_socket: socket.socket, *, tls: bool, port: int) -> None:
        self.listening[listening_socket.getsockname()[1]] = (tls, port)

    def close_listener(self, listening_socket: socket.socket) -> None:
        del self.listening[listening_socket.getsockname()[1]]

    def apply(self, config: Config, site_blocks: Mapping[str, int], firewalls: Firewalls) -> None:
        if self.refuses:
            raise OSError("no such log")
        self.config, self.site_blocks, self.firewalls = config, site_blocks, firewalls

    def upstream_changed(self, message: UpstreamMessage) -> None:
        self.upstreams.append(message)

    def set_certificate(self, name: str, chain_pem: bytes, key_pem: bytes) -> None:
        self.certificates[name] = (chain_pem, key_pem)

    def fail_certificate(self, name: str) -> None:
        self.failed.append(name)

    def set_thumbprint(self, names: Sequence[str], thumbprint: str) -> None:
        self.thumbprints.update(dict.fromkeys(names, thumbprint))

    def set_placeholder(self, chain_pem: bytes, key_pem: bytes) -> None:
        self.certificates[""] = (chain_pem, key_pem)

    def stop_accepting(self) -> None:
        self.listening.clear()

    async def drain(self, seconds: float, /) -> None:
        self.drains.append(seconds)
        if seconds:
            await self.finish.wait()

    def reopen_logs(self) -> None:
        self.reopened += 1

    def active(self) -> int:
        return self.connections
