"""Poisoning and deception, black-box: what one client sends must not change what another one gets.

The app reflects everything that it sees, so whatever is not part of the key shows. Answers are kept for an hour.
"""

import json
from collections.abc import Iterator

import pytest

from tests.fakes.origin import Origin, running_origin
from tests.fakes.reflecting import TABLES, Gate, reflecting, running

POISON = "p0ison"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with running_origin(reflecting) as origin:
        yield origin


@pytest.fixture(scope="module")
def gate(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    yield from running(origin, tmp_path_factory.mktemp("untrusting"), TABLES)


@pytest.fixture(scope="module")
def behind_proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return an instance behind a proxy that it trusts: the test's clients."""
    trusting = TABLES + '[client_ip]\ntrusted = ["127.0.0.1"]\n'
    yield from running(origin, tmp_path_factory.mktemp("trusting"), trusting)


FIELDS = [
    *(f"X-Forwarded-Host: {POISON}", f"X-Forwarded-Scheme: {POISON}", f"X-Forwarded-Proto: {POISON}"),
    *(f"X-Forwarded-Port: {POISON}", f"X-Forwarded-Prefix: /{POISON}", f"X-Forwarded-Server: {POISON}"),
    *(f"X-Forwarded-For: {POISON}", f"Forwarded: host={POISON}", f"X_Forwarded_Host: {POISON}"),
    *(f"X-Host: {POISON}", f"X-Original-URL: /{POISON}", f"X-Rewrite-URL: /{POISON}", f"X-Real-IP: {POISON}"),
    *(f"X-HTTP-Method-Override: {POISON}", f"X-Method-Override: {POISON}", f"True-Client-IP: {POISON}"),
    *(f"CF-Connecting-IP: {POISON}", f"Origin: https://{POISON}", f"X-Requested-With: {POISON}"),
    *(f"Cookie: theme={POISON}", f"Authorization: Basic {POISON}", f"X-Anything: {POISON}"),
    *(f"Content-Type: {POISON}", f"Content-Encoding: {POISON}", f"Max-Forwards: {POISON}", f"Te: {POISON}"),
    *(
        f"User-Agent: <{POISON}>",
        f'Accept-Language: "{POISON}"',
        f"Accept: ${{{POISON}}}",
        f"Dnt: `{POISON}`",
    ),
    *(f"Referer: javascript:{POISON}", f"Referer: https://x/<{POISON}>", f"Sec-Fetch-Site: '{POISON}'"),
    *(f"Range: bytes=0-3\r\nX-Range: {POISON}", f'If-None-Match: "{POISON}"', f"If-Range: {POISON}"),
    *(f"Cookie: _ga={POISON}", f'Cookie: _ga="{POISON}; session=1"', f"Cookie: _ga={POISON}; a=b"),
    *(f"Connection: close, {POISON}", f"Proxy-Connection: {POISON}", f"Keep-Alive: {POISON}"),
    *(f"Cache-Control: {POISON}='", f"Pragma: {POISON}<", f"Traceparent: {{{POISON}}}"),
    *(f'Sec-CH-UA: "<{POISON}>";v=1', f"X-Client-IP: {POISON}", f"X-Cluster-Client-IP: <{POISON}>"),
    *(f"Upgrade: {POISON}", f"Upgrade: websocket\r\nConnection: upgrade\r\nX-A: {POISON}"),
]


@pytest.mark.parametrize("fields", FIELDS)
def test_poisoning_by_a_field(gate: Gate, fields: str) -> None:
    path = gate.path()
    attacked, _ = gate.get(path, fields + "\r\n")
    victim, content = gate.get(path)
    assert attacked.status in (101, 200, 206, 304)
    assert victim.status == 200
    assert POISON not in content
    assert json.loads(content)[1] == path


@pytest.mark.parametrize("fields", FIELDS)
def test_poisoning_by_a_field_through_a_trusted_proxy(behind_proxy: Gate, fields: str) -> None:
    path = behind_proxy.path()
    behind_proxy.get(path, f"{fields}\r\n")
    _, content = behind_proxy.get(path)
    assert POISON not in content


@pytest.mark.parametrize(
    "line",
    [
        *(
            "/{path}?{poison}",
            "//{path}?{poison}",
            "/{path};{poison}",
            "/{path}/{poison}",
            "/{path}%3f{poison}",
        ),
        *("/{path}%00{poison}", "/./{path}?{poison}", "/{poison}/../{path}", "/{poison}/..%2f{path}"),
        *("/{path}%0d%0aX:{poison}", "http://a.example/{path}?{poison}", "HTTP://a.example/{path}?{poison}"),
        *(
            "http://{poison}/{path}",
            "http://a.example@{poison}/{path}",
            "/{path}\\{poison}",
            "/{path}#{poison}",
        ),
    ],
)
def test_poisoning_by_the_target(gate: Gate, line: str) -> None:
    path = gate.path()
    target = line.format(path=path[1:], poison=POISON)
    gate.send(f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
    response, content = gate.get(path)
    assert response.status == 200
    assert POISON not in content
    assert json.loads(content)[1] == path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("/{}", "/{}?"), ("/{}", "/%7b{}"), ("/{}?a=1&b=2", "/{}?b=2&a=1"), ("/{}?a=%41", "/{}?a=A")),
        *(("/{}", "/{}/"), ("/a/{}", "/A/{}"), ("/{}/%2e/x", "/{}/x"), ("/{}?a=1", "/{}?a=1&a=1")),
        *(("/{}%2fx", "/{}/x"), ("/{}+x", "/{}%20x"), ("/{}", "//{}"), ("/{}%E4", "/{}%e4")),
    ],
)
def test_targets_that_an_app_may_tell_apart_are_kept_apart(gate: Gate, one: str, other: str) -> None:
    number = gate.path()[1:]
    for target in (one.format(number), other.format(number)):
        assert json.loads(gate.get(target)[1])[1] == target


def test_an_absolute_target_shares_with_the_one_that_the_app_cannot_tell_from_it(gate: Gate) -> None:
    path = gate.path()
    gate.send(f"GET http://a.example{path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert gate.outcome(path) == "HIT"


@pytest.mark.parametrize("host", ["A.example", "a.example:80", "a.example.", "b.example", "a.example:8080"])
def test_hosts_that_an_app_may_tell_apart_are_kept_apart(gate: Gate, host: str) -> None:
    path = gate.path()
    gate.get(path, host=host)
    _, content = gate.get(path)
    assert ["host", "a.example"] in json.loads(content)


@pytest.mark.parametrize(
    "octets",
    [
        "GET {} HTTP/1.1\r\nHost: a.example\r\nHost: p0ison\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost: a.example, p0ison\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost: a.example@p0ison\r\n\r\n",
        "GET {} HTTP/1.1\r\n Host: p0ison\r\nHost: a.example\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost : p0ison\r\nHost: a.example\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost: a.example\r\nX: \x00p0ison\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost: a.example\r\nX: \np0ison: 1\r\n\r\n",
        "GET {} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\np0ison",
        "GET {} p0ison HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ],
)
def test_what_two_could_read_in_two_ways_is_neither_forwarded_nor_kept(gate: Gate, octets: str) -> None:
    path = gate.path()
    before = len(gate.origin.requests)
    assert gate.send(octets.format(path))[0].status == 400
    assert len(gate.origin.requests) == before
    assert POISON not in gate.get(path)[1]


@pytest.mark.parametrize(
    "request_with_content",
    [
        f"GET {{}} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\n{POISON}",
        f"GET {{}} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{POISON}\r\n0\r\n\r\n",
        f"HEAD {{}} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\n{POISON}",
    ],
)
def test_poisoning_by_a_get_with_content(gate: Gate, request_with_content: str) -> None:
    path = gate.path()
    method = request_with_content.partition(" ")[0]
    attacked, _ = gate.send(request_with_content.format(path), method)
    assert attacked.getheader("Cache-Status") == "foregate; fwd=bypass; detail=content"
    assert POISON not in gate.get(path)[1]
    # And what is kept is no answer to it.
    attacked, _ = gate.send(request_with_content.format(path), method)
    assert attacked.getheader("X-Cache-Status") == "BYPASS"


def test_neither_a_head_nor_a_part_nor_a_304_takes_the_place_of_the_whole(gate: Gate) -> None:
    path = gate.path()
    gate.send(f"HEAD {path} HTTP/1.1\r\nHost: a.example\r\n\r\n", "HEAD")
    gate.get(path, "Range: bytes=0-3\r\n")
    assert gate.get(path, "If-None-Match: *\r\n")[0].status == 304  # the app's 200, kept whole
    response, content = gate.get(path)
    assert (response.status, response.getheader("X-Cache-Status")) == (200, "HIT")
    assert json.loads(content)[:2] == ["GET", path]


def test_trust_in_the_peer_is_part_of_the_key(behind_proxy: Gate) -> None:
    path = behind_proxy.path()
    for host in ("one.example", "two.example"):
        told = json.loads(behind_proxy.get(path, f"X-Forwarded-Host: {host}\r\n")[1])
        assert ["x-forwarded-host", host] in told
    for scheme in ("http", "https"):
        told = json.loads(behind_proxy.get(path, f"X-Forwarded-Proto: {scheme}\r\n")[1])
        assert ["x-forwarded-proto", scheme] in told


def test_a_get_in_whose_fields_a_trusted_proxy_hides_a_write_reaches_the_app_each_time(
    behind_proxy: Gate,
) -> None:
    path = behind_proxy.path()
    asked = len(behind_proxy.origin.requests)
    outcomes = [behind_proxy.outcome(path, "X-HTTP-Method-Override: DELETE\r\n") for _ in range(3)]
    assert outcomes == ["BYPASS"] * 3
    assert len(behind_proxy.origin.requests) == asked + 3


@pytest.mark.parametrize(
    "name",
    ["/account/x.css", "/account%2fx.css", "/account;x.css", "/account/..%2fx.css", "/account/%2e%2e/x.css"],
)
@pytest.mark.parametrize("credential", ["Cookie: session=alice", "Authorization: alice", "X-Api-Key: alice"])
def test_deception_of_a_user_into_what_looks_like_a_static_file(
    gate: Gate, name: str, credential: str
) -> None:
    path = gate.path() + name
    assert "alice" in gate.get(path, f"{credential}\r\n")[1]
    assert gate.outcome(path, f"{credential}\r\n") == "HIT"
    _, seen = gate.get(path)
    assert "alice" not in seen
    assert "alice" not in gate.get(path, f"{credential.replace('alice', 'mallory')}\r\n")[1]


def test_a_credential_that_connection_hides_from_the_app_fills_nobodys_entry(gate: Gate) -> None:
    path = gate.path()
    shown = gate.get(path, "X-Tenant: alice\r\nConnection: x-tenant\r\n")[1]
    assert "alice" not in shown
    assert "alice" in gate.get(path, "X-Tenant: alice\r\n")[1]
    assert "alice" not in gate.get(path)[1]
