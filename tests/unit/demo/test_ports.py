"""Free ports: as wished where that can be, never the same one twice."""

import socket

from proxy.demo.ports import free_ports


def test_a_wish_is_granted_where_the_port_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        (given,) = free_ports(taken)
    assert given != taken
    assert free_ports(given) == [given]


def test_all_are_different() -> None:
    (wished,) = free_ports(0)
    found = free_ports(wished, wished, wished)
    assert found[0] == wished
    assert len(set(found)) == 3


def test_a_port_whose_last_connections_are_not_forgotten_yet_is_free() -> None:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        wished = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", wished)) as client:
            accepted, _ = listening.accept()
            accepted.close()  # first, so that the waiting is on this side
            assert client.recv(1) == b""
    assert free_ports(wished) == [wished]
