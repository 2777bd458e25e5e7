"""Run Foregate in front of a small demo app and show by real requests what it does: scripts/demo.py [--once]

What is printed is what was seen. --once shows and ends, with status 0 only when a request came through.
"""

from __future__ import annotations

import argparse
import getpass
import http.client
import itertools
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

FOREGATE = str(Path(sys.executable).with_name("foregate"))
START_SECONDS = 20.0
REQUESTS_TO_LIMIT = 200
FORWARDED = ("host", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via")

CONFIGURATION = """\
[server]
http = ["127.0.0.1:{http}"]
https = ["127.0.0.1:{https}"]
metrics = "127.0.0.1:{metrics}"
redirect_https = false
user = "{user}"

[tls]
mode = "self-signed"

[log]
access = "access.log"

[[site]]
domains = ["localhost"]
upstream = "http://127.0.0.1:{app}"
"""


class Answer(NamedTuple):
    """What a client saw."""

    status: int
    fields: http.client.HTTPMessage
    content: bytes


class App(BaseHTTPRequestHandler):
    """The demo app: says how many requests have reached it, and with which forwarding fields."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    count = itertools.count(1)

    def do_GET(self) -> None:
        """Answer any path."""
        seen = {name: self.headers[name] for name in FORWARDED if name in self.headers}
        content = json.dumps(
            {"request": next(self.count), "path": self.path, "fields": seen}, indent=1
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: Foregate logs."""


class DemoError(Exception):
    """The demo cannot go on; says why."""


def free_port() -> int:
    """Find a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, path: str, context: ssl.SSLContext | None = None) -> Answer:
    """Send one GET on a connection of its own, over TLS with a context."""
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection("localhost", port, timeout=10)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def wait_until_serving(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once a connection succeeds; raises DemoError when Foregate ends first or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"foregate run ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise DemoError(f"foregate run did not listen within {START_SECONDS:.0f} s")


def show_forwarding(port: int) -> None:
    """Send one request and show what the app got; raises DemoError unless it came through."""
    answer = get(port, "/hello")
    print(f"\nGET /hello -> {answer.status}; the app answered:")
    print("  " + answer.content.decode(errors="replace").replace("\n", "\n  "))
    if answer.status != 200:
        raise DemoError(f"expected status 200, got {answer.status}")


def show_https(port: int, root: Path) -> None:
    """Send one request over TLS, verified against the local CA's root; raises DemoError unless it came through."""
    answer = get(port, "/secure", ssl.create_default_context(cafile=str(root)))
    print(
        f"GET https://localhost:{port}/secure, verified against {root.name} of the local CA -> {answer.status}"
    )
    if answer.status != 200:
        raise DemoError(f"expected status 200, got {answer.status}")


def show_cache(port: int) -> None:
    """Send the same request twice and say whether the second reached the app."""
    first, second = get(port, "/cached"), get(port, "/cached")
    cached = first.content == second.content
    said = second.fields.get("X-Cache-Status", "none")
    print(
        f"GET /cached twice -> {'one request' if cached else 'both'} reached the app (X-Cache-Status: {said})"
    )


def show_limiter(port: int) -> None:
    """Send requests until one is limited, and say which."""
    for number in range(1, REQUESTS_TO_LIMIT + 1):
        answer = get(port, f"/limit/{number}")
        if answer.status == 429:
            print(f"request {number} in a row -> 429, Retry-After: {answer.fields.get('Retry-After')}")
            return
    print(f"{REQUESTS_TO_LIMIT} requests in a row -> none was limited")


def show_metrics(port: int) -> None:
    """Print what /metrics has counted."""
    lines = get(port, "/metrics").content.decode().splitlines()
    counted = [
        line for line in lines if line.startswith("foregate_requests_total") and not line.endswith(" 0.0")
    ]
    print("metrics: " + ("\n         ".join(counted) if counted else f"{len(lines)} lines"))


def show(ports: dict[str, int], root: Path) -> None:
    """Show all of it."""
    show_forwarding(ports["http"])
    show_https(ports["https"], root)
    show_cache(ports["http"])
    show_limiter(ports["http"])
    show_metrics(ports["metrics"])


def run(folder: Path, *, once: bool) -> None:
    """Start app and Foregate, show, and stay until interrupted unless `once`."""
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    ports = {"http": free_port(), "https": free_port(), "metrics": free_port(), "app": app.server_port}
    path = folder / "proxy.toml"
    # Root may have cloned into a folder that nobody else may read: the workers then keep the user of this demo.
    path.write_text(CONFIGURATION.format(user=getpass.getuser(), **ports))
    print(f"foregate run -c {path}\n\n{path.read_text()}", flush=True)
    log = folder / "foregate.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [FOREGATE, "run", "-c", str(path)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_until_serving(process, ports["http"])
        show(ports, folder / "ssl_data" / "local-ca" / "root.pem")
        if not once:
            print(
                f"\nYours to try: https://localhost:{ports['https']}/ and http://localhost:{ports['http']}/"
            )
            print(f"Metrics: http://localhost:{ports['metrics']}/metrics; logs: {folder}/*.log")
            print(f"Change {path}, then: {FOREGATE} reload -c {path}. Ctrl-C ends.", flush=True)
            process.wait()
    except DemoError:
        print(log.read_text(errors="replace"), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait()
        app.shutdown()
        app.server_close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; exit status 1 when a request did not come through."""
    parser = argparse.ArgumentParser(prog="./try", description="Run Foregate in front of a demo app.")
    parser.add_argument("--once", action="store_true", help="show and end")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="foregate-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            run(folder, once=options.once)
        except KeyboardInterrupt:
            print()
        except (DemoError, OSError) as exc:
            print(f"demo: {exc}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
