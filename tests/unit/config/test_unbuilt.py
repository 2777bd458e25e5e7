"""What the program does not do yet is refused where it is written, with what to write instead."""

from collections.abc import Callable

import pytest

from proxy.config import unbuilt
from proxy.config.errors import ConfigError
from proxy.config.findings import Finding
from proxy.config.loader import parse
from proxy.config.schema import Config
from proxy.config.unbuilt import Unbuilt, unbuilt_keys

ROWS = (
    Unbuilt(lambda config: bool(config.server.proxy_protocol), "server.proxy_protocol", "leave it out"),
    Unbuilt(lambda config: any(site.tls.hsts for site in config.sites), "tls.hsts", 'hsts = ""'),
)


def test_nothing_is_found_where_no_row_applies(parsed: Callable[..., Config]) -> None:
    assert list(unbuilt_keys(parsed(""), dict, ROWS)) == []


def test_a_row_that_applies_is_found_at_its_key(parsed: Callable[..., Config]) -> None:
    config = parsed('[server]\nproxy_protocol = ["10.0.0.0/8"]')
    expected = Finding(("server", "proxy_protocol"), "a key that is not built yet", "leave it out")
    assert list(unbuilt_keys(config, dict, ROWS)) == [expected]


def test_a_row_is_reported_on_every_line_that_has_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "proxy.config.loader.unbuilt_keys", lambda config, lines: unbuilt_keys(config, lines, ROWS)
    )
    source = b"""[[site]]
domains = ["a.de"]
upstream = "http://a"
tls.hsts = "1d"
[[site]]
domains = ["b.de"]
upstream = "http://b"
tls = {hsts = "2d"}
"""
    with pytest.raises(ConfigError) as caught:
        parse(source, path="proxy.toml", environ={})
    assert [str(fault) for fault in caught.value.faults] == [
        'proxy.toml:4: site[0].tls.hsts (a.de): found a key that is not built yet, expected hsts = ""',
        'proxy.toml:8: site[1].tls.hsts (b.de): found a key that is not built yet, expected hsts = ""',
    ]


def test_every_row_names_a_key_of_the_schema() -> None:
    for row in unbuilt.UNBUILT:
        section, _, key = row.key.partition(".")
        values = getattr(Config(), section, None)
        assert values is None or hasattr(values, key), row.key
        assert row.instead
