"""WebSocket messages: an app that echoes, and clients that wait for the echo before they send again.

Both only know what a proxy needs to see: the upgrade, and then octets. The app sends back what comes, frame and mask
and all, which no browser would take and every proxy must pass on.

    python -m bench.websockets serve PORT
    python -m bench.websockets drive PORT CONNECTIONS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from bench.h2load import percentile

MESSAGE = b"\x81\xbf\x01\x02\x03\x04" + b"m" * 63  # one masked text frame of 63 octets
REQUEST = (
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
PATIENCE = 10.0


class Echo(asyncio.Protocol):
    """The app's side of one connection."""

    def __init__(self) -> None:
        self._head = b""
        self._switched = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Switch protocols, then echo."""
        if self._switched:
            self._transport.write(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        if b"upgrade: websocket" in head.lower():
            self._switched = True
            self._transport.write(SWITCHING + rest)
        else:
            self._transport.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
            self._head = rest


class Client(asyncio.Protocol):
    """One client; `latencies` are microseconds from a message to its whole echo."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.latencies: list[int] = []
        self.lost = False
        self._head = b""
        self._waiting = 0
        self._sent = 0.0
        self._stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(REQUEST)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end that was not ours."""
        self.lost = not self._stopped
        if not self.ready.done():
            self.ready.set_exception(ConnectionResetError("closed before the upgrade"))

    def begin(self) -> None:
        """Send the first message."""
        self._sent = time.perf_counter()
        self._waiting = len(MESSAGE)
        self._transport.write(MESSAGE)

    def stop(self) -> None:
        """Close."""
        self._stopped = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Count an echo and send again."""
        if not self.ready.done():
            self._head += data
            if self._head.endswith(b"\r\n\r\n"):
                self._upgraded(self._head.split(b" ", 2)[1])
            return
        self._waiting -= len(data)
        if self._waiting == 0 and not self._stopped:
            self.latencies.append(int((time.perf_counter() - self._sent) * 1e6))
            self.begin()

    def _upgraded(self, status: bytes) -> None:
        if status == b"101":
            self.ready.set_result(None)
        else:
            self.ready.set_exception(ConnectionError(f"answered {status.decode()} instead of 101"))


async def drive(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Let clients exchange messages for a while; return figures under wrk's names.

    Raises OSError when there is no upgrade.
    """
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(connections)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(client.ready for client in made))
    begun = time.perf_counter()
    for client in made:
        client.begin()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - begun
    lost = sum(client.lost for client in made)
    latencies = sorted(latency for client in made for latency in client.latencies)
    for client in made:
        client.stop()
    return figures(latencies, took, lost)


def figures(latencies: list[int], seconds: float, lost: int) -> dict[str, float]:
    """Sum up, latencies in ascending order, under the names that the load script of wrk uses."""
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    at = {name: percentile(latencies, share) for name, share in shares.items()}
    return {"requests": len(latencies), "seconds": seconds, "statuses": 0, "socket_errors": lost, **at}


async def serve(port: int) -> None:
    """Be the app, until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Be the app or the clients."""
    kind, *arguments = sys.argv[1:]
    if kind == "serve":
        uvloop.run(serve(int(arguments[0])))
    else:
        port, connections, seconds = arguments
        print(json.dumps(uvloop.run(drive(int(port), int(connections), float(seconds)))))


if __name__ == "__main__":
    main()
