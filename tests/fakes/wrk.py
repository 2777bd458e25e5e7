"""The load generator wrk, running until it is told to stop."""

import asyncio
import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_LONGEST: Final = "1h"
_REQUESTS: Final = re.compile(r"(\d+) requests in ")
_ERRORS: Final = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_STATUS: Final = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass
class Wrk:
    """Keep `connections` busy; a failure is counted by its kind."""

    url: str
    connections: int
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    _process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Wrk":
        command = ("wrk", "-t", "1", "-c", str(self.connections), "-d", _LONGEST, self.url)
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        said, _none = await self._process.communicate()
        self.add(said.decode())

    def add(self, report: str) -> None:
        """Take over what wrk says at its end."""
        if answered := _REQUESTS.search(report):
            self.answers += int(answered[1])
        if errors := _ERRORS.search(report):
            for kind, count in zip(("connect", "read", "write", "timeout"), errors.groups(), strict=True):
                self.failures[f"wrk {kind}"] += int(count)
        if refused := _STATUS.search(report):
            self.failures["wrk status"] += int(refused[1])
        self.failures = +self.failures
