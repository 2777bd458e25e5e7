"""How fast a counter that only grows has grown lately: pure."""

from collections import deque
from typing import Final

WINDOW: Final = 60.0  # seconds


class Rate:
    """Remember a counter's samples over the last WINDOW seconds of a monotonic clock."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        """Start without a sample."""
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, count: int) -> None:
        """Add a sample and forget those that are too old, but for one to start from."""
        self._samples.append((now, count))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """Return the growth per second between the first sample in the window and the last."""
        if len(self._samples) < 2:
            return 0.0
        (first, low), (last, high) = self._samples[0], self._samples[-1]
        return (high - low) / (last - first) if last > first else 0.0
