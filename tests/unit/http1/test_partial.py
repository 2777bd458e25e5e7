"""Heads in pieces: complete at the same octet however they are cut, refused at the first octet that is wrong."""

import pytest

from proxy.errors import MessageError
from proxy.http1.partial import MAX_EMPTY_LINES, PartialHead, without_empty_lines
from proxy.http1.request import MAX_TARGET
from proxy.http1.response import MAX_STATUS_LINE

HEAD = b"GET /path HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 300 + b"\r\n\r\n"


def feed(octets: bytes, size: int, max_size: int = 4096, *, is_request: bool = True) -> bytes | None:
    head = PartialHead(max_size, is_request=is_request)
    for position in range(0, len(octets), size):
        whole = head.add(octets[position : position + size])
        if whole is not None:
            return whole
    return None


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
def test_returns_all_octets_when_the_head_is_whole(size: int) -> None:
    whole = feed(HEAD + b"BODY", size)
    assert whole is not None
    assert whole.startswith(HEAD)


def test_waits_for_the_last_octet() -> None:
    assert feed(HEAD[:-1], 1) is None


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nX: y\n", 400),
        (b"GET / HTTP/1.1\r\nX: y\rz", 400),
        (b"\x16\x03\x01", 400),
        (b"GET / HTP", 400),
        (b"GET  ", 400),
        (b"G\x00", 400),
        (b"GET / HTTP/1.1 x\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n", 405),
        (b"GET / HTTP/2.0\r\n", 400),
        (b"GET /" + b"a" * (MAX_TARGET + 64), 414),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 4096, 431),
    ],
)
def test_refuses_as_soon_as_it_can_be_no_head(octets: bytes, status: int) -> None:
    for size in (1, len(octets)):
        with pytest.raises(MessageError) as caught:
            feed(octets, size, max_size=4096 if status == 431 else 64 * 1024)
        assert caught.value.status == status or (octets.endswith(b"2.0\r\n") and caught.value.status == 505)


@pytest.mark.parametrize(
    "octets",
    [
        b"ICE/1.1",
        b"\rHTTP",
        b"\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/2",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 200 " + b"y" * MAX_STATUS_LINE,
    ],
)
def test_refuses_what_can_be_no_response(octets: bytes) -> None:
    for size in (1, len(octets)):
        with pytest.raises(MessageError):
            feed(octets, size, is_request=False)


def test_skips_a_few_empty_lines_before_a_request() -> None:
    assert without_empty_lines(b"\r\n\r\nGET") == b"GET"
    assert without_empty_lines(b"\r\n" * (MAX_EMPTY_LINES + 1) + b"GET") == b"\r\nGET"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_skips_as_many_empty_lines_when_they_come_in_pieces(size: int) -> None:
    assert feed(b"\r\n" * MAX_EMPTY_LINES + HEAD, size) == HEAD
    with pytest.raises(MessageError):
        feed(b"\r\n" * (MAX_EMPTY_LINES + 1) + HEAD, size)


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
def test_the_bound_is_on_the_field_section_alone(size: int) -> None:
    line, section = b"GET /" + b"a" * 500 + b" HTTP/1.1\r\n", b"Host: a\r\nX: " + b"y" * 300 + b"\r\n"
    assert feed(line + section + b"\r\n", size, max_size=len(section)) == line + section + b"\r\n"
    with pytest.raises(MessageError) as caught:
        feed(line + section[:-2] + b"yy", size, max_size=len(section) - 2)
    assert caught.value.status == 431
