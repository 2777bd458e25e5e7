"""h2load as a second load generator, and as one that keeps a pace."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError
from bench.proxies import program

FIELDS = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language: en-GB,en;q=0.7,de;q=0.3",
    "accept-encoding: gzip, deflate, br, zstd",
    "referer: https://localhost/",
    "cookie: theme=dark; session=0123456789abcdef0123456789000000",
)
_TOTALS = re.compile(r"requests: (\d+) total, .* (\d+) failed, (\d+) errored, (\d+) timeout")


@dataclass(frozen=True, slots=True)
class Answers:
    """What h2load saw: answers by status, their latencies in microseconds in ascending order, what had none."""

    statuses: dict[int, int]
    latencies: tuple[int, ...]
    unanswered: int
    seconds: float

    @property
    def good(self) -> int:
        """Count the answers below 400."""
        return sum(count for status, count in self.statuses.items() if 0 < status < 400)


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest figure that is at least as large as this share of all; 0 where there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def run(url: str, *, connections: int, seconds: float, folder: Path, pace: float = 0.0) -> Answers:
    """Send GET requests on keep-alive connections; `pace` bounds the requests per second of all together.

    Raises BenchError when h2load is missing or fails.
    """
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = [
        program("h2load"),
        "--h1",
        "-t1",
        f"-c{connections}",
        f"-D{max(1, round(seconds))}",
        f"--log-file={log}",
    ]
    command += [part for field in FIELDS for part in ("-H", field)]
    if pace:
        command.append(f"--rps={pace / connections:.3f}")
    result = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    totals = _TOTALS.search(result.stdout)
    if result.returncode or totals is None:
        raise BenchError(f"h2load failed: {result.stdout}{result.stderr}")
    statuses, latencies = read_log(log)
    return Answers(statuses, latencies, sum(map(int, totals.groups()[2:])), max(1, round(seconds)))


def read_log(path: Path) -> tuple[dict[int, int], tuple[int, ...]]:
    """Read h2load's log: a line for each answer, with its start, its status and how long it took."""
    statuses: dict[int, int] = {}
    latencies = []
    for line in path.read_text().splitlines():
        _, status, microseconds = line.split("\t")[:3]
        statuses[int(status)] = statuses.get(int(status), 0) + 1
        if int(status) > 0:
            latencies.append(int(microseconds))
    return statuses, tuple(sorted(latencies))
