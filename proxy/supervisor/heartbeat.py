"""Whether a worker still answers: a pure clockwork, asked once a tick."""

from enum import Enum
from typing import Final

INTERVAL: Final = 2.0  # seconds from one tick of the supervisor to the next
PATIENCE: Final = 10.0  # seconds that a worker may take to answer
_LONGEST_STEP: Final = 2 * INTERVAL


class RunningTime:
    """Count the seconds in which the supervisor really ran.

    A supervisor that was stopped itself (a debugger, a frozen container, a machine asleep) cannot tell who
    else was: a gap between two ticks counts for two intervals at most, so that nobody's time runs out in it.
    """

    __slots__ = ("_last", "now")

    def __init__(self, now: float) -> None:
        """Start at 0; `now` is of a monotonic clock."""
        self._last = now
        self.now = 0.0

    def tick(self, now: float) -> float:
        """Take note of the time of a tick and return the running time."""
        self.now += min(now - self._last, _LONGEST_STEP)
        self._last = now
        return self.now


class Beat(Enum):
    """What to do about a worker now."""

    PING = "ping"
    WAIT = "wait"
    LOST = "lost"


class Heartbeat:
    """Follow one worker's answers, by the supervisor's running time in seconds."""

    __slots__ = ("_asked", "sequence")

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.sequence = 0
        self._asked: float | None = None

    def tick(self, now: float) -> Beat:
        """Decide about the worker; PING means: send one with `sequence`."""
        if self._asked is None:
            self._asked = now
            self.sequence += 1
            return Beat.PING
        return Beat.LOST if now - self._asked > PATIENCE else Beat.WAIT

    def answered(self, sequence: int) -> None:
        """Take a worker's answer; one to an older question does not count."""
        if sequence == self.sequence:
            self._asked = None
