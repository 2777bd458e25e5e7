"""Requests that do not wait for answers: served one after the other, in order (RFC 9112 section 9.3.2)."""

import pytest

from tests.fakes.peer import Peer
from tests.fakes.playbook import Play


async def answer(app: Peer, content: bytes) -> str:
    """Answer the next request and return its target."""
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", f"Content-Length: {len(content)}", content=content)
    return request.target


async def test_requests_reach_the_app_one_by_one_and_in_order(play: Play) -> None:
    client = await play.client()
    await client.send_octets(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(5)))
    app = await play.app.accept()
    for number in range(5):
        assert await answer(app, b"%d" % number) == f"/{number}"
    for number in range(5):
        assert (await client.response()).content == b"%d" % number


async def test_a_thousand_requests_in_one_packet(whole: Play) -> None:
    client = await whole.client()
    octets = b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(1000))
    await client.send_octets(octets)
    app = await whole.app.accept()
    for number in range(1000):
        assert await answer(app, b"%d" % number) == f"/{number}"
    for number in range(1000):
        assert (await client.response()).content == b"%d" % number
    assert len(whole.gateway.log) == 1000


async def test_a_thousand_answers_of_our_own_in_one_packet(whole: Play) -> None:
    client = await whole.client()
    await client.send_octets(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n" * 1000)
    for _ in range(1000):
        assert (await client.response()).status == 404


async def test_content_between_pipelined_requests(play: Play) -> None:
    client = await play.client()
    await client.send_octets(
        b"POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 36\r\n\r\nGET /not HTTP/1.1\r\nHost: a.test\r\n\r\n..."
        b"HEAD /2 HTTP/1.1\r\nHost: a.test\r\n\r\n"
        b"PUT /3 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\r\n\r\r\n0\r\nX: y\r\n\r\n"
        b"GET /4 HTTP/1.1\r\nHost: a.test\r\n\r\n"
    )
    app = await play.app.accept()
    for number in range(1, 5):
        assert await answer(app, b"%d" % number if number != 2 else b"") == f"/{number}"
        method = "HEAD" if number == 2 else "GET"
        assert (await client.response(to=method)).content == (b"%d" % number if number != 2 else b"")


async def test_answers_of_our_own_and_of_the_app_keep_their_order(play: Play) -> None:
    client = await play.client()
    await client.send_octets(
        b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n"
        b"POST /2 HTTP/1.1\r\nHost: unknown.test\r\nContent-Length: 5\r\n\r\nhello"
        b"GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n"
        b"POST /4 HTTP/1.1\r\nHost: unknown.test\r\nContent-Length: 5\r\n\r\nhello"
    )
    app = await play.app.accept()
    assert await answer(app, b"one") == "/1"
    assert await answer(app, b"three") == "/3"
    statuses = [(await client.response()).status for _ in range(4)]
    assert statuses == [200, 404, 200, 404]


@pytest.mark.parametrize(
    "bad",
    [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n"],
)
async def test_a_malformed_request_ends_the_row_behind_the_answers_before_it(play: Play, bad: bytes) -> None:
    client = await play.client()
    await client.offer(
        b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n" + bad + b"GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n"
    )
    app = await play.app.accept()
    assert await answer(app, b"one") == "/1"
    assert (await client.response()).content == b"one"
    refusal = await client.response()
    assert (refusal.status, refusal.one("Connection")) == (400, "close")
    await client.end()
    assert play.app.nobody_came()
    assert [line["status"] for line in play.gateway.log] == [200, 400]


async def test_nothing_behind_connection_close_is_served(play: Play) -> None:
    client = await play.client()
    await client.send_octets(
        b"GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        b"GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n"
    )
    app = await play.app.accept()
    assert await answer(app, b"one") == "/1"
    response = await client.response()
    assert (response.content, response.one("Connection")) == (b"one", "close")
    await client.end()
    assert len(play.gateway.log) == 1


async def test_an_app_that_closes_between_pipelined_requests_is_connected_again(play: Play) -> None:
    client = await play.client()
    await client.send_octets(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(3)))
    for number in range(3):
        app = await play.app.accept()
        assert (await app.request()).target == f"/{number}"
        await app.send("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2", content=b"ok")
        assert (await client.response()).content == b"ok"


async def test_a_cut_off_response_takes_the_row_with_it(play: Play) -> None:
    client = await play.client()
    await client.send_octets(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(3)))
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 10", content=b"half")
    await client.head()
    await client.expect(b"half")
    app.close()
    assert await client.cut_off() == b""
    assert play.app.nobody_came()


async def test_a_client_that_leaves_a_row_behind_leaves_no_work(play: Play) -> None:
    client = await play.client()
    await client.send_octets(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(20)))
    app = await play.app.accept()
    await app.request()
    client.reset()
    await app.cut_off()
    assert [(line["target"], line["status"]) for line in play.gateway.log] == [("/0", 499)]


async def test_a_row_too_long_to_wait_stops_the_client_not_the_memory(whole: Play) -> None:
    client = await whole.client()
    request = b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 900 + b"\r\n\r\n"
    await client.send_octets(request)
    app = await whole.app.accept()
    await app.request()
    sent = 0
    client.sock.settimeout(0)
    try:
        while sent < 64 * 1024 * 1024:
            sent += client.sock.send(request * 100)
            await whole.turn()
    except BlockingIOError:
        pass
    assert sent < 16 * 1024 * 1024
    (connection,) = whole.gateway.plane._downstream.connections
    assert len(connection._waiting) < 1024 * 1024
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"
    assert await answer(app, b"on") == "/"
    assert (await client.response()).content == b"on"


async def test_a_client_that_sends_requests_and_shuts_down_gets_the_answer(whole: Play) -> None:
    client = await whole.client()
    await client.send("GET /1 HTTP/1.1", "Host: a.test")
    client.shut_down()
    app = await whole.app.accept()
    assert await answer(app, b"one") == "/1"
    assert (await client.response()).content == b"one"
    await client.end()
