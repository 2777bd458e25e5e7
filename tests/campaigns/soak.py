"""Leave a running Foregate to honest, clumsy and hostile clients for half an hour while everything around it fails.

`python -m tests.campaigns.soak [SECONDS] [CLIENTS] [SEED]` (1,800 s and 28 clients by default): two workers, http and
https, seven kinds of clients that check every octet (`tests/fakes/soak_clients.py`) and an app that misbehaves where it
is told to (`tests/fakes/soak_app.py`). Meanwhile a worker is killed, another stopped, the configuration reloaded, the
app gone for a second. Passes when no answer was wrong, nothing leaked (memory, descriptors, shared memory, open
connections), and the counters say what the clients counted. The suite runs some seconds of it.
"""

import asyncio
import logging
import math
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fakes.foregate import Foregate, configuration
from tests.fakes.soak_app import SoakApp
from tests.fakes.soak_clients import KINDS, Soak

WORKERS: Final = 2
SHARES: Final = {
    "pages": 10,
    "uploads": 5,
    "faults": 4,
    "malformed": 2,
    "leavers": 3,
    "limited": 1,
    "talkers": 3,
}
#: Allowed growth of a process between the middle and the last third of its life, in octets and descriptors. Shared
#: memory is touched little by little, up to its fixed size.
MEMORY: Final = 4 * 1024 * 1024
SHARED: Final = 16 * 1024 * 1024
DESCRIPTORS: Final = 24
WARM_UP: Final = 60.0
#: A run of fewer seconds has no time to find out that a worker was stopped, nor for quiet moments.
SHORT: Final = 60
_TABLES: Final = """[rate_limit]
rate = "off"
[cache]
ttl = "{ttl}"
size = "8MB"
[limits]
body = "1MB"
"""
_SITE: Final = """[[site]]
domains = ["{name}.test"]
upstream = "{url}"
{more}
"""
_MORE: Final = {
    "faults": 'timeouts = {first_byte = "3s"}',
    "limited": 'rate_limit = {rate = "120/m", burst = 5}',
}


def configured(url: str, ttl: str = "3s") -> str:
    """Write the configuration."""
    text = configuration(
        url, workers=WORKERS, server="redirect_https = false", tables=_TABLES.format(ttl=ttl)
    )
    head = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace(
        'mode = "off"', 'mode = "self-signed"'
    )
    head = head.replace('level = "debug"', 'level = "info"\naccess = "off"')
    sites = (_SITE.format(name=kind, url=url, more=_MORE.get(kind, "")) for kind in KINDS)
    return head.partition("[[site]]")[0] + "".join(sites)


@dataclass(slots=True)
class Samples:
    """What one process used, from its start to its end: seconds, octets of its own, shared octets, descriptors."""

    rows: list[tuple[float, int, int, int]] = field(default_factory=list)

    def take(self, pid: int, now: float) -> None:
        """Look at the process; one that has just ended has nothing to show."""
        with suppress(OSError, KeyError):
            pairs = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            status = {name: value.split() for name, value in pairs}
            own, shared = (int(status[name][0]) * 1024 for name in ("RssAnon", "RssShmem"))
            self.rows.append((now, own, shared, len(os.listdir(f"/proc/{pid}/fd"))))

    def course(self) -> str:
        """Return its own megabytes on average in each sixth of its life, the last of which should be alike."""
        size = max(1, len(self.rows) // 6)
        parts = [self.rows[at : at + size] for at in range(0, 6 * size, size) if at < len(self.rows)]
        return " ".join(f"{sum(row[1] for row in part) / len(part) / 2**20:.1f}" for part in parts)

    def growth(self) -> tuple[int, int, int] | None:
        """Return by how much the last third of its life exceeds the middle one, None if it was short.

        In the first third memory fills that is kept on purpose: parsed fields, answers, connections.
        """
        rows = [row for row in self.rows if row[0] - self.rows[0][0] >= WARM_UP]
        third = len(rows) // 3
        if third < 3:
            return None
        early, late = rows[third : 2 * third], rows[-third:]
        own = sum(row[1] for row in late) // third - sum(row[1] for row in early) // third
        shared = sum(row[2] for row in late) // third - sum(row[2] for row in early) // third
        return own, shared, min(row[3] for row in late) - min(row[3] for row in early)


class Trouble:
    """Breaks things, one after the other, and tells the clients for how long that may be noticed."""

    def __init__(self, gate: Foregate, app: SoakApp, soak: Soak) -> None:
        self._gate, self._app, self._soak = gate, app, soak
        self.done: Counter[str] = Counter()

    def _noticed_for(self, seconds: float) -> None:
        self._soak.trouble_until = max(self._soak.trouble_until, time.monotonic() + seconds)

    async def _younger(self) -> int:
        """Choose a worker to suffer: the other one lives through all of it and can be watched for leaks."""
        return max(await asyncio.to_thread(self._gate.worker_pids))

    async def kill(self) -> None:
        """Kill a worker."""
        self._noticed_for(5)
        os.kill(await self._younger(), signal.SIGKILL)

    async def stop(self) -> None:
        """Stop a worker, which is found out and replaced."""
        self._noticed_for(25)
        os.kill(await self._younger(), signal.SIGSTOP)

    async def reload(self) -> None:
        """Change the configuration, which nobody notices."""
        self._gate.file.write_text(configured(self._app.url, self._soak.draw.choice(("2s", "3s", "4s"))))
        self._gate.signal(signal.SIGHUP)

    async def outage(self) -> None:
        """Let the app be gone for a second."""
        self._noticed_for(6)
        await self._app.stop()
        await asyncio.sleep(1.0)
        await self._app.start()

    async def run(self, pause: float, *, stops: bool) -> None:
        """Break something now and then; `stops` when there is time to find out that a worker was stopped."""
        deeds: tuple[Callable[[], Awaitable[None]], ...] = (
            self.reload,
            self.outage,
            self.kill,
            self.reload,
            self.stop if stops else self.reload,
            self.outage,
        )
        number = 0
        while not self._soak.finished:
            await asyncio.sleep(pause)
            deed = deeds[number % len(deeds)]
            await deed()
            self.done[getattr(deed, "__name__", "")] += 1
            number += 1


def counted(gate: Foregate, site: str) -> Counter[int]:
    """Return the gateway's own count of a site's requests by status."""
    found: Counter[int] = Counter()
    for (name, labels), value in gate.metrics().items():
        pairs = dict(labels)
        if name == "foregate_requests_total" and pairs["site"] == site:
            found[int(pairs["code"])] += int(value)
    return found


def differences(gate: Foregate, soak: Soak, kills: int) -> list[str]:
    """Compare the counters with what clients have counted; a kill may cost the count of what was in flight."""
    wrong: list[str] = []
    lost = kills * sum(SHARES.values())
    for kind, tally in soak.tallies.items():
        own = counted(gate, "-" if kind == "malformed" else f"{kind}.test")
        for status in sorted({*own, *tally.answers} - {499}):
            low, high = tally.answers[status] - lost, tally.answers[status] + tally.broken
            if not low <= own[status] <= high:
                wrong.append(f"{kind} {status}: {own[status]} counted, due {low} to {high}")
    return wrong


class Campaign:
    """One run."""

    def __init__(self, seconds: float, clients: int, seed: int, folder: Path) -> None:
        self._seconds, self._clients, self._seed, self._folder = seconds, clients, seed, folder
        self.lines: list[str] = []
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Run everything and look at what is left."""
        app = SoakApp()
        await app.start()
        gate = await asyncio.to_thread(Foregate, self._folder, configured(app.url))
        try:
            await asyncio.to_thread(gate.wait_serving, WORKERS)
            soak = Soak(gate.address("http"), gate.address("https"), self._seed)
            if self._seconds < SHORT:
                soak.trouble_until = (
                    math.inf
                )  # something is always being broken; content is compared all the same
            trouble = Trouble(gate, app, soak)
            processes = await self._load(gate, soak, trouble)
            await self._judge(gate, soak, trouble, processes, app)
        finally:
            await app.stop()
            await asyncio.to_thread(gate.close)

    async def _load(self, gate: Foregate, soak: Soak, trouble: Trouble) -> dict[int, Samples]:
        """Let clients and trouble loose for as long as was asked for."""
        processes: dict[int, Samples] = {}
        kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._clients):
                tasks.create_task(soak.run(kinds[number * len(kinds) // self._clients]))
            breaking = tasks.create_task(
                trouble.run(min(30.0, self._seconds / 8), stops=self._seconds >= SHORT)
            )
            ends = time.monotonic() + self._seconds
            while (now := time.monotonic()) < ends:
                with suppress(OSError, ValueError):
                    for pid in (gate.process.pid, *await asyncio.to_thread(gate.worker_pids)):
                        processes.setdefault(pid, Samples()).take(pid, now)
                await asyncio.sleep(min(5.0, ends - now))
            breaking.cancel()
            soak.finished = True
        return processes

    async def _judge(
        self, gate: Foregate, soak: Soak, trouble: Trouble, processes: dict[int, Samples], app: SoakApp
    ) -> None:
        """Write down what came of it, and everything that should not have."""
        for scheme in ("http", "https"):
            await asyncio.to_thread(gate.wait_metric, 0.0, "foregate_connections_active", scheme=scheme)
        await asyncio.to_thread(gate.wait_metric, 0.0, "foregate_upgraded_connections_active")
        kills = trouble.done["kill"] + trouble.done["stop"]
        self.lines.append(
            f"{self._seconds:.0f} s, {self._clients} clients, seed {self._seed}, {dict(trouble.done)}"
        )
        for kind, tally in soak.tallies.items():
            self.lines.append(
                f"{kind}: {sum(tally.answers.values())} answers {dict(sorted(tally.answers.items()))}, "
                f"{tally.broken} without one, {tally.trouble} told of trouble, {len(tally.wrong)} wrong"
            )
            self.wrong += tally.wrong
        self.wrong += await asyncio.to_thread(differences, gate, soak, kills)
        for pid, samples in processes.items():
            self._judge_leaks("supervisor" if pid == gate.process.pid else f"worker {pid}", samples)
        faults = await asyncio.to_thread(gate.metric, "foregate_internal_errors_total")
        self.lines.append(
            f"internal errors {faults:.0f}, malformed at the app {app.malformed}, served by it {app.served}"
        )
        if faults or app.malformed:
            self.wrong.append("internal errors, or requests that the app could not read")

    def _judge_leaks(self, name: str, samples: Samples) -> None:
        growth = samples.growth()
        if growth is None:
            return
        (began, *_), (ended, _, shared, descriptors) = samples.rows[0], samples.rows[-1]
        self.lines.append(
            f"{name}: {ended - began:.0f} s, {samples.course()} MB, {shared / 2**20:.1f} MB shared, {descriptors} "
            f"descriptors; grew by {growth[0] / 1024:.0f} KB, {growth[1] / 1024:.0f} KB, {growth[2]}"
        )
        if growth[0] > MEMORY or growth[1] > SHARED or growth[2] > DESCRIPTORS:
            self.wrong.append(f"{name} grew by {growth}")


def main(seconds: int = 1800, clients: int = 28, seed: int = 1) -> int:
    """Run it and say what came of it."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(seconds, clients, seed, Path(folder))
        asyncio.run(campaign.run())
    print(*campaign.lines, sep="\n")
    print(f"{len(campaign.wrong)} wrong")
    print(*campaign.wrong[:30], sep="\n")
    return bool(campaign.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
