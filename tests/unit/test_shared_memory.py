"""Regions are sealed and recognised; locks exclude processes, never wait, and die with their holder."""

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.shared_memory import HEADER_SIZE, LayoutMismatchError, SharedMemory, SharedMemoryError, StripedLock
from tests.campaigns import shared_memory_kills


@pytest.fixture
def region() -> Iterator[SharedMemory]:
    region = SharedMemory.create("slots", layout=3, size=4096)
    yield region
    region.close()


@pytest.fixture
def lock() -> Iterator[StripedLock]:
    lock = StripedLock.create()
    yield lock
    lock.close()


def test_a_new_region_is_zero_and_has_the_size_asked_for(region: SharedMemory) -> None:
    assert region.size == 4096
    assert len(region.words) == 512
    assert not any(region.words)


def test_words_and_octets_show_the_same_content(region: SharedMemory) -> None:
    region.words[1] = int.from_bytes(b"abcdefgh", sys.byteorder)
    assert bytes(region.octets[8:16]) == b"abcdefgh"


def test_words_take_the_whole_range_of_64_bits_and_nothing_more(region: SharedMemory) -> None:
    region.words[0] = (1 << 64) - 1
    assert region.words[0] == (1 << 64) - 1
    with pytest.raises(ValueError):  # noqa: PT011  # the wording is Python's
        region.words[0] = 1 << 64


def test_who_attaches_sees_what_the_creator_wrote(region: SharedMemory) -> None:
    region.words[5] = 77
    other = SharedMemory.attach(os.dup(region.descriptor), "slots", layout=3)
    assert other.words[5] == 77
    other.words[6] = 78
    assert region.words[6] == 78
    other.close()


@pytest.mark.parametrize("size", [0, HEADER_SIZE, 8192])
def test_a_region_cannot_change_its_size(region: SharedMemory, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(region.descriptor, size)


def test_the_seals_cannot_be_lifted_nor_writing_be_sealed(region: SharedMemory) -> None:
    with pytest.raises(PermissionError):
        fcntl.fcntl(region.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_another_layout_is_named(region: SharedMemory) -> None:
    with pytest.raises(LayoutMismatchError, match="layout 3, this program needs 4"):
        SharedMemory.attach(region.descriptor, "slots", layout=4)


def test_another_kind_is_named(region: SharedMemory) -> None:
    with pytest.raises(SharedMemoryError, match="holds the region 'slots', not 'cache'"):
        SharedMemory.attach(region.descriptor, "cache", layout=3)


def test_a_region_of_another_program_is_refused(region: SharedMemory) -> None:
    os.pwrite(region.descriptor, b"\0" * 8, 0)
    with pytest.raises(SharedMemoryError, match="is not shared memory of Foregate"):
        SharedMemory.attach(region.descriptor, "slots", layout=3)


def test_a_header_that_names_another_size_is_refused(region: SharedMemory) -> None:
    os.pwrite(region.descriptor, (4104).to_bytes(8, sys.byteorder), 24)
    with pytest.raises(SharedMemoryError, match="size"):
        SharedMemory.attach(region.descriptor, "slots", layout=3)


def test_an_empty_sealed_file_is_refused() -> None:
    descriptor = os.memfd_create("empty", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    with pytest.raises(SharedMemoryError, match="too small"):
        SharedMemory.attach(descriptor, "slots", layout=3)
    os.close(descriptor)


def test_a_file_that_is_not_sealed_is_refused(lock: StripedLock) -> None:
    with pytest.raises(SharedMemoryError, match="not sealed"):
        SharedMemory.attach(lock.descriptor, "slots", layout=3)


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_a_file_that_cannot_be_sealed_is_refused(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(SharedMemoryError, match=f"descriptor {descriptor} is not shared memory"):
        SharedMemory.attach(descriptor, "slots", layout=3)
    os.close(descriptor)


def test_a_closed_descriptor_is_refused() -> None:
    with pytest.raises(SharedMemoryError, match="Bad file descriptor"):
        SharedMemory.attach(1_000_000, "slots", layout=3)


@pytest.mark.parametrize("size", [0, -8, 7])
def test_a_size_that_is_no_multiple_of_words_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        SharedMemory.create("slots", layout=1, size=size)


@pytest.mark.parametrize("kind", ["", "ninechars"])
def test_a_kind_that_does_not_fit_into_a_word_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="1 to 8 characters"):
        SharedMemory.create(kind, layout=1, size=8)


@pytest.mark.parametrize("layout", [-1, 1 << 64])
def test_a_layout_that_does_not_fit_into_a_word_is_refused(layout: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        SharedMemory.create("slots", layout=layout, size=8)


HOLDER = """
import os, sys
from proxy.shared_memory import StripedLock
lock = StripedLock(int(sys.argv[1]))
assert lock.try_acquire(int(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
lock.release(int(sys.argv[2]))
print("released", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def holder(lock: StripedLock, stripe: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds a stripe until it reads a line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock.descriptor), str(stripe)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[lock.descriptor],
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_free_stripe_is_taken_at_once_and_can_be_taken_again(lock: StripedLock) -> None:
    for _ in range(3):
        assert lock.try_acquire(0)
        lock.release(0)


def test_a_stripe_that_another_process_holds_is_busy_and_its_neighbours_are_free(lock: StripedLock) -> None:
    with holder(lock, 7) as process:
        assert not lock.try_acquire(7)
        for neighbour in (6, 8):
            assert lock.try_acquire(neighbour)
            lock.release(neighbour)
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert lock.try_acquire(7)
        lock.release(7)


def test_a_stopped_holder_blocks_nobody_and_a_killed_one_frees_its_stripe(lock: StripedLock) -> None:
    with holder(lock, 7) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert not lock.try_acquire(7)
        process.kill()
        process.wait()
        assert lock.try_acquire(7)
        lock.release(7)


def test_a_stripe_before_the_file_is_an_error_and_not_busy(lock: StripedLock) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        lock.try_acquire(-1)


def test_workers_killed_and_stopped_at_random_neither_block_nor_corrupt_the_others() -> None:
    outcome = shared_memory_kills.run(rounds=30, seed=random.Random(2).randrange(1 << 32))
    assert outcome.kills > 0
    assert outcome.stops > 0
    assert outcome.stored > 0
    assert outcome.torn == 0
    assert outcome.unexplained == 0


def test_only_pages_that_were_touched_are_told_as_used() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    region = SharedMemory.create("pages", layout=1, size=64 * page - HEADER_SIZE)
    assert list(region.used()) == [(0, page - HEADER_SIZE)]
    for touched in (10, 11, 40, 63):
        region.octets[touched * page] = 1 if touched < 63 else 0
    assert list(region.used()) == [
        (0, page - HEADER_SIZE),
        (10 * page - HEADER_SIZE, 12 * page - HEADER_SIZE),
        (40 * page - HEADER_SIZE, 41 * page - HEADER_SIZE),
        (63 * page - HEADER_SIZE, 64 * page - HEADER_SIZE),
    ]
    region.close()
