"""Whatever our codec accepts, h11 and llhttp accept with the same meaning; we may be stricter."""

from dataclasses import dataclass, field

import h11
import httptools
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.errors import MessageError
from proxy.http1 import grammar
from proxy.http1.body import BodyDecoder, ChunkedDecoder, LengthDecoder
from proxy.http1.request import parse_request_fields, parse_request_line
from proxy.http1.response import Framing, parse_response_fields, parse_status_line, response_framing


@dataclass
class Message:
    """A message as one parser reads it; `end` is how many octets it took."""

    start: tuple[bytes, ...]
    lines: list[tuple[bytes, bytes]]
    content: bytes
    end: int


def ours_request(octets: bytes) -> Message | None:
    """Read one request as the data plane does; None when it is refused or unfinished."""
    head_end = octets.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    line_end = octets.find(b"\r\n")
    try:
        line = parse_request_line(octets[:line_end])
        fields = parse_request_fields(octets[line_end + 2 : head_end + 2], line.minor_version, 100)
        decoder: BodyDecoder = (
            ChunkedDecoder() if fields.chunked else LengthDecoder(max(0, fields.content_length))
        )
        content, consumed = decoder.feed(octets[head_end + 4 :]) if not decoder.finished else (b"", 0)
    except MessageError:
        return None
    if not decoder.finished:
        return None
    lines = [(lower, value) for lower, _, value in fields.lines]
    return Message((line.method, b"1.%d" % line.minor_version), lines, content, head_end + 4 + consumed)


def h11_message(octets: bytes, role: type[h11.CLIENT] | type[h11.SERVER], method: str = "GET") -> Message:
    """Read one message with h11; raises RemoteProtocolError."""
    connection = h11.Connection(role, max_incomplete_event_size=1 << 20)
    if role is h11.CLIENT:
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    connection.receive_data(octets)
    content = b""
    start: tuple[bytes, ...] = ()
    lines: list[tuple[bytes, bytes]] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            start = (bytes(event.method), bytes(event.http_version))
            lines = [(bytes(n), bytes(v)) for n, v in event.headers]
        elif isinstance(event, h11.Response):
            start = (b"%d" % event.status_code, bytes(event.http_version))
            lines = [(bytes(n), bytes(v)) for n, v in event.headers]
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return Message(start, lines, content, len(octets) - len(connection.trailing_data[0]))
        else:
            raise AssertionError(f"h11 wants more: {event!r}")


@dataclass
class Collected:
    """Callbacks of httptools."""

    lines: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytes = b""
    complete: int = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.lines.append((name.lower(), value.rstrip(b" \t")))

    def on_body(self, octets: bytes) -> None:
        if not self.complete:
            self.content += octets

    def on_message_complete(self) -> None:
        self.complete += 1


NAMES = st.sampled_from(
    [
        b"Content-Length",
        b"content-length",
        b"Transfer-Encoding",
        b"Connection",
        b"X-A",
        b"Host",
        b"Content_Length",
        b"TE",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"5",
            b"0",
            b"05",
            b"5, 5",
            b"+5",
            b"chunked",
            b"Chunked",
            b"gzip",
            b"identity",
            b"close",
            b"keep-alive",
            b"",
            b"x y",
        ]
    ),
    st.binary(max_size=12),
)
SEPARATORS = st.sampled_from([b": ", b":", b":\t", b" : ", b":  "])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\r\n"])
LINE = st.builds(lambda n, s, v, e: n + s + v + e, NAMES, SEPARATORS, VALUES, ENDS)
CONTENT = st.one_of(
    st.sampled_from(
        [
            b"hello",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n",
            b"0\r\n\r\n",
            b"05\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
        ]
    ),
    st.binary(max_size=30),
)
TARGETS = st.one_of(
    st.sampled_from([b"/", b"/a?b", b"*", b"http://a/", b"/%41", b"a", b"//"]), st.binary(max_size=8)
)
METHODS = st.sampled_from([b"GET", b"POST", b"OPTIONS", b"PUT", b"DELETE"])
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"])


def request_octets(method: bytes, target: bytes, version: bytes, lines: list[bytes], content: bytes) -> bytes:
    return b"%s %s %s\r\nHost: a\r\n%s\r\n%s" % (method, target, version, b"".join(lines), content)


REQUESTS = st.builds(request_octets, METHODS, TARGETS, VERSIONS, st.lists(LINE, max_size=4), CONTENT)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS)
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello!")
@example(
    b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="\xff"\r\nhello\r\n0\r\nT: 1\r\n\r\nX'
)
def test_h11_accepts_our_requests_with_the_same_meaning(octets: bytes) -> None:
    ours = ours_request(octets)
    if ours is None:
        return
    theirs = h11_message(octets, h11.SERVER)
    assert (ours.start, ours.lines, ours.content, ours.end) == (
        theirs.start,
        theirs.lines,
        theirs.content,
        theirs.end,
    )


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS)
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
def test_llhttp_accepts_our_requests_with_the_same_meaning(octets: bytes) -> None:
    ours = ours_request(octets)
    if ours is None or b"upgrade" in octets.lower():
        return
    seen = Collected()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(octets[: ours.end])
    assert seen.complete == 1
    assert (parser.get_method(), seen.content) == (ours.start[0], ours.content)
    trailers = len(seen.lines) - len(ours.lines)
    assert trailers >= 0
    assert seen.lines[: len(ours.lines)] == ours.lines


def response_octets(status: bytes, lines: list[bytes], content: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\n%s\r\n%s" % (status, b"".join(lines), content)


STATUSES = st.sampled_from(
    [b"200 OK", b"200", b"404 Not Found", b"204 No Content", b"304 Not Modified", b"99 X", b"700 X"]
)
RESPONSES = st.builds(response_octets, STATUSES, st.lists(LINE, max_size=4), CONTENT)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RESPONSES)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more")
def test_h11_accepts_our_responses_with_the_same_meaning(octets: bytes) -> None:
    head_end = octets.find(b"\r\n\r\n")
    if head_end < 0 or grammar.BARE_CR_OR_LF.search(octets, 0, head_end):
        return
    line_end = octets.find(b"\r\n")
    try:
        status = parse_status_line(octets[:line_end])
        fields = parse_response_fields(octets[line_end + 2 : head_end + 2])
        framing = response_framing(b"GET", status, fields)
        if framing is Framing.CLOSE:
            return
        decoder: BodyDecoder = (
            ChunkedDecoder() if framing is Framing.CHUNKED else LengthDecoder(max(0, fields.content_length))
        )
        if framing is Framing.NONE:
            content, consumed = b"", 0
        else:
            content, consumed = decoder.feed(octets[head_end + 4 :])
            if not decoder.finished:
                return
    except MessageError:
        return
    theirs = h11_message(octets, h11.CLIENT)
    assert theirs.start[0] == b"%d" % status.status
    assert theirs.content == content
    assert theirs.end == head_end + 4 + consumed
