"""The part of Downstream that a request of our own does not need: nobody is behind it but the cache."""

from typing import Final

from proxy.errors import GatewayError
from proxy.exchange import Exchange, Origin
from proxy.http1.request import RequestFields
from proxy.semantics.fields import FieldLine
from proxy.traffic.address import Address
from proxy.traffic.rate_policy import RatePolicy


class OwnRequest:
    """A GET of ours without content or upgrade, in the name of the client that asked first."""

    def __init__(
        self,
        origin: Origin,
        peer: Address,
        client: tuple[bytes, bytes] = (b"", b""),
        client_lines: bytes = b"",
    ) -> None:
        """Speak for a client, its address as text and packed; ``client_lines`` are what the app is told of it."""
        self._client_lines = client_lines
        self._client = client
        self.origin = origin
        self.peer = peer
        self.is_reserved = False
        self.tls_version = ""

    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the address of the client that asked first."""
        return self._client

    def client_lines(self, exchange: Exchange, chain: bytes) -> bytes:
        """Return the lines that name the client that asked first."""
        return self._client_lines

    def bucket(self, rate: RatePolicy, packed: bytes) -> int | None:
        """Return none: the requests that led here were counted each."""
        return None

    def hold_back(self) -> bool:
        """Never called: a fetch is not limited."""
        return False

    def go_on(self) -> bool:
        """Never called: a fetch is not held back."""
        return True

    def misdirected(self, fields: RequestFields) -> bool:
        """Say no: the requests that led here were checked."""
        return False

    def has_certificate(self, fields: RequestFields) -> bool:
        """Say no: nothing is redirected from here."""
        return False

    def respond_stored(self, status: int, prefix: bytes, lines: bytes, content: bytes) -> None:
        """Never called: a fetch does not ask the cache."""

    def pause_content(self) -> None:
        """Do nothing: there is no request content."""

    def resume_content(self) -> None:
        """Do nothing: there is no request content."""

    def switch_protocols(self, block: bytes) -> bytes:
        """Never called: a fetch asks for no upgrade."""
        return b""

    def tunnel(self, octets: bytes) -> None:
        """Never called: a fetch asks for no upgrade."""

    def shut_down_tunnel(self) -> bool:
        """Never called: a fetch asks for no upgrade."""
        return False

    def end_tunnel(self) -> None:
        """Never called: a fetch asks for no upgrade."""


class _Over(OwnRequest):
    """Whoever sends a response to a fetch that is over."""

    def send_interim(self, status: int, block: bytes) -> None:
        """Drop it."""

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
        """Drop it."""

    def send_content(self, content: bytes) -> None:
        """Drop it."""

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """Do nothing."""

    def abort_response(self) -> None:
        """Do nothing."""

    def upstream_failed(self, error: GatewayError) -> None:
        """Do nothing."""


#: Takes the place of a fetch at its end, so that it and its exchange no longer keep each other: to find such pairs
#: took the garbage collector 4 to 20 µs for each miss.
OVER: Final = _Over(Origin(b"", 0, trusted=False), Address(b"", ""))
