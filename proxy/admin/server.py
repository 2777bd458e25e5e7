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
_FIRST_REQUEST: Final = 10.0  # seconds
_KEEP_ALIVE: Final = 75  # seconds; longer than the usual scrape interval
_CLOCK: Final = 1.0  # seconds between two updates of the Date field
_FAREWELL: Final = 1  # seconds for answers that are under way when the server stops


class _BoundedProtocol(H11Protocol):
    """Uvicorn's protocol, with a bound on connections and on the wait for a first request.

    The supervisor's descriptors are few and precious: whoever can reach the port must not take them all.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(_FIRST_REQUEST, self._expire)

    def _expire(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


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
