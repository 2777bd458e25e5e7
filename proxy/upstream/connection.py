"""One connection to an app speaking HTTP/1.1: a request out, its response in, one at a time (RFC 9112).

Theory of operation.  All work happens in the transport's callbacks.  Whoever sends a request is the
connection's ``handler`` until the response is whole or has failed, and learns of it by synchronous calls.
The connection belongs to a pool; it goes back there only when nothing about the exchange leaves a doubt: the
response was complete, framed by itself, without surplus octets, the request was sent whole, and neither side
asked to close.
"""

import asyncio
import ssl
from typing import Final, cast

from proxy.config.schema import Timeouts
from proxy.deadlines import NEVER
from proxy.errors import (
    FirstByteTimeoutError,
    MessageError,
    ReadTimeoutError,
    TlsFailureError,
    UpstreamResetError,
)
from proxy.http1.body import CloseDecoder
from proxy.upstream.handler import ResponseHandler
from proxy.upstream.reading import CLOSED, CONTENT, HEAD, IDLE, TUNNEL, ResponseReader

#: How long an app may take for what is still to be sent through a tunnel that has ended (seconds).
LAST_WORDS_SECONDS: Final = 30.0


class UpstreamConnection(ResponseReader):
    """The client's side of one HTTP/1.1 connection to an app."""

    __slots__ = ()

    # --- used by the pool and by whoever sends

    def begin(
        self,
        handler: ResponseHandler,
        octets: bytes,
        timeouts: Timeouts,
        now: float,
        is_head: bool,
        complete: bool,
        upgrade: bool,
    ) -> None:
        """Send a request (head and the content at hand); ``now`` is the loop's clock.

        The wait for the response counts from the moment when the request is complete.
        """
        self._handler = handler
        self._is_head = is_head
        self._upgrade = upgrade
        self._state = HEAD
        self._interim = 0
        self.octets = 0
        self._request_complete = complete
        self.keepalive = timeouts.keepalive_upstream
        self._timeouts = timeouts
        self._expire_at(now + timeouts.first_byte)
        self._transport.write(octets)

    def send(self, octets: bytes) -> None:
        """Send more of the request, or octets of a tunnel."""
        if self._state is not CLOSED:
            self._transport.write(octets)

    def request_sent(self) -> None:
        """Note that the request is complete: the response head is due ``first_byte`` seconds from now."""
        self._request_complete = True
        self.extend()

    def extend(self) -> None:
        """Push the deadline out: the request's content is still on its way."""
        if self._state is HEAD and self.deadline != NEVER:
            self._wait(self._timeouts.first_byte)

    def pause(self) -> None:
        """Read no more of the response for now; the wait for the client is not the app's fault."""
        if self._state is not CLOSED:
            self.is_paused = True
            self._transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """Go on reading."""
        if self._state is not CLOSED:
            self.is_paused = False
            self._transport.resume_reading()
            if self._state is CONTENT:
                self._wait(self._read_timeout)
            elif self._state is HEAD:
                self._wait(self._timeouts.first_byte)

    def cancel(self) -> None:
        """Give the exchange up: the connection is of no use any more."""
        self._handler = None
        self.close()

    def close(self) -> None:
        """Close the connection and take it from the pool."""
        if self._state is not CLOSED:
            self._state = CLOSED
            self._transport.abort()

    def end_tunnel(self) -> bool:
        """Pass on that the client has sent all it will; False where the transport cannot say so by itself (TLS)."""
        if self._state is not TUNNEL or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        return True

    def finish_tunnel(self) -> None:
        """Close the tunnel when all octets are sent, which the app has to take soon."""
        self._handler = None
        if self._state is not CLOSED:
            self._state = CLOSED
            self._transport.close()
            self._wait(LAST_WORDS_SECONDS)

    def is_usable(self) -> bool:
        """Say whether a request may be sent."""
        return self._state is IDLE and not self._transport.is_closing()

    def wait_idle(self, now: float) -> None:
        """Close unless used within the time that the last request has named."""
        self.idle_since = now
        self._expire_at(now + self.keepalive)

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the pool hands the connection to whoever waits for it."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, if there is one, and the pool."""
        state, self._state = self._state, CLOSED
        self.deadline = NEVER
        self.pool.wheel.discard(self)
        self.pool.lost(self)
        handler, self._handler = self._handler, None
        if handler is None:
            return
        if state is TUNNEL:
            handler.tunnel_closed()
        elif state is CONTENT and isinstance(self._decoder, CloseDecoder) and exc is None:
            handler.response_complete(())
        elif isinstance(exc, ssl.SSLError):
            handler.response_failed(TlsFailureError(str(exc)))
        else:
            handler.response_failed(UpstreamResetError(f"{self.address}: closed after {self.octets} bytes"))

    def eof_received(self) -> bool:
        """Relay the end of one direction of a tunnel; anywhere else an end is the end."""
        if self._state is TUNNEL and self._handler is not None:
            self._handler.tunnel_ended()
            return self._state is TUNNEL and self._transport.can_write_eof()
        return False

    def pause_writing(self) -> None:
        """Stop the request's content: the app does not take it."""
        self._write_paused = True
        if self._handler is not None:
            self._handler.upstream_paused()

    def resume_writing(self) -> None:
        """Go on with the request's content."""
        self._write_paused = False
        if self._handler is not None:
            self._handler.upstream_resumed()

    def data_received(self, data: bytes) -> None:
        """Take octets of the response."""
        if self._state is HEAD:
            self.octets += len(data)
            try:
                if self._partial is not None:
                    whole = self._partial.add(data)
                    if whole is None:
                        return
                    self._partial = None
                    data = whole
                self._heads(data)
            except MessageError as error:
                self._invalid(error)
        elif self._state is CONTENT:
            self.octets += len(data)
            self.deadline = self.pool.loop.time() + self._read_timeout
            self._content(data)
        elif self._state is TUNNEL:
            if self._handler is not None:
                self._handler.tunnel_octets(data)
        elif self._state is IDLE:
            self.close()  # nobody asked: such octets could pass for the next response

    def _settle(self, surplus: bool) -> None:
        """End the exchange on this side, before the handler hears of it: it may want the connection again at once."""
        self._handler = None
        self._decoder = None
        self.deadline = NEVER
        if self._keep and not surplus and not self._write_paused and not self._transport.is_closing():
            self._state = IDLE
            if self.is_paused:
                # The last octets have filled the client's buffer: it is nothing to the next request.
                self.is_paused = False
                self._transport.resume_reading()
            self.pool.give_back(self)
        else:
            self.close()

    # --- deadlines

    def deadline_reached(self, now: float) -> None:
        """End what has waited too long (called by the wheel)."""
        state = self._state
        handler, self._handler = self._handler, None
        self._state = CLOSED
        self._transport.abort()
        if handler is None:
            return
        if state is HEAD:
            handler.response_failed(FirstByteTimeoutError(f"{self.address}: no response head in time"))
        else:
            handler.response_failed(ReadTimeoutError(f"{self.address}: stopped after {self.octets} bytes"))
