"""The one tree of errors; every leaf says what a client sees and what the log says."""


class ForegateError(Exception):
    """Base of every error that Foregate raises on purpose."""


class MessageError(ForegateError):
    """A peer sent what no strict recipient may accept.

    ``status`` is what a downstream peer is answered with; ``kind`` is a short, fixed word for logs and
    metrics. An upstream's malformed response is always answered 502, whatever ``status`` says.
    """

    def __init__(self, kind: str, wording: str, status: int = 400) -> None:
        super().__init__(wording)
        self.kind = kind
        self.wording = wording
        self.status = status


class GatewayError(ForegateError):
    """A request cannot be forwarded, or its response cannot be had.

    Each leaf fixes the status that the client sees, the error type of its Proxy-Status field (RFC 9209
    section 2.3), the word under which it is counted, and whether another address may be tried before anything
    was sent. ``detail`` is for the log alone: it may name internal addresses.
    """

    status = 502
    proxy_status = "proxy_internal_error"
    kind = "other"
    wording = "The application behind this gateway could not be reached."
    try_next = False

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.wording)
        self.detail = detail


class UnresolvedError(GatewayError):
    """The upstream's name has no address (yet)."""

    status = 503
    proxy_status = "dns_error"
    kind = "unresolved"
    wording = "The application's address is not known at the moment."


class NothingLeftError(GatewayError):
    """Every address of the upstream was tried, or none may be."""

    status = 503
    proxy_status = "destination_unavailable"
    kind = "unhealthy"
    wording = "The application is not available at the moment."


class ConnectRefusedError(GatewayError):
    """The upstream refused the connection, or there is no way to it."""

    proxy_status = "connection_refused"
    kind = "refused"
    try_next = True


class ConnectTimeoutError(GatewayError):
    """No connection to the upstream within ``connect``."""

    status = 504
    proxy_status = "connection_timeout"
    kind = "connect-timeout"
    wording = "The application did not accept the connection in time."
    try_next = True


class TlsFailureError(GatewayError):
    """The TLS handshake with the upstream failed: mostly a certificate that does not verify."""

    proxy_status = "tls_certificate_error"
    kind = "tls"
    wording = "The connection to the application could not be secured."
    try_next = True


class UpstreamResetError(GatewayError):
    """The upstream closed or reset the connection before its response was whole."""

    proxy_status = "connection_terminated"
    kind = "reset"
    wording = "The application closed the connection before its answer was complete."


class InvalidResponseError(GatewayError):
    """The upstream's response is not HTTP/1.1 as a strict recipient must read it."""

    proxy_status = "http_protocol_error"
    kind = "invalid"
    wording = "The application's answer was not valid HTTP."


class FirstByteTimeoutError(GatewayError):
    """No response head within ``first_byte``."""

    status = 504
    proxy_status = "http_response_timeout"
    kind = "first-byte-timeout"
    wording = "The application did not answer in time."


class ReadTimeoutError(GatewayError):
    """The response's content stopped for longer than ``read``."""

    status = 504
    proxy_status = "connection_read_timeout"
    kind = "read-timeout"
    wording = "The application stopped in the middle of its answer."


class ConnectionLimitError(GatewayError):
    """The upstream has as many connections from here as it may have, and none came free in time."""

    status = 503
    proxy_status = "connection_limit_reached"
    kind = "other"
    wording = "The application is busy."


class LoopDetectedError(GatewayError):
    """The request has come through this instance before (RFC 9110 section 7.6.3)."""

    status = 508
    proxy_status = "proxy_loop_detected"
    wording = "This gateway is configured to forward to itself."
