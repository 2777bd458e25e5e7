"""Stream a large upload and a large download through one slow peer each, and watch the worker's memory.

`python -m tests.campaigns.streaming_memory [MEGABYTES]` runs it in full size; the suite runs a small one. The
sender is always ahead: it sends until nobody takes more, then the receiver takes a little, and so on. So
every octet that a gateway could pile up is there to be piled up.
"""

import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fakes.foregate import Foregate, configuration

ALLOWED: Final = 2 * 1024 * 1024
_MEGABYTE: Final = 1024 * 1024
_PIECE: Final = bytes(256) * 1024
_TAKEN_AT_ONCE: Final = 300_000
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transfer did to the worker: its memory before, and the most that it grew by (octets)."""

    direction: str
    octets: int
    resident_before: int
    growth: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.direction} of {self.octets / _MEGABYTE:.0f} MB: {self.resident_before / _MEGABYTE:.1f} MB before, "
            f"at most {self.growth / 1024:.0f} KB more, {self.seconds:.0f} s"
        )


def resident(pid: int) -> int:
    """Return the resident memory of a process (octets), of which shared memory is no part."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024


def _read_head(sock: socket.socket) -> bytes:
    """Read a head; return what came behind it."""
    received = b""
    while b"\r\n\r\n" not in received:
        octets = sock.recv(65536)
        if not octets:
            raise EOFError(f"ended behind {received!r}")
        received += octets
    return received.partition(b"\r\n\r\n")[2]


def _carry(sender: socket.socket, receiver: socket.socket, size: int, pid: int) -> int:
    """Send so many octets, always ahead of the receiver; return the most memory that the worker had."""
    sent = received = most = 0
    sender.setblocking(False)
    receiver.settimeout(_PATIENCE)
    while received < size:
        try:
            while sent < size:
                sent += sender.send(_PIECE[: size - sent])
        except BlockingIOError:
            pass
        taken = received + _TAKEN_AT_ONCE
        while received < min(taken, size) and select.select([receiver], [], [], _PATIENCE)[0]:
            octets = receiver.recv(65536)
            if not octets:
                raise EOFError(f"ended after {received} of {size} octets")
            received += len(octets)
        most = max(most, resident(pid))
    sender.setblocking(True)
    sender.settimeout(_PATIENCE)
    return most


class Way:
    """A client, a running Foregate, and its app."""

    def __init__(self, foregate: Foregate, listening: socket.socket) -> None:
        self._foregate = foregate
        self._listening = listening
        self._client = socket.create_connection(("127.0.0.1", foregate.port), _PATIENCE)
        self._app: socket.socket | None = None
        (self.pid,) = foregate.worker_pids()

    def request(self, head: str) -> tuple[socket.socket, socket.socket]:
        """Send a request's head, and return both ends when the app has it."""
        self._client.sendall(f"{head}\r\nHost: a.test\r\n\r\n".encode())
        if self._app is None:
            self._app, _ = self._listening.accept()
            self._app.settimeout(_PATIENCE)
        assert _read_head(self._app) == b""
        return self._client, self._app

    def download(self, size: int) -> Outcome:
        """Let the app send, and the client take it slowly."""
        client, app = self.request("GET /download HTTP/1.1")
        app.sendall(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % size)
        assert _read_head(client) == b""
        return self._measured("download", app, client, size)

    def upload(self, size: int) -> Outcome:
        """Let the client send, and the app take it slowly."""
        client, app = self.request(f"POST /upload HTTP/1.1\r\nContent-Length: {size}")
        outcome = self._measured("upload", client, app, size)
        app.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        _read_head(client)
        return outcome

    def _measured(self, direction: str, sender: socket.socket, receiver: socket.socket, size: int) -> Outcome:
        before, began = resident(self.pid), time.monotonic()
        most = _carry(sender, receiver, size, self.pid)
        return Outcome(direction, size, before, most - before, time.monotonic() - began)

    def close(self) -> None:
        """Hang up at both ends."""
        self._client.close()
        if self._app is not None:
            self._app.close()


@contextmanager
def running(folder: Path) -> Iterator[Way]:
    """Run Foregate with one worker between a client and an app."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        upstream = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = configuration(upstream, workers=1, tables='[limits]\nbody = "4GB"\n')
        foregate = Foregate(folder, config)
        try:
            foregate.wait_serving(1)
            path = Way(foregate, listening)
            try:
                yield path
            finally:
                path.close()
        finally:
            foregate.close()


def campaign(megabytes: int, folder: Path) -> list[Outcome]:
    """Carry so many megabytes each way, after a little that warms the worker up."""
    with running(folder) as path:
        for warm_up in (path.download, path.upload):
            warm_up(_MEGABYTE)
        return [path.upload(megabytes * _MEGABYTE), path.download(megabytes * _MEGABYTE)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        outcomes = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 1024, Path(name))
    print(*outcomes, sep="\n")
    sys.exit(any(outcome.growth > ALLOWED for outcome in outcomes))
