"""The sending half of the TLS transport: pauses, backlog, order, endings."""

import ssl

import pytest

from proxy.downstream.tls_contexts import KeyPair
from proxy.downstream.tls_sending import MOST_ABOVE_MARK
from tests.fakes.certificates import Authority
from tests.fakes.tls_connection import HIGH, Connection


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


def test_a_later_first_response_takes_the_tickets_and_close_notify_along(
    authority: Authority, pair: KeyPair
) -> None:
    connection = Connection(authority, pair)
    connection.start(b"request")
    assert connection.raw.taken == []
    connection.transport.write(b"resp")
    connection.transport.write(b"onse")
    connection.transport.close()
    connection.turn_ends()
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == b"response"
    assert connection.client.closed_by_server
    assert connection.client.tls.session is not None
    assert connection.raw.closed


def test_a_first_response_leaves_when_the_turn_ends(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.start(b"request")
    connection.transport.write(bytes(20_000))
    connection.transport.write(b"end")
    assert connection.raw.taken == []
    connection.turn_ends()
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == bytes(20_000) + b"end"
    connection.transport.write(b"the short way")
    assert connection.client_reads() == b"the short way"
    assert connection.soon == []


def test_tickets_do_not_wait_for_a_client_that_asks_for_nothing(connection: Connection) -> None:
    assert len(connection.raw.taken) == 1
    assert connection.client_reads() == b""
    assert connection.client.tls.session is not None


def test_what_was_put_off_is_dropped_with_the_connection(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.start(b"request")
    connection.transport.write(b"response")
    connection.transport.abort()
    connection.transport.connection_lost(None)
    connection.turn_ends()
    assert connection.raw.taken == []


def test_answers_of_openssl_take_the_tickets_along(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.start(b"request")
    damaged = bytearray(connection.client.send(b"more"))
    damaged[-1] ^= 1
    connection.from_client(bytes(damaged))
    assert len(connection.raw.taken) == 1  # the tickets and the alert
    assert connection.raw.closed
    connection.turn_ends()
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        connection.client_reads()
    assert connection.client.tls.session is not None


def test_a_large_answer_at_the_start_is_bounded_too(authority: Authority, pair: KeyPair) -> None:
    connection = Connection(authority, pair)
    connection.raw.peer_takes = False
    connection.application.answer = bytes(1_000_000)
    connection.start(b"request")
    assert connection.application.events == ["made", "pause"]
    assert connection.raw.get_write_buffer_size() <= HIGH + MOST_ABOVE_MARK


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
