"""One client connection speaking HTTP/1.1: requests in, responses out, in order (RFC 9112).

Theory of operation.  Everything happens in the transport's callbacks; there is no task.  What arrives becomes
Exchanges (requests.py), which go to the pipeline; their answers come back (responses.py) within the same call
or later.  When the response is out and the request's content has been taken, the next request begins.  Times
and endings are in pace.py. The classes are one object cut into three files by job: a connection is made for
every client, and a layer of separate objects would cost each of them memory and every request some calls.
Their constructors name the next one, since through super() a connection would take 0.6 µs longer to make.
"""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from proxy.clock import shared_clock
from proxy.downstream.caller import Caller
from proxy.downstream.pace import HALF_CLOSED_SECONDS, HEAD, RESPONSE, SEND_CHECK
from proxy.downstream.responses import ResponseWriter
from proxy.exchange import Exchange
from proxy.http1.request import RequestFields
from proxy.semantics.forwarding import client_lines
from proxy.traffic.address import Address
from proxy.traffic.client_address import client_address
from proxy.traffic.rate_policy import RatePolicy

if TYPE_CHECKING:
    from proxy.downstream.listener import Listener

_NO_ADDRESS: Final = Address(b"", "")


class ClientConnection(ResponseWriter):
    """The server's side of one HTTP/1.1 connection."""

    __slots__ = (
        "_caller",
        "_held",
        "_server_name",
        "counted_as",
        "is_counted",
        "is_reserved",
        "origin",
        "peer",
    )
    _caller: Caller  # from connection_made() on

    def __init__(self, listener: "Listener", source: Address | None = None) -> None:
        """``source`` is the client's address where a PROXY protocol header named it."""
        ResponseWriter.__init__(self, listener)
        self.peer: Address = source or _NO_ADDRESS
        self.is_counted = False
        self.counted_as: int | None = None
        self.is_reserved = False  # one of the few places that are kept free for ACME challenges
        self.origin = listener.untrusted
        self._server_name: bytes | None = None
        self._held = False

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        if self._listener.tls:
            server_name = transport.get_extra_info("server_name")
            self._server_name = server_name.encode() if server_name is not None else None
        if self._listener.opened(self, self._transport):
            self._wait(HEAD, self._listener.pipeline.snapshot.timeouts.head)

    def came_from(self, caller: Caller) -> None:
        """Learn who is at the other end, and whether he may name another client."""
        self.peer = caller.peer
        self._caller = caller
        self.origin = self._listener.trusted if caller.is_trusted else self._listener.untrusted

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client that it is gone."""
        self._closing = True
        self.deadline = float("inf")
        self._listener.wheel.discard(self)
        self._listener.closed(self, self._tunnelled)
        limits = self._listener.pipeline.limits
        if self._held and limits is not None:
            limits.forget(self)
        self._waiting = b""
        self._partial = None
        if self._exchange is not None:
            self._drop_exchange()

    def data_received(self, data: bytes) -> None:
        """Take what arrived: requests, content of the current one, or octets of a tunnel."""
        if self._exchange is None:
            if self._closing:
                self._linger_on(len(data))
            elif self._partial is not None:
                self._more_of_head(self._partial, data)
            elif self._waiting:
                self._keep(data)
            else:
                self._serve(data)
        elif self._decoder is not None:
            self._content(data)
        elif self._tunnelled:
            self._from_tunnel(data)
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """Let a client that has only shut down its sending side read its answer, for a while."""
        exchange = self._exchange
        if exchange is None or self._decoder is not None or self._closing:
            return False
        if self._tunnelled:
            if exchange.receiver is not None:
                exchange.receiver.request_complete(())
            return True
        self._close = self._ended = True
        if self._waiting_for is RESPONSE:
            self._wait(RESPONSE, HALF_CLOSED_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Stop whoever sends: the client takes nothing at the moment."""
        self._write_paused = True
        if self._exchange is not None and self._exchange.receiver is not None:
            self._exchange.receiver.downstream_paused()
        self._watch_sending()
        self._wait(self._waiting_for, SEND_CHECK)

    def resume_writing(self) -> None:
        """Go on sending, and with the requests that were waiting behind."""
        if self._held:
            return
        self._write_paused = False
        self._sending_resumed()
        if self._closing:
            return
        self._wait(self._waiting_for, self._timeout_of(self._waiting_for))
        if self._exchange is not None:
            if self._exchange.receiver is not None:
                self._exchange.receiver.downstream_resumed()
        elif self._waiting and not self._serving:
            data, self._waiting = self._waiting, b""
            if self._paused_reading:
                self._paused_reading = False
                self._transport.resume_reading()
            self._serve(data)

    def hold_back(self) -> bool:
        """Begin no request until go_on(), as while the client takes nothing; False when there will be none."""
        if self._closing:
            return False
        self._held = True
        self.pause_writing()
        return True

    def go_on(self) -> bool:
        """Begin requests again, unless the client has to take its last answer first."""
        if self._transport.get_write_buffer_size():
            return False
        self._held = False
        self.resume_writing()
        return True

    # --- who is asking (Downstream)

    @property
    def tls_version(self) -> str:
        """The TLS version, or an empty string."""
        return cast("str", self._transport.get_extra_info("tls_version") or "") if self._listener.tls else ""

    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the address of the client that a trusted peer names, or its own, as text and packed."""
        snapshot = self._listener.pipeline.snapshot
        header = snapshot.client_header
        client = client_address(self.peer, snapshot.trusted, header, fields.get_all(header.field_name))
        return client.text.encode(), client.packed

    def bucket(self, rate: RatePolicy, packed: bytes) -> int | None:
        """Return the client's bucket, remembered where the peer speaks for itself alone."""
        if self.origin.trusted:
            return rate.bucket(packed)
        caller = self._caller
        return caller.bucket if rate is caller.bucket_rate else caller.find_bucket(rate)

    def client_lines(self, exchange: Exchange, chain: bytes) -> bytes:
        """Return the field lines that tell the app who the client is."""
        if self.origin.trusted:
            return client_lines(exchange.client, self.peer.text.encode(), chain)
        return self._caller.lines

    def misdirected(self, fields: RequestFields) -> bool:
        """Say whether this connection's certificate is not that of the requested host (RFC 9110 15.5.20)."""
        return fields.host_name != self._server_name and self._listener.misdirected(
            self._server_name, fields.host_name
        )

    def has_certificate(self, fields: RequestFields) -> bool:
        """Say whether https would answer for the requested host with a certificate now."""
        return self._listener.has_certificate(fields.host_name)

    def _new_exchange(self, method: bytes, target: bytes, minor: int, fields: RequestFields) -> Exchange:
        snapshot = self._listener.pipeline.snapshot
        caller = self._caller
        if snapshot is not caller.snapshot:  # proxies keep connections for long
            caller = self._listener.caller(self.peer)
            self.came_from(caller)
        if self.is_reserved:
            self._close = True  # its place is needed
        exchange = Exchange(self, snapshot, method, target, minor, fields, shared_clock())
        exchange.client, exchange.client_packed = caller.client
        return exchange

    # --- life

    @property
    def is_idle(self) -> bool:
        """Say whether the connection waits for a request that has not begun, and is not closing."""
        return self._exchange is None and self._partial is None and not self._waiting and not self._closing

    @property
    def idle_since(self) -> float:
        """Tell since when an idle connection waits (loop clock)."""
        return self.deadline - self._timeout_of(self._waiting_for)

    def close_when_idle(self) -> None:
        """Close now if no request is under way, else after it (used when draining)."""
        if not self.is_idle:
            self._close = True
        else:
            self._close_transport()

    def give_way(self) -> None:
        """Close an idle connection for another one, at once where its client does not take its last answer."""
        if self._transport.get_write_buffer_size():
            self._closing = True
            self._transport.abort()
        else:
            self._close_transport()
