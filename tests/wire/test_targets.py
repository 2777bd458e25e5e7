"""Request targets: their forms, their octets, routes and what is cut off or redirected (RFC 9112 section 3.2)."""

import pytest

from tests.fakes.gateway import configuration
from tests.fakes.peer import Message
from tests.fakes.playbook import Play

ROUTES = """
[[site.route]]
path = "/api/"
strip_prefix = true
[[site.route]]
path = "/admin"
firewall = {deny = ["127.0.0.0/8"]}
[[site.route]]
path = "/old"
redirect = "https://new.test/base"
"""


async def asked(play: Play, start: str, host: str = "a.test") -> Message:
    """Send a request and return it as the app gets it."""
    client = await play.client()
    await client.send(start, f"Host: {host}")
    app = await play.app.accept()
    request = await app.request()
    await app.send("HTTP/1.1 200 OK", "Content-Length: 0")
    assert (await client.response()).status == 200
    return request


async def refused(play: Play, start: str, host: str = "a.test") -> Message:
    """Send a request that the app must not get, and return its answer."""
    client = await play.client()
    await client.offer(f"{start}\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    response = await client.response()
    assert play.app.nobody_came()
    return response


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a/../b/./c/..",
        "//a//b//",
        "/%2e%2e/%2E/x",
        "/a%2Fb%2fc",
        "/%25%41%zz"[:7],
        "/caf%C3%A9",
        "/a;b=c,d@e:f!$&'()*+~",
        "/a|b[1]",
        "/?",
        "/?a=b&c=d;e/f?g",
        "/?q={a|b}^`\\",
        "/?100%",
        "/?%00",
        "/http://b.test/",
        "/" + "a" * 8000,
    ],
)
async def test_a_target_reaches_the_app_octet_for_octet(play: Play, target: str) -> None:
    if play.cut == "octet by octet" and len(target) > 1000:
        target = target[:1000]
    assert (await asked(play, f"GET {target} HTTP/1.1")).start == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("start", "host", "line"),
    [
        ("GET http://a.test/x?y HTTP/1.1", "a.test", "GET /x?y HTTP/1.1"),
        ("GET HTTP://A.TEST/x HTTP/1.1", "a.test", "GET /x HTTP/1.1"),
        ("GET http://a.test HTTP/1.1", "a.test", "GET / HTTP/1.1"),
        ("GET http://a.test?y HTTP/1.1", "a.test", "GET /?y HTTP/1.1"),
        ("GET http://a.test:80/x HTTP/1.1", "a.test", "GET /x HTTP/1.1"),
        ("GET https://a.test/x HTTP/1.1", "a.test:80", "GET /x HTTP/1.1"),
        ("OPTIONS http://a.test HTTP/1.1", "a.test", "OPTIONS * HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "a.test", "OPTIONS * HTTP/1.1"),
        ("OPTIONS /x HTTP/1.1", "a.test", "OPTIONS /x HTTP/1.1"),
    ],
)
async def test_other_forms_are_written_in_origin_form(play: Play, start: str, host: str, line: str) -> None:
    request = await asked(play, start, host)
    assert request.start == line
    assert request.one("Host") == host
    assert request.one("X-Forwarded-Proto") == "http"


@pytest.mark.parametrize(
    ("start", "host", "status"),
    [
        ("GET http://b.test/ HTTP/1.1", "a.test", 400),
        ("GET http://a.test:8080/ HTTP/1.1", "a.test", 400),
        ("GET http://a.test/ HTTP/1.1", "a.test:8080", 400),
        ("GET http://u@a.test/ HTTP/1.1", "a.test", 400),
        ("GET http:///x HTTP/1.1", "a.test", 400),
        ("GET ftp://a.test/ HTTP/1.1", "a.test", 400),
        ("GET a.test HTTP/1.1", "a.test", 400),
        ("GET * HTTP/1.1", "a.test", 400),
        ("GET x HTTP/1.1", "a.test", 400),
        ("GET /a b HTTP/1.1", "a.test", 400),
        ("GET /a\tb HTTP/1.1", "a.test", 400),
        ("GET /a\x01b HTTP/1.1", "a.test", 400),
        ("GET /a\x7fb HTTP/1.1", "a.test", 400),
        ("GET /\xe4 HTTP/1.1", "a.test", 400),
        ("GET /a#b HTTP/1.1", "a.test", 400),
        ("GET /%0 HTTP/1.1", "a.test", 400),
        ("GET /%00 HTTP/1.1", "a.test", 400),
        ("GET /% HTTP/1.1", "a.test", 400),
        ("GET /%?a HTTP/1.1", "a.test", 400),
        ("GET http://a.test/%?a HTTP/1.1", "a.test", 400),
        ('GET /"x" HTTP/1.1', "a.test", 400),
        ("CONNECT a.test:443 HTTP/1.1", "a.test:443", 405),
        ("CONNECT a.test HTTP/1.1", "a.test", 405),
        ("CONNECT / HTTP/1.1", "a.test", 405),
        ("TRACE / HTTP/1.1", "a.test", 405),
        ("GET / HTTP/2.0", "a.test", 505),
        ("GET / HTTP/1.2", "a.test", 505),
        ("GET / HTTP/0.9", "a.test", 505),
        ("GET /" + "a" * 16 * 1024 + " HTTP/1.1", "a.test", 414),
        ("GET / HTTP/1.1", "a.test/x", 400),
        ("GET / HTTP/1.1", "u@a.test", 400),
        ("GET / HTTP/1.1", "a.test:x", 400),
        ("GET / HTTP/1.1", "a.test%:80", 400),
        ("GET / HTTP/1.1", "a.test:65536", 400),
        ("GET / HTTP/1.1", "a test", 400),
        ("GET / HTTP/1.1", "", 400),
    ],
)
async def test_a_malformed_target_or_host_is_refused_and_the_connection_closed(
    play: Play, start: str, host: str, status: int
) -> None:
    client = await play.client()
    await client.offer(
        f"{start}\r\nHost: {host}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".encode("latin-1")
    )
    response = await client.response()
    assert (response.status, response.one("Connection")) == (status, "close")
    assert (response.one("Allow") is not None) is (status == 405)
    await client.cut_off()
    assert play.app.nobody_came()


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/api/v1?x=/api/", "/v1?x=/api/"),
        ("/api", "/"),
        ("/api?x", "/?x"),
        ("/api/", "/"),
        ("/api//x", "//x"),
        ("/%61pi/x%2fy", "/x%2Fy"),
        ("/x/../api/y", "/y"),
        ("/apix", "/apix"),
        ("/x/api/", "/x/api/"),
        ("/api/x/../y", "/y"),
        ("/api/../api/admin", "/admin"),
    ],
)
async def test_a_prefix_is_stripped_at_a_segment_boundary(play: Play, target: str, seen: str) -> None:
    await play.start(site=ROUTES)
    assert (await asked(play, f"GET {target} HTTP/1.1")).target == seen


@pytest.mark.parametrize(
    "target",
    [
        "/admin",
        "/admin/",
        "/admin/x?y",
        "/%61dmin",
        "/x/../admin/",
        "/./admin",
        "//admin",
        "/x/%2e%2e/admin",
        "/%2E/admin/y",
        "/ADMIN",
        "/admin%2Fx",
        "/x/..;/admin;y=z",
    ],
)
async def test_no_spelling_of_a_path_gets_around_its_route(play: Play, target: str) -> None:
    await play.start(site=ROUTES)
    assert (await refused(play, f"GET {target} HTTP/1.1")).status == 403


@pytest.mark.parametrize("target", ["/administer", "/x/admin", "/x;y/ADMIN", "/?/admin"])
async def test_another_path_is_another_route(play: Play, target: str) -> None:
    await play.start(site=ROUTES)
    assert (await asked(play, f"GET {target} HTTP/1.1")).target == target


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/old", "https://new.test/base/old"),
        ("/old/x?y=z", "https://new.test/base/old/x?y=z"),
        ("/old//evil.test", "https://new.test/base/old//evil.test"),
    ],
)
async def test_a_redirect_keeps_path_and_query(play: Play, target: str, location: str) -> None:
    await play.start(site=ROUTES)
    response = await refused(play, f"GET {target} HTTP/1.1")
    assert (response.status, response.one("Location")) == (308, location)
    assert response.one("Connection") is None


async def test_a_redirect_takes_the_content_of_its_request_with_it(play: Play) -> None:
    await play.start(site=ROUTES)
    client = await play.client()
    for _ in range(2):
        await client.send("POST /old HTTP/1.1", "Host: a.test", "Content-Length: 5", content=b"hello")
        assert (await client.response()).status == 308


async def test_requests_after_a_reload_go_by_the_new_routes(play: Play) -> None:
    client, app = await play.both()
    await client.send("GET /old HTTP/1.1", "Host: a.test")
    await app.request()
    play.gateway.apply(configuration(f'domains = ["a.test"]\nupstream = "{play.url}"\n{ROUTES}'))
    await app.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"ok")
    assert (await client.response()).content == b"ok"
    await client.send("GET /old HTTP/1.1", "Host: a.test")
    assert (await client.response()).status == 308
    await client.send("GET /new HTTP/1.1", "Host: a.test")
    assert (await app.request()).target == "/new"


async def test_routes_of_endless_targets_are_not_remembered(whole: Play) -> None:
    await whole.start(site=ROUTES)
    client = await whole.client()
    for number in range(20):
        await client.send(f"GET /old/{number}{'x' * 10_000} HTTP/1.1", "Host: a.test")
        assert (await client.response()).status == 308
    (site,) = whole.gateway.plane._pipeline.snapshot.sites
    assert sum(map(len, site._remembered)) < 5000
