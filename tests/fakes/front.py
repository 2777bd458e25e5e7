"""Real clients' view of an app: the same whether they reach it directly or through the proxy."""

import http.client
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response read to its end."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of all field lines with this name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Return the value of the only field line with this name."""
        (value,) = self.all(name)
        return value


def read(response: http.client.HTTPResponse) -> Answer:
    """Read a response to its end."""
    return Answer(response.status, response.getheaders(), response.read())


@dataclass(frozen=True, slots=True)
class Front:
    """Where a client finds an app: a port on 127.0.0.1, and the name that goes into Host."""

    app: str
    port: int

    @property
    def host(self) -> str:
        """Return the name without the port."""
        return f"{self.app}.test"

    @property
    def authority(self) -> str:
        """Return what a browser would send as Host."""
        return f"{self.host}:{self.port}"

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """Open a connection that is closed in the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            yield connection
        finally:
            connection.close()

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """Send a request and read its response; without a connection, on one of its own."""
        if connection is None:
            with self.connection() as own:
                return self.ask(method, target, body=body, headers=headers, connection=own)
        fields = {"Host": self.authority, **(headers or {})}
        connection.request(method, target, body=body, headers=fields)
        return read(connection.getresponse())

    def curl(self, target: str, *options: str | Path) -> bytes:
        """Run curl and return its output."""
        resolve = f"{self.authority}:127.0.0.1"
        command = ["curl", "-sS", "--max-time", str(TIMEOUT), "--resolve", resolve, *options]
        url = f"http://{self.authority}{target}"
        return subprocess.run([*command, url], check=True, capture_output=True).stdout
