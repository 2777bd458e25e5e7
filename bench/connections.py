"""Measure the memory of idle keep-alive connections: python -m bench.connections --help."""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bench.processes import BenchError, raise_descriptor_limit, resident_bytes, working_folder
from bench.proxies import NAMES, Kind, Proxy, chosen_kinds, running_origin, running_proxy
from bench.report import COMPILED, OURS
from bench.rows import HOST

REQUEST = f"GET /small HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
SPARE_DESCRIPTORS = 100
SCHEMES = ("http", "https")
MANY = 10_000
PROMISED = {"http": (3, 1.5), "https": (24, 15)}  # KB each: what it must be, and the aim
WARM_UP = 100  # connections opened and closed first, so that what is allocated once is not counted


@dataclass(frozen=True, slots=True)
class Result:
    """Growth of the proxy's resident memory by so many idle connections."""

    proxy: str
    scheme: str
    connections: int
    resident_before: int
    resident_after: int

    @property
    def kilobytes_each(self) -> float:
        """Memory of one connection in KB (1,024 octets)."""
        return (self.resident_after - self.resident_before) / self.connections / 1024


def most() -> int:
    """Say how many connections fit: a worker of Foregate keeps half of its descriptors for connections to apps."""
    return raise_descriptor_limit() // 2 - SPARE_DESCRIPTORS


def _read_answer(connection: socket.socket) -> None:
    """Read one answer with a Content-Length and keep the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _received(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += _received(connection)


def _received(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise BenchError("the proxy closed a connection that should stay open")
    return piece


def _connector(proxy: Proxy, scheme: str) -> Callable[[], socket.socket]:
    """Return what opens one connection."""
    address = ("127.0.0.1", proxy.ports[scheme])
    if scheme == "http":
        return lambda: socket.create_connection(address, timeout=10)
    context = ssl.create_default_context(cafile=str(proxy.server.folder / "certificate.pem"))
    return lambda: context.wrap_socket(socket.create_connection(address, timeout=10), server_hostname=HOST)


def _open(connect: Callable[[], socket.socket], count: int) -> list[socket.socket]:
    """Open connections, each with one request answered on it."""
    connections = []
    for _ in range(count):
        connection = connect()
        connections.append(connection)
        connection.sendall(REQUEST)
        _read_answer(connection)
    return connections


def measure(kind: Kind, count: int, *, scheme: str = "http") -> Result:
    """Open the connections one after the other and read the resident memory before and after."""
    with (
        working_folder() as folder,
        running_origin(folder) as origin,
        running_proxy(kind, "pass", folder, origin) as proxy,
    ):
        connect = _connector(proxy, scheme)
        for connection in _open(connect, WARM_UP):
            connection.close()
        before = resident_bytes(proxy.server.pid)
        connections = _open(connect, count)
        after = resident_bytes(proxy.server.pid)
        for connection in connections:
            connection.close()
        print(
            f"  {count} idle connections, {scheme}, {kind.name}: {after - before} octets more",
            file=sys.stderr,
        )
        return Result(kind.name, scheme, count, before, after)


def table(results: Sequence[Result]) -> str:
    """Lay the results out, with what is promised."""
    lines = [
        "| proxy | idle connections | memory before | after | each | must | aim |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        before, after = result.resident_before / 2**20, result.resident_after / 2**20
        bounds = PROMISED[result.scheme] if result.proxy == "foregate" else ()
        must, aim = (f"≤ {bound:g} KB" for bound in bounds) if bounds else ("", "")
        lines.append(
            f"| {result.proxy} | {result.connections:,} {result.scheme} | {before:.1f} MB | {after:.1f} MB "
            f"| {result.kilobytes_each:.2f} KB | {must} | {aim} |"
        )
    return "\n".join(lines)


def missed(results: Sequence[Result]) -> list[str]:
    """Name the rows in which a connection of Foregate's takes more than it must."""
    return [
        f"idle-{result.scheme}"
        for result in results
        if result.proxy in (OURS, COMPILED) and result.kilobytes_each > PROMISED[result.scheme][0]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.connections", description=__doc__)
    parser.add_argument("--proxies", default="nginx,foregate", help="comma-separated: " + ", ".join(NAMES))
    parser.add_argument("--connections", type=int, help="10,000, or as many as descriptors allow")
    parser.add_argument("--schemes", default=",".join(SCHEMES), help="comma-separated")
    parser.add_argument("--python", default="", help="the Python that Foregate runs under")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    count = options.connections or min(MANY, most())
    try:
        if count > most():
            raise BenchError(f"{count} connections need more descriptors than are allowed; {most()} fit")
        kinds = chosen_kinds(options.proxies, options.python)
        schemes = options.schemes.split(",")
        results = [measure(kind, count, scheme=scheme) for scheme in schemes for kind in kinds]
    except ValueError as exc:
        parser.error(str(exc))
    except (BenchError, OSError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(result) for result in results]) if options.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
