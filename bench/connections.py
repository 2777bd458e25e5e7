"""Measure the memory of idle keep-alive connections: python -m bench.connections --help."""

from __future__ import annotations

import argparse
import json
import resource
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.processes import BenchError, resident_bytes, working_folder
from bench.proxies import KINDS, Kind, Proxy, chosen_kinds, running_origin, running_proxy
from bench.rows import HOST

REQUEST = f"GET /small HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
SPARE_DESCRIPTORS = 200
WARM_UP = 100  # connections opened and closed first, so that what is allocated once is not counted


@dataclass(frozen=True, slots=True)
class Result:
    """Growth of the proxy's resident memory by so many idle connections."""

    proxy: str
    connections: int
    resident_before: int
    resident_after: int

    @property
    def kilobytes_each(self) -> float:
        """Memory of one connection in KB (1,024 octets)."""
        return (self.resident_after - self.resident_before) / self.connections / 1024


def _descriptors(wanted: int) -> None:
    """Raise the limit of open descriptors so far that the connections fit; the proxies inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(
            f"{wanted} descriptors are needed and the hard limit is {hard}; open fewer connections"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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


def _open(proxy: Proxy, count: int) -> list[socket.socket]:
    """Open connections, each with one request answered on it."""
    connections = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", proxy.ports["http"]), timeout=10)
        connections.append(connection)
        connection.sendall(REQUEST)
        _read_answer(connection)
    return connections


def measure(kind: Kind, count: int) -> Result:
    """Open the connections one after the other and read the resident memory before and after."""
    with (
        working_folder() as folder,
        running_origin(folder) as origin,
        running_proxy(kind, "pass", folder, origin) as proxy,
    ):
        for connection in _open(proxy, WARM_UP):
            connection.close()
        before = resident_bytes(proxy.server.pid)
        connections = _open(proxy, count)
        after = resident_bytes(proxy.server.pid)
        for connection in connections:
            connection.close()
        return Result(kind.name, count, before, after)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 1 when something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.connections", description=__doc__)
    parser.add_argument("--proxies", default="nginx,foregate", help="comma-separated: " + ", ".join(KINDS))
    parser.add_argument("--connections", type=int, default=8000)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        kinds = chosen_kinds(options.proxies)
    except ValueError as exc:
        parser.error(str(exc))
    try:
        _descriptors(options.connections + SPARE_DESCRIPTORS)
        results = [measure(kind, options.connections) for kind in kinds]
    except (BenchError, OSError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
        return 0
    print("| proxy | idle connections | memory before | after | each |\n|---|---|---|---|---|")
    for result in results:
        before, after = result.resident_before / 2**20, result.resident_after / 2**20
        print(
            f"| {result.proxy} | {result.connections} | {before:.1f} MB | {after:.1f} MB "
            f"| {result.kilobytes_each:.2f} KB |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
