"""The client is the first untrusted address from the right; nothing further left has a say."""

import random
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.address import Address, parse_address
from proxy.traffic.address_ranges import AddressRanges
from proxy.traffic.client_address import ClientHeader, client_address, parse_node

XFF = ClientHeader.X_FORWARDED_FOR
FORWARDED = ClientHeader.FORWARDED
TRUSTED = AddressRanges.of([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def at(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


def client(*values: bytes | str, header: ClientHeader = XFF, peer: str = "10.0.0.1") -> str:
    lines = [value if isinstance(value, bytes) else value.encode() for value in values]
    return client_address(at(peer), TRUSTED, header, lines).text


@pytest.mark.parametrize("header", ClientHeader)
@pytest.mark.parametrize("value", ["192.0.2.1", "for=192.0.2.1", "", "10.0.0.5"])
def test_an_untrusted_peer_is_the_client_whatever_it_sends(header: ClientHeader, value: str) -> None:
    assert client(value, header=header, peer="198.51.100.9") == "198.51.100.9"


@pytest.mark.parametrize("header", ClientHeader)
def test_a_trusted_peer_that_names_nobody_is_the_client(header: ClientHeader) -> None:
    assert client(header=header) == "10.0.0.1"
    assert client("", header=header) == "10.0.0.1"
    assert client(" , ,, ", header=header) == "10.0.0.1"


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client_address(at("10.0.0.1"), AddressRanges(), XFF, [b"192.0.2.1"]).text == "10.0.0.1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("198.51.100.1, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.7", "192.0.2.1"),
        ("192.0.2.1,10.0.0.7,10.9.9.9", "192.0.2.1"),
        ("192.0.2.1, fd00::7", "192.0.2.1"),
        ("10.0.0.8, 10.0.0.7", "10.0.0.8"),
        ("192.0.2.1, ,", "192.0.2.1"),
        (",192.0.2.1", "192.0.2.1"),
        ("\t192.0.2.1 \t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        # A trusted address in its mapped form is as trusted.
        ("192.0.2.1, ::ffff:10.0.0.7", "192.0.2.1"),
    ],
)
def test_the_chain_is_read_from_the_right(value: str, expected: str) -> None:
    assert client(value) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.1:",
        "192.0.2.1:port",
        "192.0.2.1:123456",
        "192.0.2.1:-1",
        "192.0.2.1 198.51.100.1",
        "192.0.2.1;x",
        "[192.0.2.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]80",
        "[]",
        '"192.0.2.1"',
        "for=192.0.2.1",
        "localhost",
        "0x7f000001",
        "010.0.0.1",
        "192.0.2.1\x00",
        "x" * 97,
        "1" * 5000,
    ],
)
def test_what_a_trusted_proxy_wrote_and_nobody_can_read_ends_at_that_proxy(garbage: str) -> None:
    assert client(garbage) == "10.0.0.1"
    assert client(f"{garbage}, 10.0.0.7") == "10.0.0.7"
    assert client(f"192.0.2.9, {garbage}, 10.0.0.7") == "10.0.0.7"


@pytest.mark.parametrize("octets", [b"\xff\xfe", "\uff11.2.3.4".encode(), b"192.0.2.1\xa0"])
def test_octets_outside_ascii_are_no_address(octets: bytes) -> None:
    assert client(octets) == "10.0.0.1"


def test_lines_form_one_chain_in_their_order() -> None:
    assert client("198.51.100.1", "192.0.2.1") == "192.0.2.1"
    assert client("192.0.2.1", "10.0.0.7") == "192.0.2.1"
    assert client("192.0.2.1", "") == "192.0.2.1"
    assert client("192.0.2.1", "unknown") == "10.0.0.1"


def test_the_walk_ends_after_32_elements() -> None:
    assert client("192.0.2.1" + ", 10.0.0.7" * 31) == "192.0.2.1"
    assert client("192.0.2.1" + ", 10.0.0.7" * 32) == "10.0.0.7"
    assert client("192.0.2.1" + "," * 100_000) == "10.0.0.1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1"),
        ("proto=https ; for=192.0.2.1", "192.0.2.1"),
        ('for="192.0.2.1"', "192.0.2.1"),
        ('for="192.0.2.1:4711"', "192.0.2.1"),
        ("for=192.0.2.1:4711", "192.0.2.1"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=[2001:db8::1]", "2001:db8::1"),
        ("for=198.51.100.1, for=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1, for=10.0.0.7", "192.0.2.1"),
        ('for=192.0.2.1,for="[fd00::1]"', "192.0.2.1"),
        ('for=192.0.2.1;host="a,b;c=d"', "192.0.2.1"),
        ("for=192.0.2.1;", "192.0.2.1"),
        # What cannot be read ends the walk at the proxy that wrote it.
        ("for=unknown", "10.0.0.1"),
        ("for=_secret", "10.0.0.1"),
        ("for=192.0.2.9, for=_secret, for=10.0.0.7", "10.0.0.7"),
        ("proto=https", "10.0.0.1"),
        ("192.0.2.1", "10.0.0.1"),
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
        ("for = 192.0.2.1", "10.0.0.1"),
        ("for=", "10.0.0.1"),
        ('for=""', "10.0.0.1"),
        ('for="192.0.2.1', "10.0.0.1"),
        ('for=192.0.2.1"', "10.0.0.1"),
        ('for="192.0.2.1\\"', "10.0.0.1"),
        ("for=192.0.2.1;x", "10.0.0.1"),
        ("for=192.0.2.1;ext=" + "x" * 600, "10.0.0.1"),
    ],
)
def test_forwarded_is_read_from_the_right(value: str, expected: str) -> None:
    assert client(value, header=FORWARDED) == expected


@pytest.mark.parametrize(
    "spoofed",
    [
        'for="',
        'for=198.51.100.1;x="',
        'for="198.51.100.1, for=198.51.100.2',
        'for="\\"',
        'for="a\\',
        '"' * 1000,
        '"' * 1001,
        "for=198.51.100.1" + ";" * 2000,
        "," * 1000,
        "\\",
    ],
)
def test_no_quotation_mark_of_a_client_swallows_what_a_proxy_appends(spoofed: str) -> None:
    for appended in ("for=192.0.2.1", 'for="192.0.2.1:80";proto=https', 'for=192.0.2.1;host="a,b"'):
        assert client(f"{spoofed}, {appended}", header=FORWARDED) == "192.0.2.1"
        assert client(spoofed, appended, header=FORWARDED) == "192.0.2.1"
        assert client(f"{spoofed}, {appended}, for=10.0.0.7", header=FORWARDED) == "192.0.2.1"


@pytest.mark.parametrize("header", [ClientHeader.CF_CONNECTING_IP, ClientHeader.X_REAL_IP])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.7"], "10.0.0.7"),
        (["unknown"], "10.0.0.1"),
        (["192.0.2.1", "unknown"], "10.0.0.1"),
        (["x" * 10_000], "10.0.0.1"),
    ],
)
def test_a_single_address_is_taken_from_the_last_line(
    header: ClientHeader, values: list[str], expected: str
) -> None:
    assert client(*values, header=header) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1.2.3.4:0", "1.2.3.4"), ("[::1]:65535", "::1"), (":80", None), ("[:80", None)]
)
def test_a_port_is_left_out(text: str, expected: str | None) -> None:
    address = parse_node(text)
    assert (address and address.text) == expected


@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from([XFF, FORWARDED]))
def test_nothing_that_a_client_sends_changes_what_its_proxy_says(
    sent: list[bytes], header: ClientHeader
) -> None:
    appended = b"192.0.2.1" if header is XFF else b"for=192.0.2.1"
    assert client(*sent, appended, header=header) == "192.0.2.1"
    assert client(*sent[:-1], b", ".join([*sent[-1:], appended]), header=header) == "192.0.2.1"
    assert client(*sent, header=header, peer="198.51.100.9") == "198.51.100.9"


@given(
    st.sampled_from(ClientHeader), st.lists(st.text(alphabet='for=",;:[] 0123.%\\', max_size=60), max_size=4)
)
def test_any_value_of_a_trusted_peer_gives_some_address(header: ClientHeader, sent: list[str]) -> None:
    assert parse_address(client(*sent, header=header)) is not None


def test_a_random_chain_gives_its_last_untrusted_address() -> None:
    draw = random.Random(6)
    for _ in range(500):
        chain = [f"{draw.choice((10, 192))}.0.0.{draw.randrange(256)}" for _ in range(draw.randrange(1, 20))]
        untrusted = [text for text in chain if text.startswith("192.")]
        assert client(", ".join(chain)) == (untrusted[-1] if untrusted else chain[0])
