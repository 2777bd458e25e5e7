"""How a handshake can end, who counts it, and what a client that speaks plain http is told."""

from enum import Enum
from typing import Final, Protocol

from proxy.telemetry import counters
from proxy.telemetry.counters import WorkerCounters

_PLAIN_HTTP: Final = b"This port speaks https. Use https:// instead of http:// in the address.\n"
PLAIN_HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s" % (len(_PLAIN_HTTP), _PLAIN_HTTP)
)


class HandshakeFailure(Enum):
    """Why a handshake ended without a connection; the values are metric labels (counters.HANDSHAKE_FAILURES)."""

    CLIENT_LEFT = "client_left"
    TIMEOUT = "timeout"
    PLAIN_HTTP = "plain_http"
    NOT_TLS = "not_tls"
    MALFORMED = "malformed"
    NAME = "unrecognized_name"
    ALPN = "no_application_protocol"
    NO_CERTIFICATE = "no_certificate"
    TOO_MANY_HELD = "too_many_held"
    TLS = "tls"
    CLIENT_ALERT = "client_alert"


_WORDS: Final = {
    HandshakeFailure(reason): counters.FIRST_HANDSHAKE_FAILURE + number
    for number, reason in enumerate(counters.HANDSHAKE_FAILURES)
}


class HandshakeObserver(Protocol):
    """Counts handshakes."""

    def handshake_done(self, *, resumed: bool) -> None:
        """Count a finished handshake."""
        ...

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """Count a connection that ended before its handshake was done."""
        ...

    def handshake_held(self) -> None:
        """Count a handshake that begins to wait for a certificate."""
        ...


class HandshakeCounters:
    """Counts handshakes in the worker's counters."""

    def __init__(self, worker_counters: WorkerCounters) -> None:
        self._add = worker_counters.add

    def handshake_done(self, *, resumed: bool) -> None:
        """Count a finished handshake."""
        self._add(counters.HANDSHAKES_RESUMED if resumed else counters.HANDSHAKES_FULL)

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """Count a failed one by its reason, and by its result."""
        self._add(_WORDS[failure])
        match failure:
            case HandshakeFailure.TIMEOUT:
                self._add(counters.HANDSHAKES_TIMED_OUT)
            case HandshakeFailure.NAME:
                self._add(counters.HANDSHAKES_NAME_REFUSED)
            case _:
                self._add(counters.HANDSHAKES_FAILED)

    def handshake_held(self) -> None:
        """Waiting is no end; nothing is counted."""
