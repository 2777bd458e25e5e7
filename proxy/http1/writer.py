"""From values to octets; what is written here is always well-formed, whatever came in (RFC 9112)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from proxy.semantics.fields import FieldLine

LAST_CHUNK: Final = b"0\r\n\r\n"

_STATUS_LINES: Final = {int(s): b"HTTP/1.1 %d %s\r\n" % (s, s.phrase.encode()) for s in HTTPStatus}


def status_line(status: int, reason: bytes = b"") -> bytes:
    """Return a status line with its CRLF; the registered reason phrase where none is given."""
    if reason:
        return b"HTTP/1.1 %d %s\r\n" % (status, reason)
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def field_lines(lines: Iterable[FieldLine]) -> bytes:
    """Return field lines with the names as they came."""
    return b"".join([b"%s: %s\r\n" % (name, value) for _, name, value in lines])


def chunk(content: bytes) -> bytes:
    """Return one chunk (RFC 9112 section 7.1); ``content`` must not be empty: that would end the message."""
    return b"%x\r\n%s\r\n" % (len(content), content)


def last_chunk(trailers: Iterable[FieldLine] = ()) -> bytes:
    """Return the last chunk with the trailer section."""
    section = field_lines(trailers)
    return b"0\r\n" + section + b"\r\n" if section else LAST_CHUNK
