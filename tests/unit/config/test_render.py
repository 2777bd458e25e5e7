"""A configuration written back as a document is the same configuration when it is read again."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.diff import changes
from proxy.config.json_schema import schema
from proxy.config.loader import parse
from proxy.config.render import MASK, TABLES, document, toml_literal
from proxy.config.schema import Config

SCHEMA = schema()
FULL = """
[server]
http = [":8080", "[::1]:81"]
https = ["127.0.0.1:8443"]
metrics = ""
admin = "127.0.0.1:9000"
admin_token = "0123456789abcdef"
workers = 4
proxy_protocol = ["10.0.0.0/8", "::1"]
drain_timeout = "1500ms"
[tls]
hsts = "180d"
eab_kid = "kid"
eab_hmac_key = "c2VjcmV0"
[client_ip]
trusted = ["cloudflare", "192.0.2.0/24"]
[firewall]
deny = ["file:/etc/deny.txt", "203.0.113.1"]
[rate_limit]
rate = "off"
[[site]]
domains = ["a.de", "münchen.de", "::1"]
upstream = ["http://a:1", {url = "https://[::1]", weight = 3, backup = true}, "unix:/run/a.sock"]
upgrade = []
set_request_headers = {Authorization = "Bearer geheim", X-Old = ""}
set_response_headers = {X-Frame-Options = "DENY"}
tls = {mode = "off", hsts = ""}
rate_limit = {rate = "10/s", burst = 20, exempt_paths = ["/static/"]}
cache = {ttl = "0s", size = "1MB"}
  [[site.route]]
  path = "/api"
  strip_prefix = true
  set_request_headers = {authorization = "Bearer other", X-New = "1"}
  rate_limit.rate = "10/s"
  [[site.route]]
  path = "/old"
  redirect = "https://b.de"
[[site]]
domains = ["b.de"]
redirect = "https://a.de"
  [[site.route]]
  path = "/x"
  upstream = "http://x"
"""


@pytest.mark.parametrize(
    "text", ["", FULL, '[server]\nadmin = "unix:/run/admin.sock"', "[server]\nhttps = []"]
)
def test_a_document_read_again_is_the_same_configuration(text: str, parsed: Callable[..., Config]) -> None:
    config = parsed(text)
    assert reread(document(config, mask=False)) == config


def tables(data: st.DataObject, name: str, *never: str) -> dict[str, Any]:
    """Draw some keys of a table, each with its default, its example or what is inherited."""
    properties: dict[str, Any] = SCHEMA["$defs"][name]["properties"]
    drawn = {}
    for key in data.draw(
        st.lists(st.sampled_from(sorted(set(properties) - set(never))), unique=True, max_size=5)
    ):
        override = properties[key].get("$ref", "").removeprefix("#/$defs/")
        if override:
            drawn[key] = tables(data, override, *NEVER)
        else:
            values = [*properties[key]["examples"], properties[key].get("default")]
            drawn[key] = data.draw(st.sampled_from([value for value in values if value is not None]))
    return drawn


# Keys that are valid only together with others, and the lists of tables, which are drawn below.
NEVER = (
    "mode",
    "certificate",
    "private_key",
    "eab_kid",
    "eab_hmac_key",
    "per",
    "redirect",
    "upstream",
    "route",
    "domains",
)


@settings(max_examples=40)  # each is read three times
@given(st.data())
def test_any_document_read_again_is_the_same_configuration(data: st.DataObject) -> None:
    drawn: dict[str, Any] = {
        name: tables(data, "".join(word.capitalize() for word in name.split("_")), "admin", *NEVER)
        for name in TABLES
    }
    drawn["site"] = []
    for number in range(data.draw(st.integers(1, 2))):
        site = {"domains": [f"{number}.a.de"], "upstream": "http://a", **tables(data, "Site", *NEVER)}
        site["route"] = [
            {**tables(data, "Route", *NEVER), "path": f"/{'x' * length}"}
            for length in range(1, data.draw(st.integers(1, 3)))
        ]
        drawn["site"].append(site)
    config = reread(drawn)
    assert reread(document(config, mask=False)) == config
    assert changes(config, reread(document(config, mask=False))) == []
    assert pickle.loads(pickle.dumps(config)) == config


def reread(written: dict[str, Any]) -> Config:
    """Parse a document, written as TOML."""
    lines = [f"{key} = {toml_literal(value)}" for key, value in written.items()]
    environ = {"ADMIN_TOKEN": "0123456789abcdef", "API_KEY": "key"}
    return parse("\n".join(lines).encode(), path="proxy.toml", environ=environ)


def test_sites_and_routes_hold_only_what_differs(parsed: Callable[..., Config]) -> None:
    first, second, third = document(parsed(FULL), mask=False)["site"]
    assert third == {"domains": ["app.example.com"], "upstream": ["http://app:3000"]}
    assert second["route"] == [{"path": "/x", "upstream": ["http://x"], "redirect": ""}]
    assert first["tls"] == {"mode": "off", "hsts": ""}
    assert first["upstream"][1] == {"url": "https://[::1]", "weight": 3, "backup": True}
    assert first["route"][0] == {
        "path": "/api",
        "set_request_headers": {"authorization": "Bearer other", "X-New": "1"},
        "strip_prefix": True,
        "rate_limit": {"rate": "10/s"},
    }


def test_secrets_are_masked(parsed: Callable[..., Config]) -> None:
    masked = document(parsed(FULL), mask=True)
    assert masked["server"]["admin_token"] == masked["tls"]["eab_hmac_key"] == MASK
    assert masked["site"][0]["set_request_headers"] == {"Authorization": MASK, "X-Old": ""}
    assert masked["site"][0]["set_response_headers"] == {"X-Frame-Options": "DENY"}
    text = str(masked)
    for secret in ("0123456789abcdef", "c2VjcmV0", "geheim", "Bearer"):
        assert secret not in text
    assert document(parsed(""), mask=True)["server"]["admin_token"] == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b\\\n', '"a\\"b\\\\\\n"'),
        (3, "3"),
        (True, "true"),
        ([], "[]"),
        (["a", 1], '["a", 1]'),
        ({}, "{}"),
        ({"X-A": "b", "c d": [{"e": False}]}, '{ X-A = "b", "c d" = [{ e = false }] }'),
    ],
)
def test_literals(value: Any, text: str) -> None:
    assert toml_literal(value) == text
