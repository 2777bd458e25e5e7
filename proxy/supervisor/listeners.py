"""The listening sockets: one per configured address, shared by all workers and held by the supervisor.

SO_REUSEPORT is not used: a second instance must find the port taken, and a worker that dies must strand no
connection. SO_REUSEADDR is: it allows to bind while connections of a former instance are in TIME_WAIT.
"""

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from proxy.config.schema import Config, ListenAddress
from proxy.supervisor import kernel
from proxy.supervisor.errors import ListenError

_BACKLOG: Final = 4096  # the kernel takes net.core.somaxconn where that is less
_LONGEST_UNIX_PATH: Final = 107


class Purpose(Enum):
    """What is spoken on a listening socket."""

    HTTP = "http"
    HTTPS = "https"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A configured place to listen: a TCP address, or the path of a unix socket."""

    purpose: Purpose
    address: ListenAddress | None
    path: str = ""

    def __str__(self) -> str:
        """Write it as the configuration does."""
        if self.address is None:
            return f"unix:{self.path}"
        return f"{bracketed(self.address.host)}:{self.address.port}"

    @property
    def name(self) -> str:
        """Name it on the control channel."""
        return f"{self.purpose.value} {self}"


@dataclass(frozen=True, slots=True)
class Listener:
    """An open listening socket and the endpoint that it was opened for; `lent` is one that systemd keeps."""

    endpoint: Endpoint
    socket: socket.socket
    lent: bool = False

    @property
    def port(self) -> int:
        """Return the port that it really listens on, 0 for a unix socket."""
        return 0 if self.endpoint.address is None else int(self.socket.getsockname()[1])

    @property
    def bound(self) -> str:
        """Write where it really listens."""
        if self.endpoint.address is None:
            return str(self.endpoint)
        host, port = self.socket.getsockname()[:2]
        return f"{bracketed(host)}:{port}"

    def turn_away(self) -> None:
        """Ignore who wants to connect from now on, so that the backlog can be emptied and stays so."""
        if self.endpoint.address is not None and not self.lent:  # its next user would find it deaf
            with suppress(OSError):  # it only narrows the gap in which a client is reset
                kernel.drop_new_connections(self.socket)

    def withdraw(self) -> None:
        """Remove a unix socket's path, so that nobody finds it any more; connections go on."""
        if self.endpoint.address is None and not self.lent:
            with suppress(
                OSError
            ):  # a disk that became read-only; who comes next finds that nobody answers there
                Path(self.endpoint.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Close this process's share of the socket, and remove a unix socket's path."""
        self.withdraw()
        self.socket.close()


def endpoints(config: Config) -> tuple[Endpoint, ...]:
    """List where a configuration wants to listen; what comes first matters most to its clients."""
    server = config.server
    metrics = () if server.metrics is None else (Endpoint(Purpose.METRICS, server.metrics),)
    admin = (
        Endpoint(Purpose.ADMIN, server.admin)
        if isinstance(server.admin, ListenAddress)
        else Endpoint(Purpose.ADMIN, None, server.admin.path)
    )
    return (
        *(Endpoint(Purpose.HTTP, address) for address in server.http),
        *(Endpoint(Purpose.HTTPS, address) for address in server.https),
        *metrics,
        admin,
    )


def open_listener(endpoint: Endpoint) -> Listener:
    """Bind one endpoint. Raises ListenError with the reason and the cure."""
    try:
        if endpoint.address is None:
            return Listener(endpoint, _bind_unix(endpoint.path))
        return Listener(endpoint, _bind(endpoint.address))
    except OSError as exc:
        raise ListenError(_explain(endpoint, exc)) from exc


def adopt_lent(
    wanted: Iterable[Endpoint], lent: Iterable[tuple[str, socket.socket]]
) -> tuple[list[Listener], list[str]]:
    """Use sockets that a service manager opened, by the address that they are bound to.

    One whose name is that of a purpose is used for that purpose alone. Returns the listeners, and the addresses
    of sockets that the configuration does not know, which are closed.
    """
    free = list(wanted)
    adopted: list[Listener] = []
    unknown: list[str] = []
    purposes = [purpose.value for purpose in Purpose]
    for name, opened in lent:
        bound = opened.getsockname()
        fits = (
            one
            for one in free
            if _is_at(one, bound) and name in (one.purpose.value, *_others(name, purposes))
        )
        endpoint = next(fits, None)
        if endpoint is None:
            unknown.append(str(bound))
            opened.close()
            continue
        free.remove(endpoint)
        opened.setblocking(False)
        opened.listen(_BACKLOG)
        adopted.append(Listener(endpoint, opened, lent=True))
    return adopted, unknown


def _others(name: str, purposes: list[str]) -> tuple[str, ...]:
    """Let a name that says nothing about the purpose stand for any."""
    return () if name in purposes else (name,)


def _is_at(endpoint: Endpoint, bound: object) -> bool:
    if endpoint.address is None or not isinstance(bound, tuple):
        return endpoint.address is None and endpoint.path == bound
    hosts = (endpoint.address.host,) if endpoint.address.host else ("::", "0.0.0.0")  # noqa: S104 (":80")
    return bound[0] in hosts and bound[1] == endpoint.address.port


def open_all(wanted: Iterable[Endpoint]) -> tuple[Listener, ...]:
    """Bind all of them or, with ListenError, none."""
    opened: list[Listener] = []
    try:
        opened.extend(open_listener(endpoint) for endpoint in wanted)
    except ListenError:
        for listener in opened:
            listener.close()
        raise
    return tuple(opened)


def _bind(address: ListenAddress) -> socket.socket:
    if address.host:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return _bind_family(family, address.host, address.port)
    try:
        return _bind_family(socket.AF_INET6, "::", address.port)
    except OSError as exc:
        if exc.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return _bind_family(socket.AF_INET, "0.0.0.0", address.port)  # noqa: S104 (":80" means everywhere)


def _bind_family(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _bind_unix(path: str) -> socket.socket:
    """Bind a unix socket that its owner alone may use, in the place of one that nobody answers."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(opened.fileno(), 0o600)  # before bind, which gives the path this mode
        try:
            opened.bind(path)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or _answers(path):
                raise
            Path(path).unlink()
            opened.bind(path)
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _answers(path: str) -> bool:
    if not Path(path).is_socket():
        return True  # not ours to remove
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED


def _explain(endpoint: Endpoint, exc: OSError) -> str:
    start = f"cannot listen on {endpoint} ([server] {endpoint.purpose.value})"
    if endpoint.address is None:
        return f"{start}: {_explain_unix(endpoint.path, exc)}"
    port = endpoint.address.port
    match exc.errno:
        case errno.EADDRINUSE:
            return (
                f"{start}: the port is taken, perhaps by another instance; "
                f"`ss -ltnp 'sport = :{port}'` shows by whom"
            )
        case errno.EACCES | errno.EPERM:
            return (
                f"{start}: no permission for port {port}; start as root or with CAP_NET_BIND_SERVICE, "
                f"set sysctl net.ipv4.ip_unprivileged_port_start={port}, or take a port from 1024 up"
            )
        case errno.EADDRNOTAVAIL:
            return f"{start}: this machine has no such address; `ip address` lists those that it has"
        case errno.EMFILE | errno.ENFILE:
            return f"{start}: no file descriptor is left; raise the limit (ulimit -n)"
    return f"{start}: {os.strerror(exc.errno or 0)}"


def _explain_unix(path: str, exc: OSError) -> str:
    if len(os.fsencode(path)) > _LONGEST_UNIX_PATH:
        return f"the path is longer than {_LONGEST_UNIX_PATH} octets; set a shorter one"
    match exc.errno:
        case errno.EADDRINUSE if not Path(path).is_socket():
            return "something that is not a socket is in the way; remove it, or set another path"
        case errno.EADDRINUSE:
            return "another instance answers there; stop it, or set another path or storage"
        case errno.EACCES | errno.EPERM:
            folder, user = Path(path).parent, os.geteuid()
            return f"user {user} may not write to {folder}; give it the folder: chown -R {user} {folder}"
        case errno.EROFS:
            return f"{Path(path).parent} is read-only; mount a volume there, or set another storage"
        case errno.ENOENT:
            return f"the folder {Path(path).parent} does not exist; create it"
    return str(exc)


def bracketed(host: str) -> str:
    """Write a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
