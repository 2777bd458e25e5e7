"""Attempts to be another client, to be none, or to get around a rule: with real requests, from end to end."""

import pytest

from proxy.telemetry import counters
from tests.fakes.peer import Message
from tests.fakes.playbook import Play

PROXIED = 'trusted = ["127.0.0.0/8"]'
ME = "198.51.100.7"
ONCE = 'redirect = "https://new.test"\nrate_limit = {rate = "1/h", burst = 1}\n'
TOKEN = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


async def asked(play: Play, *lines: str, start: str = "GET / HTTP/1.1") -> Message:
    """Send a request and return it as the app gets it."""
    client = await play.client()
    await client.send(start, "Host: a.test", *lines)
    app = await play.app.accept()
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    return request


@pytest.mark.parametrize(
    "lines",
    [
        (f"X-Forwarded-For: {ME}", "Connection: X-Forwarded-For"),
        (f"X-Forwarded-For: 203.0.113.1, {ME}",),
        ("X-Forwarded-For: 203.0.113.1", f"X-Forwarded-For: {ME}"),
        (f"X-Forwarded-For: {ME}", "X_Forwarded_For: 203.0.113.1"),
        (f"X-Forwarded-For: {ME}", "X-Real-IP: 203.0.113.1", "Forwarded: for=203.0.113.1"),
        (f"X-Forwarded-For: {ME}", "CF-Connecting-IP: 203.0.113.1", "True-Client-IP: 203.0.113.1"),
        (f"x-FORWARDED-for: 203.0.113.1,,, ,{ME},",),
        (f"X-Forwarded-For: {'203.0.113.1, ' * 200}{ME}",),
        (f"X-Forwarded-For: ::ffff:{ME}",),
        (f"X-Forwarded-For: {ME}:4711",),
        (f'X-Forwarded-For: "203.0.113.1, {ME}',),
    ],
)
async def test_behind_a_trusted_proxy_the_client_is_whom_it_names(play: Play, lines: tuple[str, ...]) -> None:
    await play.start(client_ip=PROXIED)
    request = await asked(play, *lines)
    assert request.one("X-Real-IP") == ME
    assert request.one("X-Forwarded-For") is not None
    assert not [line for line in request.lines if line.lower().startswith("x_")]
    assert play.gateway.log[-1]["client"] == ME


@pytest.mark.parametrize("field", ["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "Forwarded"])
async def test_without_one_it_is_the_peer(play: Play, field: str) -> None:
    await play.start(client_ip=f'header = "{field.lower()}"')
    request = await asked(play, f"{field}: for=203.0.113.1", f"{field}: 203.0.113.1")
    assert request.one("X-Real-IP") == request.one("X-Forwarded-For") == "127.0.0.1"


async def test_a_trailer_names_nobody(play: Play) -> None:
    await play.start(client_ip=PROXIED)
    client = await play.client()
    await client.send(
        "POST / HTTP/1.1", "Host: a.test", f"X-Forwarded-For: {ME}", "Transfer-Encoding: chunked"
    )
    await client.send_octets(b"0\r\nX-Forwarded-For: 203.0.113.1\r\nX-Real-IP: 203.0.113.1\r\n\r\n")
    app = await play.app.accept()
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    assert request.one("X-Real-IP") == ME
    assert play.gateway.log[-1]["client"] == ME


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        ("GET / HTTP/1.1", ("Host: A.TEST",)),
        ("GET / HTTP/1.1", ("Host: a.test:80",)),
        ("GET / HTTP/1.1", ("Host: a.test:9999",)),
        ("GET http://a.test/ HTTP/1.1", ("Host: a.test",)),
        ("GET / HTTP/1.0", ("Host: a.test",)),
        ("GET /?other HTTP/1.1", ("Host: a.test",)),
        ("GET //x/%2e%2e/y;z HTTP/1.1", ("Host: a.test",)),
        ("HEAD / HTTP/1.1", ("Host: a.test",)),
        ("OPTIONS * HTTP/1.1", ("Host: a.test",)),
        ("PURGE / HTTP/1.1", ("Host: a.test",)),
        ("POST / HTTP/1.1", ("Host: a.test", "Content-Length: 0", "Expect: 100-continue")),
        ("GET / HTTP/1.1", ("Host: a.test", "Upgrade: websocket", "Connection: Upgrade")),
        ("GET / HTTP/1.1", ("Host: a.test", "X-Forwarded-For: 203.0.113.1", "X-Real-IP: 203.0.113.1")),
        ("GET / HTTP/1.1", ("Host: a.test", "X-HTTP-Method-Override: OPTIONS", "Range: bytes=0-0")),
        ("GET / HTTP/1.1", ("Host: a.test", "Cookie: fresh=1", "Authorization: Basic eDp5")),
    ],
)
async def test_no_form_of_a_request_takes_from_another_bucket(
    whole: Play, start: str, lines: tuple[str, ...]
) -> None:
    await whole.start(site=ONCE)
    first, second = await whole.client(), await whole.client()
    await first.send("GET / HTTP/1.1", "Host: a.test")
    assert (await first.response()).status == 308
    await second.send(start, *lines)
    assert (await second.response(to=start.partition(" ")[0])).status == 429


@pytest.mark.parametrize("host", ["a.test.", "www.a.test", "a.test%00", "[::1]", "b.test"])
async def test_another_host_is_no_way_in(whole: Play, host: str) -> None:
    await whole.start(site=ONCE)
    for _ in range(2):
        client = await whole.client()
        await client.offer(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert (await client.response()).status in (308, 400, 404, 429)
    assert whole.app.nobody_came()
    assert [line["status"] for line in whole.gateway.log].count(308) <= 1


@pytest.mark.parametrize(
    ("method", "target", "passes"),
    [
        ("GET", TOKEN, True),
        ("HEAD", TOKEN, True),
        ("POST", TOKEN, False),
        ("GET", TOKEN + "/x", False),
        ("GET", TOKEN + "?x", False),
        ("GET", "/.well-known/acme-challenge/../../admin", False),
        ("GET", "/.well-known/acme-challenge/..%2f..%2fadmin-panel-of-the-shop", False),
        ("GET", "/x/.." + TOKEN, False),
        ("GET", "/", False),
    ],
)
async def test_a_challenge_that_the_app_answers_passes_the_firewall_and_nothing_else_does(
    play: Play, method: str, target: str, passes: bool
) -> None:
    await play.start(
        site='tls = {passthrough_challenges = true}\nfirewall = {deny = ["127.0.0.0/8"]}\n'
        '[[site.route]]\npath = "/other"\nfirewall = {deny = []}\n',
        firewall='deny = ["127.0.0.1"]',
    )
    client = await play.client()
    await client.send(f"{method} {target} HTTP/1.1", "Host: a.test")
    if passes:
        app = await play.app.accept()
        assert (await app.request()).target == target
        await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response(to=method)).status == (200 if passes else 403)
    assert play.gateway.told_of_site(counters.DENIED) == (0 if passes else 1)
