"""A certificate manager over a CA and a clock of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from autocert.files import Disk
from autocert.manager import Autocert
from autocert.renewal import DAY, State
from autocert.settings import Settings, Wanted
from autocert.surroundings import Surroundings
from tests.fakes.autocert_world import FastDisk, InlineRunner, ManualClock, NoResolver, Recorder
from tests.fakes.sim_ca import SimCa

A, B = "a.example.com", "b.example.com"


def surroundings(clock: ManualClock, ca: SimCa, disk: Disk) -> Surroundings:
    """Return what a manager lives in: nothing outside the test."""
    return Surroundings(
        clock=clock, runner=InlineRunner(), disk=disk, connect=ca.connect, resolver=NoResolver()
    )


class World:
    """A clock, a CA, a storage folder, and managers that live in them one after the other."""

    def __init__(
        self, folder: Path, *, ari: bool = True, lifetime: float = 90 * DAY, look_around: float = 6 * 3600.0
    ) -> None:
        self.clock = ManualClock()
        self.ca = SimCa(self.clock, ari=ari, lifetime=lifetime)
        self.listener = Recorder()
        self.disk: Disk = FastDisk()
        self.settings = Settings(storage=folder / "ssl", look_around=look_around)

    @asynccontextmanager
    async def manager(self, *names: str, group: bool = False) -> AsyncIterator[Autocert]:
        """Run a manager that wants these names."""
        found = Autocert(self.settings, self.listener, surroundings(self.clock, self.ca, self.disk))
        await found.start()
        if names:
            await found.want([Wanted(names=names, group=group)])
            await self.clock.advance(2)
        try:
            yield found
        finally:
            await found.close()

    def stored(self, name: str, version: str = "current") -> Path:
        """Return where a certificate is kept."""
        return self.settings.storage / "certificates" / name / version


def states(manager: Autocert) -> dict[str, State]:
    """Return the state of every certificate by its first name."""
    return {status.names[0]: status.state for status in manager.statuses() if status.removed_at is None}
