"""A drain resets nobody: not who waits to be accepted, and not who sends just now."""

import os
import signal
import socket

from tests.fakes.foregate import PATIENCE, configuration
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST, stop_process

REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def read_to_the_end(client: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def test_who_waits_to_be_accepted_is_served(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, tables=EVERY_REQUEST))
    gate.wait_serving(2)
    workers = gate.worker_pids()
    for pid in workers:
        stop_process(pid)
    clients = [socket.create_connection(("127.0.0.1", gate.port), PATIENCE) for _ in range(40)]
    for client in clients:
        client.sendall(REQUEST)
    gate.signal(signal.SIGTERM)
    gate.wait("listening no more")  # the workers' shares are the last ones
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        with client:
            answer = read_to_the_end(client)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nConnection: close\r\n" in answer
    assert gate.wait_exit() == 0


def test_a_request_that_is_on_its_way_is_served(start_foregate: StartForegate, origin: Origin) -> None:
    gate = start_foregate(configuration(origin.url, workers=1, server='drain_timeout = "1h"'))
    gate.wait_serving(1)
    with socket.create_connection(("127.0.0.1", gate.port), PATIENCE) as client:
        client.sendall(REQUEST)
        while not client.recv(65536).endswith(b"hello from the origin"):
            continue
        gate.signal(signal.SIGTERM)
        gate.wait("draining")
        client.sendall(REQUEST)
        assert read_to_the_end(client).startswith(b"HTTP/1.1 200 ")
    assert gate.wait_exit() == 0
