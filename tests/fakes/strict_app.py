"""An app that reads requests strictly, answers each with its own start line, and remembers what came."""

import asyncio
import contextlib
import random
import socket
from typing import Final, Self

from tests.fakes.peer import WHOLE, Message, Peer
from tests.fakes.playbook import App

_GONE: Final = (EOFError, ConnectionError)


class _Listener(Peer):
    """A peer that remembers all octets since the last whole request."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, WHOLE, random.Random(0))
        self.since = b""

    async def _more(self) -> None:
        before = len(self._received)
        await super()._more()
        self.since += self._received[before:]

    async def whole_request(self) -> tuple[Message, bytes]:
        """Receive a request; return it with its octets as they came."""
        message = await self.request()
        octets = self.since[: len(self.since) - len(self._received)]
        self.since = self._received
        return message, octets


class StrictApp:
    """Serves every connection to an app until it is left; anything malformed is noted in `faults`.

    `unfinished` holds the beginnings of requests that were cut off, `octets` everything else that came.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: set[socket.socket] = set()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.whole: list[Message] = []
        self.octets: list[bytes] = []
        self.unfinished: list[bytes] = []
        self.faults: list[str] = []

    async def _accept(self) -> None:
        while True:
            sock = await self._app.accept_socket()
            self._sockets.add(sock)
            task = asyncio.create_task(self._serve(_Listener(sock)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: _Listener) -> None:
        try:
            with contextlib.suppress(*_GONE):
                while True:
                    await self._answer_one(peer)
        except (AssertionError, ValueError) as error:
            self.faults.append(f"{error!r} in {peer.since!r}")
        finally:
            if peer.since:
                self.unfinished.append(peer.since)
            self._sockets.discard(peer.sock)
            peer.close()

    async def _answer_one(self, peer: _Listener) -> None:
        message, octets = await peer.whole_request()
        self.whole.append(message)
        self.octets.append(octets)
        await peer.send_octets(self.answer(message))

    def answer(self, message: Message) -> bytes:
        """Answer with the request's start line."""
        content = message.start.encode("latin-1")
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)

    def hang_up(self) -> None:
        """End all connections."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    async def __aenter__(self) -> Self:
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        tasks = [self._accepting, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
