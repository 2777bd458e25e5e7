"""One ledger for all processes, healed when it is damaged and kept in memory when the disk fails."""

import errno
from pathlib import Path

import pytest

from autocert.budget import Budget
from autocert.errors import BudgetError, StorageError
from autocert.files import Disk
from autocert.ledger import Charge, Limit
from autocert.storage import Storage
from tests.fakes.autocert_world import FastDisk, ManualClock

TWO = [Charge("k", Limit(2, 1000.0), "things")]


class SwitchableDisk(FastDisk):
    """A disk that can be full."""

    def __init__(self) -> None:
        self.is_full = False

    def write(self, descriptor: int, content: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, content)


def budget(folder: Path, clock: ManualClock | None = None, disk: Disk | None = None) -> Budget:
    return Budget(Storage(folder, disk or FastDisk()), clock or ManualClock())


def test_all_processes_spend_from_one_ledger(tmp_path: Path) -> None:
    one, other = budget(tmp_path), budget(tmp_path)
    one.spend(TWO)
    other.spend(TWO)
    for each in (one, other, budget(tmp_path)):
        with pytest.raises(BudgetError):
            each.spend(TWO)


def test_looking_is_not_spending(tmp_path: Path) -> None:
    each = budget(tmp_path)
    for _ in range(5):
        each.spend([], look=TWO)
    each.spend(TWO)
    each.spend(TWO)
    with pytest.raises(BudgetError):
        each.spend([], look=TWO)


def test_what_happened_is_recorded_over_the_limit(tmp_path: Path) -> None:
    each = budget(tmp_path)
    for _ in range(5):
        each.record(TWO)
    with pytest.raises(BudgetError):
        budget(tmp_path).spend([], look=TWO)


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_damaged_or_deleted_ledger_is_healed_from_memory(tmp_path: Path, content: bytes | None) -> None:
    each = budget(tmp_path)
    each.spend(TWO)
    each.spend(TWO)
    for name in ("current", "previous"):
        path = tmp_path / "ledger" / name
        path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(BudgetError):
        each.spend(TWO)
    assert bool(each.damage) is (content is not None)


def test_a_damaged_ledger_is_healed_from_the_version_before(tmp_path: Path) -> None:
    for _ in range(2):
        budget(tmp_path).spend(TWO)
    (tmp_path / "ledger" / "current").write_bytes(b"")
    again = budget(tmp_path)
    again.spend(TWO)
    with pytest.raises(BudgetError):
        again.spend(TWO)


def test_a_full_disk_refuses_and_takes_the_charge_back(tmp_path: Path) -> None:
    disk = SwitchableDisk()
    each = budget(tmp_path, disk=disk)
    each.spend(TWO)
    disk.is_full = True
    with pytest.raises(StorageError):
        each.spend(TWO)
    disk.is_full = False
    each.spend(TWO)
    with pytest.raises(BudgetError):
        each.spend(TWO)


def test_when_memory_will_do_it_counts_there_and_is_written_later(tmp_path: Path) -> None:
    disk = SwitchableDisk()
    each = budget(tmp_path, disk=disk)
    disk.is_full = True
    each.spend(TWO, memory_will_do=True)
    each.record(TWO)
    with pytest.raises(BudgetError):
        each.spend(TWO, memory_will_do=True)
    disk.is_full = False
    each.spend([])
    with pytest.raises(BudgetError):
        budget(tmp_path).spend(TWO)


async def test_a_clock_that_is_set_frees_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    each = budget(tmp_path, clock)
    each.spend(TWO)
    each.spend(TWO)
    clock.set(1e6)
    for again in (each, budget(tmp_path, clock)):
        with pytest.raises(BudgetError):
            again.spend(TWO)
    clock.set(-3e6)
    with pytest.raises(BudgetError) as caught:
        budget(tmp_path, clock).spend(TWO)
    assert caught.value.frees_at == pytest.approx(clock.wall() + 1000.0)
    await clock.advance(1001)
    budget(tmp_path, clock).spend(TWO)
