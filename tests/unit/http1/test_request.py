"""Request lines and field sections: what is accepted, what is refused, and with which status."""

import pytest

from proxy.errors import MessageError
from proxy.http1.request import MAX_TARGET, parse_request_fields, parse_request_line

HOST = b"Host: a.example\r\n"


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET / HTTP/1.1", b"/"),
        (b"GET /a/b?c=d HTTP/1.0", b"/a/b?c=d"),
        (b"GET /caf%C3%A9 HTTP/1.1", b"/caf%C3%A9"),
        (b"GET /a|b[1] HTTP/1.1", b"/a|b[1]"),
        (b"GET /?f={a|b}^`\\ HTTP/1.1", b"/?f={a|b}^`\\"),
        (b"GET /?100% HTTP/1.1", b"/?100%"),
        (b"PURGE /x HTTP/1.1", b"/x"),
        (b"OPTIONS * HTTP/1.1", b"*"),
        (b"GET http://a.example HTTP/1.1", b"/"),
        (b"GET http://a.example?q HTTP/1.1", b"/?q"),
        (b"OPTIONS http://a.example HTTP/1.1", b"*"),
        (b"GET HTTPS://[::1]:8443/x HTTP/1.1", b"/x"),
        (b"GET /" + b"a" * (MAX_TARGET - 1) + b" HTTP/1.1", b"/" + b"a" * (MAX_TARGET - 1)),
    ],
)
def test_accepts_request_lines(line: bytes, target: bytes) -> None:
    assert parse_request_line(line).target == target


def test_keeps_the_authority_of_an_absolute_form_target() -> None:
    assert parse_request_line(b"GET http://A.example:80/x HTTP/1.1").authority == b"A.example:80"
    assert parse_request_line(b"GET /x HTTP/1.1").authority is None


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", 400),
        (b"GET", 400),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1", 400),
        (b"G\x00T / HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"M" * 33 + b" / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /a\\b HTTP/1.1", 400),
        (b'GET /?"x" HTTP/1.1', 400),
        (b"GET /<x> HTTP/1.1", 400),
        (b"GET /%zz HTTP/1.1", 400),
        (b"GET /%0 HTTP/1.1", 400),
        (b"GET /a%00b HTTP/1.1", 400),
        (b"GET a.example HTTP/1.1", 400),
        (b"GET a.example:80 HTTP/1.1", 400),
        (b"GET //[ HTTP/1.1\x00", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ftp://a.example/ HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET http://u@a.example/ HTTP/1.1", 400),
        (b"GET http://a.example:99999/ HTTP/1.1", 400),
        (b"CONNECT a.example:443 HTTP/1.1", 405),
        (b"TRACE / HTTP/1.1", 405),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1", 414),
    ],
)
def test_refuses_request_lines(line: bytes, status: int) -> None:
    with pytest.raises(MessageError) as caught:
        parse_request_line(line)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("section", "status"),
    [
        (b"", 400),
        (b"Host: a\r\nHost: a\r\n", 400),
        (b"Host: a b\r\n", 400),
        (b"Host: u@a\r\n", 400),
        (b"Host: a:x\r\n", 400),
        (b"Host: a:65536\r\n", 400),
        (b"Host: [::1\r\n", 400),
        (b"Host: a/b\r\n", 400),
        (b"Host:\r\n", 400),
        (HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (HOST + b"Content-Length: +5\r\n", 400),
        (HOST + b"Content-Length: -5\r\n", 400),
        (HOST + b"Content-Length: 1_0\r\n", 400),
        (HOST + b"Content-Length: 5, 5\r\n", 400),
        (HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        (HOST + b"Content-Length: 0x5\r\n", 400),
        (HOST + b"Content-Length:\r\n", 400),
        (HOST + b"Content-Length: \xb2\r\n", 400),
        (HOST + b"Content-Length: 9999999999999999999\r\n", 400),
        (HOST + b"Transfer-Encoding: gzip, chunked\r\n", 400),
        (HOST + b"Transfer-Encoding: chunked, chunked\r\n", 400),
        (HOST + b"Transfer-Encoding: chunked, identity\r\n", 400),
        (HOST + b"Transfer-Encoding: xchunked\r\n", 400),
        (HOST + b"Transfer-Encoding: \x0bchunked\r\n", 400),
        (HOST + b"Transfer-Encoding: chunked;x\r\n", 400),
        (HOST + b"Transfer-Encoding:\r\n", 400),
        (HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (HOST + b"X: a\r\n b\r\n", 400),
        (b" X: a\r\n" + HOST, 400),
        (HOST + b"X : a\r\n", 400),
        (HOST + b"X\t: a\r\n", 400),
        (HOST + b": a\r\n", 400),
        (HOST + b"X\r\n", 400),
        (HOST + b"X(: a\r\n", 400),
        (HOST + b"\xe4: a\r\n", 400),
        (HOST + b"X: a\x00b\r\n", 400),
        (HOST + b"X: a\x7fb\r\n", 400),
        (HOST + b"X: a\nY: b\r\n", 400),
        (HOST + b"X: a\rY: b\r\n", 400),
        (HOST + b"Expect: 200-ok\r\n", 417),
        (HOST + b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 417),
        (HOST + b"X: a\r\n" * 10, 431),
    ],
)
def test_refuses_field_sections(section: bytes, status: int) -> None:
    with pytest.raises(MessageError) as caught:
        parse_request_fields(section, 1, 10)
    assert caught.value.status == status


def test_refuses_a_transfer_coding_in_http10() -> None:
    with pytest.raises(MessageError, match=r"HTTP/1\.0"):
        parse_request_fields(HOST + b"Transfer-Encoding: chunked\r\n", 0, 100)


def test_keeps_lines_in_order_and_number_with_outer_white_space_removed() -> None:
    fields = parse_request_fields(HOST + b"Cookie: a\r\nX-A:\t b \t\r\ncookie:c\r\nEmpty:\r\n", 1, 100)
    assert fields.lines == (
        (b"host", b"Host", b"a.example"),
        (b"cookie", b"Cookie", b"a"),
        (b"x-a", b"X-A", b"b"),
        (b"cookie", b"cookie", b"c"),
        (b"empty", b"Empty", b""),
    )
    assert fields.get_all(b"cookie") == [b"a", b"c"]
    assert fields.get(b"x-a") == b"b"
    assert fields.get(b"missing") is None


def test_reads_framing_and_connection() -> None:
    fields = parse_request_fields(
        HOST + b"Transfer-Encoding: Chunked\r\nConnection: Close, X-A\r\nConnection: upgrade\r\n"
        b"Upgrade: WebSocket\r\nExpect: 100-Continue\r\n",
        1,
        100,
    )
    assert fields.chunked
    assert fields.content_length == -1
    assert fields.connection == {b"close", b"x-a", b"upgrade"}
    assert fields.upgrade == (b"websocket",)
    assert fields.expects_continue
    assert not fields.persists
    assert fields.has_content


def test_an_upgrade_that_connection_does_not_name_is_none() -> None:
    assert parse_request_fields(HOST + b"Upgrade: websocket\r\n", 1, 100).upgrade == ()


@pytest.mark.parametrize(
    ("section", "minor", "persists"),
    [
        (HOST, 1, True),
        (HOST, 0, False),
        (HOST + b"Connection: keep-alive\r\n", 0, True),
        (HOST + b"Connection: close\r\n", 1, False),
    ],
)
def test_persistence_depends_on_version_and_connection(section: bytes, minor: int, persists: bool) -> None:
    assert parse_request_fields(section, minor, 100).persists is persists


def test_http10_may_come_without_host() -> None:
    assert parse_request_fields(b"", 0, 100).host is None


@pytest.mark.parametrize(
    ("connection", "minor", "persists"),
    [
        (b"", 1, True),
        (b"", 0, False),
        (b"Connection: close\r\n", 1, False),
        (b"Connection: Keep-Alive\r\n", 0, True),
        (b"Connection: keep-alive, Close\r\n", 0, False),
        (b"Connection: keep-alive\r\nConnection: close\r\n", 1, False),
        (b"Connection: x-close\r\n", 1, True),
    ],
)
def test_says_whether_the_client_keeps_the_connection(connection: bytes, minor: int, persists: bool) -> None:
    assert parse_request_fields(HOST + connection, minor, 100).persists is persists
