"""HTTP/1.0 clients, and requests without Host (RFC 9112 sections 2.3, 3.2, 9.3)."""

import termios

import pytest

from tests.fakes.playbook import Play


@pytest.mark.parametrize("connection", [None, "close", "Keep-Alive", "keep-alive, close"])
async def test_http10_keeps_the_connection_only_when_asked(play: Play, connection: str | None) -> None:
    client = await play.client()
    lines = [f"Connection: {connection}"] if connection else []
    await client.send("GET / HTTP/1.0", "Host: a.test", *lines)
    app = await play.app.accept()
    assert (await app.request()).start == "GET / HTTP/1.1"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    response = await client.response()
    assert (response.start, response.content) == ("HTTP/1.1 200 OK", b"ok")
    if connection == "Keep-Alive":
        assert response.one("Connection") == "keep-alive"
        await client.send("GET /next HTTP/1.0", "Host: a.test")
        assert (await app.request()).target == "/next"
    else:
        assert response.one("Connection") == "close"
        await client.end()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_http10_gets_chunked_content_plain_and_ended_by_close(play: Play, connection: str) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.0", "Host: a.test", f"Connection: {connection}")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    relayed = await client.head()
    assert relayed.all("Transfer-Encoding") == relayed.all("Content-Length") == []
    assert relayed.one("Connection") == "close"
    await app.send_octets(b"5\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n")
    assert await client.rest() == b"hello!"


async def test_http10_gets_content_that_ends_with_the_connection(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.0", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.0 200 OK", content=b"all there is")
    app.close()
    response = await client.response()
    assert response.content == b"all there is"


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 10"])
async def test_http10_notices_a_response_cut_short_by_a_reset(play: Play, framing: str) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.0", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", framing)
    await app.send_octets(b"A\r\nhell" if "chunked" in framing else b"hell")
    await client.head()
    app.close()
    await client.was_reset()


async def test_http10_content(play: Play) -> None:
    client = await play.client()
    await client.send("POST / HTTP/1.0", "Host: a.test", "Content-Length: 5", content=b"hello")
    app = await play.app.accept()
    assert (await app.request()).content == b"hello"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_http10_without_host_goes_to_the_site_for_any_host(play: Play) -> None:
    await play.start(domains='["*"]')
    client = await play.client()
    await client.send("GET / HTTP/1.0")
    app = await play.app.accept()
    request = await app.request()
    assert request.all("Host") == [f"127.0.0.1:{play.app.port}"]
    assert request.all("X-Forwarded-Host") == []
    assert "host=" not in (request.one("Forwarded") or "")
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_http10_without_host_is_unknown_where_every_site_has_a_name(play: Play) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.0")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (404, "close")
    assert play.app.nobody_came()


async def test_http11_without_host_is_refused(play: Play) -> None:
    await play.start(domains='["*"]')
    client = await play.client()
    await client.send("GET / HTTP/1.1")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (400, "close")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("A.Test", True),
        ("a.test.", True),
        ("a.test:8080", True),
        ("A.TEST.:80", True),
        ("b.test", False),
        ("a.test.evil", False),
        ("xa.test", False),
        ("127.0.0.1", False),
        ("[::1]:80", False),
    ],
)
async def test_the_site_is_found_by_host(play: Play, host: str, known: bool) -> None:
    client = await play.client()
    await client.send("GET / HTTP/1.1", f"Host: {host}")
    if not known:
        response = await client.response()
        assert (response.status, response.one("Proxy-Status")) == (
            404,
            "foregate; error=destination_not_found",
        )
        assert play.app.nobody_came()
        return
    app = await play.app.accept()
    request = await app.request()
    assert (request.one("Host"), request.one("X-Forwarded-Host")) == (host, host)
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


async def test_before_a_connection_closes_the_kernel_is_asked_for_earlier_answers_alone(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def nothing_unsent(_descriptor: int, request: int, _octets: bytes) -> bytes:
        asked.append(request)
        return bytes(4)

    async def ask(target: str, *lines: str) -> None:
        await client.send(f"GET {target} HTTP/1.1", "Host: a.test", *lines)
        await app.request()
        await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
        assert (await client.response()).content == b"ok"

    monkeypatch.setattr("fcntl.ioctl", nothing_unsent)
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test", "Connection: close")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    await client.response()
    await client.end()
    assert asked == []
    client = await play.client()
    await ask("/one")
    await ask("/two", "Connection: close")
    await client.end()
    assert asked == [termios.TIOCOUTQ]
