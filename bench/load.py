"""Drive one row's load against one proxy, and read what it cost."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from bench import h2load
from bench.h2load import percentile
from bench.processes import BenchError, cpu_seconds, resident_bytes
from bench.proxies import Proxy, program
from bench.rows import HOST, Row

SCRIPT = Path(__file__).parent / "browser.lua"
REPOSITORY = Path(__file__).parent.parent
PROBES = 3  # the second and third of a cached target are hits
DRIVERS = ("wrk", "h2load")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a row; `seconds` of wall time, `cpu` seconds of the proxy, latencies in microseconds.

    `resident` is the memory of the proxy's processes after the run, in octets.
    """

    requests: int
    seconds: float
    cpu: float
    errors: int
    p50: int
    p99: int
    p999: int
    resident: int = 0

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
    head = f"{row.method} {row.path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    if row.upload:
        head += f"Content-Length: {row.upload}\r\n"
    with stream:
        stream.sendall(f"{head}\r\n".encode() + b"x" * row.upload)
        response = HTTPResponse(stream)
        response.begin()
        return response.status, len(response.read()), response.getheader("X-Cache-Status")


def probe(proxy: Proxy, row: Row) -> None:
    """Check that the proxy does the row's work before it is measured.

    Raises BenchError when the answer is another than the row expects.
    """
    if row.site == "websocket":
        return  # its clients check the upgrade
    try:
        status, length, cache = [_exchange(proxy, row) for _ in range(PROBES)][-1]
    except (OSError, HTTPException) as exc:
        raise BenchError(f"{proxy.kind.name} does not answer row {row.name}: {exc}") from exc
    if status != row.status or (row.body is not None and length != row.body):
        raise BenchError(
            f"{proxy.kind.name} answers row {row.name} with {status} and {length} octets "
            f"where {row.status} and {row.body} are expected"
        )
    if row.site == "hit" and cache not in ("HIT", "UPDATING", None):
        raise BenchError(f"{proxy.kind.name} does not answer row {row.name} from its cache: {cache}")


def measure(proxy: Proxy, row: Row, seconds: float, driver: str = "wrk") -> Measurement:
    """Run the load for so many seconds and read the CPU time that the proxy used meanwhile.

    Raises BenchError when the load generator is missing, fails, or gets no answer.
    """
    before = cpu_seconds(proxy.server.pid)
    if row.site == "websocket":
        found = _websockets(proxy, row, seconds)
    elif driver == "h2load":
        found = _h2load(proxy, row, seconds)
    else:
        found = _wrk(proxy, row, seconds)
    cpu = cpu_seconds(proxy.server.pid) - before
    if not found["requests"]:
        raise BenchError(f"{proxy.kind.name} answered nothing in row {row.name}")
    return Measurement(
        int(found["requests"]),
        found["seconds"],
        cpu,
        int(found["socket_errors"] + found["statuses"]),
        int(found["p50"]),
        int(found["p99"]),
        int(found["p999"]),
        resident_bytes(proxy.server.pid),
    )


def _wrk(proxy: Proxy, row: Row, seconds: float) -> Mapping[str, float]:
    command = [
        program("wrk"),
        "-t1",
        f"-c{row.connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
    ]
    command += ["-s", str(SCRIPT), f"{row.scheme}://{HOST}:{proxy.ports[row.scheme]}{row.path}", "--", HOST]
    command += [row.method, row.path, str(row.targets), str(row.cookies), row.head, str(row.upload)]
    found = _last_line_of([*command, "close" if row.new_connections else "keep"])
    # wrk counts statuses above 399; in a row of refusals they are what is wanted.
    return {**found, "statuses": found["statuses"] if row.status < 400 else 0}


def _h2load(proxy: Proxy, row: Row, seconds: float) -> Mapping[str, float]:
    """Measure by h2load; raises BenchError for a row that it cannot send."""
    if not row.is_simple:
        raise BenchError(f"h2load cannot send the requests of row {row.name}; leave it out, or use wrk")
    url = f"{row.scheme}://{HOST}:{proxy.ports[row.scheme]}{row.path}"
    answers = h2load.run(url, connections=row.connections, seconds=seconds, folder=proxy.server.folder)
    return {
        "requests": len(answers.latencies),
        "seconds": answers.seconds,
        "statuses": sum(count for status, count in answers.statuses.items() if status not in (row.status, 0)),
        "socket_errors": answers.unanswered,
        "p50": percentile(answers.latencies, 0.5),
        "p99": percentile(answers.latencies, 0.99),
        "p999": percentile(answers.latencies, 0.999),
    }


def _websockets(proxy: Proxy, row: Row, seconds: float) -> Mapping[str, float]:
    command = [sys.executable, "-m", "bench.websockets", "drive", str(proxy.ports["http"])]
    return _last_line_of([*command, str(row.connections), str(seconds)])


def _last_line_of(command: list[str]) -> Mapping[str, float]:
    """Run a load generator that prints its figures in JSON."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not lines:
        raise BenchError(f"the load generator failed: {' '.join(command)}\n{result.stdout}{result.stderr}")
    found: dict[str, float] = json.loads(lines[-1])
    return found
