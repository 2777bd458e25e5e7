"""Responses out, and tunnels: the writing half of a client connection (RFC 9112)."""

from typing import TYPE_CHECKING, Final

from proxy.answers import Answer
from proxy.downstream.content import MAX_DISCARDED
from proxy.downstream.pace import CONTENT, IDLE, TUNNEL
from proxy.downstream.requests import RequestReader
from proxy.errors import GatewayError
from proxy.exchange import Exchange
from proxy.http1 import writer
from proxy.semantics.fields import FieldLine
from proxy.telemetry import counters

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

#: Head and content up to this size leave in one write; joining more would cost more than a second buffer.
JOIN_BELOW: Final = 64 * 1024
#: What a client may leave unread in the kernel when its connection is closed at once: about the first window.
SMALL_ANSWER: Final = 16 * 1024


class ResponseWriter(RequestReader):
    """The writing half of a client connection (see exchange.Downstream)."""

    __slots__ = ("_chunked", "_has_answered", "_tunnelled")

    def __init__(self, listener: "Listener") -> None:
        RequestReader.__init__(self, listener)
        self._chunked = False  # the response's content goes out in chunks
        self._tunnelled = False
        self._has_answered = False  # an earlier answer may still wait in the kernel

    def _answer(self, answer: Answer) -> None:
        self.respond(
            writer.status_line(answer.status),
            answer.status,
            answer.block,
            len(answer.content),
            answer.content,
            complete=True,
            has_date=False,
        )

    def respond(
        self,
        line: bytes,
        status: int,
        block: bytes,
        length: int,
        content: bytes,
        *,
        complete: bool,
        has_date: bool,
    ) -> None:
        """Send a final response head, and the content that is there already (see Downstream)."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        exchange.status = status
        exchange.head_sent = True
        if complete and not exchange.complete and self._ends_connection(exchange):
            self._close = True
        bodiless = status == 204 or status == 304 or exchange.method == b"HEAD"
        if bodiless:
            content = b""
        if length >= 0:
            framing = b"Content-Length: %d\r\n" % length if status != 204 else b""
        else:
            framing = self._framing(exchange, len(content), complete=complete, bodiless=bodiless)
        if not has_date:
            framing += self._listener.date_line()
        if self._listener.tls and exchange.site is not None:
            framing += exchange.site.hsts_line
        if self._close or self._listener.draining:
            self._close = True
            framing += b"Connection: close\r\n"
        elif not exchange.minor_version:
            framing += b"Connection: keep-alive\r\n"
        if not content:
            self._transport.write(b"%s%s%s\r\n" % (line, block, framing))
        else:
            exchange.sent += len(content)
            if self._chunked:
                content = writer.chunk(content)
            if len(content) < JOIN_BELOW:
                self._transport.write(b"".join((line, block, framing, b"\r\n", content)))
            else:
                self._transport.writelines((b"%s%s%s\r\n" % (line, block, framing), content))
        if complete:
            self._response_complete(exchange)

    def respond_stored(self, status: int, prefix: bytes, lines: bytes, content: bytes) -> None:
        """Send a stored response (see Downstream); most requests are answered here."""
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        exchange.status = status
        exchange.head_sent = True
        exchange.sent = len(content)
        if self._listener.tls and exchange.site is not None:
            lines += exchange.site.hsts_line
        if self._close or self._listener.draining:
            self._close = True
            lines += b"Connection: close\r\n"
        elif not exchange.minor_version:
            lines += b"Connection: keep-alive\r\n"
        if len(content) < JOIN_BELOW:
            self._transport.write(b"".join((prefix, lines, b"\r\n", content)))
        else:
            self._transport.writelines((b"%s%s\r\n" % (prefix, lines), content))
        if exchange.complete:
            self._end_exchange()
        else:
            self._response_complete(exchange)

    def upstream_failed(self, error: GatewayError) -> None:
        """Tell the client that there will be no response from the app."""
        if self._exchange is not None:
            self._listener.pipeline.gateway_error(self._exchange, error)

    def _framing(self, exchange: Exchange, size: int, *, complete: bool, bodiless: bool) -> bytes:
        """Choose how the client finds the end of content whose length the app did not tell."""
        if bodiless:
            return b""
        if complete:
            return b"Content-Length: %d\r\n" % size
        if exchange.minor_version:
            self._chunked = True
            return b"Transfer-Encoding: chunked\r\n"
        self._close = True
        return b""

    def _ends_connection(self, exchange: Exchange) -> bool:
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
            self._has_answered = True
            if status == 100 and self._waiting_for is CONTENT and not self._paused_reading:
                self._content_expected()

    def send_content(self, content: bytes) -> None:
        """Send the next octets of the response's content."""
        exchange = self._exchange
        if exchange is None or self._closing or exchange.method == b"HEAD":
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
            self._listener.pipeline.completed(exchange)
        if self._closing:
            return
        if exchange is not None and not self._chunked and not exchange.minor_version:
            self._closing = True
            self._reset()
        else:
            self._close_transport()

    def _response_complete(self, exchange: Exchange) -> None:
        if exchange.complete or self._close:
            self._end_exchange()
            return
        exchange.receiver = None  # the rest of the content is read and dropped
        self._responded = True
        self._discarded = 0
        self._wait(CONTENT, self._timeout_of(CONTENT))
        if self._paused_reading:
            self.resume_content()

    def _end_exchange(self) -> None:
        """Log the exchange and go on with the connection."""
        if self._close:
            self._decoder = None
            if self._needs_no_lingering():
                self._close_at_once()
            else:
                self._waiting = b""
                self._start_lingering()
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._listener.pipeline.completed(exchange)
        self._chunked = False
        self._has_answered = True
        if self._paused_reading:
            self._paused_reading = False
            self._transport.resume_reading()
        self._wait(IDLE, self._listener.pipeline.snapshot.timeouts.idle)
        if self._waiting and not self._serving:
            data, self._waiting = self._waiting, b""
            self._serve(data)

    def _needs_no_lingering(self) -> bool:
        """Say whether the client sends no more, and the kernel will be rid of the answer without being watched."""
        exchange = self._exchange
        return (
            exchange is not None
            and exchange.complete
            and (self._ended or not exchange.fields.persists)
            and not self._waiting
            and exchange.sent <= SMALL_ANSWER
            and not self._transport.get_write_buffer_size()
            and (not self._has_answered or self._unsent() <= 2 * SMALL_ANSWER)
        )

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
        early, self._waiting = self._waiting, b""
        exchange.received += len(early)
        self._wait(TUNNEL, self._timeout_of(TUNNEL))
        if self._paused_reading:
            self.resume_content()
        if self._ended:
            # It had sent all it will before there was a tunnel; the app learns of it behind what came early.
            self._listener.loop.call_soon(self._pass_end_on)
        return early

    def _pass_end_on(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.receiver is not None:
            exchange.receiver.request_complete(())

    def tunnel(self, octets: bytes) -> None:
        """Send octets of the protocol that was switched to."""
        exchange = self._exchange
        if exchange is not None and not self._closing:
            exchange.sent += len(octets)
            self._transport.write(octets)
            self._tunnel_used()

    def _from_tunnel(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.receiver is not None:
            exchange.received += len(data)
            exchange.receiver.request_content(data)
            self._tunnel_used()

    def _tunnel_used(self) -> None:
        if not self._write_paused:
            self.deadline = self._listener.loop.time() + self._timeout_of(TUNNEL)

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
            self._listener.pipeline.completed(exchange)
        if not self._closing:
            self._close_transport()
