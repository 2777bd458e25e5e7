"""The clock that requests are timed with and that all workers share."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

#: Read nanoseconds since boot, suspend included (CLOCK_BOOTTIME): one reading serves timing, limiter and cache. Not a
#: function of ours around it, which would cost a third of the reading.
shared_clock: Final[Callable[[], int]] = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
