"""When to start a worker again, and when to give up: pure, for all workers together."""

from typing import Final

_STEADY: Final = 10.0  # seconds of service after which an end is an accident, not a pattern
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 30.0
_HOPELESS: Final = 5  # workers in a row that ended before they were ready


class RestartPolicy:
    """Answer each end of a worker with a delay, which doubles while they end soon after their start."""

    __slots__ = ("_never_ready", "_quick_ends")

    def __init__(self) -> None:
        """Start without a bad memory."""
        self._quick_ends = 0
        self._never_ready = 0

    def ready(self) -> None:
        """Take note that a worker became ready."""
        self._never_ready = 0

    def delay(self, *, served: float | None) -> float:
        """Return the seconds to wait before the replacement of a worker that ended.

        `served` is for how many seconds it was ready, None if it never was.
        """
        self._never_ready += served is None
        self._quick_ends = 0 if served is not None and served >= _STEADY else self._quick_ends + 1
        if self._quick_ends <= 1:
            return 0.0
        doublings = min(self._quick_ends - 2, 16)
        return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**doublings)

    @property
    def hopeless(self) -> bool:
        """Tell whether workers end before they are ready, every time."""
        return self._never_ready >= _HOPELESS
