"""Free ports of the loopback interface, well-known ones where they are free."""

import socket
from contextlib import ExitStack


def free_ports(*wished: int) -> list[int]:
    """Return so many different ports, each the wished one where nothing listens there now."""
    with ExitStack() as probes:
        return [_reserve(probes, port) for port in wished]


def _reserve(probes: ExitStack, wished: int) -> int:
    """Bind one, so that no later wish gets it, too; ends with the probes."""
    for port in (wished, 0):
        probe = probes.enter_context(socket.socket())
        if port:
            # A demo that has just ended leaves connections in TIME_WAIT, which keep nobody from listening.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()  # else the next wish for the same port would get it, too
        except OSError:
            if not port:
                raise
            continue
        return int(probe.getsockname()[1])
    raise AssertionError("unreachable: the last attempt returns or raises")
