"""Whatever is drafted, what is written passes `foregate check`; and a faulty firewall is never an open one."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.config.loader import load
from proxy.importing.draft import Draft, Notes, Outcome
from proxy.importing.errors import ImportRefusedError
from proxy.importing.nginx.reader import read_nginx
from proxy.importing.repair import CLOSED, make_valid
from proxy.importing.toml_text import proxy_toml

SITE = {"domains": ["a.example.com"], "upstream": "http://app:3000"}


def _repaired(*sites: dict[str, Any], **tables: Any) -> Draft:
    draft = Draft(document={**tables, "site": [deepcopy(site) for site in sites]})
    make_valid(draft)
    return draft


@pytest.mark.parametrize(
    ("site", "tables", "expected"),
    [
        ({"limits": {"body": "lots", "fields": 7}}, {}, {"limits": {"fields": 7}}),
        ({"set_response_headers": {"bad name": "x", "X": "y"}}, {}, {"set_response_headers": {"X": "y"}}),
        ({"domains": ["a.example.com", "b c", "*"]}, {}, {"domains": ["a.example.com"]}),
        ({"route": [{"path": "/"}, {"path": "/a"}]}, {}, {"route": [{"path": "/a"}]}),
        ({"surprise": 1}, {"other": {"x": 1}}, {}),
        ({"firewall": {"allow": ["nobody"], "deny": []}}, {}, {"firewall": CLOSED}),
        (
            {"tls": {"mode": "files", "certificate": "/no", "private_key": "/no"}},
            {},
            {"tls": {"mode": "acme"}},
        ),
        ({"set_request_headers": {"X": "\x7f"}}, {}, {"set_request_headers": {}}),
    ],
)
def test_what_is_wrong_is_taken_out_with_a_note(
    site: dict[str, Any], tables: dict[str, Any], expected: dict[str, Any]
) -> None:
    draft = _repaired({**SITE, **site}, **tables)
    assert draft.sites == [{**SITE, **expected}]
    assert draft.notes.of(Outcome.LEFT_OUT)


def test_many_faults_at_once() -> None:
    routes = [{"path": f"/{number}", "limits": {"body": "x", "fields": 0}} for number in range(40)]
    routes[7] = {"path": "no", "limits": {"body": "1MB"}}
    draft = _repaired({**SITE, "route": [*routes, {"path": "/last"}]}, SITE)
    assert len(draft.sites) == 1
    assert [route["path"] for route in draft.sites[0]["route"]] == [
        *(f"/{number}" for number in range(40) if number != 7),
        "/last",
    ]
    assert all(route.get("limits", {}) == {} for route in draft.sites[0]["route"])


def test_a_site_that_cannot_be_saved_goes_alone() -> None:
    draft = _repaired({"domains": ["b.example.com"], "upstream": "ftp://x"}, SITE)
    assert draft.sites == [SITE]


def test_a_document_without_a_site_is_refused_with_the_reasons() -> None:
    with pytest.raises(ImportRefusedError, match=r"(?s)nothing to make a site of.*ftp://x"):
        _repaired({"domains": ["b.example.com"], "upstream": "ftp://x"})


_NAMES = st.sampled_from(
    (
        *(
            "listen",
            "server_name",
            "proxy_pass",
            "return",
            "allow",
            "deny",
            "auth_basic",
            "client_max_body_size",
        ),
        *(
            "proxy_read_timeout",
            "add_header",
            "proxy_set_header",
            "limit_req",
            "rewrite",
            "set",
            "if",
            "root",
        ),
        *(
            "try_files",
            "ssl_certificate",
            "proxy_hide_header",
            "keepalive_timeout",
            "satisfy",
            "gzip",
            "internal",
        ),
        *(
            "set_real_ip_from",
            "real_ip_header",
            "large_client_header_buffers",
            "proxy_cache",
            "proxy_cache_valid",
        ),
    )
)
_WORDS = st.sampled_from(
    (
        *(
            "80",
            "443",
            "ssl",
            "[::]:81",
            "a.example.com",
            "*.b",
            "_",
            "http://x",
            "http://x/y/",
            "https://u",
            "$host",
        ),
        *(
            "301",
            "404",
            "https://b.example.com$request_uri",
            "10.0.0.0/8",
            "all",
            "off",
            "0",
            "5m",
            "10g",
            "-1",
            "X-A",
        ),
        *(
            "zone=one",
            "burst=9",
            "@n",
            "'a b'",
            "''",
            "unix:/a",
            "proxy_protocol",
            "\u00e9",
            "CF-Connecting-IP",
        ),
    )
)
_PATHS = st.sampled_from(
    ("/", "/a", "/a/", "= /a", "~ ^/(b|c)/", "~* \\.x$", "@n", "^~ /d//e", "/f%zz", "/a/b")
)
_DIRECTIVE = st.builds(lambda name, words: f"{name} {' '.join(words)};", _NAMES, st.lists(_WORDS, max_size=3))
_BODY = st.lists(_DIRECTIVE, max_size=5).map("\n".join)
_LOCATION = st.builds(lambda path, body: f"location {path} {{ {body} }}", _PATHS, _BODY)
_PROXIED = st.just("location / { proxy_pass http://x; }")
_SERVER = st.builds(
    lambda body, locations: f"server {{ server_name a.example.com; {body} {' '.join(locations)} }}",
    _BODY,
    st.lists(_LOCATION | _PROXIED, max_size=4),
)
_ZONE = "limit_req_zone $binary_remote_addr zone=one:1m rate=5r/m; upstream u { server v:1; server w:2; }"


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
    deadline=None,
)
@given(st.lists(_SERVER, min_size=1, max_size=3))
def test_any_nginx_configuration_becomes_a_valid_file_or_none(tmp_path: Path, servers: list[str]) -> None:
    (tmp_path / "nginx.conf").write_text("\n".join((_ZONE, *servers)))
    draft = Draft()
    try:
        read_nginx([tmp_path / "nginx.conf"], draft)
        make_valid(draft)
    except ImportRefusedError:
        return
    text = proxy_toml(draft.document, draft.notes, "nginx nginx.conf")
    (tmp_path / "proxy.toml").write_text(text)
    load(tmp_path / "proxy.toml", {})
    assert re.sub(r"(?m)^#.*\n", "", text) == re.sub(
        r"(?m)^#.*\n", "", proxy_toml(draft.document, Notes(), "")
    )
