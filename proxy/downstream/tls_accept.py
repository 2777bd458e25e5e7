"""From a new TCP connection to an established TLS one.

Theory of operation.  The octets of the ClientHello are collected and read first; the server name in it goes to the
certificate source.  A known certificate goes straight on.  One that is being issued holds the handshake: nothing is
answered, reading goes on so that a client which leaves is noticed, and its leaving ends its own wait only.  Then the
same octets go to OpenSSL.  Once the handshake is done, ``TlsTransport`` takes over the TCP transport, and nothing of
this file stays in memory.

One deadline covers the time that the client takes for hello and handshake; it stands still while the handshake is
held.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, cast

from proxy.deadlines import NEVER, DeadlineWheel
from proxy.downstream.client_hello import (
    ClientHello,
    ClientHelloReader,
    Malformed,
    NotTls,
    read_whole_client_hello,
)
from proxy.downstream.tls import TlsTransport
from proxy.downstream.tls_contexts import ALPN_PROTOCOLS
from proxy.downstream.tls_hold import UNAVAILABLE, CertificateSource, HeldConnections, Hold, Refuse
from proxy.downstream.tls_outcomes import PLAIN_HTTP_ANSWER, HandshakeFailure, HandshakeObserver
from proxy.downstream.tls_records import ALERT_NO_APPLICATION_PROTOCOL, fatal_alert
from proxy.downstream.tls_stream import TlsBuffers, TlsStream, TlsStreamError

#: What a client may send behind its hello while it is held: early data, which is then refused.
HELD_OCTETS: Final = 64 * 1024
#: How long a refused client gets to read why (seconds).
REFUSAL_SECONDS: Final = 2.0


def _admit_all(_raw: asyncio.Transport) -> bool:
    return True


def _forget(_raw: asyncio.Transport) -> None:
    return None


@dataclass(slots=True, kw_only=True, eq=False)
class TlsAcceptor:
    """What all handshakes of a listener share; ``accept`` is its protocol factory.

    ``admit`` is asked at once for every connection and may refuse it before any TLS. ``abandoned`` is told of admitted
    connections that end before their handshake is done; the others are their application's from
    ``connection_made`` to ``connection_lost``.
    """

    loop: asyncio.AbstractEventLoop
    wheel: DeadlineWheel
    certificates: CertificateSource
    application: Callable[[], asyncio.Protocol]
    observer: HandshakeObserver
    hello_seconds: float = 10.0
    held: HeldConnections = field(default_factory=HeldConnections)
    buffers: TlsBuffers = field(default_factory=TlsBuffers)
    admit: Callable[[asyncio.Transport], bool] = _admit_all
    abandoned: Callable[[asyncio.Transport], None] = _forget
    #: Connections whose handshake is not done.
    pending: "set[TlsHandshake]" = field(default_factory=set)

    def accept(self, peername: object = None) -> "TlsHandshake":
        """Make the protocol of a new connection; ``peername``, when given, stands for the TCP peer's."""
        return TlsHandshake(self, peername)

    def abort_pending(self) -> None:
        """Drop the connections whose handshake is not done."""
        for handshake in list(self.pending):
            handshake.abort()


class _Stage(Enum):
    HELLO = 1
    HELD = 2
    HANDSHAKE = 3
    REFUSED = 4


class TlsHandshake(asyncio.Protocol):
    """One connection from accept to the end of its handshake."""

    __slots__ = (
        "_acceptor",
        "_held",
        "_octets",
        "_peername",
        "_raw",
        "_reader",
        "_server_name",
        "_spare",
        "_stage",
        "_stream",
        "deadline",
        "filed_tick",
    )
    _stream: TlsStream  # from the hello on

    def __init__(self, acceptor: TlsAcceptor, peername: object) -> None:
        self._acceptor = acceptor
        self._peername = peername
        self._raw: asyncio.Transport = cast("asyncio.Transport", None)
        self._stage = _Stage.HELLO
        self._reader: ClientHelloReader | None = None
        self._octets: bytes | bytearray = b""  # what goes to OpenSSL first
        self._server_name: str | None = None
        self._spare = acceptor.hello_seconds  # what the client has left for its part, in seconds
        self._held: tuple[Hold, str] | None = None  # with the key to leave by
        self.deadline = NEVER
        self.filed_tick = 0

    # --- what the TCP transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the hello."""
        acceptor = self._acceptor
        raw = self._raw = cast("asyncio.Transport", transport)
        if not acceptor.admit(raw):
            self._stage = _Stage.REFUSED
            raw.abort()
            return
        acceptor.pending.add(self)
        self._wait(self._spare)

    def data_received(self, data: bytes) -> None:
        """Take the client's octets, whatever they are for at the moment."""
        stage = self._stage
        if stage is _Stage.HELLO:
            self._read_hello(data)
        elif stage is _Stage.HANDSHAKE:
            self._go_on(data)
        elif stage is _Stage.HELD:
            self._octets += data
            if len(self._octets) > HELD_OCTETS:
                self._raw.pause_reading()

    def eof_received(self) -> bool:
        """Let go of a client that leaves."""
        if self._stage is not _Stage.REFUSED:
            self._end(HandshakeFailure.CLIENT_LEFT)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what the connection holds."""
        acceptor = self._acceptor
        if self._stage is not _Stage.REFUSED:
            self._end(HandshakeFailure.CLIENT_LEFT)
        acceptor.wheel.discard(self)
        if self in acceptor.pending:
            acceptor.pending.discard(self)
            acceptor.abandoned(self._raw)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._raw.abort()

    # --- hello

    def _read_hello(self, data: bytes) -> None:
        if self._reader is None:
            hello = read_whole_client_hello(data)
            if hello is not None:
                self._octets = data
                self._greet(hello)
                return
            self._reader = ClientHelloReader()
        match self._reader.feed(data):
            case ClientHello() as hello:
                self._octets = self._reader.octets
                self._greet(hello)
            case None:
                return
            case NotTls(plain_http=True):
                self._refuse(HandshakeFailure.PLAIN_HTTP, PLAIN_HTTP_ANSWER)
            case NotTls():
                self._refuse(HandshakeFailure.NOT_TLS, b"")
            case Malformed(alert=alert):
                self._refuse(HandshakeFailure.MALFORMED, fatal_alert(alert))

    def _greet(self, hello: ClientHello) -> None:
        """Ask for the certificate and act on the answer."""
        if hello.alpn and ALPN_PROTOCOLS.isdisjoint(hello.alpn):
            self._refuse(HandshakeFailure.ALPN, fatal_alert(ALERT_NO_APPLICATION_PROTOCOL))
            return
        self._server_name = hello.server_name
        answer = self._acceptor.certificates.lookup(hello.server_name)
        if isinstance(answer, Hold):
            self._begin_hold(answer)
        else:
            self._decide(answer)

    def _decide(self, answer: ssl.SSLContext | Refuse) -> None:
        if isinstance(answer, Refuse):
            failure = HandshakeFailure.NO_CERTIFICATE if answer is UNAVAILABLE else HandshakeFailure.NAME
            self._refuse(failure, fatal_alert(answer.alert))
            return
        self._stage = _Stage.HANDSHAKE
        self._stream = TlsStream(answer, self._acceptor.buffers)
        self._go_on(self._octets)

    # --- hold

    def _begin_hold(self, hold: Hold) -> None:
        acceptor = self._acceptor
        peername = self._raw.get_extra_info("peername") if self._peername is None else self._peername
        peer = str(peername[0]) if isinstance(peername, tuple) and peername else ""
        placeholder = None if hold.placeholder is None else hold.placeholder(peer)
        if placeholder is not None or hold.seconds <= 0:
            self._decide(placeholder or UNAVAILABLE)
            return
        key = acceptor.held.enter(peer)
        if key is None:
            self._refuse(HandshakeFailure.TOO_MANY_HELD, fatal_alert(UNAVAILABLE.alert))
            return
        self._stage = _Stage.HELD
        self._octets = bytearray(self._octets)
        self._held = (hold, key)
        acceptor.observer.handshake_held()
        self._spare = max(0.0, self.deadline - acceptor.loop.time())
        self._wait(hold.seconds)
        hold.outcome.add_done_callback(self._released)

    def _released(self, outcome: "asyncio.Future[ssl.SSLContext | Refuse]") -> None:
        """Go on with the certificate that was waited for, or with the refusal."""
        if self._held is None or self._raw.is_closing():
            return  # the wait ended while the outcome was on its way
        self._end_hold()
        self._wait(self._spare)
        self._raw.resume_reading()
        self._decide(UNAVAILABLE if outcome.cancelled() or outcome.exception() else outcome.result())

    def _end_hold(self) -> None:
        if self._held is not None:
            hold, key = self._held
            self._held = None
            hold.outcome.remove_done_callback(self._released)
            self._acceptor.held.leave(key)

    # --- handshake

    def _go_on(self, data: bytes | bytearray) -> None:
        stream = self._stream
        try:
            rest = stream.handshake(data)
        except TlsStreamError as error:
            # OpenSSL's names of the alerts that a peer sends have the word in them; those of its own findings have not
            failure = HandshakeFailure.CLIENT_ALERT if "alert" in str(error) else HandshakeFailure.TLS
            self._refuse(failure, stream.take_answers())
            return
        if rest is None:
            self._raw.write(stream.take_answers())
            return
        acceptor = self._acceptor
        acceptor.wheel.discard(self)
        acceptor.pending.discard(self)
        acceptor.observer.handshake_done(resumed=bool(stream.tls.session_reused))
        soon = acceptor.loop.call_soon
        transport = TlsTransport(self._raw, stream, soon, self._server_name, self._peername)
        transport.start(acceptor.application(), rest)

    # --- endings

    def deadline_reached(self, now: float) -> None:
        """End a wait that took too long (called by the wheel)."""
        match self._stage:
            case _Stage.HELD:
                self._refuse(HandshakeFailure.NO_CERTIFICATE, fatal_alert(UNAVAILABLE.alert))
            case _Stage.REFUSED:
                self._raw.abort()
            case _:
                self._end(HandshakeFailure.TIMEOUT)
                self._raw.abort()

    def _refuse(self, failure: HandshakeFailure, answer: bytes) -> None:
        """Answer and close, in a way that lets the client read it although it may still be sending."""
        self._end(failure)
        if not answer:
            self._raw.close()
            return
        self._wait(REFUSAL_SECONDS)
        self._raw.write(answer)
        self._raw.write_eof()

    def _end(self, failure: HandshakeFailure) -> None:
        """Count the failure and give up what was waited for."""
        self._end_hold()
        self._stage = _Stage.REFUSED
        self._acceptor.observer.handshake_failed(failure)

    def _wait(self, seconds: float) -> None:
        self.deadline = self._acceptor.loop.time() + seconds
        self._acceptor.wheel.file(self)
