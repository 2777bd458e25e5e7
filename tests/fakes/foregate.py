"""A real `foregate run` in a process of its own, watched through its log."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds, for a machine that is busy with other things
RUN = (sys.executable, "-m", "proxy", "run")
#: What a stalled machine takes does not end what a test goes on with.
UNHURRIED = """[timeouts]
hello = "60s"
head = "60s"
body = "60s"
connect = "60s"
"""


def configuration(
    upstream: str,
    *,
    workers: int = 2,
    server: str = "",
    tables: str = "",
    site: str = "",
    http: Sequence[str] = ("127.0.0.1:0",),
) -> str:
    """Write a `proxy.toml` with one site for every Host; all ports are free ones.

    Deadlines are long, but for those that the test sets itself. A test started as root stays root, because nobody
    else may be able to read the checkout.
    """
    user = 'user = "root"' if os.geteuid() == 0 and "user =" not in server else ""
    drain = "" if "drain_timeout" in server else 'drain_timeout = "20s"'
    timeouts = "" if "[timeouts]" in tables else UNHURRIED
    return f"""
[server]
http = {json.dumps(list(http))}
https = []
metrics = "127.0.0.1:0"
workers = {workers}
{user}
{drain}
{server}
[tls]
mode = "off"
storage = "storage"
{timeouts}
[log]
level = "debug"
{tables}
[[site]]
domains = ["*"]
upstream = "{upstream}"
{site}
"""


class Foregate:
    """The running process; its log lines are kept, and tests wait for those that they expect."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        command: Sequence[str] = RUN,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.file = folder / "proxy.toml"
        self.file.write_text(config)
        self.storage = folder / "storage"
        self.log: list[dict[str, Any]] = []
        self.unstructured: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self.process = subprocess.Popen(
            [*command, "--config", str(self.file)],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
        )
        self.access_log = b""
        self._threads = [
            threading.Thread(target=self._read_log),
            threading.Thread(target=self._read_access_log),
        ]
        for thread in self._threads:
            thread.start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.unstructured.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def _read_access_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.access_log += line

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log's lines about one kind of event, with these fields."""
        with self._news:
            return [
                line
                for line in self.log
                if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
            ]

    def wait(self, event: str, count: int = 1, **fields: object) -> list[dict[str, Any]]:
        """Wait until the log has so many lines about an event."""
        with self._news:
            if not self._news.wait_for(
                lambda: self._over or len(self.events(event, **fields)) >= count, PATIENCE
            ):
                raise AssertionError(f"no {count} x {event!r} {fields} within {PATIENCE} s: {self.text}")
        found = self.events(event, **fields)
        if len(found) < count:
            raise AssertionError(f"it ended without {count} x {event!r} {fields}: {self.text}")
        return found

    def wait_serving(self, workers: int = 2) -> None:
        """Wait until so many workers have become ready."""
        self.wait("worker serves", workers)

    @property
    def text(self) -> str:
        """Return everything that it has logged."""
        return "\n".join((*map(json.dumps, self.log), *self.unstructured))

    def address(self, purpose: str) -> tuple[str, int]:
        """Return where it listens for "http", "https" or "metrics"."""
        lines = [line for line in self.events("listening") if line["on"].startswith(f"{purpose} ")]
        host, _, port = lines[-1]["address"].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def port(self) -> int:
        """Return the port of its http listener."""
        self.wait_listening()
        return self.address("http")[1]

    def wait_listening(self) -> None:
        """Wait until all sockets are bound, the admin socket being the last."""
        with self._news:
            self._news.wait_for(
                lambda: self._over or any(line.get("on", "").startswith("admin ") for line in self.log),
                PATIENCE,
            )

    def get(self, path: str, purpose: str = "http", **fields: str) -> tuple[int, bytes]:
        """Send GET on a connection of its own; return status and content."""
        self.wait_listening()
        host, port = self.address(purpose)
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=fields)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def admin(self, method: str, path: str) -> tuple[int, Any]:
        """Ask over the admin socket; return status and JSON document."""
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(str(self.storage / "admin.sock"))
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Scrape: map each sample's name and sorted labels to its value."""
        status, content = self.get("/metrics", "metrics")
        assert status == 200
        families = text_string_to_metric_families(content.decode())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return one sample; 0 if there is none yet."""
        return self.metrics().get((name, tuple(sorted(labels.items()))), 0.0)

    def wait_metric(self, value: float, name: str, **labels: str) -> None:
        """Scrape until a sample has a value: a request counts a moment after its answer is sent."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.metric(name, **labels)) != value and time.monotonic() < deadline:
            continue
        assert found == value, (name, labels, found)

    def wait_some(self, name: str, **labels: str) -> None:
        """Scrape until a sample is more than nothing."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.metric(name, **labels)) and time.monotonic() < deadline:
            continue
        assert found > 0, (name, labels)

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that hold a slot."""
        _, status = self.admin("GET", "/api/v1/status")
        return [worker["pid"] for worker in status["workers"] if worker["state"] != "draining"]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another `foregate` command against this instance."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments, "--config", str(self.file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    def wait_exit(self) -> int:
        """Wait for its end; return the exit status."""
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return status

    def terminate(self) -> int:
        """Let it drain; return the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
