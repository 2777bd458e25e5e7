"""The PROXY protocol, versions 1 and 2, sans-IO (HAProxy's doc/proxy-protocol.txt).

A listed peer must begin each connection with a header that names the connection's true source. The caller
gathers octets under a deadline and calls `parse_proxy_header` with all that it has. Everything after the
header belongs to the connection (TLS or HTTP).

What cannot become a header is refused at the first octet that shows it, so a peer that speaks something
else is not waited for.
"""

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import ForegateError
from proxy.traffic.address import Address, address_from_packed, parse_address

LONGEST_V1: Final = 107
LONGEST_V2: Final = 4096
_V1_SIGNATURE: Final = b"PROXY "
_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_V2_ADDRESS_SIZES: Final = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_TLV_HEAD: Final = 3
_V1_LINE: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


class ProxyProtocolError(ForegateError):
    """A peer that must speak the PROXY protocol sent something else; its connection is closed."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a connection truly came from, and which address and port it was made to."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header; `endpoints` is None where it names none (a health check of the proxy itself, UNKNOWN).

    The connection's own peer then counts as its source. `size` octets belong to the header.
    """

    size: int
    endpoints: Endpoints | None


def parse_proxy_header(received: bytes) -> ProxyHeader | None:
    """Read a header at the start of a connection; None while more octets are needed.

    Raises ProxyProtocolError for anything that is not a header, or is longer than version 1 allows (107
    octets) or than we take of version 2 (4,096 octets).
    """
    if received[:1] == b"P":
        return _parse_v1(received)
    signature = received[: len(_V2_SIGNATURE)]
    if not _V2_SIGNATURE.startswith(signature):
        raise ProxyProtocolError("the connection does not begin with a PROXY protocol header")
    return _parse_v2(received)


def _parse_v1(received: bytes) -> ProxyHeader | None:
    if not received.startswith(_V1_SIGNATURE[: len(received)]):
        raise ProxyProtocolError("the connection does not begin with a PROXY protocol header")
    end = received.find(b"\n", 0, LONGEST_V1)
    if end < 0:
        if len(received) >= LONGEST_V1:
            raise ProxyProtocolError(f"no end of the PROXY header within {LONGEST_V1} octets")
        return None
    line = received[: end + 1]
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(len(line), None)
    match = _V1_LINE.fullmatch(line)
    if match is None:
        raise ProxyProtocolError("the PROXY header is malformed")
    octets = 4 if match[1] == b"4" else 16
    source, destination = _v1_address(match[2], octets), _v1_address(match[3], octets)
    return ProxyHeader(len(line), Endpoints(source, _v1_port(match[4]), destination, _v1_port(match[5])))


def _v1_address(text: bytes, octets: int) -> Address:
    """Read an address of the family that the header names."""
    address = parse_address(text.decode("ascii"))
    if address is None or (b":" in text) != (octets == 16):
        raise ProxyProtocolError("the PROXY header is malformed: an address")
    return address


def _v1_port(text: bytes) -> int:
    port = int(text)
    if port > 65535 or (len(text) > 1 and text.startswith(b"0")):
        raise ProxyProtocolError("the PROXY header is malformed: a port")
    return port


def _parse_v2(received: bytes) -> ProxyHeader | None:
    if len(received) > 12 and received[12] not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("the PROXY header has an unknown version or command")
    if len(received) > 13 and received[12] == _PROXY and received[13] not in _V2_ADDRESS_SIZES:
        raise ProxyProtocolError("the PROXY header has an unknown family or a protocol other than TCP")
    if len(received) < _V2_HEAD:
        return None
    size = _V2_HEAD + int.from_bytes(received[14:16], "big")
    if size > LONGEST_V2:
        raise ProxyProtocolError(f"the PROXY header is longer than {LONGEST_V2} octets")
    family = received[13]
    if received[12] == _PROXY and size < _V2_HEAD + _V2_ADDRESS_SIZES[family]:
        raise ProxyProtocolError("the PROXY header is too short for its addresses")
    if len(received) < size:
        return None
    if received[12] == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(size, None)
    addresses_end = _V2_HEAD + _V2_ADDRESS_SIZES[family]
    _check_tlvs(received[addresses_end:size])
    if family == _UNIX:
        return ProxyHeader(size, None)
    return ProxyHeader(size, _v2_endpoints(received[_V2_HEAD:addresses_end]))


def _v2_endpoints(block: bytes) -> Endpoints:
    """Read two addresses, then two ports."""
    octets = (len(block) - 4) // 2
    return Endpoints(
        address_from_packed(block[:octets]),
        int.from_bytes(block[-4:-2], "big"),
        address_from_packed(block[octets : 2 * octets]),
        int.from_bytes(block[-2:], "big"),
    )


def _check_tlvs(block: bytes) -> None:
    """Step over the type-length-value fields; their lengths must fill the block exactly."""
    position = 0
    while position < len(block):
        position += _TLV_HEAD + int.from_bytes(block[position + 1 : position + _TLV_HEAD], "big")
    if position != len(block):
        raise ProxyProtocolError("the PROXY header has a field that reaches beyond its end")
