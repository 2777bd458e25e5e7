"""A message head that comes in pieces: kept until it is whole, refused as soon as it can no longer become one.

Each octet is looked at a fixed number of times, so a peer that sends one octet per packet costs no more than
linearly.
"""

from typing import Final

from proxy.errors import MessageError
from proxy.http1 import grammar
from proxy.http1.request import MAX_TARGET, parse_request_line
from proxy.http1.response import MAX_STATUS_LINE, parse_status_line

#: How many empty lines are skipped before a request line (RFC 9112 section 2.2).
MAX_EMPTY_LINES: Final = 4
_LINE_BOUND: Final = MAX_TARGET + 64
_VERSION: Final = b"HTTP/1."


def without_empty_lines(data: bytes) -> bytes:
    """Return ``data`` without the few empty lines that may stand before a request line."""
    start = 0
    while data.startswith(b"\r\n", start) and start < 2 * MAX_EMPTY_LINES:
        start += 2
    return data[start:]


class PartialHead:
    """The octets of an unfinished head; ``add`` returns all octets once the head is whole.

    ``max_size`` bounds the field section in octets; the start line has a bound of its own. Raises MessageError:
    400, 414 or 431 for requests; for a response the status has no meaning.
    """

    __slots__ = ("_buffer", "_checked", "_empty_lines", "_is_request", "_line_end", "_max_size")

    def __init__(self, max_size: int, *, is_request: bool) -> None:
        self._buffer = bytearray()
        self._checked = 0
        self._empty_lines = 0
        self._line_end = 0  # behind the start line's CRLF; 0 until it has come
        self._max_size = max_size
        self._is_request = is_request

    def __len__(self) -> int:
        return len(self._buffer)

    def add(self, data: bytes) -> bytes | None:
        """Take the next octets; return everything so far when the head's end is among them."""
        buffer = self._buffer
        buffer += data
        if self._is_request and not self._line_end and buffer.startswith(b"\r"):
            self._skip_empty_lines()
            if not buffer or buffer == b"\r":
                return None
        checked = self._checked
        if buffer.find(b"\r\n\r\n", max(0, checked - 3)) >= 0:
            return bytes(buffer)
        if grammar.BARE_CR_OR_LF.search(buffer, max(0, checked - 1)):
            raise MessageError("bare-cr-lf", "a bare CR or LF in the message head")
        if not self._line_end:
            self._check_start_line(checked)
        # The field section may be complete but for the LF of the empty line.
        if self._line_end and len(buffer) - self._line_end > self._max_size + 1:
            raise MessageError(
                "head-too-large", f"the header section is larger than {self._max_size} bytes", 431
            )
        self._checked = len(buffer)
        return None

    def _skip_empty_lines(self) -> None:
        """Drop a few empty lines, which may come in pieces themselves."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise MessageError("request-line", "too many empty lines before a request")
            del buffer[:2]
        self._checked = 0

    def _check_start_line(self, checked: int) -> None:
        buffer = self._buffer
        end = buffer.find(b"\r\n", max(0, checked - 1), _LINE_BOUND)
        if end >= 0:
            self._line_end = end + 2
            if self._is_request:
                parse_request_line(bytes(buffer[:end]))
            else:
                parse_status_line(bytes(buffer[:end]))
        elif not self._is_request:
            if len(buffer) > MAX_STATUS_LINE or not _VERSION.startswith(buffer[: len(_VERSION)]):
                raise MessageError("status-line", "malformed status line")
        elif len(buffer) > _LINE_BOUND:
            raise MessageError(
                "target-too-long", f"the request target is longer than {MAX_TARGET} bytes", 414
            )
        elif checked < 64 and grammar.REQUEST_LINE_PREFIX.fullmatch(buffer[:64]) is None:
            # What was a good beginning once is only looked at again as a whole line.
            raise MessageError("request-line", "malformed request line")
