"""Every deadline of [timeouts]: a peer that stalls or drips at exactly that point, and one that is just in time."""

import socket

import pytest

from proxy.telemetry import counters
from tests.fakes.peer import Peer
from tests.fakes.playbook import Play
from tests.fakes.warped_loop import pass_time

TICK = 0.5  # deadlines are kept to within a quarter of a second, and one step of the clock


async def asked(
    play: Play, *lines: str, start: str = "GET / HTTP/1.1", content: bytes = b""
) -> tuple[Peer, Peer]:
    """Return a client and the app that has received its request's head."""
    client = await play.client()
    await client.send(start, "Host: a.test", *lines, content=content)
    app = await play.app.accept()
    await app.head()
    return client, app


class TestHead:
    async def test_a_client_that_says_nothing_is_left(self, warped: Play) -> None:
        client = await warped.client()
        await pass_time(9.5)
        assert warped.gateway.open == {"clients": 1}
        await pass_time(0.5 + TICK)
        await client.end()
        assert warped.gateway.log == []

    async def test_a_head_that_drips_is_refused_when_its_time_is_over(self, warped: Play) -> None:
        client = await warped.client()
        for octet in b"GET / HTTP":
            await client.send_octets(bytes((octet,)))
            await pass_time(0.9)
        assert warped.gateway.log == []
        await pass_time(1.0 + TICK)
        response = await client.response()
        assert (response.status, response.one("Connection")) == (408, "close")
        await client.end()
        assert warped.gateway.told(counters.HEAD_TIMEOUTS) == 1
        assert [line["error"] for line in warped.gateway.log] == ["head-timeout"]

    async def test_a_head_that_is_whole_in_time_is_served(self, warped: Play) -> None:
        client = await warped.client()
        await client.send_octets(b"GET / HTTP/1.1\r\n")
        await pass_time(9.5)
        await client.send_octets(b"Host: a.test\r\n\r\n")
        app = await warped.app.accept()
        await app.request()

    async def test_the_time_is_the_configured_one(self, warped: Play) -> None:
        await warped.start(timeouts='head = "2s"')
        client = await warped.client()
        await client.send_octets(b"G")
        await pass_time(2.0 + TICK)
        assert (await client.response()).status == 408


class TestIdle:
    async def test_a_connection_without_a_next_request_is_closed(self, warped: Play) -> None:
        client, _ = await warped.both()
        await pass_time(74.0)
        assert "clients" in warped.gateway.open
        await pass_time(1.0 + TICK)
        await client.end()
        assert len(warped.gateway.log) == 1

    async def test_a_next_request_in_time_is_served(self, warped: Play) -> None:
        client, app = await warped.both()
        for _ in range(2):
            await pass_time(74.0)
            await client.send("GET / HTTP/1.1", "Host: a.test")
            app = await warped.app.accept()  # the app's own connection was idle for too long
            await app.request()
            await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
            assert (await client.response()).status == 200

    async def test_empty_lines_are_no_sign_of_life(self, warped: Play) -> None:
        client, _ = await warped.both()
        for _ in range(4):
            await pass_time(18.0)
            await client.send_octets(b"\r\n")
        await pass_time(3.0 + TICK)
        await client.end()


class TestBody:
    @pytest.mark.parametrize("line", ["Content-Length: 10", "Transfer-Encoding: chunked"])
    async def test_content_that_stalls_is_refused_and_the_app_is_left(self, warped: Play, line: str) -> None:
        client, app = await asked(warped, line, start="POST / HTTP/1.1")
        await client.send_octets(b"5\r\nhello" if "chunked" in line else b"hello")
        await pass_time(29.0)
        assert warped.gateway.log == []
        await pass_time(1.0 + TICK)
        response = await client.response()
        assert (response.status, response.one("Connection")) == (408, "close")
        assert response.one("Proxy-Status") == "foregate; error=http_request_error"
        assert not (await app.cut_off()).endswith(b"0\r\n\r\n")
        assert warped.gateway.told(counters.BODY_TIMEOUTS) == 1

    async def test_only_the_gap_counts(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, app = await asked(warped, "Content-Length: 5", start="POST / HTTP/1.1")
        for octet in b"hello":
            await pass_time(29.0)
            await client.send_octets(bytes((octet,)))
        await app.expect(b"hello")
        await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
        assert (await client.response()).status == 200

    async def test_content_behind_a_refusal_has_its_time_too(self, warped: Play) -> None:
        client = await warped.client()
        await client.send("POST / HTTP/1.1", "Host: unknown.test", "Content-Length: 10")
        assert (await client.response()).status == 404
        await pass_time(30.0 + TICK)
        await client.end()
        assert len(warped.gateway.log) == 1

    async def test_the_time_while_the_app_takes_nothing_is_not_the_clients(self, warped: Play) -> None:
        await warped.start(limits='body = "1GB"', timeouts='first_byte = "10m"')
        client, app = await asked(warped, "Content-Length: 100000000", start="POST / HTTP/1.1")
        sent = await fill(client)
        await pass_time(200.0)
        assert warped.gateway.log == []
        assert len(await app.octets(sent)) == sent
        await client.send_octets(b"x")
        await app.expect(b"x")

    async def test_a_client_that_waits_for_100_is_not_late_while_the_app_thinks(self, warped: Play) -> None:
        client, app = await asked(
            warped, "Content-Length: 5", "Expect: 100-continue", start="POST / HTTP/1.1"
        )
        await pass_time(50.0)
        await app.send("HTTP/1.1 100 Continue")
        assert (await client.head()).status == 100
        await pass_time(29.0)
        await client.send_octets(b"hel")
        await pass_time(30.0 + TICK)
        assert (await client.response()).status == 408


async def fill(peer: Peer) -> int:
    """Send until the other side takes no more; return how much that was."""
    sent = 0
    try:
        while True:
            sent += peer.sock.send(b"x" * 100_000)
            await pass_time(0.01)
    except BlockingIOError:
        return sent


class TestSend:
    async def answering(self, play: Play, size: int = 100_000_000) -> tuple[Peer, Peer]:
        """Return a client that does not read, and an app that cannot send on for that."""
        client, app = await asked(play)
        await app.send("HTTP/1.1 200 OK", f"Content-Length: {size}")
        await fill(app)
        return client, app

    async def test_a_client_that_takes_nothing_is_reset(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, app = await self.answering(warped)
        await pass_time(58.0)
        assert warped.gateway.log == []
        await pass_time(8.0)
        await app.cut_off()
        await client.was_reset()
        assert warped.gateway.told(counters.SEND_TIMEOUTS) == 1

    async def test_a_client_that_takes_a_little_goes_on(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, _app = await self.answering(warped)
        for _ in range(3):
            await pass_time(50.0)
            await client.octets(1_000_000)
        assert warped.gateway.log == []

    async def test_the_last_answer_may_be_read_slowly(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, app = await asked(warped, "Connection: close")
        await app.send("HTTP/1.1 200 OK", "Content-Length: 3000000", content=b"x" * 3_000_000)
        await client.head()
        for _ in range(6):
            await pass_time(50.0)
            await client.octets(500_000)
        await client.end()

    async def test_the_last_answer_must_be_read(self, warped: Play) -> None:
        client, app = await asked(warped, "Connection: close")
        await app.send("HTTP/1.1 200 OK", "Content-Length: 3000000", content=b"x" * 3_000_000)
        await pass_time(70.0)
        await client.was_reset()

    async def test_many_answers_of_our_own_must_be_read(self, warped: Play) -> None:
        client = await warped.client()
        sent = 0
        try:
            while sent < 50_000_000:
                sent += client.sock.send(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n" * 100)
                await pass_time(0.01)
        except BlockingIOError:
            pass
        assert sent < 50_000_000
        await pass_time(70.0)
        await client.was_reset()


@pytest.fixture
def silent_port() -> "object":
    """Return a port of 127.0.0.1 where connections are never accepted: its queue is full."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])


class TestConnect:
    async def test_an_app_that_does_not_accept_is_given_up(self, warped: Play, silent_port: int) -> None:
        await warped.start(site=f'upstream = "http://127.0.0.1:{silent_port}"')
        client = await warped.client()
        await client.send("GET / HTTP/1.1", "Host: a.test")
        await pass_time(2.5)
        assert warped.gateway.log == []
        await pass_time(0.5 + TICK)
        response = await client.response()
        assert (response.status, response.one("Proxy-Status")) == (504, "foregate; error=connection_timeout")

    async def test_the_next_address_is_tried_then(self, warped: Play, silent_port: int) -> None:
        await warped.start(
            site=f'upstream = ["http://127.0.0.1:{silent_port}", {{url = "{warped.spare_url}", backup = true}}]'
        )
        client = await warped.client()
        await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 5", content=b"hello")
        await pass_time(3.0 + TICK)
        spare = await warped.spare.accept()
        assert (await spare.request()).content == b"hello"

    async def test_a_client_that_leaves_meanwhile_leaves_nothing(
        self, warped: Play, silent_port: int
    ) -> None:
        await warped.start(site=f'upstream = "http://127.0.0.1:{silent_port}"')
        client = await warped.client()
        await client.send("GET / HTTP/1.1", "Host: a.test")
        client.reset()
        await pass_time(0.5)
        assert warped.gateway.in_flight == 0
        assert [line["status"] for line in warped.gateway.log] == [499]

    async def test_content_that_comes_meanwhile_is_held_within_bounds(
        self, warped: Play, silent_port: int
    ) -> None:
        await warped.start(site=f'upstream = "http://127.0.0.1:{silent_port}"')
        client = await warped.client()
        await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 100000000")
        assert await fill(client) < 16_000_000
        await pass_time(3.0 + TICK)
        assert (await client.response()).status == 504


class TestFirstByte:
    async def test_an_app_that_does_not_answer_is_given_up(self, warped: Play) -> None:
        client, app = await asked(warped)
        await pass_time(59.5)
        assert warped.gateway.log == []
        await pass_time(0.5 + TICK)
        response = await client.response()
        assert (response.status, response.one("Proxy-Status")) == (
            504,
            "foregate; error=http_response_timeout",
        )
        await app.cut_off()

    async def test_a_head_that_drips_has_no_more_time(self, warped: Play) -> None:
        client, app = await asked(warped)
        for octet in b"HTTP/":
            await pass_time(11.0)
            await app.send_octets(bytes((octet,)))
        await pass_time(5.0 + TICK)
        assert (await client.response()).status == 504

    async def test_interim_responses_give_no_more_time(self, warped: Play) -> None:
        client, app = await asked(warped)
        for _ in range(5):
            await pass_time(11.0)
            await app.send("HTTP/1.1 103 Early Hints", "Link: </a>")
            assert (await client.head()).status == 103
        await pass_time(5.0 + TICK)
        assert (await client.response()).status == 504

    async def test_an_answer_in_time_is_relayed(self, warped: Play) -> None:
        client, app = await asked(warped)
        await pass_time(59.0)
        await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
        assert (await client.response()).content == b"ok"

    async def test_the_time_counts_from_the_end_of_the_request(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"')
        client, _app = await asked(warped, "Content-Length: 5", start="POST / HTTP/1.1")
        for octet in b"hello":
            await pass_time(25.0)
            await client.send_octets(bytes((octet,)))
        await pass_time(59.0)
        assert warped.gateway.log == []
        await pass_time(1.0 + TICK)
        assert (await client.response()).status == 504

    async def test_an_app_that_takes_no_content_is_given_up(self, warped: Play) -> None:
        client, _app = await asked(warped, "Content-Length: 100000000", start="POST / HTTP/1.1")
        await fill(client)
        await pass_time(60.0 + TICK)
        assert (await client.response()).status == 504

    async def test_a_kept_connection_has_the_same_time_and_no_second_try(self, warped: Play) -> None:
        client, app = await warped.both()
        await client.send("GET / HTTP/1.1", "Host: a.test")
        await app.request()
        await pass_time(60.0 + TICK)
        assert (await client.response()).status == 504
        assert warped.app.nobody_came()


class TestRead:
    @pytest.mark.parametrize("line", ["Content-Length: 100", "Transfer-Encoding: chunked", "X-Until: end"])
    async def test_a_response_that_stalls_is_cut_off(self, warped: Play, line: str) -> None:
        client, app = await asked(warped)
        await app.send("HTTP/1.1 200 OK", line)
        await client.head()
        await pass_time(59.0)
        assert warped.gateway.log == []
        await pass_time(1.0 + TICK)
        assert not (await client.cut_off()).endswith(b"0\r\n\r\n")
        await app.cut_off()
        assert [(line["status"], line["error"]) for line in warped.gateway.log] == [(200, "read-timeout")]

    async def test_only_the_gap_counts(self, warped: Play) -> None:
        client, app = await asked(warped)
        await app.send("HTTP/1.1 200 OK", "Content-Length: 5")
        await client.head()
        for octet in b"hello":
            await pass_time(59.0)
            await app.send_octets(bytes((octet,)))
        await client.expect(b"hello")
        assert [line["status"] for line in warped.gateway.log] == [200]

    async def test_the_time_while_the_client_takes_nothing_is_not_the_apps(self, warped: Play) -> None:
        await warped.start(limits='min_rate = "0B"', timeouts='read = "5s"')
        client, app = await asked(warped)
        await app.send("HTTP/1.1 200 OK", "Content-Length: 100000000")
        await fill(app)
        await pass_time(50.0)
        await client.octets(3_000_000)
        await pass_time(4.0)
        assert warped.gateway.log == []

    @pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
    async def test_an_event_stream_may_be_silent(self, warped: Play, kind: str) -> None:
        client, app = await asked(warped)
        await app.send("HTTP/1.1 200 OK", f"Content-Type: {kind}", "Transfer-Encoding: chunked")
        await client.head()
        for _ in range(3):
            await pass_time(500.0)
            await app.send_chunks(b"data: x\n\n")
            assert await client.chunk() == b"data: x\n\n"
        assert warped.gateway.log == []


class TestUpgradedIdle:
    async def tunnel(self, play: Play) -> tuple[Peer, Peer]:
        """Return both ends of a tunnel."""
        client, app = await asked(play, "Connection: Upgrade", "Upgrade: websocket")
        await app.send("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
        await client.head()
        return client, app

    async def test_a_silent_tunnel_ends(self, warped: Play) -> None:
        await warped.start(timeouts='upgraded_idle = "100s"')
        client, app = await self.tunnel(warped)
        await pass_time(99.0)
        assert "tunnels" in warped.gateway.open
        await pass_time(1.0 + TICK)
        await client.cut_off()
        await app.cut_off()

    async def test_octets_either_way_keep_it(self, warped: Play) -> None:
        await warped.start(timeouts='upgraded_idle = "100s"')
        client, app = await self.tunnel(warped)
        for sender, receiver in ((client, app), (app, client), (client, app)):
            await pass_time(99.0)
            await sender.send_octets(b"still here")
            await receiver.expect(b"still here")

    async def test_a_tunnel_whose_reader_stalls_ends(self, warped: Play) -> None:
        _client, app = await self.tunnel(warped)
        await fill(app)
        await pass_time(70.0)
        await app.cut_off()


class TestKeepaliveUpstream:
    async def test_a_connection_kept_for_too_long_is_closed_and_not_used(self, warped: Play) -> None:
        client, app = await warped.both()
        await pass_time(4.0 + 2 * TICK)
        await app.end()
        await client.send("GET / HTTP/1.1", "Host: a.test")
        again = await warped.app.accept()
        await again.request()

    async def test_a_connection_used_in_time_is_used_again(self, warped: Play) -> None:
        client, app = await warped.both()
        for _ in range(3):
            await pass_time(3.5)
            await client.send("GET / HTTP/1.1", "Host: a.test")
            await app.request()
            await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
            assert (await client.response()).status == 200

    @pytest.mark.parametrize(("idle", "is_kept"), [(0.5, True), (1.5, False)])
    async def test_what_must_not_be_sent_twice_takes_fresh_ones_only(
        self, warped: Play, idle: float, is_kept: bool
    ) -> None:
        client, app = await warped.both()
        await pass_time(idle)
        await client.send("POST / HTTP/1.1", "Host: a.test", "Content-Length: 2", content=b"ok")
        app = app if is_kept else await warped.app.accept()
        assert (await app.request()).content == b"ok"


class TestEndings:
    async def test_a_client_that_shut_down_waits_for_its_answer_for_a_while(self, warped: Play) -> None:
        client, app = await asked(warped)
        client.shut_down()
        await pass_time(4.5)
        assert warped.gateway.log == []
        await pass_time(0.5 + TICK)
        await app.cut_off()
        assert [line["status"] for line in warped.gateway.log] == [499]

    async def test_a_client_that_shut_down_gets_all_of_a_slow_answer(self, warped: Play) -> None:
        client, app = await asked(warped)
        client.shut_down()
        await app.send("HTTP/1.1 200 OK", "Content-Length: 10")
        await client.head()
        for number in range(10):
            await pass_time(4.0)
            await app.send_octets(b"%d" % number)
        assert await client.octets(10) == b"0123456789"

    async def test_a_client_that_does_not_close_after_a_refusal_is_left(self, warped: Play) -> None:
        client = await warped.client()
        await client.send_octets(b"nonsense\r\n\r\n")
        assert (await client.response()).status == 400
        await pass_time(1.5)
        assert warped.gateway.open == {"clients": 1}
        while warped.gateway.open:  # our FIN counts as not taken until the kernel has acknowledged it
            await pass_time(1.0)
