"""What is refused before anybody could read it in two ways (FACTS: smuggling, splitting, poisoning)."""

import pytest

from tests.fakes.playbook import Play

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.test\r\n"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        # framing
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: +5\r\n\r\nhello", 400),
        (POST + b"Content-Length: -5\r\n\r\nhello", 400),
        (POST + b"Content-Length: 1_0\r\n\r\nhellohello", 400),
        (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
        (POST + b"Content-Length: 5 5\r\n\r\nhello", 400),
        (POST + b"Content-Length: \xd9\xa5\r\n\r\nhello", 400),
        (POST + b"Content-Length:\r\n\r\nhello", 400),
        (POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
        (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        # lines
        (b"GET / HTTP/1.1\nHost: a.test\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX: y\nZ: w\r\n\r\n", 400),
        (b"GET / HTTP/1.1\rHost: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX: y\rZ: w\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n", 400),
        (POST + b"X: a\r\n Content-Length: 5\r\n\r\nhello", 400),
        (POST + b"X: a\r\n\tb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n \r\n\r\n", 400),
        # names and values
        (POST + b"Content-Length : 5\r\n\r\nhello", 400),
        (POST + b"Content-Length\t: 5\r\n\r\nhello", 400),
        (POST + b": x\r\n\r\n", 400),
        (POST + b"X\r\n\r\n", 400),
        (POST + b"X y: z\r\n\r\n", 400),
        (POST + b"X(y): z\r\n\r\n", 400),
        (POST + b"X\x00y: z\r\n\r\n", 400),
        (POST + b"\xc3\xa4: z\r\n\r\n", 400),
        (POST + b"X: a\x00b\r\n\r\n", 400),
        (POST + b"X: a\x08b\r\n\r\n", 400),
        (POST + b"X: a\x7fb\r\n\r\n", 400),
        # host
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nhost: b.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.\x01test\r\n\r\n", 400),
        (b"GET http://a.test/ HTTP/1.1\r\n\r\n", 400),
        # start line
        (b"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n", 400),
        (b"GET /  HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET /\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1x\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / HTTP/1.10\r\nHost: a.test\r\n\r\n", 400),
        (b"GET / HTTPS/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"M" * 33 + b" / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x00" * 100, 400),
    ],
)
async def test_refused_alike_however_it_is_cut(play: Play, octets: bytes, status: int) -> None:
    client = await play.client()
    await client.offer(octets + SMUGGLED)
    response = await client.response()
    assert (response.status, response.one("Connection")) == (status, "close")
    assert response.one("Content-Type") == "application/problem+json"
    assert response.one("Proxy-Status") == "foregate; error=http_request_error"
    await client.cut_off()
    assert play.app.nobody_came()
    (line,) = play.gateway.log
    assert line["status"] == status
    assert line["error"]


@pytest.mark.parametrize("count", [1, 4])
async def test_a_few_empty_lines_before_a_request_are_skipped(play: Play, count: int) -> None:
    client, app = await play.both()
    await client.send_octets(b"\r\n" * count + b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert (await app.request()).target == "/x"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_many_empty_lines_in_a_row_are_refused(whole: Play) -> None:
    client = await whole.client()
    await client.offer(b"\r\n" * 5 + b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert (await client.response()).status == 400


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("bad", [b"X y: z", b": z", b"X: a\x01"])
async def test_a_bad_line_is_refused_wherever_it_stands(play: Play, place: str, bad: bytes) -> None:
    lines = [b"Host: a.test", b"X-A: 1", b"X-B: 2"]
    lines.insert({"first": 0, "middle": 2, "last": 3}[place], bad)
    client = await play.client()
    await client.offer(b"GET / HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
    assert (await client.response()).status == 400
    await client.cut_off()


async def test_a_refusal_is_logged_once_and_without_what_was_sent(play: Play) -> None:
    client = await play.client()
    await client.offer(b'GET /"}\xff HTTP/1.1\r\nHost: a.test\r\nCookie: secret\r\n\r\n')
    assert (await client.response()).status == 400
    (text,) = play.gateway.sink.lines
    assert "secret" not in text
    assert text.isascii()
    (line,) = play.gateway.log
    assert (line["method"], line["target"], line["error"]) == ("-", "-", "target")
