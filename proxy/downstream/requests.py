"""Requests in: heads and content, cut out of what arrives on a client connection (RFC 9112).

Theory of operation.  While no exchange is under way, ``_serve`` takes request after request out of the octets
at hand. While one is, further octets are its content (``_decoder``) or requests behind it, which wait in
``_waiting``; reading stops while too many wait.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy import answers
from proxy.deadlines import NEVER
from proxy.downstream.pace import PacedConnection, WaitingFor
from proxy.downstream.sending import RATE_AFTER
from proxy.errors import MessageError
from proxy.exchange import Exchange
from proxy.http1 import grammar
from proxy.http1.body import BodyDecoder, ChunkedDecoder, LengthDecoder
from proxy.http1.partial import PartialHead, without_empty_lines
from proxy.http1.request import RequestFields, RequestLine, parse_request_fields, parse_request_line
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

#: Content of a request that was answered early is read and dropped up to this many octets; above, the
#: connection closes.
MAX_DISCARDED: Final = 256 * 1024
#: What is refused before it had fields; its client may well send on.
_NO_FIELDS: Final = replace(parse_request_fields(b"", 0, 1), persists=True)


class RequestReader(PacedConnection):
    """The reading half of a client connection."""

    __slots__ = (
        "_close",
        "_content_since",
        "_decoder",
        "_partial",
        "_paused_since",
        "_responded",
        "_serving",
        "_waiting",
    )

    def __init__(self, listener: "Listener") -> None:
        super().__init__(listener)
        self._partial: PartialHead | None = None
        self._waiting = b""
        self._decoder: BodyDecoder | None = None
        self._close = False  # after the current response
        self._responded = False  # the response is whole, the request is not
        self._serving = False  # inside the loop that takes requests
        self._content_since = 0.0
        self._paused_since = 0.0

    @abstractmethod
    def _answer(self, answer: answers.Answer) -> None:
        """Send an answer of our own."""

    @abstractmethod
    def _end_exchange(self) -> None:
        """Log the exchange and go on with the connection."""

    def _has_begun_head(self) -> bool:
        return self._partial is not None

    # --- heads

    def _serve(self, data: bytes) -> None:
        """Take request after request from ``data`` until one is under way or the rest is no whole head."""
        self._serving = True
        try:
            while data and self._exchange is None and not self._closing:
                if self._write_paused:
                    self._keep(data)
                    return
                data = self._next_request(data)
        except MessageError as error:
            self._refuse(error)
        finally:
            self._serving = False

    def _next_request(self, data: bytes) -> bytes:
        """Begin the request at the start of ``data`` and return what lies behind it; keep an unfinished head."""
        listener = self._listener
        match = grammar.ORIGIN_REQUEST_LINE.match(data)
        if match is None:
            return self._uncommon_request(data)
        line_end = match.end()
        # From the CRLF that ends the request line: with no fields at all the empty line follows at once.
        head_end = data.find(b"\r\n\r\n", line_end - 2)
        if head_end < 0:
            return self._unfinished_head(data)
        method, target, version = match.groups()
        minor = version[0] - 48
        section = data[line_end : head_end + 2]
        fields = listener.request_memo[minor].get(section)
        if fields is None:
            fields = self._parse_fields(section, minor)
        if method == b"CONNECT" or method == b"TRACE" or b"%00" in target or line_end > grammar.LONG_LINE:
            parse_request_line(data[: line_end - 2])  # names the fault
        self._begin(method, target, minor, fields)
        return b"" if len(data) == head_end + 4 else self._behind_head(data[head_end + 4 :])

    def _behind_head(self, rest: bytes) -> bytes:
        """Hand on what came in the same packet behind a request's head."""
        if self._closing:
            return b""
        if self._exchange is None:
            return rest
        if self._decoder is not None:
            self._content(rest)
        else:
            self._keep(rest)
        if self._exchange is None:
            rest, self._waiting = self._waiting, b""
            return rest
        return b""

    def _parse_fields(self, section: bytes, minor: int) -> RequestFields:
        snapshot = self._listener.pipeline.snapshot
        if len(section) > snapshot.max_head_size:
            wording = f"the header section is larger than {snapshot.max_head_size} bytes"
            raise MessageError("head-too-large", wording, 431)
        fields = parse_request_fields(section, minor, snapshot.max_fields)
        self._listener.request_memo[minor].put(section, fields)
        return fields

    def _uncommon_request(self, data: bytes) -> bytes:
        """Begin a request with empty lines before it, a target in another form, or no right to exist."""
        data = without_empty_lines(data)
        line_end = data.find(b"\r\n")
        if line_end < 0 or (head_end := data.find(b"\r\n\r\n", line_end)) < 0:
            return self._unfinished_head(data)
        line = parse_request_line(data[:line_end])
        section = data[line_end + 2 : head_end + 2]
        fields = self._listener.request_memo[line.minor_version].get(section)
        if fields is None:
            fields = self._parse_fields(section, line.minor_version)
        self._check_authority(line, fields)
        self._begin(line.method, line.target, line.minor_version, fields)
        return self._behind_head(data[head_end + 4 :])

    def _check_authority(self, line: RequestLine, fields: RequestFields) -> None:
        """Refuse an absolute-form target that names another host than Host does; two readers could take either."""
        if line.authority is None:
            return
        default = b":443" if self._listener.tls else b":80"
        named = line.authority.lower().removesuffix(default)
        if fields.host is None or named != fields.host.lower().removesuffix(default):
            raise MessageError("host", "the request target and Host name different hosts")

    def _unfinished_head(self, data: bytes) -> bytes:
        """Keep the beginning of a head until the rest comes."""
        if data:
            partial = PartialHead(self._listener.pipeline.snapshot.max_head_size, is_request=True)
            partial.add(data)
            self._partial = partial
            self._wait(WaitingFor.HEAD, self._listener.pipeline.snapshot.timeouts.head)
        return b""

    def _more_of_head(self, partial: PartialHead, data: bytes) -> None:
        """Take another piece of a head that came in pieces."""
        try:
            whole = partial.add(data)
        except MessageError as error:
            self._partial = None
            self._refuse(error)
            return
        if whole is not None:
            self._partial = None
            self._serve(whole)

    def _begin(self, method: bytes, target: bytes, minor: int, fields: RequestFields) -> None:
        """Start an exchange: from here on the pipeline decides."""
        listener = self._listener
        pipeline = listener.pipeline
        self._close = not fields.persists
        exchange = self._new_exchange(method, target, minor, fields)
        self._exchange = exchange
        self._waiting_for = WaitingFor.RESPONSE
        self.deadline = NEVER
        if not fields.has_content:
            pipeline.admit(exchange)
            return
        self._decoder = ChunkedDecoder() if fields.chunked else LengthDecoder(fields.content_length)
        exchange.complete = False
        self._responded = False
        self._content_since = listener.loop.time()
        pipeline.admit(exchange)
        if self._exchange is exchange and exchange.receiver is not None and not self._responded:
            # Who waits for 100 is not late: the app is, and that has a deadline of its own.
            expected = NEVER if fields.expects_continue else self._timeout_of(WaitingFor.CONTENT)
            self._wait(WaitingFor.CONTENT, expected)

    def _keep(self, data: bytes) -> None:
        """Let requests wait behind the current one; stop reading while there are too many octets of them."""
        self._waiting = self._waiting + data if self._waiting else data
        if len(self._waiting) > self._listener.pipeline.snapshot.max_head_size and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    # --- content

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
            if self._waiting_for is WaitingFor.CONTENT and not self._paused_reading:
                self._content_expected()
            return
        self._decoder = None
        exchange.complete = True
        if consumed < len(data):
            self._keep(data[consumed:])
        if exchange.receiver is not None:
            self._waiting_for = WaitingFor.RESPONSE
            self.deadline = NEVER
            exchange.receiver.request_complete(decoder.trailers)
        if self._exchange is exchange and self._responded:
            self._end_exchange()

    def _content_expected(self) -> None:
        """Wait for the next octets of content from now on."""
        if self.deadline == NEVER:
            self._content_since = self._listener.loop.time()
        self._wait(WaitingFor.CONTENT, self._timeout_of(WaitingFor.CONTENT))

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
            if self._waiting_for is WaitingFor.CONTENT:
                self._paused_since = self._listener.loop.time()
                self.deadline = NEVER

    def resume_content(self) -> None:
        """Read on; the time of the pause is not the client's fault."""
        if self._paused_reading and not self._closing:
            self._paused_reading = False
            self._transport.resume_reading()
            if self._waiting_for is WaitingFor.CONTENT:
                self._content_since += self._listener.loop.time() - self._paused_since
                self._wait(WaitingFor.CONTENT, self._timeout_of(WaitingFor.CONTENT))

    # --- refusals

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

    def _refuse(self, error: MessageError) -> None:
        """Answer what is no request and close; what follows on the connection cannot be trusted."""
        listener = self._listener
        pipeline = listener.pipeline
        listener.counters.parse_error(error.kind)
        self._decoder = None
        self._partial = None
        self._waiting = b""
        exchange = self._exchange
        if exchange is None:
            exchange = self._new_exchange(b"-", b"-", 1, _NO_FIELDS)
            self._exchange = exchange
            exchange.client, exchange.client_packed = self.client_of(_NO_FIELDS)
        exchange.error = error.kind
        exchange.receiver = None
        self._close = True
        extra = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if error.status == 405 else b""
        request_id = pipeline.request_id(exchange)
        self._answer(
            answers.problem(
                error.status, error.wording, request_id, proxy_status="http_request_error", extra=extra
            )
        )

    @abstractmethod
    def _new_exchange(self, method: bytes, target: bytes, minor: int, fields: RequestFields) -> Exchange:
        """Make an exchange whose client's side is this connection."""

    @abstractmethod
    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the client's address as text and packed."""
