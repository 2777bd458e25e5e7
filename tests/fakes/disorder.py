"""Clients and apps that do anything at any moment: whole and half messages, garbage, ends, resets, silence.

Each run is a random but repeatable row of steps.
"""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Final

from tests.fakes.playbook import Play
from tests.fakes.warped_loop import pass_time

STEPS: Final = 60

FROM_CLIENTS: Final = (
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
    b"GET /%d HTTP/1.0\r\n\r\n",
    b"HEAD /%d HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\nCookie: a=b\r\nRange: bytes=0-1\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: unknown.test\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /%d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n",
    b"PUT /%d HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"nonsense",
    b"x" * 100_000,
)
FROM_APPS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + b"z" * 400_000,
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"nonsense",
    b"y" * 100_000,
)


class Crowd:
    """The sockets of one side, and what they may do next."""

    def __init__(self, draw: random.Random, messages: tuple[bytes, ...]) -> None:
        self.sockets: list[socket.socket] = []
        self._draw = draw
        self._messages = messages

    def step(self) -> None:
        """Let one of them do something."""
        if not self.sockets:
            return
        sock = self._draw.choice(self.sockets)
        deed: Callable[[socket.socket], None] = self._draw.choices(
            (self._send, self._read, self._shut_down, self._close, self._reset), (12, 8, 1, 1, 1)
        )[0]
        try:
            deed(sock)
        except OSError:
            self._close(sock)

    def _send(self, sock: socket.socket) -> None:
        message = self._draw.choice(self._messages)
        octets = message % self._draw.randrange(4) if b"%d" in message else message
        if self._draw.random() < 0.2:
            octets = octets[: self._draw.randrange(len(octets))]
        try:
            sock.send(octets)
        except BlockingIOError:
            return

    def _read(self, sock: socket.socket) -> None:
        try:
            sock.recv(self._draw.choice((1, 100, 1_000_000)))
        except BlockingIOError:
            return

    def _shut_down(self, sock: socket.socket) -> None:
        sock.shutdown(socket.SHUT_WR)

    def _close(self, sock: socket.socket) -> None:
        self.sockets.remove(sock)
        sock.close()

    def _reset(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._close(sock)

    def leave(self) -> None:
        """Reset all that are left."""
        for sock in list(self.sockets):
            self._reset(sock)


async def disorder(play: Play, draw: random.Random, *, time_passes: bool, steps: int = STEPS) -> None:
    """Do so many steps, and let all of them go."""
    play.leaves_cycles = True
    await play.start(
        site=f'upstream = ["{play.url}", "{play.spare_url}"]\nlimits = {{body = "200KB"}}',
        domains='["a.test", "b.test"]',
    )
    play.gateway.keep_little()
    clients, apps = Crowd(draw, FROM_CLIENTS), Crowd(draw, FROM_APPS)
    loop = asyncio.get_running_loop()
    for _ in range(steps):
        turn = draw.random()
        if turn < 0.1 and len(clients.sockets) < 6:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what it does not read is soon felt
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", play.gateway.port))
            clients.sockets.append(sock)
        elif turn < 0.15 and time_passes:
            await pass_time(draw.choice((0.3, 1.0, 5.0, 31.0, 61.0)), step=1.0)
        elif turn > 0.98:
            play.gateway.apply(play.gateway.config)  # a reload
        elif turn < 0.55:
            clients.step()
        else:
            apps.step()
        await play.turn()
        for listening in (play.app, play.spare):
            apps.sockets.extend(listening.waiting())
    clients.leave()
    for listening in (play.app, play.spare):
        listening.close()
    await play.turn()
    apps.leave()
