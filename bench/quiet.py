"""Peers of a worker that are there in memory alone: transports that swallow what is written, a client's TLS."""

from __future__ import annotations

import ssl
from collections import deque
from typing import Any

PEER = ("192.0.2.1", 40000)
WRITES_KEPT = 8


class QuietTransport:
    """A client's connection: keeps the last few writes, and tells who was closed."""

    def __init__(self, closed: list[QuietTransport]) -> None:
        self.sent: deque[Any] = deque(maxlen=WRITES_KEPT)
        self.protocol: Any = None
        # The deque's own method: the cheapest call there is, since it counts as the worker's.
        self.write = self.writelines = self.sent.append
        self._closed = closed
        self._closing = False

    def taken(self) -> bytes:
        """Take what was written."""
        pieces = [piece if isinstance(piece, bytes) else b"".join(piece) for piece in self.sent]
        self.sent.clear()
        return b"".join(pieces)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell the client's address, and nothing else."""
        return PEER if name == "peername" else default

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self._closing

    def close(self) -> None:
        """Let the loss of the connection be reported after the turn."""
        if not self._closing:
            self._closing = True
            self._closed.append(self)

    abort = close

    def can_write_eof(self) -> bool:
        """Say yes, as TCP does."""
        return True

    def write_eof(self) -> None:
        """Send nothing."""

    def get_write_buffer_size(self) -> int:
        """Say that everything was taken at once."""
        return 0

    def pause_reading(self) -> None:
        """Nothing arrives by itself."""

    resume_reading = pause_reading

    def set_protocol(self, protocol: Any) -> None:
        """Hand what arrives to somebody else from now on."""
        self.protocol = protocol


class AppTransport(QuietTransport):
    """A connection to the app: every write is a request that waits for its answer."""

    def __init__(self, asked: list[AppTransport], closed: list[QuietTransport]) -> None:
        super().__init__(closed)
        self._asked = asked
        self.write = self._ask

    def _ask(self, octets: Any) -> None:
        self.sent.append(octets)
        self._asked.append(self)


class TlsClient:
    """The client's side of TLS, in memory."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def greet(self, answer: bytes) -> tuple[bytes, bool]:
        """Go on with the handshake; return what the server is to get next, and whether this side is through."""
        self._incoming.write(answer)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read(), False
        return self._outgoing.read(), True

    def encrypt(self, octets: bytes) -> bytes:
        """Make the records of a request."""
        self._tls.write(octets)
        return self._outgoing.read()

    def decrypt(self, octets: bytes) -> bytes:
        """Read what the server has sent; its session tickets come along."""
        self._incoming.write(octets)
        return self._tls.read(1 << 20)
