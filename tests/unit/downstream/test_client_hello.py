"""The ClientHello reader, with hellos of OpenSSL, of browsers' shape, and broken ones."""

import contextlib
import ssl
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.downstream.client_hello import (
    HELLO_LIMIT,
    ClientHello,
    ClientHelloReader,
    Malformed,
    NotTls,
    read_whole_client_hello,
)
from tests.fakes.tls_hello import (
    ALPN,
    SERVER_NAME,
    alpn_extension,
    message,
    openssl_hello,
    records,
    server_name_extension,
    vector,
)

Verdict = ClientHello | NotTls | Malformed | None
LONG_NAME = ".".join(("a" * 61,) * 4)

# The shape of Chromium's hello: reserved values in front and behind, a key share of 1,216 octets, padding.
BROWSER = message(
    [
        (0x0A0A, b""),
        (51, vector(vector(b"\x11\xec") + bytes(1216))),
        (10, vector(b"\x0a\x0a\x11\xec\x00\x1d\x00\x17")),
        alpn_extension(b"h2", b"http/1.1"),
        (65037, bytes(218)),
        server_name_extension(b"app.example.com"),
        (43, b"\x06\x0a\x0a\x03\x04\x03\x03"),
        (0x1A1A, b"\x00"),
        (21, bytes(180)),
    ]
)
OPENSSL = {
    "plain": (openssl_hello(), ClientHello("app.example.com", ())),
    "no name": (openssl_hello(None), ClientHello(None, ())),
    "upper case": (openssl_hello("APP.Example.COM"), ClientHello("app.example.com", ())),
    "long name": (openssl_hello(LONG_NAME), ClientHello(LONG_NAME, ())),
    "A-label": (openssl_hello("bücher.example"), ClientHello("xn--bcher-kva.example", ())),
    "TLS 1.2": (openssl_hello(version=ssl.TLSVersion.TLSv1_2), ClientHello("app.example.com", ())),
    "TLS 1.3": (openssl_hello(version=ssl.TLSVersion.TLSv1_3), ClientHello("app.example.com", ())),
    "ALPN": (
        openssl_hello(alpn=["h2", "http/1.1"]),
        ClientHello("app.example.com", (b"h2", b"http/1.1")),
    ),
    "large": (  # OpenSSL 3.5 adds a key share of 1,216 octets to it
        openssl_hello(alpn=[f"{number:0250}" for number in range(50)]),
        ClientHello("app.example.com", tuple(b"%0250d" % number for number in range(50))),
    ),
    "browser": (records(BROWSER), ClientHello("app.example.com", (b"h2", b"http/1.1"))),
}


def read(octets: bytes) -> Verdict:
    """Read octets that came at once; the short way must agree with the long one or leave it alone."""
    verdict = ClientHelloReader().feed(octets)
    assert read_whole_client_hello(octets) in (None, verdict)
    return verdict


def read_in_pieces(octets: bytes, cuts: list[int]) -> Verdict:
    """Feed the pieces between the cuts; all but the last must be found incomplete."""
    reader = ClientHelloReader()
    ends = [0, *sorted(cuts), len(octets)]
    verdict: Verdict = None
    for start, end in pairwise(ends):
        assert verdict is None
        verdict = reader.feed(octets[start:end])
    return verdict


@pytest.mark.parametrize("name", OPENSSL)
def test_reads_what_clients_send(name: str) -> None:
    octets, expected = OPENSSL[name]
    assert read(octets) == expected
    assert read_whole_client_hello(octets) == expected


@pytest.mark.parametrize("name", OPENSSL)
def test_reads_the_same_octet_by_octet(name: str) -> None:
    octets, expected = OPENSSL[name]
    assert read_in_pieces(octets, list(range(1, len(octets)))) == expected


def test_reads_a_hello_with_session_tickets() -> None:
    with_tickets = [server_name_extension(b"app.example.com"), (35, bytes(200)), (41, bytes(250))]
    assert read(records(message(with_tickets))) == ClientHello("app.example.com", ())


@settings(deadline=None)
@given(st.data())
def test_segments_and_records_may_cut_anywhere(data: st.DataObject) -> None:
    record_size = data.draw(st.integers(1, len(BROWSER)), "octets a record")
    octets = records(BROWSER, record_size)
    cuts = data.draw(st.lists(st.integers(1, len(octets) - 1), max_size=20, unique=True), "cuts")
    assert read_in_pieces(octets, cuts) == ClientHello("app.example.com", (b"h2", b"http/1.1"))


def test_keeps_all_octets_for_openssl() -> None:
    reader = ClientHelloReader()
    hello = OPENSSL["plain"][0]
    reader.feed(hello[:100])
    assert reader.feed(hello[100:] + b"early data") == OPENSSL["plain"][1]
    assert bytes(reader.octets) == hello + b"early data"


def test_pairs_of_names_and_protocols_are_told_apart() -> None:
    more_than_are_remembered = [(name, alpn) for name in range(20) for alpn in range(20)]
    for name, alpn in more_than_are_remembered * 2:
        server_name, protocol = b"%d.example.com" % name, b"http/1.%d" % alpn
        both = [server_name_extension(server_name), alpn_extension(protocol)]
        assert read(records(message(both))) == ClientHello(server_name.decode(), (protocol,))
    assert read(records(message([alpn_extension(b"http/1.1")]))) == ClientHello(None, (b"http/1.1",))


def test_a_hello_without_extensions_names_nobody() -> None:
    assert read(records(message(None))) == ClientHello(None, ())
    assert read(records(message([]))) == ClientHello(None, ())


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        (b"app.example.com.", "app.example.com"),
        (b"App.Example.Com.", "app.example.com"),
        (b"localhost", "localhost"),
        (b"_service.example.com", "_service.example.com"),
        (b"127.0.0.1", "127.0.0.1"),
    ],
)
def test_names_are_made_comparable(sent: bytes, understood: str) -> None:
    assert read(records(message([server_name_extension(sent)]))) == ClientHello(understood, ())


@pytest.mark.parametrize(
    "name",
    [
        b".",
        b"..",
        b"app..example.com",
        b".example.com",
        b"app.example.com..",
        b"-app.example.com",
        b"app-.example.com",
        b"app.example.com\x00.evil.net",
        b"app example.com",
        b"app.example.com:443",
        b"[::1]",
        b"*.example.com",
        b"b\xc3\xbccher.example",
        b"a" * 64 + b".example.com",
        b".".join([b"a" * 61] * 4) + b".example.com",
    ],
)
def test_what_is_no_host_name_is_refused_as_a_name(name: bytes) -> None:
    verdict = read(records(message([server_name_extension(name)])))
    assert isinstance(verdict, Malformed)
    assert verdict.alert == 112


@pytest.mark.parametrize(
    "extension",
    [
        (SERVER_NAME, b""),
        (SERVER_NAME, vector(b"")),
        (SERVER_NAME, vector(b"\x00" + vector(b""))),
        (SERVER_NAME, vector(b"\x00" + vector(b"a.test")) + b"x"),
        (SERVER_NAME, vector(b"\x00" + b"\x00\xff" + b"a.test")),
        (SERVER_NAME, vector(b"\x01" + vector(b"a.test"))),
        (SERVER_NAME, vector((b"\x00" + vector(b"a.test")) * 2)),
        (ALPN, b""),
        (ALPN, vector(b"")),
        (ALPN, vector(b"\x00")),
        (ALPN, vector(b"\x05h2")),
        (ALPN, vector(b"\x02h2") + b"x"),
    ],
)
def test_damaged_extensions_are_malformed(extension: tuple[int, bytes]) -> None:
    assert isinstance(read(records(message([extension]))), Malformed)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x03\x03" + bytes(32),
        message([alpn_extension(b"h2")])[4:40],
        message([alpn_extension(b"h2")])[4:-1],
        message([alpn_extension(b"h2")])[4:] + b"x",
        message([])[4:].replace(vector(b"\x13\x01\x13\x02"), b"\x00\xff\x13\x01\x13\x02"),
        message(None)[4:] + vector(b"\x00\x10\x00\x05\x00"),
        message(None)[4:] + vector(b"\x00\x10\x00"),
    ],
)
def test_lengths_that_contradict_each_other_are_malformed(body: bytes) -> None:
    assert isinstance(read(records(b"\x01" + vector(body, 3))), Malformed)


@pytest.mark.parametrize(
    ("octets", "alert"),
    [
        (records(message([], kind=2)), 50),
        (records(message([]), version=b"\x02\x00"), 70),
        (b"\x16\x03\x01\x40\x01" + bytes(20), 22),
        (b"\x16\x03\x01\x00\x00", 50),
        (records(message([])[:10]) + b"\x15\x03\x01\x00\x02\x02\x28", 50),
        (records(b"\x01\x00\x40\x00" + bytes(10)), 50),
        (records(b"\x01\xff\xff\xff"), 50),
    ],
    ids=["other message", "other version", "huge record", "empty record", "interrupted", "large", "huge"],
)
def test_broken_records_are_malformed(octets: bytes, alert: int) -> None:
    verdict = read(octets)
    assert isinstance(verdict, Malformed)
    assert verdict.alert == alert


def test_the_largest_hello_is_read_and_no_larger_one() -> None:
    def with_message_of(size: int) -> bytes:
        filler = size - len(message([(21, b"")]))
        return records(message([(21, bytes(filler))]))

    largest = with_message_of(HELLO_LIMIT - 5)
    assert len(largest) == HELLO_LIMIT
    assert read(largest) == ClientHello(None, ())
    assert isinstance(read(with_message_of(HELLO_LIMIT - 4)), Malformed)


def test_many_tiny_records_cannot_get_around_the_limit() -> None:
    octets = records(message([(21, bytes(15_000))]), size=1)
    reader = ClientHelloReader()
    fed = 0
    while (verdict := reader.feed(octets[fed : fed + 1])) is None:
        fed += 1
    assert isinstance(verdict, Malformed)
    assert fed < HELLO_LIMIT


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n", b"post /x HTTP/1.0\r\n", b"M "]
)
def test_plain_http_is_recognised(octets: bytes) -> None:
    assert read(octets) == NotTls(plain_http=True)
    assert read_in_pieces(octets[:6], [1, 2][: len(octets) - 1]) in (None, NotTls(plain_http=True))


def test_the_start_of_a_method_is_waited_for() -> None:
    assert read(b"GE") is None
    assert read(b"") is None


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\x80\x2e\x01", b"\r\n", b"SSH-2.0-x", b"A" * 21, b"\x15\x03\x01\x00\x02", b"\xff" * 300],
)
def test_anything_else_is_not_tls(octets: bytes) -> None:
    assert read(octets) == NotTls(plain_http=False)


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3))
def test_nothing_raises(octets: bytes, prefix: int) -> None:
    octets = (b"", b"\x16\x03\x01", records(message([]))[:44], records(BROWSER)[:60])[prefix] + octets
    whole = read(octets)
    reader = ClientHelloReader()
    bit_by_bit: Verdict = None
    for octet in octets:
        bit_by_bit = reader.feed(bytes((octet,)))
        if bit_by_bit is not None:
            break
    if not isinstance(whole, Malformed):
        assert bit_by_bit == whole


def name_that_openssl_reads(octets: bytes) -> str | None:
    """Return the server name that OpenSSL's own parser reports; None when there is none or it refuses."""
    named: list[str | None] = []

    def note(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        named.append(name)
        return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = note
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(octets)
    with contextlib.suppress(ssl.SSLError):
        server.do_handshake()
    return named[0] if named else None


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # sni_callback and names not ASCII
@settings(deadline=None)
@given(st.data())
def test_never_takes_another_name_than_openssl(data: st.DataObject) -> None:
    original = OPENSSL[data.draw(st.sampled_from(["plain", "ALPN", "TLS 1.2", "browser"]), "hello")][0]
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(0, 4), "changes")):
        changed[data.draw(st.integers(5, len(changed) - 1), "where")] = data.draw(st.integers(0, 255), "what")
    octets = bytes(changed)
    theirs = name_that_openssl_reads(octets)
    ours = read(octets)
    if theirs is not None and isinstance(ours, ClientHello):
        assert ours.server_name == theirs.lower().removesuffix(".")
