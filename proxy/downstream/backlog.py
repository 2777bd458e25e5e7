"""Connections that wait in a listening socket which this process is about to close.

The kernel resets what waits in a socket when the last process closes it. These clients have seen their
connection established, and perhaps sent a request; so whoever closes a listening socket takes them first.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Final

#: Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4096


class Arrivals:
    """Connections between the backlog and their protocol."""

    __slots__ = ("_loop", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[object]] = set()

    def take(self, listening_socket: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        """Accept all that wait now, and serve them with protocols made by ``factory``."""
        for accepted in _waiting(listening_socket):
            task = self._loop.create_task(self._serve(accepted, factory))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until every one of them has its protocol."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Close those that have no protocol yet."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, accepted: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        try:
            await self._loop.connect_accepted_socket(factory, accepted)
        except OSError:
            accepted.close()  # the client has left already


def _waiting(listening_socket: socket.socket) -> Iterator[socket.socket]:
    listening_socket.setblocking(False)
    for _ in range(BACKLOG):
        try:
            accepted, _ = listening_socket.accept()
        except BlockingIOError:
            return
        except OSError as exc:
            if exc.errno == errno.ECONNABORTED:
                continue  # this one has left; others may be behind it
            return  # no descriptor is left: there is nothing to be done for those who wait
        accepted.setblocking(False)
        yield accepted
