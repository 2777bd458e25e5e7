"""A reload says what changed, once and without secrets."""

from collections.abc import Callable

import pytest

from proxy.config.diff import changes, redacted
from proxy.config.schema import Config

Parse = Callable[..., Config]
OLD = """
[cache]
ttl = "3s"
[[site]]
domains = ["a.de"]
upstream = "http://a"
cache.grace = "10s"
  [[site.route]]
  path = "/api"
"""


def test_nothing_changed(parsed: Parse) -> None:
    assert changes(parsed(OLD), parsed(OLD)) == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ('ttl = "3s"', 'ttl = "5s"', ['cache.ttl: "3s" -> "5s"']),
        (
            'grace = "10s"',
            'grace = "20s"',
            [
                'site a.de: cache.grace: "10s" -> "20s"',
            ],
        ),
        ('"http://a"', '"http://b"', ['site a.de: upstream: added "http://b"; removed "http://a"']),
        ('["a.de"]', '["a.de", "b.de"]', ['site a.de: domains: added "b.de"']),
        ('["a.de"]', '["b.de"]', ["site a.de: removed", "site b.de: added"]),
        (
            'path = "/api"',
            'path = "/app"',
            ["site a.de: route /api: removed", "site a.de: route /app: added"],
        ),
        (
            'path = "/api"',
            'path = "/api"\n  strip_prefix = true\n  limits.body = "1GB"',
            [
                "site a.de: route /api: strip_prefix: false -> true",
                'site a.de: route /api: limits.body: "100MB" -> "1GB"',
            ],
        ),
        ("[[site]]", "[server]\nworkers = 2\n[[site]]", ['server.workers: "auto" -> 2']),
        ("[[site]]", '[tls]\nhsts = "1d"\n[[site]]', ['tls.hsts: "" -> "1d"']),
        (
            'upstream = "http://a"',
            'upstream = "http://a"\ntls.mode = "off"',
            ['site a.de: tls.mode: "acme" -> "off"'],
        ),
        ("[cache]", '[rate_limit]\nrate = "off"\n[cache]', ['rate_limit.rate: "150/m" -> "off"']),
        (
            "[cache]",
            '[client_ip]\ntrusted = ["10.0.0.0/8", "cloudflare"]\n[cache]',
            ['client_ip.trusted: added "10.0.0.0/8", "cloudflare"'],
        ),
        ("[cache]", '[server]\nhttp = [":80", ":81"]\n[cache]', ['server.http: added ":81"']),
    ],
)
def test_changes(old: str, new: str, lines: list[str], parsed: Parse) -> None:
    assert changes(parsed(OLD), parsed(OLD.replace(old, new))) == lines


def test_what_a_site_inherits_is_told_once(parsed: Parse) -> None:
    old = "[limits]\nbody = '1MB'" + OLD + "limits.body = '5MB'"
    new = "[limits]\nbody = '2MB'" + OLD + "limits.body = '5MB'"
    assert changes(parsed(old), parsed(new)) == ['limits.body: "1MB" -> "2MB"']


def test_a_value_of_its_own_that_becomes_inherited_and_stays_the_same_is_no_change(parsed: Parse) -> None:
    old = OLD.replace('cache.grace = "10s"', 'cache.ttl = "5s"')
    new = OLD.replace('cache.grace = "10s"', "").replace('ttl = "3s"', 'ttl = "5s"')
    assert changes(parsed(old), parsed(new)) == ['cache.ttl: "3s" -> "5s"']


def test_another_order_is_told(parsed: Parse) -> None:
    old, new = (
        '[client_ip]\ntrusted = ["10.0.0.0/8", "::1"]',
        '[client_ip]\ntrusted = ["::1", "10.0.0.0/8"]',
    )
    assert changes(parsed(old), parsed(new)) == ["client_ip.trusted: another order"]


def test_secrets_are_not_told(parsed: Parse) -> None:
    text = '[server]\nadmin_token = "{0}{0}"\n[[site]]\ndomains = ["a.de"]\nupstream = "http://a"\n'
    text += 'set_request_headers = {{X-Key = "{0}"}}\n'
    found = changes(parsed(text.format("geheim-1")), parsed(text.format("geheim-2")))
    assert found == [
        "server.admin_token: changed (not shown)",
        "site a.de: set_request_headers: changed (not shown)",
    ]
    assert "geheim" not in str(redacted(parsed(text.format("geheim-1"))))


def test_a_long_change_is_shortened(parsed: Parse) -> None:
    many = ", ".join(f'"10.0.{number}.0/24"' for number in range(200))
    [line] = changes(parsed(""), parsed(f"[rate_limit]\nexempt = [{many}]"))
    assert len(line) < 160
