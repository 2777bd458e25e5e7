"""Connections to one address of an app: kept for reuse, counted, bounded.

The pool decides synchronously; only making a new connection takes time, in one task per attempt.
"""

import asyncio
import contextlib
import errno
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from proxy.deadlines import DeadlineWheel
from proxy.errors import (
    ConnectionLimitError,
    ConnectRefusedError,
    ConnectTimeoutError,
    GatewayError,
    TlsFailureError,
)
from proxy.telemetry import counters
from proxy.telemetry.counters import WorkerCounters
from proxy.upstream.addresses import TargetKey
from proxy.upstream.balancer import Target
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.heads import ResponseMemo

#: Connections to one address, from one worker: kept idle, and in all. Above, requests wait for ``connect``
#: seconds.
MAX_IDLE: Final = 256
MAX_CONNECTIONS: Final = 1024
#: A request that must not be sent twice reuses only a connection that was in use this recently (seconds).
FRESH: Final = 1.0


class Connecting(Protocol):
    """Who waits for a connection."""

    def connected(self, connection: UpstreamConnection) -> None:
        """Take the connection; it is fresh, or was given back by somebody else."""
        ...

    def not_connected(self, error: GatewayError) -> None:
        """Learn that there is none to be had."""
        ...


class Attempt:
    """A wait for a connection; cancel() ends it, and a connection that comes all the same is closed."""

    __slots__ = ("task", "timeout", "timer", "waiter")

    def __init__(self, waiter: Connecting, timeout: float) -> None:
        self.waiter: Connecting | None = waiter
        self.timeout = timeout
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Wait no longer."""
        self.waiter = None
        if self.task is not None:
            self.task.cancel()
        if self.timer is not None:
            self.timer.cancel()


class PoolContext:
    """What all pools of a worker share."""

    __slots__ = ("counters", "loop", "response_memo", "wheel")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wheel: DeadlineWheel, counters: WorkerCounters
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.counters = counters
        self.response_memo = ResponseMemo()


class Pool:
    """The connections to one target."""

    __slots__ = (
        "_context",
        "_idle",
        "_key",
        "_open",
        "_opening",
        "_tls",
        "_waiting",
        "label",
        "loop",
        "response_memo",
        "wheel",
    )

    def __init__(self, context: PoolContext, key: TargetKey, tls: ssl.SSLContext | None) -> None:
        self._context = context
        self._key = key
        self._tls = tls
        self._idle: deque[UpstreamConnection] = deque()
        self._waiting: deque[Attempt] = deque()
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.loop = context.loop
        self.wheel = context.wheel
        self.response_memo = context.response_memo
        self.label = f"unix:{key.path}" if key.scheme == "unix" else f"{_bracketed(key.address)}:{key.port}"

    def take(self, keepalive: float, now: float) -> UpstreamConnection | None:
        """Return the most recently used idle connection that may still be used, or None.

        ``keepalive`` is how long one may have been idle (seconds), ``now`` the loop's clock.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if now - connection.idle_since > keepalive:
                idle.append(connection)
                return None
            if connection.is_usable():
                connection.reused = True
                self._context.counters.add(counters.UPSTREAM_REUSED)
                return connection
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for reuse, or hand it to who waits longest."""
        while self._waiting:
            attempt = self._waiting.popleft()
            waiter = attempt.waiter
            if waiter is not None:
                attempt.cancel()  # it only waits in line: no task of its own
                connection.reused = True
                waiter.connected(connection)
                return
        if len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        connection.wait_idle(self.loop.time())
        self._idle.append(connection)

    def _made(self, connection: UpstreamConnection) -> None:
        """Count a connection that was just made.

        Not before its maker has got hold of it: a connection whose making is cancelled at the last moment is closed
        by the event loop, and nobody is told that it was lost.
        """
        connection.is_counted = True
        self._open += 1
        self._context.counters.add(counters.UPSTREAM_OPENED)

    def lost(self, connection: UpstreamConnection) -> None:
        """Forget a closed connection."""
        if not connection.is_counted:
            return
        connection.is_counted = False
        self._open -= 1
        self._context.counters.add(counters.UPSTREAM_CLOSED)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        self._serve_line()

    def _serve_line(self) -> None:
        """Let the next in line make a connection, where there is room for one."""
        while self._waiting and not self._is_full():
            attempt = self._waiting.popleft()
            if attempt.waiter is not None:
                self._start(attempt)

    def connect(self, waiter: Connecting, timeout: float) -> Attempt:
        """Get a connection for ``waiter``: a new one, or in its turn a used one; ``timeout`` in seconds."""
        attempt = Attempt(waiter, timeout)
        if not self._is_full():
            self._start(attempt)
        else:
            attempt.timer = self.loop.call_later(timeout, self._waited_too_long, attempt)
            self._waiting.append(attempt)
        return attempt

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _waited_too_long(self, attempt: Attempt) -> None:
        waiter, attempt.waiter = attempt.waiter, None
        if attempt in self._waiting:
            self._waiting.remove(attempt)
        if waiter is not None:
            waiter.not_connected(
                ConnectionLimitError(f"{self.label}: {MAX_CONNECTIONS} connections are in use")
            )

    def _is_full(self) -> bool:
        return self._open + len(self._opening) >= MAX_CONNECTIONS

    def _start(self, attempt: Attempt) -> None:
        task = self.loop.create_task(self._run_attempt(attempt))
        attempt.task = task
        self._opening.add(task)
        task.add_done_callback(self._attempted)

    def _attempted(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._serve_line()

    async def _run_attempt(self, attempt: Attempt) -> None:
        try:
            async with asyncio.timeout(attempt.timeout):
                connection = await self._make()
            if not connection.is_usable():
                raise ConnectionResetError(errno.ECONNRESET, "closed at once")
        except (OSError, TimeoutError, ssl.SSLError) as exc:
            waiter, attempt.waiter = attempt.waiter, None
            if waiter is not None:
                waiter.not_connected(self._fault(exc, attempt.timeout))
            return
        self._made(connection)
        waiter, attempt.waiter = attempt.waiter, None
        if waiter is not None:
            waiter.connected(connection)
        else:
            self.give_back(connection)

    async def _make(self) -> UpstreamConnection:
        key = self._key
        if key.scheme == "unix":
            _, connection = await self.loop.create_unix_connection(lambda: UpstreamConnection(self), key.path)
            return connection
        name = key.server_name or key.host
        _, connection = await self.loop.create_connection(
            lambda: UpstreamConnection(self),
            key.address,
            key.port,
            ssl=self._tls,
            server_hostname=name if self._tls is not None else None,
        )
        return connection

    def _fault(self, exc: Exception, timeout: float) -> GatewayError:
        if isinstance(exc, ssl.SSLError):
            return TlsFailureError(f"{self.label}: {exc.reason or exc}")
        if isinstance(exc, TimeoutError):
            return ConnectTimeoutError(f"{self.label}: not connected within {timeout:g} s")
        number = exc.errno if isinstance(exc, OSError) else None
        reason = errno.errorcode.get(number or 0, str(exc))
        return ConnectRefusedError(f"{self.label}: {reason}")


def drop_https_pools(targets: Iterable[Target]) -> None:
    """Let further connections be made under CA files as they are now; the old ones serve what is in flight."""
    for target in targets:
        if target.key.scheme == "https" and isinstance(target.pool, Pool):
            target.pool.close()
            target.pool = None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
