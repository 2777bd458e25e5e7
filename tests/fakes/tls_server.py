"""The TLS side of a worker in a thread of its own, with a small web application behind it."""

import asyncio
import hashlib
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import pytest
import uvloop

from proxy.deadlines import DeadlineWheel
from proxy.downstream.tls import TlsTransport
from proxy.downstream.tls_accept import TlsAcceptor
from proxy.downstream.tls_certificates import CertificateStore, ServedName
from proxy.downstream.tls_hold import HeldConnections
from proxy.downstream.tls_outcomes import HandshakeFailure
from tests.fakes.certificates import Authority, PemPair

T = TypeVar("T")

PATIENCE = 60.0
NAME = "app.example.com"
BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
# Alerts, as records of their own (RFC 8446 section 6).
DECODE_ERROR = b"\x15\x03\x03\x00\x02\x02\x32"
INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x02\x50"
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
_STEP = 16 * 1024
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


def pattern(start: int, size: int) -> bytes:
    """Return a part of an endless content in which every place is recognisable."""
    first = start // 8
    numbers = b"".join(number.to_bytes(8, "big") for number in range(first, (start + size) // 8 + 1))
    return numbers[start - first * 8 :][:size]


class Application(asyncio.Protocol):
    """GET /N answers N octets of the pattern, POST the digest of what came; heeds pause and resume."""

    def __init__(self, server: "TlsServer") -> None:
        self._server = server
        self.transport: TlsTransport = cast("TlsTransport", None)
        self._head = b""
        self._to_receive = 0
        self._digest = hashlib.sha256()
        self._to_send = self._sent = 0
        self._close = False
        self.paused = False
        self.eof = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("TlsTransport", transport)
        self._server.note("made", self)

    def data_received(self, data: bytes) -> None:
        if self._to_receive:
            self._take(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        self._head = b""
        self._close = b"connection: close" in head.lower() or b"HTTP/1.0" in head
        if head.startswith(b"POST"):
            length = _LENGTH.search(head)
            self._to_receive = int(length[1]) if length else 0
            self._digest = hashlib.sha256()
            self._take(rest)
        else:
            size = int(head.split()[1].removeprefix(b"/") or b"0")
            self._to_send, self._sent = size, 0
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            self._send()

    def _take(self, content: bytes) -> None:
        self._digest.update(content)
        self._to_receive -= len(content)
        if self._to_receive <= 0:
            digest = self._digest.hexdigest().encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(digest), digest))
            self._end()

    def _send(self) -> None:
        while self._to_send and not self.paused:
            size = min(_STEP, self._to_send)
            self.transport.write(pattern(self._sent, size))
            self._sent += size
            self._to_send -= size
        if not self._to_send:
            self._end()

    def _end(self) -> None:
        if self._close:
            self.transport.close()

    def pause_writing(self) -> None:
        self.paused = True
        self._server.note("paused", self)

    def resume_writing(self) -> None:
        self.paused = False
        self._send()

    def eof_received(self) -> bool:
        self.eof = "truncated" if self.transport.get_extra_info("truncated") else "clean"
        self._server.note(self.eof, self)
        return bool(self._to_send)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.note("lost", self)


class TlsServer:
    """A listening socket with a store of certificates; counts what happens, and lets tests wait for it."""

    def __init__(
        self,
        authority: Authority,
        names: Mapping[str, ServedName] | None = None,
        *,
        default: str | None = None,
        pairs: Mapping[str, PemPair] | None = None,
        hello_seconds: float = 60.0,
        held: HeldConnections | None = None,
        admit: Callable[[asyncio.Transport], bool] = lambda _raw: True,
    ) -> None:
        self.authority = authority
        self.counts: Counter[object] = Counter()
        self.applications: list[Application] = []
        self._news = threading.Condition()
        self.loop = uvloop.new_event_loop()
        self.store = CertificateStore(
            self.loop, lambda name: self._count("asked", name), clock=self.loop.time
        )
        self.store.wanted(names or {NAME: ServedName()}, default)
        for name, pair in ({NAME: authority.pair(NAME)} if pairs is None else pairs).items():
            self.store.set(name, *pair)
        self.acceptor = TlsAcceptor(
            loop=self.loop,
            wheel=DeadlineWheel(self.loop),
            certificates=self.store,
            application=lambda: Application(self),
            observer=self,
            hello_seconds=hello_seconds,
            held=held or HeldConnections(),
            admit=admit,
            abandoned=lambda _raw: self._count("abandoned"),
        )
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "TlsServer":
        self._thread.start()
        self.wait_for("started")
        return self

    def __exit__(self, *_exc: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._stop = asyncio.Event()
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    async def _serve(self) -> None:
        server = await self.loop.create_server(self.acceptor.accept, sock=self._socket)
        self._count("started")
        await self._stop.wait()
        server.close()
        self.acceptor.abort_pending()
        for application in self.applications:
            application.transport.abort()
        await asyncio.sleep(0)  # lets the transports close
        await asyncio.sleep(0)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the server's loop and return its result."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)

    # --- what happens

    def handshake_done(self, *, resumed: bool) -> None:
        self._count("resumed" if resumed else "full")

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        self._count(failure)

    def handshake_held(self) -> None:
        self._count("held")

    def note(self, event: str, application: Application) -> None:
        with self._news:
            if event == "made":
                self.applications.append(application)
            self.counts[event] += 1
            self._news.notify_all()

    def _count(self, *events: object) -> None:
        with self._news:
            for event in events:
                self.counts[event] += 1
            self._news.notify_all()

    def wait_for(self, event: object, count: int = 1) -> None:
        """Wait until something has happened so many times."""
        with self._news:
            assert self._news.wait_for(lambda: self.counts[event] >= count, PATIENCE), (event, self.counts)

    # --- clients

    def connect(self) -> socket.socket:
        """Open a TCP connection."""
        return socket.create_connection(self.address, PATIENCE)

    def client(
        self,
        *,
        context: ssl.SSLContext | None = None,
        version: ssl.TLSVersion | None = None,
        session: ssl.SSLSession | None = None,
        name: str = NAME,
    ) -> ssl.SSLSocket:
        """Open a TLS connection that tells truncation from an end."""
        if context is None:
            context = self.authority.client_context()
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context.wrap_socket(
            self.connect(), server_hostname=name, session=session, suppress_ragged_eofs=False
        )


def read_all(connection: socket.socket) -> bytes:
    """Read until the end."""
    received = b""
    while octets := connection.recv(65536):
        received += octets
    return received


def read_all_or_reset(connection: socket.socket) -> bytes:
    """Read until the end, however it comes."""
    received = b""
    try:
        while octets := connection.recv(65536):
            received += octets
    except ConnectionResetError:
        pass
    return received


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read so many octets."""
    received = bytearray()
    while len(received) < size:
        octets = connection.recv(min(65536, size - len(received)))
        assert octets
        received += octets
    return bytes(received)


def get(connection: socket.socket, size: int, *fields: str) -> bytes:
    """Ask for so many octets and return them."""
    head = "".join(f"{field}\r\n" for field in fields)
    connection.sendall(f"GET /{size} HTTP/1.1\r\n{head}\r\n".encode())
    return read_answer(connection)


def read_answer(connection: socket.socket) -> bytes:
    """Read one response and return its content."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)
        assert octet
        head += octet
    length = _LENGTH.search(head)
    assert length
    return read_exactly(connection, int(length[1]))
