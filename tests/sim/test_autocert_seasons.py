"""Seasons of a certificate manager's life under a seed: outages, failing names, restarts, clocks set, full disks.

The CA counts as Let's Encrypt does. Whatever happens, it must never have to refuse for its limits, no certificate
may end while the CA could be reached for long enough, and when all is calm everything must be well.
"""

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autocert.manager import Autocert
from autocert.problem import Kind
from autocert.renewal import DAY, State
from autocert.settings import Settings, Wanted
from tests.fakes.autocert_world import FastDisk, ManualClock, Recorder
from tests.fakes.manager_world import surroundings
from tests.fakes.sim_ca import SeededKeys, SimCa

HOUR = 3600.0
NAMES = (*(f"app{number}.example.com" for number in range(4)), "shop.example.co.uk", "www.example.org")


class MoodyDisk(FastDisk):
    """A disk that may be full."""

    is_full = False

    def create(self, name: str, folder: int) -> int:
        """Create a file while there is room."""
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(name, folder)


class Life:
    """One installation, through all its restarts."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = ManualClock()
        lifetime = self.chance.choice([160 * HOUR, 45 * DAY, 90 * DAY])
        self.ca = SimCa(self.clock, ari=self.chance.random() < 0.5, lifetime=lifetime)
        self.disk = MoodyDisk()
        self.listener = Recorder()
        self.settings = Settings(storage=folder / "ssl", look_around=6 * HOUR)
        self.skew = 0.0
        self.manager: Autocert | None = None

    async def start(self) -> None:
        """Start a manager that wants all names."""
        self.manager = Autocert(self.settings, self.listener, surroundings(self.clock, self.ca, self.disk))
        await self.manager.start()
        half = self.chance.randint(0, len(NAMES))
        # Now and then the operator changes his mind about groups.
        group = self.chance.random() < 0.2
        await self.manager.want([Wanted(names=NAMES[:half], group=group), Wanted(names=NAMES[half:])])

    async def restart(self) -> None:
        """Stop, perhaps for a while, and start again."""
        assert self.manager is not None
        await self.manager.close()
        await self.clock.advance(self.chance.choice([0.0, 10.0, DAY]))
        if self.chance.random() < 0.3:
            self.clock.boot_id = f"boot-{self.chance.random()}"
        await self.start()

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock, and remember how far it is off."""
        self.clock.set(seconds)
        self.skew += seconds

    async def trouble(self) -> None:
        """Let something happen."""
        match self.chance.randint(0, 6):
            case 0:
                self.ca.is_down = True
            case 1:
                self.ca.failing = set(self.chance.sample(NAMES, self.chance.randint(1, 3)))
            case 2:
                await self.restart()
            case 3:
                self.set_clock(self.chance.choice([-1, 1]) * self.chance.uniform(HOUR, 100 * DAY))
            case 4:
                self.disk.is_full = True
            case 5:
                self._damage()
            case 6:
                for _ in range(4):
                    await self.restart()

    def _damage(self) -> None:
        files = sorted(path for path in self.settings.storage.rglob("*") if path.is_file())
        for path in self.chance.sample(files, min(3, len(files))):
            content = path.read_bytes()
            path.write_bytes(content[: self.chance.randint(0, len(content))])

    async def calm(self) -> None:
        """Mend everything, and let two days pass."""
        self.ca.is_down, self.disk.is_full = False, False
        self.ca.failing = set()
        self.set_clock(-self.skew)
        await self.clock.advance(2 * DAY)


@pytest.fixture
def folder() -> Iterator[Path]:
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as path:
        yield Path(path)


@pytest.mark.parametrize("seed", range(4))
async def test_a_season(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autocert.keys.new_key", SeededKeys(seed).new_key)
    life = Life(folder, seed)
    await life.start()
    passed = 0.0
    # With 365 days and troubles of up to 5 days the same holds, in minutes instead of seconds.
    while passed < 45 * DAY:
        await life.trouble()
        hours = life.chance.uniform(1, 24)
        await life.clock.advance(hours * HOUR)
        await life.calm()
        passed += hours * HOUR + 2 * DAY
        assert life.manager is not None
        assert life.ca.over_limit == []
        for status in life.manager.statuses():
            if status.removed_at is None:
                well = status.state in {State.VALID, State.DUE, State.ISSUING}
                held = status.problem is not None and status.problem.kind is Kind.OWN_BUDGET
                assert well or held, (status, passed / DAY)
    assert life.manager is not None
    await life.manager.close()
    assert not [problem for _, problem in life.listener.problems if problem.kind is Kind.INTERNAL]
