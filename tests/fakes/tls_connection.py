"""A TLS transport between a fake TCP transport, a client in memory and a recording application."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from proxy.downstream.tls import TlsTransport
from proxy.downstream.tls_contexts import KeyPair, build_context
from proxy.downstream.tls_stream import TlsBuffers, TlsStream
from tests.fakes.certificates import Authority
from tests.fakes.tcp_transport import FakeTcpTransport
from tests.fakes.tls_peer import MemoryClient

HIGH = 65536


class RecordingApplication(asyncio.Protocol):
    """Records its calls; does what the test put into ``on_data``."""

    def __init__(self) -> None:
        self.transport: TlsTransport = cast("TlsTransport", None)
        self.events: list[str] = []
        self.content = b""
        self.lost: Exception | None = None
        self.stays_open_at_eof = False
        self.answer = b""
        self.closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("TlsTransport", transport)
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.content += data
        if self.answer:
            self.transport.write(self.answer)
        if self.closes:
            self.transport.close()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stays_open_at_eof

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost = exc

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Connection:
    """An established connection and all its parts."""

    def __init__(self, authority: Authority, pair: KeyPair, key_log: Path | None = None) -> None:
        context = authority.client_context()
        if key_log is not None:
            context.keylog_filename = str(key_log)
        self.buffers = TlsBuffers()
        self.client = MemoryClient(context)
        self.raw = FakeTcpTransport(HIGH)
        self.application = RecordingApplication()
        self.stream = TlsStream(build_context(pair), self.buffers)
        self.stream.handshake(self.client.start())
        self.last_flight = self.client.receive(self.stream.take_answers())
        self.soon: list[Callable[[], object]] = []
        self.transport = TlsTransport(self.raw, self.stream, self.soon.append, "app.example.com")

    def start(self, content: bytes = b"") -> None:
        """End the handshake, with content behind it."""
        rest = self.stream.handshake(self.last_flight + (self.client.send(content) if content else b""))
        assert rest is not None
        self.transport.start(self.application, rest)
        self.check_buffers()

    def turn_ends(self) -> None:
        """Do what was put off to the end of the event loop's turn."""
        while self.soon:
            self.soon.pop(0)()
        self.check_buffers()

    def from_client(self, octets: bytes) -> None:
        self.transport.data_received(octets)
        self.check_buffers()

    def client_reads(self) -> bytes:
        """Let the client read what has gone out since."""
        taken, self.raw.taken = self.raw.taken, []
        for octets in taken:
            self.client.receive(octets)
        content, self.client.content = self.client.content, b""
        return content

    def check_buffers(self) -> None:
        assert not self.buffers.incoming.pending
        assert not self.buffers.outgoing.pending
