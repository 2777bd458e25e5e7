"""Every bound of [limits]: what is just within it passes, one more does not."""

import pytest

from proxy.telemetry import counters
from tests.fakes.peer import OCTETS, Peer
from tests.fakes.playbook import Play
from tests.fakes.warped_loop import pass_time


def lines_of(size: int) -> list[str]:
    """Return field lines that make up a section of so many octets, Host included."""
    lines = ["Host: a.test"]
    left = size - len("Host: a.test\r\n")
    while left > 2000:
        lines.append("X: " + "y" * 995)
        left -= 1000
    lines.append("X: " + "y" * (left - 5))
    assert sum(len(line) + 2 for line in lines) == size
    return lines


@pytest.mark.parametrize("size", [1024, 32 * 1024])
async def test_head_size(play: Play, size: int) -> None:
    if play.cut == OCTETS and size > 1024:
        size = 8 * 1024  # as good, and 40,000 packets less
    await play.start(limits=f'head_size = "{size // 1024}KB"')
    client = await play.client()
    await client.send("GET /?" + "t" * 500 + " HTTP/1.1", *lines_of(size))
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    too_much = await play.client()
    await too_much.offer("\r\n".join(["GET / HTTP/1.1", *lines_of(size + 1), "", ""]).encode())
    response = await too_much.response()
    assert (response.status, response.one("Connection")) == (431, "close")
    await too_much.cut_off()


async def test_a_head_without_end_is_refused_on_the_way(play: Play) -> None:
    await play.start(limits='head_size = "1KB"')
    client = await play.client()
    await client.offer(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"X: y\r\n" * 400)
    assert (await client.response()).status == 431
    await client.cut_off()


async def test_fields(play: Play) -> None:
    await play.start(limits="fields = 10")
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test", *["X: y"] * 9)
    app = await play.app.accept()
    await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    await client.offer(b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"X: y\r\n" * 10 + b"\r\n")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (431, "close")
    await client.cut_off()


async def test_a_route_may_allow_less(play: Play) -> None:
    await play.start(
        site='[[site.route]]\npath = "/small"\nlimits = {head_size = "1KB", fields = 5, body = "1KB"}'
    )
    for target, lines, content, status in (
        ("/small", [*["X: y"] * 5], b"", 431),
        ("/small", ["X: " + "y" * 1024], b"", 431),
        ("/small", ["Content-Length: 1025"], b"x" * 1025, 413),
    ):
        client = await play.client()
        await client.send(f"POST {target} HTTP/1.1", "Host: a.test", *lines, content=content)
        assert (await client.response()).status == status
        await client.send("POST /large HTTP/1.1", "Host: a.test", *lines, content=content)
        app = await play.app.accept()
        await app.request()
        await app.send("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0")
        assert (await client.response()).status == 200


async def test_announced_content_above_the_bound_never_reaches_the_app(play: Play) -> None:
    await play.start(limits='body = "1KB"')
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 1025")
    response = await client.response()
    assert (response.status, response.one("Proxy-Status")) == (413, "foregate; error=http_request_error")
    assert play.app.nobody_came()
    await client.send_octets(b"x" * 1025)
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 1024", content=b"x" * 1024)
    app = await play.app.accept()
    assert (await app.request()).content == b"x" * 1024


async def test_chunked_content_is_counted_as_it_comes(play: Play) -> None:
    await play.start(limits='body = "1KB"')
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await client.send_chunks(b"x" * 1000, b"y" * 24, b"")
    app = await play.app.accept()
    assert (await app.request()).content == b"x" * 1000 + b"y" * 24
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    await client.send("POST / HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked")
    await app.head()
    await client.offer(b"3E8\r\n" + b"x" * 1000 + b"\r\n19\r\n" + b"y" * 25 + b"\r\n0\r\n\r\n")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (413, "close")
    assert not (await app.cut_off()).endswith(b"0\r\n\r\n")


async def test_expectations_above_the_bound_are_refused_before_the_content(play: Play) -> None:
    await play.start(limits='body = "1KB"')
    client = await play.client()
    await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 2000", "Expect: 100-continue")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (413, "close")
    await client.end()


class TestMinRate:
    async def uploading(self, play: Play) -> tuple[Peer, Peer]:
        """Return both ends of an upload that has begun."""
        client = await play.client()
        await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 1000000")
        app = await play.app.accept()
        await app.head()
        return client, app

    async def test_a_slow_upload_is_refused(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "1KB"')
        client, app = await self.uploading(warped)
        for _ in range(29):
            await pass_time(1.0)
            await client.send_octets(b"x" * 1000)
        assert warped.gateway.log == []
        for _ in range(3):
            await pass_time(1.0)
            await client.offer(b"x" * 1000)
        response = await client.response()
        assert (response.status, response.one("Connection")) == (408, "close")
        assert warped.gateway.told(counters.TOO_SLOW) == 1
        await app.cut_off()

    async def test_an_upload_that_is_just_fast_enough_goes_on(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "1KB"')
        client, app = await self.uploading(warped)
        for _ in range(60):
            await pass_time(1.0)
            await client.send_octets(b"x" * 1050)
            await app.octets(1050)
        assert warped.gateway.log == []

    async def test_a_slow_app_makes_no_slow_client(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "1MB"', timeouts='first_byte = "10m"')
        client = await warped.client()
        await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 100000000")
        app = await warped.app.accept()
        await app.head()
        sent = await self.fill(client)
        await pass_time(100.0)
        await app.octets(sent)
        await client.send_octets(b"x")
        await app.expect(b"x")

    async def fill(self, peer: Peer) -> int:
        """Send until the other side takes no more."""
        sent = 0
        try:
            while True:
                sent += peer.sock.send(b"x" * 100_000)
                await pass_time(0.001)
        except BlockingIOError:
            return sent

    async def downloading(self, play: Play) -> tuple[Peer, Peer]:
        """Return both ends of a download whose client takes nothing yet."""
        client = await play.client()
        await client.send("GET / HTTP/1.1", "Host: a.test")
        app = await play.app.accept()
        await app.request()
        await app.send("HTTP/1.1 200 OK", "Content-Length: 100000000")
        await self.fill(app)
        return client, app

    async def test_a_slow_download_is_reset(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "1MB"')
        client, app = await self.downloading(warped)
        for _ in range(2):
            await pass_time(14.0)
            await client.octets(1_200_000)
            await self.fill(app)
        assert warped.gateway.log == []
        await pass_time(8.0)
        await client.was_reset()
        assert warped.gateway.told(counters.TOO_SLOW) == 1
        await app.cut_off()

    async def test_a_download_that_is_just_fast_enough_goes_on(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "10KB"')
        client, app = await self.downloading(warped)
        for _ in range(8):
            await pass_time(10.0)
            await client.octets(400_000)
            await self.fill(app)
        assert warped.gateway.log == []

    async def test_it_can_be_switched_off(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, app = await self.uploading(warped)
        for _ in range(10):
            await pass_time(29.0)
            await client.send_octets(b"x")
        assert await app.octets(10) == b"x" * 10
