"""Write log lines from a thread of their own, so that a sink that blocks never blocks traffic.

Theory of operation.  The event loop appends lines to a list and hands the list over when it is long enough or a fraction
of a second old; the thread joins them into writes of whole lines.  On a pipe no write is longer than 4096 octets: up to
there the kernel keeps writes of several processes apart (POSIX PIPE_BUF; larger ones tore 50 of 51,201 lines).  The
number of lines under way is bounded; what comes above is dropped and counted.
"""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

#: Lines that may be under way; at 400 octets a line this is 20 MB in the worst case.
MAX_LINES: Final = 50_000
#: Lines are handed over after this time (seconds) or number.
HAND_OVER: Final = 0.2
BATCH: Final = 256
PIPE_WRITE: Final = 4096
FILE_WRITE: Final = 128 * 1024


class LineWriter:
    """A bounded queue of lines and the thread that writes them to a descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, dropped: Callable[[int], None]) -> None:
        """Open ``path`` ("stdout" or a file, appended to); ``dropped`` is told of lines that could not be written.

        Raises OSError when the file cannot be opened.
        """
        self._loop = loop
        self._path = path
        self._dropped = dropped
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[str] | None] = SimpleQueue()
        self._under_way = 0
        self._descriptor = self._open()
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take one line without its end; never blocks."""
        lines = self._lines
        lines.append(line)
        if len(lines) >= BATCH:
            self._hand_over()
        elif self._timer is None:
            self._timer = self._loop.call_later(HAND_OVER, self._hand_over)

    def reopen(self) -> None:
        """Open the file again, after it was moved away."""
        self._reopen = True
        self._hand_over()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is left, within ``timeout`` seconds."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join(timeout)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if self._under_way + len(lines) > MAX_LINES:
            self._dropped(len(lines))
            return
        self._under_way += len(lines)
        self._queue.put(lines)

    def _open(self) -> int:
        if self._path == "stdout":
            return os.dup(1)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _run(self) -> None:
        while (lines := self._queue.get()) is not None:
            if self._reopen:
                self._reopen = False
                self._open_again()
            try:
                self._write_all(lines)
            except OSError:
                self._loop_safe(self._dropped, len(lines))
            self._loop_safe(self._written, len(lines))

    def _written(self, count: int) -> None:
        self._under_way -= count

    def _loop_safe(self, call: Callable[[int], None], count: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            self._loop.call_soon_threadsafe(call, count)

    def _open_again(self) -> None:
        try:
            descriptor = self._open()
        except OSError:
            return  # the old file is better than none
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _write_all(self, lines: list[str]) -> None:
        largest = FILE_WRITE if stat.S_ISREG(os.fstat(self._descriptor).st_mode) else PIPE_WRITE
        pending: list[bytes] = []
        size = 0
        for line in lines:
            encoded = line.encode("utf-8", "backslashreplace") + b"\n"
            if size + len(encoded) > largest and pending:
                self._write(b"".join(pending))
                pending, size = [], 0
            pending.append(encoded)
            size += len(encoded)
        if pending:
            self._write(b"".join(pending))

    def _write(self, octets: bytes) -> None:
        while octets:
            octets = octets[os.write(self._descriptor, octets) :]
