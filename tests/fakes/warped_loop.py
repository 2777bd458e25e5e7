"""An event loop whose clock can be put forward, for real sockets under deadlines of any length."""

import asyncio
import asyncio.selector_events
import time
from typing import Any


class _Transport(asyncio.selector_events._SelectorSocketTransport):  # type: ignore[name-defined,misc]  # private
    """Tells of a connection that is gone as the workers' loop does: by connection_lost, not from write_eof."""

    def write_eof(self) -> None:
        """End the sending direction."""
        try:
            super().write_eof()
        except OSError as error:
            self._fatal_error(error)


class WarpedLoop(asyncio.SelectorEventLoop):
    """Its clock stands still until a test puts it forward: what a busy machine takes is nobody's deadline."""

    def __init__(self) -> None:
        self._now = time.monotonic()
        super().__init__()

    def _make_socket_transport(self, *args: Any, **kwargs: Any) -> asyncio.Transport:
        return _Transport(self, *args, **kwargs)

    def time(self) -> float:
        """Return seconds of a clock that only `skip` moves."""
        return self._now

    def skip(self, seconds: float) -> None:
        """Put the clock forward; timers that come due by that run in the next turn."""
        self._now += seconds


async def turns(count: int = 2) -> None:
    """Let everything happen that can happen without time passing; a turn looks at every socket once."""
    for _ in range(count):
        await asyncio.sleep(0)


async def pass_time(seconds: float, step: float = 0.25) -> None:
    """Let time pass in small steps, so that what is due in between happens in its order."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WarpedLoop)
    while seconds > 0:
        loop.skip(min(step, seconds))
        seconds -= step
        await turns(3)
