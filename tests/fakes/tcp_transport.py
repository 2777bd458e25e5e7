"""A TCP transport without a network, whose peer takes octets when the test says so."""

import asyncio
from typing import Any


class FakeTcpTransport(asyncio.Transport):
    """Keeps what is written; ``taken`` is what the peer has read, write by write."""

    def __init__(self, high: int = 65536) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.2", 443)})
        self.protocol: Any = None
        self.taken: list[bytes] = []
        self.waiting: list[bytes] = []
        self.peer_takes = True
        self.reading = True
        self.eof_written = False
        self.closed = False
        self.aborted = False
        self._high = high
        self._paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]  # whatever the test put there

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.eof_written
        assert not self.closed
        if self.peer_takes:
            self.taken.append(bytes(data))
            return
        self.waiting.append(bytes(data))
        if not self._paused and self.get_write_buffer_size() > self._high:
            self._paused = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.waiting))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65536 if high is None else high

    def peer_takes_all(self) -> None:
        """Let the peer read what waits; what is written then waits again."""
        self.taken += self.waiting
        self.waiting = []
        if self._paused:
            self._paused = False
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.closed
        self.eof_written = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed
