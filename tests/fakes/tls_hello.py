"""ClientHellos: those that OpenSSL sends, and those that are put together by hand."""

import ssl
import struct
from collections.abc import Iterable, Sequence

SERVER_NAME, ALPN, SUPPORTED_VERSIONS = 0, 16, 43


def openssl_hello(
    server_name: str | None = "app.example.com",
    *,
    alpn: Sequence[str] = (),
    version: ssl.TLSVersion | None = None,
    session: ssl.SSLSession | None = None,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Return the octets with which OpenSSL's client begins; ``version`` is the only one offered."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name, session=session)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without an answer")


def vector(octets: bytes, width: int = 2) -> bytes:
    """Put the length before some octets."""
    return len(octets).to_bytes(width, "big") + octets


def server_name_extension(name: bytes, kind: int = 0) -> tuple[int, bytes]:
    """Write the extension that names one server (RFC 6066)."""
    return SERVER_NAME, vector(bytes((kind,)) + vector(name))


def alpn_extension(*protocols: bytes) -> tuple[int, bytes]:
    """Write the extension that offers application protocols (RFC 7301)."""
    return ALPN, vector(b"".join(vector(protocol, 1) for protocol in protocols))


def message(
    extensions: Iterable[tuple[int, bytes]] | None = (),
    *,
    session_id: bytes = bytes(32),
    ciphers: bytes = b"\x13\x01\x13\x02",
    kind: int = 1,
) -> bytes:
    """Write a ClientHello message (RFC 8446 section 4.1.2); without a block of extensions when it is None."""
    body = b"\x03\x03" + bytes(32) + vector(session_id, 1) + vector(ciphers) + b"\x01\x00"
    if extensions is not None:
        body += vector(b"".join(struct.pack(">H", code) + vector(content) for code, content in extensions))
    return bytes((kind,)) + vector(body, 3)


def records(octets: bytes, size: int = 16384, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    """Cut a message into records of at most ``size`` octets."""
    cut = [octets[start : start + size] for start in range(0, len(octets), size)]
    return b"".join(bytes((kind,)) + version + vector(piece) for piece in cut)
