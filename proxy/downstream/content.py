"""Request content in: decoded, measured and handed on as it arrives on a client connection (RFC 9112 section 7).

The connection of connection.py, cut by job: this part has the content, requests.py the heads.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from proxy import answers
from proxy.deadlines import NEVER
from proxy.downstream.pace import CONTENT, RESPONSE, PacedConnection
from proxy.downstream.sending import RATE_AFTER
from proxy.errors import MessageError
from proxy.exchange import Exchange
from proxy.http1.body import BodyDecoder
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

#: Content of a request that was answered early is read and dropped up to this many octets; above, the
#: connection closes.
MAX_DISCARDED: Final = 256 * 1024


class ContentReader(PacedConnection):
    """The part of a client connection that takes the content of requests."""

    __slots__ = ("_close", "_content_since", "_decoder", "_paused_since", "_responded")

    def __init__(self, listener: "Listener") -> None:
        PacedConnection.__init__(self, listener)
        self._decoder: BodyDecoder | None = None
        self._close = False  # after the current response
        self._responded = False  # the response is whole, the request is not
        self._content_since = 0.0
        self._paused_since = 0.0

    @abstractmethod
    def _answer(self, answer: answers.Answer) -> None:
        """Send an answer of our own."""

    @abstractmethod
    def _end_exchange(self) -> None:
        """Log the exchange and go on with the connection."""

    @abstractmethod
    def _keep(self, data: bytes) -> None:
        """Let requests wait behind the current one."""

    def _content(self, data: bytes) -> None:
        """Decode request content and hand it on; what lies behind the content waits."""
        exchange, decoder = self._exchange, self._decoder
        if exchange is None or decoder is None:
            return
        try:
            content, consumed = decoder.feed(data)
        except MessageError as error:
            self._fail_content(error)
            return
        if content and not self._take(exchange, content):
            return
        if not decoder.finished:
            if self._waiting_for is CONTENT and not self._paused_reading:
                self._content_expected()
            return
        self._decoder = None
        exchange.complete = True
        if consumed < len(data):
            self._keep(data[consumed:])
        if exchange.receiver is not None:
            self._waiting_for = RESPONSE
            self.deadline = NEVER
            exchange.receiver.request_complete(decoder.trailers)
        if self._exchange is exchange and self._responded:
            self._end_exchange()

    def _content_expected(self) -> None:
        """Wait for the next octets of content from now on."""
        if self.deadline == NEVER:
            self._content_since = self._listener.loop.time()
        self._wait(CONTENT, self._timeout_of(CONTENT))

    def _take(self, exchange: Exchange, content: bytes) -> bool:
        """Hand content to who forwards it, or drop it; False when the request ended here."""
        exchange.received += len(content)
        if exchange.receiver is None:
            self._discarded += len(content)
            if self._discarded > MAX_DISCARDED:
                self._start_lingering()
                return False
            return True
        limits = (
            exchange.route.limits if exchange.route is not None else self._listener.pipeline.snapshot.limits
        )
        if exchange.received > limits.body:
            self._fail_content(MessageError("body-too-large", "the request content is too large", 413))
            return False
        waited = self._listener.loop.time() - self._content_since
        if waited > RATE_AFTER and exchange.received < limits.min_rate * waited:
            self._listener.counters.add(counters.TOO_SLOW)
            self._fail_content(MessageError("too-slow", "the request content came too slowly", 408))
            return False
        exchange.receiver.request_content(content)
        return self._exchange is exchange

    def pause_content(self) -> None:
        """Read no more from the client: the upstream takes nothing at the moment."""
        if not self._paused_reading and not self._closing:
            self._paused_reading = True
            self._transport.pause_reading()
            if self._waiting_for is CONTENT:
                self._paused_since = self._listener.loop.time()
                self.deadline = NEVER

    def resume_content(self) -> None:
        """Read on; the time of the pause is not the client's fault."""
        if self._paused_reading and not self._closing:
            self._paused_reading = False
            self._transport.resume_reading()
            if self._waiting_for is CONTENT:
                self._content_since += self._listener.loop.time() - self._paused_since
                self._wait(CONTENT, self._timeout_of(CONTENT))

    def _fail_content(self, error: MessageError) -> None:
        """Refuse a request in the middle of its content."""
        exchange = self._exchange
        if exchange is None:
            return
        self._decoder = None
        exchange.error = error.kind
        receiver, exchange.receiver = exchange.receiver, None
        if receiver is not None:
            receiver.client_gone()
        self._listener.counters.parse_error(error.kind)
        if exchange.head_sent:
            self._drop_exchange()
            self._closing = True
            self._transport.abort()
            return
        self._close = True
        request_id = self._listener.pipeline.request_id(exchange)
        self._answer(
            answers.problem(
                error.status,
                error.wording,
                request_id,
                exchange.fields,
                proxy_status="http_request_error",
            )
        )
