"""A client and a server stream in memory, with the octets between them."""

import ssl
from pathlib import Path

from proxy.downstream.tls_contexts import KeyPair, build_context
from proxy.downstream.tls_stream import TlsBuffers, TlsStream
from tests.fakes.certificates import Authority
from tests.fakes.tls_peer import MemoryClient


class Wire:
    """A client and a server stream, and the octets between them."""

    def __init__(self, client: MemoryClient, server: TlsStream, buffers: TlsBuffers) -> None:
        self.client = client
        self.server = server
        self._buffers = buffers

    def shake_hands(self, piece: int = 65536) -> bytes:
        """Run the handshake, the client's octets in pieces; return what was left of the last."""
        to_server = self.client.start()
        rest: bytes | None = None
        while rest is None:
            to_client = b""
            for start in range(0, len(to_server), piece):
                rest = self.server.handshake(to_server[start : start + piece])
                self.check_buffers()
                to_client += self.server.take_answers()
            to_server = self.client.receive(to_client)
        if to_server:
            assert self.deliver(to_server) == b""
        return rest

    def deliver(self, octets: bytes) -> bytes:
        """Give the server octets; its answers go to the client."""
        content = self.server.receive(octets)
        self.check_buffers()
        if self.server.eventful and (answers := self.server.take_answers()):
            self.client.receive(answers)
        return content

    def check_buffers(self) -> None:
        """Check the invariant that lets all connections share one pair of buffers."""
        assert not self._buffers.incoming.pending
        assert not self._buffers.outgoing.pending


class World:
    """One server context, one pair of buffers, any number of connections."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.server_context = build_context(KeyPair(*self.authority.pair("app.example.com")))
        self.buffers = TlsBuffers()

    def wire(
        self,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        session: ssl.SSLSession | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Wire:
        if context is None:
            context = self.authority.client_context()
            context.maximum_version = version
        client = MemoryClient(context, session=session)
        return Wire(client, TlsStream(self.server_context, self.buffers), self.buffers)

    def established(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Wire:
        wire = self.wire(version)
        wire.shake_hands()
        return wire
