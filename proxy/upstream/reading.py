"""Responses in: heads and content, cut out of what arrives on an upstream connection (RFC 9112).

The connection of connection.py, cut in two by job: this half turns octets into calls of the handler.
"""

import asyncio
from abc import abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from proxy.deadlines import NEVER, TICK
from proxy.errors import InvalidResponseError, MessageError
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
from proxy.upstream.handler import ResponseHandler

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool

#: 1xx responses before one final response; an app that sends more is broken.
MAX_INTERIM: Final = 32


class State(Enum):
    """What the connection is doing."""

    IDLE = "idle"
    HEAD = "waiting for a response head"
    CONTENT = "receiving content"
    TUNNEL = "tunnel"
    CLOSED = "closed"


class ResponseReader(asyncio.Protocol):
    """The reading half of an upstream connection."""

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
        "is_counted",
        "is_paused",
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
        self.is_counted = False  # by the pool
        self.is_paused = False
        self.deadline = NEVER
        self.filed_tick = 0

    @abstractmethod
    def deadline_reached(self, now: float) -> None:
        """End what has waited too long (called by the wheel)."""

    @abstractmethod
    def _give_back(self) -> None:
        """Return the connection to its pool."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection and take it from the pool."""

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
        self._wait(self._read_timeout)
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
            if self.is_paused:
                # The last octets have filled the client's buffer: it is nothing to the next request.
                self.is_paused = False
                self._transport.resume_reading()
            self._give_back()
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


def _decoder_for(framing: Framing, length: int) -> BodyDecoder:
    if framing is Framing.LENGTH:
        return LengthDecoder(length)
    return ChunkedDecoder() if framing is Framing.CHUNKED else CloseDecoder()
