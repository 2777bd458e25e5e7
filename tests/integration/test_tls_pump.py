"""TLS over real sockets: content, endings, slow and broken peers."""

import hashlib
import socket
import ssl

from proxy.downstream.tls_sending import MOST_ABOVE_MARK
from tests.fakes.certificates import Authority
from tests.fakes.tls_connection import HIGH
from tests.fakes.tls_peer import MemoryClient
from tests.fakes.tls_server import (
    BOTH,
    NAME,
    PATIENCE,
    TlsServer,
    get,
    pattern,
    read_all_or_reset,
    read_answer,
)


@BOTH
def test_much_content_down_and_up(server: TlsServer, version: ssl.TLSVersion) -> None:
    with server.client(version=version) as client:
        assert client.version() == version.name.replace("_", ".")
        for size in (0, 1, 16384, 10_000_000):
            assert get(client, size) == pattern(0, size)
        content = pattern(0, 10_000_000)
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n" + content)
        assert read_answer(client) == hashlib.sha256(content).hexdigest().encode()
    assert server.counts["full"] == 1


@BOTH
def test_close_notify_is_sent_and_understood(server: TlsServer, version: ssl.TLSVersion) -> None:
    with server.client(version=version) as client:
        get(client, 10, "Connection: close")
        assert client.recv(1) == b""  # an end without close_notify would raise here
    with server.client(version=version) as client:
        get(client, 10)
        client.unwrap()
    server.wait_for("lost", 2)
    assert [application.eof for application in server.applications] == ["", "clean"]


@BOTH
def test_truncation_is_told_from_an_end(server: TlsServer, version: ssl.TLSVersion) -> None:
    client = server.client(version=version)
    get(client, 10)
    with socket.socket(fileno=client.detach()) as raw:
        raw.settimeout(PATIENCE)
        raw.shutdown(socket.SHUT_WR)
        server.wait_for("truncated")
        assert raw.recv(100)  # our close_notify
    server.wait_for("lost")


@BOTH
def test_a_client_that_has_said_its_last_word_gets_its_answer(
    server: TlsServer, version: ssl.TLSVersion
) -> None:
    context = server.authority.client_context()
    context.maximum_version = version
    client = MemoryClient(context)
    with server.connect() as raw:
        raw.sendall(client.start())
        while not client.established:
            raw.sendall(client.receive(raw.recv(65536)))
        raw.sendall(client.send(b"GET /3000000 HTTP/1.1\r\n\r\n") + client.close())
        server.wait_for("clean")
        answer = b"\r\n\r\n" + pattern(0, 3_000_000)
        while not client.content.endswith(answer[-16:]):
            client.receive(raw.recv(65536))
    assert client.content.endswith(answer)


@BOTH
def test_a_reader_that_takes_nothing_costs_no_more_than_the_mark(
    server: TlsServer, version: ssl.TLSVersion
) -> None:
    with server.client(version=version) as client:
        client.sendall(b"GET /10000000 HTTP/1.1\r\n\r\n")
        server.wait_for("paused")
        transport = server.applications[0].transport
        for _ in range(3):
            assert HIGH < server.call(transport.get_write_buffer_size) <= HIGH + MOST_ABOVE_MARK
        assert read_answer(client) == pattern(0, 10_000_000)


def test_a_fast_writer_that_does_not_read_is_no_deadlock(server: TlsServer) -> None:
    content = pattern(0, 4_000_000)
    with server.client() as client:
        request = b"POST / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n" + content
        client.sendall(request)
        client.sendall(b"")
        assert read_answer(client) == hashlib.sha256(content).hexdigest().encode()


def test_records_broken_in_the_middle_end_the_connection_alone(server: TlsServer) -> None:
    with server.client() as witness:
        get(witness, 100)
        for garbage in (b"\x17\x03\x03\x00\x20" + bytes(32), b"\x17\x03\x03\xff\xff", b"\x00" * 50_000):
            client = server.client()
            get(client, 100)
            with socket.socket(fileno=client.detach()) as raw:
                raw.settimeout(PATIENCE)
                raw.sendall(garbage)
                assert read_all_or_reset(raw)[:3] in (b"\x17\x03\x03", b"")
        server.wait_for("lost", 3)
        assert get(witness, 1_000_000) == pattern(0, 1_000_000)


def test_a_new_certificate_is_served_while_old_connections_live_on(authority: Authority) -> None:
    with TlsServer(authority) as server, server.client() as old:
        get(old, 10)
        before = old.getpeercert(binary_form=True)
        server.call(lambda: server.store.set(NAME, *authority.pair(NAME, "www.example.com")))
        with server.client() as new:
            assert new.getpeercert(binary_form=True) != before
            get(new, 10)
        assert get(old, 1_000_000) == pattern(0, 1_000_000)


def test_many_connections_at_once_mix_nothing(server: TlsServer) -> None:
    context = server.authority.client_context()
    clients = [server.client(context=context) for _ in range(40)]
    for number, client in enumerate(clients):
        client.sendall(b"GET /%d HTTP/1.1\r\n\r\n" % (number * 10_007))
    for number, client in enumerate(clients):
        assert read_answer(client) == pattern(0, number * 10_007)
        client.close()
