"""Requests of every framing on their way to the app: the same content, framing of our own (RFC 9112 section 6)."""

import pytest

from tests.fakes.playbook import Play

BODY = bytes(range(256)) * 3


async def test_a_request_without_content_gets_no_framing(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    request = await app.request()
    assert request.all("Content-Length") == request.all("Transfer-Encoding") == []


async def test_an_empty_content_stays_announced(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 0")
    app = await play.app.accept()
    assert (await app.request()).one("Content-Length") == "0"


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "REPORT"])
async def test_content_of_known_length_passes_octet_for_octet(play: Play, method: str) -> None:
    client = await play.client()
    await client.send(f"{method} / HTTP/1.1", "Host: a.test", f"Content-Length: {len(BODY)}", content=BODY)
    app = await play.app.accept()
    request = await app.request()
    assert (request.start, request.content) == (f"{method} / HTTP/1.1", BODY)
    assert request.all("Content-Length") == [str(len(BODY))]
    assert request.all("Transfer-Encoding") == []
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"
    assert play.gateway.log[0]["received"] == len(BODY)


async def test_content_that_comes_later_passes_as_it_comes(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 10")
    app = await play.app.accept()
    assert (await app.head()).one("Content-Length") == "10"
    for piece in (b"01234", b"56789"):
        await client.send_octets(piece)
        await app.expect(piece)
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_chunked_content_stays_chunked_without_its_extensions(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    app = await play.app.accept()
    announced = await app.head()
    assert (announced.all("Transfer-Encoding"), announced.all("Content-Length")) == (["chunked"], [])
    await client.send_octets(b'3 ; a = "b\\"c";d\r\nabc\r\n')
    received = b""
    while len(received) < 3:
        received += await app.chunk()
    assert received == b"abc"
    await client.send_octets(b"0;end\r\n\r\n")
    await app.expect(b"0\r\n\r\n")
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"


async def test_chunks_of_odd_sizes_pass(play: Play) -> None:
    client = await play.client()
    chunks = [BODY[position : position + size] for position, size in enumerate((1, 2, 15, 16, 17, 255, 256))]
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: Chunked")
    await client.send_chunks(*chunks, b"")
    app = await play.app.accept()
    assert (await app.request()).content == b"".join(chunks)


async def test_trailers_pass_but_for_those_that_must_not_be_there(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await client.send_octets(
        b"2\r\nok\r\n0\r\n"
        b"X-Sum: 1\r\nHost: b.test\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\n"
        b"Cookie: a\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nVia: 1.1 me\r\nX-Real-IP: 1.2.3.4\r\n"
        b"X-Sum_B: 2\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nTrue-Client-IP: 1.2.3.4\r\n"
        b"CF-Connecting-IP: 1.2.3.4\r\nX-HTTP-Method-Override: DELETE\r\nX-Request-ID: mine\r\nProxy: x\r\n\r\n"
    )
    app = await play.app.accept()
    request = await app.request()
    assert (request.content, request.trailers) == (b"ok", ("X-Sum: 1",))
    assert request.all("X-Sum") == []


async def test_content_in_the_same_packet_as_the_head_and_the_next_request(play: Play) -> None:
    client = await play.client()
    await client.send_octets(
        b"POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /2 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n"
    )
    app = await play.app.accept()
    for target, content in (("/1", b"abc"), ("/2", b"de"), ("/3", b"")):
        request = await app.request()
        assert (request.target, request.content) == (target, content)
        await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=target.encode())
        assert (await client.response()).content == target.encode()


async def test_ten_thousand_tiny_chunks_pass(whole: Play) -> None:
    client = await whole.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await client.send_octets(b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")
    app = await whole.app.accept()
    assert (await app.request()).content == b"x" * 10_000


@pytest.mark.parametrize(
    ("head", "sent"),
    [("Content-Length: 10", b"01234"), ("Transfer-Encoding: chunked", b"A\r\n01234")],
)
@pytest.mark.parametrize("ending", ["end", "reset"])
async def test_a_request_cut_short_never_looks_whole_to_the_app(
    play: Play, head: str, sent: bytes, ending: str
) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", head, content=sent)
    app = await play.app.accept()
    await app.head()
    if ending == "end":
        client.shut_down()
    else:
        client.reset()
    received = await app.cut_off()
    assert not received.endswith(b"0\r\n\r\n")
    assert [(line["status"], line["error"]) for line in play.gateway.log] == [(499, "client-gone")]


@pytest.mark.parametrize(
    "content",
    [
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"zz\r\n",
        b"3\nabc\n0\n\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3;a\x01\r\nabc\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\nZ: w\r\n\r\n",
    ],
)
async def test_malformed_chunks_are_refused_and_the_app_is_left(play: Play, content: bytes) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    app = await play.app.accept()
    await app.head()
    await client.offer(content + b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
    response = await client.response()
    assert response.status == 400
    assert response.one("Connection") == "close"
    assert response.one("Proxy-Status") == "foregate; error=http_request_error"
    assert b"smuggled" not in await app.cut_off()
    await client.cut_off()
