"""TLS handshakes over real sockets: names, versions, tickets, and clients that misbehave."""

import socket
import ssl

import pytest

from proxy.downstream.tls_certificates import ServedName
from proxy.downstream.tls_outcomes import PLAIN_HTTP_ANSWER, HandshakeFailure
from tests.fakes.certificates import Authority
from tests.fakes.tls_hello import message, openssl_hello, records, server_name_extension
from tests.fakes.tls_peer import MemoryClient
from tests.fakes.tls_server import (
    BOTH,
    DECODE_ERROR,
    NAME,
    UNRECOGNIZED_NAME,
    TlsServer,
    get,
    pattern,
    read_all,
    read_all_or_reset,
)


@BOTH
def test_sessions_are_resumed_and_not_under_another_certificate(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    pairs = {name: authority.pair(name) for name in (NAME, "b.example.com")}
    with TlsServer(authority, pairs=pairs, names=dict.fromkeys(pairs, ServedName())) as server:
        context = authority.client_context()
        with server.client(context=context, version=version) as client:
            get(client, 10)
            session = client.session
        for _ in range(3):
            with server.client(context=context, session=session) as client:
                get(client, 10)
                assert client.session_reused
                session = client.session
        with server.client(context=context, session=session, name="b.example.com") as client:
            get(client, 10)
            assert not client.session_reused
        assert (server.counts["full"], server.counts["resumed"]) == (2, 3)


def test_older_versions_are_refused(server: TlsServer) -> None:
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = server.authority.client_context()
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = context.maximum_version = old
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            server.client(context=context)
    server.wait_for(HandshakeFailure.TLS, 2)


def test_a_site_may_refuse_tls_1_2(authority: Authority) -> None:
    with TlsServer(authority, names={NAME: ServedName(min_version="1.3")}) as server:
        with server.client() as client:
            assert client.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            server.client(version=ssl.TLSVersion.TLSv1_2)


def test_the_protocol_is_agreed_on(server: TlsServer) -> None:
    context = server.authority.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with server.client(context=context) as client:
        assert client.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match=r"(?i)alert no application protocol"):
        server.client(context=context)
    server.wait_for(HandshakeFailure.ALPN)


@pytest.mark.parametrize("name", [NAME.encode(), b"APP.Example.Com", b"app.example.com."])
def test_names_are_found_however_they_are_written(server: TlsServer, name: bytes) -> None:
    with server.connect() as raw:
        raw.sendall(records(message([server_name_extension(name)])))
        answer = raw.recv(100)
    assert answer != UNRECOGNIZED_NAME


def test_other_names_get_an_alert(server: TlsServer) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized name"):
        server.client(name="other.example.com")
    with server.connect() as raw:
        raw.sendall(records(message([server_name_extension(b"no..name")])))
        assert read_all(raw) == UNRECOGNIZED_NAME
    server.wait_for(HandshakeFailure.NAME)
    server.wait_for(HandshakeFailure.MALFORMED)


def test_without_a_name_the_default_answers(server: TlsServer, authority: Authority) -> None:
    context = authority.client_context()
    context.check_hostname = False
    with context.wrap_socket(server.connect()) as client:
        get(client, 10)
        certificate = client.getpeercert()
    assert certificate
    assert certificate["subjectAltName"] == (("DNS", NAME),)
    assert server.applications[0].transport.get_extra_info("server_name") is None


def test_without_a_name_and_a_default_there_is_an_alert(authority: Authority) -> None:
    with TlsServer(authority) as server, server.connect() as raw:
        raw.sendall(openssl_hello(None))
        assert read_all(raw) == UNRECOGNIZED_NAME


@pytest.mark.parametrize("content", [b"", b"x" * 3_000_000])
def test_plain_http_is_told_so(server: TlsServer, content: bytes) -> None:
    with server.connect() as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content))
        try:
            raw.sendall(content)
        except ConnectionError:
            pytest.fail("the answer was lost to a reset")
        raw.shutdown(socket.SHUT_WR)
        answer = read_all(raw)
    assert answer == PLAIN_HTTP_ANSWER
    assert answer.startswith(b"HTTP/1.1 400 ")
    server.wait_for(HandshakeFailure.PLAIN_HTTP)


@pytest.mark.parametrize("octets", [b"\x00" * 10, b"SSH-2.0-OpenSSH_9.2\r\n", b"\x80\x2e\x01\x00\x02"])
def test_garbage_is_closed(server: TlsServer, octets: bytes) -> None:
    with server.connect() as raw:
        raw.sendall(octets)
        assert read_all(raw) == b""
    server.wait_for(HandshakeFailure.NOT_TLS)


@pytest.mark.parametrize(
    "octets",
    [
        records(message([], kind=2)),
        b"\x16\x03\x01\x40\x00" + b"\x01\x00\x50\x00" + bytes(17_000),
        records(message([(21, bytes(15_000))]), size=1)[:17_000],
    ],
    ids=["no hello", "too large", "many records"],
)
def test_a_broken_hello_gets_an_alert(server: TlsServer, octets: bytes) -> None:
    with server.connect() as raw:
        raw.sendall(octets)
        assert read_all(raw) == DECODE_ERROR
    server.wait_for(HandshakeFailure.MALFORMED)


def test_what_openssl_finds_wrong_with_a_hello_gets_an_alert(server: TlsServer) -> None:
    twice = message(
        [server_name_extension(NAME.encode()), (10, b"\x00\x02\x00\x1d"), (10, b"\x00\x02\x00\x1d")]
    )
    with server.connect() as raw:
        raw.sendall(records(twice))
        assert read_all(raw)[:1] == b"\x15"
    server.wait_for(HandshakeFailure.TLS)


@BOTH
def test_a_connection_octet_by_octet(server: TlsServer, version: ssl.TLSVersion) -> None:
    context = server.authority.client_context()
    context.maximum_version = version
    client = MemoryClient(context)
    with server.connect() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(octets: bytes) -> None:
            for octet in octets:
                raw.send(bytes((octet,)))

        send(client.start())
        while not client.established:
            send(client.receive(raw.recv(65536)))
        send(client.send(b"GET /100 HTTP/1.1\r\nConnection: close\r\n\r\n"))
        while not client.closed_by_server:
            client.receive(raw.recv(65536))
    assert client.content.endswith(pattern(0, 100))


def handshake_octets(version: ssl.TLSVersion) -> list[bytes]:
    """Return what a client sends first, for those that stop there."""
    hello = openssl_hello(NAME, version=version)
    # TLS 1.3 lets a client send this record at any time; in TLS 1.2 it stops within the record instead
    next_record = b"\x14\x03\x03\x00\x01\x01" if version is ssl.TLSVersion.TLSv1_3 else b"\x16\x03\x03\x00"
    return [b"", hello[:1], hello[:5], hello[:-1], hello, hello + next_record]


@BOTH
def test_a_client_that_stops_anywhere_is_timed_out(authority: Authority, version: ssl.TLSVersion) -> None:
    with TlsServer(authority, hello_seconds=0.2) as server:
        stopped = []
        for octets in handshake_octets(version):
            raw = server.connect()
            raw.sendall(octets)
            stopped.append(raw)
        for raw in stopped:
            with raw:
                while True:
                    try:
                        if not raw.recv(65536):
                            break
                    except ConnectionResetError:
                        break
        server.wait_for("abandoned", len(stopped))
        server.wait_for(HandshakeFailure.TIMEOUT, len(stopped))
        assert server.call(lambda: len(server.acceptor.pending)) == 0


@BOTH
def test_a_client_that_leaves_anywhere_is_let_go(authority: Authority, version: ssl.TLSVersion) -> None:
    with TlsServer(authority) as server:
        steps = handshake_octets(version)
        for octets in steps:
            with server.connect() as raw:
                raw.sendall(octets)
        server.wait_for("abandoned", len(steps))
        server.wait_for(HandshakeFailure.CLIENT_LEFT, len(steps))
        assert server.call(lambda: len(server.acceptor.pending)) == 0


def test_a_client_that_mistrusts_us_is_counted(
    server: TlsServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        server.client(context=stranger.client_context())
    server.wait_for(HandshakeFailure.CLIENT_ALERT)


def test_an_address_may_be_turned_away_before_tls(authority: Authority) -> None:
    with TlsServer(authority, admit=lambda _raw: False) as server, server.connect() as raw:
        assert read_all_or_reset(raw) == b""
        assert not server.counts["abandoned"]


def test_pending_handshakes_can_be_dropped(authority: Authority) -> None:
    with TlsServer(authority) as server, server.connect() as raw:
        raw.sendall(openssl_hello()[:50])
        with server.client() as client:
            get(client, 10)
            server.call(server.acceptor.abort_pending)
            assert read_all_or_reset(raw) == b""
            get(client, 10)
