"""An app that can be ended and started again on its port, and the load that its clients make."""

import http.client
import itertools
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.fakes.apps import APPS, GRACE
from tests.fakes.front import Answer, Front
from tests.fakes.ports import free_port

#: The status of an answer that ended before its length was reached.
CUT_SHORT = 0


class RecordingApp:
    """tests/apps/recording_app.py as a process; all its lives share one port and one journal."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self._journal = folder / f"{name}.journal"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end(signal.SIGKILL)

    @property
    def origin(self) -> str:
        """Return the app's URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the app and wait until it listens."""
        command = [
            sys.executable,
            str(APPS / "recording_app.py"),
            str(self.port),
            str(self._journal),
            self.name,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self.name} did not start on port {self.port}")

    def end(self, how: signal.Signals) -> None:
        """End the app with a signal and wait until it is gone."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def carried_out(self) -> Counter[str]:
        """Count how often each request was carried out."""
        return Counter(self._journal.read_text().split()) if self._journal.exists() else Counter()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request; `began` and `ended` are the load's phases at these moments."""

    id: str
    method: str
    began: str
    ended: str
    status: int
    proxy_status: str
    body: bytes


class Load:
    """Clients that send one request after the other, GET and POST in turn, each on a connection that it keeps."""

    def __init__(self, front: Front, clients: int) -> None:
        self.phase = "started"
        self.outcomes: list[Outcome] = []
        self.faults: list[str] = []
        self._front = front
        self._ids = itertools.count()
        self._good: Counter[str] = Counter()
        self._news = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Send requests until the block ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped = True
            for thread in self._threads:
                thread.join()

    def enter(self, phase: str) -> None:
        """Name what happens from now on."""
        with self._news:
            self.phase = phase

    def wait_for(self, count: int) -> None:
        """Wait until so many requests that began in this phase have been answered 200."""
        with self._news:
            enough = self._news.wait_for(lambda: self.faults or self._good[self.phase] >= count, timeout=60)
        assert enough, f"only {self._good[self.phase]} good answers in phase {self.phase!r}"
        assert self.faults == [], self.faults  # pytest explains only the assertions of tests

    def _client(self) -> None:
        with self._front.connection() as connection:
            while not self._stopped:
                try:
                    self._one(connection)
                except (OSError, http.client.HTTPException) as fault:
                    with self._news:
                        self.faults.append(repr(fault))
                        self._news.notify_all()
                    return

    def _one(self, connection: http.client.HTTPConnection) -> None:
        with self._news:
            number, began = next(self._ids), self.phase
        method = "POST" if number % 2 else "GET"
        body = b"content" if method == "POST" else None
        try:
            answer = self._front.ask(method, f"/carry-out?id={number}", body=body, connection=connection)
        except http.client.IncompleteRead as cut_short:
            answer = Answer(CUT_SHORT, [], cut_short.partial)
            connection.close()
        proxy_status = ", ".join(answer.all("Proxy-Status"))
        with self._news:
            self.outcomes.append(
                Outcome(str(number), method, began, self.phase, answer.status, proxy_status, answer.body)
            )
            self._good[began] += answer.status == 200
            self._news.notify_all()
