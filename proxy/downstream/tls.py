"""TLS between a TCP transport and an application protocol.

``TlsTransport`` is the protocol of the TCP transport and the transport of the application; ``TlsStream`` does the
cryptography in between, and never keeps octets of either side.

Writing is bounded by the TCP transport's high-water mark.  When it is reached, what the application has written
stays unencrypted in ``_backlog`` (by reference: one cached object on its way to many slow readers is one object),
and goes on when the mark falls.  Reading goes on meanwhile, as it does without TLS, unless OpenSSL itself answers
what is read (KeyUpdate): such answers have no other bound.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from proxy.downstream.tls_records import RECORD_SIZE
from proxy.downstream.tls_stream import TlsStream, TlsStreamError, TlsTruncatedError

#: Content that is encrypted in one step, hence what may lie above the high-water mark.
WRITE_STEP: Final = 2 * RECORD_SIZE
_NOBODY: Final = asyncio.Protocol()

_Octets = bytes | bytearray | memoryview


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One established TLS connection.

    ``close`` sends what is left, then close_notify. ``write_eof`` sends the same and ends the TCP stream in our
    direction alone, so that a client which is still sending can read its answer (RFC 9112 section 9.6).
    """

    __slots__ = (
        "_answers_stuck",
        "_app",
        "_app_paused",
        "_backlog",
        "_backlog_size",
        "_closing",
        "_flowing",
        "_input_ended",
        "_notified",
        "_output_ended",
        "_peername",
        "_prefix",
        "_raw",
        "_raw_paused",
        "_reading",
        "_server_name",
        "_stream",
        "_truncated",
        "_wants_reading",
    )

    def __init__(
        self, raw: asyncio.Transport, stream: TlsStream, server_name: str | None, peername: object = None
    ) -> None:
        """Take over ``raw`` after the handshake; ``peername``, when given, stands for the TCP peer's."""
        self._raw = raw
        self._stream = stream
        self._server_name = server_name
        self._peername = peername
        self._app: asyncio.Protocol = _NOBODY
        self._backlog: list[memoryview] | None = None  # None unless there is something to drain
        self._backlog_size = 0
        self._prefix: bytes | None = None  # records that wait for what will be written while ``start`` runs
        self._flowing = True  # the short way for writes is open: no pause, no backlog, no end
        self._raw_paused = False
        self._app_paused = False
        self._wants_reading = True
        self._answers_stuck = False  # OpenSSL's own answers could not go out
        self._reading = True  # the TCP transport is
        self._input_ended = False  # by the peer or by close
        self._truncated = False
        self._output_ended = False  # by write_eof or close; the backlog may still be on its way
        self._notified = False  # close_notify is sent
        self._closing = False

    def start(self, application: asyncio.Protocol, received: bytes) -> None:
        """Begin to serve the application, first with what came along with the end of the handshake.

        What ends the handshake on our side (session tickets) leaves in one write with the response and close_notify,
        if they are there at once: each write is a system call.
        """
        self._raw.set_protocol(self)
        self._app = application
        self._flowing = False
        self._backlog = []
        self._prefix = self._stream.take_answers()
        application.connection_made(self)
        if received:
            self.data_received(received)
        if self._prefix is not None:
            self._drain()

    # --- what the TCP transport calls

    def data_received(self, data: bytes) -> None:
        """Decrypt what arrived and hand it on."""
        if self._input_ended:
            return
        stream = self._stream
        content = stream.receive(data)
        if stream.eventful:
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
        application, self._app = self._app, _NOBODY
        self._mark_closed()
        self._backlog = None
        self._backlog_size = 0
        if self._stream.error is not None:
            exc = self._stream.error
        elif self._truncated:
            exc = TlsTruncatedError("the client ended the TCP stream without close_notify")
        application.connection_lost(exc)

    def pause_writing(self) -> None:
        """Keep what is written from now on in the backlog."""
        self._raw_paused = True
        self._flowing = False
        if not self._app_paused:
            self._app_paused = True
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """Go on with the backlog; tell the application once it is empty."""
        self._raw_paused = self._answers_stuck = False
        self._update_reading()
        self._drain()

    # --- what the application calls

    def write(self, data: _Octets) -> None:
        """Encrypt and send, or keep for later above the high-water mark."""
        if self._flowing and 0 < len(data) <= WRITE_STEP:
            try:
                self._raw.write(self._stream.send(data))
            except TlsStreamError as exc:
                self._break(exc)
            return
        if not len(data) or self._output_ended:
            return
        if self._backlog is None:
            self._backlog = []
        self._backlog.append(memoryview(data))
        self._backlog_size += len(data)
        if self._flowing or (self._prefix is not None and self._backlog_size > WRITE_STEP):
            self._flowing = False
            self._drain()

    def writelines(self, list_of_data: Iterable[_Octets]) -> None:
        """Send several pieces, as one record when they are small."""
        pieces = list(list_of_data)
        if sum(map(len, pieces)) <= RECORD_SIZE:
            self.write(b"".join(pieces))
            return
        for piece in pieces:
            self.write(piece)

    def can_write_eof(self) -> bool:
        """Say that the TCP stream can be ended in one direction."""
        return True

    def write_eof(self) -> None:
        """Send what is left, close_notify and FIN; go on reading."""
        if not self._output_ended:
            self._output_ended = True
            self._flowing = False
            if self._backlog is None:
                self._finish_drain(b"")

    def close(self) -> None:
        """Send what is left and close_notify, then close; nothing that arrives counts any more."""
        if not self._closing:
            self._mark_closed()
            if self._backlog is None:
                self._finish_drain(b"")

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

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in octets on the wire, at which writing pauses and resumes."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Count the octets that are not yet with the kernel."""
        return self._backlog_size + self._raw.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about TLS (ssl_object, tls_version, server_name, truncated) or about the TCP connection."""
        match name:
            case "peername" if self._peername is not None:
                return self._peername
            case "server_name":
                return self._server_name
            case "ssl_object":
                return self._stream.tls
            case "tls_version":
                return self._stream.tls.version()
            case "truncated":
                return self._truncated
            case _:
                return self._raw.get_extra_info(name, default)

    # --- between the two

    def _send_answers(self) -> None:
        """Send what OpenSSL says by itself; when it cannot go out, read no more of what it would answer."""
        answers = self._stream.take_answers()
        if self._prefix is not None:
            self._prefix += answers  # records must leave in the order in which they were encrypted
        elif answers and not self._notified and not self._raw.is_closing():
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

    def _drain(self) -> None:
        """Encrypt the backlog until it is empty or the high-water mark is reached again."""
        backlog = self._backlog
        records, self._prefix = self._prefix or b"", None
        while backlog and not self._raw_paused and not self._raw.is_closing():
            piece = self._next_piece(backlog)
            try:
                records += self._stream.send(piece)
            except TlsStreamError as exc:
                self._break(exc)
                return
            if len(records) >= WRITE_STEP:
                self._raw.write(records)
                records = b""
        self._finish_drain(records)

    def _next_piece(self, backlog: list[memoryview]) -> memoryview:
        piece = backlog[0]
        if len(piece) > WRITE_STEP:
            backlog[0] = piece[WRITE_STEP:]
            piece = piece[:WRITE_STEP]
        else:
            del backlog[0]  # few: whoever writes heeds pause_writing
        self._backlog_size -= len(piece)
        return piece

    def _finish_drain(self, records: bytes) -> None:
        """Send the last records, close_notify with them where all ends, and open the short way otherwise."""
        raw = self._raw
        ends = self._output_ended and not self._backlog and not self._notified
        if ends:
            self._notified = True
            records += self._stream.close()
        if records and not raw.is_closing():
            raw.write(records)
        if self._backlog or raw.is_closing():
            return
        self._backlog = None
        if self._closing:
            raw.close()
        elif ends:
            raw.write_eof()
        self._flowing = not self._raw_paused and not self._output_ended
        if self._app_paused and not self._raw_paused:
            self._app_paused = False
            self._app.resume_writing()
