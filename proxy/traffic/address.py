"""Addresses of clients and proxies in the one form that traffic decisions use."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

# The longest text of an address is 45 characters; a zone, brackets and a port may come with it.
LONGEST_TEXT: Final = 96
_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"


class Address(NamedTuple):
    """An address as 4 or 16 octets in network order, and as canonical text; never IPv4-mapped, without
    zone."""

    packed: bytes
    text: str


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Read an IPv4 or IPv6 address; None for anything else.

    An IPv4-mapped address becomes the IPv4 address, and a zone (`%eth0`) is left out: it means something on
    the machine that wrote it alone. Leading zeros and shortened forms of IPv4 (`127.1`) are no addresses.
    """
    if len(text) > LONGEST_TEXT:
        return None
    try:
        if ":" not in text:
            return Address(IPv4Address(text).packed, text)
        return address_from_packed(IPv6Address(text.partition("%")[0]).packed)
    except ValueError:
        return None


def address_from_packed(packed: bytes) -> Address:
    """Make an address from 4 or 16 octets in network order."""
    if len(packed) == 16 and packed.startswith(_MAPPED_PREFIX):
        packed = packed[12:]
    text = str(IPv4Address(packed)) if len(packed) == 4 else str(IPv6Address(packed))
    return Address(packed, text)
