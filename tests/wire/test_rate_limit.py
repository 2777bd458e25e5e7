"""Who is over the limit: what he gets, what becomes of the connection, and what is written down about it."""

import json
from typing import cast

import pytest

from proxy import limit_gate
from proxy.clock import shared_clock
from proxy.exchange import Downstream
from proxy.limit_gate import PER_TURN, LimitGate
from proxy.telemetry import counters
from tests.fakes.gateway import configuration, until
from tests.fakes.peer import Message, Peer
from tests.fakes.playbook import Play

ONE = 'rate_limit = {rate = "1/h", burst = 1}\n'


async def limited(play: Play, *lines: str, to: str = "GET", content: bytes = b"") -> Message:
    """Use up the bucket, and return what the next request of these lines gets."""
    client, _app = await play.both()
    await client.send(*lines, content=content)
    return await client.response(to=to)


@pytest.mark.parametrize("lines", [("GET /x HTTP/1.1",), ("GET /x HTTP/1.1", "Accept: application/json")])
async def test_the_refusal_says_when_to_come_back(play: Play, lines: tuple[str, ...]) -> None:
    await play.start(site=ONE)
    response = await limited(play, *lines, "Host: a.test")
    assert response.start == "HTTP/1.1 429 Too Many Requests"
    wait = int(response.one("Retry-After") or "")
    assert 3590 < wait <= 3600
    assert response.one("RateLimit-Policy") == '"default";q=1;w=3600'
    assert response.one("RateLimit") == f'"default";r=0;t={wait}'
    assert response.one("Proxy-Status") == "foregate; error=http_request_denied"
    assert response.one("Cache-Control") == "no-store"
    assert response.one("Content-Type") == "application/problem+json"
    assert response.one("Date") is not None
    document = json.loads(response.content)
    assert (document["status"], document["request_id"]) == (429, response.one("X-Request-ID"))
    assert play.gateway.log[-1]["limit"] == "limited"
    assert play.gateway.log[-1]["error"] == "http_request_denied"
    assert play.gateway.log[-1]["id"] == document["request_id"]
    assert play.gateway.told_of_site(counters.LIMITED) == 1


async def test_a_person_gets_a_page(play: Play) -> None:
    await play.start(site=ONE)
    response = await limited(play, "GET / HTTP/1.1", "Host: a.test", "Accept: text/html,*/*;q=0.8")
    assert response.one("Content-Type") == "text/html; charset=utf-8"
    assert (response.one("X-Request-ID") or "").encode() in response.content
    assert b"429 Too Many Requests" in response.content


async def test_the_connection_stays_open_and_each_request_has_an_answer_of_its_own(play: Play) -> None:
    await play.start(site=ONE)
    client, _app = await play.both()
    ids = set()
    for accept in ("*/*", "text/html", "*/*", "text/html"):
        await client.send("GET /x HTTP/1.1", "Host: a.test", f"Accept: {accept}")
        response = await client.response()
        assert (response.status, response.one("Connection")) == (429, None)
        request_id = response.one("X-Request-ID") or ""
        assert request_id.encode() in response.content
        ids.add(request_id)
    assert len(ids) == 4
    assert play.gateway.told_of_site(counters.LIMITED) == 4


async def test_requests_behind_one_another_are_all_refused(play: Play) -> None:
    await play.start(site=ONE)
    client, _app = await play.both()
    await client.send_octets(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n" * 5)
    assert [(await client.response()).status for _ in range(5)] == [429] * 5


async def test_content_of_a_refused_request_is_dropped(play: Play) -> None:
    await play.start(site=ONE)
    client, _app = await play.both()
    for _ in range(2):
        await client.send("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 5", content=b"hello")
        response = await client.response()
        assert (response.status, response.one("Connection")) == (429, None)
        assert response.one("RateLimit-Policy") == '"default";q=1;w=3600'


async def test_head_gets_no_content(play: Play) -> None:
    await play.start(site=ONE)
    client, _app = await play.both()
    for _ in range(2):
        await client.send("HEAD /x HTTP/1.1", "Host: a.test")
        response = await client.response(to="HEAD")
        assert response.status == 429
        assert int(response.one("Content-Length") or "0") > 0


@pytest.mark.parametrize(("version", "connection"), [("1.0", "close"), ("1.1", "close")])
async def test_a_client_that_wants_the_end_gets_it(play: Play, version: str, connection: str) -> None:
    await play.start(site=ONE)
    client, _app = await play.both()
    await client.send(f"GET / HTTP/{version}", "Host: a.test", "Connection: close")
    response = await client.response()
    assert (response.status, response.one("Connection")) == (429, connection)
    await client.end()


async def test_in_a_dry_run_all_pass_and_are_counted(play: Play) -> None:
    await play.start(site='rate_limit = {rate = "1/h", burst = 1, dry_run = true}\ncache = {ttl = "0s"}\n')
    client, app = await play.both()
    for _ in range(3):
        await client.send("GET / HTTP/1.1", "Host: a.test")
        await app.request()
        await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
        assert (await client.response()).status == 200
    assert play.gateway.told_of_site(counters.LIMITED_DRY_RUN) == 3
    assert play.gateway.told_of_site(counters.LIMITED) == 0
    assert play.gateway.log[-1]["limit"] == "dry-run"


async def test_a_limit_that_a_reload_changes_has_another_answer(play: Play) -> None:
    gateway = await play.start(site='rate_limit = {rate = "2/h", burst = 1}\n')
    client, _app = await play.both()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    assert (await client.response()).one("RateLimit-Policy") == '"default";q=2;w=3600'
    rate = 'rate_limit = {rate = "1/h", burst = 1}'
    gateway.apply(configuration(f'domains = ["a.test"]\nupstream = "{play.url}"\n{rate}'))
    await client.send("GET / HTTP/1.1", "Host: a.test")
    assert (await client.response()).one("RateLimit-Policy") == '"default";q=1;w=3600'


async def test_many_kinds_of_fields_have_one_answer_in_memory(whole: Play) -> None:
    await whole.start(site=ONE)
    client, _app = await whole.both()
    for number in range(200):
        accept = "text/html" if number % 2 else "*/*"
        await client.send(
            "GET / HTTP/1.1", "Host: a.test", f"Accept: {accept}", f"User-Agent: agent {number}"
        )
        assert (await client.response()).status == 429
    limits = whole.gateway.plane._pipeline.limits
    assert limits is not None
    assert len(limits._prepared) == 2


class Broken:
    """A client that was held back, with a fault of ours."""

    def go_on(self) -> bool:
        raise RuntimeError("a fault of ours")

    def abort_response(self) -> None:
        pass


@pytest.mark.sources
class TestHoldingBack:
    """Whoever floods waits while there are others to serve; turns of the gate end when the test says so."""

    TWO = (
        ONE
        + '[[site.route]]\npath = "/other"\nredirect = "https://new.test"\nrate_limit = {rate = "9/s", burst = 9}\n'
    )
    FLOOD = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"

    @pytest.fixture(autouse=True)
    def _one_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limit_gate, "TURN", 3_600_000_000_000)

    async def flood(self, play: Play, requests: int, *, company: bool) -> tuple[Peer, Peer, LimitGate]:
        """Return a client that has sent so many requests over the limit at once, another one, and the gate."""
        await play.start(site=self.TWO)
        client, _app = await play.both()
        gate = play.gateway.plane._pipeline.limits
        assert gate is not None
        other = await play.client()
        gate._begin_turn(shared_clock() // limit_gate.TURN)
        if company:
            await self.served(other)
        await client.send_octets(self.FLOOD * requests)
        return client, other, gate

    async def served(self, other: Peer) -> None:
        await other.send("GET /other HTTP/1.1", "Host: a.test")
        assert (await other.response()).status == 308

    async def test_beyond_a_few_refusals_a_connection_waits_and_then_goes_on(self, play: Play) -> None:
        client, other, gate = await self.flood(play, 10, company=True)
        for _ in range(PER_TURN + 1):
            assert (await client.response()).status == 429
        await self.served(other)
        assert play.gateway.told_of_site(counters.LIMITED) == PER_TURN + 1
        assert len(gate._held) == 1
        for number in range(10 - PER_TURN - 1):
            gate._let_go_on()
            assert (await client.response()).status == 429
            assert play.gateway.told_of_site(counters.LIMITED) == PER_TURN + 2 + number
        gate._let_go_on()
        assert not gate._held
        await self.served(client)

    async def test_who_was_let_through_before_is_no_company_to_oneself(self, play: Play) -> None:
        client, _other, gate = await self.flood(play, 0, company=False)
        await self.served(client)
        rate = play.gateway.plane._pipeline.snapshot.sites[0].route(b"/x").rate
        assert rate is not None
        gate._admitted = rate.bucket(b"\x7f\0\0\1") or 0
        await client.send_octets(self.FLOOD * 10)
        for _ in range(10):
            assert (await client.response()).status == 429
        assert not gate._held

    async def test_a_trusted_proxy_is_not_held_since_it_carries_the_requests_of_others(
        self, play: Play
    ) -> None:
        client, _other, gate = await self.flood(play, 0, company=True)
        trusting = f'domains = ["a.test"]\nupstream = "{play.url}"\n{self.TWO}'
        play.gateway.apply(configuration(trusting, client_ip='trusted = ["127.0.0.0/8"]'))
        await client.send_octets(self.FLOOD * (PER_TURN + 10))
        assert [(await client.response()).status for _ in range(PER_TURN + 10)] == [429] * (PER_TURN + 10)
        assert not gate._held

    async def test_a_fault_of_one_does_not_keep_the_others_waiting(
        self, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, other, gate = await self.flood(play, 10, company=True)
        for _ in range(PER_TURN + 1):
            assert (await client.response()).status == 429
        monkeypatch.setattr(
            limit_gate._log, "exception", lambda _event: None
        )  # its record would keep the client
        held = gate._held.popitem()[0]

        gate._held[cast(Downstream, Broken())] = None
        gate._held[held] = None
        del held
        gate._let_go_on()
        assert (await client.response()).status == 429
        assert play.gateway.told(counters.INTERNAL_ERRORS) == 1
        await self.served(other)

    async def test_without_company_nobody_waits(self, play: Play) -> None:
        client, _other, gate = await self.flood(play, 30, company=False)
        for _ in range(30):
            assert (await client.response()).status == 429
        assert not gate._held

    async def test_content_of_a_request_does_not_evade_it(self, play: Play) -> None:
        client, _other, gate = await self.flood(play, 0, company=True)
        post = b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
        await client.send_octets(post * 10)
        for _ in range(PER_TURN + 1):
            assert (await client.response()).status == 429
        await play.turn()
        assert play.gateway.told_of_site(counters.LIMITED) == PER_TURN + 1
        for _ in range(10 - PER_TURN - 1):
            gate._let_go_on()
            assert (await client.response()).status == 429

    async def test_others_count_for_a_while_though_the_flood_gets_a_token_now_and_then(
        self, play: Play
    ) -> None:
        client, _other, gate = await self.flood(play, PER_TURN + 1, company=True)
        for _ in range(PER_TURN + 1):
            assert (await client.response()).status == 429
        await until(lambda: gate._held)
        gate._let_go_on()
        gate._admitted = 0
        await client.send_octets(self.FLOOD * 2)
        assert (await client.response()).status == 429
        await until(lambda: gate._held)
        assert play.gateway.told_of_site(counters.LIMITED) == PER_TURN + 2

    async def test_who_leaves_is_not_waited_for(self, play: Play) -> None:
        client, other, gate = await self.flood(play, 10, company=True)
        for _ in range(PER_TURN + 1):
            await client.response()
        client.reset()
        await until(lambda: not gate._held)
        await self.served(other)

    async def test_whose_connection_ends_is_not_kept(self, play: Play) -> None:
        client, _other, gate = await self.flood(play, PER_TURN, company=True)
        for _ in range(PER_TURN):
            await client.response()
        for _ in range(3):
            ending = await play.client()
            await ending.send("GET /x HTTP/1.1", "Host: a.test", "Connection: close")
            assert (await ending.response()).status == 429
            await ending.end()
        assert not gate._held

    async def test_so_many_go_on_in_a_turn_in_the_order_of_their_wait(self, whole: Play) -> None:
        client, _other, gate = await self.flood(whole, PER_TURN, company=True)
        for _ in range(PER_TURN):
            await client.response()
        flood = [await whole.client() for _ in range(3 * PER_TURN)]
        for peer in flood:
            await peer.send_octets(self.FLOOD * 2)
            assert (await peer.response()).status == 429
        assert len(gate._held) == len(flood)
        for turn in range(3):
            gate._let_go_on()
            for peer in flood[turn * PER_TURN : (turn + 1) * PER_TURN]:
                assert (await peer.response()).status == 429
            assert whole.gateway.told_of_site(counters.LIMITED) == (5 + turn) * PER_TURN

    async def test_who_takes_no_answer_does_not_go_on(
        self, whole: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _client, _other, gate = await self.flood(whole, PER_TURN + 5, company=True)
        (held,) = gate._held
        with monkeypatch.context() as patched:
            patched.setattr(type(held), "go_on", lambda _self: False)
            gate._let_go_on()
        assert list(gate._held) == [held]
        gate._let_go_on()
        assert whole.gateway.told_of_site(counters.LIMITED) == PER_TURN + 2
