"""Handshakes driven by hand, where the order of events within one turn of the loop counts."""

import asyncio

from proxy.deadlines import DeadlineWheel
from proxy.downstream.tls_accept import TlsAcceptor
from proxy.downstream.tls_certificates import CertificateStore, ServedName
from proxy.downstream.tls_outcomes import HandshakeFailure
from tests.fakes.certificates import Authority
from tests.fakes.tcp_transport import FakeTcpTransport
from tests.fakes.tls_connection import RecordingApplication
from tests.fakes.tls_hello import openssl_hello

NAME = "app.example.com"
INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x02\x50"


class Failures:
    """Keeps why handshakes failed."""

    def __init__(self) -> None:
        self.seen: list[HandshakeFailure] = []

    def handshake_done(self, *, resumed: bool) -> None:
        raise AssertionError("no handshake can be done here")

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        self.seen.append(failure)

    def handshake_held(self) -> None:
        pass


async def test_a_certificate_that_comes_in_the_turn_in_which_the_wait_ends_is_too_late(
    authority: Authority,
) -> None:
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    store = CertificateStore(loop, lambda _name: None, clock=loop.time)
    store.wanted({NAME: ServedName()})
    failures, raw = Failures(), FakeTcpTransport()
    acceptor = TlsAcceptor(
        loop=loop,
        wheel=DeadlineWheel(loop),
        certificates=store,
        application=RecordingApplication,
        observer=failures,
    )
    handshake = acceptor.accept()
    handshake.connection_made(raw)
    handshake.data_received(openssl_hello(NAME))
    assert acceptor.held.total == 1
    store.set(NAME, *authority.pair(NAME))  # tells those who wait in the next turn
    handshake.deadline_reached(loop.time())
    await asyncio.sleep(0)
    assert (raw.taken, faults) == ([INTERNAL_ERROR], [])
    handshake.connection_lost(None)
    assert failures.seen == [HandshakeFailure.NO_CERTIFICATE]
    assert acceptor.held.total == 0
