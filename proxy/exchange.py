"""One request and its response, as the pipeline sees it, whatever HTTP version carries it."""

from typing import TYPE_CHECKING, Protocol

from proxy.errors import GatewayError
from proxy.http1.request import RequestFields
from proxy.semantics.fields import FieldLine
from proxy.traffic.address import Address
from proxy.traffic.rate_policy import RatePolicy

if TYPE_CHECKING:
    from proxy.snapshot import RouteRuntime, SiteRuntime, Snapshot


class ContentReceiver(Protocol):
    """Who takes a request's content as it comes in."""

    def request_content(self, content: bytes) -> None:
        """Take the next octets of content."""
        ...

    def request_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """Learn that the content is complete."""
        ...

    def downstream_paused(self) -> None:
        """Send no more response content for now: the client does not take it."""
        ...

    def downstream_resumed(self) -> None:
        """Go on sending response content."""
        ...

    def client_gone(self) -> None:
        """Stop: nobody is waiting for the response any more."""
        ...


class Origin:
    """How a client reached us; prepared heads depend on it, and it is compared by identity."""

    __slots__ = ("is_secure", "port", "scheme", "trusted")

    def __init__(self, scheme: bytes, port: int, *, trusted: bool) -> None:
        self.scheme = scheme
        self.port = port
        self.trusted = trusted  # the peer may speak for the client
        self.is_secure = scheme == b"https"


class Downstream(Protocol):
    """The client's side of an exchange: where its request came from and where its response goes."""

    origin: Origin
    is_reserved: bool
    peer: Address

    @property
    def tls_version(self) -> str:
        """The TLS version, or an empty string."""
        ...

    def client_of(self, fields: RequestFields) -> tuple[bytes, bytes]:
        """Return the client's address as text and packed."""
        ...

    def bucket(self, rate: RatePolicy, packed: bytes) -> int | None:
        """Return the bucket that the client takes from under ``rate``; None when it is exempt."""
        ...

    def client_lines(self, exchange: "Exchange", chain: bytes) -> bytes:
        """Return the field lines that tell the app who the client is."""
        ...

    def misdirected(self, fields: RequestFields) -> bool:
        """Say whether this connection's certificate is not that of the requested host."""
        ...

    def has_certificate(self, fields: RequestFields) -> bool:
        """Say whether https would answer for the requested host with a certificate now."""
        ...

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
        """Send a final response head, and the content that is there already.

        ``line`` is the status line, ``block`` holds the field lines without framing. ``length`` is the octet
        count of the content, or -1 when it is not known. ``complete`` tells that ``content`` is all of it.
        """
        ...

    def respond_stored(self, status: int, prefix: bytes, lines: bytes, content: bytes) -> None:
        """Send a response that is there: ``prefix`` begins with the status line, ``lines`` are of the moment.

        Among them are Content-Length and Date; the content is empty where HEAD asked. To be called when the request
        has arrived whole.
        """
        ...

    def hold_back(self) -> bool:
        """Begin no further request of this client until go_on(); False when there will be none."""
        ...

    def go_on(self) -> bool:
        """Begin requests again; False when the client has to take its last answer first, and to be called again."""
        ...

    def upstream_failed(self, error: GatewayError) -> None:
        """Learn that there will be no response from the app."""
        ...

    def send_interim(self, status: int, block: bytes) -> None:
        """Send a 1xx response, if the client's HTTP version knows them."""
        ...

    def send_content(self, content: bytes) -> None:
        """Send the next octets of content."""
        ...

    def finish(self, trailers: tuple[FieldLine, ...] = ()) -> None:
        """End the content."""
        ...

    def abort_response(self) -> None:
        """Cut a response off so that the client notices that it is not whole."""
        ...

    def pause_content(self) -> None:
        """Ask for no more request content for now."""
        ...

    def resume_content(self) -> None:
        """Go on with the request content."""
        ...

    def switch_protocols(self, block: bytes) -> bytes:
        """Send 101 and become a tunnel; return what the client has already sent behind its request."""
        ...

    def tunnel(self, octets: bytes) -> None:
        """Send octets of the protocol that was switched to."""
        ...

    def shut_down_tunnel(self) -> bool:
        """Pass on that the app has sent all it will; False where that cannot be told by itself."""
        ...

    def end_tunnel(self) -> None:
        """Send what is left and close."""
        ...


class Exchange:
    """The state of one request on its way through the pipeline; belongs to one event loop."""

    __slots__ = (
        "cache_lines",
        "cache_outcome",
        "client",
        "client_packed",
        "complete",
        "downstream",
        "ended",
        "error",
        "extra_lines",
        "fields",
        "head_sent",
        "is_upgrade",
        "limited",
        "method",
        "minor_version",
        "received",
        "receiver",
        "request_id",
        "retries",
        "route",
        "sent",
        "site",
        "snapshot",
        "started",
        "status",
        "target",
        "upstream_address",
        "upstream_seconds",
        "writes",
    )

    def __init__(
        self,
        downstream: Downstream,
        snapshot: "Snapshot",
        method: bytes,
        target: bytes,
        minor_version: int,
        fields: RequestFields,
        started: int,
    ) -> None:
        self.downstream = downstream
        self.snapshot = snapshot
        self.method = method
        self.target = target
        self.minor_version = minor_version
        self.fields = fields
        self.started = started  # nanoseconds of the shared clock
        self.site: SiteRuntime | None = None
        self.route: RouteRuntime | None = None
        self.client = b""  # address as text
        self.client_packed = b""
        self.request_id = b""
        self.receiver: ContentReceiver | None = None
        self.complete = True  # the request's content has arrived whole
        self.head_sent = False
        self.is_upgrade = False
        self.status = 0
        self.received = 0  # octets of request content
        self.sent = 0  # octets of response content
        self.retries = 0
        self.cache_outcome = 0
        self.cache_lines = b""  # what the cache has to say in the response's head
        self.extra_lines = b""  # conditions under which a stored response may be confirmed
        self.writes = (
            False  # an unsafe request: what it may have changed is voided before its response is relayed
        )
        self.limited = 0
        self.upstream_address = ""
        self.upstream_seconds = -1.0
        self.ended = 0  # on the clock of `started`, where the end is known already
        self.error = ""
