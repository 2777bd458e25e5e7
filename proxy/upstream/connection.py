"""One connection to an app speaking HTTP/1.1: a request out, its response in, one at a time (RFC 9112).

Theory of operation.  All work happens in the transport's callbacks.  Whoever sends a request is the
connection's ``handler`` until the response is whole or has failed, and learns of it by synchronous calls.
The connection belongs to a pool; it goes back there only when nothing about the exchange leaves a doubt: the
response was complete, framed by itself, without surplus octets, the request was sent whole, and neither side
asked to close.
"""

import asyncio
import ssl
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, cast

from proxy.config.schema import Timeouts
from proxy.deadlines import NEVER, TICK
from proxy.errors import (
    FirstByteTimeoutError,
    GatewayError,
    InvalidResponseError,
    MessageError,
    ReadTimeoutError,
    TlsFailureError,
    UpstreamResetError,
)
from proxy.http1.body import BodyDecoder, ChunkedDecoder, CloseDecoder, LengthDecoder
from proxy.http1.partial import PartialHead
from proxy.http1.response import (
    MAX_RESPONSE_HEAD,
    Framing,
    ResponseFields,
    StatusLine,
    parse_response_fields,
    parse_status_line,
    persists,
    response_framing,
)
from proxy.semantics.fields import FieldLine

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool

#: 1xx responses before one final response; an app that sends more is broken.
MAX_INTERIM: Final = 32
#: How long an app may take for what is still to be sent through a tunnel that has ended (seconds).
LAST_WORDS_SECONDS: Final = 30.0


class ResponseHandler(Protocol):
    """Who waits for a response."""

    def interim_response(self, status: StatusLine, fields: ResponseFields) -> None:
        """Take a 1xx response other than 101."""
        ...

    def response_head(
        self, status: StatusLine, fields: ResponseFields, framing: Framing, content: bytes, *, complete: bool
    ) -> None:
        """Take the final response's head, with the content that came along; ``complete`` when that is all of it."""
        ...

    def response_content(self, content: bytes) -> None:
        """Take the next octets of content."""
        ...

    def response_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """Learn that the content is complete."""
        ...

    def switched(self, fields: ResponseFields, octets: bytes) -> None:
        """Learn that the app switched protocols (101); ``octets`` already belong to the new one."""
        ...

    def tunnel_octets(self, octets: bytes) -> None:
        """Take octets of the protocol that was switched to."""
        ...

    def tunnel_ended(self) -> None:
        """Learn that the app will send nothing more through the tunnel."""
        ...

    def tunnel_closed(self) -> None:
        """Learn that the tunnel is gone."""
        ...

    def response_failed(self, error: GatewayError) -> None:
        """Learn that there will be no (further) response."""
        ...

    def upstream_paused(self) -> None:
        """Send no more request content for now."""
        ...

    def upstream_resumed(self) -> None:
        """Go on sending request content."""
        ...


class State(Enum):
    """What the connection is doing."""

    IDLE = "idle"
    HEAD = "waiting for a response head"
    CONTENT = "receiving content"
    TUNNEL = "tunnel"
    CLOSED = "closed"


class UpstreamConnection(asyncio.Protocol):
    """The client's side of one HTTP/1.1 connection to an app."""

    __slots__ = (
        "_decoder",
        "_first_byte",
        "_handler",
        "_interim",
        "_keep",
        "_method",
        "_partial",
        "_read_timeout",
        "_request_complete",
        "_state",
        "_transport",
        "_upgrade",
        "_write_paused",
        "address",
        "deadline",
        "filed_tick",
        "idle_since",
        "keepalive",
        "octets",
        "pool",
        "reused",
    )

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.address = pool.label
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._handler: ResponseHandler | None = None
        self._state = State.IDLE
        self._partial: PartialHead | None = None
        self._decoder: BodyDecoder | None = None
        self._method = b""
        self._upgrade = False
        self._interim = 0
        self._keep = False
        self._request_complete = True
        self._first_byte = 0.0
        self._read_timeout = 0.0
        self._write_paused = False
        self.keepalive = 1.0  # how long it may be idle, seconds; as the last request's route says
        self.octets = 0  # of the current response, head included
        self.reused = False
        self.idle_since = 0.0
        self.deadline = NEVER
        self.filed_tick = 0

    # --- used by the pool and by whoever sends

    def begin(
        self,
        handler: ResponseHandler,
        method: bytes,
        octets: bytes,
        *,
        complete: bool,
        upgrade: bool,
        timeouts: Timeouts,
    ) -> None:
        """Send a request (head and the content at hand).

        The wait for the response counts from the moment when the request is complete.
        """
        self._handler = handler
        self._method = method
        self._upgrade = upgrade
        self._state = State.HEAD
        self._interim = 0
        self.octets = 0
        self._request_complete = complete
        self.keepalive = timeouts.keepalive_upstream
        self._read_timeout = timeouts.read
        self._first_byte = timeouts.first_byte
        self._expire_at(self.pool.loop.time() + timeouts.first_byte)
        self._transport.write(octets)

    def send(self, octets: bytes) -> None:
        """Send more of the request, or octets of a tunnel."""
        if self._state is not State.CLOSED:
            self._transport.write(octets)

    def request_sent(self) -> None:
        """Note that the request is complete: the response head is due ``first_byte`` seconds from now."""
        self._request_complete = True
        self.extend()

    def extend(self) -> None:
        """Push the deadline out: the request's content is still on its way."""
        if self._state is State.HEAD and self.deadline != NEVER:
            self._wait(self._first_byte)

    def pause(self) -> None:
        """Read no more of the response for now; the wait for the client is not the app's fault."""
        if self._state is not State.CLOSED:
            self._transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """Go on reading."""
        if self._state is not State.CLOSED:
            self._transport.resume_reading()
            if self._state is State.CONTENT:
                self._wait(self._read_timeout)
            elif self._state is State.HEAD:
                self._wait(self._first_byte)

    def cancel(self) -> None:
        """Give the exchange up: the connection is of no use any more."""
        self._handler = None
        self.close()

    def close(self) -> None:
        """Close the connection and take it from the pool."""
        if self._state is not State.CLOSED:
            self._state = State.CLOSED
            self._transport.abort()

    def end_tunnel(self) -> bool:
        """Pass on that the client has sent all it will; False where the transport cannot say so by itself (TLS)."""
        if self._state is not State.TUNNEL or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        return True

    def finish_tunnel(self) -> None:
        """Close the tunnel when all octets are sent, which the app has to take soon."""
        self._handler = None
        if self._state is not State.CLOSED:
            self._state = State.CLOSED
            self._transport.close()
            self._wait(LAST_WORDS_SECONDS)

    @property
    def is_usable(self) -> bool:
        """Say whether a request may be sent."""
        return self._state is State.IDLE and not self._transport.is_closing()

    def wait_idle(self, now: float) -> None:
        """Close unless used within the time that the last request has named."""
        self.idle_since = now
        self._expire_at(now + self.keepalive)

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the pool hands the connection to whoever waits for it."""
        self._transport = cast("asyncio.Transport", transport)
        self.pool.made()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, if there is one, and the pool."""
        state, self._state = self._state, State.CLOSED
        self.deadline = NEVER
        self.pool.wheel.discard(self)
        self.pool.lost(self)
        handler, self._handler = self._handler, None
        if handler is None:
            return
        if state is State.TUNNEL:
            handler.tunnel_closed()
        elif state is State.CONTENT and isinstance(self._decoder, CloseDecoder) and exc is None:
            handler.response_complete(())
        elif isinstance(exc, ssl.SSLError):
            handler.response_failed(TlsFailureError(str(exc)))
        else:
            handler.response_failed(UpstreamResetError(f"{self.address}: closed after {self.octets} bytes"))

    def eof_received(self) -> bool:
        """Relay the end of one direction of a tunnel; anywhere else an end is the end."""
        if self._state is State.TUNNEL and self._handler is not None:
            self._handler.tunnel_ended()
            return self._state is State.TUNNEL and self._transport.can_write_eof()
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
        if self._state is State.HEAD:
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
        elif self._state is State.CONTENT:
            self.octets += len(data)
            self.deadline = self.pool.loop.time() + self._read_timeout
            self._content(data)
        elif self._state is State.TUNNEL:
            if self._handler is not None:
                self._handler.tunnel_octets(data)
        elif self._state is State.IDLE:
            self.close()  # nobody asked: such octets could pass for the next response

    # --- reading a response

    def _heads(self, data: bytes) -> None:
        """Take interim heads and then the final one."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._partial = PartialHead(MAX_RESPONSE_HEAD, is_request=False)
                self._partial.add(data)
                return
            line_end = data.find(b"\r\n")
            status = parse_status_line(data[:line_end])
            section = data[line_end + 2 : end + 2]
            if len(section) > MAX_RESPONSE_HEAD:
                raise MessageError("head-too-large", "the header section is too large")
            fields = self.pool.response_memo.get(section)
            if fields is None:
                fields = parse_response_fields(section)
                self.pool.response_memo.put(section, fields)
            if status.status >= 200:
                self._final(status, fields, data, end + 4)
                return
            data = data[end + 4 :]
            if status.status == 101:
                self._switch(fields, data)
                return
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise MessageError("interim", "too many interim responses")
            if self._handler is not None:
                self._handler.interim_response(status, fields)
            if self._handler is None or not data:
                return

    def _final(self, status: StatusLine, fields: ResponseFields, data: bytes, position: int) -> None:
        framing = response_framing(self._method, status, fields)
        handler = self._handler
        if handler is None:
            return
        self._keep = self._request_complete and framing is not Framing.CLOSE and persists(status, fields)
        surplus = len(data) - position
        if framing is Framing.NONE:
            self._settle(surplus=surplus > 0)
            handler.response_head(status, fields, framing, b"", complete=True)
            return
        if framing is Framing.LENGTH and surplus >= fields.content_length:
            # The common case: the whole response in one packet.
            content = data[position : position + fields.content_length]
            self._settle(surplus=surplus > fields.content_length)
            handler.response_head(status, fields, framing, content, complete=True)
            return
        self._state = State.CONTENT
        self._decoder = _decoder_for(framing, fields.content_length)
        if fields.is_event_stream:
            self._read_timeout = NEVER
        self.deadline = self.pool.loop.time() + self._read_timeout
        if not surplus:
            handler.response_head(status, fields, framing, b"", complete=False)
            return
        self._head_with_content(handler, status, fields, framing, data[position:])

    def _head_with_content(
        self,
        handler: ResponseHandler,
        status: StatusLine,
        fields: ResponseFields,
        framing: Framing,
        rest: bytes,
    ) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        try:
            content, consumed = decoder.feed(rest)
        except MessageError as error:
            # The head was good and is out of date already: cut off behind it, as for a fault in later content.
            handler.response_head(status, fields, framing, b"", complete=False)
            self._invalid(error)
            return
        trailers = decoder.trailers
        if decoder.finished and not trailers:
            self._settle(surplus=consumed < len(rest))
            handler.response_head(status, fields, framing, content, complete=True)
            return
        handler.response_head(status, fields, framing, content, complete=False)
        if decoder.finished and self._handler is handler:
            self._settle(surplus=consumed < len(rest))
            handler.response_complete(trailers)

    def _content(self, data: bytes) -> None:
        decoder, handler = self._decoder, self._handler
        if decoder is None or handler is None:
            self.close()
            return
        try:
            content, consumed = decoder.feed(data)
        except MessageError as error:
            self._invalid(error)
            return
        if content:
            handler.response_content(content)
        if decoder.finished and self._handler is handler:
            self._settle(surplus=consumed < len(data))
            handler.response_complete(decoder.trailers)

    def _settle(self, *, surplus: bool) -> None:
        """End the exchange on this side, before the handler hears of it: it may want the connection again at once."""
        self._handler = None
        self._decoder = None
        self.deadline = NEVER
        if self._keep and not surplus and not self._write_paused and not self._transport.is_closing():
            self._state = State.IDLE
            self.pool.give_back(self)
        else:
            self.close()

    def _switch(self, fields: ResponseFields, octets: bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        if not self._upgrade:
            raise MessageError("switch", "the app switched protocols although nobody asked")
        self._state = State.TUNNEL
        self.deadline = NEVER
        handler.switched(fields, octets)

    def _invalid(self, error: MessageError) -> None:
        handler, self._handler = self._handler, None
        self.close()
        if handler is not None:
            handler.response_failed(InvalidResponseError(f"{self.address}: {error.wording}"))

    # --- deadlines

    def _wait(self, seconds: float) -> None:
        self._expire_at(self.pool.loop.time() + seconds)

    def _expire_at(self, deadline: float) -> None:
        self.deadline = deadline
        filed = self.filed_tick
        if not filed or filed * TICK > deadline + TICK:
            self.pool.wheel.file(self)

    def deadline_reached(self, now: float) -> None:
        """End what has waited too long (called by the wheel)."""
        state = self._state
        handler, self._handler = self._handler, None
        self._state = State.CLOSED
        self._transport.abort()
        if handler is None:
            return
        if state is State.HEAD:
            handler.response_failed(FirstByteTimeoutError(f"{self.address}: no response head in time"))
        else:
            handler.response_failed(ReadTimeoutError(f"{self.address}: stopped after {self.octets} bytes"))


def _decoder_for(framing: Framing, length: int) -> BodyDecoder:
    if framing is Framing.LENGTH:
        return LengthDecoder(length)
    return ChunkedDecoder() if framing is Framing.CHUNKED else CloseDecoder()
