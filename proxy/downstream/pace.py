"""The times of a client connection, and its end.

Every wait stands under ``deadline`` (seconds, loop clock), which the wheel looks at; what it means is in
``_waiting_for``.  A client that takes nothing, or takes less than ``min_rate``, is cut off; one that reads
its last answer slowly is left in peace for as long as it does read.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from abc import abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from proxy.deadlines import NEVER, TICK
from proxy.downstream.sending import Sending
from proxy.errors import MessageError
from proxy.exchange import Exchange
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

#: How long (seconds) and how much (octets) is read after a refusal, so that a reset does not eat the answer.
LINGER_SECONDS: Final = 2.0
LINGER_OCTETS: Final = 1024 * 1024
#: How often a client that takes nothing is looked at (seconds).
SEND_CHECK: Final = 5.0
#: A client that has shut down its sending side gets this long for its answer, and for each further piece of it
#: (seconds): some tools do, and then read.
HALF_CLOSED_SECONDS: Final = 5.0
#: What the log says of a request whose client left before the response began (nginx's 499).
CLIENT_CLOSED: Final = 499
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class WaitingFor(Enum):
    """What a connection's deadline is about."""

    HEAD = "head"
    IDLE = "idle"
    CONTENT = "content"
    RESPONSE = "response"
    TUNNEL = "tunnel"
    LINGER = "linger"


#: The members that every request meets: a look into the enumeration takes as long as three calls.
HEAD: Final = WaitingFor.HEAD
IDLE: Final = WaitingFor.IDLE
CONTENT: Final = WaitingFor.CONTENT
RESPONSE: Final = WaitingFor.RESPONSE
TUNNEL: Final = WaitingFor.TUNNEL


class PacedConnection(asyncio.Protocol):
    """A connection whose waits end in time."""

    __slots__ = (
        "_closing",
        "_discarded",
        "_ended",
        "_exchange",
        "_listener",
        "_paused_reading",
        "_sending",
        "_sent_seen",
        "_transport",
        "_waiting_for",
        "_write_paused",
        "deadline",
        "filed_tick",
    )

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._exchange: Exchange | None = None
        self._waiting_for: WaitingFor = HEAD
        self._paused_reading = False
        self._write_paused = False
        self._closing = False  # nothing that arrives counts any more
        self._ended = False  # the client sends no more
        self._discarded = 0
        self._sending: Sending | None = None  # most clients are never waited for
        self._sent_seen = 0
        self.deadline = NEVER
        self.filed_tick = 0

    @abstractmethod
    def _refuse(self, error: MessageError) -> None:
        """Answer what is no request, or not in time, and close."""

    @abstractmethod
    def _fail_content(self, error: MessageError) -> None:
        """Refuse a request in the middle of its content."""

    @abstractmethod
    def _has_begun_head(self) -> bool:
        """Say whether a part of a request head has arrived."""

    # --- deadlines

    def _wait(self, reason: WaitingFor, seconds: float) -> None:
        self._waiting_for = reason
        if seconds == NEVER:
            self.deadline = NEVER
            return
        self.deadline = deadline = self._listener.loop.time() + seconds
        filed = self.filed_tick
        if not filed or filed * TICK > deadline + TICK:
            self._listener.wheel.file(self)

    def _timeout_of(self, reason: WaitingFor) -> float:
        exchange = self._exchange
        if exchange is not None and exchange.route is not None:
            timeouts = exchange.route.timeouts
        else:
            timeouts = self._listener.pipeline.snapshot.timeouts
        if reason is CONTENT:
            return timeouts.body
        if reason is TUNNEL:
            return timeouts.upgraded_idle
        if reason is IDLE:
            return timeouts.idle
        return timeouts.head if reason is HEAD else NEVER

    def deadline_reached(self, now: float) -> None:
        """End what has waited too long (called by the wheel)."""
        sending = self._sending
        if sending is not None and (
            self._write_paused or (self._waiting_for is WaitingFor.LINGER and self._unsent())
        ):
            self._check_sending(sending, now)
            return
        match self._waiting_for:
            case WaitingFor.HEAD | WaitingFor.IDLE:
                self._head_too_late()
            case WaitingFor.CONTENT:
                self._content_too_late()
            case WaitingFor.RESPONSE if self._has_sent_more():
                self._wait(WaitingFor.RESPONSE, HALF_CLOSED_SECONDS)
            case WaitingFor.RESPONSE | WaitingFor.TUNNEL:
                self._drop_exchange()
                self._close_transport()
            case WaitingFor.LINGER:
                self._transport.abort()

    def _has_sent_more(self) -> bool:
        """Say whether content went out since the last look: a client that is gone would have reset by now."""
        exchange = self._exchange
        if exchange is None or exchange.sent == self._sent_seen:
            return False
        self._sent_seen = exchange.sent
        return True

    def _head_too_late(self) -> None:
        if not self._has_begun_head():
            self._close_transport()
            return
        self._listener.counters.add(counters.HEAD_TIMEOUTS)
        self._refuse(MessageError("head-timeout", "the request head did not arrive in time", 408))

    def _content_too_late(self) -> None:
        self._listener.counters.add(counters.BODY_TIMEOUTS)
        if self._exchange is None or self._exchange.receiver is None:
            self._start_lingering()
        else:
            self._fail_content(
                MessageError("body-timeout", "the request content did not arrive in time", 408)
            )

    def _drop_exchange(self) -> None:
        """End the exchange whose client is gone, or has to go."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.receiver is not None:
            exchange.receiver.client_gone()
        if not exchange.head_sent:
            exchange.status = CLIENT_CLOSED
        if not exchange.error and exchange.status != 101:
            exchange.error = "client-gone"
        self._listener.pipeline.completed(exchange)

    # --- a client that does not take what it asked for

    def _unsent(self) -> int:
        """Count the octets that the client has not taken: ours and the kernel's."""
        waiting = self._transport.get_write_buffer_size()
        sock: Any = self._transport.get_extra_info("socket")
        if sock is not None:
            try:
                waiting += struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
            except OSError:
                return waiting
        return waiting

    def _watch_sending(self) -> None:
        """Measure from now on how fast the client takes what is queued for it."""
        sending = self._sending
        if sending is None:
            sending = self._sending = Sending()
        exchange = self._exchange
        started = exchange.started if exchange is not None else 0
        sending.stopped(started, self._listener.loop.time(), self._transport.get_write_buffer_size())

    def _sending_resumed(self) -> None:
        """Note that the client has taken enough to go on."""
        sending = self._sending
        if sending is not None:
            # Only a wait that was looked at has to ask the kernel, which is a system call.
            unsent = self._unsent() if sending.was_looked_at else 0
            sending.resumed(self._listener.loop.time(), self._transport.get_write_buffer_size(), unsent)

    def _check_sending(self, sending: Sending, now: float) -> None:
        """Cut off a client that takes nothing for ``send``, or less than ``min_rate`` for long."""
        sending.look(now, self._transport.get_write_buffer_size(), self._unsent())
        exchange = self._exchange
        if exchange is not None and exchange.route is not None:
            send, rate = exchange.route.timeouts.send, exchange.route.limits.min_rate
        else:
            snapshot = self._listener.pipeline.snapshot
            send, rate = snapshot.timeouts.send, snapshot.limits.min_rate
        stalled = sending.has_stalled(now, send)
        if stalled or sending.is_too_slow(now, rate):
            self._listener.counters.add(counters.SEND_TIMEOUTS if stalled else counters.TOO_SLOW)
            self._reset()
            return
        self.deadline = min(now + SEND_CHECK, sending.progress + send)
        self._listener.wheel.file(self)

    # --- endings

    def _close_transport(self) -> None:
        """Close when everything is sent, as long as the client takes it."""
        self._closing = True
        self._transport.close()
        self._watch_sending()
        self._wait(WaitingFor.LINGER, LINGER_SECONDS)

    def _close_at_once(self) -> None:
        """Close after a small answer to a client that sends no more: nothing can arrive that a reset would answer.

        A new connection costs a tenth less so than with the wait for the client's end that lingering is.
        """
        self._closing = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._listener.pipeline.completed(exchange)
        self._transport.close()
        if self._transport.get_write_buffer_size():  # TLS had collected more than the kernel takes
            self._watch_sending()
            self._wait(WaitingFor.LINGER, LINGER_SECONDS)

    def _start_lingering(self) -> None:
        """Close so that a client which is still sending can read its answer (RFC 9112 section 9.6)."""
        self._closing = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._listener.pipeline.completed(exchange)
        self._discarded = 0
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        if self._transport.can_write_eof() and not self._ended:
            self._transport.write_eof()
        else:
            self._transport.close()
        self._watch_sending()
        self._wait(WaitingFor.LINGER, LINGER_SECONDS)

    def _linger_on(self, octets: int) -> None:
        """Drop what arrives after the answer, up to a bound."""
        self._discarded += octets
        if self._discarded > LINGER_OCTETS:
            self._transport.abort()

    def _reset(self) -> None:
        """Close so that the client notices that its response is not whole."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()
