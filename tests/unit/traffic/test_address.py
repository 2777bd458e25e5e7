"""Addresses have one form, whatever text or octets they came as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.traffic.address import Address, address_from_packed, parse_address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1%3", "192.0.2.1"),
        ("::", "::"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_an_address_becomes_canonical(text: str, canonical: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert address.text == canonical
    assert address_from_packed(address.packed) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " 192.0.2.1",
        "192.0.2.1 ",
        "192.0.2",
        "192.0.2.1.5",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "010.0.0.1",
        "192.0.2.256",
        "192.0.2.-1",
        "+1.2.3.4",
        "\uff11.2.3.4",
        "192.0.2.1/32",
        "192.0.2.1:80",
        "[::1]",
        ":",
        ":::",
        "1::2::3",
        "12345::1",
        "::ffff:192.0.2.300",
        "unknown",
        "_hidden",
        "localhost",
        "::1\n",
        "%eth0",
        "::1" + "%" + "z" * 100,
        "1" * 100_000,
        ":" * 100_000,
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    assert parse_address(text) is None


@given(st.ip_addresses())
def test_octets_and_text_name_the_same_address(address: object) -> None:
    parsed = parse_address(str(address))
    assert parsed is not None
    assert parsed == address_from_packed(parsed.packed)
    assert len(parsed.packed) in (4, 16)


@given(st.binary(min_size=4, max_size=4))
def test_an_ipv4_address_and_its_mapped_form_are_one(packed: bytes) -> None:
    assert address_from_packed(bytes(10) + b"\xff\xff" + packed) == address_from_packed(packed)


@given(st.text(max_size=60))
def test_no_text_is_taken_for_an_address_unless_it_names_one(text: str) -> None:
    parsed = parse_address(text)
    assert parsed is None or isinstance(parsed, Address)
    assert parsed is None or parse_address(parsed.text) == parsed
