"""Responses in: heads and content, cut out of what arrives on an upstream connection (RFC 9112).

The connection of connection.py, cut in two by job: this half turns octets into calls of the handler.
"""

import asyncio
from abc import abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from proxy.config.schema import Timeouts
from proxy.deadlines import NEVER, TICK
from proxy.errors import InvalidResponseError, MessageError
from proxy.http1.body import BodyDecoder, ChunkedDecoder, CloseDecoder, LengthDecoder
from proxy.http1.partial import PartialHead
from proxy.http1.response import MAX_RESPONSE_HEAD, Framing
from proxy.upstream.handler import ResponseHandler
from proxy.upstream.heads import ResponseHead, parse_response_head

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


#: The members that every request meets: a look into the enumeration takes as long as three calls.
IDLE: Final = State.IDLE
HEAD: Final = State.HEAD
CONTENT: Final = State.CONTENT
TUNNEL: Final = State.TUNNEL
CLOSED: Final = State.CLOSED
_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_CLOSE: Final = Framing.CLOSE
_DEFAULTS: Final = Timeouts()


class ResponseReader(asyncio.Protocol):
    """The reading half of an upstream connection."""

    __slots__ = (
        "_decoder",
        "_handler",
        "_interim",
        "_is_head",
        "_keep",
        "_partial",
        "_read_timeout",
        "_request_complete",
        "_state",
        "_timeouts",
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
        self._state: State = IDLE
        self._partial: PartialHead | None = None
        self._decoder: BodyDecoder | None = None
        self._is_head = False  # HEAD was asked
        self._upgrade = False
        self._interim = 0
        self._keep = False
        self._request_complete = True
        self._timeouts = _DEFAULTS  # of the current request's route
        self._read_timeout = 0.0  # of the current response's content
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
    def _settle(self, surplus: bool) -> None:
        """End the exchange on this side: back to the pool, or closed for good where octets came behind it."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection and take it from the pool."""

    # --- reading a response

    def _heads(self, data: bytes) -> None:
        """Take interim heads and then the final one."""
        memo = self.pool.response_memo
        while True:
            end = data.find(b"\r\n\r\n") + 2
            if end < 2:
                self._partial = PartialHead(MAX_RESPONSE_HEAD, is_request=False)
                self._partial.add(data)
                return
            octets = data[:end]
            head = memo.get(octets)
            if head is None:
                head = parse_response_head(octets)
                memo.put(octets, head)
            if head.status >= 200:
                self._final(head, data, end + 2)
                return
            data = data[end + 2 :]
            if head.status == 101:
                self._switch(head, data)
                return
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise MessageError("interim", "too many interim responses")
            if self._handler is not None:
                self._handler.interim_response(head)
            if self._handler is None or not data:
                return

    def _final(self, head: ResponseHead, data: bytes, position: int) -> None:
        framing = _NONE if self._is_head else head.framing()
        handler = self._handler
        if handler is None:
            return
        self._keep = self._request_complete and framing is not _CLOSE and head.persists
        surplus = len(data) - position
        length = 0 if framing is _NONE else head.length
        if surplus >= length >= 0:
            # The common case: the whole response in one packet.
            self._settle(surplus > length)
            handler.response_head(head, data[position : position + length], True)
            return
        self._state = CONTENT
        self._decoder = _decoder_for(framing, length)
        self._read_timeout = NEVER if head.fields.is_event_stream else self._timeouts.read
        self._wait(self._read_timeout)
        if not surplus:
            handler.response_head(head, b"", False)
            return
        self._head_with_content(handler, head, data[position:])

    def _head_with_content(self, handler: ResponseHandler, head: ResponseHead, rest: bytes) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        try:
            content, consumed = decoder.feed(rest)
        except MessageError as error:
            # The head was good and is out of date already: cut off behind it, as for a fault in later content.
            handler.response_head(head, b"", False)
            self._invalid(error)
            return
        trailers = decoder.trailers
        if decoder.finished and not trailers:
            self._settle(consumed < len(rest))
            handler.response_head(head, content, True)
            return
        handler.response_head(head, content, False)
        if decoder.finished and self._handler is handler:
            self._settle(consumed < len(rest))
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
            self._settle(consumed < len(data))
            handler.response_complete(decoder.trailers)

    def _switch(self, head: ResponseHead, octets: bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        if not self._upgrade:
            raise MessageError("switch", "the app switched protocols although nobody asked")
        self._state = TUNNEL
        self.deadline = NEVER
        handler.switched(head, octets)

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
    if framing is _LENGTH:
        return LengthDecoder(length)
    return ChunkedDecoder() if framing is Framing.CHUNKED else CloseDecoder()
