"""Real https against a real `foregate run`: configurations, visitors, and what the CA was asked."""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.foregate import UNHURRIED
from tests.fakes.pebble import Pebble

PATIENCE = 60.0
#: A directory at which nobody answers.
NO_CA = "https://127.0.0.1:1/dir"


def https_configuration(
    sites: str,
    *,
    http_port: int = 0,
    directory: str = NO_CA,
    ca_file: str = "",
    workers: int = 2,
    server: str = "",
    tls: str = "",
    tables: str = "",
    storage: str = "storage",
) -> str:
    """Write a `proxy.toml` whose https port is a free one, and its http port, too, unless the CA has to know it."""
    user = 'user = "root"' if os.geteuid() == 0 and "user =" not in server else ""
    return f"""
[server]
http = ["127.0.0.1:{http_port}"]
https = ["127.0.0.1:0"]
metrics = "127.0.0.1:0"
workers = {workers}
{user}
{server}
[tls]
directory = "{directory}"
ca_file = "{ca_file}"
storage = "{storage}"
{tls}
{UNHURRIED}
[log]
level = "debug"
{tables}
{sites}
"""


def site(*domains: str, upstream: str, more: str = "") -> str:
    """Write one site."""
    return f'[[site]]\ndomains = {json.dumps(list(domains))}\nupstream = "{upstream}"\n{more}\n'


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as a visitor sees it, and the certificate that it came over (DER)."""

    status: int
    fields: http.client.HTTPMessage
    content: bytes
    certificate: bytes


class Visitor:
    """A browser that trusts some roots, and opens a new connection for every request."""

    def __init__(self, address: tuple[str, int], roots: bytes = b"") -> None:
        self.address = address
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if roots:
            self.context.load_verify_locations(cadata=roots.decode())

    def connect(self, server_name: str | None) -> ssl.SSLSocket:
        """Open a connection; raises ssl.SSLError."""
        stream = socket.create_connection(self.address, PATIENCE)
        try:
            return self.context.wrap_socket(stream, server_hostname=server_name)
        except BaseException:
            stream.close()
            raise

    def get(self, name: str, path: str = "/", *, host: str = "", server_name: str | None = "") -> Answer:
        """Ask for a page of a site; `server_name` None sends no SNI."""
        with self.connect(name if server_name == "" else server_name) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            content = response.read()
            certificate = connection.getpeercert(binary_form=True) or b""
            return Answer(response.status, response.msg, content, certificate)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    """Expect that the handshake ends with this alert, as OpenSSL names it."""
    with pytest.raises(ssl.SSLError) as caught:
        yield
    assert caught.value.reason == reason


class IssuingCa:
    """Pebble with a log that is read: what it was asked for."""

    def __init__(self, ca: Pebble, folder: Path, http_port: int) -> None:
        self.ca = ca
        self.http_port = http_port
        self._log = folder / "pebble.log"

    @property
    def environ(self) -> dict[str, str]:
        """Return what makes Foregate look at names as this CA does."""
        return {"FOREGATE_RESOLVER": self.ca.resolver, "FOREGATE_CHALLENGE_PORT": str(self.http_port)}

    @property
    def requests(self) -> int:
        """Count all that it was asked, ever."""
        return self._log.read_text().count(" -> calling handler()")

    @property
    def issued(self) -> int:
        """Count the certificates that it has issued, ever."""
        return len(re.findall("Issued certificate serial", self._log.read_text()))

    def configuration(self, sites: str, **options: object) -> str:
        """Write a configuration with this CA, whose visitors may wait for long."""
        tls = str(options.pop("tls", ""))
        return https_configuration(
            sites,
            tls=tls if "hold =" in tls else f'hold = "60s"\n{tls}',
            http_port=self.http_port,
            directory=self.ca.directory,
            ca_file=str(self.ca.ca_file),
            **options,  # type: ignore[arg-type]  # as its caller has them
        )
