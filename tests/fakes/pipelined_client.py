"""A fast HTTP/1.1 client for campaigns: any number of requests at once on each connection, answers in order."""

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple, Self, cast

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
_OUTCOME = re.compile(rb"\r\nx-cache-status: ([A-Z]+)\r\n", re.IGNORECASE)


class Answer(NamedTuple):
    """One response; ``outcome`` is its X-Cache-Status, or empty."""

    status: int
    outcome: str
    head: bytes
    content: bytes


class PipelinedClient(asyncio.Protocol):
    """One connection; requests must not be such whose answers have no content of their own (HEAD)."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = 0
        self._answers: list[Answer] = []
        self._done: asyncio.Future[list[Answer]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> Self:
        """Open a connection."""
        _, client = await asyncio.get_running_loop().create_connection(cls, *address)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionResetError("the connection ended before all answers came"))

    async def ask(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send all requests at once; return their answers."""
        assert self._transport is not None
        assert self._done is None, "one batch at a time"
        self._wanted = len(requests)
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(requests))
        try:
            return await self._done
        finally:
            self._done = None

    def close(self) -> None:
        """Leave, whatever is still to come."""
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (answer := self._next()) is not None:
            if answer.status >= 200:
                self._answers.append(answer)
        if self._done is not None and not self._done.done() and len(self._answers) >= self._wanted:
            answers, self._answers = self._answers, []
            self._done.set_result(answers)

    def _next(self) -> Answer | None:
        """Take the next response off what has come, if it is whole."""
        received = self._received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(received[: end + 2])
        length = _LENGTH.search(head)
        if length is not None:
            over = end + 4 + int(length[1])
            if len(received) < over:
                return None
            content = bytes(received[end + 4 : over])
        elif _CHUNKED.search(head):
            found = self._chunks(end + 4)
            if found is None:
                return None
            content, over = found
        else:
            content, over = b"", end + 4
        del received[:over]
        outcome = _OUTCOME.search(head)
        return Answer(int(head[9:12]), outcome[1].decode() if outcome else "", head, content)

    def _chunks(self, at: int) -> tuple[bytes, int] | None:
        """Return chunked content that begins at a place, and where it ends; None before all of it is here."""
        content = b""
        while (line := self._received.find(b"\r\n", at)) >= 0:
            size = int(self._received[at:line], 16)
            at = line + 2 + size + 2
            if len(self._received) < at:
                return None
            if not size:
                return content, at
            content += self._received[line + 2 : at - 2]
        return None
