"""Deadlines for many connections with one timer per event loop.

Theory of operation.  A timer per request would cost more than the request's parsing.  So a connection only
writes the moment until which it may go on into an attribute (``deadline``), and the wheel looks at it now and
then: the connection is filed under the tick in which its deadline falls, and when that tick comes and the
deadline has moved on meanwhile, it is filed again.  Moving a deadline later costs nothing; moving it earlier
costs one dictionary operation.  The wheel's timer runs only while something is filed, so an idle process
stays asleep.
"""

import asyncio
import math
from typing import Final, Protocol

#: Seconds between two ticks: deadlines are kept to within this, never early.
TICK: Final = 0.25
NEVER: Final = math.inf


class Expiring(Protocol):
    """What a wheel can hold; the wheel owns ``filed_tick`` (0 while not filed)."""

    deadline: float
    filed_tick: int

    def deadline_reached(self, now: float) -> None:
        """Act on the deadline; set a new one and file again where life goes on."""
        ...


class DeadlineWheel:
    """Files what expires under ticks of the event loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._filed: dict[int, set[Expiring]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next_tick = 0

    def file(self, item: Expiring) -> None:
        """Make sure that ``item`` is looked at no later than one tick after its deadline."""
        if item.deadline == NEVER:
            return
        tick = int(item.deadline / TICK) + 1
        filed = item.filed_tick
        if filed:
            if filed <= tick:
                return
            self.discard(item)
        if tick < self._next_tick:
            tick = self._next_tick
        item.filed_tick = tick
        bucket = self._filed.get(tick)
        if bucket is None:
            bucket = self._filed[tick] = set()
        bucket.add(item)
        if self._timer is None:
            self._next_tick = int(self._loop.time() / TICK) + 1
            self._timer = self._loop.call_later(TICK, self._turn)

    def discard(self, item: Expiring) -> None:
        """Forget ``item``; whoever ends must call this, or the wheel would keep it alive until its tick."""
        bucket = self._filed.get(item.filed_tick)
        if bucket is not None:
            bucket.discard(item)
            if not bucket:
                del self._filed[item.filed_tick]
        item.filed_tick = 0

    def _turn(self) -> None:
        now = self._loop.time()
        current = int(now / TICK)
        if current - self._next_tick > len(self._filed):
            due = sorted(tick for tick in self._filed if tick <= current)  # the loop stood still for long
        else:
            due = [tick for tick in range(self._next_tick, current + 1) if tick in self._filed]
        self._next_tick = current + 1
        for tick in due:
            for item in self._filed.pop(tick, ()):
                item.filed_tick = 0
                if item.deadline <= now:
                    self._reach(item, now)
                else:
                    self.file(item)
        self._timer = self._loop.call_later(TICK, self._turn) if self._filed else None

    def _reach(self, item: Expiring, now: float) -> None:
        try:
            item.deadline_reached(now)
        except Exception as exc:  # one's fault must not cost all others their deadlines
            self._loop.call_exception_handler({"message": "a deadline could not be kept", "exception": exc})
