"""The sending half of a TLS transport.

Theory of operation.  In the usual case a write is encrypted and handed to the TCP transport at once (``_flowing``).
Above the TCP transport's high-water mark what the application writes stays unencrypted in ``_backlog`` (by reference:
one cached object on its way to many slow readers is one object), and goes on when the mark falls.  So what a slow
reader costs is the mark, one step of encryption above it, and what the application wrote although it was told to
pause.  Records leave in the order in which they were encrypted, which the peer checks: nothing is encrypted while
older records have not been handed on.

What a connection sends first is collected (``_prefix``) until the event loop's turn ends: session tickets, the first
response and close_notify then leave in one write, and each write is a system call and a packet.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Final

from proxy.downstream.tls_records import RECORD_SIZE
from proxy.downstream.tls_stream import TlsStream, TlsStreamError

#: Content that is encrypted in one step.
WRITE_STEP: Final = 2 * RECORD_SIZE
#: What is left of a backlog leaves with the step before it when it is no more than this: a system call costs more.
_TAIL: Final = RECORD_SIZE
#: What may lie above the high-water mark: a step, a tail, and their framing.
MOST_ABOVE_MARK: Final = WRITE_STEP + _TAIL + 1024
NOBODY: Final = asyncio.Protocol()

_Octets = bytes | bytearray | memoryview
#: ``call_soon`` of the event loop.
Soon = Callable[[Callable[[], object]], object]


class TlsSending(asyncio.Transport):
    """Encrypts what the application writes, within the TCP transport's bounds."""

    __slots__ = (
        "_app",
        "_app_paused",
        "_backlog",
        "_backlog_size",
        "_closing",
        "_flowing",
        "_notified",
        "_output_ended",
        "_prefix",
        "_raw",
        "_raw_paused",
        "_soon",
        "_stream",
    )

    def __init__(self, raw: asyncio.Transport, stream: TlsStream, soon: Soon) -> None:
        self._raw = raw
        self._stream = stream
        self._soon: Soon | None = soon  # None once it has been asked
        self._app: asyncio.Protocol = NOBODY
        self._flowing = True  # the short way is open: no pause, no backlog, no end
        self._backlog: list[memoryview] | None = None  # None unless there is something to drain
        self._backlog_size = 0
        self._prefix: bytes | None = None  # records that wait for the end of the loop's turn
        self._raw_paused = False
        self._app_paused = False
        self._output_ended = False  # by write_eof or close; the backlog may still be on its way
        self._notified = False  # close_notify is sent
        self._closing = False

    # --- what the application calls

    def write(self, data: _Octets) -> None:
        """Encrypt and send, or keep for later above the high-water mark."""
        if self._flowing and 0 < len(data) <= WRITE_STEP:
            try:
                self._raw.write(self._stream.send(data))
            except TlsStreamError as exc:
                self._break(exc)
            return
        if (
            self._prefix is not None
            and not self._backlog
            and 0 < len(data) <= RECORD_SIZE
            and not self._output_ended
        ):
            self._write_with_prefix(data)
        else:
            self._write_behind((data,))

    def writelines(self, list_of_data: Iterable[_Octets]) -> None:
        """Send several pieces: as one record when they are small, else in as few system calls as possible."""
        pieces = list(list_of_data)
        if sum(map(len, pieces)) <= RECORD_SIZE:
            self.write(b"".join(pieces))
        else:
            self._write_behind(pieces)

    def can_write_eof(self) -> bool:
        """Say that the TCP stream can be ended in one direction."""
        return True

    def write_eof(self) -> None:
        """Send what is left, close_notify and FIN; go on reading."""
        if not self._output_ended:
            self._output_ended = True
            self._flowing = False
            self._finish()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in octets on the wire, at which writing pauses and resumes."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Count the octets that are not yet with the kernel."""
        return self._backlog_size + self._raw.get_write_buffer_size()

    # --- what the TCP transport calls

    def pause_writing(self) -> None:
        """Keep what is written from now on in the backlog."""
        self._raw_paused = True
        self._flowing = False
        if not self._app_paused:
            self._app_paused = True
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """Go on with the backlog; tell the application once it is empty."""
        self._raw_paused = False
        self._drain()

    # --- between the two

    def _write_with_prefix(self, data: _Octets) -> None:
        try:
            self._prefix = (self._prefix or b"") + self._stream.send(data)
        except TlsStreamError as exc:
            self._break(exc)
            return
        if len(self._prefix) >= WRITE_STEP:
            self._drain()
        else:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._soon is not None:
            self._soon(self._flush)
            self._soon = None

    def _flush(self) -> None:
        """Send what was collected, if it has not left already."""
        self._soon = None
        if self._prefix is not None:
            self._drain()

    def _finish(self) -> None:
        """Go on to the end of our direction, unless something else waits for the client."""
        if self._prefix is not None:
            self._drain()
        elif self._backlog is None:
            self._finish_drain(b"")

    def _write_behind(self, pieces: Iterable[_Octets]) -> None:
        """Put pieces behind what waits already, and send what can be sent."""
        if self._output_ended:
            return
        if self._backlog is None:
            self._backlog = []
        for piece in pieces:
            if len(piece):
                self._backlog.append(memoryview(piece))
                self._backlog_size += len(piece)
        if self._flowing or (self._prefix is not None and self._backlog_size > WRITE_STEP):
            self._flowing = False
            self._drain()
        elif self._prefix is not None:
            self._flush_soon()

    def _drain(self) -> None:
        """Encrypt the backlog until it is empty or the high-water mark is reached again."""
        backlog = self._backlog
        records, self._prefix = self._prefix or b"", None
        while backlog and not self._raw_paused and not self._raw.is_closing():
            piece = self._next_piece(backlog)
            try:
                records += self._stream.send(piece)
            except TlsStreamError as exc:
                self._prefix = records
                self._break(exc)
                return
            if len(records) >= WRITE_STEP and self._backlog_size > _TAIL:
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

    @abstractmethod
    def _break(self, error: TlsStreamError) -> None:
        """End a connection whose stream is broken."""
