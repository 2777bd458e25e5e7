"""The clock that requests are timed with and that all workers share."""

import time


def shared_clock() -> int:
    """Read nanoseconds since boot, suspend included (CLOCK_BOOTTIME): one reading serves timing, limiter and cache."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
