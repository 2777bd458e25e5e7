"""Response heads: what follows from one is worked out once, and the same as from the parsed lines."""

from typing import TYPE_CHECKING, cast

import pytest

from proxy.config.schema import Route
from proxy.errors import MessageError
from proxy.http1.response import MAX_RESPONSE_HEAD, Framing
from proxy.snapshot import RouteRuntime
from proxy.upstream.heads import parse_response_head

if TYPE_CHECKING:
    from proxy.upstream.balancer import Balancer


def route(*edits: tuple[str, str]) -> RouteRuntime:
    return RouteRuntime(Route(set_response_headers=edits), cast("Balancer", None), None, None, None, b"")


def test_a_head_says_what_its_lines_say() -> None:
    head = parse_response_head(b"HTTP/1.1 404 Nothing here\r\nDate: now\r\nContent-Length: 12\r\n")
    assert (head.status, head.line) == (404, b"HTTP/1.1 404 Nothing here\r\n")
    assert (head.length, head.framing(), head.has_date, head.persists) == (12, Framing.LENGTH, True, True)
    assert head.framing() is head.framing()


def test_a_head_may_have_no_field_at_all() -> None:
    head = parse_response_head(b"HTTP/1.0 200 OK\r\n")
    assert (head.length, head.framing(), head.has_date, head.persists) == (-1, Framing.CLOSE, False, False)


def test_a_coding_that_http_1_0_does_not_know_is_refused_where_it_would_frame_content() -> None:
    head = parse_response_head(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n")  # may answer HEAD
    for _ in range(2):
        with pytest.raises(MessageError):
            head.framing()


def test_every_route_has_its_own_block() -> None:
    head = parse_response_head(b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close\r\nContent-Length: 0\r\n")
    plain, edited = route(), route(("Server", ""), ("X-Added", "1"))
    assert head.block(plain) == b"Server: x\r\n"
    assert head.block(edited) == b"X-Added: 1\r\n"
    assert head.block(plain) is head.block(plain)


@pytest.mark.parametrize(("status", "block"), [(426, b"Upgrade: h2c\r\n"), (200, b"")])
def test_upgrade_is_the_message_of_a_426_alone(status: int, block: bytes) -> None:
    head = parse_response_head(b"HTTP/1.1 %d \r\nConnection: upgrade\r\nUpgrade: h2c\r\n" % status)
    assert head.block(route()) == block


def test_a_section_that_is_too_large_is_refused() -> None:
    line = b"HTTP/1.1 200 OK\r\n"
    section = b"X: %s\r\n"
    fits = section % (b"x" * (MAX_RESPONSE_HEAD - len(section) + 2))
    assert parse_response_head(line + fits).status == 200
    with pytest.raises(MessageError, match="too large"):
        parse_response_head(line + b"Y" + fits)
