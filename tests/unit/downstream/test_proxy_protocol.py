"""PROXY headers are read whole or refused; byte by byte they say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.downstream.proxy_protocol import (
    Endpoints,
    ProxyHeader,
    ProxyProtocolError,
    parse_proxy_header,
)
from proxy.traffic.address import Address, address_from_packed, parse_address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes((192, 0, 2, 1, 198, 51, 100, 2)) + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
V6 = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2") + b"\x12\x67\x01\xbb"


def at(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


def endpoints(source: str, source_port: int, destination: str, destination_port: int) -> Endpoints:
    return Endpoints(at(source), source_port, at(destination), destination_port)


def v2(body: bytes = V4, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


HEADERS = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
        endpoints("192.0.2.1", 4711, "198.51.100.2", 443),
    ),
    (
        b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n",
        endpoints("2001:db8::1", 0, "2001:db8::2", 65535),
    ),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", endpoints("192.0.2.1", 1, "::1", 2)),
    (
        b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n",
        endpoints(":".join(["ffff"] * 8), 65535, ":".join(["ffff"] * 8), 65535),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN 192.0.2.1 whatever \xff\r\n", None),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),
    (v2(), endpoints("192.0.2.1", 4711, "198.51.100.2", 443)),
    (v2(V6, family=0x21), endpoints("2001:db8::1", 4711, "2001:db8::2", 443)),
    (v2(V4 + tlv(0x04, b"")), endpoints("192.0.2.1", 4711, "198.51.100.2", 443)),
    (v2(V4 + tlv(0x01, b"h2") + tlv(0x20, b"x" * 300)), endpoints("192.0.2.1", 4711, "198.51.100.2", 443)),
    (v2(V4 + tlv(0xEA, b"y" * (4096 - 16 - 12 - 3))), endpoints("192.0.2.1", 4711, "198.51.100.2", 443)),
    (v2(bytes(216), family=0x31), None),
    (v2(b"", family=0x00), None),
    (v2(b"anything", family=0x00), None),
    (v2(b"", command=0x20, family=0x00), None),
    # A health check of the proxy itself: what else is in it must not be used.
    (v2(V4, command=0x20), None),
    (v2(b"\0", command=0x20, family=0x77), None),
]


@pytest.mark.parametrize(("octets", "expected"), HEADERS)
def test_a_header_names_its_endpoints_and_its_size(octets: bytes, expected: Endpoints | None) -> None:
    assert parse_proxy_header(octets) == ProxyHeader(len(octets), expected)


@pytest.mark.parametrize(("octets", "expected"), HEADERS)
def test_what_follows_is_left_alone(octets: bytes, expected: Endpoints | None) -> None:
    for rest in (b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", octets, b"\0" * 70_000):
        assert parse_proxy_header(octets + rest) == ProxyHeader(len(octets), expected)


@pytest.mark.parametrize(("octets", "expected"), HEADERS)
def test_every_shorter_piece_asks_for_more(octets: bytes, expected: Endpoints | None) -> None:
    assert [parse_proxy_header(octets[:end]) for end in range(len(octets))] == [None] * len(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST",
        b"PO",
        b"PROXX",
        b"PROXY\r",
        b"proxy TCP4",
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"\n",
        b"\0",
        b" PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
    ],
)
def test_what_cannot_become_a_header_is_refused_at_once(octets: bytes) -> None:
    with pytest.raises(ProxyProtocolError, match="does not begin with"):
        parse_proxy_header(octets)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 1\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 \r\n",
        b"PROXY TCP4\t192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\r\n",
        b"PROXY tcp4 192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2.1 ::1 4711 443\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 4711 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 99999\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 04711 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 +711 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4_1 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP6 ::: ::1 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY UNKNOWN a\rb\r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY TCP4 \xff\xfe 198.51.100.2 4711 443\r\n",
    ],
)
def test_a_malformed_line_is_refused(line: bytes) -> None:
    with pytest.raises(ProxyProtocolError, match="malformed"):
        parse_proxy_header(line)


@pytest.mark.parametrize("octets", [b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", b"PROXY " + b"x" * 70_000])
def test_a_line_longer_than_107_octets_is_refused(octets: bytes) -> None:
    assert parse_proxy_header(octets[:106]) is None
    with pytest.raises(ProxyProtocolError, match="within 107 octets"):
        parse_proxy_header(octets)


@pytest.mark.parametrize(
    ("octets", "wording"),
    [
        (SIGNATURE + b"\x11", "version or command"),
        (SIGNATURE + b"\x22", "version or command"),
        (SIGNATURE + b"\x2f", "version or command"),
        (SIGNATURE + b"\x00", "version or command"),
        (SIGNATURE + b"\x21\x12", "family or a protocol"),
        (SIGNATURE + b"\x21\x22", "family or a protocol"),
        (SIGNATURE + b"\x21\x10", "family or a protocol"),
        (SIGNATURE + b"\x21\x41", "family or a protocol"),
        (v2(V4, length=4081)[:16], "longer than 4096"),
        (v2(V4, length=65535)[:16], "longer than 4096"),
        (v2(V4[:11])[:16], "too short"),
        (v2(V6[:35], family=0x21)[:16], "too short"),
        (v2(V4, family=0x21)[:16], "too short"),
        (v2(bytes(215), family=0x31)[:16], "too short"),
        (v2(V4 + b"\x04"), "beyond its end"),
        (v2(V4 + b"\x04\x00"), "beyond its end"),
        (v2(V4 + b"\x04\x00\x01"), "beyond its end"),
        (v2(V4 + tlv(0x04, b"") + b"\x04\xff\xffx"), "beyond its end"),
    ],
)
def test_a_malformed_version_2_header_is_refused_as_soon_as_it_shows(octets: bytes, wording: str) -> None:
    with pytest.raises(ProxyProtocolError, match=wording):
        parse_proxy_header(octets)


def outcome(octets: bytes) -> ProxyHeader | str | None:
    try:
        return parse_proxy_header(octets)
    except ProxyProtocolError:
        return "refused"


@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(SIGNATURE.__add__)
    | st.binary(max_size=120).map(b"PROXY ".__add__)
    | st.builds(v2, st.binary(max_size=60), st.sampled_from([0x20, 0x21]), st.sampled_from([0, 0x11, 0x21]))
)
def test_byte_by_byte_the_first_verdict_is_the_verdict_on_the_whole(octets: bytes) -> None:
    verdicts = (outcome(octets[:end]) for end in range(len(octets) + 1))
    first = next((verdict for verdict in verdicts if verdict is not None), None)
    assert first == outcome(octets)


@given(
    st.ip_addresses(v=4) | st.ip_addresses(v=6),
    st.integers(0, 65535),
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5),
)
def test_both_versions_say_the_same(address: object, port: int, tlvs: list[tuple[int, bytes]]) -> None:
    text = str(address)
    family = 6 if ":" in text else 4
    parsed = at(text)
    packed = (
        parsed.packed if family == 4 or len(parsed.packed) == 16 else bytes(10) + b"\xff\xff" + parsed.packed
    )
    line = f"PROXY TCP{family} {text} {text} {port} {port}\r\n".encode()
    body = packed * 2 + port.to_bytes(2, "big") * 2 + b"".join(tlv(*pair) for pair in tlvs)
    first = parse_proxy_header(line)
    second = parse_proxy_header(v2(body, family=0x11 if family == 4 else 0x21))
    assert first is not None
    assert second is not None
    assert first.endpoints == second.endpoints == Endpoints(parsed, port, parsed, port)
    assert address_from_packed(packed) == parsed
