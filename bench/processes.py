"""Start servers, and read from /proc what their processes have used."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
MOST_DESCRIPTORS = 65536


class BenchError(Exception):
    """The machine lacks something, or a server did not do what the measurement needs."""


def free_ports(count: int) -> list[int]:
    """Find different loopback ports that nothing listens on at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_port() -> int:
    """Find one such port."""
    return free_ports(1)[0]


def process_tree(root: int) -> list[int]:
    """List a process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """Sum user and system time of a process tree, its waited-for children included, in seconds.

    The kernel counts in ticks of 10 ms: measure over seconds.
    """
    ticks = 0
    for pid in process_tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def raise_descriptor_limit() -> int:
    """Raise the limit of open descriptors as far as it goes, for this process and what it starts; return it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)


def resident_bytes(root: int) -> int:
    """Sum the resident set sizes of a process tree."""
    total = 0
    for pid in process_tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


class Server:
    """One running server: a process tree, the folder with its files, its log."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it; `environment` is added to this process's own."""
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """The root of the process tree."""
        return self._process.pid

    def wait_until_listening(self, port: int) -> None:
        """Return once a connection to the port succeeds.

        Raises BenchError with the end of the server's log when it ends or does not listen in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(POLL_SECONDS)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise BenchError(f"{self.name} does not listen on port {port}; the end of its log:\n{tail}")

    def stop(self) -> None:
        """End the process tree, gently first."""
        tree = process_tree(self.pid)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server until the end of the block."""
    server = Server(name, command, folder, environment)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """Yield a temporary folder that servers which drop their privileges can enter."""
    with tempfile.TemporaryDirectory(prefix="foregate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
