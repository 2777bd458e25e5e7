"""The process that replays a scenario, as bench.instructions sees it: plain, or under callgrind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from bench.processes import BenchError
from bench.proxies import program

REPOSITORY = Path(__file__).parent.parent
DUMP = "callgrind.out"


class Replaying:
    """A running bench.replayed."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._dumps = 0
        self._answer()

    def ask(self, command: str) -> str:
        """Send a command and return what it answers; raises BenchError when the process has failed."""
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(command + "\n")
        stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        lines: list[str] = []
        for line in cast("IO[str]", self._process.stdout):
            if line == "done\n":
                return "".join(lines)
            lines.append(line)
        raise BenchError("the replay failed:\n" + (self._folder / "errors.log").read_text()[-4000:])

    def count(self, requests: int) -> int:
        """Count the instructions of so many requests, and of beginning and ending a run."""
        self.ask(f"prepare {requests}")
        self._control("--instr=on")
        self.ask("run")
        self._control("--instr=off")
        self._control("--dump")
        self._dumps += 1
        return total(self.dump)

    @property
    def dump(self) -> Path:
        """The last count by function, for callgrind_annotate."""
        return self._folder / f"{DUMP}.{self._dumps}"

    def _control(self, order: str) -> None:
        command = [program("callgrind_control"), order, str(self._process.pid)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode or "OK" not in result.stdout:
            raise BenchError(f"callgrind_control {order} failed: {result.stdout}{result.stderr}")


def total(dump: Path) -> int:
    """Read how many instructions callgrind has counted; raises BenchError where it has not."""
    for line in reversed(dump.read_text().splitlines()):
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise BenchError(f"{dump} has no total")


@contextmanager
def replaying(name: str, folder: Path, *, counted: bool) -> Iterator[Replaying]:
    """Start the replay of a scenario, ready to take commands, and end it."""
    prefix = []
    if counted:
        prefix = [program("valgrind"), "--tool=callgrind", "--instr-atstart=no", "-q"]
        prefix.append(f"--callgrind-out-file={folder / DUMP}")
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
    with (folder / "errors.log").open("w") as errors:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "bench.replayed", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=REPOSITORY,
            env=environment,
        )
    with process:
        try:
            yield Replaying(process, folder)
        finally:
            cast("IO[str]", process.stdin).close()
