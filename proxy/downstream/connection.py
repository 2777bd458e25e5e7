"""One client connection speaking HTTP/1.1: requests in, responses out, in order (RFC 9112).

Theory of operation.  Everything happens in the transport's callbacks; there is no task.  ``data_received`` cuts request
heads and content out of what arrives and hands each request, as an Exchange, to the pipeline.  While an exchange is under
way, further octets are either its content or requests behind it; the latter wait in ``_buffer`` (pipelining), and reading
stops while too many wait.  The exchange's answer comes back through the methods of ``Downstream``, within the same call
or later; when both the response is out and the request's content has been taken, the next request begins.

Times: every wait stands under ``deadline`` (seconds, loop clock), which the wheel looks at; what it means is in
``_waiting_for``.  A peer that keeps a connection busy below ``min_rate`` is cut off.
"""

import asyncio
import fcntl
import socket
import struct
import termios
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from proxy import answers
from proxy.deadlines import NEVER
from proxy.errors import MessageError
from proxy.exchange import Exchange
from proxy.http1 import grammar, writer
from proxy.http1.body import BodyDecoder, ChunkedDecoder, LengthDecoder
from proxy.http1.request import (
    MAX_EMPTY_LINES,
    RequestFields,
    RequestLine,
    parse_request_fields,
    parse_request_line,
    reject_unfinished_head,
)
from proxy.semantics.fields import FieldLine
from proxy.semantics.forwarding import PreparedRequest, client_lines
from proxy.telemetry import counters
from proxy.traffic.address import Address
from proxy.traffic.client_address import client_address
from proxy.traffic.rate_policy import RatePolicy

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener
    from proxy.snapshot import SiteRuntime

#: Content of a request that was answered early is read and dropped up to this many octets; above, the connection closes.
MAX_DISCARDED: Final = 256 * 1024
#: How long, and how much, is read from a client after a refusal, so that a reset does not eat the answer (seconds, octets).
LINGER_SECONDS: Final = 2.0
LINGER_OCTETS: Final = 1024 * 1024
#: A client that has shut down its sending side gets this long for its answer (seconds): some tools do, and then read.
HALF_CLOSED_SECONDS: Final = 5.0
#: Head and content up to this size leave in one write; joining more would cost more than a second buffer.
JOIN_BELOW: Final = 64 * 1024
#: ``min_rate`` counts from here on (seconds of waiting for the peer).
RATE_AFTER: Final = 30.0
#: How often a stalled writer is looked at (seconds).
SEND_CHECK: Final = 5.0
_NO_LINGER: Final = struct.pack("ii", 1, 0)
#: What the log says of a request whose client left before the response began (nginx's 499).
CLIENT_CLOSED: Final = 499
_NO_ADDRESS: Final = Address(b"", "")


class WaitingFor(Enum):
    """What a connection's deadline is about."""

    HEAD = "head"
    IDLE = "idle"
    CONTENT = "content"
    RESPONSE = "response"
    TUNNEL = "tunnel"
    LINGER = "linger"


class ClientConnection(asyncio.Protocol):
    """The server's side of one HTTP/1.1 connection."""

    __slots__ = (
        "_buffer",
        "_checked",
        "_chunked",
        "_close",
        "_closing",
        "_content_since",
        "_decoder",
        "_discarded",
        "_exchange",
        "_keep_http10",
        "_listener",
        "_paused_reading",
        "_responded",
        "_send_mark",
        "_send_progress",
        "_send_since",
        "_send_taken",
        "_serving",
        "_transport",
        "_tunnelled",
        "_waiting_for",
        "_write_paused",
        "_bucket",
        "_bucket_rate",
        "_client_lines",
        "deadline",
        "filed_tick",
        "idle_since",
        "peer",
        "trusted",
    )

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._buffer = b""
        self._checked = 0
        self._exchange: Exchange | None = None
        self._decoder: BodyDecoder | None = None
        self._waiting_for = WaitingFor.HEAD
        self._paused_reading = False
        self._write_paused = False
        self._close = False  # after the current response
        self._closing = False  # nothing that arrives counts any more
        self._chunked = False  # the response's content goes out in chunks
        self._responded = False  # the response is whole
        self._serving = False  # inside the loop that takes requests from the buffer
        self._tunnelled = False
        self._keep_http10 = False
        self._discarded = 0
        self._content_since = 0.0
        self._send_since = 0.0
        self._send_progress = 0.0
        self._send_mark = 0
        self._send_taken = 0
        self.deadline = NEVER
        self.filed_tick = 0
        self.peer: Address = _NO_ADDRESS
        self.trusted = False
        self.idle_since = 0.0
        self._bucket: int | None = None
        self._bucket_rate: RatePolicy | None = None
        self._client_lines = b""

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        listener = self._listener
        if not listener.opened(self, self._transport):
            return
        self._wait(WaitingFor.HEAD, listener.pipeline.snapshot.timeouts.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client that it is gone."""
        self._closing = True
        self.deadline = NEVER
        self._listener.wheel.discard(self)
        self._listener.closed(self, upgraded=self._tunnelled)
        exchange, self._exchange = self._exchange, None
        self._buffer = b""
        if exchange is not None:
            if exchange.receiver is not None:
                exchange.receiver.client_gone()
            if not exchange.head_sent:
                exchange.status = CLIENT_CLOSED
            exchange.error = exchange.error or "client-gone"
            self._log(exchange)

    def data_received(self, data: bytes) -> None:
        """Take what arrived: requests, content of the current one, or octets of a tunnel."""
        if self._closing:
            self._linger_on(len(data))
            return
        if self._exchange is None:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            self._serve(data)
        elif self._decoder is not None:
            self._content(data)
        elif self._tunnelled:
            self._from_tunnel(data)
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """Let a client that has only shut down its sending side read its answer, for a while."""
        if self._tunnelled and self._exchange is not None and self._exchange.receiver is not None:
            self._exchange.receiver.request_complete(())
            return True
        if self._exchange is None or self._decoder is not None or self._closing:
            return False
        self._close = True
        if self._waiting_for is WaitingFor.RESPONSE:
            self._wait(WaitingFor.RESPONSE, HALF_CLOSED_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Stop whoever sends: the client takes nothing at the moment."""
        self._write_paused = True
        if self._exchange is not None and self._exchange.receiver is not None:
            self._exchange.receiver.downstream_paused()
        self._watch_sending()
        if self._waiting_for is not WaitingFor.LINGER:
            self._wait(self._waiting_for, SEND_CHECK)

    def resume_writing(self) -> None:
        """Go on sending, and with the requests that were waiting behind."""
        self._write_paused = False
        if self._waiting_for is not WaitingFor.LINGER:
            self._wait(self._waiting_for, self._timeout_of(self._waiting_for))
        exchange = self._exchange
        if exchange is not None:
            if exchange.receiver is not None:
                exchange.receiver.downstream_resumed()
        elif self._buffer and not self._serving:
            data, self._buffer = self._buffer, b""
            self._serve(data)

    # --- who is asking (Downstream)

    @property
    def scheme(self) -> bytes:
        """The scheme that the client used."""
        return self._listener.scheme

    @property
    def port(self) -> int:
        """The port that the client connected to."""
        return self._listener.port

    @property
    def is_secure(self) -> bool:
        """Say whether the connection is encrypted."""
        return self._listener.tls

    @property
    def tls_version(self) -> str:
        """The TLS version, or an empty string."""
        return cast("str", self._transport.get_extra_info("tls_version") or "") if self._listener.tls else ""

    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the client's address as text and packed: the peer's unless a trusted peer names another."""
        peer = self.peer
        if not self.trusted:
            return peer.text.encode(), peer.packed
        snapshot = self._listener.pipeline.snapshot
        header = snapshot.client_header
        client = client_address(peer, snapshot.trusted, header, fields.get_all(header.field_name))
        return client.text.encode(), client.packed

    def bucket(self, rate: RatePolicy, packed: bytes) -> int | None:
        """Return the client's bucket, remembered for as long as the peer speaks for itself alone."""
        if self.trusted:
            return rate.bucket(packed)
        if rate is not self._bucket_rate:
            self._bucket_rate = rate
            self._bucket = rate.bucket(packed)
        return self._bucket

    def client_lines(self, exchange: Exchange, plan: PreparedRequest) -> bytes:
        """Return the field lines that tell the app who the client is."""
        if self.trusted:
            return client_lines(exchange.client, self.peer.text.encode(), plan.chain)
        if not self._client_lines:
            self._client_lines = client_lines(exchange.client, exchange.client, b"")
        return self._client_lines

    def misdirected(self, site: "SiteRuntime") -> bool:
        """Say whether the certificate that this connection was made with does not cover ``site`` (RFC 9110 15.5.20)."""
        return self._listener.tls and self._listener.misdirected(self._transport, site)

    def has_certificate(self, site: "SiteRuntime") -> bool:
        """Say whether https would answer for ``site`` with a valid certificate now."""
        return self._listener.has_certificate(site)

    # --- requests in

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
        if method == b"CONNECT" or method == b"TRACE" or b"%00" in target:
            parse_request_line(data[: line_end - 2])  # names the fault
        self._begin(method, target, minor, fields, head_end)
        return self._behind_head(data, head_end + 4)

    def _behind_head(self, data: bytes, position: int) -> bytes:
        """Hand on what came in the same packet behind a request's head."""
        if len(data) == position:
            return b""
        rest = data[position:]
        if self._closing:
            return b""
        if self._exchange is None:
            return rest
        if self._decoder is not None:
            self._content(rest)
        else:
            self._keep(rest)
        if self._exchange is None:
            rest, self._buffer = self._buffer, b""
            return rest
        return b""

    def _parse_fields(self, section: bytes, minor: int) -> RequestFields:
        snapshot = self._listener.pipeline.snapshot
        if len(section) > snapshot.max_head_size:
            raise MessageError(
                "head-too-large", f"the header section is larger than {snapshot.max_head_size} bytes", 431
            )
        fields = parse_request_fields(section, minor, snapshot.max_fields)
        self._listener.request_memo[minor].put(section, fields)
        return fields

    def _uncommon_request(self, data: bytes) -> bytes:
        """Begin a request with empty lines before it, a target in another form, or no right to exist."""
        start = 0
        while data.startswith(b"\r\n", start) and start < 2 * MAX_EMPTY_LINES:
            start += 2
        data = data[start:]
        line_end = data.find(b"\r\n")
        if line_end < 0 or (head_end := data.find(b"\r\n\r\n", line_end)) < 0:
            return self._unfinished_head(data)
        if start and grammar.ORIGIN_REQUEST_LINE.match(data):
            return self._next_request(data)
        line = parse_request_line(data[:line_end])
        section = data[line_end + 2 : head_end + 2]
        fields = self._listener.request_memo[line.minor_version].get(section) or self._parse_fields(
            section, line.minor_version
        )
        fields = self._agree(line, fields)
        self._begin(line.method, line.target, line.minor_version, fields, head_end)
        return self._behind_head(data, head_end + 4)

    def _agree(self, line: RequestLine, fields: RequestFields) -> RequestFields:
        """Refuse an absolute-form target that names another host than Host does; two readers could take either."""
        if line.authority is None:
            return fields
        default = b":443" if self._listener.scheme == b"https" else b":80"
        if fields.host is None or line.authority.lower().removesuffix(
            default
        ) != fields.host.lower().removesuffix(default):
            raise MessageError("host", "the request target and Host name different hosts")
        return fields

    def _unfinished_head(self, data: bytes) -> bytes:
        """Keep the beginning of a head until the rest comes; refuse what can never become one."""
        if data == b"\r":  # perhaps the first half of an empty line
            self._buffer = data
            return b""
        if data:
            reject_unfinished_head(data, self._checked, self._listener.pipeline.snapshot.max_head_size)
            if not self._checked:
                self._wait(WaitingFor.HEAD, self._listener.pipeline.snapshot.timeouts.head)
            self._checked = len(data)
        self._buffer = data
        return b""

    def _begin(self, method: bytes, target: bytes, minor: int, fields: RequestFields, head_size: int) -> None:
        """Start an exchange: from here on the pipeline decides."""
        listener = self._listener
        now = listener.loop.time()
        self._checked = 0
        self._responded = False
        self._chunked = False
        keep = b"close" not in fields.connection if minor else b"keep-alive" in fields.connection
        self._close = not keep or listener.draining
        self._keep_http10 = minor == 0
        exchange = self._exchange = Exchange(
            self, listener.pipeline.snapshot, method, target, minor, fields, time.perf_counter(), head_size
        )
        if fields.chunked:
            self._decoder = ChunkedDecoder()
            exchange.complete = False
        elif fields.content_length > 0:
            self._decoder = LengthDecoder(fields.content_length)
            exchange.complete = False
        self._content_since = now
        self._waiting_for = WaitingFor.RESPONSE
        self.deadline = NEVER
        listener.pipeline.admit(exchange)
        if self._exchange is exchange and self._decoder is not None and exchange.receiver is not None:
            self._wait(WaitingFor.CONTENT, self._timeout_of(WaitingFor.CONTENT))

    # --- content in

    def _content(self, data: bytes) -> None:
        """Decode request content and hand it on; what lies behind the content waits."""
        exchange, decoder = self._exchange, self._decoder
        assert exchange is not None
        assert decoder is not None
        try:
            content, consumed = decoder.feed(data)
        except MessageError as error:
            self._fail_content(error)
            return
        now = self._listener.loop.time()
        if content:
            exchange.received += len(content)
            if exchange.receiver is None:
                self._discarded += len(content)
                if self._discarded > MAX_DISCARDED:
                    self._start_lingering()
                    return
            else:
                if self._too_slow(exchange, now):
                    return
                if exchange.route is not None and exchange.received > exchange.route.limits.body:
                    self._fail_content(
                        MessageError("body-too-large", "the request content is too large", 413)
                    )
                    return
                exchange.receiver.request_content(content)
        if decoder.finished:
            self._decoder = None
            exchange.complete = True
            if consumed < len(data) and not self._closing:
                self._keep(data[consumed:])
            if exchange.receiver is not None:
                self._wait(WaitingFor.RESPONSE, NEVER)
                exchange.receiver.request_complete(decoder.trailers)
            if self._exchange is exchange and self._responded:
                self._end_exchange()
        elif self._waiting_for is WaitingFor.CONTENT:
            self.deadline = now + self._timeout_of(WaitingFor.CONTENT)

    def _too_slow(self, exchange: Exchange, now: float) -> bool:
        """Cut off a client that drips its content below ``min_rate`` (octets per second)."""
        waited = now - self._content_since
        route = exchange.route
        if waited < RATE_AFTER or route is None or exchange.received >= route.limits.min_rate * waited:
            return False
        self._listener.counters.add(counters.TOO_SLOW)
        self._fail_content(MessageError("too-slow", "the request content came too slowly", 408))
        return True

    def _fail_content(self, error: MessageError) -> None:
        """Refuse a request in the middle of its content."""
        exchange = self._exchange
        assert exchange is not None
        self._decoder = None
        receiver, exchange.receiver = exchange.receiver, None
        exchange.error = error.kind
        if receiver is not None:
            receiver.client_gone()
        self._listener.counters.parse_error(error.kind)
        if exchange.head_sent:
            self._closing = True
            self._log(exchange)
            self._exchange = None
            self._transport.abort()
            return
        self._close = True
        answer = answers.problem(
            error.status, error.wording, self._listener.pipeline.request_id(exchange), exchange.fields
        )
        self.respond(
            answer.status,
            b"",
            answer.block,
            len(answer.content),
            answer.content,
            complete=True,
            has_date=False,
        )

    def pause_content(self) -> None:
        """Read no more from the client: the upstream takes nothing at the moment."""
        if not self._paused_reading and not self._closing:
            self._paused_reading = True
            self._transport.pause_reading()
            if self._waiting_for is WaitingFor.CONTENT:
                self._send_since = self._listener.loop.time()
                self.deadline = NEVER

    def resume_content(self) -> None:
        """Read on; the time of the pause is not the client's fault."""
        if self._paused_reading and not self._closing:
            self._paused_reading = False
            self._transport.resume_reading()
            if self._waiting_for is WaitingFor.CONTENT:
                now = self._listener.loop.time()
                self._content_since += now - self._send_since
                self._wait(WaitingFor.CONTENT, self._timeout_of(WaitingFor.CONTENT))

    def _keep(self, data: bytes) -> None:
        """Let requests wait behind the current one; stop reading while there are too many octets of them."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > self._listener.pipeline.snapshot.max_head_size and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    # --- responses out (Downstream)

    def respond(
        self,
        status: int,
        reason: bytes,
        block: bytes,
        length: int,
        content: bytes,
        *,
        complete: bool,
        has_date: bool = True,
    ) -> None:
        """Send a final response head, and the content that is there already (see Downstream)."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        exchange.status = status
        exchange.head_sent = True
        if not exchange.complete and complete and self._must_close(exchange):
            self._close = True
        bodiless = exchange.method == b"HEAD" or status == 204 or status == 304
        if length >= 0:
            framing = b"" if status == 204 else b"Content-Length: %d\r\n" % length
        elif bodiless or complete:
            framing = b"" if bodiless else b"Content-Length: %d\r\n" % len(content)
        elif exchange.minor_version:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self._close = True
            framing = b""
        if not has_date:
            framing += self._listener.date_line()
        if self._close or self._listener.draining:
            self._close = True
            framing += b"Connection: close\r\n"
        elif self._keep_http10:
            framing += b"Connection: keep-alive\r\n"
        head = b"%s%s%s\r\n" % (writer.status_line(status, reason), block, framing)
        if bodiless:
            content = b""
        self._write_head(exchange, head, content)
        if complete:
            self._response_complete(exchange)

    def _write_head(self, exchange: Exchange, head: bytes, content: bytes) -> None:
        if not content:
            self._transport.write(head)
            return
        exchange.sent += len(content)
        if self._chunked:
            content = writer.chunk(content)
        if len(content) < JOIN_BELOW:
            self._transport.write(head + content)
        else:
            self._transport.writelines((head, content))

    def _must_close(self, exchange: Exchange) -> bool:
        """Say whether an answer that comes before the request's content ends the connection."""
        fields = exchange.fields
        return (
            exchange.receiver is not None
            or fields.expects_continue
            or fields.chunked
            or fields.content_length > MAX_DISCARDED
        )

    def send_interim(self, status: int, block: bytes) -> None:
        """Send a 1xx response; HTTP/1.0 does not know them (RFC 9110 section 15.2)."""
        if self._exchange is not None and self._exchange.minor_version and not self._closing:
            self._transport.write(b"%s%s\r\n" % (writer.status_line(status), block))

    def send_content(self, content: bytes) -> None:
        """Send the next octets of the response's content."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        exchange.sent += len(content)
        if not self._chunked:
            self._transport.write(content)
        elif len(content) < JOIN_BELOW:
            self._transport.write(writer.chunk(content))
        else:
            self._transport.writelines((b"%x\r\n" % len(content), content, b"\r\n"))

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """End the response's content."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        if self._chunked:
            self._transport.write(writer.last_chunk(trailers))
        if not exchange.complete:
            self._close = True
        self._response_complete(exchange)

    def abort_response(self) -> None:
        """Cut the response off: without its last chunk or octets where they tell, else with a reset."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._log(exchange)
        if self._closing:
            return
        self._closing = True
        if exchange is not None and not self._chunked and exchange.minor_version == 0:
            self._reset()
        else:
            self._close_transport()

    def _close_transport(self) -> None:
        """Close when everything is sent, as long as the client takes it."""
        self._closing = True
        self._transport.close()
        self._watch_sending()
        self._wait(WaitingFor.LINGER, LINGER_SECONDS)

    def _reset(self) -> None:
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def _response_complete(self, exchange: Exchange) -> None:
        self._responded = True
        if exchange.complete:
            self._end_exchange()
        elif self._close:
            self._end_exchange()
        else:
            exchange.receiver = None  # the rest of the content is read and dropped
            self._discarded = 0
            self._wait(WaitingFor.CONTENT, self._timeout_of(WaitingFor.CONTENT))
            if self._paused_reading:
                self.resume_content()

    def _end_exchange(self) -> None:
        """Log the exchange and go on with the connection."""
        exchange = self._exchange
        assert exchange is not None
        self._log(exchange)
        self._exchange = None
        if self._close:
            self._decoder = None
            self._start_lingering()
            return
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        snapshot = self._listener.pipeline.snapshot
        self._wait(WaitingFor.IDLE, snapshot.timeouts.idle)
        self.idle_since = self.deadline
        if self._buffer and not self._serving:
            data, self._buffer = self._buffer, b""
            self._serve(data)

    def _log(self, exchange: Exchange) -> None:
        self._listener.pipeline.completed(exchange, self)

    # --- tunnels

    def switch_protocols(self, block: bytes) -> bytes:
        """Send 101 and become a tunnel; return what the client has already sent behind its request."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return b""
        exchange.status = 101
        exchange.head_sent = True
        self._tunnelled = True
        self._close = True
        self._transport.write(b"%s%s\r\n" % (writer.status_line(101), block))
        self._listener.counters.add(counters.UPGRADED_OPENED)
        early, self._buffer = self._buffer, b""
        self._wait(WaitingFor.TUNNEL, self._timeout_of(WaitingFor.TUNNEL))
        if self._paused_reading:
            self.resume_content()
        return early

    def tunnel(self, octets: bytes) -> None:
        """Send octets of the protocol that was switched to."""
        if self._exchange is not None and not self._closing:
            self._exchange.sent += len(octets)
            self._transport.write(octets)
            if not self._write_paused:
                self.deadline = self._listener.loop.time() + self._timeout_of(WaitingFor.TUNNEL)

    def _from_tunnel(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        exchange.received += len(data)
        if exchange.receiver is not None:
            exchange.receiver.request_content(data)
        if not self._write_paused:
            self.deadline = self._listener.loop.time() + self._timeout_of(WaitingFor.TUNNEL)

    def shut_down_tunnel(self) -> bool:
        """Pass on that the app has sent all it will; False where the transport cannot say so by itself."""
        if self._closing or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        return True

    def end_tunnel(self) -> None:
        """Send what is left and close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._log(exchange)
        if not self._closing:
            self._close_transport()

    # --- endings

    def _refuse(self, error: MessageError) -> None:
        """Answer what is no request and close; what follows on the connection cannot be trusted."""
        listener = self._listener
        listener.counters.parse_error(error.kind)
        exchange = self._exchange
        self._decoder = None
        self._buffer = b""
        if exchange is None:
            snapshot = listener.pipeline.snapshot
            empty = parse_request_fields(b"", 0, 1)
            exchange = self._exchange = Exchange(self, snapshot, b"-", b"-", 1, empty, time.perf_counter(), 0)
            exchange.client, exchange.client_packed = self.peer.text.encode(), self.peer.packed
        exchange.error = error.kind
        exchange.receiver = None
        self._close = True
        self._chunked = False
        extra = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if error.status == 405 else b""
        request_id = listener.pipeline.request_id(exchange)
        answer = answers.problem(
            error.status, error.wording, request_id, proxy_status="http_request_error", extra=extra
        )
        self.respond(
            answer.status,
            b"",
            answer.block,
            len(answer.content),
            answer.content,
            complete=True,
            has_date=False,
        )

    def close_when_idle(self) -> None:
        """Close now if no request is under way, else after it (used when draining)."""
        if self._exchange is None and not self._buffer:
            if not self._closing:
                self._close_transport()
        else:
            self._close = True

    def is_idle(self) -> bool:
        """Say whether the connection waits for a request that has not begun."""
        return self._exchange is None and not self._buffer

    @property
    def is_tunnel(self) -> bool:
        """Say whether the connection was upgraded to another protocol."""
        return self._tunnelled

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def _start_lingering(self) -> None:
        """Close in a way that lets the client read its answer although it may still be sending (RFC 9112 section 9.6)."""
        self._closing = True
        self._buffer = b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not self._responded:
            self._log(exchange)
        self._discarded = 0
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
        self._watch_sending()
        self._wait(WaitingFor.LINGER, LINGER_SECONDS)

    def _linger_on(self, octets: int) -> None:
        self._discarded += octets
        if self._discarded > LINGER_OCTETS:
            self._transport.abort()

    # --- deadlines

    def _wait(self, reason: WaitingFor, seconds: float) -> None:
        self._waiting_for = reason
        if seconds == NEVER:
            self.deadline = NEVER
            return
        self.deadline = self._listener.loop.time() + seconds
        if not self.filed_tick or self.filed_tick * 0.25 > self.deadline:
            self._listener.wheel.file(self)

    def _timeout_of(self, reason: WaitingFor) -> float:
        exchange = self._exchange
        if exchange is not None and exchange.route is not None:
            timeouts = exchange.route.timeouts
        else:
            timeouts = self._listener.pipeline.snapshot.timeouts
        match reason:
            case WaitingFor.CONTENT:
                return timeouts.body
            case WaitingFor.TUNNEL:
                return timeouts.upgraded_idle
            case WaitingFor.HEAD:
                return timeouts.head
            case WaitingFor.IDLE:
                return timeouts.idle
            case _:
                return NEVER

    def deadline_reached(self, now: float) -> None:
        """End what has waited too long (called by the wheel)."""
        if self._write_paused or (self._waiting_for is WaitingFor.LINGER and self._unsent()):
            self._check_sending(now)
            return
        match self._waiting_for:
            case WaitingFor.HEAD | WaitingFor.IDLE:
                self._head_too_late()
            case WaitingFor.CONTENT:
                self._listener.counters.add(counters.BODY_TIMEOUTS)
                if self._exchange is not None and self._exchange.receiver is None:
                    self._start_lingering()
                elif self._exchange is not None:
                    self._fail_content(
                        MessageError("body-timeout", "the request content did not arrive in time", 408)
                    )
            case WaitingFor.RESPONSE | WaitingFor.TUNNEL:
                self._close_transport()
                exchange, self._exchange = self._exchange, None
                if exchange is not None:
                    if exchange.receiver is not None:
                        exchange.receiver.client_gone()
                    self._log(exchange)
            case WaitingFor.LINGER:
                self._transport.abort()

    def _head_too_late(self) -> None:
        if not self._buffer:
            self._close_transport()
            return
        self._listener.counters.add(counters.HEAD_TIMEOUTS)
        self._refuse(MessageError("head-timeout", "the request head did not arrive in time", 408))

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
        """Begin to measure how fast the client takes what is queued for it."""
        self._send_since = self._send_progress = self._listener.loop.time()
        self._send_mark = self._unsent()
        self._send_taken = 0

    def _check_sending(self, now: float) -> None:
        """Cut off a client that takes nothing for ``send``, or less than ``min_rate`` for long."""
        unsent = self._unsent()
        taken = self._send_mark - unsent
        self._send_mark = unsent
        if taken > 0:
            self._send_taken += taken
            self._send_progress = now
        exchange = self._exchange
        config = (
            self._listener.pipeline.snapshot if exchange is None or exchange.route is None else exchange.route
        )
        waited = now - self._send_since
        stalled = now - self._send_progress >= config.timeouts.send
        if stalled or (waited >= RATE_AFTER and self._send_taken < config.limits.min_rate * waited):
            self._listener.counters.add(counters.SEND_TIMEOUTS if stalled else counters.TOO_SLOW)
            self._reset()
            return
        self.deadline = min(now + SEND_CHECK, self._send_progress + config.timeouts.send)
        self._listener.wheel.file(self)
