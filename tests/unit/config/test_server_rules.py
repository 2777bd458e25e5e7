"""Listeners that collide and an admin interface without a lock are found."""

from collections.abc import Callable
from itertools import product

import pytest

from proxy.config.addresses import parse_listen
from proxy.config.schema import Config
from proxy.config.server_rules import overlap

Lines = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (":80", ":80", True),
        (":80", ":81", False),
        (":80", "127.0.0.1:80", True),
        (":80", "[::1]:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("0.0.0.0:80", "[::]:80", False),
        ("[::]:80", "[::1]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        (":0", ":0", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_overlap(one: str, other: str, collide: bool) -> None:
    for first, second in ((one, other), (other, one)):
        assert overlap(parse_listen(first), parse_listen(second)) is collide


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            'http = [":80", "127.0.0.1:80"]',
            '2: server.http[1]: found "127.0.0.1:80", expected another port; server.http[0] has ":80"',
        ),
        (
            'https = [":80"]',
            '2: server.https[0]: found ":80", expected another port; server.http[0] has ":80"',
        ),
        (
            'metrics = ":443"',
            '2: server.metrics: found ":443", expected another port; server.https[0] has ":443"',
        ),
        (
            'admin = "127.0.0.1:9145"\nadmin_token = "0123456789abcdef"',
            '2: server.admin: found "127.0.0.1:9145", expected another port; server.metrics has "127.0.0.1:9145"',
        ),
        (
            "http = []\nhttps = []",
            "2: server.http: found an empty list, expected a listener for http or https",
        ),
        (
            'admin = "127.0.0.1:9000"',
            "1: server.admin_token: found nothing, expected a token, because server.admin is a TCP address; "
            "anyone who reaches the port could reload and purge",
        ),
        (
            'admin = "127.0.0.1:9000"\nadmin_token = "geheim"',
            "3: server.admin_token: found 6 characters, expected a token of at least 16 characters",
        ),
    ],
)
def test_faults(text: str, line: str, fault_lines: Lines) -> None:
    assert fault_lines(f"[server]\n{text}") == [line]


def test_a_socket_path_that_is_too_long(fault_lines: Lines) -> None:
    [line] = fault_lines(f'[tls]\nstorage = "/{"x" * 100}"')
    assert line.startswith(" server.admin: found ")
    assert "expected a path of at most 107 bytes" in line


def test_one_listener_collides_once(fault_lines: Lines) -> None:
    many = ", ".join('"127.0.0.1:80"' for _ in range(200))
    assert len(fault_lines(f"[server]\nhttp = [{many}]")) == 199


def test_listeners_that_do_not_collide(parsed: Callable[..., Config]) -> None:
    config = parsed('[server]\nhttp = ["0.0.0.0:80", "[::]:80", ":8080"]\nhttps = []\nmetrics = ":9145"')
    assert len(config.server.http) == 3


def test_overlap_is_symmetric() -> None:
    texts = (":1", ":0", "0.0.0.0:1", "[::]:1", "[::1]:1", "127.0.0.1:1", "[fe80::1%lo]:1")
    for one, other in product([parse_listen(text) for text in texts], repeat=2):
        assert overlap(one, other) is overlap(other, one)
