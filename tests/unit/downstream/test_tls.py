"""The TLS transport between a fake TCP transport and a recording application."""

import asyncio
import gc
import ssl
import weakref
from pathlib import Path
from typing import cast

import pytest

from proxy.downstream.tls import TlsTransport
from proxy.downstream.tls_contexts import KeyPair, build_context
from proxy.downstream.tls_sending import MOST_ABOVE_MARK
from proxy.downstream.tls_stream import TlsBuffers, TlsStream, TlsStreamError, TlsTruncatedError
from tests.fakes.certificates import Authority
from tests.fakes.tcp_transport import FakeTcpTransport
from tests.fakes.tls_peer import MemoryClient, RecordForge

HIGH = 65536


class Application(asyncio.Protocol):
    """Records its calls; does what the test put into ``on_data``."""

    def __init__(self) -> None:
        self.transport: TlsTransport = cast("TlsTransport", None)
        self.events: list[str] = []
        self.content = b""
        self.lost: Exception | None = None
        self.stays_open_at_eof = False
        self.answer = b""
        self.closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("TlsTransport", transport)
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.content += data
        if self.answer:
            self.transport.write(self.answer)
        if self.closes:
            self.transport.close()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stays_open_at_eof

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost = exc

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Connection:
    """An established connection and all its parts."""

    def __init__(self, authority: Authority, pair: KeyPair, key_log: Path | None = None) -> None:
        context = authority.client_context()
        if key_log is not None:
            context.keylog_filename = str(key_log)
        self.buffers = TlsBuffers()
        self.client = MemoryClient(context)
        self.raw = FakeTcpTransport(HIGH)
        self.application = Application()
        self.stream = TlsStream(build_context(pair), self.buffers)
        self.stream.handshake(self.client.start())
        self.last_flight = self.client.receive(self.stream.take_answers())
        self.transport = TlsTransport(self.raw, self.stream, "app.example.com")

    def start(self, content: bytes = b"") -> None:
        """End the handshake, with content behind it."""
        rest = self.stream.handshake(self.last_flight + (self.client.send(content) if content else b""))
        assert rest is not None
        self.transport.start(self.application, rest)
        self.check_buffers()

    def from_client(self, octets: bytes) -> None:
        self.transport.data_received(octets)
        self.check_buffers()

    def client_reads(self) -> bytes:
        """Let the client read what has gone out since."""
        taken, self.raw.taken = self.raw.taken, []
        for octets in taken:
            self.client.receive(octets)
        content, self.client.content = self.client.content, b""
        return content

    def check_buffers(self) -> None:
        assert not self.buffers.incoming.pending
        assert not self.buffers.outgoing.pending


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> KeyPair:
    return KeyPair(*authority.pair("app.example.com"))


@pytest.fixture
def connection(authority: Authority, pair: KeyPair) -> Connection:
    connection = Connection(authority, pair)
    connection.start()
    return connection


def test_the_application_is_told_and_asked_in_order(connection: Connection) -> None:
    connection.from_client(connection.client.send(b"request"))
    connection.transport.write(b"response")
    assert connection.client_reads() == b"response"
    connection.from_client(connection.client.close())
    connection.transport.connection_lost(None)
    assert connection.application.events == ["made", "eof", "lost"]
    assert connection.application.content == b"request"
    assert connection.application.lost is None


def test_ticket_response_and_close_notify_leave_in_one_write(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.application.answer = b"response"
    connection.application.closes = True
    connection.start(b"request")
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == b"response"
    assert connection.client.closed_by_server
    assert connection.client.tls.session is not None
    assert connection.raw.closed


def test_a_large_answer_at_the_start_is_bounded_too(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.raw.peer_takes = False
    connection.application.answer = bytes(1_000_000)
    connection.start(b"request")
    assert connection.application.events == ["made", "pause"]
    assert connection.raw.get_write_buffer_size() <= HIGH + MOST_ABOVE_MARK


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


def test_writes_above_the_mark_wait_unencrypted(connection: Connection) -> None:
    connection.raw.peer_takes = False
    content = bytes(range(256)) * 4096
    connection.transport.write(content)
    assert connection.application.events == ["made", "pause"]
    assert HIGH < connection.raw.get_write_buffer_size() <= HIGH + MOST_ABOVE_MARK
    assert connection.transport.get_write_buffer_size() >= len(content)
    received = b""
    while connection.raw.waiting:
        connection.raw.peer_takes_all()
        assert connection.raw.get_write_buffer_size() <= HIGH + MOST_ABOVE_MARK
        received += connection.client_reads()
    assert received == content
    assert connection.application.events == ["made", "pause", "resume"]
    assert connection.transport.get_write_buffer_size() == 0


def test_the_backlog_keeps_references_not_copies(connection: Connection) -> None:
    connection.raw.peer_takes = False
    content = bytes(1_000_000)
    connection.transport.write(content)
    kept = [piece.obj for piece in connection.transport._backlog or ()]
    assert kept == [content]
    assert kept[0] is content


def test_order_is_kept_over_pauses(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    connection.transport.write(b"behind it")
    connection.transport.writelines([b"and ", b"", b"more"])
    received = b""
    for _ in range(5):
        connection.raw.peer_takes_all()
        received += connection.client_reads()
    assert received == bytes(HIGH * 2) + b"behind itand more"
    connection.transport.write(b"short way again")
    connection.raw.peer_takes_all()
    assert connection.client_reads() == b"short way again"


def test_small_pieces_become_one_record(connection: Connection) -> None:
    connection.client_reads()
    connection.transport.writelines([b"head", b"body"])
    connection.transport.write(b"")
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == b"headbody"


def test_large_pieces_leave_with_their_framing_in_few_writes(connection: Connection) -> None:
    connection.client_reads()
    connection.transport.writelines([b"8000\r\n", bytes(32768), b"\r\n"])
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == b"8000\r\n" + bytes(32768) + b"\r\n"
    connection.transport.writelines([b"10000\r\n", bytes(65536), b"\r\n"])
    assert len(connection.raw.taken) == 2
    assert connection.client_reads() == b"10000\r\n" + bytes(65536) + b"\r\n"


def test_close_sends_the_backlog_and_close_notify(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 3))
    connection.transport.close()
    connection.transport.close()
    connection.transport.write(b"too late")
    assert connection.transport.is_closing()
    assert not connection.raw.closed
    connection.from_client(connection.client.send(b"ignored"))
    received = b""
    while not connection.raw.closed:
        connection.raw.peer_takes_all()
        received += connection.client_reads()
    connection.raw.peer_takes_all()
    received += connection.client_reads()
    assert received == bytes(HIGH * 3)
    assert connection.client.closed_by_server
    assert connection.application.content == b""


def test_write_eof_ends_our_direction_and_reads_on(connection: Connection) -> None:
    assert connection.transport.can_write_eof()
    connection.transport.write(b"413")
    connection.transport.write_eof()
    connection.transport.write_eof()
    connection.transport.write(b"too late")
    assert connection.raw.eof_written
    assert not connection.raw.closed
    still_sending = connection.client.send(b"still sending")
    assert connection.client_reads() == b"413"
    assert connection.client.closed_by_server
    connection.from_client(still_sending)
    assert connection.application.content == b"still sending"
    connection.from_client(connection.client.close())
    assert connection.application.events == ["made", "eof"]
    assert connection.raw.closed


def test_write_eof_waits_for_the_backlog_and_close_overtakes_it(connection: Connection) -> None:
    connection.raw.peer_takes = False
    connection.transport.write(bytes(HIGH * 2))
    connection.transport.write_eof()
    assert not connection.raw.eof_written
    connection.transport.close()
    connection.raw.peer_takes_all()
    connection.raw.peer_takes_all()
    assert not connection.raw.eof_written
    assert connection.raw.closed


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
    proxied = TlsTransport(connection.raw, connection.stream, None, ("2001:db8::1", 1))
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
