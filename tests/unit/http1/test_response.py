"""Response heads of an upstream: what is accepted, how content is framed, whether the connection persists."""

import pytest

from proxy.errors import MessageError
from proxy.http1.response import Framing, parse_response_fields, parse_status_line, persists, response_framing


@pytest.mark.parametrize(
    ("line", "status", "octets"),
    [
        (b"HTTP/1.1 200 OK", 200, b"HTTP/1.1 200 OK\r\n"),
        (b"HTTP/1.0 404 Nope there", 404, b"HTTP/1.1 404 Nope there\r\n"),
        (b"HTTP/1.1 301", 301, b"HTTP/1.1 301 Moved Permanently\r\n"),
        (b"HTTP/1.1 200 ", 200, b"HTTP/1.1 200 OK\r\n"),
        (b"HTTP/1.1 299", 299, b"HTTP/1.1 299 \r\n"),
        (b"HTTP/1.1 200 \xc3\x96k", 200, b"HTTP/1.1 200 \xc3\x96k\r\n"),
    ],
)
def test_accepts_status_lines(line: bytes, status: int, octets: bytes) -> None:
    parsed = parse_status_line(line)
    assert (parsed.status, parsed.octets) == (status, octets)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 000 No",
        b"HTTP/1.1 600 No",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"ICE/1.1 200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\rK",
        b" HTTP/1.1 200 OK",
    ],
)
def test_refuses_status_lines(line: bytes) -> None:
    with pytest.raises(MessageError):
        parse_status_line(line)


@pytest.mark.parametrize(
    "section",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5x\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"X-A: b\r\n c\r\n",
        b"X A: b\r\n",
        b"X: a\x00\r\n",
        b"X: y\r\n" * 501,
    ],
)
def test_refuses_field_sections(section: bytes) -> None:
    with pytest.raises(MessageError):
        parse_response_fields(section)


@pytest.mark.parametrize(
    ("method", "line", "section", "framing"),
    [
        (b"GET", b"HTTP/1.1 200 OK", b"Content-Length: 5\r\n", Framing.LENGTH),
        (b"GET", b"HTTP/1.1 200 OK", b"Content-Length: 0\r\n", Framing.NONE),
        (b"GET", b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked\r\n", Framing.CHUNKED),
        (b"GET", b"HTTP/1.1 200 OK", b"", Framing.CLOSE),
        (b"HEAD", b"HTTP/1.1 200 OK", b"Content-Length: 5\r\n", Framing.NONE),
        (b"HEAD", b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked\r\n", Framing.NONE),
        (b"GET", b"HTTP/1.1 204 No", b"Content-Length: 5\r\n", Framing.NONE),
        (b"GET", b"HTTP/1.1 304 No", b"Transfer-Encoding: chunked\r\n", Framing.NONE),
    ],
)
def test_content_is_framed_as_rfc9112_section_6_3_says(
    method: bytes, line: bytes, section: bytes, framing: Framing
) -> None:
    assert response_framing(method, parse_status_line(line), parse_response_fields(section)) is framing


def test_refuses_a_transfer_coding_in_http10() -> None:
    fields = parse_response_fields(b"Transfer-Encoding: chunked\r\n")
    with pytest.raises(MessageError):
        response_framing(b"GET", parse_status_line(b"HTTP/1.0 200 OK"), fields)


@pytest.mark.parametrize(
    ("line", "section", "expected"),
    [
        (b"HTTP/1.1 200 OK", b"", True),
        (b"HTTP/1.1 200 OK", b"Connection: Close\r\n", False),
        (b"HTTP/1.0 200 OK", b"", False),
        (b"HTTP/1.0 200 OK", b"Connection: keep-alive\r\n", True),
    ],
)
def test_persistence(line: bytes, section: bytes, expected: bool) -> None:
    assert persists(parse_status_line(line), parse_response_fields(section)) is expected
