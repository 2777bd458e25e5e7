"""An event loop of which only the timers go, and only when a test lets time pass."""

import heapq
from collections.abc import Callable
from itertools import count

from proxy.caching.record import SECOND
from tests.fakes.cache import START


class Timer:
    """What `call_later` returns."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """An event loop's timers; time moves with `World.pass_time`."""

    def __init__(self) -> None:
        self.now = START / SECOND
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> Timer:
        timer = Timer(self.now + seconds, lambda: call(*arguments))
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        self.now = end

    @property
    def pending(self) -> int:
        """Count the timers that somebody still waits for."""
        return sum(timer.call is not None for _, _, timer in self._timers)
