"""Flood a real instance from one address at full speed while honest clients browse, and compare their latency.

`python -m tests.campaigns.limits_flood [SECONDS] [WORKERS] [CONNECTIONS]` runs it (20 s quiet and 20 s flooded, in
turns of 5 s; 2 workers and 64 flooding connections by default); the suite runs it for a second.

Every honest client has an address of its own on loopback, one connection, and a page to look at every three seconds: a
document that only the app has and five assets that are in the cache. That is 120 requests a minute, within the
default limit. The flood is wrk, without a pause. Access log, metrics and cache are on.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.origin import running_origin
from tests.fakes.wrk import Wrk

CLIENTS: Final = 20
ASSETS: Final = 5
PAGE_EVERY: Final = 3.0  # seconds
PHASE: Final = 5.0  # seconds
PATIENCE: Final = 30.0


@dataclass(slots=True)
class Seen:
    """What the honest clients got: seconds of each answer that was 200, and the statuses of others."""

    seconds: list[float] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return the milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """The honest clients without and with the flood, and what became of the flood."""

    workers: int
    connections: int
    quiet: Seen
    flooded: Seen
    flood_answers: int
    flood_admitted: int
    limited: float
    seconds: float

    @property
    def honest_limited(self) -> int:
        """Count what honest clients got that was not their page."""
        return len(self.quiet.others) + len(self.flooded.others)

    @property
    def factor(self) -> float:
        """Return by how much the flood raised the honest clients' p99."""
        return self.flooded.quantile(0.99) / self.quiet.quantile(0.99)

    def __str__(self) -> str:
        def three(seen: Seen) -> str:
            return " / ".join(f"{seen.quantile(share):.2f}" for share in (0.5, 0.99, 0.999))

        return (
            f"{self.workers} workers, {self.connections} flooding connections: {len(self.quiet.seconds)} honest "
            f"requests quiet {three(self.quiet)} ms, {len(self.flooded.seconds)} flooded {three(self.flooded)} ms "
            f"(p50 / p99 / p99.9), p99 x {self.factor:.2f}; {self.honest_limited} honest requests refused; flood "
            f"{self.flood_answers / self.seconds:.0f}/s, {self.flood_admitted} of it admitted"
        )


async def _browse(port: int, number: int, until: float, seen: Seen, turn: str) -> None:
    """Look at a page every few seconds from an address of its own."""
    draw = random.Random(f"{turn} {number}")
    local = (f"127.0.1.{number + 1}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=local)
    visit = 0
    try:
        await asyncio.sleep(min(draw.random() * PAGE_EVERY, max(0.0, until - time.monotonic()) / 2))
        while not visit or time.monotonic() < until:
            began = time.monotonic()
            for target in (
                f"/page/{turn.replace(' ', '-')}/{number}/{visit}",
                *(f"/asset/{asset}" for asset in range(ASSETS)),
            ):
                await _ask(reader, writer, target, seen)
            visit += 1
            await asyncio.sleep(max(0.0, min(began + PAGE_EVERY, until) - time.monotonic()))
    finally:
        writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, seen: Seen) -> None:
    sent = time.monotonic()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a.test\r\nUser-Agent: honest\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    status = int(head[9:12])
    if status == 200:
        seen.seconds.append(time.monotonic() - sent)
    else:
        seen.others.append(status)


async def _browse_all(port: int, seconds: float, turn: str, seen: Seen) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(_browse(port, number, until, seen, turn) for number in range(CLIENTS)))


async def _measure(gate: Foregate, seconds: float, connections: int) -> tuple[Seen, Seen, Wrk]:
    await _browse_all(gate.port, min(seconds, PAGE_EVERY), "warm", Seen())
    quiet, flooded = Seen(), Seen()
    flood = Wrk(f"http://127.0.0.1:{gate.port}/flood", connections)
    for turn in range(
        max(1, round(seconds / PHASE))
    ):  # in turns, so that a drift of the machine hits both alike
        await _browse_all(gate.port, min(seconds, PHASE), f"quiet {turn}", quiet)
        async with flood:
            await _browse_all(gate.port, min(seconds, PHASE), f"flooded {turn}", flooded)
    return quiet, flooded, flood


def run(seconds: float, workers: int, connections: int, folder: Path) -> Outcome:
    """Let the honest clients browse for so long alone, and for so long beside the flood."""
    with running_origin() as origin:
        tables = f'access = "{folder}/access.log"'
        gate = Foregate(folder, configuration(origin.url, workers=workers, tables=tables))
        with contextlib.closing(gate):
            gate.wait_serving(workers)
            quiet, flooded, flood = asyncio.run(_measure(gate, seconds, connections))
            limited = gate.metric("foregate_limited_requests_total", site="*", mode="enforced")
    admitted = flood.answers - flood.failures["wrk status"]
    return Outcome(workers, connections, quiet, flooded, flood.answers, admitted, limited, seconds)


def main() -> int:
    """Run it and print it."""
    given = [float(argument) for argument in sys.argv[1:]]
    seconds, workers, connections = (*given, *(20.0, 2, 64)[len(given) :])[:3]
    with tempfile.TemporaryDirectory() as folder:
        found = run(seconds, int(workers), int(connections), Path(folder))
    print(found, f"{os.cpu_count()} CPUs", f"load {os.getloadavg()[0]:.1f}")
    return 0 if not found.honest_limited and found.factor <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
