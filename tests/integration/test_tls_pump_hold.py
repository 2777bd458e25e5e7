"""Handshakes that wait for a certificate which is being issued."""

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.downstream.tls_accept import HELD_OCTETS
from proxy.downstream.tls_certificates import ServedName
from proxy.downstream.tls_hold import HeldConnections
from proxy.downstream.tls_outcomes import HandshakeFailure
from tests.fakes.certificates import Authority
from tests.fakes.tls_hello import openssl_hello
from tests.fakes.tls_server import (
    INTERNAL_ERROR,
    NAME,
    PATIENCE,
    UNRECOGNIZED_NAME,
    TlsServer,
    get,
    pattern,
    read_all,
)

OTHER = "b.example.com"


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:
    """Return a server that may serve a name and has no certificate for it."""
    with TlsServer(authority, {NAME: ServedName(hold=60.0)}, pairs={}) as server:
        yield server


@pytest.fixture
def strict(authority: Authority) -> Iterator[TlsServer]:
    """Return one that gives its clients little time, which a stalled machine still has."""
    with TlsServer(authority, {NAME: ServedName(hold=60.0)}, pairs={}, hello_seconds=3.0) as server:
        yield server


def issue(server: TlsServer) -> None:
    pair = server.authority.pair(NAME)
    server.call(lambda: server.store.set(NAME, *pair))


def held(server: TlsServer) -> int:
    return server.call(lambda: server.acceptor.held.total)


def visit(server: TlsServer, size: int, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    with server.client(version=version) as client:
        return get(client, size)


def say_hello(server: TlsServer, name: str = NAME) -> socket.socket:
    raw = server.connect()
    raw.sendall(openssl_hello(name))
    return raw


def send_until_stuck(raw: socket.socket) -> int:
    sent = 0
    try:
        while True:
            sent += raw.send(bytes(65536))
    except TimeoutError:
        return sent


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_fifty_clients_wait_for_one_certificate(server: TlsServer, version: ssl.TLSVersion) -> None:
    with ThreadPoolExecutor(50) as clients:
        visits = [clients.submit(visit, server, number, version) for number in range(50)]
        server.wait_for("held", 50)
        assert held(server) == 50
        issue(server)
        assert [each.result() for each in visits] == [pattern(0, number) for number in range(50)]
    assert server.counts[NAME] <= 2  # asked for once, or twice where the second took more than a second
    assert server.counts["full"] == 50
    assert held(server) == 0


def test_the_wait_does_not_count_against_the_clients_time(strict: TlsServer) -> None:
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(visit, strict, 10)
        strict.wait_for("held")
        with strict.connect() as slow:  # takes as long as the deadline, which runs for it
            assert read_all(slow) == b""
        strict.wait_for(HandshakeFailure.TIMEOUT)
        issue(strict)
        assert waiting.result() == pattern(0, 10)
    assert strict.counts[HandshakeFailure.TIMEOUT] == 1


def test_the_clients_time_goes_on_after_the_wait(strict: TlsServer) -> None:
    with say_hello(strict) as raw:
        strict.wait_for("held")
        issue(strict)
        assert read_all(raw)[:1] == b"\x16"
    strict.wait_for(HandshakeFailure.TIMEOUT)


def test_a_client_that_leaves_ends_its_own_wait_alone(server: TlsServer) -> None:
    with say_hello(server) as staying:
        server.wait_for("held")
        with say_hello(server):
            server.wait_for("held", 2)
        server.wait_for(HandshakeFailure.CLIENT_LEFT)
        assert held(server) == 1
        issue(server)
        assert staying.recv(65536)[:1] == b"\x16"


def test_a_client_that_resets_is_noticed_too(server: TlsServer) -> None:
    with say_hello(server) as raw:
        server.wait_for("held")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    server.wait_for(HandshakeFailure.CLIENT_LEFT)
    assert held(server) == 0


def test_a_wait_ends_with_an_alert(authority: Authority) -> None:
    with TlsServer(authority, {NAME: ServedName(hold=0.1)}, pairs={}) as server:
        with say_hello(server) as raw:
            assert read_all(raw) == INTERNAL_ERROR
        server.wait_for(HandshakeFailure.NO_CERTIFICATE)
        assert held(server) == 0


def test_a_failed_order_ends_the_wait(server: TlsServer) -> None:
    with say_hello(server) as raw:
        server.wait_for("held")
        server.call(lambda: server.store.fail(NAME))
        assert read_all(raw) == INTERNAL_ERROR
    server.wait_for(HandshakeFailure.NO_CERTIFICATE)


def test_a_name_taken_out_ends_the_wait(server: TlsServer) -> None:
    with say_hello(server) as raw:
        server.wait_for("held")
        server.call(lambda: server.store.wanted({OTHER: ServedName()}))
        assert read_all(raw) == UNRECOGNIZED_NAME


def test_names_that_are_not_wanted_never_wait(server: TlsServer) -> None:
    with say_hello(server, OTHER) as raw:
        assert read_all(raw) == UNRECOGNIZED_NAME
    assert server.counts["held"] == 0


def test_no_more_wait_than_the_caps_allow(authority: Authority) -> None:
    caps = HeldConnections(per_address=3, in_all=3)
    with TlsServer(authority, {NAME: ServedName(hold=60.0)}, pairs={}, held=caps) as server:
        waiting = [say_hello(server) for _ in range(3)]
        server.wait_for("held", 3)
        with say_hello(server) as raw:
            assert read_all(raw) == INTERNAL_ERROR
        server.wait_for(HandshakeFailure.TOO_MANY_HELD)
        waiting.pop().close()
        server.wait_for(HandshakeFailure.CLIENT_LEFT)
        with say_hello(server) as raw:
            server.wait_for("held", 4)
            issue(server)
            assert raw.recv(65536)[:1] == b"\x16"
        for raw in waiting:
            raw.close()


def test_what_a_held_client_sends_is_bounded(server: TlsServer) -> None:
    with say_hello(server) as raw:
        server.wait_for("held")
        raw.settimeout(0.5)
        sent = send_until_stuck(raw)
        (handshake,) = server.call(lambda: list(server.acceptor.pending))
        assert sent > HELD_OCTETS
        assert server.call(lambda: len(handshake._octets)) <= HELD_OCTETS + 256_000
        raw.settimeout(PATIENCE)
        issue(server)
        server.wait_for(HandshakeFailure.TLS)


def test_early_data_is_refused_and_the_handshake_goes_on(server: TlsServer) -> None:
    """What follows the hello while it is held reaches OpenSSL in order."""
    with say_hello(server) as raw:
        server.wait_for("held")
        raw.sendall(b"\x14\x03\x03\x00\x01\x01")  # what OpenSSL's client sends behind its first flight
        issue(server)
        assert raw.recv(65536)[:1] == b"\x16"


def test_a_placeholder_is_served_at_once_to_whom_it_is_for(server: TlsServer) -> None:
    pair = server.authority.pair(NAME)
    server.call(lambda: server.store.set_placeholder(*pair, applies=lambda peer: peer == "127.0.0.1"))
    with server.client() as client:
        assert get(client, 10) == pattern(0, 10)
    assert server.counts["held"] == 0
    assert server.counts[NAME] == 1
