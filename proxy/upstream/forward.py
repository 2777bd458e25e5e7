"""The way of one request to an app and of its response back.

Theory of operation.  A Forward stands between an exchange (the client's side) and an upstream connection, and
passes content both ways as it comes, pausing one side while the other takes nothing.  It lives in callbacks;
the only thing that it ever waits for with a task is a new connection.  It is one object cut into three files by
job: seeking.py finds a connection, this one carries request and response, tunnel.py what follows a 101.

When something fails before the response has begun:
- no connection: nothing was sent, so the next address is tried, whatever the method;
- a reused connection closed before any octet of the response: the app may have closed it just when the
  request left.  An idempotent request whose content was not read yet is sent once more, on a fresh connection;
- anything else is answered 502 or 504.  Nothing else is ever sent twice.
"""

from typing import Final

from proxy.clock import shared_clock
from proxy.errors import GatewayError, UpstreamResetError
from proxy.http1 import writer
from proxy.http1.response import ResponseFields
from proxy.semantics.fields import IDEMPOTENT_METHODS, FieldLine
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.heads import ResponseHead
from proxy.upstream.health import FailureStage
from proxy.upstream.tunnel import TunnelEnd

#: Request content that is kept while there is no connection yet (octets); above it the client has to wait.
MAX_PENDING: Final = 64 * 1024


class Forward(TunnelEnd):
    """One request on its way to an app, and its response on the way back."""

    __slots__ = ()

    # --- the request

    def _send(self, connection: UpstreamConnection, now: float) -> None:
        exchange, plan = self._exchange, self._plan
        self._connection = connection
        exchange.upstream_address = connection.address
        head = plan.head or plan.make_head()
        host_line = head.host_line or self._authority_line()
        downstream = exchange.downstream
        route, method = self._route, exchange.method
        octets = b"".join(
            (
                method,
                b" ",
                route.upstream_target(exchange.target) if route.strip_prefix else exchange.target,
                b" HTTP/1.1\r\n",
                host_line,
                head.block,
                downstream.client_lines(exchange, head.chain),
                head.forwarded_tail,
                plan.upgrade_lines if exchange.is_upgrade else exchange.extra_lines,
                b"X-Request-ID: ",
                exchange.request_id or self._pipeline.request_id(exchange),
                b"\r\n\r\n",
            )
        )
        complete = exchange.complete
        if self._pending:
            octets = self._with_pending(octets)
        elif complete and exchange.fields.chunked:
            octets += writer.last_chunk(self._trailers)
        if not self._sent_at:
            self._sent_at = shared_clock()
        is_head = method == b"HEAD"
        connection.begin(self, octets, route.timeouts, now, is_head, complete, exchange.is_upgrade)

    def _authority_line(self) -> bytes:
        """Return the Host of the address itself, for ``host = "upstream"`` and for requests without Host."""
        if self._target is None:
            return b""
        key = self._target.key
        if key.scheme == "unix":
            return b"Host: localhost\r\n"
        host = f"[{key.host}]" if ":" in key.host else key.host
        default = 443 if key.scheme == "https" else 80
        return (
            f"Host: {host}\r\n".encode() if key.port == default else f"Host: {host}:{key.port}\r\n".encode()
        )

    def _with_pending(self, head: bytes) -> bytes:
        """Join the content that came before there was a connection."""
        content = b"".join(self._pending)
        self._pending.clear()
        self._content_sent = True
        if self._pending_octets > MAX_PENDING:
            self._exchange.downstream.resume_content()
        self._pending_octets = 0
        if not self._exchange.fields.chunked:
            return head + content
        return (
            head
            + writer.chunk(content)
            + (writer.last_chunk(self._trailers) if self._exchange.complete else b"")
        )

    def request_content(self, content: bytes) -> None:
        """Pass the next octets of content on, or keep them until there is a connection."""
        connection = self._connection
        if connection is None:
            self._pending.append(content)
            self._pending_octets += len(content)
            if self._pending_octets > MAX_PENDING:
                self._exchange.downstream.pause_content()
            return
        self._content_sent = True
        if self._exchange.fields.chunked and self._exchange.status != 101:
            content = writer.chunk(content)
        connection.send(content)
        connection.extend()

    def request_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """End the request's content, or the client's direction of a tunnel."""
        connection = self._connection
        if self._exchange.status == 101:
            self._client_ended = True
            self._end_of_tunnel()
            return
        self._trailers = trailers
        if connection is None:
            return
        if self._exchange.fields.chunked:
            connection.send(writer.last_chunk(trailers))
        connection.request_sent()

    def upstream_paused(self) -> None:
        """The app takes no more: neither do we."""
        self._exchange.downstream.pause_content()

    def upstream_resumed(self) -> None:
        """The app takes more."""
        self._exchange.downstream.resume_content()

    # --- the response

    def interim_response(self, head: ResponseHead) -> None:
        """Pass a 1xx on: 100 to a client that waits for it, others with their fields (RFC 9110 section 15.2)."""
        if head.status != 100:
            self._exchange.downstream.send_interim(head.status, head.block(self._route))
        elif self._exchange.fields.expects_continue:
            self._exchange.downstream.send_interim(100, b"")
            if self._connection is not None and not self._exchange.complete:
                self._connection.extend()

    def response_head(self, head: ResponseHead, content: bytes, complete: bool) -> None:
        """Pass the response's head on, with the content that came along."""
        exchange = self._exchange
        now = shared_clock()
        took = now - self._sent_at
        exchange.upstream_seconds = took * 1e-9
        if complete and exchange.complete:
            exchange.ended = now
        target = self._target
        if target is not None and target.health.failures:
            target.health.succeeded()
        if exchange.site is not None:
            exchange.site.counters.upstream(took)
        block = head.block(self._route)
        if exchange.writes:
            self._wrote(head.fields)
        if complete:
            self._connection = None
            self._release()
        if exchange.cache_lines:
            block += exchange.cache_lines
        exchange.downstream.respond(
            head.line, head.status, block, head.length, content, complete=complete, has_date=head.has_date
        )

    def _wrote(self, fields: ResponseFields | None) -> None:
        """Void what this request may have changed, before anybody hears how it ended."""
        pointers = () if fields is None else tuple((lower, value) for lower, _, value in fields.lines)
        self._pipeline.response_arrived(self._exchange, pointers)

    def response_content(self, content: bytes) -> None:
        """Pass the next octets of content on."""
        self._exchange.downstream.send_content(content)

    def response_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """End the response."""
        self._finished()
        self._exchange.downstream.finish(trailers)

    def downstream_paused(self) -> None:
        """The client takes no more: neither do we."""
        if self._connection is not None:
            self._connection.pause()

    def downstream_resumed(self) -> None:
        """The client takes more."""
        if self._connection is not None:
            self._connection.resume()

    # --- failures

    def response_failed(self, error: GatewayError) -> None:
        """Try again where that is safe; else tell the client."""
        exchange = self._exchange
        connection, self._connection = self._connection, None
        if connection is None:
            return
        target = self._release()
        self._count_failure(error)
        if exchange.head_sent:
            exchange.error = error.kind
            exchange.receiver = None
            self._pipeline.log_failure(exchange, error)
            exchange.downstream.abort_response()
            return
        stale = connection.reused and connection.octets == 0 and isinstance(error, UpstreamResetError)
        if stale and not self._content_sent and exchange.method in IDEMPOTENT_METHODS:
            self._only_new = True
            self.seek(error)
            return
        if not stale:
            target.health.failed(self._pipeline.loop.time(), FailureStage.EXCHANGE, error.kind)
        self._fail(error)

    def _fail(self, error: GatewayError) -> None:
        self._pending.clear()
        exchange = self._exchange
        exchange.receiver = None
        if exchange.writes:
            self._wrote(None)
        exchange.downstream.upstream_failed(error)

    def client_gone(self) -> None:
        """Give up: close the connection, so that the app learns of it, too."""
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cancel()
        if self._target is not None:
            self._release()
        self._pending.clear()
        if self._exchange.writes:
            self._wrote(None)
