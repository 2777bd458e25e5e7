"""1xx responses and Expect (RFC 9110 sections 10.1.1 and 15.2)."""

import pytest

from tests.fakes.peer import WHOLE
from tests.fakes.playbook import Play


async def test_the_apps_own_100_lets_the_client_go_on(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 5", "Expect: 100-continue")
    app = await play.app.accept()
    assert (await app.head()).one("Expect") == "100-continue"
    await app.send("HTTP/1.1 100 Continue", "X-Own: yes")
    assert (await client.head()).start == "HTTP/1.1 100 Continue"
    await client.send_octets(b"hello")
    await app.expect(b"hello")
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"


async def test_a_client_that_does_not_wait_gets_its_answer_all_the_same(play: Play) -> None:
    client = await play.client()
    await client.send(
        "POST / HTTP/1.1", "Host: a.test", "Content-Length: 5", "Expect: 100-Continue", content=b"hello"
    )
    app = await play.app.accept()
    assert (await app.request()).content == b"hello"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"


async def test_a_refusal_instead_of_100_ends_the_connection(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 5", "Expect: 100-continue")
    app = await play.app.accept()
    await app.head()
    await app.send("HTTP/1.1 403 Forbidden", "Content-Length: 2", content=b"no")
    response = await client.response()
    assert (response.status, response.content) == (403, b"no")
    if play.cut == WHOLE:  # else the head left before it was known that the request would stay unfinished
        assert response.one("Connection") == "close"
    await client.end()
    await app.cut_off()


async def test_http10_gets_no_interim_response_and_its_expectation_is_ignored(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.0", "Host: a.test", "Content-Length: 5", "Expect: 100-continue")
    app = await play.app.accept()
    assert (await app.head()).one("Expect") is None
    await app.send("HTTP/1.1 100 Continue")
    await app.send("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload")
    await client.send_octets(b"hello")
    await app.expect(b"hello")
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"


@pytest.mark.parametrize("lines", [("Expect: 200-ok",), ("Expect: 100-continue, x",), ("Expect:",)])
async def test_another_expectation_is_refused(play: Play, lines: tuple[str, ...]) -> None:
    client = await play.client()
    await client.offer(
        b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n%s\r\n\r\n" % lines[0].encode()
    )
    response = await client.response()
    assert (response.status, response.one("Connection")) == (417, "close")
    assert play.app.nobody_came()


async def test_early_hints_pass_with_their_fields(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", "Connection: x-hop", "X-Hop: 1")
    await app.send("HTTP/1.1 103 Early Hints", "Link: </b.css>; rel=preload")
    first, second = await client.head(), await client.head()
    assert first.start == second.start == "HTTP/1.1 103 Early Hints"
    assert (first.lines, second.lines) == (("Link: </a.css>; rel=preload",), ("Link: </b.css>; rel=preload",))
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"
    assert [line["status"] for line in play.gateway.log] == [200]


async def test_other_interim_responses_pass(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 102 Processing")
    assert (await client.head()).start == "HTTP/1.1 102 Processing"
    await app.send("HTTP/1.1 199 Own", "X-Own: yes")
    own = await client.head()
    assert (own.status, own.lines) == (199, ("X-Own: yes",))
    await app.send("HTTP/1.1 204 No Content")
    assert (await client.response()).status == 204


async def test_a_100_that_nobody_asked_for_is_dropped(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 5", content=b"hello")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 100 Continue")
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_all_in_one_packet(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send_octets(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    assert (await client.head()).status == 103
    assert (await client.response()).content == b"ok"


async def test_interim_responses_without_end_are_an_error(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.offer(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)
    assert (await client.response()).status == 502
    await app.cut_off()


@pytest.mark.parametrize("status", ["100 Continue", "103 Early Hints"])
async def test_an_interim_response_is_never_the_answer(play: Play, status: str) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 2", "Expect: 100-continue")
    app = await play.app.accept()
    await app.head()
    await app.send(f"HTTP/1.1 {status}")
    assert (await client.head()).start == f"HTTP/1.1 {status}"
    await client.send_octets(b"ok")
    await app.expect(b"ok")
    app.close()
    assert (await client.response()).status == 502
