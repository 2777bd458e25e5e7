"""The log's way out: whole lines, in bounds, and never a wait for whoever reads them."""

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.telemetry import line_writer
from proxy.telemetry.line_writer import BATCH, PIPE_WRITE, LineWriter

PATIENCE = 60.0
MakeWriter = Callable[[str], LineWriter]


class Dropped:
    """Counts what was dropped."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count


@pytest.fixture
def dropped() -> Dropped:
    return Dropped()


@pytest.fixture
async def writer_to(dropped: Dropped) -> AsyncIterator[MakeWriter]:
    writers: list[LineWriter] = []

    def make(path: str) -> LineWriter:
        writers.append(LineWriter(asyncio.get_running_loop(), path, dropped))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the reading and the writing end of a pipe."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def on(descriptor: int, writer_to: MakeWriter) -> LineWriter:
    """Make a writer whose standard output is this descriptor."""
    saved = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        return writer_to("stdout")
    finally:
        os.dup2(saved, 1)
        os.close(saved)


async def read_from(reading: int, lines: int) -> bytes:
    """Read from a pipe until so many lines have come."""
    received = b""
    async with asyncio.timeout(PATIENCE):
        while received.count(b"\n") < lines:
            with suppress(BlockingIOError):
                received += os.read(reading, 4096)
            await asyncio.sleep(0)
    return received


async def read_lines(path: Path, count: int) -> list[str]:
    """Wait until a file holds so many lines."""
    async with asyncio.timeout(PATIENCE):
        while len(lines := (await asyncio.to_thread(path.read_text)).splitlines()) < count:
            pass
    return lines


async def test_lines_come_out_whole_and_in_order(
    tmp_path: Path, writer_to: MakeWriter, dropped: Dropped
) -> None:
    path = tmp_path / "access.log"
    writer = writer_to(str(path))
    for number in range(3 * BATCH + 5):
        writer.put(f"line {number}")
    writer.close()
    assert path.read_text().splitlines() == [f"line {number}" for number in range(3 * BATCH + 5)]
    assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
    assert dropped.count == 0


async def test_lines_come_out_after_a_moment(tmp_path: Path, writer_to: MakeWriter) -> None:
    path = tmp_path / "access.log"
    writer_to(str(path)).put("one")
    assert await read_lines(path, 1) == ["one"]


async def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, writer_to: MakeWriter) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    writer = writer_to(str(path))
    writer.put("before")
    path.rename(moved)
    writer.put("between")
    writer.reopen()
    writer.put("after")
    writer.close()
    assert await read_lines(moved, 2) == ["before", "between"]
    assert path.read_text() == "after\n"


async def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one(
    tmp_path: Path, writer_to: MakeWriter
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = writer_to(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        writer.reopen()
    writer.put("still")
    writer.close()
    assert (tmp_path / "moved" / "access.log").read_text() == "still\n"


async def test_a_folder_that_is_missing_is_told(tmp_path: Path, dropped: Dropped) -> None:
    with pytest.raises(FileNotFoundError):
        LineWriter(asyncio.get_running_loop(), str(tmp_path / "missing" / "log"), dropped)


async def test_a_named_pipe_that_nobody_reads_is_told_at_once(tmp_path: Path, dropped: Dropped) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device or address"):
        LineWriter(asyncio.get_running_loop(), str(path), dropped)


async def test_a_pipe_gets_whole_lines_in_writes_that_it_takes_whole(
    pipe: tuple[int, int], writer_to: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = os.write

    def note(descriptor: int, octets: bytes) -> int:
        writes.append(octets)
        return write(descriptor, octets)

    monkeypatch.setattr(os, "write", note)
    writer = on(pipe[1], writer_to)
    lines = [f"{number} " + "x" * (number * 37 % 4000) for number in range(20)]
    for line in lines:
        writer.put(line)
    writer.close()
    assert b"".join(writes).decode().splitlines() == lines
    assert all(len(octets) <= PIPE_WRITE and octets.endswith(b"\n") for octets in writes)


async def test_a_blocked_pipe_blocks_nobody_and_what_is_too_much_is_counted(
    pipe: tuple[int, int], writer_to: MakeWriter, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "MAX_WAITING", 200_000)
    reading, writing = pipe
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    writer = on(writing, writer_to)
    line = "x" * 99
    for _ in range(5120):
        writer.put(line)
    writer._flush()
    assert 0 < dropped.count < 5120
    kept = 5120 - dropped.count
    received = await read_from(reading, kept)
    assert set(received.decode().splitlines()) == {line}
    writer.put("afterwards")
    writer._flush()
    assert await read_from(reading, 1) == b"afterwards\n"


async def test_lines_that_a_blocked_pipe_never_took_are_counted_when_it_is_closed(
    pipe: tuple[int, int], writer_to: MakeWriter, dropped: Dropped
) -> None:
    reading, writing = pipe
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    writer = on(writing, writer_to)
    for _ in range(1000):
        writer.put("x" * 99)
    writer.close()
    taken = os.read(reading, 65536).count(b"\n")
    assert taken + dropped.count == 1000


async def test_a_pipe_that_nobody_reads_any_more_loses_lines_and_nothing_else(
    pipe: tuple[int, int], writer_to: MakeWriter, dropped: Dropped
) -> None:
    reading, writing = pipe
    writer = on(writing, writer_to)
    os.close(reading)
    for _ in range(3):
        writer.put("lost")
    writer._flush()
    assert dropped.count == 3


async def test_a_socket_in_the_place_of_stdout_blocks_nobody(writer_to: MakeWriter, dropped: Dropped) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = on(theirs.fileno(), writer_to)
        for number in range(5 * BATCH):
            writer.put(f"{number} " + "x" * 200)
        writer._flush()
        ours.settimeout(PATIENCE)
        received = b""
        while received.count(b"\n") < 5 * BATCH:
            received += await asyncio.to_thread(ours.recv, 65536)
        writer.close()
    assert received.splitlines()[-1].startswith(b"%d xxx" % (5 * BATCH - 1))
    assert dropped.count == 0


async def test_a_full_disk_costs_lines_and_nothing_else(writer_to: MakeWriter, dropped: Dropped) -> None:
    writer = writer_to("/dev/full")
    writer.put("lost")
    writer.close()
    async with asyncio.timeout(PATIENCE):
        while not dropped.count:  # noqa: ASYNC110 (a thread tells it)
            await asyncio.sleep(0)
    assert dropped.count == 1


async def test_what_comes_after_the_end_is_counted_and_goes_nowhere(
    tmp_path: Path, writer_to: MakeWriter, dropped: Dropped
) -> None:
    path = tmp_path / "access.log"
    writer = writer_to(str(path))
    writer.put("one")
    writer.close()
    writer.put("two")
    writer.close()
    assert path.read_text() == "one\n"
    assert dropped.count == 1


async def test_two_writers_on_one_pipe_never_tear_a_line(
    pipe: tuple[int, int], writer_to: MakeWriter
) -> None:
    reading, writing = pipe
    writers = [on(writing, writer_to) for _ in range(2)]
    for number in range(500):
        for name, writer in zip("ab", writers, strict=True):
            writer.put(f"{name}{number} " + name * (number * 7 % 300))
    for writer in writers:
        writer._flush()
    received = await read_from(reading, 1000)
    for line in received.decode().splitlines():
        assert set(line.partition(" ")[2]) <= {line[0]}


async def test_a_file_that_cannot_be_opened_is_tried_again_where_lines_may_be_lost(
    tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "BATCH", 2)
    path = tmp_path / "later" / "access.log"
    with pytest.raises(FileNotFoundError):
        LineWriter(asyncio.get_running_loop(), str(path), dropped)
    writer = LineWriter(asyncio.get_running_loop(), str(path), dropped, may_wait=True)
    assert not writer.is_open
    writer.put("lost")
    writer.put("lost")
    assert dropped.count == 2
    path.parent.mkdir()
    writer.put("kept")
    writer.put("kept")
    assert writer.is_open
    writer.close()
    assert path.read_text() == "kept\nkept\n"
    assert dropped.count == 2


async def test_one_that_never_opened_can_be_closed(tmp_path: Path, dropped: Dropped) -> None:
    writer = LineWriter(asyncio.get_running_loop(), str(tmp_path / "no" / "log"), dropped, may_wait=True)
    with pytest.raises(FileNotFoundError):
        writer.reopen()
    writer.put("lost")
    writer.close()
    assert dropped.count == 1
