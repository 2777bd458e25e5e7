"""The client's side of TLS in memory: an honest one, and one that writes records by hand."""

import contextlib
import hashlib
import hmac
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

APPLICATION_DATA, ALERT, HANDSHAKE = 23, 21, 22


class MemoryClient:
    """A client that is fed octets and gives octets; ``content`` is what it has read so far."""

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str | None = "app.example.com",
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        self.established = False
        self.content = b""
        self.closed_by_server = False

    def receive(self, octets: bytes) -> bytes:
        """Take what the server sent and return what has to go back. Raises ssl.SSLError."""
        self._incoming.write(octets)
        try:
            if not self.established:
                self.tls.do_handshake()
                self.established = True
            while not self.closed_by_server:
                read = self.tls.read(65536)
                self.content += read
                self.closed_by_server = not read
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed_by_server = True
        return self._outgoing.read()

    def start(self) -> bytes:
        """Return the hello."""
        return self.receive(b"")

    def send(self, content: bytes) -> bytes:
        """Encrypt."""
        octets = b""
        view = memoryview(content)
        while view:
            view = view[self.tls.write(view[:16384]) :]
            octets += self._outgoing.read()
        return octets

    def close(self) -> bytes:
        """Return close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()

    def waiting(self) -> bytes:
        """Return what is left to send after an error: the alert."""
        return self._outgoing.read()


class RecordForge:
    """Writes any record under the keys of an established TLS 1.3 connection (RFC 8446 sections 5 and 7).

    ``key_log`` is the file that the client's context wrote; the honest client must not have sent content, and must send
    no more. Knows TLS_AES_256_GCM_SHA384 alone.
    """

    def __init__(self, key_log: Path) -> None:
        secrets = dict(line.split()[::2] for line in key_log.read_text().splitlines() if line[:1] != "#")
        self._use(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"]))

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(self._expand(b"key", 32))
        self._iv = int.from_bytes(self._expand(b"iv", 12), "big")
        self._sequence = 0

    def _expand(self, label: bytes, size: int) -> bytes:
        full_label = b"tls13 " + label
        hashed = size.to_bytes(2, "big") + bytes((len(full_label),)) + full_label + b"\x00\x01"
        return hmac.digest(self._secret, hashed, hashlib.sha384)[:size]

    def record(self, content: bytes, kind: int = APPLICATION_DATA, padding: int = 0) -> bytes:
        """Encrypt one record of any content type and size."""
        plain = content + bytes((kind,)) + bytes(padding)
        header = b"\x17\x03\x03" + (len(plain) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._cipher.encrypt(nonce, plain, header)

    def key_update(self, *, ask_for_one: bool) -> bytes:
        """Change our keys, and ask the server to change its own or not (RFC 8446 section 4.6.3)."""
        octets = self.record(bytes((24, 0, 0, 1, ask_for_one)), HANDSHAKE)
        self._use(self._expand(b"traffic upd", 48))
        return octets
