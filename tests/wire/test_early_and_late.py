"""Responses that come before the request is whole, and peers that leave in the middle."""

import pytest

from tests.fakes.gateway import until
from tests.fakes.peer import WHOLE
from tests.fakes.playbook import Play


async def test_an_answer_before_the_content_is_complete_reaches_the_client(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 1000", content=b"start")
    app = await play.app.accept()
    await app.head()
    await app.expect(b"start")
    await app.send("HTTP/1.1 413 Content Too Large", "Content-Length: 2", content=b"no")
    response = await client.response()
    assert (response.status, response.content) == (413, b"no")
    if play.cut == WHOLE:
        assert response.one("Connection") == "close"
    await app.cut_off()
    await client.offer(b"x" * 995 + b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert await client.cut_off() == b""
    assert play.app.nobody_came()
    assert len(play.gateway.log) == 1


async def test_an_early_answer_that_closes_is_not_lost(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await client.send_chunks(b"start")
    app = await play.app.accept()
    await app.head()
    await app.send("HTTP/1.1 401 Unauthorized", "Connection: close", content=b"who are you?")
    app.shut_down()
    response = await client.response()
    assert (response.status, response.content) == (401, b"who are you?")
    await client.end()


async def test_content_and_response_may_overlap(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    app = await play.app.accept()
    await app.head()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    assert (await client.head()).status == 200
    for word in (b"a", b"b", b"c"):
        await client.send_chunks(word)
        assert await app.chunk() == word
        await app.send_chunks(word.upper())
        assert await client.chunk() == word.upper()
    await client.send_octets(b"0\r\n\r\n")
    await app.expect(b"0\r\n\r\n")
    await app.send_octets(b"0\r\n\r\n")
    await client.expect(b"0\r\n\r\n")
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await play.app.accept()  # one whose response began early is not used again
    assert (await again.request()).target == "/next"


async def test_a_small_content_behind_a_refusal_is_dropped_and_the_connection_lives(play: Play) -> None:
    await play.start(
        site='firewall = {deny = ["127.0.0.1/32"]}\n[[site.route]]\npath = "/open"\nfirewall = {deny = []}'
    )
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 1000")
    assert (await client.response()).status == 403
    await client.send_octets(b"x" * 1000)
    await client.send("GET /open HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    assert (await app.request()).target == "/open"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    assert [line["received"] for line in play.gateway.log] == [1000, 0]


@pytest.mark.parametrize(
    "line", ["Content-Length: 300000", "Transfer-Encoding: chunked"], ids=["large", "chunked"]
)
async def test_a_large_content_behind_a_refusal_ends_the_connection(whole: Play, line: str) -> None:
    client = await whole.client()
    await client.send("POST / HTTP/1.1", "Host: unknown.test", line)
    response = await client.response()
    assert (response.status, response.one("Connection")) == (404, "close")
    await client.offer(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" * 10)
    await client.end()
    assert whole.app.nobody_came()


async def test_a_client_that_goes_on_sending_can_read_its_refusal(whole: Play) -> None:
    client = await whole.client()
    await client.send("POST / HTTP/1.1", "Host: unknown.test", "Content-Length: 900000")
    await client.offer(b"x" * 900_000)
    assert (await client.response()).status == 404
    await client.end()


async def test_a_client_that_never_stops_sending_is_cut_off(whole: Play) -> None:
    client = await whole.client()
    await client.send("POST / HTTP/1.1", "Host: unknown.test", "Content-Length: 100000000")
    await client.offer(b"x" * 100_000_000)
    assert "clients" not in whole.gateway.open


@pytest.mark.parametrize("moment", ["head", "content", "response"])
async def test_a_client_that_leaves_takes_its_request_with_it(play: Play, moment: str) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 10")
    app = await play.app.accept()
    await app.head()
    if moment != "head":
        await client.send_octets(b"01234" if moment == "content" else b"0123456789")
    if moment == "response":
        await app.octets(10)
        await app.send("HTTP/1.1 200 OK", "Content-Length: 10", content=b"half")
        await client.head()
    client.reset()
    assert b"56789" not in await app.cut_off()
    assert play.gateway.in_flight == 0
    (line,) = play.gateway.log
    assert (line["status"], line["error"]) == (200 if moment == "response" else 499, "client-gone")


async def test_a_client_that_leaves_while_the_app_is_connected_leaves_no_connection(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    client.reset()
    await until(lambda: play.gateway.in_flight == 0 and play.gateway.log)
    assert play.gateway.log[0]["status"] == 499


async def test_a_client_that_leaves_during_its_head_was_never_there(play: Play) -> None:
    client = await play.client()
    await client.send_octets(b"GET / HTTP/1.1\r\nHost: a")
    client.reset()
    await until(lambda: not play.gateway.open)
    assert play.gateway.log == []


@pytest.mark.parametrize("ending", ["end", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_an_app_that_leaves_before_its_head_is_answered_for(
    play: Play, ending: str, sent: bytes
) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 2", content=b"ok")
    app = await play.app.accept()
    await app.request()
    await app.send_octets(sent)
    if ending == "end":
        app.close()
    else:
        app.reset()
    response = await client.response()
    assert (response.status, response.one("Proxy-Status")) == (502, "foregate; error=connection_terminated")
    assert response.one("Connection") is None
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    again = await play.app.accept()
    assert (await again.request()).target == "/next"


async def test_a_shut_down_client_still_gets_a_long_answer(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    client.shut_down()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 200000", content=b"x" * 100)
    await client.head()
    await app.send_octets(b"y" * 100)
    assert await client.octets(200) == b"x" * 100 + b"y" * 100


async def test_a_client_that_has_shut_down_is_let_go_with_its_answer(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    client.shut_down()
    await play.turn()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 5", content=b"hello")
    assert (await client.response()).content == b"hello"
    await client.end()
    for _ in range(5):
        await play.turn()
    assert "clients" not in play.gateway.open


async def test_a_client_that_asked_to_close_is_not_waited_for_after_a_small_answer(whole: Play) -> None:
    client = await whole.client()
    await client.send("GET / HTTP/1.1", "Host: a.test", "Connection: close")
    app = await whole.app.accept()
    await app.head()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    await until(lambda: "clients" not in whole.gateway.open)
    assert (await client.response()).content == b"ok"
    await client.end()


async def test_a_large_last_answer_keeps_its_place_until_it_is_taken(whole: Play) -> None:
    client = await whole.client()
    await client.send("GET / HTTP/1.1", "Host: a.test", "Connection: close")
    app = await whole.app.accept()
    await app.head()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 20000", content=b"x" * 20_000)
    await until(lambda: whole.gateway.log)
    assert whole.gateway.open["clients"] == 1
    assert (await client.response()).content == b"x" * 20_000
    await client.end()


async def test_earlier_answers_in_the_kernel_keep_the_place_of_a_client_that_takes_nothing(
    whole: Play,
) -> None:
    client = await whole.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await whole.app.accept()
    await app.head()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 1000000", content=b"x" * 1_000_000)
    await until(lambda: whole.gateway.log)
    await client.send("GET / HTTP/1.1", "Host: unknown.test", "Connection: close")
    await until(lambda: len(whole.gateway.log) == 2)
    assert whole.gateway.open["clients"] == 1
    assert (await client.response()).content == b"x" * 1_000_000
    assert (await client.response()).status == 404
    await client.end()
