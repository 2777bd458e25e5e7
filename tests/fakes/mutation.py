"""Random HTTP/1.1 messages: built from the grammar, or from the hostile corpus and bent in a few places."""

import random
from collections.abc import Sequence
from typing import Final

from tests.fakes.hostile import REQUESTS, RESPONSES

MAX_SEED: Final = 1500
_TOKENS: Final = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"\x00", b"\x0b", b"\t", b" ", b"\x85", b"\xa0",
    b"\xff", b":", b";", b",", b"=", b'"', b"\\", b"0", b"1", b"5", b"-", b"+", b"0x", b"_", b"chunked",
    b"identity", b"gzip", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content_Length: 5\r\n",
    b"Content-Length : 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tchunked\r\n",
    b"transfer-encoding: xchunked\r\n", b"Transfer_Encoding: chunked\r\n", b" folded\r\n", b"\tfolded\r\n",
    b"Connection: close\r\n", b"TE: trailers\r\n", b"Connection: keep-alive, Content-Length\r\n",
    b"Host: a.test\r\n", b"Expect: 100-continue\r\n", b"X: y\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"5;x=y\r\nhello\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET / HTTP/1.1\r\n",
    b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"00000000000000005\r\n",
    b"Trailer: X\r\n",
)  # fmt: skip
_FIELDS: Final = (
    b"Accept: */*", b"Cookie: a=b; c=d", b"X-Empty:", b"X-Long: " + b"y" * 300, b"X-Obs: \xe4\xff",
    b"Connection: X-Own", b"X-Own: z", b"Connection: close", b"Connection: keep-alive", b"Upgrade: h2c",
    b"TE: trailers", b"Cache-Control: no-store", b"Content-Type: text/plain", b'ETag: "x"', b"X-Tabs:\t y \t",
    b"x-lower:z", b"Content_Length: 3", b"Via: 1.1 other",
)  # fmt: skip
_METHODS: Final = (b"GET", b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"REPORT")
_TARGETS: Final = (
    b"/",
    b"/a?b=c",
    b"/%41%2f/../x",
    b"//x",
    b"/a;b",
    b"http://a.test/y",
    b"*",
    b"/[x]|y",
    b"/?{%}",
)
_STATUSES: Final = (
    b"200 OK",
    b"200",
    b"404 Not Found",
    b"500 \xe4",
    b"204 No Content",
    b"304 Not Modified",
    b"299 x",
)


class Mutator:
    """Makes messages; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._requests = _seeds([case.octets for family in REQUESTS.values() for case in family])
        self._responses = _seeds([case.octets for family in RESPONSES.values() for case in family])

    def request(self) -> bytes:
        """Return octets that begin like a request, mostly."""
        return self._made(self._built_request(), self._requests)

    def response(self) -> bytes:
        """Return octets that begin like a response, mostly."""
        return self._made(self._built_response(), self._responses)

    def _made(self, built: bytes, seeds: Sequence[bytes]) -> bytes:
        kind = self._draw.random()
        if kind < 0.2:
            return built
        octets = built if kind < 0.6 else self._draw.choice(seeds)
        for _ in range(self._draw.choice((1, 1, 2, 3, 6))):
            octets = self._bent(octets)
        return octets

    def _built_request(self) -> bytes:
        line = b"%s %s HTTP/1.%d\r\n" % (
            self._draw.choice(_METHODS),
            self._draw.choice(_TARGETS),
            self._draw.random() < 0.9,
        )
        return line + b"Host: a.test\r\n" + self._rest()

    def _built_response(self) -> bytes:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * (self._draw.random() < 0.1)
        line = b"HTTP/1.%d %s\r\n" % (self._draw.random() < 0.9, self._draw.choice(_STATUSES))
        return interim + line + self._rest()

    def _rest(self) -> bytes:
        """Return fields and content with a framing that fits."""
        fields = [field + b"\r\n" for field in self._draw.sample(_FIELDS, self._draw.randrange(5))]
        content = self._draw.randbytes(self._draw.choice((0, 1, 5, 5, 40, 300)))
        framing = self._draw.randrange(4)
        if framing == 0:
            fields.append(b"Content-Length: %d\r\n" % len(content))
        elif framing == 1:
            fields.append(b"Transfer-Encoding: chunked\r\n")
            content = self._chunks(content)
        elif framing == 2:
            content = b""
        self._draw.shuffle(fields)
        return b"".join(fields) + b"\r\n" + content

    def _chunks(self, content: bytes) -> bytes:
        octets = b""
        while content:
            size = self._draw.randint(1, len(content))
            extension = self._draw.choice((b"", b"", b";x", b';x="y;z"', b" ; x = y"))
            octets += b"%x%s\r\n%s\r\n" % (size, extension, content[:size])
            content = content[size:]
        return octets + b"0\r\n" + self._draw.choice((b"", b"", b"X-Trailer: y\r\n")) + b"\r\n"

    def _bent(self, octets: bytes) -> bytes:
        """Change one thing."""
        draw = self._draw
        place = draw.randrange(len(octets) + 1)
        until = min(len(octets), place + draw.choice((1, 1, 2, 5, 20)))
        kind = draw.randrange(7)
        if kind == 0:
            return octets[:place] + octets[until:]
        if kind == 1:
            return octets[:place] + draw.choice(_TOKENS) + octets[place:]
        if kind == 2:
            return octets[:place] + draw.choice(_TOKENS) + octets[until:]
        if kind == 3:
            return octets[:place] + draw.randbytes(1) + octets[place + 1 :]
        lines = octets.split(b"\r\n")
        first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
        if kind == 4:
            lines.insert(first, lines[second])
        elif kind == 5:
            lines[first], lines[second] = lines[second], lines[first]
        else:
            lines.insert(first, draw.choice(_TOKENS).removesuffix(b"\r\n"))
        return b"\r\n".join(lines)


def _seeds(octets: Sequence[bytes]) -> list[bytes]:
    return [one for one in octets if len(one) <= MAX_SEED]
