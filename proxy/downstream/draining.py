"""How a worker takes leave of its clients."""

import asyncio
from contextlib import suppress
from typing import Final

from proxy.downstream.backlog import Arrivals
from proxy.downstream.listener import DownstreamContext
from proxy.downstream.tls_accept import TlsHandshake

#: A kept connection that stays idle for this share of the time, and at most so long (seconds), is closed. Not at
#: once: a request may be on its way, and its client would have to find out whether it was served.
QUIET_SHARE: Final = 1 / 8
LONGEST_QUIET: Final = 5.0


async def take_leave(
    context: DownstreamContext, pending: set[TlsHandshake], arrivals: Arrivals, seconds: float
) -> None:
    """Finish what is in flight within ``seconds``, then close what is left.

    It may be cancelled and begun anew with another time.
    """
    context.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await arrivals.settled()
            await _quiet(context, pending, min(LONGEST_QUIET, seconds * QUIET_SHARE))
            _abort(pending)
            context.close_idle()
            await context.all_closed()
    arrivals.abandon()
    _abort(pending)
    for connection in list(context.connections):
        connection.abort()


async def _quiet(context: DownstreamContext, pending: set[TlsHandshake], seconds: float) -> None:
    """Let clients send the requests that are on their way, and finish their handshakes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            if pending:
                await asyncio.sleep(seconds)
            await context.all_closed()


def _abort(pending: set[TlsHandshake]) -> None:
    for handshake in list(pending):
        handshake.abort()
