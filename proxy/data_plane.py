"""Everything that one worker does with traffic, built from one Config and what the worker shares with others."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from proxy.cache_gate import CacheMemory
from proxy.caching.store import Store
from proxy.config.schema import Config, Log
from proxy.deadlines import DeadlineWheel
from proxy.downstream.admission import ConnectionBounds
from proxy.downstream.backlog import BACKLOG, Arrivals
from proxy.downstream.connection import ClientConnection
from proxy.downstream.draining import take_leave
from proxy.downstream.listener import DownstreamContext, Listener
from proxy.downstream.proxied import Following, ProxyProtocolGate
from proxy.downstream.tls_accept import TlsAcceptor, TlsHandshake
from proxy.downstream.tls_certificates import CertificateStore, served_name
from proxy.downstream.tls_contexts import CertificateError
from proxy.downstream.tls_hold import HeldConnections
from proxy.downstream.tls_outcomes import HandshakeCounters
from proxy.downstream.tls_stream import TlsBuffers
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.limit_gate import LimitGate
from proxy.pipeline import Pipeline
from proxy.snapshot import Snapshot, SnapshotParts
from proxy.telemetry import counters, process_log
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.counters import WorkerCounters
from proxy.telemetry.failure_log import FailureLog
from proxy.telemetry.line_writer import LineWriter
from proxy.traffic.address import Address, parse_address
from proxy.traffic.firewall import NO_RULES, Firewalls
from proxy.traffic.limiter import RateLimitStore
from proxy.traffic.top_clients import LimitedClient
from proxy.upstream.addresses import UpstreamMessage
from proxy.upstream.balancer import Target
from proxy.upstream.directory import UpstreamDirectory
from proxy.upstream.pool import Pool, PoolContext, drop_https_pools
from proxy.upstream.trust import UpstreamTls


def _nobody(*_told: object) -> None:
    """Tell nobody: a data plane without a supervisor."""


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
    firewalls: Firewalls = field(default_factory=dict)
    bounds: ConnectionBounds | None = None
    most_limited: Callable[[Sequence[LimitedClient]], None] = _nobody
    certificate_wanted: Callable[[str], None] = _nobody
    certificate_unusable: Callable[[str, str], None] = _nobody


class DataPlane:
    """The listeners, connections, pools and the pipeline of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config, context: WorkerContext) -> None:
        self._loop = loop
        self._context = context
        self._wheel = DeadlineWheel(loop)
        self._directory = UpstreamDirectory(hash_key=context.hash_key)
        self._pool_context = PoolContext(loop, self._wheel, context.counters)
        self._upstream_tls = UpstreamTls()
        self._failures = FailureLog(process_log.logger("worker"))
        self._servers: dict[socket.socket, tuple[asyncio.Server, Callable[[], asyncio.Protocol]]] = {}
        self._arrivals = Arrivals(loop)
        self._log_config = config.log
        self._writer = self._open_log(config.log, may_wait=True)
        if self._writer is not None and not self._writer.is_open:
            fields = process_log.fields(file=config.log.access)
            process_log.logger("worker").error("cannot open the access log: lines are dropped", extra=fields)
        self._pipeline = Pipeline(
            loop,
            self._snapshot(config, context.site_blocks, context.firewalls),
            counters=context.counters,
            directory=self._directory,
            pool_of=self._pool_of,
            log=self._access_log(config.log),
            instance=context.instance,
            on_failure=self._app_failed,
        )
        if context.limiter is not None:
            self._pipeline.limits = LimitGate(self._pipeline, context.limiter, context.most_limited)
        self.cache_memory = CacheMemory(self._pipeline, context.cache) if context.cache is not None else None
        self._certificates = CertificateStore(
            loop, context.certificate_wanted, clock=loop.time, report=self._unusable
        )
        self._handshakes = HandshakeCounters(context.counters)
        self._held = HeldConnections()
        self._tls_buffers = TlsBuffers()
        self._pending: set[TlsHandshake] = set()
        self._downstream = DownstreamContext(
            loop,
            self._wheel,
            self._pipeline,
            context.counters,
            coverage=self._certificates,
            bounds=context.bounds,
            gateways=frozenset(context.gateways),
        )
        self._want_certificates(config)

    def _snapshot(self, config: Config, site_blocks: Mapping[str, int], firewalls: Firewalls) -> Snapshot:
        parts = SnapshotParts(
            self._directory,
            self._context.counters,
            site_blocks,
            limiter_key=self._context.limiter_key if self._context.limiter is not None else b"",
            cache_secret=self._context.cache_secret if self._context.cache is not None else b"",
            gateways=self._context.gateways,
            firewalls=firewalls,
        )
        return Snapshot(config, parts)

    # --- logs

    def _open_log(self, log: Log, *, may_wait: bool = False) -> LineWriter | None:
        if log.access == "off":
            return None

        def dropped(count: int) -> None:
            self._context.counters.add(counters.LOG_LINES_DROPPED, count)

        return LineWriter(self._loop, log.access, dropped, may_wait=may_wait)

    def _access_log(self, log: Log) -> AccessLog:
        return AccessLog(self._writer, combined=log.format == "combined", redact_query=log.redact_query)

    def reopen_logs(self) -> None:
        """Open the access log again, after it was moved away."""
        if self._writer is not None:
            self._writer.reopen()

    def _app_failed(self, exchange: Exchange, error: GatewayError) -> None:
        site = exchange.site.config.name if exchange.site is not None else ""
        route = exchange.route.config.path if exchange.route is not None else ""
        self._failures.failed(site, route, error.kind, error.detail, self._loop.time())

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
        listener = Listener(self._downstream, tls=tls, port=port)
        make = self._https_factory(listener) if tls else self._http_factory(listener)

        def factory() -> asyncio.Protocol:
            if self._pipeline.snapshot.proxy_protocol:
                return ProxyProtocolGate(self._pipeline, self._wheel, self._context.counters, make)
            return make(None)

        server = await self._loop.create_server(
            factory, sock=listening_socket, backlog=BACKLOG, start_serving=True
        )
        self._servers[listening_socket] = server, factory

    def _http_factory(self, listener: Listener) -> Following:
        return lambda source: ClientConnection(listener, source)

    def _https_factory(self, listener: Listener) -> Following:
        def application(source: Address | None) -> Callable[[], ClientConnection]:
            return lambda: ClientConnection(listener, source)

        def acceptor(source: Address | None) -> TlsAcceptor:
            made = TlsAcceptor(
                loop=self._loop,
                wheel=self._wheel,
                certificates=self._certificates,
                application=application(source),
                observer=self._handshakes,
                hello_seconds=self._pipeline.snapshot.timeouts.hello,
                held=self._held,
                buffers=self._tls_buffers,
                pending=self._pending,
            )
            made.admit = partial(listener.admit, source=source)
            made.abandoned = listener.abandoned
            return made

        usual = acceptor(None)

        def make(source: Address | None) -> asyncio.Protocol:
            usual.hello_seconds = self._pipeline.snapshot.timeouts.hello
            return usual.accept() if source is None else acceptor(source).accept((source.text, 0))

        return make

    # --- certificates

    def set_certificate(self, name: str, chain_pem: bytes, key_pem: bytes) -> None:
        """Serve a certificate for a configured name; one that cannot be used is reported and changes nothing."""
        try:
            self._certificates.set(name, chain_pem, key_pem)
        except CertificateError as error:
            self._unusable(name, error)

    def fail_certificate(self, name: str) -> None:
        """End the handshakes that wait for a name's certificate."""
        self._certificates.fail(name)

    def set_thumbprint(self, names: Sequence[str], thumbprint: str) -> None:
        """Answer the ACME challenges of these names with this thumbprint."""
        for name in names:
            self._pipeline.thumbprints[name.encode()] = thumbprint.encode()

    def set_placeholder(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Greet CDN edges with this certificate while a name's own is being issued."""
        try:
            self._certificates.set_placeholder(chain_pem, key_pem, self._is_edge)
        except CertificateError as error:
            self._unusable("", error)

    def _is_edge(self, peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and address.packed in self._pipeline.snapshot.cloudflare

    def _unusable(self, name: str, error: CertificateError) -> None:
        self._context.certificate_unusable(name, str(error))

    def _want_certificates(self, config: Config) -> None:
        """Derive from the configuration which names https is served for."""
        served = [site for site in config.sites if site.tls.mode != "off"]
        names = {domain: served_name(site.tls) for site in served for domain in site.domains}
        any_name = next((site.domains[0] for site in served if "*" in site.domains), None)
        default = any_name or (served[0].domains[0] if len(served) == 1 else None)
        self._certificates.wanted(names, default)
        for name in [name for name in self._pipeline.thumbprints if name.decode() not in names]:
            del self._pipeline.thumbprints[name]

    def close_listener(self, listening_socket: socket.socket) -> None:
        """Accept what waits on one socket, and no more; its connections live on."""
        if listening_socket in self._servers:
            server, factory = self._servers.pop(listening_socket)
            self._arrivals.take(listening_socket, factory)
            server.close()

    def apply(self, config: Config, site_blocks: Mapping[str, int], firewalls: Firewalls = NO_RULES) -> None:
        """Swap the snapshot; requests in flight keep theirs. Raises OSError when a new log cannot be opened."""
        if config.log != self._log_config:
            former = self._writer
            self._writer = self._open_log(config.log)
            self._log_config = config.log
            self._pipeline.use_log(self._access_log(config.log))
            if former is not None:
                former.close(0.0)
        self._upstream_tls.forget()
        drop_https_pools(self._directory.targets())
        self._pipeline.snapshot = self._snapshot(config, site_blocks, firewalls)
        self._want_certificates(config)
        self._downstream.forget_derived()
        self._pool_context.response_memo.forget()

    def stop_accepting(self) -> None:
        """Accept the connections that wait, and no more."""
        for listening_socket in list(self._servers):
            self.close_listener(listening_socket)

    async def drain(self, seconds: float) -> None:
        """Finish what is in flight within ``seconds``, then close what is left.

        It may be cancelled and begun anew with another time.
        """
        await take_leave(self._downstream, self._pending, self._arrivals, seconds)
        if self._writer is not None:
            self._writer.close()

    def active(self) -> int:
        """Count the open client connections."""
        return len(self._downstream.connections)
