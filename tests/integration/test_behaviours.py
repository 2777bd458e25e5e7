"""Behaviours of a gateway that only a whole instance shows: schemes, lifetimes and the end of connections."""

import signal
import socket
import time

import pytest

from tests.fakes.foregate import PATIENCE, configuration
from tests.fakes.https import Visitor
from tests.fakes.origin import Origin
from tests.integration.conftest import StartForegate
from tests.integration.test_processes import EVERY_REQUEST

UNLIMITED = '[rate_limit]\nrate = "off"\n'
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
TUNNEL = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_http_and_https_are_kept_apart_in_the_cache(start_foregate: StartForegate, origin: Origin) -> None:
    text = configuration(
        origin.url, server="redirect_https = false", tables=UNLIMITED + '[cache]\nttl = "60s"'
    )
    text = text.replace("https = []", 'https = ["127.0.0.1:0"]').replace(
        'mode = "off"', 'mode = "self-signed"'
    )
    gate = start_foregate(text.replace('"*"', '"a.test"'))
    gate.wait_serving(2)
    gate.wait("certificate in use")
    root = (gate.storage / "local-ca" / "root.pem").read_bytes()
    visitor = Visitor(gate.address("https"), root)
    for _ in range(3):
        assert gate.get("/page", Host="a.test")[0] == 200
        assert visitor.get("a.test", "/page").status == 200
    assert [request.one("x-forwarded-proto") for request in origin.requests] == ["http", "https"]


def test_an_entry_expires_however_often_it_is_asked_for(
    start_foregate: StartForegate, origin: Origin
) -> None:
    gate = start_foregate(configuration(origin.url, tables=UNLIMITED + '[cache]\nttl = "300ms"'))
    gate.wait_serving(2)
    asked, ends = 0, time.monotonic() + PATIENCE
    # A machine may be so slow that no second request comes while an entry is fresh.
    while (len(origin.requests) < 3 or asked == len(origin.requests)) and time.monotonic() < ends:
        assert gate.get("/page")[0] == 200
        asked += 1
    assert 3 <= len(origin.requests) < asked


def receive(sock: socket.socket, end: bytes) -> bytes:
    """Receive until something has come, or until the other side closes."""
    received = b""
    while not received.endswith(end):
        octets = sock.recv(65536)
        assert octets, received
        received += octets
    return received


@pytest.mark.parametrize("in_time", [True, False])
def test_a_stop_ends_each_connection_in_its_own_way(start_foregate: StartForegate, in_time: bool) -> None:
    drain = f'drain_timeout = "{20 if in_time else 1}s"'
    with socket.create_server(("127.0.0.1", 0)) as app:
        app.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{app.getsockname()[1]}"
        gate = start_foregate(configuration(url, workers=1, server=drain, tables=EVERY_REQUEST))
        gate.wait_serving(1)
        tunnel, idle, busy = (socket.create_connection(("127.0.0.1", gate.port), PATIENCE) for _ in range(3))
        with tunnel, idle, busy:
            tunnel.sendall(TUNNEL)
            far_end, _ = app.accept()
            far_end.settimeout(PATIENCE)
            receive(far_end, b"\r\n\r\n")
            far_end.sendall(SWITCHED)
            receive(tunnel, b"\r\n\r\n")
            idle.sendall(GET)
            other, _ = app.accept()
            other.settimeout(PATIENCE)
            receive(other, b"\r\n\r\n")
            other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert b"Connection: close" not in receive(idle, b"ok")
            busy.sendall(GET)
            receive(other, b"\r\n\r\n")

            gate.signal(signal.SIGTERM)
            assert idle.recv(1) == b""
            if in_time:
                other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
                assert b"\r\nConnection: close\r\n" in receive(busy, b"late")
                tunnel.sendall(b"still")
                assert receive(far_end, b"still") == b"still"
                far_end.close()
            assert busy.recv(1) == b""  # when `drain_timeout` is over, otherwise
            assert tunnel.recv(1) == b""
            for ended in (tunnel, idle, busy, far_end, other):
                ended.close()
            assert gate.wait_exit() == 0
