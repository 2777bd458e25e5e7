"""One connection's TLS, octets in and octets out: everything that drives OpenSSL is in this file.

Theory of operation.  OpenSSL reads and writes two memory buffers (``TlsBuffers``), and **all connections of an
event loop share one pair**.  The invariant: both are empty whenever a method of ``TlsStream`` returns or raises.
It holds because OpenSSL asks for more only when ``incoming`` is empty, so what was fed is used up; because whatever
it wants to send is taken from ``outgoing`` by the method that made it; and because errors clear both.  Should it
ever fail, a foreign record fails its authentication: a connection ends, but nobody reads another's octets.  OpenSSL
never shrinks such a buffer, so sharing saves each connection two of 1 to 40 KB, and the time to make them.

What the peer does wrong is never raised by ``receive``; it is told in ``error``, after what was still right.
"""

import ssl
from typing import Final

from proxy.downstream.tls_records import RECORD_SIZE
from proxy.errors import ForegateError

#: Received octets after which answers and the allowance are looked at.
READ_STEP: Final = 64 * 1024
#: Octets on the wire without content (KeyUpdate, refused renegotiation, padding) before a peer is cut off: about
#: 4,800 KeyUpdates, each of which costs us a key derivation. Content earns some back.
CONTROL_ALLOWANCE: Final = 128 * 1024
_EARNED_PER_OCTET: Final = 4
_EARNED_PER_RECORD: Final = 32
#: More than this beside the content of one read is worth counting; less is a record's own framing.
_FRAMING: Final = 512


class TlsStreamError(ForegateError):
    """The peer broke the TLS stream; the connection cannot go on."""


class TlsTruncatedError(TlsStreamError):
    """The TCP stream ended without close_notify: somebody may have cut it."""


class TlsBuffers:
    """The two memory buffers between OpenSSL and the network."""

    __slots__ = ("incoming", "outgoing")

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()


class TlsStream:
    """The server's side of one TLS connection.

    After each ``receive``: when ``eventful``, look at ``answers`` (octets to send), ``ended`` (close_notify came) and
    ``error``, and call ``take_answers``.
    """

    __slots__ = ("_allowance", "_answers", "_buffers", "ended", "error", "eventful", "tls")

    def __init__(self, context: ssl.SSLContext, buffers: TlsBuffers) -> None:
        self.tls = context.wrap_bio(buffers.incoming, buffers.outgoing, server_side=True)
        self.ended = False
        self.error: TlsStreamError | None = None
        self.eventful = False
        self._buffers = buffers
        self._answers = b""
        self._allowance = CONTROL_ALLOWANCE

    def handshake(self, received: bytes | bytearray) -> bytes | None:
        """Go on with the handshake; return the octets behind it once it is done, None before.

        Raises TlsStreamError. Either way ``take_answers`` has what to send, an alert for example.
        """
        buffers = self._buffers
        try:
            buffers.incoming.write(received)
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._answers = buffers.outgoing.read()
            return None
        except ssl.SSLError as exc:
            self._answers = buffers.outgoing.read()
            buffers.incoming.read()
            raise TlsStreamError(_wording(exc)) from exc
        except BaseException:
            self._clear()
            raise
        self._answers = buffers.outgoing.read()
        return buffers.incoming.read()

    def receive(self, received: bytes) -> bytes:
        """Decrypt; return the content, which may be empty. The usual case, one whole record, is the short way."""
        size = len(received)
        if not 0 < size <= RECORD_SIZE:
            return self._receive_much(received)
        buffers = self._buffers
        try:
            buffers.incoming.write(received)
            content = self.tls.read(size)
        except ssl.SSLError as exc:
            return self._settle(size, [], exc)
        except BaseException:
            self._clear()
            raise
        if not content:
            return self._end()
        if buffers.incoming.pending or len(content) == size:
            return self._read_on(size, [content])
        if size - len(content) > _FRAMING or buffers.outgoing.pending or self._allowance != CONTROL_ALLOWANCE:
            return self._settle(size, [content])
        return content

    def send(self, content: bytes | bytearray | memoryview) -> bytes:
        """Encrypt and return the records; RECORD_SIZE octets, or a few times as many, at a time.

        Raises TlsStreamError when OpenSSL cannot, as after an error of the stream.
        """
        try:
            self.tls.write(content)
        except ssl.SSLError as exc:
            self._clear()
            raise TlsStreamError(_wording(exc)) from exc
        except BaseException:
            self._clear()
            raise
        return self._buffers.outgoing.read()

    def close(self) -> bytes:
        """Return the record that says that nothing more will be sent (close_notify)."""
        try:  # noqa: SIM105 - contextlib.suppress takes 0.3 µs more
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # OpenSSL would like to wait for the peer's close_notify
        return self._buffers.outgoing.read()

    def take_answers(self) -> bytes:
        """Return, once, what OpenSSL wants to send by itself: handshake, tickets, KeyUpdate, alerts."""
        answers, self._answers = self._answers, b""
        self.eventful = self.ended or self.error is not None
        return answers

    def _receive_much(self, received: bytes) -> bytes:
        contents: list[bytes] = []
        view = memoryview(received)
        for start in range(0, len(view), READ_STEP):
            if self.ended or self.error is not None:
                break
            step = view[start : start + READ_STEP]
            self._buffers.incoming.write(step)
            contents.append(self._read_on(len(step), []))
        return b"".join(contents)

    def _end(self) -> bytes:
        """Take note of close_notify; what the peer sent behind it does not count."""
        self.ended = self.eventful = True
        self._buffers.incoming.read()
        return b""

    def _read_on(self, size: int, contents: list[bytes]) -> bytes:
        """Read until nothing is left of ``size`` octets; ``contents`` has what was read of them already."""
        incoming, read = self._buffers.incoming, self.tls.read
        failure: ssl.SSLError | None = None
        try:
            while not contents or contents[-1]:
                contents.append(read(RECORD_SIZE))
                if not incoming.pending and len(contents[-1]) < RECORD_SIZE:
                    break
        except ssl.SSLError as exc:
            failure = exc
        except BaseException:
            self._clear()
            raise
        return self._settle(size, contents, failure)

    def _settle(self, size: int, contents: list[bytes], failure: ssl.SSLError | None = None) -> bytes:
        """Take OpenSSL's answers, judge how reading ended, and charge what carried no content."""
        content = b"".join(contents)
        earned = _EARNED_PER_OCTET * len(content) + _EARNED_PER_RECORD * len(contents)
        self._allowance = min(CONTROL_ALLOWANCE, self._allowance + earned - size)
        if (contents and not contents[-1]) or isinstance(failure, ssl.SSLZeroReturnError):
            self.ended = True
        elif failure is not None and not isinstance(failure, ssl.SSLWantReadError):
            self.error = TlsStreamError(_wording(failure))
        elif self._allowance < 0:
            self.error = TlsStreamError("too many octets that carry no content")
        if self.ended or self.error is not None:
            self._buffers.incoming.read()
        if self._buffers.outgoing.pending:
            self._answers += self._buffers.outgoing.read()
        self.eventful = self.ended or self.error is not None or bool(self._answers)
        return content

    def _clear(self) -> None:
        self._buffers.incoming.read()
        self._buffers.outgoing.read()


def _wording(exc: ssl.SSLError) -> str:
    """Say what OpenSSL found wrong, as in "wrong version number"."""
    reason: str | None = getattr(exc, "reason", None)  # typed as a string, but not always one
    return (reason or "unexpected end").replace("_", " ").lower()
