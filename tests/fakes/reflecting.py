"""An app that shows all that it sees, an instance in front of it, and clients that send octets as they stand."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from itertools import count
from pathlib import Path

from tests.fakes.foregate import PATIENCE, Foregate, configuration
from tests.fakes.origin import Origin, OriginRequest, OriginResponse

TABLES = '[rate_limit]\nrate = "off"\n[cache]\nttl = "1h"\nwait = "1h"\n'
_numbers = count()


def reflecting(request: OriginRequest) -> OriginResponse:
    """Answer with everything that came, a part of it if that was asked for."""
    seen = [request.method, request.target, request.content.decode("latin-1"), *map(list, request.fields)]
    content = json.dumps(seen).encode()
    if request.all("range"):
        return OriginResponse(status=206, content=content[:4], fields=[("Content-Range", "bytes 0-3/100")])
    if request.all("if-none-match") or request.all("if-modified-since"):
        return OriginResponse(status=304)
    return OriginResponse(content=content, fields=[("ETag", '"v"')])


class Gate:
    """A running instance, and clients that send it octets."""

    def __init__(self, front: Foregate, origin: Origin) -> None:
        self.front = front
        self.origin = origin

    def path(self) -> str:
        """Return a path that nobody has asked for, of an app that reflects."""
        self.origin.answer = reflecting
        return f"/{next(_numbers)}"

    def send(self, octets: str, method: str = "GET") -> tuple[HTTPResponse, str]:
        """Send a request as it stands; return the response and its content."""
        with socket.create_connection(self.front.address("http"), PATIENCE) as connection:
            connection.sendall(octets.encode("latin-1"))
            with HTTPResponse(connection, method=method) as response:
                response.begin()
                return response, response.read().decode("latin-1")

    def get(self, path: str, fields: str = "", host: str = "a.example") -> tuple[HTTPResponse, str]:
        """Send a GET with further field lines."""
        return self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")

    def outcome(self, path: str, fields: str = "", host: str = "a.example") -> str | None:
        """Send a GET; return what the cache did with it."""
        return self.get(path, fields, host)[0].getheader("X-Cache-Status")


def running(origin: Origin, folder: Path, tables: str) -> Iterator[Gate]:
    """Run an instance while a fixture is in use."""
    front = Foregate(folder, configuration(origin.url, tables=tables))
    try:
        front.wait_serving(2)
        yield Gate(front, origin)
        assert front.metric("foregate_internal_errors_total") == 0
    finally:
        front.close()
