"""A real Prometheus (Debian package) that scrapes one target, asked over its HTTP API."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.fakes.ports import free_port

PATIENCE = 60.0


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; a refusal is an AssertionError with Prometheus' reason."""
        try:
            with urlopen(f"{self._base}/{path}?{urlencode(parameters)}", timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except HTTPError as exc:
            with exc:
                if exc.code == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise  # it is starting
                raise AssertionError(f"{parameters}: {exc.read().decode()}") from exc

    def series(self, query: str) -> list[dict[str, Any]]:
        """Evaluate a query now."""
        result: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return result

    def wait(self, query: str) -> list[dict[str, Any]]:
        """Evaluate a query until it yields something; what a scrape brings in has no event to wait for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := self.series(query):
                    return found
            except URLError:
                continue
        raise AssertionError(f"{query} yields nothing: {self.ask('targets')}")


@contextmanager
def running_prometheus(folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Let it scrape `target` every second, until the block ends."""
    scrape = {"job_name": "foregate", "static_configs": [{"targets": [target]}]}
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [scrape],
    }
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(json.dumps(settings))  # JSON is YAML
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Prometheus(port)
    finally:
        server.terminate()
        server.wait(PATIENCE)
