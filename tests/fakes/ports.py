"""Ports for servers that have to be told one."""

import random
import socket

#: Below what the kernel gives to clients, of whom one could take a port before its server does; none is given twice.
_ports = iter(random.sample(range(20_000, 30_000), 10_000))


def free_port() -> int:
    """Find a port that is free for TCP and UDP, and stays so while nobody listens."""
    for port in _ports:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                stream.bind(("127.0.0.1", port))
                stream.listen()
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
