"""Faults between keys of [server]: listeners that collide, an admin interface without a lock."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from proxy.config.addresses import format_listen, socket_path_fits
from proxy.config.findings import Finding, Path, show, show_file
from proxy.config.schema import ListenAddress, UnixAddress
from proxy.config.subject import Subject

SHORTEST_TOKEN: Final = 16


def listeners(subject: Subject) -> list[tuple[Path, ListenAddress]]:
    """Return all TCP listeners with their keys."""
    server = subject.config.server
    named: list[tuple[Path, ListenAddress]] = []
    named += [(("server", "http", index), address) for index, address in enumerate(server.http)]
    named += [(("server", "https", index), address) for index, address in enumerate(server.https)]
    if server.metrics is not None:
        named.append((("server", "metrics"), server.metrics))
    if isinstance(server.admin, ListenAddress):
        named.append((("server", "admin"), server.admin))
    return named


def overlap(one: ListenAddress, other: ListenAddress) -> bool:
    """Tell whether two listeners want the same port of the same address.

    "" is every address of both families; "0.0.0.0" and "::" are every address of their own.
    """
    if one.port != other.port or one.port == 0:
        return False
    if one.host == other.host or not one.host or not other.host:
        return True
    first, second = ip_address(one.host), ip_address(other.host)
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)


def overlapping_listeners(subject: Subject) -> Iterator[Finding]:
    """Find listeners that want the port of an earlier one."""
    by_port: dict[int, list[tuple[Path, ListenAddress]]] = {}
    for path, address in listeners(subject):
        earlier = by_port.setdefault(address.port, [])
        first = next((other for other in earlier if overlap(other[1], address)), None)
        if first is None:
            earlier.append((path, address))
        else:
            taken = f"{subject.key(first[0])} has {show(format_listen(first[1]))}"
            yield Finding(path, show(format_listen(address)), "another port", taken, needs=(first[0],))


def no_listener(subject: Subject) -> Iterator[Finding]:
    """Find a proxy that nobody could ever reach."""
    if not subject.config.server.http and not subject.config.server.https:
        yield Finding(
            ("server", "http"), "an empty list", "a listener for http or https", needs=(("server", "https"),)
        )


def open_admin(subject: Subject) -> Iterator[Finding]:
    """Find an admin interface on TCP with no token, or one that is soon guessed."""
    server = subject.config.server
    path: Path = ("server", "admin_token")
    needs: tuple[Path, ...] = (("server", "admin"),)
    if isinstance(server.admin, ListenAddress) and not server.admin_token:
        hint = "anyone who reaches the port could reload and purge"
        yield Finding(path, "nothing", "a token, because server.admin is a TCP address", hint, needs=needs)
    elif server.admin_token and len(server.admin_token) < SHORTEST_TOKEN:
        expected = f"a token of at least {SHORTEST_TOKEN} characters"
        yield Finding(path, f"{len(server.admin_token)} characters", expected)


def long_socket_path(subject: Subject) -> Iterator[Finding]:
    """Find an admin socket whose path no socket can have."""
    admin = subject.config.server.admin
    if isinstance(admin, UnixAddress) and not socket_path_fits(admin.path):
        expected = "a path of at most 107 bytes, which is what unix sockets allow"
        hint = 'write an absolute one, such as "unix:/run/foregate.sock"'
        yield Finding(("server", "admin"), show_file(admin.path), expected, hint, needs=(("tls", "storage"),))


RULES: Final = (overlapping_listeners, no_listener, open_admin, long_socket_path)
