"""Commands for one worker that may be thousands: sent in order, a few at a time.

The control channel takes a worker that leaves much unread for gone. So after every few commands the worker has
to say that it has carried them out before it gets more.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.control.channel import PackedCommand
from proxy.control.messages import Command, Sync

_AT_ONCE: Final = 64


class PacedCommands:
    """A queue of commands in front of one worker's channel."""

    def __init__(self, send: Callable[[Command | PackedCommand], None]) -> None:
        self._send = send
        self._waiting: deque[Command | PackedCommand | asyncio.Future[None]] = deque()
        self._unanswered: dict[int, asyncio.Future[None] | None] = {}
        self._pause: int | None = None  # the Sync whose answer lets the queue go on
        self._sent = 0
        self._syncs = 0

    def put(self, command: Command | PackedCommand) -> None:
        """Send a command after all that were put before."""
        self._waiting.append(command)
        self._flow()

    def sync(self) -> asyncio.Future[None]:
        """Return what is done when the worker has carried out all that was put before, or has ended."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._flow()
        return done

    def synced(self, number: int) -> None:
        """Take the worker's answer to a Sync."""
        _settle(self._unanswered.pop(number, None))
        if number == self._pause:
            self._pause = None
            self._flow()

    def close(self) -> None:
        """Forget what waits: the worker is gone."""
        for waiting in (*self._waiting, *self._unanswered.values()):
            if isinstance(waiting, asyncio.Future):
                _settle(waiting)
        self._waiting.clear()
        self._unanswered.clear()

    def _flow(self) -> None:
        while self._waiting and self._pause is None:
            following = self._waiting.popleft()
            if isinstance(following, asyncio.Future):
                self._ask(following)
                continue
            self._send(following)
            self._sent += 1
            if self._sent % _AT_ONCE == 0:
                self._pause = self._ask(None)

    def _ask(self, done: "asyncio.Future[None] | None") -> int:
        self._syncs += 1
        self._unanswered[self._syncs] = done
        self._send(Sync(self._syncs))
        return self._syncs


def _settle(done: "asyncio.Future[None] | None") -> None:
    if done is not None and not done.done():
        done.set_result(None)
