"""The TLS transport between a fake TCP transport and a recording application."""

import gc
import ssl
import weakref
from pathlib import Path

import pytest

from proxy.downstream.tls import TlsTransport
from proxy.downstream.tls_contexts import KeyPair
from proxy.downstream.tls_stream import TlsStreamError, TlsTruncatedError
from tests.fakes.certificates import Authority
from tests.fakes.tls_connection import HIGH, Connection
from tests.fakes.tls_peer import RecordForge


def test_the_application_is_told_and_asked_in_order(connection: Connection) -> None:
    connection.from_client(connection.client.send(b"request"))
    connection.transport.write(b"response")
    assert connection.client_reads() == b"response"
    connection.from_client(connection.client.close())
    connection.transport.connection_lost(None)
    assert connection.application.events == ["made", "eof", "lost"]
    assert connection.application.content == b"request"
    assert connection.application.lost is None


def test_broken_octets_behind_the_handshake_end_it_with_an_alert(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    rest = connection.stream.handshake(connection.last_flight)
    assert rest == b""
    connection.transport.start(connection.application, b"garbage, not a record")
    assert connection.application.events == ["made"]
    assert connection.raw.closed
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        connection.client_reads()
    connection.transport.connection_lost(None)
    assert isinstance(connection.application.lost, TlsStreamError)


def test_abort_closes_at_once(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    connection.transport.abort()
    connection.transport.write(b"too late")
    assert connection.raw.aborted
    connection.transport.connection_lost(None)
    assert connection.application.events[-1] == "lost"


def test_an_end_without_close_notify_is_truncation(connection: Connection) -> None:
    connection.application.stays_open_at_eof = True
    assert connection.transport.eof_received()
    assert connection.transport.get_extra_info("truncated") is True
    connection.transport.write(b"the answer all the same")
    assert connection.client_reads() == b"the answer all the same"
    connection.transport.connection_lost(None)
    assert isinstance(connection.application.lost, TlsTruncatedError)


def test_close_notify_and_then_the_end_is_no_truncation(connection: Connection) -> None:
    connection.application.stays_open_at_eof = True
    connection.from_client(connection.client.send(b"request") + connection.client.close())
    assert connection.transport.eof_received()
    assert connection.application.events == ["made", "eof"]
    assert connection.transport.get_extra_info("truncated") is False
    connection.transport.write(b"response")
    connection.transport.close()
    assert connection.client_reads() == b"response"
    connection.transport.connection_lost(None)
    assert connection.application.lost is None


def test_a_broken_stream_is_closed_with_an_alert(connection: Connection) -> None:
    connection.from_client(b"\xff" * 100)
    assert connection.raw.closed
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        connection.client_reads()
    connection.transport.write(b"too late")
    connection.transport.connection_lost(None)
    assert isinstance(connection.application.lost, TlsStreamError)


def test_a_broken_stream_of_a_peer_that_takes_nothing_is_aborted(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    connection.from_client(b"\xff" * 100)
    assert connection.raw.aborted


def test_reading_pauses_and_resumes_the_tcp_transport(connection: Connection) -> None:
    connection.transport.pause_reading()
    connection.transport.pause_reading()
    assert not connection.raw.reading
    connection.transport.resume_reading()
    assert connection.raw.reading


def test_reading_goes_on_while_writing_is_paused(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    connection.from_client(connection.client.send(b"upload"))
    assert connection.application.content == b"upload"
    assert connection.raw.reading


def test_answers_that_cannot_go_out_stop_reading(authority: Authority, pair: KeyPair, tmp_path: Path) -> None:
    connection = Connection(authority, pair, tmp_path / "keys")
    connection.start()
    records = RecordForge(tmp_path / "keys")
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    waiting = connection.raw.get_write_buffer_size()
    connection.from_client(b"".join(records.key_update(ask_for_one=True) for _ in range(100)))
    assert not connection.raw.reading
    assert connection.raw.get_write_buffer_size() <= waiting + 100 * 27
    connection.transport.pause_reading()
    connection.transport.resume_reading()
    assert not connection.raw.reading
    connection.raw.peer_takes_all()
    assert connection.raw.reading


def test_tells_about_the_connection(connection: Connection, authority: Authority, pair: KeyPair) -> None:
    info = connection.transport.get_extra_info
    assert info("peername") == ("192.0.2.1", 4711)
    assert info("sockname") == ("192.0.2.2", 443)
    assert info("server_name") == "app.example.com"
    assert info("tls_version") == "TLSv1.3"
    assert isinstance(info("ssl_object"), ssl.SSLObject)
    assert info("nothing", "of the kind") == "of the kind"
    proxied = TlsTransport(
        connection.raw, connection.stream, connection.soon.append, None, ("2001:db8::1", 1)
    )
    assert proxied.get_extra_info("peername") == ("2001:db8::1", 1)


def test_a_closed_connection_is_freed_without_a_collection(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.start(b"request")
    connection.from_client(connection.client.close())
    connection.transport.connection_lost(None)
    connection.raw.protocol = None
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(connection.stream.tls)
        del connection
        assert gone() is None
    finally:
        gc.enable()
