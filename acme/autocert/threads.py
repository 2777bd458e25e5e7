"""Run blocking calls beside the event loop under a deadline that always holds.

A call that does not come back cannot be stopped, only left behind: its daemon thread ends with the process or
when the peer lets go. So many may be left behind, then no new call is made until one of them has ended.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

_MOST_LEFT_BEHIND: Final = 32


class LeftBehindError(TimeoutError):
    """The call did not come back within its time, or too many before it did not."""


class Runner(Protocol):
    """Something that runs blocking calls for the event loop."""

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Return what the call returns; raises LeftBehindError when it takes longer than that."""


class Threads:
    """Runs every call in a daemon thread of its own: at interpreter exit nobody waits for a hanging one."""

    def __init__(self) -> None:
        self._left_behind = 0

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Return what the call returns; raises LeftBehindError when it takes longer than that."""
        if self._left_behind >= _MOST_LEFT_BEHIND:
            raise LeftBehindError("too many earlier calls have not come back")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        threading.Thread(target=self._carry_out, args=(call, outcome, loop), daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                # Shielded, so that the thread can still tell when it ends.
                return await asyncio.shield(outcome)
        except TimeoutError:
            if outcome.done():
                return outcome.result()
            self._leave_behind(outcome)
            raise LeftBehindError(f"no end after {seconds:.0f} s") from None
        except asyncio.CancelledError:
            if not outcome.done():
                self._leave_behind(outcome)
            raise

    def _leave_behind(self, outcome: asyncio.Future[T]) -> None:
        self._left_behind += 1
        outcome.add_done_callback(self._came_back)

    def _came_back(self, outcome: asyncio.Future[T]) -> None:
        self._left_behind -= 1
        if not outcome.cancelled():
            # Nobody waits any more; asking for the error keeps asyncio from reporting it as forgotten.
            outcome.exception()

    @staticmethod
    def _carry_out(
        call: Callable[[], T], outcome: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop
    ) -> None:
        def tell(value: T | None, error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(value)  # type: ignore[arg-type]  # None only when T admits it

        value, error = None, None
        try:
            value = call()
        except BaseException as exc:
            error = exc
        # The loop may have closed meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, value, error)
