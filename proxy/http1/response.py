"""Response heads from an upstream: from octets to a checked, typed value (RFC 9112 sections 4 and 6.3)."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.errors import MessageError
from proxy.http1 import grammar
from proxy.http1.request import content_length_of, split_lines
from proxy.http1.writer import status_line
from proxy.semantics.fields import FieldLine, list_members

#: An upstream's field section may have so many octets, whatever [limits] says about clients.
MAX_RESPONSE_HEAD: Final = 64 * 1024
MAX_STATUS_LINE: Final = 8 * 1024
MAX_RESPONSE_FIELDS: Final = 500


class StatusLine(NamedTuple):
    """A status line; ``octets`` is the one to send on, with its CRLF (RFC 9112 section 4)."""

    minor_version: int
    status: int
    octets: bytes


@dataclass(slots=True)
class ResponseFields:
    """A parsed response field section; equal octets give an equal value, so it may be memoised and shared."""

    lines: tuple[FieldLine, ...]
    content_length: int
    chunked: bool
    connection: frozenset[bytes]
    upgrade: tuple[bytes, ...]
    #: Whether events follow, maybe hours apart.
    is_event_stream: bool = False
    derived: dict[Hashable, object] = field(default_factory=dict, repr=False, compare=False)

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the field with this lower-case name."""
        for lower, _, value in self.lines:
            if lower == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the values of all field lines with this lower-case name, in order."""
        return [value for lower, _, value in self.lines if lower == name]


@lru_cache(maxsize=256)
def parse_status_line(line: bytes) -> StatusLine:
    """Parse a status line without its CRLF (RFC 9112 section 4); raises MessageError.

    Apps send a handful of different ones: remembering them saves 1 µs a response.
    """
    match = grammar.STATUS_LINE.fullmatch(line)
    if match is None or len(line) > MAX_STATUS_LINE:
        raise MessageError("status-line", "malformed status line")
    minor, status, reason = match.groups()
    return StatusLine(minor[0] - 48, int(status), status_line(int(status), reason or b""))


def parse_response_fields(section: bytes) -> ResponseFields:
    """Parse and check a response's field section; raises MessageError for whatever could be read in two ways."""
    lines = split_lines(section, MAX_RESPONSE_FIELDS)
    by_name: dict[bytes, list[bytes]] = {}
    for lower, _, value in lines:
        by_name.setdefault(lower, []).append(value)
    length = content_length_of(by_name.get(b"content-length", []))
    codings = by_name.get(b"transfer-encoding")
    if codings is not None:
        if length >= 0:
            raise MessageError("length-and-coding", "both Content-Length and Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise MessageError("transfer-encoding", "a transfer coding other than a single chunked")
    connection = frozenset(m for v in by_name.get(b"connection", ()) for m in list_members(v))
    return ResponseFields(
        lines=lines,
        content_length=length,
        chunked=codings is not None,
        connection=connection,
        upgrade=tuple(m for v in by_name.get(b"upgrade", ()) for m in list_members(v)),
        is_event_stream=by_name.get(b"content-type", [b""])[0].lower().startswith(b"text/event-stream"),
    )


class Framing(Enum):
    """How the end of a response's content is found (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def response_framing(method: bytes, status: StatusLine, fields: ResponseFields) -> Framing:
    """Decide how many octets of content follow a final response head (RFC 9112 section 6.3).

    Raises MessageError for Transfer-Encoding in an HTTP/1.0 response.
    """
    if method == b"HEAD" or status.status == 204 or status.status == 304 or status.status < 200:
        return Framing.NONE
    if fields.chunked:
        if status.minor_version == 0:
            raise MessageError("coding-in-http10", "Transfer-Encoding in an HTTP/1.0 response")
        return Framing.CHUNKED
    if fields.content_length >= 0:
        return Framing.LENGTH if fields.content_length else Framing.NONE
    return Framing.CLOSE


def persists(status: StatusLine, fields: ResponseFields) -> bool:
    """Say whether the upstream keeps the connection after this response (RFC 9112 section 9.3)."""
    if b"close" in fields.connection:
        return False
    return status.minor_version == 1 or b"keep-alive" in fields.connection
