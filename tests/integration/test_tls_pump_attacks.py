"""Crowds of bad clients beside an honest one, and tickets that outlive what they were made for."""

import contextlib
import random
import socket
import ssl

from proxy.downstream.tls_certificates import ServedName
from proxy.downstream.tls_outcomes import HandshakeFailure
from tests.fakes.certificates import Authority
from tests.fakes.tls_hello import openssl_hello
from tests.fakes.tls_server import NAME, TlsServer, get, read_all_or_reset

CROWD = 300
SEED = 20261122


def visit(server: TlsServer) -> None:
    """Let an honest client get its answer, who comes again where the machine stalled for longer than it may take."""
    for _ in range(10):
        with contextlib.suppress(ssl.SSLError, ConnectionError), server.client() as honest:
            get(honest, 10_000)
            return
    raise AssertionError("an honest client is not served")


def test_slow_handshakes_by_the_hundred_keep_nobody_from_his(authority: Authority) -> None:
    hello = openssl_hello()
    with TlsServer(authority, hello_seconds=3.0) as server, contextlib.ExitStack() as crowd:
        slow = [crowd.enter_context(server.connect()) for _ in range(CROWD)]
        for number, raw in enumerate(slow):
            raw.sendall(hello[: 1 + number % len(hello)])
        visit(server)
        for position in range(3):  # some go on, octet by octet
            for raw in slow[::7]:
                with contextlib.suppress(ConnectionError):
                    raw.sendall(hello[position : position + 1])
        server.wait_for("abandoned", CROWD)
        for raw in slow:
            assert read_all_or_reset(raw)[:1] in (b"", b"\x15", b"\x16")
        assert server.call(lambda: len(server.acceptor.pending)) == 0
        visit(server)


def test_garbage_from_hundreds_harms_nobody(server: TlsServer) -> None:
    choose = random.Random(SEED)
    hello = openssl_hello()
    with server.client() as honest:
        for number in range(CROWD):
            damaged = bytearray(hello if number % 3 else choose.randbytes(200))
            for _ in range(5):
                damaged[choose.randrange(len(damaged))] = choose.randrange(256)
            with server.connect() as raw:
                raw.sendall(damaged)
                raw.shutdown(socket.SHUT_WR)
                read_all_or_reset(raw)
            if not number % 50:
                get(honest, 1000)
        get(honest, 100_000)
    server.wait_for("abandoned", CROWD)


def test_tickets_are_good_over_a_reload_that_leaves_the_certificate(server: TlsServer) -> None:
    context = server.authority.client_context()
    with server.client(context=context) as client:
        get(client, 10)
        session = client.session
    server.call(lambda: server.store.wanted({NAME: ServedName(hold=1.0)}, NAME))
    with server.client(context=context, session=session) as client:
        get(client, 10)
        assert client.session_reused


def test_a_ticket_of_a_certificate_that_was_replaced_is_no_longer_good(server: TlsServer) -> None:
    context = server.authority.client_context()
    with server.client(context=context) as client:
        get(client, 10)
        session = client.session
    pair = server.authority.pair(NAME)
    server.call(lambda: server.store.set(NAME, *pair))
    with server.client(context=context, session=session) as client:
        get(client, 10)
        assert not client.session_reused
    assert not server.counts[HandshakeFailure.TLS]


def test_a_ticket_does_not_carry_a_lower_version_over(authority: Authority) -> None:
    with TlsServer(authority, default=NAME) as server:
        context = authority.client_context()
        with server.client(context=context) as client:
            get(client, 10)
            session = client.session
        server.call(lambda: server.store.wanted({NAME: ServedName(min_version="1.3")}, NAME))
        with server.client(context=context, session=session) as client:
            get(client, 10)
            assert not client.session_reused  # a stricter site has a context, and so keys, of its own
