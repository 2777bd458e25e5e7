"""What systemd and Foregate tell each other: sd_notify(3), and sockets that systemd has opened (sd_listen_fds(3))."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Final

_FIRST_DESCRIPTOR: Final = 3
_SLOWEST_PING: Final = 2.0  # seconds
_PER_SECOND: Final = 1_000_000


class ServiceManager:
    """Tell the service manager how the service is; without one, nobody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find the manager in $NOTIFY_SOCKET, and how often it wants a sign of life in $WATCHDOG_USEC."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_ready = False
        microseconds = environ.get("WATCHDOG_USEC", "")
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        given = int(microseconds) / _PER_SECOND if watched and microseconds.isdecimal() else 0.0
        self._ping_interval = min(_SLOWEST_PING, given / 2) if self._address else 0.0

    async def attend(self, is_ready: Callable[[], Awaitable[None]]) -> None:
        """Say Ready when that is so, and show signs of life from then on, for as long as the event loop runs."""
        await is_ready()
        self.ready("serving")
        while self._ping_interval:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._ping_interval)

    def ready(self, status: str) -> None:
        """Say that connections are served, after a start, a reload or an upgrade."""
        self._is_ready = True
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload has begun; `ready` says that it is over."""
        if self._is_ready:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading the configuration")

    def reloaded(self, status: str) -> None:
        """Say that a reload is over, however it went."""
        if self._is_ready:
            self.ready(status)

    def stopping(self) -> None:
        """Say that what is in flight is being finished."""
        self._is_ready = False
        self._tell("STOPPING=1", "STATUS=draining")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as way,
        ):
            way.sendto("\n".join(lines).encode(), self._address)  # who is not there, or busy, is not told


def lent_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Take over the listening sockets that the service manager opened for this process, with their names.

    The variables are removed, so that neither children nor a later program of this process believe in them.
    """
    given = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    count = given["LISTEN_FDS"]
    if given["LISTEN_PID"] != str(os.getpid()) or not count.isdecimal():
        return []
    names = [*given["LISTEN_FDNAMES"].split(":"), *[""] * int(count)]
    return [(names[n], socket.socket(fileno=_FIRST_DESCRIPTOR + n)) for n in range(int(count))]
