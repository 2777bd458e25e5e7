"""What the manager does when its storage fails, or is damaged."""

import errno
import os
from pathlib import Path

import pytest

from autocert.problem import Kind, Problem
from autocert.renewal import DAY, State
from autocert.settings import Wanted
from tests.fakes.autocert_world import FastDisk
from tests.fakes.manager_world import A, B, World, states


class MoodyDisk(FastDisk):
    """A disk that can refuse all changes; `error` is what it says."""

    error: int = 0

    def _check(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def create(self, name: str, folder: int) -> int:
        self._check()
        return super().create(name, folder)

    def write(self, descriptor: int, content: bytes) -> None:
        self._check()
        super().write(descriptor, content)

    def rename(self, old: str, new: str, folder: int) -> None:
        self._check()
        super().rename(old, new, folder)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errno.ENOSPC, Kind.STORAGE_FULL),
        (errno.EROFS, Kind.STORAGE_READ_ONLY),
        (errno.EIO, Kind.STORAGE_FAILS),
    ],
)
async def test_a_failing_disk_keeps_serving_and_is_told_once(watchful: World, error: int, kind: Kind) -> None:
    disk = watchful.disk = MoodyDisk()
    async with watchful.manager(A) as manager:
        disk.error = error
        await manager.want([Wanted(names=(A, B))])
        await watchful.clock.advance(600)
        assert manager.certificate(A) is not None
        # Nothing may be ordered that cannot be written down: a restart would order it again and again.
        assert watchful.ca.calls["new_order"] == 1
        assert manager.storage_problem is not None
        assert manager.storage_problem.kind is kind
        assert watchful.listener.kinds("") == [kind.value]
        found = await manager.wait_for(B, 1.0)
        assert isinstance(found, Problem)
        assert found.kind is kind
        disk.error = 0
        await watchful.clock.advance(40)
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert manager.storage_problem is None


async def test_a_renewal_that_cannot_wait_is_made_in_memory(memory_folder: Path) -> None:
    world = World(memory_folder, lifetime=DAY, look_around=600.0)
    disk = world.disk = MoodyDisk()
    async with world.manager(A) as manager:
        first = manager.certificate(A)
        disk.error = errno.ENOSPC
        await world.clock.advance(0.85 * DAY)
        assert manager.certificate(A) is first
        await world.clock.advance(0.1 * DAY)
        second = manager.certificate(A)
        assert second is not first
        assert [status.is_saved for status in manager.statuses()] == [False]
        disk.error = 0
        await world.clock.advance(601)
        assert [status.is_saved for status in manager.statuses()] == [True]
    async with world.manager(A) as manager:
        found = manager.certificate(A)
        assert second is not None
        assert found is not None
        assert found.fingerprint == second.fingerprint


@pytest.mark.parametrize("damage", ["emptied", "truncated", "flipped", "deleted", "all deleted"])
async def test_damage_while_running_is_healed_from_memory(watchful: World, damage: str) -> None:
    async with watchful.manager(A, B) as manager:
        path = watchful.stored(A)
        content = path.read_bytes()
        match damage:
            case "emptied":
                path.write_bytes(b"")
            case "truncated":
                path.write_bytes(content[:500])
            case "flipped":
                path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
            case "deleted":
                path.unlink()
            case "all deleted":
                import shutil

                shutil.rmtree(watchful.settings.storage)
        await watchful.clock.advance(40)
        assert path.read_bytes() == content
        assert states(manager) == {A: State.VALID, B: State.VALID}
        assert watchful.ca.calls["new_order"] == 2
        told = {"emptied", "truncated", "flipped"}
        assert watchful.listener.kinds(A) == ([Kind.STORE_DAMAGED.value] if damage in told else [])


async def test_damage_found_at_start_falls_back_to_the_previous_and_renews(world: World) -> None:
    async with world.manager(A):
        await world.clock.advance(70 * DAY)
    world.stored(A).write_bytes(b"")
    async with world.manager(A) as manager:
        assert states(manager)[A] is State.VALID
        problems = [problem for _, problem in world.listener.problems if problem.kind is Kind.STORE_DAMAGED]
        assert "the version before it is in use" in problems[0].what_is_wrong
        assert "the file is empty" in problems[0].detail
    assert world.ca.over_limit == []


async def test_damage_of_both_versions_orders_anew(world: World) -> None:
    async with world.manager(A):
        pass
    world.stored(A).write_bytes(b"junk")
    async with world.manager(A) as manager:
        assert states(manager)[A] is State.VALID
    assert world.ca.calls["new_order"] == 2


async def test_wrong_modes_are_put_right_and_told(watchful: World) -> None:
    async with watchful.manager(A):
        pass
    os.chmod(watchful.stored(A), 0o666)
    async with watchful.manager(A):
        await watchful.clock.advance(40)
    assert os.stat(watchful.stored(A)).st_mode & 0o777 == 0o600
    assert Kind.STORE_MODES.value in watchful.listener.kinds("")


async def test_an_unreadable_storage_orders_nothing_and_heals(
    watchful: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autocert.errors import StorageError
    from autocert.files import Folder

    async with watchful.manager(A):
        pass
    read = Folder.read

    def failing(self: Folder, name: str) -> bytes:
        if name in {"current", "previous"}:
            raise StorageError(OSError(errno.EACCES, "Permission denied"), self.path)
        return read(self, name)

    monkeypatch.setattr(Folder, "read", failing)
    async with watchful.manager(A) as manager:
        await watchful.clock.advance(300)
        found = await manager.wait_for(A, 10.0)
        assert isinstance(found, Problem)
        assert found.kind is Kind.STORAGE_DENIED
        assert watchful.ca.calls["new_order"] == 1
        monkeypatch.setattr(Folder, "read", read)
        await watchful.clock.advance(40)
        assert states(manager)[A] is State.VALID
    assert watchful.ca.calls["new_order"] == 1
