"""Response heads as they are worked with here: read once for equal octets, together with what follows from them.

An app sends the same few heads again and again, but for their Date, which stays for a second.
"""

from typing import TYPE_CHECKING, Final

from proxy.errors import MessageError
from proxy.http1.memo import FieldMemo
from proxy.http1.response import (
    MAX_RESPONSE_HEAD,
    Framing,
    ResponseFields,
    StatusLine,
    parse_response_fields,
    parse_status_line,
    persists,
    response_framing,
)
from proxy.semantics.forwarding import response_block

if TYPE_CHECKING:
    from proxy.snapshot import RouteRuntime

_NOT_HEAD: Final = b"GET"
_UPGRADE_REQUIRED: Final = 426


class ResponseHead:
    """A parsed head; equal octets give an equal value, so it is remembered and shared.

    ``line`` is the status line to send on, ``length`` the announced octets of content or -1, ``persists`` whether the
    app keeps the connection.
    """

    __slots__ = (
        "_blocks",
        "_framing",
        "_line",
        "fields",
        "has_date",
        "length",
        "line",
        "persists",
        "status",
    )

    def __init__(self, line: StatusLine, fields: ResponseFields) -> None:
        self._line = line
        self._framing: Framing | None = None
        self._blocks: dict[RouteRuntime, bytes] = {}
        self.fields = fields
        self.line = line.octets
        self.status = line.status
        self.length = fields.content_length
        self.has_date = fields.get(b"date") is not None
        self.persists = persists(line, fields)

    def framing(self) -> Framing:
        """Tell how the end of the content is found, unless the request was HEAD; raises MessageError."""
        framing = self._framing
        if framing is None:
            framing = self._framing = response_framing(_NOT_HEAD, self._line, self.fields)
        return framing

    def block(self, route: "RouteRuntime") -> bytes:
        """Return the field lines as clients get them on a route, without framing and connection fields."""
        block = self._blocks.get(route)
        if block is None:
            fields, keep_upgrade = self.fields, self.status == _UPGRADE_REQUIRED
            block = self._blocks[route] = response_block(
                fields.lines, fields.connection, route.response_edits, keep_upgrade=keep_upgrade
            )
        return block


def parse_response_head(octets: bytes) -> ResponseHead:
    """Parse a head without its empty line; raises MessageError."""
    line_end = octets.find(b"\r\n")
    line = parse_status_line(octets[:line_end])
    section = octets[line_end + 2 :]
    if len(section) > MAX_RESPONSE_HEAD:
        raise MessageError("head-too-large", "the header section is too large")
    return ResponseHead(line, parse_response_fields(section))


#: The heads that a worker has read, by their octets without the empty line.
ResponseMemo = FieldMemo[ResponseHead]
