"""Drive one row's load against one proxy, and read what it cost."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from bench.processes import BenchError, cpu_seconds
from bench.proxies import Proxy
from bench.rows import HOST, Row

SCRIPT = Path(__file__).parent / "browser.lua"
PROBES = 3  # the second and third of a cached target are hits


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a row; `seconds` of wall time, `cpu` seconds of the proxy, latencies in microseconds."""

    requests: int
    seconds: float
    cpu: float
    errors: int
    p50: int
    p99: int
    p999: int

    @property
    def cpu_per_request(self) -> float:
        """CPU time of the proxy per request, in microseconds."""
        return self.cpu / self.requests * 1e6

    @property
    def rate(self) -> float:
        """Requests per second of wall time."""
        return self.requests / self.seconds


def _exchange(proxy: Proxy, row: Row) -> tuple[int, int, str | None]:
    """Send one request; return status, content length and X-Cache-Status."""
    stream = socket.create_connection(("127.0.0.1", proxy.ports[row.scheme]), timeout=10)
    if row.scheme == "https":
        context = ssl.create_default_context(cafile=str(proxy.server.folder / "certificate.pem"))
        stream = context.wrap_socket(stream, server_hostname=HOST)
    with stream:
        stream.sendall(f"GET {row.path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        response = HTTPResponse(stream)
        response.begin()
        return response.status, len(response.read()), response.getheader("X-Cache-Status")


def probe(proxy: Proxy, row: Row) -> None:
    """Check that the proxy does the row's work before it is measured.

    Raises BenchError when the answer is another than the row expects.
    """
    try:
        status, length, cache = [_exchange(proxy, row) for _ in range(PROBES)][-1]
    except (OSError, HTTPException) as exc:
        raise BenchError(f"{proxy.kind.name} does not answer row {row.name}: {exc}") from exc
    if status != row.status or (row.body is not None and length != row.body):
        raise BenchError(
            f"{proxy.kind.name} answers row {row.name} with {status} and {length} octets "
            f"where {row.status} and {row.body} are expected"
        )
    if row.site == "hit" and cache not in ("HIT", None):
        raise BenchError(f"{proxy.kind.name} does not answer row {row.name} from its cache: {cache}")


def measure(proxy: Proxy, row: Row, seconds: float) -> Measurement:
    """Run wrk for so many seconds and read the CPU time that the proxy used meanwhile.

    Raises BenchError when wrk is missing, fails, or gets no answer.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is not installed; install Debian's package wrk")
    command = [wrk, "-t1", f"-c{row.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), f"{row.scheme}://{HOST}:{proxy.ports[row.scheme]}{row.path}"]
    command += ["--", HOST, row.path, "close" if row.new_connections else "keep"]
    before = cpu_seconds(proxy.server.pid)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu = cpu_seconds(proxy.server.pid) - before
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not lines:
        raise BenchError(f"wrk failed: {result.stdout}{result.stderr}")
    found = json.loads(lines[-1])
    if not found["requests"]:
        raise BenchError(f"{proxy.kind.name} answered nothing in row {row.name}")
    # wrk counts statuses above 399; in a row of refusals they are what is wanted.
    errors = found["socket_errors"] + (found["statuses"] if row.status < 400 else 0)
    return Measurement(
        found["requests"], found["seconds"], cpu, errors, found["p50"], found["p99"], found["p999"]
    )
