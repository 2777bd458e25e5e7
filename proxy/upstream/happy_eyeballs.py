"""Race two addresses of one name for a new connection (RFC 8305 section 5).

A name with A and AAAA records often leads to one machine that answers in one family alone, and in the other not
even with a refusal. So when the address that the balancer chose is slow to connect, an address of the other
family may overtake it. The overtaken one counts as failed: else every second request would wait for it again.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Final, Protocol

from proxy.errors import GatewayError
from proxy.upstream.balancer import Target
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.health import FailureStage
from proxy.upstream.pool import Attempt, Connecting, Pool

#: The head start of the first address, in seconds: the Connection Attempt Delay of RFC 8305 section 8.
HEAD_START: Final = 0.25


class RaceWaiter(Connecting, Protocol):
    """Who waits for the winner; it takes the first target to be its own until it is told otherwise."""

    def retarget(self, target: Target) -> None:
        """Learn whose connection, or whose error, comes next."""
        ...

    def runner_failed(self, target: Target, error: GatewayError) -> None:
        """Learn that one address failed while the other still runs."""
        ...


class _Runner:
    """One address in the race."""

    __slots__ = ("_race", "_target")

    def __init__(self, race: "Race", target: Target) -> None:
        self._race = race
        self._target = target

    def connected(self, connection: UpstreamConnection) -> None:
        self._race.arrived(self._target, connection)

    def not_connected(self, error: GatewayError) -> None:
        self._race.failed(self._target, error)


class Race:
    """Attempts at one connection, to be cancelled like a single one."""

    __slots__ = ("_attempts", "_first", "_pool_of", "_timeout", "_timer", "_waiter")

    def __init__(
        self,
        waiter: RaceWaiter,
        pool_of: Callable[[Target], Pool],
        first: Target,
        second: Target,
        timeout: float,
        *,
        head_start: float = HEAD_START,
    ) -> None:
        """Start with `first`; `timeout` (seconds) holds for each of the two."""
        self._waiter = waiter
        self._pool_of = pool_of
        self._timeout = timeout
        self._first = first
        self._attempts: dict[Target, Attempt] = {}
        self._timer: TimerHandle = pool_of(first).loop.call_later(head_start, self._start, second)
        self._start(first)

    def cancel(self) -> None:
        """Wait no longer."""
        self._timer.cancel()
        for attempt in self._attempts.values():
            attempt.cancel()
        self._attempts.clear()

    def arrived(self, target: Target, connection: UpstreamConnection) -> None:
        """Give the winner's connection to the waiter and stop the other."""
        del self._attempts[target]
        if self._first in self._attempts:
            now = self._pool_of(self._first).loop.time()
            self._first.health.failed(now, FailureStage.CONNECT, "overtaken by the other address family")
        self.cancel()
        self._waiter.retarget(target)
        self._waiter.connected(connection)

    def failed(self, target: Target, error: GatewayError) -> None:
        """Go on with the address that still runs; without one, the waiter decides what comes next."""
        del self._attempts[target]
        if self._attempts:
            self._waiter.runner_failed(target, error)
            return
        self._timer.cancel()
        self._waiter.retarget(target)
        self._waiter.not_connected(error)

    def _start(self, target: Target) -> None:
        self._attempts[target] = self._pool_of(target).connect(_Runner(self, target), self._timeout)
