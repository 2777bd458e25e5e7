"""A running instance with two workers, and a say in which of them a new connection goes to: the other is stopped."""

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from tests.fakes.foregate import PATIENCE, Foregate


class TwoWorkers:
    """Workers that are stopped and continued; whoever is stopped must not stay so for 10 s."""

    def __init__(self, front: Foregate) -> None:
        self.front = front
        front.wait_serving(2)

    def pids(self) -> list[int]:
        """Return the process ids of the workers that serve, by slot."""
        _, status = self.front.admin("GET", "/api/v1/status")
        serving = [worker for worker in status["workers"] if worker["state"] == "serving"]
        return [worker["pid"] for worker in sorted(serving, key=lambda worker: int(worker["slot"]))]

    @contextlib.contextmanager
    def only(self, slot: int) -> Iterator[int]:
        """Stop the other worker meanwhile; give this one's process id."""
        pids = self.pids()
        other = pids[1 - slot]
        os.kill(other, signal.SIGSTOP)
        while not _is_stopped(other):
            continue
        try:
            yield pids[slot]
        finally:
            # Where it was killed meanwhile, there is nobody to continue.
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGCONT)

    def wait_for_connections(self, number: int) -> None:
        """Wait until so many clients are connected to the two together."""
        self.front.wait_metric(number, "foregate_connections_active", scheme="http")

    def ask(self, path: str, method: str = "GET") -> HTTPConnection:
        """Send a request on a connection of its own, and leave the answer to be read."""
        connection = HTTPConnection(*self.front.address("http"), timeout=PATIENCE)
        connection.request(method, path, headers={"Host": "a.example"})
        return connection

    @staticmethod
    def leave(connection: HTTPConnection) -> None:
        """Take a client away so that it shows at once: a mere end of its sending might still read."""
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _is_stopped(pid: int) -> bool:
    """Say whether a process does nothing any more: until then it may still accept a connection."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
