"""Slow clients and slow apps that exchange content through a gateway with hardly any buffer between them.

Everything that is sent can be checked; every request must be answered whole, however the sides dawdle.
"""

import asyncio
import random
import socket
from typing import Final

from tests.fakes.playbook import Play
from tests.fakes.warped_loop import turns

LARGEST: Final = 400_000
_SIZES: Final = (0, 1, 700, 20_000, 70_000, 150_000, LARGEST)
_SMALL: Final = 8192


def content_of(target: str, size: int) -> bytes:
    """Return so many octets that belong to a target."""
    return (target.encode() * (size // len(target) + 1))[:size]


class Dawdler:
    """A socket whose owner sends and receives in pieces of any size, with pauses."""

    def __init__(self, sock: socket.socket, draw: random.Random) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._draw = draw
        self._loop = asyncio.get_running_loop()
        self._received = b""

    async def send(self, octets: bytes) -> None:
        """Send everything, now and then after a pause."""
        position = 0
        while position < len(octets):
            size = self._draw.choice((1, 500, 9000, 60_000, LARGEST))
            await self._loop.sock_sendall(self.sock, octets[position : position + size])
            position += size
            await turns(self._draw.choice((0, 0, 1, 3)))

    async def _more(self) -> None:
        await turns(self._draw.choice((0, 0, 1, 5)))
        octets = await self._loop.sock_recv(self.sock, self._draw.choice((100, 5000, 50_000)))
        if not octets:
            raise EOFError
        self._received += octets

    async def until(self, end: bytes) -> bytes:
        """Receive up to and with these octets."""
        while end not in self._received:
            await self._more()
        octets, mark, self._received = self._received.partition(end)
        return octets + mark

    async def octets(self, count: int) -> bytes:
        """Receive so many octets."""
        while len(self._received) < count:
            await self._more()
        octets, self._received = self._received[:count], self._received[count:]
        return octets

    async def message(self) -> tuple[str, bytes]:
        """Receive a message; return its start line and content."""
        start, *lines = (await self.until(b"\r\n\r\n"))[:-4].decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if fields.get("transfer-encoding") != "chunked":
            return start, await self.octets(int(fields.get("content-length", "0")))
        content = b""
        while size := int((await self.until(b"\r\n"))[:-2], 16):
            content += (await self.octets(size + 2))[:-2]
        await self.until(b"\r\n")
        return start, content

    def written(self, start: str, content: bytes) -> bytes:
        """Write a message, its content in one of two framings."""
        head = f"{start}\r\nHost: a.test\r\n"
        if self._draw.random() < 0.5:
            return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        chunks = b""
        while content:
            size = self._draw.choice((1, 1000, 100_000))
            chunks, content = chunks + b"%x\r\n%s\r\n" % (len(content[:size]), content[:size]), content[size:]
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


async def _app(play: Play, draw: random.Random, tasks: asyncio.TaskGroup) -> None:
    while True:
        tasks.create_task(_answer(Dawdler(await play.app.accept_socket(), draw), draw))


async def _answer(peer: Dawdler, draw: random.Random) -> None:
    """Answer each request with content of the size that its target names, before or after reading all of it."""
    try:
        while True:
            start, content = await peer.message()
            target = start.split(" ")[1]
            assert content == content_of(target, len(content))
            if draw.random() < 0.2:
                await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            answer = content_of(target, int(target.split("/")[2]))
            await peer.send(peer.written("HTTP/1.1 200 OK", answer))
    except (EOFError, ConnectionError):
        return
    finally:
        peer.sock.close()


async def _client(play: Play, draw: random.Random, name: str, requests: int) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", play.gateway.port))
    peer = Dawdler(sock, draw)
    try:
        for number in range(requests):
            target = f"/{name}-{number}/{draw.choice(_SIZES)}"
            sent = content_of(target, draw.choice(_SIZES)) if draw.random() < 0.5 else b""
            method = "POST" if sent else "GET"
            writing = asyncio.create_task(peer.send(peer.written(f"{method} {target} HTTP/1.1", sent)))
            start, content = await peer.message()
            while start.split(" ")[1] == "103":
                start, content = await peer.message()
            await writing
            assert start.startswith("HTTP/1.1 200 "), start
            assert content == content_of(target, int(target.split("/")[2])), target
    finally:
        sock.close()


async def pressure(play: Play, seed: int, *, clients: int = 4, requests: int = 5) -> None:
    """Let so many clients send so many requests each; raises where one is not answered as it must be."""
    draw = random.Random(seed)
    await play.start(limits='body = "1MB"')
    play.gateway.keep_little()
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_app(play, draw, tasks))
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(_client(play, draw, f"c{number}", requests))
        serving.cancel()
        for target in play.gateway.plane._directory.targets():
            target.pool.close()  # type: ignore[attr-defined]  # a Pool, kept as an object
