"""What only the proxy does: forwarding fields, and upgrades that are not listed."""

import json
import socket

import pytest

from tests.fakes.front import TIMEOUT, Answer, Front

APPS = ["flask", "starlette", "node"]


@pytest.fixture(params=APPS)
def behind(request: pytest.FixtureRequest, gate: int) -> Front:
    return Front(request.param, gate)


def seen(answer: Answer) -> dict[str, list[str]]:
    """Return the fields that the app saw, by lower-case name."""
    fields: dict[str, list[str]] = {}
    for name, value in json.loads(answer.body)["fields"]:
        fields.setdefault(name, []).append(value)
    return fields


def test_the_app_learns_who_asked_for_what(behind: Front) -> None:
    fields = seen(behind.ask("GET", "/echo"))
    assert fields["host"] == [behind.authority]
    assert fields["x-forwarded-for"] == ["127.0.0.1"]
    assert fields["x-real-ip"] == ["127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert fields["x-forwarded-host"] == [behind.authority]
    assert fields["x-forwarded-port"] == [str(behind.port)]
    assert len(fields["x-request-id"][0]) >= 16
    assert fields["via"][0].startswith("1.1 ")
    assert "for=127.0.0.1" in fields["forwarded"][0]


def test_what_a_client_claims_about_itself_is_replaced(behind: Front) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=203.0.113.9",
        "CF-Connecting-IP": "203.0.113.9",
        "X-Original-URL": "/admin",
        "Connection": "X-Forwarded-For, X-Custom",
        "X-Custom": "dropped",
        "X-Kept": "203.0.113.7",
    }
    fields = seen(behind.ask("GET", "/echo", headers=claims))
    assert fields["x-forwarded-for"] == ["127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert "x-custom" not in fields
    assert "x-original-url" not in fields
    assert fields["x-kept"] == ["203.0.113.7"]
    assert not [values for values in fields.values() if "203.0.113.9" in "".join(values)]


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "chat", "chat, h2c"])
def test_an_upgrade_that_is_not_listed_is_stripped(behind: Front, protocol: str) -> None:
    asked = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": protocol,
        "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA",
    }
    answer = behind.ask("GET", "/echo", headers=asked)
    assert answer.status == 200
    fields = seen(answer)
    assert "upgrade" not in fields
    assert "http2-settings" not in fields
    assert "upgrade" not in ",".join(fields.get("connection", [])).lower()


def test_a_stream_to_an_http_1_0_client_ends_with_the_connection(behind: Front) -> None:
    with socket.create_connection(("127.0.0.1", behind.port), timeout=TIMEOUT) as client:
        client.sendall(f"GET /stream?lines=3 HTTP/1.0\r\nHost: {behind.authority}\r\n\r\n".encode())
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == b"line 0\nline 1\nline 2\n"
