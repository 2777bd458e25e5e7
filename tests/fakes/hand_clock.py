"""Enough of an event loop for deadlines: a clock that is set by hand and timers that run when it says so."""

import asyncio
from collections.abc import Callable
from typing import Any, cast


class HandClock:
    """Stands in for an event loop where only these methods are used."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.timers: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []
        self.faults: list[dict[str, Any]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return itself, as what it stands in for."""
        return cast("asyncio.AbstractEventLoop", self)

    def time(self) -> float:
        """Return the seconds that the test has set."""
        return self.now

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> None:
        """Keep a timer."""
        self.timers.append((self.now + delay, call, arguments))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what an event loop would tell of a fault."""
        self.faults.append(context)

    def advance(self, seconds: float) -> None:
        """Put the clock forward and run the timers that are due by then, each at its moment."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now = max(self.now, first[0])
            first[1](*first[2])
        self.now = end
