"""The storage on real disks: full, read-only, foreign, and under a process that is killed while it stores."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from autocert.certificate import Certificate, checked
from autocert.files import Disk
from autocert.manager import Autocert
from autocert.problem import Kind, Problem
from autocert.renewal import State
from autocert.settings import Settings, Wanted
from autocert.storage import Storage
from tests.fakes.autocert_world import ManualClock, Recorder
from tests.fakes.manager_world import surroundings
from tests.fakes.root_ca import TestCa
from tests.fakes.sim_ca import SimCa

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
A, B = "a.example.com", "b.example.com"
SIZE = 256 << 10


def run(script: str, *arguments: str) -> object:
    found = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'acme'}", "PATH": os.environ["PATH"]},
        timeout=60,
    )
    return json.loads(found.stdout)


def test_forty_kills_while_storing_leave_nothing_unreadable(tmp_path: Path) -> None:
    found = run("storing.py", str(tmp_path / "ssl"), "40", "1")
    assert isinstance(found, dict)
    assert found["faults"] == []
    before, after = found["leftovers"]
    assert after == 0
    assert before < 80


class MoodyDisk(Disk):
    """Stands in where nothing can be mounted."""

    error = 0

    def create(self, name: str, folder: int) -> int:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().create(name, folder)


class SmallDisk:
    """A disk of 256 KiB, mounted where we may, that can be filled and made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = MoodyDisk()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(folder)]
        self._is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no room at all."""
        self.disk.error = 0 if self._is_mounted else errno.ENOSPC
        if self._is_mounted:
            filler = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
            with suppress(OSError):
                while True:
                    os.write(filler, b"x" * 4096)
            os.close(filler)

    def make_read_only(self) -> None:
        """Let nothing be written."""
        self.disk.error = 0 if self._is_mounted else errno.EROFS
        self._remount("ro")

    def recover(self) -> None:
        """Be a good disk again."""
        self.disk.error = 0
        self._remount("rw")
        (self.folder / "filler").unlink(missing_ok=True)

    def _remount(self, mode: str) -> None:
        if self._is_mounted:
            subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)

    def unmount(self) -> None:
        """Go away."""
        if self._is_mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def small() -> Iterator[SmallDisk]:
    with tempfile.TemporaryDirectory() as path:
        found = SmallDisk(Path(path))
        yield found
        found.unmount()


class World:
    """A manager on a small disk, under a clock and a CA of ours."""

    def __init__(self, small: SmallDisk) -> None:
        self.small = small
        self.clock = ManualClock()
        self.ca = SimCa(self.clock, ari=False)
        self.listener = Recorder()

    @asynccontextmanager
    async def manager(self, *names: str) -> AsyncIterator[Autocert]:
        around = surroundings(self.clock, self.ca, self.small.disk)
        found = Autocert(Settings(storage=self.small.folder / "ssl"), self.listener, around)
        await found.start()
        await found.want([Wanted(names=names)])
        await self.clock.advance(2)
        try:
            yield found
        finally:
            await found.close()


async def renewed(world: World, manager: Autocert) -> Certificate | Problem:
    task = asyncio.create_task(manager.renew(A, 10.0))
    await world.clock.advance(1)
    return await task


@pytest.mark.parametrize(
    ("mood", "kind"), [("fill", Kind.STORAGE_FULL), ("make_read_only", Kind.STORAGE_READ_ONLY)]
)
async def test_a_disk_that_takes_nothing_more(small: SmallDisk, mood: str, kind: Kind) -> None:
    world = World(small)
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        getattr(small, mood)()
        found = await renewed(world, manager)
        assert isinstance(found, Problem)
        assert found.kind is kind
        assert manager.certificate(A) is first
        assert world.ca.calls["new_order"] == 1
    # A restart on such a disk serves what is there, and orders nothing.
    async with world.manager(A, B) as manager:
        assert first is not None
        served = manager.certificate(A)
        assert served is not None
        assert served.fingerprint == first.fingerprint
        assert manager.storage_problem is not None
        assert manager.storage_problem.kind is kind
        assert world.ca.calls["new_order"] == 1
        small.recover()
        await world.clock.advance(90)
        assert {status.state for status in manager.statuses()} == {State.VALID}
        assert manager.storage_problem is None
        assert isinstance(await renewed(world, manager), Certificate)


async def test_damage_on_a_read_only_disk_falls_back_to_the_previous(small: SmallDisk) -> None:
    world = World(small)
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        assert isinstance(await renewed(world, manager), Certificate)
    (small.folder / "ssl" / "certificates" / A / "current").write_bytes(b"")
    small.make_read_only()
    async with world.manager(A) as manager:
        served = manager.certificate(A)
        assert served is not None
        assert first is not None
        assert served.fingerprint == first.fingerprint


@pytest.fixture
def everybodys_folder() -> Iterator[Path]:
    """Return a folder that nobody owns, reachable by nobody."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


def stored_for_nobody(folder: Path) -> Path:
    storage = Storage(folder / "ssl")
    storage.prepare(time.time())
    key, chain = TestCa().issue([A])
    storage.save(A, checked(key, chain, names=(A,), origin="x", profile="", stored_at=time.time()))
    if os.geteuid() == 0:
        for path in [storage.root, *storage.root.rglob("*")]:
            os.chown(path, 65534, 65534)
    return storage.root / "certificates" / A / "current"


def test_a_file_that_is_closed_even_to_us_is_opened(everybodys_folder: Path) -> None:
    path = stored_for_nobody(everybodys_folder)
    os.chmod(path, 0o000)
    assert run("as_nobody.py", str(everybodys_folder / "ssl"), A) == [True, ""]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_storage_of_another_user_is_said_so(everybodys_folder: Path) -> None:
    stored_for_nobody(everybodys_folder)
    if os.geteuid() == 0:
        os.chown(everybodys_folder / "ssl", 0, 0)
        expected = [False, "storage-denied"]
    else:
        expected = [True, ""]
    assert run("as_nobody.py", str(everybodys_folder / "ssl"), A) == expected
