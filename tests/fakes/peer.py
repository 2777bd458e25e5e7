"""One end of a connection, the client's or the app's: it sends and receives exactly what a test says.

What is sent goes out as a run of the test wants it: in one piece, octet by octet, or cut at random places. The pieces
arrive one by one, because after each the event loop, which also serves the gateway, takes its turns.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.fakes.warped_loop import WarpedLoop, turns

WHOLE: Final = "whole"
OCTETS: Final = "octet by octet"
RANDOM: Final = "cut at random"
PATIENCE: Final = 60.0  # seconds
#: As a gateway writes one: a token, a colon, one space, a value without controls or outer white space.
_FIELD_LINE: Final = re.compile(
    r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:(?: [!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?| )"
)
_READ: Final = 256 * 1024
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came in: start line, field lines in order, content without its coding, trailer lines."""

    start: str
    lines: tuple[str, ...]
    content: bytes = b""
    trailers: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """Return a response's status code."""
        return int(self.start.split(" ")[1])

    @property
    def target(self) -> str:
        """Return a request's target."""
        return self.start.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Return the values of all field lines with this name."""
        pairs = (line.split(": ", 1) for line in self.lines)
        return [value for field, value in pairs if field.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Return the value of the only field line with this name, or None without one."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


def head(*lines: str) -> bytes:
    """Write a message head: each line with its CRLF, and the empty line."""
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def pieces(octets: bytes, cut: str, draw: random.Random) -> Iterator[bytes]:
    """Cut what is to be sent as one run of a transcript wants it."""
    if cut == WHOLE:
        yield octets
        return
    position = 0
    while position < len(octets):
        size = 1 if cut == OCTETS else draw.choice((1, 2, 3, 7, 20, 60, 200, 5000))
        yield octets[position : position + size]
        position += size


def patience() -> contextlib.AbstractAsyncContextManager[object]:
    """Bound a wait, where the clock is not the test's own."""
    if isinstance(asyncio.get_running_loop(), WarpedLoop):
        return contextlib.nullcontext()
    return asyncio.timeout(PATIENCE)


class Peer:
    """One connection of the client's or of the app's."""

    def __init__(self, sock: socket.socket, cut: str, draw: random.Random) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._cut = cut
        self._draw = draw
        self._received = b""

    # --- sends

    async def send(self, *lines: str, content: bytes = b"") -> None:
        """Send a head of these lines, with content behind it."""
        await self.send_octets(head(*lines) + content)

    async def send_octets(self, octets: bytes) -> None:
        """Send octets as they are."""
        for piece in pieces(octets, self._cut, self._draw):
            await self._loop.sock_sendall(self.sock, piece)
            await turns()

    async def offer(self, octets: bytes) -> None:
        """Send octets as far as the other side takes them: it may hang up in between."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await self.send_octets(octets)

    async def send_chunks(self, *chunks: bytes) -> None:
        """Send content in chunks, one for each argument; an empty one is the last chunk."""
        for chunk in chunks:
            await self.send_octets(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def shut_down(self) -> None:
        """Send no more (FIN)."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close without a word."""
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset, unless it is closed already."""
        if self.sock.fileno() >= 0:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.sock.close()

    # --- receives

    async def _more(self) -> None:
        async with patience():
            octets = await self._loop.sock_recv(self.sock, _READ)
        if not octets:
            raise EOFError(f"the other side ended behind {self._received!r}")
        self._received += octets

    async def octets(self, count: int) -> bytes:
        """Receive so many octets."""
        while len(self._received) < count:
            await self._more()
        octets, self._received = self._received[:count], self._received[count:]
        return octets

    async def until(self, end: bytes) -> bytes:
        """Receive up to and with these octets."""
        while end not in self._received:
            await self._more()
        octets, mark, self._received = self._received.partition(end)
        return octets + mark

    async def expect(self, octets: bytes) -> None:
        """Receive exactly these octets."""
        received = await self.octets(len(octets))
        assert received == octets

    async def head(self) -> Message:
        """Receive a head; its lines must have no white space around them and names as tokens."""
        start, *lines = (await self.until(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        for line in lines:
            assert _FIELD_LINE.fullmatch(line), line
        return Message(start, tuple(lines))

    async def request(self) -> Message:
        """Receive a request with its content."""
        return await self._with_content(await self.head(), until_end=False)

    async def response(self, *, to: str = "GET") -> Message:
        """Receive a response with its content; `to` is the method that it answers."""
        return await self._response(await self.head(), to)

    async def final_response(self, *, to: str = "GET") -> Message:
        """Receive a final response with its content, after any interim ones."""
        message = await self.head()
        while message.status < 200:
            message = await self.head()
        return await self._response(message, to)

    async def _response(self, message: Message, to: str) -> Message:
        if to == "HEAD" or message.status in (101, 204, 304):
            return message
        framed = message.all("Content-Length") or message.all("Transfer-Encoding")
        return await self._with_content(message, until_end=not framed)

    async def _with_content(self, message: Message, *, until_end: bool) -> Message:
        length, coding = message.one("Content-Length"), message.one("Transfer-Encoding")
        assert length is None or coding is None
        if coding is not None:
            assert coding == "chunked"
            content, trailers = await self._chunks()
            return Message(message.start, message.lines, content, trailers)
        content = await self.rest() if until_end else await self.octets(int(length or 0))
        return Message(message.start, message.lines, content)

    async def _chunks(self) -> tuple[bytes, tuple[str, ...]]:
        content = b""
        while chunk := await self.chunk():
            content += chunk
        lines = []
        while line := (await self.until(b"\r\n"))[:-2]:
            lines.append(line.decode("latin-1"))
        return content, tuple(lines)

    async def chunk(self) -> bytes:
        """Receive one chunk; b"" is the last one, whose trailer section is left."""
        size = int((await self.until(b"\r\n"))[:-2], 16)
        if not size:
            return b""
        content = await self.octets(size)
        await self.expect(b"\r\n")
        return content

    async def rest(self) -> bytes:
        """Receive everything up to the other side's end, which must be orderly."""
        with contextlib.suppress(EOFError):
            while True:
                await self._more()
        octets, self._received = self._received, b""
        return octets

    async def end(self) -> None:
        """Receive the other side's orderly end, and nothing before it."""
        assert await self.rest() == b""

    async def cut_off(self) -> bytes:
        """Receive what comes until the connection is gone, by a reset or an end; return it."""
        with contextlib.suppress(ConnectionResetError):
            return await self.rest()
        octets, self._received = self._received, b""
        return octets

    async def was_reset(self) -> None:
        """Receive a reset, whatever comes before it."""
        try:
            await self.rest()
        except ConnectionResetError:
            return
        raise AssertionError("an orderly end where a reset was due")
