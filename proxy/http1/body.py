"""Message bodies: decoders that find the end of content in a stream of octets (RFC 9112 sections 6 and 7).

A decoder is fed what arrives and answers with (content, consumed): the content octets of this piece joined,
and how many octets of the piece belong to this message.  ``finished`` tells that the message is over.  Each
octet is looked at once, so ten thousand tiny chunks in one packet cost one pass and come out as one piece.
"""

from typing import Final, Protocol

from proxy.errors import MessageError
from proxy.http1 import grammar
from proxy.http1.request import split_lines
from proxy.semantics.fields import FORBIDDEN_TRAILERS, FieldLine
from proxy.semantics.forwarding import claims_identity

#: Longest chunk-size line with its extensions, in octets.
MAX_CHUNK_LINE: Final = 1024
#: All chunk extensions of a message together, in octets (they carry nothing that anybody uses).
MAX_EXTENSIONS: Final = 16 * 1024
MAX_TRAILER_SECTION: Final = 8 * 1024
MAX_TRAILERS: Final = 50


def _may_trail(lower: bytes) -> bool:
    """Say whether a field may come in a trailer section: apps may merge it with the fields of the head."""
    return lower not in FORBIDDEN_TRAILERS and b"_" not in lower and not claims_identity(lower)


class BodyDecoder(Protocol):
    """What knows where the content of one message ends."""

    finished: bool
    trailers: tuple[FieldLine, ...]

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take the next octets; return (content, consumed). Raises MessageError."""
        ...


class LengthDecoder:
    """Content of a known number of octets (RFC 9112 section 6.2)."""

    __slots__ = ("finished", "remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.finished = length == 0
        self.trailers: tuple[FieldLine, ...] = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take the next octets; return (content, consumed)."""
        size = len(data)
        if size > self.remaining:
            size = self.remaining
            data = data[:size]
        self.remaining -= size
        if not self.remaining:
            self.finished = True
        return data, size


class CloseDecoder:
    """Content that ends with the connection (RFC 9112 section 6.3, rule 8); responses only."""

    __slots__ = ("finished", "trailers")

    def __init__(self) -> None:
        self.finished = False
        self.trailers: tuple[FieldLine, ...] = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take the next octets; all of them are content."""
        return data, len(data)


_SIZE, _CONTENT, _CONTENT_END, _TRAILERS = range(4)


class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 section 7.1)."""

    __slots__ = ("_extensions", "_partial", "_remaining", "_state", "finished", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._remaining = 0
        self._partial = b""
        self._extensions = 0
        self.finished = False
        self.trailers: tuple[FieldLine, ...] = ()

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take the next octets; return (content, consumed).

        Raises MessageError (400) for anything outside the grammar, and above the bounds on lines and
        extensions.
        """
        content: list[bytes] = []
        position, size = 0, len(data)
        while position < size and not self.finished:
            if self._state == _CONTENT:
                taken = data[position : position + self._remaining]
                content.append(taken)
                position += len(taken)
                self._remaining -= len(taken)
                if not self._remaining:
                    self._state = _CONTENT_END
            elif self._state == _CONTENT_END:
                position = self._content_end(data, position)
            elif self._state == _SIZE:
                position = self._size_line(data, position)
            else:
                position = self._trailer_section(data, position)
        return content[0] if len(content) == 1 else b"".join(content), position

    def _content_end(self, data: bytes, position: int) -> int:
        ending = self._partial + data[position : position + 2 - len(self._partial)]
        if not b"\r\n".startswith(ending):
            raise MessageError("chunk-end", "chunk data is not followed by CRLF")
        position += len(ending) - len(self._partial)
        if len(ending) == 2:
            self._partial = b""
            self._state = _SIZE
        else:
            self._partial = ending
        return position

    def _size_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + MAX_CHUNK_LINE)
        if end < 0:
            if len(self._partial) + len(data) - position > MAX_CHUNK_LINE:
                raise MessageError("chunk-line", "a chunk-size line is too long")
            self._partial += data[position:]
            if grammar.BARE_CR_OR_LF.search(self._partial):
                raise MessageError("chunk-line", "a bare CR in a chunk-size line")
            return len(data)
        line = self._partial + data[position : end + 1]
        self._partial = b""
        match = grammar.CHUNK_LINE.fullmatch(line, 0, len(line) - 2)
        if match is None or line[-2] != 13 or len(line) > MAX_CHUNK_LINE:
            raise MessageError("chunk-line", "malformed chunk-size line")
        self._extensions += len(match[2])
        if self._extensions > MAX_EXTENSIONS:
            raise MessageError("chunk-extensions", "too many chunk extensions")
        self._remaining = int(match[1], 16)
        self._state = _CONTENT if self._remaining else _TRAILERS
        return end + 1

    def _trailer_section(self, data: bytes, position: int) -> int:
        """Collect the trailer section up to its empty line; fields that must not come there are dropped."""
        before = len(self._partial)
        section = self._partial + data[position : position + MAX_TRAILER_SECTION + 2]
        end = 0 if section.startswith(b"\r\n") else section.find(b"\r\n\r\n", max(0, before - 3))
        if end < 0 and grammar.BARE_CR_OR_LF.search(section, max(0, before - 1)):
            raise MessageError("trailers", "a bare CR or LF in the trailer section")
        # Without its end the section may already hold the CR of the empty line.
        if (end + 2 if end >= 0 else len(section) - 1) > MAX_TRAILER_SECTION:
            raise MessageError("trailers", "the trailer section is too large", 431)
        if end < 0:
            self._partial = section
            return len(data)
        length = end + 2 if end == 0 else end + 4
        lines = split_lines(section[: length - 2], MAX_TRAILERS)
        self.trailers = tuple(line for line in lines if _may_trail(line[0]))
        self._partial = b""
        self.finished = True
        return position + length - before
