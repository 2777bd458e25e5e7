"""Tunnels: what becomes of a request and its connection when the app switches protocols (see forward.py)."""

from abc import abstractmethod

from proxy.clock import shared_clock
from proxy.errors import GatewayError, InvalidResponseError
from proxy.upstream.heads import ResponseHead
from proxy.upstream.seeking import Seeker


class TunnelEnd(Seeker):
    """A request that may become a tunnel; octets go both ways until both sides have ended."""

    __slots__ = ()

    @abstractmethod
    def response_failed(self, error: GatewayError) -> None:
        """Learn that there will be no (further) response."""

    def _finished(self) -> None:
        """Let go of the connection: nothing more comes or goes over it."""
        self._connection = None
        self._release()

    def switched(self, head: ResponseHead, octets: bytes) -> None:
        """Become a tunnel after the app's 101, which names the protocol anew (RFC 9110 section 7.8)."""
        exchange, connection = self._exchange, self._connection
        if connection is None:
            return
        named = head.fields.upgrade
        accepted = [protocol for protocol in named if protocol in self._route.upgrade]
        if not accepted or len(named) != 1:
            connection.cancel()
            self.response_failed(InvalidResponseError("switched to a protocol that was not asked for"))
            return
        exchange.upstream_seconds = (shared_clock() - self._sent_at) * 1e-9
        block = head.block(self._route) + b"Connection: Upgrade\r\nUpgrade: %s\r\n" % accepted[0]
        early = exchange.downstream.switch_protocols(block)
        if early:
            connection.send(early)
        if octets:
            exchange.downstream.tunnel(octets)

    def tunnel_octets(self, octets: bytes) -> None:
        """Pass octets from the app to the client."""
        self._exchange.downstream.tunnel(octets)

    def tunnel_ended(self) -> None:
        """The app has sent all it will."""
        self._app_ended = True
        self._end_of_tunnel()

    def _end_of_tunnel(self) -> None:
        """Relay the end of one direction; close when both have ended or the end cannot be relayed by itself."""
        connection = self._connection
        if connection is None:
            return
        if self._client_ended and not self._app_ended:
            is_relayed = connection.end_tunnel()
        else:
            is_relayed = not self._client_ended and self._exchange.downstream.shut_down_tunnel()
        if not is_relayed:
            self._finished()
            connection.finish_tunnel()
            self._exchange.downstream.end_tunnel()

    def tunnel_closed(self) -> None:
        """The app's side is gone."""
        if self._connection is not None:
            self._finished()
            self._exchange.downstream.end_tunnel()
