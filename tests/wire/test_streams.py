"""Content that comes bit by bit goes out bit by bit: nothing is held back to make larger pieces."""

import asyncio
from collections.abc import Callable

import pytest

from tests.fakes.playbook import Play


async def test_server_sent_events_arrive_event_by_event(play: Play) -> None:
    client = await play.client()
    await client.send("GET /events HTTP/1.1", "Host: a.test", "Accept: text/event-stream")
    app = await play.app.accept()
    await app.request()
    await app.send(
        "HTTP/1.1 200 OK",
        "Content-Type: text/event-stream",
        "Cache-Control: no-cache",
        "X-Accel-Buffering: no",
        "Transfer-Encoding: chunked",
    )
    relayed = await client.head()
    assert relayed.one("X-Accel-Buffering") == "no"  # for a proxy in front of us
    for number in range(5):
        event = f"id: {number}\ndata: x\n\n".encode()
        await app.send_chunks(event)
        received = b""
        while len(received) < len(event):
            received += await client.chunk()
        assert received == event
    await app.send_octets(b"0\r\n\r\n")
    await client.expect(b"0\r\n\r\n")


@pytest.mark.parametrize("lines", [("Content-Length: 15",), ("Transfer-Encoding: chunked",), ()])
@pytest.mark.parametrize("buffering", [(), ("X-Accel-Buffering: no",)])
async def test_every_piece_of_a_response_goes_out_when_it_comes(
    play: Play, lines: tuple[str, ...], buffering: tuple[str, ...]
) -> None:
    client = await play.client()
    await client.send("GET /slow HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", *lines, *buffering)
    relayed = await client.head()
    for piece in (b"01234", b"56789", b"abcde"):
        if "Transfer-Encoding: chunked" in lines:
            await app.send_chunks(piece)
        else:
            await app.send_octets(piece)
        received = b""
        while len(received) < len(piece):
            received += await client.octets(1) if relayed.one("Content-Length") else await client.chunk()
        assert received == piece


async def test_a_client_that_reads_nothing_stops_the_app(whole: Play) -> None:
    client = await whole.client()
    await client.send("GET /large HTTP/1.1", "Host: a.test")
    app = await whole.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    sent = await stuff(whole, app.sock.send, b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000))
    assert sent < 32_000_000
    await client.head()
    received = 0
    while received < sent // 2:
        received += len(await client.chunk())


async def test_an_app_that_reads_nothing_stops_the_client(whole: Play) -> None:
    client = await whole.client()
    await client.send("POST /large HTTP/1.1", "Host: a.test", "Content-Length: 100000000")
    app = await whole.app.accept()
    await app.head()
    sent = await stuff(whole, client.sock.send, b"x" * 100_000)
    assert sent < 32_000_000
    assert await app.octets(sent) == b"x" * sent


async def stuff(play: Play, send: Callable[[bytes], int], octets: bytes) -> int:
    """Send the same octets until nobody takes more; return how many were taken."""
    sent = 0
    try:
        while True:
            sent += send(octets[sent % len(octets) :])
            await play.turn()
    except BlockingIOError:
        return sent


@pytest.mark.parametrize("size", [150_000, 400_000])
async def test_a_slow_client_leaves_the_apps_connection_ready_for_the_next(whole: Play, size: int) -> None:
    (await whole.start()).keep_little()
    slow = await whole.client()
    await slow.send("GET /large HTTP/1.1", "Host: a.test")
    app = await whole.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", f"Content-Length: {size}")
    sending = asyncio.create_task(app.send_octets(b"x" * size))
    await slow.head()
    while whole.gateway.log == []:
        await slow.octets(1000)
        await whole.turn()
    await sending
    other = await whole.client()
    await other.send("GET /next HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/next"
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await other.response()).content == b"ok"
