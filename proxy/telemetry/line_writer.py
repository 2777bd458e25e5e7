"""Write log lines without ever blocking the event loop, and without tearing a line.

Theory of operation.  Lines are collected for a fraction of a second and then joined.  What happens next
depends on the sink.  A pipe, socket or terminal gets non-blocking writes of whole lines, straight from the
event loop, at most 4096 octets each: up to there the kernel takes all or nothing and keeps the writes of
several processes apart (POSIX PIPE_BUF). Non-blocking is a property of the open file description, which other
processes share, so the sink is opened anew for us (/proc/self/fd/N).  A regular file, and whatever cannot be
opened anew, is written by a thread, because a disk can stall and knows no "would block"; it gets few, large
writes, since each costs a handover of the interpreter lock (with one write per 4 KB this was 9 µs a request,
measured).  What waits is bounded in octets; above, lines are dropped and counted.
"""

import asyncio
import contextlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

#: Octets of lines that may wait.
MAX_WAITING: Final = 16 * 1024 * 1024
#: Lines are written after this time (seconds) or number.
COLLECT: Final = 0.2
#: Each batch for a file costs a handover to the thread: with 128 lines a request cost 4 µs more than with 2048.
BATCH: Final = 2048
#: The longest write that a pipe takes whole.
PIPE_WRITE: Final = 4096


class LineWriter:
    """A bounded queue of lines in front of a file, a pipe or a terminal."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: str,
        dropped: Callable[[int], None],
        *,
        may_wait: bool = False,
    ) -> None:
        """Open ``path`` ("stdout" or a file, appended to); ``dropped`` is told of lines that could not be written.

        When the file cannot be opened, raises OSError; or, if it ``may_wait``, drops lines until it can be.
        """
        self._loop = loop
        self._path = path
        self._dropped = dropped
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._sink: _DirectSink | _ThreadSink | None = None
        try:
            self._sink = self._open()
        except OSError:
            if not may_wait:
                raise

    @property
    def is_open(self) -> bool:
        """Tell whether there is a file to write to."""
        return self._sink is not None

    def put(self, line: str) -> None:
        """Take one line without its end; never blocks."""
        if self._closed:
            self._dropped(1)
            return
        lines = self._lines
        lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(COLLECT, self._flush)
        elif len(lines) >= BATCH:
            self._flush()

    def reopen(self) -> None:
        """Open the file again, after it was moved away; raises OSError and keeps the old one when that fails."""
        self._flush()
        former, self._sink = self._sink, self._open()
        if former is not None:
            former.close(0.0)

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left, within ``timeout`` seconds."""
        if not self._closed:
            self._flush()
            self._closed = True
            if self._sink is not None:
                self._sink.close(timeout)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            if self._sink is None:
                with contextlib.suppress(OSError):
                    self._sink = self._open()
            if self._sink is None:
                self._dropped(len(lines))
            else:
                self._sink.write(lines)

    def _open(self) -> "_DirectSink | _ThreadSink":
        if self._path != "stdout":
            # Without O_NONBLOCK a named pipe that nobody reads would hold the whole process.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o640)
        else:
            descriptor = os.dup(1)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            with contextlib.suppress(OSError):
                own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.close(descriptor)
                return _DirectSink(self._loop, own, self._dropped)
        return _ThreadSink(self._loop, descriptor, self._dropped)


def _encode(lines: list[str]) -> bytes:
    lines.append("")
    return "\n".join(lines).encode("utf-8", "backslashreplace")


def _pieces(octets: bytes) -> Iterator[bytes]:
    """Cut at ends of lines into what a pipe takes whole; a line that is longer is cut anywhere."""
    position = 0
    while position < len(octets):
        end = len(octets)
        if end - position > PIPE_WRITE:
            end = octets.rfind(b"\n", position, position + PIPE_WRITE) + 1 or position + PIPE_WRITE
        yield octets[position:end]
        position = end


class _DirectSink:
    """A pipe or terminal, written without blocking in pieces of whole lines."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, dropped: Callable[[int], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._dropped = dropped
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._watched = False

    def write(self, lines: list[str]) -> None:
        """Queue lines and write what the sink takes now."""
        octets = _encode(lines)
        if self._waiting + len(octets) > MAX_WAITING:
            self._dropped(octets.count(b"\n"))
            return
        self._pieces.extend(_pieces(octets))
        self._waiting += len(octets)
        if not self._watched:
            self._write_some()

    def _write_some(self) -> None:
        pieces = self._pieces
        try:
            while pieces:
                piece = pieces[0]
                written = os.write(self._descriptor, piece)
                self._waiting -= written
                if written < len(piece):  # a terminal may take a part; a pipe never does
                    pieces[0] = piece[written:]
                else:
                    pieces.popleft()
        except BlockingIOError:
            self._watch()
            return
        except OSError:  # nobody reads any more
            self._drop()
        self._unwatch()

    def _drop(self) -> None:
        if self._pieces:
            self._dropped(sum(piece.count(b"\n") for piece in self._pieces))
            self._pieces.clear()
            self._waiting = 0

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._loop.add_writer(self._descriptor, self._write_some)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_writer(self._descriptor)

    def close(self, timeout: float) -> None:
        """Write what the sink takes at once; the loop is not kept waiting for the rest."""
        self._write_some()
        self._unwatch()
        self._drop()
        os.close(self._descriptor)


class _ThreadSink:
    """A file, written by a thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, dropped: Callable[[int], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._dropped = dropped
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._waiting = 0
        self._in_pieces = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, lines: list[str]) -> None:
        """Hand lines to the thread."""
        octets = _encode(lines)
        if self._waiting + len(octets) > MAX_WAITING:
            self._dropped(octets.count(b"\n"))
            return
        self._waiting += len(octets)
        self._queue.put(octets)

    def close(self, timeout: float) -> None:
        """Let the thread write what is left, and wait for it for at most ``timeout`` seconds."""
        self._queue.put(None)
        if timeout:
            self._thread.join(timeout)

    def _run(self) -> None:
        while (octets := self._queue.get()) is not None:
            try:
                self._write_all(octets)
            except OSError:
                self._tell(self._dropped, octets.count(b"\n"))
            self._tell(self._written, len(octets))
        os.close(self._descriptor)

    def _write_all(self, octets: bytes) -> None:
        for piece in _pieces(octets) if self._in_pieces else (octets,):
            written = os.write(self._descriptor, piece)
            while written < len(piece):
                written += os.write(self._descriptor, piece[written:])

    def _written(self, count: int) -> None:
        self._waiting -= count

    def _tell(self, call: Callable[[int], None], count: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            self._loop.call_soon_threadsafe(call, count)
