"""Request heads: from octets to a checked, typed value (RFC 9112 sections 3, 6 and RFC 9110 section 7.2)."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.errors import MessageError
from proxy.http1 import grammar
from proxy.semantics.authority import host_name
from proxy.semantics.fields import HOP_BY_HOP, FieldLine, list_members

#: Longest request target that is accepted, in octets; above it 414 (RFC 9112 section 3 wants at least 8,000).
MAX_TARGET: Final = 16 * 1024

_UNDERSCORED_FRAMING: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade", b"expect", b"te"}
)


@dataclass(slots=True)
class RequestFields:
    """A parsed request field section; equal octets give an equal value, so it may be memoised and shared.

    ``content_length`` is an octet count or -1; ``lines`` keeps order and number of the field lines as they came.
    """

    lines: tuple[FieldLine, ...]
    host: bytes | None
    content_length: int
    chunked: bool
    connection: frozenset[bytes]
    expects_continue: bool
    upgrade: tuple[bytes, ...]
    #: Whether the client keeps the connection after this request (RFC 9112 section 9.3).
    persists: bool = True
    content_type: bytes = b""
    #: The host of Host as sites are kept under; empty without Host.
    host_name: bytes = b""
    size: int = 0
    #: Derived forms kept by their users under a key of their own, never holding anything of one request or
    #: one client.
    derived: dict[Hashable, object] = field(default_factory=dict, repr=False, compare=False)
    #: The same for forms that depend neither on Cookie nor on the size: one dictionary for all of one `common`.
    shared: dict[Hashable, object] = field(default_factory=dict, repr=False, compare=False)
    #: What this section has in common with other clients'; None where it was read by itself.
    common: "CommonFields | None" = field(default=None, repr=False, compare=False)

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field with this lower-case name."""
        for lower, _, value in self.lines:
            if lower == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the values of all field lines with this lower-case name, in order."""
        return [value for lower, _, value in self.lines if lower == name]

    @property
    def has_content(self) -> bool:
        """Say whether the framing announces content (RFC 9112 section 6)."""
        return self.chunked or self.content_length > 0


class CommonFields:
    """A field section but for the value of its only Cookie line, in which the sections of many clients differ.

    ``fields`` is the section with an empty value in its place, line number ``cookie_at``.
    """

    __slots__ = ("_after", "_before", "cookie_at", "fields")

    def __init__(self, fields: RequestFields, cookie_at: int) -> None:
        self.fields = fields
        self.cookie_at = cookie_at
        self._before = fields.lines[:cookie_at]
        self._after = fields.lines[cookie_at + 1 :]

    def with_cookie(self, value: bytes, size: int) -> RequestFields:
        """Return the fields of a section of ``size`` octets with this value, which the grammar has admitted."""
        same = self.fields
        return RequestFields(
            lines=(*self._before, (b"cookie", b"Cookie", value), *self._after),
            host=same.host,
            content_length=same.content_length,
            chunked=same.chunked,
            connection=same.connection,
            expects_continue=same.expects_continue,
            upgrade=same.upgrade,
            persists=same.persists,
            content_type=same.content_type,
            host_name=same.host_name,
            size=size,
            shared=same.shared,
            common=self,
        )


def split_lines(section: bytes, max_fields: int) -> tuple[FieldLine, ...]:
    """Take a field section apart, each line ended by CRLF, without the empty line.

    Raises MessageError: 400 for anything outside the grammar, 431 for more than ``max_fields`` lines.
    """
    if grammar.FIELD_SECTION.fullmatch(section) is None:
        raise MessageError("field-syntax", _field_fault(section))
    found = grammar.FIELD_LINES.findall(section)
    if len(found) > max_fields:
        raise MessageError("too-many-fields", f"more than {max_fields} header fields", 431)
    return tuple((name.lower(), name, value.rstrip(b" \t")) for name, value in found)


def _field_fault(section: bytes) -> str:
    """Name the first fault of a malformed field section in words that a developer can act on."""
    if grammar.BARE_CR_OR_LF.search(section):
        return "a bare CR or LF in the header section"
    for number, line in enumerate(section.split(b"\r\n"), 1):
        if not line:
            continue
        if line[:1] in b" \t":
            return f"header line {number} starts with white space (line folding is not allowed)"
        name, colon, _ = line.partition(b":")
        if not colon:
            return f"header line {number} has no colon"
        if name != name.strip(b" \t"):
            return f"white space before the colon in header line {number}"
        if grammar.FIELD_SECTION.fullmatch(name + b":\r\n") is None:
            return f"invalid field name in header line {number}"
        if grammar.FIELD_SECTION.fullmatch(line + b"\r\n") is None:
            return f"control character in the value of header line {number}"
    return "malformed header section"


def content_length_of(values: list[bytes]) -> int:
    """Return the announced octet count, or -1 without Content-Length (RFC 9112 section 6.3).

    Raises MessageError for several values, a list, or anything but digits.
    """
    if not values:
        return -1
    if len(values) > 1 or grammar.DIGITS.fullmatch(values[0]) is None:
        raise MessageError("content-length", "Content-Length is not one decimal number")
    return int(values[0])


def parse_request_fields(section: bytes, minor_version: int, max_fields: int) -> RequestFields:
    """Parse and check a request's field section.

    Raises MessageError with the status to answer: everything that two recipients could read in two ways is refused.
    """
    lines = split_lines(section, max_fields)
    by_name: dict[bytes, list[bytes]] = {}
    for lower, _, value in lines:
        by_name.setdefault(lower, []).append(value)
    connection = frozenset(m for v in by_name.get(b"connection", ()) for m in list_members(v))
    length, chunked = _framing(by_name, minor_version)
    host = _host(by_name.get(b"host", []), minor_version)
    return RequestFields(
        lines=lines,
        host=host,
        host_name=host_name(host) if host is not None else b"",
        content_length=length,
        chunked=chunked,
        connection=connection,
        expects_continue=_expectation(by_name.get(b"expect", []), minor_version),
        upgrade=tuple(m for v in by_name.get(b"upgrade", ()) for m in list_members(v))
        if b"upgrade" in connection
        else (),
        persists=b"close" not in connection and (minor_version == 1 or b"keep-alive" in connection),
        size=len(section),
        content_type=by_name.get(b"content-type", [b""])[0].lower(),
    )


def _framing(by_name: dict[bytes, list[bytes]], minor_version: int) -> tuple[int, bool]:
    length = content_length_of(by_name.get(b"content-length", []))
    codings = by_name.get(b"transfer-encoding")
    if codings is None:
        return length, False
    if length >= 0:
        raise MessageError("length-and-coding", "both Content-Length and Transfer-Encoding")
    if minor_version == 0:
        raise MessageError("coding-in-http10", "Transfer-Encoding in an HTTP/1.0 request")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise MessageError("transfer-encoding", "the only transfer coding understood is a single chunked")
    return -1, True


def _host(values: list[bytes], minor_version: int) -> bytes | None:
    if len(values) > 1:
        raise MessageError("host", "more than one Host field")
    if not values:
        if minor_version == 0:
            return None
        raise MessageError("host", "no Host field")
    check_authority(values[0])
    return values[0]


def check_authority(authority: bytes) -> None:
    """Raise MessageError (400) unless this is host [":" port] (RFC 3986 section 3.2) with a port below 65536."""
    if grammar.HOST.fullmatch(authority) is None:
        raise MessageError("host", "the host is not a valid host[:port]")
    _, colon, port = authority.rpartition(b":")
    if colon and port.isdigit() and int(port) > 65535:
        raise MessageError("host", "the port of the host is out of range")


def _expectation(values: list[bytes], minor_version: int) -> bool:
    if not values or minor_version == 0:
        return False
    if len(values) > 1 or values[0].lower() != b"100-continue":
        raise MessageError("expectation", "the only expectation understood is 100-continue", 417)
    return True


def is_suspicious(lower: bytes, protected: frozenset[bytes]) -> bool:
    """Say whether a name differs only by "_" from one that frames or forwards a message.

    Many applications (CGI, WSGI) read ``Content_Length`` and ``X_Forwarded_For`` as the names with hyphens.
    """
    if b"_" not in lower:
        return False
    hyphened = lower.replace(b"_", b"-")
    return hyphened in _UNDERSCORED_FRAMING or hyphened in HOP_BY_HOP or hyphened in protected


class RequestLine(NamedTuple):
    """A request line; ``target`` is in origin-form or "*", ``authority`` that of an absolute-form target, else None."""

    method: bytes
    target: bytes
    minor_version: int
    authority: bytes | None = None


def parse_request_line(line: bytes) -> RequestLine:
    """Parse a request line without its CRLF (RFC 9112 section 3).

    Raises MessageError: 400, 414 for a long target, 405 CONNECT and TRACE, 505 for another major version.
    """
    match = grammar.REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _request_line_fault(line)
    method, target, minor = match.groups()
    if len(target) > MAX_TARGET:
        raise MessageError("target-too-long", f"the request target is longer than {MAX_TARGET} bytes", 414)
    if method == b"CONNECT" or method == b"TRACE":
        raise MessageError("method", f"{method.decode()} is not supported by a gateway", 405)
    if grammar.ORIGIN_FORM.fullmatch(target) is not None:
        _refuse_nul(target)
        return RequestLine(method, target, minor[0] - 48)
    return _other_form(method, target, minor[0] - 48)


def _other_form(method: bytes, target: bytes, minor: int) -> RequestLine:
    if target == b"*":
        if method != b"OPTIONS":
            raise MessageError("target", 'the target "*" is for OPTIONS alone')
        return RequestLine(method, target, minor)
    match = grammar.ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise MessageError("target", "the request target is malformed")
    authority, rest = match.groups()
    check_authority(authority)
    _refuse_nul(rest)
    if not rest:
        rest = b"*" if method == b"OPTIONS" else b"/"
    elif rest[:1] == b"?":
        rest = b"/" + rest
    return RequestLine(method, rest, minor, authority)


def _refuse_nul(target: bytes) -> None:
    if b"%00" in target and b"%00" in target.partition(b"?")[0]:
        raise MessageError("target", "the path holds an encoded NUL")


def _request_line_fault(line: bytes) -> MessageError:
    version = grammar.VERSION_SUFFIX.search(line)
    if version is not None and version[1] != b"1":
        return MessageError("version", "only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    if version is not None and version[2] not in b"01" and line.count(b" ") == 2:
        return MessageError("version", "only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    if len(line) > MAX_TARGET:
        return MessageError("target-too-long", f"the request target is longer than {MAX_TARGET} bytes", 414)
    return MessageError("request-line", "malformed request line")
