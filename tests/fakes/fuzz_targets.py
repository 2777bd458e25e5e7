"""Everything that reads what strangers send, as functions of octets: a fuzzer calls them, and nothing may come of it.

Each target raises AssertionError where a rule is broken: octets mean the same however they are cut; what is accepted
is written in a form that is accepted again; and no error but the one of that reader ever comes out.
"""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Final

from proxy.caching.cache_control import parse_cache_control
from proxy.caching.ranges import select_range
from proxy.config.errors import ConfigError, Fault
from proxy.config.loader import parse
from proxy.config.schema import Config
from proxy.downstream.client_hello import (
    ClientHello,
    ClientHelloReader,
    Malformed,
    NotTls,
    read_whole_client_hello,
)
from proxy.downstream.proxy_protocol import ProxyHeader, ProxyProtocolError, parse_proxy_header
from proxy.errors import MessageError
from proxy.http1.body import ChunkedDecoder
from proxy.http1.partial import PartialHead, without_empty_lines
from proxy.http1.request import RequestFields, RequestLine, parse_request_fields, parse_request_line
from proxy.http1.response import parse_response_fields, parse_status_line, response_framing
from proxy.semantics.dates import parse_http_date
from proxy.semantics.forwarding import prepare_request, request_edits, response_block
from proxy.traffic.address import Address, parse_address
from proxy.traffic.address_ranges import AddressRanges
from proxy.traffic.client_address import ClientHeader, client_address

MAX_HEAD: Final = 4096
MAX_FIELDS: Final = 50
NO_EDITS: Final = request_edits(())
TRUSTED: Final = AddressRanges.of([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def cut(octets: bytes) -> tuple[int, bytes]:
    """Take the size of pieces from the first octet."""
    return (octets[0] % 40 or 1, octets[1:]) if octets else (1, b"")


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    """Cut octets."""
    for at in range(0, len(octets), size):
        yield octets[at : at + size]


def whole_head(octets: bytes, size: int, *, is_request: bool) -> bytes | None:
    """Gather a head as a connection does; return all octets so far when it is whole, or None."""
    partial = PartialHead(MAX_HEAD, is_request=is_request)
    for piece in pieces(octets, size):
        if (head := partial.add(piece)) is not None:
            return head
    return None


def read_request(octets: bytes, size: int) -> tuple[RequestLine, RequestFields] | str | None:
    """Read a request head; a refusal is told by its status."""
    try:
        gathered = whole_head(octets, size, is_request=True)
        if gathered is None:
            return None
        start, _, rest = without_empty_lines(gathered).partition(b"\r\n")
        line = parse_request_line(start)
        section = b"" if rest.startswith(b"\r\n") else rest[: rest.index(b"\r\n\r\n") + 2]
        if len(section) > MAX_HEAD:
            return "refused"
        return line, parse_request_fields(section, line.minor_version, MAX_FIELDS)
    except MessageError:
        return "refused"


def request(octets: bytes) -> None:
    """Read a request head whole and in pieces, and read again what would be forwarded."""
    size, octets = cut(octets)
    whole, cut_up = read_request(octets, len(octets) or 1), read_request(octets, size)
    # What is not over yet may be refused already, at one octet or another.
    assert whole == cut_up or {str(whole), str(cut_up)} == {"None", "refused"}
    if not isinstance(whole, tuple):
        return
    line, fields = whole
    prepared = prepare_request(
        [one for one in fields.lines if one[0] != b"expect"],  # written anew by whoever forwards
        fields.connection,
        NO_EDITS,
        host=fields.host or b"",
        scheme=b"http",
        port=80,
        trusted=bool(size % 2),
        pseudonym=b"foregate-fuzz",
    )
    section = prepared.host_line + prepared.block + b"Forwarded: for=192.0.2.1" + prepared.forwarded_tail
    again = parse_request_fields(section, 1 if fields.host else 0, MAX_FIELDS + 20)
    assert again.content_length == -1
    assert not again.chunked
    assert not again.connection
    assert parse_request_line(b"%s %s HTTP/1.1" % (line.method, line.target)).target == line.target


def response(octets: bytes) -> None:
    """Read a response head whole and in pieces, and read again what would be relayed."""
    size, octets = cut(octets)
    outcomes: list[object] = []
    for piece in (len(octets) or 1, size):
        try:
            gathered = whole_head(octets, piece, is_request=False)
            if gathered is None:
                outcomes.append(None)
                continue
            start, _, rest = gathered.partition(b"\r\n")
            status = parse_status_line(start)
            section = b"" if rest.startswith(b"\r\n") else rest[: rest.index(b"\r\n\r\n") + 2]
            if len(section) > MAX_HEAD:
                raise MessageError("head-too-large", "too large")
            fields = parse_response_fields(section)
            response_framing(b"GET", status, fields)
        except MessageError:
            outcomes.append("refused")
            continue
        outcomes.append((status, fields))
        block = response_block(fields.lines, fields.connection, NO_EDITS)
        again = parse_response_fields(block)
        assert again.content_length == -1
        assert not again.chunked
        assert parse_status_line(status.octets[:-2]).status == status.status
    whole, cut_up = outcomes
    assert whole == cut_up or {str(whole), str(cut_up)} == {"None", "refused"}


def chunks(octets: bytes) -> None:
    """Decode chunked content whole and in pieces."""
    size, octets = cut(octets)
    outcomes = []
    for piece in (len(octets) or 1, size):
        decoder, content, consumed = ChunkedDecoder(), b"", 0
        try:
            for part in pieces(octets, piece):
                decoded, taken = decoder.feed(part)
                content, consumed = content + decoded, consumed + taken
                assert taken == len(part) or decoder.finished
                if decoder.finished:
                    break
        except MessageError:
            outcomes.append((False, b"", -1))
            continue
        outcomes.append((decoder.finished, content, consumed))
    assert outcomes[0] == outcomes[1]


def hello(octets: bytes) -> None:
    """Read a ClientHello whole, whole at once, and in pieces."""
    size, octets = cut(octets)
    at_once = read_whole_client_hello(octets)
    outcomes: list[ClientHello | NotTls | Malformed | None] = []
    for piece in (len(octets) or 1, size):
        reader = ClientHelloReader()
        outcome = None
        for part in pieces(octets, piece):
            if (outcome := reader.feed(part)) is not None:
                break
        outcomes.append(outcome)
    assert at_once is None or outcomes == [at_once, at_once]
    assert isinstance(outcomes[0], ClientHello) == isinstance(outcomes[1], ClientHello)
    if isinstance(outcomes[0], ClientHello):
        assert outcomes[0] == outcomes[1]
        name = outcomes[0].server_name
        assert name is None or (name == name.lower() and name.isascii() and len(name) < 254)


def proxy_header(octets: bytes) -> None:
    """Read a PROXY protocol header from every beginning of the octets: one that is enough stays so."""
    found: ProxyHeader | None = None
    for end in range(len(octets) + 1):
        try:
            header = parse_proxy_header(octets[:end])
        except ProxyProtocolError:
            assert found is None
            return
        assert found is None or header == found
        found = header
    assert found is None or found.size <= len(octets)


def client(octets: bytes) -> None:
    """Walk the lines of a trusted proxy: the client is the peer, or stands in them."""
    peer = parse_address("10.0.0.1")
    assert peer is not None
    values = octets.split(b"\n")
    for header in ClientHeader:
        found = client_address(peer, TRUSTED, header, values)
        assert isinstance(found, Address)
        assert parse_address(found.text) == found
        stranger = parse_address("192.0.2.1")
        assert stranger is not None
        assert client_address(stranger, TRUSTED, header, values) == stranger


def config(octets: bytes) -> None:
    """Read a configuration file."""
    try:
        faults: tuple[Fault, ...] = ()
        found = parse(octets, path="/nowhere/proxy.toml", environ={"NAME": "value"})
        assert isinstance(found, Config)
    except ConfigError as error:
        faults = error.faults
    assert all(str(fault) for fault in faults)


def values(octets: bytes) -> None:
    """Read field values that the cache goes by."""
    parse_cache_control(octets.split(b"\n"))
    parse_http_date(octets, 1.8e9)
    length = len(octets)
    found = select_range(octets, length)
    assert not isinstance(found, tuple) or 0 <= found[0] <= found[1] <= length


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (request, response, chunks, hello, proxy_header, client, config, values)
}
