"""Clients at addresses of their own: every 127.x.y.z is one on loopback."""

import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import Self

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A response read to its end; field names are in lower case."""

    status: int
    fields: dict[str, str]
    content: bytes


class Caller:
    """One connection from one address; `first` goes out before anything else, TLS included."""

    def __init__(
        self,
        address: tuple[str, int],
        source: str = "127.0.0.1",
        *,
        first: bytes = b"",
        tls: ssl.SSLContext | None = None,
        server_name: str = "a.test",
    ) -> None:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.bind((source, 0))
            self.socket.connect(address)
            if first:
                self.socket.sendall(first)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, path: str = "/", method: str = "GET", host: str = "a.test", **fields: str) -> Reply:
        """Send a request and read its response; the connection stays open if the server keeps it."""
        connection = HTTPConnection(host)
        connection.sock = self.socket
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in fields.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = HTTPResponse(self.socket, method=method)
        response.begin()
        answered = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, answered, response.read())
        connection.sock = None
        return reply

    def is_closed_by_server(self) -> bool:
        """Wait until the server sends something or closes; True when it has closed."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


def ask(address: tuple[str, int], path: str = "/", source: str = "127.0.0.1", **fields: str) -> Reply:
    """Send one GET on a connection of its own."""
    with Caller(address, source) as caller:
        return caller.ask(path, **fields)
