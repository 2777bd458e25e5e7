"""Everything that one worker does with traffic, built from one Config and what the worker shares with others."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import uvloop

from proxy.cache_gate import CacheGate
from proxy.caching.store import Store
from proxy.config.schema import Config, Log
from proxy.deadlines import DeadlineWheel
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import DownstreamContext, Listener
from proxy.pipeline import Pipeline
from proxy.snapshot import Snapshot, SnapshotParts, UpstreamTls
from proxy.telemetry import counters
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.counters import WorkerCounters
from proxy.telemetry.line_writer import LineWriter
from proxy.traffic.limiter import RateLimitStore
from proxy.upstream.addresses import UpstreamMessage
from proxy.upstream.balancer import Target
from proxy.upstream.directory import UpstreamDirectory
from proxy.upstream.pool import Pool, PoolContext

#: Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
BACKLOG = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What a worker shares with the others; ``instance`` and the keys are the same in all of them."""

    counters: WorkerCounters
    instance: str = "0"
    limiter: RateLimitStore | None = None
    limiter_key: bytes = b""
    cache: Store | None = None
    cache_secret: bytes = b""
    hash_key: bytes = b""
    gateways: tuple[bytes, ...] = ()
    site_blocks: Mapping[str, int] = field(default_factory=dict)


class DataPlane:
    """The listeners, connections, pools and the pipeline of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config, context: WorkerContext) -> None:
        self._loop = loop
        self._context = context
        self._wheel = DeadlineWheel(loop)
        self._directory = UpstreamDirectory(hash_key=context.hash_key)
        self._pool_context = PoolContext(loop, self._wheel, context.counters)
        self._upstream_tls = UpstreamTls()
        self._servers: dict[socket.socket, asyncio.Server] = {}
        self._log_config = config.log
        self._writer = self._open_log(config.log)
        self._pipeline = Pipeline(
            loop,
            self._snapshot(config, context.site_blocks),
            counters=context.counters,
            directory=self._directory,
            pool_of=self._pool_of,
            log=self._access_log(config.log),
            instance=context.instance,
            limiter=context.limiter,
        )
        if context.cache is not None:
            self._pipeline.cache = CacheGate(self._pipeline, context.cache)
        self._downstream = DownstreamContext(loop, self._wheel, self._pipeline, context.counters)

    def _snapshot(self, config: Config, site_blocks: Mapping[str, int]) -> Snapshot:
        parts = SnapshotParts(
            self._directory,
            self._context.counters,
            site_blocks,
            limiter_key=self._context.limiter_key if self._context.limiter is not None else b"",
            cache_secret=self._context.cache_secret if self._context.cache is not None else b"",
            gateways=self._context.gateways,
        )
        return Snapshot(config, parts)

    # --- logs

    def _open_log(self, log: Log) -> LineWriter | None:
        if log.access == "off":
            return None
        dropped = self._context.counters.add
        return LineWriter(self._loop, log.access, lambda count: dropped(counters.LOG_LINES_DROPPED, count))

    def _access_log(self, log: Log) -> AccessLog:
        return AccessLog(self._writer, combined=log.format == "combined", redact_query=log.redact_query)

    def reopen_logs(self) -> None:
        """Open the access log again, after it was moved away."""
        if self._writer is not None:
            self._writer.reopen()

    # --- upstreams

    def _pool_of(self, target: Target) -> Pool:
        pool = target.pool
        if not isinstance(pool, Pool):
            key = target.key
            tls = self._upstream_tls.context(key.ca_file) if key.scheme == "https" else None
            pool = target.pool = Pool(self._pool_context, key, tls)
        return pool

    def upstream_changed(self, message: UpstreamMessage) -> None:
        """Take over what the supervisor found out about an upstream's name or health."""
        self._directory.apply(message)

    # --- listeners and life

    async def open_listener(self, listening_socket: socket.socket, *, tls: bool, port: int) -> None:
        """Accept connections on a listening socket that other workers share."""
        if tls:
            raise NotImplementedError("https is not wired yet")
        listener = Listener(self._downstream, tls=tls, port=port)
        server = await self._loop.create_server(
            lambda: ClientConnection(listener), sock=listening_socket, backlog=BACKLOG, start_serving=True
        )
        self._servers[listening_socket] = server

    def close_listener(self, listening_socket: socket.socket) -> None:
        """Accept no more on one socket; its connections live on."""
        server = self._servers.pop(listening_socket, None)
        if server is not None:
            server.close()

    def apply(self, config: Config, site_blocks: Mapping[str, int]) -> None:
        """Swap the snapshot; requests in flight keep theirs. Raises OSError when a new log cannot be opened."""
        if config.log != self._log_config:
            former = self._writer
            self._writer = self._open_log(config.log)
            self._log_config = config.log
            self._pipeline.use_log(self._access_log(config.log))
            if former is not None:
                former.close(0.0)
        self._upstream_tls.forget()
        self._pipeline.snapshot = self._snapshot(config, site_blocks)
        self._downstream.forget_derived()
        self._pool_context.response_memo.forget()

    def stop_accepting(self) -> None:
        """Accept no more connections."""
        for listening_socket in list(self._servers):
            self.close_listener(listening_socket)

    async def drain(self, seconds: float) -> None:
        """Finish what is in flight within ``seconds``; close idle connections at once."""
        self._downstream.draining = True
        for connection in list(self._downstream.connections):
            connection.close_when_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._downstream.all_closed()
        for connection in list(self._downstream.connections):
            connection.abort()
        if self._writer is not None:
            self._writer.close()

    def active(self) -> int:
        """Count the open client connections."""
        return len(self._downstream.connections)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make the event loop that workers run on."""
    return uvloop.new_event_loop()
