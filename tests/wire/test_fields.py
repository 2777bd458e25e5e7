"""What is taken from and added to the fields of messages, both ways (RFC 9110 sections 7.6 and 7.6.1)."""

import re

import pytest

from tests.fakes.gateway import INSTANCE
from tests.fakes.peer import Message, Peer
from tests.fakes.playbook import Play

VIA = f"1.1 foregate-{INSTANCE}"
OURS = (
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "Via",
    "X-Forwarded-For",
    "X-Real-IP",
    "Forwarded",
    "X-Request-ID",
)


async def asked(play: Play, *lines: str, start: str = "GET / HTTP/1.1") -> Message:
    """Send a request with these lines and return it as the app gets it."""
    client = await play.client()
    await client.send(start, "Host: a.test", *lines)
    app = await play.app.accept()
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0")
    assert (await client.response()).status == 200
    return request


async def answered(play: Play, *lines: str, status: str = "200 OK") -> Message:
    """Answer a request with these lines and return the response as the client gets it."""
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test")
    app = await play.app.accept()
    await app.request()
    await app.send(f"HTTP/1.1 {status}", *lines, "Connection: close", "Content-Length: 0")
    return await client.response()


async def test_what_the_app_is_told_about_the_client(play: Play) -> None:
    request = await asked(play, "Accept: */*", "accept-encoding: gzip")
    assert request.lines[:3] == ("Host: a.test", "Accept: */*", "accept-encoding: gzip")
    told = {name: request.one(name) for name in OURS}
    assert re.fullmatch(r"[0-9a-f]{32}", told.pop("X-Request-ID") or "")
    assert told == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "a.test",
        "X-Forwarded-Port": str(play.gateway.port),
        "Forwarded": 'for=127.0.0.1;host="a.test";proto=http',
        "Via": VIA,
    }
    assert len(request.lines) == 3 + len(OURS)


CLAIMS = (
    "X-Forwarded-For: 6.6.6.6",
    "x-forwarded-for: 7.7.7.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Server: evil",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-User: admin",
    "X-Real-IP: 6.6.6.6",
    "X-Request-ID: mine",
    "Forwarded: for=6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "X-Client-IP: 6.6.6.6",
    "X-Cluster-Client-IP: 6.6.6.6",
    "Client-IP: 6.6.6.6",
    "Fastly-Client-IP: 6.6.6.6",
    "X-Forwarded: 6.6.6.6",
    "Forwarded-For: 6.6.6.6",
    "X-Scheme: https",
    "X-URL-Scheme: https",
    "Front-End-Https: https",
    "Proxy-Client-IP: 6.6.6.6",
    "WL-Proxy-Client-IP: 6.6.6.6",
    "WL-Proxy-SSL: https",
    "Script-Name: /evil",
    "Path-Info: /admin",
    "CF-Connecting-IP: 6.6.6.6",
    'CF-Visitor: {"scheme":"https"}',
    "CF-IPCountry: XX",
    "X-Original-URL: /admin",
    "X-Original-Host: evil.test",
    "X-Rewrite-URL: /admin",
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: DELETE",
    "Proxy: http://evil.test/",
)


async def test_nothing_that_an_untrusted_client_claims_reaches_the_app(play: Play) -> None:
    request = await asked(play, *CLAIMS, "X-Own: kept", "X-Forward: kept")
    text = "\n".join(request.lines)
    for word in ("6.6.6.6", "7.7.7.7", "evil", "admin", "DELETE", "mine", "https"):
        assert word not in text
    assert [request.one("X-Own"), request.one("X-Forward")] == ["kept", "kept"]
    assert len(request.lines) == 3 + len(OURS)


async def test_underscores_are_no_way_around(play: Play) -> None:
    request = await asked(
        play,
        *(
            f"{name.replace('-', '_')}:{value}"
            for name, _, value in (line.partition(":") for line in CLAIMS)
            if "-" in name
        ),
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Proxy_Connection: x",
        "Keep_Alive: 5",
        "Proxy_Authorization: x",
        "X_Own: kept",
    )
    assert request.lines[1] == "X_Own: kept"
    assert len(request.lines) == 2 + len(OURS)


async def test_a_trusted_proxy_is_believed_about_its_client(play: Play) -> None:
    await play.start(client_ip='trusted = ["127.0.0.0/8", "10.0.0.0/8"]')
    request = await asked(
        play,
        "X-Forwarded-For: 6.6.6.6, 203.0.113.7",
        "X-Forwarded-For: 10.0.0.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.test",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Request-ID: trace-1",
        "X-Forwarded-User: anna",
        "Via: 1.1 edge",
    )
    told = {name: request.one(name) for name in OURS}
    assert told == {
        "X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.0.0.9, 127.0.0.1",
        "X-Real-IP": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.test",
        "X-Forwarded-Port": "443",
        "Forwarded": 'for=203.0.113.7;host="a.test";proto=https',
        "X-Request-ID": "trace-1",
        "Via": f"1.1 edge, {VIA}",
    }
    assert request.one("X-Forwarded-User") == "anna"
    (line,) = play.gateway.log
    assert (line["client"], line["id"]) == ("203.0.113.7", "trace-1")


@pytest.mark.parametrize(
    "chain",
    [
        "garbage",
        "203.0.113.7, garbage",
        "",
        ",,,",
        '"[2001:db8::1]:80", unknown',
        "256.1.1.1",
        "x" * 4000,
        "\xff\xfe",
    ],
)
async def test_garbage_from_a_trusted_proxy_does_no_harm(play: Play, chain: str) -> None:
    await play.start(client_ip='trusted = ["127.0.0.0/8"]')
    request = await asked(
        play, f"X-Forwarded-For: {chain}", "X-Request-ID: \xff", "X-Forwarded-Proto: \xff;x"
    )
    assert request.one("X-Real-IP") == "127.0.0.1"
    assert re.fullmatch(r"[0-9a-f]{32}", request.one("X-Request-ID") or "")
    assert (request.one("Forwarded") or "").endswith("proto=http")


@pytest.mark.parametrize(
    ("told", "client", "node"),
    [
        ("203.0.113.7:4711", "203.0.113.7", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7", '"[2001:db8::7]"'),
        ("2001:DB8:0::7", "2001:db8::7", '"[2001:db8::7]"'),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
    ],
)
async def test_ports_and_ipv6_forms_survive(play: Play, told: str, client: str, node: str) -> None:
    await play.start(client_ip='trusted = ["127.0.0.0/8"]')
    request = await asked(play, f"X-Forwarded-For: {told}")
    assert request.one("X-Real-IP") == client
    assert (request.one("Forwarded") or "").startswith(f"for={node};")
    assert play.gateway.log[0]["client"] == client


async def test_hop_by_hop_fields_stay_here(play: Play) -> None:
    request = await asked(
        play,
        "Connection: keep-alive, x-hop, , X-HOP-2",
        "X-Hop: 1",
        "x-hop-2: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Authenticate: Basic",
        "TE: trailers, deflate",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABk",
        "X-Stays: yes",
    )
    assert request.lines[1] == "X-Stays: yes"
    assert len(request.lines) == 2 + len(OURS)


async def test_connection_takes_nothing_of_ours_and_no_framing_away(play: Play) -> None:
    nominated = [
        *OURS,
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "Cache-Control",
    ]
    client = await play.client()
    await client.send(
        "POST / HTTP/1.1",
        "Host: a.test",
        f"Connection: {', '.join(nominated)}",
        "Content-Length: 5",
        "Cookie: a=b",
        "Authorization: Basic eA==",
        content=b"hello",
    )
    app = await play.app.accept()
    request = await app.request()
    assert request.content == b"hello"
    for name in (*OURS, "Host", "Content-Length", "Cookie", "Authorization"):
        assert len(request.all(name)) == 1, name


async def test_many_lines_of_one_name_keep_order_and_number(play: Play) -> None:
    request = await asked(play, "Cookie: a=1", "X-A: 1", "cookie: b=2", "X-A:", "Link: </x>", "Link: </y>")
    assert request.lines[1:7] == ("Cookie: a=1", "X-A: 1", "cookie: b=2", "X-A: ", "Link: </x>", "Link: </y>")
    response = await answered(
        play, "Set-Cookie: a=1", "Set-Cookie: b=2, c", "set-cookie: c=3", "Link: </x>", "Link: </y>"
    )
    assert response.all("Set-Cookie") == ["a=1", "b=2, c", "c=3"]
    assert response.all("Link") == ["</x>", "</y>"]


async def test_outer_white_space_goes_and_inner_octets_stay(play: Play) -> None:
    request = await asked(play, "X-A:\t a \t b\t ", "X-B:\xe4\xff", "X-C:c")
    assert request.lines[1:4] == ("X-A: a \t b", "X-B: \xe4\xff", "X-C: c")


async def test_hop_by_hop_fields_of_the_app_stay_here(play: Play) -> None:
    response = await answered(
        play,
        "Connection: x-hop, Set-Cookie, cache-control",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "Proxy-Authentication-Info: x",
        "TE: x",
        "Upgrade: h2c",
        "Trailer: x-sum",
        "Set-Cookie: a=b",
        "Cache-Control: no-store",
        "X-Cache-Status: HIT",
        "Server: app",
        "X-Accel-Buffering: no",
        "Content_Length: 3",
    )
    names = {line.partition(":")[0] for line in response.lines}
    assert names == {
        *("Trailer", "Set-Cookie", "Cache-Control", "Server", "X-Accel-Buffering", "Content_Length"),
        *("Content-Length", "Date"),
        *(("Cache-Status", "X-Cache-Status") if play.cached else ()),
    }


@pytest.mark.parametrize("lines", [("Date: Sun, 06 Nov 1994 08:49:37 GMT",), ()])
async def test_there_is_one_date(play: Play, lines: tuple[str, ...]) -> None:
    response = await answered(play, *lines)
    assert (response.one("Date") == "Sun, 06 Nov 1994 08:49:37 GMT") is bool(lines)
    assert response.one("Date") is not None


async def test_configured_request_headers_replace_add_and_remove(play: Play) -> None:
    headers = '"X-User" = "", "X-Mode" = "site", "User-Agent" = "gw", "X-Forwarded-Proto" = "https"'
    await play.start(site=f"set_request_headers = {{{headers}}}")
    request = await asked(
        play, "X-User: admin", "x-mode: client", "User-Agent: curl", "X_User: admin", "x_MODE: client"
    )
    assert request.all("X-User") == []
    assert (request.all("X-Mode"), request.all("User-Agent")) == (["site"], ["gw"])
    assert request.all("X-Forwarded-Proto") == ["https"]
    assert not [line for line in request.lines if "_" in line.partition(":")[0]]


async def test_configured_response_headers_replace_add_and_remove(play: Play) -> None:
    await play.start(site='set_response_headers = {"Server" = "", "X-Frame-Options" = "DENY", "X-New" = "1"}')
    response = await answered(
        play, "server: app/1.0", "X-Frame-Options: ALLOWALL", "X-Frame-Options: SAMEORIGIN"
    )
    assert response.all("Server") == []
    assert (response.all("X-Frame-Options"), response.all("X-New")) == (["DENY"], ["1"])


async def test_the_app_may_see_its_own_authority(play: Play) -> None:
    await play.start(site='host = "upstream"')
    request = await asked(play)
    assert request.all("Host") == [f"127.0.0.1:{play.app.port}"]
    assert request.one("X-Forwarded-Host") == "a.test"


@pytest.mark.parametrize(
    "via", [VIA, f"1.0 edge, {VIA} (comment)", f"{VIA},1.1 other", f"HTTP/1.1 foregate-{INSTANCE}"]
)
async def test_a_request_that_came_through_here_before_is_a_loop(play: Play, via: str) -> None:
    if "(" in via:
        via = via.replace(" (comment)", "")
    client = await play.client()
    await client.send("GET / HTTP/1.1", "Host: a.test", f"Via: {via}")
    response = await client.response()
    assert (response.status, response.one("Proxy-Status")) == (508, "foregate; error=proxy_loop_detected")
    assert play.app.nobody_came()


async def test_another_gateway_of_this_kind_is_no_loop(play: Play) -> None:
    request = await asked(play, "Via: 1.1 foregate-ffffffffffffffff", "Via: 1.1 x")
    assert request.one("Via") == f"1.1 foregate-ffffffffffffffff, 1.1 x, {VIA}"


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "Application/GRPC;x"])
async def test_grpc_is_told_that_it_cannot_pass(play: Play, kind: str) -> None:
    client = await play.client()
    await client.send(
        "POST /pkg.Service/Call HTTP/1.1", "Host: a.test", f"Content-Type: {kind}", "Content-Length: 0"
    )
    assert (await client.response()).status == 505
    assert play.app.nobody_came()


async def test_grpc_web_passes(play: Play) -> None:
    request = await asked(play, "Content-Type: application/grpc-web+proto", start="POST /x HTTP/1.1")
    assert request.start == "POST /x HTTP/1.1"


async def accepting(play: Play, accept: str | None) -> tuple[Peer, Message]:
    """Return the client and the answer to a request for an unknown host."""
    client = await play.client()
    lines = [f"Accept: {accept}"] if accept else []
    await client.send("GET / HTTP/1.1", "Host: unknown.test", *lines)
    return client, await client.response()


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json, text/html", False),
    ],
)
async def test_an_error_is_a_problem_document_or_a_page(
    play: Play, accept: str | None, is_page: bool
) -> None:
    _, response = await accepting(play, accept)
    request_id = response.one("X-Request-ID")
    assert request_id is not None
    assert request_id.encode() in response.content
    assert response.one("Cache-Control") == "no-store"
    assert response.one("Proxy-Status") == "foregate; error=destination_not_found"
    if is_page:
        assert response.one("Content-Type") == "text/html; charset=utf-8"
        assert response.content.startswith(b"<!doctype html>")
    else:
        assert response.one("Content-Type") == "application/problem+json"
        assert b'"status": 404' in response.content
    assert play.gateway.log[0]["id"] == request_id


async def test_an_error_in_answer_to_head_has_no_content(play: Play) -> None:
    client = await play.client()
    await client.send("HEAD / HTTP/1.1", "Host: unknown.test")
    response = await client.response(to="HEAD")
    assert response.status == 404
    await client.send("GET / HTTP/1.1", "Host: unknown.test")
    assert (await client.response()).status == 404
