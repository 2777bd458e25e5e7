"""Protocol upgrades: tunnels after the app's 101, ordinary exchanges without it (RFC 9110 section 7.8)."""

import pytest

from tests.fakes.gateway import until
from tests.fakes.peer import Peer
from tests.fakes.playbook import Play

HANDSHAKE = (
    "GET /socket HTTP/1.1",
    "Host: a.test",
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
ACCEPTED = (
    "HTTP/1.1 101 Switching Protocols",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Accept: x",
)


async def tunnel(play: Play) -> tuple[Peer, Peer]:
    """Return both ends of a tunnel."""
    client = await play.client()
    await client.send(*HANDSHAKE)
    app = await play.app.accept()
    await app.request()
    await app.send(*ACCEPTED)
    assert (await client.head()).status == 101
    return client, app


async def test_the_handshake_is_relayed_and_octets_flow_both_ways(play: Play) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE)
    app = await play.app.accept()
    request = await app.request()
    assert request.all("Connection") == ["Upgrade"]
    assert request.all("Upgrade") == ["websocket"]
    assert request.one("Sec-WebSocket-Key") == "dGhlIHNhbXBsZSBub25jZQ=="
    await app.send(*ACCEPTED)
    response = await client.head()
    assert response.start == "HTTP/1.1 101 Switching Protocols"
    assert (response.all("Connection"), response.all("Upgrade")) == (["Upgrade"], ["websocket"])
    assert response.one("Sec-WebSocket-Accept") == "x"
    assert response.all("Content-Length") == response.all("Transfer-Encoding") == []
    for number in range(3):
        await client.send_octets(b"ping %d\r\n\r\n" % number)
        await app.expect(b"ping %d\r\n\r\n" % number)
        await app.send_octets(b"GET /pong%d HTTP/1.1\r\n\r\n" % number)
        await client.expect(b"GET /pong%d HTTP/1.1\r\n\r\n" % number)


async def test_octets_right_behind_the_handshake_of_either_side_are_kept(play: Play) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE, content=b"early from the client")
    app = await play.app.accept()
    await app.head()
    await app.send(*ACCEPTED, content=b"early from the app")
    assert (await client.head()).status == 101
    await client.expect(b"early from the app")
    await app.expect(b"early from the client")
    await client.send_octets(b" and more")
    await app.expect(b" and more")


async def test_much_flows_both_ways_at_the_pace_of_the_reader(whole: Play) -> None:
    client, app = await tunnel(whole)
    for sender, receiver in ((client, app), (app, client)):
        octets, sent = b"0123456789" * 10_000, 0
        sender.sock.setblocking(False)
        try:
            while sent < 64 * 1024 * 1024:
                sent += sender.sock.send(octets)
                await whole.turn()
        except BlockingIOError:
            pass
        assert sent < 32 * 1024 * 1024
        received = await receiver.octets(sent)
        assert received == (octets * (sent // len(octets) + 1))[:sent]


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "426 Upgrade Required"])
async def test_another_answer_than_101_is_an_ordinary_response(play: Play, status: str) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE)
    app = await play.app.accept()
    await app.request()
    await app.send(
        f"HTTP/1.1 {status}",
        "Connection: upgrade",
        "Upgrade: h2c, websocket",
        "Content-Length: 2",
        content=b"no",
    )
    response = await client.response()
    assert (response.start, response.content) == (f"HTTP/1.1 {status}", b"no")
    assert response.all("Upgrade") == (["h2c, websocket"] if "426" in status else [])
    await client.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"


@pytest.mark.parametrize(
    ("connection", "upgrade"),
    [
        ("Upgrade", "h2c"),
        ("Upgrade, HTTP2-Settings", "h2c"),
        ("Upgrade", "TLS/1.0"),
        ("Upgrade", "own/1"),
        ("keep-alive", "websocket"),
        (None, "websocket"),
    ],
)
async def test_any_other_upgrade_is_not_asked_for(play: Play, connection: str | None, upgrade: str) -> None:
    client = await play.client()
    lines = [f"Connection: {connection}"] if connection else []
    await client.send(
        "GET / HTTP/1.1", "Host: a.test", *lines, f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk"
    )
    app = await play.app.accept()
    request = await app.request()
    for name in ("Connection", "Upgrade", "HTTP2-Settings"):
        assert request.all(name) == []
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        ("POST / HTTP/1.1", ()),
        ("GET / HTTP/1.0", ()),
        ("GET / HTTP/1.1", ("Content-Length: 2",)),
        ("GET / HTTP/1.1", ("Transfer-Encoding: chunked",)),
    ],
)
async def test_only_a_get_of_http11_without_content_can_be_upgraded(
    play: Play, start: str, lines: tuple[str, ...]
) -> None:
    client = await play.client()
    await client.send(start, "Host: a.test", "Connection: upgrade", "Upgrade: websocket", *lines)
    app = await play.app.accept()
    assert (await app.head()).all("Upgrade") == []


async def test_a_configured_protocol_is_upgraded_and_the_app_chooses_one(play: Play) -> None:
    await play.start(site='upgrade = ["own/1", "websocket"]')
    client = await play.client()
    await client.send(
        "GET / HTTP/1.1", "Host: a.test", "Connection: upgrade", "Upgrade: h2c, Own/1, websocket"
    )
    app = await play.app.accept()
    assert (await app.request()).all("Upgrade") == ["own/1"]
    await app.send("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: Own/1")
    assert (await client.head()).all("Upgrade") == ["own/1"]


@pytest.mark.parametrize("line", ["Upgrade: h2c", "Upgrade: websocket, h2c", "X-No: upgrade"])
async def test_a_switch_to_what_was_not_asked_for_is_an_error(play: Play, line: str) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE)
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", line)
    response = await client.response()
    assert (response.status, response.one("Proxy-Status")) == (502, "foregate; error=http_protocol_error")
    await app.cut_off()


async def test_the_clients_end_reaches_the_app_which_may_still_talk(play: Play) -> None:
    client, app = await tunnel(play)
    await client.send_octets(b"goodbye")
    client.shut_down()
    assert await app.rest() == b"goodbye"
    await app.send_octets(b"farewell")
    app.shut_down()
    assert await client.rest() == b"farewell"


async def test_an_end_from_before_the_switch_reaches_the_app_behind_what_came_early(play: Play) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE, content=b"early")
    client.shut_down()
    app = await play.app.accept()
    await app.head()
    await app.send("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
    assert (await client.head()).status == 101
    assert await app.rest() == b"early"
    await app.send_octets(b"farewell")
    app.shut_down()
    assert await client.rest() == b"farewell"


async def test_the_apps_end_reaches_the_client_which_may_still_talk(play: Play) -> None:
    client, app = await tunnel(play)
    await app.send_octets(b"goodbye")
    app.shut_down()
    assert await client.rest() == b"goodbye"
    await client.send_octets(b"farewell")
    client.shut_down()
    assert await app.rest() == b"farewell"


@pytest.mark.parametrize("leaver", ["client", "app"])
async def test_whoever_breaks_off_takes_the_other_along(play: Play, leaver: str) -> None:
    client, app = await tunnel(play)
    goes, stays = (client, app) if leaver == "client" else (app, client)
    await goes.send_octets(b"last words")
    await stays.expect(b"last words")
    goes.reset()
    assert await stays.cut_off() == b""
    await until(lambda: not play.gateway.open)
    (line,) = play.gateway.log
    assert line["status"] == 101
    assert line["received" if leaver == "client" else "sent"] == 10


async def test_last_words_before_a_close_arrive(whole: Play) -> None:
    client, app = await tunnel(whole)
    await app.send_octets(b"x" * 3_000_000)
    app.close()
    assert len(await client.rest()) == 3_000_000


async def test_frames_behind_a_refused_handshake_are_no_requests_to_the_app(play: Play) -> None:
    client = await play.client()
    await client.send(*HANDSHAKE, content=b"\x81\x85\x01\x02\x03\x04abcde")
    app = await play.app.accept()
    await app.head()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"no")
    assert (await client.response()).content == b"no"
    assert (await client.response()).status == 400
    await client.end()


async def test_tunnels_are_counted_while_they_last(whole: Play) -> None:
    client, app = await tunnel(whole)
    assert whole.gateway.open == {"clients": 1, "tunnels": 1, "apps": 1}
    client.reset()
    await app.cut_off()
    await until(lambda: not whole.gateway.open)
