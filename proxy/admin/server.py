"""Uvicorn inside the supervisor's own event loop: bounded, quiet, and without a say about signals."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

_MOST_CONNECTIONS: Final = 128
_LARGEST_HEAD: Final = 16 * 1024
_LARGEST_REQUEST: Final = 64 * 1024  # no request here needs content
_LEAST_TAKEN: Final = 64 * 1024  # of an answer, between two looks
_PATIENCE: Final = 10.0  # seconds for a first request, and between two looks at a connection
_KEEP_ALIVE: Final = 75  # seconds; longer than the usual scrape interval
_CLOCK: Final = 1.0  # seconds between two updates of the Date field
_FAREWELL: Final = 1  # seconds for answers that are under way when the server stops


class _BoundedProtocol(H11Protocol):
    """Uvicorn's protocol, with bounds on connections, on what a request may bring, and on slow clients.

    The supervisor's descriptors, memory and time are precious: whoever can reach the port must not take them all.
    """

    _watch: asyncio.TimerHandle | None = None
    _counted: object = None  # the request that `_octets` came after
    _octets = 0  # that came since the last whole head
    _seen: tuple[object, bool, int] = (None, False, 0)  # request, whether more had come, octets not taken
    begun = 0.0  # when the last request began

    @property
    def is_idle(self) -> bool:
        """Tell whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        self.begun = self.loop.time()
        if len(self.connections) > _MOST_CONNECTIONS:
            self._longest_idle().transport.abort()
        self._watch = self.loop.call_later(_PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is more than any request here can need."""
        self._octets += len(data)
        if self._octets > _LARGEST_REQUEST:
            self.transport.abort()
            return
        super().data_received(data)
        if self.cycle is not self._counted:
            self._counted, self._octets = self.cycle, 0
            self.begun = self.loop.time()

    def _longest_idle(self) -> "_BoundedProtocol":
        """Choose who makes room: an idle connection that has had an answer, or else this new one."""
        others = [one for one in self.connections if isinstance(one, _BoundedProtocol)]
        idle = [one for one in others if one.is_idle and one.cycle is not None]
        return min(idle, key=lambda one: one.begun, default=self)

    def _look(self) -> None:
        """Cut off a client that has not finished a request, or taken enough of an answer, since the last look."""
        cycle, began, left = self._seen
        same = cycle is self.cycle
        self._seen = (self.cycle, self._octets > 0, self.transport.get_write_buffer_size())
        is_slow_to_ask = self.is_idle and (self.cycle is None or (same and began and self._octets > 0))
        is_slow_to_take = same and 0 < left < self._seen[2] + _LEAST_TAKEN and self._seen[2] > 0
        if is_slow_to_ask or is_slow_to_take:
            self.transport.abort()
            return
        self._watch = self.loop.call_later(_PATIENCE, self._look)


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves the signals alone and sleeps while nothing happens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the supervisor."""
        yield

    async def main_loop(self) -> None:
        """Keep the Date field right until told to stop."""
        while not self.stopping.is_set():
            await self.on_tick(0)
            try:
                async with asyncio.timeout(_CLOCK):
                    await self.stopping.wait()
            except TimeoutError:
                continue


class AdminServer:
    """Serve one application on one listening socket."""

    def __init__(self, application: Starlette, listening: socket.socket) -> None:
        """Own the socket from now on."""
        settings: dict[str, Any] = {
            "http": _BoundedProtocol,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "timeout_keep_alive": _KEEP_ALIVE,
            "timeout_graceful_shutdown": _FAREWELL,
            "h11_max_incomplete_event_size": _LARGEST_HEAD,
        }
        self._server = _EmbeddedServer(uvicorn.Config(application, **settings))
        self._serving = asyncio.create_task(self._server.serve([listening]))

    async def stop(self) -> None:
        """Stop accepting, let answers finish for a moment, and close."""
        self._server.stopping.set()
        await self._serving
