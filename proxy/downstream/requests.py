"""Requests in: heads cut out of what arrives on a client connection, content handed to content.py (RFC 9112).

Theory of operation.  While no exchange is under way, ``_serve`` takes request after request out of the octets
at hand. While one is, further octets are its content (``_decoder``) or requests behind it, which wait in
``_waiting``; reading stops while too many wait.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy import answers
from proxy.deadlines import NEVER
from proxy.downstream.content import ContentReader
from proxy.downstream.pace import CONTENT, HEAD, RESPONSE
from proxy.errors import MessageError
from proxy.exchange import Exchange
from proxy.http1 import grammar
from proxy.http1.body import ChunkedDecoder, LengthDecoder
from proxy.http1.memo import MAX_SECTION
from proxy.http1.partial import PartialHead, without_empty_lines
from proxy.http1.request import RequestFields, RequestLine, parse_request_fields, parse_request_line

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

#: What is refused before it had fields; its client may well send on.
_NO_FIELDS: Final = replace(parse_request_fields(b"", 0, 1), persists=True)
#: To look for one octet is a tenth of a look for more.
_PERCENT: Final = ord("%")


class RequestReader(ContentReader):
    """The reading half of a client connection."""

    __slots__ = ("_partial", "_serving", "_waiting")

    def __init__(self, listener: "Listener") -> None:
        ContentReader.__init__(self, listener)
        self._partial: PartialHead | None = None
        self._waiting = b""
        self._serving = False  # inside the loop that takes requests

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
        match = grammar.ORIGIN_REQUEST_LINE.match(data)
        if match is None:
            return self._uncommon_request(data)
        line_end = match.end()
        method, target, version = match.groups()
        minor = 1 if version == b"1" else 0
        memo = self._listener.request_memo[minor]
        # Most often all of the rest is one known section with its empty line. As no section holds an empty line, what
        # is known by the whole rest needs no search for the end of the head (0.15 µs).
        end = len(data) - 2
        fields = None
        if line_end < end <= line_end + MAX_SECTION and data[end:] == b"\r\n":
            fields = memo.get(data[line_end:end])
        if fields is None:
            # From the CRLF that ends the request line: with no fields at all the empty line follows at once.
            end = data.find(b"\r\n\r\n", line_end - 2) + 2
            if end < 2:
                return self._unfinished_head(data)
            section = data[line_end:end]
            fields = memo.get(section)
            if fields is None:
                fields = self._parse_fields(section, minor)
        if (
            method == b"CONNECT"
            or method == b"TRACE"
            or line_end > grammar.LONG_LINE
            or (_PERCENT in target and b"%00" in target)
        ):
            parse_request_line(data[: line_end - 2])  # names the fault
        self._begin(method, target, minor, fields)
        return b"" if len(data) == end + 2 else self._behind_head(data[end + 2 :])

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
        return self._next_in_line()

    def _next_in_line(self) -> bytes:
        """Take what waits, unless an exchange is still under way."""
        if self._exchange is not None:
            return b""
        rest, self._waiting = self._waiting, b""
        return rest

    def _parse_fields(self, section: bytes, minor: int) -> RequestFields:
        snapshot = self._listener.pipeline.snapshot
        if len(section) > snapshot.max_head_size:
            wording = f"the header section is larger than {snapshot.max_head_size} bytes"
            raise MessageError("head-too-large", wording, 431)
        return self._listener.request_memo[minor].parse(section, snapshot.max_fields)

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
            self._wait(HEAD, self._listener.pipeline.snapshot.timeouts.head)
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
        self._waiting_for = RESPONSE
        self.deadline = NEVER
        if not fields.chunked and fields.content_length <= 0:  # has_content, without the price of a property
            pipeline.admit(exchange)
            return
        self._decoder = ChunkedDecoder() if fields.chunked else LengthDecoder(fields.content_length)
        exchange.complete = False
        self._responded = False
        self._content_since = listener.loop.time()
        pipeline.admit(exchange)
        if self._is_current(exchange) and exchange.receiver is not None and not self._responded:
            # Who waits for 100 is not late: the app is, and that has a deadline of its own.
            expected = NEVER if fields.expects_continue else self._timeout_of(CONTENT)
            self._wait(CONTENT, expected)

    def _is_current(self, exchange: Exchange) -> bool:
        return self._exchange is exchange

    def _keep(self, data: bytes) -> None:
        """Let requests wait behind the current one; stop reading while there are too many octets of them."""
        self._waiting = self._waiting + data if self._waiting else data
        if len(self._waiting) > self._listener.pipeline.snapshot.max_head_size and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    # --- refusals

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
