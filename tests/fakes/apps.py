"""Real apps as processes: each is given a listening socket, so that no port is guessed and none raced for."""

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = ROOT / "tests" / "apps"
BLOCK = 16
LARGE = 8 * 2**20
GRACE = 30.0
KEPT = 60  # seconds, for connections of clients on a busy machine


def _gunicorn(fd: int, module: str = "tests.apps.flask_app:app") -> list[str]:
    options = [
        "--worker-class",
        "gthread",
        "--threads",
        "16",
        "--keep-alive",
        str(KEPT),
        "--timeout",
        "120",
        "--log-level",
        "warning",
        "--no-control-socket",
    ]
    return [sys.executable, "-m", "gunicorn", module, "--bind", f"fd://{fd}", *options]


def _uvicorn(fd: int, module: str = "tests.apps.starlette_app:app") -> list[str]:
    options = ["--log-level", "warning", "--no-proxy-headers", "--timeout-keep-alive", str(KEPT)]
    return [sys.executable, "-m", "uvicorn", module, "--fd", str(fd), *options]


def _node(fd: int) -> list[str]:
    return ["node", str(APPS / "node_app.js")]


def _websockets(fd: int) -> list[str]:
    return [sys.executable, str(APPS / "websocket_app.py")]


COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "flask": _gunicorn,
    "starlette": _uvicorn,
    "node": _node,
    "websocket": _websockets,
}
#: Apps for a few tests of their own.
OTHERS: dict[str, Callable[[int], list[str]]] = {
    "board": lambda fd: _gunicorn(fd, "tests.apps.board_app:app"),
    "page": lambda fd: _uvicorn(fd, "tests.apps.page_app:app"),
}


@dataclass(frozen=True, slots=True)
class App:
    """A running app and where it listens."""

    name: str
    port: int
    log: Path

    @property
    def origin(self) -> str:
        """Return the app's URL without a path."""
        return f"http://127.0.0.1:{self.port}"


def content(start: int, end: int) -> bytes:
    """Return the octets [start, end) of the large file: numbered lines, so that a misplaced octet shows."""
    first = start // BLOCK
    lines = b"".join(b"%015d\n" % number for number in range(first, (end + BLOCK - 1) // BLOCK))
    return lines[start - first * BLOCK : end - first * BLOCK]


def write_files(folder: Path) -> None:
    """Write the files that the apps serve."""
    (folder / "large.bin").write_bytes(content(0, LARGE))
    (folder / "small.bin").write_bytes(content(0, 1000))
    (folder / "empty.bin").write_bytes(b"")


@contextlib.contextmanager
def running_app(
    name: str, files: Path, *options: str, unix: Path | None = None, tls: bool = False
) -> Iterator[App]:
    """Run one of COMMANDS or OTHERS until the block ends, on a free port or a unix socket; its log goes beside `files`.

    `tls` says that `options` make it speak https.
    """
    log = files.parent / f"{name}.log"
    with _listening(unix) as listening, log.open("wb") as output:
        address = listening.getsockname()
        fd = listening.fileno()
        process = subprocess.Popen(
            [*(COMMANDS | OTHERS)[name](fd), *options],
            cwd=ROOT,
            env={**os.environ, "APP_FILES": str(files), "LISTEN_FD": str(fd)},
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_answer(listening.family, address, tls, log)
        yield App(name, 0 if unix else address[1], log)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process: politely first."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listening(unix: Path | None) -> socket.socket:
    if unix is None:
        return socket.create_server(("127.0.0.1", 0), backlog=512)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(unix))
    listening.listen(512)
    return listening


def _await_answer(family: int, address: tuple[str, int] | str, tls: bool, log: Path) -> None:
    """Wait for the first answer: the connection waits in the backlog until the app accepts it."""
    connection = http.client.HTTPConnection("localhost")
    try:
        connection.sock = socket.socket(family)
        connection.sock.settimeout(60)
        connection.sock.connect(address)
        if tls:
            context = ssl._create_unverified_context()
            connection.sock = context.wrap_socket(connection.sock)
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError as fault:
        raise RuntimeError(f"the app did not start: {log.read_text()}") from fault
    finally:
        connection.close()
