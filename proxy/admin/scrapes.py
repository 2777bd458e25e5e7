"""Who asks for metrics while others wait for them gets what these get: a scrape may take a third of a second of CPU."""

import asyncio
from collections.abc import Awaitable, Callable

Rendered = tuple[bytes, str]


class Scrapes:
    """Render once for all who ask meanwhile with the same Accept field."""

    def __init__(self, render: Callable[[str], Awaitable[Rendered]]) -> None:
        self._render = render
        self._running: dict[str, asyncio.Future[Rendered]] = {}

    async def get(self, accept: str) -> Rendered:
        """Return the metrics, with their media type; whoever gives up leaves the others theirs."""
        running = self._running.get(accept)
        if running is None:
            running = self._running[accept] = asyncio.ensure_future(self._render(accept))
            running.add_done_callback(lambda _: self._running.pop(accept))
        return await asyncio.shield(running)
