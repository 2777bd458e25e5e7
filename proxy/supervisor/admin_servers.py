"""The supervisor's own listeners: one server for each metrics and admin socket."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from starlette.routing import Route

from proxy.admin.access import AccessPolicy
from proxy.admin.application import monitoring_application, operator_application
from proxy.admin.operations import Operations
from proxy.admin.server import AdminServer
from proxy.supervisor.errors import ListenError
from proxy.supervisor.listeners import Endpoint, Listener, Purpose, open_listener
from proxy.telemetry import process_log

_log = process_log.logger("supervisor")


class AdminServers:
    """Serve what is not the workers', on sockets that come and go with reloads."""

    def __init__(self, operations: Operations, routes: Sequence[Route], token: Callable[[], str]) -> None:
        """Serve `routes` to the operator beside the usual ones; `token` returns the present admin_token."""
        self._operations = operations
        self._routes = routes
        self._token = token
        self._servers: dict[Endpoint, AdminServer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._gone: set[Endpoint] = set()  # those that cannot be bound anew, which was said once

    def open(self, listener: Listener) -> None:
        """Tell about a socket, and serve it if it is not the workers'."""
        endpoint = listener.endpoint
        _log.info("listening", extra=process_log.fields(on=endpoint.name, address=listener.bound))
        match endpoint.purpose:
            case Purpose.METRICS:
                application = monitoring_application(self._operations)
            case Purpose.ADMIN:
                policy = partial(self._policy, endpoint)
                application = operator_application(self._operations, policy, self._routes)
            case Purpose.HTTP | Purpose.HTTPS:
                return
        self._servers[endpoint] = AdminServer(application, listener.socket.dup())  # closed with the server

    def withdraw(self, listener: Listener) -> Awaitable[None]:
        """Take a socket out of service now; what is returned closes it after the answers under way.

        It must not be awaited by one of these, as a reload over the admin API is.
        """
        listener.withdraw()
        return _closed(listener, self._servers.pop(listener.endpoint, None))

    def mend(self, listeners: dict[Endpoint, Listener]) -> None:
        """Bind a unix socket anew whose path somebody has removed: nobody could reach this instance any more."""
        for endpoint, listener in list(listeners.items()):
            if endpoint.address is not None or listener.lent or os.path.lexists(endpoint.path):
                continue
            try:
                Path(endpoint.path).parent.mkdir(mode=0o700, exist_ok=True)
                listeners[endpoint] = open_listener(endpoint)
            except (OSError, ListenError) as exc:
                self._cannot_mend(endpoint, exc)
                continue  # tried again a moment later
            self._gone.discard(endpoint)
            _log.warning("the admin socket was gone", extra=process_log.fields(path=endpoint.path))
            closing = asyncio.ensure_future(_closed(listener, self._servers.pop(endpoint, None)))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self.open(listeners[endpoint])

    async def stop(self) -> None:
        """Let answers finish for a moment, and close everything."""
        servers = list(self._servers.values())
        self._servers.clear()
        await asyncio.gather(*(server.stop() for server in servers), *self._closing)

    def _cannot_mend(self, endpoint: Endpoint, exc: Exception) -> None:
        if endpoint in self._gone:
            return
        self._gone.add(endpoint)
        _log.error(
            "the admin socket is gone and cannot be made anew",
            extra=process_log.fields(path=endpoint.path, reason=str(exc)),
        )

    def _policy(self, endpoint: Endpoint) -> AccessPolicy:
        """Ask for the token over TCP; a unix socket's mode is protection enough."""
        return (
            AccessPolicy() if endpoint.address is None else AccessPolicy(self._token(), endpoint.address.host)
        )


async def _closed(listener: Listener, server: AdminServer | None) -> None:
    if server is not None:
        await server.stop()
    listener.socket.close()  # its path may be another listener's by now
