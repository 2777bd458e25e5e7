"""Tasks that last as long as the supervisor, whatever befalls them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.telemetry import process_log

_log = process_log.logger("supervisor")

_AFTER_A_FAULT: Final = 1.0  # seconds before a task that failed runs again


async def kept_running(work: Callable[[], Awaitable[None]]) -> None:
    """Run something that never ends, again after a fault: one fault must not end the service."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("a task of the supervisor failed")
        await asyncio.sleep(_AFTER_A_FAULT)
