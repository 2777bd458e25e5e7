"""An unknown key is an error that says which key was meant, or where the key belongs."""

import pytest

from proxy.config.findings import Path
from proxy.config.site_tables import RouteTable, SiteTable, UpstreamTable
from proxy.config.tables import CacheTable
from proxy.config.unknown_keys import known_keys, meant_key, resembled_key, table_at


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (("cache", "tll"), 'did you mean "ttl"?'),
        (("cache", "object-size"), 'did you mean "object_size"?'),
        (("cache", "TTL"), 'did you mean "ttl"?'),
        (("servers",), 'did you mean "server"?'),
        (("site", 0, "domain"), 'did you mean "domains"?'),
        (("site", 0, "upstreams"), 'did you mean "upstream"?'),
        (("site", 0, "routes"), 'did you mean "route"?'),
        (("ttl",), "it belongs in [cache]"),
        (("site", 0, "ttl"), "it belongs in [site.cache]"),
        (("site", 0, "rate"), "it belongs in [site.rate_limit]"),
        (("site", 0, "trusted"), "it belongs in [client_ip]"),
        (("site", 0, "server"), "it is set for the whole proxy, at the top level"),
        (("site", 0, "route", 1, "tls"), "it is set for the whole site, in [[site]]"),
        (("site", 0, "strip_prefix"), "it is set for one path, in [[site.route]]"),
        (
            ("site", 0, "cache", "upstream"),
            "it belongs in [[site]]; what stands after a [table] header belongs to that table",
        ),
        (
            ("upstream",),
            "it belongs in [[site]]; what stands after a [table] header belongs to that table",
        ),
        (("site", 0, "server_name"), "here it is called domains"),
        (("site", 0, "proxy_pass"), "here it is called upstream"),
        (("client_max_body_size",), "here it is called limits.body"),
        (("site", 0, "location"), "here it is called [[site.route]]"),
        (("server", "xyzzy"), ""),
        (("x" * 1_000_000,), ""),
        (("",), ""),
    ],
)
def test_hints(path: Path, hint: str) -> None:
    assert meant_key(path) == hint


def test_a_key_resembles_itself() -> None:
    assert resembled_key(("cache", "ttl")) == "ttl"
    assert resembled_key(("cache", "tll")) == "ttl"
    assert resembled_key(("cache", "zzz")) == ""


def test_tables_are_found_by_path() -> None:
    assert table_at(("site", 3)) is SiteTable
    assert table_at(("site", 3, "route", 0)) is RouteTable
    assert table_at(("site", 3, "route", 0, "cache")) is CacheTable
    assert table_at(("site", 0, "upstream", 1)) is UpstreamTable


def test_tables_are_named_as_they_are_written() -> None:
    assert known_keys(()) == "a key of the top level: a [table] or [[site]]"
    assert known_keys(("cache",)) == "a key of [cache]"
    assert known_keys(("site", 0)) == "a key of [[site]]"
    assert known_keys(("site", 0, "route", 1, "cache")) == "a key of [site.route.cache]"
