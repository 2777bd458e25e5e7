"""News about upstreams on their way to the workers."""

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.control.messages import Upstreams
from proxy.upstream.addresses import UpstreamMessage

_GATHERING: Final = 0.02  # seconds


class UpstreamNews:
    """Gather what comes within a moment: with a thousand names, one by one would flood the workers."""

    def __init__(self, broadcast: Callable[[Upstreams], None]) -> None:
        self._broadcast = broadcast
        self._gathered: list[UpstreamMessage] = []

    def tell(self, message: UpstreamMessage) -> None:
        """Tell all workers soon."""
        if not self._gathered:
            asyncio.get_running_loop().call_later(_GATHERING, self._send)
        self._gathered.append(message)

    def _send(self) -> None:
        self._broadcast(Upstreams(tuple(self._gathered)))
        self._gathered.clear()
