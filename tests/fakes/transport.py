"""A transport that only writes down what is asked of it, for protocols tested without a loop's sockets."""

import asyncio
from typing import Any


class RecordingTransport(asyncio.Transport):
    """Keeps what is written; the test says when it pauses, and when its connection is lost."""

    def __init__(self, *, half_closes: bool = True, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra)
        self.written = b""
        self.calls: list[str] = []
        self.is_reading_now = True
        self.unsent = 0
        self._half_closes = half_closes
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep octets."""
        self.written += bytes(data)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        taken, self.written = self.written, b""
        return taken

    def can_write_eof(self) -> bool:
        """Say whether one direction can be closed by itself (not so with TLS)."""
        return self._half_closes

    def write_eof(self) -> None:
        """Note it."""
        self.calls.append("write_eof")

    def close(self) -> None:
        """Note it."""
        self._closing = True
        self.calls.append("close")

    def abort(self) -> None:
        """Note it."""
        self._closing = True
        self.calls.append("abort")

    def is_closing(self) -> bool:
        """Say whether close() or abort() was called."""
        return self._closing

    def pause_reading(self) -> None:
        """Note it."""
        self.is_reading_now = False

    def resume_reading(self) -> None:
        """Note it."""
        self.is_reading_now = True

    def get_write_buffer_size(self) -> int:
        """Return what the test says is not sent."""
        return self.unsent
