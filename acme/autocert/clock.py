"""Tell the time, behind an interface that a test can drive."""

import asyncio
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a way to wait for them."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump when somebody sets the clock."""

    def steady(self) -> float:
        """Seconds that only ever grow, also while the machine sleeps; comparable within one boot."""

    def boot(self) -> str:
        """Say which boot the steady clock belongs to."""

    async def sleep(self, seconds: float) -> None:
        """Wait that many steady seconds."""


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Read the wall clock."""
        return time.time()

    def steady(self) -> float:
        """Read the boot clock: CLOCK_MONOTONIC stands still while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """Return the kernel's identifier of this boot, "" where there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)
