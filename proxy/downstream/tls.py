"""TLS between a TCP transport and an application protocol.

``TlsTransport`` is the protocol of the TCP transport and the transport of the application; ``TlsStream`` does the
cryptography in between, and never keeps octets of either side.

Reading goes on while writing is paused, as it does without TLS, unless OpenSSL itself answers what is read
(KeyUpdate) and the answer cannot go out: nothing else would bound such answers.
"""

import asyncio
import sys
from typing import Any

from proxy.downstream.tls_sending import NOBODY, Soon, TlsSending
from proxy.downstream.tls_stream import TlsStream, TlsStreamError, TlsTruncatedError


class TlsTransport(TlsSending, asyncio.Protocol):
    """One established TLS connection.

    ``close`` sends what is left, then close_notify. ``write_eof`` sends the same and ends the TCP stream in our
    direction alone, so that a client which is still sending can read its answer (RFC 9112 section 9.6).
    """

    __slots__ = (
        "_answers_stuck",
        "_input_ended",
        "_peername",
        "_reading",
        "_server_name",
        "_truncated",
        "_version",
        "_wants_reading",
    )

    def __init__(
        self,
        raw: asyncio.Transport,
        stream: TlsStream,
        soon: Soon,
        server_name: str | None,
        peername: object = None,
    ) -> None:
        """Take over ``raw`` after the handshake; ``peername``, when given, stands for the TCP peer's."""
        super().__init__(raw, stream, soon)
        self._server_name = server_name
        self._peername = peername
        self._wants_reading = True
        self._answers_stuck = False  # OpenSSL's own answers could not go out
        self._reading = True  # the TCP transport is
        self._input_ended = False  # by the peer or by close
        self._truncated = False
        self._version = ""  # known once it was asked for

    def start(self, application: asyncio.Protocol, received: bytes) -> None:
        """Begin to serve the application, first with what came along with the end of the handshake.

        What ends the handshake on our side waits for the answer to that, unless the client waits for it: session
        tickets (TLS 1.3) are no hurry, Finished (TLS 1.2) is.
        """
        self._raw.set_protocol(self)
        self._app = application
        self._prefix = self._stream.take_answers()
        self._backlog = []
        self._flowing = False
        application.connection_made(self)
        if received:
            self.data_received(received)
        else:
            self._flush()

    # --- what the TCP transport calls

    def data_received(self, data: bytes) -> None:
        """Decrypt what arrived and hand it on."""
        if self._input_ended:
            return
        stream = self._stream
        content = stream.receive(data)
        if not stream.eventful:
            if content:
                self._app.data_received(content)
            return
        self._send_answers()
        if content:
            self._app.data_received(content)
        if stream.eventful:
            self._take_end()

    def eof_received(self) -> bool:
        """Take the end of the TCP stream: truncation, unless close_notify came before."""
        if not self._input_ended:
            self._input_ended = True
            self._truncated = True
            if not self._app.eof_received():
                self.close()
        return True  # what happens next is the application's decision, not the TCP transport's

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and let go of it: the cycle would keep OpenSSL's memory until a collection."""
        application, self._app = self._app, NOBODY
        self._mark_closed()
        self._prefix = None
        self._backlog = None
        self._backlog_size = 0
        if self._stream.error is not None:
            exc = self._stream.error
        elif self._truncated:
            exc = TlsTruncatedError("the client ended the TCP stream without close_notify")
        application.connection_lost(exc)

    def resume_writing(self) -> None:
        """Go on with the backlog, and with reading where answers had been stuck."""
        self._answers_stuck = False
        self._update_reading()
        super().resume_writing()

    # --- what the application calls

    def close(self) -> None:
        """Send what is left and close_notify, then close; nothing that arrives counts any more."""
        if not self._closing:
            self._mark_closed()
            self._finish()

    def abort(self) -> None:
        """Close at once; what is not sent yet is lost."""
        self._mark_closed()
        self._raw.abort()

    def is_closing(self) -> bool:
        """Say whether the connection is closed or about to be."""
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        """Hand on nothing until reading is resumed."""
        self._wants_reading = False
        self._update_reading()

    def resume_reading(self) -> None:
        """Hand on what arrives again."""
        self._wants_reading = True
        self._update_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about TLS (ssl_object, tls_version, server_name, truncated) or about the TCP connection."""
        if name == "tls_version":  # every request asks
            return self._version or self._learn_version()
        match name:
            case "peername" if self._peername is not None:
                return self._peername
            case "raw_transport":
                return self._raw
            case "server_name":
                return self._server_name
            case "ssl_object":
                return self._stream.tls
            case "truncated":
                return self._truncated
            case _:
                return self._raw.get_extra_info(name, default)

    # --- between the two

    def _learn_version(self) -> str:
        self._version = sys.intern(self._stream.tls.version() or "")
        return self._version

    def _send_answers(self) -> None:
        """Send what OpenSSL says by itself; when it cannot go out, read no more of what it would answer."""
        answers = self._stream.take_answers()
        if not answers:
            return
        if self._prefix is not None:
            self._prefix += answers
            self._drain()
        elif not self._notified and not self._raw.is_closing():
            self._raw.write(answers)
        if self._raw_paused:
            self._answers_stuck = True
            self._update_reading()

    def _take_end(self) -> None:
        """Act on the end of the stream, whether by close_notify or by an error."""
        if self._stream.error is not None:
            self._break(self._stream.error)
        elif not self._input_ended:
            self._input_ended = True
            if not self._app.eof_received():
                self.close()

    def _break(self, error: TlsStreamError) -> None:
        """End a connection whose stream is broken; the alert is on its way."""
        self._stream.error = error
        self._mark_closed()
        if self._raw.is_closing():
            return
        if self._prefix:
            self._raw.write(self._prefix)
        self._prefix = None
        if self._raw_paused:
            self._raw.abort()  # it takes nothing; the alert could wait for ever
        else:
            self._raw.close()

    def _mark_closed(self) -> None:
        self._closing = self._output_ended = self._input_ended = True
        self._flowing = False

    def _update_reading(self) -> None:
        reading = self._wants_reading and not self._answers_stuck
        if reading is not self._reading and not self._raw.is_closing():
            self._reading = reading
            if reading:
                self._raw.resume_reading()
            else:
                self._raw.pause_reading()
