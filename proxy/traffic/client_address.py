"""Whose request it is: the peer's, or that of the client that trusted proxies name.

Theory of operation. Every proxy appends the address that it sees to the right of the list. So the list is
read from the right for as long as the address that vouches for the next element is a trusted one, and the
first untrusted address is the client; everything to its left is that client's own invention and is never
even looked at. An element that cannot be read ends the walk at the proxy that wrote it. When all elements
are trusted, the leftmost is the client.

Nothing depends on reading a line from its left, where a client could leave a quotation mark open for the
rest. The walk is bounded, so a line of any length costs no more than its last 32 elements.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, assert_never

from proxy.traffic.address import LONGEST_TEXT, Address, parse_address
from proxy.traffic.address_ranges import AddressRanges

MOST_HOPS: Final = 32
_LONGEST_ELEMENT: Final = 512
# RFC 7239 section 4: forwarded-pairs between semicolons; values are tokens or quoted strings. Brackets and
# colons are taken without quotes too, since proxies write them so.
_PAIR: Final = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"([^\"]*)\"|([^\",;= \t]*))[ \t]*(?:;|$)")


class ClientHeader(Enum):
    """The field that trusted proxies name the client in; its value is the name in the configuration."""

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"
    CF_CONNECTING_IP = "cf-connecting-ip"
    X_REAL_IP = "x-real-ip"

    @property
    def field_name(self) -> bytes:
        """Name the field in lower case."""
        return self.value.encode()


def client_address(
    peer: Address, trusted: AddressRanges, header: ClientHeader, values: Sequence[bytes]
) -> Address:
    """Name the client of a request that `peer` sent with these lines of the field `header`, in their order.

    `peer` is the other end of the connection, or the source that a PROXY protocol header names.
    """
    if not values or not trusted or peer.packed not in trusted:
        return peer
    match header:
        case ClientHeader.X_FORWARDED_FOR:
            return _walk(peer, trusted, values, quoted=False)
        case ClientHeader.FORWARDED:
            return _walk(peer, trusted, values, quoted=True)
        case ClientHeader.CF_CONNECTING_IP | ClientHeader.X_REAL_IP:
            # One address that the proxy sets. Where it left a client's line in place, its own is the last
            # one.
            element, _ = _last_element(values[-1], len(values[-1]), quoted=False)
            return (element is not None and parse_node(element)) or peer
    assert_never(header)


def parse_node(text: str) -> Address | None:
    """Read an address that may carry a port or brackets: `192.0.2.1:80`, `[2001:db8::1]:80`,
    `2001:db8::1`."""
    if text.startswith("["):
        inside, closed, port = text[1:].partition("]")
        return parse_address(inside) if closed and ":" in inside and _is_port_or_nothing(port) else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return parse_address(host) if _is_port_or_nothing(":" + port) else None
    return parse_address(text)


def _is_port_or_nothing(text: str) -> bool:
    """Tell whether a text is empty or a colon with a port (RFC 7239 section 6: five digits, or
    obfuscated)."""
    port = text[1:]
    return not text or (text[0] == ":" and 1 <= len(port) <= 5 and port.isascii() and port.isdigit())


def _walk(peer: Address, trusted: AddressRanges, values: Sequence[bytes], *, quoted: bool) -> Address:
    """Follow the chain from the right to the first untrusted address, or as far as it can be read."""
    current = peer
    hops = 0
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            hops += 1
            if hops > MOST_HOPS:
                return current
            element, end = _last_element(value, end, quoted=quoted)
            if element == "":
                continue
            node = _forwarded_for(element) if quoted and element else element
            address = parse_node(node) if node else None
            if address is None:
                return current
            if address.packed not in trusted:
                return address
            current = address
    return current


def _last_element(value: bytes, end: int, *, quoted: bool) -> tuple[str | None, int]:
    """Take the last list element before `end`; returns it and where the comma before it is, or -1.

    The element is None when it is too long or not ASCII.
    """
    comma = _last_bare_comma(value, end) if quoted else value.rfind(b",", 0, end)
    element = value[comma + 1 : end]
    if len(element) > _LONGEST_ELEMENT:
        return None, comma
    try:
        text = element.decode("ascii").strip(" \t")
    except UnicodeDecodeError:
        return None, comma
    return (text if quoted or len(text) <= LONGEST_TEXT else None), comma


def _last_bare_comma(value: bytes, end: int) -> int:
    """Find the last comma before `end` that is not within a quoted string, looking from the right; -1 for
    none.

    What a trusted proxy wrote ends outside a quoted string and has its quotation marks in pairs. A mark
    that a backslash escapes is taken for a mark here: no node that we could use contains one, and the walk
    ends there.
    """
    inside = False
    for index in range(end - 1, max(-1, end - _LONGEST_ELEMENT - 2), -1):
        octet = value[index]
        if octet == 0x22:
            inside = not inside
        elif octet == 0x2C and not inside:
            return index
    return -1


def _forwarded_for(element: str) -> str | None:
    """Read the one `for` parameter of a forwarded-element (RFC 7239 section 4); None when there is not just
    one."""
    nodes: list[str] = []
    position = 0
    while position < len(element):
        pair = _PAIR.match(element, position)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            nodes.append(pair[3] if pair[2] is None else pair[2])
        position = pair.end()
    return nodes[0] if len(nodes) == 1 else None
