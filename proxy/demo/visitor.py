"""A client of the demo: it asks over TLS or in the clear, from a loopback address of its choice."""

import http.client
import socket
import ssl
from types import TracebackType
from typing import Final, NamedTuple, Self

NAME: Final = "localhost"
_PATIENCE: Final = 30.0  # seconds; the first https request may wait for its certificate


class Answer(NamedTuple):
    """What a client saw."""

    status: int
    fields: http.client.HTTPMessage
    content: bytes


class Visitor:
    """One connection to a port of 127.0.0.1, kept alive over requests.

    `address` is the loopback address that it comes from: to the limiter each one is a client of its own.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(NAME, port, timeout=_PATIENCE)
        opened = socket.create_connection(("127.0.0.1", port), _PATIENCE, (address, 0))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._connection.sock = (
                opened if context is None else context.wrap_socket(opened, server_hostname=NAME)
            )
        except BaseException:
            opened.close()
            raise

    def get(self, path: str) -> Answer:
        """Send GET and return the whole answer."""
        self._connection.request("GET", path, headers={"Accept": "application/json"})
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
