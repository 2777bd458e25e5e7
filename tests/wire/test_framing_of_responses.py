"""Responses of every framing on their way to the client (RFC 9112 section 6)."""

import pytest

from tests.fakes.peer import head
from tests.fakes.playbook import Play


async def test_a_response_of_known_length(play: Play) -> None:
    client = await play.client()
    await client.send("GET /a?b=c HTTP/1.1", "Host: a.test", "Accept: */*")
    app = await play.app.accept()
    request = await app.request()
    assert request.start == "GET /a?b=c HTTP/1.1"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 5", "X-Own: yes", content=b"hello")
    response = await client.response()
    assert (response.start, response.content) == ("HTTP/1.1 200 OK", b"hello")
    assert response.one("Content-Length") == "5"
    assert response.one("X-Own") == "yes"
    assert response.one("Connection") is None
    assert response.one("Date") is not None


async def test_the_head_goes_out_before_there_is_any_content(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 5")
    assert (await client.head()).status == 200
    await app.send_octets(b"hel")
    await client.expect(b"hel")
    await app.send_octets(b"lo")
    await client.expect(b"lo")


async def test_a_chunked_response_stays_chunked_without_its_extensions(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    relayed = await client.head()
    assert (relayed.one("Transfer-Encoding"), relayed.one("Content-Length")) == ("chunked", None)
    await app.send_octets(b'5;name="va\\"lue";x\r\nhello\r\n')
    received = b""
    while len(received) < 5:
        received += await client.chunk()
    assert received == b"hello"
    await app.send_octets(b"000;last\r\n\r\n")
    await client.expect(b"0\r\n\r\n")


async def test_trailers_pass_but_for_those_that_must_not_be_there(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum, Set-Cookie")
    await app.send_octets(
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nX_Sum: 2\r\n\r\n"
    )
    response = await client.response()
    assert (response.content, response.trailers) == (b"ok", ("X-Sum: 1",))
    assert response.one("X-Sum") is None


async def test_a_response_that_ends_with_the_connection_becomes_chunked(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Type: text/plain")
    relayed = await client.head()
    assert relayed.one("Transfer-Encoding") == "chunked"
    await app.send_octets(b"until the end")
    app.close()
    content = b""
    while chunk := await client.chunk():
        content += chunk
    assert content == b"until the end"
    await client.expect(b"\r\n")
    await client.send("GET /2 HTTP/1.1", "Host: a.test")
    again = await play.app.accept()
    assert (await again.request()).target == "/2"


@pytest.mark.parametrize(
    ("lines", "octets"),
    [(("Content-Length: 0",), b""), (("Transfer-Encoding: chunked",), b"0\r\n\r\n")],
    ids=["length 0", "only the last chunk"],
)
async def test_an_empty_response_keeps_both_connections(
    play: Play, lines: tuple[str, ...], octets: bytes
) -> None:
    client, app = await play.both()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    await app.request()
    await app.send("HTTP/1.1 200 OK", *lines, content=octets)
    assert (await client.response()).content == b""
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"


@pytest.mark.parametrize(
    ("lines", "length"),
    [(("Content-Length: 1234",), "1234"), (("Transfer-Encoding: chunked",), None), ((), None)],
    ids=["length", "chunked", "neither"],
)
async def test_a_response_to_head_has_no_content(
    play: Play, lines: tuple[str, ...], length: str | None
) -> None:
    client = await play.client()
    await client.send("HEAD / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    assert (await app.request()).start == "HEAD / HTTP/1.1"
    await app.send("HTTP/1.1 200 OK", *lines)
    response = await client.response(to="HEAD")
    assert response.one("Content-Length") == length
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"


@pytest.mark.parametrize(
    ("status", "lines", "length"),
    [
        ("204 No Content", (), None),
        ("204 No Content", ("Content-Length: 5",), None),
        ("204 No Content", ("Transfer-Encoding: chunked",), None),
        ("304 Not Modified", ('ETag: "a"',), None),
        ("304 Not Modified", ("Content-Length: 99",), "99"),
    ],
)
async def test_a_status_without_content_has_none_and_keeps_both_connections(
    play: Play, status: str, lines: tuple[str, ...], length: str | None
) -> None:
    client, app = await play.both()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    await app.request()
    await app.send(f"HTTP/1.1 {status}", *lines)
    response = await client.response()
    assert response.start == f"HTTP/1.1 {status}"
    assert response.one("Content-Length") == length
    assert response.one("Transfer-Encoding") is None
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
async def test_octets_behind_a_response_without_content_are_nobodys(
    whole: Play, method: str, status: str
) -> None:
    lines = ["Content-Length: 0" if (method, status) == ("GET", "200 OK") else "Content-Length: 5"]
    client = await whole.client()
    await client.send(f"{method} / HTTP/1.1", "Host: a.test")
    app = await whole.app.accept()
    await app.request()
    await app.send(
        f"HTTP/1.1 {status}", *lines, content=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    )
    await client.response(to="HEAD")
    await app.cut_off()
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await whole.app.accept()
    await again.request()
    await again.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"


async def test_octets_behind_the_announced_length_are_nobodys(whole: Play) -> None:
    client, app = await whole.both()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 5", content=b"helloHTTP/1.1 200 OK\r\n\r\n")
    assert (await client.response()).content == b"hello"
    await app.cut_off()
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await whole.app.accept()
    assert (await again.request()).target == "/next"


async def test_octets_that_come_when_nobody_asked_are_nobodys(play: Play) -> None:
    client, app = await play.both()
    await app.send_octets(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"[:1])
    await app.cut_off()
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await play.app.accept()
    assert (await again.request()).target == "/next"


@pytest.mark.parametrize("ending", ["end", "reset"])
async def test_a_response_shorter_than_announced_is_cut_off(play: Play, ending: str) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 10", content=b"hello")
    relayed = await client.head()
    assert relayed.one("Content-Length") == "10"
    await client.expect(b"hello")
    if ending == "end":
        app.close()
    else:
        app.reset()
    assert await client.cut_off() == b""
    assert [line["error"] for line in play.gateway.log] == ["reset"]


async def test_a_chunked_response_cut_short_has_no_last_chunk(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", content=b"A\r\nhello")
    await client.head()
    app.close()
    received = await client.cut_off()
    assert not received.endswith(b"0\r\n\r\n")
    assert received.count(b"\r\n") % 2 == 0


@pytest.mark.parametrize(
    "content", [b"5\r\nhello\r\nnonsense\r\n", b"5\r\nhelloX\r\n", b"-1\r\n", b"5\r\nhello\n0\n\n"]
)
async def test_a_malformed_chunk_cuts_the_response_off(play: Play, content: bytes) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    await client.head()
    await app.offer(content)
    assert not (await client.cut_off()).endswith(b"0\r\n\r\n")
    assert [line["error"] for line in play.gateway.log] == ["invalid"]


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\n\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 2000 Long\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>not found</html>\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(501)) + b"\r\n",
    ],
)
async def test_a_malformed_response_head_is_answered_502(play: Play, octets: bytes) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.offer(octets)
    response = await client.response()
    assert response.status == 502
    assert response.one("Proxy-Status") == "foregate; error=http_protocol_error"
    assert b"127.0.0.1" not in response.content
    await app.cut_off()
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await play.app.accept()
    assert (await again.request()).target == "/next"


@pytest.mark.parametrize("size", [64 * 1024, 300 * 1024])
async def test_a_response_head_above_its_bound_is_answered_502(play: Play, size: int) -> None:
    if play.cut == "octet by octet" and size > 64 * 1024:
        size = 64 * 1024 + 1000
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    lines = ["X-Long: " + "y" * 4000] * (size // 4000 + 1)
    await app.offer(head("HTTP/1.1 200 OK", *lines, "Content-Length: 0"))
    assert (await client.response()).status == 502


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", [None, "close", "keep-alive"])
async def test_a_connection_is_used_again_only_if_both_sides_keep_it(
    play: Play, version: str, connection: str | None
) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    lines = [f"Connection: {connection}"] if connection else []
    await app.send(f"HTTP/{version} 200 OK", "Content-Length: 2", *lines, content=b"ok")
    response = await client.response()
    assert (response.start, response.content) == ("HTTP/1.1 200 OK", b"ok")
    assert response.one("Connection") is None
    kept = connection == "keep-alive" or (version == "1.1" and connection is None)
    if not kept:
        await app.cut_off()
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = app if kept else await play.app.accept()
    assert (await again.request()).target == "/next"


async def test_odd_reason_phrases_and_unknown_statuses_pass(play: Play) -> None:
    client, app = await play.both()
    for line in ("HTTP/1.1 200", "HTTP/1.1 299 Half done \xe4", "HTTP/1.1 404 Nothing here"):
        await client.send(f"GET /{line[9:12]} HTTP/1.1", "Host: a.test")
        await app.request()
        await app.send(line, "Content-Length: 0")
        response = await client.response()
        assert response.start == (line if line.count(" ") > 1 else f"{line} OK")
